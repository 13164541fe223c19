"""How sources fare, for all who rely on them: `GET /v1/sources`.

Lenders, regulators and agencies read it, each with a scope that it has anyway: it says nothing of anybody. An agency
sees its own feeds and the declared sources; the feeds of other agencies are not its concern.

The ETag is that of what changes with runs and with time passing a deadline, without the lag, which changes with every
second. When something is not well and is asked again at a known time, `Retry-After` says when.
"""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from consent.scope import recipient_name
from exchange import problems, sources
from exchange.home import Home
from exchange.oauth.doors import require_one_of
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Role, Scope
from registry import clock
from registry.canonical import b64url
from registry.suites import sha256

_JSON: Final = "application/json"
_OF_THE_MOMENT: Final = frozenset({"lag_seconds", "retry_after"})


class SourceHealth(BaseModel):
    """How one feed, or one source as it is declared, fares. Moments are RFC 3339 in UTC."""

    source: str = Field(examples=["subsidy_roster"])
    feed: str | None = Field(description="empty for a source as it is declared, delivered by hand or uploaded")
    class_: str = Field(alias="class", examples=["SUBSIDY"])
    kinds: list[str]
    agency: str | None = Field(description="who answers for the feed")
    state: str = Field(examples=["healthy"], description="waiting, healthy, late, failing, blocked or paused")
    last_good: AwareDatetime | None
    next_due: AwareDatetime | None
    lag_seconds: int | None
    error: str | None = Field(description="a published code")
    error_zh: str | None
    error_en: str | None
    retry_after: int | None = Field(description="seconds until it is asked again, if something is wrong with it")


class SourcesHealth(BaseModel):
    """All of them."""

    sources: list[SourceHealth]


def build_router(home: Home) -> APIRouter:
    """Build the route over an installation."""
    router = APIRouter(tags=["sources"])
    readers = require_one_of(Scope.QUERIES, Scope.AUDIT_READ, Scope.AGENCY_READ)

    @router.get(
        "/v1/sources",
        summary="Freshness and health of sources",
        responses={200: {"model": SourcesHealth}, 304: {"description": "as before"}, **problems.responses(401, 403)},
    )
    def show(request: Request, caller: Annotated[Caller, Depends(readers)]) -> Response:
        """Say of every source when it last brought something good, when it is due, and what is wrong with it."""
        with home.database.transaction() as tx:
            found = sources.states(tx, at=clock.now())
        if caller.kind == Role.AGENCY.value:
            found = [one for one in found if one.agency is None or recipient_name(one.agency) == caller.org_code]
        said = [sources.document(one) for one in found]
        headers = {"ETag": etag(said), "Cache-Control": "no-cache"}
        wait = sources.retry_after(found)
        if wait is not None:
            headers["Retry-After"] = str(wait)
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(orjson.dumps({"sources": said}), headers=headers, media_type=_JSON)

    return router


def etag(said: list[dict[str, Any]]) -> str:
    """Return the weak ETag of what is told, without what changes by the second."""
    lasting = [{name: value for name, value in one.items() if name not in _OF_THE_MOMENT} for one in said]
    return f'W/"{b64url(sha256(orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)))[:22]}"'
