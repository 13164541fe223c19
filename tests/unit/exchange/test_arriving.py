"""A body as it arrives: every byte that came is given, however the line ends and however slow it was."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message

from exchange.agency_api.arriving import Arriving, Ended, Patience

QUICK = Patience(flush=0.02, idle=0.1, grace=0.0)


def came(*messages: Message | float, most: int = 1000, piece: int = 4) -> tuple[bytes, Ended | None, Sequence[int]]:
    """Let messages arrive, a number being seconds to wait, then silence; give bytes, end and sizes of pieces."""

    async def run() -> tuple[bytes, Ended | None, Sequence[int]]:
        waiting = list(messages)

        async def receive() -> Message:
            while waiting:
                first = waiting.pop(0)
                if not isinstance(first, float):
                    return first
                await asyncio.sleep(first)
            await asyncio.Event().wait()
            raise AssertionError

        arriving = Arriving(receive, most=most, piece_bytes=piece, patience=QUICK)
        pieces = [piece async for piece in arriving.pieces()]
        return b"".join(pieces), arriving.ended, [len(piece) for piece in pieces]

    return asyncio.run(run())


def body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def test_a_whole_body_comes_in_pieces() -> None:
    assert came(body(b"123456"), body(b"7", more=False)) == (b"1234567", Ended.WHOLE, [4, 3])


def test_a_cut_body_gives_what_came() -> None:
    assert came(body(b"123456"), {"type": "http.disconnect"}) == (b"123456", Ended.CUT, [4, 2])


def test_nothing_but_a_cut_gives_nothing() -> None:
    assert came({"type": "http.disconnect"}) == (b"", Ended.CUT, [])


def test_a_little_is_given_when_it_is_old_enough() -> None:
    assert came(body(b"1"), 0.05, body(b"2", more=False))[2] == [1, 1]


def test_a_line_that_falls_silent_is_ended_and_keeps_what_came() -> None:
    assert came(body(b"12")) == (b"12", Ended.SLOW, [2])


def test_a_line_that_drips_is_ended_and_keeps_what_came() -> None:
    drops = [part for _ in range(50) for part in (0.01, body(b"x"))]
    given, ended, _ = came(*drops)
    assert ended is Ended.SLOW
    assert 0 < len(given) < 50


def test_bytes_beyond_what_was_announced_are_not_given() -> None:
    assert came(body(b"123456"), most=5)[:2] == (b"12345", Ended.TOO_LONG)


def test_a_server_that_fails_leaves_nobody_waiting() -> None:
    async def run() -> Ended | None:
        async def receive() -> Message:
            raise RuntimeError("broken")

        arriving = Arriving(receive, most=5, piece_bytes=4, patience=QUICK)
        with pytest.raises(RuntimeError, match="broken"):
            assert [piece async for piece in arriving.pieces()] == []
        return arriving.ended

    assert asyncio.run(run()) is Ended.CUT
