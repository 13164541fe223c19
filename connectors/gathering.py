"""One table, portion after portion: what each row is, and what must be known of all of them.

Portions are weighed by an executor (`weighing`), and what is found of them is gathered in their order. Of a row stays
here its verdict and one number that its key hashes to; the row itself is put aside (`sheaves`), so that a table of any
length takes little memory. How many portions may be under way is bounded for the same reason.

Not here: which sheets are one table (recognising), reading them block by block (normalise).
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import bases, duplicates, expectations, places, weighing
from connectors.bases import Asking
from connectors.chunk import Part, Portion
from connectors.delivery import Delivery, Progress, Stage
from connectors.duplicates import Hashes
from connectors.executors import Workers
from connectors.expectations import Control, SheetFigures
from connectors.layout import Layout
from connectors.mends import Mends, corrected
from connectors.outcomes import FEWEST_PEOPLE, TableOutcome
from connectors.schemes import Scheme
from connectors.sheaves import Sheaf, Sheaves
from connectors.source import Declarations, Source, Table
from connectors.verdict import Mask, Verdict
from connectors.weighed import AMOUNT, Rows, joined
from connectors.weighing import Rules, Weighed
from registry.basis import BasisOf


@dataclass(frozen=True, slots=True)
class How:
    """What an evaluation rests on, as `normalise.evaluate` is told it."""

    known: Declarations
    as_of: date
    basis_of: BasisOf
    rating_schemes: Sequence[Scheme]
    chunk_rows: int
    delivery: Delivery
    mended: Mapping[str, Mends]
    progress: Callable[[Progress], None]
    workers: Workers


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A portion that is being weighed: its sheet's figures, and how many rows are read with it."""

    figures: SheetFigures
    rows: npt.NDArray[np.int64]
    read: int
    weighed: Future[Weighed]


