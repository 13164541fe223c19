"""Codes redeemed in batches, by several processes at once."""

import threading
from datetime import timedelta
from typing import Final

from exchange.home import Home
from exchange.oauth import codes
from exchange.oauth.spending import Issue, Outcome, Redeem, Spend
from registry import clock
from tests.waiting import until_somebody_waits

_CLIENT: Final = "bank-one"
_JOIN_SECONDS: Final = 30
_LOCK: Final = "SELECT FROM authorization_request WHERE code_digest = %s FOR UPDATE NOWAIT"  # raises if it is held


def waiting_code(home: Home, code: str) -> bytes:
    """Keep a code that waits to be redeemed; give its digest."""
    digest, now = codes.digest_of_code(code), clock.now()
    with home.database.transaction() as tx:
        tx.execute(
            "INSERT INTO authorization_request (digest, client_id, recipient, redirect_uri, code_challenge, dpop_jkt,"
            " scopes, wanted, created_at, expires_at, tries, settled_at, outcome, granted, code_digest, code_until)"
            " VALUES (%s, %s, 'a bank', 'https://bank.example/', '', '', '{}', '{}', %s, %s, 0, %s, 'agreed', '{}',"
            " %s, %s)",
            (digest, _CLIENT, now, now + timedelta(hours=1), now, digest, now + timedelta(minutes=1)),
        )
    return digest


def issue(code_digest: bytes) -> Issue:
    now = clock.now()
    spend, wanted = Spend(b"", now), Redeem(code_digest, f"jti-{code_digest.hex()}", now, now + timedelta(minutes=5))
    return Issue(_CLIENT, "", spend, spend, wanted)


def test_whoever_waits_for_a_code_holds_none_behind_it_in_whatever_order_they_came(exchange_home: Home) -> None:
    """So two processes with the same codes do not wait for each other in a ring."""
    first, last = sorted(waiting_code(exchange_home, code) for code in ("one", "another"))
    found: list[Outcome] = []

    def redeem() -> None:
        with exchange_home.database.transaction() as tx:
            found.extend(codes.redeem(tx, [issue(last), issue(first)], [Outcome.ISSUED, Outcome.ISSUED]))

    thread = threading.Thread(target=redeem)
    with exchange_home.database.transaction() as tx:
        tx.execute(_LOCK, (first,))
        thread.start()
        until_somebody_waits(exchange_home)
        assert tx.execute(_LOCK, (last,)).rowcount == 1
    thread.join(_JOIN_SECONDS)
    assert found == [Outcome.ISSUED, Outcome.ISSUED]


def test_each_outcome_stands_where_its_token_was_asked_for(exchange_home: Home) -> None:
    first, last = sorted(waiting_code(exchange_home, code) for code in ("one", "another"))
    batch = [issue(last), issue(first), issue(last)]
    with exchange_home.database.transaction() as tx:
        assert codes.redeem(tx, batch, [Outcome.ISSUED, Outcome.PROOF_REPLAYED, Outcome.ISSUED]) == [
            Outcome.ISSUED,
            Outcome.PROOF_REPLAYED,
            Outcome.CODE_SPENT,
        ]
        assert codes.redeem(tx, [issue(first)], [Outcome.ISSUED]) == [Outcome.ISSUED]  # a replay used nothing up
