"""How fast one organisation may call the costly doors: those that read, weigh or write a whole file for one request.

Each organisation has a bucket of `BURST` calls that fills up again by `A_SECOND`; a call takes out what it costs, and
who finds too little is told when to come again. So a script in a loop, or a stolen key, cannot keep a process from
everybody else. Counted in one process, as watching is (`progress`): with several, an organisation has as many buckets.

Not limited here: uploads (their number and bytes, `connectors.uploads`), and doors that only look into the database.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exchange.errors import RequestRefused

BURST: Final = 120
A_SECOND: Final = 2.0
LOOKING_COST: Final = 1  # a file is read and weighed
DECIDING_COST: Final = 2  # twice, and once more for what follows
ANNOTATING_COST: Final = 4  # and a workbook is written of it
TEMPLATE_COST: Final = 1


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Pace:
    """The buckets of a process. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._buckets, self._lock = clock, dict[str, _Bucket](), threading.Lock()

    def take(self, organisation: str, cost: int) -> None:
        """Take a call out of an organisation's bucket.

        Raises:
            RequestRefused: `asked-too-fast`, with how many seconds to wait; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(organisation, _Bucket(BURST, now))
            bucket.left = min(BURST, bucket.left + (now - bucket.at) * A_SECOND)
            bucket.at = now
            if bucket.left < cost:
                seconds = math.ceil((cost - bucket.left) / A_SECOND)
                raise RequestRefused("asked-too-fast", retry_after_seconds=seconds)
            bucket.left -= cost
