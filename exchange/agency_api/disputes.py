"""The disputes (异议) that an agency has to answer: where the row is, what the person says, until when.

An agency sees disputes of records that came from its own batches, and answers each once. `error`: mend the row
(`/agency/v1/batches/…`), what is published next is free of the mark. `no_error`: the mark goes off. `undetermined`: the
mark stays, and the facts are recorded. A person who disputes lets the agency know that this row's data is held here.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from exchange import disputes, problems
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock

_NO_CONTROLS: Final = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"


class AnswerModel(BaseModel):
    """What the agency found, and its reply to the person."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    outcome: disputes.Outcome
    reply: Annotated[str, Field(min_length=2, max_length=500, pattern=_NO_CONTROLS)]


class DisputedModel(BaseModel):
    """A dispute as its agency sees it. `corrected`: a later version of the record has been published."""

    dispute_id: UUID
    number: str
    batch_id: UUID
    kind: str
    sheet: str
    row_no: int
    item: str
    reason: str
    words: str | None
    evidence_sha256: str
    filed_at: datetime
    due_at: datetime = Field(description="exclusive: the day before is the last")
    warned: bool
    overdue: bool
    state: str
    outcome: str | None
    corrected: bool


class AnsweredModel(BaseModel):
    """A dispute that was answered."""

    dispute_id: UUID
    number: str
    outcome: str
    marked: bool
    overdue: bool


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1/disputes", tags=["agency: disputes"])

    @router.get("", summary="Disputes to answer", responses=problems.responses(401, 403))
    def waiting(
        caller: Annotated[Caller, Depends(require(Scope.AGENCY_READ))],
        everything: Annotated[bool, Query(description="answered ones too")] = False,  # noqa: FBT002  # a switch in the address
    ) -> dict[Literal["disputes"], list[DisputedModel]]:
        """List disputes of the organisation's own rows, the most pressing first. That they were read is logged."""
        with home.database.transaction() as tx:
            found = disputes.of_agency(
                tx, home, caller.org_code, actor=caller.client_id, everything=everything, now=clock.now()
            )
        return {"disputes": [DisputedModel(**_shown(one)) for one in found]}

    @router.post("/{dispute_id}/answer", summary="Answer", responses=problems.responses(401, 403, 404, 409, 422))
    def answer(
        dispute_id: UUID, given: AnswerModel, caller: Annotated[Caller, Depends(require(Scope.AGENCY_DECIDE))]
    ) -> AnsweredModel:
        """Answer a dispute, once. The person is told, and the mark goes off, stays, or ends with the correction."""
        refuse_personal(given.reply)
        with home.database.transaction() as tx:
            found = disputes.answer(
                tx,
                home,
                caller.org_code,
                dispute_id,
                given.outcome,
                given.reply,
                by=caller.client_id,
                now=clock.now(),
            )
        return AnsweredModel(
            dispute_id=found.dispute_id,
            number=found.number,
            outcome=given.outcome.value,
            marked=found.marked,
            overdue=found.escalated_at is not None,
        )

    return router


def _shown(located: disputes.Located) -> dict[str, Any]:
    one = located.dispute
    return {
        "dispute_id": one.dispute_id,
        "number": one.number,
        "batch_id": one.batch_id,
        "kind": located.kind,
        "sheet": located.sheet,
        "row_no": located.row_no,
        "item": one.item,
        "reason": one.reason.value,
        "words": one.words,
        "evidence_sha256": one.evidence_sha256.hex(),
        "filed_at": one.filed_at,
        "due_at": one.due_at,
        "warned": one.warned_at is not None,
        "overdue": one.escalated_at is not None,
        "state": one.state,
        "outcome": one.outcome.value if one.outcome else None,
        "corrected": located.corrected,
    }
