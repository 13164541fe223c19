"""Scheduled jobs: what must be done without anybody asking, by one process at a time.

Steps (the numbers are used in the code and the tests):
  1. take the advisory lock of this database, on a connection kept for that alone; whoever has it leads
  2. start the scheduler; every job runs once at once, so that what a fallen leader left undone is caught up
  3. look, every second, whether the connection, and with it the lock, is still there; without it stop at once
  4. at the end wait for jobs that run, then give the lock back

PostgreSQL takes the lock back from a process that dies, so another leads within TAKEOVER_SECONDS. For the moment in
which an old leader has not noticed yet, each job must bear to run twice: the sequencer has a lock of its own, the
others do only what is due.

A job that fails is logged by class and place, counted, and run again after RETRY_SECONDS or at its next time,
whichever is first; never silently. The leading thread alone changes when a job runs next: who is told of a failure may
be a thread that the scheduler waits for while it holds its lock, or the scheduler itself just before it writes the
usual next time. The schedule lives in memory: it is this table, not a row somewhere that may differ from it. Feeds are
run by one of these jobs, which only looks and begins: runs have threads and a fence of
their own (`exchange.feeds`).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event as Signal
from threading import Thread
from typing import Final
from uuid import UUID

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client import CollectorRegistry, Counter, Gauge

from connectors import collecting, uploading
from connectors.collecting import Collected
from connectors.credentials import Credentials
from connectors.feed import Feed
from connectors.intake import Intake
from consent import ledger
from exchange import (
    binding,
    binding_codes,
    complaints,
    consent_figures,
    consents,
    deletions,
    disputes,
    findings,
    journal,
    mending,
    once,
    outcomes,
    outgrowing,
    pushing,
    recall_notices,
    reminding,
    reweighing,
    telling,
)
from exchange.admission import expiring, fetching, keyrings, matters, notes
from exchange.bulk import keeping, working
from exchange.capture import paper, requests
from exchange.feeds import LOOK_SECONDS, FeedRuns
from exchange.holding import Held
from exchange.home import Home
from exchange.limits import counting
from exchange.monitoring import delivering, making, webhooks
from exchange.oauth import codes, spending
from exchange.release.collecting import people_for
from exchange.telling_gauges import TellingGauges
from registry import clock, log, retention
from registry.database import Database, Transaction

LEADER_LOCK: Final = 7_118_430  # of pg_advisory_lock; any number that nothing else in this database takes
GAUGE_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 1.0
TAKEOVER_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 30.0
SEQUENCE_SECONDS: Final = 0.5  # architecture.md, section 3: an entry is covered by a checkpoint within a second
TELL_SECONDS: Final = 1.0  # between two looks for what lenders are to be told
UPLOAD_SECONDS: Final = 1.0  # between two looks for uploads that are complete
BULK_SECONDS: Final = 1.0  # between two looks for batches of questions that wait
_THREADS: Final = 7  # one more than jobs that may last: uploads, pushing, webhooks, batches, keys, freezing

_journal = structlog.get_logger("qingqiao.jobs")


@dataclass(frozen=True)
class Job:
    """One line of the table: its name, how often it runs, and what it does."""

    name: str
    every_seconds: float
    run: Callable[[Home], object]


def sequence_log(home: Home) -> None:
    """Number, hash and sign the entries that wait."""
    signed = home.settings.home / "keys" / log.SIGNED_FILE
    origin = home.installation.log_origin
    log.sequence_all(home.database, home.keyring.log_signers(), origin, now=clock.now(), signed=signed)


def expire_consents(home: Home) -> None:
    """End consents whose time is over, and freeze what rested on them; the gate goes by the date in any case."""
    _until_done(home, lambda tx: consents.expire_due(tx, now=clock.now()), ledger.EXPIRE_AT_ONCE)


def freeze_uncovered(home: Home) -> None:
    """Freeze whatever no consent covers, of all subjects, page by page; what a withdrawal froze already stays so."""
    after = UUID(int=0)
    while True:
        with home.database.transaction() as tx:
            page = consents.freeze_uncovered(tx, after, now=clock.now())
        if len(page) < consents.SUBJECTS_AT_ONCE:
            return
        after = page[-1]


def shred_records(home: Home) -> None:
    """Destroy the sealed bytes of records that were frozen long enough ago."""
    _until_done(home, lambda tx: retention.shred_due(tx, now=clock.now()), retention.AT_ONCE)


def forget_proofs(home: Home) -> None:
    """Delete digests of assertions and proofs, revocations, and counts of limits, that are too old to matter."""
    with home.database.transaction() as tx:
        spending.forget_expired(tx, now=clock.now())
        counting.forget(tx, now=clock.now())
        once.forget(tx, now=clock.now())


def destroy_raw_files(home: Home) -> None:
    """Destroy the bytes of agencies' files whose time for correction is over."""
    intake_of(home).destroy_due()


