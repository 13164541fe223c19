"""The agencies' door to rows that wait for a decision: of one batch, and of all batches of the organisation.

Which rows wait is weighed from the sender's own bytes as if everybody had consented (docs/adr/0018): nothing that is
kept of a batch, for what is kept depends on who has. So a file must be read to know whether it has such rows. A page
opens files, the newest first, until it is full or has opened `MOST_FILES`: it may be short, or empty, and go on.

Files whose bytes are destroyed, and batches that are blocked, recalled or replaced, have no rows to decide of.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from connectors import delivered, masking
from connectors.codes import BY_NAME
from connectors.delivered import Open
from connectors.normalise import TableOutcome
from connectors.weighed import QuarantinedRow
from exchange import paging, problems
from exchange.agency_api.pace import LOOKING_COST, Pace
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.release.providing import For, provide
from registry.instants import rfc3339

MOST_FILES: Final = 5  # opened for one page of the queue
_PAGE: Final = 200
_OF_BATCH: Final = "row of a batch"
_QUEUE: Final = "row"
_Reading = Annotated[Caller, Depends(require(Scope.AGENCY_READ))]
_Code = Annotated[str | None, Query(max_length=60, pattern=r"^[A-Z0-9_]+$", examples=["AMOUNT_MISMATCH"])]
_Name = Annotated[str | None, Query(max_length=40, pattern=r"^[A-Z0-9_]+$")]
_Mask = Annotated[bool, Query(description="whether identifiers are masked")]
_Place = tuple[int, int]
_START: Final[_Place] = (-1, 0)  # before the first row of the first sheet


def build_router(home: Home, pace: Pace) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1", tags=["agency: mending"])

    @router.get(
        "/batches/{batch_id}/quarantine",
        summary="Rows to be decided",
        responses=problems.responses(400, 401, 403, 404, 410, 422, 429),
    )
    def of_batch(  # one parameter a filter
        batch_id: UUID,
        caller: _Reading,
        code: _Code = None,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = 50,
        mask: _Mask = True,  # noqa: FBT002  # a switch in the address
    ) -> dict[str, Any]:
        """List a batch's quarantined rows with their cells, the same whoever has consented; those behind `cursor`."""
        after = paging.place(_OF_BATCH, cursor) or 0
        pace.take(caller.org_code, LOOKING_COST)
        provided = provide(home, caller, batch_id, purpose=For.LOOKING)
        found = [
            row
            for one in provided.weighed()
            if one.label == provided.batch.label
            for row in one.quarantined
            if code is None or row.code == code
        ]
        page = found[after : after + limit]
        reached = after + len(page)
        more = paging.placed(_OF_BATCH, reached) if reached < len(found) else None
        return {"rows": [_shown(row, mask=mask) for row in page], "total": len(found), "next": more}

    @router.get(
        "/quarantine", summary="Rows to be decided, of all batches",
        responses=problems.responses(400, 401, 403, 410, 422, 429),
    )  # fmt: skip
    def queue(  # one parameter a filter
        caller: _Reading,
        code: _Code = None,
        class_code: _Name = None,
        kind: _Name = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = 50,
        cursor: Annotated[str | None, Query(max_length=800)] = None,
        mask: _Mask = True,  # noqa: FBT002  # a switch in the address
    ) -> dict[str, Any]:
        """List quarantined rows of the organisation's batches, the newest file first. A page may be short and go on."""
        pace.take(caller.org_code, LOOKING_COST * MOST_FILES)
        queue = _Queue(home, caller, class_code, kind, code)
        rows, last = queue.page(None if cursor is None else _read(cursor), limit)
        return {
            "rows": [_shown(row, mask=mask) | _of(batch) for batch, row in rows],
            "next": None if last is None else _written(last),
        }

    return router


_At = tuple[datetime, UUID, str, _Place]
"""Where a page ended: when the file came, which, the table's label, and the row's place in it."""


class _Queue:
    """The rows that an organisation must decide of, in an order that new files and decisions do not change."""

    def __init__(  # its filters
        self, home: Home, caller: Caller, class_code: str | None, kind: str | None, code: str | None
    ) -> None:
        self._home, self._caller, self._code = home, caller, code
        self._class_code, self._kind = class_code, kind

    def page(self, after: _At | None, limit: int) -> tuple[list[tuple[Open, QuarantinedRow]], _At | None]:
        """Give at most `limit` rows behind a place, and the place to go on from; None at the end."""
        with self._home.database.transaction() as tx:
            files = delivered.open_files(
                tx, self._caller.org_code, class_code=self._class_code, kind=self._kind,
                since=None if after is None else after[:2], limit=MOST_FILES + 1,
            )  # fmt: skip
        found: list[tuple[Open, QuarantinedRow]] = []
        for number, file in enumerate(files):
            if number == MOST_FILES or len(found) == limit:  # go on at this file's beginning
                return found, (file[0].received_at, file[0].raw_id, "", _START)
            begun = after[2:] if after is not None and file[0].raw_id == after[1] else ("", _START)
            found += islice(self._rows(file, *begun), limit + 1 - len(found))
            if len(found) > limit:
                batch, row = found[limit - 1]
                return found[:limit], (batch.received_at, batch.raw_id, batch.label, _place(row))
        return found, None

    def _rows(self, file: list[Open], label: str, place: _Place) -> Iterator[tuple[Open, QuarantinedRow]]:
        """Weigh one file, and give the rows of its batches behind a place; nothing of one destroyed in the meantime."""
        try:
            outcomes = provide(self._home, self._caller, file[0].batch_id, purpose=For.LOOKING).weighed()
        except RequestRefused as refused:
            if refused.code != "bytes-destroyed":
                raise
            return
        by_label: dict[str, TableOutcome] = {one.label: one for one in outcomes}
        for batch in file:
            if batch.label < label or batch.label not in by_label:
                continue
            behind = place if batch.label == label else _START
            for _, rows in by_label[batch.label].parts():
                for row in rows:
                    if _place(row) > behind and self._code in {None, row.code}:
                        yield batch, row


def _place(row: QuarantinedRow) -> _Place:
    return int(row.sheet or 0), row.row_no


def _of(batch: Open) -> dict[str, str]:
    return {"batch_id": str(batch.batch_id), "label": batch.label, "class_code": batch.class_code, "kind": batch.kind}


def _shown(row: QuarantinedRow, *, mask: bool) -> dict[str, Any]:
    found = BY_NAME[row.code]
    cells = {name: masking.masked_text(text) if mask else text for name, text in row.cells.items()}
    return {
        "sheet": int(row.sheet or 0),
        "row": row.row_no,
        "code": row.code,
        "heading": row.column,
        "cause": {"zh": found.cause.zh, "en": found.cause.en},
        "mend": {"zh": found.mend.zh, "en": found.mend.en},
        "cells": cells,
    }


def _written(at: _At) -> str:
    received_at, raw_id, label, place = at
    return paging.written(_QUEUE, rfc3339(received_at), str(raw_id), label, *place)


def _read(cursor: str) -> _At:
    at, raw_id, label, sheet, row_no = paging.parts(_QUEUE, cursor, str, str, str, int, int)
    return *paging.time_and_id(at, raw_id), label, (sheet, row_no)
