"""Attacks on the doors behind the token: each must end without anything being served."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from joserfc.jwk import ECKey

from exchange.home import Home
from exchange.oauth import clients, spending
from exchange.oauth.doors import admissions
from exchange.oauth.guard import Caller as Admitted
from exchange.oauth.guard import Guard, admit
from exchange.oauth.profile import Profile
from exchange.oauth.scopes import Role, Scope
from exchange.oauth.tokens import Grant, Issuer, TokenKeys
from registry import clock
from registry.canonical import b64url, unb64url
from registry.keyring import Purpose
from tests.attacks.bent_client import CATALOGUE_URL, ISSUER, Caller, Door, FromNow, registered, sign
from tests.attacks.fapi_modules import oidf
from tests.standing import Standing

STANDING = True


def refused(answer: Any, code: str, status: int) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("DPoP ")
    return (answer.json()["code"], answer.status_code) == (code, status)


def forged(home: Home, caller: Caller, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token signed with the exchange's own key, as if its signer had been tricked."""
    signer = home.keyring.signing(Purpose.TOKEN)
    key = ECKey.import_key(_private_jwk(home))
    now = int(time.time())
    stated = {
        "iss": ISSUER, "sub": caller.client_id, "client_id": caller.client_id, "aud": f"{ISSUER}/api", "iat": now,
        "exp": now + 300, "jti": "forged", "scope": "queries", "cnf": {"jkt": caller.proof_key.thumbprint()},
    }  # fmt: skip
    named = {"typ": "at+jwt", "alg": "ES256", "kid": signer.key_id}
    return sign(named | (header or {}), stated | claims, key)


def _private_jwk(home: Home) -> dict[str, str | list[str]]:
    key = home.keyring.signing(Purpose.TOKEN)
    return {
        "kty": "EC", "crv": "P-256", "x": b64url(key.public[1:33]), "y": b64url(key.public[33:]),
        "d": b64url(key.private_bytes()),
    }  # fmt: skip


def test_a_token_with_its_proof_opens_the_door(door: Door, lender: Caller) -> None:
    assert lender.get(door, lender.token(door)).status_code == 200


def test_a_forger_with_our_key_would_succeed_so_the_forgeries_below_fail_for_their_own_reason(
    door: Door, lender: Caller, exchange_home: Home
) -> None:
    assert lender.get(door, forged(exchange_home, lender)).status_code == 200


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_a_stolen_token_without_a_proof_is_refused(door: Door, lender: Caller) -> None:
    token = lender.token(door)
    assert refused(door.call("GET", CATALOGUE_URL, headers={"Authorization": f"DPoP {token}"}), "proof-invalid", 401)


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_a_token_as_bearer_is_refused(door: Door, lender: Caller) -> None:
    token = lender.token(door)
    headers = lender.headers("GET", CATALOGUE_URL, token) | {"Authorization": f"Bearer {token}"}
    assert refused(door.call("GET", CATALOGUE_URL, headers=headers), "credentials-missing", 401)


def test_two_authorization_headers_are_refused(door: Door, lender: Caller) -> None:
    token = lender.token(door)
    headers = [
        ("Authorization", f"DPoP {token}"),
        ("Authorization", f"DPoP {token}"),
        ("DPoP", lender.proof("GET", CATALOGUE_URL, token)),
    ]
    assert refused(door.call("GET", CATALOGUE_URL, headers=headers), "credentials-missing", 401)


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_a_stolen_token_with_the_thiefs_own_proof_is_refused(door: Door, lender: Caller, other_lender: Caller) -> None:
    token = lender.token(door)
    assert refused(other_lender.get(door, token), "proof-invalid", 401)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_a_replayed_proof_is_refused_also_after_a_restart(door: Door, lender: Caller, standing: Standing) -> None:
    token = lender.token(door)
    headers = lender.headers("GET", CATALOGUE_URL, token)
    assert door.call("GET", CATALOGUE_URL, headers=headers).status_code == 200
    assert refused(door.call("GET", CATALOGUE_URL, headers=headers), "proof-invalid", 401)
    with standing.anew() as restarted:
        assert refused(restarted.call("GET", CATALOGUE_URL, headers=headers), "proof-invalid", 401)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_of_many_at_once_with_one_proof_exactly_one_is_served(door: Door, lender: Caller) -> None:
    headers = lender.headers("GET", CATALOGUE_URL, lender.token(door))
    answers = door.together(*[("GET", CATALOGUE_URL, {"headers": headers}) for _ in range(20)])
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


