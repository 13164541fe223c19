"""A bank pushes a request, a person agrees or refuses on the page, the bank redeems the code."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from consent import ledger
from consent.evidence import Channel, Language
from exchange.capture import evidence
from exchange.client import Lender as KitLender
from exchange.client import new_client
from exchange.home import Home
from exchange.jobs import end_captures
from exchange.oauth import clients, codes
from exchange.oauth.scopes import Role
from registry import catalogue, clock, store
from registry.identifiers import ResidentId
from registry.suites import sha256
from sandbox.numbers import resident_id
from tests.asking import PAGE_URL, W_WANTED, WANTED, Bank, Browser, back, bank
from tests.attacks.bent_client import ISSUER, Door
from tests.people import BANK, LI, ZHANG, held
from tests.phones import Phone, bound
from tests.reachable import CONTACT
from tests.through import through

STANDING = True


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
    sent = back(page.agree(phone.secret))
    assert (sent["iss"], sent["state"], sent["branch"]) == (ISSUER, "st-4711", "7")
    answer = lender.redeem(sent["code"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (granted,) = body["authorization_details"]
    assert (body["token_type"], body["nonce"], granted["type"]) == ("DPoP", "n-1", "credit_data")
    assert granted["recipient"] == BANK
    assert (granted["max_uses"], granted["uses_per_month"]) == (2, 1)
    query = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "items": granted["items"],
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
    back(page.agree(phone.secret))
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


@pytest.mark.parametrize("by_hand", [{}, {"w": "yes", "s": "yes"}])
def test_what_needs_an_act_of_its_own_is_left_out_on_a_page_and_the_rest_agreed_to(
    door: Door, phone: Phone, lender: Bank, by_hand: dict[str, str]
) -> None:
    """A code is no reliable signature: what the form says beside it changes nothing."""
    sent = back(opened(door, lender, W_WANTED).agree(phone.secret, ZHANG, **by_hand))
    (granted,) = lender.redeem(sent["code"]).json()["authorization_details"]
    known = catalogue.current()
    assert known.w_items.isdisjoint(granted["items"])
    assert set(granted["items"]) == known.expand(["SUBSIDY", "RATING"]) - known.w_items - known.separate_items
    assert granted["adverse_consequences_acknowledged"] is False


def test_where_nothing_can_be_agreed_to_on_a_page_it_says_where_and_asks_for_no_code(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    page = opened(door, lender, WANTED | {"items": ["SUBSIDY.amount_paid"]})
    assert page.page is not None
    for said in ("不能在网页上同意", "绑定的手机", "柜面"):
        assert said in page.page.text
    assert 'value="agree"' not in page.page.text
    assert page.numbers == {}
    again = page.send("agree", identifier=ZHANG.text, code="12345678", w="yes")
    assert again.status_code == 422
    assert consents_of(exchange_home) == []
    assert back(page.send("refuse"))["error"] == "access_denied"


def test_a_code_confirms_one_answer_to_one_request_in_one_language_and_once(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    """Overheard, or asked for by a page in between: for anything but what the number stood for it is worth nothing."""
    mine, other = opened(door, lender), opened(door, lender)
    english = Browser(door, lender.caller.client_id, mine.request_uri, lang="en")
    english.open()
    numbers = [page.numbers[name] for page in (mine, other, english) for name in ("number", "number-to-refuse")]
    assert len(set(numbers)) == 6
    for overheard in (mine.code(phone.secret, to_refuse=True), other.code(phone.secret), english.code(phone.secret)):
        assert mine.send("agree", identifier=ZHANG.text, code=overheard).status_code == 422
    assert consents_of(exchange_home) == []
    assert "code" in back(mine.agree(phone.secret))
    assert other.agree(phone.secret).status_code == 422  # the person's code of this half minute is spent


def test_a_code_to_agree_with_records_no_refusal(door: Door, exchange_home: Home, phone: Phone, lender: Bank) -> None:
    page = opened(door, lender)
    back(page.send("refuse", identifier=ZHANG.text, code=page.code(phone.secret)))
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent_refusal").fetchone() == (0,)


def test_terms_that_changed_since_they_were_shown_need_a_new_number(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    page = opened(door, lender)
    with exchange_home.database.transaction() as tx:
        tx.execute("""UPDATE authorization_request SET wanted = wanted || '{"max_uses": 2}'""")
    assert page.agree(phone.secret).status_code == 422
    page.open()
    assert "code" in back(page.agree(phone.secret))


def test_the_page_names_recipient_purpose_items_period_uses_and_the_whole_text(
    door: Door, lender: Bank, phone: Phone
) -> None:
    text = opened(door, lender, W_WANTED | {"max_uses": 3, "uses_per_month": 2}).page.text  # type: ignore[union-attr]
    for said in (BANK, "贷款审批", "信用户评定", "项目", "3 次", "2 次", "可能的不良后果", "怎么撤回"):
        assert said in text, said
    assert "checkbox" not in text
    assert "这些信息不能在网页上同意" in text
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
    page = opened(door, lender)
    sent = back(page.send("refuse", identifier=ZHANG.text, code=page.code(phone.secret, to_refuse=True)))
    assert sent["error"] == "access_denied"
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT channel, purpose FROM consent_refusal").fetchall() == [("h5", "LOAN_APPROVAL")]
    page = opened(door, lender)
    again = page.send("agree", identifier=ZHANG.text, code=page.code(phone.secret, later=1))
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
    code = back(page.agree(phone.secret))["code"]
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
    again = page.agree(young.secret, child)
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


def test_a_bank_with_the_kit_goes_the_whole_way(door: Door, exchange_home: Home, phone: Phone, lender: Bank) -> None:
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
            contact=CONTACT,
        )
        clients.set_redirects(tx, client.client_id, [lender.redirect])
    asker = KitLender(ISSUER, client, http=through(door))
    asked = asker.push({"purpose": "LOAN_APPROVAL", "items": ["RATING"]}, redirect_uri=lender.redirect)
    page = Browser(door, client.client_id, asked.request_uri)
    page.open()
    granted = asker.redeem(asked, back(page.agree(phone.secret)))
    assert granted.consent_id == consents_of(exchange_home)[0].consent_id


def test_what_ended_is_forgotten_and_the_consent_stands(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    back(opened(door, lender).agree(phone.secret))
    with exchange_home.database.transaction() as tx:
        assert codes.forget_expired(tx, now=clock.now() + timedelta(days=2)) == 1
    end_captures(exchange_home)
    assert len(consents_of(exchange_home)) == 1


def test_another_person_s_code_is_not_this_person_s(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    held(exchange_home, LI)
    assert opened(door, lender).agree(phone.secret, LI).status_code == 422
    assert consents_of(exchange_home, LI) == []
