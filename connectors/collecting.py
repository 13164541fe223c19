"""One run of one feed: from an agency's system to published records.

Steps (the numbers are used in the code; `at_step` is told of each, so that tests can break off there):
  1. hold the feed: one run at a time
  2. fetch one document, into a sealed spool (transports)
  3. hand it to the intake, which keeps, reads, checks and publishes it
  4. write down how far the feed has been read, in one transaction: position, file, whom it was asked about
  5. tell the transport, which may put the file away; then the next document

Step 4 comes after 3, so that a crash in between reads the same again, which changes nothing (`intake`); never the
other way round, which would lose it. Rows over an interface that are blocked whole leave the position where it was:
the same is asked for again when the agency has mended it. A file that is blocked is settled: its agency sends another.

Whom a filtered feed was asked about is kept as keyed hashes only. Somebody new is asked about from the beginning,
everybody else since the watermark; who is not asked about any more is forgotten, and so is new on coming back. An
agency may still keep somebody under the 15 digits of before 1999: it is asked about both.

What fails is raised as SourceUnavailable, SourceRefused or LimitExceeded.

Not here: when a run begins, and when a source that fails is left alone (`schedule`, `breaker`; `runs` counts).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from time import monotonic, sleep
from typing import Final

from psycopg.types.json import Jsonb

from connectors import transports
from connectors.credentials import Credentials
from connectors.delivery import Channel, Delivery
from connectors.errors import IntakeBusy, SourceRefused
from connectors.feed import Feed, kinds_of
from connectors.intake import Intake, Taken
from connectors.protocols import RestTransport, SqlTransport
from connectors.transports.line import Arrival, Asked, FileMark, Line, Meter, Position, Settled, Sight, forms
from registry import clock
from registry.database import Transaction
from registry.keyring import Purpose
from registry.suites import hmac_sha256, hmac_sha256_each

PeopleOf = Callable[[str], Iterator[Sequence[str]]]
_LOCK_SPACE: Final = 7_118_501  # of pg_try_advisory_xact_lock(space, feed)
_CHANNELS: Final = {"rest": Channel.REST, "sql": Channel.SQL, "sftp": Channel.SFTP, "folder": Channel.FOLDER}
_GROUP: Final = 500  # people asked about at once, where the transport does not say


class Step(StrEnum):
    """Where `at_step` is called: after the act named."""

    HELD = "1 feed held"
    FETCHED = "2 document fetched"
    TAKEN = "3 document taken in"
    MOVED = "4 position written"
    SETTLED = "5 transport told"


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run brought. `watermark` is how far the feed has been read; `error` a code where something was blocked.

    `rows` and `bytes` are as fetched; `files` documents that came; `taken` tables of them that were recognised.
    """

    rows: int = 0
    bytes: int = 0
    files: int = 0
    taken: int = 0
    watermark: str | None = None
    error: str | None = None


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Patience:
    """How a run waits and measures time: the real ones, but for tests."""

    sleep: Callable[[float], None] = sleep
    monotonic: Callable[[], float] = monotonic
    now: Callable[[], datetime] = clock.now
    at_step: Callable[[Step], None] = field(default=_nothing, repr=False)


def collect(  # what it rests on is handed in
    intake: Intake,
    feed: Feed,
    *,
    credentials: Credentials,
    people: PeopleOf | None,
    now: datetime,
    as_of: date,
    patience: Patience = Patience(),  # a frozen value
) -> Collected:
    """Run a feed once.

    Raises:
        SourceUnavailable: it does not answer; `retry_after` says for how long it asks to be left alone.
        SourceRefused: what it answers cannot be taken.
        LimitExceeded: it gives more than the feed allows.
        IntakeBusy: the feed is being collected by another process, or another takes in the same file.
    """
    with _held(intake, feed):  # 1
        patience.at_step(Step.HELD)
        return _Run(intake, feed, credentials, people, now, as_of, patience).run()


def check(intake: Intake, feed: Feed, *, credentials: Credentials, now: datetime) -> Sight:
    """Connect to a source and say what is seen: nothing is taken in, nobody is asked about.

    Raises:
        SourceUnavailable, SourceRefused, LimitExceeded: what would stop a run.
    """
    noted: list[SourceRefused] = []
    once = feed.model_copy(update={"retry": feed.retry.model_copy(update={"attempts": 1})})
    sight = transports.look(_line(intake, once, credentials, now, Patience(), noted))
    return replace(sight, faults=tuple(one.fault for one in noted))


def position_of(tx: Transaction, feed: str) -> tuple[Position, datetime] | None:
    """Give how far a feed has been read and since when from the beginning; None if never."""
    return tx.execute("SELECT position, begun_at FROM feed_position WHERE feed = %s", (feed,)).fetchone()


