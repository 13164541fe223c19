"""The annotated workbook: the sender's own sheet back, with what is wrong, why, and how to mend it.

Sheets, in this order:
  1. 青桥批注汇总   totals by code, control totals beside ours, rows without consent as one figure
  2. 青桥批注问题行 only the rows to look at, with their original row numbers
  3. …              the sender's own sheets: faulty cells coloured, 原因 and 如何更正 in the last columns

The first two carry the mark `MARK`, by which intake leaves them alone: the mended workbook can be sent as it is.
An .xlsx keeps its look; .xls, delimited text and anything beyond `MOST_CELLS` become a plain workbook, written row by
row. Formulas that do more than reckon are replaced by what was read of them; every text that we write is neutralised.

Marks stand as if everybody had consented (`apparent`), so that no mark, colour or gap tells who has: the sheets are the
same whoever has, but for that one figure. With `mask` identifiers are masked everywhere; such a copy is for showing,
not for sending back.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.cell.cell import MergedCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from connectors import apparent, blocked
from connectors.blocked import Hint
from connectors.codes import BY_NAME, Outcome
from connectors.delivery import Delivery
from connectors.errors import FileUnreadable
from connectors.headings import ANNOTATION
from connectors.layout import Layout
from connectors.neutral import neutral
from connectors.normalise import TableOutcome
from connectors.reading import Grid

MARK: Final = ANNOTATION
SUMMARY: Final = f"{MARK}汇总"
ROWS: Final = f"{MARK}问题行"
REASON: Final = f"原因（{MARK}）"
MENDING: Final = f"如何更正（{MARK}）"
MOST_CELLS: Final = 300_000  # kept in memory with their look; beyond, row by row
_ZIP: Final = b"PK\x03\x04"
_COLOURS: Final = {
    Outcome.REJECTED.value: "FFF4B6B6",
    Outcome.BLOCKED.value: "FFF4B6B6",
    Outcome.QUARANTINED.value: "FFFAD7A0",
    Outcome.WARNED.value: "FFFFF3B0",
}
_ENDS: Final = {
    Outcome.ACCEPTED.value: "采信",
    Outcome.WARNED.value: "采信并提示",
    Outcome.QUARANTINED.value: "待处理",
    Outcome.REJECTED.value: "退回",
}
_BLOCKED: Final = "整批未采信"
_HEAD: Final = PatternFill("solid", fgColor="FFDDEBF7")
_WIDE: Final = (26, 20, 60, 60, 20, 12)  # columns of the first sheet, in characters
_COLOURS_SAID: Final = "颜色：红=退回，没有入库；橙=待处理，等您更正或办理；黄=已入库，请留意"
_NUMBERED: Final = frozenset({"resident_id", "party_id", "bank_card", "account_no", "phone"})
_LIKE_IDENTIFIER: Final = re.compile(r"(?<![0-9A-Za-z])[0-9]{6,}[0-9Xx*]*(?![0-9A-Za-z])")
_SHOWN: Final = 3
_HARMLESS: Final = re.compile(
    r"=(?:[-+*/^&(),:;.%<>= $0-9]|SUM|SUBTOTAL|ROUND|PRODUCT|AVERAGE|COUNTA?|IF|MIN|MAX|[A-Z]{1,3}(?=\$?[0-9]))+"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What an agency sent, and how its tables look as if everybody had consented.

    `without` is the number of rows without consent by table label, absent where it is not told.
    """

    raw: bytes = field(repr=False)
    label: str
    delivery: Delivery
    outcomes: Sequence[TableOutcome] = field(repr=False)
    without: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is held against one row: its end, its code, and the index of the faulty column."""

    end: str
    why: str
    mend: str
    columns: tuple[int, ...]

    def beside(self, other: "_Mark | None") -> "_Mark":
        """Put another mark of the same row before this one."""
        if other is None:
            return self
        columns = tuple(dict.fromkeys((*other.columns, *self.columns)))
        return _Mark(self.end, f"{other.why}\n{self.why}", f"{other.mend}\n{self.mend}", columns)


_Marks = dict[int, _Mark]


def _of_code(end: str, code: str, column: int | None, heading: str) -> _Mark:
    """Make the mark of a row by its code; the column is named, for who prints the sheet sees no colour."""
    found, where = BY_NAME[code], f"“{heading}”：" if heading and column is not None else ""
    why = f"【{_ENDS[end]}】{where}{found.cause.zh}（{code}）"
    return _Mark(end, why, found.mend.zh, () if column is None else (column,))


def _of_hint(hint: Hint, code: str) -> _Mark:
    columns = () if hint.column is None else (hint.column,)
    return _Mark(Outcome.BLOCKED.value, f"【{_BLOCKED}】{hint.why}（{code}）", hint.mend, columns)


@dataclass(frozen=True, slots=True)
class _Sheet:
    grid: Grid
    layout: Layout | None
    marks: _Marks
    mask: bool
    hints: tuple[Hint, ...] = ()  # what keeps a blocked table out, of this sheet

    @property
    def last_header(self) -> int:
        """The header's last row, counted from 1; 0 without one."""
        return self.layout.last_header_row + 1 if self.layout else 0

    @property
    def masked(self) -> frozenset[int]:
        """The columns that hold identifiers, as indices."""
        uses = self.layout.uses.values() if self.layout and self.mask else ()
        return frozenset(use.index for use in uses if use.column.type in _NUMBERED)

    @property
    def width(self) -> int:
        """How many columns the sender's part has: without those that an earlier annotation added."""
        header = self.grid.row(self.last_header - 1) if self.last_header else []
        own = next((at for at, text in enumerate(header) if text in {REASON, MENDING}), None)
        return len(self.grid.columns) if own is None else own

    def text(self, row: int, column: int) -> str:
        """Give a cell as it may be shown; row and column counted from 0."""
        text = str(self.grid.columns[column].iloc[row])
        return self.shown(text, column, row) if self.mask else text

    def shown(self, text: str, column: int, row: int) -> str:
        """Mask a text as its column asks for."""
        if column in self.masked and row >= self.last_header:
            return masked(text)
        return masked_text(text)


