"""Formula errors of old workbooks (.xls, .et), which the fast reader gives as blanks.

A blank amount and `#REF!` want different mends, so the errors are read a second time, by the library that keeps them.
Nothing else is taken from it.
"""

import io
from typing import Final

import xlrd

Place = tuple[int, int]
_LINES_OF_ITS_OWN: Final = io.StringIO


def error_cells(raw: bytes) -> dict[str, dict[Place, str]]:
    """Find the formula errors of an OLE workbook, by sheet and (row, column) from 0; none in what xlrd cannot read."""
    try:
        book = xlrd.open_workbook(file_contents=raw, logfile=_LINES_OF_ITS_OWN(), on_demand=True)
        return {name: found for name in book.sheet_names() if (found := _of_sheet(book, name))}
    except Exception:  # noqa: BLE001  # a broken book raises anything; the fast reader has judged it already
        return {}


def _of_sheet(book: xlrd.Book, name: str) -> dict[Place, str]:
    sheet = book.sheet_by_name(name)
    found = {
        (row, column): xlrd.error_text_from_code.get(sheet.cell_value(row, column), "#N/A")
        for row in range(sheet.nrows)
        for column, kind in enumerate(sheet.row_types(row))
        if kind == xlrd.XL_CELL_ERROR
    }
    book.unload_sheet(name)
    return found
