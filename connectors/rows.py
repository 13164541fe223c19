"""Which rows below a header are data, and which are totals, repeated headers, titles, footers, sections or blank.

A total (合计, 小计, …) is a control figure, never data. Only rows without anything like an identifier are looked at one
by one, so that a long table costs no more than its odd rows.

Not here: comparing totals with their rows (expectations).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors.layout import Layout, spread
from connectors.reading import Grid, Mask

_QUANTITIES: Final = frozenset({"money", "area", "rate", "number", "int", "score"})
_LONGEST_LABEL: Final = 40

_TOTAL: Final = re.compile(
    r"(?:[^:：]{0,24}?)(总计|总合计|累计|承前页|过次页|合计|共计|小计|页计|本页计)(?:[:：(（]?[^一-鿿]*.{0,24})?"
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
_FOOTER: Final = re.compile(
    r"(制表|填表|填报|审核|复核|审批|负责人|经办|盖章|公章|签字|签章|主管|会计|出纳|监督电话|联系电话|备注[:：]|说明[:：]|注[:：]|"
    r"注意|单位[:：]|日期[:：]|第\d+页|共\d+页|以下空白|此页无)"
)
_IDENTIFIER_LIKE: Final = r"['’‘`\s]*[0-9A-Za-z０-９Ａ-Ｚａ-ｚ \-\x{a0}\x{3000}\x{200b}\x{feff}]{15,24}"
_CODE: Final = re.compile(r"['’‘`]?[0-9A-Za-z-]{6,}")
_FIGURE: Final = re.compile(r"[¥￥(\-]*[0-9]")
_COUNT: Final = re.compile(r"(\d[\d,]*)(户次|人次|户|人|笔|条|宗|项|份|个|处|块|家)")


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A total that the sender wrote: where it stands, how far it reaches (`level`), its cells, the counts it names."""

    index: int
    label: str
    level: int
    cells: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """The rows below a header: indices of data rows, control rows, and how many rows of each other sort there are."""

    data: npt.NDArray[np.int64]
    controls: tuple[ControlRow, ...]
    furniture: dict[str, int] = field(default_factory=dict)


def fill_down(grid: Grid, layout: Layout) -> Grid:
    """Repeat cells merged downwards in each of their rows, but never a quantity: that would count it twice."""
    wanted = {use.index for use in layout.uses.values() if use.column.type not in _QUANTITIES}
    merged = [
        m for m in grid.merged if m[2] > m[0] and m[0] > layout.last_header_row and m[1] == m[3] and m[1] in wanted
    ]
    if not merged:
        return grid
    columns, numbers = list(grid.columns), list(grid.numbers)
    for at in {m[1] for m in merged}:
        cells, mask = columns[at].to_numpy(dtype=object).copy(), numbers[at]
        mask = None if mask is None else mask.copy()
        for top, _, bottom, _ in (m for m in merged if m[1] == at):
            cells[top : bottom + 1] = cells[top]
            if mask is not None:
                mask[top : bottom + 1] = mask[top]
        columns[at], numbers[at] = pd.Series(cells, dtype="str"), mask
    return Grid(grid.sheet, tuple(columns), tuple(numbers), grid.merged)


def body(grid: Grid, layout: Layout) -> Body:
    """Sort the rows below the header."""
    start = layout.last_header_row + 1
    plain: Mask = np.zeros(grid.height, dtype=bool)
    for name in (layout.table.subject, layout.table.party):
        if name in layout.uses:
            plain |= (
                grid.columns[layout.uses[name].index].str.match(_IDENTIFIER_LIKE).to_numpy(dtype=bool, na_value=False)
            )
    plain[:start] = False
    sort = _Sorter(grid, layout)
    odd_data: list[int] = []
    controls: list[ControlRow] = []
    furniture: dict[str, int] = {}
    for index in np.flatnonzero(~plain[start:]) + start:
        cells = grid.row(int(index))
        what = sort.sort(cells)
        if what == "data":
            odd_data.append(int(index))
        elif what == "total":
            controls.append(_control(int(index), cells))
        else:
            furniture[what] = furniture.get(what, 0) + 1
    plain[odd_data] = True
    return Body(np.flatnonzero(plain), tuple(controls), furniture)


def _control(index: int, cells: Sequence[str]) -> ControlRow:
    label = next(cell for cell in cells if _is_total(cell))
    match = _TOTAL.fullmatch(_squeezed(label))
    level = _LEVELS[match[1]] if match else 1
    counts = tuple(int(n.replace(",", "")) for cell in cells for n, _ in _COUNT.findall(_squeezed(cell)))
    return ControlRow(index, _squeezed(label)[:_LONGEST_LABEL], level, tuple(cells), counts)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def _is_total(cell: str) -> bool:
    squeezed = _squeezed(cell)
    return len(squeezed) <= _LONGEST_LABEL and bool(_TOTAL.fullmatch(squeezed)) and not squeezed[:1].isdigit()


class _Sorter:
    """Says what a row without an identifier is."""

    def __init__(self, grid: Grid, layout: Layout) -> None:
        header = range(layout.first_header_row, layout.last_header_row + 1)
        self._headings = [set(map(_squeezed, spread(grid, at))) - {""} for at in header]
        self._titles = {_squeezed(text) for text in layout.preamble}
        quantities = {use.index for use in layout.uses.values() if use.column.type in {"money", "area"}}
        subjects = {layout.uses[n].index for n in (layout.table.subject, layout.table.party) if n in layout.uses}
        self._quantities, self._subjects = quantities, subjects
        self._text = [at for at in range(len(grid.columns)) if at not in quantities]

    def sort(self, cells: Sequence[str]) -> str:
        """One of: blank, header, title, total, footer, section, data."""
        filled = {at: cell for at, cell in enumerate(cells) if cell}
        squeezed = {_squeezed(cell) for cell in filled.values()}
        telling = any(
            (at in self._subjects and _CODE.fullmatch(_squeezed(cell)))
            or (at in self._quantities and _FIGURE.match(_squeezed(cell)))
            for at, cell in filled.items()
        )
        footer = any(_FOOTER.search(cell) for cell in squeezed) and (not telling or len(squeezed) == 1)
        tests = (
            ("blank", not filled),
            ("header", len(filled) > 1 and any(2 * len(squeezed & heads) > len(squeezed) for heads in self._headings)),
            ("title", squeezed <= self._titles),
            ("total", any(_is_total(filled[at]) for at in self._text if at in filled)),
            ("footer", footer),
            ("section", len(filled) == 1 and not telling),
        )
        return next((name for name, holds in tests if holds), "data")
