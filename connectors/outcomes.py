"""What became of one table: counts by code, control totals, and its rows for as long as somebody needs them.

What follows from the file alone stands beside what follows from consents, for the two are told to different people.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pandas as pd

from connectors.expectations import Control
from connectors.weighed import QuarantinedRow, Rows

FEWEST_PEOPLE: Final = 10  # of fewer a figure would speak of persons


def tells_of_nobody(people: int) -> bool:
    """Say whether a figure over the rows of so many persons is about none of them."""
    return people == 0 or people >= FEWEST_PEOPLE


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """What became of one table.

    Rows are in `held`, and gone with it. `frame` has a row
    for every data row except those without a basis, of which only `counts` knows: row_no (from 1,
    in its sheet), sheet, outcome, code, column, subject_kind, subject_id, basis, period, valid_from, valid_to, and
    the kind's fields by catalogue name (fen, 1/10000 亩, ISO dates; missing is NA). Of a rejected row subject and
    fields are NA. `covered` names the fields that the basis of a row covers (NA: all); the others are NA in it, and
    if they tell its identity they stand beside it (`frames.TOLD`), which is not stored. Of a blocked table it is
    empty. `uncovered` are persons without a basis: to be forgotten by the caller once what was held of them is
    frozen. `stated_fen` is what the amounts of all data rows add up to, held or not; None without such a column.

    `apparent` is how rows would end by code had everybody consented: it follows from the file alone, and is what its
    sender may be told. `people` is of how many persons it speaks, `FEWEST_PEOPLE` standing
    for any number beyond.
    """

    label: str
    rows: int
    as_of: str = ""
    source: str | None = None
    publisher: str | None = None
    class_code: str | None = None
    kind: str | None = None
    project: str | None = None
    quality: str = "D"
    blocked: str | None = None
    unread: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    amount_fen: int | None = None
    stated_fen: int | None = None
    controls: tuple[Control, ...] = ()
    furniture: Mapping[str, int] = field(default_factory=dict)
    apparent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    people: int = 0
    held: Rows | None = field(default=None, repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows in one frame. Of a long table this is large: go through `frames` instead."""
        return pd.DataFrame() if self.held is None else self.held.whole

    @property
    def quarantined(self) -> tuple[QuarantinedRow, ...]:
        """All rows that a person must decide."""
        return tuple(row for _, rows_ in self.parts() for row in rows_)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """All persons without a basis, each once."""
        return tuple(dict.fromkeys(text for texts in self.without() for text in texts))

    @property
    def tells_of_nobody(self) -> bool:
        """Whether figures over the whole table are about no person: it speaks of none, or of many."""
        return tells_of_nobody(self.people)

    @property
    def kept(self) -> int:
        """How many rows something is kept of: all but those without a basis."""
        return 0 if self.held is None else self.rows - self.codes.get("rejected", {}).get("NO_CONSENT", 0)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Give the rows frame by frame, of some ten thousand rows each, in their order."""
        return iter(()) if self.held is None else self.held.frames()

    def parts(self) -> Iterator[tuple[pd.DataFrame, list[QuarantinedRow]]]:
        """Give the rows frame by frame, each with those of its rows that a person must decide."""
        return iter(()) if self.held is None else self.held.parts()

    def without(self) -> Iterator[list[str]]:
        """Give persons without a basis, some ten thousand at a time; one may come again."""
        return iter(()) if self.held is None else self.held.without()

    def bare(self) -> "TableOutcome":
        """Give what may be kept of it: no rows, nobody."""
        return replace(self, held=None)
