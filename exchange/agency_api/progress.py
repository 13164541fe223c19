"""How far an upload has come: asked for, or watched as Server-Sent Events. Counts of rows, never rows.

An organisation watches so many uploads at a time and no more: watching must not take the database from others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from connectors import delivered, uploads
from connectors.uploads import State, Upload
from exchange import problems
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller, still_admitted
from exchange.oauth.scopes import Scope
from registry import clock
from registry.database import Transaction

LOOK_SECONDS: Final = 0.5  # between two looks at an upload that somebody watches
WATCHED_SECONDS: Final = 600.0
MOST_WATCHING: Final = 20  # of one organisation, in one process: each asks the database twice a second
_OVER: Final = frozenset({State.DONE, State.REFUSED, State.ENDED})
_Reader = Annotated[Caller, Depends(require(Scope.AGENCY_READ))]


class Why(BaseModel):
    """Why an upload was not taken in, and what to do."""

    code: str = Field(examples=["NOT_A_TABLE"])
    cause: dict[str, str] = Field(examples=[{"zh": "文件不是表格，或不含本平台登记的表", "en": "No registered table"}])
    mend: dict[str, str] = Field(examples=[{"zh": "请上传 .xlsx、.xls 或 .csv 数据表", "en": "Upload a data table"}])


class UploadStatus(BaseModel):
    """Where an upload stands. Counts of rows grow while intake works on it."""

    upload_id: UUID
    state: str = Field(examples=["working"], description="open, waiting, working, done, refused or ended")
    name: str = Field(examples=["平安区_农村集体三资台账_2026年第一季度.xlsx"])
    size_bytes: int = Field(examples=[1_048_576])
    received_bytes: int = Field(examples=[524_288])
    created_at: datetime
    expires_at: datetime | None = Field(description="while it is open")
    stage: str = Field(examples=["checking"], description="reading, checking, storing or done; empty before intake")
    rows_read: int = Field(examples=[100_000])
    rows_checked: int = Field(examples=[40_000])
    rows_accepted: int = Field(examples=[39_000], description="by the file alone, as if everybody had consented")
    signed: bool = Field(description="whether its sender named a manifest that covers it")
    batches: list[UUID] = Field(description="once it is done: one for each table")
    why: Why | None = Field(description="once it was refused, or has ended")


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1/uploads", tags=["agency: uploads"])
    watching: Counter[str] = Counter()  # by organisation; touched in the event loop only

    @router.get("", summary="The organisation's latest uploads", responses=problems.responses(401, 403))
    def latest(caller: _Reader) -> list[UploadStatus]:
        """List uploads, newest first."""
        with home.database.transaction() as tx:
            return [_status(tx, one) for one in uploads.of_agency(tx, caller.org_code)]

    @router.get("/{upload_id}", summary="Where an upload stands", responses=problems.responses(401, 403, 404))
    def status(upload_id: UUID, caller: _Reader) -> UploadStatus:
        """Tell state and progress of one upload."""
        with home.database.transaction() as tx:
            return _status(tx, _own(tx, upload_id, caller))

    @router.get(
        "/{upload_id}/events",
        summary="Watch an upload (Server-Sent Events)",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"example": 'event: upload\ndata: {"state": "working"}\n\n'}}},
            **problems.responses(401, 403, 404, 429),
        },
    )
    async def events(upload_id: UUID, caller: _Reader) -> StreamingResponse:
        """Send the upload's status whenever it has changed, until it is over; after ten minutes watch it anew.

        It ends, too, with the token or with the client's right to read.
        """

        def look() -> UploadStatus | None:
            with home.database.transaction() as tx:
                if not still_admitted(tx, caller, scope=Scope.AGENCY_READ, now=clock.now()):
                    return None
                return _status(tx, _own(tx, upload_id, caller))

        await run_in_threadpool(look)  # what is not there is a problem, no empty stream
        if watching[caller.org_code] >= MOST_WATCHING:
            raise RequestRefused("uploads-too-many", "too many are being watched; close one, or ask without watching")
        return StreamingResponse(_counted(watching, caller.org_code, look), media_type="text/event-stream")

    return router


def _own(tx: Transaction, upload_id: UUID, caller: Caller) -> Upload:
    upload = uploads.get(tx, upload_id, agency=caller.org_code)
    if upload is None:
        raise RequestRefused("upload-unknown")
    return upload


def _status(tx: Transaction, upload: Upload) -> UploadStatus:
    fault = uploads.FAULTS.get(upload.fault)
    why = None
    if fault is not None:
        cause, mend = fault.cause, fault.mend
        why = Why(code=upload.fault, cause={"zh": cause.zh, "en": cause.en}, mend={"zh": mend.zh, "en": mend.en})
    return UploadStatus(
        upload_id=upload.upload_id,
        state=upload.state,
        name=upload.label,
        size_bytes=upload.size_bytes,
        received_bytes=upload.received_bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at if upload.state == State.OPEN else None,
        stage=upload.stage,
        rows_read=upload.rows_read,
        rows_checked=upload.rows_checked,
        rows_accepted=upload.rows_accepted,
        signed=bool(upload.manifest),
        batches=delivered.batches_of_file(tx, upload.raw_id, agency=upload.agency) if upload.raw_id else [],
        why=why,
    )


async def _counted(
    watching: Counter[str], organisation: str, look: Callable[[], UploadStatus | None]
) -> AsyncIterator[str]:
    if watching[organisation] >= MOST_WATCHING:  # others began in the meantime
        return
    watching[organisation] += 1
    try:
        async for event in _watch(look):
            yield event
    finally:
        watching[organisation] -= 1


async def _watch(look: Callable[[], UploadStatus | None]) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    until, before = loop.time() + WATCHED_SECONDS, ""
    while loop.time() < until:
        status = await run_in_threadpool(look)
        if status is None:
            return
        text = status.model_dump_json()
        yield f"event: upload\ndata: {text}\n\n" if text != before else ": still\n\n"
        if status.state in _OVER:
            return
        before = text
        await asyncio.sleep(LOOK_SECONDS)
