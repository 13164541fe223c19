"""Jobs: one leader at a time, a failure is told and tried again, and the log keeps its second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import structlog
from apscheduler.executors.base import run_job
from apscheduler.executors.pool import ThreadPoolExecutor
from prometheus_client import CollectorRegistry

from exchange import jobs, mending, reweighing
from exchange.home import SANDBOX, Home
from exchange.jobs import Job, Jobs, Leadership
from exchange.settings import Settings
from registry import clock, log
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(*started: Jobs) -> Iterator[None]:
    for one in started:
        one.start()
    try:
        yield
    finally:
        for one in started:
            one.stop()


@pytest.fixture
def installation(database: Database, keystore: Database, home: Path) -> Home:
    keyring = Keyring.create(home, origin=SANDBOX.log_origin, now=NOON)
    return Home(Settings(home=home), SANDBOX, keyring, database, DataKeys(keystore, keyring))


def counted(one: Jobs, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What came of each try to lead."""
    tries: list[bool] = []
    take = one._leadership.take

    def tried() -> bool:
        tries.append(take())
        return tries[-1]

    monkeypatch.setattr(one._leadership, "take", tried)
    return tries


def sample(registry: CollectorRegistry, name: str, job: str) -> float | None:
    return registry.get_sample_value(name, {"job": job})


def test_every_job_runs_at_once_and_again(installation: Home) -> None:
    runs: list[float] = []
    with running(one := Jobs(installation, [Job("test:count", 0.2, lambda _: runs.append(time.monotonic()))])):
        wait_until(lambda: len(runs) >= 3)
    assert (sample(one.metrics, "qingqiao_job_last_success_timestamp_seconds", "test:count") or 0) > 0


def test_two_processes_never_lead_together_and_the_second_takes_over(
    installation: Home, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "TAKEOVER_SECONDS", 0.2)
    monkeypatch.setattr(jobs, "WATCH_SECONDS", 0.1)
    first, second = Jobs(installation, []), Jobs(installation, [])
    tries = counted(second, monkeypatch)
    with running(first):
        wait_until(lambda: first.leading)
        with running(second):
            wait_until(lambda: len(tries) >= 5)
            assert tries[:4] == [False] * 4
            assert not second.leading
            with database.transaction() as tx:  # the leader's connection is cut, as when its machine is gone
                tx.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                    (jobs.LEADER_LOCK,),
                )
            wait_until(lambda: first.leading != second.leading)
            first.stop()
            wait_until(lambda: second.leading)


def test_the_lock_is_given_back_at_the_end(installation: Home, database: Database) -> None:
    with running(one := Jobs(installation, [])):
        wait_until(lambda: one.leading)
    other = Leadership(database)
    assert other.take()
    assert other.held()
    other.release()
    assert not other.held()


def test_a_job_that_runs_is_waited_for_at_the_end(installation: Home) -> None:
    began, go_on, done = Event(), Event(), Event()

    def slow(_: Home) -> None:
        began.set()
        assert go_on.wait(30)
        done.set()

    one = Jobs(installation, [Job("test:slow", 60, slow)])
    one.start()
    assert began.wait(10)
    end = Thread(target=one.stop, daemon=True)
    end.start()
    end.join(2)
    assert end.is_alive()
    go_on.set()
    end.join(10)
    assert not end.is_alive()
    assert done.is_set()


def test_a_failure_is_told_counted_and_tried_again(installation: Home) -> None:
    runs: list[int] = []

    def fails_once(_: Home) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise OSError("the row was 630222199901010001")

    with structlog.testing.capture_logs() as lines:
        with running(one := Jobs(installation, [Job("test:fails", 3600, fails_once)], retry_seconds=0.2)):
            wait_until(lambda: len(runs) == 2)
        (line,) = (line for line in lines if line["event"] == "jobs:job:failed")
    assert line["job"] == "test:fails"
    assert line["error"] == "OSError"
    assert "630222199901010001" not in str(line)
    assert sample(one.metrics, "qingqiao_job_failures_total", "test:fails") == 1
    assert sample(one.metrics, "qingqiao_job_last_success_timestamp_seconds", "test:fails")


