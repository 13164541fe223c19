"""From a file's bytes to what becomes of its rows: tables, verdicts, records to be. Pure: no database, no clock.

Steps (intake's steps 2 to 5; the numbers are those of docs/architecture.md):
  2. read: bytes → sheets, each with its layout; sheets of one declaration and header are one table
  3. normalise: each row cleaned and checked, chunk by chunk (`cells`, `checks`); duplicates over the whole table
  4. basis: a person's row without one loses everything but the count
  5. expectations: totals, counts, fill rates, units; a table that misses them is blocked whole

`basis_of` is handed in; what it says is all that is known here of consents.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Final

import numpy as np
import pandas as pd

from connectors import cells, checks, cleaning, expectations, layout, places, reading, rows, schemes, source
from connectors.cells import RATE_SCALE, Chunk, Part
from connectors.codes import Outcome
from connectors.errors import FileUnreadable
from connectors.expectations import Control, SheetFigures
from connectors.rows import ControlRow
from connectors.schemes import Scheme
from connectors.verdict import Verdict
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import FieldSpec, Kind
from registry.catalogue import current as catalogue

CHUNK_ROWS: Final = 100_000
_PROJECT_NOISE: Final = (
    r"(20\d\d年?度?|第?[一二三四]季度|资金|发放|兑付|补发|花名册|明细表?|汇总表?|登记表|公示表?|一览表|台账|名单|统计表|清单|表$|[_\s()（）-]|"
    r"\.\w+$)"
)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that a person must decide: its cells by heading, as they came, and whom it would be about."""

    sheet: str
    row_no: int
    code: str
    column: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table.

    `frame` has a row for every data row except those without a basis, of which only `counts` knows: row_no (from 1, in
    its sheet), sheet, outcome, code, column, subject_kind, subject_id, basis, period, valid_from, valid_to, then the
    kind's fields by catalogue name (fen, 1/10000 亩, ISO dates; missing is NA). Subject and fields are NA unless the row
    is accepted, warned or quarantined. Of a blocked table it is empty.
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


@dataclass(frozen=True, slots=True)
class _Sheet:
    part: Part
    controls: tuple[ControlRow, ...]
    furniture: Mapping[str, int]


