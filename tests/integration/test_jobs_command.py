"""`qingqiao jobs` as its users call it, over a drop folder in a fresh home."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commanding import InProcess
from tests.databases import Addresses
from tests.feeding import write_feed
from tests.integration.test_commands import SAMPLES, Command

NAME = "yushu_subsidy"
ROSTER = "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"


@pytest.fixture
def qingqiao(short_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(short_path, addresses, monkeypatch)


def test_a_feed_is_run_paused_listed_and_resumed_by_hand(short_path: Path, qingqiao: InProcess) -> None:
    drop = short_path / "drop" / NAME
    drop.mkdir(parents=True)
    shutil.copy(SAMPLES / ROSTER, drop)
    folder = {"kind": "folder", "path": str(drop), "settle": 0}
    write_feed(short_path, NAME, schedule={"cron": "0 2 * * *"}, source="subsidy_roster", transport=folder)

    ran = qingqiao("jobs", "run", NAME)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 files" in ran.stdout
    listed = qingqiao("jobs", "list").stdout
    assert NAME in listed
    assert "healthy" in listed

    assert "is paused" in qingqiao("jobs", "pause", NAME).stdout
    refused = qingqiao("jobs", "run", NAME)
    assert refused.returncode == 2
    assert "已暂停" in refused.stderr
    assert "paused" in qingqiao("jobs", "list").stdout
    assert "runs" in qingqiao("jobs", "resume", NAME).stdout
    assert "没有名为" in qingqiao("jobs", "pause", "nowhere").stderr
    write_feed(short_path, NAME, schedule={"cron": "0 2 * * 1"}, source="subsidy_roster", transport=folder)
    assert "mon-fri" in qingqiao("jobs", "run", NAME).stderr.replace("\n", "")
    write_feed(short_path, NAME, schedule={"cron": "0 2 * * mon"}, source="subsidy_roster", transport=folder)
    trail = qingqiao("jobs", "run", NAME)
    assert trail.returncode == 0, trail.stdout + trail.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_a_word_the_jobs_run_until_they_are_stopped(short_path: Path, addresses: Addresses) -> None:
    environment = Command(short_path, addresses)._environment
    command = [sys.executable, "-c", "from exchange.cli import main; main()", "jobs"]
    with subprocess.Popen(
        command, env=environment, cwd=short_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr
        line = next(line for line in running.stderr if "jobs:leader:taken" in line)
        assert "info" in line
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
