"""Narrower is narrower on every edge; whatever is wider anywhere is a new consent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import Fault, TermsRefused, TransitionRefused
from consent.narrowing import Narrower, narrowed
from consent.scope import Mode
from tests.unit.consent.test_record import NEW, settled

TERMS = settled(replace(NEW, history_months=24, max_uses=6, uses_per_month=3, register_no="SQ-1"))
NOW = datetime(2026, 2, 1, tzinfo=UTC)
UNTIL = TERMS.scope.valid_until
ITEMS = sorted(TERMS.scope.items)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    "asked",
    [
        Narrower(items=ITEMS[:1]),
        Narrower(history_months=0),
        Narrower(valid_until=NOW + TICK),
        Narrower(max_uses=1),
        Narrower(uses_per_month=2),
        Narrower(mode=Mode.VERIFY),
        Narrower(data_life_days=0),
        Narrower(items=ITEMS[:1], max_uses=6, valid_until=UNTIL),
    ],
)
def test_less_on_any_edge_needs_no_new_act(asked: Narrower) -> None:
    smaller = narrowed(TERMS, asked, now=NOW)
    assert smaller.holder == TERMS.holder
    assert smaller.capture == TERMS.capture
    assert smaller.register_no is None  # the number stays with the consent that it names
    assert smaller.scope.items <= TERMS.scope.items


@pytest.mark.parametrize(
    "asked",
    [
        Narrower(),
        Narrower(items=ITEMS, max_uses=6, mode=Mode.SUMMARY),
        Narrower(items=()),
        Narrower(items=[*ITEMS[:1], "TAX_PAYMENT.tax_paid"]),
        Narrower(items=ITEMS[:1], history_months=25),
        Narrower(items=ITEMS[:1], max_uses=7),
        Narrower(items=ITEMS[:1], max_uses=0),
        Narrower(items=ITEMS[:1], uses_per_month=4),
        Narrower(items=ITEMS[:1], valid_until=UNTIL + TICK),
        Narrower(items=ITEMS[:1], valid_until=NOW),
        Narrower(items=ITEMS[:1], valid_until=UNTIL.replace(tzinfo=None)),
        Narrower(items=ITEMS[:1], mode=Mode.REPORT),
        Narrower(items=ITEMS[:1], data_life_days=181),
    ],
)
def test_more_on_one_edge_is_refused_whatever_the_others_say(asked: Narrower) -> None:
    with pytest.raises(TermsRefused) as refused:
        narrowed(TERMS, asked, now=NOW)
    assert refused.value.code is Fault.NOT_NARROWER


def test_what_is_over_is_not_narrowed() -> None:
    with pytest.raises(TransitionRefused):
        narrowed(TERMS, Narrower(max_uses=1), now=UNTIL)


@given(
    st.builds(
        Narrower,
        items=st.none() | st.sets(st.sampled_from([*ITEMS, "TAX_PAYMENT.tax_paid"])),
        history_months=st.none() | st.integers(-1, 40),
        valid_until=st.none()
        | st.datetimes(timezones=st.just(UTC), min_value=datetime(2025, 1, 1), max_value=datetime(2027, 1, 1)),  # noqa: DTZ001  # hypothesis takes them bare
        max_uses=st.none() | st.integers(-1, 9),
        uses_per_month=st.none() | st.integers(-1, 9),
        mode=st.none() | st.sampled_from(Mode),
        data_life_days=st.none() | st.integers(-1, 400),
    )
)
def test_nothing_that_comes_out_is_wider_anywhere(asked: Narrower) -> None:
    try:
        smaller = narrowed(TERMS, asked, now=NOW)
    except TermsRefused:
        return
    before, after = TERMS.scope, smaller.scope
    assert after.items <= before.items
    assert after.valid_from == before.valid_from
    assert after.valid_until <= before.valid_until
    assert after.history_months <= before.history_months
    assert 1 <= after.max_uses <= before.max_uses
    assert (after.uses_per_month or 99) <= (before.uses_per_month or 99)
    assert after.mode.rank <= before.mode.rank
    assert (smaller.data_life_days or 0) <= (TERMS.data_life_days or 0)
    assert smaller != TERMS
