"""A cleaned chunk laid out by the catalogue's fields: what would be held of each row, and for when. Pure.

A field comes from the column of its name; what the file says of itself (year, day, project, village) fills what no
column says. Codes, outcomes and bases are added by normalise.
"""

from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from connectors import cells, cleaning
from connectors.cells import RATE_SCALE, Chunk, Part
from registry.catalogue import FieldSpec, Kind

_PROJECT_NOISE: Final = (
    r"(20\d\d年?度?|第?[一二三四]季度|资金|发放|兑付|补发|花名册|明细表?|汇总表?|登记表|公示表?|一览表|台账|名单|统计表|清单|表$|[_\s()（）-]|"
    r"\.\w+$)"
)


def lay_out(chunk: Chunk, part: Part, kind: Kind, label: str, as_of: date) -> pd.DataFrame:
    """Lay a cleaned chunk out by the catalogue's fields."""
    size = len(chunk)
    stated_as_of = _or(chunk.dates("as_of"), part.context.as_of or as_of.isoformat())
    frame: dict[str, object] = {
        "row_no": chunk.rows + 1,
        "sheet": cleaning.constant(part.grid.sheet, size),
        "subject_kind": cleaning.spread(chunk.person.astype(np.intp), ["organisation", "person"]),
        "subject_id": _filled(chunk.subject),
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
    times = _times(chunk, part, stated_as_of, as_of)
    frame |= times
    if "as_of" in kind.fields:
        frame["as_of"] = stated_as_of
    if "grant_year" in kind.fields:
        numbers, years = cleaning.distinct(times["period"], lambda one: int(one or 0))
        frame["grant_year"] = pd.Series(np.array(years, dtype=np.int64)[numbers], dtype="Int64")
    return pd.DataFrame(frame)


def _field(chunk: Chunk, name: str, spec: FieldSpec) -> "pd.Series[str] | pd.Series[int] | None":
    if name in chunk.figures:
        column = chunk.figures[name]
        if spec.type != "rate6":
            return column.nullable()
        numbers, units = pd.factorize(column.units)
        decimal = cleaning.spread(numbers, [_decimal(int(one)) for one in units])
        return decimal.mask(~column.known)
    if name in chunk.iso:
        return _filled(chunk.iso[name])
    if name in chunk.text:
        return _filled(chunk.text[name])
    return None


def _decimal(units: int) -> str:
    whole, part = divmod(abs(units), RATE_SCALE)
    text = f"{whole}.{part:06}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 else text


def _times(chunk: Chunk, part: Part, stated_as_of: "pd.Series[str]", as_of: date) -> "dict[str, pd.Series[str]]":
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
    return {"period": period, "valid_from": _filled(start), "valid_to": _filled(end)}


def _or(column: "pd.Series[str]", instead: str) -> "pd.Series[str]":
    blank = column == ""
    return column.mask(blank, instead) if blank.any() else column


def _filled(column: "pd.Series[str]") -> "pd.Series[str]":
    """Turn blank texts into missing values."""
    blank = column == ""
    return column.mask(blank) if blank.any() else column


def _project(part: Part, label: str) -> str:
    """Name a roster's project: a declared one that its title, sheet or file names, else what its title is called."""
    known = cells.project_in(part.layout.source.projects, part.context.title)
    if known:
        return known.name
    title = next((text for text in part.layout.preamble if len(text) > 4), label)  # noqa: PLR2004  # too short for a title
    return cleaning.without(_PROJECT_NOISE, title) or label
