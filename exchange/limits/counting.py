"""The counts, in the database: exact over all processes, and after a restart.

Steps (the numbers are used in the code):
  1. count all questions of a round in their rows, by one statement, and read what the rows said before
  2. decide (`deciding`, pure)
  3. if some are over a limit, take them back out of all their rows, note the refusals and what is found of them

1 and 3 are transactions of their own, over before the gate locks anything. Inside the gate's transaction the row of a
system would be locked until its commit, and whatever asks for the same system in another process, a batch among it,
would wait for it. The price is that a round which fails must give back what it counted (`give_back`), and that a
question which another process turns out to have asked first gives back what it took (`give_back_of`); a process that
is killed in between has counted what nobody was answered. A commit of 1 does not wait for the disk: the gate's commit,
which comes after it, does, and what was answered has been counted wherever the log has it.

A flood is not logged line by line. Whoever runs into a limit has one alert a day and rule; the log has an entry of it
at the 1st, 10th, 100th … refusal (`alerts`), so that it grows by seven entries where a million questions were refused.
Nothing of a subject is decided here, and nothing of it would stand in such entries.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson

from exchange.limits import alerts
from exchange.limits.deciding import LOOKS_BACK_DAYS, Found, Left, Round, Verdict, steps
from exchange.limits.declared import Limits
from exchange.limits.places import Place, Question
from registry.clock import beijing_day
from registry.database import Database, Transaction

_SUBJECT_DAYS: Final = 30

_COUNT: Final = """
WITH given AS (
    SELECT * FROM json_to_recordset(%(given)b::text::json)
        AS t (key text, part text, n int, step float8, since date, wide bool)
), counted AS (
    INSERT INTO limit_count AS c (key, part, day, n, paced_until)
    SELECT key, part, %(day)s, n, %(now)s + step FROM given ORDER BY key, part
    ON CONFLICT (key, part, day) DO UPDATE SET n = c.n + excluded.n,
        paced_until = greatest(c.paced_until, %(now)s) + (excluded.paced_until - %(now)s)
    RETURNING key, part, n, paced_until
)
SELECT given.key, given.part, counted.n - given.n, counted.paced_until - given.step,
    (SELECT coalesce(sum(o.n), 0)::int FROM limit_count o
     WHERE o.key = given.key AND o.part = given.part AND o.day >= given.since AND o.day < %(day)s),
    CASE WHEN given.wide THEN (SELECT coalesce(sum(o.n), 0)::int FROM limit_count o
     WHERE o.key = given.key AND o.part <> given.part AND o.day >= given.since) ELSE 0 END,
    cap.daily_cap, cap.monthly_cap, hold.until
FROM given JOIN counted USING (key, part)
LEFT JOIN client_profile cap ON left(given.key, 2) = 'c:' AND cap.client_id = substr(given.key, 3)
LEFT JOIN limit_hold hold ON (hold.key, hold.part) = (given.key, given.part)
CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS not_waiting
"""
_GIVE_BACK: Final = """
UPDATE limit_count c SET n = c.n - given.n, paced_until = c.paced_until - given.step
FROM (SELECT * FROM unnest(%(keys)s::text[], %(parts)s::text[], %(counts)s::int[], %(steps)s::float8[])
      AS t (key, part, n, step) ORDER BY key, part) AS given
