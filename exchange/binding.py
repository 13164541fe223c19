"""Phones of persons: bound in person by a one-time code, and never taken over in silence.

  bind             the phone shows the code and proves its key; the first phone is active at once, on trial
  activate_due     a rebinding is active after 72 hours (`jobs`); it ends the phones before it
  refuse, end      an active phone refuses the one that waits, or ends itself or another of the same person
  subject_of       whom an active phone speaks for; asked anew at every request, and by `hold_owner` before it acts
  renew_page_secret   another secret for codes on pages, for an active phone that asks for it
  on_trial         which organisation handed out a first phone's code, for 72 hours

What stands against guessing and thieves:
  * codes are random, short-lived, and spent by nobody but who holds them (`binding_codes`)
  * a person who is not known, has no code, or shows a wrong one gets the same answer after the same steps
  * whoever binds a phone when another is there waits 72 hours; the old phone is told, and can refuse until then
  * a first phone, which no other can refuse, is on trial for as long: it opens no records, disputes nothing, and
    agrees to nothing for the organisation whose staff handed out its code
  * a key is bound to one person, once and for ever: no account is shared (R-65)

Wrong tries are counted in the caller's transaction, which must therefore commit also when the answer is no. Whatever
changes a phone holds its subject first, then the phone.

Not here: doors (`bindings_api`, `subject_api`), tokens (`oauth`; a phone is a client like any other), the codes by
which a person confirms on a page where the phone has no signal (`presence`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from exchange import binding_codes, messages
from exchange.binding_codes import Taken
from exchange.errors import RequestRefused, TokenRefused
from exchange.events import Event
from exchange.home import Home
from exchange.messages import Kind
from exchange.oauth import clients, spending
from exchange.oauth.dpop import Proof
from exchange.oauth.jwks import read_jwk
from registry import log, store, subjects
from registry.canonical import JSON
from registry.clock import rfc3339
from registry.database import Transaction
from registry.identifiers import Identifier
from registry.records import NOBODY
from registry.suites import OCRA_SECRET_BYTES, intl, ocra_text, random_bytes, seal

REBINDING_WAIT: Final = timedelta(hours=72)
TRIAL: Final = timedelta(hours=72)  # of a first phone
AT_ONCE: Final = 500  # phones made active in one transaction of the job
SPEAKS_FOR_NOBODY: Final = "access token: taken back, or its client is not active"


class State(StrEnum):
    """Where a phone stands."""

    WAITING = "waiting"
    ACTIVE = "active"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Bound:
    """A phone that was bound. The secret is told this once."""

    client_id: str
    state: State
    active_from: datetime
    page_secret: str


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone as its owner sees it."""

    client_id: str
    state: State
    bound_at: datetime
    active_from: datetime
    ended_at: datetime | None


# ---- binding --------------------------------------------------------------------------------------------------------


def bind(
    tx: Transaction,
    home: Home,
    identifier: Identifier,
    code: str,
    jwk: Mapping[str, Any],
    proof: Proof,
    *,
    source: str,
    now: datetime,
) -> Bound | None:
    """Bind the phone that holds a key to the person who was handed a code; None: no, whatever the reason.

    The caller has verified the proof and that it is by this key. `source` is the network address that sent it. Commit
    also when the answer is None.
    """
    spent = spending.spend(tx, proof.spend)
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    store.hold_subjects(tx, [known])
    dead = subjects.deceased(tx, [known])
    taken = binding_codes.take(tx, home, known, code, source, now=now)
    if taken is None or not spent or dead:
        return None
    try:
        with tx.transaction():
            return _bound(tx, home, known, taken, jwk, now=now)
    except psycopg.errors.UniqueViolation:  # the key is bound already: to this person or to another, R-65
        return None


