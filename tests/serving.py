"""An exchange that serves on loopback behind a line that can break, and people of an office who call it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

import httpx
import uvicorn

from connectors import uploading
from exchange.cli.running import server
from exchange.client import Client, new_client
from exchange.home import SANDBOX, Home
from exchange.jobs import intake_of
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from sandbox.agencies.faults import Fault, Faults
from sandbox.agencies.line import line
from sandbox.agency import Agency
from tests.agencies import permitted

OFFICE = "民和县农业农村局（沙箱）"


class Exchange:
    """An exchange that serves behind a line that can break. `web` is its server, `thread` what it runs in."""

    def __init__(self, home: Home, faults: Faults, web: uvicorn.Server, thread: threading.Thread) -> None:
        self.home, self.faults, self.web, self.thread = home, faults, web, thread
        permitted(home, OFFICE)

    def enrolled(self, name: str) -> Client:
        """Register one person or system of the office."""
        client = new_client(name)
        with self.home.database.transaction() as tx:
            clients.register(tx, name, role=Role.AGENCY, organisation=OFFICE, jwks=client.jwks, now=clock.now())
        return client

    def clerk(self, name: str) -> Agency:
        """Register one person of the office, and give its client."""
        fresh = httpx.Limits(max_keepalive_connections=0)  # each request a connection, as over a bad line
        http = httpx.Client(base_url=self.home.settings.issuer, timeout=20, limits=fresh)
        return Agency(self.home.settings.issuer, self.enrolled(name), http=http, pause=lambda _: self.take())

    def take(self) -> None:
        """Do what the scheduled job does."""
        uploading.take_all(intake_of(self.home), self.home.uploads)


@contextmanager
def exchange_behind_a_line(home: Path, database: Database, keystore: Database) -> Iterator[Exchange]:
    """Serve an installation until the test is over; RESET and SLOW can be switched on for its line."""
    keyring = Keyring.create(home, origin=SANDBOX.log_origin, now=clock.now())
    faults = Faults([Fault.RESET, Fault.SLOW])
    served: list[uvicorn.Server] = []
    with line(lambda: create_connection(("127.0.0.1", _port(served[0]))), faults) as port:
        settings = Settings(home=home, issuer=f"http://127.0.0.1:{port}")
        installation = Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))
        web = server(installation)
        web.config.port = 0
        served.append(web)
        thread = threading.Thread(target=web.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not web.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield Exchange(installation, faults, web, thread)
        finally:
            web.should_exit = True
            thread.join()


def _port(web: uvicorn.Server) -> int:
    port: int = web.servers[0].sockets[0].getsockname()[1]
    return port
