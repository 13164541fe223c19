"""The decision whether data may be released. Pure: no clock, no database, no network.

    request ─▶ anything asked? ─no─▶ NOTHING_ASKED
                     │
    for each consent of the subject, by itself:
      1 this lender, this purpose?   ─no─▶ NO_CONSENT             (also: unknown subject, no consent at all)
      2 in force?                    ─no─▶ NOT_YET_GIVEN | SUPERSEDED | WITHDRAWN | EXPIRED | PAUSED
      3 now within its dates?        ─no─▶ NOT_YET_VALID | EXPIRED
      4 every item within it?        ─no─▶ ITEMS_NOT_COVERED
      5 mode within it?              ─no─▶ MODE_TOO_HIGH
      6 history within it?           ─no─▶ HISTORY_TOO_LONG
      7 W-items acknowledged?        ─no─▶ W_NOT_ACKNOWLEDGED
      8 sensitive items agreed to?   ─no─▶ SENSITIVE_NOT_AGREED
      9 confirmed again in time?     ─no─▶ RECONFIRMATION_DUE
     10 a use left, this month too?  ─no─▶ USES_EXHAUSTED | MONTHLY_USES_EXHAUSTED     (not by `reopen`, `follow`)
     11 the answer's life not over?  ─no─▶ DATA_LIFE_OVER                              (asked by `reopen` alone)
                     │yes
                   Permit, on the narrowest consent that came through

If none comes through, the refusal names what stopped the consent that came furthest, in the order of `Reason`.
Consents are never added together. A refusal is an ordinary answer, not an exception: it is logged and
committed like a permit, because the subject may later ask who tried. See docs/adr/0004.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consent.grant import Grant, State, month_of
from consent.purposes import Entrance, Purpose
from consent.scope import RANK, Mode


class Reason(StrEnum):
    """Why a release was refused, least way travelled first. The values are published; never reuse one."""

    NOTHING_ASKED = "nothing-asked"
    PURPOSE_UNKNOWN = "purpose-unknown"
    PURPOSE_NOT_FOR_LENDERS = "purpose-not-for-lenders"
    BUSINESS_NUMBER_MISSING = "business-number-missing"
    ITEMS_OUTSIDE_PURPOSE = "items-outside-purpose"
    NO_CONSENT = "no-consent"
    NOT_YET_GIVEN = "not-yet-given"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    PAUSED = "paused"
    ITEMS_NOT_COVERED = "items-not-covered"
    MODE_TOO_HIGH = "mode-too-high"
    HISTORY_TOO_LONG = "history-too-long"
    W_NOT_ACKNOWLEDGED = "adverse-consequences-not-acknowledged"
    SENSITIVE_NOT_AGREED = "sensitive-not-agreed"
    RECONFIRMATION_DUE = "reconfirmation-due"
    USES_EXHAUSTED = "uses-exhausted"
    MONTHLY_USES_EXHAUSTED = "monthly-uses-exhausted"
    DATA_LIFE_OVER = "data-life-over"
    RECALLED = "recalled"  # never decided here: the gate finds it when an earlier answer is asked for again
    STAFF_NOT_LISTED = "staff-not-listed"  # likewise: who asks is not on the lender's list of staff


_DISTANCE: Final[Mapping[Reason, int]] = MappingProxyType({reason: far for far, reason in enumerate(Reason)})
_NOT_IN_FORCE: Final[Mapping[State, Reason]] = MappingProxyType(
    {
        State.REQUESTED: Reason.NOT_YET_GIVEN,
        State.SUPERSEDED: Reason.SUPERSEDED,
        State.WITHDRAWN: Reason.WITHDRAWN,
        State.EXPIRED: Reason.EXPIRED,
        State.PAUSED: Reason.PAUSED,
    }
)
_NONE_TAKEN: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """What a lender asks for.

    `w_items` are those of the items that 征信业管理条例 §14 ¶2 reserves when they are about a person (R-05); the
    catalogue says which, and for organisations there are none. No default, so that nobody forgets to ask it.
    `sensitive_items` are likewise those that a person agrees to in an act of its own (R-17).
    `history_months` None asks for as much history as the consent allows.
    """

    lender: str
    purpose: str
    items: frozenset[str]
    mode: Mode
    w_items: frozenset[str]
    sensitive_items: frozenset[str]
    history_months: int | None = None
    business_no: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was given before: under which consent, and when it was first decided."""

    consent_id: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """One of several that are decided together. Of `tries` the first that is permitted counts.

    `purpose` is that of the tries as configured now, None if there is no such purpose; `grants` are every grant of
    the subject; `answered` says that an answer whose use is counted is to be opened once more.
    """

    tries: Sequence[Request]
    purpose: Purpose | None
    grants: Sequence[Grant]
    answered: Answered | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to release exactly `items`, at most in `mode`, no older than `history_months`, resting on one consent."""

    consent_id: str
    items: frozenset[str]
    mode: Mode
    history_months: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave, and why."""

    reason: Reason


