"""Slow clients, over real sockets and the server that `qingqiao serve` starts: they end, and keep nobody out."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest
import yaml

from exchange.cli import running
from exchange.connections import LOOK_SECONDS, PIPELINED
from exchange.home import SANDBOX, Home
from exchange.limits import declared
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.databases import Server, fresh
from tests.lines import answered

BOUNDS = {
    "at_most": 250, "of_one_peer": 200, "header_bytes": 8192, "header_seconds": 2, "body_seconds": 2,
    "write_seconds": 1, "idle_seconds": 2,
}  # fmt: skip
_ASKED = PIPELINED + 1  # answers of some megabytes each
_READ_A_SECOND = 1_200_000  # bytes, by who reads slowly: more than is asked of one, less than an answer in its time


@pytest.fixture(scope="module")
def port(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An exchange that listens, with small bounds."""
    home = tmp_path_factory.mktemp("slow")
    file = home / "limits.yml"
    raw = declared.of(None).model_dump() | {"connections": BOUNDS}
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    keyring = Keyring.create(home, origin=SANDBOX.log_origin, now=clock.now())
    settings = Settings(home=home, issuer="http://127.0.0.1:8420", limits=file)
    with (
        fresh(server) as made,
        closing(Database(made.database_url)) as database,
        closing(Database(made.keystore_url)) as keystore,
        serving(Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))) as port,
    ):
        yield port


@contextmanager
def serving(home: Home) -> Iterator[int]:
    web = running.server(home)
    web.config.port = 0
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not web.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield web.servers[0].sockets[0].getsockname()[1]
    finally:
        web.should_exit = True
        thread.join()


def dialled(port: int, sent: bytes = b"") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=15)
    line.sendall(sent)
    return line


def rest(line: socket.socket) -> bytes:
    """Read until the other side ends, or fail after 15 seconds."""
    came = b""
    try:
        while piece := line.recv(65536):
            came += piece
    except ConnectionResetError:
        pass
    return came


def post(length: int) -> bytes:
    head = "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    return f"{head}content-length: {length}\r\n\r\n".encode()


def alive(port: int) -> float:
    begun = time.monotonic()
    assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=20).status_code == 200
    return time.monotonic() - begun


def test_three_hundred_that_drip_keep_nobody_out(port: int) -> None:
    with ExitStack() as held:
        drips = []
        for number in range(300):
            begun = post(1000) + b"a" if number % 2 else b"GET /readyz HTTP/1.1\r\nx-a: "
            drips.append(held.enter_context(closing(dialled(port, begun))))
        assert max(alive(port) for _ in range(5)) < 5
        for _ in range(4):  # each sends a byte now and then: none of it is a new beginning
            for line in drips:
                try:
                    line.send(b"a")
                except OSError:
                    continue
            alive(port)
            time.sleep(0.8)
        ends = [rest(line) for line in drips]
    assert all(not one or one.startswith(b"HTTP/1.1 408") for one in ends)
    assert sum(b"request-too-slow" in one for one in ends) > 50
    assert sum(one.endswith(b"content-length: 0\r\n\r\n") for one in ends) > 20


def test_a_connection_that_says_nothing_ends_and_so_does_one_that_is_idle(port: int) -> None:
    silent = dialled(port)
    idle = dialled(port, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    begun = time.monotonic()
    with closing(silent), closing(idle):
        assert rest(silent).startswith(b"HTTP/1.1 408")
        assert 1 < time.monotonic() - begun < 6
        assert rest(idle).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - begun < 8


def test_headers_without_end_are_not_kept(port: int) -> None:
    with closing(dialled(port, b"GET /readyz HTTP/1.1\r\n")) as line:
        try:
            for _ in range(1000):
                line.sendall(b"x-more: " + b"a" * 100 + b"\r\n")
        except OSError:
            return
        assert not rest(line).startswith(b"HTTP/1.1 200")


def test_requests_that_do_not_wait_for_answers_are_not_kept_by_the_thousand(port: int) -> None:
    with closing(dialled(port, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 200)) as line:
        came = rest(line)
    assert 0 < came.count(b"HTTP/1.1 ") <= PIPELINED + 2
    assert alive(port) < 2


@pytest.mark.parametrize("piece", [b"x-behind: " + b"a" * 90 + b"\r\n", b"a" * 100])
def test_what_comes_behind_a_body_without_end_is_not_kept(port: int, piece: bytes) -> None:
    head = b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\nx: "
    sent = 0
    with closing(dialled(port, head)) as line:
        try:
            while sent < 40_000_000:
                line.sendall(piece * 100)
                sent += len(piece) * 100
        except OSError:
            pass
        rest(line)
    assert sent < 20_000_000  # what lies on the way, and no more


def test_a_header_behind_a_body_is_no_header(port: int) -> None:
    head = b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with closing(dialled(port, head + b"1\r\na\r\n" * 3000 + b"0\r\nx-behind: a\r\n\r\n")) as line:
        assert 400 <= answered(line)[0] < 500  # pieces of one byte each are a body like any other
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answered(line) == (200, False)


def test_who_does_not_read_is_let_go_of(port: int) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * _ASKED
    one = len(httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=30).content)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    line.settimeout(15)
    with closing(line):
        line.connect(("127.0.0.1", port))
        line.sendall(asked)
        time.sleep(3)
        came = rest(line)
    assert len(came) < _ASKED * one / 2  # what the system keeps on the way, and no more
    assert alive(port) < 2


def test_who_reads_slowly_but_reads_gets_all_of_a_long_answer(port: int) -> None:
    whole = httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=30).content
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    line.settimeout(15)
    came, begun = bytearray(), time.monotonic()
    with closing(line):
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        while len(came) < 2 * len(whole) or not came.endswith(whole[-64:]):
            piece = line.recv(65536)
            assert piece, f"cut after {len(came)} of twice {len(whole)} bytes"
            came += piece
            time.sleep(len(piece) / _READ_A_SECOND)
    assert came.endswith(whole)
    assert came.count(whole) == 2
    assert time.monotonic() - begun > BOUNDS["idle_seconds"] + 2 * LOOK_SECONDS


def test_a_client_that_takes_its_time_within_the_bounds_is_answered(port: int) -> None:
    with closing(dialled(port)) as line:
        for piece in (b"POST /oauth/token HTTP/1.1\r\n", b"host: x\r\n", post(5).partition(b"host: x\r\n")[2]):
            line.sendall(piece)
            time.sleep(0.1)
        for byte in b"a=b&c":
            line.sendall(bytes([byte]))
            time.sleep(0.1)
        assert answered(line)[0] == 400
