"""The receipt: standard, pseudonymous, the same bytes for the same consent, and not to be changed."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from joserfc import jws as jose
from joserfc.jwk import OKPKey

from consent import notices, printing, purposes, receipt
from consent.errors import ReceiptInvalid
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.parties import Party
from consent.record import NewConsent, SubjectType, midnight, settle
from registry import catalogue, jws
from registry.canonical import b64url, canonical, unb64url
from registry.keyring import Keyring
from registry.suites import sha256, sm2_available
from tests.reachable import CONTACT
from tests.unit.consent.test_representation import PROXY

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
TERMS = settle(
    NewConsent(
        subject_id=UUID(int=7),
        subject_type=SubjectType.HOUSEHOLD,
        recipient="青海民和农村商业银行",
        purpose="LOAN_APPROVAL",
        items=("RATING",),
        valid_from=midnight(date(2026, 1, 10)),
        capture=Capture(
            Channel.VILLAGE,
            "2026-01",
            Language.TIBETAN,
            Evidence(EvidenceKind.PAPER_SCAN, b"\xab" * 32, redacted=True),
            witness="lookup-1:00ff",
        ),
        w_acknowledged=True,
    ),
    purposes=purposes.current(),
    catalogue=catalogue.current(),
)
PURPOSE = purposes.current().by_code["LOAN_APPROVAL"]


@pytest.fixture
def issuer(tmp_path: Path) -> receipt.Issuer:
    return receipt.Issuer.of(Keyring.create(tmp_path, origin="test.example/log", now=NOW), Party("青桥测试", CONTACT))


def issued(issuer: receipt.Issuer) -> str:
    return receipt.issue("c-1", TERMS, State.ACTIVE, NOW, PURPOSE, issuer, CONTACT)


def keys(issuer: receipt.Issuer) -> dict[str, bytes]:
    return {issuer.key.key_id: issuer.key.public}


def test_a_receipt_says_what_was_agreed_to(issuer: receipt.Issuer) -> None:
    read = receipt.verify(issued(issuer), keys(issuer))
    assert (read.consent_id, read.subject_id, read.purpose) == ("c-1", UUID(int=7), "LOAN_APPROVAL")
    assert read.recipient == "青海民和农村商业银行"
    assert read.items == TERMS.scope.items
    assert set(read.document) >= {"header", "processing", "pii_information", "party_identification", "events"}
    limits = read.document["processing"]["purposes"][0]["limits"]
    assert limits == {
        "history_months": 24,
        "max_uses": 3,
        "uses_per_month": 3,
        "highest_mode": "summary",
        "adverse_consequences_acknowledged": True,
        "sensitive_items_agreed_separately": False,
        "reconfirm_months": 0,
    }


def test_it_names_the_words_that_were_agreed_to(issuer: receipt.Issuer) -> None:
    notice = notices.find("LOAN_APPROVAL", "2026-01", Language.TIBETAN)
    assert notice is not None
    stated = receipt.verify(issued(issuer), keys(issuer)).document["processing"]["privacy_notice"]
    assert stated["sha256"] == notice.sha256.hex() == sha256(notice.text.encode()).hex()


def test_it_says_by_the_names_of_the_standard_how_both_parties_are_reached(issuer: receipt.Issuer) -> None:
    operator, recipient = receipt.verify(issued(issuer), keys(issuer)).document["party_identification"]
    for party, role in ((operator, "pii_controller"), (recipient, "third_party")):
        assert party["party_role"] == role
        assert party["party_contact"] == CONTACT.office
        assert party["party_phone"] == CONTACT.phone
        assert party["party_address"] == CONTACT.address
        assert party["party_email"] == CONTACT.email
        assert "party_url" not in party, "what there is not is not stated"


def test_a_receipt_of_before_contacts_stood_in_it_is_still_verified(issuer: receipt.Issuer) -> None:
    old = receipt.issue("c-1", TERMS, State.ACTIVE, NOW, PURPOSE, replace(issuer, contact=None))
    parties = receipt.verify(old, keys(issuer)).document["party_identification"]
    assert all(set(one) == {"party_id", "party_name", "party_role"} for one in parties)


def test_the_same_consent_gives_the_same_bytes(issuer: receipt.Issuer) -> None:
    assert issued(issuer) == issued(issuer)
    payload = unb64url(issued(issuer).split(".")[1])
    assert payload == canonical(json.loads(payload))


def test_no_witness_stands_in_it(issuer: receipt.Issuer) -> None:
    payload = unb64url(issued(issuer).split(".")[1]).decode()
    assert "00ff" not in payload
    assert '"witnessed":true' in payload


def test_a_changed_byte_anywhere_is_found(issuer: receipt.Issuer) -> None:
    text = issued(issuer)
    for position in range(0, len(text), 41):
        changed = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
        with pytest.raises(ReceiptInvalid):
            receipt.verify(changed, keys(issuer))


def test_another_key_another_type_and_another_form_are_refused(issuer: receipt.Issuer, tmp_path: Path) -> None:
    with pytest.raises(ReceiptInvalid):
        receipt.verify(issued(issuer), {issuer.key.key_id: bytes(32)})
    with pytest.raises(ReceiptInvalid):
        receipt.verify(issued(issuer), {})
    payload = unb64url(issued(issuer).split(".")[1])
    answer = jws.sign(issuer.key, issuer.key.key_id, payload, "qq-answer+jws")
    with pytest.raises(ReceiptInvalid):
        receipt.verify(answer, keys(issuer))
    for bare in (b"{}", b"[]", payload.replace(b'"events"', b'"eventz"'), payload.replace(b'"record_id"', b'"record"')):
        with pytest.raises(ReceiptInvalid):
            receipt.verify(jws.sign(issuer.key, issuer.key.key_id, bare, receipt.TYP), keys(issuer))


def test_a_tool_that_is_not_ours_accepts_it(issuer: receipt.Issuer) -> None:
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": b64url(issuer.key.public)})
    read = jose.deserialize_compact(issued(issuer).encode(), key, algorithms=["Ed25519", "EdDSA"])
    assert json.loads(read.payload)["header"]["record_id"] == "c-1"


def test_a_text_we_do_not_hold_is_named_without_a_hash(issuer: receipt.Issuer) -> None:
    other = replace(TERMS, capture=replace(TERMS.capture, text_version="2025-09"))
    made = receipt.issue("c-2", other, State.ACTIVE, NOW, PURPOSE, issuer)
    assert receipt.verify(made, keys(issuer)).document["processing"]["privacy_notice"]["sha256"] is None


@pytest.mark.parametrize("language", [Language.CHINESE, Language.TIBETAN, Language.ENGLISH])
def test_the_text_on_loans_is_held_in_three_languages(language: Language) -> None:
    notice = notices.find("LOAN_APPROVAL", "2026-01", language)
    assert notice is not None
    assert notice.needs_review == (language is Language.TIBETAN)


@pytest.mark.parametrize(
    ("purpose", "version"), [("../LOAN_APPROVAL", "2026-01"), ("LOAN_APPROVAL", "../2026-01"), ("RATING", "2026-01")]
)
def test_a_text_is_never_looked_for_elsewhere(purpose: str, version: str) -> None:
    assert notices.find(purpose, version, Language.CHINESE) is None


def test_two_signatures_stand_over_the_same_bytes_and_a_changed_one_is_found(issuer: receipt.Issuer) -> None:
    if issuer.sm2 is None:
        assert not sm2_available()
        return
    text, trusted = issued(issuer), {issuer.sm2.key_id: issuer.sm2.public}
    beside = receipt.countersign(text, issuer)
    assert beside is not None
    receipt.verify_sm2(text, beside, trusted)
    other = receipt.issue("c-2", TERMS, State.ACTIVE, NOW, PURPOSE, issuer)
    for wrong, keys_ in ((beside[:-4] + "AAAA", trusted), (beside, {issuer.sm2.key_id: issuer.key.public * 2})):
        with pytest.raises(ReceiptInvalid):
            receipt.verify_sm2(text, wrong, keys_)
    with pytest.raises(ReceiptInvalid):
        receipt.verify_sm2(other, beside, trusted)
    with pytest.raises(ReceiptInvalid):
        receipt.verify_sm2("no receipt", beside, trusted)


def test_without_a_key_of_sm2_there_is_one_signature(issuer: receipt.Issuer) -> None:
    assert receipt.countersign(issued(issuer), replace(issuer, sm2=None)) is None


def test_it_says_who_may_keep_what_for_how_long_and_how_it_was_taken(issuer: receipt.Issuer) -> None:
    terms = replace(
        TERMS,
        data_life_days=30,
        captured_at=NOW,
        request_id="r-1",
        representation=PROXY,
        capture=replace(TERMS.capture, place="630222101201", collector="c-7", device="d-9"),
    )
    document = receipt.verify(receipt.issue("c-3", terms, State.ACTIVE, NOW, PURPOSE, issuer), keys(issuer)).document
    purpose, event = document["processing"]["purposes"][0], document["events"][0]
    assert purpose["retention_period"] == "P30D"
    assert purpose["recipient_storage"] == {"location": "CN", "longest_days": 30, "onward_transfer": False}
    assert {"access", "withdrawal", "dispute"} <= set(purpose["privacy_rights"])
    told = {name: event[name] for name in ("place", "collector", "device", "captured_at", "request_id", "channel")}
    assert told == {
        "place": "630222101201",
        "collector": "c-7",
        "device": "d-9",
        "captured_at": "2026-06-15T02:00:00.000000Z",
        "request_id": "r-1",
        "channel": "village",
    }
    assert document["processing"]["representation"]["kind"] == "proxy"
    assert {"party_role": "representative", "party_type": "proxy", "relation": "child"} in document[
        "party_identification"
    ]
    assert "lookup-1" not in canonical(document).decode()


def test_a_receipt_of_before_is_still_a_receipt(issuer: receipt.Issuer) -> None:
    """Its document had fewer members; what was signed once is verified for ever."""
    document = json.loads(unb64url(issued(issuer).split(".")[1]))
    for name in ("captured_at", "uploaded_at", "channel", "place", "collector", "device", "request_id", "subject_type"):
        del document["events"][0][name]
    purpose = document["processing"]["purposes"][0]
    del document["processing"]["representation"], purpose["recipient_storage"], purpose["service"]
    del purpose["limits"]["uses_per_month"], purpose["limits"]["reconfirm_months"]
    for group in document["pii_information"]:
        del group["sensitive_pii_category"], group["special_pii_category"]
    old = jws.sign(issuer.key, issuer.key.key_id, canonical(document), receipt.TYP)
    assert receipt.verify(old, keys(issuer)).items == TERMS.scope.items
    assert "授权回执" in printing.html(
        printing.Sheet(old, None, "https://exchange.example/receipts/c-1"), Language.CHINESE
    )
