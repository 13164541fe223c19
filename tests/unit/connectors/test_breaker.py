"""When a source that fails is left alone, and for how long."""

from datetime import UTC, datetime, timedelta

from connectors.breaker import FIRST_REST, LONGEST_REST, TRIPS_AFTER, Breaker, State

NOW = datetime(2026, 6, 15, tzinfo=UTC)


def failed(times: int) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker = breaker.failed(NOW)
    return breaker


def test_a_few_failures_leave_it_closed() -> None:
    assert failed(TRIPS_AFTER - 1).state(NOW) is State.CLOSED


def test_failing_again_and_again_opens_it_for_twice_as_long_each_time_up_to_a_day() -> None:
    rests = [failed(TRIPS_AFTER + more).open_until for more in range(12)]
    assert rests[:3] == [NOW + FIRST_REST, NOW + 2 * FIRST_REST, NOW + 4 * FIRST_REST]
    assert rests[-1] == NOW + LONGEST_REST


def test_after_its_rest_it_is_tried_once_and_a_success_closes_it() -> None:
    breaker = failed(TRIPS_AFTER)
    assert breaker.state(NOW) is State.OPEN
    assert breaker.state(NOW + FIRST_REST) is State.HALF_OPEN
    assert breaker.failed(NOW + FIRST_REST).state(NOW + FIRST_REST) is State.OPEN
    assert breaker.succeeded() == Breaker()


def test_what_the_source_asks_for_is_honoured_from_the_first_time_on() -> None:
    assert Breaker().failed(NOW, retry_after=90).open_until == NOW + timedelta(seconds=90)
    assert Breaker().failed(NOW, retry_after=10**9).open_until == NOW + LONGEST_REST
    assert Breaker().failed(NOW, retry_after=-5).state(NOW) is State.CLOSED
