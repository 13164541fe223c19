"""Tags: each by its rule, each with what it rests on; what is missing is unknown, never no."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import uuid4

import pytest

from exchange.consistency.rows import Row
from exchange.errors import RulesRefused
from exchange.reports import tags
from exchange.reports.conditions import Condition, Moment
from registry.catalogue import current
from registry.records import OpenedRecord, Payload, RecordRef
from tests.opened import PERSON, TODAY, record

MOMENT = Moment(TODAY, 60)
CODES = [tag.code for tag in tags.declared(tags.CURRENT)]


def every_item(kind: str) -> frozenset[str]:
    return current().kinds[kind].items


def told(code: str, rows: Sequence[OpenedRecord], **more: Any) -> Mapping[str, Any]:
    """What one tag says when all items of its kind were permitted."""
    tag = next(one for one in tags.declared(tags.CURRENT) if one.code == code)
    stated: dict[str, Any] = {"moment": MOMENT} | more
    found = tags.computed(tags.CURRENT, every_item(tag.check.kind), rows, current(), **stated)
    return next(one for one in found.tags if one["tag"] == code)


def years(*given: int, **fields: Any) -> list[OpenedRecord]:
    return [record("SUBSIDY", {"grant_year": year, "pay_status": "paid", **fields}) for year in given]


RATED: Payload = {"grade": "AA", "eval_date": "2026-03-01", "valid_to": "2027-02-28"}
INSURED: Payload = {"policy_status": "有效", "insured_to": "2026-12-31", "self_share": 12_000}

# of each tag: records that make it yes, and records that make it no
DECIDED: dict[str, tuple[list[OpenedRecord], list[OpenedRecord]]] = {
    "SUBSIDY_THREE_YEARS": (years(2024, 2025, 2026), years(2023, 2025, 2026)),
    "SUBSIDY_NEVER_RETURNED": (years(2026), years(2026) + years(2025, pay_status="returned")),
    "RATING_IN_FORCE": (
        [record("RATING", RATED)],
        [record("RATING", {**RATED, "valid_to": "2026-06-14"})],
    ),
    "RATING_A_OR_BETTER": (
        [record("RATING", RATED), record("RATING", {"grade": "C", "eval_date": "2024-03-01", "valid_to": "2025-02"})],
        [record("RATING", {**RATED, "grade": "B"})],
    ),
    "GRASS_BALANCE_KEPT": (
        [record("GRASS", {"grass_year": 2026, "balance_kept": True})],
        [record("GRASS", {"grass_year": 2026, "balance_kept": False})],
    ),
    "GRASS_WARDEN": (
        [record("GRASS", {"grass_year": 2026, "patrol": True})],
        [record("GRASS", {"grass_year": 2026, "patrol": False}), record("GRASS", {"grass_year": 2024, "patrol": True})],
    ),
    "PASTURE_CONTRACTED": (
        [record("GRASS", {"grass_year": 2026, "pasture_area": 1_230_000})],
        [record("GRASS", {"grass_year": 2026, "pasture_area": 0})],
    ),
    "LAND_CONTRACT_IN_FORCE": (
        [record("LAND_CONTRACT", {"contract_end": "2028-12"}), record("LAND_CONTRACT", {"contract_end": "2020-12-31"})],
        [record("LAND_CONTRACT", {"contract_end": "2020-12-31"})],
    ),
    "COLLECTIVE_CONTRACT_IN_FORCE": (
        [record("SANZI_CONTRACT", {"end_on": "2026-06-15"})],
        [record("SANZI_CONTRACT", {"end_on": "2026-06-14"})],
    ),
    "COLLECTIVE_CONTRACT_NO_ARREARS": (
        [record("SANZI_CONTRACT", {"arrears": 0}), record("SANZI_CONTRACT", {"arrears": 0})],
        [record("SANZI_CONTRACT", {"arrears": 0}), record("SANZI_CONTRACT", {"arrears": 1})],
    ),
    "LIVESTOCK_TAGGED": (
        [record("LIVESTOCK_TAG", {"tag_status": "死亡"}), record("LIVESTOCK_TAG", {"tag_status": "在群"})],
        [record("LIVESTOCK_TAG", {"tag_status": "出栏"})],
    ),
    "LIVESTOCK_NO_EPIDEMIC": (
        [record("LIVESTOCK", {"as_of": "2026-03-31", "epidemic_events": 0})],
        [
            record("LIVESTOCK", {"as_of": "2026-03-31", "epidemic_events": 0}),
            record("LIVESTOCK", {"as_of": "2026-03-31", "epidemic_events": 2}),
        ],
    ),
    "AGRI_INSURED": (
        [record("AGRI_INS_POLICY", INSURED)],
        [record("AGRI_INS_POLICY", {**INSURED, "policy_status": "退保"})],
    ),
    "AGRI_PREMIUM_PAID": (
        [record("AGRI_INS_POLICY", INSURED)],
        [record("AGRI_INS_POLICY", {**INSURED, "self_share": 0})],
    ),
    "ELECTRICITY_NO_ARREARS": (
        [
            record("ELEC", {"power_month": "2026-05", "power_arrears": 0}),
            record("ELEC", {"power_month": "2024-05", "power_arrears": 9_900}),
        ],
        [record("ELEC", {"power_month": "2025-06", "power_arrears": 1})],
    ),
    "WATER_NO_ARREARS": (
        [record("WATER", {"water_month": "2026-05", "water_arrears": 0})],
        [record("WATER", {"water_month": "2026-05", "water_arrears": 100})],
    ),
    "SOCIAL_INSURANCE_UNBROKEN": (
        [record("SOC_INS", {"insured_month": "2026-05", "gap_months": 0})],
        [record("SOC_INS", {"insured_month": "2026-05", "gap_months": 3})],
    ),
    "LOANS_NOT_OVERDUE": (
        [
            record("LOAN_EVENT", {"event_on": "2026-02-01", "loan_event": "还款"}),
            record("LOAN_EVENT", {"event_on": "2023-02-01", "loan_event": "逾期"}),
        ],
        [record("LOAN_EVENT", {"event_on": "2025-02-01", "loan_event": "逾期"})],
    ),
    "NO_OPEN_ENFORCEMENT": (
        [record("JUDICIAL", {"court_list": "执行案件", "case_status": "已履行"})],
        [record("JUDICIAL", {"court_list": "失信被执行人", "case_status": "未结"})],
    ),
    "PUBLIC_HONOUR": (
        [record("CREDIT_CHN", {"item_kind": "荣誉表彰"})],
        [record("CREDIT_CHN", {"item_kind": "行政许可"})],
    ),
    "UNREPAIRED_SANCTION": (
        [record("CREDIT_CHN", {"item_kind": "行政处罚", "repaired": False})],
        [record("CREDIT_CHN", {"item_kind": "行政处罚", "repaired": True})],
    ),
    "TAX_GRADE_GOOD": (
        [record("TAX_CREDIT", {"tax_year": 2025, "tax_grade": "B"})],
        [
            record("TAX_CREDIT", {"tax_year": 2025, "tax_grade": "D"}),
            record("TAX_CREDIT", {"tax_year": 2024, "tax_grade": "A"}),
        ],
    ),
    "REGISTRATION_ACTIVE": (
        [record("BIZ_REG", {"entity_status": "存续"})],
        [record("BIZ_REG", {"entity_status": "吊销"})],
    ),
    "ACCOUNTS_RECONCILED": (
        [record("SANZI_FUND", {"as_of": "2026-03-31", "difference": 0})],
        [record("SANZI_FUND", {"as_of": "2026-03-31", "difference": -5})],
    ),
}


def test_every_tag_has_its_examples() -> None:
    assert set(DECIDED) == set(CODES)
    assert len(CODES) >= 12


@pytest.mark.parametrize("code", CODES)
def test_a_tag_is_yes_by_its_rule_and_names_records_that_it_rests_on(code: str) -> None:
    rows = DECIDED[code][0]
    said = told(code, rows)
    assert said["value"] == "yes"
    assert said["rests_on"]
    assert set(said["rests_on"]) <= {row.visible.commitment.hex() for row in rows}
    assert said["valid_until"] > said["as_of"] == TODAY.isoformat()
    assert said["good"] is (code != "UNREPAIRED_SANCTION")


@pytest.mark.parametrize("code", CODES)
def test_a_tag_is_no_by_its_rule(code: str) -> None:
    said = told(code, DECIDED[code][1])
    assert said["value"] == "no"
    assert said["rests_on"]


@pytest.mark.parametrize("code", CODES)
def test_without_a_record_a_tag_is_unknown_and_not_no(code: str) -> None:
    said = told(code, [])
    assert (said["value"], said["reason"], said["rests_on"]) == ("unknown", "no-data", [])
    assert (said["as_of"], said["valid_until"], said["good"]) == (None, None, None)


@pytest.mark.parametrize("code", CODES)
def test_a_field_that_is_not_filled_makes_a_tag_unknown_and_not_no(code: str) -> None:
    kind = next(tag.check.kind for tag in tags.declared(tags.CURRENT) if tag.code == code)
    said = told(code, [record(kind, {})])
    assert (said["value"], said["reason"]) == ("unknown", "incomplete")


@pytest.mark.parametrize("code", CODES)
def test_a_tag_is_withheld_if_it_reads_an_item_that_was_not_permitted(code: str) -> None:
    tag = next(one for one in tags.declared(tags.CURRENT) if one.code == code)
    for item in tag.check.items:
        allowed = every_item(tag.check.kind) - {item}
        found = tags.computed(tags.CURRENT, allowed, DECIDED[code][0], current(), moment=MOMENT)
        assert code in found.withheld
        assert code not in {one["tag"] for one in found.tags}


@pytest.mark.parametrize("code", CODES)
def test_a_tag_tells_no_value_of_a_field(code: str) -> None:
    said = told(code, DECIDED[code][0])
    assert set(said) == {
        "tag", "zh", "en", "rule", "value", "good", "items", "sources", "as_of", "valid_until", "quality", "rests_on",
    }  # fmt: skip


def test_of_stale_data_nothing_stands_and_it_says_so() -> None:
    old = [record("JUDICIAL", {"court_list": "执行案件", "case_status": "已履行"}, as_of=date(2026, 5, 1))]
    said = told("NO_OPEN_ENFORCEMENT", old)
    assert (said["value"], said["reason"], said["rests_on"]) == ("unknown", "stale", [])


def test_of_a_source_that_is_behind_only_a_yes_stands_that_one_record_bears_out() -> None:
    behind = {"partial": {"SANZI_CONTRACT": "late"}}
    rows = [record("SANZI_CONTRACT", {"end_on": "2030-01-01", "arrears": 0})]
    assert told("COLLECTIVE_CONTRACT_IN_FORCE", rows, **behind)["value"] == "yes"
    said = told("COLLECTIVE_CONTRACT_NO_ARREARS", rows, **behind)
    assert (said["value"], said["reason"]) == ("unknown", "late")


def test_years_beyond_what_the_consent_reaches_are_unknown_and_not_missing() -> None:
    said = told("SUBSIDY_THREE_YEARS", years(2025, 2026), moment=Moment(TODAY, 12))
    assert (said["value"], said["reason"]) == ("unknown", "history-too-short")
    assert told("SUBSIDY_THREE_YEARS", years(2025, 2026))["value"] == "no"


def test_a_span_that_the_consent_does_not_reach_is_not_said_to_be_clean() -> None:
    rows = DECIDED["LOANS_NOT_OVERDUE"][0]
    said = told("LOANS_NOT_OVERDUE", rows, moment=Moment(TODAY, 12))
    assert (said["value"], said["reason"]) == ("unknown", "history-too-short")
    late = DECIDED["LOANS_NOT_OVERDUE"][1]
    assert told("LOANS_NOT_OVERDUE", late, moment=Moment(TODAY, 12))["value"] == "no"


def test_a_run_of_years_that_has_ended_is_no_run() -> None:
    assert told("SUBSIDY_THREE_YEARS", years(2022, 2023, 2024))["value"] == "no"
    assert told("SUBSIDY_THREE_YEARS", years(2023, 2024, 2025))["value"] == "yes"  # this year's is still to come


def test_a_tag_that_rests_on_what_is_disputed_says_so() -> None:
    row = record("RATING", RATED)
    marked = {row.visible.commitment: ["RATING.grade"]}
    assert told("RATING_A_OR_BETTER", [row], disputed=marked)["disputed"] is True
    assert "disputed" not in told("RATING_IN_FORCE", [row], disputed=marked)  # it does not read the grade


def test_the_worst_quality_of_what_it_rests_on_is_said() -> None:
    rows = [record("RATING", RATED, quality="D")]
    assert told("RATING_IN_FORCE", rows)["quality"] == "D"


def test_of_a_snapshot_only_the_last_period_counts() -> None:
    rows = [
        record("SANZI_FUND", {"as_of": "2026-03-31", "difference": 0}, period="2026-Q1"),
        record("SANZI_FUND", {"as_of": "2026-03-31", "difference": 9}, period="2025-Q4"),
    ]
    assert told("ACCOUNTS_RECONCILED", rows)["value"] == "yes"


def test_of_several_records_the_newest_is_unknown_if_one_has_no_date() -> None:
    rows = [record("RATING", RATED), record("RATING", {**RATED, "eval_date": None, "grade": "C"})]
    assert told("RATING_A_OR_BETTER", rows)["value"] == "unknown"


def test_one_unknown_record_does_not_hide_a_certain_no() -> None:
    rows = [record("SANZI_CONTRACT", {"arrears": None}), record("SANZI_CONTRACT", {"arrears": 5})]
    said = told("COLLECTIVE_CONTRACT_NO_ARREARS", rows)
    assert (said["value"], said["rests_on"]) == ("no", [rows[1].visible.commitment.hex()])


FILE = """
version: "1"
tags:
  - code: ONE
    zh: 一
    en: one
    rule: {zh: 一, en: one}
    good: true
    check: {kind: RATING, some: [{field: grade, any_of: [A]}]}
