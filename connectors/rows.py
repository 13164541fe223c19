"""Which rows below a header are data, and which are totals, repeated headers, titles, footers, sections or blank.

No row of data may vanish: one word in one cell does not make a row a total or a footer. A total (合计, 小计, …) is a
row whose first filled cell, places and running numbers aside, is that label and nothing else; it is a control figure.
A footer begins with its label (`制表人：`) or names nobody. A row that names a person, an identifier or a figure and is
none of these is data, however faulty. Only rows without anything like an identifier are looked at one by one, so that
a long table costs no more than its odd rows.

Not here: comparing totals with their rows (expectations).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors.grids import Grid, Mask
from connectors.headings import ANNOTATION
from connectors.layout import Layout, spread

_QUANTITIES: Final = frozenset({"money", "area", "rate", "number", "int", "score"})
_PLACES: Final = frozenset({"region", "county", "town", "village"})
_LONGEST_LABEL: Final = 40
_SHORTEST_TITLE: Final = 4

_COUNTERS: Final = "户次|人次|户|人|笔|条|宗|项|份|个|处|块|家"
_NUMERALS: Final = "零〇一二三四五六七八九十百千万两"
_TOTAL: Final = re.compile(
    r"(?P<of>[^:]{0,24}?)(?P<label>总计|总合计|累计|承前页|过次页|本页计|合计|共计|小计|页计)"
    r"(?:[:(\d¥].{0,36}|(?:人民币|金额|资金|大写|户数|人数|面积|共).{0,36}|数|["
    + _NUMERALS
    + r"]+(?:"
    + _COUNTERS
    + r").{0,24})?"
)
_OF_WHAT: Final = re.compile(
    r"(?:其中:?)?(?:[本全各].{0,4}|以上|截[至止]本页|金额|面积|资金|补[贴助]|分[村乡页]|"
    r".{1,20}(?:村|社|组|队|乡|镇|县|市|区|州|街道|办|委会|场|合作社|组织|单位|项目|中心|公司|户|类|页))?"
)
_LEVELS: Final = {
    "小计": 0,
    "页计": 0,
    "本页计": 0,
    "合计": 1,
    "共计": 1,
    "总计": 2,
    "总合计": 2,
    "累计": 3,
    "承前页": 3,
    "过次页": 3,
}
_FOOTER_WORDS: Final = (
    "制表|填表|填报|审核|复核|审批|负责|经办|盖章|公章|签字|签章|主管|会计|出纳|监督|举报|联系|"
    "电话|备注|说明|注|注意|单位|日期|时间"
)
_FOOTER: Final = re.compile(
    rf"[^:]{{0,8}}?(?:{_FOOTER_WORDS})[^:]{{0,10}}:.*|"
    r"(?:制表|填表|填报|审核|复核|审批|负责|经办|会计|出纳)(?:人|单位|员|部门)?(?:签字|签章|盖章)?|"
    r".*\((?:盖章|公章|签字|签章)\).*|(?:盖章|公章|签字|签章)|第\d+页.*|共\d+页.*|\(?以下空白.*|\(?此页无.*"
)
_FOOTER_TEXT: Final = re.compile(rf"{_FOOTER_WORDS}|第\d+页|共\d+页|以下空白|此页无")
_SECTION: Final = re.compile(
    r"(?:\(?[一二三四五六七八九十]+\)?[、.).].*|.*(?:村|社|组|队|乡|镇|县|市|区|州|街道|办事处|委会|场|合作社|组织|公司|类|:))(?:\(.*\))?"
)
_LONGEST_NAME: Final = 8
_REMARK: Final = re.compile(r"备注|附注|说明|摘要|原因|备考")
_RUNNING_NUMBER: Final = re.compile(r"序号|编号|行次|序|号")
_POPULATION: Final = re.compile(r"人口|人数|户数|口数|数量|人次")
_COLUMN_NUMBER: Final = re.compile(
    r"栏次|行次|栏号|序号|[甲乙丙丁戊己庚辛壬癸A-Z]|\(?(\d{1,2})\)?(?:=[\d×xX*+\-÷/()列栏]+)?"
)
_FEWEST_COLUMN_NUMBERS: Final = 3
_ANNOUNCED: Final = re.compile(
    r"(?:本[表批次村乡镇]|全[村乡镇县]|发放)*(?:共计|合计|总计|总共|共)(?!.*(?:标准|指标|下达|预算|/亩)).*"
)
_IDENTIFIER_LIKE: Final = r"['’‘`\s]*[0-9A-Za-z０-９Ａ-Ｚａ-ｚ \-\x{a0}\x{3000}\x{200b}\x{feff}]{15,24}"
_CODE: Final = re.compile(r"['’‘`]?[0-9A-Za-z-]{6,}")
_FIGURE: Final = re.compile(r"[¥￥(\-]*[0-9]")
_COUNT: Final = re.compile(rf"(\d[\d,]*)({_COUNTERS})")


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A total that the sender wrote: where it stands, how far it reaches (`level`), its cells.

    `counts` are the counts that it names, each with what it counts (户, 人, 笔, …).
    """

    index: int
    label: str
    level: int
    cells: tuple[str, ...]
    counts: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Body:
    """The rows below a header: indices of data rows, control rows, and how many rows of each other sort there are."""

    data: npt.NDArray[np.int64]
    controls: tuple[ControlRow, ...]
    furniture: dict[str, int] = field(default_factory=dict)


