"""The lender's self-test against a served sandbox, and the quick start of docs/lenders.md, as a stranger runs them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.cli import lending
from exchange.cli.lender import save_key
from exchange.client import new_client
from exchange.jobs import Jobs, table
from registry.database import Database
from registry.keyfiles import write_private
from sandbox.outcomes import table as outcomes
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.serving import Exchange, exchange_behind_a_line

ROOT = Path(__file__).parents[2]


@pytest.fixture
def exchange(home: Path, database: Database, keystore: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    monkeypatch.delenv("QINGQIAO_LIMITS")  # the product's own limits are what a stranger meets
    with exchange_behind_a_line(home, database, keystore) as served:
        jobs = Jobs(served.home, [job for job in table() if job.name in {"log:sequence", "telling:spread"}])
        jobs.start()
        yield served
        jobs.stop()


@pytest.fixture
def qingqiao(home: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(home, addresses, monkeypatch)


@pytest.fixture
def account(exchange: Exchange) -> lending.Account:
    return lending.provide(exchange.home, exchange.home.settings.home / "sandbox", outcomes())


def test_a_sandbox_passes_every_step_again_and_again(
    exchange: Exchange, account: lending.Account, qingqiao: InProcess
) -> None:
    command = ("lender", "selftest", exchange.home.settings.issuer, "--key", str(account.key))
    for _ in range(2):
        said = qingqiao(*command)
        told = said.stdout
        assert said.returncode == 0, told
        assert "steps came as they must" in told
        for name in ("proof replay", "revocation", "evidence", *(one.name for one in outcomes().outcomes)):
            assert name in told
        assert not [one.identifier for one in outcomes().outcomes if one.identifier in told]


def test_a_step_that_fails_is_named_with_its_mend_and_the_exit_code(
    exchange: Exchange, account: lending.Account, qingqiao: InProcess
) -> None:
    (account.key.with_name("trust.json")).unlink()
    said = qingqiao("lender", "selftest", exchange.home.settings.issuer, "--key", str(account.key))
    assert said.returncode == 1
    told = said.stdout
    assert "no trust policy" in told
    assert re.search(r"(?<![0-9])1 of [0-9]+ steps", told)


def test_a_client_that_is_not_registered_gets_no_further_than_its_token(
    exchange: Exchange, tmp_path: Path, qingqiao: InProcess
) -> None:
    stranger, file = new_client("stranger"), tmp_path / "stranger.json"
    save_key(file, stranger)
    said = qingqiao("lender", "selftest", exchange.home.settings.issuer, "--key", str(file))
    assert said.returncode == 1
    told = said.stdout
    assert "invalid_client" in told
    assert "uses-exhausted" not in told


def test_the_quick_start_of_the_document_runs_as_it_stands(
    exchange: Exchange, account: lending.Account, tmp_path: Path
) -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- quick start -->\n```python\n(.*?)```", text, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    write_private(tmp_path / "bank.key.json", account.key.read_bytes())
    (tmp_path / "trust.json").write_bytes(account.trust.read_bytes())
    script = tmp_path / "start.py"
    script.write_text(code.replace("http://127.0.0.1:8420", exchange.home.settings.issuer), encoding="utf-8")
    assert exchange.home.settings.issuer in script.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["AA COMPLETE", "8 steps of the proof hold"]
