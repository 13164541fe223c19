"""What every door that takes a file by tus shares: routes that speak it, and the bytes of one PATCH made durable.

Not here: whose the upload is, and what its bytes are for (`uploads`, and `exchange.bulk` for lenders' questions).
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive

from connectors import uploadfiles
from exchange import problems
from exchange.agency_api import tus
from exchange.agency_api.arriving import Arriving, Ended, Patience
from exchange.errors import ExchangeError, RequestRefused
from registry.suites import constant_time_equal

_PRECONDITION_FAILED: Final = 412  # tus names this answer by its number


@dataclass(frozen=True, slots=True)
class Arrival:
    """The bytes of one request: from which offset on, how many are wanted in all, and what they must hash to."""

    begun: int
    size: int
    checksum: tus.Checksum | None = None
    patience: Patience | None = None


async def take(
    receive: Receive, files: uploadfiles.UploadFiles, arrival: Arrival, advance: Callable[[int, int], None]
) -> int:
    """Make bytes durable as they arrive, and let `advance(was, to)` follow; return the offset reached.

    With a checksum the offset follows only when all bytes are there and their hash agrees.

    Raises:
        RequestRefused: `upload-too-large`, `upload-checksum`, `upload-too-slow`; or what `advance` raises.
    """
    durable = at = arrival.begun
    left = arrival.size - arrival.begun
    arriving = Arriving(receive, most=left, piece_bytes=uploadfiles.CHUNK_BYTES, patience=arrival.patience)
    hashed = arrival.checksum.new() if arrival.checksum else None
    async for piece in arriving.pieces():
        await run_in_threadpool(files.write, at, piece)
        at += len(piece)
        if hashed is not None:
            hashed.update(piece)
        elif arriving.ended is not Ended.TOO_LONG:
            await run_in_threadpool(advance, durable, at)
            durable = at
    if arriving.ended is Ended.TOO_LONG:
        raise RequestRefused("upload-too-large")
    if arrival.checksum is not None and hashed is not None and arriving.ended is Ended.WHOLE:
        if not constant_time_equal(hashed.digest(), arrival.checksum.expected):
            raise RequestRefused("upload-checksum")
        if at > arrival.begun:
            await run_in_threadpool(advance, arrival.begun, at)
    if arriving.ended is Ended.SLOW:
        raise RequestRefused("upload-too-slow")
    return at


def speaking(issuer: str) -> type[APIRoute]:
    """Make routes that say and demand the version of tus, in problems too."""

    class TusRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            return partial(_answer, issuer, super().get_route_handler())

    return TusRoute


async def _answer(issuer: str, route: Callable[[Request], Coroutine[Any, Any, Response]], request: Request) -> Response:
    try:
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != tus.VERSION:
            raise RequestRefused("tus-version-unsupported")
        response = await route(request)
    except ExchangeError as error:
        told = problems.told_of(issuer, error)
        response = Response(told.body, told.status, told.headers)
        if told.status == _PRECONDITION_FAILED:
            response.headers["Tus-Version"] = tus.VERSION
    if request.method != "OPTIONS":
        response.headers["Tus-Resumable"] = tus.VERSION
    return response
