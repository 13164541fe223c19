"""The clear side of entries, for whoever may open commitments: what was said, and the seed of its salts.

Whoever has an entry's seed can open every field of its leaf. It leaves this room field by field (`Opening.of`), so
that opening one tells nothing of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from registry.canonical import JSON
from registry.commitments import salt
from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class Opening:
    """One entry's fields and the seed of its salts."""

    fields: dict[str, Any]
    seed: bytes

    def of(self, name: str) -> dict[str, JSON]:
        """Open one field: its salt in hexadecimal and its value."""
        return {"salt": salt(self.seed, name).hex(), "value": self.fields[name]}


def openings(tx: Transaction, entry_ids: Sequence[UUID]) -> dict[UUID, Opening]:
    """Read the clear side of entries; one that is not there is left out."""
    rows = tx.execute(
        "SELECT entry_id, fields, seed FROM log_entry WHERE entry_id = ANY(%s)", (list(entry_ids),)
    ).fetchall()
    return {entry_id: Opening(fields, seed) for entry_id, fields, seed in rows}


def entry_of_query(tx: Transaction, query_id: UUID, event: str) -> UUID | None:
    """Find the entry of one event of a query; None if there is none."""
    row = tx.execute("SELECT entry_id FROM log_entry WHERE query_id = %s AND event = %s", (query_id, event)).fetchone()
    return row[0] if row else None
