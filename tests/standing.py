"""An installation that stands for a whole file of tests: applications built once, databases emptied for each test.

Building an application takes longer than most tests. What an application remembers (registrations, prepared statements)
outlives the emptying; tests that share one therefore see it as a process that has run for a while.

With `--processes` each application is a web process of its own, called over its socket.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.attacks.bent_client import ISSUER, Door, Served
from tests.databases import Addresses, Copy, Server
from tests.web_process import web_process


@dataclass
class Standing:
    """The installation, and its applications by name."""

    home: Home
    addresses: Addresses
    server: Server
    pair: tuple[Copy, Copy]
    processes: bool = False
    doors: dict[str, Door] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def emptied(self) -> Home:
        """Empty the databases, and give the installation."""
        for copy in self.pair:
            assert self.server.emptied(copy), "a test changed the shape of a database that others use after it"
        (self.home.settings.home / "keys" / "log-signed.json").unlink(missing_ok=True)  # of a log that is gone
        return self.home

    def door(self, name: str = "one", home: Home | None = None) -> Door:
        """Give an application, built at its first use; of another name it is another process's."""
        if self.processes:
            assert home is None, "the installation of a web process is that of its home"
            return self._served(name)
        if name not in self.doors:
            self.doors[name] = self._open.enter_context(Door(home or self.home))
        return self.doors[name]

    def in_turn(self) -> Door:
        """Give the application `one`; where applications are processes, `one` and `two` in turn."""
        return self._served("one", "two") if self.processes else self.door("one")

    @contextmanager
    def anew(self) -> Iterator[Door]:
        """Give an application that has seen nothing yet, until the block ends."""
        if not self.processes:
            with Door(self.home) as made:
                yield made
            return
        with web_process(self.home, self.addresses) as port, Served(port) as made:
            yield made

    def _served(self, *names: str) -> Door:
        together = " and ".join(names)
        if together not in self.doors:
            self.doors[together] = self._open.enter_context(Served(*map(self._port, names)))
        return self.doors[together]

    def _port(self, name: str) -> int:
        if name not in self._ports:
            self._ports[name] = self._open.enter_context(web_process(self.home, self.addresses))
        return self._ports[name]

    def close(self) -> None:
        """Close the applications."""
        self._open.close()


@contextmanager
def stand(server: Server, path: Path, *, processes: bool = False) -> Iterator[Standing]:
    """Set an installation up with fresh keys, and take it down."""
    pair = server.pair()
    addresses = Addresses(*(server.address(copy.name) for copy in pair))
    database, keystore = Database(addresses.database_url), Database(addresses.keystore_url)
    keyring = Keyring.create(path, origin="exchange.example/log", now=clock.now())
    home = Home(Settings(home=path, issuer=ISSUER), SANDBOX, keyring, database, DataKeys(keystore, keyring))
    standing = Standing(home, addresses, server, pair, processes)
    try:
        yield standing
    finally:
        standing.close()
        database.close()
        keystore.close()
        server.spare.append(pair)
