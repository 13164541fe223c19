"""What is kept of feeds and their runs. Thin: what is to be done is decided in `schedule`, how it fares in `health`.

Steps of a run (the numbers are used in `exchange.feeds`):
  1. `begin` inserts its row, durable before anything is asked of the source. UNIQUE (feed, scheduled_for) lets one
     process have it, and one running row a feed keeps runs of a feed apart
  2. the run
  3. `finish` says how it ended, and what follows: when it is tried again, from when it is late, how the feed fares

A run whose process died is found by whoever leads, and `lose` ends it. What `finish` finds ended it leaves so.

How a feed fares is kept as rows that are added and never changed. A row holds from SETTLING after it was written, so
that it has committed by the moment that it speaks of: whoever asks about a moment that has passed gets the same answer
whenever it is asked, now or when an answer is opened again. Lateness needs no row: each row says from when on it is
late if nothing else is written, so that a source is late on time even if no process runs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from connectors.breaker import Breaker, rest
from connectors.health import Health, RunError, RunState, standing
from connectors.schedule import Due, Occasion, Past, Timetable
from registry.database import Transaction

SETTLING: Final = timedelta(seconds=2)
_PARTIAL: Final = """
SELECT kind, min(CASE WHEN h.state = 'blocked' THEN 'blocked' WHEN h.error IS NOT NULL THEN 'failing' ELSE 'late' END)
FROM feed_state s
CROSS JOIN LATERAL (
    SELECT state, error, late_from, kinds FROM feed_health
    WHERE feed = s.feed AND at <= %(at)s ORDER BY change_no DESC LIMIT 1
) h
CROSS JOIN LATERAL unnest(h.kinds) AS kind
WHERE h.error IS NOT NULL OR h.late_from <= %(at)s
GROUP BY kind ORDER BY kind
"""
_STANDING: Final = """
SELECT s.feed, s.number, s.source, s.agency, s.kinds, s.timetable, s.known_since, s.retired_at, s.paused_at,
    s.paused_by, s.failures, s.error, s.needs_somebody, s.retry_at, s.not_before, s.last_good, s.late_from,
    (SELECT max(scheduled_for) FROM feed_run r WHERE r.feed = s.feed AND r.scheduled_for <= %(now)s),
    EXISTS (SELECT FROM feed_run r WHERE r.feed = s.feed AND r.state = 'running')
