"""How long after it was taken a consent may come in: declared in one file, and read strictly."""

from datetime import timedelta

import pytest

from consent import ages, purposes, taking
from consent.errors import DeclarationInvalid

DECLARED = """
version: "2026-03"
clock_minutes: 15
counter: {taken_within_days: 7}
paper: {signed_within_days: 60, open_days: 14}
offline: {upload_within_days: 7, records_at_once: 32}
"""


def test_the_bounds_of_this_release_are_those_that_the_documents_state() -> None:
    assert taking.bounds() == taking.read(DECLARED)
    assert taking.bounds().counter_within == timedelta(days=7)


@pytest.mark.parametrize(
    ("changed", "into"),
    [
        ("taken_within_days: 7", "taken_within_day: 7"),
        ("taken_within_days: 7", "taken_within_days: 0"),
        ("taken_within_days: 7", 'taken_within_days: "7"'),
        ("open_days: 14", "open_days: 14, closed: 3"),
        ("clock_minutes: 15", "clock_minutes: -15"),
        ('version: "2026-03"', "version: 7"),
        ("offline: {upload_within_days: 7, records_at_once: 32}", ""),
        ("counter: {", "counter: ["),
    ],
)
def test_a_bound_that_is_misspelt_or_missing_is_no_bound_and_is_refused(changed: str, into: str) -> None:
    with pytest.raises(DeclarationInvalid):
        taking.read(DECLARED.replace(changed, into))


def test_no_purpose_lets_anybody_consent_alone_below_the_age_of_the_law() -> None:
    least = min(purpose.guardian_until_age for purpose in purposes.current().by_code.values())
    assert least >= ages.CHILD_UNTIL
    assert max(purpose.guardian_until_age for purpose in purposes.current().by_code.values()) <= ages.OF_AGE
