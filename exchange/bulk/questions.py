"""A line of a batch as a question, or why it is none. Pure.

A line is the body of `POST /v1/queries`, read by the same code and held to the same rules. What is wrong with it is
said by a problem's code and a fixed sentence that names parts of a question, never what stood in them.

Lines end with a newline (a carriage return before it is white space); the last may go without. An empty line is a line
without a question. Bytes are cut as they come: a line beyond LINE_BYTES is dropped, not gathered.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import orjson

from exchange.errors import RequestRefused
from exchange.lender_api import asked_by, read_query
from exchange.oauth.guard import Caller
from exchange.release import Ask, Line
from registry.canonical import b64url, unb64url

LINE_BYTES: Final = 16 * 1024
TOO_LONG: Final = "line-too-long"
_KEY: Final = "\x00bulk|{}|{}"  # no header can hold it, so that no question asked alone has the same


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no question."""

    line: int
    code: str
    detail: str | None = None


def cut(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Cut bytes into numbered lines, without their ends; None in the place of one that is too long."""
    number, rest, dropping = 1, bytearray(), False
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            if not dropping:
                rest += piece[start:end][: LINE_BYTES + 1]
            yield number, _line(rest, dropping=dropping)
            number, start, dropping = number + 1, end + 1, False
            rest.clear()
        if not dropping:
            rest += piece[start:][: LINE_BYTES + 1]
            dropping = len(rest) > LINE_BYTES
    if rest or dropping:
        yield number, _line(rest, dropping=dropping)


def _line(text: bytearray, *, dropping: bool) -> bytes | None:
    return None if dropping or len(text) > LINE_BYTES else bytes(text)


def read(batch_id: UUID, caller: Caller, number: int, text: bytes | None) -> Ask | Fault:
    """Read one line: the gate's question, under an Idempotency-Key that follows from batch and line."""
    if text is None:
        return Fault(number, TOO_LONG)
    try:
        query, identifier, body = read_query(text)
        ask = asked_by(lambda: caller, query, identifier, body, None)
    except RequestRefused as refused:
        return Fault(number, refused.code, refused.detail)
    return replace(ask, idempotency_key=_KEY.format(batch_id, number), line=Line(batch_id, number))


def packed(lines: Sequence[tuple[int, bytes | None]]) -> bytes:
    """Write lines for a block."""
    return orjson.dumps([[number, None if text is None else b64url(text)] for number, text in lines])


def unpacked(block: bytes) -> list[tuple[int, bytes | None]]:
    """Read what `packed` wrote."""
    return [(number, None if text is None else unb64url(text)) for number, text in orjson.loads(block)]
