"""One server process for a benchmark: the product's application, or a handler that does nothing, on the same server.

Run as `python -m bench.rig.serving app HOME PORT ISSUER_PORT` or `… noop …`; `serving` starts it, waits until it
answers, and ends it. The server is uvicorn, its access log off, our own journal written and thrown away; scheduled
jobs are not in this process.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Literal

import uvicorn
from fastapi import FastAPI, Request

from bench.rig.load import HOST
from bench.rig.shares import Shares
from exchange import journal
from exchange.cli.running import server
from exchange.home import open_home
from exchange.settings import Settings

What = Literal["app", "noop"]
_UNWATCHED: Final = 200  # answers that warm a process up before its parts are added up
_START_SECONDS: Final = 60.0
_LIMITS: Final = Path(__file__).parents[1] / "limits.yml"


def settings(home: Path, port: int, issuer_port: int | None = None) -> Settings:
    """Return the settings of a benchmark's installation, whose address is that of the process at `issuer_port`."""
    return Settings(
        home=home,
        issuer=f"http://{HOST}:{issuer_port or port}",
        listen_host=HOST,
        listen_port=port,
        postgres="wheel",
        limits=_LIMITS,
    )


@contextmanager
def fresh_home() -> Iterator[Path]:
    """Give an empty home that the database's account can reach, and remove it."""
    with tempfile.TemporaryDirectory(prefix="qqb-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield home


@contextmanager
def serving(
    what: What, home: Path, port: int, issuer_port: int | None = None, *, shares: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve in a process of its own until the block ends; several may serve one installation, under one's address.

    Raises:
        RuntimeError: it does not listen within a minute.
    """
    told = [str(home), str(port), str(issuer_port or port), *([str(shares)] if shares else [])]
    command = [sys.executable, "-m", "bench.rig.serving", what, *told]
    with subprocess.Popen(command) as server:
        try:
            wait_for(port, server)
            yield server
        finally:
            server.terminate()
            server.wait(30)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Wait until a process listens.

    Raises:
        RuntimeError: it ended, or did not within a minute.
    """
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not start")


def _noop() -> FastAPI:
    app = FastAPI()

    @app.post("/noop")
    async def noop(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return app


def main(what: str, home: str, port: str, issuer_port: str, shares: str = "") -> None:
    """Serve until terminated."""
    if what == "noop":
        uvicorn.run(_noop(), host=HOST, port=int(port), access_log=False, log_config=None, server_header=False)
        return
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn hands it on when it has ended; the rest is to end in order
    with ExitStack() as stack:
        opened = stack.enter_context(open_home(settings(Path(home), int(port), int(issuer_port))))
        journal.set_up(stack.enter_context(Path(os.devnull).open("w")))
        if shares:
            stack.enter_context(Shares(_UNWATCHED).watching(Path(shares)))
        server(opened).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