Carried = dict[tuple[int, int], tuple[str, bool]]  # of a merge that goes on, by its first row and column


def fill_down(grid: Grid, layout: Layout, carried: Carried | None = None) -> Grid:
    """Repeat cells merged downwards in each of their rows, but never a quantity: that would count it twice.

    What a merge repeats that reaches into the next block is kept in `carried`.
    """
    wanted = {use.index for use in layout.uses.values() if use.column.type not in _QUANTITIES}
    merged = [
        m for m in grid.merged if m[2] > m[0] and m[0] > layout.last_header_row and m[1] == m[3] and m[1] in wanted
    ]
    if not merged:
        return grid
    columns, numbers = list(grid.columns), list(grid.numbers)
    above, going_on = grid.first_row - 1, carried if carried is not None else {}
    for at in {m[1] for m in merged}:
        cells, own = columns[at].to_numpy(dtype=object).copy(), numbers[at]
        mask = np.zeros(len(cells), dtype=bool) if own is None else own.copy()
        for top, _, bottom, _ in (m for m in merged if m[1] == at and m[0] < above + len(cells)):
            if top >= above:
                going_on[top, at] = (cells[top - above], bool(mask[top - above]))
            first, last = max(top - above, 0), bottom + 1 - above
            cells[first:last], mask[first:last] = going_on[top, at]
            if last <= len(cells):
                del going_on[top, at]
        columns[at], numbers[at] = pd.Series(cells, dtype="str"), mask if mask.any() else None
    return replace(grid, columns=tuple(columns), numbers=tuple(numbers))


def body(grid: Grid, layout: Layout, sorter: "Sorter | None" = None) -> Body:
    """Sort the rows below the header. Of a block that goes on behind it, give the `sorter` of the first block.

    Indices are those of the grid, those of control rows are of the sheet.
    """
    above = grid.first_row - 1
    start = 0 if above else layout.last_header_row + 1
    plain: Mask = np.zeros(grid.height, dtype=bool)
    for name in (layout.table.subject, layout.table.party):
        if name in layout.uses:
            plain |= (
                grid.columns[layout.uses[name].index].str.match(_IDENTIFIER_LIKE).to_numpy(dtype=bool, na_value=False)
            )
    plain[:start] = False
    sort = sorter or Sorter(grid, layout)
    odd_data: list[int] = []
    preamble = range(0 if above else layout.first_header_row)
    controls = [control for index in preamble if (control := _announced(index, grid.row(index)))]
    furniture: dict[str, int] = {}
    for index in np.flatnonzero(~plain[start:]) + start:
        cells = grid.row(int(index))
        what = sort.sort(cells)
        if what == "data":
            odd_data.append(int(index))
        elif what == "total":
            controls.append(sort.control(above + int(index), cells))
        else:
            furniture[what] = furniture.get(what, 0) + 1
    plain[odd_data] = True
    return Body(np.flatnonzero(plain), tuple(controls), furniture)


def _announced(index: int, cells: Sequence[str]) -> ControlRow | None:
    """Read a total that stands above the header: `共3户，合计金额2358元`; it speaks of all rows."""
    label = next((text for cell in cells if _ANNOUNCED.fullmatch(text := squeezed(cell))), "")
    return ControlRow(index, label[:_LONGEST_LABEL], 2, (label,), _counts([label])) if label else None


def _counts(texts: Iterable[str]) -> tuple[tuple[int, str], ...]:
    return tuple((int(n.replace(",", "")), unit) for text in texts for n, unit in _COUNT.findall(text))


