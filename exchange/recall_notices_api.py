"""The lenders' door for notices: which records that a lender was shown have been recalled or corrected since.

A lender sees its own organisation's notices only. They carry its own query ids and the record's commitment, by which
the evidence that it keeps names the record; no person, no value.
"""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from exchange import paging, problems, recall_notices
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require_own
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.clock import rfc3339

_PAGE: Final = 200
_LIST: Final = "notice"


class NoticeModel(BaseModel):
    """One record that the calling lender was shown, and that is no longer what it was."""

    notice_id: str
    event: str = Field(
        examples=["corrected"],
        description="recalled: it stands no more; corrected: a later version says something else",
    )
    commitment: str = Field(description="hexadecimal; as in the evidence of these queries")
    queries: list[str] = Field(description="the lender's own queries whose answers showed it")
    recalled_at: str = Field(description="when it was recalled or corrected")
    acknowledged_at: str | None


class NoticesModel(BaseModel):
    """A page of notices; `next` is the `cursor` of the next page, null at the end."""

    notices: list[NoticeModel]
    next: str | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/v1/notices", tags=["lender"])
    calling = Annotated[Caller, Depends(require_own(Scope.QUERIES))]

    @router.get(
        "",
        summary="Recalled and corrected records that you were shown",
        responses=problems.responses(400, 401, 403, 422),
    )
    def see(
        caller: calling,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
        open_only: Annotated[bool, Query()] = False,  # noqa: FBT002  # a switch in the address
    ) -> NoticesModel:
        """List notices in their order, those behind `cursor`; with `open_only` those not yet acknowledged."""
        place = paging.place(_LIST, cursor) or 0
        with home.database.transaction() as tx:
            found = recall_notices.of_lender(
                tx, caller.org_code, after=place, limit=limit + 1, unacknowledged=open_only
            )
        page, more = paging.page(_LIST, found, limit)
        return NoticesModel(notices=[_shown(one) for one in page], next=more)

    @router.post("/{notice_id}/acknowledge", status_code=204, responses=problems.responses(401, 403, 404))
    def acknowledge(notice_id: UUID, caller: calling) -> None:
        """Say that the notice has been taken up; the same again changes nothing."""
        with home.database.transaction() as tx:
            if not recall_notices.acknowledge(tx, caller.org_code, notice_id, by=caller.client_id, now=clock.now()):
                raise RequestRefused("not-found")

    return router


def _shown(one: recall_notices.Notice) -> NoticeModel:
    return NoticeModel(
        notice_id=str(one.notice_id),
        event=one.event.value,
        commitment=one.commitment.hex(),
        queries=list(one.queries),
        recalled_at=rfc3339(one.recalled_at),
        acknowledged_at=rfc3339(one.acknowledged_at) if one.acknowledged_at else None,
    )
