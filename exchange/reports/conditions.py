"""What a tag may ask of a subject's records of one kind: yes, no, or unknown. Pure.

  some    one record at least meets all tests
  every   all records meet all tests
  none    no record meets all tests
  years   the last so many years are all there, up to the newest

`where` narrows to the records that are meant, `newest` to those with the latest date. All is three-valued (Kleene): a
field that is not filled makes its test unknown, and an unknown test never counts as a failed one. Without a record that
is meant nothing is known; `none` alone can be said when there are records and none of them is meant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from exchange.consistency.rows import Row, folded, number, same_as_far_as_known, surely_before
from exchange.consistency.selecting import Declared, Exact, Scalar

NO_DATA: Final = "no-data"  # there is no record that the tag could rest on
INCOMPLETE: Final = "incomplete"  # there are records, and a field that decides is not filled
HISTORY_TOO_SHORT: Final = "history-too-short"  # the consent does not reach back as far as the tag does
_MONTHS_A_YEAR: Final = 12


@dataclass(frozen=True, slots=True)
class Said:
    """What records say to a condition, and which of them it rests on. `reason` says why nothing is known."""

    holds: bool | None
    rests_on: tuple[Row, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """As of which day, and how many months back records may reach."""

    today: date
    history_months: int


class Test(Declared):
    """One test of one field; what is stated of it must all hold.

    `ahead` is true of a date that is today or later, and of an end that the record leaves open if `open_end`;
    `within_months` of a date in the last so many months.
    """

    field: str
    any_of: list[Scalar] = Field(default=[])
    at_least: Exact | None = None
    at_most: Exact | None = None
    ahead: bool = False
    open_end: bool = False
    within_months: int | None = Field(default=None, ge=1, le=60)

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        bounds = (self.at_least, self.at_most, self.within_months)
        if not self.any_of and not self.ahead and all(one is None for one in bounds):
            raise ValueError("a test must ask something of its field")
        return self

    def says(self, row: Row, today: date) -> bool | None:
        """Say whether a record meets the test; None if the field is not filled or cannot be read."""
        value = row.fields.get(self.field)
        if not folded(value):
            return True if self.open_end else None
        said: list[bool | None] = []
        if self.any_of:
            said.append(any(same_as_far_as_known(value, one) for one in self.any_of))
        read = number(value)
        if self.at_least is not None:
            said.append(None if read is None else read >= self.at_least)
        if self.at_most is not None:
            said.append(None if read is None else read <= self.at_most)
        if self.ahead:
            said.append(not surely_before(value, today.isoformat()))
        if self.within_months is not None:
            said.append(not surely_before(value, months_before(today, self.within_months).isoformat()))
        return both(said)


class Years(Declared):
    """The field with a year, and how many in a row must be there. `lag`: how many years the newest may lie back."""

    field: str
    count: int = Field(ge=2, le=5)
    lag: int = Field(default=1, ge=0, le=2)


class Condition(Declared):
    """What is asked of the records of one kind."""

    kind: str
    newest: str | None = None
    where: list[Test] = Field(default=[])
    some: list[Test] = Field(default=[])
    every: list[Test] = Field(default=[])
    none: list[Test] = Field(default=[])
    years: Years | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if sum(map(bool, (self.some, self.every, self.none, self.years))) != 1:
            raise ValueError("a condition asks one thing: some, every, none or years")
        return self

    @property
    def asks(self) -> Literal["some", "every", "none", "years"]:
        """Which of the four it asks."""
        if self.years is not None:
            return "years"
        return "some" if self.some else "every" if self.every else "none"

    @property
    def items(self) -> frozenset[str]:
        """The items that it reads, "<KIND>.<field>"."""
        tests = {test.field for test in (*self.where, *self.some, *self.every, *self.none)}
        more = {self.newest} if self.newest else set[str]()
        years = {self.years.field} if self.years else set[str]()
        return frozenset(f"{self.kind}.{name}" for name in tests | more | years)

    @property
    def _reaches(self) -> int:
        """How many months back it speaks of."""
        tests = (*self.where, *self.some, *self.every, *self.none)
        return max((test.within_months or 0 for test in tests), default=0)

    def asked(self, rows: Sequence[Row], moment: Moment) -> Said:
        """Ask it of a subject's records of the kind."""
        if not rows:
            return Said(None, reason=NO_DATA)
        taken = rows if self.newest is None else latest(rows, self.newest)
        if not taken:  # several records, and one of them does not say when it was
            return Said(None, reason=INCOMPLETE)
        if self.years is not None:
            return self._years(self.years, taken, moment)
        said = self._tests(taken, moment.today)
        if said.holds and not self.some and self._reaches > moment.history_months:
            return Said(None, reason=HISTORY_TOO_SHORT)  # that nothing was found in less than it speaks of
        return said

    def _tests(self, rows: Sequence[Row], today: date) -> Said:
        tests = self.some or self.every or self.none
        meant = [(row, both(test.says(row, today) for test in self.where)) for row in rows]
        considered = [(row, is_meant) for row, is_meant in meant if is_meant is not False]
        met = [(row, m, both(test.says(row, today) for test in tests)) for row, m in considered]
        if not considered and self.asks != "none":
            return Said(None, reason=NO_DATA)
        if self.asks == "every":
            return _every(met)
        found = tuple(row for row, m, holds in met if m and holds)
        if found:
            return Said(self.asks == "some", found)
        if any(holds is not False for _, _, holds in met):  # one of them may yet be what is looked for
            return Said(None, reason=INCOMPLETE)
        return Said(self.asks == "none", tuple(rows))

    def _years(self, wanted: Years, rows: Sequence[Row], moment: Moment) -> Said:
        meant = [(row, both(test.says(row, moment.today) for test in self.where)) for row in rows]
        dated = [(row, m, number(row.fields.get(wanted.field))) for row, m in meant if m is not False]
        if not dated:
            return Said(None, reason=NO_DATA)
        known = {int(year): row for row, m, year in dated if m and year is not None}
        unsure = any(m is None or year is None for _, m, year in dated)
        last = max(known, default=moment.today.year)
        rests_on = tuple(row for row, m, year in dated if m and year is not None)
        run = range(last, last - wanted.count, -1)
        if all(year in known for year in run) and last >= moment.today.year - wanted.lag:
            return Said(True, rests_on)  # noqa: FBT003  # the answer itself
        if unsure:
            return Said(None, reason=INCOMPLETE)
        reaches = months_before(moment.today, moment.history_months)
        first = min(moment.today.year - wanted.lag, last) - wanted.count + 1
        if reaches > date(first, 1, 1):
            return Said(None, reason=HISTORY_TOO_SHORT)
        return Said(False, rests_on)  # noqa: FBT003  # the answer itself