def annotated(sent: Sent, *, mask: bool = False) -> bytes:
    """Write the annotated workbook (.xlsx); of a file that cannot be read, the first two sheets alone.

    A masked copy is a new workbook of the cells that were read: in the sender's own there are more places for a number
    (lists of choices, footers, names, properties, cells far off) than can be masked.

    Args:
        sent: what was sent and how it looks.
        mask: mask identifiers.
    """
    try:
        sheets = list(_sheets(sent, mask=mask))
    except FileUnreadable:
        return _plain(sent, [])
    cells = sum(sheet.grid.height * len(sheet.grid.columns) for sheet in sheets)
    if sent.raw[:4] == _ZIP and cells <= MOST_CELLS and not mask:
        return _kept(sent, sheets)
    return _plain(sent, sheets)


def masked(text: str) -> str:
    """Mask an identifier: its first three and last two characters stay of a long one, nothing of a short one."""
    bare = text.strip()
    if len(bare) <= 2 * _SHOWN:
        return "*" * len(bare)
    return f"{bare[:_SHOWN]}{'*' * (len(bare) - _SHOWN - 2)}{bare[-2:]}"


def masked_text(text: str) -> str:
    """Mask whatever in a text looks like an identifier."""
    return _LIKE_IDENTIFIER.sub(lambda found: masked(found[0]), text)


