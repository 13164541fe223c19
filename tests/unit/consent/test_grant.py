"""The life of a consent: every step there is, and none that leads back."""

import itertools

import pytest

from consent.errors import TransitionRefused
from consent.events import Event
from consent.grant import ENDED, STEPS, State, beginning, step

ALLOWED = {
    ("requested", "active"): Event.GRANTED,
    ("requested", "withdrawn"): Event.WITHDRAWN,
    ("requested", "expired"): Event.EXPIRED,
    ("active", "paused"): Event.PAUSED,
    ("active", "withdrawn"): Event.WITHDRAWN,
    ("active", "expired"): Event.EXPIRED,
    ("active", "superseded"): Event.SUPERSEDED,
    ("paused", "active"): Event.RESUMED,
    ("paused", "withdrawn"): Event.WITHDRAWN,
    ("paused", "expired"): Event.EXPIRED,
    ("paused", "superseded"): Event.SUPERSEDED,
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_only_the_drawn_steps_exist(old: State, new: State) -> None:
    event = ALLOWED.get((old.value, new.value))
    if event is None:
        with pytest.raises(TransitionRefused):
            step(old, new)
    else:
        assert step(old, new) is event


def test_what_ended_has_ended() -> None:
    assert {State.WITHDRAWN, State.EXPIRED, State.SUPERSEDED} == ENDED
    assert all(not STEPS[state] for state in ENDED)


def test_every_state_has_a_name_for_beginning_in_it() -> None:
    later_or_beside = {Event.AMENDED, Event.RESUMED, Event.REFUSED, Event.RECONFIRMED, Event.NOTICE_REVIEWED}
    assert {beginning(state) for state in State} == set(Event) - later_or_beside


def test_event_names_have_three_parts() -> None:
    assert all(event.value.startswith("consent:") and event.value.count(":") == 2 for event in Event)
