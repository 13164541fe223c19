"""Break the release at each of its steps; the log, the count and the answer must agree afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from exchange.home import Home
from exchange.release import Permitted, release
from tests.databases import Addresses
from tests.people import consented, held, question

STEPS = range(1, 6)
_KILLED = """
import os, signal, sys
from pathlib import Path
from exchange.home import SANDBOX, Home
from exchange.release import release
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.people import question

folder, url, keystore_url, step = sys.argv[1:]
keyring = Keyring.open(Path(folder))
keystore = Database(keystore_url)
home = Home(Settings(home=Path(folder)), SANDBOX, keyring, Database(url), DataKeys(keystore, keyring))
release(home, [question()], at_step=lambda at: os.kill(os.getpid(), signal.SIGKILL) if at == int(step) else None)
"""


class Unplugged(Exception):
    """The process loses its footing."""


def left_behind(home: Home) -> tuple[int, int, int]:
    """Release entries, queries and uses in the database."""
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT (SELECT count(*) FROM log_entry WHERE event LIKE 'release:%'), (SELECT count(*) FROM query),"
            " (SELECT sum(uses) FROM consent)"
        ).fetchone()
    assert row is not None
    return row[0], row[1], int(row[2])


@pytest.mark.parametrize("step", STEPS)
def test_a_release_that_breaks_leaves_nothing_and_answers_nothing(exchange_home: Home, step: int) -> None:
    consented(exchange_home)
    held(exchange_home)

    def break_at(reached: int) -> None:
        if reached == step:
            raise Unplugged

    with pytest.raises(Unplugged):
        release(exchange_home, [question()], at_step=break_at)
    assert left_behind(exchange_home) == (0, 0, 0)
    assert isinstance(release(exchange_home, [question()])[0], Permitted)
    assert left_behind(exchange_home) == (1, 1, 1)


def test_a_commit_that_fails_releases_nothing(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)

    def cut_the_line(reached: int) -> None:
        if reached == max(STEPS):
            with exchange_home.database.transaction() as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
                )

    with pytest.raises(psycopg.OperationalError):
        release(exchange_home, [question()], at_step=cut_the_line)
    assert left_behind(exchange_home) == (0, 0, 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_leaves_nothing(exchange_home: Home, addresses: Addresses, step: int) -> None:
    consented(exchange_home)
    held(exchange_home)
    command = [sys.executable, "-c", _KILLED, str(exchange_home.settings.home), addresses.database_url,
               addresses.keystore_url, str(step)]  # fmt: skip
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": root}, check=False)  # noqa: TID251  # our own interpreter
    assert ended.returncode == -signal.SIGKILL
    assert left_behind(exchange_home) == (0, 0, 0)
    assert isinstance(release(exchange_home, [question()])[0], Permitted)
