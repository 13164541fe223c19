"""Introspection and revocation: a client hears of its own tokens alone, and what it takes back is of no more use."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import jsonschema
import pytest

from consent.evidence import Channel
from exchange import consents
from exchange.home import Home
from exchange.oauth import clients
from tests.asking import Bank, Browser, back, bank
from tests.attacks.bent_client import ISSUER, Caller, Door, FromNow, registered
from tests.attacks.fapi_modules import oidf
from tests.people import BANK, ZHANG, consented, held, sequenced
from tests.phones import bound

STANDING = True
INTROSPECT = f"{ISSUER}/oauth/introspect"
REVOKE = f"{ISSUER}/oauth/revoke"
ANOTHER = "another-lender"
INACTIVE = {"active": False}


def sent(door: Door, url: str, caller: Caller, token: str | None, **fields: str | None) -> httpx.Response:
    form: dict[str, str | None] = caller.form(grant_type=None) | {"token": token} | fields
    return door.call("POST", url, data={name: said for name, said in form.items() if said is not None})


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Caller:
    return registered(exchange_home, Caller("lender-one"), organisation=BANK)


def test_a_client_is_told_what_its_token_is_worth_and_bound_to(door: Door, lender: Caller) -> None:
    told = sent(door, INTROSPECT, lender, lender.token(door))
    said = told.json()
    assert told.headers["cache-control"] == "no-store"
    assert said["active"] is True
    assert (said["client_id"], said["token_type"], said["iss"]) == ("lender-one", "DPoP", ISSUER)
    assert said["exp"] - said["iat"] == 600
    assert said["cnf"] == {"jkt": lender.proof_key.thumbprint()}
    assert "authorization_details" not in said


@pytest.mark.parametrize("token", ["", "x.y.z", "no token at all", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_of_ours_is_inactive_and_nothing_else(door: Door, lender: Caller, token: str) -> None:
    told = sent(door, INTROSPECT, lender, token)
    if token:
        assert (told.status_code, told.json()) == (200, INACTIVE)
    else:
        assert (told.status_code, told.json()["error"]) == (400, "invalid_request")


def test_another_clients_token_is_inactive_to_whoever_asks(exchange_home: Home, door: Door, lender: Caller) -> None:
    other = registered(exchange_home, Caller("lender-two"), organisation=ANOTHER)
    assert sent(door, INTROSPECT, other, lender.token(door)).json() == INACTIVE


def test_a_token_that_was_taken_back_is_inactive_and_opens_nothing(door: Door, lender: Caller) -> None:
    token = lender.token(door)
    assert lender.get(door, token).status_code == 200
    taken = sent(door, REVOKE, lender, token)
    assert (taken.status_code, taken.json()) == (200, {})
    assert lender.get(door, token).status_code == 401
    assert sent(door, INTROSPECT, lender, token).json() == INACTIVE


def test_taking_back_twice_or_what_never_was_is_answered_alike(door: Door, lender: Caller) -> None:
    token = lender.token(door)
    answers = [sent(door, REVOKE, lender, one) for one in (token, token, "unknown")]
    assert [(one.status_code, one.json()) for one in answers] == [(200, {})] * 3


def test_nobody_takes_back_another_clients_token(exchange_home: Home, door: Door, lender: Caller) -> None:
    other = registered(exchange_home, Caller("lender-two"), organisation=ANOTHER)
    token = lender.token(door)
    refused = sent(door, REVOKE, other, token)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert lender.get(door, token).status_code == 200


def test_a_suspended_client_is_told_nothing_and_takes_nothing_back(
    exchange_home: Home, door: Door, lender: Caller
) -> None:
    token = lender.token(door)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, "lender-one", clients.SUSPENDED)
    for url in (INTROSPECT, REVOKE):
        refused = sent(door, url, lender, token)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


BENT: dict[str, dict[str, Any]] = {
    "of another audience": {"aud": "https://elsewhere.example"},
    "with two audiences": {"aud": [ISSUER, "https://elsewhere.example"]},
    "of yesterday": {"iat": FromNow(-86400), "exp": FromNow(-86340)},
    "from the future": {"iat": FromNow(3600), "nbf": FromNow(3600), "exp": FromNow(3660)},
    "without an id": {"jti": None},
    "in somebody else's name": {"iss": "lender-two", "sub": "lender-two"},
}


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
@pytest.mark.parametrize("url", [INTROSPECT, REVOKE])
@pytest.mark.parametrize("bent", BENT.values(), ids=BENT)
def test_whoever_does_not_prove_itself_is_told_nothing(
    door: Door, lender: Caller, url: str, bent: dict[str, Any]
) -> None:
    token = lender.token(door)
    refused = sent(door, url, lender, token, client_assertion=lender.assertion(**bent))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert lender.get(door, token).status_code == 200


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
@pytest.mark.parametrize("url", [INTROSPECT, REVOKE])
def test_an_assertion_is_used_once_at_either_door(door: Door, lender: Caller, url: str) -> None:
    assertion, token = lender.assertion(), lender.token(door)
    assert sent(door, url, lender, token, client_assertion=assertion).status_code == 200
    for again in (INTROSPECT, REVOKE):
        refused = sent(door, again, lender, token, client_assertion=assertion)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("url", [INTROSPECT, REVOKE])
def test_a_token_in_the_address_or_under_a_second_way_of_proof_is_refused(door: Door, lender: Caller, url: str) -> None:
    form = lender.form(grant_type=None)
    inside = door.call("POST", url, data=form, params={"token": lender.token(door)})
    beside = door.call("POST", url, data=form | {"token": "x"}, headers={"Authorization": "Basic eDp5"})
    assert [one.status_code for one in (inside, beside)] == [400, 400]


# ---- tokens that rest on one person's agreement ---------------------------------------------------------------------


@pytest.fixture
def agreed(exchange_home: Home, door: Door) -> tuple[Bank, dict[str, Any]]:
    """A lender's system, and what it was given for the code of a person who agreed on the page."""
    phone = bound(exchange_home, door)
    one = bank(exchange_home, door)
    page = Browser(door, one.caller.client_id, one.pushed())
    page.open()
    given = one.redeem(back(page.agree(phone.secret))["code"])
    assert given.status_code == 200, given.text
    return one, given.json()


