"""Who does the work that needs no database: this process, a pool of processes, or a Dask cluster.

What is handed out are pure functions of module level and values that can be pickled; what comes back is the same
wherever it was done. A worker process is started anew (never forked from one that holds keys) and gets, with a piece
of work, no more than it needs: to clean rows the salt of their table's hashes, to seal records these records' data
keys; not the keyring, no connection, nothing that could open more. Sealed records come back sealed, cleaned rows in
clear, as they went out. To a Dask cluster everything goes over TLS with both sides' certificates checked, or not at
all.

Not here: what is handed out (`connectors.weighing`, `registry.sealing`), settings (whoever makes a `Workers`).
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from connectors.errors import ExecutorInsecure

FEWEST_RECORDS: Final = 20_000  # below that, starting a process costs more than it saves
_AHEAD_OF_EACH: Final = 2
_Result = TypeVar("_Result")


class Workers(Protocol):
    """Gives an executor for one table. `ahead` is how many chunks may wait to be taken back."""

    @property
    def ahead(self) -> int:
        """How many pieces of work may be under way or done and not yet fetched: a bound on memory."""

    @contextmanager
    def executor(self, records: int) -> Iterator[Executor]:
        """Yield an executor for so many records; what was begun is ended when the block ends."""


class _Here(Executor):
    """Does work at once, where it is asked for."""

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:  # noqa: ANN401  # as its base
        """Do it; the future is done when it is returned."""
        done: Future[_Result] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            done.set_exception(error)
        return done


@dataclass(frozen=True, slots=True)
class InProcess:
    """This process; nothing is started."""

    ahead: int = 0

    @contextmanager
    def executor(self, records: int) -> Iterator[Executor]:  # noqa: ARG002  # as every way
        """Yield an executor that works at once."""
        yield _Here()


IN_PROCESS: Final = InProcess()


@dataclass(frozen=True, slots=True)
class Processes:
    """A pool of processes for tables of at least `fewest` records; smaller ones stay here. `count` processes."""

    count: int
    fewest: int = FEWEST_RECORDS

    @property
    def ahead(self) -> int:
        """Enough that no process waits for the database."""
        return self.count * _AHEAD_OF_EACH

    @contextmanager
    def executor(self, records: int) -> Iterator[Executor]:
        """Yield a pool that ends with the block; a process that dies fails the table, which can be taken in again."""
        if records < self.fewest:
            yield _Here()
            return
        started_anew = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.count, mp_context=started_anew, initializer=_settle_down) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _settle_down() -> None:
    """Stop looking for garbage in a worker: its work makes no cycles, and looking costs a quarter of its time."""
    gc.disable()


@dataclass(frozen=True, slots=True)
class Dask:
    """A Dask cluster, reached over TLS. `ca`, `certificate` and `key` are PEM files; all three are needed.

    Raises:
        ExecutorInsecure: the scheduler's address is not one of TLS; or, when it is reached, a worker of it may write to
            its disk what it was given, which is rows in clear and data keys.
    """

    scheduler: str
    ca: Path
    certificate: Path
    key: Path
    ahead: int = 8
    fewest: int = FEWEST_RECORDS

    def __post_init__(self) -> None:
        """Refuse to send data keys in clear."""
        if not self.scheduler.startswith("tls://"):
            raise ExecutorInsecure("a Dask scheduler is reached at tls://host:port, never in clear")

    @contextmanager
    def executor(self, records: int) -> Iterator[Executor]:
        """Yield the cluster's executor; the connection ends with the block."""
        if records < self.fewest:
            yield _Here()
            return
        from distributed import Client, Security  # noqa: PLC0415  # takes a second to import, and few have a cluster

        security = Security(  # type: ignore[no-untyped-call]  # published without types
            tls_ca_file=str(self.ca),
            tls_client_cert=str(self.certificate),
            tls_client_key=str(self.key),
            require_encryption=True,
        )
        with Client(self.scheduler, security=security, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            _refuse_spilling(client.run(_may_spill))
            yield client.get_executor(pure=False)


def _may_spill(dask_worker: Any) -> bool:  # noqa: ANN401  # distributed.Worker, published without types
    """Say, in a worker, whether it writes to its disk what does not fit into its memory."""
    memory = dask_worker.memory_manager
    return bool(memory.memory_spill_fraction or memory.memory_target_fraction)


def _refuse_spilling(said: Mapping[str, bool]) -> None:
    """Refuse a cluster with a worker that may spill, or with none that could be asked.

    Raises:
        ExecutorInsecure: which setting is to be changed.
    """
    if not said:
        raise ExecutorInsecure("the Dask cluster has no worker that could be asked whether it writes to its disk")
    if any(said.values()):
        raise ExecutorInsecure(
            f"{sum(said.values())} Dask workers may write plaintext to their disks; set distributed.worker.memory.spill"
            " and distributed.worker.memory.target to false and start the workers again"
        )