def squeezed(text: str) -> str:
    """Fold a cell for comparison: half-width, without blanks."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def label_of(cell: str) -> re.Match[str] | None:
    """Read a cell that is the label of a total: 合计, 甲村小计, 合计90户12345.67元; None when it is something else."""
    text = squeezed(cell)
    return _TOTAL.fullmatch(text) if len(text) <= _LONGEST_LABEL and not text[:1].isdigit() else None


class Sorter:
    """Says what a row without an identifier is, by the header of its sheet."""

    def __init__(self, grid: Grid, layout: Layout) -> None:
        """Take the grid that has the header."""
        header = [spread(grid, at) for at in range(layout.first_header_row, layout.last_header_row + 1)]
        uses, table = layout.uses.values(), layout.table
        heads = ["".join(map(squeezed, column)) for column in zip(*header, strict=True)]
        subjects = {layout.uses[n].index for n in (table.subject, table.party) if n in layout.uses}
        of_persons = table.columns[table.subject].type == "resident_id"
        places = {use.index for use in uses if use.column.type in _PLACES}
        named = {use.index for use in uses if use.column.type == "name"}
        read = {use.index for use in uses}
        self._ours = {at for at, head in enumerate(heads) if ANNOTATION in head}  # our words to the sender are no data
        self._headings = [set(map(squeezed, row)) - {""} for row in header]
        self._titles = {squeezed(text) for text in layout.preamble}
        self._quantities = {use.index for use in uses if use.column.type in _QUANTITIES}
        self._figures = {use.index for use in uses if use.column.type in {"money", "area"}}
        self._subjects = subjects
        self._who = subjects | {use.index for use in uses if use.column.mandatory and use.column.type == "text"} | named
        self._passed_over = places | (set() if of_persons or table.party else named)
        self._numbers = {at for at, head in enumerate(heads) if at not in read and _RUNNING_NUMBER.search(head)}
        last = max(read, default=0) if not self._quantities else min(self._quantities)
        self._never_label = {
            at for at, head in enumerate(heads) if _REMARK.search(head) or (at not in read and at > last)
        }
        self._uncounted = self._quantities | {
            at for at, head in enumerate(heads) if at not in read and (_POPULATION.search(head) or _REMARK.search(head))
        }

    def sort(self, cells: Sequence[str]) -> str:
        """One of: blank, header, numbering, title, total, footer, section, data."""
        filled = self._filled(cells)
        texts = set(filled.values())
        telling = any(
            (at in self._subjects and _CODE.fullmatch(cell)) or (at in self._figures and _FIGURE.match(cell))
            for at, cell in filled.items()
        )
        tests: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("blank", lambda: not filled),
            ("header", lambda: not telling and len(filled) > 1 and self._is_header(texts)),
            ("numbering", lambda: _numbers_columns(list(filled.values()))),
            ("title", lambda: not telling and texts <= self._titles and max(map(len, texts)) > _SHORTEST_TITLE),
            ("total", lambda: self._label(filled) is not None),
            ("footer", lambda: not telling and self._is_footer(filled)),
            ("section", lambda: not telling and len(filled) == 1 and self._is_section(*next(iter(filled.items())))),
        )
        return next((name for name, holds in tests if holds()), "data")

    def control(self, index: int, cells: Sequence[str]) -> ControlRow:
        """Make the control row of a row that is a total."""
        cells = ["" if at in self._ours else cell for at, cell in enumerate(cells)]
        filled = self._filled(cells)
        match = self._label(filled)
        told = [text for at, text in filled.items() if at not in self._uncounted]
        level, label = (_LEVELS[match["label"]], match[0]) if match else (1, "")
        return ControlRow(index, label[:_LONGEST_LABEL], level, tuple(cells), _counts(told))

    def _filled(self, cells: Sequence[str]) -> dict[int, str]:
        return {at: squeezed(cell) for at, cell in enumerate(cells) if cell and at not in self._ours}

    def _is_header(self, texts: set[str]) -> bool:
        return any(2 * len(texts & heads) > len(texts) for heads in self._headings)

    def _label(self, filled: Mapping[int, str]) -> re.Match[str] | None:
        """Find the label of a total: the first filled cell beside quantities, places and running numbers."""
        for at, cell in filled.items():
            if at in self._quantities or at in self._never_label:
                continue
            match = label_of(cell)
            if match:
                others = [c for a, c in filled.items() if a != at and a in self._who and a not in self._passed_over]
                plain = _OF_WHAT.fullmatch(match["of"]) is not None
                named = any(not _COUNT.search(cell) and not label_of(cell) for cell in others)
                return match if plain or not named else None
            if at not in self._passed_over and not (at in self._numbers and cell.isdigit()):
                return None
        return None

    def _is_footer(self, filled: Mapping[int, str]) -> bool:
        first = next(iter(filled))
        if _FOOTER.fullmatch(filled[first]):
            return True
        if len(filled) == 1 and (first not in self._who or len(filled[first]) > _LONGEST_NAME):
            return _FOOTER_TEXT.search(filled[first]) is not None
        return not self._who & filled.keys() and any(_FOOTER.fullmatch(cell) for cell in filled.values())

    def _is_section(self, at: int, cell: str) -> bool:
        """Say whether the only cell of a row divides the table; a name alone is somebody whose number is missing."""
        return at not in self._who or len(cell) > _LONGEST_NAME or _SECTION.fullmatch(cell) is not None


def _numbers_columns(cells: Sequence[str]) -> bool:
    """Say whether a row numbers the columns: `1 2 3 4`, `甲 乙 丙 1 2 3=1×2`."""
    matches = [_COLUMN_NUMBER.fullmatch(cell) for cell in cells]
    counted = [int(match[1]) for match in matches if match and match[1]]
    return len(cells) >= _FEWEST_COLUMN_NUMBERS and all(matches) and counted == list(range(1, len(counted) + 1))
