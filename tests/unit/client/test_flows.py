"""What a lender does with the kit, against the stand-in: evidence, asking persons, tokens, catalogue."""

import httpx
import pytest
from joserfc.jwk import ECKey

from exchange.client import Asked, AsyncLender, Lender, NotAgreed, NotGenuine, NotReady, Problem, RequestWrong
from exchange.client.answers import Event, signing_keys
from exchange.problems import CATALOGUE, tell
from registry import jws
from registry.canonical import b64url, canonical
from registry.suites import Es256Key, sha256
from tests.unit.client.stand_in import IDENTIFIER, ISSUER, Exchange, problem

ASKED = Asked(f"{ISSUER}/oauth/authorize?x", "urn:x", "https://bank.example/back", "st-1", "v" * 64)
WANTED = {"purpose": "LOAN_APPROVAL", "items": ["RATING"]}
NOT_YET = httpx.Response(202, headers={"Retry-After": "1"})


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def test_evidence_is_waited_for_as_long_as_the_exchange_says(exchange: Exchange) -> None:
    exchange.answers = [NOT_YET, NOT_YET, httpx.Response(200, content=b"{}")]
    assert exchange.lender().evidence("q-1", "redacted") == b"{}"
    assert exchange.pauses == [1.0, 1.0]
    assert exchange.requests[0].url.path == "/v1/queries/q-1/evidence"
    assert exchange.requests[0].url.params["form"] == "redacted"


def test_waiting_for_evidence_ends(exchange: Exchange) -> None:
    exchange.answers = [NOT_YET] * 5
    with pytest.raises(NotReady):
        exchange.lender().evidence("q-1", patience_seconds=2)
    assert sum(exchange.pauses) == 2


def test_a_pushed_request_is_redeemed_with_the_verifier_of_its_challenge(exchange: Exchange) -> None:
    lender = exchange.lender()
    granted = {"type": "credit_data", "consent_id": "c-1"}
    token = {"access_token": "t", "expires_in": 60, "authorization_details": [granted]}
    exchange.form_answers = [httpx.Response(201, json={"request_uri": "urn:r"}), httpx.Response(200, json=token)]
    asked = lender.push({"purpose": "LOAN_APPROVAL", "items": ["RATING"]}, redirect_uri="https://bank.example/back")
    assert asked.page == f"{ISSUER}/oauth/authorize?client_id=bank-a&request_uri=urn%3Ar"
    answer = {"state": asked.state, "iss": ISSUER, "code": "c"}
    assert lender.redeem(asked, answer).consent_id == "c-1"
    pushed, redeemed = exchange.forms
    (verifier,) = redeemed["code_verifier"]
    assert pushed["code_challenge"] == [b64url(sha256(verifier.encode()))]
    assert pushed["redirect_uri"] == redeemed["redirect_uri"]
    assert verifier not in repr(asked)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"code": "c", "state": "st-1"}, "answer-of-another-server"),
        ({"code": "c", "state": "st-1", "iss": "https://other.example"}, "answer-of-another-server"),
        ({"code": "c", "state": "st-2", "iss": ISSUER}, "answer-of-another-request"),
        ({"code": "c", "iss": ISSUER}, "answer-of-another-request"),
        ({"error": "access_denied", "state": "st-1", "iss": ISSUER}, "access_denied"),
    ],
)
def test_an_answer_that_is_none_of_ours_sends_no_code_anywhere(
    exchange: Exchange, answer: dict[str, str], code: str
) -> None:
    with pytest.raises(NotAgreed) as refused:
        exchange.lender().redeem(ASKED, answer)
    assert refused.value.code == code
    assert exchange.forms == []


def test_terms_that_would_not_do_are_refused_with_place_and_mend(exchange: Exchange) -> None:
    place = {"at": "/valid_to", "code": "TOO_LONG", "mend": "end it sooner", "mend_zh": "缩短期限"}
    exchange.answers = [problem(422, "consent-terms", errors=[place])]
    with pytest.raises(RequestWrong) as wrong:
        exchange.lender().narrow("c-1", {"valid_to": "2099-01-01"}, channel="counter")
    (found,) = wrong.value.problem.places
    assert (found.at, found.mend_zh, wrong.value.problem.mend) == ("/valid_to", "缩短期限", "end it sooner")


def test_the_session_s_token_is_forgotten_when_it_is_taken_back(exchange: Exchange) -> None:
    lender = exchange.lender()
    lender.credentials()
    exchange.form_answers = [httpx.Response(200, json={})]
    lender.revoke()
    assert exchange.forms[-1]["token"] == ["token-1"]
    lender.revoke()  # there is none: nothing is sent
    assert len(exchange.forms) == 2


def test_an_unchanged_catalogue_is_asked_for_by_its_tag(exchange: Exchange) -> None:
    lender = exchange.lender()
    exchange.answers = [httpx.Response(200, json={"version": "1"}, headers={"ETag": '"a"'}), httpx.Response(304)]
    assert lender.catalogue() == lender.catalogue() == {"version": "1"}
    assert exchange.requests[1].headers["If-None-Match"] == '"a"'


def test_a_number_in_an_id_does_not_leave_the_path(exchange: Exchange) -> None:
    exchange.answers = [problem(404, "consent-unknown")]
    with pytest.raises(RequestWrong):
        exchange.lender().see_consent("../queries?x=1")
    assert exchange.requests[0].url.raw_path == b"/v1/consents/..%2Fqueries%3Fx%3D1"


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_the_mend_of_every_published_problem_is_found(code: str) -> None:
    told = tell(ISSUER, code)
    found = Problem.read(httpx.Response(told.status, content=told.body))
    assert (found.code, found.mend) == (code, CATALOGUE[code].mend)


def event(key: Es256Key, **changes: object) -> str:
    facts = {f"{ISSUER}/events/consent/withdrawn": {"purpose": "LOAN_APPROVAL"}}
    said = {"iss": ISSUER, "aud": "bank-a", "jti": "j", "toe": 1, "sub_id": {"format": "opaque", "id": "c-1"}}
    return jws.sign(key, "k", canonical({**said, "events": facts, **changes}), "secevent+jwt")  # type: ignore[dict-item]


def test_an_event_is_read_only_if_it_is_signed_for_this_client_by_the_exchange() -> None:
    key = Es256Key.generate()
    keys = signing_keys({"keys": [jws.public_jwk(key.public, "k"), {"kty": "RSA"}]})
    read = Event.read(event(key), keys, issuer=ISSUER, audience="bank-a")
    assert (read.kind, read.about) == ("withdrawn", "c-1")
    for bent in (
        event(key, aud="bank-b"),
        event(key, iss="https://x"),
        event(Es256Key.generate()),
        "x.y.z",
        "nonsense",
    ):
        with pytest.raises(NotGenuine):
            Event.read(bent, keys, issuer=ISSUER, audience="bank-a")


def test_both_clients_have_the_same_methods() -> None:
    def methods(of: type) -> set[str]:
        return {name for name, value in vars(of).items() if callable(value) and not name.startswith("_")}

    assert methods(Lender) == methods(AsyncLender)
    assert len(methods(Lender)) > 25


def test_a_key_is_generated_for_proofs_and_is_not_the_client_s(exchange: Exchange) -> None:
    _, proof_key = exchange.lender().credentials()
    assert isinstance(proof_key, ECKey)
    assert proof_key.thumbprint() != exchange.client.key.thumbprint()
    assert IDENTIFIER not in repr(exchange.forms)
