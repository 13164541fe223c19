"""What the cells of a column mean: text → figures, choices, names, account numbers (dates: `days`). Vectorised.

Cells in the usual form are read column by column; what is left over (大写, `1.2万`, brackets for minus) is read once
for each different text, by the rules of `registry.quantities`.
Nothing is guessed and nothing is repaired: a cell that no rule reads is marked, and the caller decides what that means.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from connectors.verdict import Mask
from registry.errors import InexactAmount
from registry.identifiers import normalise
from registry.quantities import MISSING_MARKS

Value = TypeVar("Value")
Integers = npt.NDArray[np.int64]

MISSING: Final = (*MISSING_MARKS, "—", "－", "–", "——", "———", "／", "―", "─")
_LONGEST_MISSING: Final = max(len(mark.encode()) for mark in MISSING)
_PLAIN: Final = r"-?[0-9]{1,12}(\.[0-9]{1,8})?"
_WHOLE_DIGITS: Final = 12
_PART_DIGITS: Final = 8
_ZERO: Final = np.uint8(ord("0"))
_NINE: Final = np.uint8(9)
_POINT: Final = np.uint8(ord("."))
_GROUPED: Final = (
    r"[ ¥￥\x{a0}\x{3000}]*-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9]{1,12})(?:\.[0-9]{1,8})?[ \x{a0}\x{3000}]*"
)
_GROUPING: Final = r"[ ,¥￥\x{a0}\x{3000}]"
_MOST_NUMBERS: Final = 2**62  # of rows of several columns, numbered by what stands in each
_MOST_PRECISE_UNITS: Final = 2**52  # beyond it a double no longer holds every unit
SEVERAL: Final = re.compile(r"[;；、,，/／&＆+＋|\r\n]|(?<=[一-鿿]{2})[和与及](?=[一-鿿]{2})")  # 马和平 is one person
_ONE_NAME: Final = "[一-不丏-叉友-咋咍-鿿·]*"  # Chinese but for 与, 及 and 和
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


def spread(numbers: npt.NDArray[np.intp], values: Sequence[str | None]) -> "pd.Series[str]":
    """Lay values out by number, as a column of text; None is missing."""
    return pd.Series(pd.array(list(values), dtype="str").take(numbers))


def constant(text: str | None, size: int) -> "pd.Series[str]":
    """Give a column with the same text in every row; None is missing."""
    return pd.Series(pd.array(pa.repeat(pa.scalar(text, pa.large_string()), size), dtype="str"))


def distinct_rows(columns: Sequence["pd.Series[str]"]) -> tuple[npt.NDArray[np.intp], list[tuple[str, ...]]]:
    """Number the different rows of several columns, and give each once."""
    combined, different = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        if not _content(column)[0].size:
            continue  # blank in every row
        numbers, texts = pd.factorize(column)
        if different * (len(texts) + 1) > _MOST_NUMBERS:
            combined, known = pd.factorize(combined)
            different = len(known)
        different *= len(texts) + 1
        combined = combined * (len(texts) + 1) + (numbers + 1)
    rows, _ = pd.factorize(combined)
    first = firsts(rows)
    return rows, list(zip(*(column.iloc[first].tolist() for column in columns), strict=True))


def firsts(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Give the place at which each number stands first, of numbers given as things were met."""
    return np.flatnonzero(np.diff(np.maximum.accumulate(numbers), prepend=-1))


def matches(text: "pd.Series[str]", pattern: str) -> Mask:
    """Find cells that fit a pattern from end to end, in Arrow."""
    cells = pa.array(text, type=pa.large_string())
    fitting: Mask = pc.match_substring_regex(cells, f"^(?:{pattern})$").to_numpy(zero_copy_only=False)
    return fitting


def contains(text: "pd.Series[str]", character: str) -> bool:
    """Say whether any cell has this ASCII character in it."""
    content, _ = _content(text)
    return bool((content == ord(character)).any())


