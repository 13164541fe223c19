"""A file as it looks to who sent it: weighed as if everybody in it had consented. Pure; nothing of it is kept.

Officials must not learn who seeks credit. A remark that stood only on rows of people who have consented would say who
has; so would a count by code that differs from the rows that are marked. Whatever an agency is shown of its rows,
marks, quarantine and counts by code, is computed here from its own bytes, the same whoever has consented. What is
really held differs from it in one figure only, the number of rows without consent, which is told as a total, in tens,
where it speaks of enough people (`told_without`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import pandas as pd

from connectors import layout, normalise, reading, source
from connectors.codes import Outcome
from connectors.delivery import Delivery
from connectors.grids import Grid
from connectors.layout import Layout
from connectors.mends import Mends
from connectors.normalise import FEWEST_PEOPLE, TableOutcome
from registry.basis import Basis, BasisKind

_NO_CONSENT: Final = "NO_CONSENT"
TOLD_IN: Final = 10  # rows without consent are told in steps of so many
_EVERYBODY: Final = Basis(BasisKind.CONSENT, "everybody")


def everybody(_: str, identifiers: Sequence[str], __: date) -> list[Basis | None]:
    """Say of everybody that they consented, to every field. For looking only: nothing is held on it."""
    return [_EVERYBODY] * len(identifiers)


def evaluate(
    raw: reading.Source, label: str, *, as_of: date, delivery: Delivery, mended: Mapping[str, Mends]
) -> list[TableOutcome]:
    """Say what becomes of a file's rows as if everybody had consented.

    Args:
        raw: the file's bytes.
        label: its name.
        as_of: the day it came.
        delivery: how it came.
        mended: what was decided of its rows, by table label.
    """
    return normalise.evaluate(raw, label, as_of=as_of, basis_of=everybody, delivery=delivery, mended=mended)


def sheets(raw: bytes, label: str, delivery: Delivery) -> list[tuple[Grid, Layout | None]]:
    """Read a short file's sheets, each with its layout; None for a sheet that no declaration knows.

    Raises:
        FileUnreadable: no table can be read from the bytes.
    """
    known = source.current()
    return [(grid, layout.find(grid, known, label, delivery.mapping)) for grid in reading.read(raw, label)]


def beginnings(raw: reading.Source, label: str, delivery: Delivery) -> list[tuple[Grid, Layout | None, reading.Stream]]:
    """Read what the sheets of a long file begin with, each with its layout and how to read all of it.

    Raises:
        FileUnreadable: no table can be read from the bytes.
    """
    known = source.current()
    firsts, streams = normalise.beginnings(raw, label)
    return [(grid, layout.find(grid, known, label, delivery.mapping), streams[grid.number]) for grid in firsts]


def headings(raw: reading.Source, label: str, delivery: Delivery, kind: str | None) -> frozenset[str]:
    """Name the headings that stand in a file's sheets of one kind and that a declaration knows."""
    if reading.is_long(raw, label):
        layouts = [one for _, one, _ in beginnings(raw, label, delivery)]
    else:
        layouts = [one for _, one in sheets(reading.whole(raw), label, delivery)]
    found = [one for one in layouts if one is not None and one.table.kind == kind]
    return frozenset(use.heading for one in found for use in one.uses.values())


def end_of(outcomes: Sequence[TableOutcome], label: str, sheet: str, row_no: int) -> "pd.Series[str] | None":
    """Give what becomes of one row: outcome, code and column; None if it is no row of data."""
    for one in outcomes:
        for frame in one.frames() if one.label == label else ():
            here = frame[(frame["row_no"] == row_no) & (frame["sheet"] == sheet)]
            if len(here):
                return here.iloc[0][["outcome", "code", "column"]]
    return None


def told_without(outcome: TableOutcome, codes: Mapping[str, Mapping[str, int]]) -> int | None:
    """Give about how many rows are without consent, None where it is not told: it would speak of fewer than ten people.

    Args:
        outcome: the table as if everybody had consented.
        codes: what really became of it, by outcome and code.
    """
    without = codes.get(Outcome.REJECTED.value, {}).get(_NO_CONSENT, 0)
    return about(without) if outcome.people >= FEWEST_PEOPLE else None


def about(rows: int) -> int:
    """Round down to tens: who looks before and after a consent must not see the figure move by that person's rows."""
    return rows // TOLD_IN * TOLD_IN
