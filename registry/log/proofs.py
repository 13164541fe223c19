"""Reading the log: tiles as they are published, checkpoints, and proofs that an entry stands in a signed tree.

Everything here is safe to publish: leaves hold salted commitments, tiles hold hashes. A proof is given only against a
checkpoint that was signed; an entry that no checkpoint covers yet has none (the door answers 202).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from registry import merkle, tiles
from registry.database import Transaction
from registry.errors import ProofFailed
from registry.log import rows
from registry.log.rows import SignedCheckpoint

_POSITIONS: Final = """
SELECT entry_id, leaf_index FROM log_position WHERE entry_id = ANY(%b::uuid[]) AND leaf_index < %s
"""


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a leaf stands at `index` in the tree of a signed checkpoint (`note`)."""

    index: int
    size: int
    path: tuple[bytes, ...]
    leaf: bytes
    note: str

    @property
    def tlog_proof(self) -> str:
        """The proof as the text of a `.tlog-proof` file (C2SP tlog-proof)."""
        return tiles.TlogProof(self.index, self.path, self.note).text


def latest_checkpoint(tx: Transaction) -> SignedCheckpoint | None:
    """Return the latest signed checkpoint, or None before the first."""
    return rows.latest(tx)


def proof(tx: Transaction, entry_id: UUID) -> InclusionProof | None:
    """Return one entry's proof against the latest checkpoint, or None while none covers it.

    Raises:
        ProofFailed: the stored tiles do not lead to the signed root.
    """
    return proofs(tx, [entry_id]).get(entry_id)


def proofs(tx: Transaction, entry_ids: Sequence[UUID]) -> dict[UUID, InclusionProof]:
    """Return proofs against the latest checkpoint, all against the same one; entries not covered yet are left out.

    Each proof is checked before it is returned.

    Raises:
        ProofFailed: the stored tiles do not lead to the signed root.
    """
    checkpoint = rows.latest(tx)
    if checkpoint is None or not entry_ids:
        return {}
    places: dict[UUID, int] = dict(tx.execute(_POSITIONS, (list(entry_ids), checkpoint.size), binary=True).fetchall())
    ranges = {index: merkle.inclusion_ranges(index, checkpoint.size) for index in places.values()}
    wanted = {(tiles.ENTRIES_LEVEL, index // tiles.WIDTH) for index in ranges}
    for steps in ranges.values():
        wanted |= tiles.tiles_for(steps)
    read = tiles.from_mapping(rows.read_tiles(tx, wanted))
    found = {}
    for entry_id, index in places.items():
        bundle = tiles.unbundle(read((tiles.ENTRIES_LEVEL, index // tiles.WIDTH)))
        if index % tiles.WIDTH >= len(bundle):
            raise ProofFailed("an entry bundle of the log is cut short")
        leaf = bundle[index % tiles.WIDTH]
        path = tuple(tiles.read_ranges(ranges[index], read))
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)
        found[entry_id] = InclusionProof(index, checkpoint.size, path, leaf, checkpoint.note)
    return found


def consistency(tx: Transaction, old_size: int, new_size: int) -> list[bytes]:
    """Return the consistency proof between two sizes (RFC 6962 §2.1.2), as witnesses ask for it.

    Raises:
        IndexError: sizes out of order, or from an empty tree.
        ProofFailed: the log is not that long.
    """
    ranges = merkle.consistency_ranges(old_size, new_size)
    return tiles.read_ranges(ranges, tiles.from_mapping(rows.read_tiles(tx, tiles.tiles_for(ranges))))


def tile(tx: Transaction, level: int, index: int, width: int = tiles.WIDTH) -> bytes | None:
    """Return the bytes of a tile of exactly this width, or None when the log is not that long.

    A partial tile is cut from the wider one that has replaced it, so every width that was ever published stays.
    """
    data = rows.read_tiles(tx, [(level, index)]).get((level, index))
    if data is None:
        return None
    narrowed = tiles.cut(level, data, width)
    have = len(tiles.unbundle(narrowed)) if level == tiles.ENTRIES_LEVEL else len(narrowed) // merkle.HASH_BYTES
    return narrowed if have == width else None


def entries_tile(tx: Transaction, index: int, width: int = tiles.WIDTH) -> bytes | None:
    """Return the bytes of an entry bundle of exactly this width, or None when the log is not that long."""
    return tile(tx, tiles.ENTRIES_LEVEL, index, width)
