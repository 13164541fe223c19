"""What a change is called for one subscription, and when what was not taken is tried again. Pure.

A record that is corrected only in what a lender may not see is no event for that lender; nor is one that came again
with the same content. Of a rating it is the grade that counts: another one is `rating.changed`, the same one in a new
evaluation is a new record. What a warning rests on is an event of its own before it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from exchange.monitoring import declared
from exchange.monitoring.declared import Declared

FIRST_WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 3600.0
ASKED_AT_MOST_SECONDS: Final = 86_400.0  # a receiver's Retry-After is heard up to a day
_JITTER: Final = 0.25  # of the wait: receivers of many are not met at one moment
RATING_KIND: Final = "RATING"
GRADE: Final = "grade"


@dataclass(frozen=True, slots=True)
class Said:
    """One event: its type, and the few facts that go with it."""

    type: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it stands now and what stood in its place; of both only what the lender may see.

    `before` is the version before of the same record, None of a new one. `other` is what the rating before the new one
    said, where there is one.
    """

    kind: str
    class_code: str
    now: Mapping[str, Any] = field(repr=False)
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    other: Mapping[str, Any] | None = field(default=None, repr=False)


def needs_opening(kind: str, version: int) -> bool:
    """Say whether it takes a look inside to tell what a record's coming means."""
    return version > 1 or kind == RATING_KIND


def of_record(change: Change, items: Collection[str], said: Declared) -> list[Said]:
    """Say what a record that was published means to whoever may see these items."""
    about = {"kind": change.kind, "class": change.class_code}
    if change.before is not None and dict(change.now) == dict(change.before):
        return []
    former = change.before if change.before is not None else change.other
    graded = change.kind == RATING_KIND and f"{RATING_KIND}.{GRADE}" in items and former is not None
    if graded and former is not None and change.now.get(GRADE) != former.get(GRADE):
        return [Said(declared.RATING, about), *_lowered(change, former, items, said, about)]
    if change.before is not None:
        return [Said(declared.CORRECTED, about)]
    warned = [Said(declared.WARNING, {"code": one.code, **about}) for one in said.of_new(change.kind)]
    return [Said(declared.NEW, about), *warned]


def _lowered(
    change: Change, former: Mapping[str, Any], items: Collection[str], said: Declared, about: Mapping[str, Any]
) -> list[Said]:
    found = []
    for one, by in said.of_lower(change.kind):
        name = by.item.partition(".")[2]
        was, now = str(former.get(name)), str(change.now.get(name))
        ordered = was in by.best_first and now in by.best_first
        if by.item in items and ordered and by.best_first.index(now) > by.best_first.index(was):
            found.append(Said(declared.WARNING, {"code": one.code, **about}))
    return found


def of_recall(kind: str, class_code: str) -> list[Said]:
    """Say that a record was taken back."""
    return [Said(declared.RECALLED, {"kind": kind, "class": class_code})]


def of_dispute(kind: str, class_code: str, *, filed: bool, marked: bool) -> list[Said]:
    """Say that an item is disputed, or that this was answered; answers say in any case what is marked."""
    about: dict[str, Any] = {"kind": kind, "class": class_code}
    return [Said(declared.OPENED, about)] if filed else [Said(declared.CLOSED, {**about, "marked": marked})]


def of_finding(rule: str, kind: str, class_code: str, said: Declared) -> list[Said]:
    """Say that a consistency rule found fault with a record."""
    one = said.of_findings
    return (
        []
        if one is None
        else [Said(declared.WARNING, {"code": one.code, "rule": rule, "kind": kind, "class": class_code})]
    )


def of_consent(state: str) -> list[Said]:
    """Say that the consent changed: how it stands, not why."""
    return [Said(declared.CONSENT, {"state": state})]


def wanted(said: Sequence[Said], events: Collection[str]) -> list[Said]:
    """Keep the types that were subscribed to; how the consent stands is told in any case."""
    return [one for one in said if one.type in events or one.type == declared.CONSENT]


def wait_seconds(failures: int, jitter: float, asked: float | None = None) -> float:
    """Say how long to wait after so many failures in a row: 5 s, then twice as long each time, an hour at most.

    Args:
        failures: at least one.
        jitter: a number from 0 to 1, anew each time.
        asked: what the receiver's Retry-After said; never less is waited.
    """
    usual = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_WAIT_SECONDS)
    spread = usual * (1 + _JITTER * jitter)
    return spread if asked is None else max(spread, min(asked, ASKED_AT_MOST_SECONDS))
