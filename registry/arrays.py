"""Ids and hashes by the thousand: made and written at once, and as one argument of a statement in PostgreSQL's form.

The driver writes an array element by element; of many thousands that costs more than the statement. Here the elements
are joined by the length that stands before each. What comes back is asked for as one run of bytes (`cut`): a row for
each would cost as much again. What is written of many alike is laid out as a table of bytes and cut (`laid_out`): a
call for each would cost more than what is written.

Not here: arrays of anything but bytes of one length.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import ClassVar, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from registry.suites import random_bytes

ID_BYTES: Final = 16
HASH_BYTES: Final = 32
_HEAD: Final = Struct(">iiIii")  # dimensions, whether nulls, type of the elements, length, first index
_EMPTY: Final = Struct(">iiI")
_LENGTH: Final = Struct(">i")
_VERSION_4: Final = bytes(byte & 0x0F | 0x40 for byte in range(256))  # RFC 9562: what the seventh byte becomes
_VARIANT: Final = bytes(byte & 0x3F | 0x80 for byte in range(256))  # and the ninth
_GROUPS: Final = (8, 4, 4, 4, 12)  # of hexadecimal digits, between which a written id has hyphens
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")

Table: TypeAlias = npt.NDArray[np.uint8]
"""A row of bytes for each of many, all of one width."""


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
    drawn[6::ID_BYTES] = drawn[6::ID_BYTES].translate(_VERSION_4)
    drawn[8::ID_BYTES] = drawn[8::ID_BYTES].translate(_VARIANT)
    whole = bytes(drawn)
    return [whole[at : at + ID_BYTES] for at in range(0, len(whole), ID_BYTES)]


def table(values: Sequence[bytes]) -> Table:
    """Lay values of one width out below each other.

    Raises:
        ValueError: they have not all the same width.
    """
    widths = set(map(len, values))
    if len(widths) > 1:
        raise ValueError("values of more than one width")
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), max(widths, default=0))


def hexadecimal(values: Table) -> Table:
    """Write each row as lower-case hexadecimal digits."""
    size, width = values.shape
    return np.frombuffer(values.tobytes().hex().encode(), np.uint8).reshape(size, 2 * width)


def base64_of(values: Table) -> Table:
    """Write each row as base64url without padding, as `canonical.b64url` does."""
    size, width = values.shape
    padded = np.zeros((size, width + -width % 3), np.uint8)  # whole groups of three, so that no row runs into the next
    padded[:, :width] = values
    written = np.frombuffer(b64encode(padded.tobytes()).translate(_TO_URL), np.uint8)
    return written.reshape(size, padded.shape[1] // 3 * 4)[:, : -(-width * 8 // 6)]


def hyphenated(ids: Sequence[bytes], before: bytes = b"", behind: bytes = b"") -> list[bytes]:
    """Write each id as `str` of a UUID does, between two texts."""
    if not ids:
        return []
    digits, ends = hexadecimal(table(ids)), np.cumsum(_GROUPS)
    groups = [digits[:, end - width : end] for width, end in zip(_GROUPS, ends, strict=True)]
    return laid_out([before, *[b"-"] * (len(_GROUPS) - 1), behind], groups)


def laid_out(texts: Sequence[bytes], columns: Sequence[Table]) -> list[bytes]:
    """Give for each row: the first text, its bytes of the first column, the second text, and so on to the last text."""
    size = len(columns[0])
    blanks = [bytes(column.shape[1]) for column in columns]
    line = b"".join(piece for pair in zip(texts, [*blanks, b""], strict=True) for piece in pair)
    sheet = np.empty((size, len(line)), np.uint8)
    sheet[:] = np.frombuffer(line, np.uint8)
    at = 0
    for text, column in zip(texts, columns, strict=False):  # one text more, behind the last column
        at += len(text)
        sheet[:, at : at + column.shape[1]] = column
        at += column.shape[1]
    whole = sheet.tobytes()
    return [whole[start : start + len(line)] for start in range(0, len(whole), len(line))]
