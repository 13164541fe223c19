"""`qingqiao sandbox` as an integrator calls it: started in one process, its faults switched from another."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.feed import feeds
from sandbox.agencies.control import Control

_ROOT = Path(__file__).parents[2]
_QINGQIAO = (sys.executable, "-c", "from exchange.cli import main; main()")


@pytest.fixture
def environment(short_path: Path) -> dict[str, str]:
    given = os.environ  # noqa: TID251  # of this test run, handed on to processes of our own
    kept = {name: value for name, value in given.items() if not name.startswith("QINGQIAO_")}
    return kept | {"QINGQIAO_HOME": str(short_path), "QINGQIAO_POSTGRES": "wheel", "PYTHONPATH": str(_ROOT)}


@pytest.fixture
def up(short_path: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    words = ("sandbox", "up", "--households", "60", "--write-feeds", "--faults", "sanzi:busy")
    with subprocess.Popen([*_QINGQIAO, *words], env=environment, text=True, stdout=subprocess.PIPE) as process:
        control = short_path / "sandbox" / "control.json"
        deadline = time.monotonic() + 240
        while not (control.exists() and len(list(short_path.glob("feeds/*.yml"))) == 6):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.2)
        yield process
        process.kill()


def _run(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_QINGQIAO, "sandbox", *words], env=environment, check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.timeout(400)  # several processes, each with its imports and one with two databases
def test_agencies_come_up_are_switched_from_elsewhere_and_go_when_told(
    up: "subprocess.Popen[str]", environment: dict[str, str], short_path: Path
) -> None:
    held = short_path / "sandbox" / "control.json"
    assert held.stat().st_mode & 0o077 == 0
    assert set(feeds(short_path / "feeds")) == {
        f"sandbox_{name}" for name in ("funds", "assets", "resources", "contracts", "subsidy", "rating")
    }
    assert _run(environment, "fault", "rating", "truncated", "--times", "2").returncode == 0
    assert _run(environment, "mend", "sanzi").returncode == 0
    standing = Control.of(json.loads(held.read_bytes())).standing()
    assert standing["rating"]["truncated"]["times"] == 2
    assert standing["sanzi"] == {}
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert not held.exists()


def test_a_production_home_is_refused(short_path: Path, environment: dict[str, str]) -> None:
    (short_path / "installation.json").write_text('{"mode": "production"}', encoding="utf-8")
    refused = _run(environment, "up", "--seconds", "1")
    assert refused.returncode == 2
    assert "production" in refused.stderr
    assert not (short_path / "sandbox").exists()


def test_a_production_home_gets_no_lender_of_the_sandbox(short_path: Path, environment: dict[str, str]) -> None:
    (short_path / "installation.json").write_text('{"mode": "production"}', encoding="utf-8")
    refused = _run(environment, "lender")
    assert refused.returncode == 2
    assert "production" in refused.stderr
    assert not (short_path / "sandbox").exists()
