"""Batches: one table of a raw file, and what became of its rows in counts, codes and totals.

Of single rows nothing is kept here: which of them the sender should look at is weighed anew whenever somebody asks
(`apparent`), the same whoever has consented. `mark` is a keyed digest of what an evaluation decided: the same again
changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from pandas.util import hash_pandas_object
from psycopg.types.json import Jsonb

from connectors.codes import Outcome
from connectors.expectations import Control
from connectors.normalise import TableOutcome
from registry.canonical import canonical
from registry.database import Transaction
from registry.keyring import Purpose
from registry.store import Sealing
from registry.suites import hmac_sha256

PUBLISHED: Final = "published"
BLOCKED: Final = "blocked"
RECALLED: Final = "recalled"  # by its agency, whole: it is not weighed again
REPLACED: Final = "replaced"  # by another batch of the same agency: neither
_RECEIVED: Final = "received"
_SIGNED: Final = "A"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands: `mark` is that of its last evaluation, "" before the first."""

    batch_id: UUID
    label: str
    state: str
    mark: str


def batch_id_of(raw_id: UUID, label: str, sealing: Sealing) -> UUID:
    """Give a batch's id: the same table of the same file always has the same."""
    secret = sealing.keyring.symmetric(Purpose.MAC).secret
    return UUID(bytes=hmac_sha256(secret, b"batch|" + raw_id.bytes + label.encode())[:16])


def ensure(tx: Transaction, batch_id: UUID, raw_id: UUID, outcome: TableOutcome, *, as_of: date) -> Batch:
    """Find or make the batch of one table."""
    tx.execute(
        "INSERT INTO batch (batch_id, raw_id, label, state, as_of, rows, accepted, warned, quarantined, rejected,"
        " codes, totals, evaluations) VALUES (%s, %s, %s, %s, %s, 0, 0, 0, 0, 0, '{}', '{}', 0)"
        " ON CONFLICT (raw_id, label) DO NOTHING",
        (batch_id, raw_id, outcome.label, _RECEIVED, as_of),
    )
    row = tx.execute("SELECT label, state, totals FROM batch WHERE batch_id = %s", (batch_id,)).fetchone()
    label, state, totals = row or (outcome.label, _RECEIVED, {})
    return Batch(batch_id, label, state, totals.get("mark", ""))


