"""Sealed writes: the only way into the registry. Nothing here gives plaintext out.

A publication is made in three acts, so that a crash anywhere leaves a batch either absent or complete:

  1. `open_publication`: a row that says whence the records come; visible to nobody
  2. `stage`, once a chunk: seal, commit to, and copy in the records that are new or changed
  3. `publish`: one short transaction; records become visible and the chunks' roots enter the log

What is staged and never published is taken away by `discard_unpublished`, which a re-run calls first.

A record is superseded, never overwritten: the same identity (by the catalogue) with another payload
is its next version; with the same payload it is nothing new. Kinds that the catalogue calls a
`snapshot` are replaced as a set, per subject and period.

Not here: opening (`disclosure`), deciding who may have what (`consent`), reading files (`connectors`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

from registry import log, merkle
from registry.canonical import canonical
from registry.catalogue import Kind, current
from registry.database import Transaction
from registry.datakeys import DataKeys
from registry.identifiers import Identifier
from registry.keyring import Keyring, Purpose
from registry.records import (
    NewRecord,
    Provenance,
    RecordRef,
    VisibleRecord,
    identity_bytes,
)
from registry.sealing import Ready, new_ids, seal_rows
from registry.suites import Suite, hmac_sha256_each

PUBLISHED = "registry:records:published"  # docs/events.md

_RECORD_COLUMNS = (
    "subject_id, record_id, version, kind, identity_mac, payload_mac, sealed, commitment, publication_id,"
    " chunk_id, chunk_position, sheet, row_no, period, valid_from, valid_to, basis, quality, remark"
)
_COPY_TYPES = [
    "uuid", "uuid", "int4", "varchar", "bytea", "bytea", "bytea", "bytea", "uuid",
    "uuid", "int4", "varchar", "int4", "varchar", "date", "date", "varchar", "varchar", "varchar",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagedChunk:
    """What became of a chunk: `stored` new versions under `root`, `unchanged` rows that were there already."""

    chunk_id: UUID
    root: bytes
    stored: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class _Latest:
    record_id: UUID
    version: int
    payload_mac: bytes
    gone: bool  # frozen, or not published: the same payload must be stored again


@dataclass(frozen=True, slots=True)
class Sealing:
    """What is needed to seal: keys of subjects, the keyring, and the suite in force."""

    keys: DataKeys
    keyring: Keyring
    suite: Suite


# ---- subjects -------------------------------------------------------------------------------------------------------


def lookup(tx: Transaction, keyring: Keyring, identifiers: Collection[Identifier]) -> dict[str, UUID]:
    """Find subjects by identifier; those that are not known are absent from the answer."""
    tokens = _tokens(keyring, identifiers)
    rows = tx.execute("SELECT token, subject_id FROM subject_lookup WHERE token = ANY(%b)", (list(tokens),)).fetchall()
    return {tokens[token]: subject_id for token, subject_id in rows}


def ensure_subjects(
    tx: Transaction, keyring: Keyring, identifiers: Collection[Identifier], *, now: datetime
) -> dict[str, UUID]:
    """Find subjects by identifier, making those that are not known yet."""
    found = lookup(tx, keyring, identifiers)
    new = {i.text: i for i in identifiers if i.text not in found}
    if new:
        key = keyring.symmetric(Purpose.LOOKUP)
        tokens = hmac_sha256_each(key.secret, map(_lookup_message, new.values()))
        rows = [(uuid4(), token, i.kind.value) for token, i in zip(tokens, new.values(), strict=True)]
        rows.sort(key=itemgetter(1))  # one order everywhere, so that two makers cannot lock each other out
        tx.execute(
            "WITH made AS (SELECT * FROM unnest(%b::uuid[], %b::bytea[], %b::text[]) AS n(s, t, k)),"
            " known AS (INSERT INTO subject (subject_id, kind, created_at) SELECT s, k, %s FROM made)"
            " INSERT INTO subject_lookup (token, token_key, subject_id, since) SELECT t, %s, s, %s FROM made"
            " ON CONFLICT (token, token_key) DO NOTHING",
            (*(list(column) for column in zip(*rows, strict=True)), now, key.key_id, now),
        )
        found |= lookup(tx, keyring, list(new.values()))
    return found


def _lookup_message(identifier: Identifier) -> bytes:
    return f"{identifier.kind.value}|{identifier.text}".encode()


def _tokens(keyring: Keyring, identifiers: Collection[Identifier]) -> dict[bytes, str]:
    """Give every keyed hash under which one of these may be known, and whose it is."""
    texts, messages = [i.text for i in identifiers], [_lookup_message(i) for i in identifiers]
    tokens: dict[bytes, str] = {}
    for key in keyring.symmetric_all(Purpose.LOOKUP):
        tokens.update(zip(hmac_sha256_each(key.secret, messages), texts, strict=True))
    return tokens


# ---- publications ---------------------------------------------------------------------------------------------------


def open_publication(tx: Transaction, batch_id: UUID, provenance: Provenance, *, raw_sm3: bytes, now: datetime) -> None:
    """Step 1: say whence the records of `provenance.publication_id` come. They stay unseen until `publish`."""
    tx.execute(
        "INSERT INTO publication (publication_id, batch_id, source, publisher, class_code, catalogue_version,"
        " raw_sha256, raw_sm3, as_of, started_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
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


def stage(
    tx: Transaction, sealing: Sealing, provenance: Provenance, records: Sequence[NewRecord], *, now: datetime
) -> StagedChunk:
    """Step 2: seal and copy in the records of one chunk that are new or changed.

    All records of a snapshot kind for one subject and period must come in one chunk. Data keys are made
    durable in the key store before anything is sealed under them.
    """
    payloads = [canonical(dict(record.payload)) for record in records]
    identities, payload_macs = _macs(sealing.keyring.symmetric(Purpose.MAC).secret, records, payloads)
    latest = _latest(tx, provenance.publication_id, records, identities)
    changed = _changed(tx, provenance.publication_id, records, identities, payload_macs, latest, current().kinds)
    keys = sealing.keys.ensure({records[i].subject_id for i in changed}, now=now) if changed else {}
    refs = _refs(records, identities, payload_macs, changed, latest)
    ready = [Ready(records[i], ref, keys[ref.subject_id], payloads[i]) for i, ref in zip(changed, refs, strict=True)]

    chunk_id, commitments = uuid4(), list[bytes]()
    copy_sql = f"COPY record ({_RECORD_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with tx.cursor() as cursor, cursor.copy(copy_sql) as copy:
        copy.set_types(_COPY_TYPES)
        sealing_rows = seal_rows(sealing.suite, provenance, ready)  # the server takes in one while the next is sealed
        for i, (record, ref, _, _), (sealed, commitment) in zip(changed, ready, sealing_rows, strict=True):
            copy.write_row(
                (
                    ref.subject_id, ref.record_id, ref.version, record.kind, identities[i], payload_macs[i], sealed,
                    commitment, provenance.publication_id, chunk_id, len(commitments), record.sheet, record.row_no,
                    record.period, record.valid_from, record.valid_to, record.basis.text, record.quality, record.remark,
                )
            )  # fmt: skip
            commitments.append(commitment)
    root = merkle.root(merkle.leaf_hashes(commitments))
    if commitments:
        tx.execute(
            "INSERT INTO record_chunk (chunk_id, publication_id, root, size, commitments) VALUES (%s, %s, %s, %s, %s)",
            (chunk_id, provenance.publication_id, root, len(commitments), b"".join(commitments)),
        )
    return StagedChunk(chunk_id, root, len(commitments), len(records) - len(commitments))


def _macs(
    key: bytes, records: Sequence[NewRecord], payloads: Sequence[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Give each record's keyed hash of what makes it "the same again", and of its payload."""
    kinds = current().kinds
    identities = hmac_sha256_each(key, [identity_bytes(record, kinds[record.kind]) for record in records])
    return identities, hmac_sha256_each(key, payloads)


