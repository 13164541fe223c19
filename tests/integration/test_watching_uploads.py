"""The live stream of an upload's progress over real sockets: kept alive, taken up again, read slowly, and shut down."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import uvicorn

from connectors import uploading
from exchange.agency_api import progress
from exchange.agency_api.progress import UploadStatus
from exchange.cli import running
from exchange.home import Home
from exchange.mending import intake_of
from exchange.oauth.scopes import Role
from tests.agencies import AGENCY, line, permitted, roster
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.attacks.uploading import Agency
from tests.people import ZHANG
from tests.waiting import until

FILE = roster(line(ZHANG))


@pytest.fixture
def agency(exchange_home: Home) -> Iterator[Agency]:
    permitted(exchange_home)
    caller = registered(exchange_home, Caller("watcher"), Role.AGENCY, AGENCY)
    with Door(exchange_home) as door:
        yield Agency(door, caller)


@pytest.fixture
def web(exchange_home: Home) -> Iterator[uvicorn.Server]:
    """The server as `qingqiao serve` makes it, on a port of its own."""
    web = running.server(exchange_home)
    web.config.port = 0
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    try:
        until(lambda: web.started)
        yield web
    finally:
        web.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Watching:
    """One connection that watches an upload."""

    def __init__(self, web: uvicorn.Server, agency: Agency, url: str, *, room: int | None = None) -> None:
        self.socket = socket.socket()
        if room is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", web.servers[0].sockets[0].getsockname()[1]))
        asked = {**agency.caller.headers("GET", f"{url}/events", agency.token), "Host": "exchange.example"}
        path = f"{url}/events".removeprefix(ISSUER)
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def until(self, holds: Callable[["Watching"], bool]) -> None:
        """Read on until something holds of what was read; fails where the stream ends before."""
        while not holds(self):
            piece = self.socket.recv(65_536)
            assert piece, self.read[-300:]
            self.read += piece

    def to_its_end(self) -> None:
        """Read until the body ends or the line does."""
        while b"0\r\n\r\n" not in self.read:
            piece = self.socket.recv(65_536)
            if not piece:
                return
            self.read += piece

    @property
    def told(self) -> list[Any]:
        """The statuses that have come whole."""
        parts = [part.partition(b"\n\n") for part in self.read.split(b"event: upload\ndata: ")[1:]]
        return [json.loads(text) for text, end, _ in parts if end]

    @property
    def stills(self) -> int:
        """How often it was said that nothing has changed."""
        return self.read.count(b": still\n\n")


def test_while_nothing_happens_the_stream_says_so_and_then_tells_the_end(
    exchange_home: Home, agency: Agency, web: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.05)
    url = agency.begin(len(FILE), filename="民和县_粮食直补发放明细_2026.csv")
    with Watching(web, agency, url) as watching:
        watching.until(lambda one: one.stills >= 60)
        assert [one["state"] for one in watching.told] == ["open"]
        assert agency.send(url, 0, FILE).status_code == 204
        watching.until(lambda one: one.told[-1]["state"] == "waiting")
        uploading.take_all(intake_of(exchange_home), exchange_home.uploads)
        watching.to_its_end()
    assert watching.told[-1]["state"] == "done"
    assert watching.read.endswith(b"0\r\n\r\n")


def test_a_stream_that_has_lasted_long_enough_ends_and_is_taken_up_where_the_upload_stands(
    agency: Agency, web: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(progress, "WATCHED_SECONDS", 0.5)
    url = agency.begin(len(FILE))
    for arrived in (0, 10, 20):
        if arrived:
            assert (
                agency.send(url, arrived - 10, FILE[arrived - 10 : arrived], **{"Content-Length": "10"}).status_code
                == 204
            )
        with Watching(web, agency, url) as watching:
            watching.to_its_end()
        assert watching.read.endswith(b"0\r\n\r\n")
        assert [one["received_bytes"] for one in watching.told] == [arrived]


def test_who_goes_away_is_watching_no_more(
    agency: Agency, web: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(progress, "MOST_WATCHING", 1)
    url = agency.begin(4)
    for _ in range(3):

        def begun() -> bool:
            with Watching(web, agency, url) as watching:
                watching.until(lambda one: b"\r\n\r\n" in one.read)
                return b" 200 OK" in watching.read

        until(begun)
    with Watching(web, agency, url) as first:
        first.until(lambda one: one.stills > 0)
        with Watching(web, agency, url) as second:
            second.until(lambda one: b"\r\n\r\n" in one.read)
        assert b" 429 " in second.read


def test_a_reader_that_does_not_read_holds_up_nobody_and_is_not_written_ahead_to(
    agency: Agency, web: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, looks = agency.begin(4), 0

    async def changing(look: Callable[[], UploadStatus | None]) -> UploadStatus | None:
        nonlocal looks
        looks += 1
        status = look()
        return status and status.model_copy(update={"rows_read": looks, "name": "x" * 50_000})

    monkeypatch.setattr(progress, "run_in_threadpool", changing)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    with Watching(web, agency, url, room=4_096):
        before = -1
        while looks != before:  # until the server waits for its reader
            before = looks
            time.sleep(1)
        assert 1 < looks < 400
        with Watching(web, agency, url) as other:
            other.until(lambda one: len(one.told) > 20)
        assert agency.offset(url) == 0


def test_a_server_that_is_told_to_stop_does_not_wait_for_who_watches(
    exchange_home: Home, agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SHUTDOWN_SECONDS", 1)
    web = running.server(exchange_home)
    web.config.port = 0
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    until(lambda: web.started)
    with Watching(web, agency, agency.begin(4)) as watching:
        watching.until(lambda one: one.stills > 0)
        web.should_exit = True
        thread.join(15)
        assert not thread.is_alive()
        watching.to_its_end()
