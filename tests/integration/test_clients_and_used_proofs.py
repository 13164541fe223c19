"""Registered systems and the ledger of used proofs, in the database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from exchange.admission import settling, suspending
from exchange.errors import KeyRefused, RequestRefused
from exchange.oauth import clients, spending
from exchange.oauth.scopes import SCOPES_OF, Role
from exchange.oauth.spending import Issue, Outcome, Spend
from registry import clock
from registry.canonical import b64url
from registry.database import Database
from registry.suites import Es256Key
from tests.reachable import CONTACT

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Es256Key(b"\x02" * 32)
JWK = {"kty": "EC", "crv": "P-256", "x": b64url(KEY.public[1:33]), "y": b64url(KEY.public[33:])}
JWKS = {"keys": [JWK]}


def register(database: Database, client_id: str = "lender-one", **more: Any) -> frozenset[str]:
    stated: dict[str, Any] = {
        "role": Role.LENDER,
        "organisation": "o",
        "jwks": JWKS,
        "now": NOON,
        "contact": CONTACT,
    } | more
    with database.transaction() as tx:
        return clients.register(tx, client_id, **stated)


def issue(database: Database, *asked: Issue) -> list[Outcome]:
    with database.transaction() as tx:
        return spending.issue(tx, asked)


def issue_of(client: clients.Registration, assertion: bytes, proof: bytes) -> Issue:
    until = NOON + timedelta(minutes=1)
    return Issue(client.client_id, client.jwks_text, Spend(assertion * 32, until), Spend(proof * 32, until))


@pytest.fixture
def client(database: Database) -> clients.Registration:
    register(database)
    with database.transaction() as tx:
        found = clients.read(tx, "lender-one")
    assert found is not None
    return found


def test_a_client_gets_all_scopes_of_its_role_and_none_of_another(database: Database) -> None:
    assert register(database) == SCOPES_OF[Role.LENDER]
    with pytest.raises(RequestRefused, match="scope"):
        register(database, "lender-two", scopes=["audit:read"])


@pytest.mark.parametrize("client_id", ["", "ab", "x" * 65, "a b", "贷款机构", "a/b", "a\n"])
def test_a_client_id_is_short_and_plain(database: Database, client_id: str) -> None:
    with pytest.raises(RequestRefused):
        register(database, client_id)


def test_a_client_id_is_taken_once(database: Database) -> None:
    register(database)
    with pytest.raises(RequestRefused, match="taken"):
        register(database, same_organisation=True)
    with pytest.raises(RequestRefused, match="has a client already"):
        register(database)


def test_a_lender_is_not_registered_until_it_is_said_how_it_is_reached(database: Database) -> None:
    with pytest.raises(RequestRefused, match="office, phone and address"):
        register(database, contact=None)
    assert register(database, "office", role=Role.REGULATOR, organisation="office", contact=None)
    assert register(database)
    assert register(database, "lender-two", contact=None, same_organisation=True), "its organisation's stands"


def test_private_keys_are_not_registered(database: Database) -> None:
    with pytest.raises(KeyRefused, match="private"):
        register(database, jwks={"keys": [JWK | {"d": "AAAA"}]})


def test_in_one_batch_the_first_of_two_with_the_same_assertion_wins(
    database: Database, client: clients.Registration
) -> None:
    one, other = issue_of(client, b"a", b"p"), issue_of(client, b"a", b"q")
    assert issue(database, one, other) == [Outcome.ISSUED, Outcome.ASSERTION_REPLAYED]


def test_what_was_spent_in_one_transaction_is_spent_in_the_next(
    database: Database, client: clients.Registration
) -> None:
    assert issue(database, issue_of(client, b"a", b"p")) == [Outcome.ISSUED]
    assert issue(database, issue_of(client, b"b", b"p"), issue_of(client, b"a", b"r")) == [
        Outcome.PROOF_REPLAYED,
        Outcome.ASSERTION_REPLAYED,
    ]


def test_keys_that_changed_since_the_assertion_was_checked_give_no_token(
    database: Database, client: clients.Registration
) -> None:
    other = Es256Key(b"\x03" * 32).public
    changed = {"keys": [JWK | {"x": b64url(other[1:33]), "y": b64url(other[33:])}]}
    with database.transaction() as tx:
        tx.execute("UPDATE client SET jwks = %s WHERE client_id = %s", (Jsonb(changed), client.client_id))
    assert issue(database, issue_of(client, b"a", b"p")) == [Outcome.CLIENT_CHANGED]


def test_used_proofs_are_forgotten_only_after_they_could_no_longer_be_used(
    database: Database, client: clients.Registration
) -> None:
    issue(database, issue_of(client, b"a", b"p"))
    with database.transaction() as tx:
        assert spending.forget_expired(tx, now=NOON + timedelta(minutes=5)) == 0
        assert spending.forget_expired(tx, now=NOON + timedelta(minutes=7)) == 2


# ---- a client that is changed at that moment ------------------------------------------------------------------------


def changed(database: Database, how: str, began: datetime) -> Any:
    """Change a client, and give the moment up to which its tokens have ended."""
    with database.transaction() as tx:
        if how == "suspended":
            assert suspending.suspend(tx, "lender-one", actor="operator", now=began)
        else:
            assert settling.set_certificate(tx, "lender-one", None, actor="operator", now=began)
        row = tx.execute("SELECT tokens_from FROM client WHERE client_id = 'lender-one'").fetchone()
    return None if row is None else row[0]


def wait_for_a_lock(database: Database) -> None:
    """Wait until somebody in this database waits for a lock."""
    until = monotonic() + 10
    while monotonic() < until:
        with database.transaction() as tx:  # each time another: what is read of activity stands until its end
            (waiting,) = tx.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchall()[0]
        if waiting:
            return
        sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("how", ["suspended", "certificate"])
def test_a_token_that_is_being_issued_when_its_client_changes_is_one_of_before(
    database: Database, client: clients.Registration, how: str
) -> None:
    began = clock.now()
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as tx:
            written = clock.now()  # after the change began, and before the row is shared
            assert spending.issue(tx, [issue_of(client, b"a", b"p")]) == [Outcome.ISSUED]
            change = pool.submit(changed, database, how, began)
            wait_for_a_lock(database)
        moment = change.result(timeout=10)
    assert moment is not None
    assert moment > written, "the door refuses it"


def test_a_token_that_comes_while_its_client_is_being_suspended_is_not_issued(
    database: Database, client: clients.Registration
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as tx:
            assert suspending.suspend(tx, "lender-one", actor="operator", now=clock.now())
            asked = pool.submit(issue, database, issue_of(client, b"a", b"p"), issue_of(client, b"b", b"q"))
            wait_for_a_lock(database)
        assert asked.result(timeout=10) == [Outcome.CLIENT_CHANGED] * 2


def test_of_several_clients_in_one_batch_each_is_held_against_its_own_row(
    database: Database, client: clients.Registration
) -> None:
    register(database, "a-lender", same_organisation=True)
    with database.transaction() as tx:
        other = clients.read(tx, "a-lender")
        assert other is not None
        assert suspending.suspend(tx, "lender-one", actor="operator", now=clock.now())
    asked = [issue_of(client, b"a", b"p"), issue_of(other, b"b", b"q"), issue_of(client, b"c", b"r")]
    assert issue(database, *asked) == [Outcome.CLIENT_CHANGED, Outcome.ISSUED, Outcome.CLIENT_CHANGED]
