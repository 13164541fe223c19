"""Administrative divisions (行政区划) of Qinghai: codes, their successors, and names as people write them.

Tables in `registry/data`: the divisions as the National Bureau of Statistics listed them on 2022-10-31 (6 digits down
to counties, 9 for towns, 12 for villages), and codes retired before that day with the year and the successor. Both are
dated: a code that came or went later is not known here.

A name is matched in a folded form (variant characters 査/查, full-width, 村民委员会/村委会/牧委会, 镇/乡); the stored
form stays as it is. A village's name counts only within its town, and only when it is the one there: 339 names repeat
across the province. Not done: guessing between two, correcting typing mistakes.
"""

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

PROVINCE: Final = "63"
PROVINCES: Final = frozenset(
    map(
        str,
        (
            *range(11, 16),
            *range(21, 24),
            *range(31, 38),
            *range(41, 47),
            *range(50, 55),
            *range(61, 66),
            71,
            81,
            82,
            83,
        ),
    ),
)  # GB/T 2260 by first two digits; 83 stands on residence permits for Taiwan
COUNTY_LEVELS: Final = frozenset({"county", "county_admin_committee"})
_DIVISIONS: Final = "qinghai_divisions.csv"
_RETIRED: Final = "qinghai_divisions_retired.csv"
_COUNTY_DIGITS, _TOWN_DIGITS, _VILLAGE_DIGITS = 6, 9, 12
_BLANKS: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_VARIANTS: Final = str.maketrans("査峯邨滙灣龎渉寛扵峽恊黒臺荘髙祁彊崐崘", "查峰村汇湾庞涉宽于峡协黑台庄高祁疆昆仑")
_PEOPLES: Final = "回族|土族|藏族|蒙古族|撒拉族|汉族|东乡族|保安族|满族|哈萨克族"
_COUNTY_TAIL: Final = re.compile(f"(?:{_PEOPLES})*(?:自治县|县|市|区|行政委员会|行委)$")
_TOWN_TAIL: Final = re.compile(f"(?:{_PEOPLES})*(?:民族乡|人民政府|镇|乡|街道办事处|街道办|街道)$")
_COMMUNITY_TAIL: Final = re.compile("(?:社区居民委员会|社区居委会|社区委员会|社区|居民委员会|居委会)$")
_VILLAGE_TAIL: Final = re.compile(
    "(?:村村民委员会|村民委员会|村民委会|村村委会|牧民委员会|村牧委会|牧业委员会|村委会|牧委会|民委会|委员会|委会|牧业村|村)$",
)


class Standing(StrEnum):
    """Whether a code is in the tables."""

    CURRENT = "current"
    RETIRED = "retired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Division:
    """One division as it is today. `level` is the table's: province, prefecture, county, town, village and so on."""

    code: str
    name: str
    level: str
    parent: str

    @property
    def is_village(self) -> bool:
        """Whether it is of the lowest level: a village, a residents' committee or a special area."""
        return len(self.code) == _VILLAGE_DIGITS


class Resolution(NamedTuple):
    """What a code means at a date: today's division, and whether the code was retired by then."""

    division: Division
    retired: bool


class _Retired(NamedTuple):
    year: int
    successor: str


def resolve(code: str, at: date) -> Resolution | None:
    """Return the division that a code of 6, 9 or 12 digits stands for, through its successors; None when unknown.

    `retired` is set when the code was no longer valid at the date; a record older than the change is right to use it.
    """
    table, first = _table(), code
    retired = False
    while first in _retired():
        change = _retired()[first]
        retired = retired or at.year >= change.year
        first = change.successor
    found = table.get(first)
    return None if found is None else Resolution(found, retired)


def division(code: str) -> Division | None:
    """Return the division that has this code today."""
    return _table().get(code)


def region_standing(region: str) -> Standing:
    """Say whether the first six digits of a resident ID are a region, current or retired.

    Qinghai is known to the county; of other provinces (in-migrants, spouses) the first two digits are.
    """
    if region in _table():
        return Standing.CURRENT
    if region in _retired():
        return Standing.RETIRED
    elsewhere = region[:2] != PROVINCE and region[:2] in PROVINCES
    return Standing.CURRENT if elsewhere or region[:1] == "9" else Standing.UNKNOWN


def known_regions() -> frozenset[str]:
    """Return the six-digit codes of Qinghai, current and retired, that a resident ID may begin with."""
    return frozenset(code for code in _table() if len(code) == _COUNTY_DIGITS) | frozenset(_retired())


def folded(name: str) -> str:
    """Return the form of a name that is compared: half-width, without blanks, variant characters as usual ones."""
    return _BLANKS.sub("", unicodedata.normalize("NFKC", name)).translate(_VARIANTS)


