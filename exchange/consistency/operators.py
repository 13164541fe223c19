"""The checks that a rule may be made of. Pure: rows in, the rows at fault out.

  le_sum, ge_sum, ratio   see `sums`
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

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from exchange.consistency.rows import Row, first_filled, folded, grouped, surely_before
from exchange.consistency.selecting import Comparison, Counterpart, Related
from exchange.consistency.sums import GeSum, LeSum, Ratio


class _OfOne(Comparison):
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


class EqualsNormalised(Comparison):
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


class ActiveAt(Comparison):
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


class NoneOf(Comparison):
    """There is no counterpart; with `of` and `fields`, none that surely began before the own date."""

    operator: Literal["none_of"]
    against: Counterpart
    of: list[str] = Field(default=[])

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


class Present(Comparison):
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


class OncePer(Comparison):
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
        for group in _alike(whole, self.per):
            if len(group) > 1:
                yield from group


class Overlaps(Comparison):
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
        for group in _alike(whole, self.per):
            ordered = sorted(group, key=lambda row: (str(row.fields[self.start]), row.ref.record_id.int))
            fault = set()
            for place, row in enumerate(ordered):
                end = row.fields.get(self.end)
                for later in ordered[place + 1 :]:
                    if end is None or surely_before(later.fields[self.start], end):
                        fault |= {row.ref, later.ref}
            yield from (row for row in ordered if row.ref in fault)


class KOrMoreDistinct(Comparison):
    """A value stands with fewer than k subjects. Values are compared as keyed hashes, by whoever keeps those.

    `digits`: only the last so many digits count, so that numbers written with and without dashes or a country's code
    are the same.
    """

    operator: Literal["k_or_more_distinct"]
    of: str
    k: int = Field(ge=2)
    digits: int | None = Field(default=None, ge=4)

    @property
    def own_names(self) -> frozenset[str]:
        """The fields that are read of the own records."""
        return frozenset({self.of})

    def value(self, row: Row) -> str:
        """Give the value that is compared; "" for none."""
        written = folded(row.fields.get(self.of))
        if self.digits is None:
            return written
        return "".join(one for one in written if one.isdecimal())[-self.digits :]

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


def _alike(rows: Sequence[Row], names: Sequence[str]) -> list[list[Row]]:
    return list(grouped(rows, lambda row: tuple(folded(row.fields.get(name)) for name in names)).values())
