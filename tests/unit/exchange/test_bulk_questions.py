"""A file of questions is cut into the same lines however its bytes arrive, in bounded memory."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from exchange.bulk import questions
from exchange.bulk.questions import LINE_BYTES, Fault
from exchange.oauth.guard import Caller
from exchange.release import Ask

BATCH = UUID("5d2c9a52-31a4-4a0e-8d0c-2f4f5a3f6a10")
NOW = datetime(2026, 6, 15, tzinfo=UTC)
CALLER = Caller("bank", "沙箱农商银行", "lender", frozenset({"queries"}), "", b"", NOW, NOW)
PERSON = "630222199901010001"


def line(**changes: object) -> bytes:
    subject = {"type": "resident_id", "identifier": PERSON}
    return orjson.dumps({"subject": subject, "purpose": "LOAN_APPROVAL", "business_no": "LA-1", **changes})


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")), max_size=20),
    cuts=st.lists(st.integers(0, 600), max_size=12),
    ended=st.booleans(),
)
def test_the_lines_are_the_same_wherever_the_bytes_are_cut(lines: list[bytes], cuts: list[int], ended: bool) -> None:  # noqa: FBT001  # drawn
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[start:end] for start, end in pairwise(places)]
    expected = content.split(b"\n")
    if expected[-1] == b"":  # the end of the last line is no line
        expected.pop()
    assert list(questions.cut(pieces)) == list(enumerate(expected, 1))


def test_a_line_at_the_limit_passes_and_one_beyond_is_named_and_dropped() -> None:
    content = [b"x" * LINE_BYTES + b"\n", b"y" * LINE_BYTES, b"y\nz", b"", b"w" * (LINE_BYTES + 1)]
    assert list(questions.cut(content)) == [(1, b"x" * LINE_BYTES), (2, None), (3, None)]


def test_a_line_without_end_is_not_gathered() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 20)

    tracemalloc.start()
    try:
        assert list(questions.cut(endless())) == [(1, None)]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_each_line_has_a_key_that_no_header_can_hold_and_no_other_line_has() -> None:
    asks = [questions.read(BATCH, CALLER, number, line()) for number in (1, 2)]
    assert all(isinstance(ask, Ask) for ask in asks)
    found = [ask.idempotency_key for ask in asks if isinstance(ask, Ask)]
    assert len(set(found)) == 2
    assert not any(key is None or key.isprintable() for key in found)
    other = questions.read(UUID(int=1), CALLER, 1, line())
    assert isinstance(other, Ask)
    assert other.idempotency_key not in found


def test_a_line_is_held_to_the_rules_of_a_single_question() -> None:
    for bent, code in (
        (line(mode="verify"), "request-malformed"),
        (line(mode="report"), "request-malformed"),
        (line(purpose="NO_SUCH"), "purpose-unknown"),
        (line(items=["NO.such"]), "item-unknown"),
        (line(business_no=PERSON), "request-malformed"),
        (line(extra=1), "request-malformed"),
        (line(subject={"type": "resident_id", "identifier": PERSON[:-1] + "2"}), "identifier-malformed"),
        (b"", "request-malformed"),
        (None, "line-too-long"),
    ):
        read = questions.read(BATCH, CALLER, 7, bent)
        assert isinstance(read, Fault)
        assert (read.line, read.code) == (7, code)
        assert PERSON not in (read.detail or "")


@given(st.lists(st.tuples(st.integers(1, 10**5), st.none() | st.binary(max_size=50)), max_size=10))
def test_a_block_gives_back_what_was_packed(lines: list[tuple[int, bytes | None]]) -> None:
    assert questions.unpacked(questions.packed(lines)) == lines
