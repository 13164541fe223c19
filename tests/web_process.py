"""A web process of its own for tests: it does what `qingqiao serve --no-jobs` does, on a socket that the test made.

`web_process` starts `python -m tests.web_process`. It listens on loopback, at a port that nobody else can take
meanwhile, and ends when its standard input does: with the block, or with a test run that was killed.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import uvicorn

from exchange import journal
from exchange.cli.running import server
from exchange.home import Home, open_home
from exchange.settings import Settings
from tests.databases import Addresses

HOST: Final = "127.0.0.1"
_ROOT: Final = Path(__file__).parents[1]
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 30.0


@contextmanager
def web_process(home: Home, addresses: Addresses) -> Iterator[int]:
    """Serve an installation until the block ends; give the port.

    Raises:
        httpx.HTTPError: it does not answer within a minute.
    """
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        process = _started(home, addresses, listening)
    with process:
        try:
            httpx.get(f"http://{HOST}:{port}/readyz", timeout=_START_SECONDS, trust_env=False).raise_for_status()
            yield port
        finally:
            _end(process)


def _started(home: Home, addresses: Addresses, listening: socket.socket) -> "subprocess.Popen[bytes]":
    told = {
        "QINGQIAO_HOME": str(home.settings.home),
        "QINGQIAO_ISSUER": home.settings.issuer,
        "QINGQIAO_DATABASE_URL": addresses.database_url,
        "QINGQIAO_KEYSTORE_URL": addresses.keystore_url,
    }
    given = os.environ  # noqa: TID251  # of this test run, handed on to a process of our own
    command = [sys.executable, "-m", "tests.web_process", str(listening.fileno())]
    return subprocess.Popen(
        command, cwd=_ROOT, env={**given, **told}, stdin=subprocess.PIPE, pass_fds=[listening.fileno()]
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _leave_with(web: uvicorn.Server) -> None:
    os.read(sys.stdin.fileno(), 1)
    web.should_exit = True


def main(listening: str) -> None:
    """Serve on an open socket until the standard input ends."""
    journal.set_up()
    with open_home(Settings()) as home:
        web = server(home)
        threading.Thread(target=_leave_with, args=[web], daemon=True).start()
        web.run(sockets=[socket.socket(fileno=int(listening))])


if __name__ == "__main__":
    main(*sys.argv[1:])
