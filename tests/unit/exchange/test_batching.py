"""Calls that arrive together are done together; each gets its own answer."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from exchange.batching import Together


async def all_of(together: Together[int, int], asked: Sequence[int]) -> list[int]:
    return await asyncio.gather(*(together(one) for one in asked))


def test_a_lone_call_is_done_at_once() -> None:
    doubled: Together[int, int] = Together(lambda batch: [one * 2 for one in batch])
    assert asyncio.run(all_of(doubled, [21])) == [42]


def test_everyone_gets_their_own_answer_and_calls_that_waited_share_a_batch() -> None:
    sizes: list[int] = []

    def work(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        time.sleep(0.01)
        return [one + 1 for one in batch]

    assert asyncio.run(all_of(Together(work), range(64))) == list(range(1, 65))
    assert sizes == [1, 63]


def test_a_batch_is_never_larger_than_allowed() -> None:
    sizes: list[int] = []

    def work(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        return list(batch)

    assert asyncio.run(all_of(Together(work, most=3), range(8))) == list(range(8))
    assert max(sizes) == 3


def test_work_that_fails_fails_for_everyone_in_the_batch_and_the_next_goes_on() -> None:
    fails = [True]

    def work(batch: Sequence[int]) -> list[int]:
        if fails.pop():
            raise OSError("disk full")
        return list(batch)

    together = Together(work)

    async def story() -> int:
        with pytest.raises(OSError, match="disk full"):
            await together(1)
        fails.append(False)
        return await together(2)

    assert asyncio.run(story()) == 2


def test_a_caller_who_has_gone_does_not_take_the_others_along() -> None:
    def work(batch: Sequence[int]) -> list[int]:
        time.sleep(0.05)
        return list(batch)

    together = Together(work)

    async def story() -> list[int]:
        gone = asyncio.create_task(together(1))
        others = asyncio.gather(together(2), together(3))
        await asyncio.sleep(0.01)
        gone.cancel()
        return list(await others)

    assert asyncio.run(story()) == [2, 3]


def test_an_answer_missing_is_a_failure_and_nobody_waits_for_ever() -> None:
    forgetful: Together[int, int] = Together(lambda batch: [])
    with pytest.raises(RuntimeError, match="one answer each"):
        asyncio.run(all_of(forgetful, [1]))
