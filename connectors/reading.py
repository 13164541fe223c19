"""Bytes → raw grids: what stands in which cell, before anyone asks what it means.

Containers are told apart by their first bytes, never by their name: workbooks (.xlsx, and .xls or .et in the old OLE
form) by calamine, everything else as delimited text in UTF-8 (with or without BOM) or GB18030, decoded strictly in
this order. A byte that fits neither stops the file; nothing is ever replaced.

A short file is laid out whole (`read`); a long text or a large .xlsx is given block by block (`streams`). An old
workbook has at most 65,536 rows a sheet and is laid out whole.

A grid keeps, for each column, the text of every cell, and which cells were numbers in a workbook: a number cell of
more than 15 digits has lost some. Rows with more cells than others widen the grid; hidden rows and sheets are read
like any other; formula errors are kept as their text (`#REF!`).

Not here: headers, units, totals (layout); what a text means (cleaning).
"""

import codecs
import csv
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from functools import partial
from typing import BinaryIO, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from python_calamine import CalamineError, CalamineWorkbook

from connectors import bounds, legacy, ndjson, workbooks
from connectors.errors import FileUnreadable
from connectors.spool import Spool

Mask = npt.NDArray[np.bool_]
Source: TypeAlias = bytes | Spool
Merged: TypeAlias = tuple[tuple[int, int, int, int], ...]
LONG_BYTES: Final = 24 << 20  # of a text; a longer one is read and judged block by block
LARGE_BYTES: Final = 32 << 20  # of a workbook's sheets and texts, unpacked; a larger one is read block by block

_HEAD_BYTES = 64 << 10
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# what zipfile raises over a broken, locked or oddly packed part, besides its own error
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError, LookupError, struct.error,
)  # fmt: skip
_OTHER_KINDS = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"{", b"<", b"Rar!", b"7z\xbc\xaf")
_TABLE_SUFFIXES = (".xls", ".xlsx", ".csv", ".et", ndjson.SUFFIX)
_BLOCK_BYTES = 8 << 20
_NUMBERS: Final[set[type]] = {int, float}
_WIDEST_ROW_CELLS = 512
_PROBE_CHARACTERS = 20_000
_ODD_ROW_BYTES: Final = 200  # what a row set aside takes beside its text


@dataclass(frozen=True, slots=True)
class Grid:
    """One sheet: `columns[c]` is the text of column c, a blank cell is ""; `numbers[c]` marks number cells.

    `merged` are (first row, first column, last row, last column), counted from 0. `first_row` is the sheet's row
    number, counted from 1, of the grid's first row.
    """

    sheet: str
    columns: tuple[pd.Series, ...]
    numbers: tuple[Mask | None, ...]
    merged: Merged = ()
    number: int = 1
    first_row: int = 1

    @property
    def place(self) -> str:
        """Which sheet it is, by number: a sheet's name may be somebody's, and what is kept must name nobody."""
        return str(self.number) if self.sheet else ""

    @property
    def height(self) -> int:
        """How many rows the grid has."""
        return len(self.columns[0]) if self.columns else 0

    def head(self, rows: int) -> "Grid":
        """Give the first rows, without what the others hold in memory."""
        if self.height <= rows:
            return self
        columns = tuple(pd.Series(column.iloc[:rows].tolist(), dtype="str") for column in self.columns)
        numbers = tuple(None if mask is None else mask[:rows].copy() for mask in self.numbers)
        return replace(self, columns=columns, numbers=numbers)

    def row(self, index: int) -> list[str]:
        """The texts of one row, stripped."""
        return [str(column.iloc[index]).strip() for column in self.columns]


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
    return start.startswith((_ZIP, _OLE, *_UTF_16)) or b"\x00" not in start[:512]


