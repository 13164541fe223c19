"""The lender's client against a stand-in exchange that reads what it is sent, strictly, by the RFCs."""

import json
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey

from registry.suites import sha256
from sandbox.lender import EARLY_SECONDS, Answer, Lender, NotReady, Refused, client_of, new_client, signed_by

ISSUER = "https://exchange.example"
IDENTIFIER = "630222199901010001"


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


class Exchange:
    """A stand-in: it checks each proof and assertion, and answers with what a test puts in."""

    def __init__(self) -> None:
        self.client = new_client("bank-a")
        self.now = 1_700_000_000.0
        self.tokens_issued = 0
        self.expires_in = 600
        self.seen: set[str] = set()
        self.bound_to = ""
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response] = []
        self.pauses: list[float] = []

    def lender(self, **options: Any) -> Lender:
        http = httpx.Client(transport=httpx.MockTransport(self.handle), base_url="https://inside.example:9000")
        return Lender(ISSUER, self.client, http=http, clock=lambda: self.now, pause=self.pauses.append, **options)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/.well-known/oauth-authorization-server":
            return httpx.Response(200, json={"issuer": ISSUER, "token_endpoint": f"{ISSUER}/oauth/token"})
        thumbprint = self.check_proof(request, path)
        if path == "/oauth/token":
            return self.token(request, thumbprint)
        assert thumbprint == self.bound_to
        self.requests.append(request)
        return self.answers.pop(0)

    def check_proof(self, request: httpx.Request, path: str) -> str:
        (text,) = request.headers.get_list("DPoP")
        header = jws.extract_compact(text.encode()).headers()
        assert header["typ"] == "dpop+jwt"
        assert "d" not in header["jwk"]
        key = ECKey.import_key(header["jwk"])
        claims = jwt.decode(text, key, algorithms=["ES256"]).claims
        assert claims["htm"] == request.method
        assert claims["htu"] == f"{ISSUER}{path}"
        assert claims["iat"] == int(self.now)
        assert claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        if path != "/oauth/token":
            scheme, token = request.headers["Authorization"].split(" ")
            assert scheme == "DPoP"
            assert claims["ath"] == b64url(sha256(token.encode()))
        return key.thumbprint()

    def token(self, request: httpx.Request, thumbprint: str) -> httpx.Response:
        form = parse_qs(request.content.decode())
        (assertion,) = form["client_assertion"]
        claims = jwt.decode(assertion, ECKey.import_key(self.client.jwks["keys"][0]), algorithms=["ES256"]).claims
        assert form["grant_type"] == ["client_credentials"]
        assert claims["iss"] == claims["sub"] == "bank-a"
        assert claims["aud"] == ISSUER
        assert claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        self.bound_to = thumbprint
        self.tokens_issued += 1
        body = {"access_token": f"token-{self.tokens_issued}", "token_type": "DPoP", "expires_in": self.expires_in}
        return httpx.Response(200, json=body | {"scope": form["scope"][0]})


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def permitted() -> httpx.Response:
    return httpx.Response(200, json={"answer": {"query_id": "q-1"}, "signature": "h..s"})


def ask(lender: Lender, **more: Any) -> Answer:
    return lender.query("resident_id", IDENTIFIER, purpose="LOAN_APPROVAL", business_no="A-1", **more)


def test_a_query_carries_the_subject_in_its_body_only(exchange: Exchange) -> None:
    exchange.answers = [permitted()]
    answer = ask(exchange.lender(), items=["SUBSIDY.amount_paid"], staff={"user_id": "u1", "department": "d"})
    (request,) = exchange.requests
    assert json.loads(request.content) == {
        "subject": {"type": "resident_id", "identifier": IDENTIFIER},
        "purpose": "LOAN_APPROVAL",
        "business_no": "A-1",
        "mode": "summary",
        "items": ["SUBSIDY.amount_paid"],
        "staff": {"user_id": "u1", "department": "d"},
    }
    assert IDENTIFIER not in str(request.url)
    assert request.headers["Idempotency-Key"] == answer.idempotency_key
    assert answer.query_id == "q-1"


