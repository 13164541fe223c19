"""Instants and days, as values: in which zone a day is a day, and how an instant is written. Pure: no clock.

Instants are aware datetimes in UTC; calendar days of agencies and consents are days in Beijing (+08:00).
"""

from datetime import UTC, date, datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8), "+08:00")


def beijing_day(at: datetime) -> date:
    """Return the calendar day that holds an aware instant in Beijing."""
    return at.astimezone(BEIJING).date()


def rfc3339(at: datetime) -> str:
    """Write an aware instant as `2026-06-15T02:03:04.000005Z`: UTC, always six decimals, always `Z`.

    Raises:
        ValueError: the datetime has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("an instant without a time zone")
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.isoformat(timespec='microseconds')[:26]}Z"
