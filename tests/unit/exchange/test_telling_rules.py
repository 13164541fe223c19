"""What is decided without a database: days of a deletion, what figures may be told, which reminders there are."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.normalise import FEWEST_PEOPLE
from consent.events import Event
from consent.record import midnight
from exchange import consent_figures, deletions, reminding
from exchange.errors import RequestRefused
from exchange.security_events import NAMES, Told, claims

FRIDAY = datetime(2026, 6, 12, 3, tzinfo=UTC)


def test_working_days_leave_out_saturday_and_sunday_and_the_day_itself() -> None:
    assert deletions.after_working_days(FRIDAY, 1) == midnight(date(2026, 6, 16))  # the whole of Monday
    assert deletions.after_working_days(FRIDAY, 5) == midnight(date(2026, 6, 20))
    assert deletions.after_working_days(FRIDAY, 15) == midnight(date(2026, 7, 4))


def test_the_day_of_a_withdrawal_is_that_of_beijing() -> None:
    late = datetime(2026, 6, 11, 16, 1, tzinfo=UTC)  # Friday in Beijing already
    assert deletions.after_working_days(late, 1) == midnight(date(2026, 6, 16))


def test_after_a_withdrawal_the_data_life_that_was_agreed_to_counts_no_more() -> None:
    shown = FRIDAY - timedelta(days=1)
    assert deletions.due("withdrawn", FRIDAY, shown, 180) == midnight(date(2026, 7, 4))
    assert deletions.due("expired", FRIDAY, shown, 180) == shown + timedelta(days=180)
    assert deletions.due("expired", FRIDAY, shown, 1) == midnight(date(2026, 7, 4))


def test_a_figure_of_fewer_than_ten_is_not_told_nor_to_be_worked_out() -> None:
    total, parts = consent_figures.told({"app": 3, "village": 12, "counter": 40})
    assert (total, parts) == (55, {"app": None, "counter": 40, "village": None})
    assert consent_figures.told({"app": 3}) == (None, {"app": None})
    assert consent_figures.told({}) == (0, {})


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60)))
def test_no_count_of_one_to_nine_is_ever_told_and_none_is_the_rest_of_a_sum(counts: dict[str, int]) -> None:
    total, parts = consent_figures.told(counts)
    shown = [count for count in (total, *parts.values()) if count is not None]
    assert not [count for count in shown if 0 < count < FEWEST_PEOPLE]
    hidden = [name for name, count in parts.items() if count is None]
    if total is not None:
        assert len(hidden) != 1
        if hidden:
            rest = total - sum(count for count in parts.values() if count is not None)
            assert rest == sum(counts[name] for name in hidden) >= FEWEST_PEOPLE


def test_an_abandoned_stage_is_told_by_language_and_few_are_not() -> None:
    stages = {"refused": {"zh": 30, "bo": 12, "en": 4}, "unanswered": {"bo": 25}, "failed": {"zh": 3}}
    by_stage, by_language = consent_figures.ended({"page": stages})
    assert by_stage == {"page": {"failed": None, "refused": 46, "unanswered": None}}
    assert by_language["page"]["refused"] == {"bo": None, "en": None, "zh": 30}
    assert by_language["page"]["unanswered"] == {"bo": None}, "a stage that is not told is told in no language"


_LANGUAGES = st.dictionaries(st.sampled_from(["zh", "bo", "en", "unknown"]), st.integers(0, 40))


@given(st.dictionaries(st.sampled_from(["agreed", "refused", "unanswered"]), _LANGUAGES))
def test_by_language_nothing_hidden_follows_from_the_stage_or_from_the_rest(stages: dict[str, dict[str, int]]) -> None:
    by_stage, by_language = consent_figures.ended({"phone": stages})
    for stage, total in by_stage["phone"].items():
        parts = by_language["phone"][stage]
        assert not [count for count in parts.values() if count is not None and 0 < count < FEWEST_PEOPLE]
        if total is None:
            assert set(parts.values()) <= {None}
        elif None in parts.values():
            hidden = [stages[stage][name] for name, count in parts.items() if count is None]
            assert len(hidden) > 1
            assert sum(hidden) >= FEWEST_PEOPLE


def test_a_month_that_is_not_over_in_beijing_is_not_told() -> None:
    last = datetime(2026, 6, 30, 15, 59, tzinfo=UTC)
    with pytest.raises(RequestRefused, match="figures-month"):
        consent_figures.edges("2026-06", now=last)
    assert consent_figures.edges("2026-06", now=last + timedelta(minutes=1)) == (
        midnight(date(2026, 6, 1)),
        midnight(date(2026, 7, 1)),
    )
    for month in ("2026-13", "0000-01", "9999-12"):
        with pytest.raises(RequestRefused, match="figures-month"):
            consent_figures.edges(month, now=last)


def test_each_reminder_makes_earlier_ones_of_the_same_date_needless() -> None:
    covers = {one.what: one.covers for one in reminding.declared()}
    assert set(covers["expiry-7"]) == {"expiry-7", "expiry-30"}
    assert set(covers["reconfirmation-0"]) == {"reconfirmation-0", "reconfirmation-7", "reconfirmation-30"}
    assert covers["expiry-30"] == ("expiry-30",)


def test_every_event_of_a_consent_has_an_address_of_its_own() -> None:
    assert set(NAMES) == {event.value for event in Event} - {Event.NOTICE_REVIEWED.value}
    assert len(set(NAMES.values())) == len(NAMES)


def test_an_event_tells_its_consent_by_id_and_nothing_of_the_act() -> None:
    fields = {
        "purpose": "LOAN_APPROVAL", "state": "withdrawn", "channel": "village", "recipient": "某银行",
        "receipt_sha256": "00", "was": "active",
    }  # fmt: skip
    said = claims(
        "https://x.example", Told("j", Event.WITHDRAWN.value, FRIDAY, "c-1", fields), audience="b", now=FRIDAY
    )
    assert said["sub_id"] == {"format": "opaque", "id": "c-1"}
    assert said["events"] == {
        "https://x.example/events/consent/withdrawn": {"purpose": "LOAN_APPROVAL", "state": "withdrawn"}
    }
    assert set(said) == {"iss", "iat", "jti", "aud", "toe", "sub_id", "events"}
