"""How fast an organisation may call the costly doors. No clock but the test's."""

import pytest

from exchange.agency_api.pace import A_SECOND, ANNOTATING_COST, BURST, LOOKING_COST, Pace
from exchange.errors import RequestRefused
from exchange.problems import told_of


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def emptied(pace: Pace, organisation: str = "县局") -> RequestRefused:
    for _ in range(BURST):
        pace.take(organisation, LOOKING_COST)
    with pytest.raises(RequestRefused, match="asked-too-fast") as refused:
        pace.take(organisation, ANNOTATING_COST)
    return refused.value


def test_so_many_calls_go_through_at_once_and_the_next_is_told_when_to_come_again(pace: Pace, clock: Clock) -> None:
    told = told_of("", emptied(pace))
    assert (told.status, told.headers["Retry-After"]) == (429, str(int(ANNOTATING_COST / A_SECOND)))
    clock.seconds += ANNOTATING_COST / A_SECOND
    pace.take("县局", ANNOTATING_COST)
    with pytest.raises(RequestRefused):
        pace.take("县局", LOOKING_COST)


def test_who_is_refused_loses_nothing_by_asking(pace: Pace, clock: Clock) -> None:
    emptied(pace)
    clock.seconds += 1
    for _ in range(100):
        with pytest.raises(RequestRefused):
            pace.take("县局", ANNOTATING_COST)
    for _ in range(int(A_SECOND)):
        pace.take("县局", LOOKING_COST)


def test_a_bucket_never_holds_more_than_a_burst(pace: Pace, clock: Clock) -> None:
    emptied(pace)
    clock.seconds += 10 * BURST / A_SECOND
    emptied(pace)


def test_one_organisation_does_not_use_up_anothers(pace: Pace) -> None:
    emptied(pace)
    pace.take("别的局", ANNOTATING_COST)
