"""What a withdrawal overtakes: by the moment at which a person agreed, not by the day from which it is to hold."""

from datetime import UTC, datetime, timedelta

import pytest

from consent.errors import Fault, TermsRefused
from consent.record import midnight
from consent.refusals import AskedBy, Noes, refuse_older
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
        refuse_older(agreed, begins, NOON)
    assert refused.value.code is Fault.BEFORE_WITHDRAWAL


@pytest.mark.parametrize(
    ("agreed", "begins", "withdrawn"),
    [(NOON + HOUR, DAY, NOON), (DAY + A_DAY, DAY + A_DAY, NOON), (DAY - A_DAY, DAY - A_DAY, None)],
    ids=["afternoon", "the-day-after", "never-withdrawn"],
)
def test_what_was_agreed_to_after_a_withdrawal_stands(
    agreed: datetime, begins: datetime, withdrawn: datetime | None
) -> None:
    refuse_older(agreed, begins, withdrawn)


def test_of_a_lender_that_asked_only_those_refusals_count_that_it_knows_of() -> None:
    assert (AskedBy.LENDER.noes, AskedBy.SUBJECT.noes) == (Noes.KNOWN, Noes.NONE)
