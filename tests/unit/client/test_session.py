"""The kit against a stand-in that reads by the RFCs: proofs, tokens, the clock, what is sent again and what is not."""

import asyncio

import httpx
import orjson
import pytest
from joserfc.jwk import OKPKey, RSAKey

from exchange.client import (
    AccessRefused,
    Answer,
    AsyncLender,
    Client,
    ComeLater,
    Lender,
    NotGenuine,
    NotReached,
    QueryRefused,
    client_of,
    new_client,
)
from exchange.client.session import EARLY_SECONDS
from tests.unit.client.stand_in import IDENTIFIER, ISSUER, PERSON, Exchange, permitted, problem


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def ask(lender: Lender, key: str | None = None) -> Answer:
    return lender.summary(PERSON, purpose="LOAN_APPROVAL", business_no="A-1", idempotency_key=key)


def test_a_query_carries_the_subject_in_its_body_only(exchange: Exchange) -> None:
    exchange.answers = [permitted]
    answer = exchange.lender().summary(
        PERSON, purpose="LOAN_APPROVAL", business_no="A-1", items=["SUBSIDY.amount_paid"], staff=("u1", "d")
    )
    (request,) = exchange.requests
    assert orjson.loads(request.content) == {
        "subject": {"type": "resident_id", "identifier": IDENTIFIER},
        "purpose": "LOAN_APPROVAL",
        "business_no": "A-1",
        "mode": "summary",
        "items": ["SUBSIDY.amount_paid"],
        "staff": {"user_id": "u1", "department": "d"},
    }
    assert IDENTIFIER not in str(request.url)
    assert IDENTIFIER not in repr(answer) + repr(PERSON)
    assert request.headers["Idempotency-Key"] == answer.idempotency_key


def test_a_token_serves_many_queries_until_it_nears_its_end(exchange: Exchange) -> None:
    exchange.answers = [permitted] * 3
    lender = exchange.lender()
    ask(lender)
    exchange.now += exchange.expires_in - EARLY_SECONDS - 1
    ask(lender)
    assert exchange.tokens_issued == 1
    exchange.now += 2
    ask(lender)
    assert exchange.tokens_issued == 2


def test_a_token_taken_back_is_replaced_once_and_no_more(exchange: Exchange) -> None:
    lender = exchange.lender()
    exchange.answers = [permitted, problem(401, "token-invalid"), permitted]
    ask(lender)
    ask(lender)
    assert exchange.tokens_issued == 2
    exchange.answers = [problem(401, "token-invalid"), problem(401, "token-invalid")]
    with pytest.raises(AccessRefused, match="token-invalid"):
        ask(lender)
    assert exchange.tokens_issued == 3


@pytest.mark.parametrize("ahead", [-600, -45, 45, 600])
def test_a_clock_that_is_off_is_made_up_for_before_anything_is_signed(exchange: Exchange, ahead: int) -> None:
    exchange.ahead, exchange.tells_the_time = ahead, True
    exchange.answers = [permitted]
    ask(exchange.lender())
    assert len(exchange.forms) == 1


def test_a_clock_that_begins_to_be_off_costs_one_more_try(exchange: Exchange) -> None:
    exchange.tells_the_time = True
    exchange.answers = [permitted, permitted]
    lender = exchange.lender()
    ask(lender)
    exchange.ahead = 120
    ask(lender)
    assert exchange.answers == []


def test_a_clock_that_is_hours_off_is_not_made_up_for(exchange: Exchange) -> None:
    exchange.ahead, exchange.tells_the_time = 7200, True
    with pytest.raises(AccessRefused, match="invalid_client"):
        ask(exchange.lender())
    assert len(exchange.forms) == 1


def test_the_date_of_an_answer_that_somebody_kept_is_not_believed(exchange: Exchange) -> None:
    exchange.answers = [permitted]
    lender = exchange.lender()
    old = httpx.Response(200, headers={"Date": "Tue, 14 Nov 2023 22:00:00 GMT", "Age": "800"})
    lender._session._look_at_the_clock(old)
    ask(lender)
    assert len(exchange.forms) == 1


@pytest.mark.parametrize(
    "answer",
    [
        problem(503, "out-of-service", retry_after=2),
        problem(502, "x", retry_after=2),
        problem(504, "x", retry_after=2),
        problem(429, "asked-too-fast", retry_after=2),
    ],
)
def test_a_question_is_put_again_by_the_same_key_when_the_exchange_says(
    exchange: Exchange, answer: httpx.Response
) -> None:
    exchange.answers = [answer, permitted]
    ask(exchange.lender())
    assert exchange.pauses == [2.0]
    assert len({request.headers["Idempotency-Key"] for request in exchange.requests}) == 1
    assert len({request.headers["DPoP"] for request in exchange.requests}) == 2


