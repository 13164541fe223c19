"""Publications: opened, made visible, read. With `staging`, the only way into the registry; gives no plaintext out.

A publication is made in three acts, so that a crash anywhere leaves a batch either absent or complete:

  1. `open_publication`: a row that says whence the records come; visible to nobody
  2. `Stager`, once a chunk: seal, commit to, and copy in the records that are new or changed (`staging`)
  3. `publish`: one short transaction; records become visible and the chunks' roots enter the log

What is staged and never published is taken away by `discard_unpublished`, which a re-run calls first.

Whoever uses the store finds subjects and stages chunks through it too (`subjects`, `staging`).
Not here: opening (`disclosure`), deciding who may have what (`consent`), reading files (`connectors`).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry import log, merkle
from registry.arrays import Ids
from registry.catalogue import current
from registry.database import Transaction
from registry.records import Provenance, RecordRef, VisibleRecord
from registry.staging import Sealing, StagedChunk, Stager, Staging, identities_of, stage
from registry.subjects import ensure_ids, ensure_subjects, hold_ids, hold_subjects, ids_of, lookup

__all__ = [
    "PUBLISHED",
    "ChunkProofSource",
    "Sealing",
    "StagedChunk",
    "Stager",
    "Staging",
    "chunks",
    "discard_unpublished",
    "ensure_ids",
    "ensure_subjects",
    "freeze",
    "hold_ids",
    "hold_subjects",
    "identities_of",
    "ids_of",
    "kinds_on_consent",
    "lookup",
    "nothing_published",
    "open_publication",
    "publish",
    "stage",
    "versions",
    "visible",
]

PUBLISHED = "registry:records:published"  # docs/events.md


# ---- publications ---------------------------------------------------------------------------------------------------


def open_publication(tx: Transaction, batch_id: UUID, provenance: Provenance, *, raw_sm3: bytes, now: datetime) -> None:
    """Step 1: say whence the records of `provenance.publication_id` come. They stay unseen until `publish`."""
    tx.execute(
        "INSERT INTO publication (publication_id, batch_id, source, publisher, class_code, catalogue_version,"
        " raw_sha256, raw_sm3, as_of, sender, started_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            provenance.publication_id,
            batch_id,
            provenance.source,
            provenance.publisher,
            provenance.class_code,
            provenance.catalogue_version,
            provenance.raw_sha256,
            raw_sm3,
            provenance.as_of,
            provenance.sender,
            now,
        ),
    )


def discard_unpublished(tx: Transaction, batch_id: UUID) -> int:
    """Take away what a broken-off run of this batch had staged; say how many records that were."""
    unpublished = "SELECT publication_id FROM publication WHERE batch_id = %s AND published_at IS NULL"
    gone = tx.execute(f"DELETE FROM record WHERE publication_id IN ({unpublished})", (batch_id,)).rowcount  # noqa: S608  # a constant
    tx.execute(f"DELETE FROM record_chunk WHERE publication_id IN ({unpublished})", (batch_id,))  # noqa: S608  # a constant
    tx.execute("DELETE FROM publication WHERE batch_id = %s AND published_at IS NULL", (batch_id,))
    return gone


def publish(tx: Transaction, provenance: Provenance, *, now: datetime) -> int:
    """Step 3: make a publication's records visible and put its chunks' roots into the log; say how many chunks."""
    chunks = tx.execute(
        "SELECT chunk_id, root, size FROM record_chunk WHERE publication_id = %s ORDER BY chunk_id",
        (provenance.publication_id,),
    ).fetchall()
    tx.execute("UPDATE publication SET published_at = %s WHERE publication_id = %s", (now, provenance.publication_id))
    entries = [
        log.Entry(
            event=PUBLISHED,
            at=now,
            actor=provenance.source,
            fields={"records_root": root.hex(), "records": size, "raw_sha256": provenance.raw_sha256.hex()},
        )
        for _, root, size in chunks
    ]
    appended = log.append(tx, entries)
    tx.execute(
        "UPDATE record_chunk SET entry_id = n.e FROM unnest(%s::uuid[], %s::uuid[]) AS n(c, e) WHERE chunk_id = n.c",
        ([chunk_id for chunk_id, _, _ in chunks], [a.entry_id for a in appended]),
    )
    return len(chunks)


def nothing_published(source: str, raw_sha256: bytes, *, now: datetime) -> log.Entry:
    """Write of a publication without records what `publish` writes of a chunk, for acts that always leave a trace."""
    fields: dict[str, Any] = {"records_root": merkle.root([]).hex(), "records": 0, "raw_sha256": raw_sha256.hex()}
    return log.Entry(event=PUBLISHED, at=now, actor=source, fields=fields)


# ---- reading what is visible (sealed) -------------------------------------------------------------------------------

_PUBLICATION = 18  # where its columns begin in the rows of _VISIBLE, which are in the order of the values they become
_RECALLED = _PUBLICATION - 1
_VISIBLE = (
    "SELECT r.subject_id, r.record_id, r.version, r.kind, r.period, r.quality, r.remark, r.sheet, r.row_no,"
    " r.valid_from, r.valid_to, r.chunk_id, r.chunk_position, r.commitment, r.sealed, r.frozen_at IS NOT NULL, r.basis,"
    " r.recalled_at IS NOT NULL,"
    " p.publication_id, p.source, p.publisher, p.class_code, p.catalogue_version, p.raw_sha256, p.as_of,"
    " p.published_at, p.sender"
    " FROM unnest({wanted}) AS n(s, {names})"
    # OFFSET 0: one probe of an index for each; joined plainly, a few among many are sought by reading all records
    " CROSS JOIN LATERAL (SELECT * FROM record WHERE subject_id = n.s AND {which} OFFSET 0) AS r"
    " JOIN publication p USING (publication_id)"
)
_OF_KINDS = _VISIBLE.format(wanted="%b::uuid[], %s::text[]", names="k", which="kind = n.k")
_THESE = _VISIBLE.format(
    wanted="%s::uuid[], %s::uuid[], %s::int[]", names="i, v", which="(record_id, version) = (n.i, n.v)"
)


def visible(tx: Transaction, wanted: Collection[tuple[UUID, str]]) -> list[VisibleRecord]:
    """Read the standing versions of (subject, kind) pairs, sealed: the latest published one of each record.

    Of a snapshot kind, those of the last publication for each subject and period. Frozen and recalled are left out. A
    recall lets nothing older of the same sender come back, and everything of others that the recalled version stood
    before: nobody's record vanishes because somebody else takes one back.
    """
    subjects, kinds = zip(*sorted(wanted), strict=True) if wanted else ((), ())
    rows = tx.execute(
        _OF_KINDS + " WHERE p.published_at IS NOT NULL",
        (Ids([one.bytes for one in subjects]), list(kinds)),
        binary=True,  # sealed bytes and ids as they are, not as texts of twice their length
    ).fetchall()
    return _standing(_visible(rows))


def versions(tx: Transaction, refs: Collection[RecordRef]) -> list[VisibleRecord]:
    """Read exactly these versions again, sealed, in the order of their keys."""
    ordered = sorted(refs, key=lambda ref: (ref.subject_id, ref.record_id, ref.version))
    rows = tx.execute(
        _THESE + " ORDER BY 1, 2, 3",
        (
            [ref.subject_id for ref in ordered],
            [ref.record_id for ref in ordered],
            [ref.version for ref in ordered],
        ),
    ).fetchall()
    return _visible(rows)


def _visible(rows: Sequence[tuple[Any, ...]]) -> list[VisibleRecord]:
    shared: dict[int, Provenance] = {}  # by publication: its records say the same
    records = []
    for row in rows:
        publication: int = row[_PUBLICATION].int
        if publication not in shared:
            shared[publication] = Provenance(*row[_PUBLICATION:])
        records.append(VisibleRecord(RecordRef(*row[:3]), *(*row[3:_RECALLED], shared[publication], row[_RECALLED])))
    return records


def _standing(records: Sequence[VisibleRecord]) -> list[VisibleRecord]:
    kinds = current().kinds
    last_set = _last_sets([record for record in records if kinds[record.kind].snapshot])
    newest: dict[int, VisibleRecord] = {}  # by the record's id as a number, which is hashed and compared faster
    for record in _left(records):
        held = newest.get(record.ref.record_id.int)
        if held is None or held.ref.version < record.ref.version:
            newest[record.ref.record_id.int] = record
    standing = [
        record
        for record in newest.values()
        if not record.frozen
        and (
            not kinds[record.kind].snapshot
            or last_set.get((record.ref.subject_id, record.kind, record.period)) == record.provenance.publication_id
        )
    ]
    return sorted(standing, key=lambda r: (r.ref.subject_id.int, r.kind, r.period, r.ref.record_id.int))


def _left(records: Sequence[VisibleRecord]) -> Sequence[VisibleRecord]:
    """Leave out what is recalled, and what the same sender said of the same record before."""
    ended: dict[tuple[int, str], int] = {}
    for record in records:
        if record.recalled:
            key = (record.ref.record_id.int, record.provenance.sender)
            ended[key] = max(ended.get(key, 0), record.ref.version)
    if not ended:
        return records
    return [
        record
        for record in records
        if record.ref.version > ended.get((record.ref.record_id.int, record.provenance.sender), 0)
    ]


def _last_sets(records: Sequence[VisibleRecord]) -> dict[tuple[UUID, str, str], UUID]:
    """Name the publication whose set stands, by subject, kind and period: the last one of which something is left.

    Where a set is recalled whole, none that its sender published before it comes back.
    """
    sets: dict[tuple[UUID, str, str], dict[tuple[datetime, UUID], tuple[str, bool]]] = defaultdict(dict)
    for record in records:
        said = record.provenance
        if said.published_at is not None:
            found = sets[record.ref.subject_id, record.kind, record.period]
            mark = (said.published_at, said.publication_id)
            found[mark] = (said.sender, not record.recalled or (mark in found and found[mark][1]))
    last: dict[tuple[UUID, str, str], UUID] = {}
    for key, found in sets.items():
        over: set[str] = set()
        for mark in sorted(found, reverse=True):
            sender, left = found[mark]
            if left and sender not in over:
                last[key] = mark[1]
                break
            over.add(sender)
    return last


@dataclass(frozen=True, slots=True)
class ChunkProofSource:
    """What a record's path to its chunk is made of."""

    entry_id: UUID
    commitments: tuple[bytes, ...]


