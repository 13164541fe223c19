"""Attacks on a lender's door to its own registration: keys that are changed, and by whom."""

import json
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from joserfc.jwk import OKPKey

from exchange.admission import expiring, keyrings, notes, settling
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role, Scope
from registry import clock
from tests.attacks.bent_client import ISSUER, Caller, Door, Key, registered
from tests.reachable import CONTACT
from tests.registering import fresh_key, key_proof
from tests.standing import Standing

CLIENT = f"{ISSUER}/v1/client"
KEYS = f"{CLIENT}/keys"


@pytest.fixture
def exchange_home(standing: Standing) -> Home:
    return standing.emptied()


@pytest.fixture
def doors(standing: Standing) -> tuple[Door, Door]:
    """Two applications over one database, as two processes are."""
    return standing.door("one"), standing.door("other")


@pytest.fixture
def lender(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("lender-one"))


def tag(door: Door, lender: Caller, token: str) -> str:
    return str(lender.get(door, token, KEYS).headers["etag"])


def change(door: Door, lender: Caller, keys: list[Key], token: str | None = None, **bent: Any) -> httpx.Response:
    """Put a set in the place of what stands; anything can be overridden. `vouching`: who signs beside the new keys."""
    token = token or lender.token(door)
    vouching: list[Key] = bent.pop("vouching", [lender.key])
    proofs = [key_proof(one, keys, lender.client_id) for one in keys if one is not lender.key]
    stated: dict[str, Any] = {
        "jwks": {"keys": [one.as_dict(private=False) for one in keys]},
        "proofs": bent.pop("proofs", proofs) + [key_proof(one, keys, lender.client_id) for one in vouching],
    }
    headers = {"If-Match": tag(door, lender, token)} | bent.pop("headers", {})
    sent = {name: value for name, value in headers.items() if value is not None}
    return door.call("PUT", KEYS, json=stated | bent, headers=sent | lender.headers("PUT", KEYS, token))


def test_a_new_key_counts_in_every_process_at_once_and_the_old_one_no_more(
    doors: tuple[Door, Door], lender: Caller
) -> None:
    one, other = doors
    new = fresh_key("k2")
    before = lender.token(other)
    changed = change(one, lender, [new])
    assert changed.status_code == 200, changed.text
    assert [key["kid"] for key in changed.json()["keys"]] == ["k2"]
    renewed = Caller(lender.client_id, key=new)
    for door in doors:
        assert lender.ask(door).status_code == 401
        assert lender.get(door, before).status_code == 401, "tokens that were got before end with it"
        assert renewed.ask(door).status_code == 200
    own = renewed.get(other, renewed.token(other), CLIENT).json()
    assert [note["code"] for note in own["notes"]] == ["keys-changed"]
    assert own["notes"][0]["fields"]["leaving"] == [lender.key.thumbprint()]


def test_with_an_overlap_both_are_taken_until_its_end(
    exchange_home: Home, doors: tuple[Door, Door], lender: Caller
) -> None:
    one, other = doors
    new = OKPKey.generate_key("Ed25519", {"kid": "k2"})
    token = lender.token(other)
    assert change(one, lender, [new], overlap_days=7).status_code == 200
    assert lender.get(other, token).status_code == 200
    assert lender.ask(other).status_code == 200
    assert Caller(lender.client_id, key=new, algorithm="Ed25519", proof_key=new).ask(other).status_code == 200
    shown = lender.get(one, lender.token(one), CLIENT).json()["keys"]
    assert {key["kid"]: key["leaves_at"] is not None for key in shown} == {"k1": True, "k2": False}
    later = clock.now() + timedelta(days=7, seconds=1)
    with exchange_home.database.transaction() as tx:
        assert keyrings.let_leave(tx, now=clock.now()) == 0
        assert keyrings.let_leave(tx, now=later) == 1
        assert keyrings.let_leave(tx, now=later) == 0
    assert lender.ask(other).status_code == 401


