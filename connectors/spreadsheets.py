"""Workbooks → grids: .xlsx, and .xls or .et in the old OLE form, by calamine.

Numbers are written with the 15 digits that a spreadsheet keeps, dates as ISO; formula errors are kept as their text
(`#REF!`), hidden rows and sheets read like any other. A workbook is laid out whole (`read`); a large .xlsx is given
sheet by sheet in blocks of rows (`blocks`), each read by the reader of short ones.
"""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time
from typing import BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from connectors import bounds, legacy, workbooks
from connectors.delimited import WIDEST_ROW_CELLS
from connectors.errors import FileUnreadable
from connectors.grids import Grid, Mask, Merged, series

ZIP: Final = b"PK\x03\x04"
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# what zipfile raises over a broken, locked or oddly packed part, besides its own error
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError, LookupError, struct.error,
)  # fmt: skip
_NUMBERS: Final[set[type]] = {int, float}


def read(raw: bytes) -> list[Grid]:
    """Lay every sheet of a workbook out whole.

    Raises:
        FileUnreadable: it is broken or locked.
    """
    with readable():
        if raw[:4] == ZIP:
            bounds.check_package(io.BytesIO(raw))
        book = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        errors = _error_cells(raw) if raw[:4] == ZIP else legacy.error_cells(raw)
        grids = []
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            rows = sheet.to_python(skip_empty_area=False)
            merged = tuple((*first, *last) for first, last in (sheet.merged_cell_ranges or ()))
            grids.append(_grid(name, list(zip(*rows, strict=True)), merged, errors.get(name, {})))
    return grids


def large(opened: Callable[[], BinaryIO]) -> workbooks.LargeWorkbook:
    """Open a large .xlsx, to be read in blocks.

    Args:
        opened: opens the file's bytes, as often as needed.

    Raises:
        FileUnreadable: it is broken or beyond what is read.
    """
    with readable(), opened() as file:
        return workbooks.LargeWorkbook(opened, bounds.check_package(file))


def blocks(book: workbooks.LargeWorkbook, sheet: workbooks.Sheet) -> Iterator[Grid]:
    """Give a sheet's blocks; those behind the first have at least its columns, and it has all that markup speaks of."""
    span = sheet.span
    width, merged = 0, span.merged if span else np.zeros((0, 4), dtype=np.int32)
    with readable():
        for block in book.blocks(sheet):
            first, last = block.first_row - 1, block.first_row + len(block.columns[0]) - 1
            here = merged[(merged[:, 0] < last) & (merged[:, 2] >= first)] if len(merged) else merged
            if not width and span:
                width = min(span.columns, WIDEST_ROW_CELLS)
            grid = _grid(sheet.name, block.columns, _merged(here), block.errors, width)
            width = max(width, len(grid.columns))
            yield replace(grid, number=sheet.number, first_row=block.first_row)


def _merged(places: npt.NDArray[np.int32]) -> Merged:
    return tuple((top, left, bottom, right) for top, left, bottom, right in places.tolist())


@contextmanager
def readable() -> Iterator[None]:
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
        return series(pa.chunked_array([cells])), None
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


def unpacked(opened: Callable[[], BinaryIO]) -> int:
    """Add up what sheets and texts of a package say that they unpack to; 0 for one that is broken."""
    try:
        with opened() as file, zipfile.ZipFile(file) as package:
            return sum(
                part.file_size
                for part in package.infolist()
                if part.filename.lower().startswith(("xl/worksheets/", "xl/sharedstrings"))
            )
    except _BROKEN:
        return 0
