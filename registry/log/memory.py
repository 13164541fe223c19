"""What the log signed last, kept outside its database: `<home>/keys/log-signed.json`, private, written whole, fsynced.

  {"root": 64 hexadecimal digits, "size": entries}

A database that is emptied, restored from an older copy or changed would otherwise be signed as if nothing had been
before: a second tree under the same name. With the file the sequencer refuses. It is no secret and proves nothing to
others; a log whose file is lost is again only as good as its database.
"""

from pathlib import Path
from typing import Final, NamedTuple

import orjson

from registry.canonical import canonical
from registry.errors import ProofFailed
from registry.keyfiles import read_private, write_private
from registry.merkle import HASH_BYTES

SIGNED_FILE: Final = "log-signed.json"


class Signed(NamedTuple):
    """The size and root of the tree that was signed last."""

    size: int
    root: bytes


def read(path: Path) -> Signed | None:
    """Read what was signed last; None before the first time.

    Raises:
        ProofFailed: the file does not say it; a person must look before anything is signed again.
        KeyMissing: others may read it.
    """
    if not path.exists():
        return None
    try:
        values = orjson.loads(read_private(path))
        signed = Signed(values["size"], bytes.fromhex(values["root"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ProofFailed("the note of what the log signed last cannot be read") from error
    if type(signed.size) is not int or signed.size < 1 or len(signed.root) != HASH_BYTES:
        raise ProofFailed("the note of what the log signed last cannot be read")
    return signed


def write(path: Path, signed: Signed) -> None:
    """Keep what is about to be signed; durable when this returns."""
    write_private(path, canonical({"root": signed.root.hex(), "size": signed.size}) + b"\n")
