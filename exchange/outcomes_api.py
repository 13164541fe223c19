"""Doors for what became of queries: lenders report and list, persons see their own, regulators see what is missing."""

from datetime import date
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from exchange import outcomes, paging, problems
from exchange.home import Home
from exchange.naming import Code, refuse_personal
from exchange.oauth.doors import require, require_own
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.outcomes import Decision, Kind, Outcome, Reported
from exchange.subject_api.asking import Person, asking
from registry import clock
from registry.clock import rfc3339

_MOST_FEN: Final = 10**13
_PAGE: Final = outcomes.PAGE_MOST
_LIST: Final = "outcome"
_MISSING: Final = "missing outcome"
Money = Annotated[int, Field(ge=0, le=_MOST_FEN, description="in fen (分)")]
_MORE: Final = {
    Kind.DECISION: frozenset({"amount_fen", "term_months"}),
    Kind.DISBURSEMENT: frozenset({"amount_fen", "term_months"}),
    Kind.REPAYMENT: frozenset({"amount_fen", "balance_fen", "repayment_status", "five_class", "overdue_days"}),
    Kind.SETTLEMENT: frozenset({"repayment_status", "five_class"}),
}


class OutcomeModel(BaseModel):
    """What became of one of your queries. What does not belong to its kind is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    query_id: UUID
    reference: Code = Field(description="a code of your own for this report; the same again changes nothing")
    kind: Kind
    decision: Decision | None = Field(default=None, description="with kind decision, and only there")
    happened_on: date = Field(description="in Beijing; not before the query, not to come")
    amount_fen: Money | None = None
    balance_fen: Money | None = None
    term_months: Annotated[int, Field(ge=1, le=600)] | None = None
    repayment_status: Literal["N", "1", "2", "3", "4", "5", "6", "7", "*", "#", "B", "C", "D", "Z", "G"] | None = Field(
        default=None, description="of the month: N normal, 1 to 7 overdue by months, C settled"
    )
    five_class: Literal["normal", "watch", "substandard", "doubtful", "loss"] | None = None
    overdue_days: Annotated[int, Field(ge=0, le=36_500)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind is Kind.DECISION) != (self.decision is not None):
            raise ValueError("a decision states which, and nothing else does")
        stray = self.details().keys() - _MORE[self.kind]
        if stray:
            raise ValueError(f"not with this kind: {', '.join(sorted(stray))}")
        if self.kind is Kind.REPAYMENT and self.repayment_status is None:
            raise ValueError("a repayment states its repayment_status")
        if self.kind is Kind.DISBURSEMENT and self.amount_fen is None:
            raise ValueError("a disbursement states its amount_fen")
        return self

    def details(self) -> dict[str, Any]:
        """What is stated of amounts, terms and states."""
        every = frozenset[str]().union(*_MORE.values())
        return self.model_dump(mode="json", include=set(every), exclude_none=True)


class KeptModel(BaseModel):
    """A report is on record."""

    outcome_id: UUID
    details_kept: bool = Field(description="false: none were stated, or no consent stands any more")


class ReportedModel(BaseModel):
    """A report as it is kept."""

    outcome_id: UUID
    query_id: UUID
    reference: str
    kind: Kind
    decision: Decision | None
    happened_on: date
    recorded_at: str
    details: dict[str, Any] | None


class ReportsModel(BaseModel):
    """A page of reports; `next` is the `cursor` of the next page, null at the end."""

    outcomes: list[ReportedModel]
    next: str | None


class OwnReportModel(ReportedModel):
    """What a lender has reported of you."""

    lender: str


class OwnReportsModel(BaseModel):
    """What lenders have reported of you, the latest first."""

    outcomes: list[OwnReportModel]


class SilentModel(BaseModel):
    """A query that should have ended in a decision, and of which nothing came back within thirty days."""

    query_id: UUID
    organisation: str
    purpose: str
    business_no: str | None
    decided_at: str


class SilentPageModel(BaseModel):
    """A page of them, the latest first; `next` is the `cursor` of the next page, null at the end."""

    queries: list[SilentModel]
    next: str | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    _add_lenders(router, home)
    _add_others(router, home)
    return router


def _add_lenders(router: APIRouter, home: Home) -> None:
    calling = Annotated[Caller, Depends(require_own(Scope.QUERIES))]

    @router.post(
        "/v1/outcomes",
        status_code=201,
        tags=["lender"],
        summary="Report what became of a query",
        responses={
            200: {"model": KeptModel, "description": "The same was reported before"},
            **problems.responses(401, 403, 404, 409, 422),
        },
    )
    def report(given: OutcomeModel, caller: calling, response: Response) -> KeptModel:
        """Keep what the lender decided, or how what it lent is repaid. Each reference is reported once."""
        refuse_personal(given.reference)
        reported = Reported(
            given.query_id, given.reference, given.kind, given.decision, given.happened_on, given.details()
        )
        with home.database.transaction() as tx:
            kept = outcomes.report(tx, home, caller, reported, now=clock.now())
        if not kept.fresh:
            response.status_code = 200
        return KeptModel(outcome_id=kept.outcome_id, details_kept=kept.details)

    @router.get(
        "/v1/outcomes",
        tags=["lender"],
        summary="What you have reported",
        responses=problems.responses(400, 401, 403, 422),
    )
    def see(
        caller: calling,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
    ) -> ReportsModel:
        """List your own reports in their order, those behind `cursor`."""
        place = paging.place(_LIST, cursor) or 0
        with home.database.transaction() as tx:
            found = outcomes.of_lender(tx, home, caller.org_code, after=place, limit=limit + 1, now=clock.now())
        page, more = paging.page(_LIST, found, limit)
        return ReportsModel(outcomes=[ReportedModel(**_shown(one)) for one in page], next=more)


def _add_others(router: APIRouter, home: Home) -> None:
    person = Annotated[Person, Depends(asking(home))]
    regulator = Annotated[Caller, Depends(require(Scope.AUDIT_READ))]

    @router.get(
        "/subject/v1/outcomes",
        tags=["subject"],
        summary="What lenders have reported of you",
        responses=problems.responses(401, 403),
    )
    def own(who: person) -> OwnReportsModel:
        """List what lenders have reported of the calling person."""
        with home.database.transaction() as tx:
            found = outcomes.of_subject(tx, home, who.subject_id, now=clock.now())
        return OwnReportsModel(outcomes=[OwnReportModel(**_shown(one), lender=one.organisation) for one in found])

    @router.get(
        "/audit/v1/outcomes/missing",
        tags=["regulator"],
        summary="Queries without an outcome (AQ09)",
        responses=problems.responses(400, 401, 403, 422),
    )
    def missing(
        caller: regulator,
        organisation: Annotated[str | None, Query(max_length=120)] = None,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
    ) -> SilentPageModel:
        """List queries that should have ended in a decision and of which nothing came back. Reading is an entry."""
        now, after = clock.now(), paging.opened(_MISSING, cursor)
        with home.database.transaction() as tx:
            found = outcomes.silent(tx, organisation=organisation, after=after, limit=limit, now=now)
            outcomes.note_reading(tx, caller.client_id, len(found), now=now)
        rows = [
            SilentModel(
                query_id=one.query_id,
                organisation=one.organisation,
                purpose=one.purpose,
                business_no=one.business_no,
                decided_at=rfc3339(one.decided_at),
            )
            for one in found
        ]
        ended = paging.cursor(_MISSING, found[-1].decided_at, found[-1].query_id) if len(found) == limit else None
        return SilentPageModel(queries=rows, next=ended)


def _shown(one: Outcome) -> dict[str, Any]:
    return {
        "outcome_id": one.outcome_id,
        "query_id": one.query_id,
        "reference": one.reference,
        "kind": one.kind,
        "decision": one.decision,
        "happened_on": one.happened_on,
        "recorded_at": rfc3339(one.recorded_at),
        "details": one.details,
    }
