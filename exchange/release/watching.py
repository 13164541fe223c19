"""The *monitor* entrance of the gate: subscribing, and what is told under a subscription. No value leaves.

`subscribe` is a question in mode `monitor` and takes the steps of the gate (`exchange.release`), with one difference:
  4. it opens nothing; in the same transaction the subscription is kept. Permit and refusal are logged, the use is
     counted, a repetition under its Idempotency-Key is found, as of any question

What happens later is decided anew each time it is told, in the transaction of whoever tells it:
  1. `standing`: lock the consents and decide each subscription as of now, on its own consent alone, without a use
  2. `compare`: open of records what the lender may see, now and before, and give whether it differs; only kinds leave
  3. `note`: write to the log what was told to whom, and how much was opened to find out

A subscription whose consent permits nothing now is told nothing, and nothing is kept for later. Who asked nothing is
refused nothing: that a consent is paused or over leaves no entry here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from consent import purposes, uses
from consent.decision import Permit, Request, follow
from consent.scope import Mode
from exchange.events import Event
from exchange.home import Home
from exchange.limits.deciding import Left
from exchange.release.cases import Ask, Case, Refused
from exchange.release.deciding import decide_all
from exchange.release.finding import admit_all, find
from exchange.release.limiting import cut_off, giving_back, limit_all
from exchange.release.recording import record
from registry import catalogue, clock, disclosure, log, profile
from registry.canonical import JSON
from registry.database import Transaction
from registry.identifiers import SubjectKind
from registry.records import RecordRef, Value, VisibleRecord

_SUBSCRIBING: Final = 7_118_454  # an advisory lock of a transaction; any number of our own


@dataclass(frozen=True, slots=True)
class Watch:
    """A subscription as the gate sees it: whose, of whom, resting on which consent, for which items."""

    subscription_id: UUID
    organisation: str
    client_id: str
    subject_id: UUID
    about: SubjectKind
    consent_id: str
    purpose: str
    business_no: str | None
    items: frozenset[str]
    staff: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Stands:
    """A subscription that may be told something now, and what its consent is bound by."""

    watch: Watch
    permit: Permit
    receipt_sha256: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription that was permitted, and what is left of its caller's limits."""

    watch: Watch
    left: Sequence[Left] = ()


# ---- subscribing ----------------------------------------------------------------------------------------------------


def subscribe(
    home: Home,
    ask: Ask,
    keep: Callable[[Transaction, Watch, datetime], None],
    *,
    at_step: Callable[[int], None] = lambda _: None,
) -> Subscribed | Refused:
    """Decide a question in mode `monitor`, log it and keep the subscription, all or nothing.

    Args:
        home: the installation.
        ask: the question; its caller has been admitted, or is admitted here.
        keep: called in the transaction of a permit; of one that was given before under the same key, too.
        at_step: called with the number of each step before it; tests break in there.

    Raises:
        ExchangeError: credentials that do not hold, a key that was used for something else, or a limit that is reached.
        DatabaseUnavailable, psycopg.Error: an entry could not be written; nothing was kept.
    """
    case = _decided(home, ask, keep, at_step)
    if case.conflict:  # another process subscribed under the same key first: it is found now
        case = _decided(home, ask if case.caller is None else replace(ask, presented=case.caller), keep, at_step)
    if isinstance(case.outcome, Refused):
        return replace(case.outcome, left=case.left)
    if isinstance(case.outcome, Exception):
        raise case.outcome
    return Subscribed(_watch(case), case.left)


def _decided(
    home: Home, ask: Ask, keep: Callable[[Transaction, Watch, datetime], None], at_step: Callable[[int], None]
) -> Case:
    case = Case(ask)
    at_step(1)
    with giving_back(home) as taken, home.database.transaction() as tx:  # 1, 5
        admit_all(tx, [case])
        find(home, tx, [case])
        limit_all(home, [case], taken)
        if case.open:
            tx.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_SUBSCRIBING,))  # see `wait_for_subscribers`
        at_step(2)
        now = decide_all(tx, [case])  # 2
        cut_off(home, tx, [case], now)
        at_step(3)
        record(home, tx, [case], now)  # 3
        at_step(4)
        if case.open and not case.conflict:
            keep(tx, _watch(case), now)  # 4
        at_step(5)
    return case


def _watch(case: Case) -> Watch:
    facts = case.facts
    if facts is None or case.caller is None or case.subject_kind is None or not isinstance(case.ask, Ask):
        raise TypeError("only what was permitted is watched")
    return Watch(
        subscription_id=facts.query_id,
        organisation=facts.lender,
        client_id=facts.client_id,
        subject_id=facts.subject_id,
        about=case.subject_kind,
        consent_id=facts.consent_id,
        purpose=facts.purpose,
        business_no=facts.business_no,
        items=facts.items,
        staff=case.ask.staff,
    )


