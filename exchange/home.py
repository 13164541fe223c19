"""One installation, opened: its databases, keys and mode, as one value that is passed down.

A home is a sandbox unless it was made with `qingqiao init --production`, and says so in every answer. The choice,
and who operates it on what authority (docs/requirements.md R-01), are written once into `<home>/installation.json`.
How the operator is reached (R-13) lies there too and may change: `qingqiao installation contact`. A production home
that does not say it is not opened.

`open_home` makes what a fresh home lacks (keys, schema); a database that is behind is brought up to date in a
sandbox, and in production only by `qingqiao db upgrade`, since that is an act with a backup before it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

import orjson

from connectors.executors import IN_PROCESS, Dask, Processes, Workers
from consent.parties import Contact, Party
from exchange.settings import Settings
from registry import clock, schema
from registry.database import Database
from registry.datakeys import DataKeys
from registry.embedded import EmbeddedPostgres, Prefer
from registry.errors import DatabaseUnavailable
from registry.keyring import Keyring
from registry.store import Sealing
from registry.suites import intl

_FILE = "installation.json"


class Mode(StrEnum):
    """Whether the people in here are real."""

    SANDBOX = "sandbox"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Installation:
    """What was chosen when the home was made; it stands in every answer (docs/requirements.md R-01).

    `contact` is how people reach the operator, and the one thing of it that may change.
    """

    mode: Mode
    operator: str
    operating_mode: str
    authorisation: str
    authorised_until: str | None
    log_origin: str
    contact: Contact

    @property
    def party(self) -> Party:
        """The operator as people are told of it."""
        return Party(self.operator, self.contact)


SANDBOX = Installation(
    mode=Mode.SANDBOX,
    operator="Qingqiao sandbox",
    operating_mode="sandbox: synthetic people only",
    authorisation="none",
    authorised_until=None,
    log_origin="qingqiao.example/sandbox",
    contact=Contact(
        office="沙箱个人信息保护办公室",
        phone="0971-0000000",  # no subscriber's number begins with 0
        address="青海省西宁市示例路0号",
        email="privacy@qingqiao.example",
        url="https://qingqiao.example/privacy",
    ),
)


class HomeExists(Exception):  # a statement, as the other errors are
    """The home has been made already; what was chosen for it stands."""


class InstallationIncomplete(Exception):  # a statement, as the other errors are
    """A home of before does not say what this release has to tell people."""


@dataclass(frozen=True, slots=True)
class Home:
    """An opened installation."""

    settings: Settings
    installation: Installation
    keyring: Keyring
    database: Database
    datakeys: DataKeys

    @property
    def installation_label(self) -> dict[str, str | None]:
        """What every answer says of the installation (docs/requirements.md R-01)."""
        chosen = self.installation
        return {
            "mode": chosen.mode.value,
            "operator": chosen.operator,
            "operating_mode": chosen.operating_mode,
            "authorisation": chosen.authorisation,
            "authorised_until": chosen.authorised_until,
        }

    @property
    def workers(self) -> Workers:
        """Who cleans the rows and seals the records of an intake of many rows, as the settings say."""
        told = self.settings
        if told.dask_scheduler and told.dask_ca and told.dask_certificate and told.dask_key:
            return Dask(told.dask_scheduler, told.dask_ca, told.dask_certificate, told.dask_key)
        return Processes(told.intake_processes) if told.intake_processes else IN_PROCESS

    @property
    def sealing(self) -> Sealing:
        """What the store needs to seal with."""
        return Sealing(self.datakeys, self.keyring, intl)

    @property
    def raw(self) -> Path:
        """Where sealed raw files lie while they are open for correction."""
        return self.settings.home / "raw"

    @property
    def uploads(self) -> Path:
        """Where the sealed chunks of uploads lie until intake has them."""
        return self.settings.home / "uploads"


def make(settings: Settings, installation: Installation) -> None:
    """Choose, once, what this home is.

    Raises:
        HomeExists: it has been chosen already.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / _FILE
    if path.exists():
        raise HomeExists("this home has been made already; choose another QINGQIAO_HOME")
    path.write_bytes(orjson.dumps(asdict(installation), option=orjson.OPT_INDENT_2))


def read_installation(settings: Settings) -> Installation:
    """Read what this home is, making it a sandbox if nothing was chosen.

    Raises:
        InstallationIncomplete: a production home that does not say how its operator is reached.
        ContactInvalid: what it says of that is not of its form.
    """
    path = settings.home / _FILE
    if not path.exists():
        make(settings, SANDBOX)
    chosen = orjson.loads(path.read_bytes())
    mode, stated = Mode(chosen["mode"]), chosen.get("contact")
    if stated is None and mode is Mode.PRODUCTION:
        raise InstallationIncomplete(
            "本系统未写明运营单位的联系方式（个人信息保护法第十七条），请先运行 qingqiao installation contact"
            " / this home does not say how its operator is reached; run: qingqiao installation contact"
        )
    contact = SANDBOX.contact if stated is None else Contact.read(stated)
    return Installation(**chosen | {"mode": mode, "contact": contact})


def state_contact(settings: Settings, contact: Contact) -> None:
    """Write how the operator is reached in the place of what stood; receipts of before keep what they say."""
    path = settings.home / _FILE
    if not path.exists():
        make(settings, replace(SANDBOX, contact=contact))
        return
    written = path.with_suffix(".new")
    chosen = orjson.loads(path.read_bytes()) | {"contact": asdict(contact)}
    written.write_bytes(orjson.dumps(chosen, option=orjson.OPT_INDENT_2))
    written.replace(path)  # whole or not at all


@contextmanager
def addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give the addresses of both databases, starting the embedded server for as long as they are needed.

    Raises:
        EmbeddedError: the private PostgreSQL cannot be started here.
    """
    url, keystore_url = settings.database_url, settings.keystore
    if url is not None and keystore_url is not None:
        yield url, keystore_url
        return
    prefer: Prefer = "wheel" if settings.postgres == "wheel" else "system"
    with EmbeddedPostgres(settings.home, prefer=prefer) as server:
        yield server.url, server.keystore_url


@contextmanager
def open_home(settings: Settings) -> Iterator[Home]:
    """Open an installation, starting its embedded database if it has one, and close it again.

    Raises:
        EmbeddedError: the private PostgreSQL cannot be started here.
        DatabaseUnavailable: the database does not answer, or its schema is behind (production only).
        KeyMissing: the keys cannot be read.
        InstallationIncomplete, ContactInvalid: see `read_installation`.
    """
    installation = read_installation(settings)
    with ExitStack() as stack:
        url, keystore_url = stack.enter_context(addresses(settings))
        _migrate(settings, url, keystore_url, installation.mode)
        database, keystore = Database(url), Database(keystore_url)
        stack.callback(database.close)
        stack.callback(keystore.close)
        if not _ring(settings).exists():
            Keyring.create(settings.home, origin=installation.log_origin, now=clock.now())
        keyring = Keyring.open(settings.home)
        yield Home(settings, installation, keyring, database, DataKeys(keystore, keyring))


def _migrate(settings: Settings, url: str, keystore_url: str, mode: Mode) -> None:
    if schema.is_current("main", url) and schema.is_current("keystore", keystore_url):
        return
    fresh = not _ring(settings).exists()
    if mode is Mode.PRODUCTION and not fresh:
        raise DatabaseUnavailable("the database is behind this release; back it up, then run: qingqiao db upgrade")
    schema.upgrade(url, keystore_url)


def _ring(settings: Settings) -> Path:
    return settings.home / "keys" / "ring.json"
