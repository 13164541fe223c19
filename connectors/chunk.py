"""Rows of one sheet on their way: as they come, and as they are once cleaned. Values only.

A sheet is a `Part`; a `Portion` is what of it one worker gets, in a form that can be sent; a `Chunk` is the same number
of rows with typed columns and the verdict so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cleaning
from connectors.cleaning import Figures
from connectors.grids import Grid
from connectors.layout import Layout, Use
from connectors.places import Context
from connectors.sheaves import Sheaf
from connectors.source import Project, Table
from connectors.verdict import Mask, Verdict

RATE_SCALE: Final = 1_000_000
SINCE: Final = "(since)"  # the date column of first days where 有效期 has both


@dataclass(frozen=True, slots=True)
class Part:
    """One sheet with its layout, its data rows (indices into the grid) and what it says of itself."""

    grid: Grid
    layout: Layout
    data: npt.NDArray[np.int64]
    context: Context

    def bare(self) -> "Part":
        """Give what it says of itself, without its cells."""
        grid = replace(self.grid, columns=(), numbers=())
        return replace(self, grid=grid, data=np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Portion:
    """Data rows of one sheet as they came: what one worker gets, together with nothing but its rules.

    `rows` are their places in the sheet, from 0; `cells` the columns that the layout reads, each called by its index;
    `numbers` which cells of a column were numbers in a workbook; `place` the sheet (`Grid.place`).
    """

    rows: npt.NDArray[np.int64]
    cells: Sheaf
    numbers: Mapping[int, Mask]
    layout: Layout
    context: Context
    place: str

    @classmethod
    def of(cls, part: Part, first: int, last: int) -> "Portion":
        """Take the data rows from `first` to `last` of a part."""
        grid, rows = part.grid, part.data[first:last]
        uses = sorted({use.index for use in part.layout.uses.values()})
        cells = {str(at): _taken(grid.columns[at], rows) for at in uses}
        numbers = {at: mask[rows] for at in uses if (mask := grid.numbers[at]) is not None}
        frame = Sheaf(pd.DataFrame(cells, copy=False))
        return cls(rows + (grid.first_row - 1), frame, numbers, part.layout, part.context, grid.place)


def _taken(column: "pd.Series[str]", rows: npt.NDArray[np.int64]) -> "pd.Series[str]":
    """Take rows of a column, numbered anew; rows without a gap are not copied."""
    together = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
    found = column.iloc[rows[0] : rows[-1] + 1] if together else column.take(rows)
    return found.reset_index(drop=True)


@dataclass(slots=True)
class Chunk:
    """Rows on their way: `text` are cleaned texts ("" is blank), `figures` whole units, `iso` dates.

    `subject` is the identifier of whom the row is about, `person` whether that is a person, else it is of `else_kind`,
    `several` the identifiers of rows that name more than one person. `months` says how long rows last whose last day
    is not stated, `yearless` which two date columns have dates that still need the row's year.
    """

    rows: npt.NDArray[np.int64]
    verdict: Verdict
    context: Context
    table: Table
    text: "dict[str, pd.Series[str]]" = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    iso: "dict[str, pd.Series[str]]" = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)
    subject: "pd.Series[str]" = field(default_factory=lambda: pd.Series(dtype="str"))
    person: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    several: dict[int, tuple[str, ...]] = field(default_factory=dict)
    else_kind: str = "organisation"
    broken: dict[str, Mask] = field(default_factory=dict)
    months: "npt.NDArray[np.int64] | None" = None
    yearless: list[tuple[str, str]] = field(default_factory=list)
    _blank: "pd.Series[str] | None" = field(default=None, repr=False)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    def blank(self) -> "pd.Series[str]":
        """Give a column without any text."""
        if self._blank is None:
            self._blank = cleaning.constant("", len(self))
        return self._blank

    def texts(self, name: str) -> "pd.Series[str]":
        """Give a text column; blank where the sheet has none of this name."""
        return self.text[name] if name in self.text else self.blank()

    def dates(self, name: str) -> "pd.Series[str]":
        """Give a date column; blank where the sheet has none of this name."""
        return self.iso[name] if name in self.iso else self.blank()

    def mark(self, code: str, where: Mask, name: str) -> None:
        """Hold a code against rows, seen in the column of this name."""
        self.verdict.mark(code, where, self.heads.get(name, name))


@dataclass(frozen=True)
class Cells:
    """One column's cells: which cannot be read at all (`broken`), which are blank, and what the reading rests on."""

    use: Use
    text: "pd.Series[str]"
    broken: Mask
    as_of: date
    projects: Sequence[Project]

    @cached_property
    def blank(self) -> Mask:
        """Cells that say there is nothing."""
        return cleaning.missing(self.text) & ~self.broken

    @property
    def name(self) -> str:
        """What the column is called by its declaration."""
        return self.use.name

    @property
    def mandatory(self) -> bool:
        """Whether every row must have it."""
        return self.use.column.mandatory
