"""The annotated workbook: the sender's own file back, with what is wrong, why, and how to mend it.

Sheets, in this order:
  1. 青桥批注汇总, 2. 青桥批注问题行   what there is to say of tables and rows (`annotations`)
  3. …                                 the sender's own sheets: every faulty cell coloured by how grave it is, all
                                       reasons and mends of a row in the last two columns

Names and headings of ours carry the mark `ANNOTATION`, by which intake leaves them alone: the mended workbook can be
sent as it is, and what is in its own sheets is all that counts.

An .xlsx keeps its look. A legacy .xls, a text, anything beyond `MOST_CELLS` and every masked copy become a plain
workbook of the cells that were read, written row by row. A formula that does more than reckon is replaced by what was
read of it, and every text that we write is neutralised: nobody's cell runs at whoever opens the copy.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, Final

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.cell.cell import MergedCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from connectors import annotations
from connectors.annotations import BLOCKED, MENDING, REASON, ROWS, SUMMARY, Sent, Sheet
from connectors.codes import Outcome
from connectors.errors import FileUnreadable
from connectors.neutral import neutral

__all__ = ["MENDING", "MOST_CELLS", "REASON", "ROWS", "SUMMARY", "Sent", "annotated"]

MOST_CELLS: Final = 300_000  # kept in memory with their look; beyond, row by row
_ZIP: Final = b"PK\x03\x04"
_FILLS: Final = {
    Outcome.REJECTED.value: PatternFill("solid", fgColor="FFF4B6B6"),
    Outcome.BLOCKED.value: PatternFill("solid", fgColor="FFF4B6B6"),
    Outcome.QUARANTINED.value: PatternFill("solid", fgColor="FFFAD7A0"),
    Outcome.WARNED.value: PatternFill("solid", fgColor="FFFFF3B0"),
}
_OURS: Final = frozenset(fill.fgColor.rgb for fill in _FILLS.values())
_HEAD: Final = PatternFill("solid", fgColor="FFDDEBF7")
_WRAPPED: Final = Alignment(wrap_text=True, vertical="top")
_WIDE: Final = (26, 20, 60, 60, 20, 12)  # columns of the first sheet, in characters
_SAYING: Final = 46  # a column of reasons or mends
_HARMLESS: Final = re.compile(
    r"=(?:[-+*/^&(),:;.%<>= $0-9]|SUM|SUBTOTAL|ROUND|PRODUCT|AVERAGE|COUNTA?|IF|MIN|MAX|[A-Z]{1,3}(?=\$?[0-9]))+"
)


def annotated(sent: Sent, *, mask: bool = False) -> bytes:
    """Write the annotated workbook (.xlsx); of a file that cannot be read, the first two sheets alone.

    A masked copy is a new workbook of the cells that were read: in the sender's own there are more places for a number
    (lists of choices, footers, names, properties, cells far off) than can be masked. It is for showing only.

    Args:
        sent: what was sent and how it looks.
        mask: mask identifiers.
    """
    try:
        sheets = list(annotations.sheets(sent, mask=mask))
    except FileUnreadable:
        return _plain(sent, [])
    cells = sum(sheet.grid.height * len(sheet.grid.columns) for sheet in sheets)
    keeps_its_look = sent.raw[:4] == _ZIP and cells <= MOST_CELLS and not mask
    return _kept(sent, sheets) if keeps_its_look else _plain(sent, sheets)


# ---- an .xlsx keeps its look ----------------------------------------------------------------------------------------


def _kept(sent: Sent, sheets: Sequence[Sheet]) -> bytes:
    book = load_workbook(io.BytesIO(sent.raw), keep_links=False)
    for name in (SUMMARY, ROWS):
        if name in book.sheetnames:
            del book[name]
    for sheet in sheets:
        own = book[sheet.grid.sheet]
        if isinstance(own, Worksheet):
            _mark_sheet(own, sheet)
    for at, name in enumerate((SUMMARY, ROWS)):
        _say(book.create_sheet(name, at), sent, sheets)
    book.active = 0
    for one in book.worksheets[1:]:
        one.sheet_view.tabSelected = False
    book.calculation.fullCalcOnLoad = True
    return _saved(book)


def _mark_sheet(own: Worksheet, sheet: Sheet) -> None:
    """Take off what an earlier annotation left, colour what is faulty, and say why and how in two columns."""
    grid = sheet.grid
    for cells in own.iter_rows(min_row=1, max_row=grid.height, max_col=len(grid.columns) or 1):
        for cell in cells:
            if isinstance(cell, Cell):
                _clean(cell, sheet)
    for row_no, mark in sheet.marks.items():
        for at, end in mark.cells.items():
            own.cell(row_no, at + 1).fill = _FILLS[end]
    if sheet.layout is not None:
        _say_of_rows(own, sheet)


def _say_of_rows(own: Worksheet, sheet: Sheet) -> None:
    columns = (sheet.width + 1, sheet.width + 2)
    for column, heading in zip(columns, (REASON, MENDING), strict=True):
        _put(own, sheet.last_header, column, heading, Font(bold=True))
        own.column_dimensions[get_column_letter(column)].width = _SAYING
    annotated_before = sheet.width < len(sheet.grid.columns)
    for row_no in range(sheet.last_header + 1, sheet.grid.height + 1):
        mark = sheet.marks.get(row_no)
        texts = (mark.why, mark.mend) if mark else (None, None)
        for column, text in zip(columns, texts, strict=True):
            if text is not None or annotated_before:
                _put(own, row_no, column, text)


def _put(own: Worksheet, row: int, column: int, text: str | None, font: Font | None = None) -> None:
    cell = own.cell(row, column)
    if isinstance(cell, MergedCell):  # beside the table the sender has merged something: it is left as it is
        return
    cell.value = None if text is None else neutral(text)
    cell.alignment = _WRAPPED
    if font is not None:
        cell.font = font


def _clean(cell: Cell, sheet: Sheet) -> None:
    """Take off a colour of ours, what is hung on the cell, and a formula that does more than reckon."""
    if cell.fill.fill_type == "solid" and cell.fill.fgColor.rgb in _OURS:
        cell.fill = PatternFill()
    cell.comment, cell.hyperlink = None, None
    if cell.data_type != "f":
        return
    if not isinstance(cell.value, str) or not _HARMLESS.fullmatch(cell.value.upper()):
        cell.value = neutral(sheet.text(cell.row - 1, cell.column - 1))


# ---- anything else becomes a plain workbook -------------------------------------------------------------------------


def _plain(sent: Sent, sheets: Sequence[Sheet]) -> bytes:
    book = Workbook(write_only=True)
    for name in (SUMMARY, ROWS):
        _say(book.create_sheet(name), sent, sheets)
    for number, sheet in enumerate(sheets, start=1):
        own = book.create_sheet(sheet.name.replace("*", "·") or f"数据{number}")
        for row in range(sheet.grid.height):
            own.append(_plain_row(own, sheet, row))
    return _saved(book)


def _plain_row(own: Worksheet, sheet: Sheet, row: int) -> list[Any]:
    """Write a row, counted from 0, with what is said of it."""
    mark = sheet.marks.get(row + 1)
    cells: list[Any] = []
    for column in range(sheet.width):
        cell = WriteOnlyCell(own, neutral(sheet.text(row, column)))
        cell.number_format = "@"  # text: no digit of an identifier is lost
        if mark is not None and column in mark.cells:
            cell.fill = _FILLS[mark.cells[column]]
        cells.append(cell)
    if row + 1 == sheet.last_header:
        return [*cells, REASON, MENDING]
    return [*cells, neutral(mark.why), neutral(mark.mend)] if mark is not None else cells


# ---- the first two sheets, and the end ------------------------------------------------------------------------------


def _say(own: Worksheet, sent: Sent, sheets: Sequence[Sheet]) -> None:
    """Write one of the first two sheets: wrapped, so that nothing is cut off; headings of ours on a ground."""
    first = own.title == SUMMARY
    most = max((sheet.width for sheet in sheets if sheet.marks), default=0)
    for at, width in enumerate(_WIDE if first else (14, 8, *[16] * most, 50, 50), start=1):
        own.column_dimensions[get_column_letter(at)].width = width
    for texts in annotations.summary(sent, sheets) if first else annotations.bad_rows(sheets):
        cells: list[Any] = []
        for text in texts:
            cell = WriteOnlyCell(own, neutral(text))
            cell.alignment = _WRAPPED
            if texts[0] in annotations.HEADS:
                cell.font, cell.fill = Font(bold=True), _HEAD
            elif texts[0] == BLOCKED:
                cell.fill = _FILLS[Outcome.BLOCKED.value]
            cells.append(cell)
        own.append(cells)


def _saved(book: Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
