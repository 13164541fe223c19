"""The lenders' door for deletion notices: what to delete until when, and what was done."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from exchange import deletions, paging, problems
from exchange.home import Home
from exchange.oauth.doors import require_own
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.clock import rfc3339

_PAGE: Final = deletions.PAGE_MOST
_LIST: Final = "deletion"


class DeletionModel(BaseModel):
    """Answers that the calling lender is to delete, and under which consent it had them."""

    notice_id: str
    consent_id: str
    reason: str = Field(examples=["withdrawn"], description="withdrawn, expired, or data-life: the answers outlived it")
    queries: list[str] = Field(description="the lender's own queries whose answers are to be deleted")
    ended_at: str
    due_at: str = Field(description="until when")
    acknowledged_at: str | None
    outcome: str | None
    legal_basis: str | None
    overdue: bool


class DeletionsModel(BaseModel):
    """A page of notices; `next` is the `cursor` of the next page, null at the end."""

    notices: list[DeletionModel]
    next: str | None


class DoneModel(BaseModel):
    """What was done: deleted; or kept, and used for nothing else, on a ground of the law."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: deletions.Outcome
    legal_basis: str | None = Field(
        default=None, pattern=r"^[A-Z_]{1,40}$", description="with frozen_by_law: a code of exchange/deletions.yml"
    )


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/v1/deletions", tags=["lender"])
    calling = Annotated[Caller, Depends(require_own(Scope.CONSENTS))]

    @router.get("", summary="What you are to delete", responses=problems.responses(400, 401, 403, 422))
    def see(
        caller: calling,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
        open_only: Annotated[bool, Query()] = False,  # noqa: FBT002  # a switch in the address
    ) -> DeletionsModel:
        """List notices in their order, those behind `cursor`; with `open_only` those not yet acknowledged."""
        place = paging.place(_LIST, cursor) or 0
        with home.database.transaction() as tx:
            found = deletions.of_lender(tx, caller.org_code, after=place, limit=limit + 1, open_only=open_only)
        page, more = paging.page(_LIST, found, limit)
        return DeletionsModel(notices=[shown(one) for one in page], next=more)

    @router.post("/{notice_id}/acknowledge", status_code=204, responses=problems.responses(401, 403, 404, 409, 422))
    def acknowledge(notice_id: UUID, given: DoneModel, caller: calling) -> None:
        """Say what was done; the same again changes nothing."""
        with home.database.transaction() as tx:
            deletions.acknowledge(
                tx, caller.org_code, notice_id, given.outcome, given.legal_basis, by=caller.client_id, now=clock.now()
            )

    return router


def shown(one: deletions.Notice) -> DeletionModel:
    """Write a notice as it is published."""
    return DeletionModel(
        notice_id=str(one.notice_id),
        consent_id=one.consent_id,
        reason=one.reason,
        queries=list(one.queries),
        ended_at=rfc3339(one.ended_at),
        due_at=rfc3339(one.due_at),
        acknowledged_at=rfc3339(one.acknowledged_at) if one.acknowledged_at else None,
        outcome=one.outcome,
        legal_basis=one.legal_basis,
        overdue=one.acknowledged_at is None and one.due_at <= clock.now(),
    )