def _content(text: "pd.Series[str]") -> tuple[npt.NDArray[np.uint8], Integers]:
    """Give the UTF-8 of all cells in a row, and where each begins in it, and where the last one ends."""
    cells = pa.array(text, type=pa.large_string())
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    _, offsets, content = cells.buffers()
    if not len(cells) or content is None:
        return np.zeros(0, dtype=np.uint8), np.zeros(len(cells) + 1, dtype=np.int64)
    bounds = np.frombuffer(offsets, dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
    return np.frombuffer(content, dtype=np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def replaced(text: "pd.Series[str]", pattern: str) -> "pd.Series[str]":
    """Take out of every cell whatever fits a pattern, in Arrow."""
    cells = pc.replace_substring_regex(pa.array(text, type=pa.large_string()), pattern, "")
    return pd.Series(cells.to_numpy(zero_copy_only=False), dtype="str")


def errors(text: "pd.Series[str]") -> Mask:
    """Find formula errors (#REF!, #N/A, …)."""
    if not contains(text, "#"):
        return np.zeros(len(text), dtype=bool)
    begins: Mask = text.str.startswith("#").to_numpy(dtype=bool, copy=True)
    return begins


def missing(text: "pd.Series[str]") -> Mask:
    """Find cells that say there is nothing: blank, `—`, `-`, `/`, `无`."""
    lengths = _lengths(text)
    nothing: Mask = lengths == 0
    short = np.flatnonzero((lengths > 0) & (lengths <= _LONGEST_MISSING))
    if len(short):
        nothing[short] = text.iloc[short].isin(MISSING).to_numpy(dtype=bool)
    return nothing


def blank(text: "pd.Series[str]") -> Mask:
    """Find cells without any character, of a column where none is missing."""
    nothing: Mask = _lengths(text) == 0
    return nothing


def digits_only(text: "pd.Series[str]") -> bool:
    """Say whether no cell has anything but digits."""
    content, _ = _content(text)
    return not bool((content - _ZERO > _NINE).any())


def _lengths(text: "pd.Series[str]") -> Integers:
    return np.diff(_content(text)[1])


def figures(
    text: "pd.Series[str]", factor: Fraction, read: Callable[[str], int | None], *, rounded: bool = False
) -> Figures:
    """Read figures and turn them into whole units: figure × factor; `read` is the scalar rule for unusual cells.

    What the units cannot hold exactly (half a fen) is bad; only a rate in other units may be `rounded`.
    """
    size = len(text)
    figure = np.zeros(size, dtype=np.float64)
    plain = _plain(text)
    if plain.all():
        figure = _floats(text)
    else:
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


def _plain(text: "pd.Series[str]") -> Mask:
    """Find cells that fit `_PLAIN`: those of digits and one point by counting, any others by the pattern itself."""
    content, bounds = _content(text)
    lengths = np.diff(bounds)
    points = content == _POINT
    others = (content - _ZERO > _NINE) & ~points  # below 0 wraps around
    dotted = _counted(points, bounds)
    single = dotted == 1
    before = lengths.copy()
    if int(points.sum()) != int(single.sum()):
        return matches(text, _PLAIN)
    before[single] = np.flatnonzero(points) - bounds[:-1][single]
    after = np.where(single, lengths - before - 1, 1)
    found: Mask = (before >= 1) & (before <= _WHOLE_DIGITS) & (after >= 1) & (after <= _PART_DIGITS)
    if others.any():
        odd = np.flatnonzero(_counted(others, bounds))
        found[odd] = matches(text.iloc[odd], _PLAIN)
    return found


def _counted(where: Mask, bounds: Integers) -> Integers:
    """Count, cell by cell, the bytes of `where`."""
    running = np.zeros(len(where) + 1, dtype=np.int64)
    np.cumsum(where, out=running[1:])
    return np.diff(running[bounds])


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
    return text.strip() in MISSING


_BAD: Final = "!"


# ---- choices, names, accounts ---------------------------------------------------------------------------------------


def choices(text: "pd.Series[str]", values: Mapping[str, Sequence[str]]) -> tuple["pd.Series[str]", Mask]:
    """Read a value of a code list: the canonical values ("" where none), and which cells are outside the list."""
    known = {squeezed(spelt): value for value, spellings in values.items() for spelt in (*spellings, value)}
    canonical = each(text, lambda one: "" if one.strip() in MISSING else known.get(squeezed(one), _BAD))
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
    read = each(text, lambda one: known.get(squeezed(one), "" if one.strip() in MISSING else _BAD))
    outside = (read == _BAD).to_numpy(dtype=bool)
    return read.mask(outside, ""), outside


_EAR_TAG: Final = re.compile("[123][0-9]{14}")
_MOBILE: Final = re.compile(r"(?:\+?86)?(1[3-9][0-9]{9})")
_LANDLINE: Final = re.compile(r"(0[1-9][0-9]{1,2})([0-9]{7,8})(?:转[0-9]{1,6})?")


def ear_tags(text: "pd.Series[str]") -> tuple["pd.Series[str]", Mask]:
    """Read ear tags of 15 digits ("" where there is none), and which cells are none."""
    read = each(text, lambda one: "" if one.strip() in MISSING else _ear_tag(normalise(one)))
    malformed = (read == _BAD).to_numpy(dtype=bool)
    return read.mask(malformed, ""), malformed


def _ear_tag(text: str) -> str:
    return text if _EAR_TAG.fullmatch(text) else _BAD


def phones(text: "pd.Series[str]") -> tuple["pd.Series[str]", Mask]:
    """Read telephone numbers: mobile ones bare, others as `0971-6123456`; "" and a mark where a cell is neither."""
    read = each(text, lambda one: "" if one.strip() in MISSING else _phone(re.sub(r"[()（）]", "", normalise(one))))
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
    odd = np.flatnonzero(~matches(text, _ONE_NAME))
    if not len(odd):
        return np.zeros(len(text), dtype=bool)
    numbers, found_ = distinct(text.iloc[odd], lambda one: sum(1 for p in SEVERAL.split(one.strip()) if p.strip()) > 1)
    more = np.zeros(len(text), dtype=bool)
    more[odd] = np.array([*found_, False], dtype=bool)[numbers]
    return more
