"""Attacks on the token endpoint: each must end without a token."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from psycopg.types.json import Jsonb

from exchange.home import Home
from exchange.oauth import clients
from registry.canonical import b64url
from registry.suites import hmac_sha256
from tests.attacks.bent_client import ISSUER, TOKEN_URL, Caller, Door, FromNow, registered
from tests.attacks.fapi_modules import oidf
from tests.standing import Standing

STANDING = True


def refused(answer: Any, error: str, status: int) -> bool:
    assert "access_token" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    return (answer.json()["error"], answer.status_code) == (error, status)


def test_a_registered_lender_gets_a_bound_token_of_ten_minutes(door: Door, lender: Caller) -> None:
    answer = lender.ask(door, scope="queries")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("DPoP", 600, "queries")
    keys = door.call("GET", f"{ISSUER}/oauth/jwks").json()["keys"]
    token = jwt.decode(body["access_token"], ECKey.import_key(keys[0]), algorithms=["ES256"])  # by another library
    assert token.header["typ"] == "at+jwt"
    assert token.claims["cnf"] == {"jkt": lender.proof_key.thumbprint()}
    assert token.claims["exp"] - token.claims["iat"] <= 600
    assert (token.claims["iss"], token.claims["aud"]) == (ISSUER, f"{ISSUER}/api")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", RSAKey.generate_key(2048, {"kid": "r"})),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "e"})),
        ("EdDSA", OKPKey.generate_key("Ed25519", {"kid": "e"})),
    ],
)
def test_every_algorithm_that_is_promised_works(door: Door, exchange_home: Home, algorithm: str, key: Any) -> None:
    caller = registered(exchange_home, Caller("other-kind", key, key, algorithm))
    assert caller.get(door, caller.token(door)).status_code == 200


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_no_proof_no_token(door: Door, lender: Caller) -> None:
    answer = door.call("POST", TOKEN_URL, data=lender.form())
    assert refused(answer, "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_two_proofs_are_none(door: Door, lender: Caller) -> None:
    proofs = [("DPoP", lender.proof("POST", TOKEN_URL)), ("DPoP", lender.proof("POST", TOKEN_URL))]
    assert refused(door.call("POST", TOKEN_URL, data=lender.form(), headers=proofs), "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_a_proof_that_was_used_is_refused(door: Door, lender: Caller) -> None:
    proof = lender.proof("POST", TOKEN_URL)
    assert lender.ask(door, proof).status_code == 200
    assert refused(lender.ask(door, proof), "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
def test_an_assertion_that_was_used_is_refused_also_after_a_restart(
    door: Door, lender: Caller, standing: Standing
) -> None:
    assertion = lender.assertion()
    assert lender.ask(door, client_assertion=assertion).status_code == 200
    assert refused(lender.ask(door, client_assertion=assertion), "invalid_client", 401)
    with standing.anew() as restarted:
        assert refused(lender.ask(restarted, client_assertion=assertion), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
def test_of_many_at_once_with_one_assertion_exactly_one_gets_a_token(door: Door, lender: Caller) -> None:
    form = lender.form()
    requests = [
        ("POST", TOKEN_URL, {"data": form, "headers": {"DPoP": lender.proof("POST", TOKEN_URL)}}) for _ in range(20)
    ]
    statuses = sorted(answer.status_code for answer in door.together(*requests))
    assert statuses == [200] + [401] * 19


@oidf("fapi2-security-profile-final-ensure-client-assertion-with-wrong-aud-fails")
@pytest.mark.parametrize(
    "audience",
    [TOKEN_URL, [ISSUER], [ISSUER, "https://elsewhere.example"], f"{ISSUER}/", "https://elsewhere.example", None],
)
def test_the_audience_is_the_issuer_as_one_string(door: Door, lender: Caller, audience: Any) -> None:
    answer = lender.ask(door, client_assertion=lender.assertion(aud=audience))
    assert refused(answer, "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
@pytest.mark.parametrize(
    "bent",
    [
        {"exp": FromNow(-5)},
        {"exp": FromNow(3600)},
        {"exp": FromNow(10 * 365 * 86400)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 10**30},
        {"iat": FromNow(3600)},
        {"nbf": FromNow(3600)},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 300},
        {"jti": ["a"]},
        {"sub": "lender-two"},
        {"iss": "lender-two"},
        {"iss": ["lender-one"], "sub": ["lender-one"]},
        {"iss": None},
    ],
)
def test_an_assertion_with_a_bent_claim_is_refused(door: Door, lender: Caller, bent: dict[str, Any]) -> None:
    answer = lender.ask(door, client_assertion=lender.assertion(**bent))
    assert refused(answer, "invalid_client", 401)


def test_ten_seconds_ahead_is_a_clock_and_not_an_attack(door: Door, lender: Caller) -> None:
    ahead = int(time.time()) + 10
    assert lender.ask(door, client_assertion=lender.assertion(iat=ahead, nbf=ahead)).status_code == 200


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
def test_alg_none_is_refused(door: Door, lender: Caller) -> None:
    signed = lender.assertion({"alg": "ES256"})
    header, claims, _ = signed.split(".")
    none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    assert refused(lender.ask(door, client_assertion=f"{none}.{claims}."), "invalid_client", 401)
    assert refused(lender.ask(door, client_assertion=f"{header}.{claims}."), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-signed-client-assertion-with-RS256-fails")
def test_rs256_is_refused_even_from_a_registered_rsa_key(door: Door, exchange_home: Home) -> None:
    caller = registered(exchange_home, Caller("rsa-lender", RSAKey.generate_key(2048, {"kid": "r"})))
    caller.algorithm = "PS256"
    assert refused(
        caller.ask(
            door, caller.proof("POST", TOKEN_URL, key=caller.key), client_assertion=caller.assertion({"alg": "RS256"})
        ),
        "invalid_client",
        401,
    )


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
def test_an_hmac_keyed_with_the_public_key_is_refused(door: Door, lender: Caller) -> None:
    _, claims, _ = lender.assertion().split(".")
    header = b64url(b'{"alg":"HS256","kid":"k1","typ":"JWT"}')
    signature = b64url(hmac_sha256(lender.key.as_pem(private=False), f"{header}.{claims}".encode()))
    assert refused(lender.ask(door, client_assertion=f"{header}.{claims}.{signature}"), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-client-id-in-token-endpoint")
def test_another_lenders_key_does_not_speak_for_this_one(door: Door, lender: Caller, other_lender: Caller) -> None:
    forged = other_lender.assertion(iss=lender.client_id, sub=lender.client_id)
    assert refused(lender.ask(door, client_assertion=forged), "invalid_client", 401)
    honest = lender.assertion()
    assert refused(lender.ask(door, client_assertion=honest, client_id="lender-two"), "invalid_client", 401)


def test_unknown_and_suspended_clients_get_the_same_answer(door: Door, lender: Caller, exchange_home: Home) -> None:
    lender.token(door)  # so that this process remembers the client
    unknown = Caller("nobody").ask(door)
    with exchange_home.database.transaction() as tx:
        assert clients.set_state(tx, lender.client_id, clients.SUSPENDED)
    lender.ask(door)  # what was remembered is compared with the row, refused and forgotten
    suspended = lender.ask(door)
    assert refused(unknown, "invalid_client", 401)
    assert (unknown.status_code, unknown.json()) == (suspended.status_code, suspended.json())


def test_suspension_bites_at_once_in_a_process_that_remembers_the_client(
    door: Door, lender: Caller, exchange_home: Home
) -> None:
    lender.token(door)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, lender.client_id, clients.SUSPENDED)
    assert refused(lender.ask(door), "invalid_client", 401)


def test_a_replaced_key_is_refused_at_once_and_the_new_one_taken(
    door: Door, lender: Caller, exchange_home: Home
) -> None:
    lender.token(door)
    successor = Caller(lender.client_id)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE client SET jwks = %s WHERE client_id = %s", (Jsonb(successor.jwks), lender.client_id))
    assert refused(lender.ask(door), "invalid_client", 401)
    assert successor.ask(door).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "grant_type=client_credentials&grant_type=client_credentials",
        "scope=queries&scope=consents&grant_type=client_credentials",
        "client_assertion=a&client_assertion=b&grant_type=client_credentials",
        "grant_type",
        "%ff%fe=1&grant_type=client_credentials",
    ],
)
def test_a_repeated_or_unreadable_parameter_is_refused(door: Door, lender: Caller, body: str) -> None:
    headers = {"DPoP": lender.proof("POST", TOKEN_URL), "Content-Type": "application/x-www-form-urlencoded"}
    assert refused(door.call("POST", TOKEN_URL, content=body, headers=headers), "invalid_request", 400)


def test_parameters_in_the_address_are_refused(door: Door, lender: Caller) -> None:
    url = f"{TOKEN_URL}?grant_type=client_credentials"
    answer = door.call("POST", url, data=lender.form(), headers={"DPoP": lender.proof("POST", TOKEN_URL)})
    assert refused(answer, "invalid_request", 400)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded; charset=gbk"]
)
def test_another_content_type_is_refused(door: Door, lender: Caller, kind: str) -> None:
    headers = {"DPoP": lender.proof("POST", TOKEN_URL), "Content-Type": kind}
    answer = door.call("POST", TOKEN_URL, content=b"grant_type=client_credentials", headers=headers)
    assert refused(answer, "invalid_request", 400)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_not_read(door: Door, lender: Caller, *, declared: bool) -> None:
    async def pieces() -> Any:
        for _ in range(80):
            yield b"x" * 1024

    headers = {"DPoP": lender.proof("POST", TOKEN_URL), "Content-Type": "application/x-www-form-urlencoded"}
    answer = door.call("POST", TOKEN_URL, content=b"x" * 81_920 if declared else pieces(), headers=headers)
    assert answer.status_code == 413


@oidf("fapi2-security-profile-final-ensure-client-assertion-in-token-endpoint")
@pytest.mark.parametrize(
    "fields",
    [
        {"client_assertion": None},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": "not-a-jwt"},
        {"client_assertion": "a.b.c"},
        {"client_assertion": "e30.e30."},
    ],
)
def test_no_other_way_to_authenticate(door: Door, lender: Caller, fields: dict[str, str | None]) -> None:
    assert refused(lender.ask(door, **fields), "invalid_client", 401)


def test_a_secret_beside_the_assertion_is_refused(door: Door, lender: Caller) -> None:
    assert refused(lender.ask(door, client_secret="guess"), "invalid_request", 400)
    headers = {"DPoP": lender.proof("POST", TOKEN_URL), "Authorization": "Basic bGVuZGVyLW9uZTpn"}
    answer = door.call("POST", TOKEN_URL, data=lender.form(), headers=headers)
    assert refused(answer, "invalid_request", 400)


@pytest.mark.parametrize(
    "grant", ["password", "refresh_token", "implicit", "urn:ietf:params:oauth:grant-type:device_code", None]
)
def test_no_other_grant(door: Door, lender: Caller, grant: str | None) -> None:
    answer = lender.ask(door, grant_type=grant)
    assert refused(answer, "unsupported_grant_type", 400)


def test_a_code_grant_without_a_code_is_none(door: Door, lender: Caller) -> None:
    assert refused(lender.ask(door, grant_type="authorization_code"), "invalid_request", 400)


@pytest.mark.parametrize("scope", ["audit:read", "queries audit:read", "admin", "queries  consents", "QUERIES"])
def test_a_scope_of_another_role_is_refused(door: Door, lender: Caller, scope: str) -> None:
    assert refused(lender.ask(door, scope=scope), "invalid_scope", 400)


def test_a_token_for_another_resource_is_refused(door: Door, lender: Caller) -> None:
    assert refused(lender.ask(door, resource="https://elsewhere.example"), "invalid_target", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
@pytest.mark.parametrize(
    "bent",
    [
        {"htm": "GET"},
        {"htm": "post"},
        {"htu": "https://elsewhere.example/oauth/token"},
        {"htu": f"{ISSUER}/v1/queries"},
        {"htu": "http://exchange.example/oauth/token"},
        {"htu": "https://exchange.example:8443/oauth/token"},
        {"htu": "https://[::1"},
        {"iat": FromNow(-600)},
        {"iat": FromNow(600)},
        {"iat": None},
        {"jti": None},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"typ": ["dpop+jwt"]}},
        {"header": {"jwk": None}},
        {"header": {"jwk": ECKey.generate_key("P-256").as_dict(private=False)}},
        {"header": {"jwk": {"kty": ["EC"], "crv": {}}}},
        {"ath": "abc"},
    ],
)
def test_a_bent_proof_is_refused(door: Door, lender: Caller, bent: dict[str, Any]) -> None:
    assert refused(lender.ask(door, lender.proof("POST", TOKEN_URL, **bent)), "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_a_proof_that_shows_its_private_key_is_refused(door: Door, lender: Caller) -> None:
    proof = lender.proof("POST", TOKEN_URL, header={"jwk": lender.proof_key.as_dict(private=True)})
    assert refused(lender.ask(door, proof), "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
@pytest.mark.parametrize("curve", ["P-384", "secp256k1"])
def test_a_proof_of_another_curve_is_refused(door: Door, lender: Caller, curve: str) -> None:
    key = ECKey.generate_key(curve)
    header, claims, signature = lender.proof("POST", TOKEN_URL, header={"jwk": key.as_dict(private=False)}).split(".")
    assert refused(lender.ask(door, f"{header}.{claims}.{signature}"), "invalid_dpop_proof", 400)


@oidf("fapi2-security-profile-final-dpop-negative-tests")
def test_the_address_in_the_proof_is_ours_and_not_the_one_in_the_host_header(door: Door, lender: Caller) -> None:
    headers = {"DPoP": lender.proof("POST", "https://elsewhere.example/oauth/token"), "Host": "elsewhere.example"}
    answer = door.call("POST", TOKEN_URL, data=lender.form(), headers=headers)
    assert refused(answer, "invalid_dpop_proof", 400)


def test_a_refusal_never_repeats_what_was_sent(door: Door, lender: Caller) -> None:
    secret = "630222199901010001"
    answers = [
        lender.ask(door, scope=secret),
        lender.ask(door, grant_type=secret),
        lender.ask(door, resource=secret),
        lender.ask(door, client_assertion=lender.assertion(aud=secret)),
        lender.ask(door, lender.proof("POST", TOKEN_URL, htm=secret)),
    ]
    assert all(answer.status_code in {400, 401} and secret not in answer.text for answer in answers)
