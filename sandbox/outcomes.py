"""Made-up people for a lender's tests, each standing for one outcome of a question (`outcomes.yml`). Reads the table.

Who they are follows from the table alone, so that a lender's own tests can name them. What makes the outcome come about
is done by whoever runs a sandbox (`qingqiao sandbox lender`); it is not done here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

import yaml

from exchange.client import Claim, Subject
from sandbox.numbers import resident_id

PERMITTED: Final = "permitted"
EVERYTHING: Final = ("SUBSIDY", "RATING")
Held = Literal["fresh", "stale", "subsidies", "nothing"]
Then = Literal["ask", "withdraw", "pause", "narrow", "dispute", "recall"]


@dataclass(frozen=True)
class Terms:
    """The consent of a subject; days are counted from today, None takes the purpose's.

    It holds for nearly a year: what is repeated by its key rests on the consent that it was first answered under.
    """

    purpose: str
    items: tuple[str, ...] = EVERYTHING
    from_days: int = -1
    until_days: int = 360
    mode: str = "summary"
    max_uses: int | None = None
    uses_per_month: int | None = None
    data_life_days: int | None = None
    history_months: int | None = None
    acknowledged: bool = True
    requested: bool = False


@dataclass(frozen=True)
class Question:
    """The question that has the outcome; `again` repeats an earlier one by its key."""

    purpose: str
    items: tuple[str, ...] | None = None
    claim: Mapping[str, Any] | None = None
    business_no: bool = True
    again: bool = False


@dataclass(frozen=True)
class Outcome:
    """One row: who, what is arranged, what is asked, what comes of it."""

    name: str
    zh: str
    en: str
    identifier: str = field(repr=False)
    held: Held
    consent: Terms | None
    then: tuple[Then, ...]
    ask: Question
    expect: str
    labelled: str | None = None
    label: str | None = None

    @property
    def key(self) -> str:
        """The Idempotency-Key of what is asked beforehand, and again."""
        return f"sandbox-{self.name}"

    @property
    def business_no(self) -> str | None:
        """The number of the made-up application."""
        return f"SANDBOX-{self.name}" if self.ask.business_no else None

    def question(self) -> tuple[Subject, dict[str, Any]]:
        """Give whom and what the kit's `query` asks: the very same whenever it is asked."""
        stated: dict[str, Any] = {"purpose": self.ask.purpose, "business_no": self.business_no}
        if self.ask.items is not None:
            stated["items"] = self.ask.items
        if self.ask.claim is not None:
            stated |= {"mode": "verify", "claims": [Claim(**self.ask.claim)]}
        return Subject.person(self.identifier), stated


@dataclass(frozen=True)
class Table:
    """Whose tests they are, and the people."""

    lender: str
    client_id: str
    outcomes: tuple[Outcome, ...]

    def named(self, name: str) -> Outcome:
        """Give one row."""
        return next(one for one in self.outcomes if one.name == name)


@cache
def table() -> Table:
    """Read the table; a member that is not understood is refused."""
    raw = yaml.safe_load((resources.files("sandbox") / "outcomes.yml").read_text("utf-8"))
    division, rows = str(raw["division"]), raw["subjects"]
    return Table(raw["lender"], raw["client_id"], tuple(_outcome(division, name, row) for name, row in rows.items()))


def _outcome(division: str, name: str, row: dict[str, Any]) -> Outcome:
    born: date = row.pop("born")
    terms = row.pop("consent", None)
    return Outcome(
        name=name,
        identifier=resident_id(division, born),
        held=row.pop("held", "fresh"),
        consent=None if terms is None else Terms(**_tupled(terms)),
        then=tuple(row.pop("then", ())),
        ask=Question(**_tupled(row.pop("ask"))),
        **row,
    )


def _tupled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