def evaluate(  # what it rests on is handed in
    raw: bytes,
    name: str,
    *,
    as_of: date,
    basis_of: BasisOf,
    declarations: source.Declarations | None = None,
    rating_schemes: Sequence[Scheme] | None = None,
    chunk_rows: int = CHUNK_ROWS,
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
    """
    known = declarations or source.current()
    if not reading.is_table(raw):
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


def _table(  # what it rests on is handed in
    members: Sequence[_Sheet],
    label: str,
    *,
    as_of: date,
    basis_of: BasisOf,
    rating_schemes: Sequence[Scheme],
    chunk_rows: int,
) -> TableOutcome:
    found = members[0].part.layout
    table, declared = found.table, found.source
    kind = catalogue().kinds[table.kind]
    verdict, frames, several = Verdict(0), [], {}
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
            frames.append(_frame(chunk, sheet.part, kind, label, as_of))
        joined = {name: np.concatenate(parts) for name, parts in units.items()}
        figures.append(SheetFigures(sheet.part, sheet.controls, expectations.units_of(joined, sheet.part)))
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    controls = tuple(expectations.controls(figures, table.amount))
    project = _only(frame["project"]) if "project" in frame else None
    said = _Said(label, kind.code, declared, project, as_of, members, controls, len(frame))
    blocked = _blocked(members, controls, filled, len(frame), table)  # 5
    if blocked or frame.empty:
        return _outcome(said, blocked)
    _basis(verdict, frame, several, kind, as_of, basis_of, declared)  # 4
    _duplicates(verdict, frame, table)
    if "ordinal" in kind.fields:
        _ordinals(frame, kind)
    return _decided(said, verdict, frame, table, members)


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
        publisher=said.declared.publisher,
        class_code=said.declared.class_code,
        kind=said.kind,
        project=said.project,
        quality=said.declared.quality,
        blocked=blocked,
        unread=first.layout.unread,
        controls=said.controls,
        furniture=dict(furniture),
        **decided,  # type: ignore[arg-type]  # the four fields of a decided table, named where they are made
    )


def _only(column: "pd.Series[str]") -> str | None:
    found = [str(one) for one in column.dropna().unique() if one]
    return found[0] if len(found) == 1 else None


def _blocked(
    members: Sequence[_Sheet], controls: Sequence[Control], filled: Mapping[str, int], total: int, table: source.Table
) -> str | None:
    if not all(control.agrees for control in controls):
        return "TOTAL_MISMATCH"
    if any(sheet.part.layout.unit_unknown for sheet in members):
        return "UNIT_UNKNOWN"
    if expectations.underfilled(filled, total, table.filled):
        return "EXPECTATION_MISSED"
    return None


# ---- one chunk's frame ----------------------------------------------------------------------------------------------


def _frame(chunk: Chunk, part: Part, kind: Kind, label: str, as_of: date) -> pd.DataFrame:
    """Lay a cleaned chunk out by the catalogue's fields."""
    size = len(chunk)
    stated_as_of = _or(chunk.dates("as_of"), part.context.as_of or as_of.isoformat())
    frame: dict[str, object] = {
        "row_no": chunk.rows + 1,
        "sheet": _constant(part.grid.sheet, size),
        "subject_kind": pd.Series(np.where(chunk.person, "person", "organisation"), dtype="str"),
        "subject_id": chunk.subject.mask(chunk.subject == ""),
    }
    if "project" in kind.fields:
        chunk.text["project"] = _or(chunk.texts("project"), _project(part, label))
        categories = {p.name: p.category for p in part.layout.source.projects}
        chunk.text["category"] = cleaning.each(chunk.text["project"], lambda one: categories.get(one, "其他"))
    for name, spec in kind.fields.items():
        held = name not in part.layout.table.columns or part.layout.table.columns[name].held
        column = _field(chunk, name, spec) if held else None
        if column is not None:
            frame[name] = column
    frame |= _times(chunk, part, stated_as_of, as_of)
    if "as_of" in kind.fields:
        frame["as_of"] = stated_as_of
    if "grant_year" in kind.fields:
        frame["grant_year"] = pd.Series(pd.to_numeric(frame["period"]), dtype="Int64")  # type: ignore[call-overload]  # digits
    return pd.DataFrame(frame)


def _field(chunk: Chunk, name: str, spec: FieldSpec) -> "pd.Series[str] | pd.Series[int] | None":
    if name in chunk.figures:
        column = chunk.figures[name]
        if spec.type != "rate6":
            return column.nullable()
        decimal = cleaning.each(pd.Series(column.units.astype(str), dtype="str"), _decimal)
        return decimal.mask(~column.known)
    if name in chunk.iso:
        return chunk.iso[name].mask(chunk.iso[name] == "")
    if name in chunk.text:
        return chunk.text[name].mask(chunk.text[name] == "")
    return None


def _decimal(units: str) -> str:
    whole, part = divmod(abs(int(units)), RATE_SCALE)
    text = f"{whole}.{part:06}".rstrip("0").rstrip(".")
    return f"-{text}" if units.startswith("-") else text


def _times(chunk: Chunk, part: Part, stated_as_of: "pd.Series[str]", as_of: date) -> dict[str, object]:
    table = part.layout.table
    begin = chunk.dates(table.valid_from)
    if table.period == "as_of":
        period = stated_as_of
    elif table.period == "date":
        period = _or(begin.str.slice(0, 4), str(as_of.year))
    else:
        period = _or(_or(chunk.dates("grant_year").str.slice(0, 4), str(part.context.year or "")), "")
        period = period.where(period != "", _or(begin.str.slice(0, 4), str(as_of.year)))
    start = cleaning.each(begin, cleaning.first_day) if table.valid_from in chunk.iso else begin
    if table.period == "as_of" and table.valid_from == "as_of":
        start = stated_as_of
    end = cleaning.each(chunk.dates(table.valid_to), cleaning.last_day)
    return {"period": period, "valid_from": start.mask(start == ""), "valid_to": end.mask(end == "")}


def _constant(text: str, size: int) -> "pd.Series[str]":
    return pd.Series(np.full(size, text, dtype=object), dtype="str")


def _or(column: "pd.Series[str]", instead: str) -> "pd.Series[str]":
    return column.mask(column == "", instead)


def _project(part: Part, label: str) -> str:
    """Name a roster's project: a declared one that its title, sheet or file names, else what its title is called."""
    known = cells.project_in(part.layout.source.projects, part.context.title)
    if known:
        return known.name
    title = next((text for text in part.layout.preamble if len(text) > 4), label)  # noqa: PLR2004  # too short for a title
    return cleaning.without(_PROJECT_NOISE, title) or label


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
    organisation = Basis(BasisKind.ORGANISATION, declared.legal_basis).text
    basis = np.where(person, None, organisation).astype(object)
    if not kind.consent_required:
        basis[person] = Basis(BasisKind.STATUTE, kind.legal_basis).text
    elif asked.any():
        subjects = frame["subject_id"].to_numpy(dtype=object)
        others = {one for row, ids in several.items() if asked[row] for one in ids}
        wanted = sorted({*pd.unique(frame.loc[asked, "subject_id"]), *others})
        known = dict(zip(wanted, basis_of(kind.code, wanted, as_of), strict=True))
        numbers, ids = pd.factorize(subjects[asked])
        basis[asked] = np.array([_text(known[one]) for one in ids], dtype=object)[numbers]
        for row, all_of_them in several.items():
            if any(known.get(one) is None for one in all_of_them):
                basis[row] = None
        verdict.mark("NO_CONSENT", asked & np.array([one is None for one in basis], dtype=bool), "")
    frame["basis"] = pd.Series(basis, dtype="str")


def _text(basis: Basis | None) -> str | None:
    return basis.text if basis else None


def _duplicates(verdict: Verdict, frame: pd.DataFrame, table: source.Table) -> None:
    """Find the same subject with the same key again, among rows that are records; the first stays."""
    for check in table.checks:
        if isinstance(check, source.Once):
            key = ["subject_id", *(name for name in check.key if name in frame)]
            records = frame.loc[~verdict.rejected, key]
            again = np.zeros(len(frame), dtype=bool)
            again[~verdict.rejected] = records.duplicated(keep="first").to_numpy()
            verdict.mark("DUPLICATE_IN_BATCH", again, check.key[0])


def _ordinals(frame: pd.DataFrame, kind: Kind) -> None:
    """Number rows that are alike in everything that makes their identity, so that two equal tractors stay two."""
    alike = ["subject_id", *(name for name in kind.identity if name in frame)]
    frame["ordinal"] = (frame.groupby(alike, dropna=False, sort=False).cumcount() + 1).astype("Int64")


def _decided(
    said: _Said, verdict: Verdict, frame: pd.DataFrame, table: source.Table, members: Sequence[_Sheet]
) -> TableOutcome:
    outcomes, codes = verdict.outcomes, verdict.codes
    counts = {
        outcome.value: int((outcomes == outcome.value).sum()) for outcome in Outcome if outcome is not Outcome.BLOCKED
    }
    by_outcome: dict[str, dict[str, int]] = {}
    for (outcome, code), number in sorted(Counter(zip(outcomes, codes, strict=True)).items()):
        if code:
            by_outcome.setdefault(outcome, {})[code] = number
    amount = int(frame.loc[verdict.held, table.amount].sum()) if table.amount else None
    frame.insert(2, "outcome", pd.Series(outcomes, dtype="str"))
    frame.insert(3, "code", pd.Series(codes, dtype="str"))
    frame.insert(4, "column", pd.Series(verdict.columns, dtype="str"))
    kept = frame[codes != "NO_CONSENT"].reset_index(drop=True)
    emptied = list(kept.columns[5:])
    kept[emptied] = kept[emptied].mask(kept["outcome"] == Outcome.REJECTED.value)
    quarantined = _quarantined(kept, members)
    return _outcome(said, None, counts=counts, codes=by_outcome, amount_fen=amount, frame=kept, quarantined=quarantined)


def _quarantined(frame: pd.DataFrame, members: Sequence[_Sheet]) -> tuple[QuarantinedRow, ...]:
    grids = {sheet.part.grid.sheet: sheet.part for sheet in members}
    rows_ = frame.loc[frame["outcome"] == Outcome.QUARANTINED.value, ["sheet", "row_no", "code", "column"]]
    found = []
    for sheet, row_no, code, column in rows_.itertuples(index=False):
        texts = grids[sheet].grid.row(row_no - 1)
        headed = {use.heading: texts[use.index] for use in grids[sheet].layout.uses.values()}
        found.append(QuarantinedRow(sheet, row_no, code, column, headed))
    return tuple(found)
