"""The consent ledger: what was agreed to, kept, changed and read for the gate.

Every function works in the caller's transaction and commits nothing, so that a consent and its log entry stand or
fall together, and a withdrawal is seen by the next statement of every process. Nothing is cached here, ever.

  create, create_many   record consents: receipt, row, log entry
  withdraw, transition  take a consent through its life (consent.grant); expire_due for those whose time is over
  narrow, reconfirm     a smaller consent in the place of one in force; a standing one confirmed again
  get, list_for_subject, listing   read, for people, evidence and audit

It does not decide about a release (consent.decision) or about holding (consent.covering), counts no uses
(consent.uses), keeps no refusals (consent.refusals), and never sees who a subject is. A consent register (授权台账) is
read by consent.importing, which writes through the functions here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg import sql

from consent import purposes, receipt, recipients, refusals, rows
from consent.errors import Fault, TermsRefused, TransitionRefused, UnknownConsent
from consent.events import Event
from consent.evidence import Channel, Confirmation
from consent.grant import ENDED, State, beginning, step
from consent.narrowing import Narrower, narrowed
from consent.parties import Contact, Party
from consent.purposes import Purpose
from consent.receipt import Issuer
from consent.record import Consent, NewConsent, Terms, end_of_period, settle
from registry import catalogue, log
from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.keyring import Keyring
from registry.suites import sha256_hex

EXPIRE_AT_ONCE: Final = 200  # consents in one transaction of the job, so that nobody waits for it for long


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of `listing` ended."""

    state_at: datetime
    consent_id: str


# ---- recording ------------------------------------------------------------------------------------------------------


def create(
    tx: Transaction,
    new: NewConsent,
    keyring: Keyring,
    now: datetime,
    *,
    actor: str = "system",
    operator: Party | None = None,
) -> Consent:
    """Record one consent; see `create_many`."""
    return create_many(tx, [new], keyring, now, actor=actor, operator=operator)[0]


def create_many(
    tx: Transaction,
    new: Sequence[NewConsent],
    keyring: Keyring,
    now: datetime,
    *,
    actor: str = "system",
    operator: Party | None = None,
) -> list[Consent]:
    """Record consents: each gets its receipt, its row and its log entry. One that `previous` names is superseded.

    Args:
        tx: the caller's transaction.
        new: what is handed in; caps that are not stated become the strictest of the purpose.
        keyring: signs the receipts.
        now: the moment of recording.
        actor: who acts: a client id, a user id, "system"; it stands in the log.
        operator: the operator for receipts, with how it is reached; without one the log's origin.

    Raises:
        TermsRefused: terms that no consent may have. Nothing is recorded.
        UnknownConsent: `previous` is not there, or is of another subject, recipient or purpose.
        TransitionRefused: `previous` was never in force, or has ended.
        psycopg.errors.UniqueViolation: the register number is taken.
    """
    issuer = Issuer.of(keyring, operator)
    known, valid = purposes.current(), catalogue.current()
    terms = [settle(each, purposes=known, catalogue=valid, now=now) for each in new]
    _supersede(tx, terms, now, actor)
    reached = recipients.contacts(tx, {each.scope.recipient for each in terms})
    made = [
        first_recorded(each, new[place].state, now=now, issuer=issuer, actor=actor, reached=reached)
        for place, each in enumerate(terms)
    ]
    record(tx, [consent for consent, _ in made], [entry for _, entry in made])
    return [consent for consent, _ in made]


def record(tx: Transaction, consents: Collection[Consent], entries: Sequence[log.Entry]) -> None:
    """Write new rows and their entries: two round trips, however many they are."""
    if consents:
        rows.insert(tx, consents)
    if entries:
        log.append(tx, entries)