def screen(request: Request, purpose: Purpose | None) -> Refusal | None:  # noqa: PLR0911  # one way out a check
    """Refuse what no consent could make right: a lender's request alone, before anyone's consents are read.

    Args:
        request: what is asked.
        purpose: the purpose as configured now, None if there is no such purpose.
    """
    if not request.items:
        return Refusal(Reason.NOTHING_ASKED)
    if purpose is None:
        return Refusal(Reason.PURPOSE_UNKNOWN)
    if Entrance.LENDER not in purpose.entrances:
        return Refusal(Reason.PURPOSE_NOT_FOR_LENDERS)
    if purpose.business_number and not (request.business_no or "").strip():
        return Refusal(Reason.BUSINESS_NUMBER_MISSING)
    if not all(purpose.allows_item(item) for item in request.items):
        return Refusal(Reason.ITEMS_OUTSIDE_PURPOSE)
    if RANK[request.mode] > RANK[purpose.mode.ceiling]:
        return Refusal(Reason.MODE_TOO_HIGH)
    if request.history_months is not None and request.history_months > purpose.history_months.ceiling:
        return Refusal(Reason.HISTORY_TOO_LONG)
    return None


def decide(
    request: Request, grants: Sequence[Grant], *, now: datetime, taken: Mapping[str, int] = _NONE_TAKEN
) -> Permit | Refusal:
    """Find the grant that covers the whole request, or say why none does.

    Grants are never added together: two consents for half the items each do not
    make one for all, since the subject agreed to neither whole. Among several that cover the request the narrowest
    is used (fewest items), then the one that ends first, then the smaller id, so that the choice does not
    depend on the order in which they were read.

    Args:
        request: what is asked.
        grants: every grant of the subject, in any order, ended ones and other lenders' included.
        now: the moment of the request, with a time zone.
        taken: uses by consent id that others in the same transaction take first, not yet in `Grant.uses`.
    """
    if not request.items:
        return Refusal(Reason.NOTHING_ASKED)
    furthest, distance = Reason.NO_CONSENT, _DISTANCE[Reason.NO_CONSENT]
    best: Grant | None = None
    for grant in grants:
        obstacle = _obstacle(request, grant, now) or _exhausted(grant, taken.get(grant.consent_id, 0), now)
        if obstacle is None:
            if best is None or _narrowness(grant) < _narrowness(best):
                best = grant
        elif _DISTANCE[obstacle] > distance:
            furthest, distance = obstacle, _DISTANCE[obstacle]
    return Refusal(furthest) if best is None else _permit(request, best)


def decide_together(questions: Sequence[Question], *, now: datetime) -> list[Permit | Refusal]:
    """Decide what shares a transaction: uses are summed per consent and admitted up to what is left.

    Each outcome stands at the place of its question. Earlier ones are admitted first; what is opened once more is
    screened like the rest and takes no use. Where no try is permitted, the refusal is that of the first.
    """
    taken: MutableMapping[str, int] = {}
    outcomes: list[Permit | Refusal] = []
    for question in questions:
        outcome = _first_permitted(question, now, taken)
        if isinstance(outcome, Permit) and question.answered is None:
            taken[outcome.consent_id] = taken.get(outcome.consent_id, 0) + 1
        outcomes.append(outcome)
    return outcomes


def _first_permitted(question: Question, now: datetime, taken: Mapping[str, int]) -> Permit | Refusal:
    refused: Refusal | None = None
    for request in question.tries:
        outcome: Permit | Refusal | None = screen(request, question.purpose)
        if outcome is None and question.answered is None:
            outcome = decide(request, question.grants, now=now, taken=taken)
        elif outcome is None and question.answered is not None:
            outcome = reopen(request, question.answered, question.grants, now=now)
        if isinstance(outcome, Permit):
            return outcome
        refused = refused or outcome
    return refused or Refusal(Reason.NOTHING_ASKED)


