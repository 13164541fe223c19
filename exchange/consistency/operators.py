"""The checks that a rule may be made of. Pure: rows in, the rows at fault out.

  le_sum, ge_sum      own fields, added up, are at most (at least) those of the counterpart, within a tolerance
  ratio               own fields, weighted and added up, are at most so many times the counterpart's
  member_of           an own value is among the counterpart's; not_member_of: it is not
  equals_normalised   two values of one record are the same text
  active_at           the counterpart stands in one of the good states
  before              an own date is not after the counterpart's
  none_of             there is no counterpart (that began before an own date)
  present             own fields are filled; and, if asked, the record rests on a consent that is in force
  once_per            no two own records agree in all of some fields
  overlaps            the periods of own records that agree in some fields do not overlap
  k_or_more_distinct  a value stands with fewer than k subjects

`own` are a subject's records of the rule's kind, already selected. `related` gives, for one of them, the counterparts.
Where there is no counterpart, or a value is missing on either side, nothing is found: unknown is no fault.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exchange.consistency.rows import (
    Row,
    added,
    first_filled,
    folded,
    newest,
    number,
    same_as_far_as_known,
    surely_before,
    total,
    year_of,
)

Key = TypeVar("Key")
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


class _Check(Declared):
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


class _Grouped(_Check):
    """Own records are weighed one by one, or (`per`) together with those that agree in these fields."""

    of: list[str] = Field(min_length=1)
    per: list[str] | None = None
    year: str | None = None  # a date, by whose year records are weighed together
    against: list[Counterpart] = Field(min_length=1)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        dated = {self.year} if self.year else set[str]()
        return frozenset({*self.of, *(self.per or ()), *dated}).union(*(one.own_names for one in self.against))

    @property
    def counterparts(self) -> Sequence[Counterpart]:
        """The records that are compared with."""
        return self.against

    @property
    def among_own(self) -> bool:
        """Whether own records are weighed together."""
        return self.per is not None or self.year is not None

    def _groups(self, own: Sequence[Row]) -> list[list[Row]]:
        if self.per is None and self.year is None:
            return [[row] for row in own]
        groups = _by(own, self.per or ())
        if self.year is None:
            return groups
        years = (_by_key(group, lambda row: year_of(row.fields.get(self.year or ""))) for group in groups)
        return [group for by_year in years for year, group in by_year.items() if year]

    def _other(self, group: Sequence[Row], related: Related) -> Decimal | None:
        """Add up the counterparts of a group, each record once."""
        found: list[Decimal | None] = []
        for one in self.against:
            rows = {other.ref: other for row in group for other in related(row, one)}
            found += [number(first_filled(row, one.fields)) for row in rows.values()]
        return added(found)


class LeSum(_Grouped):
    """Σ own ≤ Σ counterpart × (1 + tolerance)."""

    operator: Literal["le_sum"]
    tolerance: Exact = Decimal()

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for group in self._groups(own):
            mine, other = total(group, self.of), self._other(group, related)
            if mine is not None and other is not None and mine > other * (1 + self.tolerance):
                yield from group


class GeSum(_Grouped):
    """Σ own x (1 + tolerance) ≥ Σ counterpart."""

    operator: Literal["ge_sum"]
    tolerance: Exact = Decimal()

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for group in self._groups(own):
            mine, other = total(group, self.of), self._other(group, related)
            if mine is not None and other is not None and mine * (1 + self.tolerance) < other:
                yield from group


class Ratio(_Grouped):
    """Σ own x weight ≤ at_most x Σ counterpart. A record whose weight is not declared makes the group unknown."""

    operator: Literal["ratio"]
    weight_by: str
    weights: dict[str, Exact] = Field(min_length=1)
    at_most: Exact

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return super().own_names | {self.weight_by}

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        weights = {folded(name): weight for name, weight in self.weights.items()}
        for group in self._groups(own):
            mine = Decimal()
            for row in group:
                weight, read = weights.get(folded(row.fields.get(self.weight_by))), total([row], self.of)
                if weight is None or read is None:
                    break
                mine += weight * read
            else:
                other = self._other(group, related)
                if other is not None and mine > self.at_most * other:
                    yield from group


class _OfOne(_Check):
    """A check of the first own field that is filled against counterparts of whatever kinds."""

    of: list[str] = Field(min_length=1)
    against: list[Counterpart] = Field(min_length=1)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset(self.of).union(*(one.own_names for one in self.against))

    @property
    def counterparts(self) -> Sequence[Counterpart]:
        """The records that are compared with."""
        return self.against

    def _theirs(self, row: Row, related: Related) -> set[str]:
        values = (other.fields.get(name) for one in self.against for other in related(row, one) for name in one.fields)
        return {folded(value) for value in values} - {""}


class MemberOf(_OfOne):
    """An own value is among those of the counterpart, as normalised text."""

    operator: Literal["member_of"]

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for row in own:
            mine, theirs = folded(first_filled(row, self.of)), self._theirs(row, related)
            if mine and theirs and mine not in theirs:
                yield row


class NotMemberOf(_OfOne):
    """An own value is not among those of the counterpart, as normalised text."""

    operator: Literal["not_member_of"]

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for row in own:
            if folded(first_filled(row, self.of)) in self._theirs(row, related):
                yield row


class Before(_OfOne):
    """An own date is not after the counterpart's: not after `any` of them, or not after `all` of them."""

    operator: Literal["before"]
    fault_if_after: Literal["any", "all"]

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for row in own:
            mine = first_filled(row, self.of)
            after = [
                surely_before(first_filled(other, one.fields), mine)
                for one in self.against
                for other in related(row, one)
            ]
            if after and (any(after) if self.fault_if_after == "any" else all(after)):
                yield row


