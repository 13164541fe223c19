"""One chunk of data rows, cell by cell: every declared column cleaned by its type, faults marked. Pure.

A chunk is what one worker gets: the rows of one sheet from `first` to `last`, its layout and what the file says of
itself. Out comes the same number of rows with typed columns and the verdict so far; rules that need several columns
come next (checks), rules that need the whole table or a consent come last (normalise).
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cached_property, partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cleaning
from connectors.cleaning import Figures
from connectors.layout import Layout, Use
from connectors.places import Context, division_of
from connectors.reading import Grid
from connectors.source import ColumnType, Project, Table
from connectors.verdict import Mask, Verdict
from registry import identifier_columns as identifiers
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId, normalise
from registry.quantities import fen, mu4, number

RATE_SCALE: Final = 1_000_000
SINCE: Final = "(since)"  # the date column of first days where 有效期 has both
_LOST: Final = r"[0-9](?:\.[0-9]*)?[Ee]\+?[0-9]{1,3}"
_EXPONENTS: Final = ("E", "e")
_SPREADSHEET_DIGITS: Final = 15
_NUMBERED: Final = frozenset({"resident_id", "credit_code", "party_id", "bank_card", "account_no", "ear_tag"})
_FIGURES: Final[tuple[ColumnType, ...]] = ("money", "area", "rate", "number", "int", "score")
_PLACES: Final[tuple[ColumnType, ...]] = ("region", "county", "town", "village")
_CREDIT_LENGTH: Final = 18
_CODE_ONLY: Final = "(?:N[0-9A-Z]|Y[0-9A-Z]|9[1-3])[0-9A-Z]{16}"  # no region has these numbers
_CODE_OR_RESIDENT: Final = "(?:1[1239]|[34][0-9]|5[12349])[0-9A-Z]{16}|(?:N[0-9A-Z]|9[1-3])[0-9A-Z]+"
_ORGANISATION_WORDS: Final = (
    "公司|合作社|合作联社|经济组织|委员会|村委会|中心|企业|集团|农场|牧场|银行|学校|政府|厂$|店$|站$"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One sheet with its layout, its data rows (indices into the grid) and what it says of itself."""

    grid: Grid
    layout: Layout
    data: npt.NDArray[np.int64]
    context: Context


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

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    def blank(self) -> "pd.Series[str]":
        """Give a column without any text."""
        return cleaning.constant("", len(self))

    def texts(self, name: str) -> "pd.Series[str]":
        """Give a text column; blank where the sheet has none of this name."""
        return self.text[name] if name in self.text else self.blank()

    def dates(self, name: str) -> "pd.Series[str]":
        """Give a date column; blank where the sheet has none of this name."""
        return self.iso[name] if name in self.iso else self.blank()

    def mark(self, code: str, where: Mask, name: str) -> None:
        """Hold a code against rows, seen in the column of this name."""
        self.verdict.mark(code, where, self.heads.get(name, name))


def clean(part: Part, first: int, last: int, *, as_of: date, projects: Sequence[Project]) -> Chunk:
    """Clean the rows `part.data[first:last]`, each column by its type."""
    rows = part.data[first:last]
    chunk = Chunk(rows, Verdict(len(rows)), part.context, part.layout.table)
    for use in part.layout.uses.values():
        chunk.heads[use.name] = use.heading
        text = _taken(part.grid.columns[use.index], rows)
        numbers = part.grid.numbers[use.index]
        _column(chunk, use, text, None if numbers is None else numbers[rows], as_of, projects)
    _completed(chunk)
    _subject(chunk, as_of)
    return chunk


def _taken(column: "pd.Series[str]", rows: npt.NDArray[np.int64]) -> "pd.Series[str]":
    """Take rows of a column; rows without a gap are not copied."""
    together = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
    taken = column.iloc[rows[0] : rows[-1] + 1] if together else column.take(rows)
    return taken.reset_index(drop=True)


