"""Rules that need several columns of a row. Each is declared in a source's yml and stands here once. Pure.

Figures are compared in whole units; 0.01 元 (one fen) and 0.01 亩 of difference are let pass, as
docs/requirements.md, rows says.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cleaning, days, places, source
from connectors.chunk import RATE_SCALE, SINCE, Chunk
from connectors.cleaning import Figures
from connectors.schemes import Scheme, in_force
from connectors.verdict import Mask

_FEN_TOLERANCE: Final = 1
_MU4_TOLERANCE: Final = 100
_ROUNDING: Final = 1e-6
_COLLECTIVE: Final = (
    r"(农村)?(股份)?经济(合作社|合作联社|联合社|联合总社|联合会)|集体经济组织|(村民|牧民|社区居民|居民)?委员会|"
    r"村委会|牧委会|居委会|股份合作社|合作社|村$"
)


_PLACED: Final = re.compile(
    r"((?:.{2,}?(?:自治县|县|区|市|行委))?(?:.{2,}?(?:乡|镇|街道|街道办事处))?)(.{2,}?)(?:村|社区)?"
)


def run(chunk: Chunk, *, as_of: date, schemes: Sequence[Scheme]) -> None:
    """Apply every declared check to a chunk, in the order of the declaration."""
    for check in chunk.table.checks:
        rule = _RULES.get(check.rule)
        if rule is not None:
            rule(chunk, check)
        elif isinstance(check, source.Village):
            _village(chunk, check, as_of)
        elif isinstance(check, source.Graded):
            _graded(chunk, check, as_of, schemes)


def _known(*columns: Figures) -> Mask:
    known: Mask = np.logical_and.reduce([column.known for column in columns])
    return known


def _product(chunk: Chunk, check: source.Product) -> None:
    if not {check.quantity, check.rate, check.amount} <= chunk.figures.keys():
        return
    quantity, rate, amount = (chunk.figures[name] for name in (check.quantity, check.rate, check.amount))
    scale = 10_000 if chunk.table.columns[check.quantity].type == "area" else RATE_SCALE
    due = quantity.units.astype(np.float64) / scale * (rate.units.astype(np.float64) / RATE_SCALE) * 100
    off = np.abs(due - amount.units) > _FEN_TOLERANCE + _ROUNDING
    chunk.mark("AMOUNT_MISMATCH", off & _known(quantity, rate, amount), check.amount)


def _sum(chunk: Chunk, check: source.Sum) -> None:
    parts = [chunk.figures[name] for name in check.parts if name in chunk.figures]
    if len(parts) != len(check.parts):
        return
    total = np.sum([part.units for part in parts], axis=0)
    bad = np.logical_or.reduce([part.bad for part in parts])
    none = np.logical_and.reduce([part.missing for part in parts])
    if check.whole not in chunk.figures:
        chunk.figures[check.whole] = Figures(np.where(none | bad, 0, total), none, bad)
        if chunk.table.columns[check.whole].mandatory:
            chunk.mark("AMOUNT_MISSING", none & ~bad, check.parts[0])
        return
    whole = chunk.figures[check.whole]
    tolerance = _MU4_TOLERANCE if chunk.table.columns[check.whole].type == "area" else _FEN_TOLERANCE
    off = np.abs(total - whole.units) > tolerance
    chunk.mark("AMOUNT_MISMATCH", off & whole.known & ~bad & ~none, check.whole)


def _difference(chunk: Chunk, check: source.Difference) -> None:
    if not {check.minuend, check.subtrahend} <= chunk.figures.keys():
        return
    minuend, subtrahend = chunk.figures[check.minuend], chunk.figures[check.subtrahend]
    both = _known(minuend, subtrahend)  # a depreciation that is not stated is not 0
    result = minuend.units - subtrahend.units
    if check.result not in chunk.figures:
        chunk.figures[check.result] = Figures(np.where(both, result, 0), ~both, np.zeros(len(chunk), dtype=bool))
        return
    stated = chunk.figures[check.result]
    off = np.abs(result - stated.units) > _FEN_TOLERANCE
    chunk.mark("NET_VALUE_MISMATCH", off & both & stated.known, check.result)


def _balance(chunk: Chunk, check: source.Balance) -> None:
    if not {check.bank, check.ledger} <= chunk.figures.keys():
        return
    bank, ledger = chunk.figures[check.bank], chunk.figures[check.ledger]
    both = _known(bank, ledger)
    difference = np.where(both, bank.units - ledger.units, 0)
    chunk.figures[check.difference] = Figures(difference, ~both, np.zeros(len(chunk), dtype=bool))
    chunk.mark("BALANCE_DIFFERENCE", difference != 0, check.bank)


def _period(chunk: Chunk, check: source.Period) -> None:
    start = cleaning.each(chunk.dates(check.start), days.first_day).to_numpy(dtype=object)
    end = cleaning.each(chunk.dates(check.end), days.last_day).to_numpy(dtype=object)
    since = cleaning.each(chunk.dates(SINCE), days.first_day).to_numpy(dtype=object)
    for begin in (start, since):
        chunk.mark("PERIOD_INVERTED", ((begin != "") & (end != "") & (end < begin)).astype(bool), check.end)


def _publicity(chunk: Chunk, check: source.Publicity) -> None:
    into = chunk.table.columns[check.column].into
    stated = [(chunk.dates(name) != "").to_numpy(dtype=bool) for name in into]
    chunk.mark("PUBLICITY_MISSING", ~np.logical_and.reduce(stated), check.column)


def _holder(chunk: Chunk, check: source.Holder) -> None:
    if check.account_name not in chunk.text:
        return
    numbers, pairs = cleaning.distinct_rows([chunk.texts(check.account_name), chunk.texts(check.organisation)])
    own = [_is_own_account(*pair) for pair in pairs]
    blank = (chunk.texts(check.account_name) == "").to_numpy(dtype=bool)
    chunk.mark("COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT", ~np.array(own, dtype=bool)[numbers] & ~blank, check.account_name)


def _is_own_account(*pair: str) -> bool:
    """Say whether an account name is the collective's: the same name, or one that only names its place more fully."""
    account, organisation = (cleaning.squeezed(name) for name in pair)
    if account == organisation:
        return True
    if not cleaning.found(_COLLECTIVE, account):
        return False
    stem = cleaning.without(_COLLECTIVE, organisation)
    if not organisation or (bool(stem) and stem in account) or account in organisation:
        return True
    (ours, our_place), (theirs, their_place) = _stem(organisation), _stem(account)
    same_place = our_place.endswith(their_place) or their_place.endswith(our_place)
    return bool(ours) and ours == theirs and same_place


