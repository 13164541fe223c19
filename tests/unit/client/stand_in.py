"""A stand-in exchange that reads what it is sent, strictly, by the RFCs, and answers what a test puts in."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson
from joserfc import jws, jwt
from joserfc.jwk import ECKey, JWKRegistry

from exchange.client import Client, Lender, Retrying, Subject, new_client
from registry.canonical import canonical
from registry.suites import sha256

ISSUER = "https://exchange.example"
IDENTIFIER = "630222199901010001"
PERSON = Subject.person(IDENTIFIER)
ALGORITHMS = ["ES256", "Ed25519", "PS256"]
Answering = httpx.Response | httpx.TransportError | Callable[[httpx.Request], httpx.Response]


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


class Exchange:
    """It checks each proof and assertion. `answers` are given one by one; `ahead` is how far its clock is off."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or new_client("bank-a")
        self.now = 1_700_000_000.0
        self.ahead = 0.0
        self.tells_the_time = False
        self.tokens_issued = 0
        self.expires_in = 600
        self.seen: set[str] = set()
        self.bound_to = ""
        self.requests: list[httpx.Request] = []
        self.forms: list[dict[str, list[str]]] = []
        self.answers: list[Answering] = []
        self.form_answers: list[httpx.Response] = []
        self.pauses: list[float] = []
        self.metadata: dict[str, str] = {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/oauth/token",
            "pushed_authorization_request_endpoint": f"{ISSUER}/oauth/par",
            "authorization_endpoint": f"{ISSUER}/oauth/authorize",
            "introspection_endpoint": f"{ISSUER}/oauth/introspect",
            "revocation_endpoint": f"{ISSUER}/oauth/revoke",
        }

    def lender(self, **options: Any) -> Lender:
        http = httpx.Client(transport=httpx.MockTransport(self.handle), base_url="https://inside.example:9000")
        options.setdefault("retrying", Retrying(chance=lambda: 0.0))
        return Lender(ISSUER, self.client, http=http, clock=lambda: self.now, pause=self.wait, **options)

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def handle(self, request: httpx.Request) -> httpx.Response:
        answer = self.answer(request)
        if self.tells_the_time:
            answer.headers["Date"] = formatdate(self.now + self.ahead, usegmt=True)
        return answer

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        if path == "/.well-known/oauth-authorization-server":
            return httpx.Response(200, json=self.metadata)
        if path.startswith("/oauth/"):
            return self.form(request, path)
        if self.proven(request, path) != self.bound_to:
            return httpx.Response(401, json={"code": "proof-invalid"})
        self.requests.append(request)
        given = self.answers.pop(0)
        if isinstance(given, httpx.TransportError):
            raise given
        return given if isinstance(given, httpx.Response) else given(request)

    def proven(self, request: httpx.Request, path: str) -> str:
        """Check a proof, and give its key's thumbprint; "" if its moment does not do."""
        (text,) = request.headers.get_list("DPoP")
        header = jws.extract_compact(text.encode()).headers()
        assert header["typ"] == "dpop+jwt"
        assert "d" not in header["jwk"]
        key = ECKey.import_key(header["jwk"])
        claims = jwt.decode(text, key, algorithms=["ES256"]).claims
        assert claims["htm"] == request.method
        assert claims["htu"] == f"{ISSUER}{path}"
        assert claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        if not path.startswith("/oauth/"):
            scheme, token = request.headers["Authorization"].split(" ")
            assert scheme == "DPoP"
            assert claims["ath"] == b64url(sha256(token.encode()))
        return key.thumbprint() if abs(claims["iat"] - self.now - self.ahead) <= 10 else ""

    def form(self, request: httpx.Request, path: str) -> httpx.Response:
        form = parse_qs(request.content.decode())
        (assertion,) = form["client_assertion"]
        registered = JWKRegistry.import_key(self.client.jwks["keys"][0])
        claims = jwt.decode(assertion, registered, algorithms=ALGORITHMS).claims
        assert claims["iss"] == claims["sub"] == self.client.client_id
        assert claims["aud"] == ISSUER
        assert claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        self.forms.append(form)
        if abs(claims["iat"] - self.now - self.ahead) > 10:
            return httpx.Response(401, json={"error": "invalid_client"})
        if path in {"/oauth/introspect", "/oauth/revoke"}:
            return self.form_answers.pop(0)
        thumbprint = self.proven(request, path)
        if path == "/oauth/par" or form["grant_type"] != ["client_credentials"]:
            return self.form_answers.pop(0)
        self.bound_to = thumbprint
        self.tokens_issued += 1
        body = {"access_token": f"token-{self.tokens_issued}", "token_type": "DPoP", "expires_in": self.expires_in}
        return httpx.Response(200, json=body)


def permitted(request: httpx.Request) -> httpx.Response:
    """Answer a question as the exchange would: for this question, by its salted digest."""
    body = canonical(orjson.loads(request.content))
    digest = sha256(b"qq-request\x00" + b"s" * 16 + body).hex()
    answer = {"query_id": "q-1", "request": {"salt": b64url(b"s" * 16), "sha256": digest}, "items": {}, "records": []}
    return httpx.Response(200, json={"answer": answer, "signature": "h..s"})


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    """Answer with a problem; headers by `retry_after`."""
    headers = {"Retry-After": str(more.pop("retry_after"))} if "retry_after" in more else {}
    return httpx.Response(status, json={"code": code, "status": status, **more}, headers=headers)