def _column(
    chunk: Chunk,
    use: Use,
    text: "pd.Series[str]",
    numbers: Mask | None,
    as_of: date,
    projects: Sequence[Project],
) -> None:
    kind, mandatory, name = use.column.type, use.column.mandatory, use.name
    broken = cleaning.errors(text)
    if broken.any():
        text = text.mask(broken, "")
        chunk.broken[name] = broken.copy()
        if mandatory:
            chunk.mark("CELL_ERROR", broken, name)
    if kind in _NUMBERED:
        text, lost = _without_lost(text, numbers)
        chunk.mark("ID_PRECISION_LOST", lost, name)
        broken = broken | lost
        chunk.broken[name] = broken
    cell = _Cells(use, text, broken, as_of, projects)
    if name in chunk.table.filled:
        chunk.filled[name] = int(len(text) - cell.blank.sum())
    _CLEANERS[kind](chunk, cell)


@dataclass(frozen=True)
class _Cells:
    """One column's cells: which cannot be read at all (`broken`), which are blank, and what the reading rests on."""

    use: Use
    text: "pd.Series[str]"
    broken: Mask
    as_of: date
    projects: Sequence[Project]

    @cached_property
    def blank(self) -> Mask:
        return cleaning.missing(self.text) & ~self.broken

    @property
    def name(self) -> str:
        return self.use.name

    @property
    def mandatory(self) -> bool:
        return self.use.column.mandatory


def _without_lost(text: "pd.Series[str]", numbers: Mask | None) -> tuple["pd.Series[str]", Mask]:
    """Take out numbers that a spreadsheet has rounded: number cells beyond 15 digits, or `6.3E+17` in a text file."""
    none: Mask = np.zeros(len(text), dtype=bool)
    lost = cleaning.matches(text, _LOST) if any(cleaning.contains(text, one) for one in _EXPONENTS) else none
    if numbers is not None:
        lost = lost | (numbers & (text.str.len() > _SPREADSHEET_DIGITS).to_numpy(dtype=bool))
    return (text.mask(lost, ""), lost) if lost.any() else (text, lost)


def _figures(chunk: Chunk, cell: _Cells) -> None:
    kind, name, text, use = cell.use.column.type, cell.name, cell.text, cell.use
    factor = use.factor if use.factor is not None else Fraction(100 if kind == "money" else 10_000)
    if kind == "money":
        found = cleaning.figures(text, factor, partial(fen, unit=use.unit.partition("/")[0] or "元"))
    elif kind == "area":
        found = cleaning.figures(text, factor, partial(mu4, unit=use.unit or "亩"))
    elif kind == "int":
        bare = text.str.removesuffix("人").str.removesuffix("口")
        found = cleaning.figures(bare, Fraction(1), _integer)
    else:
        scale = factor * RATE_SCALE
        found = cleaning.figures(text, scale, partial(_scaled, scale=scale), rounded=factor != 1)
    chunk.figures[name] = found
    if kind == "score":
        return  # its range is the scheme's affair
    if cell.mandatory:
        chunk.mark("AMOUNT_MISSING", found.missing & ~cell.broken, name)
    chunk.mark("AMOUNT_MALFORMED", found.bad, name)


def _integer(text: str) -> int | None:
    return _scaled(text, scale=Fraction(1))


def _scaled(text: str, *, scale: Fraction) -> int | None:
    value = number(text.removesuffix("分"))
    return None if value is None else round(Fraction(value) * scale)


def _resident_ids(chunk: Chunk, cell: _Cells) -> None:
    name, text, readable, as_of = cell.name, cell.text, ~cell.broken, cell.as_of
    judged = identifiers.resident_ids(text, on=as_of)
    chunk.text[name] = judged.text.fillna("")
    failing = np.flatnonzero(~judged.valid & readable)
    for row in map(int, failing):
        found = _several_ids(str(text.iloc[row]), as_of)
        if found:
            chunk.several[row] = found
    alone = readable.copy()
    alone[list(chunk.several)] = False
    verdict = judged.verdict
    malformed = (verdict == identifiers.Verdict.MALFORMED) | (verdict == identifiers.Verdict.MISSING)
    chunk.mark("ID_MALFORMED", malformed & alone, name)
    chunk.mark("ID_CHECK_FAILED", (verdict == identifiers.Verdict.CHECK_FAILED) & alone, name)
    chunk.mark("ID_15_CONVERTED", verdict == identifiers.Verdict.CONVERTED, name)
    chunk.mark("ID_REGION_UNKNOWN", identifiers.region_unknown(judged), name)
    several = np.zeros(len(chunk), dtype=bool)
    several[list(chunk.several)] = True
    chunk.mark("MULTIPLE_PERSONS", several, name)
    chunk.text[name] = _first_of(chunk, chunk.text[name])


