"""What consistency rules found in an agency's own batches: where, why, and how to mend it.

Rows are named of organisations only. Persons are counted, by batch and rule, and few of them not at all: findings exist
of people who have consented and of nobody else, so naming a person's row would say that this person seeks credit
(`exchange.findings`). Nobody's value is shown, and no other agency's batch.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from connectors import delivered
from exchange import findings, problems
from exchange.consistency import declared
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope


class RuleTold(BaseModel):
    """A rule, in both languages: what it means, what is the matter, what to do."""

    rule: str = Field(examples=["X09"])
    severity: str = Field(examples=["warn"])
    title: dict[str, str]
    cause: dict[str, str]
    mend: dict[str, str]
    code: str | None = Field(description="the code that intake gives for this fault, where the rule is one of intake")


class CountedFinding(BaseModel):
    """How many rows of a batch are at fault under a rule. Persons are told in this way only."""

    batch_id: UUID
    rule: str
    rows: int


class LocatedFinding(BaseModel):
    """A row about an organisation that is at fault under a rule."""

    batch_id: UUID
    rule: str
    kind: str = Field(examples=["SANZI_CONTRACT"])
    sheet: str
    row_no: int = Field(description="counted from 1, as the sender's program shows it")
    found_at: datetime


class UncheckedRule(BaseModel):
    """A rule that is not checked, in part or at all: that nothing was found is no good news then."""

    rule: str
    whole: bool = Field(description="whether nothing is checked; else a part of it is")
    why: dict[str, str] = Field(examples=[{"zh": "未检查：尚无任何单位报送登记信息", "en": "not checked: …"}])


class AgencyFindings(BaseModel):
    """What stands now."""

    rules: list[RuleTold]
    counted: list[CountedFinding]
    located: list[LocatedFinding]
    more: bool = Field(description="whether there are more rows than fitted; ask for one batch")
    unchecked: list[UncheckedRule] = Field(description="rules on the kinds that it delivers, where they find nothing")


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1/findings", tags=["agency: findings"])

    @router.get("", summary="What consistency rules found", responses=problems.responses(401, 403, 404, 422))
    def standing(
        caller: Annotated[Caller, Depends(require(Scope.AGENCY_READ))],
        batch_id: Annotated[UUID | None, Query(description="of one of the organisation's batches")] = None,
    ) -> AgencyFindings:
        """Tell what stands in the organisation's batches now; what has been mended is gone after the next check."""
        with home.database.transaction() as tx:
            if batch_id is not None and delivered.one(tx, batch_id, agency=caller.org_code) is None:
                raise RequestRefused("batch-unknown")
            found = findings.of_agency(tx, caller.org_code, batch_id)
            silent = findings.not_checked(tx, caller.org_code)
        named = {one.rule for one in found.counted} | {one.rule for one in found.located}
        return AgencyFindings(
            rules=[_told(declared.current()[rule]) for rule in sorted(named) if rule in declared.current()],
            counted=[CountedFinding(batch_id=c.batch_id, rule=c.rule, rows=c.rows) for c in found.counted],
            located=[
                LocatedFinding(
                    batch_id=f.batch_id,
                    rule=f.rule,
                    kind=f.kind,
                    sheet=f.sheet,
                    row_no=f.row_no,
                    found_at=f.found_at,
                )
                for f in found.located
            ],
            more=found.more,
            unchecked=[UncheckedRule(rule=u.rule, whole=u.whole, why=u.why.model_dump()) for u in silent],
        )

    return router


def _told(rule: declared.Rule) -> RuleTold:
    return RuleTold(
        rule=rule.id,
        severity=rule.severity,
        title=rule.title.model_dump(),
        cause=rule.cause.model_dump(),
        mend=rule.mend.model_dump(),
        code=rule.code,
    )
