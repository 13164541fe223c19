"""Tiles of the log, their names and bytes, after C2SP tlog-tiles, and `.tlog-proof` files after C2SP tlog-proof. Pure.

  tile/<L>/<N>[.p/<W>]        256 (or W) hashes: level 0 the leaves', level L+1 the roots of full tiles of level L
  tile/entries/<N>[.p/<W>]    256 (or W) entries, each behind its length (uint16, big-endian)
N is written in groups of three digits, all but the last with an `x` before them: 1234067 → `x001/x234/067`.
Entry bundles have the level -1 here and in the table. A narrower partial tile is the beginning of a wider one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from registry import merkle
from registry.canonical import b64, unb64
from registry.errors import ProofFailed

HEIGHT: Final = 8
WIDTH: Final = 256
ENTRIES_LEVEL: Final = -1
MAX_ENTRY_BYTES: Final = 65535
_MAX_LEVEL: Final = 63
_PATH: Final = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
)
_PROOF_HEAD: Final = "c2sp.org/tlog-proof@v1"
_HASHED: Final = merkle.HASH_BYTES

Coordinates = tuple[int, int]


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile under the log's prefix; `width` below 256 names a partial tile."""
    if not (ENTRIES_LEVEL <= level <= _MAX_LEVEL and index >= 0 and 1 <= width <= WIDTH):
        raise ValueError("no such tile")
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    name = "entries" if level == ENTRIES_LEVEL else str(level)
    return f"tile/{name}/{'/'.join(groups)}{'' if width == WIDTH else f'.p/{width}'}"


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """Read a tile's path as (level, index, width); a full tile has width 256.

    Raises:
        ValueError: not the one spelling of a tile's path.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("not the path of a tile")
    level = ENTRIES_LEVEL if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    if level > _MAX_LEVEL or (match["width"] and width == WIDTH) or tile_path(level, index, width) != path:
        raise ValueError("not the path of a tile")
    return level, index, width


def bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries one after another, each behind its length.

    Raises:
        ValueError: an entry of more than 65 535 bytes.
    """
    try:
        return b"".join([len(entry).to_bytes(2) + entry for entry in entries])
    except OverflowError as error:
        raise ValueError(f"an entry of more than {MAX_ENTRY_BYTES} bytes") from error


def unbundle(data: bytes) -> list[bytes]:
    """Read an entry bundle.

    Raises:
        ProofFailed: it ends inside an entry.
    """
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data) or at + 2 > len(data):
            raise ProofFailed("an entry bundle is cut short")
        entries.append(data[at + 2 : end])
        at = end
    return entries


def cut(level: int, data: bytes, width: int) -> bytes:
    """Return the first `width` hashes or entries of a wider tile's bytes."""
    return bundle(unbundle(data)[:width]) if level == ENTRIES_LEVEL else data[: width * _HASHED]