def _several_ids(text: str, as_of: date) -> tuple[str, ...]:
    pieces = [piece for piece in cleaning.SEVERAL.split(text.replace("\n", ";")) if piece.strip()]
    if len(pieces) < 2:  # noqa: PLR2004  # one is not several
        return ()
    try:
        return tuple(ResidentId.parse(piece, on=as_of).text for piece in pieces)
    except MalformedIdentifier:
        return ()


def _credit_codes(chunk: Chunk, cell: _Cells) -> None:
    judged = identifiers.credit_codes(cell.text)
    chunk.text[cell.name] = judged.text.fillna("")
    failing = ~judged.valid & ~cell.broken
    chunk.mark("USCC_CHECK_FAILED", failing if cell.mandatory else failing & ~cell.blank, cell.name)


def _accounts(chunk: Chunk, cell: _Cells) -> None:
    plain = cleaning.matches(cell.text, "[0-9]*").all()
    chunk.text[cell.name] = cell.text if plain else cleaning.each(cell.text, normalise)
    if cell.use.column.type == "bank_card":
        chunk.mark("ACCOUNT_LUHN", identifiers.luhn_suspects(chunk.text[cell.name]), cell.name)
    if cell.mandatory:
        chunk.mark("FIELD_MISSING", cell.blank, cell.name)


def _one_date(chunk: Chunk, cell: _Cells) -> None:
    found = cleaning.dates(cell.text)
    if cell.name == chunk.table.valid_to and found.bad.any():
        found = _until(chunk, cell, found)
    _dates(chunk, cell.name, found, cell)


def _until(chunk: Chunk, cell: _Cells, found: cleaning.Dates) -> cleaning.Dates:
    """Read how long a row is valid where that is no date: from one day to another (the last is taken), or 一年."""
    rest = cell.text.where(found.bad, "")
    numbers, months = cleaning.distinct(rest, cleaning.months)
    chunk.months = np.array(months, dtype=np.int64)[numbers]
    start, end = cleaning.date_ranges(rest)
    ranged = ((start.iso != "") & (end.iso != "")).to_numpy(dtype=bool) & ~start.iso.str.startswith("--").to_numpy()
    chunk.iso[SINCE] = start.iso.where(ranged, "")
    ambiguous = found.bad & (start.ambiguous | end.ambiguous)
    bad = found.bad & ~ranged & ~ambiguous & (chunk.months == 0)
    return cleaning.Dates(end.iso.where(ranged, found.iso), found.missing, found.ambiguous | ambiguous, bad)


def _two_dates(chunk: Chunk, cell: _Cells) -> None:
    both = cleaning.date_ranges(cell.text)
    for into, found in zip(cell.use.column.into, both, strict=True):
        chunk.heads[into] = cell.use.heading
        _dates(chunk, into, found, cell)
    if any(found.iso.str.startswith("--").any() for found in both):
        chunk.yearless.append((cell.use.column.into[0], cell.use.column.into[1]))


def _completed(chunk: Chunk) -> None:
    """Complete dates by the row's own first day (a rating's evaluation): its year, or the last day of a term."""
    since, until = chunk.table.valid_from, chunk.table.valid_to
    begin = chunk.dates(since)
    for names in chunk.yearless:
        numbers, rows = cleaning.distinct_rows([chunk.iso[names[0]], chunk.iso[names[1]], begin])
        whole = [cleaning.in_year(*row) if row[2] else row[:2] for row in rows]
        for name, texts in zip(names, zip(*whole, strict=True), strict=True):
            text = cleaning.spread(numbers, texts)
            bad = (text.str.startswith("--") | (text == "!")).to_numpy(dtype=bool)
            chunk.iso[name] = text.mask(bad, "")
            chunk.mark("DATE_MALFORMED", bad, name)
    if chunk.months is not None and chunk.months.any():
        terms = pd.Series(chunk.months.astype(str), dtype="str")
        numbers, rows = cleaning.distinct_rows([begin, terms])
        ends = [cleaning.end_of_term(day, int(length)) if day and length != "0" else "" for day, length in rows]
        chunk.iso[until] = cleaning.spread(numbers, ends).where(chunk.months > 0, chunk.iso[until])


