"""What an agency may see of its own deliveries: states, counts, codes, control totals, places. Never a value of a row.

People without a consent are a total, and not even that where a table has few rows: one row sent alone would otherwise
tell its sender whether that person seeks credit. Where `many` says no, the numbers of accepted rows and of rows without
a consent are withheld together; what the sender can mend (other codes, places) is told all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from connectors.batches import FEWEST_COVERED
from registry.database import Transaction

UNTOLD: Final = "NO_CONSENT"  # by row never; as a count only of many
PAGE_MOST: Final = 200
REMARKS_MOST: Final = 1000
Remark = tuple[str, int, str, str, str]
_SELECT: Final = (
    "SELECT b.batch_id, b.raw_id, b.label, b.state, b.source, b.class_code, b.kind, b.project, b.blocked_code, b.as_of,"
    " f.received_at, b.evaluated_at, b.published_at, f.manifest, encode(f.sha256, 'hex'), b.rows, b.accepted, b.warned,"
    " b.quarantined, b.rejected, b.codes, b.totals FROM batch b JOIN raw_file f USING (raw_id) "
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One batch as its agency sees it. `counts` and `codes` have no member for what is withheld."""

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


_FACTS: Final = tuple(one.name for one in fields(Delivered))[:16]  # in the order of _SELECT, up to `rows`


def many(rows: int) -> bool:
    """Say whether a table has so many rows that its totals tell of nobody."""
    return rows >= FEWEST_COVERED


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


def batches_of_file(tx: Transaction, raw_id: UUID, *, agency: str) -> list[UUID]:
    """Give the batches of a raw file, if it was this agency that delivered it first."""
    rows = tx.execute(
        "SELECT b.batch_id FROM batch b JOIN raw_file f USING (raw_id) WHERE b.raw_id = %s AND f.agency = %s"
        " ORDER BY b.label",
        (raw_id, agency),
    )
    return [batch_id for (batch_id,) in rows.fetchall()]


def remarks(
    tx: Transaction, batch_id: UUID, *, after: tuple[str, int] = ("", 0)
) -> list[tuple[str, int, str, str, str]]:
    """Give (sheet, row, outcome, code, column) of rows that the sender should look at, after a place."""
    rows = tx.execute(
        "SELECT sheet, row_no, outcome, code, coalesce(\"column\", '') FROM batch_remark"
        " WHERE batch_id = %s AND code <> %s AND (sheet, row_no) > (%s, %s) ORDER BY sheet, row_no LIMIT %s",
        (batch_id, UNTOLD, *after, REMARKS_MOST),
    )
    return rows.fetchall()


def _delivered(row: Sequence[Any]) -> Delivered:
    rows, totals = row[15], row[21]
    counts = dict(zip(("accepted", "warned", "quarantined", "rejected"), row[16:20], strict=True))
    codes = {end: dict(found) for end, found in row[20].items()}
    if not many(rows):
        counts.pop("accepted")
        counts["rejected"] -= sum(found.pop(UNTOLD, 0) for found in codes.values())
        codes = {end: found for end, found in codes.items() if found}
    facts = dict(zip(_FACTS, row, strict=False))
    controls, unread = totals.get("controls", []), totals.get("unread", [])
    return Delivered(**facts, counts=counts, codes=codes, controls=controls, unread=unread)
