"""Wait, in tests, until another transaction waits for a lock."""

import time
from typing import Final

from exchange.home import Home

_MOST_SECONDS: Final = 20
_WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


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
