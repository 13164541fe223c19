"""What became of queries: reported once, kept no further than the consent reaches, missing where nothing came back."""

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from consent.evidence import Channel
from exchange import consents, outcomes, paging
from exchange.home import Home
from exchange.oauth.scopes import Role
from exchange.release import Permitted, release
from registry import clock
from tests.attacks.bent_client import Door
from tests.people import LI, ZHANG, caller, consented, held, question
from tests.phones import bound
from tests.telling import System, system

STANDING = True
APPROVED: dict[str, Any] = {"kind": "decision", "decision": "approved", "amount_fen": 5_000_000, "term_months": 12}
REPAID: dict[str, Any] = {"kind": "repayment", "repayment_status": "N", "amount_fen": 100_000, "balance_fen": 4_900_000}


@pytest.fixture(autouse=True)
def within_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test take microseconds: at midnight in Beijing its days would be others."""
    moment, ticks = clock.now(), count()
    monkeypatch.setattr(clock, "now", lambda: moment + timedelta(microseconds=next(ticks)))


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> System:
    return system(exchange_home, door)


@pytest.fixture
def query(exchange_home: Home) -> UUID:
    consented(exchange_home)
    held(exchange_home)
    return asked(exchange_home)


def asked(home: Home, **changes: Any) -> UUID:
    (answer,) = release(home, [question(**changes)])
    assert isinstance(answer, Permitted), answer
    return answer.query_id


def report(lender: System, query: UUID, outcome: dict[str, Any], reference: str = "R-1", **more: Any) -> httpx.Response:
    body = {"query_id": str(query), "reference": reference, "happened_on": today()} | outcome | more
    return lender.call("POST", "/v1/outcomes", body)


def today(days: int = 0) -> str:
    return (clock.beijing_day(clock.now()) + timedelta(days=days)).isoformat()


def reports(lender: System) -> list[dict[str, Any]]:
    return list(lender.call("GET", "/v1/outcomes").json()["outcomes"])


def test_a_decision_and_what_followed_are_kept_and_read_back_by_their_lender(lender: System, query: UUID) -> None:
    first = report(lender, query, APPROVED)
    assert (first.status_code, first.json()["details_kept"]) == (201, True)
    assert report(lender, query, REPAID, "R-2").status_code == 201
    assert [(one["kind"], one["decision"], one["details"]) for one in reports(lender)] == [
        ("decision", "approved", {"amount_fen": 5_000_000, "term_months": 12}),
        ("repayment", None, {"amount_fen": 100_000, "balance_fen": 4_900_000, "repayment_status": "N"}),
    ]


def test_reports_are_read_page_by_page(lender: System, query: UUID) -> None:
    for reference in ("R-1", "R-2", "R-3"):
        assert report(lender, query, REPAID, reference).status_code == 201
    first = lender.call("GET", "/v1/outcomes?limit=2").json()
    rest = lender.call("GET", f"/v1/outcomes?limit=2&cursor={first['next']}").json()
    assert [one["reference"] for one in first["outcomes"] + rest["outcomes"]] == ["R-1", "R-2", "R-3"]
    assert rest["next"] is None
    assert lender.call("GET", "/v1/outcomes?limit=3").json()["next"] is None


def test_the_same_report_again_changes_nothing_and_another_under_its_reference_is_refused(
    lender: System, query: UUID
) -> None:
    first, again = report(lender, query, APPROVED), report(lender, query, APPROVED)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = report(lender, query, APPROVED | {"amount_fen": 1})
    assert (other.status_code, other.json()["code"]) == (409, "outcome-reference-reused")
    assert len(reports(lender)) == 1


def test_reports_that_come_at_the_same_time_are_kept_once(door: Door, lender: System, query: UUID) -> None:
    url = "https://exchange.example/v1/outcomes"
    body = {"query_id": str(query), "reference": "R-1", "happened_on": today()} | APPROVED
    calls = [
        ("POST", url, {"json": body, "headers": lender.caller.headers("POST", url, lender.token)}) for _ in range(8)
    ]
    answers = door.together(*calls)
    assert sorted(one.status_code for one in answers) == [200] * 7 + [201]
    assert len({one.json()["outcome_id"] for one in answers}) == 1


@pytest.mark.parametrize(
    "bent",
    [
        {"decision": None},
        {"kind": "repayment", "decision": "approved"},
        {"kind": "repayment", "decision": None},
        {"kind": "disbursement", "decision": None, "amount_fen": None},
        {"overdue_days": 3},
        {"amount_fen": -1},
        {"amount_fen": 1.5},
        {"term_months": 0},
        {"kind": "resold"},
        {"reference": "630222199901010001"},
        {"reference": "a b"},
        {"name": "张三"},
    ],
)
def test_what_does_not_belong_to_a_report_is_refused_and_nothing_of_it_repeated(
    lender: System, query: UUID, bent: dict[str, Any]
) -> None:
    refused = report(lender, query, {name: said for name, said in (APPROVED | bent).items() if said is not None})
    assert refused.status_code in {400, 422}, refused.text
    assert "630222" not in refused.text
    assert "张三" not in refused.text
    assert reports(lender) == []


@pytest.mark.parametrize("days", [-1, 1])
def test_nothing_happens_before_its_query_or_after_today(lender: System, query: UUID, days: int) -> None:
    refused = report(lender, query, APPROVED, happened_on=today(days))
    assert (refused.status_code, refused.json()["code"]) == (422, "outcome-date")


def test_nobody_reports_of_anothers_query_or_sees_anothers_reports(
    exchange_home: Home, door: Door, lender: System, query: UUID
) -> None:
    other = system(exchange_home, door, "bank-two", "另一家银行")
    answers = [report(other, query, APPROVED), report(other, uuid4(), APPROVED)]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(404, "query-unknown")] * 2
    assert report(lender, query, APPROVED).status_code == 201
    assert reports(other) == []
    assert report(lender, query, APPROVED, "R-2", query_id=str(query)).status_code == 201


def test_after_a_withdrawal_the_decision_is_kept_and_no_amount(exchange_home: Home, lender: System) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    query = asked(exchange_home)
    consents.withdraw(exchange_home, consent.consent_id, Channel.COUNTER, actor="test")
    kept = report(lender, query, APPROVED)
    assert (kept.status_code, kept.json()["details_kept"]) == (201, False)
    (one,) = reports(lender)
    assert (one["decision"], one["details"]) == ("approved", None)


def test_when_the_consent_ends_amounts_are_shown_to_nobody_and_dropped(exchange_home: Home, lender: System) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    report(lender, asked(exchange_home), APPROVED)
    with exchange_home.database.transaction() as tx:
        assert outcomes.forget_details(tx, now=clock.now()) == 0
    consents.withdraw(exchange_home, consent.consent_id, Channel.COUNTER, actor="test")
    (one,) = reports(lender)
    assert (one["decision"], one["details"]) == ("approved", None)
    with exchange_home.database.transaction() as tx:
        assert outcomes.forget_details(tx, now=clock.now()) == 1
        assert tx.execute("SELECT details FROM outcome").fetchall() == [(None,)]


def test_a_person_sees_what_was_reported_and_of_nobody_else(
    exchange_home: Home, door: Door, lender: System, query: UUID
) -> None:
    report(lender, query, APPROVED)
    mine, another = bound(exchange_home, door), bound(exchange_home, door, LI)
    (seen,) = mine.call("GET", "/subject/v1/outcomes").json()["outcomes"]
    assert (seen["lender"], seen["decision"], seen["details"]["amount_fen"]) == ("沙箱农商银行", "approved", 5_000_000)
    assert another.call("GET", "/subject/v1/outcomes").json() == {"outcomes": []}


def test_amounts_lie_sealed_and_the_log_tells_the_kind_alone(exchange_home: Home, lender: System, query: UUID) -> None:
    report(lender, query, APPROVED | {"amount_fen": 7_654_321})
    with exchange_home.database.transaction() as tx:
        row = tx.execute("SELECT encode(details, 'escape'), o.* FROM outcome o").fetchone()
        entries = tx.execute("SELECT log_entry::text FROM log_entry").fetchall()
    assert "7654321" not in str(row)
    assert all("7654321" not in str(one) for one in entries)


def missing(home: Home) -> list[UUID]:
    with home.database.transaction() as tx:
        found = outcomes.silent(tx, organisation=None, after=None, limit=100, now=clock.now() + timedelta(days=31))
    return [one.query_id for one in found]


def test_a_query_of_which_nothing_came_back_in_thirty_days_is_missing_and_no_other(
    exchange_home: Home, lender: System, query: UUID
) -> None:
    with exchange_home.database.transaction() as tx:
        assert outcomes.silent(tx, organisation=None, after=None, limit=9, now=clock.now() + timedelta(days=29)) == []
    assert missing(exchange_home) == [query]
    second = asked(exchange_home, business_no="LA-2")
    report(lender, query, APPROVED)
    assert missing(exchange_home) == [second]


def test_one_outcome_answers_for_all_queries_of_one_application(
    exchange_home: Home, lender: System, query: UUID
) -> None:
    asked(exchange_home)  # the same business_no
    report(lender, query, APPROVED)
    assert missing(exchange_home) == []


def test_a_regulator_reads_what_is_missing_page_by_page_and_that_is_logged(
    exchange_home: Home, door: Door, query: UUID
) -> None:
    second = asked(exchange_home, business_no="LA-2")
    with exchange_home.database.transaction() as tx:
        tx.execute(
            "UPDATE query SET decided_at = %s", (clock.now() - timedelta(days=31),)
        )  # as of one round of the gate
    regulator = system(exchange_home, door, "regulator-one", "青海省地方金融管理局", Role.REGULATOR)
    first = regulator.call("GET", "/audit/v1/outcomes/missing?limit=1").json()
    rest = regulator.call("GET", f"/audit/v1/outcomes/missing?limit=9&cursor={first['next']}").json()
    assert [one["query_id"] for one in first["queries"] + rest["queries"]] == sorted([str(second), str(query)])
    for bent in ("bm8", paging.cursor("entry", clock.now(), query)):
        assert regulator.call("GET", f"/audit/v1/outcomes/missing?cursor={bent}").status_code == 400
    assert rest["next"] is None
    assert ZHANG.text not in str(first)
    with exchange_home.database.transaction() as tx:
        read = tx.execute("SELECT count(*) FROM log_entry WHERE event = 'exchange:outcomes:read'").fetchone()
    assert read == (2,)


def test_a_lender_reads_no_list_of_what_is_missing(lender: System) -> None:
    assert lender.call("GET", "/audit/v1/outcomes/missing").status_code == 403


def test_of_another_lenders_caller_nothing_is_listed(exchange_home: Home, query: UUID) -> None:
    del query
    with exchange_home.database.transaction() as tx:
        found = outcomes.silent(
            tx, organisation=caller("另一家银行").org_code, after=None, limit=9, now=clock.now() + timedelta(days=31)
        )
    assert found == []
