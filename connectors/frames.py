"""A cleaned chunk laid out by the catalogue's fields: what would be held of each row, and for when. Pure.

A field comes from the column of its name; what the file says of itself (year, day, project, village) fills what no
column says. Codes, outcomes and bases are added by normalise.

A person's row is held as far as the person's consents cover it (R-05, R-10): `strip` blanks every other field before
anything is stored, account numbers and household codes among them, which are in no consent. Rows of organisations are
held whole. What remains of a stripped row is its place: subject, period, validity, quality, remark.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cells, cleaning, days
from connectors.chunk import RATE_SCALE, Chunk, Portion
from connectors.layout import Use
from connectors.source import Table, Village
from connectors.verdict import Mask
from registry.catalogue import FieldSpec, Kind

_PROJECT_NOISE: Final = (
    r"(20\d\d年?度?|第?[一二三四]季度|资金|发放|兑付|补发|花名册|明细表?|汇总表?|登记表|公示表?|一览表|台账|名单|统计表|清单|表$|[_\s()（）-]|"
    r"\.\w+$)"
)


def lay_out(chunk: Chunk, portion: Portion, fields: Mapping[str, FieldSpec], label: str, as_of: date) -> pd.DataFrame:
    """Lay a cleaned chunk out by the catalogue's fields."""
    size = len(chunk)
    stated_as_of = _or(chunk.dates("as_of"), portion.context.as_of or as_of.isoformat())
    frame: dict[str, object] = {
        "row_no": chunk.rows + 1,
        "sheet": cleaning.constant(portion.place, size),
        "subject_kind": cleaning.spread(chunk.person.astype(np.intp), [chunk.else_kind, "person"]),
        "subject_id": _filled(chunk.subject),
    }
    if "project" in fields:
        chunk.text["project"] = _or(chunk.texts("project"), _project(portion, label))
        categories = {p.name: p.category for p in portion.layout.source.projects}
        chunk.text["category"] = cleaning.each(chunk.text["project"], lambda one: categories.get(one, "其他"))
    for name, spec in fields.items():
        held = name not in portion.layout.table.columns or portion.layout.table.columns[name].held
        column = _field(chunk, name, spec) if held else None
        if column is not None:
            frame[name] = column
    times = _times(chunk, portion, stated_as_of, as_of)
    frame |= times
    if "as_of" in fields:
        frame["as_of"] = stated_as_of
    if "grant_year" in fields:
        numbers, years = cleaning.distinct(times["period"], lambda one: int(one or 0))
        frame["grant_year"] = pd.Series(np.array(years, dtype=np.int64)[numbers], dtype="Int64")
    return pd.DataFrame(frame)


def _field(chunk: Chunk, name: str, spec: FieldSpec) -> "pd.Series[str] | pd.Series[int] | pd.Series[bool] | None":
    if name in chunk.figures:
        column = chunk.figures[name]
        if spec.type not in {"rate6", "percent"}:
            return column.nullable()
        numbers, units = pd.factorize(column.units)
        decimal = cleaning.spread(numbers, [_decimal(int(one)) for one in units])
        return decimal.mask(~column.known)
    if name in chunk.iso:
        return _years(chunk.iso[name]) if spec.type == "int" else _filled(chunk.iso[name])
    if name in chunk.text:
        return _flags(chunk.text[name]) if spec.type == "bool" else _filled(chunk.text[name])
    return None


def _years(column: "pd.Series[str]") -> "pd.Series[int]":
    """Give the years of dates as nullable integers."""
    numbers, years = cleaning.distinct(column, lambda one: int(one[:4] or 0))
    units = np.array(years, dtype=np.int64)[numbers]
    return pd.Series(pd.arrays.IntegerArray(units, units == 0))


def _flags(column: "pd.Series[str]") -> "pd.Series[bool]":
    """Turn the texts of a column of yes and no into nullable booleans."""
    yes, blank = (column == cleaning.YES).to_numpy(dtype=bool), (column == "").to_numpy(dtype=bool)
    return pd.Series(pd.arrays.BooleanArray(yes, blank))


def _decimal(units: int) -> str:
    whole, part = divmod(abs(units), RATE_SCALE)
    text = f"{whole}.{part:06}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 else text