def county_by_name(name: str) -> Division | None:
    """Return the county-level unit of this name (民和县, 海东市民和县), or None when unknown or unclear."""
    wanted = folded(name).removeprefix("青海省")
    names = _county_names()
    for prefecture in ("", *_prefecture_names()):
        if wanted.startswith(prefecture):
            bare = wanted.removeprefix(prefecture)
            found = names.get(bare) or names.get(_COUNTY_TAIL.sub("", bare))
            if found is not None:
                return found
    return None


def prefecture_by_name(name: str) -> Division | None:
    """Return the prefecture or the province of this name (玉树州, 青海省), or None when unknown."""
    return _wide_names().get(folded(name))


def town_by_name(county: str, name: str) -> Division | None:
    """Return the town, township or subdistrict of this name in a county (its six-digit code), or None."""
    wanted = folded(name)
    names = _child_names(county)
    return names.get(wanted) or names.get(_town_stem(wanted))


def village_by_name(county: str, town: str, village: str) -> Division | None:
    """Return the village of this name in a town of a county, when it is the only one there, else None.

    Args:
        county: six-digit code or name.
        town: nine-digit code or name.
        village: name, with or without 村, 村委会, 牧委会, 社区, …
    """
    within = county if county in _table() else _code(county_by_name(county))
    town_code = town if town in _table() else _code(town_by_name(within, town))
    if not town_code or _table()[town_code].parent != within:
        return None
    names = _child_names(town_code)
    wanted = folded(village)
    return names.get(wanted) or names.get(_village_stem(wanted))


def villages_of(town: str) -> tuple[Division, ...]:
    """Return the divisions of the lowest level in a town (its nine-digit code)."""
    return _children().get(town, ())


def _code(found: Division | None) -> str:
    return "" if found is None else found.code


def _town_stem(name: str) -> str:
    return f"#{_TOWN_TAIL.sub('', name)}"


def _village_stem(name: str) -> str:
    """Return stem and kind: a village and a residents' committee of one name are two places."""
    bare = _COMMUNITY_TAIL.sub("", name)
    if bare != name:
        return f"#community:{bare}"
    bare = _VILLAGE_TAIL.sub("", name)
    return f"#village:{_VILLAGE_TAIL.sub('', bare) or bare}"


def _unique(pairs: Iterable[tuple[str, Division]]) -> dict[str, Division]:
    """Keep the names that stand for one division."""
    found: dict[str, set[Division]] = defaultdict(set)
    for name, place in pairs:
        found[name].add(place)
    return {name: places.pop() for name, places in found.items() if len(places) == 1}


@lru_cache(maxsize=4096)
def _child_names(parent: str) -> Mapping[str, Division]:
    stem = _town_stem if len(parent) == _COUNTY_DIGITS else _village_stem
    children = [(folded(child.name), child) for child in _children().get(parent, ())]
    exact = _unique(children)
    return _unique((stem(name), child) for name, child in children) | exact


@lru_cache(maxsize=1)
def _county_names() -> Mapping[str, Division]:
    counties = [(folded(place.name), place) for place in _table().values() if place.level in COUNTY_LEVELS]
    return _unique((_COUNTY_TAIL.sub("", name), place) for name, place in counties) | _unique(counties)


@lru_cache(maxsize=1)
def _prefecture_names() -> tuple[str, ...]:
    names = [folded(place.name) for place in _table().values() if place.level == "prefecture"]
    short = [re.sub(f"(?:{_PEOPLES})+自治州$", "州", name) for name in names]
    return tuple(sorted({*names, *short}, key=len, reverse=True))


@lru_cache(maxsize=1)
def _wide_names() -> Mapping[str, Division]:
    wide = [(folded(place.name), place) for place in _table().values() if place.level in {"prefecture", "province"}]
    return _unique([*wide, *((re.sub(f"(?:{_PEOPLES})+自治州$", "州", name), place) for name, place in wide)])


@lru_cache(maxsize=1)
def _children() -> Mapping[str, tuple[Division, ...]]:
    found: dict[str, list[Division]] = defaultdict(list)
    for place in _table().values():
        found[place.parent].append(place)
    return {parent: tuple(places) for parent, places in found.items()}


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Division]:
    return {row["code"]: Division(row["code"], row["name"], row["level"], row["parent"]) for row in _rows(_DIVISIONS)}


@lru_cache(maxsize=1)
def _retired() -> Mapping[str, _Retired]:
    return {row["code"]: _Retired(int(row["retired"]), row["successor"]) for row in _rows(_RETIRED)}


def _rows(name: str) -> list[dict[str, str]]:
    text = files("registry").joinpath("data", name).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(text.splitlines()))
