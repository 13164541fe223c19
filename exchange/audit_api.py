"""The regulators' door: read the trail, count findings. Read-only scope, read-only routes."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from exchange import audit, findings, paging, problems
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock


class AuditEvent(BaseModel):
    """One entry of the log, opened. `leaf_index` is empty for the second in which it waits for its number."""

    entry_id: UUID
    event: str = Field(examples=["release:query:refused"])
    at: datetime
    actor: str = Field(examples=["bank-minhe"])
    subject_id: UUID | None = Field(description="random id; names nobody")
    consent_id: str | None
    query_id: UUID | None
    fields: dict[str, Any] = Field(examples=[{"access": {"reason": "withdrawn", "purpose": "LOAN_APPROVAL"}}])
    leaf_index: int | None
    proven: bool | None = Field(
        description="whether what is shown is what the signed log committed to; empty while no checkpoint covers it"
    )


class AuditPage(BaseModel):
    """Entries, newest first."""

    events: list[AuditEvent]
    next: str | None


class FindingCount(BaseModel):
    """How many records of a class, from an agency, stood at fault under one consistency rule."""

    rule: str = Field(examples=["X02"])
    agency: str
    class_code: str = Field(examples=["SUBSIDY"])
    findings: int


class UncheckedRule(BaseModel):
    """A rule that is not checked, in part or (`whole`) at all: a count of none is no good news then."""

    rule: str
    whole: bool
    why: dict[str, str]


class FindingCounts(BaseModel):
    """Findings that stood at a moment. What intake itself remarks on, by code, is in the entries of its batches."""

    as_of: datetime
    counts: list[FindingCount]
    unchecked: list[UncheckedRule] = Field(description="as things are now, whatever the moment asked for")


def build_router(home: Home) -> APIRouter:
    """Build the regulators' routes over an installation."""
    router = APIRouter(prefix="/audit/v1", tags=["regulator"])

    @router.get("/events", summary="Read the trail", responses=problems.responses(400, 401, 403, 422))
    def events(  # noqa: PLR0913, PLR0917  # one parameter a filter
        caller: Annotated[Caller, Depends(require(Scope.AUDIT_READ))],
        event: Annotated[str | None, Query(max_length=80, pattern=r"^[a-z:_-]+\*?$", examples=["release:*"])] = None,
        actor: Annotated[str | None, Query(max_length=64)] = None,
        lender: Annotated[str | None, Query(max_length=120)] = None,
        reason: Annotated[str | None, Query(max_length=64)] = None,
        purpose: Annotated[str | None, Query(max_length=40)] = None,
        subject_id: Annotated[UUID | None, Query(description="random id from an earlier entry")] = None,
        consent_id: Annotated[str | None, Query(max_length=64)] = None,
        query_id: UUID | None = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=audit.PAGE_MOST)] = 100,
        cursor: paging.Cursor = None,
    ) -> AuditPage:
        """Give a page of entries, newest first. That it was read is an entry as well."""
        filters = audit.Filters(event, actor, lender, reason, purpose, subject_id, consent_id, query_id, since, until)
        with home.database.transaction() as tx:
            page = audit.read(tx, filters, limit=limit, cursor=cursor, policy=home.keyring.policy())
            audit.note_reading(tx, caller.client_id, filters, len(page.events), at=clock.now())
        return AuditPage.model_validate({"events": page.events, "next": page.next})

    @router.get("/findings", summary="Count findings", responses=problems.responses(401, 403, 422))
    def findings_at(
        caller: Annotated[Caller, Depends(require(Scope.AUDIT_READ))], at: AwareDatetime | None = None
    ) -> FindingCounts:
        """Count what the consistency rules found, as it stood at a moment. That it was read is an entry as well."""
        now = clock.now()
        as_of = now if at is None else at
        with home.database.transaction() as tx:
            counted = findings.counts(tx, as_of)
            silent = findings.not_checked(tx)
            audit.note_counting(tx, caller.client_id, as_of, len(counted), at=now)
        rows = [FindingCount(rule=r, agency=a, class_code=c, findings=n) for r, a, c, n in counted]
        unchecked = [UncheckedRule(rule=u.rule, whole=u.whole, why=u.why.model_dump()) for u in silent]
        return FindingCounts(as_of=as_of, counts=rows, unchecked=unchecked)

    return router