def test_a_token_serves_many_queries_until_it_nears_its_end(exchange: Exchange) -> None:
    exchange.answers = [permitted() for _ in range(3)]
    lender = exchange.lender()
    ask(lender)
    exchange.now += exchange.expires_in - EARLY_SECONDS - 1
    ask(lender)
    assert exchange.tokens_issued == 1
    exchange.now += 2
    ask(lender)
    assert exchange.tokens_issued == 2


def test_a_token_taken_back_is_replaced_once(exchange: Exchange) -> None:
    lender = exchange.lender()
    exchange.answers = [permitted(), httpx.Response(401, json={"code": "x"}), permitted()]
    ask(lender)
    ask(lender)
    assert exchange.tokens_issued == 2
    exchange.answers = [httpx.Response(401, json={"code": "x"})] * 2
    with pytest.raises(Refused):
        ask(lender)


def test_the_same_key_is_sent_when_a_query_is_repeated(exchange: Exchange) -> None:
    exchange.answers = [permitted(), permitted()]
    lender = exchange.lender()
    first = ask(lender)
    ask(lender, idempotency_key=first.idempotency_key)
    assert len({request.headers["Idempotency-Key"] for request in exchange.requests}) == 1


def test_a_refusal_holds_the_problem_and_no_identifier(exchange: Exchange) -> None:
    problem = {"type": "https://x/problems/no-consent", "code": "NO_CONSENT", "status": 403}
    exchange.answers = [httpx.Response(403, json=problem)]
    with pytest.raises(Refused) as refused:
        ask(exchange.lender())
    assert refused.value.problem == problem
    assert (refused.value.status, refused.value.code) == (403, "NO_CONSENT")
    assert IDENTIFIER not in repr(refused.value)


def test_evidence_is_waited_for_as_long_as_the_exchange_says(exchange: Exchange) -> None:
    exchange.answers = [httpx.Response(202, headers={"Retry-After": "1"})] * 2 + [httpx.Response(200, content=b"{}")]
    assert exchange.lender().evidence("q-1", "redacted") == b"{}"
    assert exchange.pauses == [1.0, 1.0]
    assert exchange.requests[0].url.path == "/v1/queries/q-1/evidence"
    assert exchange.requests[0].url.params["form"] == "redacted"


def test_waiting_for_evidence_ends(exchange: Exchange) -> None:
    exchange.answers = [httpx.Response(202, headers={"Retry-After": "1"})] * 5
    with pytest.raises(NotReady):
        exchange.lender().evidence("q-1", patience_seconds=2)
    assert sum(exchange.pauses) == 2


def test_a_regulator_reads_events_with_filters_outside_the_proof(exchange: Exchange) -> None:
    exchange.answers = [httpx.Response(200, json={"events": []})]
    assert exchange.lender(scope="audit:read").events(event="consent:grant:withdrawn") == {"events": []}
    assert exchange.requests[0].url.params["event"] == "consent:grant:withdrawn"


def test_metadata_of_another_issuer_is_refused(exchange: Exchange) -> None:
    other = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"issuer": "https://else.example"})),
        base_url=ISSUER,
    )
    with pytest.raises(Refused, match="metadata-of-another-issuer"):
        ask(Lender(ISSUER, exchange.client, http=other))


def test_a_client_is_the_same_after_it_was_kept(exchange: Exchange) -> None:
    kept = client_of("bank-a", exchange.client.private_jwk())
    assert kept.jwks == exchange.client.jwks
    assert "d" not in kept.jwks["keys"][0]
    assert str(exchange.client.private_jwk()["d"]) not in repr(kept)


def test_an_answer_is_signed_by_a_key_of_the_policy_or_it_is_not() -> None:
    key = OKPKey.generate_key("Ed25519")
    body = {"query_id": "q-1", "名": "扎西", "amount": 3, "a": [True, None]}
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    header, _, signature = jws.serialize_compact(
        {"alg": "Ed25519", "kid": "k1"}, canonical, key, algorithms=["Ed25519"]
    ).split(".")
    answer = Answer(body, f"{header}..{signature}", "i")
    policy = {"k1": str(key.as_dict(private=False)["x"])}
    assert signed_by(answer, policy)
    assert not signed_by(Answer(body | {"amount": 4}, answer.signature, "i"), policy)
    assert not signed_by(answer, {})
    assert not signed_by(Answer(body, "nonsense", "i"), policy)