def _sheets(sent: Sent, *, mask: bool) -> Iterator[_Sheet]:
    frames = [(one, apparent.marked(one)) for one in sent.outcomes]
    for grid, layout in apparent.sheets(sent.raw, sent.label, sent.delivery):
        if grid.sheet in {SUMMARY, ROWS}:
            continue
        by_heading = {use.heading: use.index for use in layout.uses.values()} if layout else {}
        by_name = {use.name: use.index for use in layout.uses.values()} if layout else {}
        marks: _Marks = {}
        whole: list[Hint] = []
        for outcome, frame in frames:
            if outcome.blocked and _stands_on(outcome, grid, layout):
                here = blocked.hints(outcome, grid, layout, sent.label)
                whole += here
                for hint in (one for one in here if one.row_no):
                    marks[hint.row_no] = _of_hint(hint, outcome.blocked).beside(marks.get(hint.row_no))
            if layout is None or outcome.kind != layout.table.kind or frame.empty:
                continue
            found = frame[frame["sheet"] == grid.place]
            for row_no, end, code, column in found[["row_no", "outcome", "code", "column"]].itertuples(index=False):
                at = by_heading.get(column, by_name.get(column))
                marks[int(row_no)] = _of_code(end, code, at, column)
        yield _Sheet(grid, layout, marks, mask, tuple(whole))


def _stands_on(outcome: TableOutcome, grid: Grid, layout: Layout | None) -> bool:
    """Say whether a blocked table stands on a sheet: of strangers the label tells it, of others the kind."""
    if layout is None:
        here = not grid.sheet or "#" not in outcome.label or outcome.label.endswith(f"#{grid.sheet}")
        return outcome.kind is None and here
    return outcome.kind == layout.table.kind


# ---- an .xlsx keeps its look ----------------------------------------------------------------------------------------


def _kept(sent: Sent, sheets: Sequence[_Sheet]) -> bytes:
    book = load_workbook(io.BytesIO(sent.raw), keep_links=False)
    for name in (SUMMARY, ROWS):
        if name in book.sheetnames:
            del book[name]
    for sheet in sheets:
        own = book[sheet.grid.sheet]
        if isinstance(own, Worksheet):
            _mark_sheet(own, sheet)
    summary, rows = book.create_sheet(SUMMARY, 0), book.create_sheet(ROWS, 1)
    for own, content in ((summary, _summary(sent, sheets)), (rows, _bad_rows(sheets))):
        for cells in content:
            own.append(_written(own, cells))
        _widen(own, sheets)
    book.active = 0
    for one in book.worksheets[1:]:
        one.sheet_view.tabSelected = False
    book.calculation.fullCalcOnLoad = True
    return _saved(book)


def _mark_sheet(own: Worksheet, sheet: _Sheet) -> None:
    grid = sheet.grid
    for cells in own.iter_rows(min_row=1, max_row=grid.height, max_col=len(grid.columns) or 1):
        for cell in cells:
            if isinstance(cell, Cell):
                _clean(cell, sheet)
    _colour(own, sheet)
    if sheet.layout is None:
        return
    first, second = sheet.width + 1, sheet.width + 2
    for column, heading in ((first, REASON), (second, MENDING)):
        _put(own, sheet.last_header, column, heading, Font(bold=True))
        own.column_dimensions[get_column_letter(column)].width = 46
    for row_no in range(sheet.last_header + 1, grid.height + 1):
        found = sheet.marks.get(row_no)
        for column, text in ((first, found.why if found else None), (second, found.mend if found else None)):
            if text is not None or sheet.width < len(grid.columns):
                _put(own, row_no, column, text)


def _colour(own: Worksheet, sheet: _Sheet) -> None:
    for row_no, mark in sheet.marks.items():
        for at in mark.columns:
            own.cell(row_no, at + 1).fill = _fill(mark.end)


def _put(own: Worksheet, row: int, column: int, text: str | None, font: Font | None = None) -> None:
    cell = own.cell(row, column)
    if isinstance(cell, MergedCell):  # beside the table the sender has merged something: it is left as it is
        return
    cell.value = None if text is None else neutral(text)
    cell.alignment = Alignment(wrap_text=True, vertical="top")
    if font is not None:
        cell.font = font


