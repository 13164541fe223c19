"""Break each import contract on purpose, in a copy; the checker must name the contract that was broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("registry", "consent", "connectors", "exchange", "sandbox")
CHECKER = "import sys; from importlinter.cli import lint_imports_command as check; check(sys.argv[1:])"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("contracts")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.csv", "*.yml"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def broken(copy: Path) -> set[str]:
    """The names, up to their colon, of the contracts that the copy breaks."""
    done = subprocess.run(
        [sys.executable, "-c", CHECKER, "--cache-dir", str(copy / "cache")],
        cwd=copy,
        env={"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"^Contracts: \d+ kept, \d+ broken\.$", done.stdout, re.MULTILINE), done.stdout + done.stderr
    names = set(re.findall(r"^([\w-]+).* BROKEN(?: \(.*\))?$", done.stdout, re.MULTILINE))
    assert (done.returncode == 0) == (not names)
    return names


def test_nothing_is_broken(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("floors", "consent/scope.py", "import connectors.codes"),
        ("floors", "connectors/source.py", "import consent.scope"),
        ("floors", "registry/divisions.py", "import exchange.settings"),
        ("floors", "sandbox/numbers.py", "import registry.identifiers"),
        ("floors", "exchange/audit_api.py", "import sandbox.numbers"),
        ("rooms", "registry/canonical.py", "import registry.jws"),
        ("rooms", "consent/purposes.py", "import consent.ledger"),
        ("rooms", "connectors/source.py", "import connectors.cleaning"),
        ("rooms", "exchange/release/deciding.py", "import exchange.lender_api"),
        ("rooms", "registry/utils.py", '"""A room that nobody named."""'),
        ("one-gate", "exchange/audit_api.py", "import registry.disclosure"),
        ("one-cipher-room", "registry/identifiers.py", "import hashlib"),
        ("one-cipher-room", "exchange/lender_api.py", "import cryptography.fernet"),
        ("one-cipher-room", "registry/keyring.py", "import Crypto.Cipher"),
        ("one-cipher-room", "consent/receipt.py", "import joserfc"),
        ("tables-private", "exchange/release/deciding.py", "import registry.tables"),
        ("tables-private", "exchange/consents.py", "import consent.tables"),
        ("tables-private", "sandbox/numbers.py", "import exchange.subject_tables"),
        ("one-cipher-room", "exchange/binding.py", "import hmac"),
        ("tables-private", "exchange/release/deciding.py", "import connectors.tables"),
        ("pure-decisions", "consent/decision.py", "import psycopg"),
        ("pure-decisions", "consent/scope.py", "import registry.clock"),
        ("pure-decisions", "registry/merkle.py", "import time"),
        ("verifier-carries-away", "registry/verify.py", "import sqlalchemy"),
        ("verifier-carries-away", "registry/jws.py", "import httpx"),
        ("kit-carries-away", "exchange/client/queries.py", "import fastapi"),
        ("kit-carries-away", "exchange/client/answers.py", "import consent.receipt"),
        ("kit-carries-away", "registry/jws.py", "import pydantic"),
        ("floors", "sandbox/agency.py", "import exchange.settings"),
        ("no-circles", "registry/tables.py", "import registry.database"),
    ],
)
def test_breaking_a_contract_is_caught(copy: Path, contract: str, module: str, line: str) -> None:
    wrong = {copy / module: line}
    if contract == "no-circles":
        wrong[copy / "registry/database.py"] = "import registry.tables"
    right = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in wrong}
    try:
        for path, more in wrong.items():
            path.write_text(f"{right[path] or ''}\n{more}\n", encoding="utf-8")
        assert contract in broken(copy)
    finally:
        for path, text in right.items():
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")
