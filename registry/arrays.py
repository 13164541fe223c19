"""Ids and hashes by the thousand: made at once, and as one argument of a statement in PostgreSQL's binary form.

The driver writes an array element by element; of many thousands that costs more than the statement. Here the elements
are joined by the length that stands before each. What comes back is asked for as one run of bytes (`cut`): a row for
each would cost as much again.

Not here: arrays of anything but bytes of one length.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import ClassVar, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from registry.suites import random_bytes

ID_BYTES: Final = 16
HASH_BYTES: Final = 32
_HEAD: Final = Struct(">iiIii")  # dimensions, whether nulls, type of the elements, length, first index
_EMPTY: Final = Struct(">iiI")
_LENGTH: Final = Struct(">i")
_VERSION_4, _VARIANT = 0x40, 0x80  # RFC 9562, in the seventh and ninth byte


class Ids:
    """An array of uuid; each is given as its 16 bytes."""

    element: ClassVar[int] = 2950
    width: ClassVar[int] = ID_BYTES

    def __init__(self, values: Sequence[bytes]) -> None:
        """Take the elements, all of the one width.

        Raises:
            ValueError: one has another length.
        """
        joined = b"".join(values)
        if len(joined) != self.width * len(values) or not set(map(len, values)) <= {self.width}:
            raise ValueError(f"an element that has not {self.width} bytes")
        self.values = values

    def written(self) -> bytes:
        """Write the array as the server reads it."""
        if not self.values:
            return _EMPTY.pack(0, 0, self.element)
        before_each = _LENGTH.pack(self.width)
        return _HEAD.pack(1, 0, self.element, len(self.values), 1) + before_each + before_each.join(self.values)


class Hashes(Ids):
    """An array of bytea, each of 32 bytes."""

    element = 17
    width = HASH_BYTES


class Sealed(Ids):
    """An array of bytea, each as long as a wrapped key."""

    element = 17
    width = 61


class _IdsDumper(Dumper):
    format = Format.BINARY
    oid = 2951

    def dump(self, obj: Ids) -> bytes:
        return obj.written()


class _HashesDumper(_IdsDumper):
    oid = 1001


psycopg.adapters.register_dumper(Ids, _IdsDumper)
psycopg.adapters.register_dumper(Hashes, _HashesDumper)
psycopg.adapters.register_dumper(Sealed, _HashesDumper)


def cut(run: bytes | None, *widths: int) -> Iterable[tuple[bytes, ...]]:
    """Cut a run of bytes into rows of values of these widths; no run is no rows."""
    if not run:
        return ()
    whole = sum(widths)
    columns, before = [], 0
    for width in widths:
        columns.append([run[at : at + width] for at in range(before, len(run), whole)])
        before += width
    return zip(*columns, strict=True)


def new_ids(count: int) -> list[bytes]:
    """Make random ids (version 4 of RFC 9562), much faster than one by one."""
    drawn = bytearray(random_bytes(ID_BYTES * count))
    drawn[6::ID_BYTES] = bytes(byte & 0x0F | _VERSION_4 for byte in drawn[6::ID_BYTES])
    drawn[8::ID_BYTES] = bytes(byte & 0x3F | _VARIANT for byte in drawn[8::ID_BYTES])
    whole = bytes(drawn)
    return [whole[at : at + ID_BYTES] for at in range(0, len(whole), ID_BYTES)]
