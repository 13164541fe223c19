"""The circuit breaker of a feed: when a source that fails is left alone, and when it is tried again. Pure.

  closed      it answers, or has failed fewer than `TRIPS_AFTER` times in a row: asked at its times, and after each
              failure once more besides, when a rest is over
  open        it failed again and again, or said when to come back (Retry-After): not asked before `open_until`
  half-open   the time is over: asked once; an answer closes it, a failure opens it again

A rest is FIRST_REST after the first failure and twice as long after each further one, LONGEST_REST at most; what the
source asks for counts if it is longer, LONGEST_WAIT at most. A failure that somebody must mend counts as any other:
asking again at once mends nothing. A clock that was set back leaves moments behind that lie further ahead than any
rest: they are not kept to.

Whoever runs a feed by hand asks at once, whatever the breaker says: that run is its trial.

The state lies with the feed (`runs`), and scheduled runs and runs by hand have one between them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

TRIPS_AFTER: Final = 5
FIRST_REST: Final = timedelta(minutes=5)
LONGEST_REST: Final = timedelta(hours=6)
LONGEST_WAIT: Final = timedelta(hours=24)  # what a source may ask for


class State(StrEnum):
    """Whether a source may be asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, and until when the source is left alone (None: it is not)."""

    failures: int = 0
    open_until: datetime | None = None

    def state(self, now: datetime) -> State:
        """Say whether the source may be asked."""
        if self.open_until is None:
            return State.CLOSED
        return State.OPEN if timedelta() < self.open_until - now <= LONGEST_WAIT else State.HALF_OPEN

    def failed(self, now: datetime, *, wait: timedelta | None = None) -> "Breaker":
        """Count a failure. `wait`: for how long the source asked to be left alone."""
        failures = self.failures + 1
        opens = failures >= TRIPS_AFTER or _asked(wait) > timedelta()
        return Breaker(failures, now + rest(failures, wait=wait) if opens else None)

    def succeeded(self) -> "Breaker":
        """Forget all failures."""
        return Breaker()


def rest(failures: int, *, wait: timedelta | None = None) -> timedelta:
    """Return how long after the n-th failure in a row it is tried again; `wait` is what the source asked for."""
    doublings: int = min(failures - 1, 16)
    return max(min(FIRST_REST * (1 << doublings), LONGEST_REST), _asked(wait))


def _asked(wait: timedelta | None) -> timedelta:
    return max(timedelta(), min(wait or timedelta(), LONGEST_WAIT))