class EqualsNormalised(_Check):
    """Two values of one record are the same, as normalised text."""

    operator: Literal["equals_normalised"]
    of: str
    other: str

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset({self.of, self.other})

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        del related
        for row in own:
            one, other = folded(row.fields.get(self.of)), folded(row.fields.get(self.other))
            if one and other and one != other:
                yield row


class ActiveAt(_Check):
    """A counterpart stands in one of the good states; without any counterpart nothing is known."""

    operator: Literal["active_at"]
    against: Counterpart
    states: list[str] = Field(min_length=1)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return self.against.own_names

    @property
    def counterparts(self) -> Sequence[Counterpart]:
        """The records that are compared with."""
        return [self.against]

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        good = {folded(state) for state in self.states}
        for row in own:
            states = {folded(other.fields.get(n)) for other in related(row, self.against) for n in self.against.fields}
            if (states - {""}) and not states & good:
                yield row


class NoneOf(_Check):
    """There is no counterpart; with `of` and `fields`, none that surely began before the own date."""

    operator: Literal["none_of"]
    against: Counterpart
    of: list[str] = []

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset(self.of) | self.against.own_names

    @property
    def counterparts(self) -> Sequence[Counterpart]:
        """The records that are compared with."""
        return [self.against]

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for row in own:
            mine = first_filled(row, self.of)
            others = related(row, self.against)
            if self.of:
                names = self.against.fields
                others = [o for o in others if any(surely_before(o.fields.get(name), mine) for name in names)]
            if others:
                yield row


class Present(_Check):
    """Own fields are filled; with `consented`, the record rests on a consent that is in force."""

    operator: Literal["present"]
    of: list[str] = Field(min_length=1)
    consented: bool = False

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset(self.of)

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        del related
        for row in own:
            if any(row.lacks(name) for name in self.of) or (self.consented and not row.consented):
                yield row


class OncePer(_Check):
    """No two own records agree in all of some fields; those that lack one of them are not compared."""

    operator: Literal["once_per"]
    per: list[str] = Field(min_length=1)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset(self.per)

    @property
    def among_own(self) -> bool:
        """Own records are compared with each other."""
        return True

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        del related
        whole = [row for row in own if all(folded(row.fields.get(name)) for name in self.per)]
        for group in _by(whole, self.per):
            if len(group) > 1:
                yield from group


class Overlaps(_Check):
    """Periods of own records that agree in `per` do not overlap; an end that is open has not come yet."""

    operator: Literal["overlaps"]
    start: str
    end: str
    per: list[str] = Field(min_length=1)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset({self.start, self.end, *self.per})

    @property
    def among_own(self) -> bool:
        """Own records are compared with each other."""
        return True

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        del related
        whole = [row for row in own if all(folded(row.fields.get(name)) for name in (*self.per, self.start))]
        for group in _by(whole, self.per):
            ordered = sorted(group, key=lambda row: (str(row.fields[self.start]), row.ref.record_id.int))
            fault = set()
            for place, row in enumerate(ordered):
                end = row.fields.get(self.end)
                for later in ordered[place + 1 :]:
                    if end is None or surely_before(later.fields[self.start], end):
                        fault |= {row.ref, later.ref}
            yield from (row for row in ordered if row.ref in fault)


class KOrMoreDistinct(_Check):
    """A value stands with fewer than k subjects. Values are compared as keyed hashes, by whoever keeps those."""

    operator: Literal["k_or_more_distinct"]
    of: str
    k: int = Field(ge=2)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset({self.of})

    def value(self, row: Row) -> str:
        """Give the value that is compared; "" for none."""
        return folded(row.fields.get(self.of))

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Find nothing: no subject's own records can tell."""
        del own, related
        yield from ()


Check = Annotated[
    LeSum
    | GeSum
    | Ratio
    | MemberOf
    | NotMemberOf
    | Before
    | EqualsNormalised
    | ActiveAt
    | NoneOf
    | Present
    | OncePer
    | Overlaps
    | KOrMoreDistinct,
    Field(discriminator="operator"),
]


def _by(rows: Sequence[Row], names: Sequence[str]) -> list[list[Row]]:
    return list(_by_key(rows, lambda row: tuple(folded(row.fields.get(name)) for name in names)).values())


def _by_key(rows: Sequence[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