def asks(door: Door, caller: Caller, token: str, body: dict[str, Any]) -> httpx.Response:
    url = f"{ISSUER}/v1/queries"
    return door.call("POST", url, json=body, headers=caller.headers("POST", url, token))


QUESTION = {
    "subject": {"type": "resident_id", "identifier": ZHANG.text},
    "purpose": "LOAN_APPROVAL",
    "mode": "summary",
    "business_no": "LA-1",
}


def test_a_token_of_an_agreement_names_it_and_is_reported_with_it(
    door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    (details,) = given["authorization_details"]
    said = sent(door, INTROSPECT, one.caller, given["access_token"]).json()
    assert said["authorization_details"] == [
        {name: details[name] for name in ("type", "consent_id", "purpose", "mode")}
    ]
    assert given["scope"] == said["scope"] == "queries"


def test_a_token_of_an_agreement_opens_what_was_agreed_to(
    exchange_home: Home, door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    held(exchange_home)
    answer = asks(door, one.caller, given["access_token"], QUESTION)
    assert (answer.status_code, answer.json()["answer"]["consent_id"]) == (
        200,
        given["authorization_details"][0]["consent_id"],
    )


def test_a_token_of_an_agreement_serves_no_other_consent_of_the_same_lender(
    exchange_home: Home, door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    held(exchange_home)
    other = consented(exchange_home, began=timedelta(0))
    consents.withdraw(exchange_home, given["authorization_details"][0]["consent_id"], Channel.COUNTER, actor="test")
    assert asks(door, one.caller, given["access_token"], QUESTION).status_code == 403
    own = asks(door, one.caller, one.caller.token(door), QUESTION)
    assert (own.status_code, own.json()["answer"]["consent_id"]) == (200, other.consent_id)


def test_a_token_of_an_agreement_opens_no_answer_given_under_another_consent(
    exchange_home: Home, door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    held(exchange_home)
    consents.withdraw(exchange_home, given["authorization_details"][0]["consent_id"], Channel.COUNTER, actor="test")
    consented(exchange_home, began=timedelta(0))
    answered = asks(door, one.caller, one.caller.token(door), QUESTION | {"business_no": "LA-2"}).json()["answer"]
    sequenced(exchange_home)
    url = f"{ISSUER}/v1/queries/{answered['query_id']}/evidence"
    own, theirs = (
        door.call("GET", url, params={"form": "full"}, headers=one.caller.headers("GET", url, token))
        for token in (one.caller.token(door), given["access_token"])
    )
    assert (own.status_code, theirs.status_code) == (200, 403)


def test_a_token_whose_agreement_was_withdrawn_is_inactive(
    exchange_home: Home, door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    token = given["access_token"]
    assert sent(door, INTROSPECT, one.caller, token).json()["active"] is True
    consents.withdraw(exchange_home, given["authorization_details"][0]["consent_id"], Channel.COUNTER, actor="test")
    assert sent(door, INTROSPECT, one.caller, token).json() == INACTIVE


def test_a_token_of_an_agreement_records_and_withdraws_no_consent(
    door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    url = f"{ISSUER}/v1/consents/{given['authorization_details'][0]['consent_id']}"
    refused = door.call("GET", url, headers=one.caller.headers("GET", url, given["access_token"]))
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/outcomes", None),
        ("POST", "/v1/outcomes", {}),
        ("GET", "/v1/notices", None),
        ("POST", f"/v1/notices/{UUID(int=1)}/acknowledge", None),
        ("GET", "/v1/alerts", None),
        ("GET", "/v1/batches", None),
        ("GET", "/v1/deletions", None),
        ("POST", f"/v1/deletions/{UUID(int=1)}/acknowledge", {}),
    ],
)
def test_a_token_of_an_agreement_opens_no_door_to_what_concerns_others(
    door: Door, agreed: tuple[Bank, dict[str, Any]], method: str, path: str, body: Any
) -> None:
    one, given = agreed
    refused = door.call(
        method, ISSUER + path, json=body, headers=one.caller.headers(method, ISSUER + path, given["access_token"])
    )
    code = "scope-missing" if path.startswith("/v1/deletions") else "bulk-token"
    assert (refused.status_code, refused.json()["code"]) == (403, code)
    own = door.call(
        method, ISSUER + path, json=body, headers=one.caller.headers(method, ISSUER + path, one.caller.token(door))
    )
    assert own.status_code in {200, 404, 422}


def test_answers_and_refusals_have_the_form_that_the_description_states(
    door: Door, agreed: tuple[Bank, dict[str, Any]]
) -> None:
    one, given = agreed
    described = door.app.openapi()["paths"]

    def fits(path: str, answer: httpx.Response) -> None:
        stated = described[path]["post"]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), stated)
        assert answer.json().keys() <= stated.get("properties", {}).keys()

    def validated(path: str, said: dict[str, Any]) -> None:
        stated = described[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(said, stated)
        assert said.keys() <= stated["properties"].keys()

    validated("/oauth/token", given)
    fits("/oauth/token", one.caller.ask(door))
    fits("/oauth/token", one.caller.ask(door, client_assertion="x"))
    fits("/oauth/par", one.push())
    fits("/oauth/par", one.push(redirect_uri=None))
    for token in (given["access_token"], one.caller.token(door), "unknown"):
        fits("/oauth/introspect", sent(door, INTROSPECT, one.caller, token))
    fits("/oauth/introspect", sent(door, INTROSPECT, one.caller, None))
    fits("/oauth/revoke", sent(door, REVOKE, one.caller, "unknown"))
    for path in ("/oauth/token", "/oauth/par", "/oauth/introspect", "/oauth/revoke"):
        operation = described[path]["post"]
        asked = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        assert not {"client_assertion", "client_assertion_type"} & set(asked["required"]), "a certificate needs none"
        assert not any(one["required"] for one in operation.get("parameters", []))
        assert "429" in operation["responses"]
    assert all("429" in one["responses"] for one in described["/grants/{grant_id}"].values())
