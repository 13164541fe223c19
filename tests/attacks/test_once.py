"""What is made under an Idempotency-Key is made once, and what was refused has made nothing."""

from uuid import uuid4

import httpx

from exchange.home import Home
from exchange.once import KEPT, forget
from registry import clock
from registry.identifiers import ResidentId
from tests.asking import WANTED
from tests.asking import Bank as AskingBank
from tests.asking import bank as asking_bank
from tests.attacks.bent_client import Door
from tests.attacks.test_doors_poisoned import CONSENTS, bank, given
from tests.attacks.test_queries import Bank
from tests.people import LI, NOBODY, ZHANG

__all__ = ["bank"]


def sent(bank: Bank, body: dict[str, object], key: str) -> httpx.Response:
    headers = bank.client.headers("POST", CONSENTS, bank.token)
    return bank.door.call("POST", CONSENTS, json=body, headers=headers | {"Idempotency-Key": key})


def counted(home: Home) -> int:
    with home.database.transaction() as tx:
        return int(tx.execute("SELECT count(*) FROM consent").fetchall()[0][0])


def test_a_consent_is_recorded_once_under_a_key(exchange_home: Home, bank: Bank) -> None:
    key, body = str(uuid4()), given()
    first, again = sent(bank, body, key), sent(bank, body, key)
    assert (first.status_code, again.status_code) == (201, 200), first.text + again.text
    assert first.json() == again.json()
    assert counted(exchange_home) == 1
    other = sent(bank, body | {"max_uses": 1}, key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    short = sent(bank, body, "short")
    assert (short.status_code, short.json()["code"]) == (400, "idempotency-key-malformed")
    with exchange_home.database.transaction() as tx:
        kept = str(tx.execute("SELECT to_json(o) FROM once o").fetchall())
        assert ZHANG.text not in kept
        assert LI.text not in kept
        forget(tx, now=clock.now() + KEPT * 2)
        assert tx.execute("SELECT FROM once").fetchone() is None


def test_what_was_refused_leaves_its_key_free(exchange_home: Home, bank: Bank) -> None:
    key = str(uuid4())
    assert sent(bank, given(purpose="NO_SUCH"), key).status_code == 422
    assert sent(bank, given(), key).status_code == 201
    assert counted(exchange_home) == 1


def test_a_person_is_asked_once_under_a_key_and_a_stranger_answered_alike(exchange_home: Home) -> None:
    with Door(exchange_home) as door:
        lender = asking_bank(exchange_home, door)
        other = asking_bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")

        def ask(who: ResidentId, key: str, by: AskingBank = lender, message: str = "") -> httpx.Response:
            body = {"subject": {"identifier": who.text}, "terms": WANTED, "message": message}
            return by.api("POST", "/v1/consent-requests", json=body, headers={"Idempotency-Key": key})

        for who in (ZHANG, NOBODY):
            key = str(uuid4())
            first, again, others = ask(who, key), ask(who, key), ask(who, key, other)
            assert (first.status_code, again.status_code, others.status_code) == (202, 202, 202), again.text
            assert first.json() == again.json()
            assert others.json()["request_id"] != first.json()["request_id"]  # a key is one system's
            changed = ask(who, key, message="柜台 4 号")
            assert (changed.status_code, changed.json()["code"]) == (409, "idempotency-key-reused")
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent_request").fetchone() == (4,)
