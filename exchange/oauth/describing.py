"""How the OpenAPI describes the endpoints of the authorization server: what comes in, what is answered.

Written by hand, for the routes are plain ones (`endpoints.token_route`). Members that a client certificate stands for
(docs/fapi.md) are not required; whichever way a client proves itself, it is one.
"""

from collections.abc import Mapping
from typing import Any, Final

from exchange.oauth import tokens
from exchange.oauth.authenticating import ASSERTION_TYPE

JSON: Final = "application/json"
_TEXT: Final = {"type": "string"}
_SECONDS: Final = {"type": "integer"}
_DETAILS: Final = {"type": "array", "items": {"type": "object"}, "description": "of a person's agreement (RFC 9396)"}
_TYPE: Final = {"type": "string", "enum": sorted(tokens.TYPES.values())}
PROVING: Final[dict[str, Any]] = {
    "client_id": {"type": "string", "description": "needed with a client certificate (RFC 8705 §2)"},
    "client_assertion_type": {
        "type": "string",
        "const": ASSERTION_TYPE,
        "description": "with client_assertion",
    },
    "client_assertion": {
        "type": "string",
        "description": "JWT by your registered key, `aud` is the issuer; left out if a client certificate proves you",
    },
}
DPOP: Final[dict[str, Any]] = {
    "name": "DPoP",
    "in": "header",
    "required": False,
    "description": "RFC 9449: the proof; left out if the token is to be bound to your client certificate",
    "schema": _TEXT,
}
ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": _TEXT, "error_description": _TEXT},
}
TOKEN: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": _TEXT,
        "token_type": _TYPE | {"description": "DPoP; Bearer if it is bound to a certificate"},
        "expires_in": {"type": "integer", "const": tokens.LIFETIME_SECONDS},
        "scope": _TEXT,
        "authorization_details": _DETAILS,
        "grant_id": {"type": "string", "description": "with authorization_code: the consent"},
        "nonce": {"type": "string", "description": "as it was pushed"},
    },
}
PUSHED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["request_uri", "expires_in"],
    "properties": {"request_uri": _TEXT, "expires_in": {"type": "integer"}},
}
INTROSPECTED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["active"],
    "properties": {
        "active": {"type": "boolean", "description": "false: nothing else is said"},
        **dict.fromkeys(("iss", "aud", "sub", "client_id", "scope", "jti"), _TEXT),
        "token_type": _TYPE,
        **dict.fromkeys(("iat", "exp"), _SECONDS),
        "cnf": {
            "type": "object",
            "properties": dict.fromkeys((tokens.JKT, tokens.X5T), _TEXT),
            "description": "what it is bound to",
        },
        "authorization_details": _DETAILS,
    },
}
_ERROR_EXAMPLE: Final = {"error": "invalid_client", "error_description": "client assertion: used before"}


def form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a body that is a form."""
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": dict(schema)}}}


def answer(description: str, schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an answer."""
    return {"description": description, "content": {JSON: {"schema": dict(schema), "example": dict(example)}}}


def errors(too_much: str = "too many at once") -> dict[str, Any]:
    """Describe the answers of whoever is refused, the same at every endpoint."""
    slow = f"{too_much}; `Retry-After` says how long to wait"
    waits = {
        "Retry-After": {"schema": {"type": "integer"}, "description": "in seconds"},
        "RateLimit-Policy": {"schema": {"type": "string"}, "description": "the pace, where the client is proven"},
        "RateLimit": {"schema": {"type": "string"}, "description": "what is left of it"},
    }
    busy = {"error": "temporarily_unavailable", "error_description": "too many requests of yours at once"}
    return {
        "400": answer("RFC 6749 §5.2", ERROR, _ERROR_EXAMPLE | {"error": "invalid_request"}),
        "401": answer("client not proven", ERROR, _ERROR_EXAMPLE),
        "429": answer(slow, ERROR, busy) | {"headers": waits},
    }
