"""Chunks of rows put aside while a table is weighed: in memory if it is short, else sealed on disk.

A long table's rows lie in a file without a name, each chunk sealed under a key that exists in this object only and
bound to its place: whoever takes the disk away has nothing, and a process that dies leaves nothing. What comes back
has the columns and types that were put in.
"""

import os
import tempfile
import weakref
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa

from connectors.space import writing
from registry.suites import intl, random_bytes, seal, unseal

_KEY_BYTES: Final = 32


class Sheaves(Protocol):
    """Frames in an order, each put in once and taken out as often as needed."""

    def add(self, frame: pd.DataFrame) -> None:
        """Put the next one in."""

    def get(self, number: int) -> pd.DataFrame:
        """Take one out, counted from 0; its columns are the caller's to change."""

    def __len__(self) -> int:
        """How many there are."""

    def fresh(self) -> "Sheaves":
        """Make another, empty place of the same sort."""


class InMemory:
    """Frames of a short table."""

    def __init__(self) -> None:
        """Begin empty."""
        self._frames: list[pd.DataFrame] = []

    def add(self, frame: pd.DataFrame) -> None:
        """Put the next one in."""
        self._frames.append(frame)

    def get(self, number: int) -> pd.DataFrame:
        """Take one out; columns are shared, not copied."""
        return self._frames[number].copy(deep=False)

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
        self._types: list[dict[str, Any]] = []  # of the columns, as pandas has them

    def add(self, frame: pd.DataFrame) -> None:
        """Seal the next one."""
        written = pa.BufferOutputStream()
        table = pa.Table.from_pandas(frame, preserve_index=False)
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with pa.ipc.new_stream(written, table.schema, options=options) as stream:
            stream.write_table(table)
        sealed = seal(intl, self._key, written.getvalue().to_pybytes(), self._place(len(self._places)))
        with writing():
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(sealed)
            self._file.flush()
        self._places.append((start, len(sealed)))
        self._types.append(dict(frame.dtypes))

    def get(self, number: int) -> pd.DataFrame:
        """Open one."""
        start, length = self._places[number]
        self._file.seek(start)
        opened = unseal(self._key, self._file.read(length), self._place(number))
        with pa.ipc.open_stream(opened) as stream:
            frame: pd.DataFrame = stream.read_all().to_pandas(use_threads=False)
        wrong = {name: wanted for name, wanted in self._types[number].items() if frame[name].dtype != wanted}
        return frame.astype(wrong) if wrong else frame

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def fresh(self) -> "Sealed":
        """Make another, empty place on disk, under another key."""
        return Sealed()

    @staticmethod
    def _place(number: int) -> bytes:
        return b"sheaf|" + number.to_bytes(8)
