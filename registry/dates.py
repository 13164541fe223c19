"""Calendar dates as agencies write them, turned into ISO 8601 with the precision that was stated.

Read: `2024-01-15` `2024/1/15` `2024.1.15` `20240115` `2024年1月15日` `2024年1月` `2024-01` `2024年` `2024`, each also
full-width, with Chinese numerals (二〇二四年一月十五日) or with a time behind it, without 日 at its end, and
spreadsheet serials of the 1900 system, with or without the time of day. Serial 60 is the 29 February 1900 that never
was and is refused. A two-digit year is refused: nobody guesses a century. So is a number of six digits, which may be
a two-digit year as well. After docs/requirements.md, identifiers.
"""

import re
import unicodedata
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from registry.errors import DateAmbiguous, DateUnreadable


class Precision(StrEnum):
    """How much of the date was stated."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class StatedDate(NamedTuple):
    """A date as `2024-01-15`, `2024-01` or `2024`, and its precision."""

    iso: str
    precision: Precision

    @property
    def first_day(self) -> date:
        """The first day that it can mean."""
        return date.fromisoformat((self.iso + "-01-01")[:10])


_EPOCH: Final = date(1899, 12, 30)  # serials after the 29 February 1900 that never was
_FALSE_LEAP_DAY: Final = 60
_LAST_SERIAL: Final = 2_958_465  # 9999-12-31
_FIRST_YEAR, _LAST_YEAR = 1850, 2200
_BLANKS: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_TIME: Final = re.compile(r"[T ]\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?\s*(?:Z|[+-][0-9]{2}:?[0-9]{2})?$")
_FORMS: Final = (
    re.compile(r"(?P<y>[0-9]{4})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})"),
    re.compile(r"(?P<y>[0-9]{4})年(?P<m>[0-9]{1,2})月(?P<d>[0-9]{1,2})[日号]?"),
    re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"),
    re.compile(r"(?P<y>[0-9]{4})[-/.](?P<m>[0-9]{1,2})"),
    re.compile(r"(?P<y>[0-9]{4})年(?P<m>[0-9]{1,2})月(?:份)?"),
    re.compile(r"(?P<y>[0-9]{4})年?(?:度)?"),
)
_TWO_DIGIT_YEAR: Final = re.compile(
    r"'?[0-9]{2}(?:[-/.][0-9]{1,2}(?:[-/.][0-9]{1,2})?|年[0-9]{1,2}月.*|年)|[0-9]{6}"
    r"|[0-9]{1,2}(?P<s>[-/.])[0-9]{1,2}(?P=s)[0-9]{2}"  # 1/15/24
)
_SERIAL: Final = re.compile(r"[0-9]{5}(?:\.[0-9]{1,15})?")  # with the time of day behind the point
_NUMERALS: Final = {ord(numeral): str(value) for value, numeral in enumerate("〇一二三四五六七八九")} | {ord("零"): "0"}
_TENS: Final = re.compile("([一二三]?)十([一二三四五六七八九]?)")


def stated_date(value: str | float | date) -> StatedDate:
    """Read a date in any of the forms above; a cell that is a date or a number of a spreadsheet may be given as such.

    Raises:
        DateAmbiguous: a two-digit year, or six digits.
        DateUnreadable: no form fits, or no such day. The message does not repeat the text.
    """
    if isinstance(value, datetime):
        return StatedDate(value.date().isoformat(), Precision.DAY)
    if isinstance(value, date):
        return StatedDate(value.isoformat(), Precision.DAY)
    if isinstance(value, str):
        return _from_text(value)
    return _from_number(value)


def from_serial(serial: float) -> date:
    """Turn a spreadsheet's serial (1900 system, day 1 = 1900-01-01) into a date; the time of day is dropped.

    Raises:
        DateUnreadable: 60, which is no day, or outside 1 to 2 958 465.
    """
    if not 1 <= serial < _LAST_SERIAL + 1:
        raise DateUnreadable("a serial outside the calendar")
    day = int(serial)
    if day == _FALSE_LEAP_DAY:
        raise DateUnreadable("serial 60 is 1900-02-29, which never was")
    return _EPOCH + timedelta(days=day if day > _FALSE_LEAP_DAY else day + 1)


def _from_number(value: float) -> StatedDate:
    if value != value:  # noqa: PLR0124  # NaN is not equal to itself
        raise DateUnreadable("a cell that is no number")
    if float(value).is_integer() and (_FIRST_YEAR <= value <= _LAST_YEAR or value > _LAST_SERIAL):
        return _from_text(str(int(value)))
    return StatedDate(from_serial(value).isoformat(), Precision.DAY)


def _from_text(text: str) -> StatedDate:
    folded = _TIME.sub("", unicodedata.normalize("NFKC", text).strip().lstrip("'"))
    folded = _BLANKS.sub("", folded)
    if "年" in folded:
        folded = _TENS.sub(_arabic, folded).translate(_NUMERALS)
    folded = folded.replace("—", "-").replace("–", "-")
    for form in _FORMS:
        match = form.fullmatch(folded)
        if match is not None:
            return _checked(match.groupdict())
    if _TWO_DIGIT_YEAR.fullmatch(folded):
        raise DateAmbiguous("a date with a two-digit year")
    if _SERIAL.fullmatch(folded):
        return StatedDate(from_serial(float(folded)).isoformat(), Precision.DAY)
    raise DateUnreadable("not a date in a form that is known")


def _checked(parts: dict[str, str | None]) -> StatedDate:
    year, month, day = int(parts["y"] or 0), parts.get("m"), parts.get("d")
    try:
        found = date(year, int(month or 1), int(day or 1))
    except ValueError:
        raise DateUnreadable("no such day") from None
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise DateUnreadable("a year that no record can have")
    if day is not None:
        return StatedDate(found.isoformat(), Precision.DAY)
    if month is not None:
        return StatedDate(f"{year:04}-{found.month:02}", Precision.MONTH)
    return StatedDate(f"{year:04}", Precision.YEAR)


def _arabic(match: re.Match[str]) -> str:
    """十五 → 15, 二十 → 20, 十 → 10."""
    return f"{match[1].translate(_NUMERALS) or '1'}{match[2].translate(_NUMERALS) or '0'}"