def collect_feed(home: Home, feed: Feed, now: datetime) -> Collected:
    """Collect from a feed once, and take in what it gave."""
    day = clock.beijing_day(now)
    people = partial(people_for, home, actor=feed.agency, at=day)
    credentials = Credentials(home.database, home.sealing)
    return collecting.collect(intake_of(home), feed, credentials=credentials, people=people, now=now, as_of=day)


def look_after_systems(home: Home) -> None:
    """Take out keys whose overlap is over; end registrations that nobody decided, drop what is long past."""
    with home.database.transaction() as tx:
        keyrings.let_leave(tx, now=clock.now())
        matters.forget(tx, now=clock.now())
        notes.forget(tx, now=clock.now())


def end_captures(home: Home) -> None:
    """End requests and papers that nobody answered in time, and destroy what was kept of people for them."""
    with home.database.transaction() as tx:
        requests.expire(tx, now=clock.now())
        paper.expire(tx, now=clock.now())
        codes.forget_expired(tx, now=clock.now())


def weigh_mended(home: Home) -> None:
    """Weigh files again whose rows somebody has decided of, where it could not be done at once."""
    mending.weigh_waiting(home)


def complete_notices(home: Home) -> None:
    """Tell lenders of recalled records that they were being shown at that very moment."""
    with home.database.transaction() as tx:
        recall_notices.complete(tx, now=clock.now())


def look_after_phones(home: Home) -> None:
    """Make phones active that have waited, and tell of codes whose tries were used up."""
    _until_done(home, lambda tx: binding.activate_due(tx, now=clock.now()), binding.AT_ONCE)
    with home.database.transaction() as tx:
        binding_codes.clean(tx, now=clock.now())


def run_clocks(home: Home) -> None:
    """Warn of disputes and escalate what was not answered in time: disputes after 20 days, complaints after 30."""
    _until_done(home, lambda tx: disputes.run_clock(tx, now=clock.now()), disputes.AT_ONCE)
    _until_done(home, lambda tx: complaints.run_clock(tx, now=clock.now()), complaints.AT_ONCE)


def look_after_telling(home: Home) -> None:
    """Mark deletions that are overdue, leave reminders, add up requests, drop what is over."""
    _until_done(home, lambda tx: deletions.run_clock(tx, now=clock.now()), deletions.AT_ONCE)
    reminding.remind_all(home)
    with home.database.transaction() as tx:
        consent_figures.count_requests(tx, now=clock.now())
        telling.forget(tx, now=clock.now())
        outcomes.forget_details(tx, now=clock.now())
        pushing.forget(tx, now=clock.now())
        webhooks.forget(tx, now=clock.now())


def ask_outlived(home: Home) -> None:
    """Ask lenders to delete answers that have outlived their data life, page by page of all consents that stand."""
    after = ""
    while True:
        with home.database.transaction() as tx:
            page = deletions.ask_outlived(tx, after, now=clock.now())
        if len(page) < deletions.AT_ONCE:
            return
        after = page[-1]


def intake_of(home: Home) -> Intake:
    """Make an installation's intake, which asks the installation's consents and what was decided of rows."""
    return mending.intake_of(home)


def take_uploads(home: Home) -> None:
    """Take in what agencies have uploaded whole, and apply manifests that came later."""
    uploading.take_all(intake_of(home), home.uploads)


def clean_uploads(home: Home) -> None:
    """End uploads whose time is over, and destroy bytes that no upload needs."""
    uploading.clean(intake_of(home), home.uploads)


def tidy_batches(home: Home) -> None:
    """End lenders' batches of questions whose time is over, and destroy what is left of those that ended."""
    keeping.tidy(home, now=clock.now())


def table() -> list[Job]:
    """Return the jobs of an installation, in the order in which they first run."""
    return [
        Job("log:sequence", SEQUENCE_SECONDS, sequence_log),
        Job("consent:expire", 60, expire_consents),
        Job("consent:outgrown", 600, outgrowing.end_all),
        Job("upload:intake", UPLOAD_SECONDS, take_uploads),
        Job("intake:reevaluate", 120, reweighing.weigh_due),
        Job("intake:weigh-mended", 60, weigh_mended),
        Job("exchange:complete-notices", 60, complete_notices),
        Job("subject:phones", 60, look_after_phones),
        Job("subject:clocks", 600, run_clocks),
        Job("findings:check", 60, findings.check_published),
        Job("telling:spread", TELL_SECONDS, telling.spread_all),
        Job("telling:push", TELL_SECONDS, pushing.push_due),
        Job("monitor:make", TELL_SECONDS, making.make_all),
        Job("monitor:deliver", TELL_SECONDS, delivering.deliver_due),
        Job("telling:look-after", 600, look_after_telling),
        Job("deletions:outlived", 86_400, ask_outlived),
        Job("bulk:work", BULK_SECONDS, working.work_due),
        Job("bulk:tidy", 300, tidy_batches),
        Job("capture:end", 60, end_captures),
        Job("consent:freeze-uncovered", 3600, freeze_uncovered),
        Job("intake:destroy-raw", 3600, destroy_raw_files),
        Job("upload:clean", 600, clean_uploads),
        Job("registry:shred-frozen", 3600, shred_records),
        Job("oauth:forget-proofs", 300, forget_proofs),
        Job("clients:fetch-keys", fetching.FETCH_SECONDS, fetching.fetch_due),
        Job("clients:look-after", 60, look_after_systems),
    ]


