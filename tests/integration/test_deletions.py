"""Deletion notices, reminders and figures: what follows when consents end, or are about to."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from consent import ledger
from consent.evidence import Channel
from consent.narrowing import Narrower
from exchange import consent_figures, consents, deletions, jobs, reminding
from exchange.home import Home
from exchange.oauth.scopes import Role
from exchange.release import Permitted, release
from registry import clock
from registry.clock import rfc3339
from tests.agencies import events
from tests.attacks.bent_client import Door
from tests.people import BANK, LI, ZHANG, consented, held, question
from tests.telling import System, spread, system, withdrawn

STANDING = True


def shown(home: Home, who: Any = ZHANG) -> str:
    """Answer the bank's question; give its query's id."""
    outcome = release(home, [question(who)])[0]
    assert isinstance(outcome, Permitted)
    return str(outcome.query_id)


def regulator(home: Home, door: Door) -> System:
    return system(home, door, "csrc", "某监管局", Role.REGULATOR)


# ---- deletion -------------------------------------------------------------------------------------------------------


def test_a_withdrawal_asks_the_lender_to_delete_what_it_was_shown_and_takes_its_word(
    exchange_home: Home, door: Door
) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    held(exchange_home)
    queries = sorted([shown(exchange_home), shown(exchange_home)])
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    (notice,) = lender.call("GET", "/v1/deletions").json()["notices"]
    assert (notice["consent_id"], notice["reason"], sorted(notice["queries"])) == (
        consent.consent_id,
        "withdrawn",
        queries,
    )
    ended = datetime.fromisoformat(notice["ended_at"])
    assert notice["due_at"] == rfc3339(deletions.after_working_days(ended, 15))
    at = f"/v1/deletions/{notice['notice_id']}/acknowledge"
    frozen = {"outcome": "frozen_by_law", "legal_basis": "LOAN_FILE"}
    for bad in ({"outcome": "frozen_by_law"}, frozen | {"legal_basis": "BECAUSE"}, frozen | {"outcome": "deleted"}):
        assert lender.call("POST", at, bad).json()["code"] == "deletion-basis"
    assert [lender.call("POST", at, frozen).status_code for _ in range(2)] == [204, 204]
    other = frozen | {"legal_basis": "ACCOUNTING_RECORDS"}
    assert lender.call("POST", at, other).json()["code"] == "deletion-settled"
    assert lender.call("POST", at, {"outcome": "deleted"}).status_code == 204
    assert lender.call("POST", at, frozen).json()["code"] == "deletion-settled"
    assert lender.call("GET", "/v1/deletions?open_only=true").json()["notices"] == []
    assert events(exchange_home).count("exchange:deletion:acknowledged") == 2
    assert lender.call("POST", f"/v1/deletions/{uuid4()}/acknowledge", frozen).json()["code"] == "not-found"


def test_the_log_says_alike_of_consents_under_which_something_was_shown_and_of_others(
    exchange_home: Home, door: Door
) -> None:
    lender = system(exchange_home, door)
    withdrawn(exchange_home, consented(exchange_home))
    spread(exchange_home)
    assert lender.call("GET", "/v1/deletions").json()["notices"] == []
    assert events(exchange_home).count("exchange:deletions:asked") == 1


def test_a_consent_that_expired_leaves_the_lender_the_data_life_that_was_agreed_to(
    exchange_home: Home, door: Door
) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    held(exchange_home)
    shown(exchange_home)
    later = clock.now() + timedelta(days=40)
    with exchange_home.database.transaction() as tx:
        assert consents.expire_due(tx, now=later) == 1
        (last,) = tx.execute("SELECT decided_at FROM query").fetchall()[0]
    spread(exchange_home)
    (notice,) = lender.call("GET", "/v1/deletions").json()["notices"]
    assert (notice["reason"], notice["consent_id"]) == ("expired", consent.consent_id)
    assert notice["due_at"] == rfc3339(last + timedelta(days=180))


def test_what_was_shown_before_a_consent_was_narrowed_is_asked_for_with_what_took_its_place(
    exchange_home: Home, door: Door
) -> None:
    lender, first = system(exchange_home, door), consented(exchange_home)
    held(exchange_home)
    old = shown(exchange_home)
    now = clock.now()
    with exchange_home.database.transaction() as tx:
        smaller = consents.narrow_in(
            tx, exchange_home, first.consent_id, Narrower(max_uses=4), Channel.APP, actor="test", now=now
        )
        tx.execute("UPDATE query SET decided_at = decided_at - interval '181 days'")
    for _ in range(2):
        jobs.ask_outlived(exchange_home)
    withdrawn(exchange_home, smaller)
    spread(exchange_home)
    told = lender.call("GET", "/v1/deletions").json()["notices"]
    assert [(one["reason"], one["consent_id"], one["queries"]) for one in told] == [
        ("data-life", smaller.consent_id, [old]),
        ("withdrawn", smaller.consent_id, [old]),
    ]


def test_answers_that_outlive_their_data_life_are_asked_for_once_while_the_consent_runs_on(
    exchange_home: Home, door: Door
) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    held(exchange_home)
    old, young = shown(exchange_home), shown(exchange_home)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE query SET decided_at = decided_at - interval '181 days' WHERE query_id = %s", (old,))
    for _ in range(2):
        jobs.ask_outlived(exchange_home)
    (notice,) = lender.call("GET", "/v1/deletions").json()["notices"]
    assert (notice["reason"], notice["queries"], notice["consent_id"]) == ("data-life", [old], consent.consent_id)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    first = lender.call("GET", "/v1/deletions?limit=1").json()
    assert first["notices"] == [notice]
    rest = lender.call("GET", f"/v1/deletions?limit=1&cursor={first['next']}").json()
    (last,) = rest["notices"]
    assert (last["reason"], sorted(last["queries"]), rest["next"]) == ("withdrawn", sorted([old, young]), None)
    watching = regulator(exchange_home, door)
    first = watching.call("GET", "/audit/v1/deletions?limit=1").json()
    rest = watching.call("GET", f"/audit/v1/deletions?limit=1&cursor={first['next']}").json()
    reasons = [one["reason"] for one in (*first["notices"], *rest["notices"])]
    assert (reasons, rest["next"]) == (["data-life", "withdrawn"], None)


@pytest.mark.parametrize(("agreed", "life"), [(None, 180), (500, 180), (100, 100)])
def test_no_answer_may_be_kept_longer_than_its_purpose_has_it_now(
    exchange_home: Home, door: Door, agreed: int | None, life: int
) -> None:
    lender = system(exchange_home, door)
    consented(exchange_home)
    held(exchange_home)
    old, last = shown(exchange_home), shown(exchange_home)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE consent SET data_life_days = %s", (agreed,))
        days = "UPDATE query SET decided_at = decided_at - make_interval(days => %s) WHERE query_id = %s"
        tx.execute(days, (life, old))
        tx.execute(days, (life - 1, last))
    jobs.ask_outlived(exchange_home)
    (notice,) = lender.call("GET", "/v1/deletions").json()["notices"]
    assert (notice["reason"], notice["queries"]) == ("data-life", [old])
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE query SET decided_at = %s", (clock.now(),))
        assert consents.expire_due(tx, now=clock.now() + timedelta(days=40)) == 1
        (shown_at,) = tx.execute("SELECT max(decided_at) FROM query").fetchall()[0]
    spread(exchange_home)
    ended = lender.call("GET", "/v1/deletions").json()["notices"][-1]
    assert (ended["reason"], ended["due_at"]) == ("expired", rfc3339(shown_at + timedelta(days=life)))


def test_a_deletion_that_is_overdue_is_logged_once_and_told_to_regulators(exchange_home: Home, door: Door) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    held(exchange_home)
    shown(exchange_home)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    watching = regulator(exchange_home, door)
    assert watching.call("GET", "/audit/v1/deletions?overdue=true").json()["notices"] == []
    assert len(watching.call("GET", "/audit/v1/deletions").json()["notices"]) == 1
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE deletion_notice SET due_at = now() - interval '1 minute'")
    for _ in range(2):
        jobs.look_after_telling(exchange_home)
    assert events(exchange_home).count("exchange:deletion:overdue") == 1
    (late,) = watching.call("GET", "/audit/v1/deletions?overdue=true").json()["notices"]
    assert (late["organisation"], late["overdue"], late["outcome"]) == (BANK, True, None)
    at = f"/v1/deletions/{late['notice_id']}/acknowledge"
    assert lender.call("POST", at, {"outcome": "deleted"}).status_code == 204
    assert watching.call("GET", "/audit/v1/deletions?overdue=true").json()["notices"] == []
    assert events(exchange_home).count("audit:deletions:read") == 4
    assert lender.call("GET", "/audit/v1/deletions").json()["code"] == "scope-missing"
    assert watching.call("GET", "/v1/deletions").json()["code"] == "scope-missing"


# ---- reminders ------------------------------------------------------------------------------------------------------


def left(home: Home) -> list[tuple[UUID, str, str]]:
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT subject_id, facts->>'about', facts->>'consent_id' FROM subject_message WHERE kind = 'reminder'"
            " ORDER BY at, subject_id"
        ).fetchall()


def reminded(home: Home, now: datetime) -> None:
    with home.database.transaction() as tx:
        for one in reminding.declared():
            reminding.remind_due(tx, one, now=now)


def test_a_person_is_reminded_once_for_each_date_whatever_is_started_again(exchange_home: Home) -> None:
    consent = consented(exchange_home, days=60)
    until = consent.terms.scope.valid_until
    for days, expected in ((31, 0), (29, 1), (28, 1), (6, 2), (1, 2), (-1, 2)):
        for _ in range(2):
            reminded(exchange_home, until - timedelta(days=days))
        assert len(left(exchange_home)) == expected, days
    assert set(left(exchange_home)) == {(consent.terms.subject_id, "expiry", consent.consent_id)}


def test_what_was_missed_is_told_once_and_what_was_never_due_not_at_all(exchange_home: Home) -> None:
    missed, short = consented(exchange_home, days=60), consented(exchange_home, LI, days=6)
    reminded(exchange_home, short.terms.scope.valid_until - timedelta(days=1))
    assert left(exchange_home) == []
    reminded(exchange_home, missed.terms.scope.valid_until - timedelta(days=3))
    assert left(exchange_home) == [(missed.terms.subject_id, "expiry", missed.consent_id)]


def test_a_consent_that_has_ended_is_no_longer_reminded_of(exchange_home: Home) -> None:
    consent = consented(exchange_home, days=60)
    withdrawn(exchange_home, consent)
    reminded(exchange_home, consent.terms.scope.valid_until - timedelta(days=3))
    assert left(exchange_home) == []


def test_a_confirmation_is_asked_for_before_and_on_its_day_and_anew_after_it(exchange_home: Home) -> None:
    consent, now = consented(exchange_home, days=60), clock.now()
    due = now + timedelta(days=40)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE consent SET reconfirm_by = %s, valid_until = %s", (due, now + timedelta(days=800)))
        assert ledger.get(tx, [consent.consent_id])[consent.consent_id].reconfirm_by == due
    for days in (30, 7, 0):
        for _ in range(2):
            reminded(exchange_home, due - timedelta(days=days))
    assert [about for _, about, _ in left(exchange_home)] == ["reconfirmation"] * 3
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE consent SET reconfirm_by = %s", (due + timedelta(days=365),))
    reminded(exchange_home, due + timedelta(days=340))
    assert len(left(exchange_home)) == 4


# ---- figures --------------------------------------------------------------------------------------------------------


def test_figures_of_a_month_count_what_the_log_says_and_hide_what_speaks_of_few(
    exchange_home: Home, door: Door
) -> None:
    made = [consented(exchange_home) for _ in range(12)]
    for one in made[:3]:
        withdrawn(exchange_home, one)
    may = datetime(2026, 5, 20, 4, tzinfo=UTC)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE log_entry SET at = %s", (may,))
        tx.execute("UPDATE consent SET state_at = %s, valid_until = %s", (may, may + timedelta(days=3650)))
    watching = regulator(exchange_home, door)
    said = watching.call("GET", "/audit/v1/consent-figures?month=2026-05").json()
    assert said["changes"]["new"] == {"total": 12, "by_channel": {"village": 12}, "by_language": {"bo": 12}}
    assert said["changes"]["withdrawn"] == {"total": None, "by_channel": {"village": None}, "by_language": {"bo": None}}
    assert said["changes"]["expired"]["total"] == 0
    assert said["standing"]["total"] == 0  # nine, in tens
    assert watching.call("GET", "/audit/v1/consent-figures?month=2026-04").json()["changes"]["new"]["total"] == 0
    month = f"{clock.now():%Y-%m}"
    assert watching.call("GET", f"/audit/v1/consent-figures?month={month}").json()["code"] == "figures-month"
    assert events(exchange_home).count("audit:figures:read") == 2


def test_requests_are_added_up_once_by_stage_before_they_are_forgotten(exchange_home: Home) -> None:
    now = datetime(2026, 6, 20, 4, tzinfo=UTC)
    offered = now - timedelta(days=4)
    with exchange_home.database.transaction() as tx:
        for state, subject, at, times in (
            ("agreed", uuid4(), offered, 12),
            ("refused", uuid4(), offered, 11),
            ("expired", uuid4(), offered, 13),
            ("expired", None, offered, 14),
            ("offered", uuid4(), now - timedelta(days=1), 10),
        ):
            for _ in range(times):
                tx.execute(
                    "INSERT INTO consent_request (request_id, client_id, recipient, subject_id, terms, message,"
                    " user_code, state, told, language, created_at, expires_at) VALUES (%s, 'b', %s, %s, '{}', '', '0',"
                    " %s, false, %s, %s, %s)",
                    (uuid4(), BANK, subject, state, subject and "bo", at, at + timedelta(days=3)),
                )
    for later in (timedelta(), timedelta(minutes=1), timedelta(hours=1)):
        with exchange_home.database.transaction() as tx:
            consent_figures.count_requests(tx, now=now + later)
    with exchange_home.database.transaction() as tx:
        tx.execute("DELETE FROM consent_request")
        figures = consent_figures.of_month(tx, "2026-06", now=datetime(2026, 7, 1, 4, tzinfo=UTC))
    assert figures.requests == {"phone": {"agreed": 12, "refused": 11, "unanswered": 13, "unreached": 14}}
    assert figures.requests_by_language == {
        "phone": {
            "agreed": {"bo": 12}, "refused": {"bo": 11}, "unanswered": {"bo": 13}, "unreached": {"unknown": 14},
        }
    }  # fmt: skip
