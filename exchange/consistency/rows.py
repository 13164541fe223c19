"""What a rule sees of a record, and how two values are compared. Pure.

Values are those of the catalogue: fen, mu4 and int as integers, rate6 as decimal text, dates as ISO text of any
precision ("2026", "2026-03", "2026-03-25"). Dates of different precision are compared as far as both go, so that a
year is neither before nor after a day in it.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

from registry.records import Payload, RecordRef, Value

Key = TypeVar("Key")
_ISO: Final = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_INTERPUNCTS: Final = str.maketrans("", "", "·•・‧∙⋅")  # between the parts of a name; every office types another one


@dataclass(frozen=True, slots=True)
class Row:
    """A standing record with the fields that the rules read.

    `held` names the fields that may be held of it: those that the person's consents in force cover; None for all, of
    records that need no consent. A field beyond them is not missing, it is none of our business.
    """

    ref: RecordRef
    kind: str
    fields: Payload = field(repr=False)
    held: frozenset[str] | None = None

    @property
    def consented(self) -> bool:
        """Whether it needs no consent, or rests on one that is in force."""
        return self.held is None or bool(self.held)

    def lacks(self, name: str) -> bool:
        """Say whether a field that may be held is empty."""
        return (self.held is None or name in self.held) and not folded(self.fields.get(name))


Known = Mapping[str, Sequence[Row]]  # what is known of one subject, by kind


def number(value: Value) -> Decimal | None:
    """Read a number; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        return None
    return read if read.is_finite() else None


def folded(value: Value) -> str:
    """Write a value so that the same said twice compares equal; "" for nothing.

    NFKC, no white space, no interpuncts, no case.
    """
    if value is None:
        return ""
    written = unicodedata.normalize("NFKC", str(value)).translate(_INTERPUNCTS)
    return unicodedata.normalize("NFKC", "".join(written.split()).casefold())


def surely_before(earlier: Value, later: Value) -> bool:
    """Say whether one date lies before another, as far as both are known."""
    first, second = str(earlier or ""), str(later or "")
    if not (_ISO.fullmatch(first) and _ISO.fullmatch(second)):
        return False
    shared = min(len(first), len(second))
    return first[:shared] < second[:shared]


def same_as_far_as_known(one: Value, other: Value) -> bool:
    """Say whether two values are equal; of dates and years, as far as both go."""
    first, second = folded(one), folded(other)
    if _ISO.fullmatch(first) and _ISO.fullmatch(second):
        shared = min(len(first), len(second))
        return first[:shared] == second[:shared]
    return bool(first) and first == second


def year_of(value: Value) -> str:
    """Give the year of a date of any precision; "" for anything else."""
    written = folded(value)
    return written[:4] if _ISO.fullmatch(written) else ""


def total(rows: Sequence[Row], names: Sequence[str]) -> Decimal | None:
    """Add up fields over rows; None if there is not one number among them."""
    return added(number(row.fields.get(name)) for row in rows for name in names)


def added(numbers: Iterable[Decimal | None]) -> Decimal | None:
    """Add up the numbers that are known; None if none is."""
    found = [one for one in numbers if one is not None]
    return sum(found, Decimal()) if found else None


def first_filled(row: Row, names: Sequence[str]) -> Value:
    """Give the first of some fields that is filled."""
    return next((value for name in names if (value := row.fields.get(name)) is not None), None)


def newest(rows: Sequence[Row], per: Sequence[str], by: str) -> list[Row]:
    """Of records that agree in some fields, give the one with the latest date; those without a date are left out."""
    latest: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key, date = tuple(folded(row.fields.get(name)) for name in per), folded(row.fields.get(by))
        if date and (key not in latest or folded(latest[key].fields.get(by)) < date):
            latest[key] = row
    return list(latest.values())


def grouped(rows: Sequence[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Put records together that have the same key, in the order in which they come."""
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
