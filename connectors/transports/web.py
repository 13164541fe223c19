"""One request to an agency's server: sent, answered within bounds, faults named in our own words.

No proxy and no credential is taken from the environment; redirects are not followed; no cookie is kept; bodies come
uncompressed, so that a small answer cannot unfold into a large one, and an answer of more parts than any page of rows
has is not parsed. Headers are bounded by the driver (100 KB); a server that drips them is cut off when the run's time
is over. Certificates are checked against the system's roots, or the feed's `ca` alone. Texts of the driver are
dropped: they hold addresses.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson

from connectors.errors import SourceRefused, SourceUnavailable
from connectors.transports.deadline import cut_in_time
from connectors.transports.line import Meter
from connectors.transports.retrying import retry_after
from registry import clock

PAGE_BYTES: Final = 32 << 20  # one page is parsed in memory; a source that sends more must send more pages
PAGE_PARTS: Final = 1_000_000  # objects and lists of one page: empty ones take 30 times as much memory as text
_REFUSALS: Final = {401: "CREDENTIAL_REFUSED", 403: "CREDENTIAL_REFUSED", 404: "NOT_FOUND", 410: "NOT_FOUND"}
_TLS: Final = {  # of OpenSSL's texts, which go no further
    "CERTIFICATE_VERIFY_FAILED": "CERTIFICATE_REFUSED",
    "WRONG_VERSION_NUMBER": "TLS_MISSING",
    "RECORD_LAYER_FAILURE": "TLS_MISSING",
    "UNSUPPORTED_PROTOCOL": "TLS_MISSING",
    "PROTOCOL_VERSION": "TLS_MISSING",
}
_NOT_MODIFIED: Final = 304
_TOO_MANY_REQUESTS: Final = 429
_REQUEST_TIMEOUT: Final = 408


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a server answered. The body may be anybody's data and shows itself in no repr."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def unchanged(self) -> bool:
        """Say whether the server has nothing newer (304)."""
        return self.status == _NOT_MODIFIED

    def json(self, place: str) -> Any:  # noqa: ANN401  # whatever the agency sends
        """Parse the body.

        Raises:
            SourceUnavailable: it ends before its end.
            SourceRefused: it is no JSON, or of more parts than are parsed.
        """
        if self.body.count(b"{") + self.body.count(b"[") > PAGE_PARTS:
            raise SourceRefused("ANSWER_MALFORMED", f"{place}: > {PAGE_PARTS} objects")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            pass
        text = self.body.strip()
        if text[:1] in {b"{", b"["} and text[-1:] != {b"{": b"}", b"[": b"]"}[text[:1]]:
            raise SourceUnavailable("CUT_OFF", place=place)
        raise SourceRefused("ANSWER_MALFORMED", place)


class Web:
    """The client of one run: it trusts and follows nobody but whom it is told.

    Args:
        ca: whom certificates must be signed by; None for the system's roots.
        timeout: of one wait, in seconds.

    Raises:
        SourceRefused: `ca` is no file of certificates.
    """

    def __init__(self, ca: Path | None, timeout: float) -> None:
        self._http = httpx.Client(verify=_trust(ca), timeout=timeout, trust_env=False, follow_redirects=False)
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        meter: Meter,
        place: str,
    ) -> Answer:
        """Send one request and read its answer whole, counting its bytes as they come.

        Raises:
            SourceUnavailable: no answer, a broken one, or a server that says to come back later.
            SourceRefused: the server does not want the request, or points elsewhere.
            LimitExceeded: the answer is more than the feed allows, or takes longer.
        """
        plain = {"Accept-Encoding": "identity", "Accept": "application/json", "User-Agent": "qingqiao"} | dict(headers)
        stream = self._http.stream(
            method, url, headers=plain, content=body or None, extensions={"trace": self._remember}
        )
        with _named(place), cut_in_time(meter, lambda: self._sockets), stream as response:
            pieces = bytearray()
            for piece in response.iter_raw():
                meter.add(size=len(piece))
                pieces += piece
                if len(pieces) > PAGE_BYTES:
                    raise SourceRefused("ANSWER_MALFORMED", f"{place}: > {PAGE_BYTES >> 20} MB")
            _judge(response, place, clock.now())
            return Answer(response.status_code, response.headers, bytes(pieces))

    def _remember(self, event: str, told: Mapping[str, Any]) -> None:
        """Take note of each socket that the driver opens, to be cut in time (httpcore's trace)."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._sockets = [one for one in self._sockets if one.fileno() >= 0]
            self._sockets.append(told["return_value"].get_extra_info("socket"))


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError:  # ssl's own errors too
        context = None
    if context is None:
        raise SourceRefused("CERTIFICATE_REFUSED", "transport.ca")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _judge(response: httpx.Response, place: str, now: datetime) -> None:
    status = response.status_code
    wait = retry_after(response.headers.get("retry-after"), now)
    if status in {_TOO_MANY_REQUESTS, _REQUEST_TIMEOUT} or response.is_server_error:
        fault = "TOO_MANY_REQUESTS" if status == _TOO_MANY_REQUESTS else "SERVER_FAILED"
        raise SourceUnavailable(fault, wait, place=f"{place}: HTTP {status}")
    if response.is_redirect and status != _NOT_MODIFIED:
        raise SourceRefused("REDIRECTED", f"{place}: HTTP {status}")
    if response.is_client_error:
        raise SourceRefused(_REFUSALS.get(status, "REQUEST_REFUSED"), f"{place}: HTTP {status}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise SourceRefused("ANSWER_MALFORMED", f"{place}: Content-Encoding")


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Turn what the driver raises into our errors, without its text."""
    try:
        yield
    except httpx.TimeoutException:
        failure = SourceUnavailable("NO_ANSWER_IN_TIME", place=place)
    except httpx.ConnectError as error:
        for word, fault in _TLS.items():
            if word in str(error):
                raise SourceRefused(fault, place) from None
        failure = SourceUnavailable("NOT_REACHED", place=place)
    except httpx.UnsupportedProtocol:
        raise SourceRefused("NOT_FOUND", place) from None
    except (httpx.TransportError, httpx.StreamError):
        failure = SourceUnavailable("CUT_OFF", place=place)
    except httpx.InvalidURL:
        raise SourceRefused("NOT_FOUND", place) from None
    else:
        return
    raise failure from None