def test_a_job_that_fails_before_it_was_handed_over_is_tried_again(
    installation: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its failure is told inside the scheduler, which writes the job's usual next time right after."""
    runs: list[int] = []

    def fails_once(_: Home) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise OSError("no")

    class AtOnce(ThreadPoolExecutor):  # type: ignore[misc]  # published without types
        """A pool whose work is done when it is handed over."""

        def _do_submit_job(self, job: Any, run_times: Any) -> None:
            self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))

    monkeypatch.setattr(jobs, "ThreadPoolExecutor", AtOnce)
    with running(Jobs(installation, [Job("test:fails", 3600, fails_once)], retry_seconds=0.2)):
        wait_until(lambda: len(runs) == 2)


def test_a_job_that_fails_while_the_leader_ends_does_not_hold_up_the_end(installation: Home) -> None:
    began, ending = Event(), Event()

    def fails(_: Home) -> None:
        began.set()
        assert ending.wait(10)
        time.sleep(0.3)  # so that the scheduler waits for this job when it fails
        raise OSError("no")

    one = Jobs(installation, [Job("test:fails", 3600, fails)], retry_seconds=0.2)
    one.start()
    assert began.wait(10)
    ending.set()
    end = Thread(target=one.stop, daemon=True)
    end.start()
    end.join(10)
    assert not end.is_alive()


def test_a_failing_job_stops_no_other(installation: Home) -> None:
    runs: list[int] = []

    def fails(_: Home) -> None:
        raise OSError("no")

    table = [Job("test:fails", 0.1, fails), Job("test:runs", 0.1, lambda _: runs.append(1))]
    with running(Jobs(installation, table)):
        wait_until(lambda: len(runs) >= 5)


def test_an_entry_is_covered_by_a_checkpoint_within_a_second(installation: Home, database: Database) -> None:
    waits = []
    with running(one := Jobs(installation, [job for job in jobs.table() if job.name == "log:sequence"])):
        wait_until(lambda: one.leading)
        for number in range(5):
            entry = log.Entry("test:entry:written", clock.now(), "system", {"n": number})
            with database.transaction() as tx:
                log.append(tx, [entry])
            began = time.monotonic()
            wait_until(partial(covered, database, entry.entry_id))
            waits.append(time.monotonic() - began)
    assert sorted(waits)[2] <= 1.0


def covered(database: Database, entry_id: UUID) -> bool:
    with database.transaction() as tx:
        return log.proof(tx, entry_id) is not None


def test_every_job_of_the_table_does_nothing_on_an_empty_installation(installation: Home) -> None:
    for job in jobs.table():
        job.run(installation)


def test_a_database_that_is_gone_is_waited_for(installation: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "TAKEOVER_SECONDS", 0.05)
    nowhere = Database("postgresql://nobody:x@127.0.0.1:1/nothing")
    one = Jobs(cast("Home", SimpleNamespace(database=nowhere)), [])
    tries = counted(one, monkeypatch)
    stop = Event()
    thread = Thread(target=one.run_forever, args=(stop,))
    thread.start()
    wait_until(lambda: len(tries) >= 3)
    assert not any(tries)
    assert not one.leading
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_weighing_that_failed_is_told_and_waits_for_the_next_run(
    installation: Home, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise OSError("busy")

    monkeypatch.setattr(mending, "intake_of", lambda _: SimpleNamespace(reevaluate_evenly=busy))
    with pytest.raises(OSError, match="busy"):
        reweighing.weigh_due(installation)
    reweighing.weigh_due(installation)
    with database.transaction() as tx:
        runs = tx.execute("SELECT count(*) FROM log_entry WHERE event = 'exchange:files:weighed-again'").fetchone()
    assert runs == (1,)
