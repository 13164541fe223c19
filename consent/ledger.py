"""The consent ledger: what was agreed to, kept, changed and read for the gate.

Every function works in the caller's transaction and commits nothing, so that a consent and its log entry stand or
fall together, and a withdrawal is seen by the next statement of every process. Nothing is cached here, ever.

  create, create_many   record consents: receipt, row, log entry; refuse_replayed for those handed in one by one
  agree, withdraw, transition   take a consent through its life (consent.grant); expire_due for those whose time is over
  lock, count_uses      the gate's read (FOR UPDATE, in consent-id order) and its count of uses
  get, list_for_subject, listing   read, for people, evidence and audit

It does not decide about a release (consent.decision) or about holding (consent.covering), and never sees who a subject
is. A consent register (授权台账) is
read by consent.importing, which writes through the functions here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from psycopg import sql

from consent import purposes, receipt, rows
from consent.errors import Fault, TermsRefused, TransitionRefused, UnknownConsent, UsesExhausted
from consent.events import Event
from consent.evidence import Channel
from consent.grant import ENDED, Grant, State, beginning, step
from consent.receipt import Issuer
from consent.record import Consent, NewConsent, Terms, settle
from consent.scope import Mode, Scope, recipient_name
from registry import catalogue, log
from registry.canonical import JSON, canonical
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction
from registry.keyring import Keyring
from registry.suites import sha256_hex

EXPIRE_AT_ONCE: Final = 1000  # consents in one transaction of the job, so that it holds few locks


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A consent as the gate reads it: whose it is, what consent.decision takes.

    With its receipt's SHA-256 (hex) and the log entry that commits to the receipt.
    """

    subject_id: UUID
    grant: Grant
    receipt_sha256: str
    receipt_entry: UUID


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
    operator: str | None = None,
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
    operator: str | None = None,
) -> list[Consent]:
    """Record consents: each gets its receipt, its row and its log entry. One that `previous` names is superseded.

    Args:
        tx: the caller's transaction.
        new: what is handed in; caps that are not stated become the strictest of the purpose.
        keyring: signs the receipts.
        now: the moment of recording.
        actor: who acts: a client id, a user id, "system"; it stands in the log.
        operator: the operator's name for receipts; without one the log's origin.

    Raises:
        TermsRefused: terms that no consent may have. Nothing is recorded.
        UnknownConsent, TransitionRefused: `previous` is not there, is of another subject, recipient or purpose, or
            was never in force or has ended.
        psycopg.errors.UniqueViolation: the register number is taken.
    """
    issuer = Issuer.of(keyring, operator)
    terms = [settle(each, purposes=purposes.current(), catalogue=catalogue.current()) for each in new]
    _supersede(tx, terms, now, actor)
    made = [
        first_recorded(each, new[place].state, now=now, issuer=issuer, actor=actor) for place, each in enumerate(terms)
    ]
    record(tx, [consent for consent, _ in made], [entry for _, entry in made])
    return [consent for consent, _ in made]


def refuse_replayed(tx: Transaction, new: NewConsent) -> None:
    """Refuse a consent that would undo a withdrawal with the same paper; for consents that are handed in one by one.

    The caller holds the lock of the subject's row.

    Raises:
        TermsRefused: EVIDENCE_REUSED: the evidence stands under a consent for this recipient that has ended, or that
            is another subject's; BEFORE_WITHDRAWAL: it would begin before the day of the last withdrawal of the same
            holder.
    """
    recipient, digest = recipient_name(new.recipient), new.capture.evidence.sha256
    if digest is not None:
        tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(digest[:8], "big", signed=True),))
        reused = tx.execute(
            "SELECT true FROM consent WHERE recipient = %s AND evidence_sha256 = %s"
            " AND (subject_id <> %s OR state = ANY(%s)) LIMIT 1",
            (recipient, digest, new.subject_id, [state.value for state in ENDED]),
        ).fetchone()
        if reused is not None:
            raise TermsRefused(Fault.EVIDENCE_REUSED, "the evidence stands under another consent of this recipient")
    row = tx.execute(
        "SELECT max(state_at) FROM consent WHERE subject_id = %s AND recipient = %s AND purpose = %s"
        " AND state = 'withdrawn'",
        (new.subject_id, recipient, new.purpose),
    ).fetchone()
    if row is not None and row[0] is not None and beijing_day(new.valid_from) < beijing_day(row[0]):
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it would begin before the day of the last withdrawal")