def _times(chunk: Chunk, portion: Portion, stated_as_of: "pd.Series[str]", as_of: date) -> "dict[str, pd.Series[str]]":
    """Say of which period each row is, and from when until when it is valid. Of few days each is thought of once."""
    table, this_year = portion.layout.table, str(as_of.year)
    numbers, begins = cleaning.distinct(chunk.dates(table.valid_from), str)
    if table.period == "as_of":
        period = stated_as_of
    elif table.period == "date":
        period = cleaning.spread(numbers, [day[:4] or this_year for day in begins])
    elif table.period == "month":
        period = cleaning.spread(numbers, [day[:7] or this_year for day in begins])
    else:
        granted = _or(chunk.dates("grant_year").str.slice(0, 4), str(portion.context.year or ""))
        blank = granted == ""
        years = cleaning.spread(numbers, [day[:4] or this_year for day in begins]) if blank.any() else granted
        period = granted.where(~blank, years)
    start = cleaning.spread(numbers, [days.first_day(day) or None for day in begins])
    if table.period == "as_of" and table.valid_from == "as_of":
        start = _filled(stated_as_of)
    end = cleaning.constant(None, len(chunk))
    if table.valid_to in chunk.iso:
        end = _filled(cleaning.each(chunk.iso[table.valid_to], days.last_day))
    return {"period": period, "valid_from": start, "valid_to": end}


def _or(column: "pd.Series[str]", instead: str) -> "pd.Series[str]":
    blank = cleaning.blank(column)
    if blank.all():
        return cleaning.constant(instead, len(column))
    return column.mask(blank, instead) if blank.any() else column


def _filled(column: "pd.Series[str]") -> "pd.Series[str]":
    """Turn blank texts into missing values."""
    blank = cleaning.blank(column)
    return column.mask(blank) if blank.any() else column


def _project(portion: Portion, label: str) -> str:
    """Name a roster's project: a declared one that its title, sheet or file names, else what its title is called."""
    known = cells.project_in(portion.layout.source.projects, portion.context.title)
    if known:
        return known.name
    title = next((text for text in portion.layout.preamble if len(text) > 4), label)  # noqa: PLR2004  # too short for a title
    return cleaning.without(_PROJECT_NOISE, title) or label


# ---- what a basis covers --------------------------------------------------------------------------------------------

TOLD: Final = "identity:"  # before the name of an identity field that may not be held: told to the store, not stored


class Covers:
    """For each row the fields that its basis covers, as a number; most rows of a table share one of few sets."""

    def __init__(self, size: int) -> None:
        self._numbers = np.zeros(size, dtype=np.intp)
        self._sets: dict[frozenset[str] | None, int] = {None: 0}

    def give(self, where: Mask, numbers: npt.NDArray[np.intp], fields: Sequence[frozenset[str] | None]) -> None:
        """Say for the rows of `where` which of `fields` is theirs, by number."""
        by_number = [self._sets.setdefault(one, len(self._sets)) for one in fields]
        self._numbers[where] = np.array(by_number, dtype=np.intp)[numbers]

    def narrow(self, row: int, fields: frozenset[str] | None) -> None:
        """Leave of a row's fields only those of another person in it."""
        before = list(self._sets)[self._numbers[row]]
        both = fields if before is None else before if fields is None else before & fields
        self._numbers[row] = self._sets.setdefault(both, len(self._sets))

    def column(self) -> "pd.Series[str]":
        """Write the fields' names; NA where all are covered."""
        texts = [" ".join(sorted(one)) if one is not None else None for one in self._sets]
        return pd.Series(pd.array(texts, dtype="str").take(self._numbers))


def covered_by(covered: "pd.Series[str]", fields: Collection[str]) -> Mask:
    """Say which rows' bases cover one of these fields; a basis that names no fields covers all."""
    numbers, texts = pd.factorize(covered)
    within = [not set(fields).isdisjoint(text.split()) for text in texts]
    return np.array([*within, True], dtype=bool)[numbers]


def strip(frame: pd.DataFrame, kind: Kind) -> None:
    """Blank what a row's basis does not cover, in place. Identity fields that go are kept beside it, under `TOLD`."""
    if frame["covered"].isna().all():
        return
    numbers, texts = pd.factorize(frame["covered"])
    covered = [set(text.split()) for text in texts]
    for name in [name for name in kind.fields if name in frame]:
        beyond = np.array([*(name not in names for names in covered), False], dtype=bool)[numbers]
        if beyond.any():
            if name in kind.identity:
                frame[TOLD + name] = frame[name]
            frame[name] = frame[name].mask(beyond)


def feeds(table: Table, use: Use) -> tuple[str, ...]:
    """Name the fields that a column's cells go into; a place goes into the village's code."""
    if use.column.held:
        return tuple(use.column.into) or (use.name,)
    villages = [check for check in table.checks if isinstance(check, Village)]
    return tuple(one.into for one in villages if use.name in (one.code, one.county, one.town, one.name))
