"""One step sends a system away in every process: two applications over one database, and the jobs beside them."""

from typing import Any

import pytest

from exchange import pushing
from exchange.admission import keyrings, suspending
from exchange.home import Home
from registry import clock
from tests.answering import Answer
from tests.asking import Bank, Browser, back, bank
from tests.attacks.bent_client import Door
from tests.people import consented, held
from tests.phones import bound
from tests.standing import Standing
from tests.telling import pushed_to, receiver, spread, system, withdrawn


@pytest.fixture
def exchange_home(standing: Standing) -> Home:
    return standing.emptied()


@pytest.fixture
def doors(standing: Standing) -> tuple[Door, Door]:
    """Two applications over one database, as two processes are."""
    return standing.door("one"), standing.door("other")


def suspend(home: Home, client_id: str) -> None:
    with home.database.transaction() as tx:
        assert suspending.suspend(tx, client_id, actor="operator", now=clock.now())


def resume(home: Home, client_id: str) -> None:
    with home.database.transaction() as tx:
        assert suspending.resume(tx, client_id, actor="operator", now=clock.now())


def test_tokens_codes_and_pushed_requests_end_in_every_process_and_stay_ended(
    exchange_home: Home, doors: tuple[Door, Door]
) -> None:
    one, other = doors
    phone = bound(exchange_home, one)
    held(exchange_home)
    lender = bank(exchange_home, one)
    elsewhere = Bank(other, lender.caller, lender.redirect)
    token, waiting, answered = lender.caller.token(one), lender.pushed(), lender.pushed()
    assert lender.caller.get(other, token).status_code == 200
    browser = Browser(one, lender.caller.client_id, answered)
    browser.open()
    code = back(browser.agree(phone.secret))["code"]
    suspend(exchange_home, lender.caller.client_id)
    for door, system_ in ((one, lender), (other, elsewhere)):
        assert lender.caller.get(door, token).status_code == 401
        assert lender.caller.ask(door).status_code == 401
        assert system_.push().status_code in {400, 401}, "which, depends on what the process remembers of it"
        assert Browser(door, lender.caller.client_id, waiting).open().status_code != 200
        assert system_.redeem(code).status_code == 401
    resume(exchange_home, lender.caller.client_id)
    assert lender.caller.get(other, token).status_code == 401, "a token of before stays out"
    assert Browser(other, lender.caller.client_id, waiting).open().status_code != 200
    late = elsewhere.redeem(code)
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
    assert lender.caller.get(other, lender.caller.token(other)).status_code == 200, "a new one is as good as ever"


def test_pushing_stops_between_two_events(exchange_home: Home, doors: tuple[Door, Door]) -> None:
    lender, consent = system(exchange_home, doors[0]), consented(exchange_home)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    there = receiver()

    def answer(*_: Any) -> Answer:
        suspend(exchange_home, lender.caller.client_id)
        return 202, {}, b""

    there.answer = answer
    pushed_to(exchange_home, f"{there.url}/events")
    try:
        assert pushing.push_due(exchange_home) == 1
        assert pushing.push_due(exchange_home) == 0
    finally:
        there.stop()
    assert len(there.asked) == 1, "two events waited"


def test_a_suspended_system_changes_no_keys_and_its_address_is_not_followed(
    exchange_home: Home, doors: tuple[Door, Door]
) -> None:
    lender = system(exchange_home, doors[0])
    suspend(exchange_home, lender.caller.client_id)
    assert lender.call("GET", "/v1/client").status_code == 401
    with exchange_home.database.transaction() as tx:
        assert keyrings.standing(tx, lender.caller.client_id) is None


def test_an_unknown_system_is_not_suspended(exchange_home: Home) -> None:
    with exchange_home.database.transaction() as tx:
        assert not suspending.suspend(tx, "nobody", actor="operator", now=clock.now())
        assert not suspending.resume(tx, "nobody", actor="operator", now=clock.now())
        assert tx.execute("SELECT FROM log_entry").fetchall() == []
