"""Raw files: hashes for ever, bytes sealed for as long as the batch may be corrected, then destroyed.

The bytes hold people who did not consent, so they lie outside the database, each file under a data key of its own in
`<home>/raw/`, and go with the key. Order of durability: key, then bytes, then the row that says they are there; a crash
in between leaves bytes that the next intake of the same file writes again in the same place.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from connectors.delivery import BY_COMMAND, Channel, Delivery
from connectors.errors import BytesDestroyed
from connectors.events import Event
from connectors.reading import LONG_BYTES, Source
from connectors.space import writing
from connectors.spool import Spool
from registry import log
from registry.canonical import JSON
from registry.database import Transaction
from registry.errors import KeyMissing
from registry.keyring import Purpose
from registry.store import Sealing
from registry.suites import hmac_sha256, seal, sha256, sm3, unseal

OPEN_FOR: Final = timedelta(days=30)
_IN_PIECES: Final = b"QQ2\n"  # begins a file that is sealed in pieces; a suite's mark is another byte
_PIECE_BYTES: Final = 4 << 20
_DAY: Final = timedelta(days=1).total_seconds()
_FILES: Final = (
    "SELECT f.raw_id, f.sha256, f.sm3, f.label, f.destroyed_at IS NOT NULL,"
    " (SELECT min(b.as_of) FROM batch b WHERE b.raw_id = f.raw_id),"
    " f.channel, f.agency, f.source, f.manifest, f.mapping FROM raw_file f "
)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file that was received. `as_of` is the day it first came, None until one of its tables was evaluated."""

    raw_id: UUID
    sha256: bytes
    sm3: bytes
    label: str
    destroyed: bool
    as_of: date | None
    delivery: Delivery = BY_COMMAND


@dataclass(frozen=True, slots=True)
class Hashes:
    """Both hashes of a file's bytes."""

    sha256: bytes
    sm3: bytes


def hashes(raw: Source) -> Hashes:
    """Hash a file's bytes, before anything reads them; a spool has done so while they came."""
    return Hashes(sha256(raw), sm3(raw)) if isinstance(raw, bytes) else Hashes(raw.sha256, raw.sm3)


@contextmanager
def spooled(path: Path) -> Iterator[Source]:
    """Read a file, a long one into a spool: what is hashed is what is read later, whatever happens to the file."""
    if path.stat().st_size <= LONG_BYTES:
        yield path.read_bytes()
        return
    with Spool() as spool, path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            spool.write(piece)
        yield spool


def size_of(raw: Source) -> int:
    """Say how many bytes a file has."""
    return len(raw) if isinstance(raw, bytes) else raw.size


def raw_id_of(sealing: Sealing, agency: str, found: Hashes) -> UUID:
    """Give a file's id: the same bytes of the same agency always have the same, which nobody outside can work out.

    Of two agencies the same bytes are two files: nobody owns bytes by being the first to send them.
    """
    secret = sealing.keyring.symmetric(Purpose.MAC).secret
    return UUID(bytes=hmac_sha256(secret, b"raw|" + found.sm3 + agency.encode())[:16])


def get(tx: Transaction, agency: str, sm3_of_file: bytes) -> RawFile | None:
    """Find a file by the agency that delivered it and its SM3."""
    found = tx.execute(_FILES + "WHERE f.agency = %s AND f.sm3 = %s", (agency, sm3_of_file)).fetchone()
    return _file(found) if found else None


def id_of(tx: Transaction, sealing: Sealing, agency: str, found: Hashes) -> UUID:
    """Give the id under which an agency's file is known, or that it will have."""
    known = get(tx, agency, found.sm3)
    return raw_id_of(sealing, agency, found) if known is None else known.raw_id


def by_id(tx: Transaction, raw_id: UUID) -> RawFile | None:
    """Find a file by its id."""
    found = tx.execute(_FILES + "WHERE f.raw_id = %s", (raw_id,)).fetchone()
    return _file(found) if found else None


def bytes_of(tx: Transaction, raw_id: UUID) -> int:
    """Say how many bytes a file had when it came; 0 for one that is not known."""
    row = tx.execute("SELECT size_bytes FROM raw_file WHERE raw_id = %s", (raw_id,)).fetchone()
    return int(row[0]) if row else 0


def still_open(tx: Transaction) -> list[RawFile]:
    """Give the files whose bytes still exist, in the order they came."""
    rows = tx.execute(_FILES + "WHERE f.destroyed_at IS NULL ORDER BY f.received_at, f.raw_id")
    return [_file(row) for row in rows.fetchall()]


def due(tx: Transaction, *, now: datetime) -> list[RawFile]:
    """Give the files whose time for correction is over and whose bytes still exist."""
    rows = tx.execute(_FILES + "WHERE f.destroyed_at IS NULL AND f.open_until <= %s ORDER BY f.raw_id", (now,))
    return [_file(row) for row in rows.fetchall()]


