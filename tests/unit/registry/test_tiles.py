"""Tiles and proof files: the exact spellings of C2SP, and what is refused."""

import pytest

from registry import tiles
from registry.errors import ProofFailed


@pytest.mark.parametrize(
    ("coordinates", "path"),
    [
        ((0, 0, 256), "tile/0/000"),
        ((0, 1234067, 256), "tile/0/x001/x234/067"),
        ((1, 999, 17), "tile/1/999.p/17"),
        ((-1, 1000, 1), "tile/entries/x001/000.p/1"),
        ((63, 5, 255), "tile/63/005.p/255"),
    ],
)
def test_paths_are_spelled_as_the_text_says(coordinates: tuple[int, int, int], path: str) -> None:
    assert tiles.tile_path(*coordinates) == path
    assert tiles.parse_tile_path(path) == coordinates


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/entries/000.p/",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/../000",
    ],
)
def test_another_spelling_is_no_tile(path: str) -> None:
    with pytest.raises(ValueError, match="not the path of a tile"):
        tiles.parse_tile_path(path)


@pytest.mark.parametrize("coordinates", [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_a_tile_that_cannot_be_has_no_path(coordinates: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such tile"):
        tiles.tile_path(*coordinates)


def test_an_entry_stands_behind_its_length() -> None:
    assert tiles.bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    with pytest.raises(ValueError, match="65535"):
        tiles.bundle([bytes(65_536)])


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01a\xff"])
def test_a_bundle_that_ends_inside_an_entry_is_refused(data: bytes) -> None:
    with pytest.raises(ProofFailed, match="cut short"):
        tiles.unbundle(data)


def test_a_missing_or_narrow_tile_is_a_failed_proof() -> None:
    read = tiles.from_mapping({(0, 0): bytes(64)})
    for level, index in ((0, 2), (8, 0)):
        with pytest.raises(ProofFailed):
            tiles.read_node(level, index, read)
    with pytest.raises(ProofFailed, match="too narrow"):
        tiles.Edge.read(3, read)


PROOF = tiles.TlogProof(73894, (bytes(32), b"\xff" * 32), "log.example\n1\nAA==\n\n— log.example AAAA\n", b"extra")


def test_a_proof_file_has_the_lines_of_the_text() -> None:
    assert PROOF.text == (
        "c2sp.org/tlog-proof@v1\n"
        "extra ZXh0cmE=\n"
        "index 73894\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        "//////////////////////////////////////////8=\n"
        "\n"
        "log.example\n1\nAA==\n\n— log.example AAAA\n"
    )


def test_a_tree_of_one_entry_has_a_proof_without_hashes() -> None:
    proof = tiles.TlogProof(0, (), "log.example\n1\nAA==\n\n— log.example AAAA\n")
    assert "extra" not in proof.text
    assert tiles.TlogProof.parse(proof.text) == proof


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 73894", "index 073894"),
        ("index 73894", "index -1"),
        ("index 73894\n", ""),
        ("extra ZXh0cmE=", "extra ZXh0cmF="),
        ("AAAA=\n", "AAAB=\n"),
        ("AAAA=\n", "AA=\n"),
        ("AAAA=\n", "AAA!=\n"),
        ("\n\nlog", "\nlog"),
    ],
)
def test_a_proof_file_that_is_spelled_otherwise_is_refused(old: str, new: str) -> None:
    assert old in PROOF.text
    text = PROOF.text.replace(old, new, 1)
    if old == "\n\nlog":
        text = text.replace("\n\n", "\n")
    with pytest.raises(ProofFailed):
        tiles.TlogProof.parse(text)