def _stem(name: str) -> tuple[str, str]:
    """Take a collective's name apart: what it is called without place and form, and the county and town before it."""
    bare = cleaning.without(_COLLECTIVE, cleaning.without(_COLLECTIVE, name))
    match = _PLACED.fullmatch(bare)
    return (match[2], match[1]) if match else (bare, "")


def _one_person(chunk: Chunk, check: source.OnePerson) -> None:
    if check.name in chunk.text:
        chunk.mark("MULTIPLE_PERSONS", cleaning.several(chunk.text[check.name]), check.name)


def _stated(chunk: Chunk, check: source.Stated) -> None:
    there = [name for name in check.figures if name in chunk.figures]
    if not there:
        return
    nothing = np.logical_and.reduce([chunk.figures[name].missing for name in there])
    broken = np.logical_or.reduce([chunk.broken.get(name, np.zeros(len(chunk), dtype=bool)) for name in there])
    chunk.mark("AMOUNT_MISSING", nothing & ~broken, there[0])
    chunk.mark("CELL_ERROR", nothing & broken, there[0])


def _not_negative(chunk: Chunk, check: source.NotNegative) -> None:
    for name in check.figures:
        if name in chunk.figures:
            figures = chunk.figures[name]
            chunk.mark("FIGURE_NEGATIVE", figures.known & (figures.units < 0), name)


_TAGGED: Final = {"1": ("猪",), "2": ("牦牛", "犏牛", "黄牛"), "3": ("藏羊", "山羊")}


def _tagged(chunk: Chunk, check: source.Tagged) -> None:
    tag, species = chunk.texts(check.tag), chunk.texts(check.species)
    told = ((tag != "") & (species != "")).to_numpy(dtype=bool)
    numbers, first = cleaning.distinct(tag.str.slice(0, 1), lambda digit: _TAGGED.get(digit, ()))
    fitting = [one in first[number] for number, one in zip(numbers, species, strict=True)]
    chunk.mark("EAR_TAG_SPECIES", told & ~np.array(fitting, dtype=bool), check.tag)


def _paid(chunk: Chunk, check: source.PaidInFull) -> None:
    if check.paid in chunk.figures or check.status not in chunk.text or check.due not in chunk.figures:
        return
    status, due = chunk.text[check.status], chunk.figures[check.due]
    in_full = status.isin(["paid", "reissued"]).to_numpy(dtype=bool) & due.known
    nothing = status.isin(["failed", "returned"]).to_numpy(dtype=bool)
    units = np.where(in_full, due.units, 0)
    chunk.figures[check.paid] = Figures(units, ~(in_full | nothing), np.zeros(len(chunk), dtype=bool))


# ---- village and grade ----------------------------------------------------------------------------------------------


