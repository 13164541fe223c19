"""Purposes are configuration, and a mistake in it is loud."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources

import pytest

from consent import purposes
from consent.errors import DeclarationInvalid
from consent.scope import Mode, Scope, recipient_name
from registry import catalogue

TEXT = (resources.files("consent") / "purposes.yml").read_text("utf-8")
SCOPE = Scope(
    recipient="bank-a",
    purpose="LOAN_APPROVAL",
    items=frozenset({"SUBSIDY.amount_paid", "GONE.field"}),
    history_months=600,
    valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    max_uses=1000,
    mode=Mode.MONITOR,
    w_acknowledged=True,
)


def test_the_eight_purposes_are_there() -> None:
    assert set(purposes.current().by_code) == {
        "LOAN_APPROVAL",
        "POST_LOAN",
        "GUARANTEE",
        "RATING",
        "SUBSIDY_MATCH",
        "SELF_QUERY",
        "REPAIR",
        "MODEL_TRAINING",
    }


def test_a_purpose_touches_exactly_the_kinds_whose_terms_name_it() -> None:
    for code, purpose in purposes.current().by_code.items():
        assert purpose.kinds == {kind.code for kind in catalogue.current().kinds.values() if code in kind.purposes}
        assert purpose.kinds


def test_a_purpose_that_only_the_catalogue_names_stops_the_loading() -> None:
    assert "  REPAIR:\n" in TEXT
    with pytest.raises(DeclarationInvalid, match="the catalogue names REPAIR"):
        purposes.read(TEXT.replace("  REPAIR:\n", "  MENDING:\n"))


def test_nobody_can_consent_to_what_is_about_a_region() -> None:
    touched = frozenset().union(*(purpose.kinds for purpose in purposes.current().by_code.values()))
    assert catalogue.current().kinds.keys() - touched == {"METEO", "PRICE"}


def test_loans_cannot_be_asked_about_without_a_business_number() -> None:
    assert purposes.current().by_code["LOAN_APPROVAL"].business_number
    assert purposes.current().by_code["POST_LOAN"].business_number


def test_a_lowered_ceiling_binds_consents_given_before() -> None:
    purpose = purposes.current().by_code["LOAN_APPROVAL"]
    cut = purpose.narrowed(SCOPE)
    assert cut == replace(
        SCOPE, items=frozenset({"SUBSIDY.amount_paid"}), history_months=60, max_uses=12, mode=Mode.REPORT,
        uses_per_month=12,
    )  # fmt: skip
    assert purpose.narrowed(cut) == cut


@pytest.mark.parametrize(("agreed", "lives"), [(None, 180), (0, 0), (30, 30), (180, 180), (181, 180)])
def test_an_answer_lives_as_long_as_was_agreed_and_no_longer_than_the_purpose_has_it_now(
    agreed: int | None, lives: int
) -> None:
    assert purposes.current().by_code["LOAN_APPROVAL"].life_days(agreed) == lives


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    uses: {strictest: 3, ceiling: 12}\n", "", "uses: missing"),
        ("uses: {strictest: 3, ceiling: 12}", "uses: {strictest: 13, ceiling: 12}", "passes the ceiling"),
        ("uses: {strictest: 3, ceiling: 12}", "uses: {strictest: 0, ceiling: 12}", "at least 1"),
        ("uses: {strictest: 3, ceiling: 12}", "uses: {strictest: true, ceiling: 12}", "whole number"),
        ("uses: {strictest: 3, ceiling: 12}", "uses: {strictest: 3, ceiling: 12, celing: 9}", "not understood"),
        ("mode: {strictest: summary, ceiling: report}", "mode: {strictest: all, ceiling: report}", "all"),
        ("mode: {strictest: summary, ceiling: report}", "mode: {strictest: report, ceiling: tags}", "passes"),
        ("    business_number: true  #", "    busness_number: true\n    business_number: true  #", "not understood"),
        ("    business_number: true  #", "    business_number: 1  #", "true or false"),
        ('version: "2026-03"', "version: 2026", "version: not a text"),
        ("    business_number: true  #", "    kinds: [RATING]\n    business_number: true  #", "not understood"),
        ("purposes:\n", "purposes:\n  EMPTY:\n", "not a mapping"),
        ("version:", "version: [", "not readable"),
    ],
)
def test_a_mistake_in_the_declaration_is_loud(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(DeclarationInvalid, match=message):
        purposes.read(TEXT.replace(old, new, 1))


def test_the_modes_are_ordered_least_data_first() -> None:
    assert sorted(Mode, key=lambda mode: mode.rank) == list(Mode)
    assert (
        Mode.VERIFY.rank < Mode.TAGS.rank < Mode.SCORE.rank < Mode.SUMMARY.rank < Mode.REPORT.rank < Mode.MONITOR.rank
    )


def test_one_bank_written_two_ways_is_one_recipient_and_two_banks_stay_two() -> None:
    assert recipient_name(" 青海民和\u3000农村商业银行（总行）") == recipient_name("青海民和农村商业银行(总行)")
    assert recipient_name("青海民和农村商业银行") != recipient_name("青海民和农村商业银行民和支行")
