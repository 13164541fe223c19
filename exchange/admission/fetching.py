"""Keys that are read from a lender's address: fetched by a job, never while somebody waits (RFC 7591 `jwks_uri`).

Due is the address of an open registration until two officers have decided it, and of a registered system: every hour,
and after a minute when an assertion named a key that is not known. Steps for each (the numbers are used in the code and
the tests):
  1. resolve the name anew; every answer must be a public address (`exchange.push_targets`)
  2. fetch: https (in a sandbox also http on this machine), 200, no redirect, nothing from the environment, 64 KiB and
     ten seconds at most, identity encoding
  3. read the set (`oauth.jwks`): kinds and sizes of keys that anybody may register
  4. of a registration: put it in the request, which changes its digest, so that earlier approvals count no more.
     Of a system: put it in the place of what stood (`keyrings.replace`), which is logged and noted

What fails changes nothing but the fault that is kept beside: the last good keys stand.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
import orjson

from exchange import push_targets
from exchange.admission import keyrings, matters
from exchange.admission.matters import Kind, State
from exchange.errors import KeyRefused, RequestRefused
from exchange.home import Home, Mode
from exchange.oauth.clients import ACTIVE
from exchange.oauth.jwks import kept, read_jwks
from exchange.push_targets import Unreachable
from registry import clock

FETCH_SECONDS: Final = 5.0  # between two looks for what is due
EVERY: Final = timedelta(hours=1)
SOON: Final = timedelta(minutes=1)  # between two tries because of a key that is not known
SET_BYTES: Final = 64 * 1024
DEADLINE_SECONDS: Final = 10.0
_AT_ONCE: Final = 8
_MOST: Final = 40  # addresses in one run of the job
_FOUND: Final = 200

Fetch = Callable[[str, bool], dict[str, Any]]


class NotFetched(Exception):
    """No set was had. `fault` is fit to be kept and shown."""

    def __init__(self, fault: str) -> None:
        """Keep the fault."""
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Due:
    """An address that is due: of an open matter, or of a system."""

    uri: str
    matter_id: UUID | None
    client_id: str | None


def fetch_due(home: Home, *, fetch: Fetch | None = None) -> int:
    """Fetch what is due (a job); say how many sets were had. `fetch` is how: over the network, unless a test says."""
    due = _due(home, clock.now())
    if not due:
        return 0
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="keys") as pool:  # whoever is slow keeps nobody waiting
        return sum(pool.map(lambda one: _fetched_one(home, one, fetch or fetched), due))


def _fetched_one(home: Home, one: _Due, fetch: Fetch) -> bool:
    try:
        fault = _put(home, one, fetch(one.uri, home.installation.mode is Mode.SANDBOX))
    except NotFetched as error:
        fault = error.fault
    _note(home, one, fault, clock.now())
    return fault is None


def _due(home: Home, now: datetime) -> list[_Due]:
    with home.database.transaction() as tx:
        waiting = tx.execute(
            "SELECT content->>'jwks_uri', matter_id, NULL FROM matter WHERE settled_at IS NULL AND kind = %s"
            " AND content->>'jwks_uri' IS NOT NULL AND (fetched_at IS NULL OR fetched_at < %s)"
            " ORDER BY fetched_at NULLS FIRST, opened_at LIMIT %s",
            (Kind.REGISTRATION.value, now - EVERY, _MOST),
        ).fetchall()
        systems = tx.execute(
            "SELECT p.jwks_uri, NULL, p.client_id FROM client_profile p JOIN client c USING (client_id)"
            " WHERE p.jwks_uri IS NOT NULL AND c.state = %s AND (p.fetched_at IS NULL OR p.fetched_at < %s"
            " OR p.wanted_at > p.fetched_at AND p.fetched_at < %s) ORDER BY p.fetched_at NULLS FIRST LIMIT %s",
            (ACTIVE, now - EVERY, now - SOON, _MOST),
        ).fetchall()
    return [_Due(*row) for row in (*waiting, *systems)]


def fetched(uri: str, sandbox: bool) -> dict[str, Any]:  # noqa: FBT001  # as `Fetch` is called
    """Do steps 1 to 3.

    Raises:
        NotFetched: a step failed.
    """
    return asyncio.run(_bounded(_fetch(uri, sandbox=sandbox)))


async def _bounded(doing: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await doing
    except TimeoutError as error:
        raise NotFetched("too-long") from error


async def _fetch(uri: str, *, sandbox: bool) -> dict[str, Any]:
    try:
        target = await asyncio.to_thread(push_targets.resolve, uri, sandbox=sandbox)  # 1
        headers = {"Host": target.authority, "Accept": "application/jwk-set+json", "Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(timeout=DEADLINE_SECONDS, trust_env=False, follow_redirects=False) as http,
            http.stream("GET", target.url, headers=headers, extensions={"sni_hostname": target.host}) as answer,
        ):
            return read_set(answer.status_code, await _body(answer))  # 2, 3
    except Unreachable as error:
        raise NotFetched(error.fault) from error
    except RequestRefused as error:
        raise NotFetched("address-refused") from error
    except (httpx.HTTPError, OSError) as error:  # their texts hold addresses
        raise NotFetched("unreachable") from error


async def _body(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > SET_BYTES:
            raise NotFetched("too-large")
    return body


def read_set(status: int, body: bytes) -> dict[str, Any]:
    """Do the end of step 2, and step 3: give the set with the members that we keep.

    Raises:
        NotFetched: another status (a redirect too), or no set that anybody may register.
    """
    if status != _FOUND:
        raise NotFetched(f"status:{status}")
    try:
        said = orjson.loads(body)
        read_jwks(said)
    except (orjson.JSONDecodeError, KeyRefused) as error:
        raise NotFetched("no-jwk-set") from error
    return kept(said)


def _put(home: Home, one: _Due, jwks: dict[str, Any]) -> str | None:
    """Do step 4; give the fault, if the set cannot stand."""
    now = clock.now()
    try:
        with home.database.transaction() as tx:
            if one.client_id is not None:
                keyrings.replace(tx, one.client_id, jwks, actor=one.client_id, now=now)
                return None
            matter = None if one.matter_id is None else matters.get(tx, one.matter_id, hold=True)
            if matter is None or matter.state is not State.OPEN:
                return "settled"
            thumbprints = sorted(entry.key.thumbprint for entry in read_jwks(jwks))
            keyrings.refuse_anothers(tx, None, thumbprints)
            content = matter.content | {"jwks": jwks, "thumbprints": thumbprints}
            if content != matter.content:
                matters.change(tx, matter, content, actor="system", now=now)
    except RequestRefused as refused:
        return refused.code
    return None


def _note(home: Home, one: _Due, fault: str | None, now: datetime) -> None:
    with home.database.transaction() as tx:
        if one.client_id is not None:
            tx.execute(
                "UPDATE client_profile SET fetched_at = %s, fault = %s WHERE client_id = %s",
                (now, fault, one.client_id),
            )
        else:
            tx.execute("UPDATE matter SET fetched_at = %s WHERE matter_id = %s", (now, one.matter_id))
