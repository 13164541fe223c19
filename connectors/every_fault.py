"""Every fault of a row to be mended, where weighing keeps the first: one round of mending is enough. Pure.

Weighing keeps one code a row, the gravest: it says what becomes of the row, and costs good rows nothing. Who mends must
be told all of them. So the rows that are marked, which are few, are cleaned and checked once more by the same cleaning
and the same checks, into a verdict that forgets nothing; no rule stands here a second time.

What people decided stands: of a withdrawn row nothing more is said, of an accepted one nothing that was accepted.
What cannot be known before a cell is mended is not told: whether a row is there twice whose key cannot be read.

Like the marks themselves (`apparent`), all of it follows from the sender's own bytes and depends on nobody's consent.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from connectors import apparent, cells, checks, duplicates, places, reading, rows, schemes
from connectors.chunk import Part, Portion
from connectors.codes import BY_NAME, RANK, Outcome
from connectors.delivery import Delivery
from connectors.grids import Grid
from connectors.layout import Layout
from connectors.mends import WITHDRAWN_BY_AGENCY, Mends, corrected
from connectors.outcomes import TableOutcome
from connectors.source import Table
from connectors.verdict import Mask, Verdict
from connectors.weighed import joined

_TWICE: Final = "DUPLICATE_IN_BATCH"
_QUARANTINED: Final = Outcome.QUARANTINED.value
_REJECTED: Final = Outcome.REJECTED.value
_GRAVITY: Final = {Outcome.WARNED.value: 0, _QUARANTINED: 1, _REJECTED: 2}
_Place = tuple[str, int]
_First = tuple[str, "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row: its code, and the heading it was seen under ("" for the row as a whole)."""

    code: str
    column: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A row that its sender should look at: its place, how it ends, and its faults, the one that decided it first."""

    sheet: str
    row_no: int
    end: str
    faults: tuple[Fault, ...]


class _Unforgetting(Verdict):
    """A verdict that keeps, beside the first code of each row, all that was found."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.found: list[list[Fault]] = [[] for _ in range(size)]

    def mark(self, code: str, where: Mask, column: str) -> None:
        super().mark(code, where, column)
        for row in np.flatnonzero(where).tolist():
            self.found[row].append(Fault(code, column))


class EveryFault:
    """The marked rows of a file's tables with all their faults, sheet by sheet."""

    def __init__(
        self, outcomes: Sequence[TableOutcome], file_name: str, *, as_of: date, mended: Mapping[str, Mends]
    ) -> None:
        """Take the file as it was weighed.

        Args:
            outcomes: its tables, as if everybody had consented.
            file_name: its name, which may say of which place it is.
            as_of: the day it came.
            mended: what was decided of its rows, by table label: what it was weighed with.
        """
        self._outcomes, self._file_name, self._as_of = outcomes, file_name, as_of
        self._mends = [one for mends in mended.values() for one in mends]
        self._twice: dict[str, dict[_Place, Fault]] = {}

    def on(self, grid: Grid, layout: Layout, carried: rows.Carried | None = None) -> Iterator[Marked]:
        """Give the marked rows of a sheet, or of the next block of a long one, in their order.

        Args:
            grid: the sheet as it came.
            layout: its layout.
            carried: what merged cells of the blocks before reach into this one; it is kept up to date.
        """
        grid = rows.fill_down(grid, layout, carried)
        firsts = self._firsts.get(grid.place, {})
        here = [row for row in firsts if grid.first_row <= row < grid.first_row + grid.height]
        if not here:
            return
        context = places.context(layout.preamble, grid.sheet, self._file_name)
        data = np.array(here, dtype=np.int64) - grid.first_row
        examined = self._examined(Part(corrected(grid, layout, self._mends), layout, data, context))
        for row_no, found in zip(here, examined, strict=True):
            end, first = firsts[row_no]
            twice = self._again(layout.table).get((grid.place, row_no))
            faults = _told(end, first, [*found, *([twice] if twice else [])])
            yield Marked(grid.place, row_no, end, tuple(_headed(one, layout) for one in faults))

    def _examined(self, part: Part) -> list[list[Fault]]:
        """Clean and check some rows of a sheet once more; give what is found of each."""
        verdict = _Unforgetting(len(part.data))
        portion = Portion.of(part, 0, len(part.data))
        chunk = cells.clean(portion, as_of=self._as_of, projects=part.layout.source.projects, verdict=verdict)
        checks.run(chunk, as_of=self._as_of, schemes=schemes.current())
        return verdict.found

    @cached_property
    def _firsts(self) -> dict[str, dict[int, _First]]:
        """How each marked row ends, and by which fault, by sheet and row."""
        found: dict[str, dict[int, _First]] = defaultdict(dict)
        for outcome in self._outcomes:
            for frame in outcome.frames():
                marked = frame.loc[frame["code"] != "", ["sheet", "row_no", "outcome", "code", "column"]]
                for sheet, row_no, end, code, column in marked.itertuples(index=False):
                    found[sheet][int(row_no)] = str(end), Fault(str(code), str(column))
        return {sheet: dict(sorted(marked.items())) for sheet, marked in found.items()}

    def _again(self, table: Table) -> Mapping[_Place, Fault]:
        """Find the rows of a kind of table that stand there before, though their code says something else."""
        found = self._twice.get(table.kind)
        if found is None:
            found = self._twice[table.kind] = {}
            for outcome in self._outcomes:
                if outcome.kind == table.kind and any(map(_hides_another, outcome.apparent.get(_QUARANTINED, {}))):
                    found |= _standing_twice(outcome, table)
        return found


