"""Subscriptions: kept, listed, looked at, ended. Another organisation's is what does not exist.

A subscription rests on one consent and ends with it; or at the lender's own end (`until`), when the lender gives it up,
when its system is suspended. Ended, it stays listed, and tells nothing any more.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.oauth.clients import ACTIVE
from exchange.release.watching import Watch
from registry import log
from registry.canonical import JSON
from registry.database import Transaction
from registry.identifiers import SubjectKind

PAGE_MOST: Final = 200
DELETED: Final = "deleted"
UNTIL: Final = "until"
SUSPENDED: Final = "suspended"
_COLUMNS: Final = (
    "s.position, s.subscription_id, s.organisation, s.client_id, s.subject_id, s.about, s.consent_id, s.purpose,"
    " s.business_no, s.items, s.events, s.staff, s.made_at, s.until, s.sequence, s.ended_at, s.ended"
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is kept."""

    position: int
    watch: Watch
    events: frozenset[str]
    made_at: datetime
    until: datetime | None
    sequence: int
    ended_at: datetime | None
    ended: str | None


def keep(tx: Transaction, watch: Watch, events: Collection[str], until: datetime | None, *, now: datetime) -> bool:
    """Keep what was permitted, and say whether that is new; a repetition finds it kept already."""
    made = tx.execute(
        "INSERT INTO monitor_subscription (subscription_id, organisation, client_id, subject_id, about, consent_id,"
        " purpose, business_no, items, events, staff, made_at, until, sequence)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0) ON CONFLICT (subscription_id) DO NOTHING",
        (
            watch.subscription_id,
            watch.organisation,
            watch.client_id,
            watch.subject_id,
            watch.about.value,
            watch.consent_id,
            watch.purpose,
            watch.business_no,
            sorted(watch.items),
            sorted(events),
            list(watch.staff) if watch.staff else None,
            now,
            until,
        ),
    )
    return made.rowcount == 1


def of_lender(tx: Transaction, organisation: str, *, after: int, limit: int) -> list[Subscription]:
    """List an organisation's subscriptions in their order, those behind `after`."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM monitor_subscription s WHERE organisation = %s AND position > %s"  # noqa: S608  # fixed texts
        " ORDER BY position LIMIT %s",
        (organisation, after, limit),
    ).fetchall()
    return [_subscription(row) for row in rows]


def one_of(tx: Transaction, organisation: str, subscription_id: UUID) -> Subscription:
    """Give one of an organisation's subscriptions.

    Raises:
        RequestRefused: `subscription-unknown`.
    """
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM monitor_subscription s WHERE organisation = %s AND subscription_id = %s",  # noqa: S608  # fixed texts
        (organisation, subscription_id),
    ).fetchone()
    if row is None:
        raise RequestRefused("subscription-unknown")
    return _subscription(row)


def live(tx: Transaction, ids: Collection[UUID], *, over: bool = False) -> dict[UUID, Subscription]:
    """Give those of these subscriptions that have not ended and whose system is let in.

    With `over` also those whose own end has come: what was made before may still be told.
    """
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM monitor_subscription s JOIN client k USING (client_id)"  # noqa: S608  # fixed texts
        " WHERE s.subscription_id = ANY(%s) AND (s.ended_at IS NULL OR (s.ended = %s AND %s)) AND k.state = %s",
        (list(ids), UNTIL, over, ACTIVE),
    ).fetchall()
    found = [_subscription(row) for row in rows]
    return {one.watch.subscription_id: one for one in found}


def give_up(tx: Transaction, organisation: str, subscription_id: UUID, *, actor: str, now: datetime) -> None:
    """End a subscription because its lender wants to hear no more; one that has ended stays as it is.

    Raises:
        RequestRefused: `subscription-unknown`.
    """
    one = one_of(tx, organisation, subscription_id)
    _end(tx, "s.subscription_id = %s AND s.organisation = %s", (subscription_id, organisation), DELETED, actor, now)
    tx.execute(  # what has not arrived by now is not wanted
        "UPDATE monitor_event SET settled_at = %s, settled = 'silenced' WHERE subscription_id = %s"
        " AND settled_at IS NULL",
        (now, one.watch.subscription_id),
    )


def end_of_consent(tx: Transaction, consent_id: str, how: str, *, now: datetime) -> None:
    """End what rests on a consent that is over."""
    _end(tx, "s.consent_id = %s", (consent_id,), how, "system", now)


def end_of_client(tx: Transaction, client_id: str, *, since: datetime, now: datetime) -> None:
    """End what a system had subscribed to when it was suspended."""
    _end(tx, "s.client_id = %s AND s.made_at <= %s", (client_id, since), SUSPENDED, "system", now)


def end_due(tx: Transaction, *, now: datetime) -> int:
    """End subscriptions whose own end has come (the job); say how many."""
    return _end(tx, "s.until <= %s", (now,), UNTIL, "system", now)


def _end(tx: Transaction, where: str, values: Sequence[Any], how: str, actor: str, now: datetime) -> int:
    rows = tx.execute(
        f"UPDATE monitor_subscription s SET ended_at = %s, ended = %s WHERE s.ended_at IS NULL AND {where}"  # noqa: S608  # fixed texts
        " RETURNING s.subscription_id, s.organisation, s.subject_id, s.consent_id",
        (now, how, *values),
    ).fetchall()
    entries = []
    for subscription_id, organisation, subject_id, consent_id in rows:
        fields: dict[str, JSON] = {"how": how, "organisation": organisation, "subscription_id": str(subscription_id)}
        entries.append(
            log.Entry(
                event=Event.SUBSCRIPTION_ENDED,
                at=now,
                actor=actor,
                fields=fields,
                subject_id=subject_id,
                consent_id=consent_id,
            )
        )
    log.append(tx, entries)
    return len(rows)


def _subscription(row: Sequence[Any]) -> Subscription:
    staff = row[11]
    watch = Watch(
        subscription_id=row[1],
        organisation=row[2],
        client_id=row[3],
        subject_id=row[4],
        about=SubjectKind(row[5]),
        consent_id=row[6],
        purpose=row[7],
        business_no=row[8],
        items=frozenset(row[9]),
        staff=None if staff is None else (staff[0], staff[1]),
    )
    return Subscription(row[0], watch, frozenset(row[10]), *row[12:])
