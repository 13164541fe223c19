"""What has been found against each row of a chunk: the first code that applies, and the column it was seen in.

Findings may come in any order; the register's order decides (connectors.codes). Rows and codes only, no values.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.codes import CLEAN, RANK, REGISTER, Outcome

Mask = npt.NDArray[np.bool_]
REJECTED_BELOW: Final = 1 + max(rank for rank, code in enumerate(REGISTER) if code.outcome is Outcome.REJECTED)
_OUTCOMES: Final = np.array([code.outcome.value for code in REGISTER] + [Outcome.ACCEPTED.value], dtype=object)
_NAMES: Final = np.array([code.name for code in REGISTER] + [""], dtype=object)


class Verdict:
    """The standing verdict over `size` rows; every row begins clean."""

    def __init__(self, size: int) -> None:
        self.rank: npt.NDArray[np.int16] = np.full(size, CLEAN, dtype=np.int16)
        self.column: npt.NDArray[np.int16] = np.full(size, -1, dtype=np.int16)
        self.column_names: list[str] = []

    def mark(self, code: str, where: Mask, column: str) -> None:
        """Hold `code`, seen in `column`, against the rows of `where` that nothing earlier is held against."""
        rank = RANK[code]
        new = where & (self.rank > rank)
        if new.any():
            if column not in self.column_names:
                self.column_names.append(column)
            self.rank[new] = rank
            self.column[new] = self.column_names.index(column)

    @property
    def rejected(self) -> Mask:
        """Rows that are no records, or that may not be held."""
        return self.rank < REJECTED_BELOW

    @property
    def held(self) -> Mask:
        """Rows that become records: accepted and warned."""
        return self.outcome_is(Outcome.ACCEPTED) | self.outcome_is(Outcome.WARNED)

    def outcome_is(self, outcome: Outcome) -> Mask:
        """Rows with this outcome."""
        is_it: Mask = self.outcomes == outcome.value
        return is_it

    @property
    def outcomes(self) -> npt.NDArray[np.object_]:
        """Each row's outcome."""
        return _OUTCOMES[self.rank]

    @property
    def codes(self) -> npt.NDArray[np.object_]:
        """Each row's code; "" for accepted rows."""
        return _NAMES[self.rank]

    @property
    def columns(self) -> npt.NDArray[np.object_]:
        """The heading of the column in which each row's code was seen; "" for accepted rows."""
        return np.array([*self.column_names, ""], dtype=object)[self.column]

    def extend(self, other: "Verdict") -> None:
        """Put the verdict of the chunk that follows behind this one."""
        for column in other.column_names:
            if column not in self.column_names:
                self.column_names.append(column)
        places = [self.column_names.index(column) for column in other.column_names]
        moved = np.array([*places, -1], dtype=np.int16)[other.column]
        self.rank, self.column = np.concatenate([self.rank, other.rank]), np.concatenate([self.column, moved])
