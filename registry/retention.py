"""Shredding what was frozen, when its time is over.

A withdrawal freezes at once (`store.freeze`); the sealed bytes stay for `SHRED_AFTER` only, so that a withdrawal made
by mistake at a counter does not destroy what an agency would have to send again. Then they are gone: the row stays
with its commitment, which nobody can open any more, and the log says which records went.

Not here: raw files (`connectors.intake`), a person's data key (`datakeys.erase`), other retention periods.
"""

from datetime import datetime, timedelta
from typing import Final

from registry import log
from registry.database import Transaction

SHRED_AFTER: Final = timedelta(days=14)  # at most 10 working days; architecture.md, section 4 allows 15
SHREDDED: Final = "registry:records:shredded"  # docs/events.md
AT_ONCE: Final = 1_000  # records in one transaction: their commitments must fit into one entry's fields


def shred_due(tx: Transaction, *, now: datetime) -> int:
    """Destroy the sealed bytes of at most `AT_ONCE` records that were frozen long enough ago; say how many.

    Call again until it returns less than `AT_ONCE`.
    """
    gone = tx.execute(
        "UPDATE record r SET sealed = NULL FROM (SELECT subject_id, record_id, version FROM record"
        " WHERE frozen_at <= %s AND sealed IS NOT NULL ORDER BY 1, 2, 3 LIMIT %s FOR UPDATE) due"
        " WHERE (r.subject_id, r.record_id, r.version) = (due.subject_id, due.record_id, due.version)"
        " RETURNING r.commitment",
        (now - SHRED_AFTER, AT_ONCE),
    ).fetchall()
    if gone:
        fields = {"records": sorted(commitment.hex() for (commitment,) in gone)}
        log.append(tx, [log.Entry(event=SHREDDED, at=now, actor="system", fields=fields)])
    return len(gone)
