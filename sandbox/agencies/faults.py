"""What can go wrong with an agency's system, switched on and off while it runs.

A fault lasts until it is switched off, or for a number of occasions. Each agency knows some of them
(`Faults.known`) and refuses the others, so that a test cannot wait for a fault that never comes. What is wrong
with a row is not here but in `sandbox.faults`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock
from typing import Final

from numpy.random import default_rng


class Fault(StrEnum):
    """The faults by the names that the command line and the control door use."""

    SLOW = "slow"  # answers drip: amount = bytes a second
    UNAVAILABLE = "unavailable"  # REST: 500; elsewhere the connection is closed at once
    BUSY = "busy"  # 429 with Retry-After: amount = seconds
    REPEATED_PAGE = "repeated-page"  # the page before is delivered once more, with its own cursor
    SHUFFLED_PAGES = "shuffled-pages"  # pages come out of order
    COLUMN_RENAMED = "column-renamed"
    COLUMN_GONE = "column-gone"
    COLUMN_NEW = "column-new"
    TRUNCATED = "truncated"  # the body or file ends early: amount = the share that is left
    CLOCK_BEHIND = "clock-behind"  # times of change lie in the past: amount = seconds
    CLOCK_AHEAD = "clock-ahead"  # times of change lie in the future: amount = seconds
    AUTH_EXPIRED = "auth-expired"  # credentials and tokens are refused
    RESET = "reset"  # the connection is reset: amount = after how many bytes


USUAL_AMOUNT: Final[Mapping[Fault, float]] = {
    Fault.SLOW: 20_000,
    Fault.BUSY: 1,
    Fault.TRUNCATED: 0.5,
    Fault.CLOCK_BEHIND: 86_400,
    Fault.CLOCK_AHEAD: 86_400,
    Fault.RESET: 1_500,
}
LINE_FAULTS: Final = frozenset({Fault.SLOW, Fault.RESET})
SCHEMA_FAULTS: Final = frozenset({Fault.COLUMN_RENAMED, Fault.COLUMN_GONE, Fault.COLUMN_NEW})
CLOCK_FAULTS: Final = frozenset({Fault.CLOCK_BEHIND, Fault.CLOCK_AHEAD})


class UnknownFault(ValueError):
    """An agency that has no such fault; the message names the ones it has."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a fault is switched on: `times` occasions or until switched off (None), in `share` of occasions."""

    amount: float = 0
    times: int | None = None
    share: float = 1.0


class Faults:
    """The switches of one agency; any thread may turn them.

    Args:
        known: what this agency can have.
        turned: called after every change, for faults that lie in what is delivered and not in how.
        seed: of the occasions chosen when `share` is below one.
    """

    def __init__(self, known: Iterable[Fault], *, turned: Callable[[], None] | None = None, seed: int = 7) -> None:
        self.known = frozenset(known)
        self._turned = turned
        self._on: dict[Fault, Setting] = {}
        self._rng = default_rng(seed)
        self._lock = Lock()

    def on(self, fault: Fault, *, times: int | None = None, amount: float | None = None, share: float = 1.0) -> None:
        """Switch a fault on.

        Raises:
            UnknownFault: this agency does not have it.
            ValueError: fewer than one occasion, a share outside 0 to 1, a negative amount.
        """
        if fault not in self.known:
            raise UnknownFault(f"no fault {fault.value} here; there are: {', '.join(sorted(self.known))}")
        if (times is not None and times < 1) or not 0 < share <= 1 or (amount is not None and amount < 0):
            raise ValueError("times begins at 1, share lies above 0 and up to 1, amount is not negative")
        chosen = USUAL_AMOUNT.get(fault, 0) if amount is None else amount
        with self._lock:
            self._on[fault] = Setting(chosen, times, share)
        self._tell()

    def off(self, *faults: Fault) -> None:
        """Switch faults off; all of them when none is named."""
        with self._lock:
            for fault in faults or tuple(self._on):
                self._on.pop(fault, None)
        self._tell()

    def is_on(self, fault: Fault) -> Setting | None:
        """Say how a fault is switched on, without using up an occasion; None when it is off."""
        with self._lock:
            return self._on.get(fault)

    def strikes(self, fault: Fault) -> Setting | None:
        """Say whether a fault strikes on this occasion, and use the occasion up."""
        with self._lock:
            setting = self._on.get(fault)
            if setting is None or self._rng.random() >= setting.share:
                return None
            if setting.times == 1:
                del self._on[fault]
            elif setting.times is not None:
                self._on[fault] = replace(setting, times=setting.times - 1)
        return setting

    @property
    def standing(self) -> dict[str, dict[str, float | int | None]]:
        """What is switched on, for people to read."""
        with self._lock:
            return {
                fault.value: {"amount": one.amount, "times": one.times, "share": one.share}
                for fault, one in self._on.items()
            }

    def skew_seconds(self) -> float:
        """By how much this agency's clock is off; positive is ahead."""
        ahead, behind = self.is_on(Fault.CLOCK_AHEAD), self.is_on(Fault.CLOCK_BEHIND)
        return (ahead.amount if ahead else 0) - (behind.amount if behind else 0)

    def _tell(self) -> None:
        if self._turned is not None:
            self._turned()