def chunks(tx: Transaction, chunk_ids: Collection[UUID]) -> dict[UUID, ChunkProofSource]:
    """Read published chunks: their log entry and the commitments in order."""
    rows = tx.execute(
        "SELECT chunk_id, entry_id, commitments FROM record_chunk WHERE chunk_id = ANY(%s) AND entry_id IS NOT NULL",
        (list(chunk_ids),),
    ).fetchall()
    return {
        chunk_id: ChunkProofSource(entry_id, tuple(raw[i : i + 32] for i in range(0, len(raw), 32)))
        for chunk_id, entry_id, raw in rows
    }


def kinds_on_consent(tx: Transaction, subjects: Collection[UUID]) -> set[str]:
    """Name the kinds of which unfrozen records of these subjects rest on consent."""
    rows = tx.execute(
        "SELECT DISTINCT kind FROM record WHERE subject_id = ANY(%s) AND frozen_at IS NULL AND basis LIKE 'consent:%%'",
        (list(subjects),),
    ).fetchall()
    return {kind for (kind,) in rows}


def freeze(tx: Transaction, subjects: Collection[UUID], kind: str, *, now: datetime) -> int:
    """Freeze subjects' records of a kind that rest on consent; say how many. They are shown to nobody again."""
    return tx.execute(
        "UPDATE record SET frozen_at = %s WHERE subject_id = ANY(%s) AND kind = %s AND frozen_at IS NULL"
        " AND basis LIKE 'consent:%%'",
        (now, list(subjects), kind),
    ).rowcount
