"""What was planted in which row, and what must become of it: the sandbox's own key.

The tables of outcomes and their order are written here a second time, from the published code list, so that
the demo compares two independent readings. Order: rejected, then NO_CONSENT, then quarantined, then warned;
within an outcome the order of the list.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from numpy.random import Generator

NO_CONSENT: Final = "NO_CONSENT"
REJECTED: Final = (
    "ID_MALFORMED",
    "ID_CHECK_FAILED",
    "ID_PRECISION_LOST",
    "USCC_CHECK_FAILED",
    "EAR_TAG_MALFORMED",
    "REGION_UNKNOWN",
    "AMOUNT_MISSING",
    "DATE_AMBIGUOUS",
    "DATE_MALFORMED",
    "SCORE_OUT_OF_RANGE",
    "CELL_ERROR",
)
QUARANTINED: Final = (
    "AMOUNT_MISMATCH",
    "VILLAGE_UNKNOWN",
    "MULTIPLE_PERSONS",
    "DUPLICATE_IN_BATCH",
    "UNKNOWN_CATEGORY",
    "GRADE_SCORE_MISMATCH",
    "PERIOD_INVERTED",
    "NET_VALUE_MISMATCH",
    "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT",
    "EAR_TAG_SPECIES",
)
WARNED: Final = (
    "ACCOUNT_LUHN",
    "ID_15_CONVERTED",
    "REGION_RETIRED",
    "ID_REGION_UNKNOWN",
    "PHONE_MALFORMED",
    "BALANCE_DIFFERENCE",
    "PUBLICITY_MISSING",
)


def outcome(codes: Iterable[str], *, consented: bool) -> tuple[str, str | None]:
    """Say what a row with these faults ends as: an outcome and the code that decides it, None when accepted."""
    found = set(codes)
    ladder = (
        ("rejected", REJECTED),
        ("rejected", () if consented else (NO_CONSENT,)),
        ("quarantined", QUARANTINED),
        ("warned", WARNED),
    )
    for name, order in ladder:
        for code in order:
            if code in found or code == NO_CONSENT:
                return name, code
    return "accepted", None


def plant(rng: Generator, rows: int, shares: Mapping[str, float]) -> list[str | None]:
    """Choose which rows get which fault: a share of each kind, at least one, never two in a row.

    Raises:
        ValueError: more faults than rows.
    """
    wanted = [code for code, share in shares.items() for _ in range(max(1, round(share * rows)))]
    if len(wanted) > rows:
        raise ValueError(f"{len(wanted)} faults do not fit {rows} rows")
    planted: list[str | None] = [None] * rows
    for position, code in zip(rng.permutation(rows), wanted, strict=False):
        planted[int(position)] = code
    return planted


@dataclass
class Tally:
    """The expected outcome of one table, counted while its rows are written."""

    dataset: str
    project: str | None = None
    has_amounts: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    accepted_fen: int = 0
    accepted_people: set[str] = field(default_factory=set, repr=False)

    def count(
        self, codes: Sequence[str], *, consented: bool = True, amount_fen: int = 0, person: str | None = None
    ) -> None:
        """Count one row; its amount is added when it is held (accepted or warned), its person when accepted."""
        name, code = outcome(codes, consented=consented)
        self.counts[name] += 1
        if code is not None:
            self.codes.setdefault(name, Counter())[code] += 1
        if name in ("accepted", "warned"):
            self.accepted_fen += amount_fen
        if name == "accepted" and person is not None:
            self.accepted_people.add(person)

    def as_expected(self) -> dict[str, object]:
        """Write it in the shape of an intake report: counts, codes, and the amount held in yuan."""
        expected: dict[str, object] = {"dataset": self.dataset}
        if self.project is not None:
            expected["project"] = self.project
        expected["rows"] = self.counts.total()
        expected["accepted"] = self.counts["accepted"]
        for name in ("warned", "quarantined", "rejected"):
            expected[name] = self.counts[name]
            if self.counts[name]:
                expected[f"{name}_codes"] = dict(sorted(self.codes[name].items()))
        if self.has_amounts:
            expected["accepted_amount_yuan"] = f"{self.accepted_fen // 100}.{self.accepted_fen % 100:02d}"
        return expected


def blocked(
    code: str, *, dataset: str | None = None, project: str | None = None, rows: int | None = None
) -> dict[str, object]:
    """Say what is expected of a table that is blocked whole."""
    known = {"dataset": dataset, "project": project, "blocked": code, "rows": rows, "accepted": 0}
    return {name: value for name, value in known.items() if value is not None}
