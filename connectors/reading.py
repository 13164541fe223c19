"""Bytes → raw grids: what stands in which cell, before anyone asks what it means.

Containers are told apart by their first bytes, never by their name: workbooks (.xlsx, and .xls or .et in the old OLE
form) by calamine (`spreadsheets`), everything else as delimited text in UTF-8 (with or without BOM) or GB18030
(`delimited`). Only lines of JSON (`ndjson`), which we name ourselves, are known by their name. A short file is laid out
whole (`read`); a long text, long lines of JSON or a large .xlsx are given block by block (`streams`). An old workbook
has at most 65,536 rows a sheet and is laid out whole.

Not here: headers, units, totals (layout); what a text means (cleaning).
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, Final, TypeAlias

from connectors import bounds, delimited, ndjson, spreadsheets
from connectors.errors import FileUnreadable
from connectors.grids import Grid
from connectors.spool import Spool

Source: TypeAlias = bytes | Spool
LONG_BYTES: Final = 24 << 20  # of a text or lines of JSON; a longer one is read and judged block by block
LARGE_BYTES: Final = 32 << 20  # of a workbook's sheets and texts, unpacked; a larger one is read block by block

_HEAD_BYTES: Final = 64 << 10
_OTHER_KINDS: Final = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"{", b"<", b"Rar!", b"7z\xbc\xaf")
_TABLE_SUFFIXES: Final = (".xls", ".xlsx", ".csv", ".et", ndjson.SUFFIX)


def is_table(raw: Source, name: str = "") -> bool:
    """Say whether bytes can be a workbook or a delimited text; pictures, PDF, JSON and markup are not.

    A file whose name says that it is one is taken at its word: what it holds instead is FILE_UNREADABLE, not passed
    over.
    """
    if _size(raw) and name.lower().endswith(_TABLE_SUFFIXES):
        return True
    start = _head(raw)
    head = start.lstrip()[:8]
    if not head or head.startswith(_OTHER_KINDS):
        return False
    return start.startswith((spreadsheets.ZIP, spreadsheets.OLE, *delimited.UTF_16)) or b"\x00" not in start[:512]


def read(raw: bytes, name: str = "") -> list[Grid]:
    """Read every sheet of a workbook, or the one grid of a text; sheets without any cell are left out.

    Raises:
        FileUnreadable: a workbook that is broken or locked, text that is neither UTF-8 nor GB18030, or no table at all.
    """
    if ndjson.is_ndjson(name):
        bounds.check_file(len(raw))
        grid = ndjson.read(raw)
        return [grid] if grid.height else []
    if raw.strip() and not is_table(raw):
        raise FileUnreadable("a picture, PDF, JSON or markup under a table's name")
    bounds.check_file(len(raw))
    workbook = raw[:4] == spreadsheets.ZIP or raw[:8] == spreadsheets.OLE
    grids = spreadsheets.read(raw) if workbook else [delimited.read(raw)]
    return [replace(grid, number=number) for number, grid in enumerate(grids, start=1) if grid.height]


@dataclass(frozen=True, slots=True)
class Stream:
    """One sheet, or the one table of a text, to be read block by block: `blocks` begins anew whenever it is called.

    Each block is a grid of some ten thousand rows that knows its first row; its `merged` are those of the sheet that
    reach into it, counted from the sheet's first row. Blocks may raise FileUnreadable after some have been given: then
    none of them count. `rows` is how many a sheet says it has, or lines of JSON have, 0 if that is not known;
    `in_blocks` how many blocks a text has, about.
    """

    blocks: Callable[[], Iterator[Grid]] = field(repr=False)
    sheet: str = ""
    number: int = 1
    rows: int = 0
    in_blocks: int = 1

    def expected(self, first: Grid) -> int:
        """Estimate how many rows there are, from the first block; no more than a hint of how much work they make."""
        return self.rows or first.height * self.in_blocks


def is_long(raw: Source, name: str = "") -> bool:
    """Say whether a file is too long to be laid out whole: by its bytes, or an .xlsx by what its sheets unpack to."""
    head = _head(raw)
    if ndjson.is_ndjson(name):
        return _size(raw) > LONG_BYTES  # a spool too: weighed again, from its bytes, it is cut into the same chunks
    if head[:4] == spreadsheets.ZIP:
        return spreadsheets.unpacked(lambda: _opened(raw)) > LARGE_BYTES
    long = _size(raw) > LONG_BYTES or not isinstance(raw, bytes)
    return long and not (head[:8] == spreadsheets.OLE or head.lstrip().startswith(_OTHER_KINDS))


def streams(raw: Source, name: str = "") -> list[Stream]:
    """Give the sheets of a long file, to be read block by block.

    Raises:
        FileUnreadable: as `read`; blocks may raise it too.
    """
    if ndjson.is_ndjson(name):
        bounds.check_text(_size(raw))
        shape = ndjson.shape(lambda: _opened(raw))
        return [Stream(lambda: ndjson.blocks(lambda: _opened(raw), shape.keys), rows=shape.rows)]
    if _head(raw)[:4] != spreadsheets.ZIP:
        return [Stream(lambda: blocks(raw), in_blocks=1 + _size(raw) // delimited.BLOCK_BYTES)]
    bounds.check_file(_size(raw))
    book = spreadsheets.large(lambda: _opened(raw))
    return [
        Stream(
            partial(spreadsheets.blocks, book, sheet), sheet.name, sheet.number, sheet.span.rows if sheet.span else 0
        )
        for sheet in book.sheets
    ]


def blocks(raw: Source) -> Iterator[Grid]:
    """Read a text block by block, each a grid of some ten thousand rows that knows its first row.

    Raises:
        FileUnreadable: as `read`, also after blocks have been given: then none of them count.
    """
    bounds.check_text(_size(raw))
    return delimited.blocks(lambda: _opened(raw))


def whole(raw: Source) -> bytes:
    """Give all bytes of a file that is laid out whole."""
    return raw if isinstance(raw, bytes) else raw.read_bytes()


def _head(raw: Source) -> bytes:
    if isinstance(raw, bytes):
        return raw[:_HEAD_BYTES]
    with raw.open() as text:
        return text.read(_HEAD_BYTES)


def _size(raw: Source) -> int:
    return len(raw) if isinstance(raw, bytes) else raw.size


def _opened(raw: Source) -> BinaryIO:
    return io.BytesIO(raw) if isinstance(raw, bytes) else raw.open()
