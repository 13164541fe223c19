"""Credentials of feeds: sealed, bound to their feed, gone when replaced or erased; and the command that keeps them."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.credentials import LONGEST_BYTES, Credentials
from exchange.home import Home
from registry.errors import KeyMissing, SealBroken

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
SECRET = "geheim-geheim-geheim"


@pytest.fixture
def kept(exchange_home: Home) -> Credentials:
    return Credentials(exchange_home.database, exchange_home.sealing)


def test_a_credential_comes_back_and_lies_nowhere_in_the_clear(
    kept: Credentials, exchange_home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kept.set("one", SECRET, now=NOW)
    secret = kept.get("one")
    assert secret is not None
    assert secret.text == SECRET
    assert kept.set_at("one") == NOW
    with exchange_home.database.transaction() as tx:
        stored = str(tx.execute("SELECT * FROM feed_credential").fetchall())
        stored += str([bytes(one) for (one,) in tx.execute("SELECT sealed FROM feed_credential").fetchall()])
        stored += str(tx.execute("SELECT * FROM log_entry").fetchall())
    assert SECRET not in stored + caplog.text + repr(kept) + repr(secret)


def test_one_set_anew_destroys_the_one_before(kept: Credentials, exchange_home: Home) -> None:
    kept.set("one", SECRET, now=NOW)
    with exchange_home.database.transaction() as tx:
        (owner,) = tx.execute("SELECT owner_id FROM feed_credential").fetchone() or (None,)
    kept.set("one", "another", now=NOW)
    secret = kept.get("one")
    assert secret is not None
    assert secret.text == "another"
    with pytest.raises(KeyMissing):
        exchange_home.datakeys.get([owner])


def test_an_erased_one_is_gone(kept: Credentials) -> None:
    kept.set("one", SECRET, now=NOW)
    assert kept.erase("one", now=NOW)
    assert kept.get("one") is None
    assert not kept.erase("one", now=NOW)


def test_one_that_is_put_under_another_feed_does_not_open(kept: Credentials, exchange_home: Home) -> None:
    kept.set("one", SECRET, now=NOW)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE feed_credential SET feed = 'two'")
    with pytest.raises(SealBroken):
        kept.get("two")


@pytest.mark.parametrize("text", ["", "x" * (LONGEST_BYTES + 1)])
def test_what_can_be_no_credential_is_refused_without_being_repeated(kept: Credentials, text: str) -> None:
    with pytest.raises(ValueError, match="1 to") as refused:
        kept.set("one", text, now=NOW)
    assert "xx" not in str(refused.value)


def test_setting_and_erasing_are_logged_by_the_feeds_code(kept: Credentials, exchange_home: Home) -> None:
    kept.set("one", SECRET, now=NOW)
    kept.erase("one", now=NOW)
    with exchange_home.database.transaction() as tx:
        events = [event for (event,) in tx.execute("SELECT event FROM log_entry ORDER BY event").fetchall()]
    assert events == ["connectors:credential:erased", "connectors:credential:set"]


def test_no_file_of_the_home_holds_it(kept: Credentials, home: Path) -> None:
    kept.set("one", SECRET, now=NOW)
    assert all(SECRET.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())