def first_recorded(  # the parts of a record
    terms: Terms,
    state: State,
    *,
    now: datetime,
    issuer: Issuer,
    actor: str,
    reached: Mapping[str, Contact],
    standing: Consent | None = None,
) -> tuple[Consent, log.Entry]:
    """Make a consent with its receipt, and the log entry that commits to both; nothing is written yet.

    `reached` says how recipients are reached. With `standing`, a request that nobody had agreed to, the consent keeps
    its id and takes the new terms.
    """
    purpose = purposes.current().by_code[terms.scope.purpose]
    consent_id = str(uuid4()) if standing is None else standing.consent_id
    event = beginning(state)
    if standing is not None and state is State.REQUESTED:
        event = Event.AMENDED
    signed = receipt.issue(consent_id, terms, state, now, purpose, issuer, reached.get(terms.scope.recipient))
    scope, acted = terms.scope, terms.representation
    asked_by = terms.capture.asked_by
    fields: dict[str, JSON] = {
        "asked_by": None if asked_by is None else asked_by.value,
        "catalogue_version": terms.catalogue_version,
        "highest_mode": scope.mode.value,
        "history_months": scope.history_months,
        "items_sha256": sha256_hex(canonical(sorted(scope.items))),
        "max_uses": scope.max_uses,
        "purpose_version": terms.purpose_version,
        "representation": None if acted is None else acted.kind.value,
        "sensitive_agreed": scope.sensitive_agreed,
        "text_version": terms.capture.text_version,
        "uses_per_month": scope.uses_per_month,
        "valid_from": rfc3339(scope.valid_from),
        "valid_until": rfc3339(scope.valid_until),
        "w_acknowledged": scope.w_acknowledged,
    }
    ended_through = terms.capture.channel.value if state is State.WITHDRAWN else None
    consent = Consent(
        consent_id=consent_id,
        terms=terms,
        state=state,
        state_at=now,
        uses=0,
        withdraw_channel=ended_through,
        receipt=signed,
        receipt_entry=UUID(int=0),
        created_at=now if standing is None else standing.created_at,
        receipt_sm2=receipt.countersign(signed, issuer),
        reconfirm_by=_reconfirm_by(scope.valid_from, terms, purpose),
        paused_at=now if state is State.PAUSED else None,
    )
    entry = _entry(event, consent, terms.capture.channel, actor, fields)
    return replace(consent, receipt_entry=entry.entry_id), entry


# ---- the life of a consent ------------------------------------------------------------------------------------------


def withdraw(tx: Transaction, consent_id: str, channel: Channel, now: datetime, *, actor: str = "subject") -> Consent:
    """Withdraw a consent, or a request for one. From this transaction's commit on, nothing rests on it.

    Withdrawing what has ended before its time is harmless: nothing is written, and nobody learns how it ended. One that
    another took the place of is withdrawn in its successor: whoever holds the old receipt means what came of it. The
    caller holds the subject.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: its time is over, or it was superseded by none of ours; it permits nothing any more.
    """
    consent = _successor(tx, consent_id)
    if consent.told is State.WITHDRAWN:
        return consent
    return move(tx, [consent], State.WITHDRAWN, channel=channel, now=now, actor=actor)[0]


def transition(
    tx: Transaction, consent_id: str, to: State, *, channel: Channel, now: datetime, actor: str = "subject"
) -> Consent:
    """Pause, resume, end or replace a consent.

    A request becomes active with its evidence (consent.importing), never here.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: its state has no such step, or its time is over and only an end is left to it.
    """
    consent = _locked(tx, consent_id)
    if consent.state is State.REQUESTED and to is State.ACTIVE:
        raise TransitionRefused("a request becomes a consent with its evidence only")
    if to in {State.ACTIVE, State.PAUSED} and now >= consent.terms.scope.valid_until:
        raise TransitionRefused("the consent's time is over")
    return move(tx, [consent], to, channel=channel, now=now, actor=actor)[0]


def narrow(
    tx: Transaction,
    consent_id: str,
    asked: Narrower,
    issuer: Issuer,
    now: datetime,
    *,
    channel: Channel,
    actor: str = "subject",
) -> Consent:
    """Put a smaller consent in the place of one in force: fewer items or uses, shorter, a lower mode.

    The person's act of before carries it, so that no new evidence is needed; it has a receipt of its own, names what it
    replaces, and begins with the uses that were counted already: narrowing gives none back.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: it is not in force.
        TermsRefused: NOT_NARROWER: some edge would be wider, or nothing would change.
    """
    standing = _locked(tx, consent_id)
    terms = replace(narrowed(standing.terms, asked, now=now), previous=consent_id)
    move(tx, [standing], State.SUPERSEDED, channel=channel, now=now, actor=actor)
    reached = recipients.contacts(tx, [terms.scope.recipient])
    made, entry = first_recorded(terms, standing.state, now=now, issuer=issuer, actor=actor, reached=reached)
    due = standing.reconfirm_by
    carried = replace(
        made,
        uses=standing.uses,
        month=standing.month,
        month_uses=standing.month_uses,
        reconfirm_by=due if due is not None and due < terms.scope.valid_until else None,
    )
    record(tx, [carried], [entry])
    return carried


