"""The only reader of the clock.

Everything that depends on the time takes it as a value; doors and jobs call `now` once and pass it down.
What only deals with instants as values is in `instants`, so that pure rooms can have it without the clock.
"""

from datetime import UTC, datetime

from registry.instants import BEIJING, beijing_day, rfc3339

__all__ = ["BEIJING", "beijing_day", "now", "rfc3339"]


def now() -> datetime:
    """Return this instant, aware, in UTC, to the microsecond."""
    return datetime.now(UTC)  # noqa: TID251  # this is that one reader