def test_a_question_is_put_again_when_the_line_breaks_but_not_for_ever(exchange: Exchange) -> None:
    exchange.answers = [httpx.ReadError("cut"), permitted]
    ask(exchange.lender())
    exchange.answers = [httpx.ReadTimeout("slow")] * 4
    with pytest.raises(NotReached, match="4 tries"):
        ask(exchange.lender())
    assert exchange.answers == []


def test_what_changes_something_is_not_sent_again_unless_it_certainly_did_nothing(exchange: Exchange) -> None:
    lender = exchange.lender()
    exchange.answers = [httpx.ReadError("cut")]
    with pytest.raises(NotReached, match="1 tries"):
        lender.withdraw("c-1", channel="counter")
    exchange.answers = [problem(503, "of-something-between")]
    with pytest.raises(ComeLater):
        lender.withdraw("c-1", channel="counter")
    consent = httpx.Response(200, json={"consent_id": "c-1", "state": "withdrawn"})
    exchange.answers = [httpx.ConnectError("no"), problem(503, "out-of-service", retry_after=1), consent]
    assert lender.withdraw("c-1", channel="counter").state == "withdrawn"


def test_a_wait_that_is_longer_than_patience_is_told_instead(exchange: Exchange) -> None:
    exchange.answers = [problem(429, "requests-too-many", retry_after=3600)]
    with pytest.raises(ComeLater) as later:
        ask(exchange.lender())
    assert later.value.retry_after_seconds == 3600
    assert exchange.pauses == []


def test_a_bound_of_days_is_not_tried_again(exchange: Exchange) -> None:
    exchange.answers = [problem(429, "too-often")]
    with pytest.raises(ComeLater, match="too-often"):
        ask(exchange.lender())


def test_an_answer_to_another_question_is_not_handed_out(exchange: Exchange) -> None:
    def another(request: httpx.Request) -> httpx.Response:
        changed = orjson.loads(request.content) | {"business_no": "A-2"}
        return permitted(httpx.Request("POST", request.url, content=orjson.dumps(changed)))

    exchange.answers = [another]
    with pytest.raises(NotGenuine, match="another question"):
        ask(exchange.lender())


def test_a_refusal_holds_the_problem_and_shows_no_identifier(exchange: Exchange) -> None:
    echoed = f"about {IDENTIFIER}"
    said = {"title": echoed, "title_zh": echoed, "detail": echoed, "type": f"https://x/{IDENTIFIER}"}
    exchange.answers = [problem(403, "no-consent", query_id=IDENTIFIER, **said)]
    with pytest.raises(QueryRefused) as refused:
        ask(exchange.lender())
    assert (refused.value.status, refused.value.code, refused.value.problem.title) == (403, "no-consent", echoed)
    assert IDENTIFIER not in f"{refused.value} {refused.value!r} {refused.value.problem!r}"


def test_a_code_that_is_none_is_not_repeated(exchange: Exchange) -> None:
    exchange.answers = [problem(400, f"not a code {IDENTIFIER}")]
    with pytest.raises(Exception, match="400 unreadable") as refused:
        ask(exchange.lender())
    assert IDENTIFIER not in repr(refused.value)


@pytest.mark.parametrize("changed", [{"issuer": "https://else.example"}, {"token_endpoint": "https://else.example/t"}])
def test_metadata_of_another_issuer_or_that_lead_elsewhere_are_refused(
    exchange: Exchange, changed: dict[str, str]
) -> None:
    exchange.metadata |= changed
    with pytest.raises(NotGenuine):
        ask(exchange.lender())
    assert exchange.forms == []


@pytest.mark.parametrize("key", [OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)], ids=["Ed25519", "PS256"])
def test_each_kind_of_key_signs_as_it_is_registered(key: OKPKey | RSAKey) -> None:
    exchange = Exchange(Client("bank-a", key))
    exchange.answers = [permitted]
    ask(exchange.lender())
    assert exchange.client.jwks["keys"][0]["alg"] in {"Ed25519", "PS256"}


def test_a_client_is_the_same_after_it_was_kept_and_shows_no_key() -> None:
    client = new_client("bank-a")
    kept = client_of("bank-a", client.private_jwk())
    assert kept.jwks == client.jwks
    assert "d" not in kept.jwks["keys"][0]
    assert str(client.private_jwk()["d"]) not in repr(kept)


def test_a_public_key_is_no_client(exchange: Exchange) -> None:
    with pytest.raises(ValueError, match="private"):
        client_of("bank-a", exchange.client.jwks["keys"][0])


def test_calls_made_together_ask_for_one_token(exchange: Exchange) -> None:
    exchange.answers = [permitted] * 8

    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.001)
        return exchange.handle(request)

    async def together() -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(slowly), base_url=ISSUER) as http:
            lender = AsyncLender(ISSUER, exchange.client, http=http, clock=lambda: exchange.now)
            asked = (lender.summary(PERSON, purpose="LOAN_APPROVAL", business_no="A-1") for _ in range(8))
            return len(await asyncio.gather(*asked))

    assert asyncio.run(together()) == 8
    assert exchange.tokens_issued == 1
