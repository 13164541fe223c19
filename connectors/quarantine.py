"""Rows that a person must decide, sealed until somebody does.

A row is sealed under the data key of its subject, so that erasing the person erases it too, and bound to its place in
the batch. What an evaluation quarantines replaces what the one before it did: a row that is right now, or whose basis
has gone, is not kept. Nothing opens them: what a person decides of is read from the sender's own bytes (`apparent`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from connectors.weighed import QuarantinedRow
from registry.canonical import canonical
from registry.database import Transaction
from registry.suites import Suite, seal

_COPY = (
    "COPY quarantine_row (quarantine_id, batch_id, sheet, row_no, code, owner_id, basis, sealed, created_at) FROM STDIN"
)


def replace(  # what a sealed row is made of
    tx: Transaction,
    batch_id: UUID,
    rows: Sequence[tuple[QuarantinedRow, UUID, str]],
    *,
    suite: Suite,
    keys: Mapping[UUID, bytes],
    now: datetime,
) -> None:
    """Keep exactly these rows of a batch, each with its owner (the subject) and the basis on which it may be kept.

    `keys` are the owners' data keys, durable already.
    """
    tx.execute("DELETE FROM quarantine_row WHERE batch_id = %s", (batch_id,))
    with tx.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row, owner, basis in rows:
            plaintext = canonical({"cells": [[heading, text] for heading, text in row.cells.items()]})
            sealed = seal(suite, keys[owner], plaintext, associated_data(batch_id, row.sheet, row.row_no))
            copy.write_row((uuid4(), batch_id, row.sheet, row.row_no, row.code, owner, basis, sealed, now))


def kinds_on_consent(tx: Transaction, owners: Collection[UUID]) -> set[str]:
    """Name the kinds of which quarantined rows of these people rest on consent."""
    rows = tx.execute(
        "SELECT DISTINCT b.kind FROM quarantine_row q JOIN batch b USING (batch_id)"
        " WHERE q.owner_id = ANY(%s) AND q.basis LIKE 'consent:%%' AND b.kind IS NOT NULL",
        (list(owners),),
    ).fetchall()
    return {kind for (kind,) in rows}


def forget(tx: Transaction, owners: Collection[UUID], kind: str) -> int:
    """Delete quarantined rows of people whose consent for this kind has ended; say how many."""
    return tx.execute(
        "DELETE FROM quarantine_row q USING batch b WHERE q.batch_id = b.batch_id AND b.kind = %s"
        " AND q.owner_id = ANY(%s) AND q.basis LIKE 'consent:%%'",
        (kind, list(owners)),
    ).rowcount


def associated_data(batch_id: UUID, sheet: str, row_no: int) -> bytes:
    """Bind a sealed row to its place."""
    return canonical(["quarantine", str(batch_id), sheet, row_no])