def record(tx: Transaction, file: RawFile, size: int, *, now: datetime) -> None:
    """Record that a file came, and log it by its hashes; its name stays out of the log."""
    said = file.delivery
    tx.execute(
        "INSERT INTO raw_file (raw_id, sha256, sm3, label, size_bytes, received_at, open_until,"
        " channel, agency, source, manifest, mapping) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            file.raw_id,
            file.sha256,
            file.sm3,
            file.label,
            size,
            now,
            now + OPEN_FOR,
            said.channel.value,
            said.agency,
            said.source,
            said.manifest,
            Jsonb(dict(said.mapping)),
        ),
    )
    fields: dict[str, JSON] = {
        "raw_sha256": file.sha256.hex(),
        "raw_sm3": file.sm3.hex(),
        "size_bytes": size,
        "channel": said.channel.value,
    }
    log.append(tx, [log.Entry(event=Event.FILE_RECEIVED.value, at=now, actor="system", fields=fields)])


def keep(folder: Path, sealing: Sealing, raw_id: UUID, raw: Source, *, now: datetime) -> None:
    """Seal a file's bytes into the folder, piece by piece and durably, under a key that is durable before.

    Raises:
        StorageFull: there is no space left; nothing of it stays.
    """
    key = sealing.keys.ensure([raw_id], now=now)[raw_id]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _path(folder, raw_id)
    draft = path.with_suffix(".part")
    with (
        writing(draft),
        os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
        io.BytesIO(raw) if isinstance(raw, bytes) else raw.open() as text,
    ):
        file.write(_IN_PIECES)
        number, piece, ended = 0, text.read(_PIECE_BYTES), False
        while not ended:
            after = text.read(_PIECE_BYTES)
            ended = not after
            sealed = seal(sealing.suite, key, piece, _place(raw_id, number, last=ended))
            file.write(len(sealed).to_bytes(4) + sealed)
            number, piece = number + 1, after
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _place(raw_id: UUID, number: int, *, last: bool) -> bytes:
    """Bind a piece to its file, its place and to being the last one: none can be moved, left out or cut off."""
    return b"piece|" + raw_id.bytes + number.to_bytes(8) + bytes([last])


def read(folder: Path, sealing: Sealing, file: RawFile) -> bytes:
    """Open a file's bytes, all at once.

    Raises:
        BytesDestroyed: they are gone, or their key is.
        SealBroken: they were changed.
    """
    return b"".join(pieces(folder, sealing, file))


def opened(folder: Path, sealing: Sealing, file: RawFile) -> Source:
    """Open a file's bytes; those of a long one come in a spool.

    Raises:
        BytesDestroyed: they are gone, or their key is.
        SealBroken: they were changed.
    """
    with suppress(FileNotFoundError):
        if _path(folder, file.raw_id).stat().st_size > LONG_BYTES:
            spool = Spool()
            for piece in pieces(folder, sealing, file):
                spool.write(piece)
            return spool
    return read(folder, sealing, file)


def pieces(folder: Path, sealing: Sealing, file: RawFile) -> Iterator[bytes]:
    """Open a file's bytes piece by piece; one of before pieces is one piece.

    Raises:
        BytesDestroyed: they are gone, or their key is.
        SealBroken: they were changed; nothing of the file counts then.
    """
    try:
        key = sealing.keys.get([file.raw_id])[file.raw_id]
        sealed = _path(folder, file.raw_id).open("rb")
    except (KeyMissing, FileNotFoundError) as error:
        raise BytesDestroyed("the bytes of this raw file are gone; ask the source again") from error
    with sealed:
        if sealed.read(len(_IN_PIECES)) != _IN_PIECES:
            sealed.seek(0)
            yield unseal(key, sealed.read(), file.raw_id.bytes)
            return
        length, number = sealed.read(4), 0
        while True:
            piece = sealed.read(int.from_bytes(length))
            length = sealed.read(4)
            yield unseal(key, piece, _place(file.raw_id, number, last=not length))
            if not length:
                return
            number += 1


def destroy(tx: Transaction, folder: Path, sealing: Sealing, file: RawFile, *, now: datetime) -> None:
    """Destroy a file's bytes: its key first, which is enough by itself; then the sealed bytes; then say so."""
    sealing.keys.erase(file.raw_id, now=now)
    _path(folder, file.raw_id).unlink(missing_ok=True)
    tx.execute("UPDATE raw_file SET destroyed_at = %s WHERE raw_id = %s", (now, file.raw_id))
    fields = {"raw_sha256": file.sha256.hex(), "raw_sm3": file.sm3.hex()}
    log.append(tx, [log.Entry(event=Event.BYTES_DESTROYED.value, at=now, actor="system", fields=fields)])


def sweep(tx: Transaction, folder: Path, *, now: datetime) -> int:
    """Remove sealed bytes that no row speaks of, left by a crash a day or more ago; say how many files that were."""
    rows = tx.execute("SELECT raw_id FROM raw_file WHERE destroyed_at IS NULL").fetchall()
    known = {_path(folder, raw_id) for (raw_id,) in rows}
    left = [path for path in folder.glob("*") if path not in known and now.timestamp() - path.stat().st_mtime > _DAY]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _file(row: Sequence[Any]) -> RawFile:
    channel, agency, source, manifest, mapping = row[6:]
    raw_id, sha, sm3_, label, destroyed, as_of = row[:6]
    return RawFile(
        raw_id, sha, sm3_, label, destroyed, as_of, Delivery(Channel(channel), agency, source, manifest, mapping)
    )


def _path(folder: Path, raw_id: UUID) -> Path:
    return folder / f"{raw_id}.sealed"
