"""A TCP relay on loopback before an agency: the bad line between two offices, whatever is spoken over it.

It can drip (SLOW), reset the connection after so many bytes of either direction (RESET: a real RST), and take no call
(UNAVAILABLE, where it is asked to). It reads nothing of what passes.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from sandbox.agencies.faults import Fault, Faults

_CHUNK_BYTES: Final = 16_384
_DRIPS_A_SECOND: Final = 20
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # linger on, no time: close sends RST
_WAIT_SECONDS: Final = 0.2  # how often a waiting thread looks whether it is to stop


@contextlib.contextmanager
def line(dial: Callable[[], socket.socket], faults: Faults, *, hangs_up: bool = False) -> Iterator[int]:
    """Relay connections to what `dial` reaches; give the loopback port.

    Args:
        dial: opens a connection to the agency proper.
        faults: SLOW and RESET are asked of it, UNAVAILABLE when `hangs_up`.
        hangs_up: whether being unavailable is the line's matter (REST answers 500 itself).
    """
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(_WAIT_SECONDS)
        relay = _Relay(dial, faults, ended, hangs_up=hangs_up)
        thread = threading.Thread(target=relay.listen, args=(listening,), name="line", daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            thread.join()


class _Relay:
    def __init__(
        self, dial: Callable[[], socket.socket], faults: Faults, ended: threading.Event, *, hangs_up: bool
    ) -> None:
        self._dial, self._faults, self._ended, self._hangs_up = dial, faults, ended, hangs_up

    def listen(self, listening: socket.socket) -> None:
        """Take calls until the line ends."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                caller, _ = listening.accept()
                threading.Thread(target=self._connect, args=(caller,), name="call", daemon=True).start()

    def _connect(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            if self._hangs_up and self._faults.strikes(Fault.UNAVAILABLE):
                return
            with self._dial() as callee:
                for one in (caller, callee):
                    one.settimeout(_WAIT_SECONDS)
                reset = self._faults.strikes(Fault.RESET)
                reach = _Reach(int(reset.amount)) if reset else None
                asking = threading.Thread(target=self._ask, args=(caller, callee, reach), name="asking", daemon=True)
                asking.start()
                try:
                    self._answer(callee, caller, reach)
                finally:
                    _end(callee)
                    _end(caller, socket.SHUT_RD)
                    asking.join()
                if reach is not None and reach.ended:
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def _ask(self, caller: socket.socket, callee: socket.socket, reach: "_Reach | None") -> None:
        with contextlib.suppress(OSError):
            for carried in self._carried(caller):
                _send(callee, reach.of(carried) if reach else carried)
                if reach is not None and reach.ended:
                    _end(callee)
                    return
        _end(callee, socket.SHUT_WR)

    def _answer(self, callee: socket.socket, caller: socket.socket, reach: "_Reach | None") -> None:
        for carried in self._carried(callee):
            self._drip(caller, reach.of(carried) if reach else carried)
            if reach is not None and reach.ended:
                return
        if reach is None or not reach.ended:
            _end(caller, socket.SHUT_WR)

    def _drip(self, caller: socket.socket, carried: bytes) -> None:
        while carried:
            slow = self._faults.is_on(Fault.SLOW)
            size = max(1, int(slow.amount / _DRIPS_A_SECOND)) if slow else len(carried)
            _send(caller, carried[:size])
            carried = carried[size:]
            if slow and self._ended.wait(1 / _DRIPS_A_SECOND):
                return

    def _carried(self, source: socket.socket) -> Iterator[bytes]:
        while not self._ended.is_set():
            try:
                carried = source.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            if not carried:
                return
            yield carried


class _Reach:
    """How many bytes a connection may still carry, both ways together."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether there are none left."""
        return self._left <= 0

    def of(self, carried: bytes) -> bytes:
        """Take from what is left; give what still passes."""
        with self._lock:
            passing = carried[: max(0, self._left)]
            self._left -= len(carried)
        return passing


def _send(target: socket.socket, carried: bytes) -> None:
    """Send all of it however slowly the other side reads, for up to a minute."""
    view, deadline = memoryview(carried), time.monotonic() + 60
    while view:
        try:
            view = view[target.send(view) :]
        except TimeoutError:
            if time.monotonic() > deadline:
                raise


def _end(one: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(how)