def reconfirm(
    tx: Transaction, consent_id: str, said: Confirmation, now: datetime, *, actor: str = "subject"
) -> Consent:
    """Confirm a consent again, where its purpose asks for that: it permits for another period of the purpose.

    The period begins when the person confirmed, not when that was handed in. The caller holds the subject.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: it is not in force, its time is over, or it needs no confirmation.
        TermsRefused: the evidence proves something already, or was signed before what it is to confirm
            (`refusals.refuse_reconfirming`); CONFIRMATION_OVER: so long ago that the period is over.
    """
    consent = _locked(tx, consent_id)
    scope = consent.terms.scope
    if consent.state not in {State.ACTIVE, State.PAUSED} or now >= scope.valid_until:
        raise TransitionRefused("only a consent in force is confirmed again")
    if consent.reconfirm_by is None:
        raise TransitionRefused("a consent that needs no confirmation")
    refusals.refuse_reconfirming(tx, consent, said, now=now)
    purpose = purposes.current().by_code[scope.purpose]
    due = _reconfirm_by(max(said.captured_at, scope.valid_from), consent.terms, purpose)
    if due is not None and due <= now:
        raise TermsRefused(Fault.CONFIRMATION_OVER, "its period is over before it is handed in")
    confirmed = replace(consent, reconfirm_by=due)
    rows.confirm(tx, confirmed, said, now=now)
    told: dict[str, JSON] = {
        "captured_at": rfc3339(said.captured_at),
        "collector": said.collector,
        "evidence_sha256": None if said.evidence.sha256 is None else said.evidence.sha256.hex(),
        "until": rfc3339(due or scope.valid_until),
    }
    log.append(tx, [_entry(Event.RECONFIRMED, replace(confirmed, state_at=now), said.channel, actor, told)])
    return confirmed


def move(
    tx: Transaction, consents: Sequence[Consent], to: State, *, channel: Channel | None, now: datetime, actor: str
) -> list[Consent]:
    """Take consents, locked by the caller, one step further, and log each step.

    Raises:
        TransitionRefused: the state of one of them has no such step. Nothing is written.
    """
    events = [step(consent.state, to) for consent in consents]
    through = channel.value if channel is not None and to is State.WITHDRAWN else None
    paused = {State.PAUSED: now, State.ACTIVE: None}
    moved = [
        replace(consent, state=to, state_at=now, withdraw_channel=through, paused_at=paused.get(to, consent.paused_at))
        for consent in consents
    ]
    if moved:
        rows.move(tx, [consent.consent_id for consent in moved], to, at=now, withdraw_channel=through)
        log.append(
            tx,
            [
                _entry(event, after, channel, actor, {"was": before.state.value})
                for event, before, after in zip(events, consents, moved, strict=True)
            ],
        )
    return moved


def expire_due(
    tx: Transaction,
    now: datetime,
    hold: Callable[[Collection[UUID]], None],
    *,
    limit: int = EXPIRE_AT_ONCE,
    actor: str = "system",
) -> list[UUID]:
    """Write `expired` where the time is over; returns whose consents they were. Call again until fewer than `limit`.

    `hold` keeps everybody else from changing consents of these subjects: before their consents are locked, as whoever
    withdraws does it. What has ended meanwhile is left as it is.
    """
    due = tx.execute(
        "SELECT consent_id, subject_id FROM consent WHERE state IN ('requested', 'active', 'paused')"
        " AND valid_until <= %s ORDER BY consent_id LIMIT %s",
        (now, limit),
    ).fetchall()
    if not due:
        return []
    hold({row[1] for row in due})
    return [consent.terms.subject_id for consent in expire(tx, [row[0] for row in due], now=now, actor=actor)]


