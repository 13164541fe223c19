"""What surrounds every request: pure ASGI, a few microseconds, no business of its own.

`Envelope`, outermost
  1. a request id of ours (one sent by a caller is not taken over: it could carry anything)
  2. an address that holds an identifier is refused unread: a subject belongs in the body
  3. whatever fails inside becomes a problem without details; the journal gets class and place
  4. security headers, what will go (`deprecations`), the mode of a sandbox, what is left of a system's pace unless its
     route says more of it, one line in the journal, metrics; what is behind a closed door is stored by nobody on the
     way, unless its route says otherwise
  5. a body is read up to a limit; what is longer is a problem too, and no failure. Bytes of an upload, which their
     route takes as a stream and counts itself, have a limit of their own, and are read ahead from the first moment:
     the server gives nothing of what has arrived once the line is cut

`ClosedDoors`, next
  6. every path that is not listed as public needs valid credentials before any route runs;
     what was verified is left in the request's scope for the route (`oauth.doors`)

"""

import asyncio
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange import journal
from exchange.deadlines import timely
from exchange.deprecations import NOTHING, Deprecations
from exchange.errors import CredentialsRefused
from exchange.metrics import Metrics
from exchange.oauth.certificates import shown_in
from exchange.oauth.doors import PACED, PRESENTED
from exchange.oauth.guard import Guard, Presented
from exchange.problems import REQUEST_ID as NAMED
from exchange.problems import Told, tell, told_of
from registry import clock
from registry.canonical import b64url
from registry.suites import random_bytes

REQUEST_ID: Final = "qingqiao.request_id"
OAUTH_ERROR: Final = "oauth_error"
_IDENTIFIER: Final = re.compile(
    r"[0-9]{17}[0-9Xx]|(?<![0-9A-Za-z])[0-9A-Z]{2}[0-9]{6}[0-9A-Z]{10}(?![0-9A-Za-z])|[0-9]{15}"
)
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_CACHE_CONTROL: Final = b"cache-control"
_NOT_STORED: Final = ((_CACHE_CONTROL, b"no-store"),)
_MOST_AHEAD_BYTES: Final = 64 * 1024  # as many as the server itself keeps before it stops reading
_DIGITS_AT_MOST: Final = 19  # of a length that can be meant


