"""What a reader makes of one sheet: its cells as columns of text, before anyone asks what they mean.

A grid keeps, for each column, the text of every cell, and which cells were numbers in a workbook: a number cell of
more than 15 digits has lost some. Columns of text are Arrow's, so that they cost little memory and no objects.

Not here: how a sheet is read (`reading`).
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Merged: TypeAlias = tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """One sheet: `columns[c]` is the text of column c, a blank cell is ""; `numbers[c]` marks number cells.

    `merged` are (first row, first column, last row, last column), counted from 0. `first_row` is the sheet's row
    number, counted from 1, of the grid's first row.
    """

    sheet: str
    columns: tuple[pd.Series, ...]
    numbers: tuple[Mask | None, ...]
    merged: Merged = ()
    number: int = 1
    first_row: int = 1

    @property
    def place(self) -> str:
        """Which sheet it is, by number: a sheet's name may be somebody's, and what is kept must name nobody."""
        return str(self.number) if self.sheet else ""

    @property
    def height(self) -> int:
        """How many rows the grid has."""
        return len(self.columns[0]) if self.columns else 0

    def head(self, rows: int) -> "Grid":
        """Give the first rows, without what the others hold in memory."""
        if self.height <= rows:
            return self
        columns = tuple(pd.Series(column.iloc[:rows].tolist(), dtype="str") for column in self.columns)
        numbers = tuple(None if mask is None else mask[:rows].copy() for mask in self.numbers)
        return replace(self, columns=columns, numbers=numbers)

    def row(self, index: int) -> list[str]:
        """The texts of one row, stripped."""
        return [str(column.iloc[index]).strip() for column in self.columns]


def series(column: pa.ChunkedArray) -> "pd.Series[str]":
    """Give a column of Arrow's as one of pandas, without copying it."""
    return pd.Series(column.to_pandas(types_mapper={pa.large_string(): pd.StringDtype(na_value=np.nan)}.get))
