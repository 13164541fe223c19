"""Columns of dates: single days, first and last days in one cell, how long something lasts, days without a year. Pure.

What one row needs another column for (a year, the last day of a term) is completed once all columns are read.
"""

import numpy as np
import pandas as pd

from connectors import cleaning, days
from connectors.chunk import SINCE, Cells, Chunk


def one_date(chunk: Chunk, cell: Cells) -> None:
    """Read a column of days; how long a row is valid may be said in other ways too."""
    found = days.dates(cell.text)
    if cell.name == chunk.table.valid_to and found.bad.any():
        found = _until(chunk, cell, found)
    _dates(chunk, cell.name, found, cell)


def _until(chunk: Chunk, cell: Cells, found: days.Dates) -> days.Dates:
    """Read how long a row is valid where that is no date: from one day to another (the last is taken), or 一年."""
    rest = cell.text.where(found.bad, "")
    numbers, months = cleaning.distinct(rest, days.months)
    chunk.months = np.array(months, dtype=np.int64)[numbers]
    start, end = days.date_ranges(rest)
    ranged = ((start.iso != "") & (end.iso != "")).to_numpy(dtype=bool) & ~start.iso.str.startswith("--").to_numpy()
    chunk.iso[SINCE] = start.iso.where(ranged, "")
    ambiguous = found.bad & (start.ambiguous | end.ambiguous)
    bad = found.bad & ~ranged & ~ambiguous & (chunk.months == 0)
    return days.Dates(end.iso.where(ranged, found.iso), found.missing, found.ambiguous | ambiguous, bad)


def two_dates(chunk: Chunk, cell: Cells) -> None:
    """Read a column that has a first and a last day in each cell."""
    both = days.date_ranges(cell.text)
    for into, found in zip(cell.use.column.into, both, strict=True):
        chunk.heads[into] = cell.use.heading
        _dates(chunk, into, found, cell)
    if any(found.iso.str.startswith("--").any() for found in both):
        chunk.yearless.append((cell.use.column.into[0], cell.use.column.into[1]))


def completed(chunk: Chunk) -> None:
    """Complete dates by the row's own first day (a rating's evaluation): its year, or the last day of a term."""
    since, until = chunk.table.valid_from, chunk.table.valid_to
    begin = chunk.dates(since)
    for names in chunk.yearless:
        numbers, rows = cleaning.distinct_rows([chunk.iso[names[0]], chunk.iso[names[1]], begin])
        whole = [days.in_year(*row) if row[2] else row[:2] for row in rows]
        for name, texts in zip(names, zip(*whole, strict=True), strict=True):
            text = cleaning.spread(numbers, texts)
            bad = (text.str.startswith("--") | (text == "!")).to_numpy(dtype=bool)
            chunk.iso[name] = text.mask(bad, "")
            chunk.mark("DATE_MALFORMED", bad, name)
    if chunk.months is not None and chunk.months.any():
        terms = pd.Series(chunk.months.astype(str), dtype="str")
        numbers, rows = cleaning.distinct_rows([begin, terms])
        ends = [days.end_of_term(day, int(length)) if day and length != "0" else "" for day, length in rows]
        chunk.iso[until] = cleaning.spread(numbers, ends).where(chunk.months > 0, chunk.iso[until])


def _dates(chunk: Chunk, name: str, found: days.Dates, cell: Cells) -> None:
    chunk.iso[name] = found.iso
    chunk.mark("DATE_AMBIGUOUS", found.ambiguous, name)
    bad = found.bad | found.missing if cell.mandatory else found.bad & ~days.remarks(cell.text)
    chunk.mark("DATE_MALFORMED", bad & ~cell.broken, name)


def months(chunk: Chunk, cell: Cells) -> None:
    """Read a column of calendar months."""
    _dates(chunk, cell.name, days.calendar_months(cell.text), cell)
