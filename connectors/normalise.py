"""From a file's bytes to what becomes of its rows: tables, verdicts, records to be. Pure: no database, no clock.

Steps (intake's steps 2 to 5; the numbers are those of docs/architecture.md):
  2. read: bytes → sheets, each with its layout; sheets of one declaration and header are one table
  3. normalise: each row cleaned and checked, chunk by chunk (`cells`, `checks`); duplicates over the whole table
  4. basis: a person's row without one loses everything but the count, one with a narrower one the fields beyond it
  5. expectations: totals, counts, fill rates, units; a table that misses them is blocked whole

`basis_of` is handed in; what it says is all that is known here of consents.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cells, checks, expectations, frames, layout, places, reading, rows, schemes, source
from connectors.cells import Part
from connectors.delivery import BY_COMMAND, Delivery, Progress, Stage
from connectors.errors import FileUnreadable
from connectors.expectations import Control, SheetFigures
from connectors.mends import Mends, corrected
from connectors.rows import ControlRow
from connectors.schemes import Scheme
from connectors.sheaves import InMemory, Sealed, Sheaves
from connectors.verdict import Mask, Verdict
from connectors.weighed import QuarantinedRow, Rows, bare, joined, taken
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import Kind
from registry.identifiers import SubjectKind
from registry.suites import random_bytes

CHUNK_ROWS: Final = 100_000
_HEAD_ROWS: Final = 2_000  # of a sheet's first block: what its layout is told by
NOTHING_MENDED: Final[Mapping[str, Mends]] = {}
FEWEST_PEOPLE: Final = 10  # of fewer a figure would speak of persons
_INSTALMENT: Final = "instalment"
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)  # tells the columns of a key apart


def tells_of_nobody(people: int) -> bool:
    """Say whether a figure over the rows of so many persons is about none of them."""
    return people == 0 or people >= FEWEST_PEOPLE


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table.

    Rows are in `held`, and gone with it. `frame` has a row
    for every data row except those without a basis, of which only `counts` knows: row_no (from 1,
    in its sheet), sheet, outcome, code, column, subject_kind, subject_id, basis, period, valid_from, valid_to, and
    the kind's fields by catalogue name (fen, 1/10000 亩, ISO dates; missing is NA). Of a rejected row subject and
    fields are NA. `covered` names the fields that the basis of a row covers (NA: all); the others are NA in it, and
    if they tell its identity they stand beside it (`frames.TOLD`), which is not stored. Of a blocked table it is
    empty. `uncovered` are persons without a basis: to be forgotten by the caller once what was held of them is
    frozen. `stated_fen` is what the amounts of all data rows add up to, held or not; None without such a column.

    `apparent` is how rows would end by code had everybody consented: it follows from the file alone, and is what its
    sender may be told. `people` is of how many persons it speaks, `FEWEST_PEOPLE` standing
    for any number beyond.
    """

    label: str
    rows: int
    as_of: str = ""
    source: str | None = None
    publisher: str | None = None
    class_code: str | None = None
    kind: str | None = None
    project: str | None = None
    quality: str = "D"
    blocked: str | None = None
    unread: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    amount_fen: int | None = None
    stated_fen: int | None = None
    controls: tuple[Control, ...] = ()
    furniture: Mapping[str, int] = field(default_factory=dict)
    apparent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    people: int = 0
    held: "Rows | None" = field(default=None, repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows in one frame. Of a long table this is large: go through `frames` instead."""
        return pd.DataFrame() if self.held is None else self.held.whole

    @property
    def quarantined(self) -> tuple[QuarantinedRow, ...]:
        """All rows that a person must decide."""
        return tuple(row for _, rows_ in self.parts() for row in rows_)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """All persons without a basis, each once."""
        return tuple(dict.fromkeys(text for texts in self.without() for text in texts))

    @property
    def tells_of_nobody(self) -> bool:
        """Whether figures over the whole table are about no person: it speaks of none, or of many."""
        return tells_of_nobody(self.people)

    @property
    def kept(self) -> int:
        """How many rows something is kept of: all but those without a basis."""
        return 0 if self.held is None else self.rows - self.codes.get("rejected", {}).get("NO_CONSENT", 0)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Give the rows frame by frame, of some ten thousand rows each, in their order."""
        return iter(()) if self.held is None else self.held.frames()

    def parts(self) -> Iterator[tuple[pd.DataFrame, list[QuarantinedRow]]]:
        """Give the rows frame by frame, each with those of its rows that a person must decide."""
        return iter(()) if self.held is None else self.held.parts()

    def without(self) -> Iterator[list[str]]:
        """Give persons without a basis, some ten thousand at a time; one may come again."""
        return iter(()) if self.held is None else self.held.without()

    def bare(self) -> "TableOutcome":
        """Give what may be kept of it: no rows, nobody."""
        return replace(self, held=None)


@dataclass(frozen=True, slots=True)
class _Sheet:
    part: Part
    controls: tuple[ControlRow, ...]
    furniture: Mapping[str, int]


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
) -> list[TableOutcome]:
    """Say what becomes of every table of a file; empty for a file that holds no table of ours.

    Args:
        raw: the file's bytes.
        name: the file's name, without folders; tables are labelled by it.
        as_of: the intake date (a day in Beijing), at which a basis must stand.
        basis_of: answers, for one kind and many resident IDs, which basis each has.
        declarations: sources to recognise; those of the release by default.
        rating_schemes: rating schemes; those of the release by default.
        chunk_rows: how many rows are cleaned at once.
        delivery: how the file came.
        mended: what people decided of single rows, by table label.
        progress: told how far it has come.
    """
    known = _for_source(declarations or source.current(), delivery.source)
    how = _How(known, as_of, basis_of, rating_schemes or schemes.current(), chunk_rows, delivery, mended, progress)
    progress(Progress(Stage.READING))
    if not reading.is_table(raw, name):
        return []
    try:
        if reading.is_long(raw, name):
            return _weighed(*beginnings(raw), name, how)
        grids = reading.read(reading.whole(raw), name)  # 2
    except FileUnreadable:
        return [TableOutcome(name, 0, blocked="FILE_UNREADABLE")]
    return _weighed(grids, {}, name, how)


