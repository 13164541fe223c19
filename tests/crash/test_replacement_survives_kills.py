"""Kill -9 while one batch takes another's place: it has taken it whole, or not at all, and can be done again."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.intake import Step
from connectors.mending import State, Verb
from exchange import mending
from exchange.home import Home
from tests.agencies import delivered, line, roster, shown, staff
from tests.databases import Addresses
from tests.people import LI, ZHANG, consented

ROOT = Path(__file__).parents[2]
VICTIM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from connectors.intake import Step
from connectors.mending import Verb
from exchange import mending
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.agencies import staff

main, keys, folder, step, proposal = sys.argv[1:]

def kill(at):
    if at == Step(step):
        os.kill(os.getpid(), signal.SIGKILL)

keyring = Keyring.open(Path(folder))
settings = Settings(home=Path(folder), issuer="https://exchange.example")
home = Home(settings, SANDBOX, keyring, Database(main), DataKeys(Database(keys), keyring))
usual = mending.intake_of
mending.intake_of = lambda home: replace(usual(home), at_step=kill)
mending.settle(home, staff("li"), UUID(proposal), Verb.APPROVE)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", [Step.EVALUATED, Step.OPENED, Step.STAGED, Step.PUBLISHING, Step.PUBLISHED])
def test_a_killed_replacement_is_whole_or_has_not_happened(
    exchange_home: Home, addresses: Addresses, step: Step
) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    old = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    new = delivered(exchange_home, roster(line(ZHANG)), "民和县_粮食直补发放明细_2026_更正.csv")
    proposed = mending.propose_replacement(exchange_home, staff("wang"), old, new, "整批更正")
    killed = subprocess.run(
        [
            *(sys.executable, "-c", VICTIM, addresses.database_url, addresses.keystore_url),
            *(str(exchange_home.settings.home), step.value, str(proposed.mending_id)),
        ],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    done = step is Step.PUBLISHED
    assert shown(exchange_home, ZHANG) == [("", 2)]
    assert shown(exchange_home, LI) == ([] if done else [("", 3)])
    with exchange_home.database.transaction() as tx:
        states = dict(tx.execute("SELECT batch_id, state FROM batch").fetchall())
    assert states[old] == ("replaced" if done else "published")
    if not done:
        settled = mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
        assert settled.state is State.DECIDED
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([("", 2)], [])
