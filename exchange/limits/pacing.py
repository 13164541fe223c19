"""How fast a lender's system may call beside its questions: at all its doors together, and where it gets tokens.

Calls at doors are counted in the database, in the transaction that admits them and after it: exact over all processes,
and whoever replays a captured request is refused before it counts. Calls for tokens are counted by each process for
itself, when the client has proven itself: their path has no statement to spare, and a system that was given more
tokens has no more for them. What is over the pace moves nothing: who waits as long as is said is let through. Each
call is told what is left after it.

Not here: questions (`deciding`), which are counted for people and subjects as well.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

import orjson

from exchange.limits.deciding import SAME_MOMENT_SECONDS, Pace
from exchange.limits.declared import OfDoors
from exchange.limits.shown import headers
from exchange.oauth.doors import Turn
from registry import clock
from registry.clock import beijing_day
from registry.database import Transaction

DOORS: Final = "doors"  # their names, as they are published
TOKENS: Final = "tokens"
_COUNT: Final = """
WITH given AS (SELECT * FROM json_to_recordset(%(given)b::text::json) AS t (key text, n int, step float8))
INSERT INTO limit_count AS c (key, part, day, n, paced_until)
SELECT key, '', %(day)s, n, %(now)s + step FROM given ORDER BY key
ON CONFLICT (key, part, day) DO UPDATE SET n = c.n + excluded.n,
    paced_until = greatest(c.paced_until, %(now)s) + (excluded.paced_until - %(now)s)
RETURNING key, paced_until
"""
_GIVE_BACK: Final = """
UPDATE limit_count c SET n = c.n - given.n, paced_until = c.paced_until - given.step
FROM json_to_recordset(%(given)b::text::json) AS given (key text, n int, step float8)
WHERE (c.key, c.part, c.day) = (given.key, '', %(day)s)
"""


def of_doors(declared: OfDoors) -> Callable[[Transaction, Sequence[str]], list[Turn]]:
    """Make what counts calls of systems: for each whether it may come now, and what is left."""
    pace = _pace(declared)

    def over(tx: Transaction, clients: Sequence[str]) -> list[Turn]:
        if not clients:
            return []
        now, calls = clock.now(), Counter(clients)
        stamp = {"now": now.timestamp(), "day": beijing_day(now)}
        rows = tx.execute(
            _COUNT, {"given": _written(pace, calls), **stamp}
        ).fetchall()  # the rows are ours until commit
        until = {key: paced - calls[key[2:]] * pace.interval for key, paced in rows}
        told = [_next(DOORS, pace, until, _key(client), now.timestamp()) for client in clients]
        refused = Counter(client for client, turn in zip(clients, told, strict=True) if turn.wait is not None)
        if refused:
            tx.execute(_GIVE_BACK, {"given": _written(pace, refused), **stamp})
        return told

    return over


def of_process(declared: OfDoors) -> Callable[[str], Turn]:
    """Make what counts calls of proven clients in this process, as `of_doors` does in all of them."""
    pace, until, mine = _pace(declared), dict[str, float](), Lock()  # as many entries as there are registered clients

    def over(client: str) -> Turn:
        with mine:
            return _next(TOKENS, pace, until, client, clock.now().timestamp())

    return over


def _pace(declared: OfDoors) -> Pace:
    return Pace(60 / declared.per_minute, declared.burst)


def _next(name: str, pace: Pace, until: dict[str, float], who: str, now: float) -> Turn:
    """Let one more through, or say how long it waits."""
    full = max(until.get(who, now), now)
    wait = pace.wait(full, now)
    if wait > SAME_MOMENT_SECONDS:
        return Turn(max(1, math.ceil(wait)), headers([pace.shown(name, full, now)]))
    until[who] = full + pace.interval
    return Turn(None, headers([pace.shown(name, until[who], now)]))


def _key(client: str) -> str:
    return f"d:{client}"


def _written(pace: Pace, calls: Counter[str]) -> str:
    given = [{"key": _key(client), "n": n, "step": n * pace.interval} for client, n in calls.items()]
    return orjson.dumps(given).decode()