def _weighed(
    grids: Sequence[reading.Grid], streams: Mapping[int, reading.Stream], name: str, how: "_How"
) -> list[TableOutcome]:
    """Weigh sheets: each whole, or, where `streams` has its number, block by block after what it begins with.

    Raises:
        FileUnreadable: a block further down cannot be read; then nothing of the file counts.
    """
    known, mapping = how.known, how.delivery.mapping
    ours = [grid for grid in grids if layout.elsewhere(grid, known) is None]
    if grids and not ours:
        return []
    sheets, strangers = _recognise(ours, known, name, mapping)
    tables = _grouped(sheets)
    plain = _recognise(ours, known, name, layout.NOTHING_MAPPED) if mapping else (sheets, strangers)
    labels = _labels(_grouped(plain[0]), plain[1], name)
    labelled = [(members, _label(members, labels, name)) for members in tables]
    outcomes = [
        _streamed(members, streams, label, how) if streams else _table(members, label, how)
        for members, label in labelled
    ]
    outcomes += [
        TableOutcome(labels.get(grid.place, f"{name}#{grid.sheet}"), 0, blocked="HEADER_UNKNOWN") for grid in strangers
    ]
    return outcomes or [TableOutcome(name, 0, blocked="HEADER_UNKNOWN")]


@dataclass(frozen=True, slots=True)
class _How:
    """What an evaluation rests on, as `evaluate` is told it."""

    known: source.Declarations
    as_of: date
    basis_of: BasisOf
    rating_schemes: Sequence[Scheme]
    chunk_rows: int
    delivery: Delivery
    mended: Mapping[str, Mends]
    progress: Callable[[Progress], None]


def beginnings(raw: reading.Source) -> tuple[list[reading.Grid], dict[int, reading.Stream]]:
    """Read what the sheets of a long file begin with, their headers among it; and how to read them, by number."""
    streams = {one.number: one for one in reading.streams(raw)}  # 2
    firsts = (next(one.blocks(), None) for one in streams.values())
    return [first.head(_HEAD_ROWS) for first in firsts if first is not None], streams


def _streamed(members: Sequence[_Sheet], streams: Mapping[int, reading.Stream], label: str, how: _How) -> TableOutcome:
    """Weigh a long table block by block."""
    gathering, read = _Gathering(bare(members[0].part), label, how, Sealed()), 0
    for sheet in members:
        part, found = bare(sheet.part), sheet.part.layout
        figures, sorter = gathering.begin(part), rows.Sorter(sheet.part.grid, found)
        carried: rows.Carried = {}
        for block in streams[part.grid.number].blocks():
            grid = rows.fill_down(block, found, carried)
            body = rows.body(grid, found, sorter)
            figures.expect(body.controls)
            gathering.furnish(body.furniture)
            read += len(body.data)
            gathering.add(replace(part, grid=grid, data=body.data), 0, len(body.data), read)
    return gathering.ended()


