"""What a transport is handed, and what it hands back; the limits of one run.

A transport yields arrivals one by one. It learns by being asked for the next one that the last has been settled: its
data published, or blocked, and its position written down if it may be.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.credentials import Secret
from connectors.errors import LimitExceeded, SourceRefused
from connectors.feed import Feed, Limits
from connectors.spool import Spool
from registry.canonical import JSON
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId, normalise

SAMPLE_ROWS: Final = 20
Position = Mapping[str, JSON]
People = Callable[[], Iterator["Asked"]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A group of people to ask a source about. `anew`: from the beginning, since it was never asked about them.

    `identifiers` has somebody under each form of the number that an agency may keep (`forms`).
    """

    identifiers: Sequence[str]
    anew: bool

    def __repr__(self) -> str:
        """Show how many they are; not who."""
        return f"Asked({len(self.identifiers)}, anew={self.anew})"


def forms(identifier: str) -> tuple[str, ...]:
    """Give a person's number in every form that an agency may keep it in: as it is, and of 15 digits if it had those.

    An identifier that is no resident's number has the one form.
    """
    try:
        old = ResidentId.parse(identifier).old_form
    except MalformedIdentifier:
        old = None
    return (identifier,) if old is None else (identifier, old)


def folded(identifier: str) -> str:
    """Write an agency's identifier so that the forms of one number compare equal."""
    text = normalise(identifier)
    try:
        return ResidentId.parse(text).text
    except MalformedIdentifier:
        return text


@dataclass(frozen=True, slots=True)
class FileMark:
    """By what a file of a feed is known again: name, size, time of change (as its server says it)."""

    name: str
    size: int
    changed: float

    @property
    def text(self) -> str:
        """The mark as one text, to be hashed under a key."""
        return f"{self.name}|{self.size}|{self.changed:.3f}"


class Meter:
    """Holds one run to the limits of its feed while bytes and rows come in."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits, self._monotonic, self._began = limits, monotonic, monotonic()
        self.bytes = self.rows = 0

    def add(self, *, size: int = 0, rows: int = 0) -> None:
        """Count what came.

        Raises:
            LimitExceeded: it is more than the feed allows, or took longer.
        """
        self.bytes += size
        self.rows += rows
        if self.bytes > self._limits.bytes:
            raise LimitExceeded("TOO_MANY_BYTES", f"limits.bytes {self._limits.bytes}")
        if self.rows > self._limits.rows:
            raise LimitExceeded("TOO_MANY_ROWS", f"limits.rows {self._limits.rows}")
        if self._monotonic() - self._began > self._limits.seconds:
            raise LimitExceeded("TOO_LONG", f"limits.seconds {self._limits.seconds}")

    @property
    def seconds_left(self) -> float:
        """How much of the run's time is left, never less than a moment."""
        return max(self._limits.seconds - (self._monotonic() - self._began), 0.1)


@dataclass(frozen=True, slots=True)
class Line:
    """One run of a feed as its transport sees it.

    `position` is what it left behind last time; `people` gives the people to ask about, None where the feed does not
    filter; `seen` says whether a file was settled before; `began` is the moment of the run; `noted` takes faults that
    concern one file only.
    """

    feed: Feed
    secret: Secret | None
    position: Position
    began: datetime
    meter: Meter
    folder: Path
    people: People | None = None
    seen: Callable[[FileMark], bool] = lambda _: False
    noted: Callable[[SourceRefused], None] = lambda _: None
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def spool(self) -> Spool:
        """Give a place for what comes."""
        return Spool(self.folder)

    def need_secret(self) -> Secret:
        """Give the credential.

        Raises:
            SourceRefused: none is kept.
        """
        if self.secret is None:
            raise SourceRefused("CREDENTIAL_MISSING")
        return self.secret


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an arrival: `taken` tables, `blocked` the code of the first that was, "" if none was."""

    rows: int
    taken: int
    blocked: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)

    @property
    def fault(self) -> str:
        """Why it was not taken, "" if it was."""
        return self.blocked or ("" if self.taken else "NO_TABLE")


def _settled_by_position(_: Settled) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One document that came.

    `position` is where the feed stands once it is published, None where files are remembered one by one; `file` is
    the mark of a file. `settled` is told what became of it, after that is durable.
    """

    name: str
    body: Spool
    rows: int = 0
    position: Position | None = None
    file: FileMark | None = None
    settled: Callable[[Settled], None] = field(default=_settled_by_position, repr=False)


@dataclass(frozen=True, slots=True)
class Sight:
    """What `check` sees of a source without taking anything in: counts and names of columns, no row."""

    reached: str
    rows: int = 0
    columns: tuple[str, ...] = ()
    files: int = 0
    faults: tuple[str, ...] = ()