def _clean(cell: Cell, sheet: _Sheet) -> None:
    """Take off what an earlier annotation coloured, formulas that do more than reckon, and what is to be masked."""
    row, column = cell.row - 1, cell.column - 1
    if cell.fill.fill_type == "solid" and cell.fill.fgColor.rgb in set(_COLOURS.values()):
        cell.fill = PatternFill()
    cell.comment, cell.hyperlink = None, None
    if cell.value is None:
        return
    read = str(sheet.grid.columns[column].iloc[row])
    reckons = cell.data_type == "f" and isinstance(cell.value, str) and _HARMLESS.fullmatch(cell.value.upper())
    if cell.data_type == "f" and (sheet.mask or not reckons):
        cell.value = neutral(sheet.shown(read, column, row) if sheet.mask else read)
    elif sheet.mask and isinstance(cell.value, str | int | float):
        shown = sheet.shown(read, column, row)
        if shown != read:
            cell.value = neutral(shown)


def _fill(end: str) -> PatternFill:
    return PatternFill("solid", fgColor=_COLOURS[end])


# ---- anything else becomes a plain workbook -------------------------------------------------------------------------


def _plain(sent: Sent, sheets: Sequence[_Sheet]) -> bytes:
    book = Workbook(write_only=True)
    for title, content in ((SUMMARY, _summary(sent, sheets)), (ROWS, _bad_rows(sheets))):
        own = book.create_sheet(title)
        _widen(own, sheets)
        for texts in content:
            own.append(_written(own, texts))
    for number, sheet in enumerate(sheets, start=1):
        title = sheet.grid.sheet or f"数据{number}"
        own = book.create_sheet(masked_text(title).replace("*", "·") if sheet.mask else title)
        width = sheet.width
        for row in range(sheet.grid.height):
            mark = sheet.marks.get(row + 1)
            cells: list[Any] = []
            for column in range(width):
                cell = WriteOnlyCell(own, neutral(sheet.text(row, column)))  # text: no digit of an identifier is lost
                cell.number_format = "@"
                if mark is not None and column in mark.columns:
                    cell.fill = _fill(mark.end)
                cells.append(cell)
            if row + 1 == sheet.last_header:
                cells += [REASON, MENDING]
            elif mark is not None:
                cells += [neutral(mark.why), neutral(mark.mend)]
            own.append(cells)
    return _saved(book)


def _written(own: Worksheet, texts: Sequence[str]) -> list[Any]:
    """Write a row of the first two sheets: wrapped, so that nothing is cut off; headings of ours on a ground."""
    cells: list[Any] = []
    for text in texts:
        cell = WriteOnlyCell(own, neutral(text))
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        if texts[0] in {MARK, _COLUMNS_OF_CODES[0], _COLUMNS_OF_ROWS[0], _COLUMNS_OF_BLOCKS[0]}:
            cell.font, cell.fill = Font(bold=True), _HEAD
        elif texts[0] == _BLOCKED:
            cell.fill = _fill(Outcome.BLOCKED.value)
        cells.append(cell)
    return cells


def _widen(own: Worksheet, sheets: Sequence[_Sheet]) -> None:
    cells = max((sheet.width for sheet in sheets if sheet.marks), default=0)
    widths = _WIDE if own.title == SUMMARY else (14, 8, *(16 for _ in range(cells)), 50, 50)
    for at, width in enumerate(widths, start=1):
        own.column_dimensions[get_column_letter(at)].width = width


