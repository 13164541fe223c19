"""What a batch promised of itself, held against its rows: totals, subtotals, counts, fill rates. Pure.

A total belongs to the rows since the last total of its level (or, where subtotals stand before their rows, to those
up to the next), since an earlier one where subtotals of villages and towns are called alike, to its sheet, or to the
whole table; 累计 and 承前页 run on from the sheet's first row; what is announced above the header speaks of all rows.
It must agree with one of these in all its figures at once: 0.01 元, 0.01 亩, counts exactly. Otherwise the batch is
TOTAL_MISMATCH. Its cells are read by the rule of data cells (大写, `1.2万`); a cell that cannot be read does not agree.

Households are counted by their code; without one there may be several rows to a household, so that a lower count says
nothing. People are counted by row or by number; in a roster of households they may be family members.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.chunk import Part
from connectors.cleaning import Integers
from connectors.layout import Layout, Use
from connectors.rows import ControlRow, label_of, squeezed
from registry.errors import InexactAmount, UnitUnknown
from registry.quantities import fen, mu4, number

_TOLERANCE: Final = {"money": 1, "area": 100}
_SUBTOTAL, _TOTAL, _GRAND, _RUNNING = range(4)
_AMOUNT_IN_FIGURES: Final = re.compile(r"([0-9][0-9,]*(?:\.[0-9]+)?万?元)(?!/)")
_AMOUNT_IN_WORDS: Final = re.compile(
    r"[零〇一二三四五六七八九十百千两壹贰叁肆伍陆柒捌玖拾佰仟万亿]+[元圆](?:[零〇一二三四五六七八九壹贰叁肆伍陆柒捌玖]+[角分])*"
    r"[整正]?(?!/)"
)
_NO_FIGURE: Final = re.compile(r"(?:人民币)?\(?大写\)?:?|[元亩]|[xX×*]+")
_COUNTED: Final = re.compile(r"(?:[0-9][0-9,]*(?:户次|人次|[户人笔条宗项份个处块家]))+")
_ROWS: Final = ("笔", "条", "宗", "人次", "户次")
_HOUSEHOLD: Final = "hh_code"
_FARTHEST_BOUNDS: Final = 200  # no town has more villages; a bound on work, not a rule
_FEWEST_ROWS: Final = 20  # below that a fill rate says nothing


@dataclass(frozen=True, slots=True)
class Control:
    """One declared figure: where it stands, what it says and what the rows give, in whole units (fen, 1/10000 亩).

    `covers` says how many data rows it was held against.
    """

    sheet: str
    row_no: int
    label: str
    column: str
    declared: int
    ours: int
    agrees: bool
    covers: int = 0


class SheetFigures:
    """What control rows are held against: a sheet's figures, added up row after row as chunks come.

    Kept are the sums up to each control row and no figure of a row, so that a sheet of any length takes little. Control
    rows are told before the rows behind them. `texts` gives a column's cells of all data rows, stripped; it is asked
    only where a control row counts households or people.
    """

    def __init__(self, part: Part, texts: Callable[[str], Sequence[str]]) -> None:
        self.part, self.texts = part, texts
        self.controls: list[ControlRow] = []
        self.end = 0  # how many data rows there are
        self.first = 0  # the index of the first of them
        self.names = summed(part.layout)
        self._totals = dict.fromkeys(self.names, 0)
        self._sums: dict[int, dict[str, int]] = {0: dict(self._totals)}
        self._positions: dict[int, int] = {}  # of each control row: how many data rows stand before it

    def expect(self, controls: Iterable[ControlRow]) -> None:
        """Take control rows, in their order."""
        self.controls += controls

    def add(self, rows: npt.NDArray[np.int64], units: Mapping[str, Integers]) -> None:
        """Take the figures of the data rows that come next; `rows` are their indices in the sheet."""
        if not len(rows):
            return
        if not self.end:
            self.first = int(rows[0])
        running = {name: np.cumsum(units[name]) for name in self.names if name in units}
        for control in self.controls:
            if control.index not in self._positions and control.index <= rows[-1]:
                before = int(np.searchsorted(rows, control.index))
                self._positions[control.index] = self.end + before
                self._sums[self.end + before] = {
                    name: total + (int(running[name][before - 1]) if before and name in running else 0)
                    for name, total in self._totals.items()
                }
        self.end += len(rows)
        for name, sums in running.items():
            self._totals[name] += int(sums[-1])

    def total(self, name: str) -> int:
        """Give the sum of a column of figures."""
        return self._totals[name]

    def position(self, control: ControlRow) -> int:
        """Say how many data rows stand before a control row."""
        return self._positions.get(control.index, self.end)

    def sums(self, low: int, high: int) -> dict[str, int]:
        """Add up the figures of a run of rows; it begins and ends at a control row, the beginning or the end."""
        below, above = (self._totals if at == self.end else self._sums[at] for at in (low, high))
        return {name: above[name] - below[name] for name in self.names}


def summed(layout: Layout) -> list[str]:
    """Name the columns of a sheet that totals speak of: amounts and areas."""
    return [name for name, use in layout.uses.items() if use.column.type in _TOLERANCE]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a control row states: figures by column (None where a cell cannot be read), and counts with their units."""

    figures: tuple[tuple[str, int | None], ...]
    counts: tuple[tuple[int, str], ...]


