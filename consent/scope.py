"""What a consent covers, and how much of an answer it allows. Values only: nothing here decides.

The answer modes are ordered, least data first (docs/requirements.md, reports, "Lender response modes"); a consent
names the highest one, and every lower one is within it.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Mode(StrEnum):
    """How much an answer says, least first."""

    VERIFY = "verify"  # yes or no
    TAGS = "tags"
    SCORE = "score"
    SUMMARY = "summary"
    REPORT = "report"
    MONITOR = "monitor"  # later events too

    @property
    def rank(self) -> int:
        """Place in the order, 0 for the least data."""
        return RANK[self]


RANK: Final[Mapping[str, int]] = MappingProxyType({mode: rank for rank, mode in enumerate(Mode)})


@dataclass(frozen=True, slots=True)
class Scope:
    """The edges of one consent.

    `recipient` is the one organisation that may ask (R-15), `items` are "<KIND>.<field>" as they stood in the
    catalogue on the day of consent. `valid_from` is inclusive, `valid_until` exclusive; both carry a time zone.
    `history_months` is how far back data may reach, `max_uses` how often it may be asked for,
    `w_acknowledged` whether the subject was told of adverse consequences and agreed in writing (R-05),
    `sensitive_agreed` whether sensitive items were agreed to in an act of their own (R-17), `uses_per_month` how often
    it may be asked for in one calendar month in Beijing; None in consents of before there was such a cap, which take
    the purpose's ceiling (consent.purposes).
    """

    recipient: str
    purpose: str
    items: frozenset[str]
    history_months: int
    valid_from: datetime
    valid_until: datetime
    max_uses: int
    mode: Mode
    w_acknowledged: bool
    sensitive_agreed: bool = False
    uses_per_month: int | None = None


_SEPARATORS: Final = frozenset(";、|/")  # a name written with one of them is several; compared after NFKC


def names_one(text: str) -> bool:
    """Tell whether a text names exactly one organisation, in characters that can be seen.

    Control and format characters are none: two names that look the same would be two organisations.
    """
    name = recipient_name(text)
    plain = all(unicodedata.category(character) not in {"Cc", "Cf"} for character in text.strip())
    return bool(name) and plain and _SEPARATORS.isdisjoint(name)


def recipient_name(text: str) -> str:
    """Write an organisation's name the one way in which consents and registered lenders are compared.

    Full-width forms become half-width and white space goes, so that 青海民和农村商业银行 typed with an
    ideographic space, or （ for (, names the same bank. It never makes two different names one.
    """
    return "".join(unicodedata.normalize("NFKC", text).split())
