"""What has been found against each row of a chunk: the first code that applies, and the column it was seen in.

Findings may come in any order; the register's order decides (connectors.codes). Rows and codes only, no values.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.codes import CLEAN, RANK, REGISTER, Code, Outcome

Mask = npt.NDArray[np.bool_]
REJECTED_BELOW: Final = 1 + max(rank for rank, code in enumerate(REGISTER) if code.outcome is Outcome.REJECTED)
OUTCOMES: Final = [code.outcome.value for code in REGISTER] + [Outcome.ACCEPTED.value]
NAMES: Final = [code.name for code in REGISTER] + [""]
_HELD: Final = [rank for rank, end in enumerate(OUTCOMES) if end in {Outcome.ACCEPTED.value, Outcome.WARNED.value}]


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

    def overrule(self, outcome: str, where: Mask, code: str) -> None:
        """Let rows of `where` that end with this outcome end with `code` instead; the column stays."""
        ends = np.array([end == outcome for end in OUTCOMES])
        self.rank[where & ends[self.rank]] = RANK[code]

    @property
    def rejected(self) -> Mask:
        """Rows that are no records, or that may not be held."""
        return self.rank < REJECTED_BELOW

    @property
    def held(self) -> Mask:
        """Rows that become records: accepted and warned."""
        return np.isin(self.rank, _HELD)

    def has(self, code: str) -> Mask:
        """Rows that end with this code."""
        ends: Mask = self.rank == RANK[code]
        return ends

    def tally(self) -> dict[str, dict[str, int]]:
        """Count rows by outcome and code; "" is the code of accepted rows. Every outcome of a row has its place."""
        counts = np.bincount(self.rank, minlength=CLEAN + 1).tolist()
        found: dict[str, dict[str, int]] = {end.value: {} for end in Outcome if end is not Outcome.BLOCKED}
        for code, count in sorted(zip([*REGISTER, None], counts, strict=True), key=lambda pair: _name(pair[0])):
            if count:
                found[code.outcome.value if code else Outcome.ACCEPTED.value][_name(code)] = count
        return found

    def told(self) -> "dict[str, tuple[npt.NDArray[np.intp], list[str]]]":
        """Give outcome, code and column of each row, as numbers and the texts they stand for."""
        return {
            "outcome": (self.rank.astype(np.intp), OUTCOMES),
            "code": (self.rank.astype(np.intp), NAMES),
            "column": (self.column.astype(np.intp) % (len(self.column_names) + 1), [*self.column_names, ""]),
        }

    @classmethod
    def joined(cls, parts: "Sequence[Verdict]") -> "Verdict":
        """Put the verdicts of chunks behind each other."""
        whole = cls(0)
        names = list(dict.fromkeys(name for part in parts for name in part.column_names))
        moved = [np.array([*map(names.index, part.column_names), -1], dtype=np.int16)[part.column] for part in parts]
        whole.rank, whole.column = np.concatenate([part.rank for part in parts]), np.concatenate(moved)
        whole.column_names = names
        return whole

    def part(self, first: int, last: int) -> "Verdict":
        """Give the verdict over some rows; what is held against them there is held here."""
        some = Verdict(0)
        some.rank, some.column, some.column_names = self.rank[first:last], self.column[first:last], self.column_names
        return some

    def extend(self, other: "Verdict") -> None:
        """Put the verdict of the chunk that follows behind this one."""
        for column in other.column_names:
            if column not in self.column_names:
                self.column_names.append(column)
        places = [self.column_names.index(column) for column in other.column_names]
        moved = np.array([*places, -1], dtype=np.int16)[other.column]
        self.rank, self.column = np.concatenate([self.rank, other.rank]), np.concatenate([self.column, moved])


def _name(code: Code | None) -> str:
    return code.name if code else ""