def read(raw: bytes, name: str = "") -> list[Grid]:
    """Read every sheet of a workbook, or the one grid of a text; sheets without any cell are left out.

    Raises:
        FileUnreadable: a workbook that is broken or locked, text that is neither UTF-8 nor GB18030, or no table at all.
    """
    if ndjson.is_ndjson(name):
        bounds.check_file(len(raw))
        columns = ndjson.columns(io.BytesIO(raw))
        return [Grid("", columns, (None,) * len(columns))] if columns else []
    if raw.strip() and not is_table(raw):
        raise FileUnreadable("a picture, PDF, JSON or markup under a table's name")
    bounds.check_file(len(raw))
    grids = _workbook(raw) if raw[:4] == _ZIP or raw[:8] == _OLE else [_text(raw)]
    return [replace(grid, number=number) for number, grid in enumerate(grids, start=1) if grid.height]


# ---- block by block -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """One sheet, or the one table of a text, to be read block by block: `blocks` begins anew whenever it is called.

    Each block is a grid of some ten thousand rows that knows its first row; its `merged` are those of the sheet that
    reach into it, counted from the sheet's first row. Blocks may raise FileUnreadable after some have been given: then
    none of them count.
    """

    blocks: Callable[[], Iterator[Grid]] = field(repr=False)
    sheet: str = ""
    number: int = 1


def is_long(raw: Source, name: str = "") -> bool:
    """Say whether a file is too long to be laid out whole: a text, or an .xlsx by what its sheets unpack to."""
    head = _head(raw)
    if ndjson.is_ndjson(name):
        return False
    if head[:4] == _ZIP:
        return _unpacked(raw) > LARGE_BYTES
    long = _size(raw) > LONG_BYTES or not isinstance(raw, bytes)
    return long and not (head[:8] == _OLE or head.lstrip().startswith(_OTHER_KINDS))


def streams(raw: Source) -> list[Stream]:
    """Give the sheets of a long file, to be read block by block.

    Raises:
        FileUnreadable: as `read`; blocks may raise it too.
    """
    if _head(raw)[:4] != _ZIP:
        return [Stream(lambda: blocks(raw))]
    bounds.check_file(_size(raw))
    with _readable(), _opened(raw) as file:
        book = workbooks.LargeWorkbook(lambda: _opened(raw), bounds.check_package(file))
    return [Stream(partial(_sheet_blocks, book, sheet), sheet.name, sheet.number) for sheet in book.sheets]


def _unpacked(raw: Source) -> int:
    """Add up what sheets and texts of a package say that they unpack to; 0 for one that is broken."""
    try:
        with _opened(raw) as file, zipfile.ZipFile(file) as package:
            return sum(
                part.file_size
                for part in package.infolist()
                if part.filename.lower().startswith(("xl/worksheets/", "xl/sharedstrings"))
            )
    except _BROKEN:
        return 0


def _sheet_blocks(book: workbooks.LargeWorkbook, sheet: workbooks.Sheet) -> Iterator[Grid]:
    """Give a sheet's blocks; those behind the first have at least its columns, and it has all that markup speaks of."""
    span = sheet.span
    width, merged = 0, span.merged if span else np.zeros((0, 4), dtype=np.int32)
    with _readable():
        for block in book.blocks(sheet):
            first, last = block.first_row - 1, block.first_row + len(block.columns[0]) - 1
            here = merged[(merged[:, 0] < last) & (merged[:, 2] >= first)] if len(merged) else merged
            if not width and span:
                width = min(span.columns, _WIDEST_ROW_CELLS)
            grid = _grid(sheet.name, block.columns, _merged(here), block.errors, width)
            width = max(width, len(grid.columns))
            yield replace(grid, number=sheet.number, first_row=block.first_row)


def _merged(places: npt.NDArray[np.int32]) -> Merged:
    return tuple((top, left, bottom, right) for top, left, bottom, right in places.tolist())


