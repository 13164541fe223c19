"""Which questions of a round are within the limits. Pure.

Each question is looked at in its order, and counts only if all limits let it pass:
  1. nobody is held (AQ17): neither the system nor the person
  2. the person's pace (AQ06) and day (AQ05)
  3. the subject's day and 30 days, for this lender (AQ10)
  4. the system's pace, day and month (AQ04)

The person comes before the system, so that what one person asks too much takes nothing from the others of its lender.
A line of a batch has no pace and no person; an answer that is given once more has the system's pace alone.

What is left of a caller's limits is told as of the end of the round: once for all that it asked together.

Pace is a bucket that holds `burst` questions and fills up by one every `interval` seconds (GCRA): a single moment says
how full it is, `paced_until`, which grows by an interval with every question and is never before now.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from exchange.limits.declared import Limits
from exchange.limits.places import How, Place, Question
from registry.instants import BEIJING, beijing_day

LOOKS_BACK_DAYS: Final = 31  # a month of Beijing, and the 30 days of a subject
SAME_MOMENT_SECONDS: Final = 0.001  # moments are kept in floating point

RATE: Final = "rate-exceeded"
USER_RATE: Final = "user-rate-exceeded"
DAILY: Final = "daily-cap"
MONTHLY: Final = "monthly-cap"
USER_DAILY: Final = "user-daily-cap"
SUBJECT: Final = "subject-cap"
TRYING: Final = "enumeration-suspected"


@dataclass(frozen=True, slots=True)
class Found:
    """What a row said before this round: the day's questions, those of the days before, and how fast they came.

    `daily` and `monthly` are the caps of a system that has its own; `held_until` stands while nothing is answered.
    """

    today: int = 0
    before: int = 0
    others: int = 0
    paced_until: float = 0.0
    daily: int | None = None
    monthly: int | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """How much of a limit was left after a question: `name` and `quota` as they are published, `seconds` to its end."""

    name: str
    quota: int
    left: int
    window_seconds: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A question is within the limits (`code` None), or not: at which place, and when to come again."""

    code: str | None = None
    place: Place | None = None
    after_seconds: int = 0


