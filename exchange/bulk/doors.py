"""The lenders' door for batches of questions: hand in, look, cancel, fetch the results, sealed.

A file of questions comes by tus 1.0.0, as agencies' files do, so that a line cut at any byte costs nothing. A batch
that is another system's is answered as what does not exist. A token that rests on one person's agreement has no
business here.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from connectors import uploadfiles
from connectors.errors import BytesDestroyed, UploadBusy
from exchange import once, paging, problems
from exchange.agency_api import receiving, tus
from exchange.bulk import keeping, keys, results
from exchange.bulk.keeping import Batch, State
from exchange.errors import RequestRefused
from exchange.gate import Gate
from exchange.home import Home
from exchange.oauth.doors import require_own
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.shapes import ManifestShape, PartShape
from registry import clock
from registry.clock import rfc3339
from registry.database import Transaction
from registry.suites import sha256_hex

PATH: Final = "/v1/batches"
QUESTIONS_ENDING: Final = "/questions"
JSON: Final = "application/json"
_LIST: Final = "batch of questions"
_PARTS_AT_ONCE: Final = 2  # of one process: results are not fetched at the cost of whoever waits for one answer
_NEXT_PART_SECONDS: Final = 1
_ONE: Final = f"{PATH}/{{batch_id}}"
_UPLOAD: Final = f"{_ONE}{QUESTIONS_ENDING}"


class BatchModel(BaseModel):
    """A batch of questions and how far it has come."""

    batch_id: UUID
    state: State
    fault: str | None = Field(description="of a refused file: digest-differs, lines-too-many, empty, bytes-lost")
    size_bytes: int
    received_bytes: int
    lines: int = Field(description="0 until the whole file has been read")
    answered: int = Field(description="lines whose outcome stands")
    permitted: int
    refused: dict[str, int] = Field(description="by code of the problem")
    parts: int
    parts_ready: int = Field(description="parts 1 to this one can be fetched")
    created_at: str
    ended_at: str | None
    until: str = Field(description="then questions, outcomes and results are gone")


class BatchesModel(BaseModel):
    """A page of batches, the newest first."""

    batches: list[BatchModel]
    next: str | None


_System = Annotated[Caller, Depends(require_own(Scope.QUERIES))]
_Part = Annotated[int, Path(ge=1, le=keeping.LINES_MOST)]
_TUS: Final[list[dict[str, Any]]] = [
    {"name": "Tus-Resumable", "in": "header", "required": True, "schema": {"const": tus.VERSION}, "example": "1.0.0"}
]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    router.routes.extend(_receiving(home).routes)
    router.routes.extend(_looking(home).routes)
    return router


# ---- handing in -----------------------------------------------------------------------------------------------------


def _receiving(home: Home) -> APIRouter:
    router = APIRouter(tags=["lender: batches"], route_class=receiving.speaking(home.settings.issuer))

    @router.post(
        PATH,
        status_code=201,
        summary="Announce a file of questions",
        responses={
            200: {"model": BatchModel, "description": "The batch that it is already"},
            201: {"model": BatchModel, "headers": {"Location": {"schema": {"type": "string"}}}},
            **problems.responses(400, 401, 403, 409, 412, 413, 429, 503),
        },
        openapi_extra={"parameters": [*_TUS, *_announced()]},
    )
    def announce(request: Request, caller: _System) -> Response:
        """Begin a batch of `Upload-Length` bytes; its bytes go to `Location`.

        The same Idempotency-Key with the same file is the same batch.
        """
        key, size = _key(request), tus.number(request.headers, "Upload-Length")
        said = tus.metadata(request.headers.get("Upload-Metadata", ""))
        if said.sha256 is None:
            raise RequestRefused("upload-header-malformed", "Upload-Metadata states the file's sha256")
        if not size:
            raise RequestRefused("upload-header-malformed", "a file of questions has a line")
        if size > keeping.BATCH_BYTES:
            raise RequestRefused("upload-too-large")
        now = clock.now()
        with home.database.transaction() as tx:
            keys.of_client(tx, caller.client_id)
            batch, new = keeping.create(home, tx, caller, key, size, said.sha256, now=now)
            if new:
                uploadfiles.begin(keeping.folder(home), home.sealing, batch.batch_id, now=now)
            body = shown(tx, batch).model_dump_json()
        headers = {"Location": f"{home.settings.issuer}{PATH}/{batch.batch_id}{QUESTIONS_ENDING}"}
        if batch.state is State.RECEIVING:
            headers |= tus.expires(batch.until)
        return Response(body, 201 if new else 200, headers, JSON)

    @router.head(
        _UPLOAD,
        summary="How much has arrived",
        responses=problems.responses(400, 401, 403, 404, 412),
        openapi_extra={"parameters": _TUS},
    )
    def head(batch_id: UUID, caller: _System) -> Response:
        """Tell the offset from which to go on."""
        with home.database.transaction() as tx:
            batch = keeping.get(tx, batch_id, caller)
        sizes = {"Upload-Offset": str(batch.received_bytes), "Upload-Length": str(batch.size_bytes)}
        return Response(headers={**sizes, "Cache-Control": "no-store"})

    @router.patch(
        _UPLOAD,
        status_code=204,
        summary="Send bytes of the file",
        responses=problems.responses(400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 423, 460),
        openapi_extra={
            "parameters": [*_TUS, {"name": "Upload-Offset", "in": "header", "required": True,
                                   "schema": {"type": "integer", "minimum": 0}}],
            "requestBody": {"content": {tus.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
        },
    )  # fmt: skip
    async def patch(batch_id: UUID, request: Request, caller: _System) -> Response:
        """Append bytes at `Upload-Offset`. They come as they are: nothing is decompressed."""
        reached = await _patch(home, request, batch_id, caller)
        return Response(status_code=204, headers={"Upload-Offset": str(reached)})

    return router


async def _patch(home: Home, request: Request, batch_id: UUID, caller: Caller) -> int:
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != tus.MEDIA_TYPE or request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestRefused("upload-media-type")
    offset, checksum = tus.number(request.headers, "Upload-Offset"), tus.checksum(request.headers)
    await run_in_threadpool(_open, home, batch_id, caller)  # before the files: of another's there is nothing to see
    try:
        files = await run_in_threadpool(uploadfiles.find, keeping.folder(home), home.sealing, batch_id)
        with files.hold():
            batch = await run_in_threadpool(_open, home, batch_id, caller)
            if offset != batch.received_bytes:
                raise RequestRefused("upload-offset")
            if int(request.headers.get("Content-Length", "0")) > batch.size_bytes - offset:
                raise RequestRefused("upload-too-large")
            arrival = receiving.Arrival(offset, batch.size_bytes, checksum)
            return await receiving.take(request.receive, files, arrival, partial(_advance, home, batch))
    except UploadBusy as error:
        raise RequestRefused("upload-busy") from error
    except (BytesDestroyed, FileNotFoundError) as error:  # cancelled meanwhile
        raise RequestRefused("bulk-over") from error


def _open(home: Home, batch_id: UUID, caller: Caller) -> Batch:
    with home.database.transaction() as tx:
        batch = keeping.get(tx, batch_id, caller)
    if batch.state is not State.RECEIVING or batch.until <= clock.now():
        raise RequestRefused("bulk-over")
    return batch


def _advance(home: Home, batch: Batch, was: int, to: int) -> None:
    with home.database.transaction() as tx:
        moved = keeping.advance(tx, batch, was=was, to=to, now=clock.now())
    if not moved:
        raise RequestRefused("bulk-over")


def _key(request: Request) -> str:
    key = request.headers.get(once.HEADER)
    if key is None:
        raise RequestRefused("idempotency-key-malformed", "a batch needs an Idempotency-Key")
    return once.checked(key)


def _announced() -> list[dict[str, Any]]:
    length = {"type": "integer", "minimum": 1, "maximum": keeping.BATCH_BYTES}
    metadata = {"type": "string", "description": "tus: `sha256 ` and the base64 of the file's SHA-256 in hex"}
    said = {once.HEADER: once.SCHEMA, "Upload-Length": length, "Upload-Metadata": metadata}
    return [{"name": name, "in": "header", "required": True, "schema": schema} for name, schema in said.items()]


# ---- looking and fetching -------------------------------------------------------------------------------------------


def _looking(home: Home) -> APIRouter:
    router = APIRouter(tags=["lender: batches"])
    building = asyncio.Semaphore(_PARTS_AT_ONCE)
    preparing: set[str] = set()

    @router.get(PATH, summary="Your batches", responses=problems.responses(400, 401, 403, 422))
    def see(
        caller: _System,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=keeping.PAGE_MOST)] = 20,
    ) -> BatchesModel:
        """List the batches of this system, the newest first."""
        place = paging.opened(_LIST, cursor)
        with home.database.transaction() as tx:
            found = keeping.page(tx, caller, before=place, limit=limit + 1)
            batches = [shown(tx, one) for one in found[:limit]]
        return BatchesModel(batches=batches, next=_cursor(found, limit))

    @router.get(
        _ONE,
        summary="How far a batch has come",
        response_model=BatchModel,
        responses={304: {"description": "As it was"}, **problems.responses(401, 403, 404, 422)},
    )
    def one(batch_id: UUID, request: Request, caller: _System) -> Response:
        """Say how far it has come; unchanged answers are 304. While it goes on, Retry-After says when to look again."""
        with home.database.transaction() as tx:
            batch = keeping.get(tx, batch_id, caller)
            body = shown(tx, batch).model_dump_json().encode()
        tag = f'"{sha256_hex(body)[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if batch.ended_at is None:
            headers["Retry-After"] = str(results.RETRY_SECONDS)
        known = {given.strip().removeprefix("W/") for given in request.headers.get("if-none-match", "").split(",")}
        return Response(status_code=304, headers=headers) if tag in known else Response(body, 200, headers, JSON)

    @router.delete(_ONE, summary="Cancel a batch", responses=problems.responses(401, 403, 404, 422))
    def cancel(batch_id: UUID, caller: _System) -> BatchModel:
        """End it: its questions are destroyed, nothing more is answered. What was answered can still be fetched."""
        now = clock.now()
        with home.database.transaction() as tx:
            batch = keeping.get(tx, batch_id, caller)
            ended = keeping.end(tx, batch, State.CANCELLED, until=now + keeping.kept_for(home), now=now)
        if ended:
            keeping.destroy_questions(home, batch_id, now=now)
        with home.database.transaction() as tx:
            return shown(tx, keeping.get(tx, batch_id, caller))

    @router.get(
        f"{_ONE}/results/{{part}}",
        summary="One part of the result, sealed",
        responses={200: {"model": PartShape}, **problems.responses(401, 403, 404, 409, 410, 422, 429, 503)},
    )
    async def fetch(batch_id: UUID, part: _Part, request: Request, caller: _System) -> Response:
        """Open the part's lines anew through the gate, seal them to your key, hand them out; docs/lenders.md.

        One part after the other: while one is prepared for your system, another is answered 429.
        """
        gate: Gate = request.app.state.gate
        with _alone(preparing, caller.client_id):
            async with building:
                body = await results.part(home, gate, caller, batch_id, part)
        return Response(body, 200, {"Cache-Control": "no-store"}, JSON)

    @router.get(
        f"{_ONE}/manifest",
        summary="What was handed out, signed",
        responses={200: {"model": ManifestShape}, **problems.responses(401, 403, 404, 410, 422)},
    )
    def manifest(batch_id: UUID, caller: _System) -> Response:
        """List the parts with the digests under which they were handed out, signed; fetch it after the parts."""
        return Response(results.manifest(home, caller, batch_id), 200, {"Cache-Control": "no-store"}, JSON)

    return router


def shown(tx: Transaction, batch: Batch) -> BatchModel:
    """Write a batch as it is published."""
    counts = keeping.counted(tx, batch)
    return BatchModel(
        batch_id=batch.batch_id,
        state=batch.state,
        fault=batch.fault or None,
        size_bytes=batch.size_bytes,
        received_bytes=batch.received_bytes,
        lines=batch.lines,
        answered=sum(counts.values()),
        permitted=counts.get(keeping.PERMITTED, 0),
        refused={code: number for code, number in counts.items() if code != keeping.PERMITTED},
        parts=results.parts_of(batch),
        parts_ready=0 if batch.cleared_at is not None else results.ready(tx, batch),
        created_at=rfc3339(batch.created_at),
        ended_at=None if batch.ended_at is None else rfc3339(batch.ended_at),
        until=rfc3339(batch.until),
    )


@contextmanager
def _alone(preparing: set[str], client_id: str) -> Iterator[None]:
    """Let a system have one part prepared in this process, so that each waits behind one of every other's at most.

    Raises:
        RequestRefused: `too-often`.
    """
    if client_id in preparing:
        detail = "a part of a result is being prepared for your system"
        raise RequestRefused("too-often", detail, retry_after_seconds=_NEXT_PART_SECONDS)
    preparing.add(client_id)
    try:
        yield
    finally:
        preparing.remove(client_id)


def _cursor(found: Sequence[Batch], limit: int) -> str | None:
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    return paging.cursor(_LIST, last.created_at, last.batch_id)
