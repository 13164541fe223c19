"""Whether the clear side of entries is what the signed log committed to. For whoever reads the trail.

An entry's clear side (row of `log_entry`) lies in a database; its leaf stands in a tree that was signed. Here the leaf
is made again from the clear side and its hash compared with the one in the tree. Steps:

  1. verify the latest checkpoint's signatures with the log's keys; from here on its size and root count, not the row's
  2. read the tiles of leaf hashes that the entries stand in, and for each the path of its first leaf to the root; that
     binds every hash of the tile, so that one path a tile is enough, however many entries are asked about
  3. compare each entry's hash with the one at its place

What is found: True, it is what was signed; False, it is not, or the log cannot show it; None, no checkpoint covers it
yet.
Not shown: that no row was taken away; for that the reader counts places (`leaf_index`) or reads the published log.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from registry import merkle, tiles
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.database import Transaction
from registry.errors import ProofFailed, RegistryError
from registry.log import rows
from registry.log.entry import Entry, leaf_for
from registry.trust import TrustPolicy

_KNOWN = (  # one statement, hence one state: an entry moves from the queue to its place while we read
    "SELECT entry_id FROM log_queue WHERE entry_id = ANY(%b::uuid[])"
    " UNION ALL SELECT entry_id FROM log_position WHERE entry_id = ANY(%b::uuid[])"
)


class ClearSide(NamedTuple):
    """A row of `log_entry` as it was read, and where it says it stands."""

    event: str
    at: datetime
    actor: str
    fields: dict[str, Any]
    subject_id: UUID | None
    consent_id: str | None
    query_id: UUID | None
    entry_id: UUID
    seed: bytes
    leaf_index: int | None


def proven(tx: Transaction, sides: Sequence[ClearSide], policy: TrustPolicy) -> list[bool | None]:
    """Say of each clear side whether it is what the log signed; None while no checkpoint covers it."""
    stored = rows.latest(tx)
    if not sides or stored is None:
        return [None] * len(sides)
    try:
        point = open_checkpoint(stored.note, policy.log_keys, policy.origin)  # 1
    except ProofFailed:
        return [False] * len(sides)
    durable = rows.durable_size(tx)
    unplaced = [side.entry_id for side in sides if side.leaf_index is None]
    known = {row[0] for row in tx.execute(_KNOWN, (unplaced, unplaced))} if unplaced else set()
    hashes = _signed_hashes(tx, {side.leaf_index for side in sides if side.leaf_index is not None}, point)
    found: list[bool | None] = []
    for side in sides:
        if side.leaf_index is None:
            found.append(None if side.entry_id in known else False)
        elif side.leaf_index >= point.size:
            found.append(None if side.leaf_index < durable else False)
        else:
            found.append(_leaf_hash(side) == hashes.get(side.leaf_index, b""))  # 3
    return found


def _signed_hashes(tx: Transaction, indexes: Collection[int], point: Checkpoint) -> dict[int, bytes]:
    """Step 2: give the leaf hashes at these places that the checkpoint's root binds; others are left out."""
    covered = [index for index in indexes if 0 <= index < point.size]
    paths = {
        number: merkle.inclusion_ranges(number * tiles.WIDTH, point.size)
        for number in {index // tiles.WIDTH for index in covered}
    }
    wanted = {(0, number) for number in paths}.union(*(tiles.tiles_for(ranges) for ranges in paths.values()))
    read = tiles.from_mapping(rows.read_tiles(tx, wanted))
    bound = {number: data for number, ranges in paths.items() if (data := _bound_tile(number, ranges, point, read))}
    return {
        index: bound[number][at : at + merkle.HASH_BYTES]
        for index in covered
        for number, at in [(index // tiles.WIDTH, index % tiles.WIDTH * merkle.HASH_BYTES)]
        if number in bound
    }


def _bound_tile(
    number: int,
    ranges: Sequence[tuple[int, int]],
    point: Checkpoint,
    read: Callable[[tiles.Coordinates], bytes],
) -> bytes | None:
    """Give a tile of leaf hashes if the path of its first leaf, which hashes in all the others, leads to the root."""
    try:
        data = read((0, number))
        path = tiles.read_ranges(ranges, read)
        merkle.verify_inclusion(data[: merkle.HASH_BYTES], number * tiles.WIDTH, point.size, path, point.root)
    except ProofFailed:
        return None
    return data


def _leaf_hash(side: ClearSide) -> bytes | None:
    """Hash the leaf that this clear side makes; None if it makes none."""
    try:
        entry = Entry(
            side.event,
            side.at,
            side.actor,
            side.fields,
            side.subject_id,
            side.consent_id,
            side.query_id,
            side.entry_id,
        )
        return merkle.leaf_hash(leaf_for(entry, side.seed))
    except (RegistryError, ValueError, TypeError):
        return None
