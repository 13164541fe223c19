"""The public doors of the authorization server: token endpoint, keys, metadata.

The token endpoint answers as RFC 6749 §5 says, errors too, so that any OAuth client understands it;
every other door answers with problems (RFC 9457). Nothing it sends may be stored by anyone between.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from exchange.batching import Together
from exchange.errors import RequestRefused
from exchange.oauth import form, spending, tokens
from exchange.oauth.clients import Directory, NotRemembered
from exchange.oauth.profile import JWKS_PATH, TOKEN_PATH, Profile
from exchange.oauth.server import Answer, TokenRequest, TokenServer
from registry import clock
from registry.database import Database

_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FOR_AN_HOUR: Final = {"Cache-Control": "public, max-age=3600"}
_FOR_FIVE_MINUTES: Final = {"Cache-Control": "public, max-age=300"}

_FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["grant_type", "client_assertion_type", "client_assertion"],
    "properties": {
        "grant_type": {"type": "string", "const": "client_credentials"},
        "client_assertion_type": {
            "type": "string",
            "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        "client_assertion": {"type": "string", "description": "JWT by your registered key; `aud` is the issuer"},
        "scope": {"type": "string", "example": "queries"},
        "resource": {"type": "string", "description": "RFC 8707; only our own"},
    },
}
_TOKEN_EXAMPLE: Final = {
    "access_token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.eyJpc3MiOiIuLi4ifQ.c2lnbmF0dXJl",
    "token_type": "DPoP",
    "expires_in": tokens.LIFETIME_SECONDS,
    "scope": "queries",
}
_ERROR_EXAMPLE: Final = {"error": "invalid_client", "error_description": "client assertion: used before"}


TOKEN_OPERATION: Final[dict[str, Any]] = {
    "summary": "Get an access token",
    "description": "Grant `client_credentials`, client authentication `private_key_jwt`, with a DPoP proof always.",
    "tags": ["oauth"],
    "operationId": "token",
    "parameters": [{"name": "DPoP", "in": "header", "required": True, "schema": {"type": "string"}}],
    "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM_SCHEMA}}},
    "responses": {
        "200": {"description": "a DPoP-bound token", "content": {"application/json": {"example": _TOKEN_EXAMPLE}}},
        "400": {"description": "RFC 6749 §5.2", "content": {"application/json": {"example": _ERROR_EXAMPLE}}},
        "401": {"description": "client not proven", "content": {"application/json": {"example": _ERROR_EXAMPLE}}},
    },
}


def token_route(profile: Profile, keys: tokens.TokenKeys, database: Database) -> Route:
    """Return the token endpoint's route.

    A plain route, for FastAPI has nothing to read or write here and would take as long as a signature for it; its
    description is `TOKEN_OPERATION`.
    """
    issuer = tokens.Issuer(profile.issuer, profile.resource, keys)
    server = TokenServer(profile, issuer, directory=Directory(database))

    def spend_all(batch: Sequence[spending.Issue]) -> list[spending.Outcome]:
        with database.transaction() as tx:
            return spending.issue(tx, batch)

    spend = Together(spend_all)

    async def token(request: Request) -> Response:
        request.scope["route"] = route  # as FastAPI's own routes do; journal and metrics name it
        body = await request.body()
        try:
            asked = _read(request, body, profile.token_endpoint)
        except RequestRefused as error:
            return _response(Answer(400, {"error": "invalid_request", "error_description": str(error)}, ()))
        try:
            answer = server.answer(asked)
        except NotRemembered:
            asked.may_wait = True
            answer = await run_in_threadpool(server.answer, asked)
        if asked.issue is not None:
            answer = server.settle(answer, asked.issue, await spend(asked.issue))
        request.state.oauth_error = answer.error
        return _response(answer)

    route = Route(TOKEN_PATH, token, methods=["POST"])
    return route


def build_router(profile: Profile, keys: tokens.TokenKeys) -> APIRouter:
    """Return the router with keys and metadata."""
    router = APIRouter(tags=["oauth"])

    @router.get(JWKS_PATH, summary="Public keys that access tokens are signed with", response_class=Response)
    def jwks() -> Response:
        """Return a JWK set."""
        return _json(keys.jwks(now=clock.now()), _FOR_FIVE_MINUTES)

    @router.get(profile.metadata_path, summary="Authorization server metadata (RFC 8414)", response_class=Response)
    def metadata() -> Response:
        """Return the metadata."""
        return _json(profile.metadata(), _FOR_AN_HOUR)

    return router


def _read(request: Request, body: bytes, endpoint: str) -> TokenRequest:
    if request.scope["query_string"]:
        raise RequestRefused("request-malformed", "parameters belong in the body, not in the address")
    if "authorization" in request.headers:
        raise RequestRefused("request-malformed", "one way of client authentication only")
    parameters = form.read(request.headers.get("content-type"), body)
    return TokenRequest(endpoint, parameters, request.headers.getlist("dpop"), now=clock.now())


def _json(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)


def _response(answer: Answer) -> Response:
    headers = {**_NO_STORE, **dict(answer.headers)}
    return Response(orjson.dumps(answer.body), answer.status, headers)
