"""Feeds are run at their time, once, and how they fare can be told again for any moment."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
import structlog
from prometheus_client import CollectorRegistry

from connectors import runs
from connectors.collecting import Collected
from connectors.errors import IntakeBusy, LimitExceeded, SourceRefused, SourceUnavailable, StorageFull
from connectors.feed import Feed
from connectors.health import Health, RunError
from connectors.runs import SETTLING, Standing
from connectors.schedule import Due, Occasion
from exchange import feeds
from exchange.feeds import LOCK_SPACE, FeedRuns, NotRun
from exchange.holding import Held
from exchange.home import Home
from exchange.sources import partial_kinds
from registry.database import Database
from registry.instants import BEIJING
from tests.feeding import NIGHTLY, Source, write_feed

NIGHT = datetime(2026, 6, 15, 2, 0, tzinfo=BEIJING)
NAME = "yushu_rating"
KIND = "RATING"


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Installation:
    """The runs of one home with one nightly feed, looked at by hand."""

    def __init__(self, home: Home, collect: feeds.Collect, at: datetime) -> None:
        self.home, self.collect, self.clock = home, collect, Clock(at)
        self.source = collect if isinstance(collect, Source) else Source()
        self.metrics = CollectorRegistry()
        self.runs = self.another()

    def another(self) -> FeedRuns:
        """The runs of another process over the same home."""
        return FeedRuns(self.home, self.collect, metrics=CollectorRegistry(), now=self.clock)

    def look(self, at: datetime, by: FeedRuns | None = None) -> None:
        self.clock.at = at
        (by or self.runs).look()
        until(lambda: not (by or self.runs).busy)

    def standing(self, name: str = NAME) -> Standing:
        with self.home.database.transaction() as tx:
            return runs.all_standing(tx, now=self.clock())[name]

    def rows(self, what: str = "scheduled_for, occasion, state, error") -> list[tuple[object, ...]]:
        with self.home.database.transaction() as tx:
            return tx.execute(f"SELECT {what} FROM feed_run ORDER BY started_at, scheduled_for").fetchall()

    def partial(self, at: datetime) -> dict[str, str]:
        with self.home.database.transaction() as tx:
            return dict(partial_kinds(tx, at))


@pytest.fixture
def nightly(exchange_home: Home) -> Installation:
    write_feed(exchange_home.settings.home, NAME, schedule=NIGHTLY)
    found = Installation(exchange_home, Source(), NIGHT - timedelta(hours=1))
    found.look(NIGHT - timedelta(hours=1))
    return found


def test_a_feed_runs_at_its_time_and_once(nightly: Installation) -> None:
    assert nightly.source.asked == []
    for second in range(5):
        nightly.look(NIGHT + timedelta(seconds=second))
    assert nightly.source.asked == [(NAME, NIGHT)]
    assert nightly.rows() == [(NIGHT, "scheduled", "succeeded", None)]
    assert nightly.rows("rows, bytes, files") == [(3, 30, 1)]
    assert nightly.standing().health is Health.HEALTHY
    assert nightly.standing().late_from == NIGHT + timedelta(hours=24 + 6)


def test_two_processes_that_look_at_once_run_it_once(nightly: Installation) -> None:
    nightly.clock.at = NIGHT
    looking = [threading.Thread(target=nightly.another().look) for _ in range(4)]
    for one in looking:
        one.start()
    for one in looking:
        one.join()
    until(lambda: [row[2] for row in nightly.rows()] == ["succeeded"])
    assert len(nightly.source.asked) == 1


def test_a_time_that_is_in_the_table_is_run_by_nobody_else(nightly: Installation) -> None:
    with nightly.home.database.transaction() as tx:
        first = runs.begin(tx, NAME, Due(NIGHT, Occasion.SCHEDULED), now=NIGHT)
        assert first is not None
        assert runs.finish(tx, first, runs.Ended(), None, now=NIGHT)
    with nightly.home.database.transaction() as tx:
        assert runs.begin(tx, NAME, Due(NIGHT, Occasion.CAUGHT_UP), now=NIGHT) is None
        other = runs.begin(tx, NAME, Due(NIGHT + timedelta(seconds=1), Occasion.BY_HAND), now=NIGHT)
        assert other is not None
        assert runs.begin(tx, NAME, Due(NIGHT + timedelta(seconds=2), Occasion.BY_HAND), now=NIGHT) is None


def test_a_week_without_a_leader_is_caught_up_once(nightly: Installation) -> None:
    week = NIGHT + timedelta(days=7, hours=3)
    for minute in range(3):
        nightly.look(week + timedelta(minutes=minute))
    assert nightly.rows() == [(NIGHT + timedelta(days=7), "caught_up", "succeeded", None)]


def test_in_quiet_hours_nothing_begins_and_what_was_missed_begins_at_their_end(nightly: Installation) -> None:
    nightly.look(NIGHT.replace(hour=9))
    nightly.look(NIGHT.replace(hour=17, minute=59))
    assert nightly.rows() == []
    with pytest.raises(NotRun, match="静默时段"):
        nightly.runs.run_now(NAME)
    nightly.look(NIGHT.replace(hour=18))
    assert nightly.rows() == [(NIGHT, "caught_up", "succeeded", None)]


@pytest.mark.parametrize(
    ("error", "said", "health"),
    [
        (SourceUnavailable("NOT_REACHED"), "NOT_REACHED", Health.FAILING),
        (SourceRefused("CREDENTIAL_REFUSED"), "CREDENTIAL_REFUSED", Health.BLOCKED),
        (LimitExceeded("TOO_MANY_ROWS"), "TOO_MANY_ROWS", Health.BLOCKED),
        (IntakeBusy("x"), RunError.FILE_BUSY, Health.FAILING),
        (StorageFull("x"), RunError.NO_SPACE, Health.FAILING),
        (psycopg.errors.DiskFull("x"), RunError.NO_SPACE, Health.FAILING),
        (psycopg.errors.AdminShutdown("x"), RunError.OUT_OF_SERVICE, Health.FAILING),
        (RuntimeError("630222199901010001"), RunError.INTERNAL, Health.FAILING),
    ],
)
def test_a_failure_is_told_by_its_class_and_tried_again_if_that_can_help(
    nightly: Installation, error: Exception, said: str, health: Health
) -> None:
    nightly.source.then = [error]
    nightly.look(NIGHT)
    assert nightly.rows() == [(NIGHT, "scheduled", "failed", said)]
    assert nightly.standing().health is health
    nightly.look(NIGHT + timedelta(minutes=4))
    assert len(nightly.source.asked) == 1
    nightly.look(NIGHT + timedelta(minutes=5))
    assert len(nightly.source.asked) == (1 if health is Health.BLOCKED else 2)
    nightly.look(NIGHT + timedelta(days=1))
    assert nightly.standing().health is Health.HEALTHY
    assert nightly.standing().failures == 0


def test_what_the_source_asks_to_wait_is_waited(nightly: Installation) -> None:
    nightly.source.then = [SourceUnavailable("TOO_MANY_REQUESTS", 3600.0)]
    nightly.look(NIGHT)
    nightly.look(NIGHT + timedelta(minutes=59))
    assert len(nightly.source.asked) == 1
    nightly.look(NIGHT + timedelta(minutes=60))
    assert [row[1:3] for row in nightly.rows()] == [("scheduled", "failed"), ("retried", "succeeded")]


def test_after_five_failures_in_a_row_the_source_is_left_alone_even_when_due(exchange_home: Home) -> None:
    every = {"cron": "*/5 * * * *", "deadline": "PT1H"}
    write_feed(exchange_home.settings.home, NAME, schedule=every)
    found = Installation(exchange_home, Source(), NIGHT)
    found.look(NIGHT)
    found.source.then = [SourceUnavailable("SERVER_FAILED") for _ in range(5)]
    for minutes in range(5, 30, 5):
        found.look(NIGHT + timedelta(minutes=minutes))
    assert found.standing().failures == 5
    assert found.standing().not_before == NIGHT + timedelta(minutes=25 + 80)
    for minutes in range(30, 105, 5):
        found.look(NIGHT + timedelta(minutes=minutes))
    assert len(found.source.asked) == 5
    found.look(NIGHT + timedelta(minutes=105))
    assert found.standing().health is Health.HEALTHY


def test_a_blocked_batch_makes_the_source_blocked_with_the_batchs_code(nightly: Installation) -> None:
    nightly.source.then = [Collected(rows=9, error="TOTAL_MISMATCH")]
    nightly.look(NIGHT)
    assert (nightly.standing().health, nightly.standing().error) == (Health.BLOCKED, "TOTAL_MISMATCH")


# ---- a process that dies --------------------------------------------------------------------------------------------


def test_a_run_whose_process_died_is_caught_up_once_and_then_waits_like_any_failure(
    nightly: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LOST_AFTER_SECONDS", 0.0)
    with nightly.home.database.transaction() as tx:
        assert runs.begin(tx, NAME, Due(NIGHT, Occasion.SCHEDULED), now=NIGHT)  # and its process dies
    nightly.look(NIGHT + timedelta(minutes=1))
    nightly.look(NIGHT + timedelta(minutes=1, seconds=1))
    found = [row[1:] for row in nightly.rows()]
    assert found == [("scheduled", "lost", "RUN_LOST"), ("retried", "succeeded", None)]
    nightly.look(NIGHT + timedelta(minutes=2))
    assert len(nightly.rows()) == 2


def test_what_kills_its_process_again_waits_before_the_third_time(
    nightly: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LOST_AFTER_SECONDS", 0.0)
    with nightly.home.database.transaction() as tx:
        assert runs.begin(tx, NAME, Due(NIGHT, Occasion.RETRIED), now=NIGHT)
    nightly.look(NIGHT + timedelta(minutes=1))
    nightly.look(NIGHT + timedelta(minutes=5))
    assert len(nightly.rows()) == 1
    nightly.look(NIGHT + timedelta(minutes=6))
    assert [row[2] for row in nightly.rows()] == ["lost", "succeeded"]


def test_a_run_that_is_alive_elsewhere_is_not_taken_for_lost(
    nightly: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LOST_AFTER_SECONDS", 0.0)
    alive = Held(nightly.home.database, LOCK_SPACE, nightly.standing().number)
    assert alive.take()
    with nightly.home.database.transaction() as tx:
        assert runs.begin(tx, NAME, Due(NIGHT, Occasion.SCHEDULED), now=NIGHT)
    nightly.look(NIGHT + timedelta(minutes=1))
    assert [row[2] for row in nightly.rows()] == ["running"]
    alive.release()


def test_a_run_that_was_given_up_and_ends_after_all_changes_nothing(nightly: Installation) -> None:
    with nightly.home.database.transaction() as tx:
        run = runs.begin(tx, NAME, Due(NIGHT, Occasion.SCHEDULED), now=NIGHT)
        assert run is not None
        assert runs.lose(tx, run, now=NIGHT)
    with nightly.home.database.transaction() as tx:
        assert not runs.finish(tx, run, runs.Ended(), None, now=NIGHT)
        assert not runs.lose(tx, run, now=NIGHT)
    assert nightly.standing().failures == 1


# ---- files, pausing, by hand ----------------------------------------------------------------------------------------


def test_a_changed_file_is_read_again_and_a_refused_one_leaves_its_feed_as_it_was(nightly: Installation) -> None:
    folder = nightly.home.settings.home / "feeds"
    write_feed(nightly.home.settings.home, "second_feed", schedule={"cron": "0 3 * * *"})
    good = (folder / f"{NAME}.yml").read_text(encoding="utf-8")
    (folder / f"{NAME}.yml").write_text(good.replace("0 2 * * *", "0 2 * * 9"), encoding="utf-8")
    nightly.look(NIGHT)
    assert len(nightly.source.asked) == 1, "it goes on as it was"
    nightly.look(NIGHT + timedelta(hours=1))
    assert [name for name, _ in nightly.source.asked] == [NAME, "second_feed"]
    (folder / f"{NAME}.yml").unlink()
    nightly.look(NIGHT + timedelta(days=1))
    assert nightly.standing().health is Health.RETIRED
    assert len(nightly.source.asked) == 2
    write_feed(nightly.home.settings.home, NAME, schedule=NIGHTLY)
    nightly.look(NIGHT + timedelta(days=2))
    assert nightly.standing().health is Health.HEALTHY


def test_a_paused_feed_does_not_run_in_any_process_until_it_is_resumed_and_both_are_in_the_log(
    nightly: Installation,
) -> None:
    assert feeds.pause(nightly.home, NAME, by="operator", now=NIGHT)
    assert not feeds.pause(nightly.home, NAME, by="operator", now=NIGHT)
    nightly.look(NIGHT + timedelta(minutes=1), by=nightly.another())
    with pytest.raises(NotRun, match="已暂停"):
        nightly.runs.run_now(NAME)
    assert nightly.rows() == []
    assert feeds.resume(nightly.home, NAME, by="operator", now=NIGHT + timedelta(hours=1))
    nightly.look(NIGHT + timedelta(hours=1))
    assert nightly.rows() == [(NIGHT, "caught_up", "succeeded", None)]
    with nightly.home.database.transaction() as tx:
        said = tx.execute("SELECT event, actor, fields FROM log_entry ORDER BY at").fetchall()
    assert said == [
        ("exchange:feed:paused", "operator", {"feed": NAME}),
        ("exchange:feed:resumed", "operator", {"feed": NAME}),
    ]
    with pytest.raises(NotRun, match="没有名为"):
        feeds.pause(nightly.home, "nowhere", by="operator", now=NIGHT)


def test_by_hand_it_runs_through_the_same_fence(nightly: Installation) -> None:
    other = Held(nightly.home.database, LOCK_SPACE, nightly.standing().number)
    assert other.take()
    with pytest.raises(NotRun, match="正在运行"):
        nightly.runs.run_now(NAME)
    other.release()
    assert nightly.runs.run_now(NAME).error is None
    assert nightly.rows() == [(NIGHT - timedelta(hours=1), "by_hand", "succeeded", None)]


def test_a_feed_without_a_schedule_runs_by_hand_only_and_is_never_late(exchange_home: Home) -> None:
    write_feed(exchange_home.settings.home, NAME)
    found = Installation(exchange_home, Source(), NIGHT)
    found.look(NIGHT + timedelta(days=400))
    assert found.rows() == []
    assert found.partial(NIGHT + timedelta(days=400)) == {}
    assert found.runs.run_now(NAME).rows == 3


def test_a_long_run_delays_neither_the_look_nor_another_feed(nightly: Installation) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(home: Home, feed: Feed, now: datetime) -> Collected:
        if feed.feed == NAME:
            begun.set()
            assert go_on.wait(20)
        return Collected()

    write_feed(nightly.home.settings.home, "second_feed", schedule=NIGHTLY)
    both = FeedRuns(nightly.home, slow, now=nightly.clock)
    both.look()
    nightly.clock.at = NIGHT
    began = time.monotonic()
    both.look()
    assert time.monotonic() - began < 10.0  # half of what the run would have it wait for
    assert begun.wait(10)
    until(lambda: [row[2] for row in nightly.rows()].count("succeeded") == 1)
    both.look()
    assert both.busy == {NAME}
    go_on.set()
    until(lambda: not both.busy)


# ---- how it fares, told again ---------------------------------------------------------------------------------------


def test_a_source_is_late_to_the_second_even_if_no_process_runs(nightly: Installation) -> None:
    late = NIGHT + timedelta(hours=6)
    assert nightly.partial(late - timedelta(microseconds=1)) == {}
    assert nightly.partial(late) == {KIND: "late"}
    nightly.look(NIGHT)
    assert nightly.partial(late) == {}
    assert nightly.partial(late + timedelta(days=1)) == {KIND: "late"}


def test_what_held_at_a_moment_is_told_the_same_whatever_came_after(nightly: Installation) -> None:
    late, mended = NIGHT + timedelta(hours=6), NIGHT + timedelta(hours=16)
    moments = [NIGHT, late - timedelta(seconds=1), late, mended, mended + SETTLING - timedelta(microseconds=1)]
    before = [nightly.partial(at) for at in moments]
    assert before == [{}, {}, {KIND: "late"}, {KIND: "late"}, {KIND: "late"}]
    nightly.look(mended)
    assert nightly.partial(mended + SETTLING) == {}
    nightly.source.then = [SourceRefused("SCHEMA_CHANGED")]
    nightly.look(NIGHT + timedelta(days=1))
    feeds.pause(nightly.home, NAME, by="operator", now=NIGHT + timedelta(days=1, hours=1))
    (nightly.home.settings.home / "feeds" / f"{NAME}.yml").unlink()
    nightly.look(NIGHT + timedelta(days=2))
    assert [nightly.partial(at) for at in moments] == before
    assert nightly.partial(NIGHT + timedelta(days=1) + SETTLING) == {KIND: "blocked"}
    assert nightly.partial(NIGHT + timedelta(days=1, hours=1) + SETTLING) == {KIND: "failing"}
    assert nightly.partial(NIGHT + timedelta(days=2) + SETTLING) == {}


def test_the_gravest_of_several_sources_is_what_is_told_of_a_kind(nightly: Installation) -> None:
    write_feed(nightly.home.settings.home, "second_feed", schedule=NIGHTLY)
    nightly.look(NIGHT - timedelta(minutes=30))
    nightly.source.then = [SourceRefused("NOT_FOUND"), SourceUnavailable("NOT_REACHED")]
    nightly.look(NIGHT)
    assert nightly.partial(NIGHT + SETTLING) == {KIND: "blocked"}


def test_a_late_source_does_not_become_punctual_by_a_change_of_its_schedule(nightly: Installation) -> None:
    late = NIGHT + timedelta(hours=7)
    nightly.look(NIGHT.replace(hour=9))
    write_feed(nightly.home.settings.home, NAME, schedule=NIGHTLY | {"cron": "0 3 1 * *"})
    nightly.look(NIGHT.replace(hour=9, minute=30))
    assert nightly.partial(late + timedelta(hours=1)) == {KIND: "late"}


def test_kept_health_is_never_changed(database: Database, nightly: Installation) -> None:
    with database.transaction() as tx:
        before = tx.execute("SELECT * FROM feed_health ORDER BY change_no").fetchall()
    nightly.look(NIGHT)
    with database.transaction() as tx:
        after = tx.execute("SELECT * FROM feed_health ORDER BY change_no").fetchall()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1


def test_asking_for_partial_kinds_reads_the_newest_rows_only(database: Database, nightly: Installation) -> None:
    write_feed(nightly.home.settings.home, "second_feed", schedule=NIGHTLY)
    nightly.look(NIGHT - timedelta(minutes=30))
    with database.transaction() as tx:
        for name in (NAME, "second_feed"):
            tx.execute(
                "INSERT INTO feed_health (feed, at, state, kinds) SELECT %s, %s::timestamptz + n * interval '1 minute',"
                " 'healthy', ARRAY['RATING'] FROM generate_series(1, 20000) n",
                (name, NIGHT),
            )
        tx.execute("ANALYZE feed_health")
        tx.execute("ANALYZE feed_state")
        pages = tx.execute("SELECT relpages FROM pg_class WHERE relname = 'feed_health'").fetchone()
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        found = tx.execute(explain + runs._PARTIAL, {"at": NIGHT + timedelta(days=30)}).fetchone()
    assert pages is not None
    assert found is not None
    plan = found[0][0]["Plan"]
    assert '"Index Name": "feed_health_pkey"' in json.dumps(plan)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < pages[0] / 5


def test_metrics_name_feeds_and_codes_only(nightly: Installation) -> None:
    registry = CollectorRegistry()
    both = FeedRuns(nightly.home, nightly.source, metrics=registry, now=nightly.clock)
    nightly.source.then = [RuntimeError(str(uuid4()))]
    nightly.look(NIGHT, by=both)
    nightly.look(NIGHT + timedelta(minutes=5), by=both)
    nightly.look(NIGHT + timedelta(minutes=6), by=both)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"feed": NAME} | labels)

    assert value("qingqiao_feed_runs_total", outcome="INTERNAL") == 1
    assert value("qingqiao_feed_runs_total", outcome="succeeded") == 1
    assert value("qingqiao_feed_run_seconds_count") == 2
    assert value("qingqiao_feed_lag_seconds") == 60


# ---- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_set_forward_catches_up_once_and_back_runs_no_time_twice(
    nightly: Installation, jump: timedelta
) -> None:
    nightly.look(NIGHT)
    for minutes in range(3):
        nightly.look(NIGHT + jump + timedelta(minutes=minutes))
    ahead = len(nightly.rows())
    assert ahead == (2 if jump >= timedelta(days=1) else 1)
    for minutes in range(10, 130, 10):
        nightly.look(NIGHT + timedelta(minutes=minutes))
    assert len(nightly.rows()) == ahead
    for days in range(1, 4):
        nightly.look(NIGHT + timedelta(days=days))
    times = [row[0] for row in nightly.rows()]
    assert times == [NIGHT + timedelta(days=days) for days in range(4)]
    assert nightly.standing().health is Health.HEALTHY


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-1), timedelta(hours=1), timedelta(days=1)])
def test_a_clock_that_jumps_during_a_run_ends_it_once_and_the_next_night_is_run(
    nightly: Installation, jump: timedelta
) -> None:
    def jumps(home: Home, feed: Feed, now: datetime) -> Collected:
        nightly.clock.at = now + jump
        return nightly.source(home, feed, now)

    nightly.look(NIGHT, by=FeedRuns(nightly.home, jumps, now=nightly.clock))
    assert [row[:3] for row in nightly.rows()] == [(NIGHT, "scheduled", "succeeded")]
    nightly.look(NIGHT + timedelta(minutes=1))
    nightly.look(NIGHT + timedelta(days=1))
    assert [row[0] for row in nightly.rows()] == [NIGHT, NIGHT + timedelta(days=1)]


def test_a_retry_set_by_a_clock_that_ran_ahead_does_not_keep_the_feed_waiting(nightly: Installation) -> None:
    nightly.source.then = [SourceUnavailable("TOO_MANY_REQUESTS", 7200.0)]
    nightly.look(NIGHT + timedelta(days=2))  # the clock is two days ahead
    nightly.look(NIGHT)  # and is set right
    assert {row[:3] for row in nightly.rows()} == {
        (NIGHT + timedelta(days=2), "scheduled", "failed"),
        (NIGHT, "scheduled", "succeeded"),
    }
    assert nightly.standing().health is Health.HEALTHY


def test_beijing_has_no_summer_time(nightly: Installation) -> None:
    year = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    table = nightly.runs._files.timetable(NAME)
    assert table is not None
    assert {table.next_after(day).astimezone(UTC).hour for day in year} == {18}


def test_a_run_that_fails_where_no_log_was_set_up_prints_nothing_of_a_person(
    exchange_home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    def collect(_: Home, __: Feed, ___: datetime) -> Collected:
        person = {"identifier": "630222199901010001", "name": "卓玛"}
        raise RuntimeError(f"no row of {person['identifier']}")

    structlog.reset_defaults()  # as in a process that runs one command
    write_feed(exchange_home.settings.home, NAME, schedule=NIGHTLY)
    found = Installation(exchange_home, collect, NIGHT - timedelta(hours=1))
    found.look(NIGHT - timedelta(hours=1))
    found.look(NIGHT)
    assert [row[2:] for row in found.rows()] == [("failed", "INTERNAL")]
    said = "".join(capfd.readouterr())
    assert "feeds:run:failed" in said
    assert "RuntimeError" in said
    assert "630222199901010001" not in said
    assert "卓玛" not in said
