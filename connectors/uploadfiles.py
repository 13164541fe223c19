"""Bytes of an upload as they arrive: sealed chunks on disk, each durable before its offset is told to anybody.

One folder an upload, one file a chunk, named by the offset at which the chunk begins; nothing of the sender's stands in
a name. A chunk is sealed under the upload's data key and bound to upload and offset. What counts is the offset in the
upload's row (`uploads`): a chunk written beyond it is overwritten by whoever sends those bytes again.

One writer at a time holds the folder (`hold`): a lock of the operating system, which a process that dies lets go of.
The web processes and the jobs of one installation share this folder.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from connectors.errors import BytesDestroyed, UploadBusy
from connectors.space import writing
from registry.errors import KeyMissing
from registry.store import Sealing
from registry.suites import Suite, seal, unseal

CHUNK_BYTES: Final = 1 << 20
_LOCK: Final = "lock"
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class UploadFiles:
    """The sealed chunks of one upload."""

    folder: Path
    upload_id: UUID
    key: bytes = field(repr=False)
    suite: Suite = field(repr=False)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the one writer, until the block ends or the process dies.

        Raises:
            UploadBusy: somebody else writes this upload now.
        """
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UploadBusy("another connection is writing this upload; try again when it has ended") from error
            yield
        finally:
            os.close(descriptor)

    def write(self, offset: int, chunk: bytes) -> None:
        """Put a chunk at an offset, durably: when this returns, a power cut does not lose it.

        Raises:
            StorageFull: there is no space left; what was there before stands.
        """
        path = self._path(offset)
        draft = path.with_suffix(".part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with writing(draft), os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(seal(self.suite, self.key, chunk, self._place(offset)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def read(self, size: int) -> Iterator[bytes]:
        """Give the first `size` bytes, a chunk at a time.

        Raises:
            BytesDestroyed: a chunk is not there.
            SealBroken: a chunk was changed, or put in another's place.
        """
        offset = 0
        while offset < size:
            try:
                sealed = self._path(offset).read_bytes()
            except FileNotFoundError as error:
                raise BytesDestroyed("a chunk of this upload is gone; send the file again") from error
            chunk = unseal(self.key, sealed, self._place(offset))
            yield chunk
            offset += len(chunk)

    def _path(self, offset: int) -> Path:
        return self.folder / f"{offset:012d}.sealed"

    def _place(self, offset: int) -> bytes:
        return b"upload|" + self.upload_id.bytes + offset.to_bytes(8)


def begin(root: Path, sealing: Sealing, upload_id: UUID, *, now: datetime) -> UploadFiles:
    """Make the folder of a new upload, and its key durable before anything is sealed under it."""
    key = sealing.keys.ensure([upload_id], now=now)[upload_id]
    folder = _folder(root, upload_id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return UploadFiles(folder, upload_id, key, sealing.suite)


def find(root: Path, sealing: Sealing, upload_id: UUID) -> UploadFiles:
    """Open the folder of an upload.

    Raises:
        BytesDestroyed: its bytes are gone, or their key is.
    """
    folder = _folder(root, upload_id)
    try:
        key = sealing.keys.get([upload_id])[upload_id]
    except KeyMissing as error:
        raise BytesDestroyed("the bytes of this upload are gone; send the file again") from error
    if not folder.is_dir():
        raise BytesDestroyed("the bytes of this upload are gone; send the file again")
    return UploadFiles(folder, upload_id, key, sealing.suite)


def destroy(root: Path, sealing: Sealing, upload_id: UUID, *, now: datetime) -> None:
    """Destroy an upload's bytes: its key first, which is enough by itself, then the files."""
    sealing.keys.erase(upload_id, now=now)
    shutil.rmtree(_folder(root, upload_id), ignore_errors=True)


def sweep(root: Path, known: frozenset[UUID], *, now: datetime) -> int:
    """Remove folders, an hour or more old, of uploads that are not `known` any more, left by a crash; say how many."""
    names = {str(one) for one in known}
    left = [
        path
        for path in root.glob("*-*-*-*-*")
        if path.name not in names and now.timestamp() - path.stat().st_mtime > _HOUR
    ]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _folder(root: Path, upload_id: UUID) -> Path:
    return root / str(upload_id)