def _for_source(known: source.Declarations, code: str) -> source.Declarations:
    """Leave only the declaration that a file was fetched for; all of them for a file that came unasked."""
    chosen = tuple(one for one in known.sources if one.source == code)
    return replace(known, sources=chosen) if chosen else known


def _recognise(
    grids: Sequence[reading.Grid], known: source.Declarations, name: str, mapping: Mapping[str, str]
) -> tuple[list[_Sheet], list[reading.Grid]]:
    sheets, strangers = [], []
    for grid in grids:
        found = layout.find(grid, known, name, mapping)
        if found is None:
            strangers.append(grid)
            continue
        filled = rows.fill_down(grid, found)
        body = rows.body(filled, found)
        context = places.context(found.preamble, grid.sheet, name)
        sheets.append(_Sheet(Part(filled, found, body.data, context), body.controls, body.furniture))
    return sheets, strangers


def _grouped(sheets: Sequence[_Sheet]) -> list[list[_Sheet]]:
    """Put sheets of the same declaration and the same header together, in the order of the file."""

    def header(sheet: _Sheet) -> tuple[str, str, tuple[str, ...]]:
        found = sheet.part.layout
        return found.source.source, found.table.kind, tuple(sorted(found.uses))

    first = {key: at for at, key in reversed(list(enumerate(map(header, sheets))))}
    ordered = sorted(sheets, key=lambda sheet: first[header(sheet)])
    return [list(members) for _, members in groupby(ordered, key=header)]


def _labels(tables: Sequence[Sequence[_Sheet]], strangers: Sequence[reading.Grid], name: str) -> dict[str, str]:
    """Label tables, by the place of the sheet they begin on, and sheets that nobody knows.

    Labels come from what headings say by themselves. What a sender says of its headings later makes tables out of
    strangers; it must not give another table another label, for a batch is known by its label.
    """
    several = len(tables) + (0 if tables else len(strangers)) > 1
    first = [members[0].part.grid for members in tables]
    labels = {grid.place: f"{name}#{grid.sheet}" if several else name for grid in first}
    return labels | {grid.place: f"{name}#{grid.sheet}" if several or tables else name for grid in strangers}


def _label(members: Sequence[_Sheet], labels: Mapping[str, str], name: str) -> str:
    """Give the label of the first sheet of a table that has one; tables by themselves go before strangers."""
    found = [labels[one.part.grid.place] for one in members if one.part.grid.place in labels]
    return name if name in found else found[0] if found else f"{name}#{members[0].part.grid.sheet}"


def _table(members: Sequence[_Sheet], label: str, how: _How) -> TableOutcome:
    total = sum(len(one.part.data) for one in members)
    gathering = _Gathering(members[0].part, label, how, InMemory())
    for sheet in members:
        figures = gathering.begin(sheet.part)
        figures.expect(sheet.controls)
        gathering.furnish(sheet.furniture)
        for first in range(0, len(sheet.part.data), how.chunk_rows):
            gathering.add(sheet.part, first, first + how.chunk_rows, total)
    return gathering.ended()


