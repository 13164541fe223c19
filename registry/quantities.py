"""Amounts, areas, counts and rates as agencies write them, turned into whole units. Exact or refused, never rounded.

  money   fen (分, 1/100 yuan)         units 分 角 元 百元 千元 万元 亿元
  area    mu4 (1/10000 亩)             units 亩 万亩 公顷 (15 亩) 平方米 (0.0015 亩) 平方公里 (1500 亩)
  count   whole heads, trees, …        units of one, or 万…
  rate    a decimal string of six places; `4.35%` is 0.043500

Read: full-width digits, thousands separators, ￥, brackets for negative amounts, `1.2万`, 大写 and everyday Chinese
numerals (壹万贰仟元整). `—` `－` `-` `/` `无` and blank are missing (None), which is not zero. The unit comes from the
heading or the declaration, never from the size of the number; a unit written in the cell itself stands over it.
After docs/requirements.md, identifiers. Here is the scalar form of each rule; whole columns are in connectors.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Final, NewType

from registry.errors import InexactAmount, UnitUnknown

Fen = NewType("Fen", int)
Mu4 = NewType("Mu4", int)

FEN_PER_UNIT: Final = {
    "分": Decimal(1),
    "角": Decimal(10),
    "元": Decimal(100),
    "百元": Decimal(10_000),
    "千元": Decimal(100_000),
    "万元": Decimal(1_000_000),
    "亿元": Decimal(10_000_000_000),
}
MU4_PER_UNIT: Final = {
    "亩": Decimal(10_000),
    "万亩": Decimal(100_000_000),
    "公顷": Decimal(150_000),
    "平方米": Decimal(15),  # 1 亩 = 10000/15 m² exactly
    "平方公里": Decimal(15_000_000),
}
UNIT_ALIASES: Final = {
    "圆": "元",
    "人民币元": "元",
    "RMB": "元",
    "CNY": "元",
    "m2": "平方米",
    "m²": "平方米",
    "㎡": "平方米",
    "平米": "平方米",
    "ha": "公顷",
    "hm2": "公顷",
    "km2": "平方公里",
}
MISSING_MARKS: Final = frozenset({"", "-", "--", "/", "\\", "无", "空", "暂无", "NULL", "null", "None"})
_SPREADSHEET_DIGITS: Final = 15  # a spreadsheet keeps 15 significant digits
_RATE_PLACES: Final = 6
_MAX_CHARACTERS: Final = 64
_DASHES: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\u2500]")
_BLANKS: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|[+-]?\.[0-9]+")
_SCALES: Final = {"万": Decimal(10_000), "亿": Decimal(100_000_000)}
_NUMERALS: Final = {
    character: value
    for value, characters in enumerate(
        ("零〇", "壹一", "贰二两", "叁三", "肆四", "伍五", "陆六", "柒七", "捌八", "玖九")
    )
    for character in characters
}
_NUMERAL: Final = f"[{''.join(character for character, value in _NUMERALS.items() if value)}]"
_SECTION: Final = re.compile(
    f"(?:({_NUMERAL})[仟千])?[零〇]*(?:({_NUMERAL})[佰百])?[零〇]*(?:({_NUMERAL}?)([拾十]))?[零〇]*({_NUMERAL})?[零〇]*",
)
_WRITTEN: Final = re.compile(
    f"(?:人民币)?(?P<minus>负)?(?:(?P<yuan>[^元圆角分整正负]+)[元圆])?[零〇]?(?:(?P<jiao>{_NUMERAL})角)?"
    f"[零〇]?(?:(?P<fen>{_NUMERAL})分)?[零〇]?[整正]?",
)


def fold(text: str) -> str:
    """Half-width, without blanks, every kind of dash as `-`."""
    folded = _BLANKS.sub("", unicodedata.normalize("NFKC", text))
    return _DASHES.sub("-", folded) if len(set(folded)) == 1 else folded.replace("\u2212", "-")


def is_missing(text: str) -> bool:
    """Say whether a cell states that there is no value: blank, a dash of any kind, `/` or 无."""
    folded = fold(text)
    return folded in MISSING_MARKS or not folded.strip("-")


def cell_number(value: float) -> Decimal:
    """Turn a number cell of a spreadsheet into the number that the spreadsheet shows: 15 significant digits.

    A product of two cells is stored as 526.6199999999999 and shown as 526.62; the digits beyond are not data.

    Raises:
        InexactAmount: not finite.
    """
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124  # NaN is not equal to itself
        raise InexactAmount("a cell that is no number")
    return Decimal(format(value, f".{_SPREADSHEET_DIGITS}g"))


def number(text: str) -> Decimal | None:
    """Read a bare number; None when the cell says that there is none.

    Raises:
        InexactAmount: not a number. The message does not repeat the text, which may be somebody's name.
    """
    value, scale = _scaled(text)
    return value if value is None else value * scale


def fen(value: str | float | Decimal, unit: str = "元") -> Fen | None:
    """Turn an amount in `unit` into fen; None when missing.

    Raises:
        InexactAmount: not a number, or not a whole number of fen.
        UnitUnknown: no such unit; or `1.2万` in a column that counts in something else than 元.
    """
    if isinstance(value, str):
        written = _written_amount(fold(value))
        if written is not None:
            return Fen(written)
        value = _without_currency(fold(value))
    whole = _whole(value, unit, FEN_PER_UNIT, "元", "fen")
    return None if whole is None else Fen(whole)


def _without_currency(folded: str) -> str:
    """Take 人民币 away: registers write `500万元人民币`, `500万人民币`, `人民币500元`; what is in 人民币 is in 元."""
    bare = folded.removeprefix("人民币")
    if not bare.endswith("人民币"):
        return bare
    bare = bare.removesuffix("人民币")
    return bare if bare.endswith("元") else f"{bare}元"


def fen_from_ten_thousand_yuan(text: str) -> Fen:
    """Turn an agency's amount in 万元 (10 000 yuan) into fen.

    One 万元 is 1 000 000 fen, so six decimals are exact. A seventh would have to be rounded; it is refused instead,
    because a rounded figure is a wrong figure.

    Raises:
        InexactAmount: missing, not a number, or more than six decimals.
    """
    amount = fen(text, "万元")
    if amount is None:
        raise InexactAmount("no number of 万元")
    return amount


def mu4(value: str | float | Decimal, unit: str = "亩") -> Mu4 | None:
    """Turn an area in `unit` into 1/10000 亩; None when missing.

    Raises:
        InexactAmount: not a number, or finer than 1/10000 亩.
        UnitUnknown: no such unit.
    """
    whole = _whole(value, unit, MU4_PER_UNIT, "亩", "1/10000 亩")
    return None if whole is None else Mu4(whole)


def count(value: str | float | Decimal, unit: str = "") -> int | None:
    """Turn a count into a whole number; None when missing. `unit` is 头, 株, … or 万头, ….

    Raises:
        InexactAmount: not a number, or not whole.
    """
    base = unit.removeprefix("万")
    return _whole(value, unit, {base: Decimal(1), f"万{base}": _SCALES["万"]}, base, "whole units")


def rate(value: str | float | Decimal, *, bare_is_percent: bool) -> str | None:
    """Turn a rate into a fraction with six decimals, as a string; None when missing.

    Args:
        value: `4.35%`, `0.0435` or `4.35`.
        bare_is_percent: whether a number without a percent sign is in percent; the declaration says, nobody guesses.

    Raises:
        InexactAmount: not a number, or finer than six decimals.
    """
    text = fold(value) if isinstance(value, str) else None
    percent = text is not None and text.endswith(("%", "‰"))
    divisor = Decimal(1000 if text is not None and text.endswith("‰") else 100)
    found = _as_number(text.rstrip("%‰") if text is not None else value)
    if found is None:
        return None
    fraction = found / divisor if percent or bare_is_percent else found
    scaled = fraction.scaleb(_RATE_PLACES)
    if scaled != scaled.to_integral_value():
        raise InexactAmount("a rate finer than six decimals")
    return f"{fraction:.{_RATE_PLACES}f}"


def known_unit(text: str) -> str | None:
    """Return our name of a unit that a heading states (`万元`, `元/亩` is none), or None when it is not one of ours."""
    folded = fold(text)
    name = UNIT_ALIASES.get(folded, folded)
    return name if name in FEN_PER_UNIT or name in MU4_PER_UNIT else None


def _as_number(value: str | float | Decimal) -> Decimal | None:
    if isinstance(value, str):
        return number(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise InexactAmount("a cell that is no number")
        return value
    return Decimal(value) if isinstance(value, int) else cell_number(value)


def _whole(
    value: str | float | Decimal,
    unit: str,
    factors: dict[str, Decimal],
    base: str,
    called: str,
) -> int | None:
    unit = UNIT_ALIASES.get(unit, unit)
    if unit not in factors:
        raise UnitUnknown(f"{unit[:8]!r} is not a unit of {called}")
    if isinstance(value, str):
        folded = fold(value)
        stated = next((name for name in sorted(factors, key=len, reverse=True) if name and folded.endswith(name)), None)
        if stated is not None:
            value, unit = folded.removesuffix(stated), stated
        found, scale = _scaled(value)
        if scale != 1 and unit != base:
            raise UnitUnknown(f"a number in 万 where {unit} are counted")
        scaled = None if found is None else found * scale * factors[unit]
    else:
        plain = _as_number(value)
        scaled = None if plain is None else plain * factors[unit]
    if scaled is None:
        return None
    if scaled != scaled.to_integral_value():
        raise InexactAmount(f"not a whole number of {called}")
    return int(scaled)


def _scaled(text: str) -> tuple[Decimal | None, Decimal]:
    """Read a number and the 万 or 亿 behind it."""
    if is_missing(text):
        return None, Decimal(1)
    folded = fold(text).removeprefix("¥").removeprefix("￥")
    negative = len(folded) > 1 and folded[0] == "(" and folded[-1] == ")"
    folded = (folded[1:-1] if negative else folded).removeprefix("¥").removeprefix("￥")
    scale = _SCALES.get(folded[-1:], Decimal(1))
    digits = folded[:-1] if scale != 1 else folded
    if len(digits) > _MAX_CHARACTERS or not _NUMBER.fullmatch(digits) or (negative and digits[:1] in "+-"):
        raise InexactAmount("not a number")
    try:
        value = Decimal(digits.replace(",", ""))
    except InvalidOperation as error:
        raise InexactAmount("not a number") from error
    return (-value if negative else value), scale


def _written_amount(text: str) -> int | None:
    """Read an amount in Chinese numerals as fen; None when the text is not one."""
    match = _WRITTEN.fullmatch(text)
    if match is None or not (match["yuan"] or match["jiao"] or match["fen"]) or any(c in "0123456789" for c in text):
        return None
    yuan = _written_integer(match["yuan"]) if match["yuan"] else 0
    if yuan is None:
        return None
    total = yuan * 100 + _NUMERALS.get(match["jiao"], 0) * 10 + _NUMERALS.get(match["fen"], 0)
    return -total if match["minus"] else total


def _written_integer(text: str) -> int | None:
    """Read 亿 and 万 sections of Chinese numerals; None when they are not in order."""
    total, rest = 0, text
    for mark, scale in (("亿", 100_000_000), ("万", 10_000), ("", 1)):
        head, found, tail = rest.partition(mark) if mark else (rest, "", "")
        if mark and not found:
            continue
        match = _SECTION.fullmatch(head)
        if match is None or (mark and not head.strip("零〇")):
            return None
        thousands, hundreds, tens, ten, ones = match.groups()
        total += scale * (
            1000 * _NUMERALS.get(thousands, 0)
            + 100 * _NUMERALS.get(hundreds, 0)
            + (10 * _NUMERALS.get(tens, 1) if ten else 0)
            + _NUMERALS.get(ones, 0)
        )
        rest = tail
    return total if text else None
