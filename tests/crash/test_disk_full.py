"""A disk that fills up, at any byte: nothing is half kept, it is said as such, and it works again afterwards."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from connectors.breaker import FIRST_REST
from connectors.collecting import Collected
from connectors.errors import StorageFull
from connectors.feed import Feed
from connectors.health import Health, RunError
from connectors.intake import Intake
from connectors.sheaves import Sealed, Sheaf
from connectors.spool import Spool
from connectors.uploadfiles import UploadFiles
from exchange.home import Home
from registry.suites import intl, random_bytes
from tests.feeding import NIGHTLY, write_feed
from tests.integration.test_feeds import NIGHT, Installation
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
NAME = "yushu_rating"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can grow beyond a size: what writes gets the error that a full disk gives, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def counts(home: Home) -> dict[str, int]:
    tables = ("raw_file", "batch", "record", "publication", "log_entry", "quarantine_row")
    with home.database.transaction() as tx:
        found = {table: tx.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables}
    return {table: row[0] for table, row in found.items() if row}


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


@pytest.mark.parametrize("size", [0, 1, 40, 4096, ROSTER.stat().st_size - 1, ROSTER.stat().st_size + 4])
def test_a_file_that_does_not_fit_is_not_half_kept_and_is_taken_in_when_there_is_space(
    intake: Intake, exchange_home: Home, size: int
) -> None:
    raw = ROSTER.read_bytes()
    with files_of_at_most(size), pytest.raises(StorageFull, match="存储空间不足"):
        intake.take(raw, ROSTER.name, as_of=AS_OF)
    assert list(exchange_home.raw.glob("*")) == []
    assert set(counts(exchange_home).values()) == {0}
    assert [taken.changed for taken in intake.take(raw, ROSTER.name, as_of=AS_OF)] == [True]
    assert len(list(exchange_home.raw.glob("*.sealed"))) == 1
    assert counts(exchange_home)["record"] == 70


def test_a_disk_that_says_so_only_when_bytes_are_made_durable_is_believed(
    intake: Intake, exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            intake.take(ROSTER.read_bytes(), ROSTER.name, as_of=AS_OF)
    assert list(exchange_home.raw.glob("*")) == []
    assert set(counts(exchange_home).values()) == {0}


@pytest.mark.parametrize("size", [0, 1, 1000, 64 * 1024 + 50])
def test_a_spool_that_does_not_fit_says_so_and_closes(tmp_path: Path, size: int) -> None:
    spool = Spool(tmp_path, chunk_bytes=64 * 1024)
    with files_of_at_most(size), pytest.raises(StorageFull):  # whichever of the two fills it up
        for _ in range(4):
            spool.write(random_bytes(64 * 1024))
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_table_that_does_not_fit_is_no_broken_file() -> None:
    aside = Sealed()
    with files_of_at_most(100), pytest.raises(StorageFull):
        aside.add(Sheaf(pd.DataFrame({"n": range(10_000)})))
    with suppress(OSError):
        aside._file.close()


def test_a_chunk_of_an_upload_that_does_not_fit_leaves_what_came_before(tmp_path: Path) -> None:
    files = UploadFiles(tmp_path, uuid4(), random_bytes(32), intl)
    first, second = b"a" * 1000, b"b" * 1000
    files.write(0, first)
    before = sorted(tmp_path.iterdir())
    with files_of_at_most(500), pytest.raises(StorageFull):
        files.write(1000, second)
    assert sorted(tmp_path.iterdir()) == before
    files.write(1000, second)
    assert b"".join(files.read(2000)) == first + second


def test_a_run_that_finds_no_space_is_told_as_such_and_is_tried_again(exchange_home: Home, intake: Intake) -> None:
    def collect(home: Home, feed: Feed, now: datetime) -> Collected:
        taken = intake.take(ROSTER.read_bytes(), ROSTER.name, as_of=AS_OF)
        return Collected(rows=sum(one.outcome.rows for one in taken), files=1)

    write_feed(exchange_home.settings.home, NAME, schedule=NIGHTLY)
    found = Installation(exchange_home, collect, NIGHT)
    found.look(NIGHT)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE feed_state SET known_since = %s", (datetime(2026, 6, 14, tzinfo=UTC),))
    with files_of_at_most(2000):
        found.look(NIGHT)
    assert found.standing().error == RunError.NO_SPACE
    assert found.standing().health is Health.FAILING
    found.look(NIGHT + FIRST_REST)
    assert found.standing().health is Health.HEALTHY
    assert counts(exchange_home)["record"] == 70
