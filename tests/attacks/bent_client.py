"""The application called in process or over sockets, and clients whose every claim can be bent.

The clients sign with joserfc, not with our own code, so that a mistake on our side cannot agree with itself.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Self
from uuid import uuid4

import httpx
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from connectors import permits
from connectors.source import current
from consent.scope import recipient_name
from exchange.app import create_app
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock
from registry.canonical import b64url
from registry.suites import sha256
from tests.reachable import CONTACT

ISSUER = "https://exchange.example"
TOKEN_URL = f"{ISSUER}/oauth/token"
CATALOGUE_URL = f"{ISSUER}/v1/catalogue"
SOURCES = [one.source for one in current().sources]
ALL_ALGORITHMS = ["ES256", "PS256", "Ed25519", "EdDSA", "RS256", "HS256", "none"]
Key = ECKey | OKPKey | RSAKey
_PATIENCE_SECONDS = 60.0


class Door:
    """The application, called in process; entering it starts what its life needs."""

    def __init__(self, home: Home) -> None:
        self.app: FastAPI = create_app(home)

    def __enter__(self) -> Self:
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        self._runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _open(self) -> None:
        await self._stack.enter_async_context(self.app.router.lifespan_context(self.app))
        await self._call_by(httpx.ASGITransport(self.app))

    async def _call_by(self, transport: httpx.AsyncBaseTransport) -> None:
        client = httpx.AsyncClient(transport=transport, timeout=_PATIENCE_SECONDS)
        self._client = await self._stack.enter_async_context(client)

    def call(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send one request."""
        return self._runner.run(self._client.request(method, url, **more))

    def together(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Send several requests at the same time."""

        async def send() -> list[httpx.Response]:
            calls = (self._client.request(method, url, **more) for method, url, more in requests)
            return await asyncio.gather(*calls)

        return self._runner.run(send())


class Served(Door):
    """Web processes that listen on loopback, called over their sockets under the issuer's name: of several, in turn."""

    def __init__(self, *ports: int) -> None:
        self._ports = ports

    async def _open(self) -> None:
        await self._call_by(_InTurn(self._ports))


class _InTurn(httpx.AsyncHTTPTransport):
    """Send each request to the next port; all but the connection's address stays as the caller has it."""

    def __init__(self, ports: Collection[int]) -> None:
        super().__init__()
        self._next = cycle(ports)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=next(self._next))
        sent = httpx.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return await super().handle_async_request(sent)


@dataclass
class Caller:
    """A registered system. Everything it sends can be overridden, claim by claim; None leaves a claim out."""

    client_id: str
    key: Key = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1"}))
    proof_key: Key = field(default_factory=lambda: ECKey.generate_key("P-256"))
    algorithm: str = "ES256"

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def assertion(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        stated = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": uuid4().hex,
        }
        return sign(
            {"alg": self.algorithm, "typ": "JWT", "kid": self.key.kid} | dict(header or {}), stated | claims, self.key
        )

    def proof(self, method: str, url: str, token: str | None = None, **bent: Any) -> str:
        """Sign a proof; `header` and `key` may be given besides claims."""
        key = bent.pop("key", self.proof_key)
        header = {"alg": self.algorithm, "typ": "dpop+jwt", "jwk": key.as_dict(private=False)} | bent.pop("header", {})
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": uuid4().hex}
        if token is not None:
            claims["ath"] = b64url(sha256(token.encode()))
        return sign(header, claims | bent, key)

    def form(self, **fields: str | None) -> dict[str, str]:
        stated = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion() if "client_assertion" not in fields else None,
        }
        return {name: value for name, value in (stated | fields).items() if value is not None}

    def ask(self, door: Door, proof: str | None = None, **fields: str | None) -> httpx.Response:
        """Call the token endpoint."""
        headers = {"DPoP": proof or self.proof("POST", TOKEN_URL)}
        return door.call("POST", TOKEN_URL, data=self.form(**fields), headers=headers)

    def token(self, door: Door) -> str:
        """Get a token, or fail the test."""
        answer = self.ask(door)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def headers(self, method: str, url: str, token: str, **bent: Any) -> dict[str, str]:
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, url, token, **bent)}

    def get(self, door: Door, token: str, url: str = CATALOGUE_URL, **bent: Any) -> httpx.Response:
        return door.call("GET", url, headers=self.headers("GET", url, token, **bent))


class _Anything(JWSRegistry):
    """joserfc refuses to write headers that are wrong; an attacker does not."""

    def check_header(self, header: Mapping[str, Any]) -> None:
        """Take any header."""

    def get_alg(self, name: str) -> Any:
        """EdDSA is Ed25519's older name (RFC 9864); joserfc warns of it, older clients still send it."""
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


@dataclass(frozen=True)
class FromNow:
    """A moment so many seconds from when it is signed, not from when the test was collected."""

    seconds: int


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    now = int(time.time())
    stated = {
        name: now + value.seconds if isinstance(value, FromNow) else value
        for name, value in claims.items()
        if value is not None
    }
    named = {name: value for name, value in header.items() if value is not None}
    registry = _Anything(algorithms=ALL_ALGORITHMS)
    registry.max_header_length = 4096
    return jwt.encode(named, stated, key, registry=registry, default_type=None)


def registered(
    home: Home,
    caller: Caller,
    role: Role = Role.LENDER,
    organisation: str = "91630000MA0000000X",
    sources: Collection[str] | None = None,
) -> Caller:
    """Register a system; an agency's may deliver all sources unless some are named."""
    with home.database.transaction() as tx:
        clients.register(
            tx,
            caller.client_id,
            role=role,
            organisation=organisation,
            jwks=caller.jwks,
            now=clock.now(),
            same_organisation=True,
            contact=CONTACT if role is Role.LENDER else None,
        )
        if role is Role.AGENCY:
            name = recipient_name(organisation)
            permits.permit(tx, name, SOURCES if sources is None else sources, now=clock.now())
    return caller
