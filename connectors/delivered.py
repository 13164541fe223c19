"""What an agency may see of its own deliveries: states, counts, codes, control totals, places. Never a value of a row.

Counts and codes are those that the file alone gives, as if everybody had consented: comparing them with the rows
tells nothing of anybody. How many rows were without a consent is one total, told where the table speaks of many people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from connectors.apparent import about
from connectors.normalise import FEWEST_PEOPLE
from registry.database import Transaction

UNTOLD: Final = "NO_CONSENT"  # by row never; as a count only of many
PAGE_MOST: Final = 200
REMARKS_MOST: Final = 1000
_SELECT: Final = (
    "SELECT b.batch_id, b.raw_id, b.label, b.state, b.source, b.class_code, b.kind, b.project, b.blocked_code, b.as_of,"
    " f.received_at, b.evaluated_at, b.published_at, f.manifest, encode(f.sha256, 'hex'), b.rows, b.accepted, b.warned,"
    " b.quarantined, b.rejected, b.codes, b.totals FROM batch b JOIN raw_file f USING (raw_id) "
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One batch as its agency sees it. `without_consent` is in tens, None where it would speak of persons."""

    batch_id: UUID
    raw_id: UUID
    label: str
    state: str
    source: str | None
    class_code: str | None
    kind: str | None
    project: str | None
    blocked_code: str | None
    as_of: date
    received_at: datetime
    evaluated_at: datetime | None
    published_at: datetime | None
    manifest: str
    sha256: str
    rows: int
    counts: Mapping[str, int]
    codes: Mapping[str, Mapping[str, int]]
    controls: Sequence[Mapping[str, Any]]
    unread: Sequence[str]
    without_consent: int | None


_FACTS: Final = tuple(one.name for one in fields(Delivered))[:16]  # in the order of _SELECT, up to `rows`


def page(  # one parameter a filter
    tx: Transaction,
    agency: str,
    *,
    state: str | None = None,
    class_code: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[Delivered]:
    """Give an agency's batches, newest first. `before` is time and id of the last one of the page before."""
    at, batch_id = before or (None, None)
    rows = tx.execute(
        _SELECT
        + "WHERE f.agency = %s AND (%s::text IS NULL OR b.state = %s) AND (%s::text IS NULL OR b.class_code = %s)"
        " AND (%s::timestamptz IS NULL OR (f.received_at, b.batch_id) < (%s, %s::uuid))"
        " ORDER BY f.received_at DESC, b.batch_id DESC LIMIT %s",
        (agency, state, state, class_code, class_code, at, at, batch_id, limit),
    )
    return [_delivered(row) for row in rows.fetchall()]


def one(tx: Transaction, batch_id: UUID, *, agency: str) -> Delivered | None:
    """Find a batch of an agency; another's is None, as an unknown one is."""
    row = tx.execute(_SELECT + "WHERE b.batch_id = %s AND f.agency = %s", (batch_id, agency)).fetchone()
    return None if row is None else _delivered(row)


@dataclass(frozen=True, slots=True)
class Open:
    """A batch whose rows can still be decided of: it is published, and its bytes exist."""

    batch_id: UUID
    raw_id: UUID
    label: str
    class_code: str
    kind: str
    received_at: datetime


def open_files(
    tx: Transaction,
    agency: str,
    *,
    class_code: str | None = None,
    kind: str | None = None,
    since: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[list[Open]]:
    """Give an agency's files with open batches, the newest first, each with its batches in the order of their labels.

    Args:
        tx: a transaction.
        agency: whose.
        class_code: only batches of this class.
        kind: only batches of this kind.
        since: time and id of a file to begin with, itself included.
        limit: of how many files.

    None of what is asked here depends on who has consented.
    """
    at, raw_id = since or (None, None)
    rows = tx.execute(
        "WITH open AS (SELECT b.batch_id, b.raw_id, b.label, b.class_code, b.kind, f.received_at,"
        " dense_rank() OVER (ORDER BY f.received_at DESC, b.raw_id DESC) AS file"
        " FROM batch b JOIN raw_file f USING (raw_id) WHERE f.agency = %s AND f.agency <> '' AND b.state = 'published'"
        " AND f.destroyed_at IS NULL AND (%s::text IS NULL OR b.class_code = %s) AND (%s::text IS NULL OR b.kind = %s)"
        " AND (%s::timestamptz IS NULL OR (f.received_at, b.raw_id) <= (%s, %s::uuid)))"
        " SELECT batch_id, raw_id, label, class_code, kind, received_at FROM open WHERE file <= %s"
        ' ORDER BY received_at DESC, raw_id DESC, label COLLATE "C"',
        (agency, class_code, class_code, kind, kind, at, at, raw_id, limit),
    ).fetchall()
    files: dict[UUID, list[Open]] = {}
    for row in rows:
        files.setdefault(row[1], []).append(Open(*row))
    return list(files.values())


def batches_of_file(tx: Transaction, raw_id: UUID, *, agency: str) -> list[UUID]:
    """Give the batches of a raw file, if it was this agency that delivered it first."""
    rows = tx.execute(
        "SELECT b.batch_id FROM batch b JOIN raw_file f USING (raw_id) WHERE b.raw_id = %s AND f.agency = %s"
        " ORDER BY b.label",
        (raw_id, agency),
    )
    return [batch_id for (batch_id,) in rows.fetchall()]


def _delivered(row: Sequence[Any]) -> Delivered:
    totals = row[21]
    apparent: Mapping[str, Mapping[str, int]] = totals.get("apparent", {})
    counts = {end: sum(apparent.get(end, {}).values()) for end in ("accepted", "warned", "quarantined", "rejected")}
    codes = {end: {code: n for code, n in found.items() if code} for end, found in apparent.items()}
    many = totals.get("people", 0) >= FEWEST_PEOPLE
    facts = dict(zip(_FACTS, row, strict=False))
    return Delivered(
        **facts,
        counts=counts,
        codes={end: found for end, found in codes.items() if found},
        controls=totals.get("controls", []),
        unread=totals.get("unread", []),
        without_consent=about(sum(found.get(UNTOLD, 0) for found in row[20].values())) if many else None,
    )