def reopen(request: Request, answered: Answered, grants: Sequence[Grant], *, now: datetime) -> Permit | Refusal:
    """Decide whether an answer whose use is already counted may be opened once more.

    It needs no use left, but everything else holds as of now, and it may rest only on the consent it was
    first given under: if that was withdrawn, another that would cover the request does not bring the answer back.
    Nor does anything once the days are over for which the lender may keep it, counted from when it was first decided.
    """
    if not request.items:
        return Refusal(Reason.NOTHING_ASKED)
    for grant in grants:
        if grant.consent_id == answered.consent_id:
            obstacle = _obstacle(request, grant, now) or _outlived(grant, answered.decided_at, now)
            return _permit(request, grant) if obstacle is None else Refusal(obstacle)
    return Refusal(Reason.NO_CONSENT)


def follow(
    request: Request, purpose: Purpose | None, consent_id: str, grants: Sequence[Grant], *, now: datetime
) -> Permit | Refusal:
    """Decide whether something that happened may be told to whoever subscribed under a consent.

    The subscribing took a use; what follows takes none and needs none left. Everything else holds as of now, the
    lender's own purpose included, and it may rest only on the consent that was subscribed under. What is told is not
    an answer that could be opened again, so step 11 is not asked.
    """
    refused = screen(request, purpose)
    if refused is not None:
        return refused
    for grant in grants:
        if grant.consent_id == consent_id:
            obstacle = _obstacle(request, grant, now)
            return _permit(request, grant) if obstacle is None else Refusal(obstacle)
    return Refusal(Reason.NO_CONSENT)


def _obstacle(request: Request, grant: Grant, now: datetime) -> Reason | None:  # noqa: PLR0911  # one way out a step
    scope = grant.scope
    if scope.recipient != request.lender or scope.purpose != request.purpose:
        return Reason.NO_CONSENT  # 1
    if grant.state is not State.ACTIVE:
        return _NOT_IN_FORCE[grant.state]  # 2
    if now >= scope.valid_until:
        return Reason.EXPIRED  # 3
    if now < scope.valid_from:
        return Reason.NOT_YET_VALID
    if not request.items <= scope.items:
        return Reason.ITEMS_NOT_COVERED  # 4
    if RANK[request.mode] > RANK[scope.mode]:
        return Reason.MODE_TOO_HIGH  # 5
    if request.history_months is not None and request.history_months > scope.history_months:
        return Reason.HISTORY_TOO_LONG  # 6
    return _unconfirmed(request, grant, now)


def _unconfirmed(request: Request, grant: Grant, now: datetime) -> Reason | None:
    """Steps 7 to 9: whether what wants an act of its own has had it."""
    scope = grant.scope
    if request.w_items and not scope.w_acknowledged:
        return Reason.W_NOT_ACKNOWLEDGED  # 7
    if request.sensitive_items and not scope.sensitive_agreed:
        return Reason.SENSITIVE_NOT_AGREED  # 8
    if grant.reconfirm_by is not None and now >= grant.reconfirm_by:
        return Reason.RECONFIRMATION_DUE  # 9
    return None


def _exhausted(grant: Grant, taken: int, now: datetime) -> Reason | None:
    """Step 10: whether the uses, of the whole consent or of this month in Beijing, are spent."""
    a_month = grant.scope.uses_per_month
    if taken >= grant.uses_left:
        return Reason.USES_EXHAUSTED
    if a_month is not None and grant.uses_in(month_of(now)) + taken >= a_month:
        return Reason.MONTHLY_USES_EXHAUSTED
    return None


def _outlived(grant: Grant, decided_at: datetime, now: datetime) -> Reason | None:
    """Step 11: whether the answer is older than its recipient may keep it."""
    return Reason.DATA_LIFE_OVER if now >= decided_at + timedelta(days=grant.data_life_days) else None


def _narrowness(grant: Grant) -> tuple[int, datetime, str]:
    return len(grant.scope.items), grant.scope.valid_until, grant.consent_id


def _permit(request: Request, grant: Grant) -> Permit:
    allowed = grant.scope.history_months
    history = allowed if request.history_months is None else min(request.history_months, allowed)
    return Permit(grant.consent_id, request.items, request.mode, history)
