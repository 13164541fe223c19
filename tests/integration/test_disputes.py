"""Disputes: the mark is in every answer at once, the clock runs, the agency answers, the mark follows the answer."""

from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import orjson
import pytest

from consent.scope import Mode
from exchange import binding, disputes, evidence
from exchange.disputes import Located, Outcome
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.release import AskAgain, Permitted, release
from registry import clock
from registry.profile import Claim
from registry.records import RecordRef
from registry.verify import verify
from tests.agencies import events
from tests.attacks.bent_client import Door
from tests.people import LI, SUBSIDY, caller, consented, held, question, sequenced
from tests.phones import Phone, bound

STANDING = True
AGENCY = "民和县农业农村局"  # the publisher of what tests.people.held publishes
ITEM = "SUBSIDY.amount_due"


def permitted(home: Home, **changes: Any) -> Permitted:
    outcome = release(home, [question(**changes)])[0]
    assert isinstance(outcome, Permitted), outcome
    return outcome


def answer(home: Home, **changes: Any) -> dict[str, Any]:
    return dict(orjson.loads(permitted(home, **changes).body))


def marks(said: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The items that carry a mark, and those of each record."""
    items = sorted(item for item, label in said["items"].items() if label.get("disputed"))
    return items, [record["disputed"] for record in said["records"] if "disputed" in record]


MARKED = ([ITEM], [[ITEM]])
CLEAR: tuple[list[str], list[list[str]]] = ([], [])


def disputed(phone: Phone, item: str = ITEM) -> dict[str, Any]:
    record = next(r for r in phone.get("/subject/v1/records")["records"] if r["kind"] == item.partition(".")[0])
    body = {
        "record_id": record["record_id"],
        "version": record["version"],
        "item": item,
        "reason": "wrong_value",
        "words": "应为 1500 元",
        "evidence_sha256": "ab" * 32,
    }
    filed = phone.call("POST", "/subject/v1/disputes", json=body)
    assert filed.status_code == 201, filed.text
    return dict(filed.json())


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    consented(exchange_home, max_uses=9)
    held(exchange_home)
    return bound(exchange_home, door)


def waiting(home: Home, agency: str = AGENCY, *, everything: bool = False) -> list[Located]:
    with home.database.transaction() as tx:
        return disputes.of_agency(tx, home, agency, actor="wang", everything=everything, now=clock.now())


def reply(home: Home, outcome: Outcome, agency: str = AGENCY) -> disputes.Dispute:
    (one,) = waiting(home, agency)
    with home.database.transaction() as tx:
        return disputes.answer(
            tx, home, agency, one.dispute.dispute_id, outcome, "经核对原始台账", by="wang", now=clock.now()
        )


def test_the_mark_is_in_every_answer_from_the_filing_on(exchange_home: Home, phone: Phone) -> None:
    first = answer(exchange_home, idempotency_key="application-1")
    assert marks(first) == CLEAR
    disputed(phone)
    assert marks(answer(exchange_home)) == MARKED
    assert marks(answer(exchange_home, idempotency_key="application-1")) == MARKED  # opened again: as of now
    claim = (Claim(ITEM, "at_least", 1),)
    told = answer(exchange_home, mode=Mode.VERIFY, items=frozenset({ITEM}), claims=claim)
    assert marks(told) == ([ITEM], [])
    assert marks(answer(exchange_home, items=frozenset({"RATING.grade"}))) == CLEAR
    with exchange_home.database.transaction() as tx:
        noted = tx.execute("SELECT count(*) FROM query WHERE records -> 'disputed' <> '[]'").fetchone()
    assert noted == (2,)  # those that were decided after it and showed the record


def test_a_marked_answer_is_signed_and_its_evidence_verifies(exchange_home: Home, phone: Phone) -> None:
    disputed(phone)
    asked = permitted(exchange_home)
    sequenced(exchange_home)
    again = release(exchange_home, [AskAgain(caller(), asked.query_id)])[0]
    assert isinstance(again, Permitted)
    assert again.body == asked.body
    file = evidence.full(exchange_home, again)
    assert file is not None
    verify(file, exchange_home.keyring.policy())
    assert marks(orjson.loads(file)["answer"]) == MARKED


def test_nobody_elses_answer_is_marked(exchange_home: Home, phone: Phone) -> None:
    consented(exchange_home, LI)
    held(exchange_home, LI)
    disputed(phone)
    assert marks(answer(exchange_home, who=LI)) == CLEAR


def test_no_error_takes_the_mark_off_and_tells_the_person(exchange_home: Home, phone: Phone) -> None:
    disputed(phone)
    reply(exchange_home, Outcome.NO_ERROR)
    assert marks(answer(exchange_home)) == CLEAR
    (own,) = phone.get("/subject/v1/disputes")["disputes"]
    assert (own["outcome"], own["reply"], own["marked"]) == ("no_error", "经核对原始台账", False)
    told = [one["facts"] for one in phone.get("/subject/v1/messages")["messages"] if one["kind"] == "dispute"]
    assert told == [{"dispute_id": own["dispute_id"], "outcome": "no_error"}]


def test_what_cannot_be_determined_stays_marked(exchange_home: Home, phone: Phone) -> None:
    disputed(phone)
    reply(exchange_home, Outcome.UNDETERMINED)
    assert marks(answer(exchange_home)) == MARKED


def test_an_error_stays_marked_until_the_correction_is_published(exchange_home: Home, phone: Phone) -> None:
    disputed(phone)
    reply(exchange_home, Outcome.ERROR)
    assert marks(answer(exchange_home)) == MARKED
    held(exchange_home, payloads=[("SUBSIDY", {**SUBSIDY, "amount_due": 150_000})])
    said = answer(exchange_home)
    assert marks(said) == CLEAR
    assert 150_000 in [record["fields"].get("amount_due") for record in said["records"]]


def test_a_correction_published_before_the_answer_is_seen_and_unmarked_by_it(exchange_home: Home, phone: Phone) -> None:
    disputed(phone)
    held(exchange_home, payloads=[("SUBSIDY", {**SUBSIDY, "amount_due": 150_000})])
    assert marks(answer(exchange_home)) == MARKED  # not answered yet: the mark goes on with the record
    (one,) = waiting(exchange_home)
    assert one.corrected
    reply(exchange_home, Outcome.ERROR)
    assert marks(answer(exchange_home)) == CLEAR


def test_an_agency_sees_where_the_row_is_and_answers_once(exchange_home: Home, phone: Phone) -> None:
    filed = disputed(phone)
    assert waiting(exchange_home, "乐都区农业农村局") == []
    (one,) = waiting(exchange_home)
    assert (one.kind, one.row_no, one.dispute.words) == ("SUBSIDY", 7, "应为 1500 元")
    assert one.dispute.number == filed["number"]
    reply(exchange_home, Outcome.NO_ERROR)
    assert waiting(exchange_home) == []
    (answered_one,) = waiting(exchange_home, everything=True)
    with exchange_home.database.transaction() as tx, pytest.raises(RequestRefused) as refused:
        disputes.answer(
            tx,
            exchange_home,
            AGENCY,
            answered_one.dispute.dispute_id,
            Outcome.ERROR,
            "再次答复",
            by="wang",
            now=clock.now(),
        )
    assert refused.value.code == "dispute-answered"


def test_the_clock_warns_after_fifteen_days_and_escalates_after_twenty(exchange_home: Home, phone: Phone) -> None:
    filed = disputed(phone)
    steps = []
    for days in (14, 15, 15, 20, 21, 22):
        with exchange_home.database.transaction() as tx:
            steps.append(disputes.run_clock(tx, now=clock.now() + timedelta(days=days)))
    assert steps == [0, 1, 0, 0, 1, 0]
    assert [name for name in events(exchange_home) if name.startswith("exchange:dispute:")] == [
        "exchange:dispute:filed",
        "exchange:dispute:warned",
        "exchange:dispute:escalated",
    ]
    (own,) = phone.get("/subject/v1/disputes")["disputes"]
    assert (own["dispute_id"], own["overdue"]) == (filed["dispute_id"], True)
    assert reply(exchange_home, Outcome.NO_ERROR).escalated_at is not None  # late, and told as late


def test_an_item_is_disputed_once_at_a_time(exchange_home: Home, phone: Phone) -> None:
    filed = disputed(phone)
    body = {
        "record_id": filed["record_id"],
        "version": 1,
        "item": ITEM,
        "reason": "other",
        "evidence_sha256": "cd" * 32,
    }
    again = phone.call("POST", "/subject/v1/disputes", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "dispute-open")
    reply(exchange_home, Outcome.NO_ERROR)
    assert phone.call("POST", "/subject/v1/disputes", json=body).status_code == 201


@pytest.mark.parametrize(
    "evidence_sha256", ["00" * 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
)
def test_a_dispute_needs_the_hash_of_something(phone: Phone, evidence_sha256: str) -> None:
    record = phone.get("/subject/v1/records")["records"][0]
    body = {"record_id": record["record_id"], "version": 1, "item": ITEM, "reason": "other"}
    answered = phone.call("POST", "/subject/v1/disputes", json=body | {"evidence_sha256": evidence_sha256})
    assert (answered.status_code, answered.json()["code"]) == (422, "evidence-malformed")


def test_a_question_waits_for_a_dispute_that_is_being_filed_and_then_carries_the_mark(
    exchange_home: Home, phone: Phone
) -> None:
    record = next(r for r in phone.get("/subject/v1/records")["records"] if r["kind"] == "SUBSIDY")
    outcomes: list[Any] = []
    asking = Thread(target=lambda: outcomes.extend(release(exchange_home, [question()])))
    with exchange_home.database.transaction() as tx:
        subject_id = binding.subject_of(tx, phone.client.client_id)
        assert subject_id is not None
        ref = RecordRef(subject_id, UUID(record["record_id"]), record["version"])
        new = disputes.New(ref, ITEM, disputes.Reason.OTHER, b"\xab" * 32)
        disputes.file(tx, exchange_home, subject_id, new, by=phone.client.client_id, now=clock.now())
        asking.start()
        asking.join(timeout=1.0)
        assert asking.is_alive()  # it decides under locks that the filing holds
    asking.join(timeout=30)
    (outcome,) = outcomes
    assert isinstance(outcome, Permitted)
    assert marks(orjson.loads(outcome.body)) == MARKED