def _bound(
    tx: Transaction,
    home: Home,
    subject_id: UUID,
    taken: Taken,
    jwk: Mapping[str, Any],
    *,
    now: datetime,
) -> Bound:
    binding_codes.use(tx, taken.code_id, now=now)
    phones = _phones(tx, subject_id)
    waits = any(
        phone.state is State.ACTIVE or (phone.ended_at is not None and phone.ended_at > now - REBINDING_WAIT)
        for phone in phones
    )
    for phone in phones:
        if phone.state is State.WAITING:  # the newest code counts; its time begins anew
            waits = True
            _leave(tx, subject_id, phone.client_id, State.REFUSED, by=taken.issued_by, now=now)
    client_id = f"phone-{uuid4()}"  # with its dashes: it stands in addresses, and a long run of digits is an identifier
    state = State.WAITING if waits else State.ACTIVE
    active_from = now + REBINDING_WAIT if waits else now
    secret = random_bytes(OCRA_SECRET_BYTES)
    key = home.datakeys.ensure([subject_id], now=now)[subject_id]
    clients.register_phone(tx, client_id, jwk, active=not waits, now=now)
    tx.execute(
        "INSERT INTO subject_phone (client_id, subject_id, thumbprint, state, bound_by, organisation, collector,"
        " bound_at, active_from, trial_until, page_secret, page_step)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0)",
        (
            client_id,
            subject_id,
            read_jwk(jwk).thumbprint,
            state.value,
            taken.issued_by,
            taken.organisation,
            taken.collector,
            now,
            active_from,
            None if waits else now + TRIAL,
            seal(intl, key, secret, secret_binding(client_id)),
        ),
    )
    fields: dict[str, JSON] = {"client_id": client_id, "waits": waits}
    _say(tx, Event.PHONE_BOUND, subject_id, taken.issued_by, fields, now)
    if waits:
        messages.leave(tx, subject_id, Kind.REBINDING, {"phone": client_id, "active_from": rfc3339(active_from)}, now)
    return Bound(client_id, state, active_from, ocra_text(secret))


def activate_due(tx: Transaction, *, now: datetime) -> int:
    """Make phones active whose waiting time is over, and end the ones before them; say how many (the job)."""
    waiting = "SELECT client_id, subject_id FROM subject_phone WHERE state = 'waiting' AND active_from <= %s"
    owners = tx.execute(f"{waiting} ORDER BY active_from LIMIT %s", (now, AT_ONCE)).fetchall()
    store.hold_subjects(tx, {subject_id for _, subject_id in owners})
    found = [client_id for client_id, _ in owners]
    _hold_clients(tx, {subject_id for _, subject_id in owners})
    due = tx.execute(f"{waiting} AND client_id = ANY(%s)", (now, found)).fetchall()  # not refused while it waited
    for client_id, subject_id in due:
        for phone in _phones(tx, subject_id):
            if phone.state is State.ACTIVE:
                _leave(tx, subject_id, phone.client_id, State.ENDED, by=client_id, now=now)
        tx.execute("UPDATE subject_phone SET state = 'active' WHERE client_id = %s", (client_id,))
        clients.set_state(tx, client_id, clients.ACTIVE)
        _say(tx, Event.PHONE_ACTIVATED, subject_id, "system", {"client_id": client_id}, now)
    return len(due)


def _hold_clients(tx: Transaction, subjects: Collection[UUID]) -> None:
    """Lock the clients of these people's phones in the order in which tokens are issued (`oauth.spending`)."""
    tx.execute(
        "SELECT FROM client WHERE client_id IN (SELECT client_id FROM subject_phone WHERE subject_id = ANY(%s))"
        " ORDER BY client_id FOR NO KEY UPDATE",
        (list(subjects),),
    )


# ---- a person's phones ----------------------------------------------------------------------------------------------


def subject_of(tx: Transaction, client_id: str) -> UUID | None:
    """Say whom an active phone speaks for; None if it speaks for nobody (any more, or yet)."""
    row = tx.execute(
        "SELECT p.subject_id FROM subject_phone p JOIN client c USING (client_id)"
        " WHERE p.client_id = %s AND p.state = 'active' AND c.state = %s",
        (client_id, clients.ACTIVE),
    ).fetchone()
    return row[0] if row else None


def hold_owner(tx: Transaction, client_id: str, subject_id: UUID) -> None:
    """Hold a subject, and ask anew whether the phone speaks for it: it may have been ended while it waited.

    Raises:
        TokenRefused: it does not (any more).
    """
    store.hold_subjects(tx, [subject_id])
    if subject_of(tx, client_id) != subject_id:
        raise TokenRefused(SPEAKS_FOR_NOBODY)


def on_trial(tx: Transaction, client_id: str, *, now: datetime) -> str | None:
    """Say which organisation handed out the code of a phone that is on trial; None if it is not (any more)."""
    row = tx.execute(
        "SELECT organisation FROM subject_phone WHERE client_id = %s AND trial_until > %s", (client_id, now)
    ).fetchone()
    return row[0] if row else None


def has_phone(tx: Transaction, subject_id: UUID) -> bool:
    """Say whether a person has an active phone."""
    row = tx.execute(
        "SELECT FROM subject_phone p JOIN client c USING (client_id)"
        " WHERE p.subject_id = %s AND p.state = 'active' AND c.state = %s LIMIT 1",
        (subject_id, clients.ACTIVE),
    ).fetchone()
    return row is not None


def phones(tx: Transaction, subject_id: UUID) -> list[Phone]:
    """List a person's phones, the latest first."""
    return _phones(tx, subject_id)


