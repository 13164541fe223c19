"""The provider's entrance of the gate: an agency sees the rows that it delivered itself, and nobody else's.

Steps (the numbers are used in the code):
  1. open one transaction
  2. decide: the file was delivered by the caller's own organisation, and its bytes still exist
  3. write to the log that it was opened, by whom and for what: counts only
  4. open the bytes
  5. commit; only then hand them on

A file is weighed in the memory of the process that answers everybody. So of large ones only so many are open at a time;
who asks for one more is asked to come again, and a stolen key cannot stop the gate.

A file of another organisation and no file at all are one answer. What comes out is what the agency sent, weighed as if
everybody in it had consented (`connectors.apparent`): it says nothing of what is held, of whom or for whom.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from threading import BoundedSemaphore
from typing import Final
from uuid import UUID

from connectors import apparent, every_fault, mending, rawfiles
from connectors.errors import BytesDestroyed
from connectors.every_fault import Marked
from connectors.mending import OwnBatch
from connectors.mends import Mends
from connectors.normalise import TableOutcome
from connectors.rawfiles import RawFile
from exchange.errors import OutOfService, RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.guard import Caller
from registry import clock, log

LARGE_BYTES: Final = 16 << 20
LARGE_AT_ONCE: Final = 3  # open in one process
_PATIENCE_SECONDS: Final = 2.0
_large: Final = BoundedSemaphore(LARGE_AT_ONCE)


class For(StrEnum):
    """What an agency opens its own file for."""

    ANNOTATING = "annotating"
    LOOKING = "looking"
    DECIDING = "deciding"
    MAPPING = "mapping"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Provided:
    """A file that its agency opened: what it says of its batch, the bytes, and how they look to the sender."""

    batch: OwnBatch
    file: RawFile
    raw: bytes = field(repr=False)
    mended: Mapping[str, Mends] = field(repr=False)

    @property
    def as_of(self) -> date:
        """The day the file came: what it is weighed for."""
        return self.file.as_of or clock.beijing_day(clock.now())

    def weighed(self, more: Mapping[str, Mends] | None = None) -> Sequence[TableOutcome]:
        """Weigh the file as if everybody had consented, with what was decided, or with `more` in its place."""
        mended = self.mended if more is None else more
        return apparent.evaluate(
            self.raw, self.file.label, as_of=self.as_of, delivery=self.file.delivery, mended=mended
        )

    def marked(self, outcomes: Sequence[TableOutcome]) -> Iterator[Marked]:
        """Give the rows of tables, as they were weighed, that the sender should look at, each with all its faults."""
        return every_fault.marked(
            self.raw, self.file.label, self.file.delivery, outcomes, as_of=self.as_of, mended=self.mended
        )

    def headings(self) -> frozenset[str]:
        """Name the headings of the batch's sheets that a declaration knows."""
        return apparent.headings(self.raw, self.file.label, self.file.delivery, self.batch.kind)


def provide(home: Home, caller: Caller, batch_id: UUID, *, purpose: For) -> Provided:
    """Open a batch's file for the organisation that delivered it.

    Raises:
        RequestRefused: no batch of this organisation has this id (`batch-unknown`), or the bytes are gone
            (`bytes-destroyed`).
        OutOfService: as many large files as may be are open just now.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        own = mending.own_batch(tx, batch_id, caller.org_code)
        size = rawfiles.bytes_of(tx, own.raw_id) if own else 0
    let_go = _room(size)
    try:
        provided = _opened(home, caller, batch_id, purpose, now)
    except BaseException:
        let_go()
        raise
    weakref.finalize(provided, let_go)  # the room is taken for as long as somebody holds the file
    return provided


def _room(size: int) -> Callable[[], None]:
    """Take room for a file, where it needs some; give what lets go of it."""
    if size < LARGE_BYTES:
        return lambda: None
    if not _large.acquire(timeout=_PATIENCE_SECONDS):
        raise OutOfService("other large files are being looked at; try again in a moment")
    return _large.release


def _opened(home: Home, caller: Caller, batch_id: UUID, purpose: For, now: datetime) -> Provided:
    try:
        with home.database.transaction() as tx:  # 1, 5
            batch = mending.own_batch(tx, batch_id, caller.org_code)  # 2
            file = rawfiles.by_id(tx, batch.raw_id) if batch else None
            if batch is None or file is None:
                raise RequestRefused("batch-unknown")
            if file.destroyed:
                raise RequestRefused("bytes-destroyed")
            fields = {"batch_id": str(batch_id), "purpose": purpose.value, "raw_sha256": file.sha256.hex()}
            log.append(tx, [log.Entry(event=Event.PROVIDER_OPENED, at=now, actor=caller.client_id, fields=fields)])  # 3
            raw = rawfiles.read(home.raw, home.sealing, file)  # 4
        return Provided(batch, file, raw, mending.mended_of(home.database, home.sealing)(file.raw_id))
    except BytesDestroyed as error:
        raise RequestRefused("bytes-destroyed") from error
