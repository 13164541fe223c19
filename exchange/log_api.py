"""The transparency log, readable by anybody: C2SP tlog-tiles over HTTP.

  GET /log/checkpoint                       the latest signed checkpoint (a signed note)
  GET /log/tile/<L>/<N>[.p/<W>]             hashes
  GET /log/tile/entries/<N>[.p/<W>]         entries: salted commitments only, no personal data

No credentials: a log that is shown only to some can be shown differently to each. A full tile never changes and says
so; a partial one is the beginning of a wider one, so any width that the log has reached is served from what is stored.
What is not spelled exactly as the text prescribes, or is not reached yet, is 404.

Not here: writing (`registry.log`), witnesses (`POST /add-checkpoint` is a later issue).
"""

from typing import Final

from fastapi import APIRouter, Response

from exchange import problems
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import log, tiles

_NOTE: Final = "text/plain; charset=utf-8"
_TILE: Final = "application/octet-stream"
_FULL: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_PARTIAL: Final = {"Cache-Control": "public, max-age=3600"}
_CHECKPOINT: Final = {"Cache-Control": "no-cache"}  # a newer one follows within a second of any entry
_BYTES: Final = {"content": {_TILE: {"schema": {"type": "string", "format": "binary"}}}}


def build_router(home: Home) -> APIRouter:
    """Build the public routes of the log over an installation."""
    router = APIRouter(prefix="/log", tags=["log"])

    @router.get(
        "/checkpoint",
        summary="Latest signed checkpoint",
        response_class=Response,
        responses={200: {"content": {_NOTE: {"schema": {"type": "string"}}}}, **problems.responses(404, 503)},
    )
    def checkpoint() -> Response:
        """Give the signed note: origin, size, root, and a signature line for each key."""
        with home.database.transaction() as tx:
            latest = log.latest_checkpoint(tx)
        if latest is None:
            raise RequestRefused("not-found", "the log has no entry yet")
        return Response(latest.note, media_type=_NOTE, headers=_CHECKPOINT)

    @router.get(
        "/tile/{path:path}",
        summary="Tile of hashes or of entries",
        response_class=Response,
        responses={200: _BYTES, **problems.responses(404, 503)},
    )
    def tile(path: str) -> Response:
        """Give a tile: `<level>/<index>` or `entries/<index>`, with `.p/<width>` for a partial one."""
        try:
            level, index, width = tiles.parse_tile_path(f"tile/{path}")
        except ValueError as error:
            raise RequestRefused("not-found") from error
        with home.database.transaction() as tx:
            content = log.tile(tx, level, index, width)
        if content is None:
            raise RequestRefused("not-found")
        return Response(content, media_type=_TILE, headers=_FULL if width == tiles.WIDTH else _PARTIAL)

    return router
