"""The circuit breaker of a feed: when a source that fails is left alone, and when it is tried again. Pure.

  closed      it answers, or has failed fewer than `TRIPS_AFTER` times in a row: asked at its times
  open        it failed again and again: not asked before `open_until`, twice as long each time, a day at most
  half-open   the time is over: asked once; an answer closes it, a failure opens it again

A source that answers wrongly (SourceRefused) counts as failing: asking again at once mends nothing. What a source says
itself of when to come back (Retry-After) is honoured from the first time on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

TRIPS_AFTER: Final = 5
FIRST_REST: Final = timedelta(minutes=5)
LONGEST_REST: Final = timedelta(days=1)


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
        return State.OPEN if now < self.open_until else State.HALF_OPEN

    def failed(self, now: datetime, *, retry_after: float | None = None) -> "Breaker":
        """Count a failure. `retry_after`: what the source said, in seconds."""
        failures = self.failures + 1
        rest = timedelta()
        if failures >= TRIPS_AFTER:
            rest = min(FIRST_REST * 2 ** min(failures - TRIPS_AFTER, 16), LONGEST_REST)
        if retry_after is not None:
            rest = max(rest, min(timedelta(seconds=max(retry_after, 0.0)), LONGEST_REST))
        return Breaker(failures, now + rest if rest else None)

    def succeeded(self) -> "Breaker":
        """Forget all failures."""
        return Breaker()
