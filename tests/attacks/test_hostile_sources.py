"""A source that means harm, or is broken badly enough: it leads nowhere, fills nothing and ends in time."""

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import LimitExceeded, SourceRefused, SourceUnavailable
from connectors.transports.line import Line
from tests.answering import Agency, Answer, page, speaking
from tests.fetching import line, rows
from tests.subsidies import COLUMNS, row

SECRET = "s3cret"
CURSOR = {"paging": {"by": "cursor", "path": "next"}}
NEXT = {"paging": {"by": "next", "path": "next"}}
OAUTH = {"by": "oauth", "client_id": "q"}
PATIENCE_SECONDS = 30.0  # far more than a run of a second needs on a machine under load, far less than a drip takes


@pytest.fixture
def agency() -> Iterator[Agency]:
    one = Agency()
    yield one
    one.stop()


@pytest.fixture
def other() -> Iterator[Agency]:
    """Another server, which nobody may be led to."""
    one = Agency()
    yield one
    one.stop()


@pytest.fixture
def run(agency: Agency, tmp_path: Path) -> Callable[..., Line]:
    def run(url: str = "", limits: dict[str, int] | None = None, **transport: Any) -> Line:
        said = {"kind": "rest", "url": f"{url or agency.url}/rows", "rows": "items", "columns": COLUMNS, "optional": []}
        return line(tmp_path, said | transport, secret=SECRET, limits=limits or {"seconds": 60})

    return run


def refused(one: Line) -> SourceRefused:
    with pytest.raises(SourceRefused) as failed:
        rows(one)
    return failed.value


# ---- led elsewhere --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("at", ["rows", "token"])
def test_a_redirect_leads_nowhere(
    run: Callable[..., Line], agency: Agency, other: Agency, status: int, at: str
) -> None:
    agency.answer = lambda *_: (status, {"Location": f"{other.url}/rows"}, b"")
    transport = {} if at == "rows" else {"auth": OAUTH | {"token_url": f"{agency.url}/token"}}
    assert refused(run(**transport)).fault == "REDIRECTED"
    assert len(agency.asked) == 1
    assert other.asked == []


@pytest.mark.parametrize(
    "written", ["{other}/rows", "//{other_host}/rows", "http://{host}@{other_host}/rows", "{here}.x/"]
)
@pytest.mark.parametrize("by", ["body", "link"])
def test_a_next_page_on_another_server_is_not_asked_for(
    run: Callable[..., Line], agency: Agency, other: Agency, written: str, by: str
) -> None:
    hosts = {"host": agency.url[7:], "other_host": other.url[7:]}
    following = written.format(other=other.url, here=agency.url, **hosts)
    link = {"Link": f'<{following}>; rel="next"'} if by == "link" else {}
    agency.answer = lambda *_: page([row(1)], headers=link, next=following)
    failed = refused(run(**(NEXT if by == "body" else {"paging": {"by": "next"}})))
    assert failed.fault == "PAGE_ELSEWHERE"
    assert other.asked == []


def test_the_environment_leads_nowhere(
    run: Callable[..., Line], agency: Agency, other: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    (tmp_path / "netrc").write_text("default login somebody password else\n", encoding="ascii")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    agency.answer = lambda *_: page([row(1)])
    assert len(rows(run())) == 1
    assert other.asked == []
    assert "Authorization" not in agency.asked[0][2]


def test_no_cookie_is_kept_or_sent(run: Callable[..., Line], agency: Agency) -> None:
    pages = iter([page([row(1)], headers={"Set-Cookie": "session=abc; Path=/"}, next="b"), page([row(2)], next=None)])
    agency.answer = lambda *_: next(pages)
    assert len(rows(run(**CURSOR))) == 2
    assert [headers.get("Cookie") for _, _, headers, _ in agency.asked] == [None, None]


# ---- more than fits -------------------------------------------------------------------------------------------------

BOMB = gzip.compress(b'{"items": [' + b" " * (200 << 20) + b"]}", compresslevel=1)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity, gzip", ""])
def test_a_small_answer_that_would_unfold_into_a_large_one_is_not_unfolded(
    run: Callable[..., Line], agency: Agency, encoding: str
) -> None:
    agency.answer = lambda *_: (200, {"Content-Encoding": encoding} if encoding else {}, BOMB)
    one = run()
    assert refused(one).fault == "ANSWER_MALFORMED"
    assert one.meter.bytes <= len(BOMB)
    assert agency.asked[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "body",
    [
        b'{"items": [' + b"[]," * 1_100_000 + b"[]]}",
        b'{"items": [' + b"{}," * 1_100_000 + b"{}]}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"items":' * 50_000 + b"1" + b"}" * 50_000,
    ],
    ids=["lists", "objects", "deep-lists", "deep-objects"],
)
def test_an_answer_of_parts_without_end_is_not_laid_out_in_memory(
    run: Callable[..., Line], agency: Agency, body: bytes
) -> None:
    agency.answer = lambda *_: (200, {}, body)
    assert refused(run()).fault == "ANSWER_MALFORMED"


