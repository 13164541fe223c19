"""Presence on a page where the phone has no signal: a code of the phone bound in person, for one request only.

The page shows a number, the challenge, which is made of the request, of what is shown, and of the answer. The person
types it into the phone; the phone computes a code over it with its own secret and the clock (OCRA, RFC 6287). So a code
that is overheard, or asked for by somebody in between, confirms no other request, no other terms and no other answer
(docs/adr/0027).

A code counts once for the person, whichever request it was for, in every process: later codes of the same half minute
do not count either. Wrong ones lock for 15 minutes, twice as long each time. They are counted in the caller's
transaction, which must therefore commit also when the answer is no. The subject is held first, then the phone, as by
whatever changes a phone (`binding`).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from exchange import binding
from exchange.events import Event
from exchange.home import Home
from exchange.oauth import clients
from registry import log, store
from registry.canonical import JSON, canonical
from registry.database import Transaction
from registry.identifiers import Identifier
from registry.keyring import Purpose
from registry.records import NOBODY
from registry.suites import OCRA_CHALLENGE_DIGITS, OCRA_SECRET_BYTES, hmac_sha256, ocra_step, unseal

TRIES: Final = 5
LOCK: Final = timedelta(minutes=15)
LOCK_MOST: Final = timedelta(hours=24)
_DECOY: Final = bytes(OCRA_SECRET_BYTES)


def challenge(home: Home, what: Mapping[str, JSON]) -> str:
    """Make the number that stands for what is to be confirmed.

    Keyed: nobody who may choose a part of it can look for two requests of one number without asking us for each.
    """
    mac = hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"page-challenge\x00" + canonical(dict(what)))
    return f"{int.from_bytes(mac) % 10**OCRA_CHALLENGE_DIGITS:0{OCRA_CHALLENGE_DIGITS}d}"


def proves(  # whose, by what, over what, when, to whom
    tx: Transaction,
    home: Home,
    identifier: Identifier,
    code: str,
    over: str,
    now: datetime,
    *,
    to: str | None = None,
) -> UUID | None:
    """Say whose code over a challenge this is, if it is this person's and was not used before; None otherwise.

    A person who is not known, who has no phone, or whose phone is locked: None, after the same steps. Commit the
    caller's transaction also then: it counts wrong ones. `to`: the organisation that gains by it; to the one that
    handed out the code of a phone on trial, the phone proves nothing.
    """
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    store.hold_subjects(tx, [known])
    row = tx.execute(
        "SELECT p.client_id, p.page_secret, p.page_step, p.page_wrong, p.page_locked_until FROM subject_phone p"
        " JOIN client c USING (client_id) WHERE p.subject_id = %s AND p.state = 'active' AND c.state = %s"
        " ORDER BY p.bound_at DESC LIMIT 1 FOR UPDATE OF p",
        (known, clients.ACTIVE),
    ).fetchone()
    keys = home.datakeys.standing([known])
    if row is None or row[1] is None or known not in keys:
        ocra_step(_DECOY, over, code, now=now)
        return None
    client_id, sealed, used, wrong, locked_until = row
    step = ocra_step(unseal(keys[known], sealed, binding.secret_binding(client_id)), over, code, now=now)
    if locked_until is not None and locked_until > now:
        return None
    if step is not None and step > used:
        tx.execute(
            "UPDATE subject_phone SET page_step = %s, page_wrong = 0, page_locked_until = NULL WHERE client_id = %s",
            (step, client_id),
        )
        return known if to is None or binding.on_trial(tx, client_id, now=now) != to else None
    lock = lock_after(wrong + 1)
    tx.execute(
        "UPDATE subject_phone SET page_wrong = page_wrong + 1, page_locked_until = %s WHERE client_id = %s",
        (None if lock is None else now + lock, client_id),
    )
    if lock is not None:
        fields = {"client_id": client_id, "wrong": wrong + 1}
        log.append(tx, [log.Entry(Event.PRESENCE_LOCKED, at=now, actor="system", fields=fields, subject_id=known)])
    return None


def lock_after(wrong: int) -> timedelta | None:
    """Say for how long presence is locked after so many wrong codes in a row; None: not yet."""
    if wrong < TRIES:
        return None
    doubled = 1 << min(wrong - TRIES, 10)  # far beyond the most
    return min(LOCK * doubled, LOCK_MOST)
