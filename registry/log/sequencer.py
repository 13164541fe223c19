"""The sequencer: gives queued entries their numbers, grows the tree, and signs checkpoints.

Steps (the numbers are used in the code and in the tests):
  1. open a transaction and take the log's advisory lock; if another process has it, leave
  2. read how far the tiles go and the right edge of the tree
  3. take the oldest entries from the queue and give each its position
  4. hash them and grow the tree
  5. write tiles and entry bundles, and commit: the tree is durable before anybody signs it
  6. open a second transaction, take the lock again, read the last checkpoint and the durable tree
  7. prove to ourselves that the tree begins with the last checkpoint's, and with what a file outside the database says
     was signed last (`memory`); otherwise stop, and sign nothing
  8. write size and root to that file, sign the checkpoint, keep it, commit: from now on it may be published

Killed between any two steps, the log is whole: before 5 commits nothing has happened, after it the next run begins at 6
with what is durable. A signature is only ever made over a tree that cannot be lost, so two checkpoints that disagree
cannot come about; and if the database is lost or put back all the same, the file of step 7 stops the log before it
gives a place, or its name, to something else. The sequencer is trusted with order and promptness only: at worst it is
late.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from registry import merkle, tiles
from registry.checkpoint import Checkpoint, sign_checkpoint
from registry.database import Database, Transaction
from registry.errors import ProofFailed
from registry.log import memory, rows
from registry.note import NoteSigner

BATCH_ENTRIES: Final = 10_000
_LOCK: Final = 0x71696E67_6C6F67  # "qinglog": the advisory lock of the one log in a database
_TAKE: Final = """
WITH oldest AS MATERIALIZED (
    SELECT queued FROM log_queue ORDER BY queued LIMIT %s
), taken AS (
    DELETE FROM log_queue USING oldest WHERE log_queue.queued = oldest.queued
    RETURNING log_queue.queued, log_queue.entry_id, log_queue.leaf
), numbered AS (
    SELECT entry_id, leaf, %s + row_number() OVER (ORDER BY queued) - 1 AS leaf_index FROM taken
), placed AS (
    INSERT INTO log_position (entry_id, leaf_index) SELECT entry_id, leaf_index FROM numbered
)
SELECT leaf FROM numbered ORDER BY leaf_index
"""


def _no_hook(_step: int) -> None:
    """Do nothing between steps."""


def sequence(
    database: Database,
    signers: Sequence[NoteSigner],
    origin: str,
    *,
    now: datetime,
    limit: int = BATCH_ENTRIES,
    signed: Path | None = None,
    at_step: Callable[[int], None] = _no_hook,
) -> Checkpoint | None:
    """Sequence up to `limit` waiting entries and sign a checkpoint over everything durable.

    Args:
        database: the main database.
        signers: the log's keys (`Keyring.log_signers()`), all named after the origin.
        origin: the log's origin line.
        now: aware instant kept with the checkpoint; it is not part of what is signed.
        limit: how many entries one transaction may take.
        signed: the file that remembers, outside the database, what was signed last; None keeps no such memory.
        at_step: called with each step's number just before it begins; for tests that kill the process there.

    Returns:
        The new checkpoint, or None when nothing was new or another process is sequencing.

    Raises:
        ProofFailed: the stored tree is shorter than the last signed one or does not begin with it; nothing was signed.
        KeyMissing: others may read the file `signed`.
    """
    with database.transaction() as tx:
        at_step(1)
        if not _locked(tx):
            return None
        _grow(tx, limit, signed, at_step)
        at_step(5)
    at_step(6)
    with database.transaction() as tx:
        return _sign(tx, signers, origin, now=now, signed=signed, at_step=at_step) if _locked(tx) else None


def sequence_all(
    database: Database,
    signers: Sequence[NoteSigner],
    origin: str,
    *,
    now: datetime,
    limit: int = BATCH_ENTRIES,
    signed: Path | None = None,
) -> Checkpoint | None:
    """Sequence until the queue is empty; return the last checkpoint made, if any.

    Raises:
        ProofFailed: as `sequence`.
    """
    last = None
    while (made := sequence(database, signers, origin, now=now, limit=limit, signed=signed)) is not None:
        last = made
    return last


def _locked(tx: Transaction) -> bool:
    """Take the log's lock until the transaction ends, or say that somebody else has it."""
    row = tx.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def _lengths(tx: Transaction, signed: Path | None) -> tuple[list[memory.Signed], int, int]:
    """Return what was signed last, by the database and by the file; the last checkpoint's size; the durable size.

    Fewer durable entries than were signed is a loss.
    """
    last, size = rows.latest(tx), rows.durable_size(tx)
    bases = [] if last is None else [memory.Signed(last.size, last.root)]
    remembered = None if signed is None else memory.read(signed)
    if remembered is not None and remembered not in bases:
        bases.append(remembered)
    for base in bases:
        if size < base.size:
            raise ProofFailed(f"the log has {size} entries, but {base.size} were signed")
    return bases, 0 if last is None else last.size, size


def _grow(tx: Transaction, limit: int, signed: Path | None, at_step: Callable[[int], None]) -> None:
    """Steps 2 to 5 but for the commit."""
    at_step(2)
    *_, size = _lengths(tx, signed)
    wanted = {(level, index) for level, index, _ in tiles.Edge.coordinates(size)}
    if size % tiles.WIDTH:
        wanted.add((tiles.ENTRIES_LEVEL, size // tiles.WIDTH))
    stored = rows.read_tiles(tx, wanted)
    edge = tiles.Edge.read(size, tiles.from_mapping(stored))
    last_bundle = stored.get((tiles.ENTRIES_LEVEL, size // tiles.WIDTH), b"")
    at_step(3)
    leaves = [leaf for (leaf,) in tx.execute(_TAKE, (limit, size), binary=True)]
    if not leaves:
        return
    at_step(4)
    grown = [
        rows.TileRow(level, index, len(data) // merkle.HASH_BYTES, data)
        for (level, index), data in edge.append(merkle.leaf_hashes(leaves)).items()
    ]
    bundles = [
        rows.TileRow(tiles.ENTRIES_LEVEL, index, width, data)
        for index, (width, data) in tiles.group_entries(size, last_bundle, leaves).items()
    ]
    rows.write_tiles(tx, grown + bundles)


def _sign(
    tx: Transaction,
    signers: Sequence[NoteSigner],
    origin: str,
    *,
    now: datetime,
    signed: Path | None,
    at_step: Callable[[int], None],
) -> Checkpoint | None:
    """Steps 6 to 8 but for the commit."""
    bases, published, size = _lengths(tx, signed)
    if size == published:
        return None
    proofs = [(base, merkle.consistency_ranges(base.size, size)) for base in bases]
    wanted = {(level, index) for level, index, _ in tiles.Edge.coordinates(size)}
    wanted = wanted.union(*(tiles.tiles_for(ranges) for _, ranges in proofs))
    read = tiles.from_mapping(rows.read_tiles(tx, wanted))
    root = tiles.Edge.read(size, read).root
    at_step(7)
    for base, ranges in proofs:
        merkle.verify_consistency(base.size, size, base.root, root, tiles.read_ranges(ranges, read))
    at_step(8)
    if signed is not None:  # before the signature is made: none exists that the file does not know of
        memory.write(signed, memory.Signed(size, root))
    checkpoint = Checkpoint(origin, size, root)
    rows.write_checkpoint(tx, checkpoint, sign_checkpoint(checkpoint, signers), now)
    return checkpoint
