"""Refusals for want of a consent, and when they are too many (AQ17). What is decided of them is pure.

Steps, in the transaction of the gate, for a round in which somebody was denied:
  1. lock what is remembered of everybody who was denied, in the order of the keys
  2. go through the round's questions in their order: a denial is remembered of the person and of the system; who has
     as many within some minutes, or within a day, as are too many is held, and is denied and answered nothing more,
     in this round already; who comes back from that and would be denied while they still are too many is held again
  3. write what is remembered, the holds and the alerts

So however many questions come at once, and in however many processes, one denial more than declared is not had: whoever
waited in 1 reads what the one before wrote. What is remembered are moments, and a keyed hash of what neighbouring
identifiers have in common: neighbours are taken for trying out sooner. A day's number is there for whoever guesses
slowly.

A person is held alone; the others of its lender go on. A system is held if its denials together are too many: who names
another person for each guess comes to that. A held system takes in no other system.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

import orjson

from exchange.limits import alerts
from exchange.limits.deciding import TRYING
from exchange.limits.declared import Trying
from exchange.limits.places import How, Place, Question
from registry.database import Transaction

_DAY_SECONDS: Final = 86_400
_HOUR_SECONDS: Final = 3600  # lines of batches are remembered by the hour

Remembered = list[tuple[float, str, int]]  # seconds since 1970, neighbourhood and neighbour (`places`), how often


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the round, decided: denied with which neighbourhood, or something else (`near` None)."""

    question: Question
    near: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """Who is held from now on, and for how many denials within how many seconds."""

    place: Place
    question: Question
    counted: int
    window_seconds: int


@dataclass(slots=True)
class Weighed:
    """What came of a round: which questions are cut off, who is held, what is remembered."""

    cut: list[int] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    remembered: dict[Place, Remembered] = field(default_factory=dict)


def places_of(question: Question) -> tuple[Place, ...]:
    """Say of whom a denial is remembered. Lines of a batch have bounds of their own."""
    return (question.who,) if question.how is How.AS_LINE else (question.who, question.client)


def weigh(declared: Trying, before: Mapping[Place, Remembered], asked: Sequence[Asked], now: datetime) -> Weighed:
    """Do step 2."""
    moment, weighed = now.timestamp(), Weighed()
    since = moment - _DAY_SECONDS
    weighed.remembered = {place: [one for one in told if one[0] > since] for place, told in before.items()}
    over = {place for place, told in weighed.remembered.items() if _too_many(declared, place, told, moment)}
    again = set(over)  # a guess of theirs that was cut off and did not hold would tell as much as an answer
    for number, one in enumerate(asked):
        places = places_of(one.question)
        if over.intersection(places):  # permitted or not: an answer that differed would tell
            weighed.cut.append(number)
            for place in again.intersection(places) if one.near is not None else ():
                weighed.held.append(_held(declared, place, one.question, weighed.remembered[place], moment))
                again.remove(place)
            continue
        if one.near is None:
            continue
        for place in places:
            _remember(place, weighed.remembered.setdefault(place, []), moment, one.near)
            if _too_many(declared, place, weighed.remembered[place], moment):
                over.add(place)
                weighed.held.append(_held(declared, place, one.question, weighed.remembered[place], moment))
    return weighed


def note(  # what a round is
    tx: Transaction, declared: Trying, questions: Sequence[Question], denied: Mapping[int, str], now: datetime
) -> list[int]:
    """Do steps 1 to 3 for a round in which the questions numbered in `denied` were; say which are cut off."""
    places = sorted({place for number in denied for place in places_of(questions[number])})
    before = {Place(key, part): [(at, near, n) for at, near, n in told] for key, part, told in _locked(tx, places, now)}
    asked = [Asked(one, denied.get(number)) for number, one in enumerate(questions)]
    weighed = weigh(declared, before, asked, now)  # 2
    kept = [
        {"key": place.key, "part": place.part, "recent": told} for place, told in sorted(weighed.remembered.items())
    ]
    tx.execute(_REMEMBER, (orjson.dumps(kept).decode(),))  # 3
    until = now + timedelta(seconds=declared.held_seconds)
    held = [(alerts.met(one.question, TRYING, one.place), one) for one in weighed.held]
    for who, one in sorted(held, key=itemgetter(0)):  # in the order in which refusals are noted too
        tx.execute(_HOLD, (one.place.key, one.place.part, until))
        alerts.note_held(tx, who, one.counted, one.window_seconds, until=until, now=now)
    return weighed.cut


_LOCK: Final = (
    "INSERT INTO limit_denied AS d (key, part, recent, denied_at)"
    " SELECT key, part, '[]'::jsonb, %s::timestamptz FROM unnest(%s::text[], %s::text[]) AS t (key, part)"
    " ORDER BY key, part"
    " ON CONFLICT (key, part) DO UPDATE SET denied_at = excluded.denied_at RETURNING key, part, recent"
)
_REMEMBER: Final = (
    "UPDATE limit_denied d SET recent = given.recent"
    " FROM json_to_recordset(%b::text::json) AS given(key text, part text, recent jsonb)"
    " WHERE (d.key, d.part) = (given.key, given.part)"
)
_HOLD: Final = (
    "INSERT INTO limit_hold AS h (key, part, until) VALUES (%s, %s, %s)"
    " ON CONFLICT (key, part) DO UPDATE SET until = greatest(h.until, excluded.until)"
)


def _locked(tx: Transaction, places: Sequence[Place], now: datetime) -> list[tuple[str, str, Any]]:
    """Do step 1."""
    rows = tx.execute(_LOCK, (now, [one.key for one in places], [one.part for one in places]))
    return rows.fetchall()


def _held(declared: Trying, place: Place, question: Question, told: Remembered, moment: float) -> Held:
    """Say for how many within how long somebody is held: within minutes, if these are too many by themselves."""
    lately = _lately(declared, told, moment)
    if not place.key.startswith("b:") and _fast(declared, place, lately):
        return Held(place, question, len(lately), declared.within_seconds)
    return Held(place, question, sum(n for _, _, n in told), _DAY_SECONDS)


def _lately(declared: Trying, told: Remembered, moment: float) -> Remembered:
    return [one for one in told if one[0] > moment - declared.within_seconds]


def _remember(place: Place, told: Remembered, moment: float, near: str) -> None:
    """Add a denial. Lines of batches are added up by the hour, so that what is remembered stays short."""
    if place.key.startswith("b:"):
        moment, near = moment - moment % _HOUR_SECONDS, ""
        n = sum(n for at, _, n in told if at == moment)
        told[:] = [one for one in told if one[0] != moment]
        told.append((moment, near, n + 1))
    else:
        told.append((moment, near, 1))


def _too_many(declared: Trying, place: Place, told: Remembered, moment: float) -> bool:
    of_system = dict.fromkeys("cn", declared.client_daily)  # all that names no user is many people's work
    daily = (of_system | {"b": declared.lines_daily}).get(place.key[0], declared.user_daily)
    if sum(n for _, _, n in told) >= daily:
        return True
    return not place.key.startswith("b:") and _fast(declared, place, _lately(declared, told, moment))


def _fast(declared: Trying, place: Place, lately: Remembered) -> bool:
    if place.key.startswith("c:"):
        return len(lately) >= declared.client
    nearby = Counter(near.partition(".")[0] for near in {near for _, near, _ in lately})
    return len(lately) >= declared.user or max(nearby.values(), default=0) >= declared.adjacent