def both(said: Iterable[bool | None]) -> bool | None:
    """Kleene's and: false if one is, else unknown if one is."""
    found = list(said)
    if any(one is False for one in found):
        return False
    return None if any(one is None for one in found) else True


def latest(rows: Sequence[Row], name: str) -> list[Row]:
    """Give the records with the latest date; none if there are several and one of them has no date."""
    if len(rows) == 1:
        return list(rows)
    dates = [folded(row.fields.get(name)) for row in rows]
    if not all(dates):
        return []
    return [row for row, when in zip(rows, dates, strict=True) if when == max(dates)]


def _every(met: Sequence[tuple[Row, bool | None, bool | None]]) -> Said:
    """All must meet the tests; one that surely is meant and surely does not is enough for no."""
    failed = tuple(row for row, meant, holds in met if meant and holds is False)
    if failed:
        return Said(holds=False, rests_on=failed)
    if any(holds is not True for _, _, holds in met):
        return Said(None, reason=INCOMPLETE)
    return Said(holds=True, rests_on=tuple(row for row, _, _ in met))


def months_before(today: date, months: int) -> date:
    """Give the first day of the month so many months back; as `registry.profile.within_history` reckons."""
    year, month = divmod(today.year * _MONTHS_A_YEAR + today.month - 1 - months, _MONTHS_A_YEAR)
    return date(year, month + 1, 1)
