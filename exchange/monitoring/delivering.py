"""Sending events to the addresses that lenders registered, signed, at least once, in order for each subject.

Steps for each organisation that is due (a job; the numbers are used in the code and the tests):
  1. if a challenge is due, send it: a nonce that must come back with a 2xx; until then nothing else is sent
  2. read what may be sent (`reading.due`), and decide each on its consent as it stands now; what may not be told is
     settled as silenced, without a request
  3. sign and send (`http_signatures`, `outbound`)
  4. note in one transaction what came of it: a line of the delivery log, the event, the address
  5. go on with other subjects' events after one that was refused; stop at an address that takes nothing

    2xx                     arrived
    410                     the address is over: paused until it is proved again
    400, 409, 413, 422      this event waits: 5 s, then twice as long each time, an hour at most, with jitter; no less
                            than Retry-After says; its subject's later ones wait with it; given up after 10
    anything else, no answer
                            the address waits the same way, and is paused after 20 in a row. So a receiver that has
                            lost its route or our keys (404, 401) loses nothing

One organisation is served for RUN_SECONDS, and what is under way then has ANSWER_SECONDS at most to end: the others
wait for no more than both. Who answers later has not answered.

Killed between 3 and 4, an event is sent once more, with the same id. The delivery log is the lender's to read.
"""

import asyncio
import time
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final
from uuid import uuid4

import httpx
import orjson
import structlog

from exchange import http_signatures, outbound
from exchange.home import Home, Mode
from exchange.monitoring import reading, webhooks
from exchange.monitoring.deciding import wait_seconds
from exchange.monitoring.reading import Happening
from exchange.monitoring.webhooks import Webhook
from exchange.oauth.clients import ACTIVE
from exchange.outbound import Answered
from registry import clock
from registry.canonical import b64url, canonical
from registry.keyring import Purpose
from registry.suites import constant_time_equal, random_bytes

AT_ONCE: Final = 100  # events of one organisation in one look
ANSWER_SECONDS: Final = 5.0  # for one request, as docs/lenders.md says
RUN_SECONDS: Final = 5.0  # for one organisation in one run: whoever is slow keeps the others waiting no longer
REFUSED_MOST: Final = 10  # three quarters of an hour; times that an event may be refused, before it is given up
_ORGANISATIONS_AT_ONCE: Final = 8
_NONCE_BYTES: Final = 24
_GOOD: Final = range(200, 300)
_REFUSING: Final = frozenset({400, 409, 413, 422})  # said of what was sent, not of the place
_GONE: Final = 410
_NOWHERE: Final = frozenset({"name-unknown", "address-refused"})
_JITTER_STEPS: Final = 256

_journal = structlog.get_logger("qingqiao.webhooks")


def deliver_due(home: Home) -> int:
    """Send what waits to every organisation that is due; say how many events arrived (a job)."""
    hooks = _due(home)
    if not hooks:
        return 0
    with ThreadPoolExecutor(_ORGANISATIONS_AT_ONCE, thread_name_prefix="webhook") as pool:
        runs = [pool.submit(_served, home, one) for one in hooks]
    return sum(run.result() for run in runs)  # what failed with one is raised when all have been served


def _due(home: Home) -> list[Webhook]:
    now = clock.now()
    with home.database.transaction() as tx:
        names = tx.execute(
            "SELECT w.organisation FROM webhook w JOIN client c USING (client_id) WHERE c.state = %s"
            " AND (w.asked_at <= %s OR (w.verified_at IS NOT NULL AND w.paused_at IS NULL AND w.next_at <= %s"
            " AND EXISTS (SELECT FROM monitor_event e WHERE e.organisation = w.organisation"
            " AND e.settled_at IS NULL AND e.next_at <= %s))) ORDER BY w.next_at",
            (ACTIVE, now, now, now),
        ).fetchall()
        found = [webhooks.find(tx, name) for (name,) in names]
    return [one for one in found if one is not None]


def _served(home: Home, hook: Webhook) -> int:
    return asyncio.run(_serve(home, hook))


async def _serve(home: Home, hook: Webhook) -> int:
    """Serve one organisation. Its loop is its own: waiting for the database holds nobody."""
    until = time.monotonic() + RUN_SECONDS
    async with outbound.client() as http:
        if hook.asked_at is not None and hook.asked_at <= clock.now() and not await _challenge(home, http, hook):  # 1
            return 0
        return await _events(home, http, hook, until)


