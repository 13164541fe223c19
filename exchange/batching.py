"""Calls that arrive together are done together, and each waits for its own result.

One durable commit costs milliseconds, whoever waits for it. While a worker thread does one batch, later calls
gather for the next. Nobody waits for company: a lone call is done at once. No thread of its own, nothing
to start or stop; all bookkeeping happens on the event loop, so there is no lock.

    admit = Together(lambda presented: admit_in_one_transaction(database, presented))
    caller = await admit(presented)

If the work raises, everyone in that batch gets the exception: nothing was done for any of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST_TOGETHER: Final = 256


class Together(Generic[Asked, Answer]):
    """Gathers calls on one event loop into batches for one function.

    Args:
        work: from a batch to one answer each, in the same order; runs in a worker thread, never twice at a time.
        most: how many share a batch at most.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int = MOST_TOGETHER) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._busy = False

    async def __call__(self, asked: Asked) -> Answer:
        """Have it done, with whatever else is waiting; return its answer or raise what the work raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((asked, future))
        if not self._busy:
            self._begin(loop)
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        job = loop.run_in_executor(None, self._work, [asked for asked, _ in batch])
        job.add_done_callback(partial(self._deliver, loop, [future for _, future in batch]))

    def _deliver(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: Sequence["asyncio.Future[Answer]"],
        job: "asyncio.Future[Sequence[Answer]]",
    ) -> None:
        self._begin(loop)
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        answers = [] if error is not None else job.result()
        if error is None and len(answers) != len(futures):
            error = RuntimeError("the work did not give one answer each")
        for place, future in enumerate(futures):
            if future.done():
                continue  # the caller has gone; what was done for it stands
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(answers[place])
