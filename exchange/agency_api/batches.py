"""Batches: what became of each table that an organisation delivered, and where to look. Counts, codes, places.

The figures of a control total are those of the whole table and of many rows, or none (`connectors.batches`); rows
without a consent are a total, and of a table of few rows not even that (`connectors.delivered`).
"""

from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from connectors import codes, delivered
from connectors.delivered import Delivered
from connectors.every_fault import Marked
from exchange import paging, problems
from exchange.agency_api.pace import LOOKING_COST, Pace
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.release.providing import For, provide

_LIST: Final = "batch of rows"
_REMARKS: Final = "remark"
_Reader = Annotated[Caller, Depends(require(Scope.AGENCY_READ))]


class BatchState(StrEnum):
    """Where a batch stands."""

    RECEIVED = "received"
    PUBLISHED = "published"
    BLOCKED = "blocked"
    RECALLED = "recalled"
    REPLACED = "replaced"


class CodeCount(BaseModel):
    """How many rows ended so, why, and what to do about it."""

    outcome: str = Field(examples=["quarantined"])
    code: str = Field(examples=["ID_CHECK_FAILED"])
    rows: int = Field(examples=[3])
    cause: dict[str, str] = Field(examples=[{"zh": "身份证号校验码不成立", "en": "The check character is impossible"}])
    mend: dict[str, str] = Field(examples=[{"zh": "核对证件原件后更正", "en": "Correct it from the document"}])


class ControlTotal(BaseModel):
    """A total that the file states of itself: where it stands, and whether our rows agree.

    Of a whole table of many rows also both figures, in whole units (fen, 1/10000 亩, rows).
    """

    sheet: str
    row_no: int
    column: str
    agrees: bool
    declared: int | None = None
    ours: int | None = None


class BatchSummary(BaseModel):
    """One table of a file. Counts are those of the file alone, as if everybody had consented.

    When it was last weighed is not told: files are weighed again when consents change, and of one person it would tell.
    """

    batch_id: UUID
    label: str
    state: str = Field(examples=["published"])
    class_code: str | None = Field(examples=["SUBSIDY"])
    kind: str | None
    as_of: date
    received_at: datetime
    published_at: datetime | None
    signed: bool
    rows: int
    accepted: int
    warned: int
    quarantined: int
    rejected: int
    without_consent: int | None = Field(
        description="rows of which nothing is held for want of a consent, in tens; not told where few people are named"
    )
    blocked: CodeCount | None


class BatchDetail(BatchSummary):
    """The same, with codes, control totals and columns that were not read."""

    source: str | None
    project: str | None
    sha256: str = Field(description="of the file's bytes, as they came")
    manifest_id: str | None
    codes: list[CodeCount]
    controls: list[ControlTotal]
    unread_columns: list[str]


class BatchPage(BaseModel):
    """Batches, newest first."""

    batches: list[BatchSummary]
    next: str | None


class Remark(BaseModel):
    """A fault of a row to look at: where it stands in the sender's own file, and which code. No value."""

    sheet: str
    row_no: int = Field(description="as the sender's program shows it, from 1")
    outcome: str = Field(description="how the row ends, by the gravest of its faults")
    code: str
    column: str = Field(description="the heading, empty for the row as a whole")


class RemarkPage(BaseModel):
    """Rows to look at, in the order of the file; one remark a fault, those of a row behind each other."""

    remarks: list[Remark]
    next: str | None


def build_router(home: Home, pace: Pace) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1/batches", tags=["agency: batches"])

    @router.get("", summary="The organisation's batches", responses=problems.responses(400, 401, 403, 422))
    def batches(
        caller: _Reader,
        state: BatchState | None = None,
        class_code: Annotated[str | None, Query(max_length=40, pattern=r"^[A-Z_]+$", examples=["SUBSIDY"])] = None,
        limit: Annotated[int, Query(ge=1, le=delivered.PAGE_MOST)] = 50,
        cursor: paging.Cursor = None,
    ) -> BatchPage:
        """Give a page of batches, newest first."""
        before = paging.opened(_LIST, cursor)
        with home.database.transaction() as tx:
            found = delivered.page(
                tx, caller.org_code, state=state, class_code=class_code, before=before, limit=limit + 1
            )
        shown, more = found[:limit], len(found) > limit
        last = paging.cursor(_LIST, shown[-1].received_at, shown[-1].batch_id) if more else None
        return BatchPage(batches=[BatchSummary(**_summary(one)) for one in shown], next=last)

    @router.get("/{batch_id}", summary="One batch", responses=problems.responses(401, 403, 404))
    def batch(batch_id: UUID, caller: _Reader) -> BatchDetail:
        """Tell what became of a table: counts by code with cause and mend, control totals, columns not read."""
        with home.database.transaction() as tx:
            found = _own(delivered.one(tx, batch_id, agency=caller.org_code))
        return BatchDetail(
            **_summary(found),
            source=found.source,
            project=found.project,
            sha256=found.sha256,
            manifest_id=found.manifest or None,
            codes=[_code(end, name, rows) for end, held in found.codes.items() for name, rows in held.items()],
            controls=[ControlTotal(**control) for control in found.controls],
            unread_columns=list(found.unread),
        )

    @router.get(
        "/{batch_id}/remarks",
        summary="Rows to look at",
        responses=problems.responses(400, 401, 403, 404, 410, 422, 429),
    )
    def remarks(batch_id: UUID, caller: _Reader, cursor: paging.Cursor = None) -> RemarkPage:
        """Give rows by place and code, as if everybody had consented: a remark must not tell who has (adr/0018).

        All faults of a row come at once, the one that decided it first.
        """
        pace.take(caller.org_code, LOOKING_COST)
        after = (-1, 0) if cursor is None else tuple(paging.parts(_REMARKS, cursor, int, int))
        provided = provide(home, caller, batch_id, purpose=For.LOOKING)
        table = [one for one in provided.weighed() if one.label == provided.batch.label]
        behind = (row for row in provided.marked(table) if _place(row) > after)
        found = list(islice(behind, delivered.REMARKS_MOST))
        full = len(found) == delivered.REMARKS_MOST
        shown = [
            Remark(sheet=row.sheet, row_no=row.row_no, outcome=row.end, code=fault.code, column=fault.column)
            for row in found
            for fault in row.faults
        ]
        return RemarkPage(remarks=shown, next=paging.written(_REMARKS, *_place(found[-1])) if full else None)

    return router


def _own(found: Delivered | None) -> Delivered:
    if found is None:
        raise RequestRefused("batch-unknown")
    return found


def _summary(one: Delivered) -> dict[str, Any]:
    return {
        "batch_id": one.batch_id,
        "label": one.label,
        "state": one.state,
        "class_code": one.class_code,
        "kind": one.kind,
        "as_of": one.as_of,
        "received_at": one.received_at,
        "published_at": one.published_at,
        "signed": bool(one.manifest),
        "rows": one.rows,
        **one.counts,
        "without_consent": one.without_consent,
        "blocked": _code("blocked", one.blocked_code, one.rows) if one.blocked_code else None,
    }


def _code(outcome: str, name: str, rows: int) -> CodeCount:
    known = codes.BY_NAME[name]
    return CodeCount(outcome=outcome, code=name, rows=rows, cause=_both(known.cause), mend=_both(known.mend))


def _both(words: codes.Words) -> dict[str, str]:
    return {"zh": words.zh, "en": words.en}


def _place(row: Marked) -> tuple[int, int]:
    return int(row.sheet or 0), row.row_no
