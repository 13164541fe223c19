"""What a person may learn of who asked about him or her: every access, permitted or refused, and every recipient.

Read from the log's own entries, which were written in the transaction of each access (`release.recording`): so the list
is complete, goes back to before any phone was bound, and cannot be forgotten by whoever answers. Checks that let no
data out name no subject and do not appear.

Told is who (the organisation and its department), when, for which purpose, in which mode, which items, and whether it
was permitted or why not. The code of the lender's clerk is the lender's own and is left to regulators. That a regulator
had the evidence of a consent opened (`capture.disclosing`) is an access, too; so is what a lender is told under a
subscription (`release.watching`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from exchange.events import Event
from registry.database import Transaction

PAGE_MOST: Final = 200
ASKED: Final = (
    Event.PERMITTED.value,
    Event.REOPENED.value,
    Event.REFUSED.value,
    Event.EVIDENCE_OPENED.value,
    Event.MONITOR_TOLD.value,
)
SHOWN: Final = (Event.PERMITTED.value, Event.REOPENED.value)
LEARNED: Final = (*SHOWN, Event.MONITOR_TOLD.value)  # whoever is told that something changed learns it, too
OUTCOMES: Final = {
    Event.PERMITTED.value: "permitted",
    Event.REOPENED.value: "reopened",
    Event.REFUSED.value: "refused",
    Event.OWN_OPENED.value: "own",
    Event.EVIDENCE_OPENED.value: "evidence",
    Event.MONITOR_TOLD.value: "told",
}


@dataclass(frozen=True, slots=True)
class Access:
    """One access. `items` None: all that a consent would have covered; `reason` is that of a refusal.

    Of an `evidence`, what proves a consent was opened for a regulator: that is the `lender`, and `reason` its case.
    """

    entry_id: UUID
    at: datetime
    outcome: str
    lender: str | None
    department: str | None
    purpose: str | None
    mode: str | None
    items: tuple[str, ...] | None
    reason: str | None
    consent_id: str | None
    query_id: UUID | None


@dataclass(frozen=True, slots=True)
class Recipient:
    """An organisation that was shown data: when first and last, how often, what (R-25)."""

    organisation: str
    first_at: datetime
    last_at: datetime
    accesses: int
    purposes: tuple[str, ...]
    items: tuple[str, ...]


Place = tuple[datetime, UUID]


def page(
    tx: Transaction, subject_id: UUID, *, before: Place | None = None, limit: int = 50
) -> tuple[list[Access], Place | None]:
    """Give a page of a subject's accesses, newest first, and where the next page begins (None: this was the last)."""
    at, entry_id = before or (None, None)
    rows = tx.execute(
        "SELECT entry_id, at, event, fields -> 'access', consent_id, query_id FROM log_entry"
        " WHERE subject_id = %s AND event = ANY(%s)"
        " AND (%s::timestamptz IS NULL OR (at, entry_id) < (%s, %s::uuid)) ORDER BY at DESC, entry_id DESC LIMIT %s",
        (subject_id, list(OUTCOMES), at, at, entry_id, limit + 1),
    ).fetchall()
    found = [access_of(row) for row in rows[:limit]]
    return found, (found[-1].at, found[-1].entry_id) if len(rows) > limit else None


def every(tx: Transaction, subject_id: UUID) -> list[Access]:
    """Give all accesses of a subject, newest first; for the export."""
    found: list[Access] = []
    before: Place | None = None
    while True:
        some, before = page(tx, subject_id, before=before, limit=PAGE_MOST)
        found += some
        if before is None:
            return found


def recipients(tx: Transaction, subject_id: UUID) -> list[Recipient]:
    """List the organisations that were shown data of a subject, by name."""
    rows = tx.execute(
        "SELECT fields -> 'access' ->> 'lender' AS lender, min(at), max(at), count(DISTINCT e.entry_id),"
        " array_agg(DISTINCT fields -> 'access' ->> 'purpose'), array_agg(DISTINCT item)"
        " FROM log_entry e, jsonb_array_elements_text(fields -> 'access' -> 'items') AS item"
        " WHERE subject_id = %s AND event = ANY(%s) GROUP BY lender ORDER BY lender",
        (subject_id, list(LEARNED)),
    ).fetchall()
    return [
        Recipient(name, first, last, count, tuple(sorted(purposes)), tuple(sorted(items)))
        for name, first, last, count, purposes, items in rows
    ]


def access_of(row: Sequence[Any]) -> Access:
    """Read one access from its entry: id, time, event, what was asked, consent, query."""
    entry_id, at, event, asked, consent_id, query_id = row
    said: dict[str, Any] = asked or {}
    staff = said.get("staff")
    return Access(
        entry_id=entry_id,
        at=at,
        outcome=OUTCOMES[event],
        lender=said.get("lender"),
        department=staff[1] if staff else None,
        purpose=said.get("purpose"),
        mode=said.get("mode"),
        items=None if said.get("items") is None else tuple(said["items"]),
        reason=said.get("reason"),
        consent_id=consent_id,
        query_id=query_id,
    )
