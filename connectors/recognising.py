"""Sheets → tables: which sheets a declaration knows, which of them are one table, and by what labels batches are known.

Labels come from what headings say by themselves: what a sender says of its headings later makes tables out of
strangers, but must not give another table another label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from connectors import layout, places, rows, source
from connectors.chunk import Part
from connectors.grids import Grid
from connectors.labels import of_table
from connectors.rows import ControlRow


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that a declaration knows, the totals in it, and how many of its rows are no data, by what they are."""

    part: Part
    controls: tuple[ControlRow, ...]
    furniture: Mapping[str, int]


def recognised(
    grids: Sequence[Grid], known: source.Declarations, name: str, mapping: Mapping[str, str]
) -> tuple[list[Sheet], list[Grid]]:
    """Lay out the sheets that are known by their headings or by `mapping`; give the others as they are."""
    sheets, strangers = [], []
    for grid in grids:
        found = layout.find(grid, known, name, mapping)
        if found is None:
            strangers.append(grid)
            continue
        filled = rows.fill_down(grid, found)
        body = rows.body(filled, found)
        context = places.context(found.preamble, grid.sheet, name)
        sheets.append(Sheet(Part(filled, found, body.data, context), body.controls, body.furniture))
    return sheets, strangers


def grouped(sheets: Sequence[Sheet]) -> list[list[Sheet]]:
    """Put sheets of the same declaration and the same header together, in the order of the file."""

    def header(sheet: Sheet) -> tuple[str, str, tuple[str, ...]]:
        found = sheet.part.layout
        return found.source.source, found.table.kind, tuple(sorted(found.uses))

    first = {key: at for at, key in reversed(list(enumerate(map(header, sheets))))}
    ordered = sorted(sheets, key=lambda sheet: first[header(sheet)])
    return [list(members) for _, members in groupby(ordered, key=header)]


def labels(tables: Sequence[Sequence[Sheet]], strangers: Sequence[Grid], name: str) -> dict[str, str]:
    """Label tables, by the place of the sheet they begin on, and sheets that nobody knows."""
    several = len(tables) + (0 if tables else len(strangers)) > 1
    first = [members[0].part.grid for members in tables]
    by_place = {grid.place: _of(name, grid) if several else name for grid in first}
    return by_place | {grid.place: _of(name, grid) if several or tables else name for grid in strangers}


def label(members: Sequence[Sheet], by_place: Mapping[str, str], name: str) -> str:
    """Give the label of the first sheet of a table that has one; tables by themselves go before strangers."""
    found = [by_place[one.part.grid.place] for one in members if one.part.grid.place in by_place]
    return name if name in found else found[0] if found else _of(name, members[0].part.grid)


def _of(name: str, grid: Grid) -> str:
    return of_table(name, grid.sheet, grid.number)
