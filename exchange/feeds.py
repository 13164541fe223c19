"""Feeds are run: by the process that leads, each at its time, once.

Steps, every LOOK_SECONDS (`FeedRuns.look`):
  1. read the feeds' files again if one has changed; a file that is refused leaves its feed as it was
  2. give up runs whose process died: their feed's lock is free, and still is a moment later
  3. begin what is due (`connectors.schedule`), each run in a thread of its own, RUNS_AT_ONCE at most

Steps of a run (those of `connectors.runs`), under the advisory lock of its feed, which dies with this process:
  1. its row is inserted and durable: of several processes one gets it
  2. the source is asked and what it gave is taken in
  3. its end is written, and what follows from it; a database that is away for a moment is waited for

What was taken in and not written as ended is taken in again, which changes nothing: intake knows a file by its hashes,
and the watermark moves with the batch. Runs have threads of their own, so that a long one delays no other job.

Not here: when a feed is due (`connectors.schedule`), what a run does (handed in), who leads (`jobs`).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors import feed, runs, schedule, source
from connectors.breaker import State
from connectors.collecting import Collected
from connectors.errors import (
    DeclarationInvalid,
    IntakeBusy,
    LimitExceeded,
    SourceRefused,
    SourceUnavailable,
    StorageFull,
)
from connectors.feed import Feed
from connectors.health import RunError
from connectors.runs import Declared, Ended, Run, Standing
from connectors.schedule import Due, Occasion, Timetable
from exchange.events import Event
from exchange.holding import Held, kept
from exchange.home import Home
from exchange.journal import told
from registry import clock, log
from registry.database import Transaction
from registry.errors import DatabaseUnavailable

FOLDER: Final = "feeds"
LOOK_SECONDS: Final = 1.0
RUNS_AT_ONCE: Final = 4
LOST_AFTER_SECONDS: Final = (
    2.0  # how long a running feed's lock must be free: longer than a lock takes to be taken again
)
FINISH_SECONDS: Final = 120.0  # how long a database is waited for at the end of a run
STOP_SECONDS: Final = 10.0
LOCK_SPACE: Final = 7_118_431  # first half of pg_advisory_lock(space, number of the feed)
_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 14400)

_journal = structlog.get_logger("qingqiao.feeds")

Collect = Callable[[Home, Feed, datetime], Collected]
OnTrial = Callable[[int, datetime], None]


class NotRun(Exception):  # a statement, as the other errors are
    """A run that was asked for by hand and does not begin; the text says why, and what can be done."""


class FeedFiles:
    """The feeds of an installation as their files say, read again when one changes. Not shared between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._feeds: dict[str, Feed] = {}
        self._tables: dict[str, Timetable | None] = {}
        self.refused: dict[str, str] = {}

    def read(self) -> bool:
        """Read the files if one has changed since; say whether that was so."""
        seen = self._stamps()
        if seen == self._seen:
            return False
        read: dict[str, Feed] = {}
        self.refused = {}
        for name, _, _ in seen:
            stem = name.removesuffix(feed.SUFFIX)
            try:
                one = feed.read(name, (self._folder / name).read_bytes(), source.current())
                read[stem], self._tables[stem] = one, _timetable(one)
            except (DeclarationInvalid, OSError) as error:
                self.refused[stem] = str(error) if isinstance(error, DeclarationInvalid) else f"feeds/{name}: 无法读取"
                _tell("feeds:file:refused", stem)
                if stem in self._feeds:
                    read[stem] = self._feeds[stem]
        self._feeds, self._seen = read, seen
        return True

    def get(self, name: str) -> Feed | None:
        """Return a feed by its code."""
        return self._feeds.get(name)

    def timetable(self, name: str) -> Timetable | None:
        """Return when a feed is due; None for one that is run by hand only."""
        return self._tables.get(name)

    def declare(self, tx: Transaction, *, now: datetime) -> None:
        """Tell the database what the files say."""
        said = [
            Declared(name, one.source, one.agency, feed.kinds_of(one), self._tables[name])
            for name, one in self._feeds.items()
        ]
        runs.declare(tx, said, kept=self.refused.keys(), now=now)

    def _stamps(self) -> tuple[tuple[str, int, int], ...]:
        if not self._folder.is_dir():
            return ()
        found = sorted(path for path in self._folder.glob(f"*{feed.SUFFIX}") if path.is_file())
        return tuple((path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in found)


class FeedRuns:
    """The runs of one installation's feeds in this process.

    Args:
        home: the installation.
        collect: what a run does: asks the source, takes in what it gave.
        metrics: where the metrics go; labels are codes of feeds.
        now: the clock.
    """

    def __init__(
        self,
        home: Home,
        collect: Collect,
        *,
        metrics: CollectorRegistry | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        registry = metrics or CollectorRegistry()
        self._home, self._collect, self._now = home, collect, now
        self._files = FeedFiles(home.settings.home / FOLDER)
        self._own: dict[str, Thread] = {}
        self._using = Lock()
        self._declared = False
        self._free_since: dict[str, float] = {}
        self._runs = Counter("qingqiao_feed_runs", "Runs that ended", ["feed", "outcome"], registry=registry)
        self._took = Histogram(
            "qingqiao_feed_run_seconds", "How long runs took", ["feed"], buckets=_SECONDS, registry=registry
        )
        self._lag = Gauge("qingqiao_feed_lag_seconds", "Since the last run that succeeded", ["feed"], registry=registry)

    def look(self) -> None:
        """Do steps 1 to 3."""
        now = self._now()
        changed = self._files.read()  # 1
        with self._home.database.transaction() as tx:
            if changed or not self._declared:
                self._files.declare(tx, now=now)
            standing, running = runs.all_standing(tx, now=now), runs.running(tx)
        self._declared = True
        self._give_up(running)  # 2
        for one in standing.values():
            self._lag.labels(one.feed).set(_lag(one, now))
            self._begin_if_due(one, now)  # 3

    def run_now(self, name: str, *, on_trial: OnTrial = lambda *_: None) -> Ended:
        """Run a feed now, in this thread, through the same fence; say how it ended.

        A source that its breaker leaves alone is asked all the same, for whoever runs it by hand may know that it is
        mended: `on_trial` is told how often it failed and until when it was to be left alone, before it begins.

        Raises:
            NotRun: no such feed, or its file is refused; it is paused, or runs already; or these are its quiet hours.
        """
        now = self._now()
        self._files.read()
        with self._home.database.transaction() as tx:
            self._files.declare(tx, now=now)
            standing = runs.all_standing(tx, now=now).get(name)
            if name in self._files.refused:
                raise NotRun(self._files.refused[name])
            if standing is None or self._files.get(name) is None:
                raise NotRun(f"没有名为 {name} 的接入；见 qingqiao jobs list (no such feed)")
            if standing.paused_at is not None:
                raise NotRun(f"{name} 已暂停；先执行 qingqiao jobs resume {name} (paused)")
            table = self._files.timetable(name)
            if table is not None and table.is_quiet(now):
                until = table.out_of_quiet(now).astimezone(clock.BEIJING)
                raise NotRun(f"{name} 正处于静默时段，{until:%H:%M} 以后再试 (quiet hours)")
            fields = {"feed": name}
            log.append(tx, [log.Entry(event=Event.FEED_RUN, at=now, actor="operator", fields=fields)])
        breaker = standing.breaker
        if breaker.open_until is not None and breaker.state(now) is State.OPEN:
            on_trial(breaker.failures, breaker.open_until)
        ended = self._run(standing, Due(now, Occasion.BY_HAND))
        if ended is None:
            raise NotRun(f"{name} 正在运行 (it runs already)")
        return ended

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Wait for runs, but not for long: one that is cut off is found lost by the next leader, and caught up."""
        until = time.monotonic() + seconds
        for thread in list(self._own.values()):
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def busy(self) -> frozenset[str]:
        """The feeds that run in this process now."""
        with self._using:
            return frozenset(self._own)

    def _give_up(self, running: Sequence[tuple[Run, int]]) -> None:
        dead = {run.feed: run for run, number in running if run.feed not in self.busy and self._is_free(number)}
        for name in self._free_since.keys() - dead.keys():
            del self._free_since[name]
        for name, run in dead.items():
            since = self._free_since.setdefault(name, time.monotonic())
            if time.monotonic() - since >= LOST_AFTER_SECONDS:
                with self._home.database.transaction() as tx:
                    if runs.lose(tx, run, now=self._now()):
                        _tell("feeds:run:lost", name)
                        self._runs.labels(name, RunError.RUN_LOST.value).inc()

    def _is_free(self, number: int) -> bool:
        lock = Held(self._home.database, LOCK_SPACE, number)
        free = lock.take()
        lock.release()
        return free

    def _begin_if_due(self, one: Standing, now: datetime) -> None:
        table = self._files.timetable(one.feed)
        stopped = one.running or one.paused_at is not None or one.retired_at is not None
        if stopped or table is None or self._files.get(one.feed) is None:
            return
        due = schedule.due(table, one.past, now=now)
        with self._using:
            if due is None or one.feed in self._own or len(self._own) >= RUNS_AT_ONCE:
                return
            thread = Thread(target=self._run_in_thread, args=(one, due), name=f"feed:{one.feed}", daemon=True)
            self._own[one.feed] = thread
        thread.start()

    def _run_in_thread(self, one: Standing, due: Due) -> None:
        try:
            self._run(one, due)
        except Exception as error:  # noqa: BLE001  # a thread has nobody above it who would hear of it
            _tell("feeds:run:broken", one.feed, error)
        finally:
            with self._using:
                del self._own[one.feed]

    def _run(self, one: Standing, due: Due) -> Ended | None:
        """Run a feed under its lock; None if another run of it is on, or the time was run already."""
        found, lock = self._files.get(one.feed), Held(self._home.database, LOCK_SPACE, one.number)
        if found is None or not lock.take():
            return None
        with kept(lock):
            with self._home.database.transaction() as tx:  # 1
                run = runs.begin(tx, one.feed, due, now=self._now())
            if run is None:
                return None
            began = time.monotonic()
            ended = self._ended(found)  # 2
            self._took.labels(one.feed).observe(time.monotonic() - began)
            self._finish(run, ended, self._files.timetable(one.feed))  # 3
        return ended

    def _ended(self, found: Feed) -> Ended:
        try:
            return ended_as(self._collect(self._home, found, self._now()))
        except Exception as error:  # noqa: BLE001  # whatever it is, the run has ended by it, and is told by its class
            _tell("feeds:run:failed", found.feed, error)
            return failed_by(error)

    def _finish(self, run: Run, ended: Ended, table: Timetable | None) -> None:
        until = time.monotonic() + FINISH_SECONDS
        while not (counted := self._finished(run, ended, table, patient=time.monotonic() < until)):
            time.sleep(LOOK_SECONDS)
        self._runs.labels(run.feed, counted).inc()

    def _finished(self, run: Run, ended: Ended, table: Timetable | None, *, patient: bool) -> str:
        """Write a run's end; say as what it counts, or nothing if the database is away and that is borne."""
        try:
            with self._home.database.transaction() as tx:
                counts = runs.finish(tx, run, ended, table, now=self._now())
        except (DatabaseUnavailable, psycopg.OperationalError):
            if not patient:
                raise
            return ""
        return (ended.error or "succeeded") if counts else "superseded"


def ended_as(collected: Collected) -> Ended:
    """Say how a run ended that came to its end; a batch that was blocked needs somebody to act."""
    error = collected.error
    return Ended(error, error is not None, None, collected.rows, collected.bytes, collected.files)


def failed_by(error: BaseException) -> Ended:
    """Say how a run ended that broke off: by the error's class, never by its text."""
    if isinstance(error, SourceUnavailable):
        wait = None if error.retry_after is None else timedelta(seconds=max(0.0, min(error.retry_after, 86_400.0)))
        return Ended(error.fault, wait=wait)
    if isinstance(error, SourceRefused | LimitExceeded):
        return Ended(error.fault, needs_somebody=True)
    if isinstance(error, IntakeBusy):
        return Ended(RunError.FILE_BUSY.value)
    if isinstance(error, StorageFull | psycopg.errors.DiskFull):
        return Ended(RunError.NO_SPACE.value)
    if isinstance(error, DatabaseUnavailable | psycopg.OperationalError):
        return Ended(RunError.OUT_OF_SERVICE.value)
    return Ended(RunError.INTERNAL.value)


def pause(home: Home, name: str, *, by: str, now: datetime) -> bool:
    """Pause a feed until it is resumed, and write it to the log; say whether it was not paused before.

    Raises:
        NotRun: there is no such feed.
    """
    return _switch(home, name, Event.FEED_PAUSED, lambda tx: runs.pause(tx, name, by=by, now=now), by=by, now=now)


def resume(home: Home, name: str, *, by: str, now: datetime) -> bool:
    """Let a paused feed run again, and write it to the log; say whether it was paused.

    Raises:
        NotRun: there is no such feed.
    """
    return _switch(home, name, Event.FEED_RESUMED, lambda tx: runs.resume(tx, name, now=now), by=by, now=now)


def _switch(home: Home, name: str, event: Event, act: Callable[[Transaction], bool], *, by: str, now: datetime) -> bool:
    files = FeedFiles(home.settings.home / FOLDER)
    files.read()
    with home.database.transaction() as tx:
        files.declare(tx, now=now)
        if name not in runs.all_standing(tx, now=now):
            raise NotRun(f"没有名为 {name} 的接入；见 qingqiao jobs list (no such feed)")
        done = act(tx)
        if done:
            log.append(tx, [log.Entry(event=event, at=now, actor=by, fields={"feed": name})])
    return done


def _tell(event: str, name: str, error: Exception | None = None) -> None:
    """Write to the process's own log; that its disk is full keeps no run from being ended."""
    with suppress(OSError):
        _journal.error(event, job=f"feed:{name}", **told(error))


def _timetable(one: Feed) -> Timetable | None:
    said = one.schedule
    return None if said is None else Timetable(said.cron, said.quiet, said.deadline, catch_up=said.catch_up)


def _lag(one: Standing, now: datetime) -> float:
    return max(0.0, (now - (one.last_good or one.known_since)).total_seconds())
