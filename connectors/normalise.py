"""From a file's bytes to what becomes of its rows: tables, verdicts, records to be. Pure: no database, no clock.

Steps (intake's steps 2 to 5; the numbers are those of docs/architecture.md):
  2. read: bytes → sheets, each with its layout (`reading`); sheets of one declaration and header are one table
     (`recognising`)
  3. normalise: each row cleaned and checked, portion by portion, by an executor (`weighing`); duplicates over the whole
     table (`gathering`)
  4. basis: a person's row without one loses everything but the count, one with a narrower one the fields beyond it
     (`bases`)
  5. expectations: totals, counts, fill rates, units; a table that misses them is blocked whole

`basis_of` is handed in; what it says is all that is known here of consents.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final

from connectors import layout, reading, recognising, rows, schemes, source
from connectors.delivery import BY_COMMAND, Delivery, Progress, Stage
from connectors.errors import FileUnreadable
from connectors.executors import IN_PROCESS, Workers
from connectors.gathering import Gathering, How
from connectors.grids import Grid
from connectors.labels import of_table
from connectors.mends import Mends
from connectors.outcomes import FEWEST_PEOPLE, TableOutcome, tells_of_nobody
from connectors.recognising import Sheet
from connectors.schemes import Scheme
from connectors.sheaves import InMemory, Sealed
from registry.basis import BasisOf

__all__ = ["CHUNK_ROWS", "FEWEST_PEOPLE", "TableOutcome", "beginnings", "evaluate", "tells_of_nobody"]

CHUNK_ROWS: Final = 100_000
_HEAD_ROWS: Final = 2_000  # of a sheet's first block: what its layout is told by
NOTHING_MENDED: Final[Mapping[str, Mends]] = {}


def evaluate(  # noqa: PLR0913  # what it rests on is handed in
    raw: reading.Source,
    name: str,
    *,
    as_of: date,
    basis_of: BasisOf,
    declarations: source.Declarations | None = None,
    rating_schemes: Sequence[Scheme] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    delivery: Delivery = BY_COMMAND,
    mended: Mapping[str, Mends] = NOTHING_MENDED,
    progress: Callable[[Progress], None] = lambda _: None,
    workers: Workers = IN_PROCESS,
) -> list[TableOutcome]:
    """Say what becomes of every table of a file; empty for a file that holds no table of ours.

    Args:
        raw: the file's bytes.
        name: the file's name, without folders; tables are labelled by it.
        as_of: the intake date (a day in Beijing), at which a basis must stand.
        basis_of: answers, for one kind and many resident IDs, which basis each has.
        declarations: sources to recognise; those of the release by default.
        rating_schemes: rating schemes; those of the release by default.
        chunk_rows: how many rows of a file that is laid out whole are cleaned at once.
        delivery: how the file came.
        mended: what people decided of single rows, by table label.
        progress: told how far it has come.
        workers: who cleans and checks; bases are asked for in this process only.
    """
    known = _for_source(declarations or source.current(), delivery.source)
    told = rating_schemes or schemes.current()
    how = How(known, as_of, basis_of, told, chunk_rows, delivery, mended, progress, workers)
    progress(Progress(Stage.READING))
    if not reading.is_table(raw, name):
        return []
    try:
        if reading.is_long(raw, name):
            return _weighed(_begun(raw, name), name, how)
        grids = reading.read(reading.whole(raw), name)  # 2
    except FileUnreadable:
        return [TableOutcome(name, 0, blocked="FILE_UNREADABLE")]
    return _weighed(_Read(grids, sum(grid.height for grid in grids)), name, how)


@dataclass(frozen=True, slots=True)
class _Read:
    """Sheets, whole or as they begin, and how the latter go on, by number; about how many rows there are in all."""

    grids: Sequence[Grid]
    expected: int
    blocks: Mapping[int, Callable[[], Iterator[Grid]]] | None = None


def _weighed(read: _Read, name: str, how: How) -> list[TableOutcome]:
    """Weigh sheets: each whole, or block by block after what it begins with.

    Raises:
        FileUnreadable: a block further down cannot be read; then nothing of the file counts.
    """
    known, mapping = how.known, how.delivery.mapping
    ours = [grid for grid in read.grids if layout.elsewhere(grid, known) is None]
    if read.grids and not ours:
        return []
    sheets, strangers = recognising.recognised(ours, known, name, mapping)
    tables = recognising.grouped(sheets)
    plain = recognising.recognised(ours, known, name, layout.NOTHING_MAPPED) if mapping else (sheets, strangers)
    labels = recognising.labels(recognising.grouped(plain[0]), plain[1], name)
    outcomes = []
    with how.workers.executor(read.expected if tables else 0) as executor:
        for members in tables:
            label = recognising.label(members, labels, name)
            if read.blocks is None:
                outcomes.append(_table(members, label, how, executor))
            else:
                outcomes.append(_streamed(members, read.blocks, label, how, executor))
    outcomes += [
        TableOutcome(labels.get(grid.place, of_table(name, grid.sheet, grid.number)), 0, blocked="HEADER_UNKNOWN")
        for grid in strangers
    ]
    return outcomes or [TableOutcome(name, 0, blocked="HEADER_UNKNOWN")]


def beginnings(raw: reading.Source, name: str = "") -> tuple[list[Grid], dict[int, reading.Stream]]:
    """Read what the sheets of a long file begin with, their headers among it; and how to read them, by number."""
    streams = {one.number: one for one in reading.streams(raw, name)}  # 2
    firsts = (next(one.blocks(), None) for one in streams.values())
    return [first.head(_HEAD_ROWS) for first in firsts if first is not None], streams


def _begun(raw: reading.Source, name: str) -> _Read:
    """Begin to read a long file. Where there is one sheet, its first block is read once and kept."""
    streams = reading.streams(raw, name)  # 2
    heads, blocks, expected = [], {one.number: one.blocks for one in streams}, 0
    for one in streams:
        rest = one.blocks()
        first = next(rest, None)
        if first is None:
            continue
        heads.append(first.head(_HEAD_ROWS))
        expected += one.expected(first)
        if len(streams) == 1:
            blocks[one.number] = partial(_from, [first], rest)
    return _Read(heads, expected, blocks)


def _from(first: list[Grid], rest: Iterator[Grid]) -> Iterator[Grid]:
    yield first.pop()
    yield from rest


def _streamed(
    members: Sequence[Sheet],
    blocks: Mapping[int, Callable[[], Iterator[Grid]]],
    label: str,
    how: How,
    executor: Executor,
) -> TableOutcome:
    """Weigh a long table block by block."""
    gathering, read = Gathering(members[0].part.bare(), label, how, Sealed(), executor), 0
    for sheet in members:
        part, found = sheet.part.bare(), sheet.part.layout
        figures, sorter = gathering.begin(part), rows.Sorter(sheet.part.grid, found)
        carried: rows.Carried = {}
        for block in blocks[part.grid.number]():
            grid = rows.fill_down(block, found, carried)
            body = rows.body(grid, found, sorter)
            figures.expect(body.controls)
            gathering.furnish(body.furniture)
            read += len(body.data)
            gathering.add(replace(part, grid=grid, data=body.data), 0, len(body.data), read)
    return gathering.ended()


def _table(members: Sequence[Sheet], label: str, how: How, executor: Executor) -> TableOutcome:
    """Weigh a table that is laid out whole."""
    total = sum(len(one.part.data) for one in members)
    gathering = Gathering(members[0].part, label, how, InMemory(), executor)
    for sheet in members:
        figures = gathering.begin(sheet.part)
        figures.expect(sheet.controls)
        gathering.furnish(sheet.furniture)
        for first in range(0, len(sheet.part.data), how.chunk_rows):
            gathering.add(sheet.part, first, first + how.chunk_rows, total)
    return gathering.ended()


def _for_source(known: source.Declarations, code: str) -> source.Declarations:
    """Leave only the declaration that a file was fetched for; all of them for a file that came unasked."""
    chosen = tuple(one for one in known.sources if one.source == code)
    return replace(known, sources=chosen) if chosen else known
