"""Where an organisation has its events sent: registered by its own systems, proved by a challenge, paused, replayed.

    registered ──challenge answered──▶ verified ──too many failures, or 410──▶ paused
        ▲                                 ▲                                       │
        └────────another address──────────┴──────────challenge answered───────────┘

Before an address is verified nothing is sent to it but the challenge: a signed request with a nonce, which must come
back. So nobody has a stranger's machine flooded, and an address that was mistyped takes nothing. A challenge is tried
CHALLENGES_MOST times; then it must be asked for anew (`POST /v1/webhook/test`), which any pause ends with, too. So it
must where whoever registered it may have been somebody else (`exchange.admission.ending`); all systems of a lender find
a note of each address that was set or taken back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from exchange import push_targets
from exchange.admission import notes
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.monitoring.deciding import wait_seconds
from registry import log
from registry.canonical import JSON
from registry.database import Transaction

FAILURES_MOST: Final = 20  # in a row: half a day of tries
CHALLENGES_MOST: Final = 5
KEPT_DAYS: Final = 90
PAGE_MOST: Final = 200
SILENCED: Final = "silenced"
_ASKED_APART: Final = timedelta(seconds=10)  # challenges that were asked for


@dataclass(frozen=True, slots=True)
class Webhook:
    """An organisation's address and how it fares."""

    organisation: str
    webhook_id: UUID
    client_id: str
    url: str
    since: datetime
    verified_at: datetime | None
    asked_at: datetime | None
    challenges: int
    failures: int
    next_at: datetime
    paused_at: datetime | None
    paused: str | None

    @property
    def state(self) -> str:
        """Say whether events are sent: verified; or why not: paused, pending (a challenge is due), unproven."""
        if self.paused_at is not None:
            return "paused"
        if self.verified_at is not None:
            return "verified"
        return "pending" if self.asked_at is not None else "unproven"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt."""

    position: int
    event_id: UUID | None
    at: datetime
    attempt: int
    outcome: str
    milliseconds: int


_COLUMNS: Final = (
    "w.organisation, w.webhook_id, w.client_id, w.url, w.since, w.verified_at, w.asked_at, w.challenges, w.failures,"
    " w.next_at, w.paused_at, w.paused"
)


# ---- a lender's side ------------------------------------------------------------------------------------------------


def register(tx: Transaction, organisation: str, client_id: str, url: str, *, sandbox: bool, now: datetime) -> Webhook:
    """Register an address; it is asked to prove itself. The one that is registered already stays as it is.

    Raises:
        RequestRefused: `events-url`: nothing may be sent there; `too-often`: another was registered a moment ago.
    """
    push_targets.check(url, sandbox=sandbox)
    standing = find(tx, organisation)
    if standing is not None and (standing.url, standing.client_id) == (url, client_id):
        return standing
    if _asked_lately(tx, organisation, now) or (standing is not None and standing.since > now - _ASKED_APART):
        raise _too_often()
    tx.execute(
        "INSERT INTO webhook (organisation, webhook_id, client_id, url, since, asked_at, challenges, failures, next_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s) ON CONFLICT (organisation) DO UPDATE"
        " SET webhook_id = EXCLUDED.webhook_id, client_id = EXCLUDED.client_id, url = EXCLUDED.url,"
        " since = EXCLUDED.since, asked_at = EXCLUDED.asked_at, challenges = 0, failures = 0,"
        " next_at = EXCLUDED.next_at, verified_at = NULL, paused_at = NULL, paused = NULL",
        (organisation, uuid4(), client_id, url, now, now, now),
    )
    _say(tx, Event.WEBHOOK_SET, organisation, client_id, {"registered": True}, now)
    _leave_note(tx, organisation, client_id, urlsplit(url).hostname, now)
    return _known(tx, organisation)


def remove(tx: Transaction, organisation: str, client_id: str, *, now: datetime) -> None:
    """Send nothing any more. Events stay to be read."""
    if tx.execute("DELETE FROM webhook WHERE organisation = %s", (organisation,)).rowcount:
        _say(tx, Event.WEBHOOK_SET, organisation, client_id, {"registered": False}, now)
        _leave_note(tx, organisation, client_id, None, now)


def find(tx: Transaction, organisation: str) -> Webhook | None:
    """Give an organisation's address, if it has one."""
    row = tx.execute(f"SELECT {_COLUMNS} FROM webhook w WHERE organisation = %s", (organisation,)).fetchone()  # noqa: S608  # fixed texts
    return None if row is None else Webhook(*row)


