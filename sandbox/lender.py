"""A bank's system (贷款机构) as the exchange meets it: OAuth over HTTP and nothing else.

It does what the texts ask of a client, from a library that the exchange does not share for it:
  * finds the token endpoint in the issuer's metadata (RFC 8414)
  * proves itself with an assertion signed by its registered key (private_key_jwt, RFC 7523), `aud` the issuer
  * binds the token to a key of its own and proves it in every call (DPoP, RFC 9449: htm, htu, iat, jti, ath)
  * keeps a token until shortly before it expires, and asks for another once when it is refused
  * sends an `Idempotency-Key` with every query, and waits when evidence is not ready (202, Retry-After)

A regulator's system (监管部门) is the same client with another scope. Identifiers go in the body, never in a URL,
and stand in no error or representation here. Evidence is not verified here: `qingqiao verify` does that offline;
`signed_by` checks the signature of an answer.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote
from uuid import uuid4

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

Json = Mapping[str, Any]

LENDER_SCOPE: Final = "queries"
REGULATOR_SCOPE: Final = "audit:read"
ASSERTION_SECONDS: Final = 60
EARLY_SECONDS: Final = 20  # a token this near its end is not used any more
EVIDENCE_PATIENCE_SECONDS: Final = 30.0
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_UNAUTHORIZED: Final = 401
_NOT_YET: Final = 202


class Refused(Exception):
    """The exchange answered with a problem (RFC 9457), or with an OAuth error; `status` is that of HTTP."""

    def __init__(self, status: int, problem: Json) -> None:
        self.status = status
        self.problem = problem
        super().__init__(f"{status} {self.code}")

    @property
    def code(self) -> str:
        """The published reason: the problem's `code`, else the end of its type, else the OAuth error."""
        for name in ("code", "error"):
            if isinstance(value := self.problem.get(name), str):
                return value
        return str(self.problem.get("type", "about:blank")).rstrip("/").rpartition("/")[2]


class NotReady(Exception):
    """No checkpoint covered the query within the time that the client was willing to wait."""


@dataclass(frozen=True)
class Answer:
    """A permitted query: what was served, and the exchange's signature over its canonical bytes."""

    answer: Json = field(repr=False)
    signature: str
    idempotency_key: str

    @property
    def query_id(self) -> str:
        """The number under which evidence is fetched."""
        return str(self.answer["query_id"])


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


class Lender:
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
        scope: str = LENDER_SCOPE,
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
        self._token_path = ""

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

    def query(  # noqa: PLR0913  # what a query states
        self,
        subject_kind: Literal["resident_id", "uscc"],
        identifier: str,
        *,
        purpose: str,
        business_no: str,
        items: Sequence[str] | None = None,
        mode: Literal["verify", "summary"] = "summary",
        claims: Sequence[Json] | None = None,
        staff: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Ask for one subject (POST /v1/queries).

        Args:
            subject_kind: what `identifier` is.
            identifier: the resident ID or credit code; sent in the body.
            purpose: a published purpose, such as LOAN_APPROVAL.
            business_no: the bank's own number of the application.
            items: "SUBSIDY.amount_paid" and the like, or a class; without them all that the consent covers.
            mode: how much is wanted.
            claims: with mode verify, what is to be answered yes or no: `item`, `relation` and `value` each.
            staff: `user_id` and `department` of the person who asks.
            idempotency_key: the key of an earlier call to be repeated; a fresh one otherwise.

        Raises:
            Refused: with the published reason code.
            httpx.HTTPError: the exchange was not reached. Ask again with the same key.
        """
        key = idempotency_key or str(uuid4())
        body: dict[str, Any] = {
            "subject": {"type": subject_kind, "identifier": identifier},
            "purpose": purpose,
            "business_no": business_no,
            "mode": mode,
        }
        if items is not None:
            body["items"] = list(items)
        if claims is not None:
            body["claims"] = [dict(claim) for claim in claims]
        if staff is not None:
            body["staff"] = dict(staff)
        reply = self._call("POST", "/v1/queries", json_body=body, headers={"Idempotency-Key": key}).json()
        return Answer(reply["answer"], reply["signature"], key)

    def evidence(
        self,
        query_id: str,
        form: Literal["full", "redacted"] = "full",
        *,
        patience_seconds: float = EVIDENCE_PATIENCE_SECONDS,
    ) -> bytes:
        """Fetch the evidence of a query as it is served, waiting until a checkpoint covers it.

        Raises:
            Refused: not this client's query, or no longer to be had.
            NotReady: still 202 when patience ran out.
        """
        waited = 0.0
        while True:
            path = f"/v1/queries/{quote(query_id, safe='')}/evidence"
            response = self._call("GET", path, params={"form": form})
            if response.status_code != _NOT_YET:
                return response.content
            if waited >= patience_seconds:
                raise NotReady(f"query {query_id} is not covered by a checkpoint after {waited:.0f} s")
            delay = min(float(response.headers.get("Retry-After", "1")), max(patience_seconds - waited, 0.1))
            self._pause(delay)
            waited += delay

    def events(self, **filters: str) -> Json:
        """Read one page of the audit trail (GET /audit/v1/events); for a regulator's client.

        Raises:
            Refused: the client has no such scope, or a filter is not understood.
        """
        page: Json = self._call("GET", "/audit/v1/events", params=filters).json()
        return page

    def credentials(self) -> tuple[str, ECKey]:
        """Give a fresh access token and the key that its proofs must be signed with; for load generators."""
        return self._fetch_token(), self._proof_key

    def _call(
        self,
        method: str,
        path: str,
        *,
        json_body: Json | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call with a bound token; once more with a new token when the one kept is refused."""
        kept = self._clock() < self._token_until - EARLY_SECONDS
        while True:
            token = self._token if kept else self._fetch_token()
            response = self._http.request(
                method,
                path,
                json=json_body,
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
            return _checked(response)

    def _fetch_token(self) -> str:
        """Ask the token endpoint for a token bound to the proof key, and keep it."""
        if not self._token_path:
            found = _checked(self._http.get("/.well-known/oauth-authorization-server")).json()
            if found.get("issuer") != self.issuer:  # RFC 8414 §3.3
                raise Refused(502, {"code": "metadata-of-another-issuer"})
            self._token_path = str(found["token_endpoint"]).removeprefix(self.issuer)
        asked_at = self._clock()
        response = self._http.post(
            self._token_path,
            data={
                "grant_type": "client_credentials",
                "scope": self._scope,
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": self._assertion(),
            },
            headers={"DPoP": self._proof("POST", self._token_path, None)},
        )
        granted = _checked(response).json()
        self._token = str(granted["access_token"])
        self._token_until = asked_at + float(granted["expires_in"])
        return self._token

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


def signed_by(answer: Answer, public_keys: Mapping[str, str]) -> bool:
    """Say whether the answer is signed with a key from the trust policy.

    The signed bytes are the canonical JSON (RFC 8785) of the answer: keys sorted, no blanks; its numbers are whole.

    Args:
        answer: as it was served.
        public_keys: by key id, the base64url of 32 bytes of Ed25519, obtained apart from the exchange.
    """
    header, _, signature = answer.signature.partition("..")
    text = json.dumps(answer.answer, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    payload = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    try:
        signed = f"{header}.{payload}.{signature}".encode()
        key_id = str(jws.extract_compact(signed).headers().get("kid"))
        if key_id not in public_keys:
            return False
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public_keys[key_id]})
        jws.deserialize_compact(signed, key, algorithms=["Ed25519"])
    except (JoseError, ValueError):
        return False
    return True


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    raise Refused(response.status_code, problem if isinstance(problem, dict) else {})
