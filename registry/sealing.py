"""Sealing many records: commit to each, seal each under its subject's key, lay each out as a row for COPY. Pure.

This is where intake spends its time, so work is done column by column and what records share is written once: names and
headers, dates and sheets, random bytes a chunk at a time. What comes out is byte for byte what `records` and
`commitments` say of one record. A `Ready` can be handed to another process: it holds the data keys of its own records
and no other key.

Not here: what is sealed, under which version of which record (`store`); opening (`disclosure`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from registry.arrays import base64_of, cut, hexadecimal, hyphenated, laid_out, table
from registry.canonical import canonical, canonical_each
from registry.commitments import SEED_BYTES, SUBJECT, commit_column, commit_records
from registry.records import Provenance, Value, beside, header
from registry.suites import Suite, random_bytes, seal_each, suite_named

Mask = npt.NDArray[np.bool_]

_ROW_MARK: Final = b'"row":0,'
_BASIS_MARK: Final = b'"basis":"",'

# ---- what is written of a record ------------------------------------------------------------------------------------


class _Pattern(NamedTuple):
    """Records that have the same fields: which ones, and the written values of each field, in the order of names."""

    names: tuple[str, ...]
    members: list[int]
    columns: list[list[bytes]]


class Written:
    """The fields of many records as `canonical` writes them.

    Where a column has None, the record has no such field; `present` says it otherwise, by name.

    Raises:
        CanonicalError: a value outside the canonical profile.
        ValueError: a field has the name that is kept for the subject.
    """

    def __init__(
        self, fields: Mapping[str, Sequence[Value]], size: int, present: Mapping[str, Sequence[bool]] | None = None
    ) -> None:
        """Write the columns of `size` records."""
        if SUBJECT in fields:
            raise ValueError("no field of a record may be named like its subject")
        self.patterns: list[_Pattern] = []
        self.payloads: list[bytes] = [b"{}"] * size
        names = sorted(fields)
        written = [canonical_each(fields[name]) for name in names]
        for members, held in _alike([_there(fields[name], (present or {}).get(name)) for name in names], size):
            kept = [at for at, there in enumerate(held) if there]
            whole = len(members) == size
            columns = [written[at] if whole else [written[at][row] for row in members] for at in kept]
            pattern = _Pattern(tuple(names[at] for at in kept), members, columns)
            self.patterns.append(pattern)
            if columns:
                template = _object_of(pattern.names, b"%b")
                for row, values in zip(members, zip(*columns, strict=True), strict=True):
                    self.payloads[row] = template % values


def _there(column: Sequence[Value], present: Sequence[bool] | None) -> Mask | None:
    """Say which records have a field; None for all of them."""
    if present is not None:
        return None if all(present) else np.array(present, dtype=bool)
    if None not in column:
        return None
    return np.fromiter((value is not None for value in column), dtype=bool, count=len(column))


def _alike(lacking: Sequence[Mask | None], size: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Give records in groups that have the same fields, with whether each field is there."""
    there = [mask is None or bool(mask.all()) for mask in lacking]
    told = [(at, mask) for at, mask in enumerate(lacking) if mask is not None and not there[at] and mask.any()]
    if not told:  # each column is there for all records or for none, as in most tables
        yield list(range(size)), there
        return
    masks = np.packbits([mask for _, mask in told], axis=0).T.copy()  # the same bytes, the same fields
    patterns, numbers = np.unique(masks.view(f"V{masks.shape[1]}").ravel(), return_inverse=True)
    for number in range(len(patterns)):
        members = np.flatnonzero(numbers == number).tolist()
        held = there.copy()
        for at, mask in told:
            held[at] = bool(mask[members[0]])
        yield members, held


def _object_of(names: Sequence[str], value: bytes) -> bytes:
    """Write a canonical object of these names, `value` standing where each value goes."""
    return b"{" + b",".join(canonical(name) + b":" + value for name in names) + b"}"


# ---- records, ready to be sealed ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Records that have their place: all columns have a value for each.

    Ids of subjects and records are given as 16 bytes; `keys` are the subjects' data keys.
    """

    suite: str
    provenance: Provenance
    chunk_id: UUID
    subjects: Sequence[bytes]
    record_ids: Sequence[bytes]
    versions: Sequence[int]
    identity_macs: Sequence[bytes]
    payload_macs: Sequence[bytes]
    kinds: Sequence[str]
    row_nos: Sequence[int]
    sheets: Sequence[str]
    bases: Sequence[str]
    qualities: Sequence[str]
    periods: Sequence[str]
    remarks: Sequence[str | None]
    valid_from: Sequence[date | None]
    valid_to: Sequence[date | None]
    written: Written = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)

    def __len__(self) -> int:
        """How many records."""
        return len(self.subjects)


class Sealed(NamedTuple):
    """Sealed records: rows for COPY without its frame, the sealed bytes and the commitments of each."""

    rows: bytes
    sealed: list[bytes]
    commitments: list[bytes]


def seal_records(ready: Ready) -> Sealed:
    """Commit to records, seal them and lay them out as rows for COPY in the order of `COLUMNS`."""
    commitments, sealed = _sealed(ready, suite_named(ready.suite))
    return Sealed(_rows(ready, sealed, commitments), sealed, commitments)


def _sealed(ready: Ready, suite: Suite) -> tuple[list[bytes], list[bytes]]:
    drawn = random_bytes(SEED_BYTES * len(ready))
    seeds, heads = [seed for (seed,) in cut(drawn, SEED_BYTES)], _Heads(ready)
    commitments = commit_records(heads.said_of(_digests(ready, seeds)))
    told = laid_out([b',"seed":"', b'"}'], [base64_of(table(seeds))])
    plaintexts = [b'{"fields":' + payload + seed for payload, seed in zip(ready.written.payloads, told, strict=True)]
    return commitments, seal_each(suite, ready.keys, plaintexts, heads.places_of(commitments))


def _digests(ready: Ready, seeds: Sequence[bytes]) -> list[bytes]:
    """Write of each record the object of its fields' commitments, that of its subject among them."""
    whose = hyphenated(ready.subjects, b'"', b'"')
    written = [b""] * len(ready)
    for names, members, columns in ready.written.patterns:
        whole = len(members) == len(ready)
        here = seeds if whole else [seeds[row] for row in members]
        values = {
            **dict(zip(names, columns, strict=True)),
            SUBJECT: whose if whole else [whose[row] for row in members],
        }
        all_names = sorted(values)
        digests = [hexadecimal(table(commit_column(here, name.encode("ascii"), values[name]))) for name in all_names]
        objects = laid_out(_object_of(all_names, b'"\x00"').split(b"\x00"), digests)
        if whole:
            return objects
        for row, told in zip(members, objects, strict=True):
            written[row] = told
    return written