def ask(tx: Transaction, organisation: str, *, now: datetime) -> Webhook:
    """Have the address challenged once more; answered, it ends a pause.

    Raises:
        RequestRefused: `webhook-unknown`: none is registered; `too-often`: one was asked for a moment ago.
    """
    standing = _known(tx, organisation)
    due = standing.asked_at is not None and now - _ASKED_APART < standing.asked_at <= now
    if due or _asked_lately(tx, organisation, now):
        raise _too_often()
    tx.execute("UPDATE webhook SET asked_at = %s, challenges = 0 WHERE organisation = %s", (now, organisation))
    return _known(tx, organisation)


def replay(tx: Transaction, organisation: str, client_id: str, *, after: int, now: datetime) -> int:
    """Have the events behind a place sent again, those that were held back too; say how many. What waits comes anyhow.

    Raises:
        RequestRefused: `webhook-unknown`: no address is registered.
    """
    _known(tx, organisation)
    again = tx.execute(
        "UPDATE monitor_event SET settled_at = NULL, settled = NULL, attempts = 0, next_at = %s"
        " WHERE organisation = %s AND position > %s AND (settled_at IS NOT NULL OR attempts > 0)",
        (now, organisation, after),
    ).rowcount
    if again:
        _say(tx, Event.WEBHOOK_REPLAYED, organisation, client_id, {"events": again}, now)
    return again


def deliveries(tx: Transaction, organisation: str, *, before: int | None, limit: int) -> list[Delivery]:
    """List attempts, the latest first, those before a place."""
    rows = tx.execute(
        "SELECT position, event_id, at, attempt, outcome, milliseconds FROM webhook_delivery WHERE organisation = %s"
        " AND (%s::bigint IS NULL OR position < %s) ORDER BY position DESC LIMIT %s",
        (organisation, before, before, limit),
    ).fetchall()
    return [Delivery(*row) for row in rows]


# ---- the operator's side --------------------------------------------------------------------------------------------


def states(tx: Transaction) -> list[tuple[str, str, str, str, int, int, int, str]]:
    """Say of each organisation that subscribed or has an address how it stands.

    Name, system, state and why, subscriptions that live, events that wait, failures in a row, the last outcome.
    """
    rows = tx.execute(
        "SELECT o.organisation, (SELECT count(*) FROM monitor_subscription s WHERE s.organisation = o.organisation"
        " AND s.ended_at IS NULL), (SELECT count(*) FROM monitor_event e WHERE e.organisation = o.organisation"
        " AND e.settled_at IS NULL), coalesce((SELECT d.outcome FROM webhook_delivery d"
        " WHERE d.organisation = o.organisation ORDER BY d.position DESC LIMIT 1), '')"
        " FROM (SELECT organisation FROM webhook UNION SELECT organisation FROM monitor_subscription"
        " WHERE ended_at IS NULL) o ORDER BY 1"
    ).fetchall()
    found = []
    for organisation, live, waiting, last in rows:
        hook = find(tx, organisation)
        system, state, why, failures = (
            ("", "none", "", 0) if hook is None else (hook.client_id, hook.state, hook.paused or "", hook.failures)
        )
        found.append((organisation, system, state, why, live, waiting, failures, last))
    return found


# ---- what came of an attempt (the job) ------------------------------------------------------------------------------


def note(  # the parts of an attempt
    tx: Transaction,
    hook: Webhook,
    event_id: UUID | None,
    outcome: str,
    *,
    attempt: int,
    milliseconds: int,
    now: datetime,
) -> None:
    """Write a line of the delivery log."""
    tx.execute(
        "INSERT INTO webhook_delivery (organisation, webhook_id, event_id, at, attempt, outcome, milliseconds)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (hook.organisation, hook.webhook_id, event_id, now, attempt, outcome, milliseconds),
    )


