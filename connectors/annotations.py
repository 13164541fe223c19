"""What an annotated workbook says, in Chinese: of each row why and how to mend it, and its first two sheets. Pure.

  1. 青桥批注汇总   totals by code, control totals beside ours, rows without consent as one figure
  2. 青桥批注问题行 only the rows to look at, with their original row numbers

Of a row all faults are told at once (`every_fault`), and of a blocked table every place that keeps it out (`blocked`).
All of it stands as if everybody had consented (`apparent`), but for that one figure.

Not here: how it is put into a workbook (`annotate`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Final

from connectors import apparent, blocked
from connectors.blocked import Hint
from connectors.codes import BY_NAME, Outcome
from connectors.delivery import Delivery
from connectors.every_fault import EveryFault, Marked
from connectors.grids import Grid
from connectors.headings import ANNOTATION
from connectors.labels import of_table
from connectors.layout import Layout
from connectors.masking import masked, masked_text
from connectors.mends import Mends
from connectors.outcomes import TableOutcome

SUMMARY: Final = f"{ANNOTATION}汇总"
ROWS: Final = f"{ANNOTATION}问题行"
REASON: Final = f"原因（{ANNOTATION}）"
MENDING: Final = f"如何更正（{ANNOTATION}）"
BLOCKED: Final = "整批未采信"
_ENDS: Final = {
    Outcome.ACCEPTED.value: "采信",
    Outcome.WARNED.value: "采信并提示",
    Outcome.QUARANTINED.value: "待处理",
    Outcome.REJECTED.value: "退回",
}
_ALSO: Final = "另："
_COLUMNS_OF_CODES: Final = ("代码", "行数", "原因", "如何更正")
_COLUMNS_OF_ROWS: Final = ("工作表", "原行号")
_COLUMNS_OF_BLOCKS: Final = ("位置", "表", "原因", "如何更正")
HEADS: Final = frozenset({ANNOTATION, _COLUMNS_OF_CODES[0], _COLUMNS_OF_ROWS[0], _COLUMNS_OF_BLOCKS[0]})
_INTRODUCTION: Final = (
    (ANNOTATION, "怎么改：到后面您自己的表里，改着色的单元格，保存，把整个文件重新上传。本页和批注列不用删"),
    ("", "", "最后两列写明每一行的全部原因和如何更正；只看有问题的行，见第二页"),
    ("", "", "颜色：红=退回，没有入库；橙=待处理，等您更正或办理；黄=已入库，请留意"),
    ("", "", "各代码的行数按全部行统计，与是否取得个人授权无关；一行有几处问题的，只计入最要紧的一处"),
)
_NUMBERED: Final = frozenset({"resident_id", "party_id", "bank_card", "account_no", "phone"})


@dataclass(frozen=True, slots=True)
class Sent:
    """What an agency sent, and how its tables look as if everybody had consented.

    `as_of` is the day it came, `mended` what was decided of its rows, by table label. `without` is the number of rows
    without consent by table label, absent where it is not told.
    """

    raw: bytes = field(repr=False)
    label: str
    delivery: Delivery
    as_of: date
    mended: Mapping[str, Mends] = field(repr=False)
    outcomes: Sequence[TableOutcome] = field(repr=False)
    without: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is held against one row, in words, and which cells are faulty: by index of the column, how grave."""

    why: str
    mend: str
    cells: Mapping[int, str]

    def beside(self, other: "Mark | None") -> "Mark":
        """Put another mark of the same row before this one."""
        if other is None:
            return self
        cells = dict(other.cells) | {at: end for at, end in self.cells.items() if at not in other.cells}
        return Mark(f"{other.why}\n{self.why}", f"{other.mend}\n{self.mend}", cells)