def test_a_page_larger_than_any_page_is_refused_while_it_comes(run: Callable[..., Line]) -> None:
    sent = 0

    def serve(caller: socket.socket) -> None:
        nonlocal sent
        caller.recv(65_536)
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n")
        while True:
            sent += caller.send(b" " * 65_536)

    with speaking(serve) as port:
        assert refused(run(url=f"http://127.0.0.1:{port}")).fault == "ANSWER_MALFORMED"
    assert sent < 64 << 20


def test_headers_without_end_are_not_collected(run: Callable[..., Line]) -> None:
    sent = 0

    def serve(caller: socket.socket) -> None:
        nonlocal sent
        caller.recv(65_536)
        caller.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            sent += caller.send(b"X-More: " + b"x" * 8_000 + b"\r\n")

    with speaking(serve) as port, pytest.raises(SourceUnavailable) as failed:
        rows(run(url=f"http://127.0.0.1:{port}"))
    assert failed.value.fault == "CUT_OFF"
    assert sent < 32 << 20  # what lies in the system's buffers, twice


# ---- without end ----------------------------------------------------------------------------------------------------


def test_empty_pages_without_end_end(run: Callable[..., Line], agency: Agency) -> None:
    cursors = count()
    agency.answer = lambda *_: page([], next=f"c{next(cursors)}")
    assert refused(run(**CURSOR)).fault == "PAGE_REPEATED"
    assert len(agency.asked) < 200


def test_pages_of_rows_without_end_are_held_to_the_feeds_rows(run: Callable[..., Line], agency: Agency) -> None:
    numbers = count()

    def answer(*_: object) -> Answer:
        at = next(numbers)
        return page([row(at)], next=f"c{at}")

    agency.answer = answer
    with pytest.raises(LimitExceeded) as exceeded:
        rows(run(limits={"rows": 20}, **CURSOR))
    assert exceeded.value.fault == "TOO_MANY_ROWS"
    assert len(agency.asked) == 21


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
def test_a_server_that_drips_is_cut_off_when_the_runs_time_is_over(run: Callable[..., Line], begin: bytes) -> None:
    def serve(caller: socket.socket) -> None:
        caller.recv(65_536)
        caller.sendall(begin)
        while True:  # each byte begins the wait for the next one anew, and none completes anything
            caller.sendall(b"0" if begin else b"H")
            time.sleep(0.02)

    began = time.monotonic()
    with speaking(serve) as port, pytest.raises(LimitExceeded) as exceeded:
        rows(run(url=f"http://127.0.0.1:{port}", limits={"seconds": 1}))
    assert exceeded.value.fault == "TOO_LONG"
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_time_limit_holds_over_all_pages_of_one_line(run: Callable[..., Line]) -> None:
    """The second answer comes over the line of the first, which no longer opens anything that could be noted."""

    def serve(caller: socket.socket) -> None:
        caller.recv(65_536)
        _, _, body = page([row(1)], next="b")
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        while caller.recv(65_536):
            caller.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                caller.sendall(b"x")
                time.sleep(0.02)

    with speaking(serve) as port, pytest.raises(LimitExceeded) as exceeded:
        rows(run(url=f"http://127.0.0.1:{port}", limits={"seconds": 1}, **CURSOR))
    assert exceeded.value.fault == "TOO_LONG"