@oidf("fapi2-security-profile-final-dpop-negative-tests")
@pytest.mark.parametrize(
    "bent",
    [
        {"htm": "POST"},
        {"htu": f"{ISSUER}/v1/queries"},
        {"htu": "https://elsewhere.example/v1/catalogue"},
        {"ath": None},
        {"ath": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
        {"iat": FromNow(-600)},
        {"header": {"typ": "jwt"}},
    ],
)
def test_a_proof_of_something_else_is_refused(door: Door, lender: Caller, bent: dict[str, Any]) -> None:
    assert refused(lender.get(door, lender.token(door), **bent), "proof-invalid", 401)


def test_a_proof_may_spell_the_same_address_in_another_way(door: Door, lender: Caller) -> None:
    assert lender.get(door, lender.token(door), htu="HTTPS://Exchange.example:443/v1/catalogue").status_code == 200


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": None}, {}),
        ({"typ": "JWT"}, {}),
        ({"alg": "ES384"}, {}),
        ({"kid": "another"}, {}),
        ({"kid": None}, {}),
        ({}, {"iss": "https://elsewhere.example"}),
        ({}, {"aud": ISSUER}),
        ({}, {"aud": [f"{ISSUER}/api"]}),
        ({}, {"aud": None}),
        ({}, {"exp": FromNow(-1)}),
        ({}, {"exp": None}),
        ({}, {"exp": FromNow(86400)}),
        ({}, {"iat": FromNow(300)}),
        ({}, {"cnf": None}),
        ({}, {"cnf": {}}),
        ({}, {"cnf": "x"}),
        ({}, {"client_id": None}),
        ({}, {"jti": None}),
    ],
)
def test_a_token_that_is_not_one_of_ours_is_refused(
    door: Door, lender: Caller, exchange_home: Home, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    token = forged(exchange_home, lender, header | ({"alg": "ES256"} if "alg" in header else {}), **claims)
    if "alg" in header:
        parts = token.split(".")
        token = ".".join([_with_alg(parts[0], header["alg"]), *parts[1:]])
    assert refused(lender.get(door, token), "token-invalid", 401)


def _with_alg(header: str, algorithm: str) -> str:
    return b64url(unb64url(header).replace(b"ES256", algorithm.encode()))


def test_a_client_assertion_is_not_an_access_token(door: Door, lender: Caller) -> None:
    assert refused(lender.get(door, lender.assertion()), "token-invalid", 401)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_with_any_part_changed_is_refused(door: Door, lender: Caller, part: int) -> None:
    parts = lender.token(door).split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]
    assert refused(lender.get(door, ".".join(parts)), "token-invalid", 401)


def test_an_expired_token_is_refused_by_a_process_that_knew_it(exchange_home: Home, lender: Caller) -> None:
    keys, profile = TokenKeys(exchange_home.keyring), Profile(ISSUER)
    guard = Guard(profile, keys)
    early = clock.now()
    grant = Grant(lender.client_id, frozenset({"queries"}), lender.proof_key.thumbprint())
    token = Issuer(ISSUER, profile.resource, keys).issue(grant, now=early)

    def present(at: float) -> object:
        headers = lender.headers("GET", CATALOGUE_URL, token, iat=int(at))
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        moment = datetime.fromtimestamp(at, UTC)
        return guard.verify_presented(raw, "GET", "/v1/catalogue", moment, scope=Scope.QUERIES)

    assert present(early.timestamp() + 599)
    with pytest.raises(Exception, match="expired"):
        present(early.timestamp() + 601)


def test_a_regulators_token_does_not_query_and_a_lenders_does_not_audit(
    door: Door, lender: Caller, regulator: Caller
) -> None:
    audit = f"{ISSUER}/audit/v1/events"
    assert refused(regulator.get(door, regulator.token(door)), "scope-missing", 403)
    answer = lender.get(door, lender.token(door), audit)
    assert refused(answer, "scope-missing", 403)
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_suspended_clients_token_is_refused_at_once(door: Door, lender: Caller, exchange_home: Home) -> None:
    token = lender.token(door)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, lender.client_id, clients.SUSPENDED)
    assert refused(lender.get(door, token), "token-invalid", 401)


def test_a_token_taken_back_is_refused_at_once(door: Door, lender: Caller, exchange_home: Home) -> None:
    token = lender.token(door)
    assert lender.get(door, token).status_code == 200
    jti = orjson.loads(unb64url(token.split(".")[1]))["jti"]
    with exchange_home.database.transaction() as tx:
        spending.revoke(tx, jti, clock.now())
    assert refused(lender.get(door, token), "token-invalid", 401)


def test_one_bad_caller_in_a_batch_fails_alone(door: Door, lender: Caller, exchange_home: Home) -> None:
    suspended = registered(exchange_home, Caller("soon-suspended"), Role.LENDER)
    tokens = [(lender, lender.token(door)), (suspended, suspended.token(door))]
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, suspended.client_id, clients.SUSPENDED)
    requests = [
        ("GET", CATALOGUE_URL, {"headers": caller.headers("GET", CATALOGUE_URL, token)}) for caller, token in tokens * 4
    ]
    statuses = [answer.status_code for answer in door.together(*requests)]
    assert statuses == [200, 401] * 4


def test_a_transaction_that_fails_leaves_the_proof_unused(exchange_home: Home, lender: Caller, door: Door) -> None:
    guard = Guard(Profile(ISSUER), TokenKeys(exchange_home.keyring))
    token = lender.token(door)
    raw = [
        (name.lower().encode(), value.encode()) for name, value in lender.headers("GET", CATALOGUE_URL, token).items()
    ]
    presented = guard.verify_presented(raw, "GET", "/v1/catalogue", clock.now(), scope=Scope.QUERIES)

    with pytest.raises(RuntimeError, match="disk full"), exchange_home.database.transaction() as tx:
        assert isinstance(admit(tx, [presented])[0], Admitted)
        raise RuntimeError("disk full")
    admitted = asyncio.run(admissions(exchange_home.database)(presented)).outcome
    assert isinstance(admitted, Admitted)
    assert (admitted.client_id, admitted.kind) == ("lender-one", "lender")
