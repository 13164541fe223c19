"""Kill -9 between a webhook's arrival and our note of it: it comes again, in its order, and then no more."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import orjson

from exchange.home import Home
from exchange.monitoring import webhooks
from registry import clock
from tests.answering import Answer
from tests.attacks.bent_client import Door
from tests.databases import Addresses
from tests.monitoring import Receiver, delivered, published, subscribed, told, watched
from tests.people import BANK, SUBSIDY
from tests.telling import system

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from exchange import journal
from exchange.home import SANDBOX, Home
from exchange.monitoring import delivering
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

folder, issuer, url, keystore_url = sys.argv[1:]
journal.set_up()
keyring = Keyring.open(Path(folder))
settings = Settings(home=Path(folder), issuer=issuer)
home = Home(settings, SANDBOX, keyring, Database(url), DataKeys(Database(keystore_url), keyring))
delivering.deliver_due(home)
"""


def test_a_webhook_that_arrived_and_was_not_noted_comes_again_before_what_follows_it(
    exchange_home: Home, addresses: Addresses
) -> None:
    there, arrived, killed = Receiver(), threading.Event(), threading.Event()
    with Door(exchange_home) as door:
        lender = system(exchange_home, door, "bank-monitor")
        watched(exchange_home)
        subscribed(lender)
    with exchange_home.database.transaction() as tx:
        webhooks.register(tx, BANK, "bank-monitor", there.url, sandbox=True, now=clock.now())
        tx.execute("UPDATE webhook SET verified_at = now(), asked_at = NULL, next_at = now() - interval '1 second'")
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    published(exchange_home, ("SUBSIDY", dict(SUBSIDY) | {"grant_year": 2025}))
    told(exchange_home)

    def answer(*_: object) -> Answer:
        arrived.set()
        killed.wait(60)
        return 200, {}, b""

    there.agency.answer = answer
    settings = exchange_home.settings
    given = [str(settings.home), settings.issuer, addresses.database_url, addresses.keystore_url]
    process = subprocess.Popen([sys.executable, "-c", PROCESS, *given], cwd=ROOT)
    assert arrived.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed.set()
    assert delivered(exchange_home) == 2
    assert delivered(exchange_home) == 0
    there.stop()
    sent = [orjson.loads(body) for *_, body in there.agency.asked]
    assert [event["data"]["sequence"] for event in sent] == [1, 1, 2]
    assert sent[0] == sent[1]
    with exchange_home.database.transaction() as tx:
        outcomes = tx.execute("SELECT outcome, attempt FROM webhook_delivery ORDER BY position").fetchall()
        assert outcomes == [("accepted", 1), ("accepted", 1)]  # of the first nothing is known
        assert set(tx.execute("SELECT settled FROM monitor_event").fetchall()) == {("delivered",)}