class Gathering:
    """One table. Sheets are begun, portions of them added, and the table ended, in this order."""

    def __init__(self, part: Part, label: str, how: How, aside: Sheaves, executor: Executor) -> None:
        """Begin with what the first sheet says of itself; `executor` weighs portions."""
        found = part.layout
        self._first, self._label, self._how, self._executor = part, label, how, executor
        self._table, self._declared = found.table, found.source
        self._kind = how.known.catalogue.kinds[found.table.kind]
        self._mends = how.mended.get(label, ())
        self._rules = Rules(
            dict(self._kind.fields), label, how.as_of, list(how.rating_schemes), duplicates.fresh_salt()
        )
        self._laid_out, self._cells, self._bases = aside, aside.fresh(), aside.fresh()
        self._under_way: deque[_UnderWay] = deque()
        self._places: list[Part] = []  # of each portion, without its rows
        self._several: list[Mapping[int, tuple[str, ...]]] = []
        self._verdicts: list[Verdict] = []
        self._hashes: list[Hashes] = []
        self._figures: list[SheetFigures] = []
        self._layouts: list[Layout] = []
        self._filled: Counter[str] = Counter()
        self._furniture: Counter[str] = Counter()
        self._projects: set[str] = set()
        self._met: set[int] = set()
        self._rows = self._good = 0

    def begin(self, part: Part | None = None) -> SheetFigures:
        """Begin a sheet."""
        sheet = part or self._first
        here = len(self._cells)
        found = SheetFigures(sheet, lambda name: self._texts(name, here, sheet.grid.place))
        self._figures.append(found)
        self._layouts.append(sheet.layout)
        return found

    def furnish(self, furniture: Mapping[str, int]) -> None:
        """Count rows that are no data."""
        self._furniture.update(furniture)

    def add(self, part: Part, first: int, last: int, read: int) -> None:
        """Weigh the data rows from `first` to `last` of a part of the sheet begun last; `read` are known so far."""
        mended = replace(part, grid=corrected(part.grid, part.layout, self._mends)) if self._mends else part
        portion = Portion.of(mended, first, last)
        self._cells.add(portion.cells)
        self._places.append(part.bare())
        weighed = self._executor.submit(weighing.weigh, portion, self._rules)  # 3
        self._under_way.append(_UnderWay(self._figures[-1], portion.rows, read, weighed))
        while len(self._under_way) > self._how.workers.ahead:
            self._gather(self._under_way.popleft())

    def _gather(self, one: _UnderWay) -> None:
        """Take what was found of the next portion."""
        found = one.weighed.result()
        one.figures.add(one.rows, found.figures)
        self._filled.update(found.filled)
        self._several.append(found.several)
        self._verdicts.append(found.verdict)
        self._projects |= found.projects
        self._hashes.append(found.hashes)
        if len(self._met) < FEWEST_PEOPLE:
            self._met |= found.people
        self._laid_out.add(found.laid_out)
        self._rows += len(one.rows)
        self._good += int(found.verdict.held.sum())
        self._how.progress(Progress(Stage.CHECKING, read=one.read, checked=self._rows, accepted=self._good))

    def ended(self) -> TableOutcome:
        """Say what becomes of the table, all portions added."""
        while self._under_way:
            self._gather(self._under_way.popleft())
        controls = tuple(expectations.controls(self._figures, self._table.amount))
        amounts = [one.total(self._table.amount) for one in self._figures if self._table.amount in one.names]
        said = _Said(
            self._label, self._kind.code, self._declared, self._only_project(), self._how.as_of, self._first,
            dict(self._furniture), controls, self._rows, self._how.delivery, sum(amounts) if amounts else None,
        )  # fmt: skip
        blocked = _blocked(self._layouts, controls, self._filled, self._rows, self._table)  # 5
        if blocked or not self._rows:
            return replace(_outcome(said, blocked), people=self._people)
        unheld, starts = self._based()  # 4
        verdict = Verdict.joined(self._verdicts)
        self._verdicts = []
        self._duplicates(verdict, starts)
        ordinals = self._ordinals(starts) if "ordinal" in self._kind.fields else None
        held = Rows(self._laid_out, self._bases, self._cells, self._places, verdict, starts, self._kind, ordinals)
        if self._mends:
            held.decide(self._mends)
        apparent = {end: dict(codes) for end, codes in verdict.tally().items() if codes}
        verdict.mark("NO_CONSENT", unheld, "")
        decided = _decided(said, verdict, held, self._table)
        return replace(decided, apparent=apparent, people=self._people)

    def _based(self) -> tuple[Mask, list[int]]:
        """Step 4, portion by portion: put bases aside; give which rows have none, and where portions begin."""
        asking = Asking(self._kind, self._declared, self._how.as_of, self._how.basis_of)
        unheld, starts = list[Mask](), [0]
        for number, verdict in enumerate(self._verdicts):
            subjects = self._laid_out.get(number, ("subject_kind", duplicates.SUBJECT, self._table.amount))
            found, without = bases.given(subjects, verdict.rejected, self._several[number], asking)
            if self._table.amount in subjects:
                found[AMOUNT] = subjects[self._table.amount]
            self._bases.add(Sheaf(found))
            unheld.append(without)
            starts.append(starts[-1] + len(subjects))
        return np.concatenate(unheld), starts

    @property
    def _people(self) -> int:
        """How many persons the table speaks of, or as many as make it many."""
        return min(len(self._met), FEWEST_PEOPLE)

    def _only_project(self) -> str | None:
        return next(iter(self._projects)) if len(self._projects) == 1 else None

    def _texts(self, name: str, first: int, place: str) -> list[str]:
        """Give the cells of a column in all rows of one sheet, from the portion it began with."""
        found: list[str] = []
        for number in range(first, len(self._cells)):
            part = self._places[number]
            if part.grid.place == place and name in part.layout.uses:
                index = str(part.layout.uses[name].index)
                found += self._cells.get(number, (index,))[index].str.strip().tolist()
        return found

    def _duplicates(self, verdict: Verdict, starts: Sequence[int]) -> None:
        """Find the same subject with the same key again, among rows that are records; the first stays."""
        checks = duplicates.rules(self._table)
        if not checks:
            return
        hashes = np.concatenate(self._hashes)
        self._hashes = []  # eight bytes a row that are not held twice
        rows = duplicates.alike(hashes, verdict.rejected)
        del hashes
        if not len(rows):
            return
        looked_at = self._at(rows, starts, lambda names: duplicates.key(names, checks))
        for check in checks:
            again = np.zeros(len(verdict.rank), dtype=bool)
            again[rows] = duplicates.again(looked_at, check) & ~verdict.rejected[rows]
            verdict.mark("DUPLICATE_IN_BATCH", again, check.key[0])

    def _ordinals(self, starts: Sequence[int]) -> "pd.Series[int]":
        """Number rows that are alike in everything that makes their identity, so that two equal tractors stay two."""
        names = [duplicates.SUBJECT, *self._kind.identity]
        whole = self._at(np.arange(starts[-1]), starts, lambda there: [name for name in names if name in there])
        return (whole.groupby(list(whole), dropna=False, sort=False).cumcount() + 1).astype("Int64")

    def _at(
        self, rows: "npt.NDArray[np.intp]", starts: Sequence[int], of: Callable[[Sequence[str]], list[str]]
    ) -> pd.DataFrame:
        """Give some columns of rows of the table, by their places in it in order."""
        found = []
        for number in range(len(self._laid_out)):
            here = rows[np.searchsorted(rows, starts[number]) : np.searchsorted(rows, starts[number + 1])]
            if len(here):
                names = of(self._laid_out.names(number))
                found.append(self._laid_out.get(number, names)[names].iloc[here - starts[number]])
        return joined(found)