FROM feed_state s
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a feed's file says of it. `timetable` is None for a feed that is run by hand only."""

    feed: str
    source: str
    agency: str
    kinds: tuple[str, ...]
    timetable: Timetable | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One feed as it stands: its row, the newest time that was run and is not after now, and whether it runs."""

    feed: str
    number: int
    source: str
    agency: str
    kinds: tuple[str, ...]
    timetable: str
    known_since: datetime
    retired_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    failures: int
    error: str | None
    needs_somebody: bool
    retry_at: datetime | None
    not_before: datetime | None
    last_good: datetime | None
    late_from: datetime | None
    last_time: datetime | None
    running: bool

    @property
    def past(self) -> Past:
        """What decides when it runs next."""
        return Past(self.known_since, self.last_time, self.retry_at, self.breaker)

    @property
    def breaker(self) -> Breaker:
        """Whether its source may be asked."""
        return Breaker(self.failures, self.not_before)

    @property
    def health(self) -> Health:
        """How it fares, lateness left aside."""
        return standing(
            retired=self.retired_at is not None,
            paused=self.paused_at is not None,
            error=self.error,
            needs_somebody=self.needs_somebody,
            good=self.last_good is not None,
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `error` None: it succeeded. `wait` is what the source asked for."""

    error: str | None = None
    needs_somebody: bool = False
    wait: timedelta | None = None
    rows: int = 0
    bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it was begun."""

    run_id: UUID
    feed: str
    scheduled_for: datetime
    occasion: Occasion
    started_at: datetime


# ---- feeds ----------------------------------------------------------------------------------------------------------


def declare(tx: Transaction, declared: Sequence[Declared], *, now: datetime, kept: Collection[str] = ()) -> None:
    """Take over what the files say: new feeds, changed ones, and those whose file is gone and that are not `kept`.

    A feed whose times changed while it was late stays late until a run succeeds.
    """
    known = all_standing(tx, now=now)
    for one in declared:
        before = known.get(one.feed)
        text = one.timetable.text if one.timetable else ""
        said = (one.source, one.agency, list(one.kinds), text)
        if before is None:
            tx.execute(_INSERT_FEED, (one.feed, *said, now, _late_from(one.timetable, now)))
        elif before.retired_at is not None or said != (before.source, before.agency, [*before.kinds], before.timetable):
            late = before.late_from if _stays_late(before, text, now) else None
            late = late or _late_from(one.timetable, now)
            tx.execute(_CHANGE_FEED, (*said, late, one.feed))
        else:
            continue
        _note(tx, one.feed, now=now)
    for feed in sorted(known.keys() - {one.feed for one in declared} - set(kept)):
        if known[feed].retired_at is None:
            tx.execute(_RETIRE_FEED, (now, feed))
            _note(tx, feed, now=now)


_INSERT_FEED: Final = (
    "INSERT INTO feed_state (feed, source, agency, kinds, timetable, known_since, failures, needs_somebody, late_from)"
    " VALUES (%s, %s, %s, %s, %s, %s, 0, false, %s) ON CONFLICT DO NOTHING"
)
_CHANGE_FEED: Final = (
    "UPDATE feed_state SET source = %s, agency = %s, kinds = %s, timetable = %s, late_from = %s, retired_at = NULL"
    " WHERE feed = %s"
)
_RETIRE_FEED: Final = (
    "UPDATE feed_state SET retired_at = %s, late_from = NULL, error = NULL, failures = 0, needs_somebody = false,"
    " retry_at = NULL, not_before = NULL WHERE feed = %s"
)


def _stays_late(before: Standing, timetable: str, now: datetime) -> bool:
    return before.late_from is not None and (before.timetable == timetable or before.late_from <= now)


def _late_from(timetable: Timetable | None, good: datetime) -> datetime | None:
    return None if timetable is None else timetable.late_from(good)


def all_standing(tx: Transaction, *, now: datetime) -> dict[str, Standing]:
    """Give every feed that was ever known, as it stands."""
    rows = tx.execute(_STANDING, {"now": now}).fetchall()
    return {row[0]: Standing(*_values(row)) for row in rows}


def _values(row: Sequence[Any]) -> list[Any]:
    return [tuple(value) if isinstance(value, list) else value for value in row]


def pause(tx: Transaction, feed: str, *, by: str, now: datetime) -> bool:
    """Pause a feed until it is resumed; a run that is on goes to its end. Say whether it was not paused before."""
    done = tx.execute(
        "UPDATE feed_state SET paused_at = %s, paused_by = %s WHERE feed = %s AND paused_at IS NULL", (now, by, feed)
    )
    if done.rowcount:
        _note(tx, feed, now=now)
    return bool(done.rowcount)


def resume(tx: Transaction, feed: str, *, now: datetime) -> bool:
    """Let a paused feed run again; what it missed is caught up once. Say whether it was paused."""
    done = tx.execute(
        "UPDATE feed_state SET paused_at = NULL, paused_by = NULL WHERE feed = %s AND paused_at IS NOT NULL", (feed,)
    )
    if done.rowcount:
        _note(tx, feed, now=now)
    return bool(done.rowcount)


# ---- runs -----------------------------------------------------------------------------------------------------------


def begin(tx: Transaction, feed: str, due: Due, *, now: datetime) -> Run | None:
    """Insert a run's row; None if the time was run already, or if the feed runs (step 1)."""
    run = Run(uuid4(), feed, due.scheduled_for, due.occasion, now)
    inserted = tx.execute(
        "INSERT INTO feed_run (run_id, feed, scheduled_for, occasion, state, started_at, rows, bytes, files)"
        " SELECT %s, feed, %s, %s, %s, %s, 0, 0, 0 FROM feed_state"
        " WHERE feed = %s AND paused_at IS NULL AND retired_at IS NULL ON CONFLICT DO NOTHING",
        (run.run_id, due.scheduled_for, due.occasion.value, RunState.RUNNING.value, now, feed),
    )
    if not inserted.rowcount:
        return None
    tx.execute("UPDATE feed_state SET retry_at = NULL WHERE feed = %s", (feed,))
    return run