WHERE (c.key, c.part, c.day) = (given.key, given.part, %(day)s)
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a round counted, so that it can be given back, and what was decided."""

    day: date
    taken: Mapping[Place, tuple[int, float]]
    verdicts: tuple[Verdict, ...]
    left: tuple[tuple[Left, ...], ...]  # of each caller's limits


def count(database: Database, limits: Limits, questions: Sequence[Question], now: datetime) -> Counted:
    """Do steps 1 to 3.

    Raises:
        DatabaseUnavailable, psycopg.Error: nothing was counted.
    """
    day, given = beijing_day(now), _sums(limits, questions)
    with database.statement() as tx:  # 1: one statement, which commits by itself
        found = _counted(tx, given, now)
    whole = Round(limits, found, now)
    verdicts = whole.verdicts(questions)  # 2
    over = [(one, verdict) for one, verdict in zip(questions, verdicts, strict=True) if verdict.code is not None]
    crowded = whole.crowded(questions, verdicts)
    if over or crowded:
        kept = _sums(limits, [one for one, verdict in zip(questions, verdicts, strict=True) if verdict.code is None])
        back = {place: (n - kept.get(place, (0, 0.0))[0], step - kept.get(place, (0, 0.0))[1])
                for place, (n, step) in given.items()}  # fmt: skip
        with database.transaction() as tx:  # 3
            _take_out(tx, back, day)
            alerts.note_refused(tx, limits, _by_whom(over), now=now)
            alerts.note_crowded(tx, limits, crowded, now=now)
        given = kept
    return Counted(day, given, tuple(verdicts), tuple(whole.left(questions)))


def give_back(database: Database, counted: Counted) -> None:
    """Take out what a round counted that failed: nobody was answered."""
    with database.transaction() as tx:
        _take_out(tx, counted.taken, counted.day)


def give_back_of(database: Database, limits: Limits, questions: Sequence[Question], day: date) -> None:
    """Take out what some questions of a round took: they are asked anew."""
    with database.transaction() as tx:
        _take_out(tx, _sums(limits, questions), day)


def forget(tx: Transaction, *, now: datetime) -> None:
    """Delete counts of days that no limit looks back to, refusals and holds that are over."""
    tx.execute("DELETE FROM limit_count WHERE day < %s", (beijing_day(now) - timedelta(days=LOOKS_BACK_DAYS),))
    tx.execute("DELETE FROM limit_denied WHERE denied_at < %s", (now - timedelta(days=1),))
    tx.execute("DELETE FROM limit_hold WHERE until < %s", (now,))


def _sums(limits: Limits, questions: Iterable[Question]) -> dict[Place, tuple[int, float]]:
    """Add up how many questions, and how many seconds of pace, fall on each row."""
    counts, paces = Counter[Place](), defaultdict[Place, float](float)
    for one in questions:
        counts.update(one.counted_in)
        for place, step in steps(limits, one).items():
            paces[place] += step
    return {place: (counts[place], step) for place, step in paces.items()}


def _counted(tx: Transaction, given: Mapping[Place, tuple[int, float]], now: datetime) -> dict[Place, Found]:
    day = beijing_day(now)
    written = orjson.dumps(  # one text: an array a column costs the driver more
        [
            {
                "key": place.key,
                "part": place.part,
                "n": n,
                "step": step,
                "since": _since(place, day),
                "wide": place.key.startswith("s:"),
            }
            for place, (n, step) in given.items()
        ]
    ).decode()
    rows = tx.execute(_COUNT, {"given": written, "day": day, "now": now.timestamp()})
    found = {}
    for key, part, today, paced, before, others, daily, monthly, held in rows.fetchall():
        found[Place(key, part)] = Found(today, before, others, paced, daily, monthly, held)
    return found


def _since(place: Place, day: date) -> date:
    if place.key.startswith("c:"):
        return day.replace(day=1)
    return day - timedelta(days=_SUBJECT_DAYS - 1) if place.key.startswith("s:") else day


def _take_out(tx: Transaction, back: Mapping[Place, tuple[int, float]], day: date) -> None:
    wanted = {place: one for place, one in sorted(back.items()) if one[0] or one[1]}
    if wanted:  # the rows are locked in the order of their keys, as they are counted
        tx.execute(
            "SELECT FROM limit_count WHERE day = %(day)s AND (key, part) IN"
            " (SELECT * FROM unnest(%(keys)s::text[], %(parts)s::text[])) ORDER BY key, part FOR UPDATE",
            _columns(wanted) | {"day": day},
        )
        tx.execute(_GIVE_BACK, _columns(wanted) | {"day": day})


def _columns(given: Mapping[Place, tuple[int, float]]) -> dict[str, Any]:
    return {
        "keys": [place.key for place in given],
        "parts": [place.part for place in given],
        "counts": [n for n, _ in given.values()],
        "steps": [step for _, step in given.values()],
    }


def _by_whom(over: Sequence[tuple[Question, Verdict]]) -> dict[alerts.Met, int]:
    return Counter(alerts.met(one, verdict.code, verdict.place) for one, verdict in over if verdict.code is not None)
