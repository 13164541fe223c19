"""A registered lender that asks for what it may not have; and what refusals must not tell."""

import statistics
import time
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest

from consent.decision import Reason
from consent.evidence import Channel
from exchange import consents
from exchange.home import Home
from exchange.release import Outcome, Permitted, Refused, release
from registry import clock
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.capturing import in_person, staffed
from tests.people import LI, NOBODY, ZHANG, caller, consented, held, question, sequenced

STANDING = True
QUERIES = f"{ISSUER}/v1/queries"
BANK_ONE = "91630000MA0000000X"  # what bent_client registers


def body(identifier: str = ZHANG.text, **changes: Any) -> dict[str, Any]:
    asked = {
        "subject": {"type": "resident_id", "identifier": identifier},
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
    }
    return asked | changes


class Bank:
    """A lender's session at the door."""

    def __init__(self, door: Door, client: Caller) -> None:
        self.door, self.client, self.token = door, client, client.token(door)

    def ask(self, asked: dict[str, Any], **headers: str) -> httpx.Response:
        credentials = self.client.headers("POST", QUERIES, self.token)
        return self.door.call("POST", QUERIES, json=asked, headers=credentials | headers)

    def evidence(self, query_id: str, form: str = "full") -> httpx.Response:
        address = f"{QUERIES}/{query_id}/evidence"
        credentials = self.client.headers("GET", address, self.token)
        return self.door.call("GET", f"{address}?form={form}", headers=credentials)


@pytest.fixture
def bank(door: Door, lender: Caller) -> Bank:
    return Bank(door, lender)


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_a_consented_question_is_answered_with_evidence_and_an_unconsented_one_is_not(
    exchange_home: Home, bank: Bank
) -> None:
    consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    answer = bank.ask(body())
    assert answer.status_code == 200, answer.text
    assert answer.headers["qingqiao-mode"] == "sandbox"
    query_id = answer.json()["answer"]["query_id"]
    early = bank.evidence(query_id)
    assert (early.status_code, early.headers["retry-after"]) == (202, "1")
    sequenced(exchange_home)
    assert bank.evidence(query_id).status_code == 200
    assert code(bank.ask(body(LI.text))) == (403, "no-consent")


@pytest.mark.parametrize("form", ["full", "redacted"])
def test_another_lenders_query_is_not_there(exchange_home: Home, bank: Bank, other_lender: Caller, form: str) -> None:
    consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    query_id = bank.ask(body()).json()["answer"]["query_id"]
    sequenced(exchange_home)
    stranger = Bank(bank.door, other_lender)
    assert code(stranger.evidence(query_id, form)) == (404, "query-unknown")
    assert code(stranger.evidence(str(uuid4()), form)) == (404, "query-unknown")


def test_a_consent_for_another_lender_opens_nothing(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient="别的银行")
    held(exchange_home)
    assert code(bank.ask(body())) == (403, "no-consent")


def test_consents_that_are_over_or_have_not_begun_open_nothing(exchange_home: Home, bank: Bank) -> None:
    held(exchange_home)
    consented(exchange_home, recipient=BANK_ONE, began=timedelta(days=40), days=30)
    assert code(bank.ask(body())) == (403, "expired")
    consented(exchange_home, recipient=BANK_ONE, began=timedelta(days=-1))
    assert code(bank.ask(body())) == (403, "not-yet-valid")


def test_a_consent_that_was_withdrawn_opens_nothing_any_more(exchange_home: Home, bank: Bank) -> None:
    held(exchange_home)
    consent = consented(exchange_home, recipient=BANK_ONE)
    assert bank.ask(body()).status_code == 200
    consents.withdraw(exchange_home, consent.consent_id, Channel.COUNTER, actor="test")
    assert code(bank.ask(body())) == (403, "withdrawn")