def finish(tx: Transaction, run: Run, ended: Ended, timetable: Timetable | None, *, now: datetime) -> bool:
    """Say how a run ended, and what follows from it (step 3). False if it had been given up as lost."""
    state = RunState.SUCCEEDED if ended.error is None else RunState.FAILED
    done = tx.execute(
        "UPDATE feed_run SET state = %s, ended_at = %s, error = %s, rows = %s, bytes = %s, files = %s"
        " WHERE run_id = %s AND state = %s",
        (state.value, now, ended.error, ended.rows, ended.bytes, ended.files, run.run_id, RunState.RUNNING.value),
    )
    if not done.rowcount:
        return False
    if ended.error is None:
        late = _late_from(timetable, max(run.scheduled_for, run.started_at))
        tx.execute(
            "UPDATE feed_state SET failures = 0, error = NULL, needs_somebody = false, retry_at = NULL,"
            " not_before = NULL, last_good = %s, late_from = %s WHERE feed = %s",
            (now, late, run.feed),
        )
        _note(tx, run.feed, now=now)
    else:
        _failed(tx, run.feed, ended, now=now)
    return True


def running(tx: Transaction) -> list[tuple[Run, int]]:
    """Give the runs that have not ended, each with the number of its feed."""
    rows = tx.execute(
        "SELECT r.run_id, r.feed, r.scheduled_for, r.occasion, r.started_at, s.number FROM feed_run r"
        " JOIN feed_state s USING (feed) WHERE r.state = %s",
        (RunState.RUNNING.value,),
    ).fetchall()
    return [(Run(row[0], row[1], row[2], Occasion(row[3]), row[4]), row[5]) for row in rows]


def lose(tx: Transaction, run: Run, *, now: datetime) -> bool:
    """End a run whose process died; it is caught up once, at once. False if it has ended in the meantime.

    A run that was itself such a second try waits as any failure does, so that what kills its process does not do so
    for ever.
    """
    done = tx.execute(
        "UPDATE feed_run SET state = %s, ended_at = %s, error = %s WHERE run_id = %s AND state = %s",
        (RunState.LOST.value, now, RunError.RUN_LOST.value, run.run_id, RunState.RUNNING.value),
    )
    if not done.rowcount:
        return False
    again = run.occasion is Occasion.RETRIED
    _failed(tx, run.feed, Ended(RunError.RUN_LOST), now=now, at_once=not again)
    return True


def _failed(tx: Transaction, feed: str, ended: Ended, *, now: datetime, at_once: bool = False) -> None:
    row = tx.execute("SELECT failures FROM feed_state WHERE feed = %s FOR UPDATE", (feed,)).fetchone()
    breaker = Breaker(row[0] if row else 0).failed(now, wait=ended.wait)
    retry = now if at_once else now + rest(breaker.failures, wait=ended.wait)
    tx.execute(
        "UPDATE feed_state SET failures = %s, error = %s, needs_somebody = %s, retry_at = %s, not_before = %s"
        " WHERE feed = %s",
        (
            *(breaker.failures, ended.error, ended.needs_somebody),
            *(None if ended.needs_somebody else retry, breaker.open_until, feed),
        ),
    )
    _note(tx, feed, now=now)


# ---- how feeds fare -------------------------------------------------------------------------------------------------


def partial_kinds(tx: Transaction, at: datetime) -> Mapping[str, str]:
    """Give the kinds of which something may be missing as of a moment, and why: `blocked`, `failing` or `late`.

    The same for the same moment whenever it is asked, once that has passed.
    """
    return dict(tx.execute(_PARTIAL, {"at": at}).fetchall())


def _note(tx: Transaction, feed: str, *, now: datetime) -> None:
    """Add a row that says how a feed fares from now on."""
    one = all_standing(tx, now=now)[feed]
    tx.execute(
        "INSERT INTO feed_health (feed, at, state, error, late_from, kinds) VALUES (%s, %s, %s, %s, %s, %s)",
        (feed, now + SETTLING, one.health.value, one.error, one.late_from, list(one.kinds)),
    )
