"""The end of a run's time, kept to by whoever waits for bytes too: the line is cut from another thread.

A meter counts what has come (`line`), and timeouts bound one wait. Neither stops a server that sends a byte now and
then, or one that went away without a word: the wait begins anew with each byte, and nothing whole ever comes that
could be counted. So a timer shuts the sockets of the line down when the run's seconds are over, whatever is read from
them; what then fails is told as TOO_LONG, since the meter is asked first.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer

from connectors.errors import LimitExceeded
from connectors.transports.line import Meter


@contextmanager
def cut_in_time(meter: Meter, sockets: Callable[[], Iterable[socket.socket]]) -> Iterator[None]:
    """Shut sockets down if the block outlasts its run. `sockets` says which they are by then.

    Raises:
        LimitExceeded: the time is over, by whatever error the block ended.
    """

    def cut() -> None:
        for one in list(sockets()):
            with suppress(OSError):  # closed already
                one.shutdown(socket.SHUT_RDWR)

    timer = Timer(meter.seconds_left, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        over = _over(meter)
        if over is not None:
            raise over from None  # what the driver says goes no further
        raise
    finally:
        timer.cancel()


def _over(meter: Meter) -> LimitExceeded | None:
    try:
        meter.add()
    except LimitExceeded as exceeded:
        return exceeded
    return None
