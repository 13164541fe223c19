"""A body as it arrives over a line that may be cut at any byte: pieces to be made durable, and how it ended.

Bytes are taken from the server the moment they are there, by a task of its own, so that what arrived before a cut is
here when the line is gone; at most `MOST_AHEAD_BYTES` of them wait to be written. A piece is given when it is full,
when its first byte is `FLUSH_SECONDS` old, or when the line has ended.

A sender that lets `IDLE_SECONDS` pass without a byte, or stays below `SLOWEST_BYTES_A_SECOND` for long, is cut off;
what it sent is kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from starlette.types import Receive

FLUSH_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 60.0
SLOWEST_BYTES_A_SECOND: Final = 256
MOST_AHEAD_BYTES: Final = 4 << 20


class Ended(Enum):
    """How a body ended."""

    WHOLE = auto()
    CUT = auto()
    SLOW = auto()
    TOO_LONG = auto()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sender is waited for, in seconds."""

    flush: float = FLUSH_SECONDS
    idle: float = IDLE_SECONDS
    grace: float = GRACE_SECONDS


class Arriving:
    """One body. Iterate over `pieces`, then ask `ended`.

    Args:
        receive: ASGI's.
        most: bytes beyond these are not given, and the body is TOO_LONG.
        piece_bytes: a piece's size at most.
        patience: how long to wait.
    """

    def __init__(self, receive: Receive, *, most: int, piece_bytes: int, patience: Patience | None = None) -> None:
        self.ended: Ended | None = None
        self._receive, self._most, self._piece_bytes = receive, most, piece_bytes
        self._patience = patience or Patience()
        self._buffer = bytearray()
        self._count = 0
        self._came, self._room = asyncio.Event(), asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes in pieces; after the last, `ended` is set."""
        reader = asyncio.create_task(self._read())
        try:
            while self.ended is None or self._buffer:
                await self._full_or_old()
                piece = bytes(self._buffer[: self._piece_bytes])
                del self._buffer[: len(piece)]
                self._room.set()
                if piece:
                    yield piece
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def _full_or_old(self) -> None:
        """Wait until a piece is full, or its first byte old enough, or the body has ended."""
        while not self._buffer and self.ended is None:
            await self._wait_for_more()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.flush):
                while len(self._buffer) < self._piece_bytes and self.ended is None:
                    await self._wait_for_more()

    async def _wait_for_more(self) -> None:
        self._came.clear()
        if self.ended is None:
            await self._came.wait()

    async def _read(self) -> None:
        try:
            await self._read_on()
        finally:
            self._end(Ended.CUT)  # unless it has ended otherwise; whatever happens, nobody waits for ever

    async def _read_on(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while self.ended is None:
            while len(self._buffer) >= MOST_AHEAD_BYTES:
                self._room.clear()
                await self._room.wait()
            try:
                async with asyncio.timeout(self._patience.idle):
                    message = await self._receive()
            except TimeoutError:
                self._end(Ended.SLOW)
                return
            late = loop.time() - begun - self._patience.grace
            self._take(message.get("body", b""))
            if message["type"] == "http.disconnect":
                self._end(Ended.CUT)
            elif not message.get("more_body", False):
                self._end(Ended.WHOLE)
            elif self._count < late * SLOWEST_BYTES_A_SECOND:
                self._end(Ended.SLOW)

    def _take(self, body: bytes) -> None:
        room = self._most - self._count
        self._buffer += body[:room]
        self._count += min(len(body), room)
        if len(body) > room:
            self._end(Ended.TOO_LONG)
        self._came.set()

    def _end(self, how: Ended) -> None:
        self.ended = self.ended or how
        self._came.set()
