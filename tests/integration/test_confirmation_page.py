"""A bank pushes a request, a person agrees or refuses on the page, the bank redeems the code."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from consent import ledger
from consent.evidence import Channel, Language
from exchange.capture import evidence
from exchange.home import Home
from exchange.jobs import end_captures
from exchange.oauth import clients, codes
from exchange.oauth.scopes import Role
from registry import catalogue, clock, store
from registry.identifiers import ResidentId
from registry.suites import sha256
from sandbox.asking import Asker
from sandbox.caller import new_client
from sandbox.numbers import resident_id
from tests.asking import PAGE_URL, W_WANTED, WANTED, Bank, Browser, back, bank, code_of
from tests.attacks.bent_client import ISSUER, Door
from tests.people import BANK, LI, ZHANG, held
from tests.phones import Phone, bound


@pytest.fixture
def door(exchange_home: Home) -> Iterator[Door]:
    with Door(exchange_home) as opened:
        yield opened


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


def opened(door: Door, lender: Bank, wanted: Any = None, **fields: str | None) -> Browser:
    page = Browser(door, lender.caller.client_id, lender.pushed(wanted, **fields))
    shown = page.open()
    assert shown.status_code == 200, shown.text
    return page


def consents_of(home: Home, who: ResidentId = ZHANG) -> list[Any]:
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [who]).get(who.text)
        return [] if found is None else ledger.list_for_subject(tx, found)


def test_what_a_person_agrees_to_on_the_page_is_a_consent_that_the_bank_fetches_and_uses(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    held(exchange_home)
    page = opened(door, lender, W_WANTED | {"max_uses": 2, "uses_per_month": 1, "valid_to": None}, nonce="n-1")
    sent = back(page.agree(phone.totp, w="yes"))
    assert (sent["iss"], sent["state"], sent["branch"]) == (ISSUER, "st-4711", "7")
    answer = lender.redeem(sent["code"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (granted,) = body["authorization_details"]
    assert (body["token_type"], body["nonce"], granted["type"]) == ("DPoP", "n-1", "credit_data")
    assert granted["recipient"] == BANK
    assert (granted["max_uses"], granted["uses_per_month"]) == (2, 1)
    assert granted["adverse_consequences_acknowledged"] is True
    assert set(granted["items"]) == catalogue.current().expand(["SUBSIDY", "RATING"])
    query = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
    }
    url = f"{ISSUER}/v1/queries"
    headers = lender.caller.headers("POST", url, body["access_token"])
    asked = door.call("POST", url, json=query, headers=headers)
    assert asked.status_code == 200, asked.text
    assert asked.json()["answer"]["consent_id"] == granted["consent_id"]


def test_device_place_time_text_and_language_of_the_act_are_kept_with_its_evidence(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    page = Browser(door, lender.caller.client_id, lender.pushed(), lang="en")
    assert 'lang="en"' in page.open().text
    back(page.agree(phone.totp))
    (made,) = consents_of(exchange_home)
    capture = made.terms.capture
    assert (capture.channel, capture.text_language) == (Channel.H5, Language.ENGLISH)
    assert capture.text_version == page.hidden["text_version"]
    assert made.terms.captured_at is not None
    assert made.terms.request_id is not None
    with exchange_home.database.transaction() as tx:
        document = evidence.of_consent(tx, made.consent_id)
    assert document is not None
    assert sha256(document) == capture.evidence.sha256
    said = orjson.loads(document)
    assert said["acts"] == {"agreed": True, "adverse_consequences_acknowledged": False, "sensitive_agreed": False}
    assert said["items"] == sorted(made.terms.scope.items)
    assert ZHANG.text not in document.decode()


def test_without_its_own_tick_what_needs_one_is_left_out_and_the_rest_agreed_to(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    sent = back(opened(door, lender, W_WANTED).agree(phone.totp))
    (granted,) = lender.redeem(sent["code"]).json()["authorization_details"]
    known = catalogue.current()
    assert known.w_items.isdisjoint(granted["items"])
    assert set(granted["items"]) == known.expand(["SUBSIDY", "RATING"]) - known.w_items - known.separate_items
    assert granted["adverse_consequences_acknowledged"] is False


def test_where_all_needs_a_tick_none_is_said_before_the_code_is_used_up(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    page = opened(door, lender, WANTED | {"items": ["SUBSIDY.amount_paid"]})
    again = page.agree(phone.totp)
    assert again.status_code == 422
    assert consents_of(exchange_home) == []
    assert "code" in back(page.agree(phone.totp, w="yes"))


def test_the_page_names_recipient_purpose_items_period_uses_and_the_whole_text(
    door: Door, lender: Bank, phone: Phone
) -> None:
    text = opened(door, lender, W_WANTED | {"max_uses": 3, "uses_per_month": 2}).page.text  # type: ignore[union-attr]
    for said in (BANK, "贷款审批", "信用户评定", "项目", "3 次", "2 次", "可能的不良后果", "怎么撤回"):
        assert said in text, said
    assert 'type="checkbox" name="w"' in text
    assert "checked" not in text
    assert "<script" not in text
    assert "needs native review" not in text


@pytest.mark.parametrize(
    ("lang", "mark"), [("zh", "请您决定"), ("bo", "ཁྱེད་"), ("en", "Please decide"), ("xx", "请您决定")]
)
def test_the_page_speaks_three_languages_chinese_first(door: Door, lender: Bank, lang: str, mark: str) -> None:
    page = Browser(door, lender.caller.client_id, lender.pushed(), lang=lang)
    assert mark in page.open().text


def test_refusing_needs_nothing_and_leads_back_with_access_denied(
    door: Door, exchange_home: Home, lender: Bank
) -> None:
    page = opened(door, lender)
    sent = back(page.send("refuse"))
    assert (sent["error"], sent["iss"], sent["state"]) == ("access_denied", ISSUER, "st-4711")
    assert "code" not in sent
    assert consents_of(exchange_home) == []


def test_who_says_no_and_who_it_is_is_not_asked_again_for_a_while(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    sent = back(opened(door, lender).send("refuse", identifier=ZHANG.text, code=code_of(phone.totp)))
    assert sent["error"] == "access_denied"
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT channel, purpose FROM consent_refusal").fetchall() == [("h5", "LOAN_APPROVAL")]
    page = opened(door, lender)
    again = page.send("agree", identifier=ZHANG.text, code=code_of(phone.totp, later=1))
    assert again.status_code == 422
    assert "text" in again.headers["content-type"]
    assert consents_of(exchange_home) == []


def test_an_empty_no_is_taken_also_with_a_wrong_code(door: Door, lender: Bank, phone: Phone) -> None:
    sent = back(opened(door, lender).send("refuse", identifier=ZHANG.text, code="000000"))
    assert sent["error"] == "access_denied"


def test_a_request_lives_less_than_ten_minutes_and_a_code_one(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    assert lender.push().json()["expires_in"] < 600
    page = opened(door, lender)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE authorization_request SET expires_at = now() - interval '1 second'")
    assert page.open().status_code == 400
    page = opened(door, lender)
    code = back(page.agree(phone.totp))["code"]
    with exchange_home.database.transaction() as tx:
        (until, settled) = tx.execute(
            "SELECT code_until, settled_at FROM authorization_request WHERE code_until IS NOT NULL"
        ).fetchone()  # type: ignore[misc]
        assert until - settled <= timedelta(seconds=60)
        tx.execute("UPDATE authorization_request SET code_until = now() - interval '1 second' WHERE outcome = 'agreed'")
    assert lender.redeem(code).json()["error"] == "invalid_grant"


def test_a_child_is_told_that_a_guardian_is_needed_and_the_bank_learns_nothing(
    door: Door, exchange_home: Home, lender: Bank
) -> None:
    child = ResidentId.parse(_born(16))
    young = bound(exchange_home, door, child)
    page = opened(door, lender)
    again = page.agree(young.totp, child)
    assert again.status_code == 422
    assert "监护人" in again.text
    assert consents_of(exchange_home, child) == []


def _born(years: int) -> str:
    return str(resident_id("630222", clock.beijing_day(clock.now()) - timedelta(days=365 * years + 40)))


def test_terms_that_cannot_be_recorded_are_refused_before_a_person_is_asked(lender: Bank) -> None:
    for wanted in (
        W_WANTED | {"purpose": "SELF_QUERY"},
        W_WANTED | {"purpose": "NOTHING"},
        W_WANTED | {"items": ["NOTHING"]},
        W_WANTED | {"max_uses": 10_000},
        W_WANTED | {"history_months": 500},
        W_WANTED | {"valid_to": "2099-01-01"},
        W_WANTED | {"mode": "monitor"},
        W_WANTED | {"recipient": "别的银行"},
        W_WANTED | {"locations": ["https://elsewhere.example"]},
        W_WANTED | {"type": "payment"},
        W_WANTED | {"surprise": 1},
    ):
        answer = lender.push(wanted)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_authorization_details"), wanted


def test_metadata_tell_of_pushed_requests_and_the_page(door: Door) -> None:
    told = door.call("GET", f"{ISSUER}/.well-known/oauth-authorization-server").json()
    assert told["pushed_authorization_request_endpoint"] == f"{ISSUER}/oauth/par"
    assert told["authorization_endpoint"] == PAGE_URL
    assert told["require_pushed_authorization_requests"] is True
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["authorization_details_types_supported"] == ["credit_data"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert set(told["grant_types_supported"]) == {"client_credentials", "authorization_code"}


def test_the_sandbox_s_bank_goes_the_whole_way(door: Door, exchange_home: Home, phone: Phone, lender: Bank) -> None:
    class Through:
        """An httpx client that is the door."""

        def get(self, path: str) -> Any:
            return door.call("GET", ISSUER + path)

        def post(self, path: str, **more: Any) -> Any:
            return door.call("POST", ISSUER + path, **more)

    client = new_client("sandbox-bank")
    with exchange_home.database.transaction() as tx:
        clients.register(
            tx,
            client.client_id,
            role=Role.LENDER,
            organisation=BANK,
            jwks=client.jwks,
            now=clock.now(),
            same_organisation=True,
        )
        clients.set_redirects(tx, client.client_id, [lender.redirect])
    asker = Asker(ISSUER, client, http=Through())  # type: ignore[arg-type]
    asked = asker.push({"purpose": "LOAN_APPROVAL", "items": ["RATING"]}, redirect_uri=lender.redirect)
    page = Browser(door, client.client_id, asked.request_uri)
    page.open()
    granted = asker.redeem(asked, back(page.agree(phone.totp)))
    assert granted["consent_id"] == consents_of(exchange_home)[0].consent_id


def test_what_ended_is_forgotten_and_the_consent_stands(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    back(opened(door, lender).agree(phone.totp))
    with exchange_home.database.transaction() as tx:
        assert codes.forget_expired(tx, now=clock.now() + timedelta(days=2)) == 1
    end_captures(exchange_home)
    assert len(consents_of(exchange_home)) == 1


def test_another_person_s_code_is_not_this_person_s(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    held(exchange_home, LI)
    assert opened(door, lender).agree(phone.totp, LI).status_code == 422
    assert consents_of(exchange_home, LI) == []
