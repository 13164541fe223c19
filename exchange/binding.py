"""Phones of persons: bound in person by a one-time code, and never taken over in silence.

  offer            staff who saw the person hand out a code: eight digits, fifteen minutes, five tries
  bind             the phone shows the code and proves its key; the first phone is active at once
  activate_due     a rebinding is active after 72 hours (`jobs`); it ends the phones before it
  refuse, end      an active phone refuses the one that waits, or ends itself or another of the same person
  subject_of       whom an active phone speaks for; asked anew at every request
  proves_presence  the six digits (TOTP, RFC 6238) by which a person shows, on a page without signal, to be there

What stands against guessing and thieves:
  * a code is kept as a keyed hash under the ring's MAC key; a wrong try counts, the fifth ends it, a newer one too
  * a person who is not known, has no code, or shows a wrong one gets the same answer after the same steps
  * whoever binds a phone when another is there waits 72 hours; the old phone is told, and can refuse until then
  * a key is bound to one person, once and for ever: no account is shared (R-65)
  * presence: a password counts once, in every process; wrong ones lock for 15 minutes, twice as long each time

Wrong tries are counted in the caller's transaction, which must therefore commit also when the answer is no.

Not here: doors (`bindings_api`, `subject_api`), tokens (`oauth`; a phone is a client like any other).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from exchange import messages
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.messages import Kind
from exchange.oauth import clients, spending
from exchange.oauth.dpop import Proof
from exchange.oauth.jwks import read_jwk
from registry import log, store, subjects
from registry.canonical import JSON
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, years_between
from registry.keyring import Purpose
from registry.records import NOBODY
from registry.suites import (
    TOTP_SECRET_BYTES,
    constant_time_equal,
    hmac_sha256,
    intl,
    random_bytes,
    seal,
    totp_step,
    totp_text,
    totp_uri,
    unseal,
)

CODE_DIGITS: Final = 8
CODE_LIFETIME: Final = timedelta(minutes=15)
CODE_TRIES: Final = 5
CODES_A_DAY: Final = 5  # for one person
REBINDING_WAIT: Final = timedelta(hours=72)
PRESENCE_TRIES: Final = 5
PRESENCE_LOCK: Final = timedelta(minutes=15)
PRESENCE_LOCK_MOST: Final = timedelta(hours=24)
OWN_PHONE_FROM_AGE: Final = 14  # PIPL §31: a guardian acts for a younger child
AT_ONCE: Final = 500  # phones made active in one transaction of the job
CODES_KEPT: Final = timedelta(days=2)  # longer than CODES_A_DAY is counted over
_DECOY: Final = bytes(TOTP_SECRET_BYTES)


class State(StrEnum):
    """Where a phone stands."""

    WAITING = "waiting"
    ACTIVE = "active"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Seen:
    """Who saw the person, and how the person was known: codes of the lender's own, nothing of the person."""

    client_id: str
    organisation: str
    verified: str
    collector: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A phone that was bound. The secret is told this once."""

    client_id: str
    state: State
    active_from: datetime
    totp_secret: str
    totp_uri: str


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone as its owner sees it."""

    client_id: str
    state: State
    bound_at: datetime
    active_from: datetime
    ended_at: datetime | None


# ---- binding --------------------------------------------------------------------------------------------------------


def offer(tx: Transaction, home: Home, identifier: ResidentId, seen: Seen, *, now: datetime) -> tuple[str, datetime]:
    """Make a one-time code for a person whom staff have in front of them; give it and the moment it ends.

    A code that was handed out before counts no more.

    Raises:
        RequestRefused: a child under 14, somebody who is known to have died, or five codes within a day.
    """
    if years_between(identifier.birth, beijing_day(now)) < OWN_PHONE_FROM_AGE:
        raise RequestRefused("binding-child")
    subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
    store.hold_subjects(tx, [subject_id])
    if subjects.deceased(tx, [subject_id]):
        raise RequestRefused("binding-refused")
    row = tx.execute(
        "SELECT count(*) FROM binding_code WHERE subject_id = %s AND issued_at > %s",
        (subject_id, now - timedelta(days=1)),
    ).fetchone()
    if row is not None and row[0] >= CODES_A_DAY:
        raise RequestRefused("too-often", "five codes were handed out for this person within a day")
    tx.execute(
        "UPDATE binding_code SET expires_at = %s WHERE subject_id = %s AND used_at IS NULL AND expires_at > %s",
        (now, subject_id, now),
    )
    code_id, code, until = uuid4(), _new_code(), now + CODE_LIFETIME
    tx.execute(
        "INSERT INTO binding_code (code_id, subject_id, code_mac, issued_by, organisation, issued_at, expires_at,"
        " tries) VALUES (%s, %s, %s, %s, %s, %s, %s, 0)",
        (code_id, subject_id, _mac(home, code_id, code), seen.client_id, seen.organisation, now, until),
    )
    fields: dict[str, JSON] = {
        "collector": seen.collector,
        "organisation": seen.organisation,
        "place": seen.place,
        "verified": seen.verified,
    }
    _say(tx, Event.BINDING_OFFERED, subject_id, seen.client_id, fields, now)
    return code, until


