"""Rows of the log's tables: reading and writing tiles and checkpoints. Private to `registry.log`."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from registry import tiles
from registry.checkpoint import Checkpoint
from registry.database import Transaction

_READ_TILES: Final = """
SELECT tile.level, tile.tile_index, tile.data
FROM unnest(%b::smallint[], %b::bigint[]) AS wanted(level, tile_index)
JOIN log_tile AS tile USING (level, tile_index)
"""
_WRITE_TILES: Final = """
INSERT INTO log_tile (level, tile_index, width, data)
SELECT * FROM unnest(%b::smallint[], %b::bigint[], %b::smallint[], %b::bytea[])
ON CONFLICT (level, tile_index) DO UPDATE SET width = excluded.width, data = excluded.data
"""
_SIZE: Final = """
SELECT tile_index * 256 + width FROM log_tile WHERE level = 0 ORDER BY tile_index DESC LIMIT 1
"""
_LATEST: Final = """
SELECT tree_size, root, note, signed_at FROM log_checkpoint ORDER BY tree_size DESC LIMIT 1
"""


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it was published."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


class TileRow(NamedTuple):
    """A tile to be written: level -1 is an entry bundle."""

    level: int
    tile_index: int
    width: int
    data: bytes


def read_tiles(tx: Transaction, wanted: Collection[tiles.Coordinates]) -> dict[tiles.Coordinates, bytes]:
    """Read tiles in one round trip; those that do not exist are left out."""
    if not wanted:
        return {}
    levels, indices = [level for level, _ in wanted], [index for _, index in wanted]
    rows = tx.execute(_READ_TILES, (levels, indices), binary=True)
    return {(level, index): data for level, index, data in rows}


def write_tiles(tx: Transaction, rows: Iterable[TileRow]) -> None:
    """Write tiles that came to be or grew, in one round trip."""
    columns = list(zip(*rows, strict=True))
    if columns:
        tx.execute(_WRITE_TILES, [list(column) for column in columns])


def durable_size(tx: Transaction) -> int:
    """Return how many entries have tiles; a checkpoint may still be missing for the last ones."""
    row = tx.execute(_SIZE).fetchone()
    return 0 if row is None else int(row[0])


def latest(tx: Transaction) -> SignedCheckpoint | None:
    """Return the latest checkpoint that was signed."""
    row = tx.execute(_LATEST, binary=True).fetchone()
    return None if row is None else SignedCheckpoint(*row)


def write_checkpoint(tx: Transaction, checkpoint: Checkpoint, note: str, signed_at: datetime) -> None:
    """Keep a signed checkpoint for ever."""
    tx.execute(
        "INSERT INTO log_checkpoint (tree_size, root, note, signed_at) VALUES (%s, %s, %s, %s)",
        (checkpoint.size, checkpoint.root, note, signed_at),
    )
