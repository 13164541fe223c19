"""What a heading says: its core and its unit. Units of the fill-unit row (`单位：亩、元`).

A unit is read, never guessed: what is no unit of `UNITS` gives none.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

from registry.quantities import FEN_PER_UNIT, MU4_PER_UNIT, UNIT_ALIASES

Dimension = Literal["money", "area", "count", "time"]

ANNOTATION: Final = "青桥批注"  # stands in what we add to a sender's workbook; it is never read as data
_PIECES: Final = (*"头只匹羽口户人株台套件个斤吨辆次份", "台套", "公斤")
UNITS: Final[dict[str, tuple[Dimension, Fraction]]] = {
    **{name: ("money", Fraction(fen)) for name, fen in FEN_PER_UNIT.items()},
    **{name: ("area", Fraction(mu4)) for name, mu4 in MU4_PER_UNIT.items()},
    **{name: ("count", Fraction(1)) for name in _PIECES},
    **{name: ("time", Fraction(1)) for name in ("年", "月", "季", "日")},
}
"""Units of headings: what they measure, and their factor to fen or to 1/10000 亩."""

_BRACKETS: Final = re.compile(r"[(\[【〔<{]([^)\]】〕>}]*)[)\]】〕>}]?")
_TRAILING_UNIT: Final = re.compile(r"(.+?)[/:,、_\-]((?:人民币)?[百千万亿]?(?:元|亩|公顷|平方米))")
_BARE_UNIT: Final = re.compile(r"(.*(?:金额|资金|余额|原值|净值|折旧|费|额|价|面积))([百千万亿]?(?:元|亩)|公顷|平方米)")
_COUNTED: Final = re.compile(r"(亩|公顷|平方米|头|只|匹|株|台)数")
_UNIT_LABEL: Final = re.compile(r"(?:计量)?单位:?|人民币:|(?<=元)[(:,、]?人民币\)?")
_CURRENCY: Final = re.compile(r"\(\s*人民币\s*\)|[,、]?\s*人民币\s*:?")
_PARTED_UNIT: Final = re.compile(r"(?<=[百千万亿])\s+(?=[元亩])")
_AMONG: Final = re.compile(r"^(?:\d+[.、])?(?:其中:?(?=.))?")
_UNIT_SEPARATOR: Final = re.compile(r"[、,，;；和及|\s]+")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading without spaces, brackets and unit, and the unit that it gave ("" for none)."""

    core: str
    unit: str


@lru_cache(maxsize=4096)
def heading(text: str) -> Heading:
    """Split a heading cell into what it is called and its unit."""
    folded = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).strip("*★#:.'")
    unit = next((name for content in _BRACKETS.findall(folded) if (name := unit_name(content))), "")
    core = _BRACKETS.sub("", folded) or folded
    for pattern in (_TRAILING_UNIT, _BARE_UNIT):
        if not unit and (split := pattern.fullmatch(core)):
            core, unit = split[1], unit_name(split[2])
    if not unit and (counted := _COUNTED.search(core)):
        unit = counted[1]
    return Heading(_AMONG.sub("", core), unit)


def unit_name(text: str) -> str:
    """Give our name of a unit, or of a money unit per one (元/亩, 元/亩·年); "" for what is neither."""
    top, slash, bottom = _UNIT_LABEL.sub("", text).partition("/")
    top = UNIT_ALIASES.get(top, top)
    if not slash:
        return top if top in UNITS else ""
    parts = [UNIT_ALIASES.get(part, part) for part in re.split(r"[·.*/]", bottom) if part]
    is_rate = UNITS.get(top, ("", 0))[0] == "money" and bool(parts) and all(part in UNITS for part in parts)
    return f"{top}/{'·'.join(parts)}" if is_rate else ""


def stated_units(texts: Sequence[str]) -> list[str]:
    """Read the units that `单位：亩、元` or a title's `（万元）` states; `填报单位：…` states none."""
    units: list[str] = []
    for text in texts:
        folded = _PARTED_UNIT.sub("", _CURRENCY.sub("", unicodedata.normalize("NFKC", text)))
        for piece in re.split(r"单位\s*:?", folded)[1:] + _BRACKETS.findall(folded):
            names = [name for name in _UNIT_SEPARATOR.split(piece.strip(" )(")) if name]
            flat = [part for name in names for part in ([name] if unit_name(name) else name.split("/"))]
            known = [unit_name(name) for name in flat if unit_name(name)]
            if len(known) == len(flat):
                units += known
            elif unit_name(flat[0]):
                units.append(known[0])  # what stands behind it is no unit but the next entry of the row
    return list(dict.fromkeys(units))
