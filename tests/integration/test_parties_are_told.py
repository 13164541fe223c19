"""Who handles and who receives is told, with how both are reached: before agreeing, in the receipt, to take along."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from consent import notices, recipients, reviews, wordings
from consent.evidence import Language
from consent.notices import REVIEW_MARK, Notice
from consent.reviews import Decision
from exchange import pages
from exchange.capture import evidence
from exchange.home import SANDBOX, Home
from registry import catalogue, clock
from registry.canonical import unb64url
from tests.asking import WANTED, Bank, Browser, bank
from tests.attacks.bent_client import Door
from tests.capturing import collector, content, device
from tests.people import BANK, ZHANG, held
from tests.phones import Phone, bound
from tests.reachable import CONTACT

STANDING = True
MOVED = CONTACT.read(CONTACT.as_json() | {"phone": "0971-0000009", "url": "https://bank.example/privacy"})
BOTH = (SANDBOX.contact, CONTACT)


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


def asked(lender: Bank, phone: Phone, language: str = "zh") -> dict[str, Any]:
    body = {"subject": {"identifier": ZHANG.text}, "terms": WANTED, "message": "柜台 3 号"}
    assert lender.api("POST", "/v1/consent-requests", json=body).status_code == 202
    return dict(phone.get(f"/subject/v1/requests?language={language}")["requests"][0])


def agreed(phone: Phone, request: dict[str, Any]) -> dict[str, Any]:
    body = {"language": request["text"]["language"], "text_version": request["text"]["version"]}
    made = phone.call("POST", f"/subject/v1/requests/{request['request_id']}/agree", json=body)
    assert made.status_code == 200, made.text
    return dict(made.json())


def parties_of(receipt: str) -> list[dict[str, str]]:
    return list(orjson.loads(unb64url(receipt.split(".")[1]))["party_identification"])


def signed_off(home: Home, text: Notice) -> None:
    with home.database.transaction() as tx:
        reviews.record(
            tx, text, sha256=text.sha256.hex(), reviewer="卓玛", role="州编译局 译审", decision=Decision.APPROVED,
            now=clock.now(),
        )  # fmt: skip


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_the_page_says_how_the_operator_and_the_lender_are_reached(door: Door, lender: Bank, language: str) -> None:
    text = Browser(door, lender.caller.client_id, lender.pushed(), lang=language).open().text
    for contact in BOTH:
        for stated in filter(None, contact.as_json().values()):
            assert stated in text


@pytest.mark.parametrize("language", pages.LANGUAGES)
def test_a_request_on_a_phone_says_it_to_read_and_to_hear(phone: Phone, lender: Bank, language: str) -> None:
    request = asked(lender, phone, language)
    assert request["parties"] == {
        "operator": {"name": SANDBOX.operator, "contact": SANDBOX.contact.as_json()},
        "recipient": {"name": BANK, "contact": CONTACT.as_json()},
    }
    for contact in BOTH:
        assert contact.phone in request["text"]["words"]
        assert contact.address in request["text"]["words"]
    assert BANK in request["text"]["aloud"]
    assert not any(digit in request["text"]["aloud"] for digit in "0123456789")


def test_a_receipt_keeps_the_contact_of_its_day_and_a_later_one_stands_in_later_receipts(
    exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    first = agreed(phone, asked(lender, phone))
    with exchange_home.database.transaction() as tx:
        recipients.keep(tx, BANK, MOVED, now=clock.now())
    smaller = phone.call("POST", f"/subject/v1/consents/{first['consent_id']}/narrow", json={"max_uses": 1})
    assert smaller.status_code == 200, smaller.text
    (operator, before), (_, after) = parties_of(first["receipt"]), parties_of(smaller.json()["receipt"])
    assert operator == {
        "party_id": exchange_home.keyring.origin, "party_name": SANDBOX.operator, "party_role": "pii_controller",
        **SANDBOX.contact.as_party(),
    }  # fmt: skip
    assert (before["party_phone"], after["party_phone"]) == (CONTACT.phone, MOVED.phone)
    assert after["party_url"] == MOVED.url


def test_what_was_told_of_both_stands_in_the_evidence_of_the_act(
    exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    made = agreed(phone, asked(lender, phone))
    with exchange_home.database.transaction() as tx:
        document = evidence.of_consent(tx, made["consent_id"])
    assert document is not None
    assert orjson.loads(document)["parties"]["recipient"] == {"name": BANK, "contact": CONTACT.as_json()}


def test_whoever_takes_everything_along_takes_the_contacts_along(
    exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    held(exchange_home)
    agreed(phone, asked(lender, phone))
    assert phone.get("/subject/v1/export")["parties"] == [
        {"role": "operator", "name": SANDBOX.operator, "contact": SANDBOX.contact.as_json()},
        {"role": "recipient", "name": BANK, "contact": CONTACT.as_json()},
    ]


def test_a_chain_of_a_lender_that_cannot_be_reached_is_refused_before_a_record_is_used_up(
    exchange_home: Home, lender: Bank
) -> None:
    collector(exchange_home)
    taker = device(exchange_home)
    taker.take(content(1), at=clock.now() - timedelta(minutes=1))
    (segment,) = taker.segments()
    with exchange_home.database.transaction() as tx:
        tx.execute("DELETE FROM recipient_contact WHERE recipient = %s", (BANK,))
    refused = lender.api("POST", "/v1/consents/offline", json=segment)
    assert refused.json()["errors"][0]["code"] == "RECIPIENT_WITHOUT_CONTACT"
    assert "qingqiao lender contact" in refused.json()["errors"][0]["mend"]
    with exchange_home.database.transaction() as tx:
        recipients.keep(tx, BANK, CONTACT, now=clock.now())
    taken = lender.api("POST", "/v1/consents/offline", json=segment)
    assert taken.json()["records"][0]["consent_id"], taken.text


def test_what_is_left_unanswered_is_known_by_the_language_in_which_it_was_shown(
    exchange_home: Home, door: Door, phone: Phone, lender: Bank
) -> None:
    asked(lender, phone, "bo")
    Browser(door, lender.caller.client_id, lender.pushed(), lang="en").open()
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT language FROM consent_request").fetchall() == [("bo",)]
        assert tx.execute("SELECT language FROM authorization_request").fetchall() == [("en",)]


def test_kinds_and_items_are_asked_for_by_their_tibetan_names(phone: Phone, lender: Bank) -> None:
    request, known = asked(lender, phone, "bo"), catalogue.current()
    shown = {name for group in request["groups"] for name in group["names"]}
    assert shown == {known.field(item).bo for item in request["items"]}


def test_the_mark_is_shown_until_named_reviewers_have_signed_text_and_names_off(
    exchange_home: Home, door: Door, phone: Phone, lender: Bank
) -> None:
    request = asked(lender, phone, "bo")
    text = notices.find("LOAN_APPROVAL", request["text"]["version"], Language.TIBETAN)
    assert text is not None
    assert REVIEW_MARK in wordings.names().text
    word = pages.words("bo")["review"]

    def marked() -> tuple[bool, bool]:
        page = Browser(door, lender.caller.client_id, lender.pushed(), lang="bo").open().text
        return phone.get("/subject/v1/requests?language=bo")["requests"][0]["text"]["needs_review"], word in page

    assert marked() == (True, True)
    signed_off(exchange_home, text)
    assert marked() == (True, True), "the names wait still"
    signed_off(exchange_home, wordings.names())
    assert marked() == (False, False)