def _refs(
    records: Sequence[NewRecord],
    identities: Sequence[bytes],
    payload_macs: Sequence[bytes],
    changed: Sequence[int],
    latest: dict[bytes, _Latest],
) -> list[RecordRef]:
    """Number the versions that are stored, each after what stands under its identity, in `latest` or in this chunk."""
    refs = []
    for i, fresh in zip(changed, new_ids(len(changed)), strict=True):
        previous = latest.get(identities[i])
        record_id, version = (previous.record_id, previous.version + 1) if previous else (fresh, 1)
        latest[identities[i]] = _Latest(record_id, version, payload_macs[i], gone=False)
        refs.append(RecordRef(records[i].subject_id, record_id, version))
    return refs


def _latest(
    tx: Transaction, publication_id: UUID, records: Sequence[NewRecord], identities: Sequence[bytes]
) -> dict[bytes, _Latest]:
    """Read what stands under each identity. What another publication has only staged counts for nothing but its number.

    A broken-off publication may yet be discarded: taking its records for held would lose the row that is here now.
    LATERAL with LIMIT makes it one probe of the index for each row; a plain join is planned as a scan of all records.
    """
    rows = tx.execute(
        "SELECT n.i, held.* FROM unnest(%b::uuid[], %b::bytea[]) AS n(s, i), LATERAL ("
        " SELECT r.record_id, max(r.version) OVER (), r.payload_mac,"
        " r.frozen_at IS NOT NULL OR NOT (p.published_at IS NOT NULL OR p.publication_id = %s)"
        " FROM record r JOIN publication p USING (publication_id) WHERE r.subject_id = n.s AND r.identity_mac = n.i"
        " ORDER BY p.published_at IS NOT NULL OR p.publication_id = %s DESC, r.version DESC LIMIT 1) AS held",
        ([r.subject_id for r in records], list(identities), publication_id, publication_id),
    ).fetchall()
    return {row[0]: _Latest(*row[1:]) for row in rows}


