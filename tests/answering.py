"""Servers on loopback that stand in for agencies' systems: what they answer, a test says."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, str], bytes]


class Agency:
    """A server over HTTP whose answers a test chooses; it remembers what it was asked. `tls`: certificate and key."""

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[str, dict[str, list[str]], bytes], Answer] = lambda *_: page([])
        agency = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # as the library calls it
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                agency.asked.append((self.command, self.path, dict(self.headers), body))
                parts = urlsplit(self.path)
                status, headers, content = agency.answer(parts.path, parse_qs(parts.query), body)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = True

            do_POST = do_GET  # noqa: N815  # as the library calls it

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: callers that hang up are what the tests are about."""


def page(rows: Sequence[Any], status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """A page of rows, as JSON."""
    return status, headers or {}, json.dumps({"items": rows, **more}).encode()


@contextmanager
def speaking(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve every caller by a function of its bare socket; give the port. Whoever still talks at the end is cut off."""
    callers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def speak(caller: socket.socket) -> None:
        with caller, suppress(OSError):
            serve(caller)

    def listen() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listening.accept()
                callers.append(caller)
                threads.append(threading.Thread(target=speak, args=(caller,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for caller in callers:
                with suppress(OSError):
                    caller.shutdown(socket.SHUT_RDWR)
            for one in threads:
                one.join()


@contextmanager
def relaying(host: str, port: int, *, silent_after: bytes) -> Iterator[int]:
    """Relay to a server that says nothing more once it was asked something with these bytes in it; give the port."""

    def serve(caller: socket.socket) -> None:
        silent = threading.Event()

        def ask() -> None:
            with suppress(OSError):
                while piece := caller.recv(65_536):
                    if silent_after in piece:
                        silent.set()
                    inner.sendall(piece)
            with suppress(OSError):
                inner.shutdown(socket.SHUT_RDWR)

        with dialled(host, port) as inner:
            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            with suppress(OSError):
                while piece := inner.recv(65_536):
                    if not silent.is_set():
                        caller.sendall(piece)
            asking.join()

    with speaking(serve) as opened:
        yield opened


def dialled(host: str, port: int) -> socket.socket:
    """Reach a PostgreSQL server on its port, or on the socket in a directory."""
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    one = socket.socket(socket.AF_UNIX)
    one.connect(f"{host}/.s.PGSQL.{port}")
    return one
