"""Recalling: records that their agency takes back are shown no more. Nothing is deleted, nothing overwritten.

What is corrected is not recalled: the next version stands in its place, and `corrected` finds the one before.

A recalled version stays with its commitment, so that an answer that was given before stays provable; `store.visible`
leaves it out, and nothing older of the same sender comes back in its place; what another sender had published stands
again, for nobody's record vanishes by another's recall. What is recalled is found by batch, sheet and row, which every
record carries: it works after the raw file's bytes are gone.

One entry is written for each act, also where it finds nothing: otherwise the public log would tell whoever recalls a
row whether anything was held of it, and with it whether that person has consented.

Not here: who may recall (`connectors.mending`, `exchange.mending`), who is told of it (`exchange.recall_notices`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from registry import log, merkle
from registry.canonical import JSON
from registry.database import Transaction
from registry.records import NewRecord, RecordRef
from registry.store import Sealing, identities_of

RECALLED: Final = "registry:records:recalled"  # docs/events.md
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Recalled:
    """One version that was recalled, and its commitment."""

    ref: RecordRef
    commitment: bytes


_RECALL: Final = (
    "UPDATE record r SET recalled_at = %b FROM publication p WHERE p.publication_id = r.publication_id"
    " AND p.batch_id = %b AND p.published_at IS NOT NULL AND r.recalled_at IS NULL AND r.frozen_at IS NULL"
)
_RETURNING: Final = " RETURNING r.subject_id, r.record_id, r.version, r.commitment"
_HERE: Final = " AND (r.sheet, r.row_no) IN (SELECT * FROM unnest(%b::text[], %b::int[]))"
_NOT_KEPT: Final = " AND NOT r.identity_mac = ANY(%b)"
_CORRECTED: Final = (
    "SELECT r.subject_id, r.record_id, r.version, r.commitment FROM record r JOIN publication p USING (publication_id)"
    " WHERE p.batch_id = %b AND p.published_at IS NOT NULL AND r.recalled_at IS NULL AND r.frozen_at IS NULL"
    " AND r.payload_mac <> (SELECT later.payload_mac FROM record later"
    " JOIN publication q ON q.publication_id = later.publication_id WHERE later.subject_id = r.subject_id"
    " AND later.record_id = r.record_id AND later.version > r.version AND q.published_at IS NOT NULL"
    " AND later.recalled_at IS NULL ORDER BY later.version DESC LIMIT 1)"
)
_STANDING: Final = (
    " AND NOT EXISTS (SELECT FROM record later JOIN publication q ON q.publication_id = later.publication_id"
    " WHERE later.subject_id = r.subject_id AND later.record_id = r.record_id AND later.version > r.version"
    " AND q.published_at IS NOT NULL AND q.batch_id <> p.batch_id AND q.sender = p.sender)"
)


def recall_batch(tx: Transaction, batch_id: UUID, *, now: datetime, actor: str) -> list[Recalled]:
    """Recall all that a batch has published."""
    found = tx.execute(_RECALL + _RETURNING, (now, batch_id)).fetchall()
    return _told(tx, batch_id, found, now, actor)


def recall_remainder(tx: Transaction, batch_id: UUID, *, now: datetime, actor: str) -> list[Recalled]:
    """Recall what a batch has published and no other of its sender holds in a later version: what is left over."""
    found = tx.execute(_RECALL + _STANDING + _RETURNING, (now, batch_id)).fetchall()
    return _told(tx, batch_id, found, now, actor)


def recall_rows(
    tx: Transaction, batch_id: UUID, places: Collection[Place], *, now: datetime, actor: str
) -> list[Recalled]:
    """Recall what a batch has published of these rows (sheet, row)."""
    sheets, rows = [place[0] for place in places], [place[1] for place in places]
    found = tx.execute(_RECALL + _HERE + _RETURNING, (now, batch_id, sheets, rows)).fetchall()
    return _told(tx, batch_id, found, now, actor)


def recall_former(
    tx: Transaction,
    sealing: Sealing,
    batch_id: UUID,
    places: Collection[Place],
    kept: Sequence[NewRecord],
    *,
    now: datetime,
    actor: str,
) -> list[Recalled]:
    """Recall what a batch has published of corrected rows under an identity that they no longer have.

    Args:
        tx: the transaction that publishes the corrected rows.
        sealing: keys of identities.
        batch_id: the batch.
        places: the corrected rows.
        kept: the records that these rows are now; where one keeps its identity, it is a new version of the same record.
        now: the moment.
        actor: who corrected them.
    """
    sheets, rows = [place[0] for place in places], [place[1] for place in places]
    kept_identities = list(identities_of(sealing, kept)) if kept else []
    values = (now, batch_id, sheets, rows, kept_identities)
    found = tx.execute(_RECALL + _HERE + _NOT_KEPT + _RETURNING, values).fetchall()
    return _told(tx, batch_id, found, now, actor)


def corrected(tx: Transaction, batch_id: UUID, places: Collection[Place] | None = None) -> list[Recalled]:
    """Find what a batch has published that a later version of the same record has corrected; nothing is changed here.

    Args:
        tx: the transaction that publishes the later versions, or one after it.
        batch_id: the batch that published the earlier ones.
        places: of which rows (sheet, row); None for all.

    A version counts whose latest successor says something else, or has another quality. What is recalled or frozen
    does not.
    """
    if places is None:
        rows = tx.execute(_CORRECTED, (batch_id,)).fetchall()
    else:
        sheets, numbers = [place[0] for place in places], [place[1] for place in places]
        rows = tx.execute(_CORRECTED + _HERE, (batch_id, sheets, numbers)).fetchall()
    return sorted((Recalled(RecordRef(*row[:3]), row[3]) for row in rows), key=lambda one: one.commitment)


def _told(
    tx: Transaction, batch_id: UUID, rows: Sequence[tuple[UUID, UUID, int, bytes]], now: datetime, actor: str
) -> list[Recalled]:
    found = sorted((Recalled(RecordRef(*row[:3]), row[3]) for row in rows), key=lambda one: one.commitment)
    fields: dict[str, JSON] = {
        "batch_id": str(batch_id),
        "records": len(found),
        "records_root": merkle.root(merkle.leaf_hashes([one.commitment for one in found])).hex(),
    }
    log.append(tx, [log.Entry(event=RECALLED, at=now, actor=actor, fields=fields)])
    return found
