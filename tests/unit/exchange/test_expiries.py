"""When a key or a certificate is warned of. Pure."""

from datetime import UTC, datetime, timedelta

import pytest

from exchange.admission.expiring import KEY_LIFE_DAYS, What, due
from exchange.admission.keyrings import KeyDates

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def key(*, left: timedelta, leaves: datetime | None = None) -> KeyDates:
    return KeyDates("t" * 43, "k1", NOW + left - timedelta(days=KEY_LIFE_DAYS), leaves)


@pytest.mark.parametrize(
    ("left", "step"),
    [
        (timedelta(days=30, seconds=1), None),
        (timedelta(days=30), 30),
        (timedelta(days=14, seconds=1), 30),
        (timedelta(days=14), 14),
        (timedelta(days=3), 3),
        (timedelta(seconds=1), 3),
        (timedelta(0), 0),
        (timedelta(days=-9), 0),
    ],
)
def test_a_key_is_warned_of_thirty_fourteen_and_three_days_before_and_on_the_day(
    left: timedelta, step: int | None
) -> None:
    assert [one.days for one in due([key(left=left)], None, now=NOW)] == ([] if step is None else [step])


def test_a_key_that_leaves_anyway_is_not_warned_of() -> None:
    assert due([key(left=timedelta(days=1), leaves=NOW + timedelta(days=2))], None, now=NOW) == []


def test_a_certificate_is_warned_of_by_its_last_day_and_the_first_to_end_comes_first() -> None:
    row = {"not_after": {"c" * 43: (NOW + timedelta(days=2)).isoformat()}}
    found = due([key(left=timedelta(days=9))], row, now=NOW)
    assert [(one.what, one.days) for one in found] == [(What.CERTIFICATE, 3), (What.KEY, 14)]
    assert due([], {"method": "tls_client_auth"}, now=NOW) == []
