"""From a file's bytes to what becomes of its rows: tables, verdicts, records to be. Pure: no database, no clock.

Steps (intake's steps 2 to 5; the numbers are those of docs/architecture.md):
  2. read: bytes → sheets, each with its layout; sheets of one declaration and header are one table
  3. normalise: each row cleaned and checked, chunk by chunk (`cells`, `checks`); duplicates over the whole table
  4. basis: a person's row without one loses everything but the count, one with a narrower one the fields beyond it
  5. expectations: totals, counts, fill rates, units; a table that misses them is blocked whole

`basis_of` is handed in; what it says is all that is known here of consents.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Final

import numpy as np
import pandas as pd

from connectors import cells, checks, cleaning, expectations, frames, layout, places, reading, rows, schemes, source
from connectors.cells import Part
from connectors.codes import Outcome
from connectors.delivery import BY_COMMAND, Delivery, Progress, Stage
from connectors.errors import FileUnreadable
from connectors.expectations import Control, SheetFigures
from connectors.mends import Mends, corrected, decide
from connectors.rows import ControlRow
from connectors.schemes import Scheme
from connectors.verdict import Mask, Verdict
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import Kind
from registry.catalogue import current as catalogue

CHUNK_ROWS: Final = 100_000
NOTHING_MENDED: Final[Mapping[str, Mends]] = {}
_INSTALMENT: Final = "instalment"


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that a person must decide: its cells by heading, as they came, "" where its basis does not cover them."""

    sheet: str
    row_no: int
    code: str
    column: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table.

    `frame` has a row for every data row except those without a basis, of which only `counts` knows: row_no (from 1,
    in its sheet), sheet, outcome, code, column, subject_kind, subject_id, basis, period, valid_from, valid_to, and
    the kind's fields by catalogue name (fen, 1/10000 亩, ISO dates; missing is NA). Of a rejected row subject and
    fields are NA. `covered` names the fields that the basis of a row covers (NA: all); the others are NA in it, and
    if they tell its identity they stand beside it (`frames.TOLD`), which is not stored. Of a blocked table it is
    empty. `uncovered` are persons without a basis: to be forgotten by the caller once what was held of them is
    frozen.
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
    controls: tuple[Control, ...] = ()
    furniture: Mapping[str, int] = field(default_factory=dict)
    frame: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    quarantined: tuple[QuarantinedRow, ...] = field(default=(), repr=False)
    uncovered: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Sheet:
    part: Part
    controls: tuple[ControlRow, ...]
    furniture: Mapping[str, int]


