"""The regulators' door for consents: figures by month, what lenders are to delete, evidence for a case. Read-only.

Opening evidence is a POST, since it is written down and shown to the person; it changes nothing else.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from exchange import audit, consent_figures, deletions, paging, problems
from exchange.capture import disclosing
from exchange.deletions_api import DeletionModel, shown
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock

_ALL_DELETIONS = "deletion of all"
_FEW = "empty: fewer than ten, or it would follow from the others"


class FigureModel(BaseModel):
    """One figure; what would speak of fewer than ten people is empty."""

    model_config = ConfigDict(from_attributes=True)

    total: int | None = Field(description=_FEW)
    by_channel: dict[str, int | None]
    by_language: dict[str, int | None]


class FiguresModel(BaseModel):
    """A month that is over, in Beijing."""

    model_config = ConfigDict(from_attributes=True)

    month: str = Field(examples=["2026-05"])
    changes: dict[str, FigureModel] = Field(description="new, amended, withdrawn, expired, refused and others")
    standing: FigureModel = Field(description="at the month's end, in whole tens")
    requests: dict[str, dict[str, int | None]] = Field(
        description="of lenders to people, by channel and the stage at which they ended: agreed, or abandoned at "
        "unreached, unanswered, failed, refused"
    )
    requests_by_language: dict[str, dict[str, dict[str, int | None]]] = Field(
        description="the same by channel, stage and language; unknown: no text was shown, or by a release of before"
    )


class LenderDeletionModel(DeletionModel):
    """A deletion notice, and whose it is."""

    organisation: str


class LenderDeletionsModel(BaseModel):
    """A page of notices of all lenders; `next` is the `cursor` of the next page, null at the end."""

    notices: list[LenderDeletionModel]
    next: str | None


class CaseModel(BaseModel):
    """For which case evidence is opened. The person is told the number; no name and no identifier stands in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    case: str = Field(pattern=r"^[0-9A-Za-z\u4e00-\u9fff〔〕（）()._/-]{4,64}$", examples=["青监检〔2026〕17号"])


class PieceModel(BaseModel):
    """One thing that is kept: its bytes, and whether they are those that receipt or device committed to."""

    form: str = Field(examples=["document"], description="document, device-record or scan")
    media_type: str
    kept_at: datetime
    sha256: str = Field(description="of the bytes, hexadecimal")
    encoding: str = Field(description="utf-8 or base64")
    content: str
    agrees: bool


class EvidenceModel(BaseModel):
    """The evidence of one consent as far as it is kept here; what is not lies with whoever collected it."""

    consent_id: str
    kind: str
    evidence_sha256: str | None = Field(description="as in the consent's signed receipt")
    pieces: list[PieceModel]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/audit/v1", tags=["regulator"])
    reading = Annotated[Caller, Depends(require(Scope.AUDIT_READ))]

    @router.get("/consent-figures", summary="Consents by month", responses=problems.responses(401, 403, 422))
    def figures(
        caller: reading, month: Annotated[str, Query(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-05"])]
    ) -> FiguresModel:
        """Give the figures of a month that is over. That they were read is an entry as well."""
        now = clock.now()
        with home.database.transaction() as tx:
            found = consent_figures.of_month(tx, month, now=now)
            audit.note_figures(tx, caller.client_id, month, at=now)
        return FiguresModel.model_validate(found)

    @router.get("/deletions", summary="What lenders are to delete", responses=problems.responses(400, 401, 403, 422))
    def notices(
        caller: reading,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=deletions.PAGE_MOST)] = deletions.PAGE_MOST,
        overdue: Annotated[bool, Query()] = False,  # noqa: FBT002  # a switch in the address
    ) -> LenderDeletionsModel:
        """List deletion notices of all lenders; with `overdue` those not answered in time. Reading is an entry."""
        now, place = clock.now(), paging.place(_ALL_DELETIONS, cursor) or 0
        with home.database.transaction() as tx:
            found = deletions.of_all(tx, after=place, limit=limit + 1, overdue=overdue, now=now)
            page, more = paging.page(_ALL_DELETIONS, found, limit)
            deletions.note_reading(tx, caller.client_id, len(page), now=now)
        rows = [LenderDeletionModel(**shown(one).model_dump(), organisation=one.organisation) for one in page]
        return LenderDeletionsModel(notices=rows, next=more)

    @router.post(
        "/consents/{consent_id}/evidence",
        summary="Open the evidence of a consent",
        responses=problems.responses(400, 401, 403, 404, 410, 422),
    )
    def evidence(consent_id: str, stated: CaseModel, caller: reading) -> EvidenceModel:
        """Open what proves one consent, for a case. It is an access: logged, and shown to the person."""
        found = disclosing.opened(home, caller, consent_id, stated.case, now=clock.now())
        return EvidenceModel(
            consent_id=found.consent_id,
            kind=found.kind.value,
            evidence_sha256=None if found.sha256 is None else found.sha256.hex(),
            pieces=[PieceModel.model_validate(one.as_json()) for one in found.pieces],
        )

    return router