def _dates(chunk: Chunk, name: str, found: cleaning.Dates, cell: _Cells) -> None:
    chunk.iso[name] = found.iso
    chunk.mark("DATE_AMBIGUOUS", found.ambiguous, name)
    bad = found.bad | found.missing if cell.mandatory else found.bad & ~cleaning.remarks(cell.text)
    chunk.mark("DATE_MALFORMED", bad & ~cell.broken, name)


def _months(chunk: Chunk, cell: _Cells) -> None:
    _dates(chunk, cell.name, cleaning.calendar_months(cell.text), cell)


def _percents(chunk: Chunk, cell: _Cells) -> None:
    bare = Fraction(1) if cell.use.column.unit == "1" else Fraction(1, 100)
    found = cleaning.figures(cell.text, bare * RATE_SCALE, partial(_share, bare=bare))
    chunk.figures[cell.name] = found
    chunk.mark("AMOUNT_MALFORMED", found.bad, cell.name)


def _share(text: str, *, bare: Fraction) -> int | None:
    """Read a share: `85%` says what it is, of `85` and `0.85` the declaration does."""
    plain = unicodedata.normalize("NFKC", text).strip()
    value, scale = number(plain.removesuffix("%")), Fraction(1, 100) if plain[-1:] == "%" else bare
    return None if value is None else round(Fraction(value) * scale * RATE_SCALE)


def _flags(chunk: Chunk, cell: _Cells) -> None:
    chunk.text[cell.name], outside = cleaning.flags(cell.text)
    needed = outside | cell.blank if cell.mandatory else outside
    chunk.mark("UNKNOWN_CATEGORY", needed & ~cell.broken, cell.name)


def _ear_tags(chunk: Chunk, cell: _Cells) -> None:
    chunk.text[cell.name], malformed = cleaning.ear_tags(cell.text)
    needed = malformed | cell.blank if cell.mandatory else malformed
    chunk.mark("EAR_TAG_MALFORMED", needed & ~cell.broken, cell.name)


def _phones(chunk: Chunk, cell: _Cells) -> None:
    chunk.text[cell.name], odd = cleaning.phones(cell.text)
    chunk.mark("PHONE_MALFORMED", odd, cell.name)


def _divisions(chunk: Chunk, cell: _Cells) -> None:
    """Resolve districts, by code or by a county's or prefecture's name, at the day of the row's intake."""
    numbers, found = cleaning.distinct(cell.text, lambda text: division_of(text, cell.as_of))
    chunk.text[cell.name] = cleaning.spread(numbers, [place.code for place in found])
    unknown = np.array([not place.code for place in found], dtype=bool)[numbers]
    chunk.mark("REGION_UNKNOWN", unknown & ~cell.broken, cell.name)
    chunk.mark("REGION_RETIRED", np.array([place.retired for place in found], dtype=bool)[numbers], cell.name)


def _choices(chunk: Chunk, cell: _Cells) -> None:
    chunk.text[cell.name], outside = cleaning.choices(cell.text, cell.use.column.values)
    needed = outside | cell.blank if cell.mandatory else outside
    chunk.mark("UNKNOWN_CATEGORY", needed & ~cell.broken, cell.name)


def _projects(chunk: Chunk, cell: _Cells) -> None:
    named = cleaning.each(cell.text, partial(_project_named, cell.projects))
    chunk.mark("UNKNOWN_CATEGORY", (named == "").to_numpy(dtype=bool) & ~cell.blank & ~cell.broken, cell.name)
    chunk.text[cell.name] = named


