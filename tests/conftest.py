"""What every test may ask for.

`database` and `keystore` are fresh databases of one test, at the newest revision (tests/databases.py). The server is
a private one with the wheel's binaries, shared by all workers of a run; QINGQIAO_DATABASE_URL names another (its role
must be allowed to create databases).

With `--processes` applications are web processes of their own: all files stand on two of them, which `door` calls in
turn; for a test that asks for a `second` process, `door` is the first. See tests/attacks/test_on_two_processes.py.

Tests under tests/unit have no sockets. Nothing here skips: what is missing is a failure.
"""

import gc
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final, Literal

import psycopg
import pytest
from psycopg import sql

from exchange.garbage import spare_the_collector
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry import clock, schema
from registry.database import Database
from registry.datakeys import DataKeys
from registry.embedded import EmbeddedPostgres
from registry.keyring import Keyring
from tests.attacks import bent_client
from tests.attacks.bent_client import Door
from tests.databases import Addresses, Server, fresh
from tests.standing import Standing, stand

_COLLECTED_EVERY: Final = 20  # tests
_FINISHED = count(1)
_HERE = Path(__file__).parent
os.environ["QINGQIAO_LIMITS"] = str(_HERE / "limits.yml")  # noqa: TID251  # of the processes that tests start, too
_TEMPLATE_LOCK = 7_118_420  # held while one worker makes or drops the templates and the others wait
_USER_LOCK = _TEMPLATE_LOCK + 1  # shared by the workers that use them


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--processes`."""
    parser.addoption("--processes", action="store_true", help="call web processes over sockets, no application in here")


def pytest_collection_finish() -> None:
    """Let the collector pass over what is loaded by now: each test builds an application, and there are thousands."""
    spare_the_collector()


def pytest_runtest_logfinish() -> None:
    """Collect what some tests have left, since by itself the collector comes too seldom for that many applications."""
    if next(_FINISHED) % _COLLECTED_EVERY == 0:
        gc.collect()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Iterator[Server]:
    """The server of this run; the workers of one run share it."""
    given = os.environ.get("QINGQIAO_DATABASE_URL")  # noqa: TID251  # the tests' own door: settings are made by hand
    if given is not None:
        yield from _with_templates(given, testrun_uid)
        return
    run = tmp_path_factory.getbasetemp()
    shared = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run  # noqa: TID251  # pytest's own, not ours
    with EmbeddedPostgres(shared / "server", prefer="wheel") as embedded:
        _spare_the_disk(embedded.url)
        yield from _with_templates(embedded.url, testrun_uid, "FILE_COPY")


def _spare_the_disk(url: str) -> None:
    """Let the server of this run not wait for the disk: two databases a test are made and dropped ten times as fast.

    Tests kill processes, never the machine: what a process has written, the system keeps.
    """
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def _with_templates(url: str, run: str, strategy: Literal["FILE_COPY", "WAL_LOG"] = "WAL_LOG") -> Iterator[Server]:
    server = Server(url, f"qq_{run[:12]}_main", f"qq_{run[:12]}_keys", strategy)
    templates = (server.main_template, server.keystore_template)
    with closing(psycopg.connect(server.address("postgres"), autocommit=True)) as held:
        held.execute("SELECT pg_advisory_lock(%s)", [_TEMPLATE_LOCK])
        held.execute("SELECT pg_advisory_lock_shared(%s)", [_USER_LOCK])
        if held.execute("SELECT FROM pg_database WHERE datname = %s", [server.main_template]).fetchone() is None:
            for name in reversed(templates):
                held.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            schema.upgrade(*(server.address(name) for name in templates))
        held.execute("SELECT pg_advisory_unlock(%s)", [_TEMPLATE_LOCK])
        yield server
        server.drop_spare()
        held.execute("SELECT pg_advisory_lock(%s)", [_TEMPLATE_LOCK])
        held.execute("SELECT pg_advisory_unlock_shared(%s)", [_USER_LOCK])
        if held.execute("SELECT pg_try_advisory_lock(%s)", [_USER_LOCK]).fetchone() == (True,):  # nobody else is left
            server.drop(*templates)


@pytest.fixture
def addresses(request: pytest.FixtureRequest, server: Server) -> Iterator[Addresses]:
    """Two fresh databases of this test; in a file that says STANDING, that file's own."""
    if _stands(request):
        standing: Standing = request.getfixturevalue("standing")
        yield standing.addresses
        return
    with fresh(server) as made:
        yield made


@pytest.fixture
def database(addresses: Addresses) -> Iterator[Database]:
    """The main database of this test."""
    database = Database(addresses.database_url)
    yield database
    database.close()


@pytest.fixture
def keystore(addresses: Addresses) -> Iterator[Database]:
    """The key store of this test."""
    database = Database(addresses.keystore_url)
    yield database
    database.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with nothing in it; what it put elsewhere goes with it."""
    home = tmp_path / "home"
    yield home
    elsewhere = home / "postgres" / "data-directory"
    if elsewhere.is_file():
        shutil.rmtree(elsewhere.read_text(encoding="utf-8").strip())


@pytest.fixture
def exchange_home(request: pytest.FixtureRequest) -> Home:
    """An installation with fresh keys over this test's databases; in a file that says STANDING, that file's own."""
    if _stands(request):
        standing: Standing = request.getfixturevalue("standing")
        return standing.emptied()
    home: Path = request.getfixturevalue("home")
    keyring = Keyring.create(home, origin="exchange.example/log", now=clock.now())
    settings = Settings(home=home, issuer="https://exchange.example")
    database: Database = request.getfixturevalue("database")
    return Home(settings, SANDBOX, keyring, database, DataKeys(request.getfixturevalue("keystore"), keyring))


@pytest.fixture
def door(request: pytest.FixtureRequest, exchange_home: Home) -> Iterator[Door]:
    """An application over `exchange_home`."""
    if _stands(request):
        standing: Standing = request.getfixturevalue("standing")
        yield standing.door() if "second" in request.fixturenames else standing.in_turn()
        return
    with Door(exchange_home) as opened:
        yield opened


@pytest.fixture
def second(request: pytest.FixtureRequest, standing: Standing, door: Door) -> Door:
    """Another process than `door`, over the same databases, in a file that says STANDING."""
    assert _stands(request)
    return standing.door("two")


@pytest.fixture(scope="module")
def standing(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    """An installation for a whole file: its applications are built once, its databases emptied for each test."""
    if request.config.getoption("processes"):
        yield request.getfixturevalue("processes")
        return
    with stand(server, tmp_path_factory.mktemp("standing") / "home") as made:
        yield made


@pytest.fixture(scope="session")
def processes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """With `--processes` the one installation of all files, whose processes start once."""
    with stand(server, tmp_path_factory.mktemp("processes") / "home", processes=True) as made:
        yield made


def _stands(request: pytest.FixtureRequest) -> bool:
    return getattr(request.module, "STANDING", False) or request.config.getoption("processes")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a short path, which the server's account can reach."""
    with tempfile.TemporaryDirectory(prefix="qqt-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(autouse=True)
def _no_application_in_here_beside_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.config.getoption("processes"):
        monkeypatch.delattr(bent_client, "create_app")


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.is_relative_to(_HERE / "unit"):
        monkeypatch.setattr(socket.socket, "connect", _refuse("connect"))
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse("connect_ex"))
        monkeypatch.setattr(socket.socket, "bind", _refuse("bind"))
        monkeypatch.setattr(socket, "create_connection", _refuse("create_connection"))
        monkeypatch.setattr(socket, "getaddrinfo", _refuse("getaddrinfo"))
        monkeypatch.setattr(psycopg, "connect", _refuse("psycopg.connect"))
        monkeypatch.setattr(psycopg.Connection, "connect", _refuse("psycopg.Connection.connect"))


def _refuse(name: str) -> Callable[..., None]:
    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail(f"a unit test called {name}: it belongs in tests/integration")

    return refuse
