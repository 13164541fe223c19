"""Kill -9 the process that works a batch off, before every step: nothing is lost, answered or counted twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.bulk import keeping
from exchange.home import Home
from registry import clock
from tests.attacks.bent_client import Door
from tests.bulking import Batcher, asked, batcher, file_of, outcomes, worked
from tests.databases import Addresses
from tests.people import NOBODY, consented, held

ROOT = Path(__file__).parents[2]
VICTIM = """
import os, signal, sys
from pathlib import Path
from exchange import journal
from exchange.bulk import preparing, working
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

main, keys, folder, where, step, passes = sys.argv[1:]
journal.set_up()
keyring = Keyring.open(Path(folder))
settings = Settings(home=Path(folder), issuer="https://exchange.example")
home = Home(settings, SANDBOX, keyring, Database(main), DataKeys(Database(keys), keyring))
left = int(passes)

def kill(at):
    global left
    if at == int(step):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def spare(_):
    pass

preparing.prepare_all(home, at_step=kill if where == "preparing" else spare)
while working.work_next(
    home, at_step=kill if where == "working" else spare, at_gate=kill if where == "gate" else spare
):
    pass
"""
MOMENTS = [
    *(("preparing", step, 0) for step in (1, 4, 5)),
    *(("working", step, passes) for step, passes in ((1, 0), (1, 1), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0))),
    *(("gate", step, passes) for step in (1, 2, 3, 4, 5) for passes in (0, 1)),
]


@pytest.fixture
def bank(exchange_home: Home) -> Iterator[Batcher]:
    with Door(exchange_home) as door:
        yield batcher(exchange_home, door)


@pytest.mark.parametrize(("where", "step", "passes"), MOMENTS)
def test_a_batch_survives_a_kill_before_any_step(  # what a process needs, and when it dies
    exchange_home: Home, addresses: Addresses, bank: Batcher, where: str, step: int, passes: int
) -> None:
    held(exchange_home)
    consent = consented(exchange_home, max_uses=5)
    lines = [asked() if number % 20 == 0 else asked(NOBODY) for number in range(48)] + [b"{"]
    batch_id = bank.handed_in(file_of(*lines))
    killed = subprocess.run(
        [
            sys.executable, "-c", VICTIM, addresses.database_url, addresses.keystore_url,
            str(exchange_home.settings.home), where, str(step), str(passes),
        ],
        cwd=ROOT, check=False, timeout=100,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    worked(exchange_home)
    keeping.tidy(exchange_home, now=clock.now())
    said = bank.state(batch_id)
    assert (said["state"], said["answered"], said["permitted"]) == ("finished", 49, 3)
    assert said["refused"] == {"no-consent": 45, "request-malformed": 1}
    assert [number for number, outcome in outcomes(bank.fetched(batch_id)) if outcome == "permitted"] == [1, 21, 41]
    with exchange_home.database.transaction() as tx:
        row = tx.execute("SELECT uses FROM consent WHERE consent_id = %s", (consent.consent_id,)).fetchone()
        assert row == (3,)
        logged = tx.execute(
            "SELECT event, count(*), count(DISTINCT fields -> 'access' ->> 'line') FROM log_entry WHERE event IN"
            " ('release:query:permitted', 'release:query:refused') GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert logged == [("release:query:permitted", 3, 3), ("release:query:refused", 45, 45)]
        assert tx.execute("SELECT count(*) FROM query").fetchone() == (3,)
        assert tx.execute("SELECT destroyed_at IS NOT NULL FROM bulk_batch").fetchone() == (True,)
