"""An agency's system, in process and over a real socket, for the tests of uploads."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from exchange.app import create_app
from exchange.home import Home
from tests.attacks.bent_client import ISSUER, Caller, Door

UPLOADS = f"{ISSUER}/agency/v1/uploads"
BYTES = {"Content-Type": "application/offset+octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}


class Agency:
    """One registered client with a token, at a door."""

    def __init__(self, door: Door, caller: Caller) -> None:
        self.door, self.caller, self.token = door, caller, caller.token(door)

    def call(self, method: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send one request with credentials."""
        path = url.partition("?")[0]
        return self.door.call(
            method, url, headers={**self.caller.headers(method, path, self.token), **TUS, **(headers or {})}, **more
        )

    def create(self, size: int, **metadata: str) -> httpx.Response:
        """Create an upload."""
        said = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in metadata.items())
        return self.call("POST", UPLOADS, {"Upload-Length": str(size), **({"Upload-Metadata": said} if said else {})})

    def begin(self, size: int, **metadata: str) -> str:
        """Create an upload and give its address, or fail the test."""
        answer = self.create(size, **metadata)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def send(self, url: str, offset: int, body: bytes, **headers: str) -> httpx.Response:
        """Send bytes at an offset."""
        return self.call("PATCH", url, {**BYTES, "Upload-Offset": str(offset), **headers}, content=body)

    def offset(self, url: str) -> int:
        """Ask how much has arrived."""
        answer = self.call("HEAD", url)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["Upload-Offset"])

    def upload(self, raw: bytes, **metadata: str) -> str:
        """Upload bytes whole; give the upload's address."""
        url = self.begin(len(raw), **metadata)
        assert self.send(url, 0, raw).status_code == 204
        return url

    def json(self, url: str) -> Any:
        """Get a document, or fail the test."""
        answer = self.call("GET", url)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def served(home: Home) -> Iterator[int]:
    """Serve an installation on loopback, on a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(home), log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)


def patch_head(agency: Agency, url: str, offset: int, length: int, **more: str) -> bytes:
    """Write the head of a PATCH as it goes over the wire."""
    path = url.removeprefix(ISSUER)
    headers = {
        **agency.caller.headers("PATCH", url, agency.token),
        **TUS,
        **BYTES,
        "Host": "exchange.example",
        "Upload-Offset": str(offset),
        "Content-Length": str(length),
        **more,
    }
    lines = [f"PATCH {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
