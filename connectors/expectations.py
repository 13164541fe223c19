"""What a batch promised of itself, held against its rows: totals, subtotals, counts, fill rates. Pure.

A total belongs to the rows since the last total of its level (or, where subtotals stand before their rows, to those
up to the next), to its sheet, or to the whole table; 累计 and 承前页 run on from the sheet's first row. It must agree
with one of these in all its figures at once: 0.01 元, 0.01 亩, counts exactly. Otherwise the batch is TOTAL_MISMATCH.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.cells import Part
from connectors.cleaning import Integers
from connectors.rows import ControlRow
from registry.errors import InexactAmount
from registry.quantities import number

_TOLERANCE: Final = {"money": 1, "area": 100}
_SUBTOTAL, _TOTAL, _GRAND, _RUNNING = range(4)
_AMOUNT_IN_WORDS: Final = re.compile(r"([0-9][0-9,]*(?:\.[0-9]+)?)(万?元)")
_FEN: Final = {"元": Fraction(100), "万元": Fraction(1_000_000)}
_FEWEST_ROWS: Final = 20  # below that a fill rate says nothing


@dataclass(frozen=True, slots=True)
class Control:
    """One declared figure: where it stands, what it says and what the rows give, in whole units (fen, 1/10000 亩)."""

    sheet: str
    row_no: int
    label: str
    column: str
    declared: int
    ours: int
    agrees: bool


@dataclass(frozen=True, slots=True)
class SheetFigures:
    """A sheet's part, its control rows, and the units of its money and area columns (0 where there is none)."""

    part: Part
    controls: tuple[ControlRow, ...]
    units: Mapping[str, Integers]


def controls(sheets: Sequence[SheetFigures], amount: str) -> list[Control]:
    """Hold every control row of a table's sheets against its rows; `amount` is the column that texts speak of."""
    whole = {name: sum(int(s.units[name].sum()) for s in sheets if name in s.units) for s in sheets for name in s.units}
    rows = sum(len(sheet.part.data) for sheet in sheets)
    return [found for sheet in sheets for row in sheet.controls for found in _hold(sheet, row, amount, whole, rows)]


def _hold(sheet: SheetFigures, row: ControlRow, amount: str, whole: Mapping[str, int], rows: int) -> list[Control]:
    declared = _declared(sheet, row, amount)
    spans = _spans(sheet, row)
    sums = [({name: int(sheet.units[name][low:high].sum()) for name in declared}, high - low) for low, high in spans]
    if row.level in {_TOTAL, _GRAND}:
        sums.append(({name: whole[name] for name in declared}, rows))

    def off(candidate: tuple[dict[str, int], int]) -> int:
        ours, count = candidate
        wrong = sum(abs(ours[name] - value) > _tolerance(sheet, name) for name, value in declared.items())
        return wrong + (bool(row.counts) and count not in row.counts)

    ours, count = min(sums, key=off)
    found = [
        Control(
            sheet.part.grid.sheet,
            row.index + 1,
            row.label,
            name,
            value,
            ours[name],
            abs(ours[name] - value) <= _tolerance(sheet, name),
        )
        for name, value in declared.items()
    ]
    if row.counts:
        agrees = count in row.counts
        stated = count if agrees else row.counts[0]
        found.append(Control(sheet.part.grid.sheet, row.index + 1, row.label, "", stated, count, agrees))
    return found


def _tolerance(sheet: SheetFigures, name: str) -> int:
    return _TOLERANCE[sheet.part.layout.table.columns[name].type]


def _declared(sheet: SheetFigures, row: ControlRow, amount: str) -> dict[str, int]:
    """Read the figures that a control row states, by column; a text like `合计90户12345.67元` states the amount."""
    found: dict[str, int] = {}
    for name in sheet.units:
        use = sheet.part.layout.uses[name]
        cell = row.cells[use.index] if use.index < len(row.cells) else ""
        try:
            value = number(cell)
        except InexactAmount:
            continue
        if value is not None:
            factor = use.factor if use.factor is not None else Fraction(100)
            found[name] = round(Fraction(value) * factor)
    if amount in sheet.units and amount not in found:
        spoken = _AMOUNT_IN_WORDS.findall(unicodedata.normalize("NFKC", "".join(row.cells)).replace(" ", ""))
        if len(spoken) == 1:
            found[amount] = round(Fraction(spoken[0][0].replace(",", "")) * _FEN[spoken[0][1]])
    return found


def _spans(sheet: SheetFigures, row: ControlRow) -> list[tuple[int, int]]:
    """Give the runs of data rows that a control row may speak of, as positions in the sheet's data."""
    data, end = sheet.part.data, len(sheet.part.data)
    here = int(np.searchsorted(data, row.index))
    if row.level == _RUNNING:
        return [(0, here), (0, end)]
    peers = [c.index for c in sheet.controls if c.level >= row.level and c.level != _RUNNING]
    before = max((index for index in peers if index < row.index), default=-1)
    after = min((index for index in peers if index > row.index), default=int(data[-1]) + 1 if end else 0)
    lower, upper = int(np.searchsorted(data, before)), int(np.searchsorted(data, after))
    first = min(peers) <= (int(data[0]) if end else 0)  # totals that stand before their rows
    spans = [(here, upper)] if first and row.level == _SUBTOTAL else [(lower, here)]
    if row.level in {_TOTAL, _GRAND}:
        spans += [(here, upper)] if first else []
        spans.append((0, end))
    return spans


def underfilled(filled: Mapping[str, int], rows: int, promised: Mapping[str, float]) -> list[str]:
    """Name the columns that are filled less than the source promises; small tables are let pass."""
    if rows < _FEWEST_ROWS:
        return []
    return [name for name, share in promised.items() if name in filled and filled[name] < share * rows]


def units_of(figures: Mapping[str, npt.NDArray[np.int64]], part: Part) -> dict[str, Integers]:
    """Keep the columns that totals are made of: money and areas that stand in the sheet."""
    kept = ("money", "area")
    return {
        n: units for n, units in figures.items() if n in part.layout.uses and part.layout.uses[n].column.type in kept
    }
