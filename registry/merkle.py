"""Merkle trees after RFC 6962 §2.1, SHA-256. Pure: hashes in, hashes out.

A tree is named by its size and its root; a leaf is hashed with 0x00 before it, a node with 0x01, so that neither passes
for the other. Proofs can be computed from all leaf hashes (small trees: a chunk of records) or planned as ranges of
complete subtrees, which a tiled log then reads (`subtrees`, `inclusion_ranges`, `consistency_ranges`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from registry.errors import ProofFailed
from registry.suites import sha256, sha256_each, sha256_pairs

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"")
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    """Hash one leaf."""
    return sha256(_LEAF + leaf)


def leaf_hashes(leaves: Sequence[bytes]) -> list[bytes]:
    """Hash many leaves."""
    return sha256_each(_LEAF, leaves)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children."""
    return sha256(_NODE + left + right)


def pair_up(hashes: bytes) -> bytes:
    """Hash a run of an even number of neighbours to the run of their parents."""
    return sha256_pairs(_NODE, hashes)


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes; of an empty tree, SHA-256 of nothing."""
    if not hashes:
        return EMPTY_ROOT
    run = b"".join(hashes)
    while len(run) > HASH_BYTES:
        run = _parents(run)
    return run


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the path of leaf `index` (from 0), sibling first, the root's child last.

    Raises:
        IndexError: no such leaf.
    """
    return Levels.over(hashes).path(index)


@dataclass(frozen=True, slots=True)
class Levels:
    """A tree with all its nodes, hashed once: for the paths of many of its leaves."""

    size: int
    runs: tuple[bytes, ...]  # of each level, the leaves' first, its hashes in a row

    @classmethod
    def over(cls, hashes: Sequence[bytes]) -> Self:
        """Hash the tree over leaf hashes."""
        runs = [b"".join(hashes)]
        while len(runs[-1]) > HASH_BYTES:
            runs.append(_parents(runs[-1]))
        return cls(len(hashes), tuple(runs))

    def path(self, index: int) -> list[bytes]:
        """Return the path of leaf `index` (from 0), sibling first, the root's child last.

        Raises:
            IndexError: no such leaf.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        path = []
        for run in self.runs:
            sibling = (index ^ 1) * HASH_BYTES
            if sibling < len(run):
                path.append(run[sibling : sibling + HASH_BYTES])
            index >>= 1
        return path


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a leaf hash and its path lead to.

    Raises:
        ProofFailed: the path is not as long as the tree demands, or has a hash of another length.
    """
    if not 0 <= index < size:
        raise ProofFailed("the leaf lies outside the tree")
    return _root_over(0, size, _known(inclusion_ranges(index, size), path) | {(index, index + 1): leaf})


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> None:
    """Check that the leaf hash stands at `index` in the tree.

    Raises:
        ProofFailed: it does not.
    """
    if root_from_path(leaf, index, size, path) != expected_root:
        raise ProofFailed("the leaf is not in the tree at this place")


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Prove that the tree over the first `old_size` leaf hashes is a prefix of the tree over all.

    Raises:
        IndexError: `old_size` is not between 1 and the number of hashes.
    """
    return [root(hashes[start:end]) for start, end in consistency_ranges(old_size, len(hashes))]


def verify_consistency(
    old_size: int,
    new_size: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Check that the new tree begins with the old one.

    Raises:
        ProofFailed: it does not, or the proof does not fit the sizes.
    """
    if not 0 <= old_size <= new_size:
        raise ProofFailed("a tree does not shrink")
    if old_size == 0:
        agrees = old_root == EMPTY_ROOT and not proof
    else:
        known = _known(consistency_ranges(old_size, new_size), proof)
        if old_size & (old_size - 1) == 0 or old_size == new_size:
            known[0, old_size] = old_root  # a subtree of the new tree by itself, so the proof leaves it out
        agrees = _root_over(0, old_size, known) == old_root and _root_over(0, new_size, known) == new_root
    if not agrees:
        raise ProofFailed("the new tree does not begin with the old one")


def subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """Split leaves start…end into complete subtrees from left to right, as (level, index at that level).

    `start` is a multiple of the largest power of two that fits, as in every range of RFC 6962.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees of falling size, given from left to right.

    Raises:
        IndexError: no subtree given.
    """
    current = hashes[-1]
    for left in hashes[-2::-1]:
        current = node_hash(left, current)
    return current


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots are the path of a leaf, sibling first."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} of a tree of {size}")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose roots are the consistency proof (RFC 6962 §2.1.2, PROOF)."""
    if not 1 <= old_size <= new_size:
        raise IndexError(f"from a tree of {old_size} to one of {new_size}")
    ranges, start, end, whole = [], 0, new_size, True
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def _known(ranges: Sequence[tuple[int, int]], proof: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Lay a proof's hashes on the ranges of leaves that they stand for."""
    if len(proof) != len(ranges) or any(len(step) != HASH_BYTES for step in proof):
        raise ProofFailed("the proof does not fit the tree")
    return dict(zip(ranges, proof, strict=True))


def _root_over(start: int, end: int, known: Mapping[tuple[int, int], bytes]) -> bytes:
    """Hash together what is known until it covers the range (RFC 6962 §2.1, MTH)."""
    found = known.get((start, end))
    if found is not None:
        return found
    if end - start == 1:
        raise ProofFailed("the proof does not fit the tree")
    middle = start + _split(end - start)
    return node_hash(_root_over(start, middle, known), _root_over(middle, end, known))


def _split(count: int) -> int:
    """Return the largest power of two smaller than the count."""
    return 1 << (count - 1).bit_length() - 1


def _parents(run: bytes) -> bytes:
    """Pair up neighbours; an odd last one rises as it is."""
    even = len(run) // (2 * HASH_BYTES) * 2 * HASH_BYTES
    return pair_up(run[:even]) + run[even:]
