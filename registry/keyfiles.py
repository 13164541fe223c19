"""Files that only their owner can read, written so that a crash leaves the old or the new one, never half of one.

The directory is `<home>/keys` (0700), the files in it 0600. The master key lies in `master.key`, one line of base64url.
A file that others could read is refused, not repaired: it may have been read already.
"""

import os
import stat
from pathlib import Path
from typing import Final

from registry.canonical import b64url, unb64url
from registry.errors import KeyMissing

MASTER_BYTES: Final = 32
_MASTER_FILE: Final = "master.key"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def key_directory(home: Path) -> Path:
    """Return the directory of a home's keys, making it when absent."""
    directory = home / "keys"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    return directory


def read_private(path: Path) -> bytes:
    """Read a private file.

    Raises:
        KeyMissing: it is not there, or others may read it.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise KeyMissing(f"{path.name} may be read by others; its keys must be taken as known to them")
            return file.read()
    except FileNotFoundError as error:
        raise KeyMissing(f"{path.name} is not in this home") from error


def write_private(path: Path, data: bytes) -> None:
    """Write a private file whole: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def has_master(home: Path) -> bool:
    """Say whether the master key lies in this home (not when it was split and taken away)."""
    return (home / "keys" / _MASTER_FILE).exists()


def read_master(home: Path) -> bytes:
    """Read the master key, 32 bytes.

    Raises:
        KeyMissing: it is not there, others may read it, or it is not a key.
    """
    text = read_private(home / "keys" / _MASTER_FILE)
    try:
        master = unb64url(text.decode("ascii").strip())
    except ValueError as error:
        raise KeyMissing("the master key's file holds no key") from error
    if len(master) != MASTER_BYTES:
        raise KeyMissing("the master key's file holds no key")
    return master


def write_master(home: Path, master: bytes) -> None:
    """Write the master key, 32 bytes."""
    write_private(key_directory(home) / _MASTER_FILE, b64url(master).encode("ascii") + b"\n")


def remove_master(home: Path) -> None:
    """Take the master key out of the home, once officers hold its shares."""
    (home / "keys" / _MASTER_FILE).unlink(missing_ok=True)
