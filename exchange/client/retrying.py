"""Whether and when a request is sent again. Pure.

What may be repeated without harm (`safe`: reading, and what carries an Idempotency-Key) is sent again when the line
breaks, and on 502, 503 and 504. Anything else only when it certainly did nothing: nobody took the connection, or the
exchange says itself that nothing was changed (`out-of-service`). Either is sent again on 429 if that says when.

Waits grow by two with full jitter, so that clients which failed together do not come again together. `Retry-After` is
never undercut. Tries and the time spent waiting are bounded; what would wait longer than that is told to the caller.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from exchange.client.errors import Problem, retry_after

_BUSY: Final = 429
_AGAIN: Final = frozenset({_BUSY, 502, 503, 504})
_NOTHING_DONE: Final = "out-of-service"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Retrying:
    """How patient a client is. `tries` counts the first; `most_seconds` bounds the waits of one call together."""

    tries: int = 4
    first_seconds: float = 0.25
    longest_seconds: float = 8.0
    most_seconds: float = 30.0
    chance: Callable[[], float] = random.random

    def after_answer(self, response: httpx.Response, *, tried: int, waited: float, safe: bool) -> float | None:
        """Say how long to wait before the next try after this answer; None to make no other."""
        if response.status_code not in _AGAIN:
            return None
        stated = retry_after(response)
        if response.status_code == _BUSY:
            harmless = stated is not None  # without it, it is a bound of days, not of seconds
        else:
            harmless = safe or Problem.read(response).code == _NOTHING_DONE
        return self._wait(tried, waited, float(stated or 0)) if harmless else None

    def after_failure(self, error: httpx.TransportError, *, tried: int, waited: float, safe: bool) -> float | None:
        """Say how long to wait before the next try after a connection failed; None to make no other."""
        return self._wait(tried, waited, 0.0) if safe or isinstance(error, _NEVER_SENT) else None

    def _wait(self, tried: int, waited: float, at_least: float) -> float | None:
        if tried >= self.tries:
            return None
        grown = min(self.longest_seconds, self.first_seconds * 2 ** (tried - 1))
        wait = at_least + grown * self.chance()
        return wait if waited + wait <= self.most_seconds else None


ONCE: Final = Retrying(tries=1)
