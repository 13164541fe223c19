"""Kill -9 whoever takes part in the private PostgreSQL; the server is neither lost nor left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from registry.embedded import EmbeddedPostgres, guardian, place

OWNER = """
import sys, time
from pathlib import Path
from registry.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), prefer="wheel")
server.start()
print("started", flush=True)
time.sleep(600)
"""
ROOT = Path(__file__).parents[2]


def data(home: Path) -> Path:
    return place.settle(home).data


def until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def guardians(home: Path) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(home / "postgres") in words and any(word.endswith(b"guardian.py") for word in words):
                found.append(int(process.name))
    return found


@pytest.fixture
def owner(home: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()
    until(lambda: not guardian.is_watched(home / "postgres"))


def test_the_server_stops_when_its_owner_is_killed(home: Path, owner: subprocess.Popen[str]) -> None:
    assert guardian.postmaster(data(home)) is not None
    owner.kill()
    until(lambda: guardian.postmaster(data(home)) is None)
    until(lambda: guardians(home) == [])


def test_another_owner_keeps_the_server_when_the_first_is_killed(home: Path, owner: subprocess.Popen[str]) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server:
        owner.kill()
        owner.wait()
        time.sleep(0.3)
        psycopg.connect(server.url).close()


def test_a_server_whose_guardian_was_killed_is_taken_over_and_still_stops(
    home: Path, owner: subprocess.Popen[str]
) -> None:
    pid = guardian.postmaster(data(home))
    for process in guardians(home):
        os.kill(process, signal.SIGKILL)
    owner.kill()
    owner.wait()
    until(lambda: not guardian.is_watched(home / "postgres"))
    with EmbeddedPostgres(home, prefer="wheel") as server:
        assert guardian.postmaster(data(home)) == pid
        psycopg.connect(server.url).close()
    assert guardian.postmaster(data(home)) is None


def test_a_killed_server_is_started_again_with_what_it_had_committed(home: Path, owner: subprocess.Popen[str]) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    pid = guardian.postmaster(data(home))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: guardian.postmaster(data(home)) is None)
    with EmbeddedPostgres(home, prefer="wheel") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (42,)


def test_a_process_number_left_by_a_crash_is_not_taken_for_the_server(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel"):
        left = (data(home) / "postmaster.pid").read_text(encoding="utf-8")
    stale = data(home) / "postmaster.pid"
    stale.write_text("\n".join([str(os.getppid()), *left.splitlines()[1:]]) + "\n", encoding="utf-8")
    owner = place.settle(home).account
    if owner is not None:
        os.chown(stale, owner.uid, owner.gid)
    with EmbeddedPostgres(home, prefer="wheel") as server:
        psycopg.connect(server.url).close()


def test_a_cluster_half_made_when_the_power_went_is_made_anew(home: Path) -> None:
    half = place.settle(home).work / "data.partial"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")
    with EmbeddedPostgres(home, prefer="wheel") as server:
        psycopg.connect(server.url).close()
    assert not half.exists()


def test_a_forked_child_that_ends_does_not_stop_its_parents_server(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server:
        child = subprocess.run(
            [sys.executable, "-c", FORK, str(home)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert child.stdout == "still there\n", child.stderr
        psycopg.connect(server.url).close()


FORK = """
import os, sys
from pathlib import Path
import psycopg
from registry.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), prefer="wheel") as server:
    if os.fork() == 0:
        server.stop()
        os._exit(0)
    os.wait()
    psycopg.connect(server.url).close()
print("still there", flush=True)
"""