@dataclass(frozen=True, slots=True)
class Public:
    """The paths that need no credentials. Everything else is closed."""

    paths: frozenset[str]
    prefixes: tuple[str, ...]

    def has(self, path: str) -> bool:
        """Say whether a path is public."""
        return path in self.paths or path.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Wider:
    """A door whose bodies may be longer: its method, and how its path begins and ends."""

    method: str
    prefix: str
    ending: str
    most: int

    def is_for(self, method: str, path: str) -> bool:
        """Say whether a request is for this door."""
        return method == self.method and path.startswith(self.prefix) and path.endswith(self.ending)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes a body may have: `ordinary`, but `streamed` for the method and the prefix named."""

    ordinary: int
    streamed: int
    method: str
    prefix: str
    wider: tuple[Wider, ...] = ()
    seconds: int = 20

    def seconds_of(self, method: str, most: int) -> float | None:
        """Give the time in which a body of so many bytes is to come; bytes of uploads have clocks of their own."""
        return None if method == self.method and most > self.ordinary else self.seconds * (1 + (most >> 20))

    def of(self, method: str, path: str) -> int:
        """Give the limit of one request."""
        for door in self.wider:
            if door.is_for(method, path):
                return door.most
        return self.streamed if method == self.method and path.startswith(self.prefix) else self.ordinary


class Envelope:
    """See the module's header, 1 to 5."""

    def __init__(  # what it surrounds, and what it needs for that
        self, app: ASGIApp, *, issuer: str, metrics: Metrics, mode: str | None, public: Public, limits: Limits,
        deprecations: Deprecations = NOTHING,
    ) -> None:  # fmt: skip
        self._deprecations = deprecations
        self._app = app
        self._public = public
        self._limits = limits
        self._issuer = issuer
        self._metrics = metrics
        self._headers = (*_SECURITY_HEADERS, *(((b"qingqiao-mode", mode.encode()),) if mode else ()))
        self._journal = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of ASGI scope pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        request_id = b64url(random_bytes(12))  # 1
        scope[REQUEST_ID] = request_id
        NAMED.set(request_id)  # problems name it, wherever they are made
        extra = [*self._headers, (b"x-request-id", request_id.encode())]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = message["headers"]
                said = {name for name, _ in sent}
                open_to_all = self._public.has(scope["path"]) or _CACHE_CONTROL in said
                ours = [one for one in extra if one[0] not in said]  # a page says more exactly what it may load
                going = self._deprecations.headers(scope["method"], _template(scope), scope["query_string"])
                kept = () if open_to_all else _NOT_STORED
                message["headers"] = [*sent, *ours, *kept, *going, *_paced(scope)]  # 4
            await send(message)

        try:
            if not scope["path"].isprintable():  # a route's pattern ends before a line's end: it would be another's
                await _send(tell(self._issuer, "not-found"), send_with_headers)
            elif _names_somebody(scope):  # 2
                detail = "an address never holds an identifier; send it in the body"
                await _send(tell(self._issuer, "request-malformed", detail=detail), send_with_headers)
            elif _stated_length(scope) > (most := self._limits.of(scope["method"], scope["path"])):  # 5
                await _send(tell(self._issuer, "body-too-large"), send_with_headers)
            elif most > self._limits.ordinary:
                async with _ahead(receive) as received:
                    await self._app(scope, self._bounded(scope, received, most), send_with_headers)
            else:
                await self._app(scope, self._bounded(scope, receive, most), send_with_headers)
        except Exception as error:  # noqa: BLE001  # 3: the last place that can keep its message out of the server's log
            self._journal.error("failed", request_id=request_id, **journal.told(error))
            if not status:
                await _send(tell(self._issuer, "internal"), send_with_headers)
        finally:
            self._account(scope, request_id, status, perf_counter() - begun)

    def _bounded(self, scope: Scope, receive: Receive, most: int) -> Receive:
        return _limited(timely(scope, receive, self._limits.seconds_of(scope["method"], most)), most)

    def _account(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = _template(scope)
        caller = scope.get(PRESENTED)
        refusal = scope.get("state", {}).get(OAUTH_ERROR)
        self._metrics.answered(scope["method"], route, status, seconds)
        if refusal:
            self._metrics.token_refused(refusal)
        journal.write(
            "request",
            request_id=request_id,
            method=scope["method"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            client_id=caller.client_id if isinstance(caller, Presented) else None,
        )


class ClosedDoors:
    """See the module's header, 6."""

    def __init__(self, app: ASGIApp, *, guard: Guard, public: Public, issuer: str) -> None:
        self._app = app
        self._guard = guard
        self._public = public
        self._issuer = issuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Verify, then pass on; or answer 401."""
        if scope["type"] == "http" and not self._public.has(scope["path"]):
            try:
                scope[PRESENTED] = self._guard.verify_presented(
                    scope["headers"],
                    scope["method"],
                    _path_as_sent(scope),
                    clock.now(),
                    certificate=shown_in(scope),
                )
            except CredentialsRefused as error:
                await _send(told_of(self._issuer, error), send)
                return
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nothing here speaks it
            return
        await self._app(scope, receive, send)


class _Ahead:
    """Takes a body from the server as it comes, by a task of its own; so much of it waits, and no more."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._came, self._room = asyncio.Event(), asyncio.Event()

    async def read(self) -> None:
        while True:
            while self._bytes >= _MOST_AHEAD_BYTES:
                self._room.clear()
                await self._room.wait()
            message = await self._receive()
            self._bytes += len(message.get("body", b""))
            self._waiting.append(message)
            self._came.set()
            if message["type"] == "http.disconnect":
                return

    async def receive(self) -> Message:
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message.get("body", b""))
        self._room.set()
        return message


@asynccontextmanager
async def _ahead(receive: Receive) -> AsyncIterator[Receive]:
    ahead = _Ahead(receive)
    reader = asyncio.create_task(ahead.read())
    try:
        yield ahead.receive
    finally:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader


def _stated_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < _DIGITS_AT_MOST else sys.maxsize
    return 0


def _limited(receive: Receive, most: int) -> Receive:
    """Count what a body that states no length brings; too much of it is the 413 that the application knows."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413)
        return message

    return limited


def _template(scope: Scope) -> str:
    template: Any = getattr(scope.get("route"), "path", None)
    return template if isinstance(template, str) else "unmatched"


def _paced(scope: Scope) -> Iterable[tuple[bytes, bytes]]:
    left: Mapping[str, str] | None = scope.get(PACED)
    return [(name.lower().encode(), value.encode()) for name, value in left.items()] if left else ()


def _path_as_sent(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("latin-1") if raw is not None else scope["path"]


def _names_somebody(scope: Scope) -> bool:
    query = scope["query_string"].decode("latin-1")
    return bool(_IDENTIFIER.search(scope["path"]) or (query and _IDENTIFIER.search(unquote(query))))


async def _send(told: Told, send: Callable[[Message], Any]) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body})
