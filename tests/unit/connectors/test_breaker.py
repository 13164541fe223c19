"""When a source that fails is left alone, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.breaker import FIRST_REST, LONGEST_REST, LONGEST_WAIT, TRIPS_AFTER, Breaker, State, rest

NOW = datetime(2026, 6, 15, tzinfo=UTC)


def failed(times: int) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker = breaker.failed(NOW)
    return breaker


def test_a_few_failures_leave_it_closed() -> None:
    assert failed(TRIPS_AFTER - 1).state(NOW) is State.CLOSED


def test_rests_double_up_to_six_hours() -> None:
    rests = [rest(failures) for failures in range(1, 100)]
    assert rests[:4] == [timedelta(minutes=minutes) for minutes in (5, 10, 20, 40)]
    assert max(rests) == rests[-1] == LONGEST_REST == timedelta(hours=6)


def test_failing_again_and_again_opens_it_for_its_rest() -> None:
    until = [failed(TRIPS_AFTER + more).open_until for more in range(12)]
    assert until[:2] == [NOW + 16 * FIRST_REST, NOW + 32 * FIRST_REST]
    assert until[-1] == NOW + LONGEST_REST


def test_after_its_rest_it_is_tried_once_and_a_success_closes_it() -> None:
    breaker = failed(TRIPS_AFTER)
    assert breaker.state(NOW) is State.OPEN
    after = NOW + rest(TRIPS_AFTER)
    assert breaker.state(after) is State.HALF_OPEN
    assert breaker.failed(after).state(after) is State.OPEN
    assert breaker.succeeded() == Breaker()


def test_what_the_source_asks_for_is_honoured_from_the_first_time_on() -> None:
    assert Breaker().failed(NOW, wait=timedelta(hours=1)).open_until == NOW + timedelta(hours=1)
    assert Breaker().failed(NOW, wait=timedelta(seconds=1)).open_until == NOW + FIRST_REST
    assert Breaker().failed(NOW, wait=timedelta(days=4000)).open_until == NOW + LONGEST_WAIT


@pytest.mark.parametrize("wait", [None, timedelta(), timedelta(seconds=-5)])
def test_a_source_that_asks_for_nothing_is_not_left_alone_after_one_failure(wait: timedelta | None) -> None:
    assert Breaker().failed(NOW, wait=wait).state(NOW) is State.CLOSED


def test_a_moment_that_a_wrong_clock_left_behind_does_not_keep_it_open() -> None:
    assert Breaker(TRIPS_AFTER, NOW + LONGEST_WAIT).state(NOW) is State.OPEN
    assert Breaker(TRIPS_AFTER, NOW + timedelta(days=30)).state(NOW) is State.HALF_OPEN