@dataclass(frozen=True)
class Sheet:
    """One of the sender's sheets: its cells, what is held against its rows, by row number, and against all of it."""

    grid: Grid
    layout: Layout | None
    marks: Mapping[int, Mark]
    mask: bool
    hints: tuple[Hint, ...] = ()  # what keeps a blocked table out, of this sheet

    @cached_property
    def last_header(self) -> int:
        """The header's last row, counted from 1; 0 without one."""
        return self.layout.last_header_row + 1 if self.layout else 0

    @cached_property
    def width(self) -> int:
        """How many columns the sender's part has: without those that an earlier annotation added."""
        header = self.grid.row(self.last_header - 1) if self.last_header else []
        own = next((at for at, text in enumerate(header) if text in {REASON, MENDING}), None)
        return len(self.grid.columns) if own is None else own

    @property
    def name(self) -> str:
        """Its name as it may be shown; "" in a text."""
        return masked_text(self.grid.sheet) if self.mask else self.grid.sheet

    def text(self, row: int, column: int) -> str:
        """Give a cell as it may be shown; row and column counted from 0."""
        text = str(self.grid.columns[column].iloc[row])
        return self.shown(text, column, row) if self.mask else text

    def shown(self, text: str, column: int, row: int) -> str:
        """Mask a text as its column asks for."""
        identifier = column in self._identifiers and row >= self.last_header
        return masked(text) if identifier else masked_text(text)

    @cached_property
    def _identifiers(self) -> frozenset[int]:
        uses = self.layout.uses.values() if self.layout else ()
        return frozenset(use.index for use in uses if use.column.type in _NUMBERED)


def sheets(sent: Sent, *, mask: bool) -> Iterator[Sheet]:
    """Give the sender's sheets with what is held against their rows, without those that an earlier annotation added.

    Raises:
        FileUnreadable: no table can be read from the bytes.
    """
    every = EveryFault(sent.outcomes, sent.label, as_of=sent.as_of, mended=sent.mended)
    for grid, layout in apparent.sheets(sent.raw, sent.label, sent.delivery):
        if grid.sheet in {SUMMARY, ROWS}:
            continue
        hints = tuple(
            (outcome.blocked, hint)
            for outcome in sent.outcomes
            if outcome.blocked and _stands_on(outcome, grid, layout)
            for hint in blocked.hints(outcome, grid, layout, sent.label)
        )
        marks: dict[int, Mark] = {}
        for code, hint in hints:
            if hint.row_no:
                marks[hint.row_no] = _of_hint(hint, code).beside(marks.get(hint.row_no))
        for row in every.on(grid, layout) if layout is not None else ():
            marks[row.row_no] = _of_row(row, layout).beside(marks.get(row.row_no))
        yield Sheet(grid, layout, marks, mask, tuple(hint for _, hint in hints))


def _of_row(row: Marked, layout: Layout | None) -> Mark:
    """Say what is wrong with a row; columns are named, for who prints the sheet sees no colour."""
    places = {use.heading: use.index for use in layout.uses.values()} if layout else {}
    why, mend, cells = list[str](), list[str](), dict[int, str]()
    for fault in row.faults:
        code, at = BY_NAME[fault.code], places.get(fault.column)
        where = f"“{fault.column}”：" if at is not None else ""
        why.append(f"{_ALSO if why else f'【{_ENDS[row.end]}】'}{where}{code.cause.zh}（{code.name}）")
        mend.append(f"{where}{code.mend.zh}" if len(row.faults) > 1 else code.mend.zh)
        if at is not None:
            cells.setdefault(at, code.outcome.value)
    return Mark("\n".join(why), "\n".join(dict.fromkeys(mend)), cells)


def _of_hint(hint: Hint, code: str) -> Mark:
    cells = {} if hint.column is None else {hint.column: Outcome.BLOCKED.value}
    return Mark(f"【{BLOCKED}】{hint.why}（{code}）", hint.mend, cells)


def _stands_on(outcome: TableOutcome, grid: Grid, layout: Layout | None) -> bool:
    """Say whether a blocked table stands on a sheet: of strangers the label tells it, of others the kind."""
    if layout is None:
        mark = of_table("", grid.sheet, grid.number)
        here = not grid.sheet or "#" not in outcome.label or outcome.label.endswith(mark)
        return outcome.kind is None and here
    return outcome.kind == layout.table.kind