def bind(
    tx: Transaction,
    home: Home,
    identifier: Identifier,
    code: str,
    jwk: Mapping[str, Any],
    proof: Proof,
    *,
    now: datetime,
) -> Bound | None:
    """Bind the phone that holds a key to the person who was handed a code; None: no, whatever the reason.

    The caller has verified the proof and that it is by this key. Commit also when the answer is None.
    """
    spent = spending.spend(tx, proof.spend)
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    store.hold_subjects(tx, [known])
    row = tx.execute(
        "UPDATE binding_code SET tries = tries + 1 WHERE subject_id = %s AND used_at IS NULL AND expires_at > %s"
        " AND tries < %s RETURNING code_id, code_mac, issued_by",
        (known, now, CODE_TRIES),
    ).fetchone()
    code_id, expected, issued_by = row or (NOBODY, b"", "")
    right = constant_time_equal(_mac(home, code_id, code), expected)
    if row is None or not right or not spent:
        return None
    try:
        with tx.transaction():
            return _bound(tx, home, known, code_id, issued_by, jwk, now=now)
    except psycopg.errors.UniqueViolation:  # the key is bound already: to this person or to another, R-65
        return None


def _bound(
    tx: Transaction,
    home: Home,
    subject_id: UUID,
    code_id: UUID,
    issued_by: str,
    jwk: Mapping[str, Any],
    *,
    now: datetime,
) -> Bound:
    tx.execute("UPDATE binding_code SET used_at = %s WHERE code_id = %s", (now, code_id))
    phones = _phones(tx, subject_id)
    waits = any(
        phone.state is State.ACTIVE or (phone.ended_at is not None and phone.ended_at > now - REBINDING_WAIT)
        for phone in phones
    )
    for phone in phones:
        if phone.state is State.WAITING:  # the newest code counts; its time begins anew
            waits = True
            _leave(tx, subject_id, phone.client_id, State.REFUSED, by=issued_by, now=now)
    client_id = f"phone-{uuid4()}"  # with its dashes: it stands in addresses, and a long run of digits is an identifier
    state = State.WAITING if waits else State.ACTIVE
    active_from = now + REBINDING_WAIT if waits else now
    secret = random_bytes(TOTP_SECRET_BYTES)
    key = home.datakeys.ensure([subject_id], now=now)[subject_id]
    clients.register_phone(tx, client_id, jwk, active=not waits, now=now)
    tx.execute(
        "INSERT INTO subject_phone (client_id, subject_id, thumbprint, state, bound_by, bound_at, active_from, totp,"
        " totp_step, totp_wrong) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, 0)",
        (
            client_id,
            subject_id,
            read_jwk(jwk).thumbprint,
            state.value,
            issued_by,
            now,
            active_from,
            seal(intl, key, secret, _binding(client_id)),
        ),
    )
    fields: dict[str, JSON] = {"client_id": client_id, "waits": waits}
    _say(tx, Event.PHONE_BOUND, subject_id, issued_by, fields, now)
    if waits:
        messages.leave(tx, subject_id, Kind.REBINDING, {"phone": client_id, "active_from": rfc3339(active_from)}, now)
    uri = totp_uri(secret, account=client_id[:12], issuer=home.installation.operator)
    return Bound(client_id, state, active_from, totp_text(secret), uri)


def activate_due(tx: Transaction, *, now: datetime) -> int:
    """Make phones active whose waiting time is over, and end the ones before them; say how many (the job)."""
    due = tx.execute(
        "SELECT client_id, subject_id FROM subject_phone WHERE state = 'waiting' AND active_from <= %s"
        " ORDER BY active_from LIMIT %s FOR UPDATE SKIP LOCKED",
        (now, AT_ONCE),
    ).fetchall()
    for client_id, subject_id in due:
        for phone in _phones(tx, subject_id):
            if phone.state is State.ACTIVE:
                _leave(tx, subject_id, phone.client_id, State.ENDED, by=client_id, now=now)
        tx.execute("UPDATE subject_phone SET state = 'active' WHERE client_id = %s", (client_id,))
        clients.set_state(tx, client_id, clients.ACTIVE)
        _say(tx, Event.PHONE_ACTIVATED, subject_id, "system", {"client_id": client_id}, now)
    return len(due)


def clean_codes(tx: Transaction, *, now: datetime) -> int:
    """Tell of codes whose tries were used up, once each, and delete codes that are over (the job).

    Told here and not at the fifth try, so that no answer takes longer than another.
    """
    spent = tx.execute(
        "UPDATE binding_code SET exhausted_at = %s WHERE tries >= %s AND used_at IS NULL AND exhausted_at IS NULL"
        " RETURNING subject_id, organisation",
        (now, CODE_TRIES),
    ).fetchall()
    for subject_id, organisation in spent:
        _say(tx, Event.BINDING_EXHAUSTED, subject_id, "system", {"organisation": organisation}, now)
    return tx.execute("DELETE FROM binding_code WHERE issued_at < %s", (now - CODES_KEPT,)).rowcount


