"""When a feed runs, and from when it is late. Pure: moments in, moments out; no clock, no database.

Rules (the numbers are used in the code and the tests):
  1. a feed is due at the times of its cron line, in Beijing time, which knows no summer time
  2. no run starts in quiet hours; what is due in them is due at their end instead, once however often it fell in them
  3. what was missed is caught up once: of all times that passed, only the newest is run, unless `catch_up` is off
  4. what failed is tried again after a rest (`breaker`)
  5. nothing is asked of a source whose breaker is open, not even what is due
  6. a source is late when `deadline` has passed since a time that it was due at and no run since has succeeded

A clock that was set back does not bring a time round again: times that were run count, and those that lie ahead of
now do not decide what is due.

A cron line names weekdays (`mon-fri`), since libraries count them differently, and not both weekday and day of month,
since they combine them differently. Seconds, years and `@daily` are not read.

Not here: when a source that fails is left alone (`breaker`), who runs (`exchange.feeds`), what was run (`runs`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from apscheduler.triggers.cron import CronTrigger

from connectors.breaker import Breaker, State
from connectors.errors import ScheduleInvalid
from registry.instants import BEIJING

ON_TIME: Final = timedelta(minutes=5)  # a run that begins later than this after its time was missed
_DAY: Final = 24 * 60
_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:(24):(00)|([01][0-9]|2[0-3]):([0-5][0-9]))")
_WEEKDAY: Final = re.compile(r"\*(/[0-9]+)?|(mon|tue|wed|thu|fri|sat|sun)([,-](mon|tue|wed|thu|fri|sat|sun))*")
_FIELDS: Final = 5
_LOOK_FROM: Final = datetime(2024, 1, 1, tzinfo=UTC)  # any day: a cron line comes true, or never does
_INSTANT: Final = timedelta(microseconds=1)
_BACK: Final = tuple(timedelta(hours=hours) for hours in (1, 24, 8 * 24, 32 * 24, 366 * 24))


class Occasion(StrEnum):
    """Why a run begins."""

    SCHEDULED = "scheduled"
    CAUGHT_UP = "caught_up"
    RETRIED = "retried"
    BY_HAND = "by_hand"


class Timetable:
    """When one feed is due.

    Args:
        cron: five fields, Beijing time.
        quiet: windows such as `08:00-18:00` or `22:00-06:00`, from inclusive, to exclusive, Beijing time.
        deadline: how long after a due time the source is late.
        catch_up: whether a time that was missed is run later.

    Raises:
        ScheduleInvalid: one of these cannot hold; the message says which and how to mend it.
    """

    def __init__(self, cron: str, quiet: Sequence[str], deadline: timedelta, *, catch_up: bool = True) -> None:
        if deadline <= timedelta():
            raise ScheduleInvalid(f"deadline: {deadline} 不是正的时长，请写成 PT6H 的形式 (must be positive)")
        self.deadline, self.catch_up = deadline, catch_up
        self.text = "|".join([" ".join(cron.split()), ",".join(quiet), str(deadline.total_seconds()), str(catch_up)])
        self._cron = _read_cron(cron)
        self._ahead = _read_quiet(quiet)
        if self._cron.get_next_fire_time(None, _LOOK_FROM) is None:
            raise ScheduleInvalid(f"cron: “{cron}” 永远不会到期，请核对日期 (never comes true)")

    @staticmethod
    @lru_cache(maxsize=1024)
    def of_text(text: str) -> "Timetable | None":
        """Return the timetable whose `text` this is; None for the empty text of a feed that has none."""
        if not text:
            return None
        cron, quiet, seconds, catch_up = text.split("|")
        windows = [window for window in quiet.split(",") if window]
        return Timetable(cron, windows, timedelta(seconds=float(seconds)), catch_up=catch_up == str(True))

    def __repr__(self) -> str:
        return f"Timetable({self.text!r})"

    def is_quiet(self, at: datetime) -> bool:
        """Say whether no run may start at a moment (rule 2)."""
        return self._ahead[_minute(at)] > 0

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after a moment (rules 1 and 2), in UTC."""
        if self.is_quiet(moment):  # a time that has passed in these quiet hours is due at their end
            end = self.out_of_quiet(moment)
            before = self._fires(self._quiet_since(moment))
            if before <= moment:
                return end
        return self.out_of_quiet(self._fires(moment + _INSTANT))

    def newest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the newest due time in (after, until], or None (rule 3)."""
        found = None
        for back in _BACK:  # cron looks ahead only: look from so near that few times lie between
            start = max(after, until - back)
            first = self.next_after(start)
            found = first if first <= until else None
            if found is not None or start == after:
                break
        while found is not None and (later := self.next_after(found)) <= until:
            found = later
        return found

    def late_from(self, good: datetime) -> datetime:
        """Return from when it is late if nothing succeeds that begins after `good` (rule 6)."""
        return self.next_after(good) + self.deadline

    def _fires(self, start: datetime) -> datetime:
        fires = self._cron.get_next_fire_time(None, start)
        if fires is None:
            raise ScheduleInvalid("cron: 不再到期 (never comes true again)")
        return _in_utc(fires)

    def out_of_quiet(self, at: datetime) -> datetime:
        """Return a moment as it is, or the end of the quiet hours that it falls in (rule 2)."""
        ahead = self._ahead[_minute(at)]
        return at if ahead == 0 else at.replace(second=0, microsecond=0) + timedelta(minutes=ahead)

    def _quiet_since(self, at: datetime) -> datetime:
        minute, back = _minute(at), 0
        while self._ahead[(minute - back - 1) % _DAY]:
            back += 1
        return at.replace(second=0, microsecond=0) - timedelta(minutes=back)


@dataclass(frozen=True, slots=True)
class Past:
    """What of a feed's past decides when it runs next.

    Attributes:
        known_since: when this installation first saw the feed.
        last_time: the newest time that was run, of those that are not after now.
        retry_at: when it is tried again, if the last run failed.
        breaker: whether the source may be asked.
    """

    known_since: datetime
    last_time: datetime | None = None
    retry_at: datetime | None = None
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to begin now: the time it is for, and why."""

    scheduled_for: datetime
    occasion: Occasion