class _Held:
    """A sheet against which control rows are held."""

    def __init__(self, sheet: SheetFigures) -> None:
        self.sheet, self.end = sheet, sheet.end
        self.sums = sheet.sums
        inside = [c for c in sheet.controls if c.level != _RUNNING and not _is_announced(sheet, c)]
        self.bounds = [(c.index, sheet.position(c), c.level) for c in inside]
        self.first_of = {c.level: c.index for c in reversed(inside)}
        uses = sheet.part.layout.uses
        self.household_heading = any("户" in use.heading for use in uses.values() if use.column.type == "name")

    @cached_property
    def codes(self) -> Sequence[str]:
        return self._texts(_HOUSEHOLD)

    @cached_property
    def people(self) -> Sequence[str]:
        return self._texts(self.sheet.part.layout.table.subject)

    def _texts(self, name: str) -> Sequence[str]:
        return self.sheet.texts(name) if name in self.sheet.part.layout.uses else []

    def counts_agree(self, stated: Sequence[tuple[int, str]], low: int, high: int) -> bool:
        """Say whether the counts can be those of a run of rows; what cannot be known is let pass."""
        rows = high - low
        households = [count for count, unit in stated if unit == "户"]
        people = [count for count, unit in stated if unit == "人"]
        of_rows = [count for count, unit in stated if unit in _ROWS]
        if not (households or people or of_rows):
            return not stated or rows in {count for count, _ in stated}
        return (
            all(self._households_agree(count, low, high) for count in households)
            and all(self._people_agree(count, low, high, bool(households)) for count in people)
            and all(count == rows for count in of_rows)
        )

    def _households_agree(self, count: int, low: int, high: int) -> bool:
        codes = self.codes[low:high]
        if codes and all(codes):
            return count in {len(set(codes)), high - low}
        return count <= high - low

    def _people_agree(self, count: int, low: int, high: int, beside_households: bool) -> bool:  # noqa: FBT001
        by_number = len({one for one in self.people[low:high] if one})
        may_be_members = self.household_heading or beside_households
        return count in {high - low, by_number} or (may_be_members and count > high - low)


def controls(sheets: Sequence[SheetFigures], amount: str) -> list[Control]:
    """Hold every control row of a table's sheets against its rows; `amount` is the column that texts speak of."""
    whole: dict[str, int] = {}
    held = [_Held(sheet) for sheet in sheets]
    for one in held:
        for name, total in one.sums(0, one.end).items():
            whole[name] = whole.get(name, 0) + total
    rows = sum(one.end for one in held)
    return [found for one in held for row in one.sheet.controls for found in _hold(one, row, amount, whole, rows)]


def _hold(held: _Held, row: ControlRow, amount: str, whole: Mapping[str, int], rows: int) -> list[Control]:
    said = _said(held.sheet, row, amount)
    best: tuple[int, dict[str, int], int, bool] | None = None
    for low, high in _spans(held, row):
        ours = held.sums(low, high)
        counted = held.counts_agree(said.counts, low, high)
        wrong = _wrong(held.sheet, said, ours) + (not counted)
        if best is None or wrong < best[0]:
            best = (wrong, ours, high - low, counted)
        if not wrong:
            break
    if row.level in {_TOTAL, _GRAND} and rows != held.end and (best is None or best[0]):
        counted = rows >= max((count for count, _ in said.counts), default=0)
        wrong = _wrong(held.sheet, said, whole) + (not counted)
        if best is None or wrong < best[0]:
            best = (wrong, dict(whole), rows, counted)
    _, ours, size, counted = best or (0, {}, 0, True)
    sheet, at = held.sheet.part.grid.place, row.index + 1
    found = [
        Control(sheet, at, row.label, name, value or 0, ours[name], _agrees(held.sheet, name, value, ours[name]), size)
        for name, value in said.figures
    ]
    if said.counts:
        stated = size if counted else said.counts[0][0]
        found.append(Control(sheet, at, row.label, "", stated, size, counted, size))
    return found