def blocks(raw: Source) -> Iterator[Grid]:
    """Read a text block by block, each a grid of some ten thousand rows that knows its first row.

    Raises:
        FileUnreadable: as `read`, also after blocks have been given: then none of them count.
    """
    bounds.check_text(_size(raw))
    with _opened(raw) as text:
        encoding = _encoding(text)
    try:
        with _opened(raw) as text:
            delimiter, width = _shape(_utf8(text, encoding))
        if width:
            with _opened(raw) as text:
                yield from _split(_utf8(text, encoding), delimiter, width)
    except (UnicodeError, csv.Error) as error:
        raise FileUnreadable("the text is neither UTF-8 nor GB18030, or no table") from error


# ---- text -----------------------------------------------------------------------------------------------------------


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


def encoding_of(raw: bytes) -> str:
    """Name the encoding to read a text in: by BOM, else UTF-8 if the bytes are strictly that, else GB18030."""
    return _encoding(io.BytesIO(raw))


def _encoding(text: BinaryIO) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    piece = text.read(_BLOCK_BYTES)
    if piece.startswith(_UTF_16):
        return "utf-16"
    try:
        while piece:
            decoder.decode(piece)
            piece = text.read(_BLOCK_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"


def _utf8(text: BinaryIO, encoding: str) -> "BinaryIO | _Recoded":
    """Read a text as UTF-8 without its BOM."""
    if encoding != "utf-8":
        return _Recoded(text, encoding)
    if text.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        text.seek(0)
    return text


class _Recoded(io.RawIOBase):
    """A text's bytes as UTF-8, recoded block by block, so that a long file never stands in memory twice."""

    def __init__(self, text: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._text, self._ended = text, False
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, at least one unless the text has ended. Two bytes become three at most."""
        piece = ""
        while not piece and not self._ended:
            taken = self._text.read(size if size < 0 else max(size // 2, 1))
            self._ended = size < 0 or not taken
            piece = self._decoder.decode(taken, final=self._ended)
        return piece.encode()


def _shape(text: "BinaryIO | _Recoded") -> tuple[str, int]:
    """Find the delimiter of a text, and how many cells its first rows have at most."""
    head = (text.read(4 * _PROBE_CHARACTERS) or b"").decode(errors="ignore")[:_PROBE_CHARACTERS]
    delimiter = max(",\t;|", key=lambda mark: (head.count(mark), mark == ","))
    width = max((len(cells) for cells in csv.reader(io.StringIO(head), delimiter=delimiter)), default=0)
    return delimiter, min(width, _WIDEST_ROW_CELLS)


def _text(raw: bytes) -> Grid:
    encoding = encoding_of(raw)
    try:
        delimiter, width = _shape(_utf8(io.BytesIO(raw), encoding))
        if not width:
            return Grid("", (), ())
        return _delimited(_utf8(io.BytesIO(raw), encoding), delimiter, width)
    except (UnicodeError, csv.Error) as error:
        raise FileUnreadable("the text is neither UTF-8 nor GB18030, or no table") from error


class _Splitting:
    """How Arrow splits a text: all cells are texts; rows of another length than `width` are set aside in `odd`.

    They wait in memory for the block that they stand in: beyond `most` bytes of them the text is refused.
    """

    def __init__(self, delimiter: str, width: int, most: int | None = None) -> None:
        self.names = [str(index) for index in range(width)]
        self.odd: deque[tuple[int, str]] = deque()
        self._held, self._most = 0, most
        self.options = {
            "read_options": pyarrow.csv.ReadOptions(
                column_names=self.names, use_threads=False, block_size=_BLOCK_BYTES
            ),
            "parse_options": pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=self._set_aside,
            ),
            "convert_options": pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.large_string()), strings_can_be_null=False
            ),
        }

    def _set_aside(self, row: pyarrow.csv.InvalidRow) -> str:
        self.odd.append((row.number - 1, row.text))
        self._held += len(row.text) + _ODD_ROW_BYTES
        return "skip" if self._most is None or self._held <= self._most else "error"

    def next_odd(self) -> tuple[int, str]:
        """Take the first of the rows set aside."""
        found = self.odd.popleft()
        self._held -= len(found[1]) + _ODD_ROW_BYTES
        return found


def _delimited(text: "BinaryIO | _Recoded", delimiter: str, width: int) -> Grid:
    """Read with Arrow; rows that it has set aside are put back in their places."""
    how = _Splitting(delimiter, width)
    try:
        table = pyarrow.csv.read_csv(text, **how.options)
    except (pa.ArrowException, MemoryError) as error:
        raise FileUnreadable("the delimited text cannot be split into rows") from error
    return _laid_out([_series(table.column(name)) for name in how.names], list(how.odd), delimiter, 0)


def _split(text: "BinaryIO | _Recoded", delimiter: str, width: int) -> Iterator[Grid]:
    """Read with Arrow block by block; the rows set aside are put back into the block that they stood in."""
    how, above = _Splitting(delimiter, width, bounds.ODD_BYTES), 0
    try:
        with pyarrow.csv.open_csv(text, **how.options) as blocks_:
            for block in blocks_:
                odd: list[tuple[int, str]] = []
                while how.odd and how.odd[0][0] <= above + block.num_rows + len(odd):
                    odd.append(how.next_odd())
                columns = [_series(pa.chunked_array([block.column(name)])) for name in how.names]
                grid = _laid_out(columns, odd, delimiter, above)
                above += grid.height
                if grid.height:
                    yield grid
    except (pa.ArrowException, MemoryError) as error:
        raise FileUnreadable("the delimited text cannot be split into rows") from error
    if how.odd:
        yield _laid_out([pd.Series([], dtype="str") for _ in how.names], list(how.odd), delimiter, above)


def _laid_out(columns: list[pd.Series], odd: Sequence[tuple[int, str]], delimiter: str, above: int) -> Grid:
    if odd:
        columns = _put_back(columns, [(number - above, *_cells(line, delimiter)) for number, line in odd])
    return Grid("", tuple(columns), (None,) * len(columns), first_row=above + 1)


def _cells(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])


def _put_back(columns: list[pd.Series], odd: list[tuple[int, *tuple[str, ...]]]) -> list[pd.Series]:
    """Insert set-aside rows, each (row index, cell, cell, …), where they stood."""
    height = len(columns[0]) + len(odd)
    places = np.array([row[0] for row in odd])
    is_odd = np.zeros(height, dtype=bool)
    is_odd[places] = True
    width = max(len(columns), *(len(row) - 1 for row in odd))
    if width > bounds.ROW_CELLS:
        raise FileUnreadable(f"a row has more than {bounds.ROW_CELLS} cells")
    whole = []
    for index in range(width):
        cells = np.full(height, "", dtype=object)
        if index < len(columns):
            cells[~is_odd] = columns[index].to_numpy(dtype=object)
        for row in odd:
            if index + 1 < len(row):
                cells[row[0]] = row[index + 1]
        whole.append(pd.Series(cells, dtype="str"))
    return whole


def _series(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series(column.to_pandas(types_mapper={pa.large_string(): pd.StringDtype(na_value=np.nan)}.get))


# ---- workbooks ------------------------------------------------------------------------------------------------------


def _workbook(raw: bytes) -> list[Grid]:
    with _readable():
        if raw[:4] == _ZIP:
            bounds.check_package(io.BytesIO(raw))
        book = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        errors = _error_cells(raw) if raw[:4] == _ZIP else legacy.error_cells(raw)
        grids = []
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            rows = sheet.to_python(skip_empty_area=False)
            merged = tuple((*first, *last) for first, last in (sheet.merged_cell_ranges or ()))
            grids.append(_grid(name, list(zip(*rows, strict=True)), merged, errors.get(name, {})))
    return grids


@contextmanager
def _readable() -> Iterator[None]:
    """Say of whatever a broken workbook makes its readers raise that the file cannot be read."""
    try:
        yield
    except FileUnreadable:
        raise
    except (CalamineError, *_BROKEN) as error:
        raise FileUnreadable("the workbook is broken, locked or of a kind that no reader knows") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # what the reader's own language calls a broken index
            raise FileUnreadable("the workbook is broken in a way that its reader gives up on") from error
        raise


def _grid(
    name: str,
    cells: Sequence[Sequence[object]],
    merged: Merged,
    errors: Mapping[tuple[int, int], str],
    width: int = 0,
) -> Grid:
    """Turn columns of cells into columns of texts, at least `width` of them."""
    height = len(cells[0]) if cells else 0
    broken: dict[int, dict[int, str]] = {}
    for (row, index), text in errors.items():
        if row < height:
            broken.setdefault(index, {})[row] = text
    blank = ("",) * height
    columns, numbers = list[pd.Series](), list[Mask | None]()
    for index in range(max(width, len(cells))):
        own: Sequence[object] = cells[index] if index < len(cells) else blank
        if index in broken:
            own = [broken[index].get(row, cell) for row, cell in enumerate(own)]
        column, mask = _texts_of(own)
        columns.append(column)
        numbers.append(mask)
    return Grid(name, tuple(columns), tuple(numbers), merged)


def _texts_of(cells: Sequence[object]) -> tuple["pd.Series[str]", Mask | None]:
    """Write a column's cells as texts, and say which were numbers."""
    if isinstance(cells, pa.Array):
        return _series(pa.chunked_array([cells])), None
    kinds = set(map(type, cells))
    if kinds <= {str}:
        return pd.Series(cast("Sequence[str]", cells), dtype="str"), None
    if bool in kinds:  # equal to a number, but not written like one
        texts = [_cell(cell) for cell in cells]
    else:
        known = {cell: _cell(cell) for cell in set(cells)}
        texts = [known[cell] for cell in cells]
    if not kinds & _NUMBERS:
        return pd.Series(texts, dtype="str"), None
    mask = np.fromiter((type(cell) in _NUMBERS for cell in cells), dtype=bool, count=len(cells))
    return pd.Series(texts, dtype="str"), mask


def _cell(value: object) -> str:
    """Write a cell as text: numbers with the 15 digits that a spreadsheet keeps, dates as ISO, errors as they are."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "是" if value else "否"
    elif isinstance(value, float):
        text = _number(value)
    elif isinstance(value, datetime):
        text = value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    elif isinstance(value, date):
        text = value.isoformat()
    else:
        text = "" if value is None else str(value)
    return text


def _number(value: float) -> str:
    if value.is_integer():
        return str(int(value))
    text = f"{value:.15g}"
    return f"{value:.20f}".rstrip("0") if "e" in text else text


_SHEET_ENTRY = re.compile(rb'<sheet\b[^>]*?\bname="([^"]*)"[^>]*?\br:id="([^"]*)"')
_RELATION = re.compile(rb"<Relationship\b[^>]*>")
_ATTRIBUTE = re.compile(rb'\b(Id|Target)="([^"]*)"')
_ENTITIES = ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"), (b"&amp;", b"&"))


def _error_cells(raw: bytes) -> dict[str, dict[tuple[int, int], str]]:
    """Find the formula errors of an .xlsx, by sheet and (row, column) from 0; calamine reads them as blanks."""
    found: dict[str, dict[tuple[int, int], str]] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        names = set(package.namelist())
        if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
            return found
        targets = {}
        for relation in _RELATION.findall(package.read("xl/_rels/workbook.xml.rels")):
            parts = dict(_ATTRIBUTE.findall(relation))
            targets[parts.get(b"Id")] = parts.get(b"Target", b"").decode().removeprefix("/xl/")
        for name, relation_id in _SHEET_ENTRY.findall(package.read("xl/workbook.xml")):
            path = f"xl/{targets.get(relation_id, '')}"
            body = package.read(path) if path in names else b""
            if errors := workbooks.error_cells(body, 0):
                found[_unescaped(name)] = errors
    return found


def _unescaped(name: bytes) -> str:
    for entity, character in _ENTITIES:
        name = name.replace(entity, character)
    return name.decode()