# ---- the first sheet ------------------------------------------------------------------------------------------------


def summary(sent: Sent, found: Sequence[Sheet]) -> Iterator[list[str]]:
    """Write the first sheet: how to mend, then of each table its counts, codes and control totals, or why it is out."""
    uses = [use for sheet in found if sheet.layout for use in sheet.layout.uses.values()]
    types = {use.name: use.column.type for use in uses}
    masks = any(sheet.mask for sheet in found)
    yield from map(list, _INTRODUCTION)
    for one in sent.outcomes:
        yield []
        yield [masked_text(one.label) if masks else one.label]
        if one.rows or not one.blocked:
            yield ["数据行", str(one.rows)]
        if one.blocked:
            yield from _blocked(one, one.blocked, found)
        else:
            yield from _ends(one, sent.without.get(one.label))
        yield from _controls(one, types, masks=masks)


def _blocked(one: TableOutcome, code: str, found: Sequence[Sheet]) -> Iterator[list[str]]:
    """Say why a table is out, then where and how it is mended, one line each."""
    yield [BLOCKED, code, f"没有一行入库。{BY_NAME[code].cause.zh}", BY_NAME[code].mend.zh]
    here = [sheet for sheet in found if sheet.hints and _stands_on(one, sheet.grid, sheet.layout)]
    if here:
        yield list(_COLUMNS_OF_BLOCKS)
    for sheet in here:
        for hint in sheet.hints:
            row = f"第{hint.row_no}行" if hint.row_no else "整张表"
            why, mend = (masked_text(text) if sheet.mask else text for text in (hint.why, hint.mend))
            yield [row, sheet.name, why, mend]


def _ends(one: TableOutcome, without: int | None) -> Iterator[list[str]]:
    """Say how a table's rows end, by code, and which headings were not read."""
    for end, words in _ENDS.items():
        yield [words, str(one.counts.get(end, 0))]
    if any(one.codes.values()):
        yield list(_COLUMNS_OF_CODES)
    for codes in one.codes.values():
        for code, count in codes.items():
            yield [code, str(count), BY_NAME[code].cause.zh, BY_NAME[code].mend.zh]
    yield ["未获授权、未入库的行数（只告知总数，按十取整）", "人数较少，不告知" if without is None else str(without)]
    unread = [text for text in one.unread if not blocked.passed_over(text)]
    if unread:
        yield ["未识别的表头，没有入库", "", "、".join(unread), "需要入库的，按模板改表头，或办理一次表头对应"]


def _controls(one: TableOutcome, types: Mapping[str, str], *, masks: bool) -> Iterator[list[str]]:
    """Put what the sheets state of themselves beside what the rows add up to."""
    for control in one.controls:
        kind = types.get(control.column, "")
        stated, ours = blocked.figure(control.declared, kind), blocked.figure(control.ours, kind)
        agrees = "一致" if control.agrees else "不一致"
        label = masked(control.label) if masks else control.label
        yield ["控制总数", label, f"第{control.row_no}行，您写的是 {stated}", f"明细相加 {ours}", agrees]


# ---- the second sheet -----------------------------------------------------------------------------------------------


def bad_rows(found: Sequence[Sheet]) -> Iterator[list[str]]:
    """Write the second sheet: the rows to look at, sheet by sheet, each with its number, cells, reasons and mends."""
    yield [ANNOTATION, "仅列需处理的行；请在原表中更正"]
    for sheet in found:
        if not sheet.marks:
            continue
        columns = range(sheet.width)
        header = [sheet.text(sheet.last_header - 1, at) for at in columns] if sheet.layout else [""] * sheet.width
        yield []
        yield [*_COLUMNS_OF_ROWS, *header, "原因", "如何更正"]
        for row_no, mark in sorted(sheet.marks.items()):
            cells = (sheet.text(row_no - 1, at) for at in columns)
            yield [sheet.name, str(row_no), *cells, mark.why, mark.mend]