def test_items_outside_the_consent_are_refused_whole(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, items=("RATING",))
    held(exchange_home)
    assert code(bank.ask(body(items=["RATING.grade", "SUBSIDY.amount_due"]))) == (403, "items-not-covered")
    assert bank.ask(body(items=["RATING.grade"])).status_code == 200


def test_after_a_withdrawal_neither_the_key_nor_the_full_evidence_brings_the_answer_back(
    exchange_home: Home, bank: Bank
) -> None:
    consent = consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    first = bank.ask(body(), **{"Idempotency-Key": "application-77"})
    again = bank.ask(body(), **{"Idempotency-Key": "application-77"})
    assert again.content == first.content
    query_id = first.json()["answer"]["query_id"]
    sequenced(exchange_home)
    consents.withdraw(exchange_home, consent.consent_id, Channel.COUNTER, actor="test")
    assert code(bank.ask(body(), **{"Idempotency-Key": "application-77"})) == (403, "withdrawn")
    assert code(bank.evidence(query_id)) == (403, "withdrawn")
    assert bank.evidence(query_id, "redacted").status_code == 200


def test_the_same_key_with_another_body_is_a_conflict(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    bank.ask(body(), **{"Idempotency-Key": "application-78"})
    other = bank.ask(body(business_no="LA-2"), **{"Idempotency-Key": "application-78"})
    assert code(other) == (409, "idempotency-key-reused")


@pytest.mark.parametrize(
    "asked",
    [
        [],
        None,
        "x",
        {},
        body(subject={"type": "resident_id"}),
        body(subject={"type": "resident_id", "identifier": 630222199901010001}),
        body(subject={"type": "passport", "identifier": "E12345678"}),
        body(score=1),
        body(mode="report"),
        body(mode="verify"),
        body(claims=[{"item": "RATING.grade"}]),
        body(items=[]),
        body(items=["RATING.grade"] * 401),
        body(items=["NOTHING.here"]),
        body(items=["SUBSIDY.bank_account"]),
        body(business_no=1.5),
        body(business_no="LA\x00 1"),
        body(business_no="\n"),
        body(business_no=f"LA-{ZHANG.text}"),
        body(staff={"user_id": f"u{ZHANG.text}", "department": "credit"}),
        body(purpose="LOAN\x00"),
        body(mode="verify", claims=[{"item": "SUBSIDY.amount_paid", "relation": "at_least", "value": "abc"}]),
        body(mode="verify", claims=[{"item": "SUBSIDY.amount_paid", "relation": "at_least"}]),
        body(mode="verify", claims=[{"item": "RATING.grade", "relation": "equals", "value": 3}]),
        body("630222199901010002"),
        body("abc"),
    ],
)
def test_a_malformed_question_is_a_problem_that_repeats_nothing(bank: Bank, asked: Any) -> None:
    response = bank.ask(asked)
    assert response.status_code in {400, 422}
    assert code(response)[1]
    for secret in ("630222199901010001", "630222199901010002", "E12345678", "NOTHING"):
        assert secret not in response.text


def test_an_identifier_in_the_address_is_refused_unread(bank: Bank) -> None:
    for address in (f"{QUERIES}/{ZHANG.text}/evidence", f"{QUERIES}?identifier={ZHANG.text}"):
        response = bank.door.call("GET", address, headers=bank.client.headers("GET", address.split("?")[0], bank.token))
        assert response.status_code in {400, 404, 405, 422}
        assert ZHANG.text not in response.text


def _shape(response: httpx.Response) -> dict[str, Any]:
    told = response.json()
    assert told.pop("request_id") == response.headers["x-request-id"]
    told.pop("query_id")
    return {**told, "headers": sorted(set(response.headers) - {"date"})}


def test_an_unknown_person_and_a_missing_consent_cannot_be_told_apart(exchange_home: Home, bank: Bank) -> None:
    """Same code, same body, and times whose medians lie within the spread of each other."""
    held(exchange_home, LI)
    consented(exchange_home, LI, recipient="别的银行")
    shapes: dict[str, Any] = {}
    times: dict[str, list[float]] = {LI.text: [], NOBODY.text: []}
    for round_ in range(40):
        for who in (LI.text, NOBODY.text) if round_ % 2 else (NOBODY.text, LI.text):
            started = time.perf_counter()
            response = bank.ask(body(who))
            times[who].append(time.perf_counter() - started)
            shapes[who] = (response.status_code, _shape(response))
    assert shapes[LI.text] == shapes[NOBODY.text]
    known, unknown = (statistics.median(times[who]) for who in (LI.text, NOBODY.text))
    spread = statistics.quantiles(times[LI.text], n=4)[2] - statistics.quantiles(times[LI.text], n=4)[0]
    assert abs(known - unknown) <= max(3 * spread, 0.3 * known)


def test_fifty_callers_at_once_get_exactly_the_uses_that_were_given(exchange_home: Home) -> None:
    consented(exchange_home, max_uses=7)
    held(exchange_home)
    outcomes: list[Outcome] = []

    def ask(number: int) -> None:
        outcomes.extend(release(exchange_home, [question(business_no=f"LA-{number}", presented=caller())]))

    threads = [Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert sum(isinstance(outcome, Permitted) for outcome in outcomes) == 7
    assert [outcome.reason for outcome in refused] == [Reason.USES_EXHAUSTED] * 43
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT uses FROM consent").fetchone() == (7,)
        assert tx.execute("SELECT count(*) FROM log_entry WHERE event LIKE 'release:%'").fetchone() == (50,)


def test_the_same_key_from_many_callers_at_once_is_one_query(exchange_home: Home) -> None:
    consented(exchange_home, max_uses=7)
    held(exchange_home)
    outcomes: list[Outcome] = []

    def ask() -> None:
        outcomes.extend(release(exchange_home, [question(idempotency_key="application-79")]))

    threads = [Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({outcome.query_id for outcome in outcomes if isinstance(outcome, Permitted)}) == 1
    assert all(isinstance(outcome, Permitted) for outcome in outcomes)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT uses FROM consent").fetchone() == (1,)


def test_a_lender_records_and_withdraws_a_consent_that_names_itself_only(
    exchange_home: Home, bank: Bank, other_lender: Caller
) -> None:
    held(exchange_home)
    staffed(exchange_home, BANK_ONE)
    address = f"{ISSUER}/v1/consents"
    given = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "items": ["RATING"],
        "valid_from": clock.beijing_day(clock.now()).isoformat(),
        "text_version": "2026-01",
        "text_language": "bo",
        "channel": "village",
        "evidence": {"kind": "reliable_esign", "sha256": "ab" * 32},
        **in_person(),
    }

    def post(url: str, sent: dict[str, Any], client: Bank = bank) -> httpx.Response:
        return client.door.call("POST", url, json=sent, headers=client.client.headers("POST", url, client.token))

    assert code(post(address, given | {"recipient": "别的银行"}))[0] == 422
    assert code(post(address, given | {"items": ["NOTHING"]})) == (422, "consent-terms")
    made = post(address, given)
    assert made.status_code == 201, made.text
    consent_id = made.json()["consent_id"]
    assert bank.ask(body(items=["RATING.grade"])).status_code == 200
    stranger = Bank(bank.door, other_lender)
    away = f"{address}/{consent_id}/withdraw"
    assert made.json()["receipt"].count(".") == 2
    # both test lenders belong to one organisation here, so a stranger is made of another
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE client SET organisation = '别的银行' WHERE client_id = %s", [other_lender.client_id])
    assert code(post(away, {"channel": "counter"}, stranger)) == (404, "consent-unknown")
    assert post(away, {"channel": "counter"}).json()["state"] == "withdrawn"
    assert code(bank.ask(body(items=["RATING.grade"]))) == (403, "withdrawn")
