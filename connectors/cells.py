"""One chunk of data rows, cell by cell: every declared column cleaned by its type, faults marked. Pure.

Out of a portion comes the same number of rows with typed columns and the verdict so far, and whom each is about
(`whose`); rules that need several columns come next (checks), rules that need the whole table or a consent come last
(gathering).
"""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from connectors import cleaning, terms, whose
from connectors.chunk import RATE_SCALE, Cells, Chunk, Portion
from connectors.layout import Use
from connectors.places import division_of
from connectors.source import ColumnType, Project
from connectors.verdict import Mask, Verdict
from registry import identifier_columns as identifiers
from registry.identifiers import normalise
from registry.quantities import fen, mu4, number

_LOST: Final = r"[0-9](?:\.[0-9]*)?[Ee]\+?[0-9]{1,3}"
_EXPONENTS: Final = ("E", "e")
_SPREADSHEET_DIGITS: Final = 15
_NUMBERED: Final = frozenset({"resident_id", "credit_code", "party_id", "bank_card", "account_no", "ear_tag"})
_FIGURES: Final[tuple[ColumnType, ...]] = ("money", "area", "rate", "number", "int", "score")
_PLACES: Final[tuple[ColumnType, ...]] = ("region", "county", "town", "village")


def clean(portion: Portion, *, as_of: date, projects: Sequence[Project], verdict: Verdict | None = None) -> Chunk:
    """Clean rows, each column by its type. `verdict` takes what is found; by default it keeps the first of each row."""
    rows, cells = portion.rows, portion.cells.frame
    chunk = Chunk(rows, verdict or Verdict(len(rows)), portion.context, portion.layout.table)
    for use in portion.layout.uses.values():
        chunk.heads[use.name] = use.heading
        _column(chunk, use, cells[str(use.index)], portion.numbers.get(use.index), as_of, projects)
    terms.completed(chunk)
    whose.subject(chunk, as_of)
    return chunk


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
    cell = Cells(use, text, broken, as_of, projects)
    if name in chunk.table.filled:
        chunk.filled[name] = int(len(text) - cell.blank.sum())
    _CLEANERS[kind](chunk, cell)


def _without_lost(text: "pd.Series[str]", numbers: Mask | None) -> tuple["pd.Series[str]", Mask]:
    """Take out numbers that a spreadsheet has rounded: number cells beyond 15 digits, or `6.3E+17` in a text file."""
    none: Mask = np.zeros(len(text), dtype=bool)
    lost = cleaning.matches(text, _LOST) if any(cleaning.contains(text, one) for one in _EXPONENTS) else none
    if numbers is not None:
        lost = lost | (numbers & (text.str.len() > _SPREADSHEET_DIGITS).to_numpy(dtype=bool))
    return (text.mask(lost, ""), lost) if lost.any() else (text, lost)


def _figures(chunk: Chunk, cell: Cells) -> None:
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


def _resident_ids(chunk: Chunk, cell: Cells) -> None:
    name, text, readable, as_of = cell.name, cell.text, ~cell.broken, cell.as_of
    judged = identifiers.resident_ids(text, on=as_of)
    chunk.text[name] = judged.text.fillna("")
    failing = np.flatnonzero(~judged.valid & readable)
    for row, one in zip(failing.tolist(), text.take(failing).tolist(), strict=True):
        found = whose.several_ids(one, as_of)
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
    chunk.text[name] = whose.first_of(chunk, chunk.text[name])


def _credit_codes(chunk: Chunk, cell: Cells) -> None:
    judged = identifiers.credit_codes(cell.text)
    chunk.text[cell.name] = judged.text.fillna("")
    failing = ~judged.valid & ~cell.broken
    chunk.mark("USCC_CHECK_FAILED", failing if cell.mandatory else failing & ~cell.blank, cell.name)


