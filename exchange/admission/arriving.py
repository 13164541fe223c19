"""A request to be registered arrives: by the open door, where anybody may stand, or in a file handed to the operator.

Both prove the same (`exchange.admission.registration`), are spent once, and name no key that is another's. Through the
door so many come in an hour in one process, and so many wait (`matters`): whoever floods it, also in another's name,
shuts the door for a while, and keeps out nobody who hands the same signed body to the operator. A file counts nowhere.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from exchange.admission import keyrings, matters
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, Matter
from exchange.admission.registration import Asked
from exchange.errors import RequestRefused
from exchange.oauth import spending
from registry.database import Transaction

AN_HOUR: Final = 20  # requests that hold by themselves, through the door of one process
_HOUR_SECONDS: Final = 3600.0


@dataclass(slots=True)
class Pace:
    """How many may still come through a door: `AN_HOUR` at once, which come again within the hour."""

    clock: Callable[[], float] = time.monotonic
    _left: float = AN_HOUR
    _at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Let one through.

        Raises:
            RequestRefused: `registrations-too-many`, with how long to wait.
        """
        with self._lock:
            now = self.clock()
            self._left = min(AN_HOUR, self._left + (now - self._at) * AN_HOUR / _HOUR_SECONDS)
            self._at = now
            if self._left < 1:
                wait = math.ceil((1 - self._left) * _HOUR_SECONDS / AN_HOUR)
                raise RequestRefused("registrations-too-many", retry_after_seconds=wait)
            self._left -= 1


def keep(tx: Transaction, asked: Asked, *, by_hand: bool, now: datetime) -> Matter:
    """Open the matter of a request that holds by itself; `by_hand`: an operator was handed it.

    Raises:
        RequestRefused: `registrations-too-many`, `possession-unproven`, `key-anothers`.
    """
    if not by_hand:
        matters.refuse_too_many(tx, asked.organisation)
    if not all(spending.spend(tx, one) for one in asked.spends):
        raise RequestRefused("possession-unproven", "a signature was used before")
    keyrings.refuse_anothers(tx, None, [*asked.thumbprints, asked.content["signed_by"]])
    actor = "operator" if by_hand else "applicant"
    try:
        return matters.open_(tx, Kind.REGISTRATION, asked.organisation, asked.content, actor=actor, now=now)
    except NotApproved as same:
        raise RequestRefused("registrations-too-many", "the same request waits already") from same
