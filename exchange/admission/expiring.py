"""Keys and certificates that end, warned of in time: 30, 14 and 3 days before, and on the day.

A key has no end of its own: it is to be replaced KEY_LIFE_DAYS after it was registered, and is warned of until then;
one that was replaced ends with its overlap, of which nobody needs a warning. A certificate registered by its thumbprint
ends with its last day; of one known by its subject the authority's next is as good, and nothing is known here.

Nothing is cut off by a warning: a certificate ends by itself (`oauth.certificates`), a key that is too old is a matter
for its owner and the officers. `due` is pure; `warn` (a job, once a day) logs and notes each warning once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from exchange.admission import keyrings, notes
from exchange.admission.keyrings import KeyDates
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.certificates import NOT_AFTER
from exchange.oauth.clients import ACTIVE
from exchange.oauth.scopes import Role
from registry import clock, log
from registry.clock import rfc3339
from registry.database import Transaction

KEY_LIFE_DAYS: Final = 400
DAYS: Final = (30, 14, 3, 0)
WARN_SECONDS: Final = 86_400
_AT_ONCE: Final = 200

_journal = structlog.get_logger("qingqiao.admission")


class What(StrEnum):
    """What ends."""

    KEY = "key"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something that ends soon. `days` is the step of `DAYS` that is reached."""

    what: What
    thumbprint: str
    ends_at: datetime
    days: int


def due(keys: Iterable[KeyDates], certificate: Mapping[str, Any] | None, *, now: datetime) -> list[Expiry]:
    """Say what ends within the longest step, the first to end first."""
    ends = [
        (What.KEY, one.thumbprint, one.added_at + timedelta(days=KEY_LIFE_DAYS))
        for one in keys
        if one.leaves_at is None
    ]
    ends += [
        (What.CERTIFICATE, thumbprint, datetime.fromisoformat(until))
        for thumbprint, until in ((certificate or {}).get(NOT_AFTER) or {}).items()
    ]
    found = [
        Expiry(what, thumbprint, at, step) for what, thumbprint, at in ends if (step := _step(at - now)) is not None
    ]
    return sorted(found, key=lambda one: (one.ends_at, one.thumbprint))


def _step(left: timedelta) -> int | None:
    return min((days for days in DAYS if left <= timedelta(days=days)), default=None)


def of_client(tx: Transaction, client_id: str, *, now: datetime) -> list[Expiry]:
    """Say what of a system ends soon."""
    row = tx.execute("SELECT certificate FROM client WHERE client_id = %s", (client_id,)).fetchone()
    return due(keyrings.dates(tx, client_id), None if row is None else row[0], now=now)


def warn(home: Home) -> int:
    """Log and note what is to be warned of and was not yet (a job); say how many warnings."""
    given, after = 0, ""
    while True:
        with home.database.transaction() as tx:
            page = _page(tx, after)
            for client_id in page:
                given += _warn_one(tx, client_id, clock.now())
        if len(page) < _AT_ONCE:
            return given
        after = page[-1]


def _page(tx: Transaction, after: str) -> Sequence[str]:
    rows = tx.execute(
        "SELECT client_id FROM client WHERE role = %s AND state = %s AND client_id > %s ORDER BY client_id LIMIT %s",
        (Role.LENDER.value, ACTIVE, after, _AT_ONCE),
    )
    return [client_id for (client_id,) in rows]


def _warn_one(tx: Transaction, client_id: str, now: datetime) -> int:
    given = 0
    for one in of_client(tx, client_id, now=now):
        fresh = tx.execute(
            "INSERT INTO client_warning (client_id, thumbprint, days, warned_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (client_id, one.thumbprint, one.days, now),
        )
        if fresh.rowcount != 1:
            continue
        given += 1
        said: dict[str, Any] = {
            "what": one.what.value,
            "thumbprint": one.thumbprint,
            "days": one.days,
            "ends_at": rfc3339(one.ends_at),
        }
        fields = {"client_id": client_id, **said}
        log.append(tx, [log.Entry(Event.CLIENT_EXPIRY_WARNED, at=now, actor="system", fields=fields)])
        notes.leave(tx, client_id, "expiry", said, now=now)
        _journal.warning("client:expiry:warned", client=client_id)
    return given


class ExpiryGauges:
    """How many keys and certificates of lenders have reached each step; nobody is named. Kept by whoever leads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ending = Gauge(
            "qingqiao_lender_credentials_ending", "Keys and certificates that end", ["days"], registry=registry
        )

    def look(self, home: Home) -> None:
        """Warn, and count anew (a job)."""
        warn(home)
        counted: Counter[int] = Counter()
        after, now = "", clock.now()
        while True:
            with home.database.transaction() as tx:
                page = _page(tx, after)
                counted.update(one.days for client_id in page for one in of_client(tx, client_id, now=now))
            if len(page) < _AT_ONCE:
                break
            after = page[-1]
        for days in DAYS:
            self._ending.labels(str(days)).set(counted[days])