def mark_of(outcome: TableOutcome, sealing: Sealing) -> str:
    """Digest, under a key, what an evaluation decided of every row, with which values and on which basis."""
    facts = canonical([outcome.label, outcome.blocked, outcome.rows, _codes(outcome)])
    if outcome.quality == _SIGNED:
        facts += b"|signed"  # the same rows under a signature are better ones
    secret = sealing.keyring.symmetric(Purpose.MAC).secret
    mark = hmac_sha256(secret, b"evaluation|" + facts)
    for frame in outcome.frames():
        mark = hmac_sha256(secret, mark + hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return mark.hex()


def settle(tx: Transaction, batch: Batch, outcome: TableOutcome, mark: str, *, now: datetime) -> None:
    """Write what an evaluation decided over what the one before it did."""
    counts = {end.value: outcome.counts.get(end.value, 0) for end in Outcome}
    tx.execute(
        "UPDATE batch SET source = %s, class_code = %s, kind = %s, project = %s, state = %s, blocked_code = %s,"
        " rows = %s, accepted = %s, warned = %s, quarantined = %s, rejected = %s, codes = %s, amount_fen = %s,"
        " totals = %s, evaluations = evaluations + 1, evaluated_at = %s,"
        " published_at = CASE WHEN %s THEN coalesce(published_at, %s) END WHERE batch_id = %s",
        (
            outcome.source,
            outcome.class_code,
            outcome.kind,
            outcome.project,
            BLOCKED if outcome.blocked else PUBLISHED,
            outcome.blocked,
            outcome.rows,
            counts["accepted"],
            counts["warned"],
            counts["quarantined"],
            counts["rejected"],
            Jsonb(_codes(outcome)),
            outcome.amount_fen,
            Jsonb(_totals(outcome, mark)),
            now,
            outcome.blocked is None,
            now,
            batch.batch_id,
        ),
    )


def end(tx: Transaction, batch_id: UUID, state: str) -> None:
    """Take a batch out of what is weighed: recalled or replaced. Its quarantined rows go."""
    tx.execute("UPDATE batch SET state = %s WHERE batch_id = %s", (state, batch_id))
    tx.execute("DELETE FROM quarantine_row WHERE batch_id = %s", (batch_id,))


def end_absorbed(tx: Transaction, raw_id: UUID, labels: Sequence[str]) -> None:
    """Take blocked batches out that a later weighing of their file no longer has: their rows stand in another one.

    So it is where a sender has said of a heading what it is, and two sheets became one table.
    """
    tx.execute(
        "UPDATE batch SET state = %s WHERE raw_id = %s AND state = %s AND label <> ALL(%s)",
        (REPLACED, raw_id, BLOCKED, list(labels)),
    )


def newest(tx: Transaction) -> dict[str, tuple[datetime | None, str | None]]:
    """Give, by source, when a batch of it was last published, and the code if the newest one of ours is blocked.

    Ours are those that feeds fetched or the operator gave: what some agency uploads and gets back blocked is between
    it and us, and says nothing of the source.
    """
    rows = tx.execute(
        "SELECT b.source, max(b.published_at), (array_agg(b.blocked_code ORDER BY b.evaluated_at DESC)"
        " FILTER (WHERE f.channel <> 'upload'))[1] FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE b.source IS NOT NULL AND b.evaluated_at IS NOT NULL GROUP BY b.source"
    ).fetchall()
    return {source: (published, blocked) for source, published, blocked in rows}


def standing(tx: Transaction) -> list[TableOutcome]:
    """Give every batch's last evaluation, without rows: what a report is made of, in the order the files came."""
    rows = tx.execute(
        "SELECT b.label, b.rows, b.source, b.class_code, b.kind, b.project, b.blocked_code, b.accepted, b.warned,"
        " b.quarantined, b.rejected, b.codes, b.amount_fen FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE b.evaluated_at IS NOT NULL ORDER BY f.received_at, f.raw_id, b.label"
    ).fetchall()
    return [
        TableOutcome(
            label=row[0],
            rows=row[1],
            source=row[2],
            class_code=row[3],
            kind=row[4],
            project=row[5],
            blocked=row[6],
            counts=dict(zip(("accepted", "warned", "quarantined", "rejected"), row[7:11], strict=True)),
            codes=row[11],
            amount_fen=row[12],
        )
        for row in rows
    ]


def agencies(tx: Transaction, batch_ids: Collection[UUID]) -> dict[UUID, str]:
    """Say which agency delivered each batch, by the name that stands in its delivery; "" for the operator."""
    rows = tx.execute(
        "SELECT b.batch_id, f.agency FROM batch b JOIN raw_file f USING (raw_id) WHERE b.batch_id = ANY(%s)",
        (list(batch_ids),),
    )
    return dict(rows.fetchall())


def codes_of_agency(tx: Transaction, agency: str) -> dict[UUID, dict[str, int]]:
    """Count rows by code for each batch that an agency delivered, as the file alone gives them; a blocked one once."""
    rows = tx.execute(
        "SELECT b.batch_id, b.totals->'apparent', b.blocked_code FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE f.agency = %s AND b.evaluated_at IS NOT NULL ORDER BY f.received_at, b.label",
        (agency,),
    )
    found: dict[UUID, dict[str, int]] = {}
    for batch_id, codes, blocked in rows:
        counted: dict[str, int] = {blocked: 1} if blocked else {}
        for by_code in (codes or {}).values():
            for code, count in by_code.items():
                if code:
                    counted[code] = counted.get(code, 0) + count
        found[batch_id] = counted
    return found


def _totals(outcome: TableOutcome, mark: str) -> dict[str, object]:
    return {
        "mark": mark,
        "controls": _controls(outcome),
        "unread": list(outcome.unread),
        "apparent": outcome.apparent,
        "people": outcome.people,
    }


def _codes(outcome: TableOutcome) -> dict[str, dict[str, int]]:
    return {end: dict(codes) for end, codes in outcome.codes.items()}


def _controls(outcome: TableOutcome) -> list[dict[str, object]]:
    """Say where the declared totals stand and whether they agree; of grand totals of many rows, also their figures.

    A subtotal of one household is that household's amount, whether or not it consented, and two totals over nearly
    the same rows give away what they differ by. So figures are kept of one set of rows only, the whole table, and only
    if these are many. Whoever reads them (the provider's door) has the table's own sender before it.
    """
    return [
        {
            "sheet": control.sheet,
            "row_no": control.row_no,
            "column": control.column,
            "agrees": control.agrees,
        }
        | ({"declared": control.declared, "ours": control.ours} if _tells_of_nobody(control, outcome) else {})
        for control in outcome.controls
    ]


def _tells_of_nobody(control: Control, outcome: TableOutcome) -> bool:
    return control.covers == outcome.rows and outcome.tells_of_nobody