def expire(tx: Transaction, consent_ids: Collection[str], *, now: datetime, actor: str = "system") -> list[Consent]:
    """Let consents that have not ended end: their time is over, or their subject has died."""
    standing = [consent for consent in rows.locked(tx, consent_ids) if consent.state not in ENDED]
    return move(tx, standing, State.EXPIRED, channel=None, now=now, actor=actor)


# ---- reading --------------------------------------------------------------------------------------------------------


def get(tx: Transaction, consent_ids: Collection[str]) -> dict[str, Consent]:
    """Read consents by id, without locking; ids that do not exist are absent."""
    found = tx.execute(rows.SELECT + sql.SQL("WHERE consent_id = ANY(%s)"), (list(consent_ids),))
    return {consent.consent_id: consent for consent in map(rows.consent_of, found)}


def list_for_subject(tx: Transaction, subject_id: UUID) -> list[Consent]:
    """Read all consents of a subject, the latest first."""
    return rows.of_subject(tx, subject_id)


def listing(
    tx: Transaction,
    *,
    state: State | None = None,
    recipient: str | None = None,
    after: Cursor | None = None,
    limit: int = 100,
) -> tuple[list[Consent], Cursor | None]:
    """Read a page of consents in the order in which they last changed; the cursor of the next page, or None."""
    conditions = [sql.SQL("TRUE")]
    arguments: list[object] = []
    if state is not None:
        conditions.append(sql.SQL("state = %s"))
        arguments.append(state.value)
    if recipient is not None:
        conditions.append(sql.SQL("recipient = %s"))
        arguments.append(recipient)
    if after is not None:
        conditions.append(sql.SQL("(state_at, consent_id) > (%s, %s)"))
        arguments += [after.state_at, after.consent_id]
    query = sql.SQL("{}WHERE {} ORDER BY state_at, consent_id LIMIT %s").format(
        rows.SELECT, sql.SQL(" AND ").join(conditions)
    )
    page = [rows.consent_of(row) for row in tx.execute(query, [*arguments, limit + 1])]
    if len(page) <= limit:
        return page, None
    last = page[limit - 1]
    return page[:limit], Cursor(last.state_at, last.consent_id)


# ---- inside ---------------------------------------------------------------------------------------------------------


def _locked(tx: Transaction, consent_id: str) -> Consent:
    found = rows.locked(tx, [consent_id])
    if not found:
        raise UnknownConsent("there is no consent of this id")
    return found[0]


def _successor(tx: Transaction, consent_id: str) -> Consent:
    """Lock a consent and those that took its place, in consent-id order; give the last of them."""
    chain = rows.successors(tx, consent_id)
    if not chain:
        raise UnknownConsent("there is no consent of this id")
    return {consent.consent_id: consent for consent in rows.locked(tx, chain)}[chain[-1]]


def _reconfirm_by(since: datetime, terms: Terms, purpose: Purpose) -> datetime | None:
    """Say from when on it permits nothing unless it is confirmed again; None if its time is over before."""
    if not purpose.reconfirm_months:
        return None
    due = end_of_period(since, purpose.reconfirm_months)
    return due if due < terms.scope.valid_until else None


def _supersede(tx: Transaction, terms: Sequence[Terms], now: datetime, actor: str) -> None:
    replaced = {each.previous: each for each in terms if each.previous is not None}
    if not replaced:
        return
    known = get(tx, list(replaced))  # whose it is never changes: nothing of anybody else is locked to find that out
    if any(one not in known or known[one].terms.holder != terms.holder for one, terms in replaced.items()):
        raise UnknownConsent("there is no consent of this holder of the id that is to be replaced")
    move(tx, rows.locked(tx, list(replaced)), State.SUPERSEDED, channel=None, now=now, actor=actor)


def _entry(event: Event, consent: Consent, channel: Channel | None, actor: str, more: Mapping[str, JSON]) -> log.Entry:
    terms = consent.terms
    fields: dict[str, JSON] = {
        **more,
        "channel": None if channel is None else channel.value,
        "purpose": terms.scope.purpose,
        "receipt_sha256": receipt.digest(consent.receipt).hex(),
        "recipient": terms.scope.recipient,
        "state": consent.state.value,
    }
    return log.Entry(
        event=event.value,
        at=consent.state_at,
        actor=actor,
        fields=fields,
        subject_id=terms.subject_id,
        consent_id=consent.consent_id,
    )