def proved(tx: Transaction, hook: Webhook, *, now: datetime) -> None:
    """Note that an address answered its challenge, unless another was registered meanwhile."""
    changed = tx.execute(
        "UPDATE webhook SET verified_at = %s, asked_at = NULL, challenges = 0, failures = 0, next_at = %s,"
        " paused_at = NULL, paused = NULL WHERE organisation = %s AND webhook_id = %s",
        (now, now, hook.organisation, hook.webhook_id),
    ).rowcount
    if changed:
        _say(tx, Event.WEBHOOK_VERIFIED, hook.organisation, hook.client_id, {}, now)


def unproved(tx: Transaction, hook: Webhook, *, jitter: float, now: datetime) -> None:
    """Note that it did not; it is asked again later, CHALLENGES_MOST times in all. What was verified stays so."""
    failed = hook.challenges + 1
    again = None if failed >= CHALLENGES_MOST else now + timedelta(seconds=wait_seconds(failed, jitter))
    tx.execute(
        "UPDATE webhook SET challenges = %s, asked_at = %s WHERE organisation = %s AND webhook_id = %s",
        (failed, again, hook.organisation, hook.webhook_id),
    )


def took(tx: Transaction, hook: Webhook) -> None:
    """Note that something was taken."""
    tx.execute("UPDATE webhook SET failures = 0 WHERE webhook_id = %s AND failures > 0", (hook.webhook_id,))


def failed(tx: Transaction, hook: Webhook, *, gone: bool, asked: float | None, jitter: float, now: datetime) -> None:
    """Note that an address took nothing: wait, or pause it after too many times, or once it says that it is gone."""
    row = tx.execute(
        "UPDATE webhook SET failures = failures + 1 WHERE webhook_id = %s AND paused_at IS NULL RETURNING failures",
        (hook.webhook_id,),
    ).fetchone()
    if row is None:
        return
    if gone or row[0] >= FAILURES_MOST:
        tx.execute(
            "UPDATE webhook SET paused_at = %s, paused = %s WHERE webhook_id = %s",
            (now, "gone" if gone else "failures", hook.webhook_id),
        )
        _say(tx, Event.WEBHOOK_PAUSED, hook.organisation, hook.client_id, {"gone": gone}, now)
        return
    later = now + timedelta(seconds=wait_seconds(row[0], jitter, asked))
    tx.execute("UPDATE webhook SET next_at = %s WHERE webhook_id = %s", (later, hook.webhook_id))


def forget(tx: Transaction, *, now: datetime) -> int:
    """Drop events and lines of the delivery log that are old (a job); say how many."""
    old = now - timedelta(days=KEPT_DAYS)
    gone = tx.execute("DELETE FROM webhook_delivery WHERE at < %s", (old,)).rowcount
    return gone + tx.execute("DELETE FROM monitor_event WHERE made_at < %s", (old,)).rowcount


def _asked_lately(tx: Transaction, organisation: str, now: datetime) -> bool:
    """Say whether a challenge was sent a moment ago, wherever to: an address that was taken back counts, too."""
    return bool(
        tx.execute(
            "SELECT EXISTS (SELECT FROM webhook_delivery WHERE organisation = %s AND event_id IS NULL AND at > %s)",
            (organisation, now - _ASKED_APART),
        ).fetchall()[0][0]
    )


def _too_often() -> RequestRefused:
    seconds = int(_ASKED_APART.total_seconds())
    return RequestRefused("too-often", "a challenge is under way", retry_after_seconds=seconds)


def _known(tx: Transaction, organisation: str) -> Webhook:
    found = find(tx, organisation)
    if found is None:
        raise RequestRefused("webhook-unknown")
    return found


def _leave_note(tx: Transaction, organisation: str, client_id: str, host: str | None, now: datetime) -> None:
    """Tell all systems; of the address its host alone, for the rest may be a secret of the receiver's."""
    notes.leave_all(tx, organisation, "webhook-set", {"by": client_id, "host": host}, now=now)


def _say(
    tx: Transaction, event: Event, organisation: str, client_id: str, facts: dict[str, JSON], now: datetime
) -> None:
    fields: dict[str, Any] = {"client_id": client_id, "organisation": organisation, **facts}
    log.append(tx, [log.Entry(event=event, at=now, actor=client_id, fields=fields)])
