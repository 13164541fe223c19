"""Presence: six digits (TOTP, RFC 6238) of the phone bound in person, on a page where the phone has no signal.

A password counts once, in every process; wrong ones lock for 15 minutes, twice as long each time. Wrong ones are
counted in the caller's transaction, which must therefore commit also when the answer is no. The subject is held first,
then the phone, as by whatever changes a phone (`binding`).
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from exchange import binding
from exchange.events import Event
from exchange.home import Home
from exchange.oauth import clients
from registry import log, store
from registry.database import Transaction
from registry.identifiers import Identifier
from registry.records import NOBODY
from registry.suites import TOTP_SECRET_BYTES, totp_step, unseal

TRIES: Final = 5
LOCK: Final = timedelta(minutes=15)
LOCK_MOST: Final = timedelta(hours=24)
_DECOY: Final = bytes(TOTP_SECRET_BYTES)


def proves(  # whose, by what, when, to whom
    tx: Transaction,
    home: Home,
    identifier: Identifier,
    code: str,
    now: datetime,
    *,
    to: str | None = None,
) -> UUID | None:
    """Say whose one-time password this is, if it is this person's and was not used before; None otherwise.

    A person who is not known, who has no phone, or whose phone is locked: None, after the same steps. Commit the
    caller's transaction also then: it counts wrong ones. `to`: the organisation that gains by it; to the one that
    handed out the code of a phone on trial, the phone proves nothing.
    """
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    store.hold_subjects(tx, [known])
    row = tx.execute(
        "SELECT p.client_id, p.totp, p.totp_step, p.totp_wrong, p.totp_locked_until FROM subject_phone p"
        " JOIN client c USING (client_id) WHERE p.subject_id = %s AND p.state = 'active' AND c.state = %s"
        " ORDER BY p.bound_at DESC LIMIT 1 FOR UPDATE OF p",
        (known, clients.ACTIVE),
    ).fetchone()
    keys = home.datakeys.standing([known])
    if row is None or row[1] is None or known not in keys:
        totp_step(_DECOY, code, now=now)
        return None
    client_id, sealed, used, wrong, locked_until = row
    step = totp_step(unseal(keys[known], sealed, binding.totp_binding(client_id)), code, now=now)
    if locked_until is not None and locked_until > now:
        return None
    if step is not None and step > used:
        tx.execute(
            "UPDATE subject_phone SET totp_step = %s, totp_wrong = 0, totp_locked_until = NULL WHERE client_id = %s",
            (step, client_id),
        )
        return known if to is None or binding.on_trial(tx, client_id, now=now) != to else None
    lock = lock_after(wrong + 1)
    tx.execute(
        "UPDATE subject_phone SET totp_wrong = totp_wrong + 1, totp_locked_until = %s WHERE client_id = %s",
        (None if lock is None else now + lock, client_id),
    )
    if lock is not None:
        fields = {"client_id": client_id, "wrong": wrong + 1}
        log.append(tx, [log.Entry(Event.PRESENCE_LOCKED, at=now, actor="system", fields=fields, subject_id=known)])
    return None


def lock_after(wrong: int) -> timedelta | None:
    """Say for how long presence is locked after so many wrong passwords in a row; None: not yet."""
    if wrong < TRIES:
        return None
    doubled = 1 << min(wrong - TRIES, 10)  # far beyond the most
    return min(LOCK * doubled, LOCK_MOST)
