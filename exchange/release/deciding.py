"""Step 2: may it be released? Reads and locks consents; the decision itself is pure (`consent.decision`)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from consent import purposes, uses
from consent.decision import Answered, Permit, Question, Reason, Request, decide_together
from consent.grant import Grant
from consent.scope import Mode
from exchange import staffing
from exchange.oauth.guard import Caller
from exchange.release.cases import Ask, AskAgain, Case, Refused
from registry import catalogue, clock
from registry.database import Transaction
from registry.identifiers import SubjectKind
from registry.records import NOBODY


def decide_all(tx: Transaction, cases: Sequence[Case]) -> datetime:
    """Lock the consents that matter, decide each case as of one moment, and give that moment."""
    standing = [case for case in cases if case.open and case.caller is not None and not case.conflict]
    # an unknown subject is looked for like any other, under an id that nobody has
    pairs = {(case.subject_id or NOBODY, case.caller.org_code) for case in standing if case.caller}
    subjects, lenders = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    grants: dict[tuple[UUID, str], list[Grant]] = {}
    standing_under: dict[str, uses.StoredGrant] = {}
    for stored in uses.lock(tx, subjects, lenders):
        standing_under[stored.grant.consent_id] = stored
        grants.setdefault((stored.subject_id, stored.grant.scope.recipient), []).append(stored.grant)
    staff = staffing.lock(tx, {one for case in standing if (one := _user(case)) is not None})
    now = clock.now()  # after the locks are held: a withdrawal that committed before this instant has been read
    asked: list[tuple[Case, Question]] = []
    for case in standing:
        if case.caller is None:
            continue
        if not _listed(case, staff, now):  # whatever the consents say: nobody asks whom the lender does not know
            case.outcome = Refused(case.facts.query_id if case.facts else uuid4(), Reason.STAFF_NOT_LISTED)
            continue
        mine = grants.get((case.subject_id, case.caller.org_code), []) if case.subject_id else []
        if case.caller.consent_id is not None:  # a token that rests on one agreement serves no other (RFC 9396)
            mine = [grant for grant in mine if grant.consent_id == case.caller.consent_id]
        asked.append((case, _question(case, case.caller, mine)))
    outcomes = decide_together([question for _, question in asked], now=now)
    for (case, _), outcome in zip(asked, outcomes, strict=True):
        if isinstance(outcome, Permit):
            case.permit, case.rests_on = outcome, standing_under[outcome.consent_id]
        else:
            case.outcome = Refused(case.facts.query_id if case.facts else uuid4(), outcome.reason)
    return now


def _who(case: Case) -> tuple[str, str]:
    """Say who at the lender asks, by code and department; whoever opens an answer unnamed is who asked for it."""
    if case.ask.staff is None and isinstance(case.ask, AskAgain) and case.facts and case.facts.asked:
        return case.facts.asked.staff or staffing.NOBODY
    return case.ask.staff or staffing.NOBODY


def _user(case: Case) -> staffing.User | None:
    if case.caller is None or (isinstance(case.ask, AskAgain) and case.ask.form == "batch"):
        return None  # a batch's answers go, sealed, to the organisation; who asked was looked at with each line
    return case.caller.org_code, _who(case)[0]


def _listed(case: Case, standing: Mapping[staffing.User, staffing.Entry | None], now: datetime) -> bool:
    """Say whether who asks may ask: on the list, or of an organisation that keeps none. Nobody is on no list."""
    user = _user(case)
    if user is None or user not in standing:
        return True
    entry = standing[user]
    return entry is not None and entry.covers(_who(case)[1], now)


def _question(case: Case, caller: Caller, grants: Sequence[Grant]) -> Question:
    """Put a case as the decision takes it: what was answered before is asked as it was, under the consent it had."""
    if case.facts is not None:
        facts = case.facts
        request = _request(case, caller.org_code, facts.purpose, Mode(facts.mode), facts.items, facts.business_no)
        before = Answered(facts.consent_id, facts.decided_at)
        return Question([request], purposes.current().get(facts.purpose), grants, before)
    ask = case.ask
    if not isinstance(ask, Ask):
        raise TypeError("a query that was not found has been refused before")
    tries = [
        _request(case, caller.org_code, ask.purpose, ask.mode, items, ask.business_no)
        for items in _wanted(ask, caller.org_code, grants)
    ]
    return Question(tries, purposes.current().get(ask.purpose), grants)


def _wanted(ask: Ask, lender: str, grants: Sequence[Grant]) -> list[frozenset[str]]:
    """The items to try: those asked for, or else what each consent for this purpose covers, the widest first.

    Without a consent the widest possible request is tried, so that a missing consent and an unknown subject
    are refused alike.
    """
    if ask.items is not None:
        return [ask.items]
    held = {g.scope.items for g in grants if (g.scope.recipient, g.scope.purpose) == (lender, ask.purpose)}
    if not held:
        purpose = purposes.current().get(ask.purpose)
        return [catalogue.current().expand(purpose.kinds)] if purpose else [frozenset({ask.purpose})]
    return sorted(held, key=lambda items: (-len(items), sorted(items)))


def _request(  # the parts of a request
    case: Case, lender: str, purpose: str, mode: Mode, items: frozenset[str], business_no: str | None
) -> Request:
    about_person = case.subject_kind is not SubjectKind.ORGANISATION
    known = catalogue.current()
    w_items = items & known.w_items if about_person else frozenset[str]()
    sensitive = items & known.separate_items if about_person else frozenset[str]()
    return Request(lender, purpose, items, mode, w_items, sensitive, business_no=business_no)