def _as_it_is(chunk: Chunk, cell: _Cells) -> None:
    chunk.text[cell.name] = cell.text


def _words(chunk: Chunk, cell: _Cells) -> None:
    names = cell.use.column.type == "name"
    chunk.text[cell.name] = cleaning.names(cell.text) if names else cleaning.texts(cell.text)
    if cell.mandatory:
        chunk.mark("FIELD_MISSING", cell.blank, cell.name)


_CLEANERS: Final[dict[ColumnType, Callable[[Chunk, _Cells], None]]] = {
    **dict.fromkeys(_FIGURES, _figures),
    **dict.fromkeys(_PLACES, _as_it_is),
    "resident_id": _resident_ids,
    "credit_code": _credit_codes,
    "party_id": _as_it_is,
    "bank_card": _accounts,
    "account_no": _accounts,
    "division": _divisions,
    "ear_tag": _ear_tags,
    "month": _months,
    "percent": _percents,
    "bool": _flags,
    "phone": _phones,
    "date": _one_date,
    "year": _one_date,
    "date_range": _two_dates,
    "enum": _choices,
    "project": _projects,
    "name": _words,
    "text": _words,
}


def _project_named(projects: Sequence[Project], text: str) -> str:
    project = project_in(projects, text)
    return project.name if project else ""


def project_in(projects: Sequence[Project], text: str) -> Project | None:
    """Find the declared project that a title or a cell names."""
    squeezed = cleaning.squeezed(text)
    return next((p for p in projects if any(cleaning.found(pattern, squeezed) for pattern in p.matches)), None)


# ---- whom a row is about --------------------------------------------------------------------------------------------


def _subject(chunk: Chunk, as_of: date) -> None:
    table = chunk.table
    kind = table.columns[table.subject].type
    chunk.subject = chunk.texts(table.subject)
    chunk.person = np.full(len(chunk), kind == "resident_id")
    if kind == "division":
        chunk.else_kind = "region"
    if table.party:
        _party(chunk, as_of)
    elif kind == "party_id":
        _either(chunk, as_of)


def _party(chunk: Chunk, as_of: date) -> None:
    """Tell a contract's lessee: a person is the subject; for an organisation the collective is.

    Only a valid credit code proves an organisation; a name like 某某公司 does not. Whoever has proven neither is held
    for a person without a number: the row is rejected and nothing of it is kept, for it might be a person's contract
    that nobody agreed to. An organisation's row without its code waits for the sender to write it.
    """
    name = chunk.table.party
    text, lessee = chunk.texts(name), chunk.texts("lessee_name")
    unreadable = chunk.broken.get(name, np.zeros(len(chunk), dtype=bool))
    unproven = chunk.broken.get("lessee_code", np.zeros(len(chunk), dtype=bool))
    judged = identifiers.resident_ids(text, on=as_of)
    codes = identifiers.credit_codes(text)
    stated = (chunk.texts("lessee_code") != "").to_numpy(dtype=bool)
    blank = cleaning.missing(text)
    person = judged.valid & ~unreadable
    organisation = ~person & ~unreadable & (codes.valid | (blank & stated))
    left = ~person & ~organisation & ~unreadable
    for row in map(int, np.flatnonzero(left & ~blank)):
        found = _several_ids(str(text.iloc[row]), as_of)
        if found:
            chunk.several[row] = found
    several = np.zeros(len(chunk), dtype=bool)
    several[list(chunk.several)] = True
    left &= ~several
    chunk.mark("CELL_ERROR", unreadable | (unproven & ~person & ~organisation), name)
    like_code = left & _like_credit_codes(text, lessee, blank)
    chunk.mark("USCC_CHECK_FAILED", like_code, name)
    verdict = np.where(blank, identifiers.Verdict.MISSING, judged.verdict)
    failed = verdict == identifiers.Verdict.CHECK_FAILED
    chunk.mark("ID_CHECK_FAILED", left & ~like_code & failed, name)
    chunk.mark("ID_MALFORMED", left & ~like_code & ~failed, name)
    chunk.mark("ID_15_CONVERTED", person & (judged.verdict == identifiers.Verdict.CONVERTED), name)
    chunk.mark("ID_REGION_UNKNOWN", person & identifiers.region_unknown(judged), name)
    chunk.mark("MULTIPLE_PERSONS", several | (person & cleaning.several(lessee)), name)
    chunk.person = ~organisation
    chunk.text["lessee_uscc"] = codes.text.fillna("").where(organisation & codes.valid, chunk.texts("lessee_code"))
    chunk.text["lessor_uscc"] = chunk.texts(chunk.table.subject)
    subject = judged.text.fillna("").where(person, chunk.texts(chunk.table.subject).where(organisation, ""))
    chunk.subject = _first_of(chunk, subject)


