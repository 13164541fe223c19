"""What the sender of a blocked table must do, in words and by place: which cell, what is wrong with it, what to write.

A blocked table is mended by hand by people who have nothing but what is said here. So every code that blocks says the
sheet, the row, the column and the figures that it rests on. Pure; computed from the sender's own bytes, it depends on
nobody's consent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from openpyxl.utils import get_column_letter

from connectors import headwords, layout
from connectors.expectations import Control
from connectors.grids import Grid
from connectors.headings import ANNOTATION
from connectors.layout import Layout, Near
from connectors.normalise import TableOutcome
from connectors.source import Column, Table, current

_SCALES: Final = {"money": 100, "area": 10_000}
_UNITS: Final = {"money": "元", "area": "亩"}
_EXAMPLES: Final = {"money": "（元）”或“（万元）", "area": "（亩）", "rate": "（元/亩）"}
_WHOLE: Final = "本表没有一行入库；改好后整批重新报送"
_MOST_SAID: Final = 20  # places of one kind on one sheet


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to be mended: row (from 1; 0 for the sheet as a whole) and column (from 0), why, and how."""

    row_no: int
    column: int | None
    why: str
    mend: str


def hints(outcome: TableOutcome, grid: Grid, found: Layout | None, file_name: str) -> list[Hint]:
    """Say what is to be mended on one sheet of a blocked table.

    Args:
        outcome: the table, blocked.
        grid: the sheet.
        found: its layout; None for a sheet that no declaration knows.
        file_name: the file's name, which may hint at the kind of table.
    """
    said: list[Hint] = []
    if found is None:
        said = [_stranger(layout.nearest(grid, current(), file_name))]
    elif outcome.blocked == "TOTAL_MISMATCH":
        here = [one for one in outcome.controls if one.sheet == grid.place and not one.agrees]
        said = [_total(one, grid, found) for one in here[:_MOST_SAID]]
    elif outcome.blocked == "UNIT_UNKNOWN":
        said = list(_units(found))
    elif outcome.blocked == "TABLES_SIDE_BY_SIDE":
        said = list(_second_table(grid, found))
    elif outcome.blocked == "EXPECTATION_MISSED":
        said = list(_underfilled(grid, found))
    return said


def figure(units: int, kind: str) -> str:
    """Write a control figure as it would stand in a sheet: amounts in yuan, areas in 亩, counts as they are."""
    scale = _SCALES.get(kind, 1)
    whole, part = divmod(abs(units), scale)
    digits = f".{part:0{len(str(scale)) - 1}}" if scale > 1 else ""
    digits = digits if kind == "money" else digits.rstrip("0").rstrip(".")
    return f"{'-' if units < 0 else ''}{whole}{digits}"


def _total(one: Control, grid: Grid, found: Layout) -> Hint:
    use = found.uses.get(one.column)
    if use is None:
        why = f"“{one.label}”写的户数、人数或笔数是 {one.declared}，明细是 {one.ours}"
        return Hint(one.row_no, None, why, f"数一数明细行：明细对的，把这里改为 {one.ours}；缺了明细的，补上。{_WHOLE}")
    kind, unit = use.column.type, _UNITS.get(use.column.type, "")
    where = f"{get_column_letter(use.index + 1)}列“{use.heading}”"
    stated, ours = figure(one.declared, kind), figure(one.ours, kind)
    text = str(grid.columns[use.index].iloc[one.row_no - grid.first_row]).strip()
    if not one.declared and text.strip("0.,-￥¥ "):
        return Hint(one.row_no, use.index, f"{where}的“{one.label}”不是能识别的数字", f"改为 {ours}{unit}。{_WHOLE}")
    more = "多" if one.declared > one.ours else "少"
    apart = figure(abs(one.declared - one.ours), kind)
    why = f"{where}的“{one.label}”写的是 {stated}{unit}，明细相加是 {ours}{unit}，合计{more}了 {apart}{unit}"
    mend = f"明细对的，把本格改为 {ours}{unit}；合计对的，找出写错或漏掉的明细行改正。{_WHOLE}"
    return Hint(one.row_no, use.index, why, mend)


