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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid4

import numpy as np

from registry import merkle
from registry.arrays import HASH_BYTES, ID_BYTES, Hashes, Ids, cut, hyphenated, new_ids
from registry.canonical import canonical
from registry.catalogue import current
from registry.database import Transaction
from registry.datakeys import DataKeys
from registry.keyring import Keyring, Purpose
from registry.records import NOBODY, NewRecord, Provenance, RecordColumns, Value, identity_bytes
from registry.sealing import COLUMNS, COPY_END, COPY_START, Ready, Sealed, Written, seal_records
from registry.suites import Suite, hmac_sha256_each

_SIGNED = "A"
_SetKey = tuple[bytes, str, str]
_RowKey = tuple[bytes, str, int]  # identity, sheet, row
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
    gone: bool = False  # frozen, recalled, replaced, or not published: the same payload must be stored again


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
        latest, ours = _standing(tx, publication_id, records.subjects, identities, self._replaced)
        latest |= {identity: pending[identity] for identity in identities if identity in pending}
        changed = _changed(tx, publication_id, records, identities, payload_macs, latest, ours, self._replaced)
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
    snapshots = {kind for kind in set(records.kinds) if current().kinds[kind].snapshot}
    values: dict[tuple[str, str | None, tuple[Value, ...]], bytes] = {}
    written = []
    for subject, kind, period, told in zip(
        hyphenated(records.subjects, b'["', b'",'),
        records.kinds,
        records.periods,
        records.identity,
        strict=True,
    ):
        key = (kind, period if kind in snapshots else None, tuple(told))
        rest = values.get(key)
        if rest is None:
            rest = values[key] = canonical([*key[:2], list(told)])[1:]
        written.append(subject + rest)
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
    fresh = new_ids(len(changed))
    if not latest and len(set(identities)) == len(identities) == len(changed):  # as in most files: all is new
        latest.update(zip(identities, map(_Latest, fresh, repeat(1), payload_macs), strict=True))
        return fresh, [1] * len(fresh)
    record_ids, numbers = [], []
    for i, new in zip(changed, fresh, strict=True):
        identity = identities[i]
        previous = latest.get(identity)
        record_id, number = (previous.record_id, previous.version + 1) if previous else (new, 1)
        latest[identity] = _Latest(record_id, number, payload_macs[i])
        record_ids.append(record_id)
        numbers.append(number)
    return record_ids, numbers


_STANDING = (
    "SELECT string_agg(r.identity_mac || r.payload_mac || uuid_send(r.record_id) || int4send(r.version)"
    " || boolsend(p.published_at IS NOT NULL OR p.publication_id = ours.publication_id)"
    " || boolsend(r.frozen_at IS NOT NULL OR r.recalled_at IS NOT NULL OR p.batch_id = %b OR p.sender <> ours.sender)"
    " || boolsend(p.published_at IS NOT NULL AND r.frozen_at IS NULL AND r.recalled_at IS NULL"
    " AND p.batch_id = ours.batch_id), ''::bytea)"
    " FROM unnest(%b::uuid[], %b::bytea[]) AS n(s, i), LATERAL ("
    " SELECT * FROM record r WHERE r.subject_id = n.s AND r.identity_mac = n.i OFFSET 0) AS r"
    " JOIN publication p USING (publication_id), publication ours WHERE ours.publication_id = %b"
)
_NUMBER_BYTES, _FLAGS = 4, 3  # behind identity, payload and id