async def _challenge(home: Home, http: httpx.AsyncClient, hook: Webhook) -> bool:
    nonce, began = b64url(random_bytes(_NONCE_BYTES)), time.monotonic()
    body = reading.challenge(home.settings.issuer, uuid4(), nonce, hook.client_id, now=clock.now())
    answered = await _post(home, http, hook.url, body, read=_GOOD)
    proved = answered.status in _GOOD and _holds(answered.body, nonce)
    outcome = "accepted" if proved else "challenge-unanswered" if answered.status in _GOOD else _said(answered)
    took = round((time.monotonic() - began) * 1000)
    with home.database.transaction() as tx:
        now = clock.now()
        webhooks.note(tx, hook, None, outcome, attempt=hook.challenges + 1, milliseconds=took, now=now)
        if proved:
            webhooks.proved(tx, hook, now=now)
        else:
            webhooks.unproved(tx, hook, jitter=_jitter(), now=now)
    return proved


def _holds(body: bytes | None, nonce: str) -> bool:
    """Say whether an answer gives the nonce back: by itself, or as JSON with `challenge`."""
    if body is None:
        return False
    text = body.strip()
    try:
        said = orjson.loads(text)
        text = str(said["challenge"]).encode() if isinstance(said, dict) else text
    except (orjson.JSONDecodeError, KeyError):
        pass
    return constant_time_equal(text, nonce.encode())


async def _events(home: Home, http: httpx.AsyncClient, hook: Webhook, until: float) -> int:
    arrived = 0
    while time.monotonic() < until:
        with home.database.transaction() as tx:
            found = reading.due(tx, hook.organisation, now=clock.now(), limit=AT_ONCE)
        if not found:
            break
        for one in found:
            if time.monotonic() >= until:
                return arrived
            may = _may(home, hook, one)  # 2
            came = await _send(home, http, hook, one) if may else False
            if may is None or came is None:  # 5
                return arrived
            arrived += came
    return arrived


def _may(home: Home, hook: Webhook, one: Happening) -> bool | None:
    """Decide an event at the moment of its sending; None: nothing is sent to this address now.

    What may not be told is settled without a request.
    """
    with home.database.transaction() as tx:
        standing = webhooks.find(tx, hook.organisation)
        if standing is None or standing.webhook_id != hook.webhook_id or standing.state != "verified":
            return None
        if reading.told(tx, [one]):
            return True
        reading.settle(tx, one.event_id, webhooks.SILENCED, now=clock.now())
        return False


async def _send(home: Home, http: httpx.AsyncClient, hook: Webhook, one: Happening) -> bool | None:
    """Send one event and note what came of it: whether it arrived; None if the address takes nothing now."""
    began = time.monotonic()
    answered = await _post(home, http, hook.url, canonical(reading.envelope(home.settings.issuer, one)))  # 3
    took = round((time.monotonic() - began) * 1000)
    with home.database.transaction() as tx:  # 4
        now = clock.now()
        webhooks.note(tx, hook, one.event_id, _said(answered), attempt=one.attempts + 1, milliseconds=took, now=now)
        if answered.status in _GOOD:
            reading.settle(tx, one.event_id, "delivered", now=now)
            webhooks.took(tx, hook)
            return True
        if answered.status in _REFUSING:
            if one.attempts + 1 >= REFUSED_MOST:
                reading.settle(tx, one.event_id, "given-up", now=now)
            else:
                waits = wait_seconds(one.attempts + 1, _jitter(), retry_after(answered.retry_after))
                reading.wait(tx, one.event_id, now + timedelta(seconds=waits))
            return False
        webhooks.failed(
            tx,
            hook,
            gone=answered.status == _GONE,
            asked=retry_after(answered.retry_after),
            jitter=_jitter(),
            now=now,
        )
    _journal.info("webhook:delivery:failed", client=hook.client_id, outcome=_said(answered))
    return None


async def _post(home: Home, http: httpx.AsyncClient, url: str, body: bytes, *, read: Container[int] = ()) -> Answered:
    key = home.keyring.signing(Purpose.TOKEN)
    headers = http_signatures.signed_headers(key, key.key_id, url, body, reading.MEDIA_TYPE, now=clock.now())
    sandbox = home.installation.mode is Mode.SANDBOX
    return await outbound.post(http, url, body, headers, sandbox=sandbox, read=read, seconds=ANSWER_SECONDS)


def retry_after(text: str | None) -> float | None:
    """Read a Retry-After in seconds; a date is not waited for, since clocks differ."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004  # 30 years


def _said(answered: Answered) -> str:
    """Say for the lender what came of a request; not which names are known inside, of which it may try any."""
    if answered.fault is not None:
        return "no-public-address" if answered.fault in _NOWHERE else answered.fault
    return "accepted" if answered.status in _GOOD else f"status:{answered.status}"


def _jitter() -> float:
    return random_bytes(1)[0] / _JITTER_STEPS