def record(tx: Transaction, consents: Collection[Consent], entries: Sequence[log.Entry]) -> None:
    """Write new rows and their entries: two round trips, however many they are."""
    if consents:
        rows.insert(tx, consents)
    if entries:
        log.append(tx, entries)


def first_recorded(
    terms: Terms, state: State, *, now: datetime, issuer: Issuer, actor: str, standing: Consent | None = None
) -> tuple[Consent, log.Entry]:
    """Make a consent with its receipt, and the log entry that commits to both; nothing is written yet.

    With `standing`, a request that nobody had agreed to, the consent keeps its id and takes the new terms.
    """
    purpose = purposes.current().by_code[terms.scope.purpose]
    consent_id = str(uuid4()) if standing is None else standing.consent_id
    event = beginning(state)
    if standing is not None and state is State.REQUESTED:
        event = Event.AMENDED
    signed = receipt.issue(consent_id, terms, state, now, purpose, issuer)
    scope = terms.scope
    fields: dict[str, JSON] = {
        "catalogue_version": terms.catalogue_version,
        "highest_mode": scope.mode.value,
        "history_months": scope.history_months,
        "items_sha256": sha256_hex(canonical(sorted(scope.items))),
        "max_uses": scope.max_uses,
        "purpose_version": terms.purpose_version,
        "text_version": terms.capture.text_version,
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
    )
    entry = _entry(event, consent, terms.capture.channel, actor, fields)
    return replace(consent, receipt_entry=entry.entry_id), entry


# ---- the life of a consent ------------------------------------------------------------------------------------------


def withdraw(tx: Transaction, consent_id: str, channel: Channel, now: datetime, *, actor: str = "subject") -> Consent:
    """Withdraw a consent, or a request for one. From this transaction's commit on, nothing rests on it.

    Withdrawing twice is harmless: the first stands, nothing is written.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: it expired or was superseded; it permits nothing any more.
    """
    consent = _locked(tx, consent_id)
    if consent.state is State.WITHDRAWN:
        return consent
    return move(tx, [consent], State.WITHDRAWN, channel=channel, now=now, actor=actor)[0]


def transition(
    tx: Transaction, consent_id: str, to: State, *, channel: Channel, now: datetime, actor: str = "subject"
) -> Consent:
    """Pause, resume, end or replace a consent.

    A request becomes active through `agree`, which takes the evidence, never here.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: its state has no such step.
    """
    consent = _locked(tx, consent_id)
    if consent.state is State.REQUESTED and to is State.ACTIVE:
        raise TransitionRefused("a request becomes a consent with its evidence only")
    return move(tx, [consent], to, channel=channel, now=now, actor=actor)[0]


def agree(
    tx: Transaction, consent_id: str, new: NewConsent, keyring: Keyring, now: datetime, *, actor: str = "subject"
) -> Consent:
    """Turn a request into a consent in force: with its evidence, on the terms that were agreed to, and a new receipt.

    Raises:
        UnknownConsent: there is none of this id.
        TransitionRefused: it is not a request, or is one of another subject, recipient or purpose.
        TermsRefused: terms that no consent may have.
    """
    standing = _locked(tx, consent_id)
    terms = settle(replace(new, state=State.ACTIVE), purposes=purposes.current(), catalogue=catalogue.current())
    if standing.state is not State.REQUESTED or terms.holder != standing.terms.holder:
        raise TransitionRefused("only a request of the same subject, recipient and purpose can be agreed to")
    terms = replace(terms, register_no=standing.terms.register_no)
    consent, entry = first_recorded(
        terms, State.ACTIVE, now=now, issuer=Issuer.of(keyring), actor=actor, standing=standing
    )
    rows.rewrite(tx, [consent])
    log.append(tx, [entry])
    return consent


