"""Sealed writes: the only way into the registry. Nothing here gives plaintext out.

A publication is made in three acts, so that a crash anywhere leaves a batch either absent or complete:

  1. `open_publication`: a row that says whence the records come; visible to nobody
  2. `Stager`, once a chunk: seal, commit to, and copy in the records that are new or changed
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
from typing import Any, TypeVar
from uuid import UUID, uuid4

from registry import log, merkle
from registry.canonical import canonical
from registry.catalogue import Kind, current
from registry.database import Transaction
from registry.datakeys import DataKeys
from registry.identifiers import Identifier
from registry.keyring import Keyring, Purpose
from registry.records import (
    NOBODY,
    NewRecord,
    Provenance,
    RecordColumns,
    RecordRef,
    Value,
    VisibleRecord,
    identity_bytes,
)
from registry.sealing import COLUMNS, COPY_END, COPY_START, Ready, Sealed, Written, new_ids, seal_records
from registry.suites import Suite, hmac_sha256_each

PUBLISHED = "registry:records:published"  # docs/events.md

_SIGNED = "A"
_T = TypeVar("_T")


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
    gone: bool  # frozen, recalled, replaced, or not published: the same payload must be stored again


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


@dataclass(frozen=True, slots=True)
class Staging:
    """A chunk whose records have their place: `ready` to be sealed, by whoever has the time for it."""

    ready: Ready
    unchanged: int


class Stager:
    """Stages the chunks of one publication. A chunk may be sealed elsewhere while the next one is prepared.

    What was prepared and not yet written counts as standing, so that versions are numbered as if one chunk were written
    after the other. `replaced` is a batch that this one takes the place of: what it holds counts as gone.
    """

    def __init__(self, sealing: Sealing, provenance: Provenance, *, now: datetime, replaced: UUID = NOBODY) -> None:
        """Take the keys to seal under and whence the records come; the publication is open."""
        self._sealing, self._provenance, self._now, self._replaced = sealing, provenance, now, replaced
        self._pending: dict[bytes, _Latest] = {}

    def prepare(self, tx: Transaction, records: RecordColumns) -> Staging:
        """Find the records of a chunk that are new or changed, number their versions and have their keys.

        All records of a snapshot kind for one subject and period must come in one chunk. Data keys are durable in the
        key store when this returns, before anything is sealed under them.
        """
        sealing, publication_id = self._sealing, self._provenance.publication_id
        written = Written(records.fields, len(records), records.present)
        secret = sealing.keyring.symmetric(Purpose.MAC).secret
        identities = hmac_sha256_each(secret, _identities(records))
        payload_macs = hmac_sha256_each(secret, _stated(written.payloads, records.qualities))
        latest = _latest(tx, publication_id, records.subjects, identities, self._replaced)
        latest |= {identity: self._pending[identity] for identity in identities if identity in self._pending}
        changed = _changed(
            tx, publication_id, records, identities, payload_macs, latest, current().kinds, self._replaced
        )
        owners = [records.subjects[i] for i in changed]
        keys = sealing.keys.ensure(set(owners), now=self._now) if owners else {}
        refs = _refs(records, identities, payload_macs, changed, latest)
        for i in changed:
            self._pending[identities[i]] = latest[identities[i]]
        ready = Ready(
            suite=sealing.suite.name,
            provenance=self._provenance,
            chunk_id=uuid4(),
            subjects=owners,
            record_ids=[ref.record_id for ref in refs],
            versions=[ref.version for ref in refs],
            identity_macs=_taken(identities, changed),
            payload_macs=_taken(payload_macs, changed),
            kinds=_taken(records.kinds, changed),
            row_nos=_taken(records.row_nos, changed),
            sheets=_taken(records.sheets, changed),
            bases=_taken(records.bases, changed),
            qualities=_taken(records.qualities, changed),
            periods=_taken(records.periods, changed),
            remarks=_taken(records.remarks, changed),
            valid_from=_taken(records.valid_from, changed),
            valid_to=_taken(records.valid_to, changed),
            written=written if len(changed) == len(records) else _written_of(records, changed),
            keys=[keys[owner] for owner in owners],
        )
        return Staging(ready, len(records) - len(changed))

    def write(self, tx: Transaction, staging: Staging, sealed: Sealed) -> StagedChunk:
        """Copy a sealed chunk in."""
        ready, commitments = staging.ready, sealed.commitments
        with tx.cursor() as cursor, cursor.copy(f"COPY record ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
            for piece in (COPY_START, sealed.rows, COPY_END):
                copy.write(piece)
        root = merkle.root(merkle.leaf_hashes(commitments))
        if commitments:
            tx.execute(
                "INSERT INTO record_chunk (chunk_id, publication_id, root, size, commitments)"
                " VALUES (%s, %s, %s, %s, %b)",
                (ready.chunk_id, ready.provenance.publication_id, root, len(commitments), b"".join(commitments)),
            )
        for identity in ready.identity_macs:
            self._pending.pop(identity, None)
        return StagedChunk(ready.chunk_id, root, len(commitments), staging.unchanged)


def nothing_published(source: str, raw_sha256: bytes, *, now: datetime) -> log.Entry:
    """Write of a publication without records what `publish` writes of a chunk, for acts that always leave a trace."""
    fields: dict[str, Any] = {"records_root": merkle.root([]).hex(), "records": 0, "raw_sha256": raw_sha256.hex()}
    return log.Entry(event=PUBLISHED, at=now, actor=source, fields=fields)


def stage(
    tx: Transaction,
    sealing: Sealing,
    provenance: Provenance,
    records: Sequence[NewRecord],
    *,
    now: datetime,
    replaced: UUID = NOBODY,
) -> StagedChunk:
    """Step 2 for one chunk of few records, in one go (`Stager`). What the batch `replaced` holds counts as gone."""
    stager = Stager(sealing, provenance, now=now, replaced=replaced)
    staging = stager.prepare(tx, RecordColumns.of(records, current().kinds))
    return stager.write(tx, staging, seal_records(staging.ready))


def _taken(column: Sequence[_T], rows: Sequence[int]) -> Sequence[_T]:
    """Take rows of a column; all of them are the column itself."""
    return column if len(rows) == len(column) else [column[row] for row in rows]


def _written_of(records: RecordColumns, rows: Sequence[int]) -> Written:
    fields = {name: _taken(column, rows) for name, column in records.fields.items()}
    return Written(fields, len(rows), {name: _taken(there, rows) for name, there in records.present.items()})


def _identities(records: RecordColumns) -> list[bytes]:
    """Write what makes each record "the same again", as `records.identity_bytes` does of one."""
    kinds = current().kinds
    values: dict[tuple[str, str | None, tuple[Value, ...]], bytes] = {}
    written = []
    for subject, kind, period, told in zip(
        records.subjects, records.kinds, records.periods, records.identity, strict=True
    ):
        key = (kind, period if kinds[kind].snapshot else None, tuple(told))
        rest = values.get(key)
        if rest is None:
            rest = values[key] = canonical([*key[:2], list(told)])[1:]
        text = subject.hex
        whose = f'["{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}",'
        written.append(whose.encode() + rest)
    return written


def identities_of(sealing: Sealing, records: Sequence[NewRecord]) -> Sequence[bytes]:
    """Give the keyed hash of each record's identity, as records stand under it."""
    kinds = current().kinds
    secret = sealing.keyring.symmetric(Purpose.MAC).secret
    return hmac_sha256_each(secret, [identity_bytes(record, kinds[record.kind]) for record in records])


