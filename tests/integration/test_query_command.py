"""`qingqiao query` against an exchange that serves: every mode that is answered, and a report on paper."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from consent.scope import Mode
from exchange.cli import build
from exchange.cli.lender import save_key
from exchange.cli.running import server
from exchange.client import new_client
from exchange.home import SANDBOX, Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.people import BANK, ZHANG, consented, held
from tests.reachable import CONTACT


@pytest.fixture
def serving(home: Path, database: Database, keystore: Database) -> Iterator[Home]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keyring = Keyring.create(home, origin=SANDBOX.log_origin, now=clock.now())
    settings = Settings(home=home, issuer=f"http://127.0.0.1:{port}", listen_port=port)
    running = Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))
    web = server(running)
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not web.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield running
    web.should_exit = True
    thread.join()


def test_a_report_is_asked_for_by_command_in_json_and_on_paper(serving: Home, tmp_path: Path) -> None:
    client = new_client("bank")
    with serving.database.transaction() as tx:
        clients.register(
            tx, "bank", role=Role.LENDER, organisation=BANK, jwks=client.jwks, now=clock.now(), contact=CONTACT
        )
    key, out, pdf = tmp_path / "key.json", tmp_path / "answer.json", tmp_path / "report.pdf"
    save_key(key, client)
    consented(serving, mode=Mode.REPORT, max_uses=9)
    held(serving)
    words = ["query", "--key", str(key), "--business-no", "LA-1", "--identifier", ZHANG.text]
    words += ["--url", serving.settings.issuer, "--out", str(out)]

    def run(*more: str) -> tuple[int, str]:
        ended = CliRunner().invoke(build(), [*words, *more])
        return ended.exit_code, ended.output

    assert run("--mode", "report", "--staff", "u-1027/credit", "--pdf", str(pdf))[0] == 0
    said = orjson.loads(out.read_bytes())["answer"]
    assert (said["mode"], said["report"]["staff"]["user_id"]) == ("report", "u-1027")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.stat().st_mode & 0o077 == 0
    assert run("--mode", "tags")[0] == 0
    assert orjson.loads(out.read_bytes())["answer"]["tags"]
    assert run("--mode", "report", "--staff", "u-1027")[0] == 2
    code, told = run("--mode", "tags", "--pdf", str(pdf))
    assert code == 2
    assert "--mode report" in told
    code, told = run("--mode", "report")
    assert code == 1
    assert "request-malformed" in told