def move(
    tx: Transaction, consents: Sequence[Consent], to: State, *, channel: Channel | None, now: datetime, actor: str
) -> list[Consent]:
    """Take consents, locked by the caller, one step further, and log each step.

    Raises:
        TransitionRefused: the state of one of them has no such step. Nothing is written.
    """
    events = [step(consent.state, to) for consent in consents]
    through = channel.value if channel is not None and to is State.WITHDRAWN else None
    moved = [replace(consent, state=to, state_at=now, withdraw_channel=through) for consent in consents]
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


def expire_due(tx: Transaction, now: datetime, *, limit: int = EXPIRE_AT_ONCE, actor: str = "system") -> list[UUID]:
    """Write `expired` where the time is over; returns whose consents they were. Call again until fewer than `limit`.

    Consents that another transaction holds are left for the next time: the decision goes by the date anyway.
    """
    due = tx.execute(
        "SELECT consent_id FROM consent WHERE state IN ('requested', 'active', 'paused') AND valid_until <= %s"
        " ORDER BY consent_id LIMIT %s FOR UPDATE SKIP LOCKED",
        (now, limit),
    ).fetchall()
    if not due:
        return []
    ended = move(tx, rows.locked(tx, [row[0] for row in due]), State.EXPIRED, channel=None, now=now, actor=actor)
    return [consent.terms.subject_id for consent in ended]


# ---- the gate -------------------------------------------------------------------------------------------------------

_LOCK: Final = (
    "SELECT subject_id, consent_id, state, uses, purpose_version, recipient, purpose, items, history_months,"
    " valid_from, valid_until, max_uses, mode, w_acknowledged, encode(sha256(convert_to(receipt, 'UTF8')), 'hex'),"
    " receipt_entry FROM consent WHERE subject_id = ANY(%s) AND recipient = ANY(%s) ORDER BY consent_id FOR UPDATE"
)


def lock(tx: Transaction, subject_ids: Collection[UUID], recipients: Collection[str]) -> list[StoredGrant]:
    """Read and lock what these subjects gave these recipients, ended consents included, in consent-id order.

    One statement, however many subjects. Until the transaction ends nobody can withdraw, count or change these
    consents; a withdrawal that was waiting is seen by the next `lock`. Scopes are cut to the ceilings of today.
    """
    configured = purposes.current()
    found = []
    for row in tx.execute(_LOCK, (list(subject_ids), list(recipients))):
        subject_id, consent_id, state, uses, version, recipient, code, items, history, *edges, digest, entry = row
        since, until, most, mode, w = edges
        scope = Scope(recipient, code, frozenset(items), history, since, until, most, Mode(mode), w)
        purpose = configured.get(code)
        if version != configured.version and purpose is not None:
            scope = purpose.narrowed(scope)
        found.append(StoredGrant(subject_id, Grant(consent_id, scope, State(state), uses), digest, entry))
    return found


def count_uses(tx: Transaction, uses: Mapping[str, int]) -> None:
    """Count uses by consent id, in one statement. A use is never given back.

    Raises:
        UsesExhausted: a consent has fewer uses left, or is not in force: the caller did not hold its lock when it
            decided. The transaction must be rolled back.
    """
    if not uses:
        return
    ordered = sorted(uses.items())
    if any(count < 1 for _, count in ordered):
        raise ValueError("a count of uses below one")
    counted = tx.execute(
        "UPDATE consent SET uses = uses + n FROM unnest(%s::text[], %s::int[]) AS asked (id, n)"
        " WHERE consent_id = id AND state = 'active' AND uses + n <= max_uses",
        ([consent_id for consent_id, _ in ordered], [count for _, count in ordered]),
    ).rowcount
    if counted != len(ordered):
        raise UsesExhausted(f"{len(ordered) - counted} of {len(ordered)} consents have not the uses that were decided")


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


def _supersede(tx: Transaction, terms: Sequence[Terms], now: datetime, actor: str) -> None:
    replaced = {each.previous: each for each in terms if each.previous is not None}
    if not replaced:
        return
    standing = rows.locked(tx, list(replaced))
    if len(standing) != len(replaced):
        raise UnknownConsent("there is no consent of the id that is to be replaced")
    if any(consent.terms.holder != replaced[consent.consent_id].holder for consent in standing):
        raise TransitionRefused("a consent replaces only one of the same subject, recipient and purpose")
    move(tx, standing, State.SUPERSEDED, channel=None, now=now, actor=actor)


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
