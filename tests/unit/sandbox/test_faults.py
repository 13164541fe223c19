"""The sandbox's own key: the order of precedence, and that every fault is counted once."""

import pytest
from numpy.random import default_rng

from sandbox import faults


@pytest.mark.parametrize(
    ("codes", "consented", "expected"),
    [
        ([], True, ("accepted", None)),
        ([], False, ("rejected", "NO_CONSENT")),
        (["AMOUNT_MISMATCH"], True, ("quarantined", "AMOUNT_MISMATCH")),
        (["AMOUNT_MISMATCH"], False, ("rejected", "NO_CONSENT")),
        (["ID_CHECK_FAILED"], False, ("rejected", "ID_CHECK_FAILED")),
        (["PUBLICITY_MISSING", "ID_REGION_UNKNOWN"], True, ("warned", "ID_REGION_UNKNOWN")),
        (["ID_REGION_UNKNOWN", "VILLAGE_UNKNOWN"], True, ("quarantined", "VILLAGE_UNKNOWN")),
    ],
)
def test_the_first_that_applies_decides(codes: list[str], *, consented: bool, expected: tuple[str, str | None]) -> None:
    assert faults.outcome(codes, consented=consented) == expected


def test_a_share_of_each_kind_is_planted_and_at_least_one() -> None:
    planted = faults.plant(default_rng(1), 200, {"ACCOUNT_LUHN": 0.05, "CELL_ERROR": 0.0001})
    assert planted.count("ACCOUNT_LUHN") == 10
    assert planted.count("CELL_ERROR") == 1


def test_more_faults_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        faults.plant(default_rng(1), 1, {"ACCOUNT_LUHN": 0.5, "CELL_ERROR": 0.5})


def test_only_rows_that_are_held_add_to_the_amount() -> None:
    tally = faults.Tally("SUBSIDY", has_amounts=True)
    tally.count([], amount_fen=10_050)
    tally.count(["ACCOUNT_LUHN"], amount_fen=5)
    tally.count(["AMOUNT_MISMATCH"], amount_fen=900)
    tally.count([], consented=False, amount_fen=900)
    assert tally.as_expected() == {
        "dataset": "SUBSIDY",
        "rows": 4,
        "accepted": 1,
        "warned": 1,
        "warned_codes": {"ACCOUNT_LUHN": 1},
        "quarantined": 1,
        "quarantined_codes": {"AMOUNT_MISMATCH": 1},
        "rejected": 1,
        "rejected_codes": {"NO_CONSENT": 1},
        "accepted_amount_yuan": "100.55",
    }