def _standing(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[bytes],
    identities: Sequence[bytes],
    replaced: UUID = NOBODY,
) -> tuple[dict[bytes, _Latest], set[bytes]]:
    """Read what stands under each identity, and under which the same batch has published something that still stands.

    What another publication has only staged counts for nothing but its number. So does what another sender has
    published: who says the same says it too, and may recall it without the other. A broken-off publication may yet be
    discarded: taking its records for held would lose the row that is here now.

    LATERAL with OFFSET makes it one probe of the index for each row; a plain join is planned as a scan of all records.
    All versions come back, and which of them counts is said here: sorting them there costs each row, also those under
    whose identity nothing stands, three times the probe.
    """
    row = tx.execute(_STANDING, (replaced, Ids(subjects), Hashes(identities), publication_id), binary=True).fetchone()
    run = row[0] if row else None
    if not run:
        return {}, set()
    found = np.frombuffer(run, np.uint8).reshape(-1, 2 * HASH_BYTES + ID_BYTES + _NUMBER_BYTES + _FLAGS)
    numbers = found[:, -_NUMBER_BYTES - _FLAGS : -_FLAGS].copy().view(">i4").ravel()
    order = np.lexsort((numbers, found[:, -_FLAGS]))  # of each identity, what counts most comes last
    found, versions = found[order], numbers[order].tolist()
    counts, gone, ours = found[:, -_FLAGS:].astype(bool).T
    of, payloads, record_ids, _ = zip(
        *cut(found.tobytes(), HASH_BYTES, HASH_BYTES, ID_BYTES, _NUMBER_BYTES + _FLAGS), strict=True
    )
    latest = dict(zip(of, map(_Latest, record_ids, versions, payloads, (~counts | gone).tolist()), strict=True))
    if len(latest) < len(of):  # of some there are several versions: the next one's number comes after all of them
        for identity, version in zip(of, versions, strict=True):
            if version > latest[identity].version:
                latest[identity] = latest[identity]._replace(version=version)
    return latest, {of[at] for at in np.flatnonzero(ours)}


def _changed(  # the columns of one chunk, side by side
    tx: Transaction,
    publication_id: UUID,
    records: RecordColumns,
    identities: Sequence[bytes],
    payload_macs: Sequence[bytes],
    latest: Mapping[bytes, _Latest],
    ours: Collection[bytes],
    replaced: UUID = NOBODY,
) -> list[int]:
    """Say which rows must be stored: not those that stand there already, unfrozen, with the same payload.

    Nor those that this batch has published before: when it is weighed again, what a later file has corrected since
    must not come back. But a row of which it says something else than it did last has been decided of, and is stored:
    also where it is corrected back, and where another file says the same.
    """
    kinds = current().kinds
    if not latest and not any(kinds[kind].snapshot for kind in set(records.kinds)):
        return list(range(len(records)))
    said = _published_by_this_batch(tx, publication_id, records.subjects, identities, ours)
    before = {(identity, payload) for (identity, _, _), payload in said}
    last = dict(said)
    places = list(zip(identities, records.sheets, records.row_nos, strict=True))
    decided = {i for i, place in enumerate(places) if last.get(place, payload_macs[i]) != payload_macs[i]}
    sets: dict[_SetKey, list[int]] = defaultdict(list)
    changed = []
    for i, kind in enumerate(records.kinds):
        if kinds[kind].snapshot:
            sets[records.subjects[i], kind, records.periods[i]].append(i)
            continue
        known = latest.get(identities[i])
        if i not in decided and (identities[i], payload_macs[i]) in before:
            continue
        if i in decided or known is None or known.gone or known.payload_mac != payload_macs[i]:
            changed.append(i)
    standing = _standing_sets(tx, publication_id, list(sets), replaced)
    for key, members in sets.items():
        given = {(identities[i], payload_macs[i]) for i in members}
        if not decided.isdisjoint(members) or (not given <= before and standing.get(key) != given):
            changed += members
    return sorted(changed)


def _published_by_this_batch(
    tx: Transaction,
    publication_id: UUID,
    subjects: Sequence[bytes],
    identities: Sequence[bytes],
    ours: Collection[bytes],
) -> list[tuple[_RowKey, bytes]]:
    """Read what the same batch has published before under identities of `ours`, unfrozen: of which row, what payload.

    The oldest version comes first.
    """
    wanted = list({(subject, one) for subject, one in zip(subjects, identities, strict=True) if one in ours})
    if not wanted:
        return []
    owners, under = zip(*wanted, strict=True)
    rows = tx.execute(
        "SELECT r.identity_mac, r.sheet, r.row_no, r.payload_mac FROM unnest(%b::uuid[], %b::bytea[]) AS n(s, i),"
        " LATERAL (SELECT * FROM record r WHERE r.subject_id = n.s AND r.identity_mac = n.i OFFSET 0) AS r"
        " JOIN publication p USING (publication_id)"
        " WHERE p.published_at IS NOT NULL AND r.frozen_at IS NULL AND r.recalled_at IS NULL"
        " AND p.batch_id = (SELECT batch_id FROM publication WHERE publication_id = %b) ORDER BY r.version",
        (Ids(owners), Hashes(under), publication_id),
        binary=True,
    ).fetchall()
    return [((identity, sheet, row_no), payload) for identity, sheet, row_no, payload in rows]


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
