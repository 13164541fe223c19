"""What a record is, before it is sealed and after it is opened. Pure.

A record's commitment binds its header (which source said it, in which row of which file), and a salted
digest of each of its fields and of the random id of its subject. Whoever is given some fields and their salts can
check them against the commitment and learns nothing of the others; whoever has only the commitment learns nothing at
all.

  sealed plaintext = canonical {"fields": {name: value}, "seed": base64url of 16 random bytes}
  salts            = a hash of seed and field name each (registry.commitments)
  commitment       = SHA-256 over canonical {"header": …, "fields": {name: digest}}, "subject" being one of the names

The seal authenticates beside its plaintext the record's place, header and commitment, and what stands beside these in
clear: basis, remark, validity (`associated_data`). None of the clear columns that a decision or an answer rests on can
be changed in the database without the record refusing to open. Not bound are only `frozen_at` and, being of the
publication, when it was published: they decide whether a record is shown, not what it says.

The seed lies sealed with the fields: when a subject's data key is erased, the commitment in the log
stays and can be opened by nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self
from uuid import UUID

from registry.basis import Basis
from registry.canonical import canonical
from registry.catalogue import Kind
from registry.commitments import SUBJECT

NOBODY = UUID(int=0)  # the subject of nothing: nobody is ever given this id

Value = str | int | bool | None
Payload = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A row that intake holds to be a record, not yet sealed.

    `payload` has catalogue field names; money in fen, areas in 1/10000 亩, dates as ISO text.
    `period` is what the record speaks of (`2026`, `2026-Q1`, `2026-03-31`), `sheet` and `row_no` the row of the
    file, counted from 1 as the sender's program shows it. `identity` are the values of the kind's identity fields where
    the payload may not hold them all (R-05): the same row is the same record under a narrower consent too.
    """

    subject_id: UUID
    kind: str
    payload: Payload
    row_no: int
    basis: Basis
    quality: str
    period: str
    remark: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    sheet: str = ""
    identity: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """Many new records side by side, as `NewRecord` has them one by one; every column has a value for each record.

    `fields` are the payloads by catalogue name; where a column has None, the record has no such field, unless
    `present` says by name which records have it. `identity` are
    the values of the identity fields of each record's kind. `bases` are written, `subjects` are ids of 16 bytes.
    """

    subjects: Sequence[bytes]
    kinds: Sequence[str]
    fields: Mapping[str, Sequence[Value]] = field(repr=False)
    identity: Sequence[Sequence[Value]] = field(repr=False)
    row_nos: Sequence[int]
    sheets: Sequence[str]
    bases: Sequence[str]
    qualities: Sequence[str]
    periods: Sequence[str]
    remarks: Sequence[str | None]
    valid_from: Sequence[date | None]
    valid_to: Sequence[date | None]
    present: Mapping[str, Sequence[bool]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """How many records."""
        return len(self.subjects)

    @classmethod
    def of(cls, records: Sequence[NewRecord], kinds: Mapping[str, Kind]) -> Self:
        """Put records side by side."""
        names = dict.fromkeys(name for record in records for name in record.payload)
        return cls(
            subjects=[record.subject_id.bytes for record in records],
            kinds=[record.kind for record in records],
            fields={name: [record.payload.get(name) for record in records] for name in names},
            identity=[identity_of(record, kinds[record.kind]) for record in records],
            row_nos=[record.row_no for record in records],
            sheets=[record.sheet for record in records],
            bases=[record.basis.text for record in records],
            qualities=[record.quality for record in records],
            periods=[record.period for record in records],
            remarks=[record.remark for record in records],
            valid_from=[record.valid_from for record in records],
            valid_to=[record.valid_to for record in records],
            present={name: [name in record.payload for record in records] for name in names},
        )


@dataclass(frozen=True, slots=True)
class RecordRef:
    """The key of one version of one record."""

    subject_id: UUID
    record_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a publication's records come from; shared by all of them.

    `sender` is the organisation that delivered them, "" for the operator: it decides what a recall may hide, and is
    told to nobody.
    """

    publication_id: UUID
    source: str
    publisher: str
    class_code: str
    catalogue_version: str
    raw_sha256: bytes
    as_of: date
    published_at: datetime | None = None
    sender: str = ""


@dataclass(frozen=True, slots=True)
class VisibleRecord:
    """A published version, still sealed, with what may be said of it in clear."""

    ref: RecordRef
    kind: str
    period: str
    quality: str
    remark: str | None
    sheet: str
    row_no: int
    valid_from: date | None
    valid_to: date | None
    chunk_id: UUID
    chunk_position: int
    commitment: bytes
    sealed: bytes | None
    frozen: bool
    basis: str
    provenance: Provenance
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class Proving:
    """What evidence shows of an opened record: the salts of its subject and the fields asked for, all digests."""

    salts: Mapping[str, bytes]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record with the fields that were asked for in clear; `proving` is there if it was opened for evidence."""

    visible: VisibleRecord
    header: Mapping[str, str | int]
    fields: Payload = field(repr=False)
    proving: Proving | None = field(default=None, repr=False)


def header(
    kind: str, provenance: Provenance, *, sheet: str, row_no: int, period: str, quality: str
) -> dict[str, str | int]:
    """Say what a record's commitment binds besides its fields. No personal data."""
    return {
        **_of_publication(provenance),
        "kind": kind,
        "period": period,
        "quality": quality,
        "row": row_no,
        "sheet": sheet,
    }


def headers(records: Sequence[VisibleRecord]) -> list[dict[str, str | int]]:
    """Say of each of these records what `header` says; what records of one publication share is written once."""
    shared: dict[int, dict[str, str | int]] = {}
    said = []
    for one in records:
        mark = id(one.provenance)
        if mark not in shared:
            shared[mark] = _of_publication(one.provenance)
        said.append(
            {
                **shared[mark],
                "kind": one.kind,
                "period": one.period,
                "quality": one.quality,
                "row": one.row_no,
                "sheet": one.sheet,
            }
        )
    return said


def _of_publication(provenance: Provenance) -> dict[str, str | int]:
    return {
        "as_of": provenance.as_of.isoformat(),
        "catalogue": provenance.catalogue_version,
        "publisher": provenance.publisher,
        "raw_sha256": provenance.raw_sha256.hex(),
        "source": provenance.source,
    }


def committed(fields: Payload, subject_id: UUID) -> dict[str, Value]:
    """Say what a record commits to by name: its fields and whose it is.

    Raises:
        ValueError: a field has the name that is kept for the subject.
    """
    if SUBJECT in fields:
        raise ValueError("no field of a record may be named like its subject")
    return {**fields, SUBJECT: str(subject_id)}


def beside(basis: str, remark: str | None, valid_from: date | None, valid_to: date | None) -> dict[str, str | None]:
    """Say what the seal binds besides header and fields; it enters no commitment."""
    return {
        "basis": basis,
        "remark": remark,
        "valid_from": valid_from.isoformat() if valid_from else None,
        "valid_to": valid_to.isoformat() if valid_to else None,
    }


def associated_data(
    ref: RecordRef, said: Mapping[str, str | int], commitment: bytes, stated: Mapping[str, str | None]
) -> bytes:
    """Bind a sealed payload to its place, its commitment, its header `said` and what is `stated` beside them.

    It cannot be moved to another subject or version, nor can what stands beside it in clear be changed. Header and
    `beside` have no name in common.
    """
    place = b"record\x00" + ref.subject_id.bytes + ref.record_id.bytes + ref.version.to_bytes(4)
    return place + commitment + canonical({**said, **stated})  # all but the last have fixed lengths


def identity_bytes(record: NewRecord, kind: Kind) -> bytes:
    """Say what makes "the same record again": the kind's identity fields, and of a snapshot kind the period too."""
    period = record.period if kind.snapshot else None
    return canonical([str(record.subject_id), record.kind, period, list(identity_of(record, kind))])


def identity_of(record: NewRecord, kind: Kind) -> tuple[Value, ...]:
    """Give the values of a record's identity fields: as told, else those of its payload."""
    return record.identity if record.identity is not None else tuple(map(record.payload.get, kind.identity))