def _stated(payloads: Sequence[bytes], qualities: Sequence[str]) -> Sequence[bytes]:
    """Give what "the same again" is told by: a payload under its provider's signature (A) is not the same without."""
    if _SIGNED not in qualities:
        return payloads
    return [p + b"|signed" if q == _SIGNED else p for p, q in zip(payloads, qualities, strict=True)]


def _refs(
    records: RecordColumns,
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
        refs.append(RecordRef(records.subjects[i], record_id, version))
    return refs


def _latest(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[UUID],
    identities: Sequence[bytes],
    replaced: UUID = NOBODY,
) -> dict[bytes, _Latest]:
    """Read what stands under each identity. What another publication has only staged counts for nothing but its number.

    A broken-off publication may yet be discarded: taking its records for held would lose the row that is here now.
    LATERAL with LIMIT makes it one probe of the index for each row; a plain join is planned as a scan of all records.
    """
    rows = tx.execute(
        "SELECT n.i, held.* FROM unnest(%b::uuid[], %b::bytea[]) AS n(s, i), LATERAL ("
        " SELECT r.record_id, max(r.version) OVER (), r.payload_mac,"
        " r.frozen_at IS NOT NULL OR r.recalled_at IS NOT NULL OR p.batch_id = %s"
        " OR NOT (p.published_at IS NOT NULL OR p.publication_id = %s)"
        " FROM record r JOIN publication p USING (publication_id) WHERE r.subject_id = n.s AND r.identity_mac = n.i"
        " ORDER BY p.published_at IS NOT NULL OR p.publication_id = %s DESC, r.version DESC LIMIT 1) AS held",
        (list(subjects), list(identities), replaced, publication_id, publication_id),
    ).fetchall()
    return {row[0]: _Latest(*row[1:]) for row in rows}


def _changed(  # the columns of one chunk, side by side
    tx: Transaction,
    publication_id: UUID,
    records: RecordColumns,
    identities: Sequence[bytes],
    payload_macs: Sequence[bytes],
    latest: Mapping[bytes, _Latest],
    kinds: Mapping[str, Kind],
    replaced: UUID = NOBODY,
) -> list[int]:
    """Say which rows must be stored: not those that stand there already, unfrozen, with the same payload.

    Nor those that this batch has published before: when it is weighed again, what a later file has corrected since
    must not come back.
    """
    before = _published_by_this_batch(tx, publication_id, records.subjects, identities, latest)
    sets: dict[tuple[UUID, str, str], list[int]] = defaultdict(list)
    changed = []
    for i, kind in enumerate(records.kinds):
        if kinds[kind].snapshot:
            sets[records.subjects[i], kind, records.periods[i]].append(i)
            continue
        known = latest.get(identities[i])
        if (identities[i], payload_macs[i]) in before:
            continue
        if known is None or known.gone or known.payload_mac != payload_macs[i]:
            changed.append(i)
    standing = _standing_sets(tx, list(sets), replaced)
    for key, members in sets.items():
        given = {(identities[i], payload_macs[i]) for i in members}
        if not given <= before and standing.get(key) != given:
            changed += members
    return sorted(changed)


def _published_by_this_batch(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[UUID],
    identities: Sequence[bytes],
    latest: Mapping[bytes, _Latest],
) -> set[tuple[bytes, bytes]]:
    """Read which of these identities the same batch has published before, unfrozen, and with what payload.

    Only under identities where something stands can there be something.
    """
    wanted = [(subject, one) for subject, one in zip(subjects, identities, strict=True) if one in latest]
    if not wanted:
        return set()
    rows = tx.execute(
        "SELECT r.identity_mac, r.payload_mac FROM record r"
        " JOIN unnest(%b::uuid[], %b::bytea[]) AS n(s, i) ON r.subject_id = n.s AND r.identity_mac = n.i"
        " JOIN publication p USING (publication_id)"
        " WHERE p.published_at IS NOT NULL AND r.frozen_at IS NULL AND r.recalled_at IS NULL"
        " AND p.batch_id = (SELECT batch_id FROM publication WHERE publication_id = %b)",
        (*(list(column) for column in zip(*wanted, strict=True)), publication_id),
    ).fetchall()
    return {(identity, payload) for identity, payload in rows}


def _standing_sets(
    tx: Transaction, keys: Sequence[tuple[UUID, str, str]], replaced: UUID = NOBODY
) -> dict[tuple[UUID, str, str], set[tuple[bytes, bytes]]]:
    """Read, for each subject, kind and period, the set that its last publication left."""
    standing: dict[tuple[UUID, str, str], set[tuple[bytes, bytes]]] = defaultdict(set)
    if keys:
        rows = tx.execute(
            "WITH wanted AS (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS n(s, k, p)), held AS ("
            " SELECT r.subject_id, r.kind, r.period, r.identity_mac, r.payload_mac, r.recalled_at, p.batch_id,"
            "   dense_rank() OVER ("
            "   PARTITION BY r.subject_id, r.kind, r.period ORDER BY p.published_at DESC, p.publication_id) AS age"
            " FROM record r JOIN wanted w ON (r.subject_id, r.kind, r.period) = (w.s, w.k, w.p)"
            " JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL)"
            " SELECT subject_id, kind, period, identity_mac, payload_mac FROM held"
            " WHERE age = 1 AND recalled_at IS NULL AND batch_id <> %s",
            (*(list(column) for column in zip(*keys, strict=True)), replaced),
        ).fetchall()
        for subject_id, kind, period, identity, payload in rows:
            standing[subject_id, kind, period].add((identity, payload))
    return standing


# ---- reading what is visible (sealed) -------------------------------------------------------------------------------

_PUBLICATION = 18  # where its columns begin in the rows of _VISIBLE, which are in the order of the values they become
_RECALLED = _PUBLICATION - 1
_VISIBLE = (
    "SELECT r.subject_id, r.record_id, r.version, r.kind, r.period, r.quality, r.remark, r.sheet, r.row_no,"
    " r.valid_from, r.valid_to, r.chunk_id, r.chunk_position, r.commitment, r.sealed, r.frozen_at IS NOT NULL, r.basis,"
    " r.recalled_at IS NOT NULL,"
    " p.publication_id, p.source, p.publisher, p.class_code, p.catalogue_version, p.raw_sha256, p.as_of, p.published_at"
    " FROM record r JOIN publication p USING (publication_id)"
)


def visible(tx: Transaction, wanted: Collection[tuple[UUID, str]]) -> list[VisibleRecord]:
    """Read the standing versions of (subject, kind) pairs, sealed: the latest published one of each record.

    Of a snapshot kind, those of the last publication for each subject and period. Frozen and recalled are left out.
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
        records.append(VisibleRecord(RecordRef(*row[:3]), *(*row[3:_RECALLED], shared[publication], row[_RECALLED])))
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
        and not record.recalled
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
