"""The command line as its users call it, each test in a fresh home with a database of its own."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from registry.trust import TrustPolicy
from registry.verify import verify
from tests.commanding import REACHED
from tests.databases import Addresses

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples" / "agencies"


class Command:
    """Runs `qingqiao` in one home: on the embedded database, or on the server that the whole run was given."""

    def __init__(self, home: Path, addresses: Addresses) -> None:
        given = os.environ  # noqa: TID251  # of this test run, handed on to processes of our own
        self.home = home
        self._environment = {name: value for name, value in given.items() if not name.startswith("QINGQIAO_")}
        self._environment |= {"QINGQIAO_HOME": str(home), "QINGQIAO_POSTGRES": "wheel", "PYTHONPATH": str(ROOT)}
        if "QINGQIAO_DATABASE_URL" in given:
            self._environment["QINGQIAO_DATABASE_URL"] = addresses.database_url

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-c", "from exchange.cli import main; main()", *words],
            env=self._environment,
            cwd=self.home,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture
def qingqiao(short_path: Path, addresses: Addresses) -> Command:
    return Command(short_path, addresses)


def test_the_answer_key_is_met_through_the_command_and_again_changes_nothing(
    short_path: Path, qingqiao: Command
) -> None:
    words = ("intake", str(SAMPLES), "--consents", "授权台账_2026.csv", "--as-of", "2026-06-15", "--report", "out.json")
    first = qingqiao(*words)
    assert first.returncode == 0, first.stderr
    key = orjson.loads((SAMPLES / "expected.json").read_bytes())
    assert orjson.loads((short_path / "out.json").read_bytes()) == key
    again = qingqiao(*words)
    assert again.returncode == 0, again.stderr
    assert "0 of 11 tables changed something" in again.stdout
    assert orjson.loads((short_path / "out.json").read_bytes()) == key


def test_the_demo_holds_at_every_step_and_its_evidence_verifies_afterwards(short_path: Path, qingqiao: Command) -> None:
    told = qingqiao("demo", "--once", "--households", "90")
    assert told.returncode == 0, told.stdout + told.stderr
    report = orjson.loads((short_path / "demo" / "report.json").read_bytes())
    assert report["held"]
    assert [step["step"] for step in report["steps"]] == list(range(1, 13))
    assert all(step["held"] for step in report["steps"])
    evidence = (short_path / "demo" / "evidence.json").read_bytes()
    policy = TrustPolicy.parse((short_path / "demo" / "trust.json").read_bytes())
    assert len(verify(evidence, policy).shown) == 8
    checked = qingqiao(
        "verify", str(short_path / "demo" / "evidence.json"), "--trust", str(short_path / "demo/trust.json")
    )
    assert checked.returncode == 0
    assert "Not shown" in checked.stdout


def test_in_production_a_day_cannot_be_chosen_and_the_choice_stands(short_path: Path, qingqiao: Command) -> None:
    made = qingqiao(
        "init", "--production", "--operator", "省信用平台运营中心", "--operating-mode", "government platform",
        "--authorisation", "QH-2026-1", "--log-origin", "log.example/credit", *REACHED,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    refused = qingqiao("intake", str(SAMPLES), "--as-of", "2026-06-15")
    assert refused.returncode == 2
    assert "--as-of" in refused.stderr
    again = qingqiao("init")
    assert again.returncode == 2
    assert "made already" in again.stderr


def test_production_says_how_its_operator_is_reached_or_is_not_opened(short_path: Path, qingqiao: Command) -> None:
    stated = ("--operator", "省信用平台运营中心", "--operating-mode", "government platform", "--authorisation", "QH-1",
              "--log-origin", "log.example/credit")  # fmt: skip
    unsaid = qingqiao("init", "--production", *stated)
    assert unsaid.returncode == 2
    assert "--office, --phone, --address" in unsaid.stderr
    mobile = qingqiao("init", "--production", *stated, *REACHED, "--phone", "13900000000")
    assert mobile.returncode == 2
    assert "个人手机" in mobile.stderr
    assert qingqiao("init", "--production", *stated, *REACHED).returncode == 0
    path = next(short_path.rglob("installation.json"))
    chosen = orjson.loads(path.read_bytes())
    del chosen["contact"]  # a home of before
    path.write_bytes(orjson.dumps(chosen))
    behind = qingqiao("notices", "list")
    assert behind.returncode == 2
    assert "qingqiao installation contact" in behind.stderr
    assert qingqiao("installation", "contact", *REACHED).returncode == 0
    assert qingqiao("notices", "list").returncode == 0
    assert orjson.loads(path.read_bytes())["contact"]["phone"] == REACHED[3]


def test_a_lenders_contact_is_needed_changed_by_command_and_logged(short_path: Path, qingqiao: Command) -> None:
    key = str(short_path / "bank.json")
    unsaid = qingqiao("lender", "add", "bank-one", "--organisation", "甲银行", "--make-key", key)
    assert unsaid.returncode == 2
    assert "office, phone and address" in unsaid.stderr
    assert qingqiao("lender", "contact", "甲银行", *REACHED).returncode == 2, "no lender's system yet"
    added = qingqiao("lender", "add", "bank-one", "--organisation", "甲银行", "--make-key", key, *REACHED)
    assert added.returncode == 0, added.stderr
    moved = qingqiao("lender", "contact", "甲银行", *REACHED[:4], "--address", "西宁市新址路9号")
    assert moved.returncode == 0, moved.stderr


def test_a_lender_and_consents_are_kept_by_command(short_path: Path, qingqiao: Command) -> None:
    key = short_path / "bank.json"
    stated = ("--organisation", "青海民和农村商业银行", "--make-key", str(key), *REACHED)
    added = qingqiao("lender", "add", "bank-one", *stated)
    assert added.returncode == 0, added.stderr
    assert key.stat().st_mode & 0o077 == 0
    imported = qingqiao("consent", "import", str(SAMPLES / "授权台账_2026.csv"))
    assert imported.returncode == 0, imported.stderr
    assert "283 rows" in imported.stdout
    shown = qingqiao("consent", "list", "--state", "active", "--limit", "1")
    consent_id = next(word for line in shown.stdout.splitlines() for word in line.split() if word.count("-") == 4)
    assert qingqiao("consent", "withdraw", consent_id, "--channel", "village").returncode == 0
    unreachable = qingqiao("query", "--key", str(key), "--business-no", "LA-1", "--identifier", "x" * 18)
    assert unreachable.returncode == 2
    assert "qingqiao serve" in unreachable.stderr