# ---- a person's phones ----------------------------------------------------------------------------------------------


def subject_of(tx: Transaction, client_id: str) -> UUID | None:
    """Say whom an active phone speaks for; None if it speaks for nobody (any more, or yet)."""
    row = tx.execute(
        "SELECT subject_id FROM subject_phone WHERE client_id = %s AND state = 'active'", (client_id,)
    ).fetchone()
    return row[0] if row else None


def has_phone(tx: Transaction, subject_id: UUID) -> bool:
    """Say whether a person has an active phone."""
    row = tx.execute(
        "SELECT FROM subject_phone WHERE subject_id = %s AND state = 'active' LIMIT 1", (subject_id,)
    ).fetchone()
    return row is not None


def phones(tx: Transaction, subject_id: UUID) -> list[Phone]:
    """List a person's phones, the latest first."""
    return _phones(tx, subject_id)


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
    """End whatever phones a subject has, for one who has died; the caller holds the subject. Say how many."""
    standing = [phone for phone in _phones(tx, subject_id) if phone.state in {State.ACTIVE, State.WAITING}]
    for phone in standing:
        _leave(tx, subject_id, phone.client_id, State.ENDED, by=by, now=now)
    return len(standing)


def _ended(
    tx: Transaction, subject_id: UUID, client_id: str, may: set[State], to: State, *, by: str, now: datetime
) -> None:
    store.hold_subjects(tx, [subject_id])
    if not any(phone.client_id == client_id and phone.state in may for phone in _phones(tx, subject_id)):
        raise RequestRefused("phone-unknown")
    _leave(tx, subject_id, client_id, to, by=by, now=now)


def _leave(tx: Transaction, subject_id: UUID, client_id: str, to: State, *, by: str, now: datetime) -> None:
    """Take a phone out of use, and its secret with it."""
    tx.execute(
        "UPDATE subject_phone SET state = %s, ended_at = %s, totp = NULL WHERE client_id = %s",
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


# ---- presence -------------------------------------------------------------------------------------------------------


def proves_presence(tx: Transaction, home: Home, identifier: Identifier, code: str, now: datetime) -> UUID | None:
    """Say whose one-time password this is, if it is this person's and was not used before; None otherwise.

    A person who is not known, who has no phone, or whose phone is locked: None, after the same steps. Commit the
    caller's transaction also then: it counts wrong ones.
    """
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    row = tx.execute(
        "SELECT client_id, totp, totp_step, totp_wrong, totp_locked_until FROM subject_phone"
        " WHERE subject_id = %s AND state = 'active' ORDER BY bound_at DESC LIMIT 1 FOR UPDATE",
        (known,),
    ).fetchone()
    keys = home.datakeys.standing([known])
    if row is None or row[1] is None or known not in keys:
        totp_step(_DECOY, code, now=now)
        return None
    client_id, sealed, used, wrong, locked_until = row
    step = totp_step(unseal(keys[known], sealed, _binding(client_id)), code, now=now)
    if locked_until is not None and locked_until > now:
        return None
    if step is not None and step > used:
        tx.execute(
            "UPDATE subject_phone SET totp_step = %s, totp_wrong = 0, totp_locked_until = NULL WHERE client_id = %s",
            (step, client_id),
        )
        return known
    lock = lock_after(wrong + 1)
    tx.execute(
        "UPDATE subject_phone SET totp_wrong = totp_wrong + 1, totp_locked_until = %s WHERE client_id = %s",
        (None if lock is None else now + lock, client_id),
    )
    if lock is not None:
        _say(tx, Event.PRESENCE_LOCKED, known, "system", {"client_id": client_id, "wrong": wrong + 1}, now)
    return None


def lock_after(wrong: int) -> timedelta | None:
    """Say for how long presence is locked after so many wrong passwords in a row; None: not yet."""
    if wrong < PRESENCE_TRIES:
        return None
    doubled = 1 << min(wrong - PRESENCE_TRIES, 10)  # far beyond the most
    return min(PRESENCE_LOCK * doubled, PRESENCE_LOCK_MOST)


# ---- inside ---------------------------------------------------------------------------------------------------------


def _new_code() -> str:
    return f"{int.from_bytes(random_bytes(16)) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def _mac(home: Home, code_id: UUID, code: str) -> bytes:
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"binding-code|" + code_id.bytes + code.encode())


def _binding(client_id: str) -> bytes:
    return b"phone-totp|" + client_id.encode()


def _say(
    tx: Transaction, event: Event, subject_id: UUID, actor: str, fields: Mapping[str, JSON], now: datetime
) -> None:
    log.append(tx, [log.Entry(event=event, at=now, actor=actor, fields=fields, subject_id=subject_id)])
