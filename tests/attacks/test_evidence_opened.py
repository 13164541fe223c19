"""Evidence of a consent is opened for a regulator who states a case, seen by the person, and by nobody else at all."""

from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from exchange.capture import evidence as documents
from exchange.capture.disclosing import opened
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import clock, store
from registry.canonical import unb64
from registry.errors import SealBroken
from registry.suites import sha256, sha256_hex
from tests.asking import WANTED, Bank, bank
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.capturing import SECOND, STAFF, collector, content, device
from tests.integration.test_paper_consents import PNG, confirm, enter, put
from tests.people import ZHANG, caller, consented
from tests.phones import Phone, bound
from tests.scenarios.stage import given

STANDING = True
CASE = "青监检〔2026〕17号"
OFFICE = "省级监管部门"
EVENT = "exchange:evidence:opened"


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Bank:
    collector(exchange_home)
    collector(exchange_home, "c-2", SECOND)
    return bank(exchange_home, door)


@pytest.fixture
def regulator(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("regulator-one"), role=Role.REGULATOR, organisation=OFFICE)


def opens(door: Door, reader: Caller, consent_id: str, case: str | None = CASE, **more: Any) -> httpx.Response:
    url = f"{ISSUER}/audit/v1/consents/{consent_id}/evidence"
    body = {} if case is None else {"case": case}
    return door.call("POST", url, headers=reader.headers("POST", url, reader.token(door)), json=body | more)


def agreed_by_phone(phone: Phone, lender: Bank) -> str:
    body = {"subject": {"identifier": ZHANG.text}, "terms": WANTED, "message": "柜台 3 号"}
    assert lender.api("POST", "/v1/consent-requests", json=body).status_code == 202
    (request,) = phone.get("/subject/v1/requests")["requests"]
    said = {"language": "zh", "text_version": request["text"]["version"]}
    made = phone.call("POST", f"/subject/v1/requests/{request['request_id']}/agree", json=said)
    return str(made.json()["consent_id"])


def taken_without_signal(home: Home, lender: Bank) -> str:
    taker = device(home)
    taker.take(content(1), at=clock.now() - timedelta(minutes=1))
    (segment,) = taker.segments()
    answer = lender.api("POST", "/v1/consents/offline", json=segment)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["records"][0]["consent_id"])


def entries(home: Home) -> list[Any]:
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT actor, consent_id, subject_id, fields FROM log_entry WHERE event = %s", (EVENT,)
        ).fetchall()


def test_the_document_of_an_agreement_comes_back_letter_by_letter(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank, regulator: Caller
) -> None:
    consent_id = agreed_by_phone(phone, lender)
    answer = opens(door, regulator, consent_id)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    (piece,) = found["pieces"]
    assert (piece["form"], piece["agrees"]) == ("document", True)
    assert sha256_hex(piece["content"].encode()) == piece["sha256"] == found["evidence_sha256"]
    with exchange_home.database.transaction() as tx:
        assert documents.of_consent(tx, consent_id) == piece["content"].encode()
    assert orjson.loads(piece["content"])["acts"]["agreed"] is True


def test_a_consent_that_was_made_smaller_shows_the_act_it_rests_on_and_nobody_elses(
    door: Door, phone: Phone, lender: Bank, regulator: Caller
) -> None:
    first = agreed_by_phone(phone, lender)
    whole = opens(door, regulator, first).json()
    smaller = first
    for uses in (2, 1):
        answer = phone.call("POST", f"/subject/v1/consents/{smaller}/narrow", json={"max_uses": uses})
        assert answer.status_code == 200, answer.text
        smaller = str(answer.json()["consent_id"])
        found = opens(door, regulator, smaller).json()
        assert (found["pieces"], found["evidence_sha256"]) == (whole["pieces"], whole["evidence_sha256"])
    assert len(whole["pieces"]) == 1


