"""A system that calls the exchange: OAuth over HTTP, the same for lenders, agencies and regulators.

It does what the texts ask of a client, from a library that the exchange does not share for it:
  * finds the token endpoint in the issuer's metadata (RFC 8414)
  * proves itself with an assertion signed by its registered key (private_key_jwt, RFC 7523), `aud` the issuer
  * binds the token to a key of its own and proves it in every call (DPoP, RFC 9449: htm, htu, iat, jti, ath)
  * keeps a token until shortly before it expires, and asks for another once when it is refused

What is asked for stands in `sandbox.lender` and `sandbox.agency`. Nothing of a person stands in an error or
representation here.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey

Json = Mapping[str, Any]

ASSERTION_SECONDS: Final = 60
EARLY_SECONDS: Final = 20  # a token this near its end is not used any more
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_UNAUTHORIZED: Final = 401


class Refused(Exception):
    """The exchange answered with a problem (RFC 9457), or with an OAuth error; `status` is that of HTTP.

    `retry_after_seconds` is what the answer's Retry-After says, if it says a number of seconds.
    """

    def __init__(self, status: int, problem: Json, retry_after: str = "") -> None:
        self.status = status
        self.problem = problem
        self.retry_after_seconds = int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        super().__init__(f"{status} {self.code}")

    @property
    def code(self) -> str:
        """The published reason: the problem's `code`, else the end of its type, else the OAuth error."""
        for name in ("code", "error"):
            if isinstance(value := self.problem.get(name), str):
                return value
        return str(self.problem.get("type", "about:blank")).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Client:
    """Who this system is: the id under which it is registered, and its private key (ES256)."""

    client_id: str
    key: ECKey = field(repr=False)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys to register with the exchange (RFC 7517)."""
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "kid": self.key.thumbprint(), "alg": "ES256", "use": "sig"}]}

    def private_jwk(self) -> dict[str, Any]:
        """The private key, to be kept by the bank; `client_of` reads it back."""
        return dict(self.key.as_dict(private=True))


def new_client(client_id: str) -> Client:
    """Make a client with a fresh ES256 key pair."""
    return Client(client_id, ECKey.generate_key("P-256"))


def client_of(client_id: str, private_jwk: Json) -> Client:
    """Read a client back from its private key."""
    return Client(client_id, ECKey.import_key(dict(private_jwk)))


class Caller:
    """A session of one registered client with one exchange; not to be shared between threads.

    Args:
        issuer: the exchange's public address: `aud` of assertions and the start of every `htu`.
        client: who calls.
        scope: what its token is to open.
        http: how the exchange is reached, when not directly at `issuer` (a proxy, a test); the caller closes it.
        clock: seconds since 1970.
        pause: waits a number of seconds.
    """

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        scope: str,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.issuer = issuer.rstrip("/")
        self._client = client
        self._scope = scope
        self._own_http = http is None
        self._http = http or httpx.Client(base_url=self.issuer, timeout=30.0)
        self._clock = clock
        self._pause = pause
        self._proof_key = ECKey.generate_key("P-256")
        self._token = ""
        self._token_until = 0.0
        self._metadata: Json = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless it was handed in."""
        if self._own_http:
            self._http.close()

    def credentials(self) -> tuple[str, ECKey]:
        """Give a fresh access token and the key that its proofs must be signed with; for load generators."""
        return self._fetch_token(), self._proof_key

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: Json | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call with a bound token; once more with a new token when the one kept is refused.

        Raises:
            Refused: the exchange answered with a problem.
            httpx.HTTPError: the exchange was not reached, or broke off.
        """
        kept = self._clock() < self._token_until - EARLY_SECONDS
        while True:
            token = self._token if kept else self._fetch_token()
            response = self._http.request(
                method,
                path,
                json=json_body,
                content=content,
                params=params,
                headers={
                    **(headers or {}),
                    "Authorization": f"DPoP {token}",
                    "DPoP": self._proof(method, path, token),
                },
            )
            if response.status_code == _UNAUTHORIZED and kept:
                kept = False
                continue
            return checked(response)

    def _fetch_token(self) -> str:
        """Ask the token endpoint for a token bound to the proof key, and keep it."""
        asked_at = self._clock()
        path = self.metadata_path("token_endpoint")
        response = self.post_form(path, {"grant_type": "client_credentials", "scope": self._scope})
        granted = checked(response).json()
        self._token = str(granted["access_token"])
        self._token_until = asked_at + float(granted["expires_in"])
        return self._token

    @property
    def client_id(self) -> str:
        """Under which id this system is registered."""
        return self._client.client_id

    def metadata_path(self, name: str) -> str:
        """Give the path of an endpoint that the exchange's metadata (RFC 8414) names; they are read once.

        Raises:
            Refused: the metadata are another issuer's (§3.3), or could not be had.
        """
        if not self._metadata:
            found = checked(self._http.get("/.well-known/oauth-authorization-server")).json()
            if found.get("issuer") != self.issuer:
                raise Refused(502, {"code": "metadata-of-another-issuer"})
            self._metadata = found
        return str(self._metadata[name]).removeprefix(self.issuer)

    def post_form(self, path: str, fields: Mapping[str, str]) -> httpx.Response:
        """Post a form as this client: with an assertion and a proof by the proof key, both fresh."""
        return self._http.post(
            path,
            data={**fields, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": self._assertion()},
            headers={"DPoP": self._proof("POST", path, None)},
        )

    def _assertion(self) -> str:
        now = int(self._clock())
        return jwt.encode(
            {"alg": "ES256", "kid": self._client.key.thumbprint()},
            {
                "iss": self._client.client_id,
                "sub": self._client.client_id,
                "aud": self.issuer,
                "jti": str(uuid4()),
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            },
            self._client.key,
        )

    def _proof(self, method: str, path: str, token: str | None) -> str:
        claims: dict[str, Any] = {
            "htm": method,
            "htu": f"{self.issuer}{path}",
            "iat": int(self._clock()),
            "jti": str(uuid4()),
        }
        if token is not None:
            # RFC 9449 `ath` and the RFC 7636 challenge are one function: base64url(SHA-256(ASCII))
            claims["ath"] = create_s256_code_challenge(token)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._proof_key.as_dict(private=False)}
        return jwt.encode(header, claims, self._proof_key)


def checked(response: httpx.Response) -> httpx.Response:
    """Return a response that is no refusal.

    Raises:
        Refused: the exchange answered with a problem.
    """
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    told = problem if isinstance(problem, dict) else {}
    raise Refused(response.status_code, told, response.headers.get("Retry-After", ""))
