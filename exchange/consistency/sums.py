"""The operators that add up: own fields over records, against what their counterparts add up to. Pure.

  le_sum  own fields, added up, are at most those of the counterparts, within a tolerance
  ge_sum  they are at least those
  ratio   own fields, weighted and added up, are at most so many times the counterparts'

A sum of which a part is not known is a sum of at least what is known: enough to say that it is too large, never that it
is too small. So a value that is missing on the side that bounds makes the comparison unknown, and nothing is found.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from exchange.consistency.rows import Row, added, first_filled, folded, grouped, number, total, year_of
from exchange.consistency.selecting import Comparison, Counterpart, Exact, Related


class _Grouped(Comparison):
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
        groups = grouped(own, lambda row: tuple(folded(row.fields.get(name)) for name in self.per or ()))
        if self.year is None:
            return list(groups.values())
        years = (grouped(group, lambda row: year_of(row.fields.get(self.year or ""))) for group in groups.values())
        return [group for by_year in years for year, group in by_year.items() if year]

    def _others(self, group: Sequence[Row], related: Related) -> list[Decimal | None]:
        """Give what the counterparts of a group state, each record once; None of one that states nothing."""
        found: list[Decimal | None] = []
        for one in self.against:
            rows = {other.ref: other for row in group for other in related(row, one)}
            found += [number(first_filled(row, one.fields)) for row in rows.values()]
        return found


class LeSum(_Grouped):
    """Σ own ≤ Σ counterpart × (1 + tolerance)."""

    operator: Literal["le_sum"]
    tolerance: Exact = Decimal()

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for group in self._groups(own):
            mine, other = total(group, self.of), _whole(self._others(group, related))
            if mine is not None and other is not None and mine > other * (1 + self.tolerance):
                yield from group


class GeSum(_Grouped):
    """Σ own x (1 + tolerance) ≥ Σ counterpart. `months`: unknown unless the year's records are of so many months."""

    operator: Literal["ge_sum"]
    tolerance: Exact = Decimal()
    months: int = Field(default=0, ge=0, le=12)

    def at_fault(self, own: Sequence[Row], related: Related) -> Iterator[Row]:
        """Give the own records at fault."""
        for group in self._groups(own):
            stated = [number(row.fields.get(name)) for row in group for name in self.of]
            mine, other = _whole(stated), added(self._others(group, related))
            enough = len({folded(row.fields.get(self.year or "")) for row in group}) >= self.months
            if enough and mine is not None and other is not None and mine * (1 + self.tolerance) < other:
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
                other = _whole(self._others(group, related))
                if other is not None and mine > self.at_most * other:
                    yield from group


def _whole(stated: Iterable[Decimal | None]) -> Decimal | None:
    """Add up what is stated; None if there is nothing, or if of some record nothing is."""
    values = list(stated)
    return None if None in values else added(values)