def _changed(  # the columns of one chunk, side by side
    tx: Transaction,
    publication_id: UUID,
    records: Sequence[NewRecord],
    identities: Sequence[bytes],
    payload_macs: Sequence[bytes],
    latest: Mapping[bytes, _Latest],
    kinds: Mapping[str, Kind],
) -> list[int]:
    """Say which rows must be stored: not those that stand there already, unfrozen, with the same payload.

    Nor those that this batch has published before: when it is weighed again, what a later file has corrected since
    must not come back.
    """
    before = _published_by_this_batch(tx, publication_id, records, identities)
    sets: dict[tuple[UUID, str, str], list[int]] = defaultdict(list)
    changed = []
    for i, record in enumerate(records):
        if kinds[record.kind].snapshot:
            sets[record.subject_id, record.kind, record.period].append(i)
            continue
        known = latest.get(identities[i])
        if (identities[i], payload_macs[i]) in before:
            continue
        if known is None or known.gone or known.payload_mac != payload_macs[i]:
            changed.append(i)
    standing = _standing_sets(tx, list(sets))
    for key, members in sets.items():
        given = {(identities[i], payload_macs[i]) for i in members}
        if not given <= before and standing.get(key) != given:
            changed += members
    return sorted(changed)


def _published_by_this_batch(
    tx: Transaction, publication_id: UUID, records: Sequence[NewRecord], identities: Sequence[bytes]
) -> set[tuple[bytes, bytes]]:
    """Read which of these identities the same batch has published before, unfrozen, and with what payload."""
    rows = tx.execute(
        "SELECT r.identity_mac, r.payload_mac FROM record r"
        " JOIN unnest(%b::uuid[], %b::bytea[]) AS n(s, i) ON r.subject_id = n.s AND r.identity_mac = n.i"
        " JOIN publication p USING (publication_id)"
        " WHERE p.published_at IS NOT NULL AND r.frozen_at IS NULL"
        " AND p.batch_id = (SELECT batch_id FROM publication WHERE publication_id = %b)",
        ([record.subject_id for record in records], list(identities), publication_id),
    ).fetchall()
    return {(identity, payload) for identity, payload in rows}


def _standing_sets(
    tx: Transaction, keys: Sequence[tuple[UUID, str, str]]
) -> dict[tuple[UUID, str, str], set[tuple[bytes, bytes]]]:
    """Read, for each subject, kind and period, the set that its last publication left."""
    standing: dict[tuple[UUID, str, str], set[tuple[bytes, bytes]]] = defaultdict(set)
    if keys:
        rows = tx.execute(
            "WITH wanted AS (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS n(s, k, p)), held AS ("
            " SELECT r.subject_id, r.kind, r.period, r.identity_mac, r.payload_mac, dense_rank() OVER ("
            "   PARTITION BY r.subject_id, r.kind, r.period ORDER BY p.published_at DESC, p.publication_id) AS age"
            " FROM record r JOIN wanted w ON (r.subject_id, r.kind, r.period) = (w.s, w.k, w.p)"
            " JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL)"
            " SELECT subject_id, kind, period, identity_mac, payload_mac FROM held WHERE age = 1",
            tuple(list(column) for column in zip(*keys, strict=True)),
        ).fetchall()
        for subject_id, kind, period, identity, payload in rows:
            standing[subject_id, kind, period].add((identity, payload))
    return standing