def forget(tx: Transaction, feed: str) -> None:
    """Forget how far a feed has been read: its next run reads everything. Files stay settled."""
    tx.execute("DELETE FROM feed_position WHERE feed = %s", (feed,))
    tx.execute("DELETE FROM feed_asked WHERE feed = %s", (feed,))


class _Run:
    """One run: what it counts, and whom it asks about."""

    def __init__(
        self,
        intake: Intake,
        feed: Feed,
        credentials: Credentials,
        people: PeopleOf | None,
        now: datetime,
        as_of: date,
        patience: Patience,
    ) -> None:
        self._intake, self._feed, self._now, self._as_of, self._patience = intake, feed, now, as_of, patience
        self._noted: list[SourceRefused] = []
        self._asked: list[bytes] = []
        with intake.database.transaction() as tx:
            found = position_of(tx, feed.feed)
        self._begun_at = found[1] if found else now
        self._anew = found is None or (feed.anew is not None and now - found[1] >= feed.anew)
        if self._anew:
            self._begun_at = now
        self._position: Position = {} if self._anew or found is None else found[0]
        line = _line(intake, feed, credentials, now, patience, self._noted)
        self._line = replace(line, position=self._position, people=self._groups(people))
        self._done = Collected(watermark=_watermark(self._position))

    def run(self) -> Collected:
        """Steps 2 to 5 for each document."""
        for arrival in transports.fetch(self._line):
            with arrival.body:
                self._patience.at_step(Step.FETCHED)
                self._settle(arrival)
        if self._noted and self._done.error is None:
            self._done = replace(self._done, error=self._noted[0].fault)
        return self._done

    def _settle(self, arrival: Arrival) -> None:
        taken = self._take(arrival) if arrival.rows or arrival.position is None else []
        self._patience.at_step(Step.TAKEN)
        settled = _settled(taken)
        blocked = settled.fault if arrival.rows or arrival.position is None else ""
        self._note(arrival, blocked)
        self._patience.at_step(Step.MOVED)
        arrival.settled(settled)
        self._patience.at_step(Step.SETTLED)
        moved = arrival.position is not None and not blocked
        before = self._done
        self._done = Collected(
            rows=before.rows + (arrival.rows or settled.rows),
            bytes=before.bytes + arrival.body.size,
            files=before.files + 1,
            taken=before.taken + settled.taken,
            watermark=_watermark(arrival.position or {}) if moved else before.watermark,
            error=before.error or blocked or None,
        )

    def _take(self, arrival: Arrival) -> list[Taken]:
        """Step 3."""
        feed = self._feed
        delivery = Delivery(channel=_CHANNELS[feed.transport.kind], agency=feed.agency, source=feed.source)
        return self._intake.take(arrival.body, arrival.name, as_of=self._as_of, delivery=delivery)

    def _note(self, arrival: Arrival, blocked: str) -> None:
        """Step 4."""
        feed, now = self._feed.feed, self._patience.now()
        with self._intake.database.transaction() as tx:
            if arrival.file is not None:
                tx.execute(
                    "INSERT INTO feed_file (feed, mark, sha256, fault, settled_at) VALUES (%s, %s, %s, %s, %s)"
                    " ON CONFLICT (feed, mark) DO UPDATE SET fault = excluded.fault, settled_at = excluded.settled_at",
                    (feed, self._mark(arrival.file), arrival.body.sha256, blocked, now),
                )
            if arrival.position is None or blocked:
                return
            tx.execute(
                "INSERT INTO feed_position (feed, position, begun_at, moved_at) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (feed) DO UPDATE SET position = excluded.position, begun_at = excluded.begun_at,"
                " moved_at = excluded.moved_at",
                (feed, Jsonb(dict(arrival.position)), self._begun_at, now),
            )
            if self._line.people is not None:
                self._remember_asked(tx, now)

    # ---- files ------------------------------------------------------------------------------------------------------

    def _mark(self, file: FileMark) -> bytes:
        return _mark(self._intake, self._feed, file)

    # ---- people -----------------------------------------------------------------------------------------------------

    def _groups(self, people: PeopleOf | None) -> Callable[[], Iterator[Asked]] | None:
        """Give the people to ask about, known ones and new ones apart, in groups as large as the transport says."""
        feed = self._feed
        if feed.filter is None:
            return None
        if people is None:
            raise ValueError("a feed that filters needs to be told whom to ask about")
        (kind,) = kinds_of(feed)
        size = _group_size(feed)

        def groups() -> Iterator[Asked]:
            self._asked.clear()
            for page in people(kind):
                for first in range(0, len(page), size):
                    yield from self._apart(page[first : first + size], size)

        return groups

    def _apart(self, identifiers: Sequence[str], size: int) -> Iterator[Asked]:
        secret = self._intake.sealing.keyring.symmetric(Purpose.MAC).secret
        start = f"asked|{self._feed.feed}|".encode()
        marks = hmac_sha256_each(secret, [start + one.encode() for one in identifiers])
        with self._intake.database.transaction() as tx:
            rows = tx.execute(
                "SELECT mark FROM feed_asked WHERE feed = %s AND mark = ANY(%s)", (self._feed.feed, marks)
            ).fetchall()
        known = set() if self._anew else {bytes(mark) for (mark,) in rows}
        self._asked += marks
        for anew in (False, True):
            chosen = [one for one, mark in zip(identifiers, marks, strict=True) if (mark not in known) == anew]
            yield from (Asked(group, anew) for group in _in_groups(chosen, size))

    def _remember_asked(self, tx: Transaction, now: datetime) -> None:
        feed = self._feed.feed
        tx.execute(
            "INSERT INTO feed_asked (feed, mark, asked_at) SELECT %s, m, %s FROM unnest(%b::bytea[]) AS m"
            " ON CONFLICT (feed, mark) DO UPDATE SET asked_at = excluded.asked_at",
            (feed, now, list(dict.fromkeys(self._asked))),
        )
        tx.execute("DELETE FROM feed_asked WHERE feed = %s AND asked_at < %s", (feed, now))


