"""Staging the chunks of a publication: which records are new or changed, which version each is, under which key.

A record is superseded, never overwritten: the same identity (by the catalogue) with another payload
is its next version; with the same payload it is nothing new. Kinds that the catalogue calls a
`snapshot` are replaced as a set, per subject and period.

All of it is done column by column, a chunk in one statement each; ids are 16 bytes, not objects. What is staged is
visible to nobody (`store.publish`). Its transactions may commit without waiting for the disk (`written_later`): the
commit that publishes waits, and what was logged before it is on disk with it.

Not here: publications (`store`), how a record is sealed (`sealing`), who it is about (`subjects`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid4

from registry import merkle
from registry.arrays import HASH_BYTES, ID_BYTES, Hashes, Ids, cut, new_ids
from registry.canonical import canonical
from registry.catalogue import Kind, current
from registry.database import Transaction
from registry.datakeys import DataKeys
from registry.keyring import Keyring, Purpose
from registry.records import NOBODY, NewRecord, Provenance, RecordColumns, Value, identity_bytes
from registry.sealing import COLUMNS, COPY_END, COPY_START, Ready, Sealed, Written, hyphenated, seal_records
from registry.suites import Suite, hmac_sha256_each

_SIGNED = "A"
_SetKey = tuple[bytes, str, str]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StagedChunk:
    """What became of a chunk: `stored` new versions under `root`, `unchanged` rows that were there already."""

    chunk_id: UUID
    root: bytes
    stored: int
    unchanged: int


class _Latest(NamedTuple):
    record_id: bytes
    version: int
    payload_mac: bytes
    gone: bool  # frozen, recalled, replaced, or not published: the same payload must be stored again


@dataclass(frozen=True, slots=True)
class Sealing:
    """What is needed to seal: keys of subjects, the keyring, and the suite in force."""

    keys: DataKeys
    keyring: Keyring
    suite: Suite


@dataclass(frozen=True, slots=True)
class Staging:
    """A chunk whose records have their place: `ready` to be sealed, by whoever has the time for it."""

    ready: Ready
    unchanged: int


def written_later(tx: Transaction) -> None:
    """Let this transaction's commit not wait for the disk.

    For what counts for nothing until a later commit that does wait: the server's log is written in order, so that
    whatever that commit makes durable, this one is durable before. A crash in between leaves it absent.
    """
    tx.execute("SET LOCAL synchronous_commit = off")


class Stager:
    """Stages the chunks of one publication. A chunk may be sealed elsewhere while the next one is prepared.

    What was prepared and is not yet `written` counts as standing, so that versions are numbered as if one chunk were
    written after the other. One thread prepares, another may write. `replaced` is a batch that this one takes the place
    of: what it holds counts as gone.
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
        pending = self._pending.copy()  # before the database is asked: what is gone from it by then stands there
        latest = _latest(tx, publication_id, records.subjects, identities, self._replaced)
        latest |= {identity: pending[identity] for identity in identities if identity in pending}
        changed = _changed(
            tx, publication_id, records, identities, payload_macs, latest, current().kinds, self._replaced
        )
        owners = _taken(records.subjects, changed)
        keys = sealing.keys.ensure_ids(set(owners), now=self._now) if owners else {}
        record_ids, numbers = _numbered(identities, payload_macs, changed, latest)
        for i in changed:
            self._pending[identities[i]] = latest[identities[i]]
        ready = Ready(
            suite=sealing.suite.name,
            provenance=self._provenance,
            chunk_id=uuid4(),
            subjects=owners,
            record_ids=record_ids,
            versions=numbers,
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
        return StagedChunk(ready.chunk_id, root, len(commitments), staging.unchanged)

    def written(self, staging: Staging) -> None:
        """Forget a chunk whose transaction has been committed: from now on the database tells of it."""
        for identity, record_id, number in zip(
            staging.ready.identity_macs, staging.ready.record_ids, staging.ready.versions, strict=True
        ):
            held = self._pending.get(identity)
            if held is not None and (held.record_id, held.version) == (record_id, number):
                del self._pending[identity]


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
        written.append(b'["' + hyphenated(subject) + b'",' + rest)
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


def _numbered(
    identities: Sequence[bytes], payload_macs: Sequence[bytes], changed: Sequence[int], latest: dict[bytes, _Latest]
) -> tuple[list[bytes], list[int]]:
    """Number the versions that are stored, each after what stands under its identity, in `latest` or in this chunk."""
    record_ids, numbers = [], []
    for i, fresh in zip(changed, new_ids(len(changed)), strict=True):
        identity = identities[i]
        previous = latest.get(identity)
        record_id, number = (previous.record_id, previous.version + 1) if previous else (fresh, 1)
        latest[identity] = _Latest(record_id, number, payload_macs[i], gone=False)
        record_ids.append(record_id)
        numbers.append(number)
    return record_ids, numbers


_STANDING = (
    "SELECT string_agg(n.i || held.payload_mac || uuid_send(held.record_id) || int4send(held.version)"
    " || boolsend(held.gone), ''::bytea) FROM unnest(%b::uuid[], %b::bytea[]) AS n(s, i), LATERAL ("
    " SELECT r.record_id, max(r.version) OVER () AS version, r.payload_mac,"
    " r.frozen_at IS NOT NULL OR r.recalled_at IS NOT NULL OR p.batch_id = %b"
    " OR p.sender <> (SELECT sender FROM publication WHERE publication_id = %b)"
    " OR NOT (p.published_at IS NOT NULL OR p.publication_id = %b) AS gone"
    " FROM record r JOIN publication p USING (publication_id) WHERE r.subject_id = n.s AND r.identity_mac = n.i"
    " ORDER BY p.published_at IS NOT NULL OR p.publication_id = %b DESC, r.version DESC LIMIT 1) AS held"
)


def _latest(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[bytes],
    identities: Sequence[bytes],
    replaced: UUID = NOBODY,
) -> dict[bytes, _Latest]:
    """Read what stands under each identity. What another publication has only staged counts for nothing but its number.

    So does what another sender has published: who says the same says it too, and may recall it without the other.
    A broken-off publication may yet be discarded: taking its records for held would lose the row that is here now.
    LATERAL with LIMIT makes it one probe of the index for each row; a plain join is planned as a scan of all records.
    """
    row = tx.execute(
        _STANDING,
        (Ids(subjects), Hashes(identities), replaced, publication_id, publication_id, publication_id),
        binary=True,
    ).fetchone()
    found = cut(row[0] if row else None, HASH_BYTES, HASH_BYTES, ID_BYTES, 4, 1)
    return {
        identity: _Latest(record_id, int.from_bytes(version), payload_mac, gone != b"\x00")
        for identity, payload_mac, record_id, version, gone in found
    }


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
    if not latest and not any(kinds[kind].snapshot for kind in set(records.kinds)):
        return list(range(len(records)))
    before = _published_by_this_batch(tx, publication_id, records.subjects, identities, latest)
    sets: dict[_SetKey, list[int]] = defaultdict(list)
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
    standing = _standing_sets(tx, publication_id, list(sets), replaced)
    for key, members in sets.items():
        given = {(identities[i], payload_macs[i]) for i in members}
        if not given <= before and standing.get(key) != given:
            changed += members
    return sorted(changed)


def _published_by_this_batch(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[bytes],
    identities: Sequence[bytes],
    latest: Mapping[bytes, _Latest],
) -> set[tuple[bytes, bytes]]:
    """Read which of these identities the same batch has published before, unfrozen, and with what payload.

    Only under identities where something stands can there be something.
    """
    wanted = [(subject, one) for subject, one in zip(subjects, identities, strict=True) if one in latest]
    if not wanted:
        return set()
    owners, under = zip(*wanted, strict=True)
    row = tx.execute(
        "SELECT string_agg(r.identity_mac || r.payload_mac, ''::bytea) FROM record r"
        " JOIN unnest(%b::uuid[], %b::bytea[]) AS n(s, i) ON r.subject_id = n.s AND r.identity_mac = n.i"
        " JOIN publication p USING (publication_id)"
        " WHERE p.published_at IS NOT NULL AND r.frozen_at IS NULL AND r.recalled_at IS NULL"
        " AND p.batch_id = (SELECT batch_id FROM publication WHERE publication_id = %b)",
        (Ids(owners), Hashes(under), publication_id),
        binary=True,
    ).fetchone()
    return {(identity, payload) for identity, payload in cut(row[0] if row else None, HASH_BYTES, HASH_BYTES)}


def _standing_sets(
    tx: Transaction, publication_id: UUID, keys: Sequence[_SetKey], replaced: UUID = NOBODY
) -> dict[_SetKey, set[tuple[bytes, bytes]]]:
    """Read, for each subject, kind and period, the set that its last publication left, if the sender is the same."""
    standing: dict[_SetKey, set[tuple[bytes, bytes]]] = defaultdict(set)
    if keys:
        subjects, kinds, periods = (list(column) for column in zip(*keys, strict=True))
        rows = tx.execute(
            "WITH wanted AS (SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[]) AS n(s, k, p)), held AS ("
            " SELECT r.subject_id, r.kind, r.period, r.identity_mac, r.payload_mac, r.recalled_at, p.batch_id,"
            "   p.sender, dense_rank() OVER ("
            "   PARTITION BY r.subject_id, r.kind, r.period ORDER BY p.published_at DESC, p.publication_id) AS age"
            " FROM record r JOIN wanted w ON (r.subject_id, r.kind, r.period) = (w.s, w.k, w.p)"
            " JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL)"
            " SELECT uuid_send(subject_id), kind, period, identity_mac, payload_mac FROM held"
            " WHERE age = 1 AND recalled_at IS NULL AND batch_id <> %b"
            " AND sender = (SELECT sender FROM publication WHERE publication_id = %b)",
            (Ids(subjects), kinds, periods, replaced, publication_id),
            binary=True,
        )
        for subject, kind, period, identity, payload in rows:
            standing[subject, kind, period].add((identity, payload))
    return standing