@dataclass(frozen=True, slots=True)
class _Said:
    label: str
    kind: str
    declared: Source
    project: str | None
    as_of: date
    first: Part
    furniture: Mapping[str, int]
    controls: tuple[Control, ...]
    rows: int
    delivery: Delivery
    stated_fen: int | None


def _outcome(said: _Said, blocked: str | None, **decided: object) -> TableOutcome:
    first = said.first
    return TableOutcome(
        label=said.label,
        rows=said.rows,
        as_of=first.context.as_of or said.as_of.isoformat(),
        source=said.declared.source,
        publisher=_publisher(said.declared, first),
        class_code=said.declared.class_code,
        kind=said.kind,
        project=said.project,
        quality=said.delivery.quality(said.declared.quality),
        blocked=blocked,
        unread=first.layout.unread,
        controls=said.controls,
        stated_fen=said.stated_fen,
        furniture=said.furniture,
        **decided,  # type: ignore[arg-type]  # the fields of a decided table, named where they are made
    )


def _publisher(declared: Source, part: Part) -> str:
    """Say who sends a table: the unit that its fill-unit row names, else the county's office of the declaration."""
    return part.context.publisher or f"{places.county_name(part.context.county)}{declared.publisher}"


def _blocked(
    layouts: Sequence[Layout],
    controls: Sequence[Control],
    filled: Mapping[str, int],
    total: int,
    table: Table,
) -> str | None:
    if any(one.side_by_side for one in layouts):
        return "TABLES_SIDE_BY_SIDE"
    if not all(control.agrees for control in controls):
        return "TOTAL_MISMATCH"
    if any(one.unit_unknown for one in layouts):
        return "UNIT_UNKNOWN"
    if expectations.underfilled(filled, total, table.filled):
        return "EXPECTATION_MISSED"
    return None


def _decided(said: _Said, verdict: Verdict, held: Rows, table: Table) -> TableOutcome:
    tally = verdict.tally()
    by_outcome = {end: {code: n for code, n in codes.items() if code} for end, codes in tally.items()}
    return _outcome(
        said,
        None,
        counts={end: sum(codes.values()) for end, codes in tally.items()},
        codes={end: codes for end, codes in by_outcome.items() if codes},
        amount_fen=held.amount() if table.amount else None,
        held=held,
    )
