"""What an intake costs: CPU of our process by part, and of the database server.

CPU is the same on a busy machine, or nearly; wall time is not. Threads are timed each by its own clock. The server's is
what the kernel counts for the postmaster's children, those that have ended included: background writers and
autovacuum too.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final
from unittest import mock

from connectors import batches, normalise, recording
from connectors import staging as beside
from connectors.settling import Settling
from exchange import consents
from registry import staging, store
from registry.database import Database
from registry.datakeys import DataKeys

_PARENT: Final = 1
_OWN: Final = (11, 12)  # clock ticks in user and in system mode
_OF_ENDED: Final = (13, 14)  # the same, of children that were waited for


@dataclass
class Parts:
    """CPU seconds of our process spent in each part that is timed, in whichever thread."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Add up the CPU time of every call."""

        @wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.thread_time() - began

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the parts of intake while the block runs."""
        watched = [
            ("evaluate", normalise, "evaluate"),
            ("basis", consents, "basis_of"),
            ("mark", batches, "mark_of"),
            ("subjects", store, "ensure_ids"),
            ("records", recording, "record_columns"),
            ("prepare", store.Stager, "prepare"),
            ("written", staging, "Written"),
            ("keys", DataKeys, "ensure_ids"),
            ("seal", beside, "seal_records"),
            ("write", beside.Pipeline, "_write"),
            ("publish", Settling, "_publish"),
        ]
        with ExitStack() as stack:
            for name, owner, attribute in watched:
                timed = self.timed(name, getattr(owner, attribute))
                stack.enter_context(mock.patch.object(owner, attribute, timed))
            yield

    def lines(self, rows: int, seconds: float) -> list[str]:
        """Say what each part takes, in microseconds of CPU a row, once each, in their order."""
        took = defaultdict(float, {name: 1e6 * spent / rows for name, spent in self.seconds.items()})
        parts = {
            "read, normalise, validate": took["evaluate"] - took["basis"],
            "consents": took["basis"],
            "mark of the evaluation": took["mark"],
            "subjects": took["subjects"],
            "rows to columns": took["records"],
            "canonical values": took["written"],
            "data keys": took["keys"],
            "identities, what stands, versions": took["prepare"] - took["written"] - took["keys"],
            "commit, seal, rows of COPY": took["seal"],
            "hold, COPY, look for changes": took["write"],
            "publish": took["publish"],
        }
        parts["the rest"] = 1e6 * seconds / rows - sum(parts.values())
        return [f"    {name:38} {micros:6.1f} µs a row" for name, micros in parts.items()]


def server_seconds(database: Database) -> float:
    """CPU seconds of a database server on this machine, all its processes together, up to now."""
    with database.transaction() as tx:
        (backend,) = tx.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    (postmaster,) = _stat(backend, _PARENT)
    running = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
    ticks = sum(sum(_stat(pid, *_OWN)) for pid in map(int, running)) + sum(_stat(postmaster, *_OWN, *_OF_ENDED))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int, *fields: int) -> list[int]:
    """Read fields of proc_pid_stat(5), counted from the one behind the name; noughts of a process that has ended."""
    try:
        behind = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return [0] * len(fields)  # its parent counts it
    return [int(behind[field]) for field in fields]
