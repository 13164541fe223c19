"""Wait, in tests, until something holds, or until another transaction waits for a lock."""

import time
from collections.abc import Callable
from typing import Final

from exchange.home import Home

_MOST_SECONDS: Final = 20
_WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return once it holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_somebody_waits(home: Home) -> None:
    """Return once some transaction of this database waits for another; fail if none does in time."""
    ends = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < ends:
        with home.database.transaction() as tx:  # one of its own: what is seen of others does not change within one
            (waiting,) = tx.execute(_WAITING).fetchone() or (0,)
        if waiting:
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")
