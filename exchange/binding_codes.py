"""One-time codes by which a phone is bound: handed out in person, looked up by a handle, tried five times.

A code is sixteen digits. The first eight are its handle: random, kept in clear, they find the offer. The last eight
are its secret, of which a keyed hash is kept. Whoever does not hold a person's code spends nothing of that person's:

  * a try counts against the offer whose handle was shown, and against nothing else; without a handle there is no offer
  * five codes a day for one person are counted for each organisation by itself, and a newer code ends those of the same
    organisation alone: nobody uses up, or ends, what another counter hands out
  * a handle that finds nothing counts as a miss of whoever sent it (a keyed hash of the network address). Beyond
    MISSES_MOST in MISSES_WITHIN, wrong codes from there are answered with `too-often`, whether or not the handle
    exists; a right one binds all the same, so that nobody is kept out by a neighbour on the same line

Tries and misses are counted in the caller's transaction, which must therefore commit also when the answer is no. The
subject is held first, then its codes.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from consent.ages import CHILD_UNTIL
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from registry import identifying, log, store, subjects
from registry.canonical import JSON
from registry.clock import beijing_day
from registry.database import Transaction
from registry.identifiers import ResidentId, years_between
from registry.keyring import Purpose
from registry.records import NOBODY
from registry.suites import constant_time_equal, hmac_sha256, random_bytes

HANDLE_DIGITS: Final = 8
SECRET_DIGITS: Final = 8
LIFETIME: Final = timedelta(minutes=15)
TRIES: Final = 5
A_DAY: Final = 5  # codes for one person, by one organisation
KEPT: Final = timedelta(days=2)  # longer than A_DAY is counted over
MISSES_MOST: Final = 60
MISSES_WITHIN: Final = timedelta(minutes=15)
_V6_PREFIX: Final = 64  # bits that one line is given; the rest its owner chooses


@dataclass(frozen=True, slots=True)
class Seen:
    """Who saw the person, and how the person was known: codes of the lender's own, nothing of the person."""

    client_id: str
    organisation: str
    verified: str
    collector: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A code that was right: who handed it out."""

    code_id: UUID
    issued_by: str
    organisation: str
    collector: str


def offer(tx: Transaction, home: Home, identifier: ResidentId, seen: Seen, *, now: datetime) -> tuple[str, datetime]:
    """Make a one-time code for a person whom staff have in front of them; give it and the moment it ends.

    A code that the same organisation handed out before counts no more. Who asks does not learn whether it is known that
    the person has died: such a code is like any other and binds nothing (`binding.bind`), which the log says.

    Raises:
        RequestRefused: a child under 14, or five codes of this organisation within a day.
    """
    known = store.lookup(tx, home.keyring, [identifier]).get(identifier.text, NOBODY)
    born = identifying.births(tx, home.sealing, [known]).get(known, identifier.birth)
    if years_between(born, beijing_day(now)) < CHILD_UNTIL:
        raise RequestRefused("binding-child")
    subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
    store.hold_subjects(tx, [subject_id])
    dead = subjects.deceased(tx, [subject_id])
    row = tx.execute(
        "SELECT count(*) FROM binding_code WHERE subject_id = %s AND organisation = %s AND issued_at > %s",
        (subject_id, seen.organisation, now - timedelta(days=1)),
    ).fetchone()
    if row is not None and row[0] >= A_DAY:
        raise RequestRefused("too-often", "five codes were handed out for this person within a day")
    _end(tx, subject_id, now, organisation=seen.organisation)
    code, until = _kept(tx, home, subject_id, seen, now), now + LIFETIME
    fields: dict[str, JSON] = {
        "binds": not dead,
        "collector": seen.collector,
        "organisation": seen.organisation,
        "place": seen.place,
        "verified": seen.verified,
    }
    log.append(
        tx, [log.Entry(Event.BINDING_OFFERED, at=now, actor=seen.client_id, fields=fields, subject_id=subject_id)]
    )
    return code, until


def take(tx: Transaction, home: Home, subject_id: UUID, code: str, source: str, *, now: datetime) -> Taken | None:
    """Try a code for a person, held by the caller; None if it is not that person's, is wrong, used, or over.

    `source` is the network address that sent it.
    """
    handle, secret = code[:HANDLE_DIGITS], code[HANDLE_DIGITS:]
    row = tx.execute(
        "UPDATE binding_code SET tries = tries + 1 WHERE handle = %s AND used_at IS NULL AND expires_at > %s"
        " AND tries < %s RETURNING code_id, subject_id, code_mac, issued_by, organisation, collector",
        (handle, now, TRIES),
    ).fetchone()
    code_id, owner, expected = (row[0], row[1], bytes(row[2])) if row else (NOBODY, NOBODY, b"")
    right = constant_time_equal(_mac(home, code_id, secret), expected)
    if row is None:
        _miss(tx, home, source, now)
    if row is None or not right or owner != subject_id:
        return None
    return Taken(code_id, *row[3:])


def use(tx: Transaction, code_id: UUID, *, now: datetime) -> None:
    """Write that a code has bound a phone."""
    tx.execute("UPDATE binding_code SET used_at = %s WHERE code_id = %s", (now, code_id))


def slowed(tx: Transaction, home: Home, source: str, *, now: datetime) -> bool:
    """Say whether wrong codes of this network address are answered with `too-often` for now."""
    row = tx.execute(
        "SELECT misses FROM binding_miss WHERE source = %s AND since > %s", (_line(home, source), now - MISSES_WITHIN)
    ).fetchone()
    return row is not None and row[0] > MISSES_MOST


def end_all(tx: Transaction, subject_id: UUID, *, now: datetime) -> None:
    """End whatever codes a subject has; the caller holds the subject."""
    _end(tx, subject_id, now)


def clean(tx: Transaction, *, now: datetime) -> int:
    """Tell of codes whose tries were used up, once each, and delete codes and misses that are over (the job).

    Told here and not at the fifth try, so that no answer takes longer than another.
    """
    spent = tx.execute(
        "UPDATE binding_code SET exhausted_at = %s WHERE tries >= %s AND used_at IS NULL AND exhausted_at IS NULL"
        " RETURNING subject_id, organisation",
        (now, TRIES),
    ).fetchall()
    log.append(
        tx,
        [
            log.Entry(
                Event.BINDING_EXHAUSTED,
                at=now,
                actor="system",
                fields={"organisation": organisation},
                subject_id=subject_id,
            )
            for subject_id, organisation in spent
        ],
    )
    tx.execute("DELETE FROM binding_miss WHERE since < %s", (now - MISSES_WITHIN,))
    return tx.execute("DELETE FROM binding_code WHERE issued_at < %s", (now - KEPT,)).rowcount


# ---- inside ---------------------------------------------------------------------------------------------------------


def _kept(tx: Transaction, home: Home, subject_id: UUID, seen: Seen, now: datetime) -> str:
    """Keep a new code under a handle that no other has; give both in one."""
    code_id, secret = uuid4(), _digits(SECRET_DIGITS)
    while True:
        handle = _digits(HANDLE_DIGITS)
        kept = tx.execute(
            "INSERT INTO binding_code (code_id, subject_id, handle, code_mac, issued_by, organisation, collector,"
            " issued_at, expires_at, tries) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0)"
            " ON CONFLICT (handle) DO NOTHING",
            (
                code_id,
                subject_id,
                handle,
                _mac(home, code_id, secret),
                seen.client_id,
                seen.organisation,
                seen.collector,
                now,
                now + LIFETIME,
            ),
        )
        if kept.rowcount == 1:
            return handle + secret


def _end(tx: Transaction, subject_id: UUID, now: datetime, *, organisation: str | None = None) -> None:
    tx.execute(
        "UPDATE binding_code SET expires_at = %s WHERE subject_id = %s AND used_at IS NULL AND expires_at > %s"
        " AND (%s::text IS NULL OR organisation = %s)",
        (now, subject_id, now, organisation, organisation),
    )


def _miss(tx: Transaction, home: Home, source: str, now: datetime) -> None:
    begun = now - MISSES_WITHIN
    tx.execute(
        "INSERT INTO binding_miss AS m (source, since, misses) VALUES (%(source)s, %(now)s, 1)"
        " ON CONFLICT (source) DO UPDATE SET misses = CASE WHEN m.since > %(begun)s THEN m.misses + 1 ELSE 1 END,"
        " since = CASE WHEN m.since > %(begun)s THEN m.since ELSE %(now)s END",
        {"source": _line(home, source), "now": now, "begun": begun},
    )


def _line(home: Home, source: str) -> bytes:
    """Give the keyed hash of a network address: of IPv6 the part that names the line."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:  # a socket of this machine has none
        named = source
    else:
        bits = _V6_PREFIX if isinstance(address, ipaddress.IPv6Address) else address.max_prefixlen
        named = str(ipaddress.ip_network((address, bits), strict=False))
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"binding-source|" + named.encode())


def _digits(count: int) -> str:
    return f"{int.from_bytes(random_bytes(16)) % 10**count:0{count}d}"


def _mac(home: Home, code_id: UUID, secret: str) -> bytes:
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"binding-code|" + code_id.bytes + secret.encode())