def test_who_does_not_hold_a_key_puts_it_in_no_set(doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    new, stranger = fresh_key("k2"), fresh_key("k3")
    good = key_proof(new, [new], lender.client_id)
    for proofs in (
        [],
        [good, good],
        [key_proof(new, [new], lender.client_id, signer=stranger)],
        [key_proof(new, [new], "lender-two")],
        [key_proof(new, [new])],
        [key_proof(new, [new, stranger], lender.client_id)],
        [key_proof(new, [new], lender.client_id, aud="https://elsewhere.example")],
        [lender.assertion()],
        ["x"],
    ):
        refused = change(door, lender, [new], proofs=proofs)
        assert (refused.status_code, refused.json()["code"]) == (403, "possession-unproven"), proofs
    assert lender.ask(door).status_code == 200


def test_a_token_alone_changes_no_keys(doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    new = fresh_key("k2")
    for vouching in ([], [fresh_key("k3")], [new], [lender.key, lender.key]):
        refused = change(door, lender, [new], vouching=vouching)
        assert (refused.status_code, refused.json()["code"]) == (403, "possession-unproven")
    assert change(door, lender, [lender.key], vouching=[]).status_code == 403, "nor does it touch the set as it is"
    assert change(door, lender, [new]).status_code == 200


def test_a_key_that_was_replaced_and_stolen_changes_nothing_while_it_is_still_taken(
    doors: tuple[Door, Door], lender: Caller
) -> None:
    door, _ = doors
    new, thiefs = fresh_key("k2"), fresh_key("k3")
    assert change(door, lender, [new], overlap_days=30).status_code == 200
    assert lender.ask(door).status_code == 200, "the old one is still taken"
    sets: list[list[Key]] = [[thiefs], [thiefs, new], [lender.key], [new, lender.key]]
    for keys in sets:
        proofs = [key_proof(one, keys, lender.client_id) for one in keys if one in (thiefs, lender.key)]
        refused = change(door, lender, keys, proofs=proofs)
        assert (refused.status_code, refused.json()["code"]) == (403, "possession-unproven"), (
            "also not to stay for ever"
        )
    owner = Caller(lender.client_id, key=new)
    kept = change(door, owner, [new, lender.key], proofs=[])
    assert (kept.status_code, kept.json()["code"]) == (403, "possession-unproven"), "one that leaves proves itself anew"
    assert change(door, owner, [new, lender.key]).status_code == 200
    shown = owner.get(door, owner.token(door), CLIENT).json()["keys"]
    assert [key["leaves_at"] for key in shown] == [None, None]


def test_tokens_that_were_got_by_a_certificate_end_when_another_takes_its_place(
    exchange_home: Home, doors: tuple[Door, Door], lender: Caller
) -> None:
    door, other = doors
    token = lender.token(door)
    with exchange_home.database.transaction() as tx:
        assert settling.set_certificate(tx, lender.client_id, None, actor="operator", now=clock.now())
    assert lender.get(other, token).status_code == 401
    assert lender.get(other, lender.token(other)).status_code == 200


def test_a_token_that_was_got_after_a_change_began_and_before_it_was_made_ends_too(
    exchange_home: Home, doors: tuple[Door, Door], lender: Caller
) -> None:
    door, other = doors
    began = clock.now()
    token = lender.token(door)
    with exchange_home.database.transaction() as tx:
        assert settling.set_certificate(tx, lender.client_id, None, actor="operator", now=began)
    assert lender.get(other, token).status_code == 401
    began = clock.now()
    token = lender.token(door)
    jwks = Caller(lender.client_id, key=fresh_key("k2")).jwks
    with exchange_home.database.transaction() as tx:
        assert keyrings.replace(tx, lender.client_id, jwks, actor=lender.client_id, now=began)
    assert lender.get(other, token).status_code == 401


def test_notes_are_dropped_after_a_time_but_for_the_latest(exchange_home: Home, lender: Caller) -> None:
    now = clock.now()
    with exchange_home.database.transaction() as tx:
        for place in range(notes.SHOWN + 3):
            notes.leave(tx, lender.client_id, "expiry", {"n": place}, now=now - notes.KEPT_FOR)
        assert notes.forget(tx, now=now) == 0
        assert notes.forget(tx, now=now + timedelta(days=1)) == 3
        assert [fields["n"] for _, fields, _ in notes.latest(tx, lender.client_id)][-1] == 3


def test_a_proof_is_used_once_and_a_key_that_left_never_comes_back(doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    new = fresh_key("k2")
    proof = key_proof(new, [new, lender.key], lender.client_id)
    assert change(door, lender, [new, lender.key], proofs=[proof]).status_code == 200
    assert change(door, lender, [lender.key]).status_code == 200, "it stood: it needs no proof of its own"
    again = change(door, lender, [new, lender.key], proofs=[proof])
    assert (again.status_code, again.json()["code"]) == (403, "possession-unproven")
    back = change(door, lender, [new, lender.key])
    assert (back.status_code, back.json()["code"]) == (409, "key-anothers")


def test_a_change_is_of_the_set_that_was_seen(doors: tuple[Door, Door], lender: Caller) -> None:
    door, other = doors
    token = lender.token(door)
    stale, first, second = tag(door, lender, token), fresh_key("k2"), fresh_key("k3")
    assert change(other, lender, [first, lender.key]).status_code == 200
    for headers in ({"If-Match": stale}, {"If-Match": None}, {"If-Match": "*"}, {"If-Match": '"x"'}):
        refused = change(door, lender, [second, lender.key], token=token, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (412, "keys-changed"), headers


def test_a_set_that_nobody_may_register_takes_nobodys_place(doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    private = lender.key.as_dict(private=True)
    sets: list[dict[str, Any]] = [{"keys": []}, {}, {"keys": [private]}, {"keys": [{"kty": "oct", "k": "x"}]}]
    for jwks in sets:
        assert change(door, lender, [lender.key], jwks=jwks).status_code == 422
    twin = fresh_key("k1")
    refused = change(door, lender, [twin], overlap_days=1)
    assert refused.status_code == 422, "two keys of one name could not be told apart"
    assert change(door, lender, [twin], overlap_days=31).status_code == 422
    assert lender.ask(door).status_code == 200


def test_another_systems_key_is_not_taken_over(exchange_home: Home, doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    other = registered(exchange_home, Caller("lender-two", key=fresh_key("k2")))
    refused = change(door, lender, [other.key])
    assert (refused.status_code, refused.json()["code"]) == (409, "key-anothers")


def test_a_system_without_the_scope_changes_and_sees_nothing(exchange_home: Home, doors: tuple[Door, Door]) -> None:
    door, _ = doors
    caller = Caller("queries-only")
    with exchange_home.database.transaction() as tx:
        clients.register(
            tx, caller.client_id, role=Role.LENDER, organisation="91630000MA0000000X", jwks=caller.jwks,
            scopes=[Scope.QUERIES], now=clock.now(), contact=CONTACT,
        )  # fmt: skip
    token = caller.token(door)
    for method, url in (("GET", CLIENT), ("GET", KEYS), ("PUT", KEYS), ("GET", f"{ISSUER}/v1/staff")):
        answer = door.call(method, url, json={}, headers=caller.headers(method, url, token))
        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


def test_what_ends_soon_is_shown_and_logged_once(exchange_home: Home, doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE client_key SET added_at = now() - interval '390 days' WHERE client_id = 'lender-one'")
    own = lender.get(door, lender.token(door), CLIENT).json()
    assert [(one["what"], one["days"]) for one in own["warnings"]] == [("key", 14)]
    assert expiring.warn(exchange_home) == 1
    assert expiring.warn(exchange_home) == 0
    with exchange_home.database.transaction() as tx:
        ((fields,),) = tx.execute(
            "SELECT fields FROM log_entry WHERE event = 'exchange:client:expiry-warned'"
        ).fetchall()
    assert (fields["client_id"], fields["days"], fields["what"]) == ("lender-one", 14, "key")


def test_members_of_a_key_that_mean_nothing_here_are_not_kept(doors: tuple[Door, Door], lender: Caller) -> None:
    door, _ = doors
    known = lender.key.as_dict(private=False)
    answer = change(door, lender, [lender.key], jwks={"keys": [known | {"x5u": "https://10.0.0.1/x", "note": 10**30}]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["keys"] == [{name: known[name] for name in ("kty", "crv", "x", "y", "kid")}]
    for kid in ("\x00", "\ud800", "a\nb"):
        body = orjson.dumps({"jwks": {"keys": [known | {"kid": "KID"}]}}).replace(b'"KID"', json.dumps(kid).encode())
        token = lender.token(door)
        headers = lender.headers("PUT", KEYS, token) | {"If-Match": tag(door, lender, token)}
        sent = door.call("PUT", KEYS, content=body, headers=headers | {"Content-Type": "application/json"})
        assert sent.status_code == 422, kid
