"""What a file may cost before it is read: a few kilobytes can ask for all the memory of a machine.

  * a file's bytes, and what a workbook's parts unpack to
  * the rectangle that a sheet's cells span, since readers lay it out whole: one cell at XFD1048576 spans 17 billion
  * the cells of one row of a text; rows of unlike length, one after another, in a long text

Beyond these a file is refused as unreadable, with the bound it broke. The bounds are far above any real roster: a
million rows of forty columns are within them.
"""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from connectors.errors import FileUnreadable

FILE_BYTES: Final = 512 << 20
TEXT_BYTES: Final = 4 << 30  # of a text, which is read block by block
UNPACKED_BYTES: Final = 2 << 30
SPANNED_CELLS: Final = 64_000_000
ROW_CELLS: Final = 2_000
ODD_BYTES: Final = 256 << 20  # of rows in a long text that wait for their block, having another length than the others
PARTS: Final = 10_000
_MARKUP: Final = (".xml", ".rels", ".vml")
_HEAD_BYTES: Final = 64 << 10
_DOCTYPE: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PIECE_BYTES: Final = 4 << 20
_SPACED: Final = re.compile(rb"\sr\s*=\s*[\"']")
_MERGED: Final = re.compile(rb'mergeCell\s[^>]*?\bref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"[^>]*>')
_MERGED_BYTES: Final = 512  # no longer is what says of some cells that they are merged
MERGES: Final = 1_100_000  # a merge for each row there can be


@dataclass(frozen=True, slots=True)
class Span:
    """How far a sheet's cells reach, as its markup says, and how large that is.

    `merged` has a row for each merge: first row, first column, last row, last column, from 0.
    """

    rows: int
    columns: int
    unpacked: int
    merged: npt.NDArray[np.int32] = field(repr=False)


def check_file(size: int) -> None:
    """Refuse a file of too many bytes.

    Raises:
        FileUnreadable: it has more than `FILE_BYTES`.
    """
    if size > FILE_BYTES:
        raise FileUnreadable(f"the file has more than {FILE_BYTES >> 20} MB; split it")


def check_text(size: int) -> None:
    """Refuse a text of too many bytes.

    Raises:
        FileUnreadable: it has more than `TEXT_BYTES`.
    """
    if size > TEXT_BYTES:
        raise FileUnreadable(f"the text has more than {TEXT_BYTES >> 20} MB; split it")


def check_package(file: BinaryIO) -> dict[str, Span]:
    """Refuse an .xlsx whose parts unpack to too much, or whose cells span too large a rectangle.

    Returns:
        how far the cells of each sheet reach, by the name of its part.

    Raises:
        FileUnreadable: a bound is broken, or the package is broken.
        zipfile.BadZipFile: it is no zip package.
    """
    spans = {}
    with zipfile.ZipFile(file) as package:
        parts = package.infolist()
        if sum(part.file_size for part in parts) > UNPACKED_BYTES:
            raise FileUnreadable("the workbook unpacks to too much; send it as text or in parts")
        if len(parts) > PARTS:
            raise FileUnreadable("the workbook has more parts than any workbook needs")
        for part in parts:
            if part.filename.endswith(_MARKUP):
                with package.open(part) as markup:
                    _check_markup(markup.read(_HEAD_BYTES))
            if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                with package.open(part) as sheet:
                    spans[part.filename] = _check_span(sheet)
    return spans


def _check_markup(head: bytes) -> None:
    """Refuse markup that defines entities: a few lines of them unfold into gigabytes, and no workbook has any."""
    if _DOCTYPE.search(head.replace(b"\x00", b"")):
        raise FileUnreadable("the workbook defines entities of its own; save it anew")


def _check_span(sheet: IO[bytes]) -> Span:
    """Read a sheet piece by piece; its declared size may lie, so what is unpacked is counted too."""
    unpacked, rows, columns, rest = 0, 0, 0, b""
    merged: dict[tuple[bytes, ...], None] = {}
    while piece := sheet.read(_PIECE_BYTES):
        unpacked += len(piece)
        if unpacked > UNPACKED_BYTES:
            raise FileUnreadable("the workbook unpacks to too much; send it as text or in parts")
        whole = rest + piece + (b"" if len(piece) == _PIECE_BYTES else b" " * (_LONGEST_REFERENCE + 1))
        here = _reach(np.frombuffer(whole, dtype=np.uint8), whole)
        rows, columns = max(rows, here[0]), max(columns, here[1])
        if rows * columns > SPANNED_CELLS:
            raise FileUnreadable("a cell stands far outside the table; delete what lies beyond it")
        if b"mergeCell" in whole:
            merged |= dict.fromkeys(_MERGED.findall(whole))
        if len(merged) > MERGES:
            raise FileUnreadable("the workbook merges more cells than a sheet has rows")
        rest = piece[-_MERGED_BYTES:]
    return Span(rows, columns, unpacked, _places(merged))


_SPACE, _LETTER_R, _EQUALS, _QUOTES = 0x20, ord("r"), ord("="), (ord('"'), ord("'"))
_A, _LAST_LETTER, _NOUGHT, _NINE = ord("A"), ord("Z"), ord("0"), ord("9")
_LOWER: Final = 0xDF  # without the bit that makes a letter small
_LONGEST_REFERENCE: Final = 16
_MOST: Final = 1 << 40


def _reach(text: npt.NDArray[np.uint8], whole: bytes) -> tuple[int, int]:
    """Give the farthest row and column that attributes named `r` name (`r="B7"`), whoever may read them as such.

    Raises:
        FileUnreadable: such an attribute is written so that it cannot be told.
    """
    named = np.flatnonzero((text[1:-1] == _LETTER_R) & (text[:-2] <= _SPACE)) + 1
    after = text[named + 1]
    for place in named[after <= _SPACE].tolist():
        if _SPACED.match(whole, place - 1):
            raise FileUnreadable("the workbook is written in a way that no spreadsheet program writes; save it anew")
    begins = named[after == _EQUALS] + 2
    begins = begins[begins + _LONGEST_REFERENCE < len(text)]
    begins = begins[np.isin(text[begins], _QUOTES) | (text[begins] <= _SPACE)] + 1
    column, row = np.zeros(len(begins), dtype=np.int64), np.zeros(len(begins), dtype=np.int64)
    on = np.ones(len(begins), dtype=bool)
    for at in range(_LONGEST_REFERENCE):
        mark = text[begins + at].astype(np.int64)
        letter = ((mark & _LOWER) >= _A) & ((mark & _LOWER) <= _LAST_LETTER) & on
        digit = (mark >= _NOUGHT) & (mark <= _NINE) & on
        column = np.minimum(np.where(letter, column * 26 + (mark & _LOWER) - _A + 1, column), _MOST)
        row = np.minimum(np.where(digit, row * 10 + mark - _NOUGHT, row), _MOST)
        on = letter | digit
        if not on.any():
            break
    return int(row.max(initial=0)), int(column.max(initial=0))


def _places(merged: Iterable[tuple[bytes, ...]]) -> npt.NDArray[np.int32]:
    found = [(int(top) - 1, _column(left) - 1, int(end) - 1, _column(right) - 1) for left, top, right, end in merged]
    return np.array(found, dtype=np.int32).reshape(-1, 4)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
