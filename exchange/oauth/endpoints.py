"""The public doors of the authorization server: token endpoint, pushed requests, keys, metadata.

Token endpoint and pushed requests answer as RFC 6749 §5 says, errors too, so that any OAuth client understands them;
every other door answers with problems (RFC 9457). Nothing it sends may be stored by anyone between.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import Scope

from consent.errors import Fault
from exchange.batching import Together
from exchange.errors import RequestRefused
from exchange.oauth import codes, describing, grants, par, reading, spending, tokens
from exchange.oauth.certificates import shown_in
from exchange.oauth.clients import Directory, NotRemembered, unreached
from exchange.oauth.doors import Turn, taken
from exchange.oauth.par import URN
from exchange.oauth.profile import JWKS_PATH, PAR_PATH, TOKEN_PATH, Profile
from exchange.oauth.refused import ClientNotProven, InvalidAuthorizationDetails, InvalidGrantId, TooFast, TooManyPushed
from exchange.oauth.server import Answer, TokenRequest, TokenServer
from registry import clock
from registry.database import Database

OfClient = Callable[[str], Turn]  # counts a call of a client
_FOR_AN_HOUR: Final = {"Cache-Control": "public, max-age=3600"}
_FOR_FIVE_MINUTES: Final = {"Cache-Control": "public, max-age=300"}

_FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials", "authorization_code"]},
        "code": {"type": "string", "description": "with authorization_code: from the page, within 60 seconds, once"},
        "redirect_uri": {"type": "string", "description": "with authorization_code: as it was pushed"},
        "code_verifier": {"type": "string", "description": "with authorization_code: RFC 7636, S256"},
        **describing.PROVING,
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


TOKEN_OPERATION: Final[dict[str, Any]] = {
    "summary": "Get an access token",
    "description": "Grant `client_credentials` or `authorization_code`, client authentication `private_key_jwt` or a "
    "registered client certificate; the token is bound to the key of the DPoP proof, without one to the certificate.",
    "tags": ["oauth"],
    "operationId": "token",
    "parameters": [describing.DPOP],
    "requestBody": describing.form(_FORM_SCHEMA),
    "responses": {
        "200": describing.answer("a token that is bound", describing.TOKEN, _TOKEN_EXAMPLE),
        **describing.errors(),
    },
}


_PAR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": [
        "client_id", "response_type", "redirect_uri", "code_challenge", "code_challenge_method",
        "authorization_details",
    ],
    "properties": {
        **describing.PROVING,
        "client_id": {"type": "string"},
        "response_type": {"type": "string", "const": "code"},
        "redirect_uri": {"type": "string", "description": "one that the operator registered for you"},
        "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
        "code_challenge_method": {"type": "string", "const": "S256"},
        "authorization_details": {"type": "string", "description": "JSON: one object of type credit_data (RFC 9396)"},
        "dpop_jkt": {"type": "string", "description": "RFC 9449 §10; or a DPoP proof; or both; or a certificate"},
        "scope": {"type": "string"},
        "state": {"type": "string", "maxLength": 512},
        "nonce": {"type": "string", "maxLength": 512, "description": "comes back beside the token"},
        "resource": {"type": "string", "description": "RFC 8707; only our own"},
        "grant_management_action": {"type": "string", "enum": ["create", "replace"]},
        "grant_id": {"type": "string", "description": "with replace: the consent that this one takes the place of"},
    },
}  # fmt: skip
_PUSHED_EXAMPLE: Final = {"request_uri": f"{URN}6esc_11ACC5bwc014ltc14eY22c", "expires_in": par.LIFETIME_SECONDS}
PAR_OPERATION: Final[dict[str, Any]] = {
    "summary": "Push a request for a person's agreement (RFC 9126)",
    "description": "Client authentication `private_key_jwt` or a registered client certificate; PKCE S256; the code is "
    "bound to a DPoP key, or to the certificate. Send the person to `/oauth/authorize` with `client_id` and the "
    "`request_uri`.",
    "tags": ["oauth"],
    "operationId": "par",
    "parameters": [describing.DPOP | {"description": "RFC 9449: the proof; the code is bound to its key"}],
    "requestBody": describing.form(_PAR_SCHEMA),
    "responses": {
        "201": describing.answer("kept", describing.PUSHED, _PUSHED_EXAMPLE),
        **describing.errors("too many at once, or that have not ended"),
    },
}


def token_route(
    profile: Profile, keys: tokens.TokenKeys, database: Database, pace: OfClient = lambda _: Turn()
) -> Route:
    """Return the token endpoint's route.

    A plain route, for FastAPI has nothing to read or write here and would take as long as a signature for it; its
    description is `TOKEN_OPERATION`.
    """
    issuer = tokens.Issuer(profile.issuer, profile.resource, keys)

    def granted_by(code_digest: bytes) -> codes.Granted | None:
        with database.transaction() as tx:
            return codes.of_code(tx, code_digest)

    server = TokenServer(profile, issuer, directory=Directory(database), granted_by=granted_by)

    def spend_all(batch: Sequence[spending.Issue]) -> list[spending.Outcome]:
        if not any(one.redeem for one in batch):  # one statement is a transaction: two round trips fewer
            with database.statement() as tx:
                return spending.issue(tx, batch)
        with database.transaction() as tx:
            return codes.redeem(tx, batch, spending.issue(tx, batch))

    spend = Together(spend_all)

    async def token(request: Request) -> Response:
        body = await request.body()
        try:
            asked = _read(request, body, profile.token_endpoint)
        except RequestRefused as error:
            return reading.response(Answer(400, {"error": "invalid_request", "error_description": str(error)}, ()))
        try:
            answer = server.answer(asked)
        except NotRemembered:
            asked.may_wait = True
            answer = await run_in_threadpool(server.answer, asked)
        if asked.issue is not None:
            answer = server.settle(answer, asked.issue, await spend(asked.issue))
            if answer.error is None and asked.redeem is None:  # a code is had once; how many there are, `par` limits
                seconds = taken(pace(asked.client.client_id), request.scope)
                answer = answer if seconds is None else Answer(*TooFast(seconds)())
        request.state.oauth_error = answer.error
        return reading.response(answer)

    return Route(TOKEN_PATH, token, methods=["POST"])


def par_route(profile: Profile, database: Database, pace: OfClient = lambda _: Turn()) -> Route:
    """Return the route of pushed requests; its description is `PAR_OPERATION`."""
    directory = Directory(database)

    def push(parameters: Mapping[str, str], proofs: Sequence[str], scope: Scope) -> Answer:
        now, shown = clock.now(), shown_in(scope)
        try:
            pushed = par.read(
                parameters, proofs, directory=directory, profile=profile, now=now, may_wait=True, certificate=shown
            )
            with database.transaction() as tx:  # step 8; what is spent stays so, whatever becomes of the rest
                fresh = [spending.spend(tx, one) for one in sorted(pushed.spends, key=lambda one: one.digest)]
                unsaid = unreached(tx, pushed.client.organisation)
                organisation, purpose = pushed.client.organisation, pushed.wanted.purpose
                kept = grants.replaceable(tx, pushed.replaces, organisation, purpose, now=now)
                full = codes.full_for_seconds(tx, organisation, now=now)
                hasty = taken(pace(pushed.client.client_id), scope) if all(fresh) else None
                flood = _flood(hasty, full)
                sound = all(fresh) and not unsaid and kept and flood is None
                request_uri = codes.push(tx, pushed, now=now) if sound else None
            if not all(fresh):
                raise ClientNotProven(description="client assertion or DPoP proof: used before")
            if unsaid:  # nobody shall be asked by whom it cannot be told how to reach (个人信息保护法 §23)
                raise InvalidAuthorizationDetails(Fault.RECIPIENT_WITHOUT_CONTACT.value)
            if not kept:
                raise InvalidGrantId("grant_id: no grant of yours for this purpose that is in force")
            if flood is not None:
                raise flood
            if request_uri is None:
                directory.forget(pushed.client.client_id)
                raise InvalidRequestError("redirect_uri is not registered for this client, or its keys have changed")
        except OAuth2Error as error:
            return Answer(*error())
        return Answer(201, {"request_uri": request_uri, "expires_in": par.LIFETIME_SECONDS}, ())

    async def pushed(request: Request) -> Response:
        body = await request.body()
        try:
            parameters = reading.parameters(request, body)
        except RequestRefused as error:
            return reading.response(Answer(400, {"error": "invalid_request", "error_description": str(error)}, ()))
        answer = await run_in_threadpool(push, parameters, request.headers.getlist("dpop"), request.scope)
        request.state.oauth_error = answer.error
        return reading.response(answer)

    return Route(PAR_PATH, pushed, methods=["POST"])


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


def _flood(hasty: int | None, full: int | None) -> TooManyPushed | None:
    """Say what there is too much of, if the seconds to wait are known: requests at once, or that have not ended."""
    if hasty is not None:
        return TooFast(hasty)
    return None if full is None else TooManyPushed(full)


def _read(request: Request, body: bytes, endpoint: str) -> TokenRequest:
    return TokenRequest(
        endpoint,
        reading.parameters(request, body),
        request.headers.getlist("dpop"),
        now=clock.now(),
        certificate=shown_in(request.scope),
    )


def _json(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
