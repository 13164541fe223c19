"""Kill -9 the server in the middle of a PATCH, and the process that takes an upload in; nothing is lost or doubled."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import uploading
from connectors.intake import Intake, Step
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry.database import Database
from tests.attacks.bent_client import Caller, Door, registered
from tests.attacks.test_uploads import OURS, ROSTER, kept
from tests.attacks.uploading import Agency, patch_head
from tests.databases import Addresses
from tests.unit.connectors.consent_register import basis_of_register

ROOT = Path(__file__).parents[2]
OPENED = """
import sys
from collections.abc import Iterator
from pathlib import Path
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

main, keys, folder, *rest = sys.argv[1:]
keyring = Keyring.open(Path(folder))
settings = Settings(home=Path(folder), issuer="https://exchange.example")
home = Home(settings, SANDBOX, keyring, Database(main), DataKeys(Database(keys), keyring))
"""
SERVER = (
    OPENED
    + """
import uvicorn
from exchange.app import create_app
uvicorn.run(create_app(home), host="127.0.0.1", port=int(rest[0]), log_config=None)
"""
)
VICTIM = (
    OPENED
    + """
import os, signal
from connectors import uploading
from connectors.intake import Intake, Step
from tests.unit.connectors.consent_register import basis_of_register

def kill(at):
    if at == Step(rest[0]):
        os.kill(os.getpid(), signal.SIGKILL)

uploading.take_all(Intake(home.database, home.sealing, home.raw, basis_of_register(), chunk_records=20, at_step=kill),
                   home.uploads)
"""
)


@pytest.fixture
def agency(exchange_home: Home) -> Iterator[Agency]:
    with Door(exchange_home) as door:
        yield Agency(door, registered(exchange_home, Caller("yushu-finance"), Role.AGENCY, OURS))


def arguments(program: str, home: Home, addresses: Addresses, *more: str) -> list[str]:
    folder = str(home.settings.home)
    return [sys.executable, "-c", program, addresses.database_url, addresses.keystore_url, folder, *more]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def connected(port: int) -> socket.socket:
    """Connect once the server is up."""
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_a_patch_keeps_what_it_said_it_had(
    agency: Agency, exchange_home: Home, addresses: Addresses
) -> None:
    raw = bytes(range(251)) * 20_000
    url = agency.begin(len(raw))
    port = free_port()
    with (
        subprocess.Popen(arguments(SERVER, exchange_home, addresses, str(port)), cwd=ROOT) as server,
        connected(port) as line,
    ):
        line.sendall(patch_head(agency, url, 0, len(raw)) + raw[: 3 << 20])
        until = time.monotonic() + 20
        while agency.offset(url) < 2 << 20 and time.monotonic() < until:
            time.sleep(0.05)
        server.send_signal(signal.SIGKILL)
        server.wait(10)
    reached = agency.offset(url)
    assert 2 << 20 <= reached < len(raw)
    assert kept(exchange_home, url, reached) == raw[:reached]
    assert agency.send(url, reached, raw[reached:]).status_code == 204
    assert kept(exchange_home, url, len(raw)) == raw


def counts(database: Database) -> list[tuple[str, int]]:
    with database.transaction() as tx:
        return tx.execute(
            "SELECT event, count(*) FROM log_entry WHERE event NOT LIKE 'exchange:%' GROUP BY 1 ORDER BY 1"
        ).fetchall()


@pytest.mark.parametrize("step", [Step.KEPT, Step.RECEIVED, Step.STAGED, Step.PUBLISHING, Step.PUBLISHED])
def test_an_upload_whose_intake_was_killed_is_taken_in_exactly_once(
    agency: Agency, exchange_home: Home, addresses: Addresses, step: Step
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    killed = subprocess.run(arguments(VICTIM, exchange_home, addresses, step.value), cwd=ROOT, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert agency.json(url)["state"] == "working"
    intake = Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())
    assert uploading.take_all(intake, exchange_home.uploads) == 1
    status = agency.json(url)
    assert (status["state"], len(status["batches"])) == ("done", 1)
    once = dict(counts(exchange_home.database))
    assert once["connectors:batch:published"] == 1
    assert once["connectors:file:received"] == 1
    assert uploading.take_all(intake, exchange_home.uploads) == 0
    assert dict(counts(exchange_home.database)) == once
    assert not list(exchange_home.uploads.iterdir())


def test_a_file_that_kills_its_process_every_time_is_refused_in_the_end(
    agency: Agency, exchange_home: Home, addresses: Addresses
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE upload SET state = 'working', attempts = %s", (uploading.MOST_ATTEMPTS,))
    intake = Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())
    uploading.take_all(intake, exchange_home.uploads)
    status = agency.json(url)
    assert (status["state"], status["why"]["code"]) == ("refused", "FAILED")


def test_an_intake_that_fails_is_tried_again_later(
    agency: Agency, exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    intake = Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as bent, pytest.raises(OSError, match="no space"):
        bent.setattr(Intake, "take", fail)
        uploading.take_all(intake, exchange_home.uploads)
    assert agency.json(url)["state"] == "waiting"
    assert uploading.take_all(intake, exchange_home.uploads) == 0
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE upload SET not_before = created_at")
    assert uploading.take_all(intake, exchange_home.uploads) == 1
    assert agency.json(url)["state"] == "done"
