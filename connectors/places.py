"""What a file says of itself: which county, town and village it is about, which year, which day it stands at.

Read from its title, fill-unit row, sheet name and file name; never from its rows. And the villages of its rows:
a code by the table at the record's date, a name only within its town (docs/requirements.md, identifiers).
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from connectors.days import iso_date, last_day
from registry import divisions

_YEAR: Final = re.compile(r"(?<!\d)(20[0-4]\d)(?:年度?|(?=\D|$))")
_AS_OF: Final = re.compile(r"截[止至](?:日期|时间)?:?\s*(\d{4}[\d年月日./-]+)|(\d{4}[\d年月日./-]+)止")
_ANY_DATE: Final = re.compile(r"\d{4}年\d{1,2}月\d{1,2}日|\d{4}[./-]\d{1,2}[./-]\d{1,2}")
_QUARTER: Final = re.compile(r"(20\d\d)年?(?:第)?([一二三四1-4])季度|(20\d\d)[-_ ]?Q([1-4])")
_QUARTER_ENDS: Final = {1: "03-31", 2: "06-30", 3: "09-30", 4: "12-31"}
_PUBLISHER: Final = re.compile(r"(?:填报|填表|报送|编制|评定|制表|上报)(?:单位|部门)(?:\([^)]*\))?:\s*([一-鿿]{4,40})")
_COUNTY_ENDS: Final = "县市区委"
_TOWN_ENDS: Final = "乡镇道办"
_LONGEST_NAME: Final = 14
COUNTY_DIGITS: Final = 6
VILLAGE_DIGITS: Final = 12
_TOWN_DIGITS: Final = 9
_GROUP: Final = re.compile(r"第?[一二三四五六七八九十\d]+(?:村民)?(?:小组|社|组|队|合作社)$")


@dataclass(frozen=True, slots=True)
class Context:
    """What a sheet is about. Codes are "" and the year None where it does not say."""

    county: str = ""
    town: str = ""
    village: str = ""
    year: int | None = None
    as_of: str = ""
    title: str = ""
    publisher: str = ""


def context(preamble: Sequence[str], sheet: str, file_name: str) -> Context:
    """Read the rows above the header, the sheet's name and the file's name, in this order of trust."""
    stem = re.sub(r"\.[A-Za-z]{2,4}$", "", file_name.rsplit("/", 1)[-1])
    texts = [unicodedata.normalize("NFKC", text) for text in (*preamble, sheet, stem) if text]
    county, town, village = "", "", ""
    for text in texts:
        found = _places(text)
        if not county or (found[0] == county and len("".join(found)) > len(county + town + village)):
            county, town, village = found
    if county and town and not village:
        named = divisions.village_by_name(county, town, sheet)
        village = named.code if named else ""
    years = [int(match[1]) for text in texts for match in _YEAR.finditer(text)]
    title = " ".join((*texts[:1], sheet, stem))
    publisher = next((match[1] for text in texts if (match := _PUBLISHER.search(text))), "")
    return Context(county, town, village, years[0] if years else None, _as_of(texts), title, publisher)


def _as_of(texts: Sequence[str]) -> str:
    for text in texts:
        if match := _AS_OF.search(text):
            stated = iso_date(match[1] or match[2])
            if stated[:1].isdigit():
                return last_day(stated)
    for text in texts:
        if match := _QUARTER.search(text):
            number = match[2] or match[4]
            quarter = "一二三四".find(number) + 1 or int(number)
            return f"{match[1] or match[3]}-{_QUARTER_ENDS[quarter]}"
    stated_days = [iso_date(match[0]) for text in texts for match in _ANY_DATE.finditer(text)]
    return next((day for day in stated_days if day[:1].isdigit()), "")


def _places(text: str) -> tuple[str, str, str]:
    for end, character in enumerate(text):
        if character not in _COUNTY_ENDS:
            continue
        for start in range(max(0, end - _LONGEST_NAME), end - 1):
            county = divisions.county_by_name(text[start : end + 1])
            if county is not None:
                town, rest = _town(county.code, text[end + 1 :])
                return county.code, town, _village(county.code, town, rest)
    return "", "", ""


def _town(county: str, text: str) -> tuple[str, str]:
    for end in range(1, min(len(text), _LONGEST_NAME)):
        if text[end] in _TOWN_ENDS:
            found = divisions.town_by_name(county, text[: end + 1])
            if found is not None:
                return found.code, text[end + 1 :]
    return "", text


def _village(county: str, town: str, text: str) -> str:
    if not town:
        return ""
    for end in range(min(len(text), _LONGEST_NAME), 1, -1):
        found = divisions.village_by_name(county, town, text[:end])
        if found is not None:
            return found.code
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: today's code ("" when not found), and whether the code given was a retired one."""

    code: str
    retired: bool = False


