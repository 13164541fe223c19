"""The cases named after the OpenID Foundation's modules, all of them, on two server processes over one database.

`pytest -m oidf --processes` calls the processes over their sockets: in turn, or as a test says that names a second one.
No application is in the interpreter of these tests, so that nothing is refused because one remembers for both.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.bent_client import ISSUER, Door
from tests.attacks.fapi_listing import cases
from tests.attacks.test_fapi_listing import LEAST
from tests.databases import Server
from tests.standing import stand

ROOT = Path(__file__).parents[2]
METADATA = "/.well-known/oauth-authorization-server"
SECONDS = 480

pytestmark = pytest.mark.slow


@pytest.mark.timeout(SECONDS + 60)
def test_every_case_holds_on_two_processes(server: Server, testrun_uid: str, tmp_path: Path) -> None:
    asked = ["-q", "-m", "oidf", "--processes", "tests/attacks"]
    of_this_run = ["-n", "1", "--testrunuid", testrun_uid]  # its server and templates, which a worker may share
    elsewhere = [f"--basetemp={tmp_path / 'run'}", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *asked, *of_this_run, *elsewhere]
    given = os.environ  # noqa: TID251  # of this test run, handed on to a process of our own
    told = {name: value for name, value in given.items() if not name.startswith("PYTEST_")}
    told |= {"QINGQIAO_DATABASE_URL": server.url}
    ended = subprocess.run(
        command, cwd=ROOT, env=told, capture_output=True, encoding="utf-8", check=False, timeout=SECONDS
    )
    assert ended.returncode == 0, ended.stdout[-8000:]
    assert passed(ended.stdout) == len(cases()) >= LEAST


def test_calls_go_to_two_processes_in_turn_and_these_end_with_their_test(server: Server, tmp_path: Path) -> None:
    with stand(server, tmp_path / "home", processes=True) as standing:
        door = standing.in_turn()
        assert [door.call("GET", ISSUER + METADATA).status_code for _ in range(4)] == [200] * 4
        assert [answered(standing.door(name)) for name in ("one", "two")] == [2, 2]
        ports = list(standing._ports.values())
        assert [listens(port) for port in ports] == [True, True]
    assert [listens(port) for port in ports] == [False, False]


def passed(said: str) -> int:
    """Read how many cases passed, where nothing else became of any."""
    found = re.search(r"^([0-9]+) passed(, [0-9]+ deselected)? in ", said, re.MULTILINE)
    assert found is not None, said[-8000:]
    return int(found[1])


def answered(door: Door) -> int:
    """Read how often a process has told its metadata, from its own metrics."""
    said = door.call("GET", f"{ISSUER}/metrics").text
    counts = re.findall(
        rf'^qingqiao_requests_total{{.*route="{re.escape(METADATA)}".*}} ([0-9.]+)$', said, re.MULTILINE
    )
    return int(sum(map(float, counts)))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