def _until_done(home: Home, step: Callable[[Transaction], int], at_once: int) -> None:
    """Repeat a step, each time in a transaction of its own, until it has less to do than it does at once."""
    while True:
        with home.database.transaction() as tx:
            if step(tx) < at_once:
                return


class Leadership(Held):
    """The lock of one database by which at most one process leads."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, LEADER_LOCK)


class Jobs:
    """The jobs of one installation, in this process: they run while it leads.

    Args:
        home: the installation.
        jobs: what to run; `table()` by default.
        metrics: where the metrics go; those of the web application, when both share a process.
        retry_seconds: how long after a failure a job runs again.
    """

    def __init__(
        self,
        home: Home,
        jobs: Sequence[Job] | None = None,
        *,
        metrics: CollectorRegistry | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.metrics = metrics or CollectorRegistry()
        self._home = home
        self._feeds = FeedRuns(home, collect_feed, metrics=self.metrics) if jobs is None else None
        self._table = {job.name: job for job in (self._whole_table() if jobs is None else jobs)}
        self._retry_seconds = retry_seconds
        self._leadership = Leadership(home.database)
        self._stop = Signal()
        self._leading = Signal()
        self._thread: Thread | None = None
        leads = Gauge("qingqiao_jobs_leader", "1 while this process leads", registry=self.metrics)
        leads.set_function(lambda: float(self.leading))
        self._succeeded = Gauge(
            "qingqiao_job_last_success_timestamp_seconds", "When it last succeeded", ["job"], registry=self.metrics
        )
        self._failed = Counter("qingqiao_job_failures", "Runs that failed", ["job"], registry=self.metrics)

    @property
    def leading(self) -> bool:
        """Whether the jobs run in this process now."""
        return self._leading.is_set()

    def start(self) -> None:
        """Run in a thread of this process until `stop`."""
        self._thread = Thread(target=self.run_forever, args=(self._stop,), name="jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what `start` began; jobs that run are waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def run_forever(self, stop_event: Signal) -> None:
        """Lead whenever nobody else does, until told to stop."""
        while not stop_event.is_set():
            if self._leadership.take():  # 1
                try:
                    self._lead(stop_event)
                finally:
                    self._leadership.release()  # 4
            stop_event.wait(TAKEOVER_SECONDS)
        if self._feeds is not None:
            self._feeds.stop()

    def _whole_table(self) -> list[Job]:
        feeds = self._feeds
        if feeds is None:
            return table()
        gauges, expiries = TellingGauges(self.metrics), expiring.ExpiryGauges(self.metrics)
        return [
            *table(),
            Job("feeds:look", LOOK_SECONDS, lambda _: feeds.look()),
            Job("telling:gauges", GAUGE_SECONDS, gauges.look),
            Job("clients:expiries", expiring.WARN_SECONDS, expiries.look),
        ]

    def _lead(self, stop_event: Signal) -> None:
        failed: SimpleQueue[str] = SimpleQueue()
        scheduler = self._scheduler(failed)
        scheduler.start()  # 2
        self._leading.set()
        _journal.info("jobs:leader:taken")
        lost = False
        try:
            while not stop_event.wait(WATCH_SECONDS):
                if not self._leadership.held():  # 3
                    lost = True
                    break
                self._run_again(scheduler, failed)
        finally:
            self._leading.clear()
            scheduler.shutdown(wait=not lost)  # 3, 4
            _journal.info("jobs:leader:lost" if lost else "jobs:leader:left")

    def _run_again(self, scheduler: BackgroundScheduler, failed: "SimpleQueue[str]") -> None:
        """Bring forward the next run of jobs that failed since the last look."""
        soon = clock.now() + timedelta(seconds=self._retry_seconds)
        with suppress(Empty):
            while True:
                job = scheduler.get_job(failed.get_nowait())
                if job.next_run_time > soon:
                    job.modify(next_run_time=soon)

    def _scheduler(self, failed: "SimpleQueue[str]") -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(_THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for job in self._table.values():
            scheduler.add_job(
                job.run,
                IntervalTrigger(seconds=job.every_seconds, timezone=UTC),
                args=(self._home,),
                id=job.name,
                next_run_time=clock.now(),
            )
        scheduler.add_listener(self._note_success, EVENT_JOB_EXECUTED)
        scheduler.add_listener(lambda event: self._note_failure(failed, event), EVENT_JOB_ERROR)
        return scheduler

    def _note_success(self, event: JobExecutionEvent) -> None:
        self._succeeded.labels(event.job_id).set(clock.now().timestamp())

    def _note_failure(self, failed: "SimpleQueue[str]", event: JobExecutionEvent) -> None:
        failed.put(event.job_id)
        self._failed.labels(event.job_id).inc()
        _journal.error("jobs:job:failed", job=event.job_id, **journal.told(event.exception))
