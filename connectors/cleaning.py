"""What the cells of a column mean: text → figures, dates, choices, names, account numbers. Vectorised.

Cells in the usual form are read column by column; what is left over (大写, `1.2万`, brackets for minus, dates as they
are written) is read once for each different text, by the rules of `registry.quantities` and `registry.dates`.
Nothing is guessed and nothing is repaired: a cell that no rule reads is marked, and the caller decides what that means.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from connectors.verdict import Mask
from registry.dates import stated_date
from registry.errors import DateAmbiguous, DateUnreadable, InexactAmount
from registry.identifiers import normalise
from registry.quantities import MISSING_MARKS

Value = TypeVar("Value")
Integers = npt.NDArray[np.int64]

_MISSING: Final = (*MISSING_MARKS, "—", "－", "–", "——", "———", "／", "―", "─")
_PLAIN: Final = r"-?[0-9]{1,12}(\.[0-9]{1,8})?"
_GROUPED: Final = (
    r"[ ¥￥\x{a0}\x{3000}]*-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:\.[0-9]{1,8})?[ \x{a0}\x{3000}]*"
)
_GROUPING: Final = r"[ ,¥￥\x{a0}\x{3000}]"
_MOST_PRECISE_UNITS: Final = 2**52  # beyond it a double no longer holds every unit
SEVERAL: Final = re.compile(r"[;；、,，/／&＆+＋|\r\n]|(?<=[一-鿿]{2})[和与及](?=[一-鿿]{2})")  # 马和平 is one person
_SEPARATORS: Final = re.compile(r"[·•・．.‧∙⋅●]")


@dataclass(frozen=True, slots=True)
class Figures:
    """A column of figures in whole units: `units` (0 where there is none), which are missing, which are no figures."""

    units: Integers
    missing: Mask
    bad: Mask

    @property
    def known(self) -> Mask:
        """Rows that have a figure."""
        return ~(self.missing | self.bad)

    def nullable(self) -> "pd.Series[int]":
        """Give the figures as nullable integers."""
        return pd.Series(pd.arrays.IntegerArray(self.units, ~self.known))


def distinct(text: "pd.Series[str]", read: Callable[[str], Value]) -> tuple[npt.NDArray[np.intp], list[Value]]:
    """Read each different text of a column once: for each row a number, and the values by number."""
    numbers, texts = pd.factorize(text)
    return numbers, [read(str(one)) for one in texts]


def each(text: "pd.Series[str]", read: Callable[[str], str]) -> "pd.Series[str]":
    """Turn a column into another, reading each different text once."""
    return spread(*distinct(text, read))


def spread(numbers: npt.NDArray[np.intp], values: Sequence[str]) -> "pd.Series[str]":
    """Lay values out by number, as a column of text."""
    return pd.Series(pd.array(list(values), dtype="str").take(numbers))


def constant(text: str, size: int) -> "pd.Series[str]":
    """Give a column with the same text in every row."""
    return spread(np.zeros(size, dtype=np.intp), [text])


def distinct_rows(columns: Sequence["pd.Series[str]"]) -> tuple[npt.NDArray[np.intp], list[tuple[str, ...]]]:
    """Number the different rows of several columns, and give each once."""
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        numbers, texts = pd.factorize(column)
        combined, _ = pd.factorize(combined * (len(texts) + 1) + numbers)
    _, first = np.unique(combined, return_index=True)
    return combined, list(zip(*(column.iloc[first].tolist() for column in columns), strict=True))


def matches(text: "pd.Series[str]", pattern: str) -> Mask:
    """Find cells that fit a pattern from end to end, in Arrow."""
    cells = pa.array(text, type=pa.large_string())
    fitting: Mask = pc.match_substring_regex(cells, f"^(?:{pattern})$").to_numpy(zero_copy_only=False)
    return fitting


def contains(text: "pd.Series[str]", piece: str) -> bool:
    """Say whether any cell has this piece of text in it."""
    return bool(pc.any(pc.match_substring(pa.array(text, type=pa.large_string()), piece)).as_py())


def replaced(text: "pd.Series[str]", pattern: str) -> "pd.Series[str]":
    """Take out of every cell whatever fits a pattern, in Arrow."""
    cells = pc.replace_substring_regex(pa.array(text, type=pa.large_string()), pattern, "")
    return pd.Series(cells.to_numpy(zero_copy_only=False), dtype="str")


def errors(text: "pd.Series[str]") -> Mask:
    """Find formula errors (#REF!, #N/A, …)."""
    begins: Mask = text.str.startswith("#").to_numpy(dtype=bool, copy=True)
    return begins


def missing(text: "pd.Series[str]") -> Mask:
    """Find cells that say there is nothing: blank, `—`, `-`, `/`, `无`."""
    nothing: Mask = text.isin(_MISSING).to_numpy(dtype=bool, copy=True)
    return nothing


def figures(
    text: "pd.Series[str]", factor: Fraction, read: Callable[[str], int | None], *, rounded: bool = False
) -> Figures:
    """Read figures and turn them into whole units: figure × factor; `read` is the scalar rule for unusual cells.

    What the units cannot hold exactly (half a fen) is bad; only a rate in other units may be `rounded`.
    """
    size = len(text)
    figure = np.zeros(size, dtype=np.float64)
    plain = matches(text, _PLAIN)
    figure[plain] = _floats(text[plain])
    none, bad = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    odd = np.flatnonzero(~plain)
    if odd.size:
        none[odd] = missing(text.iloc[odd])
        odd = odd[~none[odd]]
        rest = text.iloc[odd]
        grouped = matches(rest, _GROUPED)
        figure[odd[grouped]] = _floats(replaced(rest[grouped], _GROUPING))
        odd = odd[~grouped]
    units, inexact = _whole(figure, factor, rounded=rounded)
    if odd.size:
        numbers, values = distinct(text.iloc[odd], lambda one: _scalar(one, read))
        units[odd] = np.array([value or 0 for _, value in values], dtype=np.int64)[numbers]
        bad[odd] = np.array([not readable for readable, _ in values])[numbers]
        none[odd] = np.array([readable and value is None for readable, value in values])[numbers]
        inexact[odd] = False
    units[none | bad | inexact] = 0
    return Figures(units, none, bad | inexact)


def _scalar(text: str, read: Callable[[str], int | None]) -> tuple[bool, int | None]:
    try:
        value = read(text)
    except InexactAmount:
        return False, None
    return (True, value) if value is None or abs(value) < _MOST_PRECISE_UNITS else (False, None)


def _floats(text: "pd.Series[str]") -> npt.NDArray[np.float64]:
    cast: npt.NDArray[np.float64] = pa.array(text, type=pa.large_string()).cast(pa.float64()).to_numpy()
    return cast


def _whole(figure: npt.NDArray[np.float64], factor: Fraction, *, rounded: bool) -> tuple[Integers, Mask]:
    scaled = figure * float(factor)
    whole = np.rint(scaled)
    slack = 1e-6 + np.abs(scaled) * 1e-15
    inexact: Mask = (~np.bool_(rounded) & (np.abs(scaled - whole) > slack)) | (np.abs(whole) >= _MOST_PRECISE_UNITS)
    return np.where(inexact, 0, whole).astype(np.int64), inexact


def is_missing(text: str) -> bool:
    """Say whether one cell states that there is nothing."""
    return text.strip() in _MISSING


# ---- dates ----------------------------------------------------------------------------------------------------------


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
    iso = each(text, iso_date)
    return _dates(iso)


def iso_date(text: str) -> str:
    """Read one date: ISO text, "" for none, "?" for a two-digit year, "!" for no date."""
    if text.strip() in _MISSING:
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
    return _dates(each(text, _calendar_month))


def _calendar_month(text: str) -> str:
    plain = squeezed(text)
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
    starts = each(text, lambda one: _ends(one)[0])
    ends = each(text, lambda one: _ends(one)[1])
    return _dates(starts), _dates(ends)


def _ends(text: str) -> tuple[str, str]:
    folded = unicodedata.normalize("NFKC", text).strip()
    if folded in _MISSING:
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
    numbers, found_ = distinct(text, _is_remark)
    return np.array([*found_, False], dtype=bool)[numbers]


def _is_remark(text: str) -> bool:
    bare = _DURATION.sub("", squeezed(text))
    return not _DATE_LIKE.search(bare) and (not bare or re.search("[一-鿿]", bare) is not None)


def months(text: str) -> int:
    """Read how long something lasts (一年, 1年, 12个月), in months; 0 where the text does not say that."""
    match = _TERM.fullmatch(squeezed(text))
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


# ---- choices, names, accounts ---------------------------------------------------------------------------------------


def choices(text: "pd.Series[str]", values: Mapping[str, Sequence[str]]) -> tuple["pd.Series[str]", Mask]:
    """Read a value of a code list: the canonical values ("" where none), and which cells are outside the list."""
    known = {squeezed(spelt): value for value, spellings in values.items() for spelt in (*spellings, value)}
    canonical = each(text, lambda one: "" if one.strip() in _MISSING else known.get(squeezed(one), _BAD))
    outside = (canonical == _BAD).to_numpy(dtype=bool)
    return canonical.mask(outside, ""), outside


YES: Final = "true"
NO: Final = "false"
_FLAGS: Final = {
    YES: ("是", "有", "Y", "YES", "1", "√", "✓", "TRUE", "一致", "达标", "已死亡"),
    NO: ("否", "无", "没有", "N", "NO", "0", "×", "X", "FALSE", "不一致", "不达标", "未达标", "不是"),
}


def flags(text: "pd.Series[str]") -> tuple["pd.Series[str]", Mask]:
    """Read yes and no: YES, NO or "", and which cells say neither. 无 is an answer here, and not a missing one."""
    known = {spelt: value for value, spellings in _FLAGS.items() for spelt in spellings}
    read = each(text, lambda one: known.get(squeezed(one), "" if one.strip() in _MISSING else _BAD))
    outside = (read == _BAD).to_numpy(dtype=bool)
    return read.mask(outside, ""), outside


_EAR_TAG: Final = re.compile("[123][0-9]{14}")
_MOBILE: Final = re.compile(r"(?:\+?86)?(1[3-9][0-9]{9})")
_LANDLINE: Final = re.compile(r"(0[1-9][0-9]{1,2})([0-9]{7,8})(?:转[0-9]{1,6})?")


def ear_tags(text: "pd.Series[str]") -> tuple["pd.Series[str]", Mask]:
    """Read ear tags of 15 digits ("" where there is none), and which cells are none."""
    read = each(text, lambda one: "" if one.strip() in _MISSING else _ear_tag(normalise(one)))
    malformed = (read == _BAD).to_numpy(dtype=bool)
    return read.mask(malformed, ""), malformed


def _ear_tag(text: str) -> str:
    return text if _EAR_TAG.fullmatch(text) else _BAD


def phones(text: "pd.Series[str]") -> tuple["pd.Series[str]", Mask]:
    """Read telephone numbers: mobile ones bare, others as `0971-6123456`; "" and a mark where a cell is neither."""
    read = each(text, lambda one: "" if one.strip() in _MISSING else _phone(re.sub(r"[()（）]", "", normalise(one))))
    odd = (read == _BAD).to_numpy(dtype=bool)
    return read.mask(odd, ""), odd


def _phone(text: str) -> str:
    if mobile := _MOBILE.fullmatch(text):
        return mobile[1]
    landline = _LANDLINE.fullmatch(text)
    return f"{landline[1]}-{landline[2]}" if landline else _BAD


def squeezed(text: str) -> str:
    """Fold a text for comparison: half-width, upper case, no space."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).upper()


@lru_cache(maxsize=4096)
def found(pattern: str, text: str) -> bool:
    """Say whether a pattern stands anywhere in a text."""
    return re.search(pattern, text) is not None


def without(pattern: str, text: str) -> str:
    """Take out whatever a pattern stands for."""
    return re.sub(pattern, "", text)


def texts(text: "pd.Series[str]") -> "pd.Series[str]":
    """Trim texts, newlines within them removed."""
    plain = matches(text, r"[^\s'\x{3000}\x{200b}]*")
    if plain.all():
        return text
    return text.where(
        plain, each(text.mask(plain, ""), lambda one: re.sub(r"[\r\n\u200b]+", "", one).strip().lstrip("'"))
    )


def names(text: "pd.Series[str]") -> "pd.Series[str]":
    """Write names with one separator (·), without spaces and leading apostrophes; two names on two lines with 、."""
    plain = matches(text, "[一-鿿]{0,12}")
    if plain.all():
        return text
    return text.where(plain, each(text.mask(plain, ""), _name))


def _name(text: str) -> str:
    parted = re.sub(r"(?<=[一-鿿]{2})\s*[\r\n]\s*(?=[一-鿿]{2})", "、", unicodedata.normalize("NFC", text))
    folded = re.sub(r"[\s\u200b'‘’]+", "", parted)
    return _SEPARATORS.sub("·", folded).strip("·")


def several(text: "pd.Series[str]") -> Mask:
    """Find cells that name more than one person."""
    more = ~matches(text, "[一-鿿·]*") | matches(text, ".*[和与及].*")
    odd = np.flatnonzero(more)
    numbers, found_ = distinct(text.iloc[odd], lambda one: sum(1 for p in SEVERAL.split(one.strip()) if p.strip()) > 1)
    more = np.zeros(len(text), dtype=bool)
    more[odd] = np.array([*found_, False], dtype=bool)[numbers]
    return more
