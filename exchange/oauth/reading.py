"""How the endpoints of the authorization server read a form and write an answer, the same for all of them."""

from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from exchange.errors import RequestRefused
from exchange.oauth import form
from exchange.oauth.server import Answer

_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # nothing may be stored by anyone between


def parameters(request: Request, body: bytes) -> dict[str, str]:
    """Read the parameters of a POST.

    Raises:
        RequestRefused: not such a form, parameters in the address, or a second way of authentication.
    """
    if request.scope["query_string"]:
        raise RequestRefused("request-malformed", "parameters belong in the body, not in the address")
    if "authorization" in request.headers:
        raise RequestRefused("request-malformed", "one way of client authentication only")
    return form.read(request.headers.get("content-type"), body)


def response(answer: Answer) -> Response:
    """Write an answer, which nobody may store."""
    headers = {**dict(answer.headers), **_NO_STORE}
    headers.setdefault("Content-Type", "application/json")
    return Response(orjson.dumps(answer.body), answer.status, headers)
