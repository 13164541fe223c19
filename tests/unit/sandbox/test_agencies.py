"""Faults that can be switched, and what the agencies hold; the protocols are in tests/integration."""

from datetime import date
from decimal import Decimal

import pytest

from sandbox.agencies.faults import USUAL_AMOUNT, Fault, Faults, UnknownFault
from sandbox.agencies.holdings import ledgers, payments
from sandbox.people import settle

_DAY = date(2026, 6, 15)


def test_a_fault_strikes_as_often_as_it_was_told_to_and_no_more() -> None:
    faults = Faults([Fault.BUSY])
    faults.on(Fault.BUSY, times=2, amount=3)
    struck = [faults.strikes(Fault.BUSY) for _ in range(4)]
    assert [bool(one) for one in struck] == [True, True, False, False]
    assert struck[0] is not None
    assert struck[0].amount == 3
    assert faults.standing == {}


def test_a_fault_without_a_number_of_times_stays_until_it_is_switched_off() -> None:
    faults = Faults([Fault.SLOW])
    faults.on(Fault.SLOW)
    assert all(faults.strikes(Fault.SLOW) for _ in range(10))
    assert faults.standing == {"slow": {"amount": USUAL_AMOUNT[Fault.SLOW], "times": None, "share": 1.0}}
    faults.off()
    assert faults.strikes(Fault.SLOW) is None


def test_a_fault_in_a_share_of_occasions_strikes_in_about_that_share() -> None:
    faults = Faults([Fault.UNAVAILABLE])
    faults.on(Fault.UNAVAILABLE, share=0.25)
    struck = sum(faults.strikes(Fault.UNAVAILABLE) is not None for _ in range(1000))
    assert 200 < struck < 300


def test_looking_at_a_fault_uses_nothing_up() -> None:
    faults = Faults([Fault.TRUNCATED])
    faults.on(Fault.TRUNCATED, times=1)
    assert faults.is_on(Fault.TRUNCATED) is not None
    assert faults.strikes(Fault.TRUNCATED) is not None


def test_a_fault_that_an_agency_does_not_have_is_refused_with_those_it_has() -> None:
    faults = Faults([Fault.SLOW, Fault.RESET])
    with pytest.raises(UnknownFault, match="reset, slow"):
        faults.on(Fault.BUSY)


@pytest.mark.parametrize("wrong", [{"times": 0}, {"share": 0.0}, {"share": 1.5}, {"amount": -1.0}])
def test_switches_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    faults = Faults(Fault)
    with pytest.raises(ValueError, match="times begins"):
        faults.on(Fault.SLOW, **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_every_change_of_a_switch_is_told() -> None:
    told: list[int] = []
    faults = Faults(Fault, turned=lambda: told.append(len(faults.standing)))
    faults.on(Fault.SLOW)
    faults.on(Fault.RESET)
    faults.off(Fault.SLOW)
    faults.off()
    assert told == [1, 2, 1, 0]


def test_the_clock_is_off_by_what_was_set() -> None:
    faults = Faults(Fault)
    assert faults.skew_seconds() == 0
    faults.on(Fault.CLOCK_AHEAD, amount=60)
    assert faults.skew_seconds() == 60
    faults.off()
    faults.on(Fault.CLOCK_BEHIND)
    assert faults.skew_seconds() == -USUAL_AMOUNT[Fault.CLOCK_BEHIND]


def test_ledgers_hold_every_planted_row_under_its_organisation() -> None:
    province = settle(seed=7, households=100, as_of=_DAY)
    known = {collective.credit_code for collective in province.collectives}
    for name, ledger in ledgers(province, seed=7).items():
        rows = [row for held in ledger.holdings.values() for row in held]
        assert len(rows) == ledger.expected["rows"], name
        assert set(ledger.holdings) <= known
        assert not [row for row in rows if "村集体经济组织" in row and row["统一社会信用代码"] is None], name


def test_amounts_and_areas_of_ledgers_carry_their_unit_in_the_heading() -> None:
    found = ledgers(settle(seed=7, households=100, as_of=_DAY), seed=7)
    headings = {name: set(next(iter(one.holdings.values()))[0]) for name, one in found.items()}
    assert {"银行余额(元)", "截止日期"} <= headings["funds"]
    assert {"原值(万元)", "累计折旧(万元)", "净值(万元)"} <= headings["assets"]
    assert {"总面积(亩)", "已发包面积(亩)"} <= headings["resources"]
    assert {"面积(亩)", "年承包费(元)"} <= headings["contracts"]


def test_payments_count_up_to_what_is_expected_of_them() -> None:
    province = settle(seed=7, households=300, as_of=_DAY)
    made = payments(province.farmers, as_of=_DAY, seed=7)
    assert made.expected["rows"] == len(made.rows) == len(province.farmers)
    assert 0 < int(str(made.expected_of_people["rows"])) < len(made.rows)
    assert made.expected_of_people["accepted"] == made.expected["accepted"]
    assert sum(len(one.resident_id) == 15 for one in made.rows) > 0
    assert sum(one.amount is None for one in made.rows) > 0
    assert all(one.amount is None or one.amount > Decimal(0) for one in made.rows)
    assert payments(province.farmers, as_of=_DAY, seed=7) == made


def test_nobody_is_shown_in_what_is_printed_of_a_payment() -> None:
    province = settle(seed=7, households=60, as_of=_DAY)
    first = payments(province.farmers, as_of=_DAY, seed=7).rows[0]
    for told in (first.resident_id, first.name, first.card):
        assert told not in repr(first)
