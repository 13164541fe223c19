"""What a withdrawal, a pause or a narrowing overtakes: by the moment of agreeing, not by the day of beginning."""

from datetime import UTC, datetime, timedelta

import pytest

from consent.errors import Fault, TermsRefused
from consent.evidence import AskedBy
from consent.record import midnight
from consent.refusals import LastWord, Noes, refuse_older
from registry.instants import beijing_day

NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
DAY = midnight(beijing_day(NOON))
HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("agreed", "begins"),
    [
        (NOON - HOUR, DAY),
        (NOON - HOUR, DAY + 30 * A_DAY),
        (NOON, DAY),
        (DAY, DAY),
        (DAY - A_DAY, DAY + A_DAY),
        (NOON + HOUR, DAY - A_DAY),
    ],
    ids=["morning", "to-begin-later", "same-instant", "only-the-day", "the-day-before", "begins-before"],
)
def test_what_was_agreed_to_before_a_withdrawal_does_not_undo_it(agreed: datetime, begins: datetime) -> None:
    with pytest.raises(TermsRefused) as refused:
        refuse_older(agreed, begins, LastWord(withdrawn=NOON))
    assert refused.value.code is Fault.BEFORE_WITHDRAWAL


@pytest.mark.parametrize(
    ("agreed", "begins", "withdrawn"),
    [(NOON + HOUR, DAY, NOON), (DAY + A_DAY, DAY + A_DAY, NOON), (DAY - A_DAY, DAY - A_DAY, None)],
    ids=["afternoon", "the-day-after", "never-withdrawn"],
)
def test_what_was_agreed_to_after_a_withdrawal_stands(
    agreed: datetime, begins: datetime, withdrawn: datetime | None
) -> None:
    refuse_older(agreed, begins, LastWord(withdrawn))


@pytest.mark.parametrize("agreed", [NOON - HOUR, NOON, DAY], ids=["morning", "same-instant", "only-the-day"])
@pytest.mark.parametrize("withdrawn", [None, DAY - A_DAY], ids=["never-withdrawn", "withdrawn-before"])
def test_what_was_agreed_to_before_a_pause_or_a_narrowing_does_not_undo_it(
    agreed: datetime, withdrawn: datetime | None
) -> None:
    with pytest.raises(TermsRefused) as refused:
        refuse_older(agreed, DAY + A_DAY, LastWord(withdrawn, NOON))
    assert refused.value.code is Fault.BEFORE_REDUCTION


def test_what_was_agreed_to_after_a_pause_or_a_narrowing_stands_from_whichever_day_it_begins() -> None:
    refuse_older(NOON + HOUR, DAY, LastWord(None, NOON))


def test_of_a_lender_that_asked_only_those_refusals_count_that_it_knows_of() -> None:
    assert (Noes.where(AskedBy.LENDER), Noes.where(AskedBy.SUBJECT)) == (Noes.KNOWN, Noes.NONE)
    assert Noes.where(None) is Noes.ALL