def _village(chunk: Chunk, check: source.Village, as_of: date) -> None:
    codes, villages = chunk.texts(check.code), chunk.texts(check.name)
    context = chunk.context
    if check.code not in chunk.text and check.name not in chunk.text:
        chunk.text[check.into] = cleaning.constant(context.village, len(chunk))
        return
    since = chunk.dates(chunk.table.valid_from)
    numbers, keys = cleaning.distinct_rows([codes, chunk.texts(check.county), chunk.texts(check.town), villages, since])
    found = [_place(context, as_of, *key) for key in keys]
    chunk.text[check.into] = cleaning.spread(numbers, [place.code for place in found])
    unstated = [cleaning.is_missing(code) and cleaning.is_missing(village) for code, _, _, village, _ in keys]
    unknown = np.array([not place.code for place in found], dtype=bool)[numbers]
    stated = ~np.array(unstated, dtype=bool)[numbers]
    retired = np.array([place.retired for place in found], dtype=bool)[numbers]
    seen = check.code if check.code in chunk.text else check.name
    chunk.mark("VILLAGE_UNKNOWN", unknown & stated, seen)
    chunk.mark("REGION_RETIRED", retired, seen)


def _place(context: places.Context, as_of: date, *key: str) -> places.Place:
    code, county_name, town, village, day = key
    code, village = code.strip(), village.strip()
    at = date.fromisoformat(days.first_day(day)) if day else as_of
    county = places.county_code(county_name) or context.county
    if code and not cleaning.is_missing(code):
        found = places.by_code(code, at)
        if len(found.code) == places.VILLAGE_DIGITS:
            return found
        if not found.code or cleaning.is_missing(village):
            return places.UNKNOWN
        named = places.by_name(found.code[: places.COUNTY_DIGITS], town or context.town, village)
        inside = named.code.startswith(found.code.rstrip("0"))  # a county's or a town's code beside the village's name
        return places.Place(named.code, found.retired) if named.code and inside else places.UNKNOWN
    return places.by_name(county, town or context.town, village)


def _graded(chunk: Chunk, check: source.Graded, as_of: date, schemes: Sequence[Scheme]) -> None:
    graded_on = chunk.dates(check.at)
    numbers, found = cleaning.distinct(graded_on, lambda day: _scheme(chunk, schemes, day, as_of))
    score = chunk.figures[check.score]
    grades = chunk.texts(check.grade)
    vetoed = ~cleaning.missing(chunk.texts(check.veto))
    chunk.text["scheme"] = cleaning.spread(numbers, [scheme.name if scheme else "" for scheme in found])
    canonical = chunk.blank().to_numpy(dtype=object).copy()
    broken = chunk.broken.get(check.score, np.zeros(len(chunk), dtype=bool))
    for index, scheme in enumerate(found):
        rows = numbers == index
        if scheme is None:
            continue
        low, high = (int(limit * RATE_SCALE) for limit in (scheme.lowest, scheme.highest))
        outside = ~score.known | (score.units < low) | (score.units > high)
        chunk.mark("SCORE_OUT_OF_RANGE", rows & outside & ~broken, check.score)
        named, unknown = cleaning.choices(grades, scheme.spellings())
        chunk.mark("UNKNOWN_CATEGORY", rows & unknown, check.grade)
        earned = _earned(scheme, score.units)
        agrees = (named.to_numpy(dtype=object) == earned) | ((named == scheme.veto).to_numpy(dtype=bool) & vetoed)
        stated = (named != "").to_numpy(dtype=bool)
        chunk.mark("GRADE_SCORE_MISMATCH", rows & ~outside & stated & ~agrees.astype(bool), check.grade)
        canonical[rows] = named.to_numpy(dtype=object)[rows]
    chunk.text[check.grade] = pd.Series(canonical, dtype="str")


def _scheme(chunk: Chunk, schemes: Sequence[Scheme], day: str, as_of: date) -> Scheme | None:
    at = date.fromisoformat(days.first_day(day)) if day else as_of
    return in_force(schemes, chunk.context.county, at)


def _earned(scheme: Scheme, units: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    limits = [int(grade.at_least * RATE_SCALE) for grade in reversed(scheme.grades)]
    names = np.array(["", *(grade.grade for grade in reversed(scheme.grades))], dtype=object)
    return names[np.searchsorted(np.array(limits), units, side="right")]


_RULES: Final[dict[str, Callable[[Chunk, Any], None]]] = {
    "product": _product,
    "sum": _sum,
    "difference": _difference,
    "balance": _balance,
    "period": _period,
    "publicity": _publicity,
    "holder": _holder,
    "one_person": _one_person,
    "stated": _stated,
    "not_negative": _not_negative,
    "tagged": _tagged,
    "paid": _paid,
}
