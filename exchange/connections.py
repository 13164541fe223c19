"""Connections that are slow on purpose, or by accident, must not keep others out. uvicorn's protocol, with bounds.

  1. the headers of a request come within `header_seconds` of its first byte, or of the connection, and have
     `header_bytes` at most; between two requests a connection is idle for `idle_seconds` at most
  2. who does not read what is answered is let go of: once the line is full, `TAKEN_BYTES` of what waits here and in the
     system are taken in each `write_seconds`, until it is not full any more. A long answer over a thin line ends well:
    nobody is idle while bytes wait here, but takes them as fast. Of a process no more than `KEPT_BYTES` wait; beyond,
    the longest answer of the address goes that has most waiting
  3. one connection has `PIPELINED` requests at most that wait for the one before them; what comes behind a body is
     thrown away, and is not more than headers may be: neither is kept at the price of everybody's memory
  4. a process has `at_most` connections, one address `of_one_peer` of them. For one more, the one that has waited
     longest without a whole request is let go of, one whose body still comes last; if all are answered, the new one is

A server behind a proxy has all its connections from the proxy's address: that address has no bound of its own, and how
many of them one client may have, and how slowly, the proxy has to see to (docs/fapi.md).

A body that drips is ended by the envelope, with a problem (`exchange.deadlines`). Here nothing is answered, but for an
empty 408 or 431 to a request whose headers did not come: there is nobody to read more.

One timer a process looks at all connections each second, so that a request costs a few assignments.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from ipaddress import IPv4Network, IPv6Network, ip_address
from struct import Struct
from termios import TIOCOUTQ
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exchange.deadlines import WHOLE
from exchange.limits.declared import OfConnections

LOOK_SECONDS: Final = 1.0
PIPELINED: Final = 8
TAKEN_BYTES: Final = 64 * 1024  # a slow mobile line takes so many in some seconds
KEPT_BYTES: Final = 256 * 1024 * 1024  # some fifty of the longest answers that are given in one piece
_FRAMED: Final = 16  # bytes that one of a body may take on the line, in pieces of one each
_INT: Final = Struct("i")
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(slots=True)
class Crowd:
    """The connections of a process, in the order in which they came, and the bounds they have."""

    bounds: OfConnections
    proxy: IPv4Network | IPv6Network | None
    held: "dict[Bounded, None]" = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None

    def let_in(self, new: "Bounded") -> None:
        """Do 4."""
        peers = [] if self._is_proxy(new.peer) else [one for one in self.held if one.peer == new.peer]
        if len(peers) >= self.bounds.of_one_peer:
            self._make_room(peers, new)
        elif len(self.held) >= self.bounds.at_most:
            self._make_room(self.held, new)
        self.held[new] = None
        if self.timer is None:
            self.timer = new.loop.call_later(LOOK_SECONDS, self._look, new.loop)

    def _make_room(self, among: "Iterable[Bounded]", new: "Bounded") -> None:
        longest = min((one for one in among if one.may_go), key=Bounded.rank, default=new)
        longest.let_go()
        self.held.pop(longest, None)

    def _is_proxy(self, peer: str) -> bool:
        return self.proxy is not None and bool(peer) and ip_address(peer) in self.proxy

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in [one for one in self.held if one.is_late(now) or one.is_stuck(now)]:
            one.let_go(_TOO_SLOW if one.reads_headers else b"")
        self._unburden()
        self.timer = loop.call_later(LOOK_SECONDS, self._look, loop) if self.held else None

    def _unburden(self) -> None:
        waiting = {one: size for one in self.held if (size := one.kept_bytes)}
        of_peers = Counter[str]()
        for one, size in waiting.items():
            of_peers[one.peer] += size
        while of_peers.total() > KEPT_BYTES:
            heaviest, _ = of_peers.most_common(1)[0]
            longest = max((one for one in waiting if one.peer == heaviest), key=waiting.__getitem__)
            longest.let_go()
            of_peers[heaviest] -= waiting.pop(longest)


class Bounded(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *given: Any, crowd: Crowd, **named: Any) -> None:  # noqa: ANN401  # whatever uvicorn gives
        super().__init__(*given, **named)
        self._crowd = crowd
        self.peer = ""
        self.reads_headers = True  # or waits for a first byte that never came
        self._waits_since: float | None = 0.0  # for headers or, between two requests, for a first byte
        self._body_since: float | None = None  # for the rest of a body
        self._header_bytes = 0
        self._beside_bytes = 0  # of what came with a body: its frames, and what is behind it
        self._full_since: float | None = None
        self._full_bytes = 0  # that waited then

    @property
    def may_go(self) -> bool:
        """Whether it may be let go of for another: no request of it is whole and being answered."""
        return self._waits_since is not None or self._body_since is not None

    @property
    def kept_bytes(self) -> int:
        """How many bytes of answers wait here to be taken."""
        size: int = self.transport.get_write_buffer_size()
        return size

    def rank(self) -> tuple[bool, float]:
        """Give the place in which it is let go of: before a body that still comes, and the longest waiting first."""
        if self._waits_since is not None:
            return False, self._waits_since
        return True, self._body_since or 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's is
        """Take a connection in, or let one go that waits longer."""
        super().connection_made(transport)
        self.peer, self._waits_since = self.client[0] if self.client else "", self.loop.time()
        self._crowd.let_in(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._crowd.held.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while headers are no longer than they may be."""
        if self.transport.is_closing():
            return
        most = self._crowd.bounds.header_bytes
        self._beside_bytes += len(data)
        super().data_received(data)
        if self.reads_headers:
            self._header_bytes += len(data)
            if self._header_bytes > most:
                self.let_go(_TOO_LONG)
        elif self._body_since is not None and self._beside_bytes > most:
            self.let_go()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one behind the body is none, for it would stand beside those that were checked."""
        if self.reads_headers:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take what came of a body, and allow it its frames."""
        self._beside_bytes = max(0, self._beside_bytes - _FRAMED * len(body))
        super().on_body(body)

    def on_message_begin(self) -> None:
        """Note that a request begins.

        Raises:
            ValueError: too many wait already; the parser stops, and uvicorn ends the connection.
        """
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("requests: too many at once")
        self.reads_headers, self._waits_since = True, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that its headers are whole."""
        self.reads_headers, self._waits_since, self._header_bytes = False, None, 0
        self._body_since, self._beside_bytes = self.loop.time(), 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that it is whole."""
        self._body_since = None
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]  # ours
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.reads_headers:
            self._waits_since = self.loop.time()

    def pause_writing(self) -> None:
        """Note that the line is full."""
        self._full_since, self._full_bytes = self.loop.time(), self._untaken()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the line takes more."""
        self._full_since = None
        super().resume_writing()

    def is_late(self, now: float) -> bool:
        """Say whether the headers should have come (1), or the connection was idle for too long."""
        if not self.reads_headers and self.kept_bytes:
            return False  # it still takes what was answered: `is_stuck`
        bounds = self._crowd.bounds
        most = bounds.header_seconds if self.reads_headers else bounds.idle_seconds
        return self._waits_since is not None and now - self._waits_since > most

    def is_stuck(self, now: float) -> bool:
        """Say whether nobody reads what is answered (2), be it that it was closed with bytes still to be read.

        Once all is answered what waits here need not fill the line to be waited for: nothing more is added to it.
        """
        closing = self.transport.is_closing()
        if not closing and not self.kept_bytes:
            self._full_since = None
            return False
        if not closing and self._full_since is None and self._waits_since is None:
            return False
        waiting = self._untaken()
        if self._full_since is None or self._full_bytes - waiting >= TAKEN_BYTES:
            self._full_since, self._full_bytes = now, waiting
        return now - self._full_since > self._crowd.bounds.write_seconds

    def _untaken(self) -> int:
        """Count the bytes that the other side has not acknowledged, those that the system holds already with them."""
        held = bytearray(_INT.size)
        with suppress(OSError, ValueError):  # the socket is gone or cannot tell: what waits here counts
            ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, held)
        waiting: int = self.kept_bytes + _INT.unpack(held)[0]
        return waiting

    def let_go(self, last: bytes = b"") -> None:
        """End the connection at once, with a last word if the line takes it."""
        if last and not self.transport.is_closing():
            self.transport.write(last)
        if self.kept_bytes:
            self.transport.abort()
        else:
            self.transport.close()


def bounded(bounds: OfConnections, proxy: IPv4Network | IPv6Network | None) -> type[Bounded]:
    """Make the protocol of a process."""
    crowd = Crowd(bounds, proxy)

    class OfThisProcess(Bounded):
        """One connection of this process."""

        def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
            super().__init__(*given, crowd=crowd, **named)

    return OfThisProcess
