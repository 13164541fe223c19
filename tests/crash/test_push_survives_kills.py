"""Kill -9 between an event's arrival and our note of it: it comes again, under the same name, and then no more."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from joserfc import jws

from exchange import pushing
from exchange.home import Home
from tests.answering import Agency, Answer
from tests.attacks.bent_client import Caller, registered
from tests.databases import Addresses
from tests.people import BANK, consented
from tests.telling import pushed_to, spread

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from exchange import journal, pushing
from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

folder, url, keystore_url = sys.argv[1:]
journal.set_up()
keyring = Keyring.open(Path(folder))
home = Home(Settings(home=Path(folder)), SANDBOX, keyring, Database(url), DataKeys(Database(keystore_url), keyring))
pushing.push_due(home)
"""


def claims_of(body: bytes) -> bytes:
    return jws.extract_compact(body).payload


def test_an_event_that_arrived_and_was_not_noted_is_delivered_again(exchange_home: Home, addresses: Addresses) -> None:
    registered(exchange_home, Caller("bank-events"), organisation=BANK)
    consented(exchange_home)
    spread(exchange_home)
    there, arrived, killed = Agency(), threading.Event(), threading.Event()

    def answer(*_: object) -> Answer:
        arrived.set()
        killed.wait(60)
        return 202, {}, b""

    there.answer = answer
    pushed_to(exchange_home, there.url)
    folder = str(exchange_home.settings.home)
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, folder, addresses.database_url, addresses.keystore_url], cwd=ROOT
    )
    assert arrived.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed.set()
    assert pushing.push_due(exchange_home) == 1
    assert pushing.push_due(exchange_home) == 0
    there.stop()
    first, second = (claims_of(body) for *_, body in there.asked)
    jti = first.partition(b'"jti":"')[2][:36]
    assert len(jti) == 36
    assert jti in second
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT settled FROM lender_event").fetchall() == [("pushed",)]
