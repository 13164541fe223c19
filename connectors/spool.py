"""A place for bytes that come in: on disk, sealed, and gone with the process. Bounded memory whatever their number.

Bytes are cut into chunks and each chunk is sealed under a key that exists in this object only, bound to its place, in
a file that has no name. Whoever takes the disk away has nothing; a process that dies leaves nothing. Both hashes are
taken while the bytes pass by. What is to stay is sealed anew by `rawfiles`.
"""

import io
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from connectors.space import writing
from registry.suites import Digests, Suite, intl, random_bytes, seal, unseal

CHUNK_BYTES: Final = 1 << 20
_KEY_BYTES: Final = 32


class Spool:
    """Bytes that are written once and read as often as needed.

    Args:
        folder: where the nameless file lies; the system's place for such files by default.
        suite: what the chunks are sealed with.
        chunk_bytes: plaintext bytes of a chunk.
    """

    def __init__(self, folder: Path | None = None, *, suite: Suite = intl, chunk_bytes: int = CHUNK_BYTES) -> None:
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it lives as long as the spool: `close`
        weakref.finalize(self, self._file.close)  # for whoever lets go of it unclosed
        self._suite, self._key, self._chunk_bytes = suite, random_bytes(_KEY_BYTES), chunk_bytes
        self._rest = bytearray()
        self._places: list[tuple[int, int]] = []  # of each sealed chunk: where it begins, how long it is
        self._digests = Digests()
        self._ended = False

    def write(self, piece: bytes) -> int:
        """Take bytes; say how many.

        Raises:
            StorageFull: there is no space left.
            ValueError: the spool has been opened: what was hashed stands.
        """
        if self._ended:
            raise ValueError("a spool that has been read takes no more bytes")
        self._digests.update(piece)
        self._rest += piece
        while len(self._rest) >= self._chunk_bytes:
            self._put(bytes(self._rest[: self._chunk_bytes]))
            del self._rest[: self._chunk_bytes]
        return len(piece)

    def open(self) -> BinaryIO:
        """Give the bytes from their beginning, seekable. Several may be open, one after the other's read."""
        if not self._ended and self._rest:
            self._put(bytes(self._rest))
            self._rest.clear()
        self._ended = True
        return io.BufferedReader(_Reader(self), self._chunk_bytes)

    def read_bytes(self) -> bytes:
        """Give all bytes at once, for what needs them so."""
        with self.open() as whole:
            return whole.read()

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._digests.size

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of all bytes so far."""
        return self._digests.sha256

    @property
    def sm3(self) -> bytes:
        """The SM3 of all bytes so far."""
        return self._digests.sm3

    def close(self) -> None:
        """Give the file back; its bytes can be read no more."""
        with suppress(OSError):  # what a full disk did not take
            self._file.close()
        self._key = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show the size only."""
        return f"Spool({self.size} bytes)"

    def _put(self, chunk: bytes) -> None:
        sealed = seal(self._suite, self._key, chunk, self._place(len(self._places)))
        with writing():
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(sealed)
            self._file.flush()  # here, where a full disk is told as such
        self._places.append((start, len(sealed)))

    def _chunk(self, number: int) -> bytes:
        if number >= len(self._places):
            return b""
        start, length = self._places[number]
        self._file.seek(start)
        return unseal(self._key, self._file.read(length), self._place(number))

    @staticmethod
    def _place(number: int) -> bytes:
        return b"spool|" + number.to_bytes(8)


class _Reader(io.RawIOBase):
    """The bytes of a spool, one chunk opened at a time."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool, self._at = spool, 0
        self._open: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._spool.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what the interpreter hands in
        size = self._spool._chunk_bytes  # noqa: SLF001  # the two are one
        number, offset = divmod(self._at, size)
        if self._open[0] != number:
            self._open = (number, self._spool._chunk(number))  # noqa: SLF001  # the two are one
        piece = self._open[1][offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
