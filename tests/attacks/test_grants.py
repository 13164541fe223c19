"""Grants: a lender sees its own as they stand, gives them up, and has a person put one in another's place."""

from typing import Any

import httpx
import pytest

from consent import ledger
from consent.errors import TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.narrowing import Narrower
from exchange import consents
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role, Scope
from registry import clock
from tests.asking import WANTED, Bank, Browser, back, bank
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.attacks.fapi_modules import oidf
from tests.people import LI, ZHANG, consented, held
from tests.phones import Phone, bound
from tests.reachable import CONTACT
from tests.telling import spread

STANDING = True
GRANTS = f"{ISSUER}/grants/"
QUESTION = {
    "subject": {"type": "resident_id", "identifier": ZHANG.text},
    "purpose": "LOAN_APPROVAL",
    "mode": "summary",
    "business_no": "LA-1",
}


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def one(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


@pytest.fixture
def another(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")


@pytest.fixture
def given(one: Bank, phone: Phone) -> dict[str, Any]:
    return agreed(one, phone)


def opened(lender: Bank, wanted: Any = None, **fields: str | None) -> Browser:
    page = Browser(lender.door, lender.caller.client_id, lender.pushed(wanted, **fields))
    assert page.open().status_code == 200
    return page


def agreed(lender: Bank, phone: Phone, wanted: Any = None, **fields: str | None) -> dict[str, Any]:
    """Have a person agree on the page; give what the lender got for the code."""
    later = 1 if fields else 0  # a person's second code is of the next half minute
    page = opened(lender, wanted, **fields)
    sent = page.send("agree", identifier=ZHANG.text, code=page.code(phone.secret, later=later))
    answer = lender.redeem(back(sent)["code"])
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def grant(lender: Bank, grant_id: str, method: str = "GET", door: Door | None = None) -> httpx.Response:
    url = GRANTS + grant_id
    at = door or lender.door
    return at.call(method, url, headers=lender.caller.headers(method, url, lender.caller.token(at)))


def unknown(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (404, "consent-unknown")


@oidf(
    "fapi2-security-profile-final-grant-management-happy-flow",
    "fapi2-security-profile-final-grant-management-query-and-revoke",
)
def test_a_grant_says_what_was_agreed_to_and_is_given_up(one: Bank, given: dict[str, Any], second: Door) -> None:
    told = grant(one, given["grant_id"])
    assert told.status_code == 200
    assert told.json() == {
        "scopes": [{"scope": "queries", "resource": [f"{ISSUER}/api"]}],
        "authorization_details": given["authorization_details"],
    }
    ended = grant(one, given["grant_id"], "DELETE", second)
    assert (ended.status_code, ended.content) == (204, b"")


@oidf("fapi2-security-profile-final-grant-management-ensure-query-after-revoke-fails")
def test_a_grant_that_was_given_up_is_not_there_for_either_process(
    one: Bank, given: dict[str, Any], second: Door
) -> None:
    assert grant(one, given["grant_id"], "DELETE", second).status_code == 204
    assert unknown(grant(one, given["grant_id"]))
    assert unknown(grant(one, given["grant_id"], "DELETE"))


@oidf("fapi2-security-profile-final-grant-management-ensure-query-nonexistent-grant-fails")
@pytest.mark.parametrize("grant_id", ["00000000-0000-4000-8000-000000000000", "x", "%20"])
def test_a_grant_that_never_was_is_not_found(one: Bank, grant_id: str) -> None:
    assert unknown(grant(one, grant_id))
    assert unknown(grant(one, grant_id, "DELETE"))


@oidf("fapi2-security-profile-final-grant-management-ensure-wrong-client-cannot-query-grant")
def test_another_lenders_grant_is_as_unknown_as_one_that_never_was(
    one: Bank, another: Bank, given: dict[str, Any]
) -> None:
    never, theirs = grant(another, "x"), grant(another, given["grant_id"])
    same = [{name: said for name, said in each.json().items() if name != "request_id"} for each in (never, theirs)]
    assert unknown(theirs)
    assert {**same[0], "instance": None} == {**same[1], "instance": None}


@oidf("fapi2-security-profile-final-grant-management-ensure-wrong-client-cannot-revoke-grant")
def test_nobody_gives_up_another_lenders_grant(one: Bank, another: Bank, given: dict[str, Any]) -> None:
    assert unknown(grant(another, given["grant_id"], "DELETE"))
    assert grant(one, given["grant_id"]).status_code == 200


def test_giving_up_ends_tokens_answers_and_the_consent_and_the_person_and_the_lender_are_told(
    exchange_home: Home, door: Door, second: Door, one: Bank, phone: Phone, given: dict[str, Any]
) -> None:
    held(exchange_home)
    url, token = f"{ISSUER}/v1/queries", given["access_token"]

    def asks(number: str) -> httpx.Response:
        body = QUESTION | {"business_no": number}
        return door.call("POST", url, json=body, headers=one.caller.headers("POST", url, token))

    assert asks("LA-1").status_code == 200
    assert grant(one, given["grant_id"], "DELETE", second).status_code == 204
    assert asks("LA-2").status_code == 403
    form = one.caller.form(grant_type=None) | {"token": token}
    assert door.call("POST", f"{ISSUER}/oauth/introspect", data=form).json() == {"active": False}
    with exchange_home.database.transaction() as tx:
        ended = ledger.get(tx, [given["grant_id"]])[given["grant_id"]]
        logged = tx.execute(
            "SELECT actor, fields ->> 'channel' FROM log_entry WHERE event = 'consent:grant:withdrawn'"
        ).fetchall()
    assert (ended.state.value, ended.withdraw_channel) == ("withdrawn", "lender")
    assert logged == [("bank-system", "lender")]
    messages = phone.get("/subject/v1/messages")["messages"]
    assert [one["kind"] for one in messages if "授权已由该机构放弃" in str(one)] == ["change"]
    spread(exchange_home)
    polled = one.api("POST", "/v1/events/poll", json={"returnImmediately": True})
    assert polled.status_code == 200
    assert len(polled.json()["sets"]) == 2  # given, and ended
    (notice,) = one.api("GET", "/v1/deletions").json()["notices"]
    assert (notice["consent_id"], notice["reason"]) == (given["grant_id"], "withdrawn")


def test_a_grant_that_was_narrowed_says_what_is_left(exchange_home: Home, one: Bank, given: dict[str, Any]) -> None:
    with exchange_home.database.transaction() as tx:
        made = consents.narrow_in(
            tx, exchange_home, given["grant_id"], Narrower(items=frozenset({"RATING.grade"})), Channel.APP,
            actor="test", now=clock.now(),
        )  # fmt: skip
    assert unknown(grant(one, given["grant_id"]))
    (details,) = grant(one, made.consent_id).json()["authorization_details"]
    assert details["items"] == ["RATING.grade"]


def test_a_paused_grant_permits_nothing_and_says_so(exchange_home: Home, one: Bank, given: dict[str, Any]) -> None:
    with exchange_home.database.transaction() as tx:
        consents.pause_in(tx, given["grant_id"], Channel.APP, actor="test", now=clock.now())
    assert grant(one, given["grant_id"]).json()["scopes"] == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_grant_opens_to_its_own_scope_alone(
    door: Door, exchange_home: Home, one: Bank, given: dict[str, Any], method: str
) -> None:
    other = {"GET": Scope.GRANT_REVOKE, "DELETE": Scope.GRANT_QUERY}[method]
    url = GRANTS + given["grant_id"]
    for token in (one.caller.ask(door, scope=other.value).json()["access_token"], given["access_token"]):
        refused = door.call(method, url, headers=one.caller.headers(method, url, token))
        assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
    assert grant(one, given["grant_id"]).status_code == 200


def test_nothing_is_taken_through_the_channel_of_giving_up() -> None:
    with pytest.raises(TermsRefused):
        Capture(Channel.LENDER, "2026-01", Language.CHINESE, Evidence(EvidenceKind.RELIABLE_ESIGN, b"\x01" * 32))


# ---- one in another's place -----------------------------------------------------------------------------------------


def replacing(grant_id: str) -> dict[str, str]:
    return {"grant_management_action": "replace", "grant_id": grant_id}


@oidf("fapi2-security-profile-final-grant-management-replace")
def test_a_person_puts_a_consent_in_the_place_of_another(
    exchange_home: Home, one: Bank, phone: Phone, given: dict[str, Any]
) -> None:
    page = opened(one, WANTED, **replacing(given["grant_id"]))
    assert page.page is not None
    assert "就停止，换成这一份" in page.page.text
    sent = page.send("agree", identifier=ZHANG.text, code=page.code(phone.secret, later=1))
    after = one.redeem(back(sent)["code"]).json()
    assert after["grant_id"] != given["grant_id"]
    assert unknown(grant(one, given["grant_id"]))
    assert grant(one, after["grant_id"]).json()["authorization_details"] == after["authorization_details"]
    with exchange_home.database.transaction() as tx:
        made = ledger.get(tx, [after["grant_id"], given["grant_id"]])
    assert made[after["grant_id"]].terms.previous == given["grant_id"]
    assert made[given["grant_id"]].state.value == "superseded"


def test_a_page_that_replaces_nothing_says_nothing_of_it(one: Bank) -> None:
    page = opened(one, grant_management_action="create")
    assert page.page is not None
    assert "换成这一份" not in page.page.text


def test_nobody_replaces_another_persons_consent_and_nobody_is_told_why(
    exchange_home: Home, door: Door, one: Bank
) -> None:
    theirs = consented(exchange_home, LI, recipient=one_of(exchange_home, one))
    phone = bound(exchange_home, door)
    page = opened(one, **replacing(theirs.consent_id))
    assert back(page.agree(phone.secret)) == {
        "error": "access_denied",
        "iss": ISSUER,
        "state": "st-4711",
        "branch": "7",
    }
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (1,)
        assert ledger.get(tx, [theirs.consent_id])[theirs.consent_id].state.value == "active"


def one_of(home: Home, lender: Bank) -> str:
    with home.database.transaction() as tx:
        client = clients.read(tx, lender.caller.client_id)
    assert client is not None
    return client.organisation


def test_what_was_given_up_meanwhile_is_not_replaced(exchange_home: Home, one: Bank, phone: Phone) -> None:
    standing = consented(exchange_home)
    page = opened(one, **replacing(standing.consent_id))
    assert grant(one, standing.consent_id, "DELETE").status_code == 204
    assert back(page.agree(phone.secret))["error"] == "access_denied"


@oidf("fapi2-security-profile-final-grant-management-merge")
@pytest.mark.parametrize("action", ["merge", "update", "query", "revoke", "CREATE"])
def test_consents_are_never_added_together(one: Bank, given: dict[str, Any], action: str) -> None:
    refused = one.push(grant_management_action=action, grant_id=given["grant_id"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "fields",
    [
        {"grant_id": "x"},
        {"grant_management_action": "create", "grant_id": "x"},
        {"grant_management_action": "replace"},
        {"grant_management_action": "replace", "grant_id": ""},
    ],
)
def test_a_grant_id_goes_with_replacing_alone(one: Bank, fields: dict[str, str | None]) -> None:
    refused = one.push(**fields)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


@oidf("fapi2-security-profile-final-grant-management-ensure-invalid-grant-id-fails")
@pytest.mark.parametrize("grant_id", ["x", "00000000-0000-4000-8000-000000000000", "a b", "é", "x" * 65])
def test_a_grant_that_is_not_there_is_not_replaced(one: Bank, grant_id: str) -> None:
    refused = one.push(**replacing(grant_id))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant_id")


@oidf("fapi2-security-profile-final-grant-management-ensure-invalid-grant-id-fails")
@pytest.mark.parametrize("whose", ["another lender's", "of another purpose", "ended"])
def test_a_grant_that_is_not_ones_own_for_the_purpose_is_as_unknown(
    exchange_home: Home, one: Bank, another: Bank, whose: str
) -> None:
    standing = consented(exchange_home)
    asks, wanted = (another if whose == "another lender's" else one), WANTED
    if whose == "of another purpose":
        wanted = WANTED | {"purpose": "POST_LOAN"}
    if whose == "ended":
        consents.withdraw(exchange_home, standing.consent_id, Channel.COUNTER, actor="test")
    never, refused = asks.push(wanted, **replacing("x")), asks.push(wanted, **replacing(standing.consent_id))
    assert (refused.status_code, refused.json()) == (never.status_code, never.json())
    assert refused.json()["error"] == "invalid_grant_id"


def test_the_metadata_says_what_can_be_done_with_grants(door: Door) -> None:
    said = door.call("GET", f"{ISSUER}/.well-known/oauth-authorization-server").json()
    assert said["grant_management_endpoint"] == f"{ISSUER}/grants"
    assert said["grant_management_actions_supported"] == ["query", "revoke", "create", "replace"]
    assert said["grant_management_action_required"] is False


def test_a_system_that_asks_nobody_has_no_grants(exchange_home: Home, door: Door) -> None:
    caller = Caller("only-asks")
    with exchange_home.database.transaction() as tx:
        clients.register(
            tx, "only-asks", role=Role.LENDER, organisation="别的银行", jwks=caller.jwks,
            scopes=[Scope.QUERIES], now=clock.now(), contact=CONTACT,
        )  # fmt: skip
    assert caller.ask(door, scope=Scope.GRANT_QUERY.value).json()["error"] == "invalid_scope"