class _Heads:
    """What each record's commitment and seal bind beside its fields; what many share is written once."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._shared: dict[tuple[object, ...], tuple[bytes, bytes, bytes, bytes, bytes]] = {}
        self._bases = canonical_each(ready.bases)
        stated = zip(
            ready.kinds, ready.periods, ready.qualities, ready.sheets, ready.remarks, ready.valid_from, ready.valid_to,
            strict=True,
        )  # fmt: skip
        self._parts: list[tuple[bytes, bytes, bytes, bytes, bytes]] = []
        for row, key in enumerate(stated):
            if key not in self._shared:
                self._shared[key] = self._written(row)
            self._parts.append(self._shared[key])

    def said_of(self, digests: Sequence[bytes]) -> list[bytes]:
        """Give what is committed to: the commitments of the fields of each record, and its header."""
        return [
            b'{"fields":%b,"header":%b"row":%d,%b}' % (fields, start, number, end)
            for fields, (start, end, *_), number in zip(digests, self._parts, self._ready.row_nos, strict=True)
        ]

    def places_of(self, commitments: Sequence[bytes]) -> list[bytes]:
        """Give what each seal binds."""
        ready = self._ready
        return [
            b'record\x00%b%b%b%b%b"basis":%b,%b"row":%d,%b'
            % (subject, record, version.to_bytes(4), commitment, before, basis, between, number, after)
            for (_, _, before, between, after), subject, record, version, commitment, basis, number in zip(
                self._parts,
                ready.subjects,
                ready.record_ids,
                ready.versions,
                commitments,
                self._bases,
                ready.row_nos,
                strict=True,
            )
        ]

    def _written(self, row: int) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Write what is shared, cut where a row number and a basis go: no text can hold such a mark unescaped."""
        ready = self._ready
        said = header(
            ready.kinds[row],
            ready.provenance,
            sheet=ready.sheets[row],
            row_no=0,
            period=ready.periods[row],
            quality=ready.qualities[row],
        )
        stated = beside("", ready.remarks[row], ready.valid_from[row], ready.valid_to[row])
        start, _, end = canonical(said).partition(_ROW_MARK)
        before, _, rest = canonical({**said, **stated}).partition(_BASIS_MARK)
        between, _, after = rest.partition(_ROW_MARK)
        return start, end, before, between, after


# ---- rows for COPY --------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "kind, quality, publication_id, chunk_id, sheet, period, remark, valid_from, valid_to, subject_id, record_id,"
    " version, chunk_position, row_no, identity_mac, payload_mac, commitment, sealed, basis"
)
COPY_START: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)  # no flags, no extension
COPY_END: Final = b"\xff\xff"
_COLUMN_COUNT: Final = (len(COLUMNS.split(", "))).to_bytes(2)
_FIXED: Final = Struct(">i16si16siiiiii i32si32si32si".replace(" ", ""))
_LENGTH: Final = Struct(">i")
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = date(2000, 1, 1).toordinal()


def _rows(ready: Ready, sealed: Sequence[bytes], commitments: Sequence[bytes]) -> bytes:
    """Lay records out in the binary format of COPY, without its beginning and end."""
    bases = {text: _varying(text.encode()) for text in set(ready.bases)}
    publication, chunk = _varying(ready.provenance.publication_id.bytes), _varying(ready.chunk_id.bytes)
    shared: dict[tuple[object, ...], bytes] = {}
    pieces: list[bytes] = []
    stated = zip(
        ready.kinds, ready.qualities, ready.sheets, ready.periods, ready.remarks, ready.valid_from, ready.valid_to,
        strict=True,
    )  # fmt: skip
    for row, (key, bytes_, commitment) in enumerate(zip(stated, sealed, commitments, strict=True)):
        head = shared.get(key)
        if head is None:
            kind, quality, sheet, period, remark, start, end = key
            texts = [_text(sheet), _text(period), _text(remark), _day(start), _day(end)]
            head = b"".join((_COLUMN_COUNT, _text(kind), _text(quality), publication, chunk, *texts))
            shared[key] = head
        fixed = _FIXED.pack(
            16, ready.subjects[row], 16, ready.record_ids[row], 4, ready.versions[row], 4, row,
            4, ready.row_nos[row], 32, ready.identity_macs[row], 32, ready.payload_macs[row], 32, commitment,
            len(bytes_),
        )  # fmt: skip
        pieces += (head, fixed, bytes_, bases[ready.bases[row]])
    return b"".join(pieces)


def _varying(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _text(value: str | None) -> bytes:
    return _NULL if value is None else _varying(value.encode())


def _day(value: date | None) -> bytes:
    return _NULL if value is None else _varying(_LENGTH.pack(value.toordinal() - _EPOCH))
