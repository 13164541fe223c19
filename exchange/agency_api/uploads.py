"""Resumable uploads, by tus 1.0.0.

Steps of a PATCH (bytes that follow those that have arrived):
  1. the upload is the caller's organisation's, open, unexpired, and at the offset that the request names
  2. its folder is held: one connection at a time writes an upload
  3. bytes are sealed and made durable piece by piece, as they arrive; the offset in the row follows each piece
  4. with the last byte the upload waits for intake (`connectors.uploading`, run by `jobs`), in the same transaction

A line cut at any byte thus keeps what arrived; HEAD tells how much that was. With Upload-Checksum the offset follows
only when all bytes of the request are there and their hash agrees; otherwise they are discarded, as tus demands.

Every request carries credentials and a DPoP proof of its own. The file name is a label: it is no part of any address,
path or log line. Not here: how far intake
has come (`progress`), what the bytes mean (`connectors`).
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from connectors import manifests, source, uploadfiles, uploads
from connectors.bounds import FILE_BYTES
from connectors.errors import BytesDestroyed, ManifestRefused, UploadBusy, UploadLimit
from connectors.uploads import State, Upload
from exchange import problems
from exchange.agency_api import receiving, tus
from exchange.agency_api.arriving import Patience
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.database import Transaction

UPLOADS_PATH: Final = "/agency/v1/uploads"
UPLOAD_BYTES: Final = FILE_BYTES

_Sender = Annotated[Caller, Depends(require(Scope.AGENCY_UPLOAD))]
_SAID: Final = (400, 401, 403, 404, 410, 412)
_TUS_HEADERS: Final[list[dict[str, Any]]] = [
    {"name": "Tus-Resumable", "in": "header", "required": True, "schema": {"const": tus.VERSION}, "example": "1.0.0"}
]


def build_router(home: Home, *, patience: Patience | None = None) -> APIRouter:
    """Build the routes over an installation. `patience` is how long a slow line is waited for."""
    spoken = receiving.speaking(home.settings.issuer)
    router = APIRouter(prefix=UPLOADS_PATH, tags=["agency: uploads"], route_class=spoken)
    _add_tus(router, home, patience)
    return router


def _add_tus(router: APIRouter, home: Home, patience: Patience | None) -> None:
    @router.options("", status_code=204, summary="What tus is spoken here", responses=problems.responses(401))
    @router.options("/{upload_id}", status_code=204, summary="The same", responses=problems.responses(401))
    def options(_: _Sender) -> Response:
        """Name version, extensions, greatest size and checksum algorithms."""
        return Response(status_code=204, headers=tus.CAPABILITIES)

    @router.post(
        "",
        status_code=201,
        summary="Create an upload",
        response_class=Response,
        responses={
            201: {"headers": _described("Location", "Upload-Expires")},
            **problems.responses(400, 401, 403, 412, 413, 422, 429),
        },
        openapi_extra={"parameters": [*_TUS_HEADERS, _length(), _metadata()]},
    )
    def create(request: Request, caller: _Sender) -> Response:
        """Begin an upload of `Upload-Length` bytes; its address is in `Location`."""
        upload = _create(home, caller, tus.number(request.headers, "Upload-Length"), _metadata_of(request))
        where = f"{home.settings.issuer}{UPLOADS_PATH}/{upload.upload_id}"
        return Response(status_code=201, headers={"Location": where, **tus.expires(upload.expires_at)})

    @router.head(
        "/{upload_id}",
        summary="How much has arrived",
        response_class=Response,
        responses={200: {"headers": _described("Upload-Offset", "Upload-Length")}, **problems.responses(*_SAID)},
        openapi_extra={"parameters": _TUS_HEADERS},
    )
    def head(upload_id: UUID, caller: _Sender) -> Response:
        """Tell the offset from which to go on."""
        with home.database.transaction() as tx:
            upload = _not_over(_own(tx, upload_id, caller))
        said = {"Upload-Metadata": upload.metadata_text} if upload.metadata_text else {}
        sizes = {"Upload-Offset": str(upload.received_bytes), "Upload-Length": str(upload.size_bytes)}
        return Response(headers={**sizes, **said, **_expires(upload), "Cache-Control": "no-store"})

    @router.patch(
        "/{upload_id}",
        status_code=204,
        summary="Send bytes",
        responses={
            204: {"headers": _described("Upload-Offset", "Upload-Expires")},
            **problems.responses(*_SAID, 408, 409, 413, 415, 423, 460),
        },
        openapi_extra={
            "parameters": [*_TUS_HEADERS, _offset(), _checksum()],
            "requestBody": {"content": {tus.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
        },
    )
    async def patch(upload_id: UUID, request: Request, caller: _Sender) -> Response:
        """Append bytes at `Upload-Offset`; see docs/agencies.md."""
        return await _patch(home, request, upload_id, caller, patience)

    @router.delete(
        "/{upload_id}",
        status_code=204,
        summary="Give an upload up",
        responses=problems.responses(*_SAID, 423),
        openapi_extra={"parameters": _TUS_HEADERS},
    )
    def delete(upload_id: UUID, caller: _Sender) -> Response:
        """End an upload that is not complete, and destroy its bytes."""
        now = clock.now()
        with home.database.transaction() as tx:
            if not uploads.give_up(tx, _own(tx, upload_id, caller), now=now):
                raise RequestRefused("upload-over")
        uploadfiles.destroy(home.uploads, home.sealing, upload_id, now=now)
        return Response(status_code=204)


# ---- creating -------------------------------------------------------------------------------------------------------


def _create(home: Home, caller: Caller, size: int, metadata_text: str) -> Upload:
    if size > UPLOAD_BYTES:
        raise RequestRefused("upload-too-large")
    said = tus.metadata(metadata_text)
    try:
        label = uploads.label_of(said.filename)
    except ValueError as error:
        raise RequestRefused("upload-header-malformed", f"filename in Upload-Metadata: {error}") from error
    if said.source and said.source not in {one.source for one in source.current().sources}:
        raise RequestRefused("upload-header-malformed", "source in Upload-Metadata is no declared source")
    now = clock.now()
    upload_id = uuid4()
    with home.database.transaction() as tx:
        manifest = _manifest(tx, said, caller, size, now) if said.manifest else ""
        upload = Upload(
            upload_id=upload_id,
            agency=caller.org_code,
            client_id=caller.client_id,
            label=label,
            source=said.source,
            metadata_text=metadata_text,
            manifest=manifest,
            sha256=said.sha256,
            size_bytes=size,
            received_bytes=0,
            state=State.OPEN,
            fault="",
            created_at=now,
            expires_at=now + uploads.OPEN_FOR,
        )
        try:
            uploads.create(tx, upload)
        except UploadLimit as error:
            raise RequestRefused("uploads-too-many") from error
        uploadfiles.begin(home.uploads, home.sealing, upload_id, now=now)
        if not size:
            uploads.advance(tx, upload, was=0, to=0, now=now)
    return upload


def _manifest(tx: Transaction, said: tus.Said, caller: Caller, size: int, now: datetime) -> str:
    try:
        received = manifests.receive(tx, said.manifest, agency=caller.org_code, client_id=caller.client_id, now=now)
    except ManifestRefused as error:
        raise RequestRefused("manifest-refused", str(error)) from error
    if not manifests.lists(tx, received.manifest_id, size=size, sha256=said.sha256):
        raise RequestRefused("manifest-refused", "the manifest lists no file of this length and hash")
    return received.manifest_id


def _metadata_of(request: Request) -> str:
    return request.headers.get("Upload-Metadata", "")


# ---- sending --------------------------------------------------------------------------------------------------------


async def _patch(home: Home, request: Request, upload_id: UUID, caller: Caller, patience: Patience | None) -> Response:
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != tus.MEDIA_TYPE:
        raise RequestRefused("upload-media-type")
    offset, checksum = tus.number(request.headers, "Upload-Offset"), tus.checksum(request.headers)
    files = await run_in_threadpool(_files, home, upload_id, caller)
    try:
        with files.hold():  # 2
            upload = await run_in_threadpool(_at_offset, home, upload_id, caller, offset)  # 1
            stated = request.headers.get("Content-Length")
            if stated is not None and int(stated) > upload.size_bytes - offset:
                raise RequestRefused("upload-too-large")
            reached = await _take(home, request, upload, files, checksum, patience)
    except UploadBusy as error:
        raise RequestRefused("upload-busy") from error
    except FileNotFoundError as error:  # given up meanwhile: its folder is gone
        raise RequestRefused("upload-over") from error
    open_still = {} if reached == upload.size_bytes else tus.expires(upload.expires_at)
    return Response(status_code=204, headers={"Upload-Offset": str(reached), **open_still})


def _files(home: Home, upload_id: UUID, caller: Caller) -> uploadfiles.UploadFiles:
    with home.database.transaction() as tx:
        _not_over(_own(tx, upload_id, caller))
    try:
        return uploadfiles.find(home.uploads, home.sealing, upload_id)
    except BytesDestroyed as error:
        raise RequestRefused("upload-over") from error


def _at_offset(home: Home, upload_id: UUID, caller: Caller, offset: int) -> Upload:
    """Read the upload again, now that nobody else can move it."""
    with home.database.transaction() as tx:
        upload = _not_over(_own(tx, upload_id, caller))
    if offset != upload.received_bytes:
        raise RequestRefused("upload-offset")
    return upload


async def _take(  # what one request is made of
    home: Home,
    request: Request,
    upload: Upload,
    files: uploadfiles.UploadFiles,
    checksum: tus.Checksum | None,
    patience: Patience | None,
) -> int:
    """Steps 3 and 4; return the offset reached."""
    arrival = receiving.Arrival(upload.received_bytes, upload.size_bytes, checksum, patience)
    return await receiving.take(request.receive, files, arrival, partial(_advance, home, upload))


def _advance(home: Home, upload: Upload, was: int, to: int) -> None:
    with home.database.transaction() as tx:
        moved = uploads.advance(tx, upload, was=was, to=to, now=clock.now())
    if not moved:  # given up or expired meanwhile
        raise RequestRefused("upload-over")


# ---- which upload ----------------------------------------------------------------------------------------------------


def _own(tx: Transaction, upload_id: UUID, caller: Caller) -> Upload:
    upload = uploads.get(tx, upload_id, agency=caller.org_code)
    if upload is None:
        raise RequestRefused("upload-unknown")
    return upload


def _not_over(upload: Upload) -> Upload:
    expired = upload.state == State.OPEN and upload.expires_at <= clock.now()
    if expired or upload.state in {State.REFUSED, State.ENDED}:
        raise RequestRefused("upload-over")
    return upload


def _expires(upload: Upload) -> dict[str, str]:
    return tus.expires(upload.expires_at) if upload.state == State.OPEN else {}


# ---- speaking tus ---------------------------------------------------------------------------------------------------


def _described(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in ("Tus-Resumable", *names)}


def _length() -> dict[str, Any]:
    return {
        "name": "Upload-Length",
        "in": "header",
        "required": True,
        "schema": {"type": "integer"},
        "example": 1048576,
    }


def _metadata() -> dict[str, Any]:
    said = "tus: key, space, base64, separated by commas. Keys: filename, source, sha256 (hex), manifest (compact JWS)"
    return {
        "name": "Upload-Metadata", "in": "header", "required": False, "description": said,
        "schema": {"type": "string"}, "example": "filename 5Y+w6LSmLnhsc3g=",
    }  # fmt: skip


def _offset() -> dict[str, Any]:
    return {"name": "Upload-Offset", "in": "header", "required": True, "schema": {"type": "integer"}, "example": 0}


def _checksum() -> dict[str, Any]:
    said = f"algorithm ({tus.CAPABILITIES['Tus-Checksum-Algorithm']}), space, base64 of the hash of this body"
    return {
        "name": "Upload-Checksum", "in": "header", "required": False, "description": said,
        "schema": {"type": "string"}, "example": "sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    }  # fmt: skip
