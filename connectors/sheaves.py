"""Chunks of rows put aside while a table is weighed: in memory if it is short, else sealed on disk.

A long table's rows lie in a file without a name, each chunk sealed under a key that exists in this object only and
bound to its place: whoever takes the disk away has nothing, and a process that dies leaves nothing. What comes back
has the columns and types that were put in.

A chunk is packed once, whether it is sealed, sent to another process, or both. Packed is not sealed: what is sent goes
through a pipe of this machine or over TLS (`executors`), and never to a disk.
"""

import os
import tempfile
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa

from connectors.space import writing
from registry.suites import intl, random_bytes, seal, unseal

_KEY_BYTES: Final = 32
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)

Types = Mapping[str, Any]
"""The columns of a frame, each with its type as pandas has it."""


class Sheaf:
    """One frame: as columns, as bytes, or as both, each made of the other when it is asked for. It travels as bytes."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Take a frame; it must not change any more."""
        self._frame: pd.DataFrame | None = frame
        self._packed: bytes | None = None
        self.types: Types = dict(frame.dtypes)
        self.rows = len(frame)

    @property
    def frame(self) -> pd.DataFrame:
        """The columns, shared by all who ask."""
        if self._frame is None:
            self._frame = unpacked(self.packed, self.types)
        return self._frame

    @property
    def packed(self) -> bytes:
        """The frame as bytes, compressed."""
        if self._packed is None:
            self._packed = _packed(self.frame)
        return self._packed

    def __len__(self) -> int:
        """How many rows."""
        return self.rows

    def __reduce__(self) -> "tuple[Callable[..., Sheaf], tuple[bytes, Types, int]]":
        """Travel as bytes."""
        return _arrived, (self.packed, self.types, self.rows)


def _arrived(packed: bytes, types: Types, rows: int) -> Sheaf:
    sheaf = Sheaf.__new__(Sheaf)
    sheaf._frame, sheaf._packed, sheaf.types, sheaf.rows = None, packed, types, rows  # noqa: SLF001  # its other maker
    return sheaf


def _packed(frame: pd.DataFrame) -> bytes:
    batch = pa.record_batch([_whole(pa.array(frame[name])) for name in frame], names=list(frame))
    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, batch.schema, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    return bytes(written.getvalue().to_pybytes())


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def unpacked(packed: bytes, types: Types, names: Collection[str] | None = None) -> pd.DataFrame:
    """Make a frame of bytes again: all its columns, or those of these names that it has."""
    wanted = [name for name in types if names is None or name in names]
    places = [at for at, name in enumerate(types) if names is None or name in names]
    options = pa.ipc.IpcReadOptions(included_fields=places, use_threads=False)
    with pa.ipc.open_stream(packed, options=options) as stream:
        table = stream.read_all()
    columns = {name: _column(table.column(at), types[name]) for at, name in enumerate(wanted)}
    return pd.DataFrame(columns, copy=False)


def _column(column: pa.ChunkedArray, wanted: Any) -> "pd.Series[Any]":  # noqa: ANN401  # a type of numpy's or pandas'
    if hasattr(wanted, "__from_arrow__"):
        return pd.Series(wanted.__from_arrow__(column))
    return pd.Series(column.to_numpy()).astype(wanted)


class Sheaves(Protocol):
    """Frames in an order, each put in once and taken out as often as needed."""

    def add(self, sheaf: Sheaf) -> None:
        """Put the next one in."""

    def get(self, number: int, names: Collection[str] | None = None) -> pd.DataFrame:
        """Take one out, counted from 0, or those of its columns that are named; they are the caller's to change."""

    def names(self, number: int) -> list[str]:
        """Name the columns of one."""

    def __len__(self) -> int:
        """How many there are."""

    def fresh(self) -> "Sheaves":
        """Make another, empty place of the same sort."""


class InMemory:
    """Frames of a short table."""

    def __init__(self) -> None:
        """Begin empty."""
        self._frames: list[pd.DataFrame] = []

    def add(self, sheaf: Sheaf) -> None:
        """Put the next one in."""
        self._frames.append(sheaf.frame)

    def get(self, number: int, names: Collection[str] | None = None) -> pd.DataFrame:
        """Take one out; columns are shared, not copied."""
        frame = self._frames[number]
        return frame.copy(deep=False) if names is None else frame[[name for name in frame if name in names]]

    def names(self, number: int) -> list[str]:
        """Name the columns of one."""
        return [str(name) for name in self._frames[number]]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._frames)

    def fresh(self) -> "InMemory":
        """Make another, empty place in memory."""
        return InMemory()


class Sealed:
    """Frames of a long table."""

    def __init__(self) -> None:
        """Begin empty, in the system's place for nameless files."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this object
        weakref.finalize(self, self._file.close)
        self._key = random_bytes(_KEY_BYTES)
        self._places: list[tuple[int, int]] = []  # of each frame: where it begins, how long it is
        self._types: list[Types] = []

    def add(self, sheaf: Sheaf) -> None:
        """Seal the next one."""
        sealed = seal(intl, self._key, sheaf.packed, self._place(len(self._places)))
        with writing():
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(sealed)
            self._file.flush()
        self._places.append((start, len(sealed)))
        self._types.append(sheaf.types)

    def get(self, number: int, names: Collection[str] | None = None) -> pd.DataFrame:
        """Open one; columns that are not named are left as they lie."""
        start, length = self._places[number]
        self._file.seek(start)
        opened = unseal(self._key, self._file.read(length), self._place(number))
        return unpacked(opened, self._types[number], names)

    def names(self, number: int) -> list[str]:
        """Name the columns of one."""
        return list(self._types[number])

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def fresh(self) -> "Sealed":
        """Make another, empty place on disk, under another key."""
        return Sealed()

    @staticmethod
    def _place(number: int) -> bytes:
        return b"sheaf|" + number.to_bytes(8)