def _either(chunk: Chunk, as_of: date) -> None:
    """Tell rows about persons from rows about organisations, where one column has the numbers of both.

    As with lessees, only a valid credit code proves an organisation; whoever has proven neither is held for a person.
    """
    name = chunk.table.subject
    text, called = chunk.texts(name), _called(chunk)
    unreadable = chunk.broken.get(name, np.zeros(len(chunk), dtype=bool))
    judged = identifiers.resident_ids(text, on=as_of)
    codes = identifiers.credit_codes(text)
    blank = cleaning.missing(text)
    person = judged.valid & ~unreadable
    organisation = ~person & ~unreadable & codes.valid
    left = ~person & ~organisation & ~unreadable
    for row in map(int, np.flatnonzero(left & ~blank)):
        found = _several_ids(str(text.iloc[row]), as_of)
        if found:
            chunk.several[row] = found
    several = np.zeros(len(chunk), dtype=bool)
    several[list(chunk.several)] = True
    left &= ~several
    like_code = left & _like_credit_codes(text, called, blank)
    failed = ~blank & (judged.verdict == identifiers.Verdict.CHECK_FAILED)
    chunk.mark("USCC_CHECK_FAILED", like_code, name)
    chunk.mark("ID_CHECK_FAILED", left & ~like_code & failed, name)
    chunk.mark("ID_MALFORMED", left & ~like_code & ~failed, name)
    chunk.mark("ID_15_CONVERTED", person & (judged.verdict == identifiers.Verdict.CONVERTED), name)
    chunk.mark("ID_REGION_UNKNOWN", person & identifiers.region_unknown(judged), name)
    chunk.mark("MULTIPLE_PERSONS", several | (person & cleaning.several(called)), name)
    chunk.person = ~organisation
    subject = judged.text.fillna("").where(person, codes.text.fillna("").where(organisation, ""))
    chunk.subject = _first_of(chunk, subject)


def _called(chunk: Chunk) -> "pd.Series[str]":
    """Give the names of those whom rows are about: the first column of names that the table declares."""
    return chunk.texts(next((name for name, column in chunk.table.columns.items() if column.type == "name"), ""))


def _like_credit_codes(text: "pd.Series[str]", called: "pd.Series[str]", blank: Mask) -> Mask:
    """Say which cells would be credit codes, if they were right: by their first two characters, or by the name.

    Some beginnings are regions of resident IDs as well (11 北京, 51 四川): there the name decides. So it does where
    the cell is blank.
    """
    squeezed = cleaning.each(text, cleaning.squeezed)
    organised = called.str.contains(_ORGANISATION_WORDS).to_numpy(dtype=bool)
    lettered = cleaning.matches(squeezed, "(?:[0-9A-Z]{0,16}[A-WYZ][0-9A-Z]*|[0-9A-Z]*X[0-9A-Z]+)")
    lettered &= (squeezed.str.len() == _CREDIT_LENGTH).to_numpy(dtype=bool)
    named = lettered | blank | cleaning.matches(squeezed, _CODE_OR_RESIDENT)
    return cleaning.matches(squeezed, _CODE_ONLY) | (organised & named)


def _first_of(chunk: Chunk, column: "pd.Series[str]") -> "pd.Series[str]":
    """Put the first of several people where a row names more than one."""
    if not chunk.several:
        return column
    texts = column.to_numpy(dtype=object).copy()
    for row, found in chunk.several.items():
        texts[row] = found[0]
    return pd.Series(texts, dtype="str")
