"""The database breaks down and comes back in the middle of the work: nothing is lost, and nothing is there twice."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from connectors.breaker import FIRST_REST
from connectors.collecting import Collected
from connectors.feed import Feed
from connectors.health import Health
from connectors.intake import Intake, Step
from exchange.feeds import LOCK_SPACE
from exchange.holding import Held
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry import clock, schema
from registry.database import Database
from registry.datakeys import DataKeys
from registry.embedded import EmbeddedPostgres
from registry.errors import DatabaseUnavailable
from registry.keyring import Keyring
from tests.feeding import NIGHTLY, write_feed
from tests.integration.test_feeds import NIGHT, Installation, until
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
HELD = 70
NAME = "yushu_rating"
TABLES = ("record", "record_chunk", "publication", "batch", "quarantine_row", "subject", "raw_file")


@dataclass(frozen=True)
class Restartable:
    """An installation with a server of its own, which may break down."""

    home: Home
    server: EmbeddedPostgres

    def restart(self) -> None:
        """Kill one of the server's processes: it drops every connection, recovers, and comes back where it was."""
        with closing(psycopg.connect(self.server.url)) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        until(self.answers)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.server.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def at(self, wanted: Step) -> Callable[[Step], None]:
        """Restart at a step, the first time that it comes."""
        left = [wanted]

        def at_step(step: Step) -> None:
            if left == [step]:
                left.clear()
                self.restart()

        return at_step

    def intake(self, at_step: Callable[[Step], None] = lambda _: None) -> Intake:
        home = self.home
        return Intake(home.database, home.sealing, home.raw, basis_of_register(), chunk_records=20, at_step=at_step)

    def counts(self) -> dict[str, int]:
        with self.home.database.transaction() as tx:
            rows = [tx.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES]
            events = tx.execute("SELECT event, count(*) FROM log_entry GROUP BY 1").fetchall()
        return {table: int(row[0]) for table, row in zip(TABLES, rows, strict=True) if row} | dict(events)


@pytest.fixture
def installation(home: Path, short_path: Path) -> Iterator[Restartable]:
    with EmbeddedPostgres(short_path, prefer="wheel") as server:
        schema.upgrade(server.url, server.keystore_url)
        keyring = Keyring.create(home, origin="exchange.example/log", now=clock.now())
        database, keystore = Database(server.url), Database(server.keystore_url)
        settings = Settings(home=home, issuer="https://exchange.example")
        yield Restartable(Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring)), server)
        database.close()
        keystore.close()


@pytest.mark.slow
@pytest.mark.parametrize("step", [Step.RECEIVED, Step.EVALUATED, Step.STAGED, Step.PUBLISHING])
def test_intake_breaks_off_and_the_next_one_finishes_what_it_began(installation: Restartable, step: Step) -> None:
    raw = ROSTER.read_bytes()
    with pytest.raises((psycopg.OperationalError, DatabaseUnavailable)):
        installation.intake(installation.at(step)).take(raw, ROSTER.name, as_of=AS_OF)
    installation.intake().take(raw, ROSTER.name, as_of=AS_OF)
    once = installation.counts()
    assert once["record"] == HELD
    assert once["batch"] == once["publication"] == once["raw_file"] == 1
    assert once["connectors:file:received"] == once["connectors:batch:published"] == 1
    assert not any(taken.changed for taken in installation.intake().take(raw, ROSTER.name, as_of=AS_OF))
    assert installation.counts() == once


@pytest.mark.slow
def test_a_run_that_the_restart_broke_off_is_tried_again_and_nothing_is_there_twice(installation: Restartable) -> None:
    steps = [installation.at(Step.STAGED)]

    def collect(home: Home, feed: Feed, now: datetime) -> Collected:
        at_step = steps.pop() if steps else lambda _: None
        taken = installation.intake(at_step).take(ROSTER.read_bytes(), ROSTER.name, as_of=AS_OF)
        return Collected(rows=sum(one.outcome.rows for one in taken), files=1)

    found = runs_over(installation, collect)
    found.look(NIGHT)
    assert [row[1:] for row in found.rows()] == [("scheduled", "failed", "OUT_OF_SERVICE")]
    found.look(NIGHT + FIRST_REST)
    assert [row[1:3] for row in found.rows()] == [("scheduled", "failed"), ("retried", "succeeded")]
    assert found.standing().health is Health.HEALTHY
    assert installation.counts()["record"] == HELD
    assert installation.counts()["connectors:batch:published"] == 1


@pytest.mark.slow
def test_a_run_that_outlives_the_restart_takes_its_lock_again_and_ends_once(installation: Restartable) -> None:
    number: list[int] = []

    def collect(home: Home, feed: Feed, now: datetime) -> Collected:
        installation.restart()
        until(lambda: is_taken(home.database, number[0]))
        return Collected(rows=1)

    found = runs_over(installation, collect)
    number.append(found.standing().number)
    found.look(NIGHT)
    found.look(NIGHT)
    assert [row[1:3] for row in found.rows()] == [("scheduled", "succeeded")]


def is_taken(database: Database, number: int) -> bool:
    lock = Held(database, LOCK_SPACE, number)
    free = lock.take()
    lock.release()
    return not free


def runs_over(installation: Restartable, collect: Callable[[Home, Feed, datetime], Collected]) -> Installation:
    write_feed(installation.home.settings.home, NAME, schedule=NIGHTLY)
    found = Installation(installation.home, collect, NIGHT)
    found.look(NIGHT.replace(hour=1))
    return found
