"""Which records a rule is about, and which it compares them with. Pure.

A selection takes the newest records, or those with fields of certain values. A counterpart is a selection of what is
known of the same subject, or of an organisation whose code stands in a field.

Not here: what is compared, and how (`operators`, `sums`).
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from exchange.consistency.rows import Row, newest, number, same_as_far_as_known, year_of

Scalar: TypeAlias = str | int | bool
Related: TypeAlias = Callable[[Row, "Counterpart"], Sequence[Row]]
Exact: TypeAlias = Annotated[Decimal, BeforeValidator(lambda value: Decimal(str(value)))]  # written as text or whole


class Declared(BaseModel):
    """An unknown key is an error, so that a misspelt word cannot switch a rule off."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Newest(Declared):
    """Only the latest record counts, by the date in `by`, of those that agree in `per`."""

    by: str
    per: list[str] = []


class Selection(Declared):
    """Which records of a kind are meant: the newest, with fields of certain values, and numbers above a bound."""

    kind: str
    newest: Newest | None = None
    where: dict[str, list[Scalar]] = {}
    above: dict[str, Exact] = {}

    def taken(self, rows: Sequence[Row]) -> list[Row]:
        """Give the records that are meant."""
        considered = rows if self.newest is None else newest(rows, self.newest.per, self.newest.by)
        return [row for row in considered if self._takes(row)]

    def _takes(self, row: Row) -> bool:
        said = (
            any(same_as_far_as_known(row.fields.get(name), value) for value in values)
            for name, values in self.where.items()
        )
        high = (
            (read := number(row.fields.get(name))) is not None and read > bound for name, bound in self.above.items()
        )
        return all(said) and all(high)

    @property
    def names(self) -> frozenset[str]:
        """The fields that are read to select."""
        dated = {self.newest.by, *self.newest.per} if self.newest else set[str]()
        return frozenset({*self.where, *self.above, *dated})


class Counterpart(Selection):
    """Records that a rule compares with: of the same subject, or of the organisation whose code stands in a field.

    `match` pairs own fields with theirs, `same_year` own dates with theirs: only records that agree in all of them
    count. `fields` are what is compared; of a record that is added up, the first that is filled.
    """

    fields: list[str] = []
    organisation: str | None = None
    match: dict[str, str] = {}
    same_year: dict[str, str] = {}

    @property
    def names(self) -> frozenset[str]:
        """The fields that are read of the counterpart."""
        return super().names | {*self.fields, *self.match.values(), *self.same_year.values()}

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the record itself, to find its counterpart."""
        followed = {self.organisation} if self.organisation else set[str]()
        return frozenset({*self.match, *self.same_year, *followed})

    def of(self, own: Row, rows: Sequence[Row]) -> list[Row]:
        """Give an own record's counterparts among records of the counterpart's kind."""
        return [row for row in self.taken(rows) if row.ref != own.ref and self._agrees(own, row)]

    def _agrees(self, own: Row, other: Row) -> bool:
        mine, theirs = own.fields.get, other.fields.get
        same = (same_as_far_as_known(mine(name), theirs(other_name)) for name, other_name in self.match.items())
        years = (year_of(mine(name)) == year_of(theirs(their)) != "" for name, their in self.same_year.items())
        return all(same) and all(years)


class Comparison(Declared):
    """What all operators have in common."""

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the rule's own records."""
        return frozenset()

    @property
    def counterparts(self) -> Sequence[Counterpart]:
        """The records that are compared with."""
        return ()

    @property
    def among_own(self) -> bool:
        """Whether own records are weighed together, so that one can be at fault because of another."""
        return False

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        raise NotImplementedError