_WITHIN: Final = Verdict()
_LEAPT_OVER: Final = 8
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket of `burst` questions that fills up by one every `interval` seconds."""

    interval: float
    burst: int

    def wait(self, until: float, now: float) -> float:
        """Seconds until one more fits; none or fewer: it fits now."""
        return max(until, now) + self.interval * (1 - self.burst) - now

    def shown(self, name: str, until: float, now: float) -> Left:
        """Say what is left of it."""
        full = max(0.0, until - now)
        left = max(0, self.burst - math.ceil(full / self.interval - 1e-6))
        return Left(name, self.burst, left, math.ceil(self.interval * self.burst), math.ceil(full))


@dataclass(slots=True)
class _Row:
    """A row while the round is decided."""

    found: Found
    today: int
    paced_until: float
    held_seconds: float


class Round:
    """The questions of a round, and the rows they count in, as they stood before it."""

    def __init__(self, limits: Limits, found: Mapping[Place, Found], now: datetime) -> None:
        """Begin with what the rows said."""
        self._limits, self._now = limits, now.timestamp()
        self._system = Pace(1 / limits.client.per_second, limits.client.burst)
        self._person = Pace(60 / limits.user.per_minute, limits.user.burst)
        self._to_midnight = (_midnight(now) - now).total_seconds()
        self._to_month = (_end_of_month(now) - now).total_seconds()
        self._rows = {
            place: _Row(
                one, one.today, one.paced_until, (one.held_until - now).total_seconds() if one.held_until else 0.0
            )
            for place, one in found.items()
        }

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        """Decide the questions of the round in their order."""
        return [self._over(one) or self._count(one) for one in questions]

    def crowded(self, questions: Sequence[Question], verdicts: Sequence[Verdict]) -> list[Question]:
        """Say with which questions a subject came to have been asked about by all lenders more often than is usual.

        Lenders that ask at the same moment do not see each other's counts yet, and the number is leapt over: the few
        questions behind it say it as well.
        """
        most, met = self._limits.subject.all_lenders_thirty_days, list[Question]()
        counted: dict[Place, int] = {}
        for one, verdict in zip(questions, verdicts, strict=True):
            if one.about is not None and verdict.code is None:
                row = self._rows[one.about].found
                counted[one.about] = counted.get(one.about, row.today + row.before + row.others) + 1
                if most < counted[one.about] <= most + _LEAPT_OVER:
                    met.append(one)
        return met

    def left(self, questions: Sequence[Question]) -> list[tuple[Left, ...]]:
        """Say what is left of each caller's own limits, after all of the round was decided."""
        told: dict[tuple[Place, Place, How], tuple[Left, ...]] = {}
        for one in questions:
            key = (one.client, one.who, one.how)
            if key not in told:
                told[key] = tuple(self._left(one))
        return [told[one.client, one.who, one.how] for one in questions]

    def _over(self, question: Question) -> Verdict | None:
        """Give the first limit that a question is over, and the seconds to wait; the numbers are the header's."""
        if question.about is None:  # what is asked again is no guess, and counts against no cap
            return self._too_fast(RATE, self._system, question.client)
        return (
            self._held(question)  # 1
            or (self._of_person(question.who) if question.is_a_persons else None)  # 2
            or self._of_subject(question.about)  # 3
            or (self._too_fast(RATE, self._system, question.client) if question.how is How.BY_HAND else None)  # 4
            or self._of_system(question.client)  # 4
        )

    def _held(self, question: Question) -> Verdict | None:
        for place in (question.client, question.who):
            if self._rows[place].held_seconds > 0:
                return _verdict(TRYING, place, self._rows[place].held_seconds)
        return None

    def _of_person(self, place: Place) -> Verdict | None:
        fast = self._too_fast(USER_RATE, self._person, place)
        if fast is None and self._rows[place].today >= self._limits.user.daily:
            return _verdict(USER_DAILY, place, self._to_midnight)
        return fast

    def _of_subject(self, place: Place) -> Verdict | None:
        row, often = self._rows[place], self._limits.subject
        if row.today >= often.daily or row.today + row.found.before >= often.thirty_days:
            return _verdict(SUBJECT, place, self._to_midnight)
        return None

    def _of_system(self, place: Place) -> Verdict | None:
        row = self._rows[place]
        daily, monthly = self._caps(row)
        if row.today >= daily:
            return _verdict(DAILY, place, self._to_midnight)
        return _verdict(MONTHLY, place, self._to_month) if row.today + row.found.before >= monthly else None

    def _too_fast(self, code: str, pace: Pace, place: Place) -> Verdict | None:
        wait = pace.wait(self._rows[place].paced_until, self._now)
        return _verdict(code, place, wait) if wait > SAME_MOMENT_SECONDS else None

    def _count(self, question: Question) -> Verdict:
        for place in question.counted_in:
            self._rows[place].today += 1
        for place, step in self._paced(question):
            row = self._rows[place]
            row.paced_until = max(row.paced_until, self._now) + step
        return _WITHIN

    def _paced(self, question: Question) -> list[tuple[Place, float]]:
        if question.how is How.AS_LINE:
            return []
        if question.is_a_persons:
            return [(question.client, self._system.interval), (question.who, self._person.interval)]
        return [(question.client, self._system.interval)]

    def _caps(self, row: _Row) -> tuple[int, int]:
        of = self._limits.client
        return row.found.daily or of.daily, row.found.monthly or of.monthly

    def _left(self, question: Question) -> list[Left]:
        system, found = self._rows[question.client], list[Left]()
        midnight, month = math.ceil(self._to_midnight), math.ceil(self._to_month)
        if question.how is not How.AS_LINE:
            found.append(self._system.shown("burst", system.paced_until, self._now))
        if question.is_a_persons:
            person = self._rows[question.who]
            found.append(self._person.shown("user-burst", person.paced_until, self._now))
            most = self._limits.user.daily
            found.append(Left("user-day", most, max(0, most - person.today), _DAY_SECONDS, midnight))
        if question.about is not None:
            daily, monthly = self._caps(system)
            asked = system.today + system.found.before
            found.append(Left("day", daily, max(0, daily - system.today), _DAY_SECONDS, midnight))
            found.append(Left("month", monthly, max(0, monthly - asked), 30 * _DAY_SECONDS, month))
        return found


def steps(limits: Limits, question: Question) -> dict[Place, float]:
    """Say by how many seconds a question puts each row's pace forward, with a row for everything that is looked at."""
    system = 0.0 if question.how is How.AS_LINE else 1 / limits.client.per_second
    if question.about is None:
        return {question.client: system}
    person = 60 / limits.user.per_minute if question.is_a_persons else 0.0
    return {question.client: system, question.who: person, question.about: 0.0}


def _verdict(code: str, place: Place, seconds: float) -> Verdict:
    return Verdict(code, place, max(1, math.ceil(seconds)))


def _midnight(now: datetime) -> datetime:
    return datetime.combine(beijing_day(now) + timedelta(days=1), time(), BEIJING)


def _end_of_month(now: datetime) -> datetime:
    first = beijing_day(now).replace(day=1)
    return datetime.combine((first + timedelta(days=32)).replace(day=1), time(), BEIJING)
