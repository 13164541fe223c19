"""How a client proves itself to the platform: OAuth 2.0 client credentials, and bearer tokens that end.

client_secret_basic (RFC 6749 §2.3.1) or private_key_jwt (RFC 7523): a client uses what its own rules allow. The fault
AUTH_EXPIRED spoils so many tokens, each when it is used; without a number it refuses the client too.
"""

import contextlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.agencies.faults import Fault, Faults

CLIENT_ID: Final = "qingqiao"
TOKEN_SECONDS: Final = 600
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Tokens:
    """The token endpoint of one platform with one registered client.

    `secret` and `key` (the private key, ES256) are the client's, made here and handed over as at a registration desk.
    """

    def __init__(self, faults: Faults, clock: Callable[[], float]) -> None:
        self.secret = uuid4().hex
        self.key = ECKey.generate_key("P-256")
        self._faults = faults
        self._clock = clock
        self._until: dict[str, float] = {}
        self._used: set[str] = set()

    @property
    def private_key(self) -> str:
        """The client's private key as a credential: base64url of its 32 bytes (`d` of RFC 7518 §6.2.2)."""
        return str(self.key.as_dict(private=True)["d"])

    async def grant(self, request: Request, issuer: str) -> Response:
        """Answer a request for a token; `issuer` is the platform's address, as outsiders know it."""
        given = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if given.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        expired = self._faults.is_on(Fault.AUTH_EXPIRED)
        if (expired is not None and expired.times is None) or not self._is_client(request, given, issuer):
            return JSONResponse({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        token = uuid4().hex
        self._until[token] = self._clock() + TOKEN_SECONDS
        said = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        return JSONResponse(said, headers={"Cache-Control": "no-store"})

    def allows(self, request: Request) -> bool:
        """Say whether the request carries a token that is good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self._until.get(token, 0) <= self._clock():
            return False
        if self._faults.strikes(Fault.AUTH_EXPIRED):
            del self._until[token]
            return False
        return True

    def _is_client(self, request: Request, given: Mapping[str, str], issuer: str) -> bool:
        if given.get("client_assertion_type") == _ASSERTION_TYPE:
            return self._is_signed(given.get("client_assertion", ""), issuer)
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        with contextlib.suppress(ValueError):
            return b64decode(encoded, validate=True).decode() == f"{CLIENT_ID}:{self.secret}"
        return False

    def _is_signed(self, assertion: str, issuer: str) -> bool:
        try:
            claims = jwt.decode(assertion, self.key, algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return False
        audience, number = claims.get("aud"), str(claims.get("jti"))
        meant = {audience} if isinstance(audience, str) else set(audience or ())
        if claims.get("sub") != CLIENT_ID or claims.get("iss") != CLIENT_ID or number in self._used:
            return False
        if self._clock() >= float(claims.get("exp", 0)) or not meant & {issuer, f"{issuer}/oauth/token"}:
            return False
        self._used.add(number)
        return True