def _saved(book: Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# ---- what the first two sheets say ----------------------------------------------------------------------------------


_COLUMNS_OF_CODES: Final = ("代码", "行数", "原因", "如何更正")
_COLUMNS_OF_ROWS: Final = ("工作表", "原行号")
_COLUMNS_OF_BLOCKS: Final = ("位置", "表", "原因", "如何更正")


def _summary(sent: Sent, sheets: Sequence[_Sheet]) -> Iterator[list[str]]:
    uses = [use for sheet in sheets if sheet.layout for use in sheet.layout.uses.values()]
    types = {use.name: use.column.type for use in uses}
    masks = any(sheet.mask for sheet in sheets)
    yield [MARK, "怎么改：到后面您自己的表里，改着色的单元格，保存，把整个文件重新上传。本页和批注列不用删"]
    yield ["", "", "最后两列写明每一行的原因和如何更正；只看有问题的行，见第二页"]
    yield ["", "", _COLOURS_SAID]
    yield ["", "", "各代码的行数按全部行统计，与是否取得个人授权无关"]
    for one in sent.outcomes:
        yield []
        yield [one.label]
        if one.rows or not one.blocked:
            yield ["数据行", str(one.rows)]
        yield from _ends(one, sheets, sent.without.get(one.label))
        unread = [] if one.blocked else [text for text in one.unread if not blocked.passed_over(text)]
        if unread:
            yield ["未识别的表头，没有入库", "", "、".join(unread), "需要入库的，按模板改表头，或办理一次表头对应"]
        yield from _controls(one, types, masks=masks)


def _controls(one: TableOutcome, types: Mapping[str, str], *, masks: bool) -> Iterator[list[str]]:
    """Put what the sheets state of themselves beside what the rows add up to."""
    for control in one.controls:
        kind = types.get(control.column, "")
        stated, ours = blocked.figure(control.declared, kind), blocked.figure(control.ours, kind)
        agrees = "一致" if control.agrees else "不一致"
        label = masked(control.label) if masks else control.label
        yield ["控制总数", label, f"第{control.row_no}行，您写的是 {stated}", f"明细相加 {ours}", agrees]


def _ends(one: TableOutcome, sheets: Sequence[_Sheet], told: int | None) -> Iterator[list[str]]:
    """Say how a table's rows end, or why it is blocked."""
    if one.blocked:
        found = BY_NAME[one.blocked]
        yield [_BLOCKED, one.blocked, f"没有一行入库。{found.cause.zh}", found.mend.zh]
        yield from _places(one, sheets)
    for end, words in _ENDS.items():
        if not one.blocked:
            yield [words, str(one.counts.get(end, 0))]
    if any(one.codes.values()):
        yield list(_COLUMNS_OF_CODES)
    for codes in one.codes.values():
        for code, count in codes.items():
            yield [code, str(count), BY_NAME[code].cause.zh, BY_NAME[code].mend.zh]
    if not one.blocked:
        yield ["未获授权、未入库的行数（只告知总数，按十取整）", "人数较少，不告知" if told is None else str(told)]


def _places(outcome: TableOutcome, sheets: Sequence[_Sheet]) -> Iterator[list[str]]:
    """Say of a blocked table where, why and how, one line each."""
    here = [one for one in sheets if one.hints and _stands_on(outcome, one.grid, one.layout)]
    if here:
        yield list(_COLUMNS_OF_BLOCKS)
    for sheet in here:
        for hint in sheet.hints:
            row = f"第{hint.row_no}行" if hint.row_no else "整张表"
            why, mend = (masked_text(text) if sheet.mask else text for text in (hint.why, hint.mend))
            yield [row, sheet.grid.sheet, why, mend]


def _bad_rows(sheets: Iterable[_Sheet]) -> Iterator[list[str]]:
    yield [MARK, "仅列需处理的行；请在原表中更正"]
    for sheet in sheets:
        if not sheet.marks:
            continue
        width = sheet.width
        header = [sheet.text(sheet.last_header - 1, at) for at in range(width)] if sheet.layout else [""] * width
        yield []
        yield [*_COLUMNS_OF_ROWS, *header, "原因", "如何更正"]
        for row_no, mark in sorted(sheet.marks.items()):
            cells = (sheet.text(row_no - 1, at) for at in range(width))
            yield [sheet.grid.sheet, str(row_no), *cells, mark.why, mark.mend]
