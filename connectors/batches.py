"""Batches: one table of a raw file, what became of its rows, and where the sender should look.

A batch keeps counts, codes and totals; remarks keep row, column and code, never a value, and never NO_CONSENT. `mark`
is a keyed digest of what an evaluation decided: the same again changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pandas.util import hash_pandas_object
from psycopg.types.json import Jsonb

from connectors.codes import Outcome
from connectors.normalise import TableOutcome
from registry.canonical import canonical
from registry.database import Transaction
from registry.keyring import Purpose
from registry.store import Sealing
from registry.suites import hmac_sha256

PUBLISHED: Final = "published"
BLOCKED: Final = "blocked"
_RECEIVED: Final = "received"
_REMARKS = 'COPY batch_remark (batch_id, row_no, sheet, outcome, code, "column") FROM STDIN'


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
    rows = b"" if outcome.frame.empty else hash_pandas_object(outcome.frame, index=False).to_numpy().tobytes()
    return hmac_sha256(sealing.keyring.symmetric(Purpose.MAC).secret, b"evaluation|" + facts + rows).hex()


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
            Jsonb({"mark": mark, "controls": _controls(outcome), "unread": list(outcome.unread)}),
            now,
            outcome.blocked is None,
            now,
            batch.batch_id,
        ),
    )
    tx.execute("DELETE FROM batch_remark WHERE batch_id = %s", (batch.batch_id,))
    if outcome.frame.empty:
        return
    remarked = outcome.frame.loc[outcome.frame["code"] != "", ["row_no", "sheet", "outcome", "code", "column"]]
    with tx.cursor() as cursor, cursor.copy(_REMARKS) as copy:
        for row_no, sheet, end, code, column in remarked.itertuples(index=False):
            copy.write_row((batch.batch_id, int(row_no), sheet, end, code, column or None))


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


def remarks(tx: Transaction, batch_id: UUID) -> list[Mapping[str, Any]]:
    """Give the rows of a batch that the sender should look at."""
    rows = tx.execute(
        'SELECT sheet, row_no, outcome, code, "column" FROM batch_remark WHERE batch_id = %s ORDER BY sheet, row_no',
        (batch_id,),
    ).fetchall()
    return [dict(zip(("sheet", "row_no", "outcome", "code", "column"), row, strict=True)) for row in rows]


def _codes(outcome: TableOutcome) -> dict[str, dict[str, int]]:
    return {end: dict(codes) for end, codes in outcome.codes.items()}


def _controls(outcome: TableOutcome) -> list[dict[str, str | int | bool]]:
    """Say where the declared totals stand and whether they agree, never their figures.

    A subtotal of one household is that household's amount, whether or not it consented.
    """
    return [
        {
            "sheet": control.sheet,
            "row_no": control.row_no,
            "column": control.column,
            "agrees": control.agrees,
        }
        for control in outcome.controls
    ]
