"""Cases of the OpenID Foundation's FAPI 2.0 modules that stand nowhere else, on two applications over one database.

In here both live in one interpreter; test_on_two_processes.py runs the same on server processes.

What one process has seen the other refuses: a request is pushed at the first, answered at the second, its code redeemed
at the first again, its token used at the second.
"""

import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from exchange.home import Home
from exchange.oauth.jwks import ALGORITHMS
from tests.asking import PAGE_URL, PAR_URL, REDIRECT, VERIFIER, WANTED, Bank, Browser, back, bank
from tests.attacks.bent_client import CATALOGUE_URL, ISSUER, TOKEN_URL, Caller, Door, FromNow
from tests.attacks.fapi_modules import oidf
from tests.people import ZHANG
from tests.phones import Phone, bound

STANDING = True
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
INTROSPECT = f"{ISSUER}/oauth/introspect"
REVOKE = f"{ISSUER}/oauth/revoke"


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def one(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


@pytest.fixture
def there(one: Bank, second: Door) -> Bank:
    """The same lender, calling the other process."""
    return Bank(second, one.caller)


def asked(lender: Bank, at: Door | None = None, *, proof: str | None = None, **fields: str | None) -> Browser:
    """Push a request, and open its page: at another process, if one is given."""
    pushed = lender.push(proof=proof, **fields)
    assert pushed.status_code == 201, pushed.text
    page = Browser(at or lender.door, lender.caller.client_id, pushed.json()["request_uri"])
    assert page.open().status_code == 200
    return page


def code_of(lender: Bank, phone: Phone, at: Door | None = None, **fields: str | None) -> str:
    return back(asked(lender, at, **fields).agree(phone.secret))["code"]


def failed(answer: httpx.Response, error: str, status: int = 400) -> bool:
    assert "access_token" not in answer.text
    return (answer.status_code, answer.json()["error"]) == (status, error)


def unserved(answer: httpx.Response, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (401, code)


# ---- well behaved clients -------------------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-discovery-end-point-verification")
def test_both_processes_promise_the_profile_and_nothing_weaker(door: Door, second: Door) -> None:
    said = door.call("GET", METADATA).json()
    assert second.call("GET", METADATA).json() == said
    assert said["issuer"] == ISSUER
    addresses = [value for name, value in said.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(addresses) == 7
    assert all(address.startswith(f"{ISSUER}/") for address in addresses)
    assert said["require_pushed_authorization_requests"] is True
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["response_types_supported"] == ["code"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert set(said["grant_types_supported"]) == {"authorization_code", "client_credentials"}
    assert said["authorization_details_types_supported"] == ["credit_data"]
    methods = {name: set(value) for name, value in said.items() if name.endswith("_auth_methods_supported")}
    assert {name.removesuffix("_endpoint_auth_methods_supported") for name in methods} == {
        "token",
        "introspection",
        "revocation",
    }
    assert all(value == {"private_key_jwt"} for value in methods.values())
    for name, value in said.items():
        if "_alg_values_supported" in name:
            assert set(value) == set(ALGORITHMS) == {"ES256", "PS256", "Ed25519", "EdDSA"}
    for key in door.call("GET", said["jwks_uri"]).json()["keys"]:
        assert (key["kty"], key["use"], key["alg"]) == ("EC", "sig", "ES256")
        assert "d" not in key


@oidf(
    "fapi2-security-profile-final-happy-flow",
    "fapi2-security-profile-final-par-without-duplicate-parameters",
)
def test_a_request_pushed_here_is_agreed_to_there_redeemed_here_and_used_there(
    one: Bank, there: Bank, phone: Phone, second: Door
) -> None:
    page = asked(one, second)  # the address has client_id and request_uri, and nothing that was pushed
    sent = back(page.agree(phone.secret))
    assert (sent["iss"], sent["state"], sent["branch"]) == (ISSUER, "st-4711", "7")
    answer = one.redeem(sent["code"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert (given["token_type"], given["scope"], given["expires_in"]) == ("DPoP", "queries", 600)
    assert given["grant_id"] == given["authorization_details"][0]["consent_id"]
    assert "refresh_token" not in given
    assert there.caller.get(second, given["access_token"]).status_code == 200


@oidf("fapi2-security-profile-final-user-rejects-authentication")
def test_a_no_comes_back_as_access_denied_with_state_and_issuer(one: Bank, second: Door) -> None:
    sent = back(asked(one, second).send("refuse"))
    assert sent == {"branch": "7", "error": "access_denied", "iss": ISSUER, "state": "st-4711"}


@oidf("fapi2-security-profile-final-ensure-authorization-request-without-state-success")
def test_a_request_without_state_comes_back_without(one: Bank, phone: Phone, second: Door) -> None:
    assert set(back(asked(one, second, state=None).agree(phone.secret))) == {"branch", "code", "iss"}


@oidf("fapi2-security-profile-final-ensure-authorization-request-without-nonce-success")
def test_a_request_without_nonce_has_none_beside_its_token(one: Bank, phone: Phone) -> None:
    assert "nonce" not in one.redeem(code_of(one, phone)).json()


@pytest.mark.parametrize(
    "length",
    [
        pytest.param(
            64, marks=oidf("fapi2-security-profile-final-ensure-authorization-request-with-64-char-nonce-success")
        ),
        pytest.param(512, marks=oidf("fapi2-security-profile-final-ensure-authorization-request-with-long-nonce")),
    ],
)
def test_a_nonce_comes_back_whole(one: Bank, phone: Phone, length: int) -> None:
    nonce = "n" * length
    assert one.redeem(code_of(one, phone, nonce=nonce)).json()["nonce"] == nonce


@oidf("fapi2-security-profile-final-ensure-authorization-request-with-long-nonce")
def test_a_nonce_that_is_too_long_is_refused_at_once_and_never_cut(one: Bank) -> None:
    assert failed(one.push(nonce="n" * 513), "invalid_request")


@oidf("fapi2-security-profile-final-ensure-authorization-request-with-long-state")
@pytest.mark.parametrize("length", [128, 384, 512])
def test_a_long_state_comes_back_whole(one: Bank, second: Door, length: int) -> None:
    state = "s" * (length - 2) + "&="
    assert back(asked(one, second, state=state).send("refuse"))["state"] == state


@oidf("fapi2-security-profile-final-ensure-authorization-request-with-long-state")
def test_a_state_that_is_too_long_is_refused_at_once_and_never_cut(one: Bank) -> None:
    assert failed(one.push(state="s" * 513), "invalid_request")


@oidf("fapi2-security-profile-final-ensure-other-scope-order-succeeds")
@pytest.mark.parametrize("scope", ["queries consents", "consents queries"])
def test_the_order_of_scopes_is_of_no_matter(one: Bank, phone: Phone, door: Door, scope: str) -> None:
    assert one.caller.ask(door, scope=scope).json()["scope"] == "consents queries"
    assert one.redeem(code_of(one, phone, scope=scope)).json()["scope"] == "queries"


@oidf("fapi2-security-profile-final-access-token-type-header-case-sensitivity")
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP", "dPoP"])
def test_the_scheme_is_read_in_any_case(one: Bank, door: Door, scheme: str) -> None:
    token = one.caller.token(door)
    headers = one.caller.headers("GET", CATALOGUE_URL, token) | {"Authorization": f"{scheme} {token}"}
    assert door.call("GET", CATALOGUE_URL, headers=headers).status_code == 200


# ---- clocks and proofs ----------------------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-check-dpop-proof-nbf-exp")
def test_a_proof_may_carry_nbf_and_exp(one: Bank, door: Door, second: Door) -> None:
    more: dict[str, Any] = {"nbf": FromNow(0), "exp": FromNow(300)}
    answer = one.caller.ask(door, one.caller.proof("POST", TOKEN_URL, **more))
    assert answer.status_code == 200
    assert one.caller.get(second, answer.json()["access_token"], **more).status_code == 200


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(
            -10, marks=oidf("fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-before-succeeds")
        ),
        pytest.param(10, marks=oidf("fapi2-security-profile-final-ensure-dpopproof-with-iat-10seconds-after-succeeds")),
    ],
)
def test_ten_seconds_are_a_clock_at_every_door(one: Bank, phone: Phone, second: Door, seconds: int) -> None:
    when: dict[str, Any] = {"iat": FromNow(seconds)}
    page = asked(one, second, proof=one.caller.proof("POST", PAR_URL, **when), dpop_jkt=None)
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    proof = one.caller.proof("POST", TOKEN_URL, **when)
    answer = one.caller.ask(second, proof, code=back(page.agree(phone.secret))["code"], **form)
    assert answer.status_code == 200
    assert one.caller.get(second, answer.json()["access_token"], **when).status_code == 200


@oidf("fapi2-security-profile-final-dpop-negative-tests")
@pytest.mark.parametrize("seconds", [-75, 75])
@pytest.mark.parametrize("where", ["par", "token", "resource"])
def test_more_than_a_minute_is_no_clock_at_any_door(one: Bank, door: Door, where: str, seconds: int) -> None:
    when: dict[str, Any] = {"iat": FromNow(seconds)}
    if where == "par":
        assert failed(one.push(proof=one.caller.proof("POST", PAR_URL, **when)), "invalid_dpop_proof")
    elif where == "token":
        assert failed(one.caller.ask(door, one.caller.proof("POST", TOKEN_URL, **when)), "invalid_dpop_proof")
    else:
        assert unserved(one.caller.get(door, one.caller.token(door), **when), "proof-invalid")


@oidf("fapi2-security-profile-final-dpop-negative-tests")
@pytest.mark.parametrize("where", ["par", "token", "resource"])
def test_a_proof_that_one_process_has_seen_the_other_refuses(
    one: Bank, there: Bank, door: Door, second: Door, where: str
) -> None:
    if where == "par":
        proof = one.caller.proof("POST", PAR_URL)
        assert one.push(proof=proof).status_code == 201
        assert failed(there.push(proof=proof), "invalid_client", 401)
    elif where == "token":
        proof = one.caller.proof("POST", TOKEN_URL)
        assert one.caller.ask(door, proof).status_code == 200
        assert failed(one.caller.ask(second, proof), "invalid_dpop_proof")
    else:
        headers = one.caller.headers("GET", CATALOGUE_URL, one.caller.token(door))
        assert door.call("GET", CATALOGUE_URL, headers=headers).status_code == 200
        assert unserved(second.call("GET", CATALOGUE_URL, headers=headers), "proof-invalid")


# ---- whose key a code is bound to -----------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-ensure-dpop-auth-code-binding-success")
def test_a_code_is_bound_to_a_thumbprint_that_was_stated(one: Bank, there: Bank, phone: Phone) -> None:
    assert there.redeem(code_of(one, phone, dpop_jkt=one.caller.proof_key.thumbprint())).status_code == 200


@oidf("fapi2-security-profile-final-ensure-dpopproof-at-par-endpoint-binding-success")
def test_a_code_is_bound_to_the_key_of_the_proof_beside_the_request(one: Bank, there: Bank, phone: Phone) -> None:
    page = asked(one, there.door, proof=one.caller.proof("POST", PAR_URL), dpop_jkt=None)
    assert there.redeem(back(page.agree(phone.secret))["code"]).status_code == 200


@pytest.mark.parametrize(
    "by_proof",
    [
        pytest.param(
            True, marks=oidf("fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt")
        ),
        pytest.param(
            False, marks=oidf("fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-jkt")
        ),
    ],
)
def test_a_code_goes_to_no_other_key_at_either_process(one: Bank, there: Bank, phone: Phone, *, by_proof: bool) -> None:
    proof = one.caller.proof("POST", PAR_URL) if by_proof else None
    page = asked(one, proof=proof, **({"dpop_jkt": None} if by_proof else {}))
    code, right = back(page.agree(phone.secret))["code"], one.caller.proof_key
    one.caller.proof_key = Caller("x").proof_key
    assert failed(one.redeem(code), "invalid_grant")
    assert failed(there.redeem(code), "invalid_grant")
    one.caller.proof_key = right
    assert there.redeem(code).status_code == 200


# ---- authorization requests -----------------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-ensure-unsigned-authorization-request-without-using-par-fails")
@pytest.mark.parametrize("beside", [{}, {"request_uri": ""}, {"request": "eyJhbGciOiJub25lIn0.e30."}])
def test_a_whole_request_in_the_address_leads_nowhere(one: Bank, door: Door, beside: dict[str, str]) -> None:
    form = one.form()
    asked_openly = {name: form[name] for name in form if not name.startswith("client_assertion")} | beside
    answer = door.call("GET", PAGE_URL, params=asked_openly)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@oidf("fapi2-security-profile-final-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds")
def test_a_page_that_was_opened_and_left_is_opened_again_elsewhere(one: Bank, phone: Phone, second: Door) -> None:
    page = asked(one)
    again = Browser(second, page.client_id, page.request_uri)
    assert again.open().status_code == 200
    assert one.redeem(back(again.agree(phone.secret))["code"]).status_code == 200


@oidf("fapi2-security-profile-final-par-attempt-reuse-request_uri")
@pytest.mark.parametrize("answer", ["agree", "refuse"])
def test_a_request_that_was_answered_here_is_gone_there(one: Bank, phone: Phone, second: Door, answer: str) -> None:
    page = asked(one)
    left_open = Browser(second, page.client_id, page.request_uri)
    left_open.open()
    sent = page.send(answer, identifier=ZHANG.text, code=page.code(phone.secret))
    assert sent.status_code == 303
    late = left_open.send("agree", identifier=ZHANG.text, code=left_open.code(phone.secret, later=1))
    assert late.status_code == 400
    assert "location" not in late.headers
    assert left_open.open().status_code == 400


@oidf("fapi2-security-profile-final-par-attempt-to-use-expired-request_uri")
def test_a_request_uri_that_is_over_opens_nothing(one: Bank, phone: Phone, second: Door, exchange_home: Home) -> None:
    page = asked(one)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE authorization_request SET expires_at = now() - interval '1 second'")
    assert page.agree(phone.secret).status_code == 400
    assert Browser(second, page.client_id, page.request_uri).open().status_code == 400
    assert one.push().json()["expires_in"] < 600


@oidf("fapi2-security-profile-final-par-attempt-invalid-http-method")
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_requests_are_pushed_by_post_alone(one: Bank, door: Door, method: str) -> None:
    answer = (
        door.call(method, PAR_URL, params=one.form())
        if method == "GET"
        else door.call(method, PAR_URL, data=one.form())
    )
    assert answer.status_code == 405
    assert "request_uri" not in answer.text


@oidf("fapi2-security-profile-final-ensure-registered-redirect-uri")
def test_nobody_is_sent_to_an_address_that_another_lender_registered(
    one: Bank, door: Door, exchange_home: Home
) -> None:
    other = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    assert failed(one.push(redirect_uri=other.redirect), "invalid_request")


# ---- client authentication ------------------------------------------------------------------------------------------


def with_assertion(lender: Bank, where: str, **claims: Any) -> httpx.Response:
    assertion = lender.caller.assertion(**claims)
    if where == "par":
        return lender.push(client_assertion=assertion)
    return lender.caller.ask(lender.door, client_assertion=assertion)


@oidf("fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted")
@pytest.mark.parametrize("where", ["par", "token"])
def test_an_assertion_of_a_clock_eight_seconds_ahead_is_taken(one: Bank, where: str) -> None:
    answer = with_assertion(one, where, iat=FromNow(8), nbf=FromNow(8), exp=FromNow(68))
    assert answer.status_code == {"par": 201, "token": 200}[where]


@oidf("fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails")
@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize("where", ["par", "token"])
def test_an_assertion_from_more_than_a_minute_ahead_is_not(one: Bank, where: str, claim: str) -> None:
    assert failed(with_assertion(one, where, **{claim: FromNow(70), "exp": FromNow(130)}), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-client-assertion-with-exp-is-5-minutes-in-past-fails")
@pytest.mark.parametrize("where", ["par", "token"])
def test_an_assertion_of_five_minutes_ago_is_over(one: Bank, where: str) -> None:
    assert failed(with_assertion(one, where, iat=FromNow(-360), exp=FromNow(-300)), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-client-assertion-with-no-sub-fails")
@pytest.mark.parametrize("where", ["par", "token"])
@pytest.mark.parametrize("subject", [None, "", ["bank-system"]])
def test_an_assertion_about_nobody_proves_nobody(one: Bank, where: str, subject: Any) -> None:
    assert failed(with_assertion(one, where, sub=subject), "invalid_client", 401)


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param([ISSUER, PAR_URL], marks=oidf("fapi2-security-profile-final-par-test-array-as-audience-fails")),
        pytest.param([ISSUER], marks=oidf("fapi2-security-profile-final-par-test-array-as-audience-fails")),
        pytest.param(PAR_URL, marks=oidf("fapi2-security-profile-final-par-test-par-endpoint-url-as-audience-fails")),
        pytest.param(
            TOKEN_URL, marks=oidf("fapi2-security-profile-final-par-test-token-endpoint-url-as-audience-fails")
        ),
        pytest.param(
            "https://elsewhere.example",
            marks=oidf("fapi2-security-profile-final-ensure-client-assertion-with-wrong-aud-fails"),
        ),
    ],
)
def test_a_pushed_request_s_assertion_is_for_the_issuer_as_one_string(one: Bank, audience: Any) -> None:
    assert failed(with_assertion(one, "par", aud=audience), "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
@pytest.mark.parametrize("first", ["par", "token", "introspection"])
def test_an_assertion_that_one_process_has_seen_no_door_of_the_other_takes(
    one: Bank, there: Bank, door: Door, second: Door, first: str
) -> None:
    assertion, token = one.caller.assertion(), one.caller.token(door)

    def told(at: Door) -> httpx.Response:
        form = one.caller.form(grant_type=None, client_assertion=assertion, token=token)
        return at.call("POST", INTROSPECT, data=form)

    used = {
        "par": lambda: one.push(client_assertion=assertion),
        "token": lambda: one.caller.ask(door, client_assertion=assertion),
        "introspection": lambda: told(door),
    }[first]()
    assert used.status_code in {200, 201}
    for again in (
        there.push(client_assertion=assertion),
        one.caller.ask(second, client_assertion=assertion),
        told(second),
    ):
        assert failed(again, "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-client-id-in-token-endpoint")
@pytest.mark.parametrize("where", ["par", "token"])
def test_a_client_id_beside_anothers_assertion_is_refused(
    one: Bank, door: Door, exchange_home: Home, where: str
) -> None:
    bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    sent = {"client_id": "bank-two"}
    answer = one.push(**sent) if where == "par" else one.caller.ask(door, **sent)
    assert failed(answer, "invalid_client", 401)


@oidf("fapi2-security-profile-final-ensure-client-assertion-in-token-endpoint")
def test_a_code_without_an_assertion_gives_no_token_and_is_not_spent(one: Bank, there: Bank, phone: Phone) -> None:
    code = code_of(one, phone)
    assert failed(one.redeem(code, client_assertion=None), "invalid_client", 401)
    assert failed(one.redeem(code, client_assertion=None, client_id="bank-system"), "invalid_client", 401)
    assert there.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_a_code_without_a_proof_gives_no_token_and_is_not_spent(one: Bank, there: Bank, phone: Phone) -> None:
    code = code_of(one, phone)
    form = one.caller.form(grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER)
    assert failed(one.door.call("POST", TOKEN_URL, data=form), "invalid_dpop_proof")
    assert there.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
def test_a_token_without_its_key_opens_nothing(one: Bank, second: Door, door: Door, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {one.caller.token(door)}"}
    code = "credentials-missing" if scheme == "Bearer" else "proof-invalid"
    assert unserved(second.call("GET", CATALOGUE_URL, headers=headers), code)


# ---- codes and tokens, here and there -------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second")
def test_a_code_that_was_redeemed_here_gives_nothing_there_and_takes_its_token_back(
    one: Bank, there: Bank, phone: Phone, door: Door, second: Door
) -> None:
    code = code_of(one, phone)
    token = one.redeem(code).json()["access_token"]
    assert one.caller.get(second, token).status_code == 200
    time.sleep(1)
    assert failed(there.redeem(code), "invalid_grant")
    for at in (door, second):
        assert unserved(one.caller.get(at, token), "token-invalid")


@oidf("fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second")
def test_of_two_processes_that_redeem_one_code_together_one_gives_a_token(one: Bank, there: Bank, phone: Phone) -> None:
    code, statuses = code_of(one, phone), []
    threads = [
        threading.Thread(target=lambda lender=lender: statuses.append(lender.redeem(code).status_code))
        for lender in (one, there)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400]


@oidf("fapi2-security-profile-final-ensure-token-endpoint-fails-with-expired-auth-code")
def test_a_code_that_is_over_gives_no_token_at_either_process(
    one: Bank, there: Bank, phone: Phone, exchange_home: Home
) -> None:
    code = code_of(one, phone)
    with exchange_home.database.transaction() as tx:
        lived = tx.execute(
            "SELECT code_until - settled_at <= interval '60 seconds' FROM authorization_request"
        ).fetchone()
        tx.execute("UPDATE authorization_request SET code_until = now() - interval '1 second'")
    assert lived == (True,)
    assert failed(one.redeem(code), "invalid_grant")
    assert failed(there.redeem(code), "invalid_grant")


@oidf("fapi2-security-profile-final-ensure-authorization-code-is-bound-to-client")
def test_anothers_code_is_of_no_use_at_either_process_and_stays_whole(
    one: Bank, there: Bank, phone: Phone, door: Door, second: Door, exchange_home: Home
) -> None:
    other = bank(exchange_home, door, "bank-two", "别的银行", REDIRECT)
    code = code_of(one, phone)
    assert failed(other.redeem(code), "invalid_grant")
    assert failed(Bank(second, other.caller).redeem(code), "invalid_grant")
    assert there.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected")
def test_a_wrong_verifier_is_refused_at_either_process_and_the_right_one_still_taken(
    one: Bank, there: Bank, phone: Phone
) -> None:
    code = code_of(one, phone)
    for lender in (one, there):
        assert failed(lender.redeem(code, code_verifier="w" * 43), "invalid_grant")
    assert there.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-ensure-pkce-code-verifier-required")
def test_a_code_without_its_verifier_is_refused_at_either_process(one: Bank, there: Bank, phone: Phone) -> None:
    code = code_of(one, phone)
    for lender in (one, there):
        assert failed(lender.redeem(code, code_verifier=None), "invalid_request")
    assert one.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-ensure-holder-of-key-required")
def test_a_token_that_was_taken_back_here_opens_nothing_there(one: Bank, door: Door, second: Door) -> None:
    token = one.caller.token(door)
    assert one.caller.get(second, token).status_code == 200  # the other process has seen it, and remembers it
    form = one.caller.form(grant_type=None, token=token)
    assert door.call("POST", REVOKE, data=form).status_code == 200
    for at in (door, second):
        assert unserved(one.caller.get(at, token), "token-invalid")
    told = second.call("POST", INTROSPECT, data=one.caller.form(grant_type=None, token=token))
    assert told.json() == {"active": False}


def test_no_answer_of_the_server_leads_by_a_redirect_that_keeps_the_form(one: Bank, phone: Phone) -> None:
    """RFC 9700 §4.12: 307 would carry number and code to the lender."""
    sent = asked(one).agree(phone.secret)
    assert sent.status_code == 303
    assert urlsplit(sent.headers["location"]).netloc == urlsplit(REDIRECT).netloc
    assert WANTED["purpose"] not in sent.headers["location"]
