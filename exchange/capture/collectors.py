"""Collectors: who may collect consents for an organisation. The operator registers them; a code is a lender's own.

A consent that somebody took in person names its collector, and it must be one who may collect for that very
organisation at that moment. A code is never given to somebody else: whoever signed under it stands for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from consent.scope import recipient_name
from exchange.capture.events import Event
from exchange.capture.witnesses import person_of
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import log, subjects
from registry.database import Transaction
from registry.identifiers import ResidentId


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector. `valid_until` is exclusive; None: no end is known."""

    organisation: str
    code: str
    valid_from: datetime
    valid_until: datetime | None


def add(  # what a registration states
    tx: Transaction,
    home: Home,
    organisation: str,
    code: str,
    who: ResidentId,
    *,
    until: datetime | None,
    now: datetime,
) -> None:
    """Register a collector, from now on.

    Raises:
        RequestRefused: the code was given out before.
    """
    name = recipient_name(organisation)
    made = tx.execute(
        "INSERT INTO collector (organisation, code, person, lookups, valid_from, valid_until)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (name, code, person_of(home.keyring, who), subjects.tokens_of(home.keyring, who), now, until),
    )
    if made.rowcount != 1:
        raise RequestRefused("collector-taken")
    _say(tx, Event.COLLECTOR_ADDED, name, code, now)


def end(tx: Transaction, organisation: str, code: str, *, now: datetime) -> bool:
    """End a collector's time; False if there is none of this code, or it is over."""
    name = recipient_name(organisation)
    ended = tx.execute(
        "UPDATE collector SET valid_until = %s WHERE organisation = %s AND code = %s"
        " AND (valid_until IS NULL OR valid_until > %s)",
        (now, name, code, now),
    )
    if ended.rowcount == 1:
        _say(tx, Event.COLLECTOR_ENDED, name, code, now)
    return ended.rowcount == 1


def listing(tx: Transaction, organisation: str | None = None) -> Sequence[Collector]:
    """List collectors, of one organisation or of all."""
    rows = tx.execute(
        "SELECT organisation, code, valid_from, valid_until FROM collector WHERE %s::text IS NULL OR organisation = %s"
        " ORDER BY organisation, code",
        (organisation, None if organisation is None else recipient_name(organisation)),
    )
    return [Collector(*row) for row in rows]


def require(tx: Transaction, organisation: str, code: str | None, *, at: datetime) -> str:
    """Give the code of a collector who may collect for an organisation at a moment.

    Raises:
        RequestRefused: `collector-unknown`: none is named, or he or she may not.
    """
    found = (
        code
        and tx.execute(
            "SELECT FROM collector WHERE organisation = %s AND code = %s AND valid_from <= %s"
            " AND (valid_until IS NULL OR valid_until > %s)",
            (organisation, code, at, at),
        ).fetchone()
    )
    if not code or found is None:
        raise RequestRefused("collector-unknown")
    return code


def same_person(tx: Transaction, organisation: str, one: str, other: str) -> bool:
    """Say whether two codes of an organisation are one person's: by one number, or by two that the registry links."""
    rows = tx.execute(
        "SELECT code, person, lookups FROM collector WHERE organisation = %s AND code IN (%s, %s)",
        (organisation, one, other),
    ).fetchall()
    if len({bytes(person) for _, person, _ in rows}) < len(rows) or one == other:
        return True
    found = [subjects.found_by(tx, lookups) for _, _, lookups in rows]
    return len(found) > 1 and bool(set.intersection(*found))


def _say(tx: Transaction, event: Event, organisation: str, code: str, now: datetime) -> None:
    fields = {"organisation": organisation, "collector": code}
    log.append(tx, [log.Entry(event=event.value, at=now, actor="operator", fields=fields)])
