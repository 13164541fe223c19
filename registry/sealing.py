"""Sealing many records: commit to each, seal each under its subject's key, write each as a row for COPY. Pure.

This is where intake spends its time, so what records share is written once: the header of equal kind, period and
quality; the canonical payload, which is the fields' part of the sealed plaintext; random bytes, a chunk's at a time.
What comes out is byte for byte what `records` and `commitments` say of one record.

Not here: what is sealed, under which version of which record (`store`); opening (`disclosure`).
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from registry.canonical import b64url
from registry.commitments import SEED_BYTES, commit_fields, record_commitment
from registry.records import NewRecord, Provenance, RecordRef, associated_data, beside, committed, header
from registry.suites import Suite, random_bytes, seal

_UUID_BYTES: Final = 16


class Ready(NamedTuple):
    """A record to be sealed: where it goes, its data key, and its payload as `canonical` wrote it."""

    record: NewRecord
    ref: RecordRef
    key: bytes
    payload: bytes


def seal_rows(suite: Suite, provenance: Provenance, rows: Sequence[Ready]) -> Iterator[tuple[bytes, bytes]]:
    """Give, for each row, its sealed bytes and its commitment."""
    heads: dict[tuple[str, str, str], dict[str, str | int]] = {}
    seeds = random_bytes(SEED_BYTES * len(rows))
    for number, (record, ref, key, payload) in enumerate(rows):
        seed = seeds[number * SEED_BYTES : (number + 1) * SEED_BYTES]
        shared = record.kind, record.period, record.quality
        if shared not in heads:
            heads[shared] = header(
                record.kind, provenance, sheet="", row_no=0, period=record.period, quality=record.quality
            )
        said = heads[shared] | {"row": record.row_no, "sheet": record.sheet}
        commitment = record_commitment(said, commit_fields(seed, committed(record.payload, ref.subject_id)))
        plaintext = b'{"fields":%b,"seed":"%b"}' % (payload, b64url(seed).encode())  # canonical, as its members are
        stated = beside(record.basis.text, record.remark, record.valid_from, record.valid_to)
        yield seal(suite, key, plaintext, associated_data(ref, said, commitment, stated)), commitment


def new_ids(count: int) -> list[UUID]:
    """Make random ids (version 4 of RFC 9562), much faster than one by one."""
    drawn = random_bytes(_UUID_BYTES * count)
    return [UUID(bytes=drawn[at : at + _UUID_BYTES], version=4) for at in range(0, len(drawn), _UUID_BYTES)]
