"""Merkle trees and tiles against RFC 6962's definition written out, and against an independent library."""

import hashlib  # noqa: TID251  # the independent side of the comparison

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import merkle, tiles
from registry.errors import ProofFailed

SIZES = st.integers(1, 600)
LEAVES = [f"entry {number}".encode() for number in range(700)]
HASHES = merkle.leaf_hashes(LEAVES)
BOUNDARIES = [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 511, 512, 513, 700]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, b: bool) -> list[bytes]:
    """RFC 6962 §2.1.2, word for word."""
    if m == len(leaves):
        return [] if b else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], b=b), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], b=False), mth(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


@pytest.mark.parametrize("size", [0, *BOUNDARIES])
def test_roots_are_those_of_the_definition_and_of_the_library(size: int) -> None:
    assert merkle.root(HASHES[:size]) == mth(LEAVES[:size])
    if size:
        assert (
            merkle.root(HASHES[:size])
            == pymerkle.InmemoryTree.init_from_entries(LEAVES[:size], algorithm="sha256").get_root()
        )


@settings(max_examples=60, deadline=None)
@given(st.data(), SIZES)
def test_inclusion_paths_are_those_of_the_definition(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = merkle.inclusion_path(HASHES[:size], index)
    assert found == path(index, LEAVES[:size])
    merkle.verify_inclusion(HASHES[index], index, size, found, mth(LEAVES[:size]))


@settings(max_examples=60, deadline=None)
@given(st.data(), SIZES)
def test_consistency_proofs_are_those_of_the_definition(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size))
    found = merkle.consistency_proof(HASHES[:size], old)
    assert found == subproof(old, LEAVES[:size], b=True)
    merkle.verify_consistency(old, size, mth(LEAVES[:old]), mth(LEAVES[:size]), found)


def test_the_library_finds_the_same_paths() -> None:
    tree = pymerkle.InmemoryTree.init_from_entries(LEAVES[:37], algorithm="sha256")
    for size in (1, 2, 7, 32, 33, 37):
        for index in range(size):
            theirs = tree.prove_inclusion(index + 1, size).serialize()["path"]
            assert [step.hex() for step in merkle.inclusion_path(HASHES[:size], index)] == theirs[1:]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 80))
def test_no_changed_inclusion_proof_holds(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_path(HASHES[:size], index), merkle.root(HASHES[:size])
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], bytes(32), *proof[place + 1 :]]
    for wrong_path in (changed, proof[:-1], [*proof, bytes(32)], [step[:31] for step in proof]):
        with pytest.raises(ProofFailed):
            merkle.verify_inclusion(HASHES[index], index, size, wrong_path, root)
    for leaf, where, of in (
        (HASHES[699], index, size),
        (HASHES[index], (index + 1) % size, size),
        (HASHES[index], size, size),
    ):
        with pytest.raises(ProofFailed):
            merkle.verify_inclusion(leaf, where, of, proof, root)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 80))
def test_no_changed_consistency_proof_holds(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof = merkle.consistency_proof(HASHES[:size], old)
    roots = merkle.root(HASHES[:old]), merkle.root(HASHES[:size])
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], bytes(32), *proof[place + 1 :]]
    for wrong in (changed, proof[:-1], [*proof, bytes(32)]):
        with pytest.raises(ProofFailed):
            merkle.verify_consistency(old, size, *roots, wrong)
    for wrong_roots in ((bytes(32), roots[1]), (roots[0], bytes(32))):
        with pytest.raises(ProofFailed):
            merkle.verify_consistency(old, size, *wrong_roots, proof)
    with pytest.raises(ProofFailed, match="shrink"):
        merkle.verify_consistency(size, old, roots[1], roots[0], proof)


def test_everything_begins_with_the_empty_tree_and_with_itself() -> None:
    root = merkle.root(HASHES[:5])
    merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, root, [])
    merkle.verify_consistency(5, 5, root, root, [])
    merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    for wrong in ((0, 5, root, root, []), (5, 5, root, bytes(32), []), (0, 5, merkle.EMPTY_ROOT, root, [root])):
        with pytest.raises(ProofFailed):
            merkle.verify_consistency(*wrong)


def test_places_outside_the_tree_are_an_error_of_the_caller() -> None:
    for call in (
        lambda: merkle.inclusion_path(HASHES[:3], 3),
        lambda: merkle.inclusion_ranges(-1, 3),
        lambda: merkle.consistency_proof(HASHES[:3], 0),
        lambda: merkle.consistency_ranges(4, 3),
    ):
        with pytest.raises(IndexError):
            call()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.data())
def test_a_tree_grown_by_batches_is_the_tree_of_all_its_entries(batches: list[int], data: st.DataObject) -> None:
    stored: dict[tiles.Coordinates, bytes] = {}
    entries: dict[int, tuple[int, bytes]] = {}
    edge, done = tiles.Edge(), 0
    for count in (min(batch, 700 - sum(batches[:place])) for place, batch in enumerate(batches)):
        if count <= 0:
            break
        new = LEAVES[done : done + count]
        last = entries.get(done // tiles.WIDTH, (0, b""))[1]
        entries |= tiles.group_entries(done, last, new)
        stored |= edge.append(merkle.leaf_hashes(new))
        done += count
    assert (edge.size, edge.root) == (done, merkle.root(HASHES[:done]))
    read = tiles.from_mapping(stored)
    assert tiles.Edge.read(done, read).root == edge.root
    assert [leaf for index in sorted(entries) for leaf in tiles.unbundle(entries[index][1])] == LEAVES[:done]
    assert all(width == len(tiles.unbundle(bundle)) for width, bundle in entries.values())
    index = data.draw(st.integers(0, done - 1))
    ranges = merkle.inclusion_ranges(index, done)
    assert tiles.read_ranges(ranges, tiles.from_mapping({at: stored[at] for at in tiles.tiles_for(ranges)})) == (
        merkle.inclusion_path(HASHES[:done], index)
    )
    old = data.draw(st.integers(1, done))
    assert tiles.read_ranges(merkle.consistency_ranges(old, done), read) == merkle.consistency_proof(HASHES[:done], old)


def test_a_tree_of_70000_has_the_tiles_that_the_text_names() -> None:
    edge = tiles.Edge()
    stored = edge.append([bytes(32)] * 70_000)
    widths = {where: len(data) // 32 for where, data in stored.items()}
    assert [level for level, _ in widths].count(0) == 274
    assert (widths[0, 273], widths[1, 0], widths[1, 1], widths[2, 0]) == (112, 256, 17, 1)
    assert tiles.Edge.coordinates(70_000) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert tiles.Edge.coordinates(256) == [(1, 0, 1)]


@given(st.integers(-1, 63), st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_a_tile_path_is_read_as_it_is_written(level: int, index: int, width: int) -> None:
    assert tiles.parse_tile_path(tiles.tile_path(level, index, width)) == (level, index, width)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entry_bundles_are_read_as_they_are_written(entries: list[bytes]) -> None:
    assert tiles.unbundle(tiles.bundle(entries)) == entries
    assert tiles.cut(tiles.ENTRIES_LEVEL, tiles.bundle(entries), 2) == tiles.bundle(entries[:2])


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=5),
    st.none() | st.binary(max_size=40),
)
def test_a_proof_file_is_read_as_it_is_written(index: int, steps: list[bytes], extra: bytes | None) -> None:
    proof = tiles.TlogProof(index, tuple(steps), "origin\n1\nroot\n\n— origin sig\n", extra)
    assert tiles.TlogProof.parse(proof.text) == proof
