"""Kill -9 the intake just after each of its steps; a batch is absent or complete, and the next run finishes the work.

The steps are those of `connectors.intake`.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.intake import Intake, Step
from exchange.home import Home
from registry.database import Database
from tests.databases import Addresses
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROOT = Path(__file__).parents[2]
FILES = (
    SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx",
    SAMPLES / "平安区_农村集体三资台账_2026年第一季度.xlsx",
)
HELD = 70 + 25 + 58 + 27 + 20
TABLES = ("record", "record_chunk", "publication", "log_entry", "batch", "quarantine_row", "subject")
VICTIM = """
import os, signal, sys
from pathlib import Path
from connectors.intake import Intake, Step
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from registry.store import Sealing
from registry.suites import intl
from tests.unit.connectors.consent_register import AS_OF, basis_of_register

main, keys, home, step, nth, *files = sys.argv[1:]
left = [int(nth)]

def kill(at):
    if at == Step(step):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

keyring = Keyring.open(Path(home))
sealing = Sealing(DataKeys(Database(keys), keyring), keyring, intl)
raw = Path(home) / "raw"
intake = Intake(Database(main), sealing, raw, basis_of_register(), chunk_records=20, at_step=kill)
intake.run(map(Path, files), as_of=AS_OF)
"""


def counts(database: Database) -> dict[str, int]:
    with database.transaction() as tx:
        rows = [tx.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES]
    return {table: int(row[0]) for table, row in zip(TABLES, rows, strict=True) if row}


def published(database: Database) -> list[tuple[str, int]]:
    """What anybody can see: for each batch that is published, how many records of it are."""
    with database.transaction() as tx:
        return tx.execute(
            "SELECT b.label, count(r.record_id) FROM batch b JOIN publication p USING (batch_id)"
            " LEFT JOIN record r USING (publication_id) WHERE p.published_at IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


@pytest.mark.parametrize(
    ("step", "nth"), [*((step, 1) for step in Step), (Step.STAGED, 3), (Step.PUBLISHING, 3), (Step.RECEIVED, 2)]
)
def test_killed_after_a_step_a_rerun_loses_and_doubles_nothing(
    intake: Intake, exchange_home: Home, addresses: Addresses, step: Step, nth: int
) -> None:
    killed = subprocess.run(
        [
            *(sys.executable, "-c", VICTIM, addresses.database_url, addresses.keystore_url),
            *(str(exchange_home.settings.home), step.value, str(nth), *map(str, FILES)),
        ],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    complete = {"玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx": 70}
    ledger = "平安区_农村集体三资台账_2026年第一季度.xlsx"
    complete |= {f"{ledger}#资金": 25, f"{ledger}#资产": 58, f"{ledger}#资源": 27, f"{ledger}#合同": 20}
    assert all(complete[label] == records for label, records in published(exchange_home.database))

    intake.run(FILES, as_of=AS_OF)
    assert dict(published(exchange_home.database)) == complete
    once = counts(exchange_home.database)
    assert once["record"] == HELD
    assert once["batch"] == once["publication"] == 5
    assert not any(taken.changed for taken in intake.run(FILES, as_of=AS_OF))
    assert counts(exchange_home.database) == once
    with exchange_home.database.transaction() as tx:
        events = tx.execute("SELECT event, count(*) FROM log_entry GROUP BY 1 ORDER BY 1").fetchall()
    assert dict(events)["connectors:file:received"] == 2
    assert dict(events)["connectors:batch:published"] == 5
    assert len(list(exchange_home.raw.iterdir())) == 2