def _wrong(sheet: SheetFigures, said: _Said, ours: Mapping[str, int]) -> int:
    return sum(not _agrees(sheet, name, value, ours[name]) for name, value in said.figures)


def _agrees(sheet: SheetFigures, name: str, declared: int | None, ours: int) -> bool:
    tolerance = _TOLERANCE[sheet.part.layout.table.columns[name].type]
    return declared is not None and abs(ours - declared) <= tolerance


def _said(sheet: SheetFigures, row: ControlRow, amount: str) -> _Said:
    """Read what a control row states; a text like `合计90户12345.67元` or an amount in words states the amount."""
    figures: list[tuple[str, int | None]] = []
    texts = list(map(squeezed, row.cells))
    for name in () if _is_announced(sheet, row) else sheet.names:
        use = sheet.part.layout.uses[name]
        cell = texts[use.index]
        if _is_worded(cell, use):
            continue
        texts[use.index] = ""
        value, readable = _read(cell, use)
        if value is not None or not readable:
            figures.append((name, value))
    if amount in sheet.names:
        figures += [(amount, value) for value in _spoken(texts, beside=any(name == amount for name, _ in figures))]
    return _Said(tuple(figures), row.counts)


def _is_announced(sheet: SheetFigures, row: ControlRow) -> bool:
    return row.index < sheet.part.layout.first_header_row


def _is_worded(cell: str, use: Use) -> bool:
    """Say whether a cell under a figure's heading is a label, a count, or an amount in words under an area."""
    worded = use.column.type == "area" and _AMOUNT_IN_WORDS.search(cell)
    return bool(worded or label_of(cell) or _NO_FIGURE.fullmatch(cell) or _COUNTED.fullmatch(cell))


def _read(cell: str, use: Use) -> tuple[int | None, bool]:
    """Read one figure in whole units by the rule of data cells; sums of spreadsheets may have digits beyond them."""
    unit = use.unit.partition("/")[0]
    try:
        if use.column.type == "money":
            return fen(cell, unit or "元"), True
        return mu4(cell, unit or "亩"), True
    except (InexactAmount, UnitUnknown):
        pass
    try:
        value = number(cell)
    except InexactAmount:
        return None, False
    factor = use.factor if use.factor is not None else Fraction(100 if use.column.type == "money" else 10_000)
    return (None if value is None else round(Fraction(value) * factor)), True


def _spoken(texts: Sequence[str], *, beside: bool) -> list[int]:
    """Read the amount that the words of a row state: in words always, in figures where no cell says it."""
    text = " ".join(texts)
    found = _AMOUNT_IN_WORDS.findall(text) + ([] if beside else _AMOUNT_IN_FIGURES.findall(text))
    values: set[int] = set()
    for one in found:
        with suppress(InexactAmount, UnitUnknown):
            values |= {value} if (value := fen(one.replace("万元", "万"))) is not None else set()
    return list(values) if len(values) == 1 else []


def _spans(held: _Held, row: ControlRow) -> Iterator[tuple[int, int]]:
    """Give the runs of data rows that a control row may speak of, as positions in the data; the nearest first."""
    end = held.end
    if _is_announced(held.sheet, row):
        yield 0, end
        return
    here = held.sheet.position(row)
    if row.level == _RUNNING:
        yield 0, here
        yield 0, end
        return
    place = bisect_left(held.bounds, row.index, key=lambda bound: bound[0])
    skipped = len(held.bounds) - place
    before = islice(reversed(held.bounds), skipped, skipped + _FARTHEST_BOUNDS)
    after = islice(held.bounds, place + 1, place + 1 + _FARTHEST_BOUNDS)
    first = held.first_of[row.level] <= held.sheet.first  # totals that stand before their rows
    if not first or row.level != _SUBTOTAL:
        yield from ((at, here) for _, at, level in before if level >= row.level)
        yield 0, here
    if first:
        yield from ((here, at) for _, at, level in after if level >= row.level)
        yield here, end
    if row.level in {_TOTAL, _GRAND}:
        yield 0, end


def underfilled(filled: Mapping[str, int], rows: int, promised: Mapping[str, float]) -> list[str]:
    """Name the columns that are filled less than the source promises; small tables are let pass."""
    if rows < _FEWEST_ROWS:
        return []
    return [name for name, share in promised.items() if name in filled and filled[name] < share * rows]