def renew_page_secret(tx: Transaction, home: Home, subject_id: UUID, client_id: str, *, now: datetime) -> str:
    """Give an active phone another secret for codes on pages, told this once; the one of before counts no more.

    The caller holds the subject (`hold_owner`). What was counted against the phone's codes stays counted.

    Raises:
        RequestRefused: `subject-erased`: there is no key to seal it with.
    """
    secret, keys = random_bytes(OCRA_SECRET_BYTES), home.datakeys.ensure_standing([subject_id], now=now)
    if subject_id not in keys:
        raise RequestRefused("subject-erased")
    tx.execute(
        "UPDATE subject_phone SET page_secret = %s WHERE client_id = %s AND subject_id = %s AND state = 'active'",
        (seal(intl, keys[subject_id], secret, secret_binding(client_id)), client_id, subject_id),
    )
    _say(tx, Event.PAGE_CODES_RENEWED, subject_id, client_id, {"client_id": client_id}, now)
    return ocra_text(secret)


def refuse(tx: Transaction, subject_id: UUID, client_id: str, *, by: str, now: datetime) -> None:
    """Refuse a phone that waits; it never becomes active.

    Raises:
        RequestRefused: this person has no phone of this id that waits.
    """
    _ended(tx, subject_id, client_id, {State.WAITING}, State.REFUSED, by=by, now=now)


def end(tx: Transaction, subject_id: UUID, client_id: str, *, by: str, now: datetime) -> None:
    """End a phone; its next request is refused, in every process.

    Raises:
        RequestRefused: this person has no phone of this id that is active or waits.
    """
    _ended(tx, subject_id, client_id, {State.ACTIVE, State.WAITING}, State.ENDED, by=by, now=now)


def end_all(tx: Transaction, subject_id: UUID, *, by: str, now: datetime) -> int:
    """End whatever phones and codes a subject has, for one who has died; the caller holds the subject.

    Say how many phones.
    """
    binding_codes.end_all(tx, subject_id, now=now)
    standing = [phone for phone in _phones(tx, subject_id) if phone.state in {State.ACTIVE, State.WAITING}]
    for phone in standing:
        _leave(tx, subject_id, phone.client_id, State.ENDED, by=by, now=now)
    return len(standing)


def end_client(tx: Transaction, client_id: str, *, by: str, now: datetime) -> bool:
    """End a phone by its client's id alone (the operator); False if that is no phone, or one that has ended."""
    row = tx.execute("SELECT subject_id FROM subject_phone WHERE client_id = %s", (client_id,)).fetchone()
    if row is None:
        return False
    store.hold_subjects(tx, [row[0]])
    standing = {phone.client_id for phone in _phones(tx, row[0]) if phone.state in {State.ACTIVE, State.WAITING}}
    if client_id in standing:
        _leave(tx, row[0], client_id, State.ENDED, by=by, now=now)
    return client_id in standing


def _ended(
    tx: Transaction, subject_id: UUID, client_id: str, may: set[State], to: State, *, by: str, now: datetime
) -> None:
    store.hold_subjects(tx, [subject_id])
    if not any(phone.client_id == client_id and phone.state in may for phone in _phones(tx, subject_id)):
        raise RequestRefused("phone-unknown")
    _leave(tx, subject_id, client_id, to, by=by, now=now)


def _leave(tx: Transaction, subject_id: UUID, client_id: str, to: State, *, by: str, now: datetime) -> None:
    """Take a phone out of use, and its secret with it, and what was counted against that."""
    tx.execute("DELETE FROM presence_wrong WHERE client_id = %s", (client_id,))
    tx.execute(
        "UPDATE subject_phone SET state = %s, ended_at = %s, page_secret = NULL WHERE client_id = %s",
        (to.value, now, client_id),
    )
    clients.set_state(tx, client_id, clients.SUSPENDED)
    _say(tx, Event.PHONE_ENDED, subject_id, by, {"client_id": client_id, "state": to.value}, now)


def _phones(tx: Transaction, subject_id: UUID) -> list[Phone]:
    rows = tx.execute(
        "SELECT client_id, state, bound_at, active_from, ended_at FROM subject_phone WHERE subject_id = %s"
        " ORDER BY bound_at DESC, client_id",
        (subject_id,),
    ).fetchall()
    return [Phone(client_id, State(state), *moments) for client_id, state, *moments in rows]


# ---- inside ---------------------------------------------------------------------------------------------------------


def secret_binding(client_id: str) -> bytes:
    """Say what a phone's secret is bound to where it is sealed."""
    return b"phone-totp|" + client_id.encode()  # as it has been sealed since there were phones


def _say(
    tx: Transaction, event: Event, subject_id: UUID, actor: str, fields: Mapping[str, JSON], now: datetime
) -> None:
    log.append(tx, [log.Entry(event=event, at=now, actor=actor, fields=fields, subject_id=subject_id)])
