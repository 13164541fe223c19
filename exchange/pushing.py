"""Pushing events to lenders that want them sent (RFC 8935): one request an event, in order, until one is not taken.

Steps for each organisation that is due (a job; the numbers are used in the code and the tests):
  1. read its next event that has not arrived (`telling.waiting`)
  2. look its address up anew (`push_targets`) and send the signed event there; 202 is the one good answer
  3. note in one transaction what came of it: a line of the delivery log, and the event as arrived
  4. stop at the first that was not taken, and come back later: 5 s, then twice as long each time, an hour at most;
     after FAILURES_MOST times in a row pushing is paused until the operator registers the address again

Killed between 2 and 3, the event is sent once more: at least once, with the same `jti`. Nothing is lost by a pause:
what has not arrived can be polled (RFC 8936) at any time.

How a request is sent, and what bounds it, is said in `outbound`. Of what is answered only a code of RFC 8935 is kept.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import httpx
import orjson
import structlog

from consent.scope import recipient_name
from exchange import outbound, push_targets, telling
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home, Mode
from exchange.oauth import clients
from exchange.oauth.clients import ACTIVE
from exchange.oauth.scopes import Role
from exchange.outbound import Answered
from exchange.security_events import MEDIA_TYPE, Told, signed
from registry import clock, log
from registry.canonical import JSON
from registry.database import Transaction

FAILURES_MOST: Final = 20  # in a row: half a day of tries
AT_ONCE: Final = 100  # events of one organisation in one run of the job
RUN_SECONDS: Final = 20.0  # for one organisation in one run: whoever is slow keeps the others waiting no longer
LOG_KEPT: Final = timedelta(days=180)
_FIRST_WAIT_SECONDS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 3600
_ORGANISATIONS_AT_ONCE: Final = 8
_ACCEPTED: Final = 202
_REFUSED: Final = 400

_journal = structlog.get_logger("qingqiao.pushing")


@dataclass(frozen=True, slots=True)
class Push:
    """An organisation that is due."""

    organisation: str
    client_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request. `error` is a code of RFC 8935 that the receiver gave."""

    said: str
    accepted: bool = False
    error: str | None = None


# ---- the operator's side --------------------------------------------------------------------------------------------


def register(tx: Transaction, client_id: str, url: str | None, *, sandbox: bool, now: datetime) -> None:
    """Have an organisation's events sent to an address of one of its systems, or (None) no longer sent.

    Raises:
        RequestRefused: `events-url`: it may not be sent there; `client-unregistrable`: no such lender's system.
    """
    row = tx.execute(
        "SELECT organisation FROM client WHERE client_id = %s AND role = %s", (client_id, Role.LENDER.value)
    ).fetchone()
    if row is None:
        raise RequestRefused("client-unregistrable", "no lender's system of this id is registered")
    organisation = recipient_name(row[0])
    if url is None:
        tx.execute("DELETE FROM event_push WHERE organisation = %s", (organisation,))
    else:
        tx.execute(
            "INSERT INTO event_push (organisation, client_id, url, since, failures, next_at)"
            " VALUES (%s, %s, %s, %s, 0, %s) ON CONFLICT (organisation) DO UPDATE SET client_id = EXCLUDED.client_id,"
            " url = EXCLUDED.url, since = EXCLUDED.since, failures = 0, next_at = EXCLUDED.next_at, paused_at = NULL",
            (organisation, client_id, push_targets.check(url, sandbox=sandbox), now, now),
        )
    fields: dict[str, JSON] = {"client_id": client_id, "organisation": organisation, "pushed": url is not None}
    log.append(tx, [log.Entry(Event.EVENTS_ADDRESS_SET.value, at=now, actor="operator", fields=fields)])


def states(tx: Transaction) -> list[tuple[str, str, int, int, str, str]]:
    """Say of each organisation: name, system, events that wait, failures in a row, whether paused, the last outcome."""
    return tx.execute(
        "SELECT p.organisation, p.client_id, (SELECT count(*) FROM lender_event l WHERE l.organisation = p.organisation"
        " AND l.settled_at IS NULL), p.failures, CASE WHEN p.paused_at IS NULL THEN '' ELSE 'paused' END,"
        " coalesce((SELECT d.outcome FROM event_delivery d WHERE d.organisation = p.organisation"
        " ORDER BY d.at DESC LIMIT 1), '') FROM event_push p ORDER BY p.organisation"
    ).fetchall()


# ---- the job --------------------------------------------------------------------------------------------------------