def _units(found: Layout) -> Iterator[Hint]:
    for name in found.unit_unknown:
        use = found.uses[name]
        example = _EXAMPLES.get(use.column.type, "（元）")
        where = f"{get_column_letter(use.index + 1)}列表头“{use.heading}”"
        mend = f"在表头后面加上单位，写成“{use.heading}{example}”。{_WHOLE}"
        yield Hint(found.last_header_row + 1, use.index, f"{where}没有写计量单位，分不清是元还是万元、亩还是公顷", mend)


def _second_table(grid: Grid, found: Layout) -> Iterator[Hint]:
    subject = found.uses[found.table.subject]
    header = layout.spread(grid, found.last_header_row)
    own = header[subject.index]
    again = next((at for at, text in enumerate(header) if text == own and at > subject.index), None)
    first = again
    while first is not None and header[first - 1] and header.index(header[first - 1]) < first - 1:
        first -= 1  # a heading that stands further left already belongs to the second table
    begins = f"从{get_column_letter(first + 1)}列起是另一张表" if first is not None else "右边还有一张表"
    mend = f"把右边那张表连同表头剪切到一张新工作表，一张工作表只放一张表。{_WHOLE}"
    yield Hint(found.last_header_row + 1, first, f"同一张工作表上左右并排了两张表，{begins}", mend)


def _underfilled(grid: Grid, found: Layout) -> Iterator[Hint]:
    body = range(found.last_header_row + 1, grid.height)
    for name, share in found.table.filled.items():
        use = found.uses.get(name)
        if use is None or not body:
            continue
        filled = int((grid.columns[use.index].iloc[body.start :].str.strip() != "").sum())
        if filled < share * len(body):
            where = f"{get_column_letter(use.index + 1)}列“{use.heading}”"
            why = f"{where}只有 {filled} 行有内容，共 {len(body)} 行；这一列应当基本填满"
            yield Hint(found.last_header_row + 1, use.index, why, f"检查是否串列、漏填，补齐后重报。{_WHOLE}")


def _stranger(near: Near | None) -> Hint:
    if near is None:
        mend = f"下载对应种类的模板，把数据粘贴进去再报；不是报送数据的表请删除。{_WHOLE}"
        return Hint(0, None, "在这张表里没有找到认识的表头", mend)
    catalogue = current().catalogue.kinds[near.table.kind]
    wanted = "、".join(f"“{called(near.table, name)}”（{name}）" for name in near.missing)
    why = f"这张表像是“{catalogue.titles['zh']}”（{near.table.kind}），但没有找到必需的列：{wanted}"
    unread = [(at, text) for at, text in near.unread.items() if not passed_over(text)]
    if not unread or not near.missing:
        return Hint(near.row + 1, None, why, f"补上缺少的列再报。{_WHOLE}")
    names = "、".join(f"{get_column_letter(at + 1)}列“{text}”" for at, text in unread[:_MOST_SAID])
    example = called(near.table, near.missing[0])
    mend = (
        f"没有认出的表头有：{names}。其中有缺少的列的，把表头改成“{example}”这样的写法；没有的，补上这一列。"
        f"不便改表头的，办理一次表头对应（qingqiao batch map {near.table.kind} 您的表头 {near.missing[0]}），"
        f"以后的文件自动适用。{_WHOLE}"
    )
    return Hint(near.row + 1, unread[0][0] if len(unread) == 1 else None, why, mend)


_PASSED_OVER: Final = frozenset({"序号", "编号", "行次", "序", "号", "备注", "说明", "签字", "签名", "领款人签字"})


def passed_over(heading: str) -> bool:
    """Say whether a heading is one that every sheet has and no table needs: its sender is not asked about it."""
    return "".join(heading.split()) in _PASSED_OVER or ANNOTATION in heading


_FIRST: Final = ("身份证号码", "身份证号", "统一社会信用代码", "户主姓名", "姓名", "补贴金额", "发放日期")


def called(table: Table, name: str) -> str:
    """Give a heading that a column is known by, in plain words."""
    column: Column = table.columns[name]
    spelt: Sequence[str] = [text for pattern in column.matches for text in headwords.spelt(pattern)]
    return next((text for text in _FIRST if text in spelt), spelt[0] if spelt else name)
