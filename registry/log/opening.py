"""The clear side of entries, for whoever may open commitments: what was said, and the seed of its salts.

What can be opened is all that the leaf commits to: an entry's own fields and its ids, under the names that
`entry.committed_values` gives them.

Whoever has an entry's seed can open every field of its leaf. It leaves this room field by field (`Opening.of`), so
that opening one tells nothing of the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from registry.canonical import JSON
from registry.commitments import salt
from registry.database import Transaction
from registry.log.entry import Entry, committed_values


@dataclass(frozen=True, slots=True)
class Opening:
    """What one entry commits to, by name, and the seed of its salts."""

    values: Mapping[str, JSON]
    seed: bytes

    def of(self, name: str) -> dict[str, JSON]:
        """Open one field, or one of the entry's ids: its salt in hexadecimal and its value.

        Raises:
            KeyError: the entry commits to nothing of this name.
        """
        return {"salt": salt(self.seed, name).hex(), "value": self.values[name]}


def openings(tx: Transaction, entry_ids: Sequence[UUID]) -> dict[UUID, Opening]:
    """Read the clear side of entries; one that is not there is left out."""
    rows = tx.execute(
        "SELECT seed, event, at, actor, fields, subject_id, consent_id, query_id, entry_id FROM log_entry"
        " WHERE entry_id = ANY(%s)",
        (list(entry_ids),),
    ).fetchall()
    entries = [(Entry(*columns), seed) for seed, *columns in rows]
    return {entry.entry_id: Opening(committed_values(entry), seed) for entry, seed in entries}


def entry_of_query(tx: Transaction, query_id: UUID, event: str) -> UUID | None:
    """Find the entry of one event of a query; None if there is none."""
    row = tx.execute("SELECT entry_id FROM log_entry WHERE query_id = %s AND event = %s", (query_id, event)).fetchone()
    return row[0] if row else None