def evaluate(  # noqa: PLR0913  # what it rests on is handed in
    raw: bytes,
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
    progress(Progress(Stage.READING))
    known = declarations or source.current()
    if not reading.is_table(raw, name):
        return []
    try:
        grids = reading.read(raw)  # 2
    except FileUnreadable:
        return [TableOutcome(name, 0, blocked="FILE_UNREADABLE")]
    ours = [grid for grid in grids if layout.elsewhere(grid, known) is None]
    if grids and not ours:
        return []
    sheets, strangers = _recognise(ours, known, name)
    tables = _grouped(sheets)
    several = len(tables) + (0 if tables else len(strangers)) > 1
    outcomes = [
        _table(
            members,
            f"{name}#{members[0].part.grid.sheet}" if several else name,
            as_of=as_of,
            basis_of=basis_of,
            rating_schemes=rating_schemes or schemes.current(),
            chunk_rows=chunk_rows,
            delivery=delivery,
            mended=mended,
            progress=progress,
        )
        for members in tables
    ]
    for grid in strangers:
        label = f"{name}#{grid.sheet}" if several or tables else name
        outcomes.append(TableOutcome(label, 0, blocked="HEADER_UNKNOWN"))
    return outcomes or [TableOutcome(name, 0, blocked="HEADER_UNKNOWN")]


def _recognise(
    grids: Sequence[reading.Grid], known: source.Declarations, name: str
) -> tuple[list[_Sheet], list[reading.Grid]]:
    sheets, strangers = [], []
    for grid in grids:
        found = layout.find(grid, known, name)
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


def _table(  # noqa: PLR0913  # what it rests on is handed in
    members: Sequence[_Sheet],
    label: str,
    *,
    as_of: date,
    basis_of: BasisOf,
    rating_schemes: Sequence[Scheme],
    chunk_rows: int,
    delivery: Delivery,
    mended: Mapping[str, Mends],
    progress: Callable[[Progress], None],
) -> TableOutcome:
    mends = mended.get(label, ())
    members = [replace(one, part=_corrected(one.part, mends)) for one in members]
    total = sum(len(one.part.data) for one in members)
    found = members[0].part.layout
    table, declared = found.table, found.source
    kind = catalogue().kinds[table.kind]
    verdict, laid_out = Verdict(0), list[pd.DataFrame]()
    several: dict[int, tuple[str, ...]] = {}
    figures: list[SheetFigures] = []
    filled: Counter[str] = Counter()
    for sheet in members:
        units: dict[str, list[cleaning.Integers]] = {}
        for first in range(0, len(sheet.part.data), chunk_rows):
            chunk = cells.clean(  # 3
                sheet.part, first, first + chunk_rows, as_of=as_of, projects=declared.projects
            )
            checks.run(chunk, as_of=as_of, schemes=rating_schemes)
            for name, column in chunk.figures.items():
                units.setdefault(name, []).append(column.units)
            several |= {len(verdict.rank) + row: ids for row, ids in chunk.several.items()}
            verdict.extend(chunk.verdict)
            filled.update(chunk.filled)
            laid_out.append(frames.lay_out(chunk, sheet.part, kind, label, as_of))
            progress(Progress(Stage.CHECKING, read=total, checked=len(verdict.rank)))
        joined = {name: np.concatenate(parts) for name, parts in units.items()}
        figures.append(SheetFigures(sheet.part, sheet.controls, expectations.units_of(joined, sheet.part)))
    frame = _joined(laid_out)
    controls = tuple(expectations.controls(figures, table.amount))
    project = _only(frame["project"]) if "project" in frame else None
    said = _Said(label, kind.code, declared, project, as_of, members, controls, len(frame), delivery)
    blocked = _blocked(members, controls, filled, len(frame), table)  # 5
    if blocked or frame.empty:
        return _outcome(said, blocked)
    _basis(verdict, frame, several, kind, as_of, basis_of, declared)  # 4
    _duplicates(verdict, frame, table)
    decide(verdict, frame["sheet"].tolist(), frame["row_no"].tolist(), mends)
    if "ordinal" in kind.fields:
        _ordinals(frame, kind)
    return _decided(said, verdict, frame, kind, members)


@dataclass(frozen=True, slots=True)
class _Said:
    label: str
    kind: str
    declared: source.Source
    project: str | None
    as_of: date
    members: Sequence[_Sheet]
    controls: tuple[Control, ...]
    rows: int
    delivery: Delivery


def _corrected(part: Part, mends: Mends) -> Part:
    return replace(part, grid=corrected(part.grid, part.layout, mends)) if mends else part


def _outcome(said: _Said, blocked: str | None, **decided: object) -> TableOutcome:
    furniture: Counter[str] = Counter()
    for sheet in said.members:
        furniture.update(sheet.furniture)
    first = said.members[0].part
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
        furniture=dict(furniture),
        **decided,  # type: ignore[arg-type]  # the four fields of a decided table, named where they are made
    )


def _publisher(declared: source.Source, part: Part) -> str:
    """Say who sends a table: the unit that its fill-unit row names, else the county's office of the declaration."""
    return part.context.publisher or f"{places.county_name(part.context.county)}{declared.publisher}"


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put the frames of chunks under each other, column by column, taking them apart: no row stands there twice."""
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    whole = {}
    for name in names:
        columns = [
            part.pop(name) if name in part else pd.Series(pd.NA, index=part.index, dtype="str") for part in parts
        ]
        whole[name] = pd.concat(columns, ignore_index=True)
    return pd.DataFrame(whole, copy=False)


def _only(column: "pd.Series[str]") -> str | None:
    found = [str(one) for one in column.dropna().unique() if one]
    return found[0] if len(found) == 1 else None


def _blocked(
    members: Sequence[_Sheet], controls: Sequence[Control], filled: Mapping[str, int], total: int, table: source.Table
) -> str | None:
    if any(sheet.part.layout.side_by_side for sheet in members):
        return "TABLES_SIDE_BY_SIDE"
    if not all(control.agrees for control in controls):
        return "TOTAL_MISMATCH"
    if any(sheet.part.layout.unit_unknown for sheet in members):
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
) -> None:
    """Step 4: ask, once for each person, whether the rows may be held; organisations' data needs no consent."""
    person = (frame["subject_kind"] == "person").to_numpy(dtype=bool)
    asked = person & ~verdict.rejected
    basis = np.full(len(frame), Basis(BasisKind.ORGANISATION, declared.legal_basis).text, dtype=object)
    basis[person] = None
    covers = frames.Covers(len(frame))
    if not kind.consent_required:
        basis[person] = Basis(BasisKind.STATUTE, kind.legal_basis).text
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
        verdict.mark("NO_CONSENT", asked & pd.isna(basis), "")
    frame["basis"] = pd.Series(basis, dtype="str")
    frame["covered"] = covers.column()


