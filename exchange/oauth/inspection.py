"""What a token is worth now, and taking it back: introspection (RFC 7662) and revocation (RFC 7009).

Steps of both (the numbers are used in the code and the tests):
  1. the client proves itself, as at the token endpoint                      (invalid_client)
  2. the parameter `token` is there                                          (invalid_request)
  3. in one transaction: the assertion is spent, the client is active with the same keys; unless it comes too fast,
     the act                                                                 (temporarily_unavailable)

Introspection tells a client of its own tokens, with what they are bound to (`cnf`); every other token, one that has
ended, was taken back, or rests on a consent that has ended, is `{"active": false}` and nothing else. Revocation takes
back a token of the caller's own, in every process from the next request on; one that is not valid any more needs no
taking back, and is answered alike. There are no refresh tokens.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError, UnauthorizedClientError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from consent.grant import ENDED
from exchange.errors import RequestRefused, TokenRefused
from exchange.oauth import describing, reading, spending
from exchange.oauth.authenticating import authenticate
from exchange.oauth.certificates import shown_in
from exchange.oauth.clients import Directory, Registration
from exchange.oauth.doors import Turn, taken
from exchange.oauth.endpoints import OfClient
from exchange.oauth.profile import INTROSPECT_PATH, REVOKE_PATH, Profile
from exchange.oauth.refused import ClientNotProven, TooFast
from exchange.oauth.server import Answer
from exchange.oauth.spending import Spend
from exchange.oauth.tokens import TYPES, AccessToken, TokenKeys, Verifier
from registry import clock
from registry.database import Database, Transaction

INACTIVE: Final[Mapping[str, Any]] = {"active": False}
_STANDS: Final = (
    "SELECT NOT EXISTS (SELECT FROM revoked_token WHERE jti = %(jti)s)"
    " AND NOT EXISTS (SELECT FROM client WHERE client_id = %(client)s AND tokens_from >= %(issued)s)"
    " AND (%(consent)s::text IS NULL OR EXISTS"
    " (SELECT FROM consent WHERE consent_id = %(consent)s AND recipient = %(organisation)s AND state <> ALL(%(ended)s)"
    " AND valid_until > %(now)s))"
)
_Act = Callable[[Transaction, Registration, AccessToken | None, datetime], Answer]


def routes(profile: Profile, keys: TokenKeys, database: Database, pace: OfClient = lambda _: Turn()) -> list[Route]:
    """Return the routes of both endpoints; their descriptions are `INTROSPECTION` and `REVOCATION`."""
    directory, verifier = Directory(database), Verifier(profile.issuer, profile.resource, keys)

    def handled(form: Mapping[str, str], act: _Act, scope: Scope) -> Answer:
        now, shown = clock.now(), shown_in(scope)
        try:
            client, spent = authenticate(
                directory, form, issuer=profile.issuer, now=now, may_wait=True, certificate=shown
            )  # 1
            if "token" not in form:  # 2
                raise InvalidRequestError("token is missing")
            with database.transaction() as tx:  # 3
                refused = _refused(tx, directory, client, spent, lambda one: taken(pace(one), scope))
                if refused is None:
                    return act(tx, client, _read(verifier, form["token"], now), now)
            raise refused  # after the commit: the assertion stays used
        except OAuth2Error as error:
            return Answer(*error())

    def introspected(tx: Transaction, client: Registration, token: AccessToken | None, now: datetime) -> Answer:
        mine = token is not None and token.client_id == client.client_id
        if token is None or not mine or not _stands(tx, token, client, now):
            return Answer(200, dict(INACTIVE), ())
        return Answer(200, said_of(token, profile), ())

    def revoked(tx: Transaction, client: Registration, token: AccessToken | None, _: datetime) -> Answer:
        if token is not None:
            if token.client_id != client.client_id:  # told, not raised: the assertion stays used
                return Answer(*UnauthorizedClientError("the token is another client's")())
            spending.revoke(tx, token.jti, datetime.fromtimestamp(token.expires, UTC))
        return Answer(200, {}, ())

    return [_route(INTROSPECT_PATH, handled, introspected), _route(REVOKE_PATH, handled, revoked)]


def _refused(
    tx: Transaction,
    directory: Directory,
    client: Registration,
    spent: Spend | None,
    counted: Callable[[str], int | None],
) -> OAuth2Error | None:
    """Spend the assertion; say why nothing is done, if so. The pace counts whoever has proven itself alone."""
    fresh = spending.spend(tx, spent)
    if not (spending.stands(tx, client.client_id, client.jwks_text, client.certificate_text) and fresh):
        directory.forget(client.client_id)
        return ClientNotProven(description="client assertion: used before, or not signed with a registered key")
    seconds = counted(client.client_id)
    return None if seconds is None else TooFast(seconds)


def said_of(token: AccessToken, profile: Profile) -> dict[str, Any]:
    """Say what a token of ours is worth (RFC 7662 §2.2, RFC 9449 §6.2, RFC 9396 §9.2)."""
    said: dict[str, Any] = {
        "active": True,
        "iss": profile.issuer,
        "aud": profile.resource,
        "sub": token.client_id,
        "client_id": token.client_id,
        "scope": " ".join(sorted(token.scopes)),
        "token_type": TYPES[token.by],
        "iat": int(token.not_before),
        "exp": int(token.expires),
        "jti": token.jti,
        "cnf": {token.by: token.thumbprint},
    }
    return said if token.details is None else said | {"authorization_details": [dict(token.details)]}


def _stands(tx: Transaction, token: AccessToken, client: Registration, now: datetime) -> bool:
    row = tx.execute(
        _STANDS,
        {
            "jti": token.jti,
            "client": token.client_id,
            "issued": datetime.fromtimestamp(token.not_before, UTC),
            "consent": token.consent_id,
            "organisation": client.organisation,
            "ended": [state.value for state in ENDED],
            "now": now,
        },
    ).fetchone()
    return row is not None and bool(row[0])


def _read(verifier: Verifier, text: str, now: datetime) -> AccessToken | None:
    try:
        return verifier.verify(text, now=now)
    except TokenRefused:
        return None


def _route(path: str, handled: Callable[[Mapping[str, str], _Act, Scope], Answer], act: _Act) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            form = reading.parameters(request, body)
        except RequestRefused as error:
            return reading.response(Answer(400, {"error": "invalid_request", "error_description": str(error)}, ()))
        answer = await run_in_threadpool(handled, form, act, request.scope)
        request.state.oauth_error = answer.error
        return reading.response(answer)

    return Route(path, endpoint, methods=["POST"])


def _operation(summary: str, description: str, name: str, answer: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "token": {"type": "string"},
        "token_type_hint": {"type": "string", "description": "ignored: there is one kind"},
        **describing.PROVING,
    }
    return {
        "summary": summary,
        "description": description,
        "tags": ["oauth"],
        "operationId": name,
        "requestBody": describing.form({"type": "object", "required": ["token"], "properties": properties}),
        "responses": {"200": answer, **describing.errors()},
    }


INTROSPECTION: Final = _operation(
    "What a token is worth now (RFC 7662)",
    "Tells a client of its own tokens, with `cnf` and `authorization_details`; any other is inactive.",
    "introspect",
    describing.answer("active, or not", describing.INTROSPECTED, INACTIVE),
)
REVOCATION: Final = _operation(
    "Take a token back (RFC 7009)",
    "The token is refused everywhere from the next request on. A token that is not valid is answered alike.",
    "revoke",
    describing.answer("it is of no use any more", {"type": "object"}, {}),
)
