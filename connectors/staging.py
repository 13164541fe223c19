"""Step 6 of intake for the rows of one table: chunk by chunk prepared, sealed and written, one beside the other.

  prepare   which records are new, their versions and keys; by a thread of its own, which waits for the server half of
            its time
  seal      by this thread, or by whoever else has the time for it
  write     COPY, by a second thread, which mostly waits for the server

So three chunks are under way at a time, each in another stage. Each stage takes chunks in their order, in transactions
of their own that nobody sees anything of until the table is published; so their commits need not wait for the disk.

Whoever has withdrawn between step 4 and the writing of a chunk is found here: subjects are held, then it is asked
whose consents have changed since, and of these only, whether a basis still stands. Who withdraws takes the same locks,
and so either is seen here, or sees and freezes what was written here.

Not here: which rows these are (`normalise`), publishing (`intake`).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Final, Protocol, Self
from uuid import UUID

import pandas as pd

from connectors import quarantine, recording
from connectors.executors import Workers
from connectors.normalise import TableOutcome
from registry import store
from registry.basis import BasisOf
from registry.database import Database, Transaction
from registry.sealing import Sealed, seal_records
from registry.staging import written_later
from registry.store import Sealing

_PREPARED_BESIDE: Final = 1  # chunks that are prepared while one is sealed
_WRITTEN_BESIDE: Final = 2  # chunks that may wait for the thread that writes


class Changes(Protocol):
    """Says of whom consents may have changed; composed by whoever knows consents."""

    def moment(self, tx: Transaction) -> int:
        """Mark a moment, before bases are asked for."""

    def since(self, tx: Transaction, moment: int, subjects: Sequence[bytes]) -> set[bytes]:
        """Name those of these subjects of whom a basis may have changed since; the caller holds the subjects."""


class _Everybody:
    """Knows nothing of changes: everybody has to be asked about again."""

    def moment(self, tx: Transaction) -> int:  # noqa: ARG002  # as its protocol
        return 0

    def since(self, tx: Transaction, moment: int, subjects: Sequence[bytes]) -> set[bytes]:  # noqa: ARG002  # as its protocol
        return set(subjects)


ASK_EVERYBODY: Final = _Everybody()


@dataclass(frozen=True, slots=True)
class Asked:
    """How bases were asked for in step 4: by whom, for which day, and after which moment."""

    basis_of: BasisOf
    as_of: date
    changes: Changes
    moment: int


def freeze_withdrawn(tx: Transaction, kind: str, people: Mapping[str, bytes], asked: Asked, *, now: datetime) -> None:
    """Freeze and forget what is held of a kind of people who have lost their basis since step 4.

    Their subjects are held by the caller. `people` are subjects by identifier.
    """
    changed = asked.changes.since(tx, asked.moment, list(people.values())) if people else set()
    if not changed:
        return
    again = {text: subject for text, subject in people.items() if subject in changed}
    bases = asked.basis_of(kind, list(again), asked.as_of)
    bare = [UUID(bytes=subject) for subject, basis in zip(again.values(), bases, strict=True) if basis is None]
    if bare:
        store.freeze(tx, bare, kind, now=now)
        quarantine.forget(tx, bare, kind)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk that is prepared: of which people it is, by identifier, and of how many rows."""

    staging: store.Staging
    people: Mapping[str, bytes]
    rows: int


class Pipeline:
    """Stages the chunks of one table. A context: what it started has ended when the block ends."""

    def __init__(  # what it rests on is handed in
        self,
        database: Database,
        sealing: Sealing,
        stager: store.Stager,
        workers: Workers,
        outcome: TableOutcome,
        asked: Asked,
        now: datetime,
    ) -> None:
        """Take what chunks are staged with; nothing is started yet."""
        self._database, self._sealing, self._stager, self._workers = database, sealing, stager, workers
        self._outcome, self._kind, self._asked, self._now = outcome, str(outcome.kind), asked, now
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        """Start the workers and the two threads beside this one."""
        held = self._outcome.counts.get("accepted", 0) + self._outcome.counts.get("warned", 0)
        self._writer = self._ends.enter_context(ThreadPoolExecutor(1, "intake-writer"))
        self._preparer = self._ends.enter_context(ThreadPoolExecutor(1, "intake-preparer"))
        self._executor: Executor = self._ends.enter_context(self._workers.executor(held))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what was started; chunks that nobody has begun with are let go of after a failure."""
        if kind is not None:
            self._preparer.shutdown(wait=False, cancel_futures=True)
            self._writer.shutdown(wait=False, cancel_futures=True)
        self._ends.__exit__(kind, error, trace)

    def run(self, chunks: Iterable[pd.DataFrame]) -> Iterator[int]:
        """Stage chunks in their order; give, each time that one is written, of how many rows it was."""
        waiting: deque[Future[int]] = deque()
        for prepared in self._ahead(chunks):
            sealed = self._executor.submit(seal_records, prepared.staging.ready)
            waiting.append(self._writer.submit(self._write, prepared, sealed))
            while len(waiting) > self._workers.ahead + _WRITTEN_BESIDE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _ahead(self, chunks: Iterable[pd.DataFrame]) -> Iterator[_Chunk]:
        """Give chunks prepared, the next one being prepared while whoever takes one seals it."""
        preparing: deque[Future[_Chunk]] = deque()
        for chunk in chunks:
            preparing.append(self._preparer.submit(self._prepare, chunk))
            if len(preparing) > _PREPARED_BESIDE:
                yield preparing.popleft().result()
        while preparing:
            yield preparing.popleft().result()

    def _prepare(self, chunk: pd.DataFrame) -> _Chunk:
        """Find whose the rows are, which of them are new, and the keys of these."""
        named = recording.named(chunk)
        with self._database.transaction() as tx:
            written_later(tx)
            subjects = store.ensure_ids(tx, self._sealing.keyring, named, now=self._now)
            staging = self._stager.prepare(tx, recording.record_columns(chunk, self._outcome, subjects))
        return _Chunk(staging, {text: subjects[text] for text in recording.persons(named)}, len(chunk))

    def _write(self, chunk: _Chunk, coming: Future[Sealed]) -> int:
        """Copy a sealed chunk in, and freeze of it what has lost its basis since step 4."""
        sealed = coming.result()
        with self._database.transaction() as tx:
            written_later(tx)
            store.hold_ids(tx, list(chunk.people.values()))
            self._stager.write(tx, chunk.staging, sealed)
            freeze_withdrawn(tx, self._kind, chunk.people, self._asked, now=self._now)
        self._stager.written(chunk.staging)
        return chunk.rows