def due(timetable: Timetable, past: Past, *, now: datetime) -> Due | None:
    """Say which run is to begin now, or None."""
    if timetable.is_quiet(now) or past.breaker.state(now) is State.OPEN:  # 2, 5
        return None
    newest = timetable.newest(past.last_time or past.known_since, now)
    if newest is not None and now - newest <= ON_TIME:
        return Due(newest, Occasion.SCHEDULED)
    if newest is not None and timetable.catch_up:  # 3
        return Due(newest, Occasion.CAUGHT_UP)
    if past.retry_at is not None and past.retry_at <= now:  # 4
        return Due(past.retry_at, Occasion.RETRIED)
    return None


def next_due(timetable: Timetable, past: Past, *, now: datetime) -> datetime:
    """Return when a run is to begin next: now, if one is."""
    if due(timetable, past, now=now) is not None:
        return now
    times = [timetable.next_after(now)]
    if timetable.catch_up and timetable.newest(past.last_time or past.known_since, now) is not None:
        times.append(now)
    if past.retry_at is not None:
        times.append(max(past.retry_at, now))
    soonest = min(times)
    if past.breaker.open_until is not None and past.breaker.state(now) is State.OPEN:
        soonest = max(soonest, past.breaker.open_until)
    return timetable.out_of_quiet(soonest)


def _read_cron(text: str) -> CronTrigger:
    fields = text.split()
    if len(fields) != _FIELDS:
        raise ScheduleInvalid(f"cron: “{text}” 应为五段：分 时 日 月 周 (five fields are expected)")
    if not _WEEKDAY.fullmatch(fields[4].lower()):
        raise ScheduleInvalid(f"cron: “{text}” 的星期请用英文缩写，如 mon-fri (name weekdays)")
    if fields[2] != "*" and fields[4] != "*":
        raise ScheduleInvalid(f"cron: “{text}” 不能同时限定日和星期 (either day of month or weekday)")
    try:
        return CronTrigger.from_crontab(text, timezone=BEIJING)
    except ValueError as error:
        raise ScheduleInvalid(f"cron: “{text}” 无法识别，例如每天凌晨两点写作 0 2 * * * (cannot be read)") from error


def _read_quiet(windows: Sequence[str]) -> tuple[int, ...]:
    """Return for each minute of a day how many minutes of quiet lie ahead, 0 outside quiet hours."""
    quiet = [False] * _DAY
    for window in windows:
        found = _WINDOW.fullmatch(window)
        if found is None:
            raise ScheduleInvalid(f"quiet: “{window}” 应写作 08:00-18:00 (cannot be read)")
        hour, minute, last_hour, last_minute = (int(part) for part in found.groups() if part is not None)
        start, end = hour * 60 + minute, last_hour * 60 + last_minute
        if start == end % _DAY:
            raise ScheduleInvalid(f"quiet: “{window}” 的起止时刻相同 (begins when it ends)")
        for minute in range(start, end if end > start else end + _DAY):
            quiet[minute % _DAY] = True
    if all(quiet):
        raise ScheduleInvalid("quiet: 全天静默，任务无处可排 (no minute of the day is left)")
    ahead = [0] * _DAY
    for minute in reversed(range(2 * _DAY)):  # twice round, for windows over midnight
        ahead[minute % _DAY] = ahead[(minute + 1) % _DAY] + 1 if quiet[minute % _DAY] else 0
    return tuple(ahead)


def _minute(at: datetime) -> int:
    local = at.astimezone(BEIJING)
    return local.hour * 60 + local.minute


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