# ---- around a run ---------------------------------------------------------------------------------------------------


def _line(
    intake: Intake, feed: Feed, credentials: Credentials, now: datetime, patience: Patience, noted: list[SourceRefused]
) -> Line:
    def seen(file: FileMark) -> bool:
        if feed.transport.kind == "folder":
            return False  # what lies in it has not been put away yet
        with intake.database.transaction() as tx:
            mark = _mark(intake, feed, file)
            return bool(tx.execute("SELECT FROM feed_file WHERE feed = %s AND mark = %s", (feed.feed, mark)).fetchall())

    return Line(
        feed=feed,
        secret=credentials.get(feed.feed) if feed.transport.needs_secret else None,
        position={},
        began=now,
        meter=Meter(feed.limits, patience.monotonic),
        folder=intake.folder.parent / "spool",
        seen=seen,
        noted=noted.append,
        sleep=patience.sleep,
    )


def _group_size(feed: Feed) -> int:
    """Say about how many people a source is asked at once."""
    transport = feed.transport
    if isinstance(transport, SqlTransport):
        return transport.chunk
    return transport.people.size if isinstance(transport, RestTransport) and transport.people else _GROUP


def _in_groups(people: Sequence[str], size: int) -> Iterator[list[str]]:
    """Give the numbers of people in all their forms, `size` at most at once; the forms of one together if they fit."""
    group: list[str] = []
    for person in people:
        written = forms(person)
        for part in [written] if len(written) <= size else [(form,) for form in written]:
            if len(group) + len(part) > size:
                yield group
                group = []
            group += part
    if group:
        yield group


def _mark(intake: Intake, feed: Feed, file: FileMark) -> bytes:
    secret = intake.sealing.keyring.symmetric(Purpose.MAC).secret
    return hmac_sha256(secret, f"file|{feed.feed}|{file.text}".encode())


def _settled(taken: Sequence[Taken]) -> Settled:
    """Count what became of a document's tables."""
    counts: dict[str, int] = {}
    codes: dict[str, int] = {}
    for one in taken:
        for end, number in one.outcome.counts.items():
            counts[end] = counts.get(end, 0) + number
        for told in one.outcome.codes.values():
            for code, number in told.items():
                codes[code] = codes.get(code, 0) + number
    blocked = next((one.outcome.blocked for one in taken if one.outcome.blocked), None) or ""
    return Settled(sum(one.outcome.rows for one in taken), len(taken), blocked, counts, codes)


def _watermark(position: Position) -> str | None:
    value = position.get("since") or position.get("changed_at")
    return str(value) if value else None


@contextmanager
def _held(intake: Intake, feed: Feed) -> Iterator[None]:
    """Step 1: hold a feed for as long as its run lasts; a process that dies lets go of it."""
    number = int.from_bytes(hmac_sha256(b"feed", feed.feed.encode())[:4], signed=True)
    with intake.database.transaction() as guard:
        held = guard.execute("SELECT pg_try_advisory_xact_lock(%s::int, %s::int)", (_LOCK_SPACE, number)).fetchone()
        if held != (True,):
            raise IntakeBusy("another process is collecting from this feed; try again when it has ended")
        yield
