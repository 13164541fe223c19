"""A web application on a free loopback port, in a thread that ends with the block."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

_START_SECONDS: Final = 30.0


@contextlib.contextmanager
def listening(app: ASGIApp, name: str) -> Iterator[int]:
    """Serve the application; give the port.

    Raises:
        RuntimeError: it did not start within half a minute.
    """
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            app, access_log=False, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],), name=name, daemon=True)
        thread.start()
        try:
            _wait_for(server, name)
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _wait_for(server: uvicorn.Server, name: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not start within {_START_SECONDS:.0f} s")
        time.sleep(0.01)
