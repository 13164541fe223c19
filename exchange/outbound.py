"""The one way in which something is sent to an address that a lender chose: one POST, bounded, followed nowhere.

The name is looked up anew each time and must lead to public addresses alone (`push_targets`); the connection goes to
the one that was looked at, and whoever answers must prove the registered name. No redirect is followed, nothing is
taken from the environment, an answer is read up to ANSWER_BYTES, and a whole request takes DEADLINE_SECONDS at most,
or less if its sender says so, however the other side drips and its name server hesitates. What it says is kept by no
log: faults are words of ours.
"""

import asyncio
import math
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx

from exchange import push_targets
from exchange.errors import RequestRefused
from exchange.push_targets import Unreachable

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
DEADLINE_SECONDS: Final = 15.0
ANSWER_BYTES: Final = 16 * 1024
_lookups: Final = ThreadPoolExecutor(64, thread_name_prefix="name")  # of its own: a loop's own is waited for at its end


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. `body` None: not read, or longer than is read. `fault`: nothing came, and why; fit for a log."""

    status: int = 0
    body: bytes | None = field(default=None, repr=False)
    retry_after: str | None = None
    fault: str | None = None


def client() -> httpx.AsyncClient:
    """Make what requests are sent with; whoever made it closes it."""
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    return httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)


async def post(  # the parts of a request
    http: httpx.AsyncClient,
    url: str,
    content: bytes | str,
    headers: Mapping[str, str],
    *,
    sandbox: bool,
    read: Container[int] = (),
    seconds: float = math.inf,
) -> Answered:
    """Send one request, and say what came of it; it raises nothing of what the other side does.

    Args:
        http: made by `client`.
        url: where, as it was registered.
        content: the body.
        headers: besides those that are the connection's own.
        sandbox: whether loopback may be meant.
        read: with which status an answer's body is of interest; of others it is not waited for.
        seconds: how long it may take, where that is less than DEADLINE_SECONDS.
    """
    try:
        async with asyncio.timeout(min(seconds, DEADLINE_SECONDS)):
            look_up = partial(push_targets.resolve, url, sandbox=sandbox)
            target = await asyncio.get_running_loop().run_in_executor(_lookups, look_up)
            sent = {**headers, "Host": target.authority, "Accept-Encoding": "identity"}
            async with http.stream(
                "POST", target.url, content=content, headers=sent, extensions={"sni_hostname": target.host}
            ) as answer:
                body = await _read(answer) if answer.status_code in read else None
                return Answered(answer.status_code, body, answer.headers.get("Retry-After"))
    except Unreachable as error:
        return Answered(fault=error.fault)
    except RequestRefused:
        return Answered(fault="address-refused")
    except TimeoutError:
        return Answered(fault="too-long")
    except httpx.TimeoutException:
        return Answered(fault="timeout")
    except (httpx.HTTPError, httpx.InvalidURL, OSError):  # their texts hold addresses
        return Answered(fault="unreachable")


async def _read(answer: httpx.Response) -> bytes | None:
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > ANSWER_BYTES:
            return None
    return body