def push_due(home: Home) -> int:
    """Send what waits to every organisation that is due; say how many events arrived (a job)."""
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT p.organisation, p.client_id, p.url FROM event_push p JOIN client c USING (client_id)"
            " WHERE p.paused_at IS NULL AND p.next_at <= %s AND c.state = %s AND EXISTS (SELECT FROM lender_event l"
            " WHERE l.organisation = p.organisation AND l.settled_at IS NULL) ORDER BY p.next_at",
            (clock.now(), ACTIVE),
        ).fetchall()
    due = [Push(*row) for row in rows]
    if not due:
        return 0
    with ThreadPoolExecutor(_ORGANISATIONS_AT_ONCE, thread_name_prefix="push") as pool:
        return sum(pool.map(lambda one: asyncio.run(_push(home, one)), due))


async def _push(home: Home, push: Push) -> int:
    """Send an organisation's events one after the other. Its loop is its own: waiting for the database holds nobody."""
    arrived, until = 0, time.monotonic() + RUN_SECONDS
    async with outbound.client() as http:
        while arrived < AT_ONCE and time.monotonic() < until:
            with home.database.transaction() as tx:  # 1
                stands = clients.read(tx, push.client_id) is not None  # suspended meanwhile: nothing more is sent
                told = telling.waiting(tx, push.organisation, push.client_id, limit=1) if stands else []
            if not told:
                break
            began = time.monotonic()
            outcome = await _send(http, home, push, told[0])  # 2
            took = round((time.monotonic() - began) * 1000)
            with home.database.transaction() as tx:  # 3
                _note(tx, push, UUID(told[0].jti), outcome, took, now=clock.now())
            if not outcome.accepted:  # 4
                break
            arrived += 1
    return arrived


async def _send(http: httpx.AsyncClient, home: Home, push: Push, told: Told) -> Outcome:
    token = signed(home.keyring, home.settings.issuer, told, audience=push.client_id, now=clock.now())
    headers = {"Content-Type": f"application/{MEDIA_TYPE}", "Accept": "application/json"}
    sandbox = home.installation.mode is Mode.SANDBOX
    return _outcome(await outbound.post(http, push.url, token, headers, sandbox=sandbox, read=(_REFUSED,)))


def _outcome(answered: Answered) -> Outcome:
    if answered.fault is not None:
        return Outcome(answered.fault)
    if answered.status == _ACCEPTED:
        return Outcome("accepted", accepted=True)
    if answered.status != _REFUSED:
        return Outcome(f"status:{answered.status}")
    try:
        said = orjson.loads(answered.body or b"")["err"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = "other"
    error = said if said in telling.ERRORS else "other"
    return Outcome(f"refused:{error}", error=error)


def _note(tx: Transaction, push: Push, jti: UUID, outcome: Outcome, took: int, *, now: datetime) -> None:
    tx.execute(
        "INSERT INTO event_delivery (organisation, entry_id, at, outcome, milliseconds) VALUES (%s, %s, %s, %s, %s)",
        (push.organisation, jti, now, outcome.said, took),
    )
    if outcome.accepted:
        telling.acknowledge(tx, push.organisation, [jti], now=now, how="pushed")
        tx.execute("UPDATE event_push SET failures = 0 WHERE organisation = %s", (push.organisation,))
        return
    if outcome.error is not None:
        telling.failed(tx, push.organisation, {jti: outcome.error}, now=now)
    row = tx.execute(
        "UPDATE event_push SET failures = failures + 1,"
        " next_at = %s::timestamptz + make_interval(secs => least(%s * 2 ^ least(failures, 20), %s)),"
        " paused_at = CASE WHEN failures + 1 >= %s THEN %s::timestamptz END"
        " WHERE organisation = %s AND url = %s AND paused_at IS NULL RETURNING paused_at",
        (now, _FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, FAILURES_MOST, now, push.organisation, push.url),
    ).fetchone()
    if row is not None and row[0] is not None:
        _journal.warning("events:push:paused", client=push.client_id)
        fields: dict[str, JSON] = {"client_id": push.client_id, "organisation": push.organisation}
        log.append(tx, [log.Entry(Event.EVENTS_PUSH_PAUSED.value, at=now, actor="system", fields=fields)])


def forget(tx: Transaction, *, now: datetime) -> int:
    """Drop lines of the delivery log that are old (a job)."""
    return tx.execute("DELETE FROM event_delivery WHERE at < %s", (now - LOG_KEPT,)).rowcount
