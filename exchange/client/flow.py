"""One way of speaking, driven in two: what a client does is written once, and run by a sync or an async client.

A flow is a generator. It yields a request or a pause, is sent the response, and returns what the caller asked for; a
connection that fails is thrown into it. It does no input or output itself: `drive` and `drive_async` do, with httpx.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `at_root`: the path is the host's, not below the address that the client has as base."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] | None = None
    content: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    timeout_seconds: float | None = None
    at_root: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause."""

    seconds: float


Flow = Generator[Request | Wait, httpx.Response | None, T]


def sent(request: Request) -> Flow[httpx.Response]:
    """Send one request and give its response."""
    response = yield request
    if response is None:
        raise RuntimeError("a request is answered with a response")
    return response


def drive(flow: Flow[T], http: httpx.Client, pause: Callable[[float], None]) -> T:
    """Run a flow with a sync client."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                pause(step.seconds)
                step = flow.send(None)
                continue
            try:
                response = http.send(_built(http, step))
            except httpx.TransportError as error:
                step = flow.throw(error)
            else:
                step = flow.send(response)
    except StopIteration as done:
        result: T = done.value
        return result


async def drive_async(flow: Flow[T], http: httpx.AsyncClient, pause: Callable[[float], Awaitable[None]]) -> T:
    """Run a flow with an async client."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                await pause(step.seconds)
                step = flow.send(None)
                continue
            try:
                response = await http.send(_built(http, step))
            except httpx.TransportError as error:
                step = flow.throw(error)
            else:
                step = flow.send(response)
    except StopIteration as done:
        result: T = done.value
        return result


def _built(http: httpx.Client | httpx.AsyncClient, step: Request) -> httpx.Request:
    url = http.base_url.copy_with(path=step.path) if step.at_root else step.path
    timeout = http.timeout if step.timeout_seconds is None else httpx.Timeout(step.timeout_seconds)
    return http.build_request(
        step.method,
        url,
        params=step.params,
        content=step.content,
        data=step.form,
        headers=dict(step.headers),
        timeout=timeout,
    )
