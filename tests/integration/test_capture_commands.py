"""`qingqiao lender collector`, `device` and `redirect`: what the operator registers, and what is written of it."""

from pathlib import Path

import orjson
import pytest

from exchange.capture import devices
from registry.canonical import b64url, unb64url
from registry.database import Database
from registry.suites import Ed25519Key
from tests.capturing import COLLECTOR
from tests.commanding import REACHED, InProcess
from tests.databases import Addresses

BANK = "青海民和农村商业银行"


@pytest.fixture
def qingqiao(home: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(home, addresses, monkeypatch)


def test_a_collector_is_registered_ended_and_never_replaced(qingqiao: InProcess, database: Database) -> None:
    add = ("lender", "collector", "add", "c-7", "--organisation", BANK, "--identifier", COLLECTOR.text)
    assert qingqiao(*add).returncode == 0
    again = qingqiao(*add)
    assert again.returncode == 2
    assert COLLECTOR.text not in again.stdout + again.stderr
    assert "c-7" in qingqiao("lender", "collector", "list").stdout
    assert qingqiao("lender", "collector", "end", "c-7", "--organisation", BANK).returncode == 0
    assert qingqiao("lender", "collector", "end", "c-7", "--organisation", BANK).returncode != 0
    assert qingqiao(*add).returncode == 2
    with database.transaction() as tx:
        kept = tx.execute("SELECT row_to_json(collector)::text FROM collector").fetchall()
        events = tx.execute("SELECT event FROM log_entry WHERE event LIKE 'capture:%' ORDER BY at").fetchall()
    assert COLLECTOR.text not in str(kept)
    assert events == [("capture:collector:added",), ("capture:collector:ended",)]


def test_a_device_is_registered_by_its_public_key_alone(qingqiao: InProcess, tmp_path: Path) -> None:
    made = qingqiao("lender", "device", "key", "--out", str(tmp_path / "device.json"), "--algorithm", "SM2")
    algorithm, public = made.stdout.split()
    held = orjson.loads((tmp_path / "device.json").read_bytes())
    assert (held["algorithm"], held["public"], algorithm) == ("SM2", public, "SM2")
    assert held["private"] not in made.stdout
    added = qingqiao("lender", "device", "add", public, "--organisation", BANK, "--algorithm", "SM2")
    assert devices.device_id_of("SM2", unb64url(public)) in added.stdout
    assert qingqiao("lender", "device", "add", public, "--organisation", BANK, "--algorithm", "SM2").returncode == 2
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url(Ed25519Key.generate().public)}
    (tmp_path / "key.json").write_bytes(orjson.dumps(jwk))
    assert qingqiao("lender", "device", "add", str(tmp_path / "key.json"), "--organisation", BANK).returncode == 0
    assert qingqiao("lender", "device", "add", "AAAA", "--organisation", BANK).returncode == 2
    listed = qingqiao("lender", "device", "list", "--organisation", BANK).stdout
    assert listed.count("active") == 2
    name = devices.device_id_of("SM2", unb64url(public))
    assert qingqiao("lender", "device", "end", name).returncode == 0
    assert qingqiao("lender", "device", "end", name).returncode != 0


def test_a_redirect_uri_is_given_at_registration_or_later(
    qingqiao: InProcess, database: Database, tmp_path: Path
) -> None:
    add = ("lender", "add", "bank", "--organisation", BANK, "--make-key", str(tmp_path / "k.json"), *REACHED)
    assert qingqiao(*add, "--redirect-uri", "http://bank.example/").returncode == 2
    assert qingqiao(*add, "--redirect-uri", "https://bank.example/back").returncode == 0

    def uris() -> list[str]:
        with database.transaction() as tx:
            row = tx.execute("SELECT redirect_uris FROM client WHERE client_id = 'bank'").fetchone()
        assert row is not None
        return list(row[0])

    assert uris() == ["https://bank.example/back"]
    assert qingqiao("lender", "redirect", "bank", "--uri", "https://bank.example/new").returncode == 0
    assert uris() == ["https://bank.example/new"]
    assert qingqiao("lender", "redirect", "nobody", "--uri", "https://bank.example/new").returncode != 0
    assert qingqiao("lender", "redirect", "bank").returncode == 0
    assert uris() == []
