"""A consent made smaller: fewer items or uses, shorter, a lower mode. Pure.

Narrowing needs no new act of consent: whoever agreed to more agreed to less. Widening does, on every edge; so each edge
that is stated has to lie within the one that stands, and one of them truly inside it. Recipient, purpose, first day,
evidence, text and whoever acted stay as they are.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from consent.errors import Fault, TermsRefused, TransitionRefused
from consent.record import Terms
from consent.scope import Mode


@dataclass(frozen=True, slots=True)
class Narrower:
    """The edges of the smaller consent; None leaves an edge as it is. `items` are items, not classes."""

    items: Collection[str] | None = None
    history_months: int | None = None
    valid_until: datetime | None = None
    max_uses: int | None = None
    uses_per_month: int | None = None
    mode: Mode | None = None
    data_life_days: int | None = None


def narrowed(standing: Terms, asked: Narrower, *, now: datetime) -> Terms:
    """Give the smaller terms.

    Raises:
        TermsRefused: NOT_NARROWER: an edge would be wider, nothing would change, or nothing would be left.
        TransitionRefused: the consent's time is over.
    """
    scope = standing.scope
    if now >= scope.valid_until:
        raise TransitionRefused("the consent's time is over")
    items = scope.items if asked.items is None else frozenset(asked.items)
    until = scope.valid_until if asked.valid_until is None else asked.valid_until
    mode = scope.mode if asked.mode is None else asked.mode
    within = (
        items <= scope.items,
        until.tzinfo is not None and max(now, scope.valid_from) < until <= scope.valid_until,
        mode.rank <= scope.mode.rank,
        _within(asked.history_months, scope.history_months, least=0),
        _within(asked.max_uses, scope.max_uses, least=1),
        _within(asked.uses_per_month, scope.uses_per_month, least=1),
        _within(asked.data_life_days, standing.data_life_days, least=0),
    )
    if not items or not all(within):
        raise TermsRefused(Fault.NOT_NARROWER, "what is wider than before needs a new consent")
    smaller = replace(
        standing,
        scope=replace(
            scope,
            items=items,
            valid_until=until,
            mode=mode,
            history_months=_or(asked.history_months, scope.history_months),
            max_uses=_or(asked.max_uses, scope.max_uses),
            uses_per_month=scope.uses_per_month if asked.uses_per_month is None else asked.uses_per_month,
        ),
        data_life_days=standing.data_life_days if asked.data_life_days is None else asked.data_life_days,
    )
    if smaller == standing:
        raise TermsRefused(Fault.NOT_NARROWER, "nothing would change")
    return replace(smaller, register_no=None)


def _within(asked: int | None, standing: int | None, *, least: int) -> bool:
    """Tell whether an edge lies within the one that stands; where none stands (consents of before), any cap is less."""
    return asked is None or (least <= asked and (standing is None or asked <= standing))


def _or(asked: int | None, standing: int) -> int:
    return standing if asked is None else asked