# ---- reading what is visible (sealed) -------------------------------------------------------------------------------

_PUBLICATION = 17  # where its columns begin in the rows of _VISIBLE, which are in the order of the values they become
_VISIBLE = (
    "SELECT r.subject_id, r.record_id, r.version, r.kind, r.period, r.quality, r.remark, r.sheet, r.row_no,"
    " r.valid_from, r.valid_to, r.chunk_id, r.chunk_position, r.commitment, r.sealed, r.frozen_at IS NOT NULL, r.basis,"
    " p.publication_id, p.source, p.publisher, p.class_code, p.catalogue_version, p.raw_sha256, p.as_of, p.published_at"
    " FROM record r JOIN publication p USING (publication_id)"
)


def visible(tx: Transaction, wanted: Collection[tuple[UUID, str]]) -> list[VisibleRecord]:
    """Read the standing versions of (subject, kind) pairs, sealed: the latest published one of each record.

    Of a snapshot kind, those of the last publication for each subject and period. Frozen ones are left out.
    """
    subjects, kinds = zip(*sorted(wanted), strict=True) if wanted else ((), ())
    rows = tx.execute(
        _VISIBLE + " JOIN unnest(%s::uuid[], %s::text[]) AS n(s, k) ON r.subject_id = n.s AND r.kind = n.k"
        " WHERE p.published_at IS NOT NULL",
        (list(subjects), list(kinds)),
    ).fetchall()
    return _standing(_visible(rows))


def versions(tx: Transaction, refs: Collection[RecordRef]) -> list[VisibleRecord]:
    """Read exactly these versions again, sealed, in the order of their keys."""
    ordered = sorted(refs, key=lambda ref: (ref.subject_id, ref.record_id, ref.version))
    rows = tx.execute(
        _VISIBLE + " JOIN unnest(%s::uuid[], %s::uuid[], %s::int[]) AS n(s, i, v)"
        " ON (r.subject_id, r.record_id, r.version) = (n.s, n.i, n.v) ORDER BY 1, 2, 3",
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
        records.append(VisibleRecord(RecordRef(*row[:3]), *(*row[3:_PUBLICATION], shared[publication])))
    return records


def _standing(records: Sequence[VisibleRecord]) -> list[VisibleRecord]:
    kinds = current().kinds
    newest: dict[int, VisibleRecord] = {}  # by the record's id as a number, which is hashed and compared faster
    last_set: dict[tuple[UUID, str, str], tuple[datetime, UUID]] = {}
    for record in records:
        held = newest.get(record.ref.record_id.int)
        if held is None or held.ref.version < record.ref.version:
            newest[record.ref.record_id.int] = record
        if kinds[record.kind].snapshot and record.provenance.published_at is not None:
            key = (record.ref.subject_id, record.kind, record.period)
            mark = (record.provenance.published_at, record.provenance.publication_id)
            last_set[key] = max(last_set.get(key, mark), mark)
    standing = [
        record
        for record in newest.values()
        if not record.frozen
        and (
            not kinds[record.kind].snapshot
            or last_set[record.ref.subject_id, record.kind, record.period][1] == record.provenance.publication_id
        )
    ]
    return sorted(standing, key=lambda r: (r.ref.subject_id.int, r.kind, r.period, r.ref.record_id.int))


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


def hold_subjects(tx: Transaction, subjects: Collection[UUID]) -> None:
    """Wait for whoever changes these subjects' consents, and keep them from it until this transaction ends."""
    if subjects:
        tx.execute(
            "SELECT FROM subject WHERE subject_id = ANY(%b) ORDER BY subject_id FOR UPDATE", (list(subjects),)
        ).fetchall()


def freeze(tx: Transaction, subjects: Collection[UUID], kind: str, *, now: datetime) -> int:
    """Freeze subjects' records of a kind that rest on consent; say how many. They are shown to nobody again."""
    return tx.execute(
        "UPDATE record SET frozen_at = %s WHERE subject_id = ANY(%s) AND kind = %s AND frozen_at IS NULL"
        " AND basis LIKE 'consent:%%'",
        (now, list(subjects), kind),
    ).rowcount
