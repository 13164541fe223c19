"""Salted commitments: what the log and redacted evidence show in place of a value.

Per record or log entry one random seed of 16 bytes; from it a salt for each field name, so that one field can be opened
(by showing salt, name and value) without opening another. Without the salt a commitment tells nothing, however few
values the field can take. The seed has a fixed length and half of the hash is dropped, so that from one salt neither
the seed nor another name's salt follows.

  salt    = SHA-256("qq-salt" ‖ 0x00 ‖ seed ‖ name)[:16]
  field   = SHA-256("qq-field" ‖ 0x00 ‖ salt ‖ name ‖ 0x00 ‖ canonical(value))
  record  = SHA-256("qq-record" ‖ 0x00 ‖ canonical({"fields": {name: hex}, "header": {…}}))

Names are ASCII without a NUL byte. Pure: no key, no clock, no database.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from registry.canonical import JSON, canonical
from registry.suites import random_bytes, sha256, sha256_each, sha256_salted

SEED_BYTES: Final = 16
SALT_BYTES: Final = 16
SUBJECT: Final = "subject"  # the name under which a record commits to its subject's id; no field may have it
_SALT: Final = b"qq-salt\x00"
_FIELD: Final = b"qq-field\x00"
_RECORD: Final = b"qq-record\x00"


def new_seed() -> bytes:
    """Return a fresh seed, 16 random bytes."""
    return random_bytes(SEED_BYTES)


def salt(seed: bytes, name: str) -> bytes:
    """Return the salt of one field, 16 bytes. `seed` has `SEED_BYTES`."""
    return sha256(_SALT + seed + name.encode("ascii"))[:SALT_BYTES]


def commit(field_salt: bytes, name: str, value: JSON) -> bytes:
    """Commit to one field's value under its salt, 32 bytes.

    Raises:
        CanonicalError: the value is outside the canonical profile.
    """
    return sha256(_FIELD + field_salt + name.encode("ascii") + b"\x00" + canonical(value))


def commit_fields(seed: bytes, values: Mapping[str, JSON]) -> dict[str, str]:
    """Commit to each field under its own salt: name → 64 hexadecimal digits, in the order given.

    Raises:
        CanonicalError: a value is outside the canonical profile.
        UnicodeEncodeError: a name is not ASCII.
    """
    names = [name.encode("ascii") for name in values]
    return dict(
        zip(values, commit_written(seed, names, committing(names, map(canonical, values.values()))), strict=True)
    )


def committing(names: Iterable[bytes], written: Iterable[bytes]) -> list[bytes]:
    """Give what of each field is hashed behind its salt: its name and its value as `canonical` wrote it."""
    return [name + b"\x00" + value for name, value in zip(names, written, strict=True)]


def commit_written(seed: bytes, names: Iterable[bytes], fields: Iterable[bytes]) -> list[str]:
    """Commit to fields whose names are encoded and that `committing` has put together: 64 hexadecimal digits each."""
    return sha256_salted(_SALT + seed, names, _FIELD, SALT_BYTES, fields)


def commit_column(seeds: Sequence[bytes], name: bytes, written: Sequence[bytes]) -> list[bytes]:
    """Commit to one field of many records, each under its own seed: 32 bytes each.

    `name` is encoded, `written` are the values as `canonical` wrote them.
    """
    salts = sha256_each(_SALT, [seed + name for seed in seeds])
    middle = name + b"\x00"
    return sha256_each(
        _FIELD, [salt_[:SALT_BYTES] + middle + value for salt_, value in zip(salts, written, strict=True)]
    )


def record_commitment(header: Mapping[str, JSON], digests: Mapping[str, str]) -> bytes:
    """Commit to a whole record, 32 bytes: its public header and the commitments of its fields (name → hex).

    Raises:
        CanonicalError: the header is outside the canonical profile.
    """
    return commit_record(canonical({"fields": dict(digests), "header": dict(header)}))


def commit_record(written: bytes) -> bytes:
    """Commit to a whole record that `canonical` has written: `{"fields": {name: hex}, "header": {…}}`."""
    return sha256(_RECORD + written)


def commit_records(written: Iterable[bytes]) -> list[bytes]:
    """Commit to each of many records as `commit_record` does to one."""
    return sha256_each(_RECORD, written)
