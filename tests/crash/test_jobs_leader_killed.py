"""Kill -9 the leader while a feed runs: another leads within five seconds, and nothing runs twice for one time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from exchange import jobs
from exchange.feeds import FeedRuns
from exchange.home import Home
from registry import clock, log
from registry.database import Database
from tests.databases import Addresses
from tests.feeding import write_feed

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys, time
from pathlib import Path
from threading import Event
from connectors.collecting import Collected
from exchange import jobs, journal
from exchange.feeds import LOOK_SECONDS, FeedRuns
from exchange.home import SANDBOX, Home
from exchange.jobs import Job, Jobs
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

folder, url, keystore_url, seconds = sys.argv[1:]
journal.set_up()
keyring = Keyring.open(Path(folder))
home = Home(Settings(home=Path(folder)), SANDBOX, keyring, Database(url), DataKeys(Database(keystore_url), keyring))

def collect(home, feed, now):
    with home.database.transaction() as tx:
        tx.execute("INSERT INTO asked (feed, at) VALUES (%s, clock_timestamp())", (feed.feed,))
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:  # busy, as taking in a large file is
        sum(range(10_000))
    return Collected(rows=1)

feeds = FeedRuns(home, collect)
sequence = [job for job in jobs.table() if job.name == "log:sequence"]
running = Jobs(home, [*sequence, Job("feeds:look", LOOK_SECONDS, lambda _: feeds.look())])
running.start()
print("started", flush=True)
Event().wait()
"""


def until(holds: Callable[[], object], seconds: float = 20.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def process(home: Home, addresses: Addresses, seconds: float) -> Iterator[subprocess.Popen[str]]:
    where = (str(home.settings.home), addresses.database_url, addresses.keystore_url, str(seconds))
    command = [sys.executable, "-c", PROCESS, *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as started:
        try:
            assert started.stdout
            assert started.stdout.readline() == "started\n"
            yield started
        finally:
            started.kill()


def leader(database: Database) -> int | None:
    """The server's process that serves whoever leads."""
    with database.transaction() as tx:
        row = tx.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s AND objsubid = 1",
            (jobs.LEADER_LOCK,),
        ).fetchone()
    return row[0] if row else None


def rows(database: Database, what: str) -> list[tuple[object, ...]]:
    with database.transaction() as tx:
        return tx.execute(what).fetchall()


@pytest.fixture
def asked(exchange_home: Home) -> Home:
    with exchange_home.database.transaction() as tx:
        tx.execute("CREATE TABLE asked (feed text, at timestamptz)")
    return exchange_home


def known_for_an_hour(home: Home, name: str, moment: datetime) -> None:
    """Write a feed that was due a moment ago and will not be for long, and let an hour pass since it was first seen."""
    local = moment.astimezone(clock.BEIJING)
    write_feed(home.settings.home, name, schedule={"cron": f"{local.minute} {local.hour} * * *"})
    files = FeedRuns(home, jobs.collect_feed)
    files._files.read()
    with home.database.transaction() as tx:
        files._files.declare(tx, now=moment - timedelta(hours=1))


@pytest.mark.slow
def test_another_process_leads_within_five_seconds_and_nothing_runs_twice(asked: Home, addresses: Addresses) -> None:
    database, now = asked.database, clock.now()
    for name in ("first_feed", "second_feed"):
        known_for_an_hour(asked, name, now - timedelta(minutes=2))
    with ExitStack() as stack:
        first = stack.enter_context(process(asked, addresses, 60.0))
        until(lambda: leader(database))
        until(lambda: len(rows(database, "SELECT FROM asked")) == 2)
        before = leader(database)
        stack.enter_context(process(asked, addresses, 0.2))
        stack.enter_context(process(asked, addresses, 0.2))
        os.kill(first.pid, signal.SIGKILL)
        assert until(lambda: leader(database) not in {before, None}) < 5.0
        done = "SELECT FROM feed_run WHERE state = 'succeeded'"
        until(lambda: len(rows(database, done)) == 2)
        time.sleep(3)  # time enough for a second catching up, if there were one
    runs = rows(database, "SELECT feed, occasion, state FROM feed_run ORDER BY feed, started_at")
    assert runs == [
        (name, *rest)
        for name in ("first_feed", "second_feed")
        for rest in (("scheduled", "lost"), ("retried", "succeeded"))
    ]
    times = rows(database, "SELECT feed, scheduled_for, count(*) FROM feed_run GROUP BY 1, 2")
    assert [count for _, _, count in times] == [1] * 4
    assert len(rows(database, "SELECT FROM asked")) == 4, "once each, and once each for what was cut off"


@pytest.mark.slow
def test_long_runs_do_not_delay_the_log(asked: Home, addresses: Addresses) -> None:
    database, now = asked.database, clock.now()
    for name in ("first_feed", "second_feed"):
        known_for_an_hour(asked, name, now - timedelta(minutes=2))
    waits = []
    with process(asked, addresses, 30.0):
        until(lambda: len(rows(database, "SELECT FROM asked")) == 2)
        for number in range(7):
            entry = log.Entry(f"test:entry:number-{number}", clock.now(), "system", {"n": number})
            with database.transaction() as tx:
                log.append(tx, [entry])
            waits.append(until(lambda entry=entry: covered(database, entry)))  # type: ignore[misc]  # bound on purpose
    assert sorted(waits)[3] <= 1.5


def covered(database: Database, entry: log.Entry) -> bool:
    with database.transaction() as tx:
        return log.proof(tx, entry.entry_id) is not None
