"""Kill -9 the sequencer just before each of its steps; the log must be whole, and the next run must finish the work.

The numbers are those of `registry.log.sequencer`.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry import log, merkle, tiles
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.database import Database
from registry.note import NoteSigner
from registry.suites import Ed25519Key
from tests.databases import Addresses

ORIGIN = "log.example/qinghai"
NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
KEY = bytes(range(32))
SIGNERS = (NoteSigner(ORIGIN, Ed25519Key(KEY)),)
ROOT = Path(__file__).parents[2]
VICTIM = f"""
import os, signal, sys
from datetime import UTC, datetime
from registry import log
from registry.database import Database
from registry.note import NoteSigner
from registry.suites import Ed25519Key

def kill(step):
    if step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

log.sequence(
    Database(sys.argv[1]),
    [NoteSigner({ORIGIN!r}, Ed25519Key(bytes(range(32))))],
    {ORIGIN!r},
    now=datetime(2026, 6, 15, 4, tzinfo=UTC),
    at_step=kill,
)
"""


def append(database: Database, first: int, count: int) -> list[bytes]:
    with database.transaction() as tx:
        given = [log.Entry("test:entry:written", NOON, "system", {"n": first + n}) for n in range(count)]
        return [appended.leaf for appended in log.append(tx, given)]


def signed_tree(database: Database) -> tuple[Checkpoint, list[bytes]]:
    """The latest checkpoint, its signature checked, and the entries that its tiles publish."""
    with database.transaction() as tx:
        signed = log.latest_checkpoint(tx)
        assert signed is not None
        checkpoint = open_checkpoint(signed.note, [signer.verifier for signer in SIGNERS], ORIGIN)
        leaves: list[bytes] = []
        while len(leaves) < checkpoint.size:
            width = min(tiles.WIDTH, checkpoint.size - len(leaves))
            leaves += tiles.unbundle(log.entries_tile(tx, len(leaves) // tiles.WIDTH, width) or b"")
    return checkpoint, leaves


def assert_whole(database: Database, expected: list[bytes]) -> Checkpoint:
    """What is signed is a tree over exactly these entries, once each, in order."""
    checkpoint, leaves = signed_tree(database)
    assert leaves == expected[: checkpoint.size]
    assert checkpoint.root == merkle.root(merkle.leaf_hashes(leaves))
    return checkpoint


@pytest.mark.parametrize("step", range(1, 9))
def test_killed_before_a_step_the_log_is_whole_and_nothing_is_lost_or_doubled(
    database: Database,
    addresses: Addresses,
    step: int,
) -> None:
    expected = append(database, 0, 300)
    before = log.sequence(database, SIGNERS, ORIGIN, now=NOON)
    assert before is not None
    expected += append(database, 300, 260)

    killed = subprocess.run(
        [sys.executable, "-c", VICTIM, addresses.database_url, str(step)],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -9
    assert assert_whole(database, expected) == before

    expected += append(database, 560, 3)
    log.sequence_all(database, SIGNERS, ORIGIN, now=NOON)
    after = assert_whole(database, expected)
    assert after.size == len(expected)
    with database.transaction() as tx:
        proof = log.consistency(tx, before.size, after.size)
        merkle.verify_consistency(before.size, after.size, before.root, after.root, proof)
        counts = tx.execute("SELECT (SELECT count(*) FROM log_queue), (SELECT count(*) FROM log_position)").fetchone()
    assert counts == (0, len(expected))


def test_a_tree_that_was_durable_when_the_sequencer_died_is_what_gets_signed(
    database: Database,
    addresses: Addresses,
) -> None:
    expected = append(database, 0, 5)
    subprocess.run([sys.executable, "-c", VICTIM, addresses.database_url, "8"], cwd=ROOT, check=False, timeout=60)
    with database.transaction() as tx:
        assert log.latest_checkpoint(tx) is None
    log.sequence(database, SIGNERS, ORIGIN, now=NOON)
    assert assert_whole(database, expected).size == 5
