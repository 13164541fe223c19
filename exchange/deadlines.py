"""A body comes within its time, or the request ends with a problem: whoever drips bytes holds nothing for long.

A body that the server has whole already needs no clock, which would cost more than its reading: `WHOLE` in the scope.

Not here: headers, and who does not read (`exchange.connections`); bytes of uploads, which have a clock of their own.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

WHOLE: Final = "qingqiao.whole"  # set by the server when a request has come to its end
_TOO_SLOW: Final = 408


def timely(scope: Scope, receive: Receive, seconds: float | None) -> Receive:
    """Let a request's body come within so many seconds from now; what comes after it may wait.

    Where `seconds` is None it has a clock of its own.

    Raises:
        HTTPException: 408, from the receiving of a body that is not whole by then.
    """
    if seconds is None:
        return receive
    until = asyncio.get_running_loop().time() + seconds
    whole = False

    async def timed() -> Message:
        nonlocal whole
        if whole or scope.get(WHOLE):
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(_TOO_SLOW) from None
        whole = not message.get("more_body", False)
        return message

    return timed