def _texts(bases: Sequence[Basis | None]) -> list[str | None]:
    """Write bases; many rows may share one, which is then written once."""
    numbers, _ = pd.factorize(np.fromiter(map(id, bases), dtype=np.uint64, count=len(bases)))
    _, first = np.unique(numbers, return_index=True)
    texts = [basis.text if (basis := bases[at]) else None for at in first]
    return np.array([*texts, None], dtype=object)[numbers].tolist() if texts else []


def _duplicates(verdict: Verdict, frame: pd.DataFrame, table: source.Table) -> None:
    """Find the same subject with the same key again, among rows that are records; the first stays.

    A date counts by its year (a household is rated once a year). An instalment tells two rows apart only where both
    state one.
    """
    for check in table.checks:
        if isinstance(check, source.Once):
            key = ["subject_id", *(name for name in check.key if name in frame)]
            records = frame.loc[~verdict.rejected, key]
            for name in key[1:]:
                if name in table.columns and table.columns[name].type == "date":
                    records[name] = records[name].str.slice(0, 4)
            twice = records.duplicated(keep="first").to_numpy()
            if _INSTALMENT in records:
                twice = twice | _instalment_unstated(records)
            again = np.zeros(len(frame), dtype=bool)
            again[~verdict.rejected] = twice
            verdict.mark("DUPLICATE_IN_BATCH", again, check.key[0])


def _instalment_unstated(records: pd.DataFrame) -> Mask:
    """Find rows alike but for the instalment, where the row or one before it states none."""
    unstated = records[_INSTALMENT].isna()
    if not unstated.any():
        return np.zeros(len(records), dtype=bool)
    rest = records.drop(columns=_INSTALMENT)
    alike = rest.groupby(list(rest), dropna=False, sort=False).ngroup()
    before = unstated.astype("int64").groupby(alike).cumsum() - unstated.astype("int64")
    return (unstated & rest.duplicated(keep="first") | (before > 0)).to_numpy(dtype=bool)


def _ordinals(frame: pd.DataFrame, kind: Kind) -> None:
    """Number rows that are alike in everything that makes their identity, so that two equal tractors stay two."""
    alike = ["subject_id", *(name for name in kind.identity if name in frame)]
    frame["ordinal"] = (frame.groupby(alike, dropna=False, sort=False).cumcount() + 1).astype("Int64")


def _decided(said: _Said, verdict: Verdict, frame: pd.DataFrame, kind: Kind, members: Sequence[_Sheet]) -> TableOutcome:
    table = members[0].part.layout.table
    tally = verdict.tally()
    by_outcome = {end: {code: n for code, n in codes.items() if code} for end, codes in tally.items()}
    amount = int(frame.loc[verdict.held, table.amount].sum()) if table.amount else None
    for place, (name, (numbers, texts)) in enumerate(verdict.told().items(), start=2):
        frame.insert(place, name, cleaning.spread(numbers, texts))
    unheld = verdict.has("NO_CONSENT")
    without = frame.loc[unheld & (frame["subject_kind"] == "person"), "subject_id"]
    kept = frame[~unheld].reset_index(drop=True) if unheld.any() else frame
    frames.strip(kept, kind)
    refused = kept["outcome"] == Outcome.REJECTED.value
    if refused.any():
        emptied = list(kept.columns[5:])
        kept[emptied] = kept[emptied].mask(refused)
    return _outcome(
        said,
        None,
        counts={end: sum(codes.values()) for end, codes in tally.items()},
        codes={end: codes for end, codes in by_outcome.items() if codes},
        amount_fen=amount,
        frame=kept,
        quarantined=_quarantined(kept, members),
        uncovered=tuple(without.unique()),
    )


def _quarantined(frame: pd.DataFrame, members: Sequence[_Sheet]) -> tuple[QuarantinedRow, ...]:
    found: list[QuarantinedRow] = []
    to_decide = frame[frame["outcome"] == Outcome.QUARANTINED.value]
    for sheet in members:
        grid, uses = sheet.part.grid, sheet.part.layout.uses.values()
        here = to_decide[to_decide["sheet"] == grid.place]
        at = here["row_no"].to_numpy() - 1
        table = sheet.part.layout.table
        kept = [
            frames.covered_by(here["covered"], frames.feeds(table, use)) | (use.name in {table.subject, table.party})
            for use in uses
        ]
        columns = [
            grid.columns[use.index].take(at).reset_index(drop=True).where(keep, "").tolist()
            for use, keep in zip(uses, kept, strict=True)
        ]
        headings = [use.heading for use in uses]
        marks = here[["row_no", "code", "column"]].itertuples(index=False)
        for (row_no, code, column), texts in zip(marks, zip(*columns, strict=True), strict=True):
            cells_ = dict(zip(headings, texts, strict=True))
            found.append(QuarantinedRow(grid.place, int(row_no), code, column, cells_))
    return tuple(found)
