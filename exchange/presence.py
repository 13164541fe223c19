"""Presence on a page where the phone has no signal: a code of the phone bound in person, for one request only.

The page shows a number, the challenge, which is made of the request, of what is shown, and of the answer. The person
types it into the phone; the phone computes a code over it with its own secret and the clock (OCRA, RFC 6287). So a code
that is overheard, or asked for by somebody in between, confirms no other request, no other terms and no other answer
(docs/adr/0027).

A code counts once for the person, whichever request it was for, in every process: later codes of the same half minute
do not count either.

Anybody who knows a number can give wrong codes on a page of any lender. So they are counted for each lender by itself,
they wear off one by one, and while a lender's are too many its pages take no code of this person, and no more are
counted: nobody keeps a person from another lender's page, or from this one's for long, and the phone's own signed door
is not touched. All lenders' together have a bound of their own, against guessing, which one lender's cannot reach
(`AT_ONE`, `AT_ALL`; docs/adr/0027). The person is told.

They are counted in the caller's transaction, which must therefore commit also when the answer is no. The subject is
held first, then the phone, as by whatever changes a phone (`binding`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from exchange import binding, messages
from exchange.events import Event
from exchange.home import Home
from exchange.messages import Kind
from exchange.oauth import clients
from registry import log, store
from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.identifiers import Identifier
from registry.keyring import Purpose
from registry.records import NOBODY
from registry.suites import OCRA_CHALLENGE_DIGITS, OCRA_SECRET_BYTES, hmac_sha256, ocra_step, unseal

TOLD_AGAIN_AFTER: Final = timedelta(hours=24)
ALL: Final = ""  # no organisation's name: what is counted of all of them together
_DECOY: Final = bytes(OCRA_SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class Bound:
    """How many wrong codes may stand at once, and after how long one of them counts no more."""

    most: int
    each: timedelta


AT_ONE: Final = Bound(5, timedelta(minutes=30))  # of one organisation; at most 53 a day
AT_ALL: Final = Bound(200, timedelta(minutes=5))  # of all together; more wears off a day than six of them may give


@dataclass(frozen=True, slots=True)
class Count:
    """Wrong codes that still count, since when that is so, and when the person was last told that they are too many."""

    wrong: int
    since: datetime
    told_at: datetime | None = None


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
    page_of: str,
    to: str | None = None,
) -> UUID | None:
    """Say whose code over a challenge this is, if it is this person's and was not used before; None otherwise.

    A person who is not known, who has no phone, or whose wrong codes are too many: None, after the same steps. Commit
    the caller's transaction also then: it counts wrong ones. `page_of`: whose page it is. `to`: the organisation that
    gains by it; to the one that handed out the code of a phone on trial, the phone proves nothing.
    """
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    store.hold_subjects(tx, [known])
    row = tx.execute(
        "SELECT p.client_id, p.page_secret, p.page_step FROM subject_phone p"
        " JOIN client c USING (client_id) WHERE p.subject_id = %s AND p.state = 'active' AND c.state = %s"
        " ORDER BY p.bound_at DESC LIMIT 1 FOR UPDATE OF p",
        (known, clients.ACTIVE),
    ).fetchone()
    keys = home.datakeys.standing([known])
    if row is None or row[1] is None or known not in keys:
        ocra_step(_DECOY, over, code, now=now)
        return None
    client_id, sealed, used = row
    step = ocra_step(unseal(keys[known], sealed, binding.secret_binding(client_id)), over, code, now=now)
    counts = _counts(tx, client_id, page_of, now)
    if any(counts[whose].wrong >= bound.most for whose, bound in _bounds(page_of)):
        return None  # and counted no further: what is not looked at guesses nothing
    if step is None or step <= used:
        for whose, bound in _bounds(page_of):
            _count(tx, known, client_id, whose, bound, counts[whose], now)
        return None
    tx.execute("UPDATE subject_phone SET page_step = %s WHERE client_id = %s", (step, client_id))
    return known if to is None or binding.on_trial(tx, client_id, now=now) != to else None


def still(count: Count, bound: Bound, now: datetime) -> Count:
    """Say how many wrong codes still count. Pure."""
    gone = max(0, (now - count.since) // bound.each)
    if gone >= count.wrong:
        return Count(0, now, count.told_at)
    return Count(count.wrong - gone, count.since + gone * bound.each, count.told_at)


# ---- inside ---------------------------------------------------------------------------------------------------------


def _bounds(page_of: str) -> tuple[tuple[str, Bound], ...]:
    return (page_of, AT_ONE), (ALL, AT_ALL)


def _counts(tx: Transaction, client_id: str, page_of: str, now: datetime) -> dict[str, Count]:
    rows = tx.execute(
        "SELECT organisation, wrong, since, told_at FROM presence_wrong"
        " WHERE client_id = %s AND organisation = ANY(%s)",
        (client_id, [page_of, ALL]),
    ).fetchall()
    kept = {organisation: Count(*rest) for organisation, *rest in rows}
    return {whose: still(kept.get(whose, Count(0, now)), bound, now) for whose, bound in _bounds(page_of)}


def _count(  # what is counted, for whom
    tx: Transaction, subject_id: UUID, client_id: str, whose: str, bound: Bound, before: Count, now: datetime
) -> None:
    """Count one more, and tell the person when it is the last that is taken."""
    wrong, told_at = before.wrong + 1, before.told_at
    if wrong >= bound.most:
        name = whose or None
        fields: dict[str, JSON] = {"client_id": client_id, "organisation": name, "wrong": wrong}
        log.append(tx, [log.Entry(Event.PRESENCE_LOCKED, at=now, actor="system", fields=fields, subject_id=subject_id)])
        if told_at is None or told_at <= now - TOLD_AGAIN_AFTER:
            until = rfc3339(before.since + bound.each)
            messages.leave(tx, subject_id, Kind.PAGE_CODES_LOCKED, {"organisation": name, "until": until}, now)
            told_at = now
    tx.execute(
        "INSERT INTO presence_wrong (client_id, organisation, wrong, since, told_at) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (client_id, organisation) DO UPDATE SET wrong = excluded.wrong, since = excluded.since,"
        " told_at = excluded.told_at",
        (client_id, whose, wrong, before.since, told_at),
    )
