"""Between steps 1 and 2: is it within the limits? And after 2: is somebody trying identifiers out (AQ17)?

What is over a limit is no case for the decision: it takes no use and reads no consent. Subjects are counted by a keyed
hash of what was sent, whether somebody is known under it or not.

What turns out, when it is recorded, to be a repeat of what another process answered meanwhile gives back what it took,
before it is asked anew.

An idempotent repeat is a request like any other and has its system's pace, but counts against no cap. The same key
twice in one round is put off: the second is asked anew when the first is settled, and is then a repeat, or a question
like any other if the first became no query. In the last of the rounds that a question may have, it is told to come
again, and has the pace of a repeat. A result of a batch that is opened when it is fetched was counted as a line.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg

from consent.decision import Reason
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.limits import counting, declared, places, shown, trying
from exchange.limits.deciding import TRYING, Left
from exchange.limits.places import How, Question
from exchange.release.cases import Ask, AskAgain, Case, Outcome, Refused, idempotency
from registry import clock
from registry.database import Transaction
from registry.errors import DatabaseUnavailable
from registry.identifiers import Identifier
from registry.keyring import Purpose
from registry.records import NOBODY

_DENIED: Final = Reason.NO_CONSENT  # of somebody unknown too
_COME_AGAIN_SECONDS: Final = 1  # a round is over sooner


@dataclass(slots=True)
class Taken:
    """What a round has counted, and for which of its cases."""

    counted: counting.Counted | None = None
    questions: Sequence[tuple[Case, Question]] = ()


@contextmanager
def giving_back(home: Home) -> Iterator[Taken]:
    """Give a place for what a round counts, and see to it afterwards.

    If the round fails all is given back, since nobody was answered; else what those took who lost their key's race.
    """
    taken = Taken()
    try:
        yield taken
    except Exception:
        if taken.counted is not None:
            counting.give_back(home.database.aside, taken.counted)
        raise
    lost = [question for case, question in taken.questions if case.conflict]
    if lost and taken.counted is not None:
        with suppress(DatabaseUnavailable, psycopg.Error):  # the others are answered all the same
            limits = declared.of(home.settings.limits)
            counting.give_back_of(home.database.aside, limits, lost, taken.counted.day)


def limit_all(home: Home, cases: Sequence[Case], taken: Taken, *, last_round: bool = False) -> None:
    """Count what is asked and refuse what is over a limit; see `exchange.limits.counting`.

    Whoever sends the key of another question of this round is put off, or told to come again if the round is the last.
    """
    late = _with_anothers_key(cases)
    if not last_round:
        for case in late.values():
            case.conflict = True
    questions = _questions(home, cases, late)
    looked_at = [(case, question) for case, question in zip(cases, questions, strict=True) if question]
    if not looked_at:
        return
    now = clock.now()
    limits = declared.of(home.settings.limits)
    one = counting.count(home.database.aside, limits, [question for _, question in looked_at], now)
    taken.counted = one
    taken.questions = [asked for asked, verdict in zip(looked_at, one.verdicts, strict=True) if verdict.code is None]
    for (case, _), verdict, left in zip(looked_at, one.verdicts, one.left, strict=True):
        case.left = left
        if verdict.code is not None:
            case.outcome = over(verdict.code, verdict.after_seconds, left)
        elif id(case) in late:
            case.outcome = come_again(left)


def cut_off(home: Home, tx: Transaction, cases: Sequence[Case], now: datetime) -> None:
    """Remember who was denied, and answer nothing more to who was denied too often, in this round already."""
    limits = declared.of(home.settings.limits)
    asked = [case for case in cases if _decided_anew(case)]
    denied = {n: one for n, case in enumerate(asked) if _is_denied(case) and (one := _identifier(case)) is not None}
    if not denied:
        return
    secret = home.keyring.symmetric(Purpose.MAC).secret
    near = places.neighbourhoods(secret, list(denied.values()))
    questions = [_question(case, "") for case in asked]
    for number in trying.note(tx, limits.trying, questions, dict(zip(denied, near, strict=True)), now):
        case = asked[number]
        case.permit = case.rests_on = None
        case.outcome = over(TRYING, limits.trying.held_seconds, case.left)


def limits_shown(case: Case, outcome: Outcome) -> Outcome:
    """Let a refusal show what is left of the caller's limits, as a permit does."""
    return replace(outcome, left=case.left) if isinstance(outcome, Refused) else outcome


def over(code: str, after_seconds: int, left: Sequence[Left]) -> RequestRefused:
    """Make the refusal of a question that is over a limit."""
    return RequestRefused(code, retry_after_seconds=after_seconds, headers=shown.headers(left))


def come_again(left: Sequence[Left]) -> RequestRefused:
    """Make the refusal of a question whose key other questions had, in all the rounds that it may have."""
    return RequestRefused(
        "too-often",
        "many questions with this Idempotency-Key came at once",
        retry_after_seconds=_COME_AGAIN_SECONDS,
        headers=shown.headers(left),
    )


def _with_anothers_key(cases: Sequence[Case]) -> dict[int, Case]:
    """Find, by their identity, the cases that have the key of another question of this round, which is settled first.

    Else the second would be a repeat to the limits, and to the decision a new question as soon as the first had been
    refused: who is held, or over a cap, would send everything twice.
    """
    keys: set[tuple[str, bytes]] = set()
    late: dict[int, Case] = {}
    for case in cases:
        if _is_fresh(case) and isinstance(case.ask, Ask) and case.ask.idempotency_key is not None:
            if idempotency(case) in keys:
                late[id(case)] = case
            keys.add(idempotency(case))
    return late


def _questions(home: Home, cases: Sequence[Case], late: Mapping[int, Case]) -> list[Question | None]:
    """Put each case that is still open as the limits look at it."""
    fresh = [case for case in cases if _is_fresh(case) and id(case) not in late]
    secret = home.keyring.symmetric(Purpose.MAC).secret
    about = places.hashes(secret, [_about(case) for case in fresh])
    subjects = {id(case): one for case, one in zip(fresh, about, strict=True)}
    return [_question(case, subjects.get(id(case))) if _is_looked_at(case) else None for case in cases]


def _question(case: Case, subject: str | None) -> Question:
    ask, caller = case.ask, case.caller
    if caller is None:
        raise TypeError("only an admitted question counts")
    how = How.AGAIN if subject is None else How.BY_HAND if ask.line is None else How.AS_LINE
    return Question.put(caller.client_id, caller.org_code, ask.staff[0] if ask.staff else None, how, subject)


def _identifier(case: Case) -> Identifier | None:
    return case.ask.identifier if isinstance(case.ask, Ask) else None


def _about(case: Case) -> Identifier | UUID:
    return _identifier(case) or case.subject_id or NOBODY


def _is_fresh(case: Case) -> bool:
    new = isinstance(case.ask, Ask) and case.facts is None
    return case.open and case.caller is not None and new and not case.conflict


def _is_looked_at(case: Case) -> bool:
    again_with_batch = isinstance(case.ask, AskAgain) and case.ask.form == "batch"
    return case.open and case.caller is not None and not case.conflict and not again_with_batch


def _decided_anew(case: Case) -> bool:
    """Say whether a question was decided in this round: permitted, or refused for what its consents are."""
    fresh = isinstance(case.ask, Ask) and case.facts is None and case.caller is not None and not case.conflict
    return fresh and (case.outcome is None or isinstance(case.outcome, Refused))


def _is_denied(case: Case) -> bool:
    return isinstance(case.outcome, Refused) and case.outcome.reason is _DENIED
