"""A body comes within its time, or the request ends with a problem: whoever drips bytes holds nothing for long.

Not here: headers, and who does not read (`exchange.connections`); bytes of uploads, which have a clock of their own.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

_TOO_SLOW: Final = 408


def timely(receive: Receive, seconds: float | None) -> Receive:
    """Let a body come within so many seconds from now; None: it has a clock of its own. What comes after it may wait.

    Raises:
        HTTPException: 408, from the receiving of a body that is not whole by then.
    """
    if seconds is None:
        return receive
    until = asyncio.get_running_loop().time() + seconds
    whole = False

    async def timed() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(_TOO_SLOW) from None
        whole = not message.get("more_body", False)
        return message

    return timed