# ---- telling --------------------------------------------------------------------------------------------------------


def wait_for_subscribers(home: Home) -> None:
    """Wait for those who are subscribing at this moment, and hold up nobody who begins afterwards.

    What had been committed before this call is then either in what a subscription found (it began later), or the
    subscription is there to be told of it.
    """
    with home.database.transaction() as passing:
        passing.execute("SELECT pg_advisory_xact_lock(%s)", (_SUBSCRIBING,))


def standing(tx: Transaction, watches: Collection[Watch]) -> tuple[datetime, dict[UUID, Stands]]:
    """Lock the consents, and give the moment and the subscriptions that may be told something as of then (step 1)."""
    subjects, lenders = {one.subject_id for one in watches}, {one.organisation for one in watches}
    given = {one.grant.consent_id: one for one in uses.lock(tx, subjects, lenders)} if watches else {}
    now = clock.now()  # after the locks are held
    found: dict[UUID, Stands] = {}
    for watch in watches:
        stored = given.get(watch.consent_id)
        if stored is None or stored.subject_id != watch.subject_id:
            continue
        purpose = purposes.current().get(watch.purpose)
        outcome = follow(_request(watch), purpose, watch.consent_id, [stored.grant], now=now)
        if isinstance(outcome, Permit):
            found[watch.subscription_id] = Stands(watch, outcome, stored.receipt_sha256)
    return now, found


def within(one: Stands, record: VisibleRecord, *, now: datetime) -> bool:
    """Say whether a record is of a kind within a subscription, and not older than its consent reaches."""
    return record.kind in profile.names_by_kind(one.permit.items) and reaches(one, record, now=now)


def reaches(one: Stands, record: VisibleRecord, *, now: datetime) -> bool:
    """Say whether a record is not older than a subscription's consent reaches."""
    return profile.within_history(record.valid_from, one.permit.history_months, at=now)


def compare(
    home: Home, wanted: Sequence[tuple[Stands, VisibleRecord]]
) -> dict[tuple[UUID, RecordRef], Mapping[str, Value]]:
    """Open of each record what its subscription may see, for comparing alone (step 2).

    By subscription and version; those whose subject's data key has been erased are absent.

    Raises:
        SealBroken, ProofFailed: a record does not open as it was sealed.
    """
    keyed = home.datakeys.standing({record.ref.subject_id for _, record in wanted}) if wanted else {}
    open_now = [(one, record) for one, record in wanted if record.ref.subject_id in keyed and record.sealed is not None]
    names = [profile.names_by_kind(one.permit.items).get(record.kind, frozenset()) for one, record in open_now]
    asked = [disclosure.Wanted(record, seen) for (_, record), seen in zip(open_now, names, strict=True)]
    opened = disclosure.open_records(home.datakeys, asked)
    return {
        (one.watch.subscription_id, record.ref): found.fields
        for (one, record), found in zip(open_now, opened, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Told:
    """One event that a subscription is told: its id, its type, and the kind of record that it is about."""

    to: Stands
    event_id: UUID
    type: str
    kind: str


def note(tx: Transaction, told: Sequence[Told], *, opened: int, subscriptions: int, now: datetime) -> None:
    """Write each event to the log, with its subject; and, where records were opened for it, how many (step 3)."""
    entries = [_entry(one, now) for one in told]
    if opened:
        fields: dict[str, JSON] = {"opened": opened, "subscriptions": subscriptions, "told": len(told)}
        entries.append(log.Entry(event=Event.MONITOR_CHECKED, at=now, actor="system", fields=fields))
    log.append(tx, entries)


def _entry(one: Told, now: datetime) -> log.Entry:
    watch = one.to.watch
    access: dict[str, Any] = {
        "business_no": watch.business_no,
        "consent_id": watch.consent_id,
        "event_id": str(one.event_id),
        "items": sorted(item for item in one.to.permit.items if item.partition(".")[0] == one.kind),
        "lender": watch.organisation,
        "mode": Mode.MONITOR.value,
        "purpose": watch.purpose,
        "query_id": str(watch.subscription_id),
        "receipt_sha256": one.to.receipt_sha256,
        "staff": list(watch.staff) if watch.staff else None,
        "told": one.type,
    }
    return log.Entry(
        event=Event.MONITOR_TOLD,
        at=now,
        actor=watch.client_id,
        fields={"access": access},
        subject_id=watch.subject_id,
        consent_id=watch.consent_id,
        query_id=watch.subscription_id,
    )


def _request(watch: Watch) -> Request:
    known = catalogue.current()
    person = watch.about is not SubjectKind.ORGANISATION
    return Request(
        watch.organisation,
        watch.purpose,
        watch.items,
        Mode.MONITOR,
        watch.items & known.w_items if person else frozenset(),
        watch.items & known.separate_items if person else frozenset(),
        business_no=watch.business_no,
    )