def _accounts(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name] = cell.text if cleaning.digits_only(cell.text) else cleaning.each(cell.text, normalise)
    if cell.use.column.type == "bank_card":
        chunk.mark("ACCOUNT_LUHN", identifiers.luhn_suspects(chunk.text[cell.name]), cell.name)
    if cell.mandatory:
        chunk.mark("FIELD_MISSING", cell.blank, cell.name)


def _percents(chunk: Chunk, cell: Cells) -> None:
    bare = Fraction(1) if cell.use.column.unit == "1" else Fraction(1, 100)
    found = cleaning.figures(cell.text, bare * RATE_SCALE, partial(_share, bare=bare))
    chunk.figures[cell.name] = found
    chunk.mark("AMOUNT_MALFORMED", found.bad, cell.name)


def _share(text: str, *, bare: Fraction) -> int | None:
    """Read a share: `85%` says what it is, of `85` and `0.85` the declaration does."""
    plain = unicodedata.normalize("NFKC", text).strip()
    value, scale = number(plain.removesuffix("%")), Fraction(1, 100) if plain[-1:] == "%" else bare
    return None if value is None else round(Fraction(value) * scale * RATE_SCALE)


def _flags(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name], outside = cleaning.flags(cell.text)
    needed = outside | cell.blank if cell.mandatory else outside
    chunk.mark("UNKNOWN_CATEGORY", needed & ~cell.broken, cell.name)


def _ear_tags(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name], malformed = cleaning.ear_tags(cell.text)
    needed = malformed | cell.blank if cell.mandatory else malformed
    chunk.mark("EAR_TAG_MALFORMED", needed & ~cell.broken, cell.name)


def _phones(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name], odd = cleaning.phones(cell.text)
    chunk.mark("PHONE_MALFORMED", odd, cell.name)


def _divisions(chunk: Chunk, cell: Cells) -> None:
    """Resolve districts, by code or by a county's or prefecture's name, at the day of the row's intake."""
    numbers, found = cleaning.distinct(cell.text, lambda text: division_of(text, cell.as_of))
    chunk.text[cell.name] = cleaning.spread(numbers, [place.code for place in found])
    unknown = np.array([not place.code for place in found], dtype=bool)[numbers]
    chunk.mark("REGION_UNKNOWN", unknown & ~cell.broken, cell.name)
    chunk.mark("REGION_RETIRED", np.array([place.retired for place in found], dtype=bool)[numbers], cell.name)


def _choices(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name], outside = cleaning.choices(cell.text, cell.use.column.values)
    needed = outside | cell.blank if cell.mandatory else outside
    chunk.mark("UNKNOWN_CATEGORY", needed & ~cell.broken, cell.name)


def _projects(chunk: Chunk, cell: Cells) -> None:
    named = cleaning.each(cell.text, partial(_project_named, cell.projects))
    chunk.mark("UNKNOWN_CATEGORY", (named == "").to_numpy(dtype=bool) & ~cell.blank & ~cell.broken, cell.name)
    chunk.text[cell.name] = named


def _as_it_is(chunk: Chunk, cell: Cells) -> None:
    chunk.text[cell.name] = cell.text


def _words(chunk: Chunk, cell: Cells) -> None:
    names = cell.use.column.type == "name"
    chunk.text[cell.name] = cleaning.names(cell.text) if names else cleaning.texts(cell.text)
    if cell.mandatory:
        chunk.mark("FIELD_MISSING", cell.blank, cell.name)


_CLEANERS: Final[dict[ColumnType, Callable[[Chunk, Cells], None]]] = {
    **dict.fromkeys(_FIGURES, _figures),
    **dict.fromkeys(_PLACES, _as_it_is),
    "resident_id": _resident_ids,
    "credit_code": _credit_codes,
    "party_id": _as_it_is,
    "bank_card": _accounts,
    "account_no": _accounts,
    "division": _divisions,
    "ear_tag": _ear_tags,
    "month": terms.months,
    "percent": _percents,
    "bool": _flags,
    "phone": _phones,
    "date": terms.one_date,
    "year": terms.one_date,
    "date_range": terms.two_dates,
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
