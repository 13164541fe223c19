"""Entries of the log and how they are appended: in the transaction of the act they tell of, in one round trip.

An entry has a clear side (row of `log_entry`: ids and plain facts, for auditors) and a leaf (what is hashed, published
and proven): event and time in clear, everything else as salted commitments (`registry.commitments`). The leaf is

  canonical({"at": "2026-06-15T02:03:04.000005Z", "event": "release:query:permitted", "fields": {name: hex}, "v": 1})

and waits in `log_queue` for its number (`registry.log.sequencer`). Committed beside the entry's own fields are, where
present, `actor`, `consent_id`, `entry_id`, `query_id`, `subject_id`; so an entry's own fields cannot have these names.
Not done here: no commit, no number, no hash; personal data does not belong in fields either.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import orjson

from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.commitments import SEED_BYTES, commit_fields
from registry.database import Transaction
from registry.suites import random_bytes
from registry.tiles import MAX_ENTRY_BYTES

LEAF_VERSION: Final = 1
RESERVED_FIELDS: Final = frozenset({"actor", "consent_id", "entry_id", "query_id", "subject_id"})
_EVENT: Final = re.compile("[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*){1,2}")
_APPEND: Final = """
WITH given AS (
    SELECT * FROM ROWS FROM (json_to_recordset(%b::text::json) AS (
        entry_id uuid, event text, at timestamptz, actor text, subject_id uuid, consent_id text, query_id uuid,
        fields jsonb, seed text, leaf text
    )) WITH ORDINALITY AS given(
        entry_id, event, at, actor, subject_id, consent_id, query_id, fields, seed, leaf, place
    )
), kept AS (
    INSERT INTO log_entry (entry_id, event, at, actor, subject_id, consent_id, query_id, fields, seed)
    SELECT entry_id, event, at, actor, subject_id, consent_id, query_id, fields, decode(seed, 'hex') FROM given
)
INSERT INTO log_queue (entry_id, leaf) SELECT entry_id, convert_to(leaf, 'UTF8') FROM given ORDER BY place
"""
_APPEND_ONE: Final = """
WITH kept AS (
    INSERT INTO log_entry (entry_id, event, at, actor, subject_id, consent_id, query_id, fields, seed)
    VALUES (%b, %s, %b, %s, %b, %s, %b, %s, %b)
)
INSERT INTO log_queue (entry_id, leaf) VALUES (%b, %b)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        event: `source:subject:action`, as listed in docs/events.md.
        at: aware instant.
        actor: who did it: a client id, a staff id, `system`.
        fields: facts as JSON values; no personal data, none of `RESERVED_FIELDS`.
    """

    event: str
    at: datetime
    actor: str
    fields: Mapping[str, JSON]
    subject_id: UUID | None = None
    consent_id: str | None = None
    query_id: UUID | None = None
    entry_id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        """Refuse an entry that could not be told apart or committed to."""
        _require_event(self.event)
        if not RESERVED_FIELDS.isdisjoint(self.fields):
            raise ValueError("an entry's fields cannot be named like the entry's own columns")


class Appended(NamedTuple):
    """What became of one entry: its id and the leaf that waits for a number."""

    entry_id: UUID
    leaf: bytes


@lru_cache(maxsize=256)
def _require_event(event: str) -> None:
    if not _EVENT.fullmatch(event):
        raise ValueError("an event is named source:subject:action")


def committed_values(entry: Entry) -> dict[str, JSON]:
    """Return everything the leaf commits to, by name: the entry's fields and its ids."""
    values: dict[str, JSON] = {"actor": entry.actor, "entry_id": str(entry.entry_id), **entry.fields}
    if entry.consent_id is not None:
        values["consent_id"] = entry.consent_id
    if entry.query_id is not None:
        values["query_id"] = str(entry.query_id)
    if entry.subject_id is not None:
        values["subject_id"] = str(entry.subject_id)
    return values


def leaf_for(entry: Entry, seed: bytes) -> bytes:
    """Return the leaf of an entry under its seed of 16 bytes.

    Raises:
        CanonicalError: a field outside the canonical profile.
        ValueError: the leaf is longer than an entry bundle can hold (65 535 bytes).
    """
    leaf = canonical(
        {
            "at": rfc3339(entry.at),
            "event": str(entry.event),
            "fields": commit_fields(seed, committed_values(entry)),
            "v": LEAF_VERSION,
        },
    )
    if len(leaf) > MAX_ENTRY_BYTES:
        raise ValueError("an entry with too many fields for one leaf")
    return leaf


def append(tx: Transaction, entries: Sequence[Entry]) -> list[Appended]:
    """Append entries to the caller's transaction, in order; they exist only if that commits.

    One statement for all of them. Returns each entry's id and leaf, in order.

    Raises:
        CanonicalError: a field outside the canonical profile. Nothing was written.
        psycopg.Error: the statement failed; the transaction is lost.
    """
    if not entries:
        return []
    if len(entries) == 1:
        return [_append_one(tx, entries[0])]
    pool = random_bytes(SEED_BYTES * len(entries))
    seeds = [pool[at : at + SEED_BYTES] for at in range(0, len(pool), SEED_BYTES)]
    leaves = [leaf_for(entry, seed) for entry, seed in zip(entries, seeds, strict=True)]
    given = [
        {
            "entry_id": entry.entry_id,
            "event": str(entry.event),
            "at": entry.at,
            "actor": entry.actor,
            "subject_id": entry.subject_id,
            "consent_id": entry.consent_id,
            "query_id": entry.query_id,
            "fields": entry.fields,
            "seed": seed.hex(),
            "leaf": leaf.decode(),
        }
        for entry, seed, leaf in zip(entries, seeds, leaves, strict=True)
    ]
    tx.execute(_APPEND, (orjson.dumps(given).decode(),))  # one text: an array a column costs the driver more
    return [Appended(entry.entry_id, leaf) for entry, leaf in zip(entries, leaves, strict=True)]


def _append_one(tx: Transaction, entry: Entry) -> Appended:
    """Append one entry; the path of a single query, where preparing arrays would cost more than the rest."""
    seed = random_bytes(SEED_BYTES)
    leaf = leaf_for(entry, seed)
    tx.execute(
        _APPEND_ONE,
        (
            entry.entry_id,
            entry.event,
            entry.at,
            entry.actor,
            entry.subject_id,
            entry.consent_id,
            entry.query_id,
            orjson.dumps(entry.fields).decode(),
            seed,
            entry.entry_id,
            leaf,
        ),
    )
    return Appended(entry.entry_id, leaf)
