"""Due times against a model that walks through every minute: cron, quiet hours, midnight, ends of months, clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.breaker import Breaker
from connectors.errors import ScheduleInvalid
from connectors.schedule import ON_TIME, Due, Occasion, Past, Timetable, due, next_due
from registry.instants import BEIJING

DAYS = 4  # the model's window
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = timedelta(minutes=1)
DEADLINE = timedelta(hours=6)
Field = tuple[str, frozenset[int]]  # as it is written, and what it means


def either(low: int, high: int) -> st.SearchStrategy[Field]:
    every = st.integers(1, (high - low) // 2).map(lambda n: (f"*/{n}", frozenset(range(low, high + 1, n))))
    some = st.sets(st.integers(low, high), min_size=1, max_size=3).map(
        lambda found: (",".join(map(str, sorted(found))), frozenset(found))
    )
    return every | some | st.just(("*", frozenset(range(low, high + 1))))


def clock_time(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


WINDOWS = st.lists(
    st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]), max_size=2
)
WEEKDAYS = st.just(("*", frozenset(range(7)))) | st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(
    lambda pair: pair[0] <= pair[1]
).map(lambda pair: (f"{NAMES[pair[0]]}-{NAMES[pair[1]]}", frozenset(range(pair[0], pair[1] + 1))))
MOMENTS = st.sampled_from(
    [
        datetime(2026, 2, 27, 22, 30, tzinfo=BEIJING),  # the end of February
        datetime(2028, 2, 28, 23, 59, 59, 999_999, tzinfo=BEIJING),  # and of a leap year's
        datetime(2026, 12, 30, 23, 0, tzinfo=BEIJING),  # the end of a year
        datetime(2026, 3, 29, 0, 30, tzinfo=BEIJING),  # a night in which clocks elsewhere are put forward
        datetime(2026, 6, 15, 8, 0, tzinfo=BEIJING),
    ]
).flatmap(lambda near: st.integers(0, 86_400 * 10**6).map(lambda micro: near + timedelta(microseconds=micro)))


class Model:
    """The same rules, minute by minute."""

    def __init__(
        self,
        fields: list[tuple[str, frozenset[int]]],
        weekdays: tuple[str, frozenset[int]],
        windows: list[tuple[int, int]],
    ) -> None:
        self.minutes, self.hours, self.days = (found for _, found in fields)
        self.weekdays = weekdays[1]
        self.quiet = {
            minute % 1440 for start, end in windows for minute in range(start, end if end > start else end + 1440)
        }

    def due_times(self, start: datetime, days: int) -> list[datetime]:
        midnight = start.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
        found = set()
        for day in (midnight + timedelta(days=offset) for offset in range(-2, days + 1)):
            if day.day in self.days and day.weekday() in self.weekdays:
                for hour, minute in product(self.hours, self.minutes):
                    of_day = hour * 60 + minute
                    while of_day % 1440 in self.quiet:
                        of_day += 1
                    found.add(day + of_day * MINUTE)
        return sorted(found)

    def is_quiet(self, at: datetime) -> bool:
        local = at.astimezone(BEIJING)
        return local.hour * 60 + local.minute in self.quiet


@st.composite
def timetables(draw: st.DrawFn) -> tuple[Timetable, Model]:
    fields = [draw(either(0, 59)), draw(either(0, 23)), draw(either(1, 31))]
    weekdays = draw(WEEKDAYS) if fields[2][0] == "*" else ("*", frozenset(range(7)))
    windows = draw(WINDOWS)
    model = Model(fields, weekdays, windows)
    assume(len(model.quiet) < 1440)
    cron = f"{fields[0][0]} {fields[1][0]} {fields[2][0]} * {weekdays[0]}"
    quiet = [f"{clock_time(start)}-{clock_time(end)}" for start, end in windows]
    return Timetable(cron, quiet, DEADLINE), model


@settings(max_examples=150, deadline=None)
@given(timetables(), MOMENTS)
def test_the_next_time_is_that_of_the_model(found: tuple[Timetable, Model], moment: datetime) -> None:
    timetable, model = found
    expected = next((at for at in model.due_times(moment, DAYS) if at > moment), None)
    answer = timetable.next_after(moment)
    assert answer > moment
    assert not timetable.is_quiet(answer)
    if expected is not None:
        assert answer == expected
    else:
        assert answer > moment + timedelta(days=DAYS - 1)
    assert timetable.late_from(moment) == answer + DEADLINE


@settings(max_examples=150, deadline=None)
@given(timetables(), MOMENTS, st.integers(0, DAYS * 86_400))
def test_of_all_times_that_were_missed_the_newest_alone_is_caught_up(
    found: tuple[Timetable, Model], moment: datetime, seconds: int
) -> None:
    timetable, model = found
    until = moment + timedelta(seconds=seconds)
    missed = [at for at in model.due_times(moment, DAYS) if moment < at <= until]
    assert timetable.newest(moment, until) == (missed[-1] if missed else None)


@settings(max_examples=100, deadline=None)
@given(timetables(), MOMENTS, st.lists(st.integers(1, 20 * 3600), min_size=1, max_size=12))
def test_a_feed_that_is_looked_at_now_and_then_runs_each_time_once_and_never_in_quiet_hours(
    found: tuple[Timetable, Model], moment: datetime, steps: list[int]
) -> None:
    timetable, model = found
    past, now, ran = Past(moment), moment, list[datetime]()
    for step in steps:
        now += timedelta(seconds=step)
        before = next_due(timetable, past, now=now)
        one = due(timetable, past, now=now)
        assert (one is not None) == (before == now)
        if one is None:
            continue
        assert not model.is_quiet(now)
        assert one.scheduled_for <= now
        assert one.occasion is (Occasion.SCHEDULED if now - one.scheduled_for <= ON_TIME else Occasion.CAUGHT_UP)
        ran.append(one.scheduled_for)
        past = Past(moment, last_time=one.scheduled_for)
        assert due(timetable, past, now=now) is None, "a second look in the same moment finds nothing more"
    assert all(earlier < later for earlier, later in pairwise(ran))


@settings(max_examples=100, deadline=None)
@given(timetables(), MOMENTS, st.sampled_from([-86_400, -3_600, 3_600, 86_400]), st.integers(1, 7_200))
def test_a_clock_that_jumps_brings_no_time_twice(
    found: tuple[Timetable, Model], moment: datetime, jump: int, step: int
) -> None:
    timetable, _ = found
    ran: list[datetime] = []
    now = moment
    for look in range(30):
        now += timedelta(seconds=step + (jump if look == 12 else 0))
        last = max((at for at in ran if at <= now), default=None)  # as `runs` reads it
        one = due(timetable, Past(moment, last), now=now)
        if one is not None and one.scheduled_for not in ran:  # as UNIQUE (feed, scheduled_for) lets it
            ran.append(one.scheduled_for)
        assert one is None or one.scheduled_for in ran
    assert len(ran) == len(set(ran))


def test_quiet_hours_over_midnight_move_a_run_to_the_next_morning() -> None:
    timetable = Timetable("30 23 * * *", ["22:00-06:00"], DEADLINE)
    evening = datetime(2026, 1, 31, 21, 0, tzinfo=BEIJING)
    assert timetable.next_after(evening) == datetime(2026, 2, 1, 6, 0, tzinfo=BEIJING)
    assert timetable.next_after(datetime(2026, 2, 1, 1, 0, tzinfo=BEIJING)) == datetime(
        2026, 2, 1, 6, 0, tzinfo=BEIJING
    )


def test_many_times_in_one_quiet_window_are_one_run_at_its_end() -> None:
    timetable = Timetable("*/10 * * * *", ["08:00-18:00"], DEADLINE)
    morning = datetime(2026, 6, 15, 7, 50, tzinfo=BEIJING)
    assert timetable.next_after(morning) == datetime(2026, 6, 15, 18, 0, tzinfo=BEIJING)
    assert timetable.next_after(datetime(2026, 6, 15, 18, 0, tzinfo=BEIJING)) == datetime(
        2026, 6, 15, 18, 10, tzinfo=BEIJING
    )


def test_the_31st_is_due_in_months_that_have_one() -> None:
    timetable = Timetable("0 2 31 * *", [], DEADLINE)
    assert timetable.next_after(datetime(2026, 3, 31, 2, 0, tzinfo=BEIJING)) == datetime(2026, 5, 31, 2, tzinfo=BEIJING)


def test_a_month_of_missed_minutes_is_found_quickly_and_is_one_run() -> None:
    timetable = Timetable("* * * * *", [], DEADLINE)
    known = datetime(2026, 1, 1, tzinfo=UTC)
    now = datetime(2026, 6, 1, 0, 30, 20, tzinfo=UTC)
    assert due(timetable, Past(known), now=now) == Due(now.replace(second=0), Occasion.SCHEDULED)


def test_without_catching_up_a_missed_time_is_let_go() -> None:
    timetable = Timetable("0 2 * * *", [], DEADLINE, catch_up=False)
    known = datetime(2026, 6, 1, tzinfo=UTC)
    at = datetime(2026, 6, 3, 2, 0, tzinfo=BEIJING)
    assert due(timetable, Past(known), now=at + ON_TIME) == Due(at.astimezone(UTC), Occasion.SCHEDULED)
    assert due(timetable, Past(known), now=at + ON_TIME + MINUTE) is None


def test_a_retry_waits_for_the_end_of_quiet_hours_and_for_what_the_source_asked() -> None:
    timetable = Timetable("0 2 * * *", ["08:00-18:00"], DEADLINE)
    ran = datetime(2026, 6, 15, 2, 0, tzinfo=BEIJING)
    retry = datetime(2026, 6, 15, 9, 0, tzinfo=BEIJING)
    past = Past(ran - timedelta(days=1), ran, retry)
    assert due(timetable, past, now=retry + MINUTE) is None
    assert next_due(timetable, past, now=retry + MINUTE) == datetime(2026, 6, 15, 18, 0, tzinfo=BEIJING)
    evening = datetime(2026, 6, 15, 18, 0, tzinfo=BEIJING)
    assert due(timetable, past, now=evening) == Due(retry, Occasion.RETRIED)
    asked = Past(past.known_since, ran, retry, Breaker(1, evening + timedelta(hours=2)))
    assert due(timetable, asked, now=evening) is None
    assert next_due(timetable, asked, now=evening) == datetime(2026, 6, 15, 20, 0, tzinfo=BEIJING)


def test_a_wait_that_a_wrong_clock_left_behind_is_not_kept() -> None:
    timetable = Timetable("0 2 * * *", [], DEADLINE)
    now = datetime(2026, 6, 15, 2, 0, tzinfo=BEIJING)
    left = Past(now - timedelta(days=3), now - timedelta(days=1), None, Breaker(1, now + timedelta(days=30)))
    assert due(timetable, left, now=now) == Due(now, Occasion.SCHEDULED)


@pytest.mark.parametrize(
    ("cron", "quiet", "said"),
    [
        ("0 2 * *", [], "五段"),
        ("0 2 * * 1-5", [], "mon-fri"),
        ("0 2 1 * mon", [], "不能同时"),
        ("61 2 * * *", [], "无法识别"),
        ("0 2 30 2 *", [], "永远不会到期"),
        ("0 2 * * *", ["8-18"], "08:00-18:00"),
        ("0 2 * * *", ["08:00-08:00"], "相同"),
        ("0 2 * * *", ["00:00-24:00"], "相同"),
        ("0 2 * * *", ["00:00-12:00", "12:00-24:00"], "全天静默"),
    ],
)
def test_times_that_cannot_hold_are_refused_with_their_mend(cron: str, quiet: list[str], said: str) -> None:
    with pytest.raises(ScheduleInvalid, match=said):
        Timetable(cron, quiet, DEADLINE)
    with pytest.raises(ScheduleInvalid, match="deadline"):
        Timetable("0 2 * * *", [], timedelta())
