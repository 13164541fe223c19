"""The life of one consent. Pure: states, the steps between them, and nothing that could go back.

    requested ──▶ active ◀──▶ paused
        │           │           │
        └───────────┴─────┬─────┘        requested has no way to superseded: it was never in force
                          ▼
       withdrawn  |  expired  |  superseded      no step leads out of these

Withdrawing is always the subject's last word: after it a new consent is needed, never a step back.
The date decides too: `consent.decision` refuses outside valid_from … valid_until whatever the state says, so that
the job which writes `expired` may be late without harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consent.errors import TransitionRefused
from consent.events import Event
from consent.scope import Scope
from registry.instants import beijing_day


class State(StrEnum):
    """Where a consent stands."""

    REQUESTED = "requested"
    ACTIVE = "active"
    PAUSED = "paused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


STEPS: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        State.REQUESTED: frozenset({State.ACTIVE, State.WITHDRAWN, State.EXPIRED}),
        State.ACTIVE: frozenset({State.PAUSED, State.WITHDRAWN, State.EXPIRED, State.SUPERSEDED}),
        State.PAUSED: frozenset({State.ACTIVE, State.WITHDRAWN, State.EXPIRED, State.SUPERSEDED}),
        State.WITHDRAWN: frozenset(),
        State.EXPIRED: frozenset(),
        State.SUPERSEDED: frozenset(),
    }
)
ENDED: Final = frozenset(state for state, onward in STEPS.items() if not onward)

_EVENTS: Final[Mapping[State, Event]] = MappingProxyType(
    {
        State.REQUESTED: Event.REQUESTED,
        State.ACTIVE: Event.GRANTED,
        State.PAUSED: Event.PAUSED,
        State.WITHDRAWN: Event.WITHDRAWN,
        State.EXPIRED: Event.EXPIRED,
        State.SUPERSEDED: Event.SUPERSEDED,
    }
)


def told(state: State, *, since: datetime, valid_until: datetime) -> State:
    """Give the state that a recipient is told: what expired before its time reads as withdrawn (docs/adr/0029).

    Why it ended is a matter of the person's life: a death, a birthday that was corrected, a power that was taken back.
    """
    return State.WITHDRAWN if state is State.EXPIRED and since < valid_until else state


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent as the decision sees it: its edges, its state as recipients are told it, and the uses already counted.

    `month_uses` are those of `month` ("2026-06", Beijing), the month of the last use. `reconfirm_by`: from then on it
    permits nothing until the subject has confirmed it again; None where the purpose asks for no confirmation.
    `data_life_days`: for so long an answer may be opened again; where nobody says for how long, not at all.
    """

    consent_id: str
    scope: Scope
    state: State
    uses: int = 0
    month: str | None = None
    month_uses: int = 0
    reconfirm_by: datetime | None = None
    data_life_days: int = 0

    @property
    def uses_left(self) -> int:
        """Uses that may still be counted; never negative."""
        return max(0, self.scope.max_uses - self.uses)

    def uses_in(self, month: str) -> int:
        """Uses counted in a month. One that is over has no more to give: a slow clock opens no second allowance."""
        return self.month_uses if self.month is not None and month <= self.month else 0


def step(old: State, new: State) -> Event:
    """Say what it is called when a consent goes from one state to another.

    Raises:
        TransitionRefused: there is no such step; in particular none leaves withdrawn, expired or superseded.
    """
    if new not in STEPS[old]:
        raise TransitionRefused(f"a consent that is {old.value} cannot become {new.value}")
    if old is State.PAUSED and new is State.ACTIVE:
        return Event.RESUMED
    return _EVENTS[new]


def month_of(at: datetime) -> str:
    """Name the calendar month in Beijing that holds an instant: "2026-06"."""
    return f"{beijing_day(at):%Y-%m}"


def beginning(state: State) -> Event:
    """Say what it is called when a consent is first recorded, in whichever state it arrives from a register."""
    return _EVENTS[state]