def tile_of(level: int, index: int) -> tuple[Coordinates, int, int]:
    """Say where node `index` of tree level `level` is read from: (tile, first hash, how many hashes)."""
    span = level % HEIGHT
    first = index << span
    return (level // HEIGHT, first // WIDTH), first % WIDTH, 1 << span


def read_node(level: int, index: int, tile: Callable[[Coordinates], bytes]) -> bytes:
    """Return the hash of a complete subtree from the tile that holds it.

    Raises:
        ProofFailed: the tile is too narrow.
    """
    where, first, count = tile_of(level, index)
    run = tile(where)[first * _HASHED : (first + count) * _HASHED]
    if len(run) != count * _HASHED:
        raise ProofFailed(f"tile {where[0]}/{where[1]} of the log is too narrow")
    while len(run) > _HASHED:
        run = merkle.pair_up(run)
    return run


def tiles_for(ranges: Sequence[Coordinates]) -> set[Coordinates]:
    """Return the tiles that the roots of these ranges of leaves are read from."""
    return {tile_of(level, index)[0] for start, end in ranges for level, index in merkle.subtrees(start, end)}


def read_ranges(ranges: Sequence[Coordinates], tile: Callable[[Coordinates], bytes]) -> list[bytes]:
    """Return the root of each range of leaves, from tiles."""
    return [
        merkle.fold([read_node(level, index, tile) for level, index in merkle.subtrees(start, end)])
        for start, end in ranges
    ]


@dataclass(slots=True)
class Edge:
    """The right edge of the tree: its size and the partial tile of each level. Grows by batches.

    Levels above the highest non-empty one are absent; a level whose tiles are all full has empty bytes.
    """

    size: int = 0
    partial: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def coordinates(cls, size: int) -> list[tuple[int, int, int]]:
        """Return (level, tile index, width) of the partial tiles of a tree, where width is not 0."""
        found, level = [], 0
        while size >> HEIGHT * level:
            count = size >> HEIGHT * level
            if count % WIDTH:
                found.append((level, count // WIDTH, count % WIDTH))
            level += 1
        return found

    @classmethod
    def read(cls, size: int, tile: Callable[[Coordinates], bytes]) -> Self:
        """Take the edge of a tree of this size from its tiles.

        Raises:
            ProofFailed: a tile is too narrow.
        """
        edge = cls(size)
        for level, index, width in cls.coordinates(size):
            data = tile((level, index))[: width * _HASHED]
            if len(data) != width * _HASHED:
                raise ProofFailed(f"tile {level}/{index} of the log is too narrow")
            edge.partial[level] = data
        return edge

    def append(self, hashes: Sequence[bytes]) -> dict[Coordinates, bytes]:
        """Add leaf hashes; return the tiles that came to be or grew, full and partial: (level, index) → bytes."""
        changed: dict[Coordinates, bytes] = {}
        run, level, count = b"".join(hashes), 0, self.size
        full = WIDTH * _HASHED
        while run:
            index = count // WIDTH
            run = self.partial.get(level, b"") + run
            rising = []
            for start in range(0, len(run) - full + 1, full):
                changed[level, index] = data = run[start : start + full]
                rising.append(_tile_root(data))
                index += 1
            rest = run[len(rising) * full :]
            if rest:
                changed[level, index] = rest
            self.partial[level] = rest
            run, level, count = b"".join(rising), level + 1, count // WIDTH
        self.size += len(hashes)
        return changed

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        hashes = []
        for level in sorted(self.partial, reverse=True):
            run = self.partial[level]
            while run:
                count = 1 << (len(run) // _HASHED).bit_length() - 1
                hashes.append(_tile_root(run[: count * _HASHED]))
                run = run[count * _HASHED :]
        return merkle.fold(hashes) if hashes else merkle.EMPTY_ROOT


def _tile_root(data: bytes) -> bytes:
    """Return the root over a power of two of hashes."""
    while len(data) > _HASHED:
        data = merkle.pair_up(data)
    return data


def group_entries(size: int, last_bundle: bytes, leaves: Sequence[bytes]) -> dict[int, tuple[int, bytes]]:
    """Add entries to a log of `size`; return the bundles that came to be or grew: index → (width, bytes)."""
    changed: dict[int, tuple[int, bytes]] = {}
    index, width, at = size // WIDTH, size % WIDTH, 0
    data = last_bundle if width else b""
    while at < len(leaves):
        taken = leaves[at : at + WIDTH - width]
        changed[index] = (width + len(taken), data + bundle(taken))
        index, width, at, data = index + 1, 0, at + len(taken), b""
    return changed


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A `.tlog-proof` file: an entry's index, its path, and the signed checkpoint that the path leads to.

    `extra` is not authenticated by anything; a reader must not trust it.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        """The file's text."""
        lines = [_PROOF_HEAD]
        if self.extra is not None:
            lines.append(f"extra {b64(self.extra)}")
        return "\n".join([*lines, f"index {self.index}", *map(b64, self.path), "", self.checkpoint])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file; the proof and the checkpoint's signature are not checked yet.

        Raises:
            ProofFailed: not a proof of this format.
        """
        head, blank, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or lines[0] != _PROOF_HEAD:
            raise ProofFailed("not a tlog-proof")
        try:
            extra = unb64(lines.pop(1)[6:]) if len(lines) > 1 and lines[1].startswith("extra ") else None
            index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1])
            if index is None:
                raise ProofFailed("a tlog-proof without an index")
            path = tuple(unb64(line) for line in lines[2:])
        except (ValueError, IndexError) as error:
            raise ProofFailed("a tlog-proof with a malformed line") from error
        if any(len(step) != _HASHED for step in path):
            raise ProofFailed("a tlog-proof with a hash of another length")
        return cls(int(index[1]), path, checkpoint, extra)


def from_mapping(found: Mapping[Coordinates, bytes]) -> Callable[[Coordinates], bytes]:
    """Return a reader of tiles that are at hand.

    The reader raises `ProofFailed` for one that is not: the log has lost it.
    """

    def read(where: Coordinates) -> bytes:
        try:
            return found[where]
        except KeyError:
            raise ProofFailed(f"tile {where[0]}/{where[1]} of the log is missing") from None

    return read
