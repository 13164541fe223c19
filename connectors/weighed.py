"""The rows of a table that has been weighed: taken from where they lie, frame by frame, as often as needed. Pure.

Verdicts are known for all rows; a frame gets them when it is taken out. Then a row without a basis is left out, of a
row with a narrower one every other field is blanked, and of a refused row nothing stays but its place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from connectors import cleaning, frames
from connectors.chunk import Part
from connectors.codes import Outcome
from connectors.mends import Mends, decide
from connectors.sheaves import InMemory, Sheaves
from connectors.verdict import Verdict
from registry.catalogue import Kind


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that a person must decide: its cells by heading, as they came, "" where its basis does not cover them."""

    sheet: str
    row_no: int
    code: str
    column: str
    cells: Mapping[str, str]


AMOUNT: Final = "amount"  # stands beside a row's basis, so that adding up opens no more than this


class Rows:
    """The rows of one table: its chunks as they are laid out, their bases, and the cells that they were read from."""

    def __init__(  # the sides of one thing
        self,
        laid_out: Sheaves,
        bases: Sheaves,
        cells: Sheaves,
        places: Sequence[Part],
        verdict: Verdict,
        starts: Sequence[int],
        kind: Kind,
        ordinals: "pd.Series[int] | None",
    ) -> None:
        """Take what was found of the rows; `starts` are where chunks begin in the verdict, and its end."""
        self._laid_out, self._bases, self._cells = laid_out, bases, cells
        self._places, self._kind = places, kind
        self._verdict, self._starts, self._ordinals = verdict, starts, ordinals

    def frames(self) -> Iterator[pd.DataFrame]:
        """Give the rows frame by frame, as `outcomes.TableOutcome` describes them."""
        return (self._frame(number) for number in range(len(self._laid_out)))

    def parts(self) -> Iterator[tuple[pd.DataFrame, list[QuarantinedRow]]]:
        """Give each frame with those of its rows that a person must decide."""
        for number in range(len(self._laid_out)):
            frame = self._frame(number)
            yield frame, self._quarantined(number, frame)

    def without(self) -> Iterator[list[str]]:
        """Give, chunk by chunk, the persons without a basis."""
        unheld = self._verdict.has("NO_CONSENT")
        for number in range(len(self._laid_out)):
            here = unheld[self._starts[number] : self._starts[number + 1]]
            if here.any():
                frame = self._laid_out.get(number, ("subject_kind", "subject_id"))
                yield frame.loc[here & (frame["subject_kind"] == "person"), "subject_id"].unique().tolist()

    @property
    def whole(self) -> pd.DataFrame:
        """All rows in one frame; kept only where the rows are in memory anyway."""
        return self._kept if isinstance(self._laid_out, InMemory) else joined(list(self.frames()))

    @cached_property
    def _kept(self) -> pd.DataFrame:
        return joined(list(self.frames()))

    def amount(self) -> int:
        """Add up the amounts of the rows that are held."""
        held, total = self._verdict.held, 0
        for number in range(len(self._laid_out)):
            frame = self._bases.get(number, (AMOUNT,))
            total += int(frame.loc[held[self._starts[number] : self._starts[number + 1]], AMOUNT].sum())
        return total

    def decide(self, mends: Mends) -> None:
        """Apply what people decided of rows."""
        for number in range(len(self._laid_out)):
            frame = self._laid_out.get(number, ("sheet", "row_no"))
            decide(self._slice(number), frame["sheet"].tolist(), frame["row_no"].tolist(), mends)

    def _slice(self, number: int) -> Verdict:
        return self._verdict.part(self._starts[number], self._starts[number + 1])

    def _frame(self, number: int) -> pd.DataFrame:
        frame, verdict = self._laid_out.get(number), self._slice(number)
        for name, column in self._bases.get(number, ("basis", "covered")).items():
            frame[name] = column
        if self._ordinals is not None:
            numbers = self._ordinals.iloc[self._starts[number] : self._starts[number + 1]]
            frame["ordinal"] = numbers.reset_index(drop=True)
        for place, (name, (numbers_, texts)) in enumerate(verdict.told().items(), start=2):
            frame.insert(place, name, cleaning.spread(numbers_, texts))
        unheld = verdict.has("NO_CONSENT")
        kept = frame[~unheld].reset_index(drop=True) if unheld.any() else frame
        frames.strip(kept, self._kind)
        refused = kept["outcome"] == Outcome.REJECTED.value
        if refused.any():
            emptied = list(kept.columns[5:])
            kept[emptied] = kept[emptied].mask(refused)
        return kept

    def _quarantined(self, number: int, frame: pd.DataFrame) -> list[QuarantinedRow]:
        here = frame[frame["outcome"] == Outcome.QUARANTINED.value]
        if here.empty:
            return []
        part, came = self._places[number], self._cells.get(number)
        uses, table, rows = (
            part.layout.uses.values(),
            part.layout.table,
            self._laid_out.get(number, ("row_no",))["row_no"],
        )
        at = np.searchsorted(rows.to_numpy(), here["row_no"].to_numpy())
        kept = [
            frames.covered_by(here["covered"], frames.feeds(table, use)) | (use.name in {table.subject, table.party})
            for use in uses
        ]
        columns = [
            came[str(use.index)].take(at).reset_index(drop=True).where(keep, "").tolist()
            for use, keep in zip(uses, kept, strict=True)
        ]
        headings = [use.heading for use in uses]
        marks = here[["row_no", "code", "column"]].itertuples(index=False)
        return [
            QuarantinedRow(part.grid.place, int(row_no), code, column, dict(zip(headings, texts, strict=True)))
            for (row_no, code, column), texts in zip(marks, zip(*columns, strict=True), strict=True)
        ]


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put frames under each other, column by column; a column that one of them lacks is missing in its rows."""
    if len(parts) == 1:
        return parts[0].reset_index(drop=True)
    whole = {
        name: pd.concat([_column(part, name) for part in parts], ignore_index=True)
        for name in dict.fromkeys(name for part in parts for name in part.columns)
    }
    return pd.DataFrame(whole, copy=False)


def _column(part: pd.DataFrame, name: str) -> "pd.Series[str]":
    if name in part:
        return part[name]
    if name.startswith(frames.TOLD) and name.removeprefix(frames.TOLD) in part:
        return part[name.removeprefix(frames.TOLD)]  # nothing of it was blanked there
    return pd.Series(pd.NA, index=part.index, dtype="str")
