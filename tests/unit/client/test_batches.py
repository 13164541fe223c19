"""Files of questions are handed in over a line that breaks, and nothing is opened that was not checked."""

import base64
from typing import Any

import httpx
import orjson
import pytest

from exchange.client import Batch, Fetched, NotGenuine, NotReached, NotReady, RequestWrong, check_batch, question
from exchange.client.sealing import new_encryption_key
from registry.canonical import canonical
from registry.suites import sha256
from registry.trust import TrustPolicy
from tests.unit.client.stand_in import IDENTIFIER, PERSON, Exchange, problem

CONTENT = b'{"a":1}\n{"a":2}\n'
CUT = httpx.ReadError("cut")


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def batch(state: str = "receiving", **more: Any) -> httpx.Response:
    said = {"batch_id": "b-1", "state": state, "received_bytes": 0, "ended_at": None, "parts_ready": 0, **more}
    return httpx.Response(200, json=said)


def arrived(offset: int) -> httpx.Response:
    return httpx.Response(200, headers={"Upload-Offset": str(offset)})


def test_a_file_is_announced_with_its_digest_and_sent_whole(exchange: Exchange) -> None:
    exchange.answers = [batch(), httpx.Response(204), batch("received")]
    assert exchange.lender().hand_in(CONTENT, idempotency_key="key-00001").state == "received"
    announced, sent, _ = exchange.requests
    assert (announced.headers["Upload-Length"], announced.headers["Idempotency-Key"]) == ("16", "key-00001")
    digest = base64.b64decode(announced.headers["Upload-Metadata"].removeprefix("sha256 "))
    assert digest.decode() == sha256(CONTENT).hex()
    assert (sent.method, sent.url.path, sent.content) == ("PATCH", "/v1/batches/b-1/questions", CONTENT)


def test_questions_become_lines_that_a_single_query_would_send(exchange: Exchange) -> None:
    exchange.answers = [batch(), httpx.Response(204), batch("received")]
    asked = question(PERSON, purpose="POST_LOAN", business_no="L-1", items=["RATING"], staff=("u-1", "credit"))
    exchange.lender().hand_in([asked])
    assert exchange.requests[1].content == canonical(asked) + b"\n"
    assert asked["subject"]["identifier"] == IDENTIFIER


def test_a_line_that_was_cut_goes_on_from_what_has_arrived(exchange: Exchange) -> None:
    exchange.answers = [batch(), CUT, arrived(5), CUT, arrived(5), httpx.Response(204), batch("received")]
    exchange.lender().hand_in(CONTENT)
    sent = [one for one in exchange.requests if one.method == "PATCH"]
    assert [(one.headers["Upload-Offset"], one.content) for one in sent] == [
        ("0", CONTENT),
        ("5", CONTENT[5:]),
        ("5", CONTENT[5:]),
    ]


def test_what_has_arrived_already_is_not_sent_again(exchange: Exchange) -> None:
    exchange.answers = [batch(received_bytes=9), httpx.Response(204), batch("received")]
    exchange.lender().hand_in(CONTENT)
    assert exchange.requests[1].content == CONTENT[9:]


def test_a_batch_that_is_there_already_is_given_as_it_is(exchange: Exchange) -> None:
    exchange.answers = [batch("finished", ended_at="2026-06-01T00:00:00Z")]
    assert exchange.lender().hand_in(CONTENT).over


def test_another_sender_of_the_same_file_moves_the_place_and_not_the_outcome(exchange: Exchange) -> None:
    exchange.answers = [batch(), problem(409, "upload-offset"), arrived(16), batch("received")]
    assert exchange.lender().hand_in(CONTENT).state == "received"


def test_a_line_that_is_always_cut_ends_in_an_error(exchange: Exchange) -> None:
    exchange.answers = [batch()]
    for _ in range(8):
        exchange.answers += [CUT, arrived(0)]
    with pytest.raises(NotReached):
        exchange.lender().hand_in(CONTENT)
    assert not exchange.answers


def test_a_refused_file_is_told_by_code(exchange: Exchange) -> None:
    exchange.answers = [batch(), problem(410, "bulk-over")]
    with pytest.raises(RequestWrong, match="bulk-over"):
        exchange.lender().hand_in(CONTENT)


def test_a_batch_is_waited_for_as_long_as_the_exchange_says_then_fetched_whole(exchange: Exchange) -> None:
    working = batch("working")
    working.headers["Retry-After"] = "3"
    over = batch("finished", ended_at="2026-06-01T00:00:00Z", parts_ready=2)
    exchange.answers = [working, over, *(httpx.Response(200, content=one) for one in (b"one", b"two", b"manifest"))]
    fetched = exchange.lender().fetch_batch("b-1")
    assert (dict(fetched.parts), fetched.manifest, exchange.pauses) == ({1: b"one", 2: b"two"}, b"manifest", [3.0])
    assert [one.url.path for one in exchange.requests[2:]] == [
        "/v1/batches/b-1/results/1",
        "/v1/batches/b-1/results/2",
        "/v1/batches/b-1/manifest",
    ]


def test_waiting_for_a_batch_ends(exchange: Exchange) -> None:
    exchange.answers = [batch("working")] * 5
    with pytest.raises(NotReady):
        exchange.lender().fetch_batch("b-1", patience_seconds=10)
    assert sum(exchange.pauses) == 10


def test_a_manifest_that_nobody_signed_opens_nothing() -> None:
    fetched = Fetched(Batch.read({"batch_id": "b-1", "state": "finished"}), {1: b"{}"}, orjson.dumps({"manifest": {}}))
    with pytest.raises(NotGenuine, match="step 1"):
        check_batch(fetched, new_encryption_key(), TrustPolicy("exchange.example", (), {}, {}))


def test_what_is_no_batch_is_not_taken_for_one() -> None:
    with pytest.raises(NotGenuine):
        Batch.read({"state": "finished"})