UNKNOWN: Final = Place("")


def by_code(code: str, at: date) -> Place:
    """Resolve a code of 6, 9 or 12 digits at a day; a retired county stands for its successor in longer codes too."""
    digits = re.sub(r"[\s'\u200b]", "", unicodedata.normalize("NFKC", code))
    if not digits.isascii() or not digits.isdigit() or len(digits) not in {COUNTY_DIGITS, _TOWN_DIGITS, VILLAGE_DIGITS}:
        return UNKNOWN
    exact = divisions.resolve(digits, at)
    if exact is not None:
        return Place(exact.division.code, exact.retired)
    county = divisions.resolve(digits[:COUNTY_DIGITS], at)
    if county is None or county.division.code == digits[:COUNTY_DIGITS]:
        return UNKNOWN
    moved = divisions.division(county.division.code + digits[COUNTY_DIGITS:])
    return Place(moved.code, county.retired) if moved else UNKNOWN


def by_name(county: str, town: str, village: str) -> Place:
    """Resolve a village by name within its town; without the county both must be the only ones in the province.

    The cell may name county and town before the village (平安区石灰窑乡石灰窑村), which must not gainsay the others,
    and a group behind it (石灰窑村一社).
    """
    bare = _GROUP.sub("", unicodedata.normalize("NFKC", village).strip())
    for name in dict.fromkeys((village, bare)):
        found = _in_town(county, town, name)
        if found.code:
            return found
    stated, rest = _leading_county(bare)
    if stated and county and stated != county:
        return UNKNOWN
    for end in range(1, min(len(rest) - 1, _LONGEST_NAME)):
        if rest[end] in _TOWN_ENDS:
            found = _in_town(stated or county, rest[: end + 1], rest[end + 1 :])
            if found.code:
                return found if _agrees(found.code, town) else UNKNOWN
    return _in_town(stated or county, town, rest) if stated else UNKNOWN


def _agrees(village: str, town: str) -> bool:
    """Say whether a village's code lies in a town, given by name or code; "" is any."""
    named = divisions.town_by_name(village[:COUNTY_DIGITS], town) if town else None
    return town in {"", village[:_TOWN_DIGITS]} or (named is not None and village.startswith(named.code))


def _in_town(county: str, town: str, village: str) -> Place:
    if not town or not village:
        return UNKNOWN
    counties = [county] if county else sorted(divisions.known_regions())
    found = {place.code for one in counties if (place := divisions.village_by_name(one, town, village)) is not None}
    return Place(found.pop()) if len(found) == 1 else UNKNOWN


def _leading_county(text: str) -> tuple[str, str]:
    """Take the county's name off the beginning of a text."""
    for end in range(1, min(len(text), _LONGEST_NAME)):
        if text[end] in _COUNTY_ENDS:
            found = divisions.county_by_name(text[: end + 1])
            if found is not None:
                return found.code, text[end + 1 :]
    return "", text


def division_of(text: str, at: date) -> Place:
    """Resolve a district that a row is about: a code of 6, 9 or 12 digits, or a name that only one district has."""
    found = by_code(text, at)
    if found.code or not text.strip():
        return found
    named = divisions.county_by_name(text.strip()) or divisions.prefecture_by_name(text.strip())
    return Place(named.code) if named else UNKNOWN


def county_code(name: str) -> str:
    """Give the code of a county by its name; "" when unknown."""
    found = divisions.county_by_name(name) if name else None
    return found.code if found else ""


def county_name(code: str) -> str:
    """Give the name of a county by its code; "" when unknown."""
    found = divisions.division(code) if code else None
    return found.name if found else ""
