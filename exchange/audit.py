"""The trail that regulators read: what the log says, in the clear that we keep beside it.

Entries name random subject ids, never people. Each row says where it stands in the signed log, so that a regulator can
hold it against a checkpoint. Reading the trail is itself an entry (docs/requirements.md, reports: auditors have
their own log).

Paging goes backwards in time by an opaque cursor, over (time, entry id): new entries never shift a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from exchange.errors import RequestRefused
from exchange.events import Event
from registry import log
from registry.canonical import b64url, unb64url
from registry.clock import rfc3339
from registry.database import Transaction

PAGE_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are wanted; None means any. `event` may end in `*`. `until` is exclusive."""

    event: str | None = None
    actor: str | None = None
    lender: str | None = None
    reason: str | None = None
    purpose: str | None = None
    subject_id: UUID | None = None
    consent_id: str | None = None
    query_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def said(self) -> dict[str, str]:
        """The filters that are set, as text."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {n: rfc3339(v) if isinstance(v, datetime) else str(v) for n, v in values.items() if v is not None}


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, and where the next page begins (None: this was the last)."""

    events: list[dict[str, Any]]
    next_cursor: str | None


def read(tx: Transaction, filters: Filters, *, limit: int, cursor: str | None = None) -> Page:
    """Read a page of the trail.

    Raises:
        RequestRefused: the cursor is not one that a page gave.
    """
    where, values = _where(filters)
    if cursor is not None:
        where.append("(e.at, e.entry_id) < (%s, %s)")
        values += _opened(cursor)
    rows = tx.execute(
        "SELECT e.entry_id, e.event, e.at, e.actor, e.subject_id, e.consent_id, e.query_id, e.fields, p.leaf_index"  # noqa: S608  # fixed texts, values apart
        " FROM log_entry e LEFT JOIN log_position p USING (entry_id)"
        f" WHERE {' AND '.join(where) or 'true'} ORDER BY e.at DESC, e.entry_id DESC LIMIT %s",
        [*values, limit + 1],
    ).fetchall()
    more = len(rows) > limit
    return Page([_event(row) for row in rows[:limit]], _cursor(rows[limit - 1]) if more else None)


def note_reading(tx: Transaction, actor: str, filters: Filters, count: int, *, at: datetime) -> None:
    """Write to the log that somebody read the trail, with which filters, and how many entries were shown."""
    fields: dict[str, Any] = {"filters": dict(filters.said()), "events": count}
    log.append(tx, [log.Entry(event=Event.AUDIT_READ, at=at, actor=actor, fields=fields)])


def _where(filters: Filters) -> tuple[list[str], list[Any]]:
    tests: Sequence[tuple[str, Any]] = (
        ("e.actor = %s", filters.actor),
        ("e.fields -> 'access' ->> 'lender' = %s", filters.lender),
        ("e.fields -> 'access' ->> 'reason' = %s", filters.reason),
        ("e.fields -> 'access' ->> 'purpose' = %s", filters.purpose),
        ("e.subject_id = %s", filters.subject_id),
        ("e.consent_id = %s", filters.consent_id),
        ("e.query_id = %s", filters.query_id),
        ("e.at >= %s", filters.since),
        ("e.at < %s", filters.until),
    )
    chosen = [(text, value) for text, value in tests if value is not None]
    if filters.event is not None and filters.event.endswith("*"):
        chosen.append(("starts_with(e.event, %s)", filters.event[:-1]))
    elif filters.event is not None:
        chosen.append(("e.event = %s", filters.event))
    return [text for text, _ in chosen], [value for _, value in chosen]


def _event(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "entry_id": str(row[0]),
        "event": row[1],
        "at": rfc3339(row[2]),
        "actor": row[3],
        "subject_id": str(row[4]) if row[4] else None,
        "consent_id": row[5],
        "query_id": str(row[6]) if row[6] else None,
        "fields": row[7],
        "leaf_index": row[8],
    }


def _cursor(row: Sequence[Any]) -> str:
    return b64url(orjson.dumps([rfc3339(row[2]), str(row[0])]))


def _opened(cursor: str) -> list[Any]:
    try:
        at, entry_id = orjson.loads(unb64url(cursor))
        return [datetime.fromisoformat(at), UUID(entry_id)]
    except (ValueError, TypeError) as error:
        raise RequestRefused("request-malformed", "the cursor is not one that a page gave") from error
