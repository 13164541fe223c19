"""`qingqiao lender certificate`: what the operator registers of a client certificate, and what is written of it."""

from pathlib import Path
from typing import Any

import pytest

from exchange.oauth.certificates import thumbprint
from exchange.settings import Settings
from registry.database import Database
from registry.suites.certificates import read_pem_certificate
from tests.certificates import Authority
from tests.commanding import REACHED, InProcess
from tests.databases import Addresses

BANK = "青海民和农村商业银行"


@pytest.fixture
def qingqiao(home: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(home, addresses, monkeypatch)


def test_a_certificate_is_registered_by_thumbprint_or_subject_and_taken_away(
    qingqiao: InProcess, database: Database, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    first, key = authority.issue("bank-system")
    second, _ = authority.issue("other-system")
    key_file = str(tmp_path / "k.json")
    assert qingqiao("lender", "add", "bank", "--organisation", BANK, "--make-key", key_file, *REACHED).returncode == 0

    def row() -> Any:
        with database.transaction() as tx:
            found = tx.execute("SELECT certificate FROM client WHERE client_id = 'bank'").fetchone()
        assert found is not None
        return found[0]

    assert row() is None
    assert qingqiao("lender", "certificate", "bank", "--file", str(first), "--file", str(second)).returncode == 0
    read = [read_pem_certificate(path.read_bytes()) for path in (first, second)]
    ends = {thumbprint(one): one.not_after.isoformat() for one in read}
    assert row() == {"method": "self_signed_tls_client_auth", "x5t#S256": sorted(ends), "not_after": ends}
    assert qingqiao("lender", "certificate", "bank", "--file", str(first), "--by-subject").returncode == 0
    assert row() == {"method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=bank-system"}
    two_subjects = ("--file", str(first), "--file", str(second), "--by-subject")
    assert qingqiao("lender", "certificate", "bank", *two_subjects).returncode == 2
    assert qingqiao("lender", "certificate", "bank", "--file", str(key)).returncode == 2
    assert qingqiao("lender", "certificate", "nobody", "--file", str(first)).returncode == 2
    assert row()["method"] == "tls_client_auth"
    assert qingqiao("lender", "certificate", "bank").returncode == 0
    assert row() is None
    with database.transaction() as tx:
        logged = tx.execute(
            "SELECT fields ->> 'method' FROM log_entry WHERE event = 'exchange:client:certificate-set' ORDER BY at"
        ).fetchall()
    assert logged == [("self_signed_tls_client_auth",), ("tls_client_auth",), (None,)]


def test_an_address_for_certificates_needs_a_proxy_that_hands_them_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQIAO_MTLS_ADDRESS", "https://mtls.example")
    with pytest.raises(ValueError, match="QINGQIAO_TLS_PROXY"):
        Settings()
    monkeypatch.setenv("QINGQIAO_TLS_PROXY", "10.0.0.0/29")
    assert str(Settings().tls_proxy) == "10.0.0.0/29"
    monkeypatch.setenv("QINGQIAO_TLS_PROXY", "anywhere")
    with pytest.raises(ValueError, match="tls_proxy"):
        Settings()
