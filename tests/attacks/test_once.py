"""What is made under an Idempotency-Key is made once, and what was refused has made nothing."""

from uuid import uuid4

import httpx

from exchange.home import Home
from exchange.once import KEPT, forget
from registry import clock
from tests.attacks.test_doors_poisoned import CONSENTS, bank, given
from tests.attacks.test_queries import Bank
from tests.people import LI, ZHANG

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
    assert sent(bank, body, "short").status_code in {400, 422}
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