def test_a_smaller_consents_record_and_scan_are_found_too(
    door: Door, exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    one, second = enter(lender), bank(exchange_home, door, "bank-second")
    assert put(lender, one, PNG, "image/png").status_code == 200
    scanned = str(confirm(second, one, scan_sha256=sha256_hex(PNG)).json()["consent_id"])
    for first, form in ((scanned, "scan"), (taken_without_signal(exchange_home, lender), "device-record")):
        said = {"channel": "counter", "history_months": 1}
        answer = lender.api("POST", f"/v1/consents/{first}/narrow", json=said)
        assert answer.status_code == 200, answer.text
        (piece,) = opens(door, regulator, answer.json()["consent_id"]).json()["pieces"]
        assert (piece["form"], piece["agrees"]) == (form, True)


def test_a_later_consent_does_not_show_what_the_one_before_it_rested_on(
    door: Door, exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    """It names a consent before it, and rests on an act of its own."""
    before = taken_without_signal(exchange_home, lender)
    collector(exchange_home, "c-0", STAFF)
    answer = lender.api("POST", "/v1/consents", json=given(ZHANG, previous=before))
    assert answer.status_code == 201, answer.text
    assert answer.json()["previous"] == before
    assert opens(door, regulator, answer.json()["consent_id"]).json()["pieces"] == []


def test_a_devices_record_is_unsealed_with_its_signature(
    door: Door, exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    (piece,) = opens(door, regulator, taken_without_signal(exchange_home, lender)).json()["pieces"]
    assert (piece["form"], piece["agrees"]) == ("device-record", True)
    record = orjson.loads(piece["content"])
    assert record["record"]["content"]["subject"]["identifier"] == ZHANG.text
    assert len(record["signature"]) == 128


def test_a_redacted_scan_is_unsealed_byte_by_byte(
    door: Door, exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    one, second = enter(lender), bank(exchange_home, door, "bank-second")
    assert put(lender, one, PNG, "image/png").status_code == 200
    made = confirm(second, one, scan_sha256=sha256_hex(PNG))
    assert made.status_code == 200, made.text
    (piece,) = opens(door, regulator, made.json()["consent_id"]).json()["pieces"]
    assert (piece["form"], piece["media_type"], piece["agrees"]) == ("scan", "image/png", True)
    assert unb64(piece["content"]) == PNG


def test_the_opening_is_logged_with_its_case_and_shown_to_the_person_as_an_access(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank, regulator: Caller
) -> None:
    consent_id = agreed_by_phone(phone, lender)
    assert opens(door, regulator, consent_id).status_code == 200
    ((actor, about, subject_id, fields),) = entries(exchange_home)
    with exchange_home.database.transaction() as tx:
        whose = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
    assert (actor, about, subject_id, fields["pieces"]) == (regulator.client_id, consent_id, whose, 1)
    assert ZHANG.text not in orjson.dumps(fields).decode()
    (access,) = phone.get("/subject/v1/accesses")["accesses"]
    assert (access["outcome"], access["lender"], access["reason"]) == ("evidence", OFFICE, CASE)
    assert access["consent_id"] == consent_id
    told = [one for one in phone.get("/subject/v1/messages")["messages"] if one["kind"] == "access"]
    assert len(told) == 1
    assert CASE in told[0]["text"]["zh"]
    assert phone.get("/subject/v1/recipients")["recipients"] == [], "a regulator is no recipient of data"
    exported = phone.get("/subject/v1/export")["accesses"]
    assert [one["reason"] for one in exported if one["outcome"] == "evidence"] == [CASE]


def test_no_lender_opens_it_whether_the_consent_names_it_or_another(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    consent_id = agreed_by_phone(phone, lender)
    stranger = registered(exchange_home, Caller("bank-other"), organisation="别的银行")
    for reader in (lender.caller, stranger):
        assert opens(door, reader, consent_id).status_code == 403
    assert phone.call("POST", f"/audit/v1/consents/{consent_id}/evidence", json={"case": CASE}).status_code == 403
    url = f"{ISSUER}/audit/v1/consents/{consent_id}/evidence"
    assert door.call("POST", url, json={"case": CASE}).status_code == 401
    assert entries(exchange_home) == []


@pytest.mark.parametrize(
    "case", [None, "", "x", "a case with spaces", "案\n号1", ZHANG.text, f"案{ZHANG.text}号", "x" * 65]
)
def test_without_a_case_number_or_with_somebodys_identifier_in_it_nothing_is_opened(
    door: Door, exchange_home: Home, regulator: Caller, case: str | None
) -> None:
    made = consented(exchange_home)
    answer = opens(door, regulator, made.consent_id, case)
    assert answer.status_code in {400, 422}
    assert ZHANG.text not in answer.text
    assert entries(exchange_home) == []
    assert opens(door, regulator, made.consent_id).status_code == 200


def test_a_consent_that_is_not_there_is_one_answer_and_no_entry(
    door: Door, exchange_home: Home, regulator: Caller
) -> None:
    assert opens(door, regulator, "c-0").json()["code"] == "consent-unknown"
    assert entries(exchange_home) == []


def test_evidence_that_lies_with_the_collector_is_said_not_to_be_here_and_the_look_is_logged(
    door: Door, exchange_home: Home, regulator: Caller
) -> None:
    made = consented(exchange_home)
    found = opens(door, regulator, made.consent_id).json()
    assert found["pieces"] == []
    assert found["evidence_sha256"] is not None
    assert len(entries(exchange_home)) == 1


def test_a_document_that_was_written_over_does_not_agree(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank, regulator: Caller
) -> None:
    consent_id = agreed_by_phone(phone, lender)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE capture_evidence SET document = %s WHERE consent_id = %s", (b'{"acts":{}}', consent_id))
    (piece,) = opens(door, regulator, consent_id).json()["pieces"]
    assert piece["agrees"] is False
    assert piece["sha256"] == sha256(b'{"acts":{}}').hex()


def test_a_sealed_record_that_was_put_under_another_number_is_not_opened(
    exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    consent_id = taken_without_signal(exchange_home, lender)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE offline_record SET counter = 7 WHERE consent_id = %s", (consent_id,))
    with pytest.raises(SealBroken):
        opened(exchange_home, caller(OFFICE, "regulator-one"), consent_id, CASE, now=clock.now())


def test_of_an_erased_person_nothing_is_opened_and_the_try_is_logged(
    door: Door, exchange_home: Home, lender: Bank, regulator: Caller
) -> None:
    consent_id = taken_without_signal(exchange_home, lender)
    with exchange_home.database.transaction() as tx:
        whose = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
    exchange_home.datakeys.erase(whose, now=clock.now())
    assert opens(door, regulator, consent_id).json()["code"] == "subject-erased"
    ((_, _, _, fields),) = entries(exchange_home)
    assert fields["pieces"] is None