"""


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ("kind: RATING", "kind: NOTHING", "no lender may see"),
        ("field: grade", "field: panel", "no lender may see"),
        ("any_of: [A]", "anyof: [A]", "anyof"),
        ("any_of: [A]", "open_end: true", "must ask something"),
        ("good: true", "good: true\n    good_: true", "good_"),
        ('version: "1"', 'version: "2"', "says that it is"),
        ("some: [{field: grade, any_of: [A]}]", "newest: grade", "asks one thing"),
    ],
)
def test_a_declaration_that_cannot_be_carried_out_is_refused(good: str, bad: str, why: str) -> None:
    assert len(tags.read(FILE, current(), "1")) == 1
    with pytest.raises(RulesRefused, match=why):
        tags.read(FILE.replace(good, bad), current(), "1")


def test_a_code_stands_once() -> None:
    twice = FILE + FILE.partition("tags:\n")[2]
    with pytest.raises(RulesRefused, match="twice"):
        tags.read(twice, current(), "1")


def test_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(RulesRefused, match="no version"):
        tags.declared("1999-01")


def test_an_open_end_has_not_come_yet() -> None:
    ask = Condition.model_validate(
        {"kind": "SANZI_CONTRACT", "some": [{"field": "end_on", "ahead": True, "open_end": True}]}
    )
    row = Row(RecordRef(PERSON, uuid4(), 1), "SANZI_CONTRACT", {"end_on": None})
    assert ask.asked([row], MOMENT).holds is True
