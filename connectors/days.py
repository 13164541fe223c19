"""What the cells of a column of dates mean: days, months, first and last days in one cell, terms. Vectorised.

Each different text is read once, by the rules of `registry.dates`. Nothing is guessed and nothing is repaired: a cell
that no rule reads is marked, and so is a year of two digits.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from connectors import cleaning
from connectors.verdict import Mask
from registry.dates import stated_date
from registry.errors import DateAmbiguous, DateUnreadable


@dataclass(frozen=True, slots=True)
class Dates:
    """A column of dates: ISO text ("" where there is none; "2021-08" where no day was given), and what went wrong."""

    iso: "pd.Series[str]"
    missing: Mask
    ambiguous: Mask
    bad: Mask


_AMBIGUOUS: Final = "?"
_BAD: Final = "!"


def dates(text: "pd.Series[str]") -> Dates:
    """Read dates in every form of docs/requirements.md, identifiers, Excel serials among them."""
    iso = cleaning.each(text, iso_date)
    return _dates(iso)


def iso_date(text: str) -> str:
    """Read one date: ISO text, "" for none, "?" for a two-digit year, "!" for no date."""
    if text.strip() in cleaning.MISSING:
        return ""
    try:
        return stated_date(text).iso
    except DateAmbiguous:
        return _AMBIGUOUS
    except DateUnreadable:
        return _BAD


def _dates(iso: "pd.Series[str]") -> Dates:
    ambiguous = (iso == _AMBIGUOUS).to_numpy(dtype=bool)
    bad = (iso == _BAD).to_numpy(dtype=bool)
    known = iso.mask(ambiguous | bad, "")
    return Dates(known, (iso == "").to_numpy(dtype=bool), ambiguous, bad)


_SIX_DIGITS: Final = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])")
MONTH_LENGTH: Final = len("2021-08")


def calendar_months(text: "pd.Series[str]") -> Dates:
    """Read months: `2026-03`, 2026年3月, a day of it, and `202603`, which in a column of months is no other date."""
    return _dates(cleaning.each(text, _calendar_month))


def _calendar_month(text: str) -> str:
    plain = cleaning.squeezed(text)
    iso = f"{plain[:4]}-{plain[4:]}" if _SIX_DIGITS.fullmatch(plain) else iso_date(text)
    return iso[:MONTH_LENGTH] if len(iso) >= MONTH_LENGTH or len(iso) <= 1 else _BAD


_PARTIAL: Final = re.compile(r"(\d{1,2})月(\d{1,2})[日号]?|(\d{1,2})\.(\d{1,2})")
_NUMERALS: Final = {numeral: value for value, numeral in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_TERM: Final = re.compile(
    r"(?:有效期)?(?:([1-9]|[一二两三四五六七八九十])周?年|([1-9][0-9]?|[一二两三四五六七八九十])个月)(?:期|有效)?"
)
_DURATION: Final = re.compile(r"\d{1,3}(?:个)?(?:工作日|天|周)|工作日")
_DATE_LIKE: Final = re.compile(r"\d|[〇零一二三四五六七八九十廿][年月日号]")
_RANGE: Final = re.compile(r"(.*?\d[日号]?)\s*(?:至|到|—+|－|–|~|～|\s-\s|(?<=\d)-(?=\d{4}))\s*(.*)")


def date_ranges(text: "pd.Series[str]") -> tuple[Dates, Dates]:
    """Read `2026.5.10-2026.5.16`; a second date without a year takes the first one's.

    Of `5月10日至5月16日` the dates are `--05-10` and `--05-16`: the year is for the caller to say (`in_year`).
    """
    starts = cleaning.each(text, lambda one: _ends(one)[0])
    ends = cleaning.each(text, lambda one: _ends(one)[1])
    return _dates(starts), _dates(ends)


def _ends(text: str) -> tuple[str, str]:
    folded = unicodedata.normalize("NFKC", text).strip()
    if folded in cleaning.MISSING:
        return "", ""
    split = _RANGE.fullmatch(folded) or re.fullmatch(r"([\d.年月/]+日?)\s*-\s*([\d.年月/]+日?)", folded)
    if not split:
        one = iso_date(folded)
        return one, one if one in {_AMBIGUOUS, _BAD} else ""
    start, end = iso_date(split[1]), split[2].strip()
    if start == _BAD and (first := _PARTIAL.fullmatch(split[1].strip())):
        second = _PARTIAL.fullmatch(end) or re.fullmatch(r"()(\d{1,2})[日号]()()", end)
        return _yearless(first, "") if second else _BAD, _yearless(second, first[1] or first[3]) if second else _BAD
    if start not in {"", _AMBIGUOUS, _BAD} and re.fullmatch(r"\d{1,2}(?:[./月-]\d{1,2})?日?", end):
        end = _completed(start, end)
    return start, iso_date(end)


def _yearless(match: re.Match[str], month: str) -> str:
    stated, day = match[1] or match[3] or month, match[2] or match[4]
    text = f"-{int(stated):02}-{int(day):02}"
    return f"-{text}" if iso_date(f"2024{text}") != _BAD else _BAD


def in_year(start: str, end: str, day: str) -> tuple[str, str]:
    """Put dates without a year into the year of `day`; a period over new year began the year before."""
    year = int(day[:4])
    crossing = start.startswith("--") and end.startswith("--") and end < start
    whole = [f"{year - crossing}{start[1:]}" if start.startswith("--") else start]
    whole.append(f"{year}{end[1:]}" if end.startswith("--") else end)
    checked = [one if not one or iso_date(one)[:1].isdigit() else _BAD for one in whole]
    return checked[0], checked[1]


def _completed(start: str, end: str) -> str:
    parts = [int(part) for part in re.findall(r"\d+", end)]
    year, month = start[:4], int(start[5:7])
    month, day = parts if len(parts) > 1 else (month, parts[0])
    return f"{year}-{month:02}-{day:02}"


def remarks(text: "pd.Series[str]") -> Mask:
    """Find cells of words that are no date and mean none: 未发放, 长期, 已公示, 7个工作日."""
    numbers, found_ = cleaning.distinct(text, _is_remark)
    return np.array([*found_, False], dtype=bool)[numbers]


def _is_remark(text: str) -> bool:
    bare = _DURATION.sub("", cleaning.squeezed(text))
    return not _DATE_LIKE.search(bare) and (not bare or re.search("[一-鿿]", bare) is not None)


def months(text: str) -> int:
    """Read how long something lasts (一年, 1年, 12个月), in months; 0 where the text does not say that."""
    match = _TERM.fullmatch(cleaning.squeezed(text))
    if match is None:
        return 0
    years, single = match[1], match[1] or match[2]
    return (_NUMERALS.get(single) or int(single)) * (12 if years else 1)


def end_of_term(start: str, length: int) -> str:
    """Give the last day of so many months from an ISO day: 2026-05-20 and 12 make 2027-05-19."""
    first = date.fromisoformat(first_day(start))
    year, month = divmod(first.year * 12 + first.month - 1 + length, 12)
    following = date.fromisoformat(last_day(f"{year:04}-{month + 1:02}"))
    day = following if following.day < first.day else following.replace(day=first.day)
    return date.fromordinal(day.toordinal() - (day.day == first.day)).isoformat()


def last_day(iso: str) -> str:
    """Give the last day that an ISO text of day, month or year precision can mean; "" stays ""."""
    if len(iso) == len("2021"):
        return f"{iso}-12-31"
    if len(iso) == len("2021-08"):
        year, month = int(iso[:4]), int(iso[5:])
        following = date(year + month // 12, month % 12 + 1, 1)
        return date.fromordinal(following.toordinal() - 1).isoformat()
    return iso


def first_day(iso: str) -> str:
    """Give the first day that an ISO text can mean; "" stays ""."""
    return iso + "-01-01"[3 * (len(iso) // 3 - 1) :] if len(iso) in {4, 7} else iso
