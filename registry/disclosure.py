"""Opening sealed records. Only `exchange.release` may import this module (import contract `one-gate`).

Not here: whether a record may be opened. Whoever calls has decided and logged that first.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import orjson

from registry.canonical import unb64url
from registry.commitments import commit_fields, record_commitment, salt
from registry.datakeys import DataKeys
from registry.errors import ProofFailed
from registry.records import OpenedRecord, VisibleRecord, associated_data, header
from registry.suites import unseal


def open_records(keys: DataKeys, wanted: Sequence[tuple[VisibleRecord, AbstractSet[str]]]) -> list[OpenedRecord]:
    """Open each record's permitted fields, and check all of it against the commitment in the log.

    Args:
        keys: where the subjects' data keys are asked for, anew each time.
        wanted: records with the names of the fields that may be seen. A name that the record does not have is
            simply absent from the answer.

    Raises:
        KeyMissing: a subject's data key has been erased, or the record has been shredded.
        ProofFailed: the stored bytes are not those that were committed to.
    """
    if not wanted:
        return []
    found = keys.get({record.ref.subject_id for record, _ in wanted})
    return [_open(found[record.ref.subject_id], record, names) for record, names in wanted]


def _open(key: bytes, record: VisibleRecord, names: AbstractSet[str]) -> OpenedRecord:
    if record.sealed is None:
        raise ProofFailed("a record's sealed bytes are gone although it was not frozen")
    plain: Mapping[str, Mapping[str, str | int | bool | None]] = orjson.loads(
        unseal(key, record.sealed, associated_data(record.ref, record.kind))
    )
    fields, seed = plain["fields"], unb64url(str(plain["seed"]))
    digests = commit_fields(seed, fields)
    said = header(record.kind, record.provenance, row_no=record.row_no, period=record.period, quality=record.quality)
    if record_commitment(said, digests) != record.commitment:
        raise ProofFailed("an opened record does not match its commitment")
    seen = {name: value for name, value in fields.items() if name in names}
    return OpenedRecord(record, seen, {name: salt(seed, name) for name in seen}, digests)