def marked(  # the file as it was weighed
    raw: reading.Source,
    file_name: str,
    delivery: Delivery,
    outcomes: Sequence[TableOutcome],
    *,
    as_of: date,
    mended: Mapping[str, Mends],
) -> Iterator[Marked]:
    """Give the marked rows of some of a file's tables with all their faults, in the order of the file.

    A long file is read block by block.
    """
    every = EveryFault(outcomes, file_name, as_of=as_of, mended=mended)
    if not any(outcome.held for outcome in outcomes):
        return
    if not reading.is_long(raw, file_name):
        for grid, layout in apparent.sheets(reading.whole(raw), file_name, delivery):
            if layout is not None:
                yield from every.on(grid, layout)
        return
    for _, layout, stream in apparent.beginnings(raw, file_name, delivery):
        carried: rows.Carried = {}
        if layout is not None:
            for block in stream.blocks():
                yield from every.on(block, layout, carried)


def _told(end: str, first: Fault, found: Sequence[Fault]) -> tuple[Fault, ...]:
    """Put the faults of a row in their order, each once, the one that decided it first.

    What is graver than the row's end has been accepted with it. Of a withdrawn row there is nothing to mend.
    """
    if first.code == WITHDRAWN_BY_AGENCY:
        return (first,)
    others = {one for one in found if one != first and _GRAVITY[BY_NAME[one.code].outcome.value] <= _GRAVITY[end]}
    return first, *sorted(others, key=lambda one: (RANK[one.code], one.column))


def _headed(fault: Fault, layout: Layout) -> Fault:
    """Name a column by its heading, also where a rule knows it by its declared name; "" for one that is not there.

    A row that stands twice is told of under the heading of whom it is about: that is what must be looked up.
    """
    name = layout.table.subject if fault.code == _TWICE and fault.column not in layout.uses else fault.column
    use = layout.uses.get(name)
    if use is not None:
        return Fault(fault.code, use.heading)
    known = any(one.heading == fault.column for one in layout.uses.values())
    return fault if known else Fault(fault.code, "")


def _hides_another(code: str) -> bool:
    return code != "" and RANK[code] < RANK[_TWICE]


def _standing_twice(outcome: TableOutcome, table: Table) -> dict[_Place, Fault]:
    """Look, among the rows that are records, for those that stand there before."""
    looked_at, kept = duplicates.rules(table), list[pd.DataFrame]()
    for frame in outcome.frames():
        names = ["sheet", "row_no", *duplicates.key(list(frame.columns), looked_at)]
        kept.append(frame[names][frame["outcome"] != _REJECTED])
    found: dict[_Place, Fault] = {}
    if kept:
        records = joined(kept)
        for check in looked_at:
            here = records[duplicates.again(records, check)]
            for sheet, row_no in here[["sheet", "row_no"]].itertuples(index=False):
                found[str(sheet), int(row_no)] = Fault(_TWICE, check.key[0])
    return found
