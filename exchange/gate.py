"""Requests that arrive together go through the gate together.

One thread takes what is waiting (at most `BATCH`), has it settled by `release` and gives each caller its own outcome;
what arrives meanwhile waits for the next round. Nobody waits for a timer: a request that is alone goes at once. Every
answer still waits for its own durable log entry, since `release.settle` returns after its commit; it is then written
and signed on its caller's side, while the thread waits for the database with the next round.

Not here: deciding anything.
"""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Sequence

import structlog

from exchange.errors import OutOfService
from exchange.home import Home
from exchange.release import Ask, AskAgain, Outcome, Settled, settle
from registry.errors import DatabaseUnavailable

BATCH = 64  # requests that share a transaction: enough to spread its cost, few enough to hold locks only briefly
WAITING = 4096  # beyond this a caller is told to come again, rather than kept past any deadline
SWITCH_SECONDS = 0.0005  # the thread needs the interpreter back after each statement; by default it waits up to 5 ms

_log = structlog.get_logger()


class Gate:
    """The one queue in front of `release`, in one web process."""

    def __init__(self, home: Home) -> None:
        """Take the installation; `start` begins to answer."""
        self._home = home
        self._waiting: deque[tuple[Ask | AskAgain, asyncio.Future[Settled]]] = deque()
        self._arrived = threading.Semaphore(0)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to answer, in a thread of its own. Called on the event loop that the callers run on."""
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer what is waiting, then end."""
        self._stopping = True
        self._arrived.release()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    async def ask(self, ask: Ask | AskAgain) -> Outcome:
        """Put a request through the gate and wait for its outcome.

        Raises:
            OutOfService: too many are waiting, or the database cannot be reached; nothing was released.
        """
        if self._loop is None or self._stopping or len(self._waiting) >= WAITING:
            raise OutOfService("too many requests are waiting")
        future: asyncio.Future[Settled] = self._loop.create_future()
        self._waiting.append((ask, future))
        self._arrived.release()
        return (await future)()

    def _run(self) -> None:
        while True:
            self._arrived.acquire()
            batch = self._take()
            if batch:
                self._answer(batch)
            elif self._stopping:
                return

    def _take(self) -> list[tuple[Ask | AskAgain, asyncio.Future[Settled]]]:
        batch: list[tuple[Ask | AskAgain, asyncio.Future[Settled]]] = []
        while self._waiting and len(batch) < BATCH:
            batch.append(self._waiting.popleft())
        for _ in batch[1:]:
            self._arrived.acquire(blocking=False)
        return batch

    def _answer(self, batch: Sequence[tuple[Ask | AskAgain, asyncio.Future[Settled]]]) -> None:
        results: list[Settled | BaseException]
        try:
            results = list(settle(self._home, [ask for ask, _ in batch]))
        except Exception as error:  # noqa: BLE001  # whoever waits must be told, whatever it was
            _log.exception("release_failed", requests=len(batch), error=type(error).__name__)
            results = [OutOfService("the registry cannot be reached") if _is_outage(error) else error] * len(batch)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, [future for _, future in batch], results)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable) or type(error).__module__.startswith("psycopg")


def _deliver(futures: Sequence["asyncio.Future[Settled]"], results: Sequence[Settled | BaseException]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue  # the caller has gone; what was decided for it stands in the log
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
