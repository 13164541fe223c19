"""SIGTERM to `qingqiao serve`, as a restart sends it: what was begun or is on its way is answered, and nobody waits."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from exchange.cli.running import SHUTDOWN_SECONDS
from exchange.home import Home
from tests.databases import Addresses
from tests.lines import answered

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: exchange\r\n\r\n"
HEAD = b"POST /oauth/token HTTP/1.1\r\nHost: exchange\r\nContent-Length: 8\r\n\r\n"


@contextmanager
def process(home: Home, addresses: Addresses, port: int, said: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command as an operator does, until the block ends; `said` takes its journal."""
    told = {
        "PATH": os.defpath,
        "QINGQIAO_HOME": str(home.settings.home),
        "QINGQIAO_DATABASE_URL": addresses.database_url,
        "QINGQIAO_KEYSTORE_URL": addresses.keystore_url,
        "QINGQIAO_LISTEN_PORT": str(port),
    }
    command = [sys.executable, "-c", "from exchange.cli import main; main()", "serve", "--no-jobs"]
    with subprocess.Popen(command, cwd=ROOT, env=told, stdout=said, stderr=said) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def serving(home: Home, addresses: Addresses) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run it until it listens; on another port, if somebody else took the one that was free."""
    for _ in range(5):
        port, journal = free_port(), home.settings.home / "web.log"
        with journal.open("wb") as said, process(home, addresses, port, said) as web:
            if it_listens(web, journal):
                yield port, web
                return
    pytest.fail("five times it ended before it listened")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def it_listens(web: subprocess.Popen[bytes], journal: Path) -> bool:
    """Wait until it says that it listens, or ends. Whether anybody listens on its port proves nothing."""
    end = time.monotonic() + 60
    while b"Uvicorn running on" not in journal.read_bytes():
        if web.poll() is not None:
            return False
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return True


def answer(line: socket.socket, said: bytes) -> tuple[int, bool]:
    """Say something, and give the status of the answer and whether it takes leave."""
    line.sendall(said)
    return answered(line)


def closed(line: socket.socket) -> bool:
    """Say whether nothing but what was on its way comes any more."""
    while line.recv(65536):
        pass
    return True


def test_what_was_begun_or_is_on_its_way_when_a_process_is_to_end_is_answered(
    exchange_home: Home, addresses: Addresses
) -> None:
    with serving(exchange_home, addresses) as (port, web):
        begun, busy, late, silent = (socket.create_connection((HOST, port), timeout=20) for _ in range(4))
        with begun, busy, late, silent:
            assert answer(late, ALIVE) == (200, False)
            begun.sendall(HEAD + b"gran")
            web.send_signal(signal.SIGTERM)
            while not answer(busy, ALIVE)[1]:  # asks until it is told that the process takes leave
                pass
            assert answer(late, ALIVE) == (200, True), "a question that was on its way to a connection that was idle"
            assert not listens(port), "whoever is new is refused before a byte was sent, and goes elsewhere"
            status, leave = answer(begun, b"t=x&")
            assert (status // 100, leave) == (4, True), "what was begun is finished"
            assert all(map(closed, (begun, busy, late, silent)))
            assert web.wait(SHUTDOWN_SECONDS) == 0, "all was ended in order"
