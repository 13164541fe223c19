"""Delimited text → grids: UTF-8 (with or without BOM) or GB18030, decoded strictly in this order, split by Arrow.

A byte that fits neither encoding stops the file; nothing is ever replaced. Rows with more or fewer cells than the first
ones are put back where they stood; longer ones widen the grid.

A text is laid out whole (`read`) or given block by block (`blocks`).
"""

import codecs
import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from connectors import bounds, gb18030
from connectors.errors import FileUnreadable
from connectors.grids import Grid, series

BLOCK_BYTES: Final = 8 << 20
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
WIDEST_ROW_CELLS: Final = 512
_PROBE_CHARACTERS: Final = 20_000
_UNSPLIT: Final = "the delimited text cannot be split into rows"
_ODD_ROW_BYTES: Final = 200  # what a row set aside takes beside its text


def blocks(opened: Callable[[], BinaryIO]) -> Iterator[Grid]:
    """Read a text block by block, each a grid of some ten thousand rows that knows its first row.

    Args:
        opened: opens the text's bytes, as often as needed.

    Raises:
        FileUnreadable: as `read`, also after blocks have been given: then none of them count.
    """
    with opened() as text:
        encoding = _encoding(text)
    try:
        with opened() as text:
            delimiter, width = _shape(_utf8(text, encoding))
        if width:
            yield from _split(opened, encoding, delimiter, width)
    except (UnicodeError, csv.Error) as error:
        raise FileUnreadable("the text is neither UTF-8 nor GB18030, or no table") from error


def encoding_of(raw: bytes) -> str:
    """Name the encoding to read a text in: by BOM, else UTF-8 if the bytes are strictly that, else GB18030."""
    return _encoding(io.BytesIO(raw))


def _encoding(text: BinaryIO) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    piece = text.read(BLOCK_BYTES)
    if piece.startswith(UTF_16):
        return "utf-16"
    try:
        while piece:
            decoder.decode(piece)
            piece = text.read(BLOCK_BYTES)
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
    return delimiter, min(width, WIDEST_ROW_CELLS)


def read(raw: bytes) -> Grid:
    """Lay a text out whole.

    Raises:
        FileUnreadable: it is neither UTF-8 nor GB18030, or no table.
    """
    encoding = encoding_of(raw)
    try:
        delimiter, width = _shape(_utf8(io.BytesIO(raw), encoding))
        if not width:
            return Grid("", (), ())
        if encoding == gb18030.NAME and gb18030.splits(delimiter, raw[:4]):
            table = _level(raw, delimiter, width)
            if table is not None:
                return _laid_out([series(gb18030.decoded(column)) for column in table.columns], (), delimiter, 0)
        return _delimited(_utf8(io.BytesIO(raw), encoding), delimiter, width)
    except (UnicodeError, csv.Error) as error:
        raise FileUnreadable("the text is neither UTF-8 nor GB18030, or no table") from error


class _Splitting:
    """How Arrow splits a text: all cells are texts; rows of another length than `width` are set aside in `odd`.

    They wait in memory for the block that they stand in: beyond `most` bytes of them the text is refused.
    """

    def __init__(self, delimiter: str, width: int, most: int | None = None, *, level: bool = False) -> None:
        """Take how wide rows are; of `level` rows none may be of another length, and cells are bytes."""
        self.names = [str(index) for index in range(width)]
        self.odd: deque[tuple[int, str]] = deque()
        self._held, self._most = 0, most
        self.options = {
            "read_options": pyarrow.csv.ReadOptions(column_names=self.names, use_threads=False, block_size=BLOCK_BYTES),
            "parse_options": pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=None if level else self._set_aside,
            ),
            "convert_options": pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.large_binary() if level else pa.large_string()),
                strings_can_be_null=False,
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
        raise FileUnreadable(_UNSPLIT) from error
    return _laid_out([series(table.column(name)) for name in how.names], list(how.odd), delimiter, 0)


def _level(raw: bytes, delimiter: str, width: int) -> pa.Table | None:
    """Split a text before it is decoded; None if a row of it has another length than the others."""
    try:
        return pyarrow.csv.read_csv(io.BytesIO(raw), **_Splitting(delimiter, width, level=True).options)
    except pa.ArrowInvalid:
        return None
    except (pa.ArrowException, MemoryError) as error:
        raise FileUnreadable(_UNSPLIT) from error


def _split(opened: Callable[[], BinaryIO], encoding: str, delimiter: str, width: int) -> Iterator[Grid]:
    """Read with Arrow block by block: before decoding for as long as that can be done, behind it after decoding."""
    above = 0
    with opened() as text:
        early = encoding == gb18030.NAME and gb18030.splits(delimiter, text.read(4))
    if early:
        try:
            for grid in _level_blocks(opened, delimiter, width):
                above += grid.height
                yield grid
        except pa.ArrowInvalid:
            pass
        except (pa.ArrowException, MemoryError) as error:
            raise FileUnreadable(_UNSPLIT) from error
        else:
            return
    with opened() as text:
        for grid in _recoded_blocks(_utf8(text, encoding), delimiter, width):
            if grid.first_row + grid.height > above + 1:
                yield _behind(grid, above)


def _level_blocks(opened: Callable[[], BinaryIO], delimiter: str, width: int) -> Iterator[Grid]:
    how, above = _Splitting(delimiter, width, level=True), 0
    with opened() as text, pyarrow.csv.open_csv(text, **how.options) as blocks_:
        for block in blocks_:
            columns = [series(gb18030.decoded(pa.chunked_array([column]))) for column in block.columns]
            if block.num_rows:
                yield _laid_out(columns, (), delimiter, above)
            above += block.num_rows


def _behind(grid: Grid, above: int) -> Grid:
    """Leave out the rows up to row `above` of the sheet."""
    out = max(above + 1 - grid.first_row, 0)
    if not out:
        return grid
    columns = tuple(column.iloc[out:].reset_index(drop=True) for column in grid.columns)
    return replace(grid, columns=columns, first_row=grid.first_row + out)


def _recoded_blocks(text: "BinaryIO | _Recoded", delimiter: str, width: int) -> Iterator[Grid]:
    """Read UTF-8 with Arrow; the rows set aside are put back into the block that they stood in."""
    how, above = _Splitting(delimiter, width, bounds.ODD_BYTES), 0
    try:
        with pyarrow.csv.open_csv(text, **how.options) as blocks_:
            for block in blocks_:
                odd: list[tuple[int, str]] = []
                while how.odd and how.odd[0][0] <= above + block.num_rows + len(odd):
                    odd.append(how.next_odd())
                columns = [series(pa.chunked_array([block.column(name)])) for name in how.names]
                grid = _laid_out(columns, odd, delimiter, above)
                above += grid.height
                if grid.height:
                    yield grid
    except (pa.ArrowException, MemoryError) as error:
        raise FileUnreadable(_UNSPLIT) from error
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
