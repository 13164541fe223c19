"""The trail that regulators read: what the log says, in the clear that we keep beside it.

Entries name random subject ids, never people. Each row says where it stands in the signed log, and whether what is
shown of it is what the log signed (`registry.log.proven`): true, false, or null while no checkpoint covers it. Reading
the trail is itself an entry (docs/requirements.md, reports: auditors have their own log).

Paging goes backwards in time by an opaque cursor, over (time, entry id): new entries never shift a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from exchange import paging
from exchange.events import Event
from registry import log
from registry.clock import rfc3339
from registry.database import Transaction
from registry.trust import TrustPolicy

PAGE_MOST: Final = 500
_LIST: Final = "entry"


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
    next: str | None


def read(
    tx: Transaction, filters: Filters, *, limit: int, cursor: str | None = None, policy: TrustPolicy | None = None
) -> Page:
    """Read a page of the trail.

    Args:
        tx: the caller's transaction.
        filters: which entries.
        limit: how many at most.
        cursor: where the page before ended.
        policy: the log's keys, to hold each entry against the signed log; without them `proven` is null throughout.

    Raises:
        RequestRefused: the cursor is not one that a page gave.
    """
    where, values = _where(filters)
    place = paging.opened(_LIST, cursor)
    if place is not None:
        where.append("(e.at, e.entry_id) < (%s, %s)")
        values += place
    rows = tx.execute(
        "SELECT e.event, e.at, e.actor, e.fields, e.subject_id, e.consent_id, e.query_id, e.entry_id, e.seed,"  # noqa: S608  # fixed texts, values apart
        " p.leaf_index"
        " FROM log_entry e LEFT JOIN log_position p USING (entry_id)"
        f" WHERE {' AND '.join(where) or 'true'} ORDER BY e.at DESC, e.entry_id DESC LIMIT %s",
        [*values, limit + 1],
    ).fetchall()
    more = len(rows) > limit
    sides = [log.ClearSide(*row) for row in rows[:limit]]
    proven = [None] * len(sides) if policy is None else log.proven(tx, sides, policy)
    following = paging.cursor(_LIST, sides[-1].at, sides[-1].entry_id) if more else None
    return Page(list(map(_event, sides, proven)), following)


def note_reading(tx: Transaction, actor: str, filters: Filters, count: int, *, at: datetime) -> None:
    """Write to the log that somebody read the trail, with which filters, and how many entries were shown."""
    fields: dict[str, Any] = {"filters": dict(filters.said()), "events": count}
    log.append(tx, [log.Entry(event=Event.AUDIT_READ, at=at, actor=actor, fields=fields)])


def note_counting(tx: Transaction, actor: str, as_of: datetime, count: int, *, at: datetime) -> None:
    """Write to the log that somebody read how many findings stood at a moment."""
    fields: dict[str, Any] = {"as_of": rfc3339(as_of), "findings": count}
    log.append(tx, [log.Entry(event=Event.FINDINGS_READ, at=at, actor=actor, fields=fields)])


def note_figures(tx: Transaction, actor: str, month: str, *, at: datetime) -> None:
    """Write to the log that somebody read the figures of a month."""
    log.append(tx, [log.Entry(event=Event.FIGURES_READ, at=at, actor=actor, fields={"month": month})])


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


def _event(side: log.ClearSide, proven: bool | None) -> dict[str, Any]:  # noqa: FBT001  # what was found, not a switch
    return {
        "entry_id": str(side.entry_id),
        "event": side.event,
        "at": rfc3339(side.at),
        "actor": side.actor,
        "subject_id": str(side.subject_id) if side.subject_id else None,
        "consent_id": side.consent_id,
        "query_id": str(side.query_id) if side.query_id else None,
        "fields": side.fields,
        "leaf_index": side.leaf_index,
        "proven": proven,
    }
