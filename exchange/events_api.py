"""The lenders' door for signed events of their consents: poll (RFC 8936).

A lender's systems share their organisation's events: what one acknowledged, none is given again. An acknowledgement of
what is not the caller's, or nobody's, changes nothing and says nothing. What was not acknowledged comes again with
every poll, in the same order. Where events are pushed as well (`pushing`), both ways settle the same events.

A poll that may wait does so for LONG_POLL_SECONDS at most, and only so many at a time do; others are answered at once.
"""

import asyncio
import time
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from exchange import problems, telling
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.security_events import signed
from registry import clock

MOST: Final = 200  # events in one answer, and acknowledgements in one request
LONG_POLL_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 1.0
_WAIT_AT_ONCE: Final = 100  # polls of this process
_WAIT_AT_ONCE_EACH: Final = 2  # of one organisation
_Jti = Annotated[UUID, Field(description="an event's jti")]


class ErrorModel(BaseModel):
    """Why an event could not be taken: a code of RFC 8935 §2.4. A description is read and not kept."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    err: str = Field(max_length=64, examples=["invalid_key"])


class PollModel(BaseModel):
    """What is acknowledged, and what is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    maxEvents: int = Field(default=50, ge=0, le=MOST)  # noqa: N815  # RFC 8936 §2.2 calls it so
    returnImmediately: bool = False  # noqa: N815  # the same
    ack: list[_Jti] = Field(default=[], max_length=MOST)
    setErrs: dict[_Jti, ErrorModel] = Field(default={}, max_length=MOST)  # noqa: N815  # the same


class EventsModel(BaseModel):
    """Signed events by jti, in their order, and whether there are more."""

    sets: dict[str, str]
    moreAvailable: bool  # noqa: N815  # RFC 8936 §2.4


class _Waiting:
    """How many polls of this process wait, in all and of each organisation. Only the event loop touches it."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def enter(self, organisation: str) -> bool:
        if self._of.get(organisation, 0) >= _WAIT_AT_ONCE_EACH or sum(self._of.values()) >= _WAIT_AT_ONCE:
            return False
        self._of[organisation] = self._of.get(organisation, 0) + 1
        return True

    def leave(self, organisation: str) -> None:
        self._of[organisation] -= 1
        if not self._of[organisation]:
            del self._of[organisation]


def build_router(home: Home) -> APIRouter:
    """Build the route over an installation."""
    router = APIRouter(prefix="/v1/events", tags=["lender"])
    waiting = _Waiting()

    @router.post("/poll", summary="Signed events of your consents", responses=problems.responses(400, 401, 403, 422))
    async def poll(
        given: PollModel, caller: Annotated[Caller, Depends(require(Scope.CONSENTS))], response: Response
    ) -> EventsModel:
        """Take acknowledgements, then give what has not arrived; without anything, wait a while unless told not to."""
        response.headers["Cache-Control"] = "no-store"
        await run_in_threadpool(_settle, home, caller, given)
        found = await run_in_threadpool(_fetch, home, caller, given.maxEvents)
        if found.sets or not given.maxEvents or given.returnImmediately or not waiting.enter(caller.org_code):
            return found
        try:
            until = time.monotonic() + LONG_POLL_SECONDS
            while not found.sets and time.monotonic() < until:
                await asyncio.sleep(_LOOK_SECONDS)
                found = await run_in_threadpool(_fetch, home, caller, given.maxEvents)
        finally:
            waiting.leave(caller.org_code)
        return found

    return router


def _settle(home: Home, caller: Caller, given: PollModel) -> None:
    if not given.ack and not given.setErrs:
        return
    now = clock.now()
    with home.database.transaction() as tx:
        telling.acknowledge(tx, caller.org_code, given.ack, now=now)
        telling.failed(tx, caller.org_code, {jti: one.err for jti, one in given.setErrs.items()}, now=now)


def _fetch(home: Home, caller: Caller, most: int) -> EventsModel:
    with home.database.transaction() as tx:
        told = telling.waiting(tx, caller.org_code, caller.client_id, limit=most + 1)
    now, issuer = clock.now(), home.settings.issuer
    sets = {one.jti: signed(home.keyring, issuer, one, audience=caller.client_id, now=now) for one in told[:most]}
    return EventsModel(sets=sets, moreAvailable=len(told) > most)
