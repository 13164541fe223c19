"""Opening sealed records. Only `exchange.release` may import this module (import contract `one-gate`).

What protects an opening:
  * the seal (AES-GCM, SM4-GCM) authenticates the fields together with the record's place, header, commitment, basis,
    remark and validity, under a key that the database does not have (`records.associated_data`): changed or moved rows
    do not open at all
  * with `prove`, for evidence, every field is digested again and the whole compared with the commitment, so that no
    evidence is made that would not verify; it also catches a record that was sealed wrongly by ourselves

Not here: whether a record may be opened. Whoever calls has decided and logged that first.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

import orjson

from registry.canonical import unb64url
from registry.commitments import SUBJECT, commit_fields, record_commitment, salt
from registry.datakeys import DataKeys
from registry.errors import ProofFailed
from registry.identifying import binding
from registry.records import (
    OpenedRecord,
    Proving,
    Value,
    VisibleRecord,
    associated_data,
    beside,
    committed,
    headers,
)
from registry.suites import unseal, unseal_each


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record and the names of the fields that may be seen of it. Names it does not have are absent once opened."""

    record: VisibleRecord
    names: AbstractSet[str]
    prove: bool = False


def open_records(keys: DataKeys, wanted: Sequence[Wanted]) -> list[OpenedRecord]:
    """Open each record's permitted fields.

    Args:
        keys: where the subjects' data keys are asked for, anew each time.
        wanted: what to open; with `prove`, also checked against the commitment, and salts and digests given.

    Raises:
        KeyMissing: a subject's data key has been erased.
        SealBroken: the stored bytes, or the columns beside them, are not those that were sealed.
        ProofFailed: sealed bytes are gone, or do not match what was committed to.
    """
    if not wanted:
        return []
    found = keys.get({one.record.ref.subject_id for one in wanted})
    said = headers([one.record for one in wanted])
    secrets = [found[one.record.ref.subject_id] for one in wanted]  # neighbours are mostly of one subject
    plain = unseal_each(secrets, [_sealed(one.record) for one in wanted], map(_place, wanted, said))
    return list(map(_opened, wanted, said, plain))


def open_identifiers(keys: DataKeys, sealed: Mapping[UUID, bytes]) -> dict[UUID, str]:
    """Open the identifiers of subjects. Those whose data key has been erased are absent: nobody can open them.

    Raises:
        SealBroken: the stored bytes are not those that were sealed for that subject.
    """
    found = keys.standing(sealed.keys()) if sealed else {}
    return {one: unseal(found[one], sealed[one], binding(one)).decode() for one in sealed if one in found}


def _sealed(record: VisibleRecord) -> bytes:
    if record.sealed is None:
        raise ProofFailed("a record's sealed bytes are gone although it was not frozen")
    return record.sealed


def _place(wanted: Wanted, said: Mapping[str, str | int]) -> bytes:
    record = wanted.record
    stated = beside(record.basis, record.remark, record.valid_from, record.valid_to)
    return associated_data(record.ref, said, record.commitment, stated)


def _opened(wanted: Wanted, said: Mapping[str, str | int], unsealed: bytes) -> OpenedRecord:
    record, names = wanted.record, wanted.names
    plain = orjson.loads(unsealed)
    fields: Mapping[str, Value] = plain["fields"]
    seen = {name: value for name, value in fields.items() if name in names}
    proving = _proving(record, said, fields, unb64url(plain["seed"]), seen.keys()) if wanted.prove else None
    return OpenedRecord(record, said, seen, proving)


def _proving(
    record: VisibleRecord,
    said: Mapping[str, str | int],
    fields: Mapping[str, Value],
    seed: bytes,
    seen: AbstractSet[str],
) -> Proving:
    digests = commit_fields(seed, committed(fields, record.ref.subject_id))
    if record_commitment(said, digests) != record.commitment:
        raise ProofFailed("an opened record does not match its commitment")
    return Proving({name: salt(seed, name) for name in (*seen, SUBJECT)}, digests)
