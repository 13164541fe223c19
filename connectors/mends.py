"""What people decided of single rows, applied wherever a file is weighed. Pure.

A mend never touches the file. It stands beside it and is applied every time the file is read: a corrected cell is
read in place of the sender's, an accepted row is held with a remark, a withdrawn row is no record any more. So counts
reconcile, the log tells of it, and weighing the file again brings nothing back.

Not here: who may decide, with whose agreement, and where decisions are kept (`mending`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import numpy as np

from connectors.grids import Grid
from connectors.layout import Layout
from connectors.verdict import Mask, Verdict

ACCEPTED_BY_AGENCY: Final = "ACCEPTED_BY_AGENCY"
WITHDRAWN_BY_AGENCY: Final = "WITHDRAWN_BY_AGENCY"


class Act(StrEnum):
    """What was decided of a row. The values stand in tables and in the log; never reuse one."""

    ACCEPT = "accept"
    CORRECT = "correct"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Mend:
    """One decision: of which row of which sheet (as `Grid.place`), counted from 1 as the sender's program shows it.

    `cells` are the corrected cells by heading, of a CORRECT only.
    """

    act: Act
    sheet: str
    row_no: int
    cells: Mapping[str, str] = field(default_factory=dict, repr=False)


Mends = Sequence[Mend]


def corrected(grid: Grid, layout: Layout, mends: Mends) -> Grid:
    """Put corrected cells in place of those that came; a heading that the sheet does not have changes nothing."""
    here = [one for one in mends if one.sheet == grid.place and one.act is Act.CORRECT]
    last = grid.first_row + grid.height
    here = [one for one in here if grid.first_row <= one.row_no < last]
    columns, numbers = list(grid.columns), list(grid.numbers)
    for use in layout.uses.values():
        given = {one.row_no - grid.first_row: one.cells[use.heading] for one in here if use.heading in one.cells}
        if given:
            rows = list(given)
            column = columns[use.index].copy()
            column.iloc[rows] = list(given.values())
            columns[use.index] = column
            mask = numbers[use.index]
            if mask is not None:
                mask = mask.copy()
                mask[rows] = False
                numbers[use.index] = mask
    return replace(grid, columns=tuple(columns), numbers=tuple(numbers)) if here else grid


def decide(verdict: Verdict, sheets: Sequence[str], rows: Sequence[int], mends: Mends) -> None:
    """Apply what was decided: quarantined rows that were accepted are warned of, withdrawn rows are rejected.

    Args:
        verdict: of a whole table, all checks done.
        sheets: the sheet of each row.
        rows: the number of each row.
        mends: what was decided.
    """
    by_act: dict[Act, set[tuple[str, int]]] = {act: set() for act in Act}
    for one in mends:
        by_act[one.act].add((one.sheet, one.row_no))
    if any(by_act.values()):
        verdict.overrule("quarantined", _where(by_act[Act.ACCEPT], sheets, rows), ACCEPTED_BY_AGENCY)
        verdict.mark(WITHDRAWN_BY_AGENCY, _where(by_act[Act.WITHDRAW], sheets, rows), "")


def _where(places: set[tuple[str, int]], sheets: Sequence[str], rows: Sequence[int]) -> Mask:
    return np.fromiter((place in places for place in zip(sheets, rows, strict=True)), dtype=bool, count=len(rows))
