"""Trying again: exponential backoff with full jitter, and no sooner than the source says.

Waits are drawn evenly between nothing and an upper end that doubles from `first` to `most` (AWS Architecture Blog,
Exponential Backoff and Jitter: full jitter), so that many installations do not come back at the same moment. A source
that asks for longer than `most` (Retry-After) is not waited for in here: the run ends, and whoever planned it learns
when to come back. Only SourceUnavailable is tried again; what is wrong stays wrong.
"""

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from connectors.errors import SourceUnavailable
from connectors.feed import Retry

_Result = TypeVar("_Result")


def tried(act: Callable[[], _Result], retry: Retry, sleep: Callable[[float], None]) -> _Result:
    """Do something until it succeeds, at most `retry.attempts` times.

    Raises:
        SourceUnavailable: the last failure, or one whose source asks for more patience than `retry.most`.
    """
    jitter = wait_random_exponential(multiplier=retry.first, max=retry.most)

    def wait(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        said = failure.retry_after if isinstance(failure, SourceUnavailable) else None
        return max(jitter(state), said or 0.0)

    def again(failure: BaseException) -> bool:
        return isinstance(failure, SourceUnavailable) and (failure.retry_after or 0.0) <= retry.most

    retrying = Retrying(
        retry=retry_if_exception(again), wait=wait, stop=stop_after_attempt(retry.attempts), sleep=sleep, reraise=True
    )
    return retrying(act)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date; None if it says neither."""
    if not header:
        return None
    text = header.strip()
    if text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if when.tzinfo is None else max((when - now).total_seconds(), 0.0)