class _Gathering:
    """One table, chunk after chunk: what each row is, and what must be known of all of them.

    Of a row stays here its verdict, its amount and one number that its key hashes to; the row itself is put aside
    (`sheaves`), so that a table of any length takes little memory.
    """

    def __init__(self, part: Part, label: str, how: _How, aside: Sheaves) -> None:
        found = part.layout
        self._first, self._label, self._how = part, label, how
        self._table, self._declared = found.table, found.source
        self._kind = how.known.catalogue.kinds[found.table.kind]
        self._mends = how.mended.get(label, ())
        self._laid_out, self._cells = aside, aside.fresh()
        self._places: list[Part] = []  # of each chunk, without its rows
        self._several: list[Mapping[int, tuple[str, ...]]] = []
        self._verdicts: list[Verdict] = []
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._hash_key = random_bytes(8).hex()
        self._figures: list[SheetFigures] = []
        self._layouts: list[layout.Layout] = []
        self._filled: Counter[str] = Counter()
        self._furniture: Counter[str] = Counter()
        self._projects: set[str] = set()
        self._rows = self._good = 0
        self._met: set[int] = set()

    def begin(self, part: Part | None = None) -> SheetFigures:
        """Begin a sheet."""
        sheet = part or self._first
        here = len(self._laid_out)
        found = SheetFigures(sheet, lambda name: self._texts(name, here, sheet.grid.place))
        self._figures.append(found)
        self._layouts.append(sheet.layout)
        return found

    def furnish(self, furniture: Mapping[str, int]) -> None:
        """Count rows that are no data."""
        self._furniture.update(furniture)

    def add(self, part: Part, first: int, last: int, read: int) -> None:
        """Weigh the data rows from `first` to `last` of a part of the sheet begun last; `read` are known so far."""
        part = _corrected(part, self._mends)
        how = self._how
        chunk = cells.clean(part, first, last, as_of=how.as_of, projects=self._declared.projects)  # 3
        checks.run(chunk, as_of=how.as_of, schemes=how.rating_schemes)
        frame = frames.lay_out(chunk, part, self._kind, self._label, how.as_of)
        figures = self._figures[-1]
        above = part.grid.first_row - 1
        figures.add(chunk.rows + above, {name: column.units for name, column in chunk.figures.items()})
        self._filled.update(chunk.filled)
        self._several.append(chunk.several)
        self._verdicts.append(chunk.verdict)
        if "project" in frame and len(self._projects) < 2:  # noqa: PLR2004  # one, or not one
            self._projects.update(str(one) for one in frame["project"].dropna().unique() if one)
        self._keys.append(self._key_of(frame))
        self._meet(frame, chunk.verdict)
        self._laid_out.add(frame)
        uses = {use.index for use in part.layout.uses.values()}
        self._cells.add(pd.DataFrame({str(at): taken(part.grid.columns[at], chunk.rows) for at in sorted(uses)}))
        self._places.append(bare(part))
        self._rows += len(chunk)
        self._good += int(chunk.verdict.held.sum())
        how.progress(Progress(Stage.CHECKING, read=read, checked=self._rows, accepted=self._good))

    def ended(self) -> TableOutcome:
        """Say what becomes of the table, all chunks added."""
        controls = tuple(expectations.controls(self._figures, self._table.amount))
        amounts = [one.total(self._table.amount) for one in self._figures if self._table.amount in one.names]
        said = _Said(
            self._label, self._kind.code, self._declared, self._only_project(), self._how.as_of, self._first,
            dict(self._furniture), controls, self._rows, self._how.delivery, sum(amounts) if amounts else None,
        )  # fmt: skip
        blocked = _blocked(self._layouts, controls, self._filled, self._rows, self._table)  # 5
        if blocked or not self._rows:
            return replace(_outcome(said, blocked), people=self._people)
        judged, starts = self._laid_out.fresh(), [0]
        unheld = list[Mask]()
        for number in range(len(self._laid_out)):
            frame = self._laid_out.get(number)
            bare_ = _basis(  # 4
                self._verdicts[number], frame, self._several[number], self._kind, self._how.as_of, self._how.basis_of,
                self._declared,
            )  # fmt: skip
            unheld.append(bare_)
            judged.add(frame)
            starts.append(starts[-1] + len(frame))
        verdict = Verdict.joined(self._verdicts)
        self._laid_out, self._verdicts = judged, []
        self._duplicates(verdict, starts)
        ordinals = self._ordinals(starts) if "ordinal" in self._kind.fields else None
        held = Rows(judged, self._cells, self._places, verdict, starts, self._kind, ordinals)
        if self._mends:
            held.decide(self._mends)
        apparent = {end: dict(codes) for end, codes in verdict.tally().items() if codes}
        verdict.mark("NO_CONSENT", np.concatenate(unheld), "")
        decided = _decided(said, verdict, held, self._table)
        return replace(decided, apparent=apparent, people=self._people)

    def _meet(self, frame: pd.DataFrame, verdict: Verdict) -> None:
        """Note of whom a chunk speaks; nothing changes any more once they are many."""
        if len(self._met) < FEWEST_PEOPLE:
            persons = (frame["subject_kind"] == SubjectKind.PERSON.value).to_numpy(dtype=bool) & ~verdict.rejected
            self._met.update(self._hashed(frame.loc[persons, "subject_id"].dropna(), few=False).tolist())

    @property
    def _people(self) -> int:
        """How many persons the table speaks of, or as many as make it many."""
        return min(len(self._met), FEWEST_PEOPLE)

    def _only_project(self) -> str | None:
        return next(iter(self._projects)) if len(self._projects) == 1 else None

    def _texts(self, name: str, first: int, place: str) -> list[str]:
        """Give the cells of a column in all rows of one sheet, from the chunk it began with."""
        found: list[str] = []
        for number in range(first, len(self._cells)):
            part = self._places[number]
            if part.grid.place == place and name in part.layout.uses:
                found += self._cells.get(number)[str(part.layout.uses[name].index)].str.strip().tolist()
        return found

    def _key(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Give what makes two rows the same one again; a date that the check names counts by its year."""
        names = {"subject_id": None, _INSTALMENT: None} | dict.fromkeys(
            name for check in self._table.checks if isinstance(check, source.Once) for name in check.key
        )
        return frame[[name for name in names if name in frame]]

    def _key_of(self, frame: pd.DataFrame) -> "npt.NDArray[np.uint64]":
        """Hash what rows that may be the same one again have in common: their subject and key but for the instalment.

        Several such rules have no more than the subject in common.
        """
        checks_ = [check for check in self._table.checks if isinstance(check, source.Once)]
        if not checks_:
            return np.zeros(0, dtype=np.uint64)
        names = [name for name in checks_[0].key if name in frame and name != _INSTALMENT] if len(checks_) == 1 else []
        hashes = self._hashed(frame["subject_id"], few=False)
        for name in names:
            column = frame[name]
            column = column.str.slice(0, 4) if name in checks_[0].by_year else column
            hashes = hashes * _ODD + self._hashed(column, few=True)
        return hashes

    def _hashed(self, column: "pd.Series[str]", *, few: bool) -> "npt.NDArray[np.uint64]":
        texts = column.astype("str").fillna("").to_numpy(dtype=object)
        found: npt.NDArray[np.uint64] = pd.util.hash_array(texts, categorize=few, hash_key=self._hash_key)
        return found

    def _duplicates(self, verdict: Verdict, starts: Sequence[int]) -> None:
        """Find the same subject with the same key again, among rows that are records; the first stays.

        Only subjects whose hash occurs twice are looked at, by their cells.
        """
        checks_ = [check for check in self._table.checks if isinstance(check, source.Once)]
        if not checks_:
            return
        hashes = np.concatenate(self._keys)
        self._keys = []
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        if not len(twice):
            return
        places_ = np.flatnonzero(np.isin(hashes, twice) & ~verdict.rejected)
        if not len(places_):
            return
        looked_at = self._at(places_, starts, self._key)
        for check in checks_:
            again = np.zeros(len(verdict.rank), dtype=bool)
            again[places_] = _again(looked_at, check) & ~verdict.rejected[places_]
            verdict.mark("DUPLICATE_IN_BATCH", again, check.key[0])

    def _at(
        self, rows_: "npt.NDArray[np.intp]", starts: Sequence[int], of: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> pd.DataFrame:
        """Give rows of the table, by their places in it in order."""
        found = []
        for number in range(len(self._laid_out)):
            here = rows_[np.searchsorted(rows_, starts[number]) : np.searchsorted(rows_, starts[number + 1])]
            if len(here):
                found.append(of(self._laid_out.get(number)).iloc[here - starts[number]])
        return joined(found)

    def _ordinals(self, starts: Sequence[int]) -> "pd.Series[int]":
        """Number rows that are alike in everything that makes their identity, so that two equal tractors stay two."""
        names = ["subject_id", *self._kind.identity]
        whole = self._at(np.arange(starts[-1]), starts, lambda one: one[[name for name in names if name in one]])
        return (whole.groupby(list(whole), dropna=False, sort=False).cumcount() + 1).astype("Int64")


@dataclass(frozen=True, slots=True)
class _Said:
    label: str
    kind: str
    declared: source.Source
    project: str | None
    as_of: date
    first: Part
    furniture: Mapping[str, int]
    controls: tuple[Control, ...]
    rows: int
    delivery: Delivery
    stated_fen: int | None


def _corrected(part: Part, mends: Mends) -> Part:
    return replace(part, grid=corrected(part.grid, part.layout, mends)) if mends else part


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


def _publisher(declared: source.Source, part: Part) -> str:
    """Say who sends a table: the unit that its fill-unit row names, else the county's office of the declaration."""
    return part.context.publisher or f"{places.county_name(part.context.county)}{declared.publisher}"


def _blocked(
    layouts: Sequence[layout.Layout],
    controls: Sequence[Control],
    filled: Mapping[str, int],
    total: int,
    table: source.Table,
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


# ---- over the whole table -------------------------------------------------------------------------------------------


def _basis(  # what it rests on is handed in
    verdict: Verdict,
    frame: pd.DataFrame,
    several: Mapping[int, Sequence[str]],
    kind: Kind,
    as_of: date,
    basis_of: BasisOf,
    declared: source.Source,
) -> Mask:
    """Step 4: ask, once for each person, whether the rows may be held; say which may not.

    Organisations' data needs no consent. What may not be held is marked last (NO_CONSENT), so that what becomes of the
    other rows, and what the sender may be told of all of them, rests on the file alone.
    """
    person = (frame["subject_kind"] == "person").to_numpy(dtype=bool)
    asked = person & ~verdict.rejected
    basis = np.full(len(frame), Basis(BasisKind.ORGANISATION, declared.legal_basis).text, dtype=object)
    basis[person] = None
    covers = frames.Covers(len(frame))
    if kind.basis in {BasisKind.PUBLIC, BasisKind.STATUTE}:
        basis[:] = Basis(kind.basis, kind.legal_basis).text
    elif asked.any():
        numbers, people = pd.factorize(frame.loc[asked, "subject_id"])
        found: list[str | None] = []
        fields: list[frozenset[str] | None] = []
        for first in range(0, len(people), CHUNK_ROWS):
            wanted = people[first : first + CHUNK_ROWS].to_numpy(dtype=object).tolist()
            bases = basis_of(kind.code, wanted, as_of)
            found += _texts(bases)
            fields += [one.fields if one is not None else None for one in bases]
        basis[asked] = np.array(found, dtype=object)[numbers]
        covers.give(asked, numbers, fields)
        others = sorted({one for row, all_of_them in several.items() if asked[row] for one in all_of_them})
        known = dict(zip(others, basis_of(kind.code, others, as_of), strict=True)) if others else {}
        for row, all_of_them in several.items():
            agreed = [known.get(one) for one in all_of_them]
            basis[row] = None if None in agreed else basis[row]
            for one in agreed:
                covers.narrow(row, one.fields if one else None)
    frame["basis"] = pd.Series(basis, dtype="str")
    frame["covered"] = covers.column()
    without: Mask = asked & pd.isna(basis)
    return without


def _texts(bases: Sequence[Basis | None]) -> list[str | None]:
    """Write bases; many rows may share one, which is then written once."""
    numbers, _ = pd.factorize(np.fromiter(map(id, bases), dtype=np.uint64, count=len(bases)))
    _, first = np.unique(numbers, return_index=True)
    texts = [basis.text if (basis := bases[at]) else None for at in first]
    return np.array([*texts, None], dtype=object)[numbers].tolist() if texts else []


def _again(records: pd.DataFrame, check: source.Once) -> Mask:
    """Say which records are there before; an instalment tells two apart only where both state one."""
    records = records[["subject_id", *(name for name in check.key if name in records)]].copy()
    for name in set(check.by_year) & set(records):
        records[name] = records[name].str.slice(0, 4)
    twice: Mask = records.duplicated(keep="first").to_numpy()
    return twice | _instalment_unstated(records) if _INSTALMENT in records else twice


def _instalment_unstated(records: pd.DataFrame) -> Mask:
    """Find rows alike but for the instalment, where the row or one before it states none."""
    unstated = records[_INSTALMENT].isna()
    if not unstated.any():
        return np.zeros(len(records), dtype=bool)
    rest = records.drop(columns=_INSTALMENT)
    alike = rest.groupby(list(rest), dropna=False, sort=False).ngroup()
    before = unstated.astype("int64").groupby(alike).cumsum() - unstated.astype("int64")
    return (unstated & rest.duplicated(keep="first") | (before > 0)).to_numpy(dtype=bool)


def _decided(said: _Said, verdict: Verdict, held: "Rows", table: source.Table) -> TableOutcome:
    tally = verdict.tally()
    by_outcome = {end: {code: n for code, n in codes.items() if code} for end, codes in tally.items()}
    return _outcome(
        said,
        None,
        counts={end: sum(codes.values()) for end, codes in tally.items()},
        codes={end: codes for end, codes in by_outcome.items() if codes},
        amount_fen=held.amount(table.amount) if table.amount else None,
        held=held,
    )
