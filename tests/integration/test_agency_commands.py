"""`qingqiao agency`: keys and signing need no installation; what was signed there counts here."""

import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from connectors import manifests
from connectors.errors import ManifestRefused
from connectors.events import Event
from exchange.cli import build
from exchange.oauth import clients
from exchange.oauth.scopes import OF_AN_AGENCY_SYSTEM, SCOPES_OF, Role, Scope
from registry import clock
from registry.canonical import unb64url
from registry.database import Database
from registry.jws import Public
from registry.suites import Es256Key
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.integration.test_clients_and_used_proofs import JWKS

AGENCY = "平安区财政局"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build(), arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("algorithm", ["Ed25519", "SM2"])
def test_what_is_signed_offline_is_received(tmp_path: Path, database: Database, algorithm: str) -> None:
    key, file, out = tmp_path / "seal.key", tmp_path / "roster.csv", tmp_path / "roster.jws"
    file.write_bytes(b"a,b\n1,2\n")
    public = run("agency", "key", "new", str(key), "--algorithm", algorithm).split()[-1]
    assert key.stat().st_mode & 0o077 == 0
    stated = ("--rows", "1", "--amount", "2.5")
    run("agency", "sign", str(file), "--key", str(key), "--organisation", f"{AGENCY} ", "--out", str(out), *stated)
    now = clock.now()
    with database.transaction() as tx:
        added = manifests.add_key(tx, AGENCY, Public(algorithm, unb64url(public)), now=now - timedelta(seconds=1))
        text = out.read_text(encoding="ascii")
        received = manifests.receive(tx, text, agency=AGENCY, client_id="x", now=clock.now())
        assert received.key_id == added.key_id
        assert re.fullmatch(r"[0-9a-f]{22}", added.key_id)
        rows = tx.execute("SELECT size_bytes, rows, amount_fen FROM manifest_file").fetchall()
    assert rows == [(8, 1, 250)]


def test_a_key_is_registered_once_and_is_a_key(database: Database) -> None:
    public = Public("SM2", Es256Key(b"\x02" * 32).public)
    with database.transaction() as tx:
        manifests.add_key(tx, AGENCY, public, now=clock.now())
        for bad in (public, Public("Ed25519", public.raw), Public("RSA", b"1")):
            with pytest.raises(ManifestRefused):
                manifests.add_key(tx, AGENCY, bad, now=clock.now())


def test_an_organisation_has_several_agency_clients_and_programs_decide_nothing(database: Database) -> None:
    with database.transaction() as tx:
        for client_id, scopes in (("one", OF_AN_AGENCY_SYSTEM), ("two", None)):
            granted = clients.register(
                tx, client_id, role=Role.AGENCY, organisation=AGENCY, jwks=JWKS, scopes=scopes, now=clock.now()
            )
            assert (Scope.AGENCY_DECIDE in granted) == (scopes is None)


def test_no_two_roles_share_a_scope() -> None:
    held = [scope for scopes in SCOPES_OF.values() for scope in scopes]
    assert len(held) == len(set(held))


def test_the_operator_has_decisions_made_by_two_persons_and_by_one_again_and_it_is_logged(
    short_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    qingqiao = InProcess(short_path, addresses, monkeypatch)
    unknown = qingqiao("agency", "four-eyes", AGENCY, "on")
    assert unknown.returncode == 2
    added = qingqiao("agency", "add", "office-wang", "--organisation", AGENCY, "--make-key", str(short_path / "k"))
    assert added.returncode == 0, added.stdout + added.stderr
    for wanted, said in (("on", "两人"), ("off", "一人")):
        done = qingqiao("agency", "four-eyes", AGENCY, wanted)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
    with psycopg.connect(addresses.database_url) as connection:
        assert connection.execute("SELECT organisation, four_eyes FROM agency_setting").fetchall() == [(AGENCY, False)]
        logged = connection.execute("SELECT count(*) FROM log_entry WHERE event = %s", (Event.FOUR_EYES_SET.value,))
        assert logged.fetchone() == (2,)


def test_the_operator_says_which_sources_an_agency_may_deliver_and_without_any_it_is_told_so(
    short_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    qingqiao = InProcess(short_path, addresses, monkeypatch)
    register = ("agency", "add", "--organisation", AGENCY, "--make-key")
    assert qingqiao("agency", "sources", AGENCY).returncode == 2
    assert qingqiao(*register, str(short_path / "a"), "office-a", "--source", "no_such").returncode == 2
    bare = qingqiao(*register, str(short_path / "b"), "office-b")
    assert "may deliver nothing yet" in " ".join(bare.stdout.split())
    named = qingqiao(*register, str(short_path / "c"), "office-c", "--source", "subsidy_roster")
    assert "may deliver: subsidy_roster" in " ".join(named.stdout.split())
    assert qingqiao("agency", "sources", AGENCY, "--refuse", "court_lists").returncode == 2
    assert qingqiao("agency", "sources", AGENCY, "--permit", "no_such").returncode == 2
    done = qingqiao("agency", "sources", AGENCY, "--permit", "rating_results", "--refuse", "subsidy_roster")
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(addresses.database_url) as connection:
        assert connection.execute("SELECT agency, source FROM agency_source").fetchall() == [(AGENCY, "rating_results")]
        events = connection.execute(
            "SELECT event FROM log_entry WHERE event LIKE 'connectors:sources:%' ORDER BY at"
        ).fetchall()
    assert sorted(events) == [
        ("connectors:sources:permitted",),
        ("connectors:sources:permitted",),
        ("connectors:sources:refused",),
    ]
