"""The sample files of five agencies end as their answer key says, in every count, code and amount."""

import json

import pytest

from connectors import normalise, report
from connectors.normalise import TableOutcome
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

EXPECTED = json.loads((SAMPLES / "expected.json").read_text("utf-8"))


@pytest.fixture(scope="module", params=[100_000, 7], ids=["whole", "in chunks of 7"])
def outcomes(request: pytest.FixtureRequest) -> list[TableOutcome]:
    basis_of = basis_of_register()
    return [
        outcome
        for path in sorted(SAMPLES.iterdir())
        for outcome in normalise.evaluate(
            path.read_bytes(), path.name, as_of=AS_OF, basis_of=basis_of, chunk_rows=request.param
        )
    ]


def test_the_report_equals_the_answer_key(outcomes: list[TableOutcome]) -> None:
    ours = report.report(outcomes, as_of=AS_OF)
    assert ours["as_of"] == EXPECTED["as_of"]
    assert ours["files"] == EXPECTED["files"]


def test_every_row_ends_once(outcomes: list[TableOutcome]) -> None:
    for outcome in outcomes:
        if not outcome.blocked:
            assert sum(outcome.counts.values()) == outcome.rows
            told = sum(count for codes in outcome.codes.values() for count in codes.values())
            assert told + outcome.counts["accepted"] == outcome.rows


def test_of_a_row_without_consent_nothing_is_in_the_frame(outcomes: list[TableOutcome]) -> None:
    for outcome in outcomes:
        if not outcome.frame.empty:
            assert "NO_CONSENT" not in set(outcome.frame["code"])
            without = outcome.codes.get("rejected", {}).get("NO_CONSENT", 0)
            assert len(outcome.frame) == outcome.rows - without == outcome.rows - len(outcome.uncovered)
            rejected = outcome.frame[outcome.frame["outcome"] == "rejected"]
            assert rejected.iloc[:, 5:].isna().all(axis=None)


def test_a_repr_shows_no_rows(outcomes: list[TableOutcome]) -> None:
    for outcome in outcomes:
        assert "6230" not in repr(outcome).replace(outcome.label, "")
        assert "尼玛" not in repr(outcome)


def test_a_payload_is_in_whole_units(outcomes: list[TableOutcome]) -> None:
    by_label = {outcome.label: outcome for outcome in outcomes}
    first = by_label["玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"].frame.iloc[0]
    assert first["grazing_ban_area"] == 6_950_000
    assert first["amount_due"] == 670_750
    assert first["grazing_ban_rate"] == "7.5"
    assert first["grant_year"] == 2025
    assert first["region_code"] == "632701203206"
    assets = by_label["平安区_农村集体三资台账_2026年第一季度.xlsx#资产"]
    assert assets.frame.iloc[0]["original_value"] == 255_343_500
    assert assets.as_of == "2026-03-31"


def test_what_the_bank_returned_was_due_and_not_paid(outcomes: list[TableOutcome]) -> None:
    frame = next(o.frame for o in outcomes if o.project == "耕地地力保护补贴")
    returned = frame[(frame["pay_status"] == "returned") & frame["outcome"].isin(["accepted", "warned"])]
    assert len(returned) > 0
    assert (returned["amount_due"] > 0).all()
    assert (returned["amount_paid"] == 0).all()


def test_the_publisher_is_the_unit_that_filled_the_table_in(outcomes: list[TableOutcome]) -> None:
    publishers = {outcome.project: outcome.publisher for outcome in outcomes}
    assert publishers["耕地地力保护补贴"] == "民和回族土族自治县农业农村局"
