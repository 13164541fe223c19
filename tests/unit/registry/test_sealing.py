"""Records sealed by the hundred are those that are sealed one by one."""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple
from uuid import UUID

import orjson
import pytest

from registry.arrays import new_ids
from registry.basis import Basis, BasisKind
from registry.canonical import canonical, unb64url
from registry.catalogue import current
from registry.commitments import commit_fields, record_commitment
from registry.errors import SealBroken
from registry.records import (
    NewRecord,
    Payload,
    Provenance,
    RecordColumns,
    RecordRef,
    associated_data,
    beside,
    committed,
    header,
)
from registry.sealing import Ready, Written, seal_records
from registry.suites import Suite, gm, intl, random_bytes, unseal

SAID = Provenance(UUID(int=1), "bench", "某局", "SUBSIDY", "2026-01", b"\x01" * 32, date(2026, 6, 15))
PAYLOADS: list[Payload] = [
    {"project": "草原生态保护补助奖励", "amount_paid": 902_250, "paid_on": "2026-05-08"},
    {"payee_name": 'A"\\\n', "amount_paid": -1},
    {},
]


class Row(NamedTuple):
    record: NewRecord
    ref: RecordRef
    key: bytes


def ready() -> list[Row]:
    rows = []
    for number in range(6):
        payload = PAYLOADS[number % 3]
        basis = Basis(BasisKind.CONSENT, "1")
        kind, quality, period = "SUBSIDY" if number % 2 else "RATING", "AB"[number % 2], f"202{number % 3}"
        record = NewRecord(UUID(int=number), kind, payload, 5 + number, basis, quality, period)
        ref = RecordRef(record.subject_id, UUID(int=100 + number), 1 + number)
        rows.append(Row(record, ref, random_bytes(32)))
    return rows


def sealed(suite: Suite, rows: list[Row]) -> Iterator[tuple[Row, bytes, bytes]]:
    found = seal_records(columns(suite, rows))
    yield from zip(rows, found.sealed, found.commitments, strict=True)


def columns(suite: Suite, rows: list[Row]) -> Ready:
    one = RecordColumns.of([row.record for row in rows], current().kinds)
    return Ready(
        suite=suite.name,
        provenance=SAID,
        chunk_id=UUID(int=9),
        subjects=one.subjects,
        record_ids=[row.ref.record_id.bytes for row in rows],
        versions=[row.ref.version for row in rows],
        identity_macs=[bytes([number]) * 32 for number in range(len(rows))],
        payload_macs=[bytes(32)] * len(rows),
        kinds=one.kinds,
        row_nos=one.row_nos,
        sheets=one.sheets,
        bases=one.bases,
        qualities=one.qualities,
        periods=one.periods,
        remarks=one.remarks,
        valid_from=one.valid_from,
        valid_to=one.valid_to,
        written=Written(one.fields, len(rows), one.present),
        keys=[row.key for row in rows],
    )


@pytest.mark.parametrize("suite", [intl, gm], ids=lambda suite: str(suite.name))
def test_each_row_opens_to_the_canonical_plaintext_and_matches_its_commitment(suite: Suite) -> None:
    for row, bytes_, commitment in sealed(suite, ready()):
        record = row.record
        said = header(
            record.kind, SAID, sheet=record.sheet, row_no=record.row_no, period=record.period, quality=record.quality
        )
        stated = beside(record.basis.text, None, None, None)
        plaintext = unseal(row.key, bytes_, associated_data(row.ref, said, commitment, stated))
        opened = orjson.loads(plaintext)
        assert opened["fields"] == record.payload
        assert plaintext == canonical(opened)
        assert commitment == record_commitment(
            said, commit_fields(unb64url(opened["seed"]), committed(opened["fields"], row.ref.subject_id))
        )


def test_a_sealed_row_opens_neither_in_another_place_nor_under_another_key() -> None:
    rows = ready()
    (first, bytes_, commitment), (other, *_), *_ = sealed(intl, rows)
    record = first.record
    said = header(
        record.kind, SAID, sheet=record.sheet, row_no=record.row_no, period=record.period, quality=record.quality
    )
    for key, ref in ((first.key, other.ref), (other.key, first.ref)):
        with pytest.raises(SealBroken):
            unseal(key, bytes_, associated_data(ref, said, commitment, beside(record.basis.text, None, None, None)))


def test_no_two_rows_share_a_seed_and_no_two_ids_are_alike() -> None:
    rows = [ready()[0]] * 50
    assert len({commitment for _, _, commitment in sealed(intl, rows)}) == 50
    ids = new_ids(1000)
    assert len(set(ids)) == 1000
    assert {UUID(bytes=one).version for one in ids} == {4}


def test_fields_that_are_null_are_told_from_fields_that_are_not_there() -> None:
    held = Written({"a": [None, 1, None], "b": ["x", "y", "z"]}, 3, {"a": [True, True, False]})
    assert held.payloads == [b'{"a":null,"b":"x"}', b'{"a":1,"b":"y"}', b'{"b":"z"}']
    assert Written({"a": [None, 1]}, 2).payloads == [b"{}", b'{"a":1}']


def test_records_with_the_same_fields_are_found_whatever_others_have() -> None:
    """Twenty columns: two everybody has, two nobody, and the others by patterns that differ in one field only."""
    everybody, nobody, patterns = ["a", "b"], ["x", "y"], [range(16), range(1, 16), range(15)]
    held = [{*everybody, *(f"f{number:02}" for number in patterns[row % 3])} for row in range(9)]
    names = [*everybody, *nobody, *(f"f{number:02}" for number in range(16))]
    written = Written({name: [row if name in fields else None for row, fields in enumerate(held)] for name in names}, 9)
    assert written.payloads == [canonical(dict.fromkeys(fields, row)) for row, fields in enumerate(held)]
    assert sorted(pattern.members for pattern in written.patterns) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
