"""What tus 1.0.0 puts into headers (https://tus.io/protocols/resumable-upload): read strictly, written once. Pure.

Core, and the extensions creation, expiration, checksum and termination. Not done: creation-with-upload, concatenation,
deferred length. `X-HTTP-Method-Override` is not taken: the DPoP proof names the method, and a method that the proof
does not name is not proven.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from connectors.bounds import FILE_BYTES
from exchange.errors import RequestRefused
from registry.suites import CHECKSUMS, Hasher

VERSION: Final = "1.0.0"
MEDIA_TYPE: Final = "application/offset+octet-stream"
CAPABILITIES: Final = {
    "Tus-Version": VERSION,
    "Tus-Extension": "creation,expiration,checksum,termination",
    "Tus-Max-Size": str(FILE_BYTES),
    "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
}
MOST_METADATA_CHARACTERS: Final = 12_000
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_KEY: Final = re.compile(r"[!-+\--~]{1,64}")  # ASCII without space and comma
_HEX64: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one PATCH must hash to."""

    new: Callable[[], Hasher]
    expected: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What a sender said of a file at its creation. Other keys of its metadata are kept and not understood."""

    filename: str = ""
    source: str = ""
    sha256: bytes | None = None
    manifest: str = ""


def number(headers: Mapping[str, str], name: str) -> int:
    """Read a count of bytes.

    Raises:
        RequestRefused: it is missing, or no whole number.
    """
    text = headers.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise RequestRefused("upload-header-malformed", f"{name} is missing or is no whole number of bytes")
    return int(text)


def checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Read Upload-Checksum, where there is one.

    Raises:
        RequestRefused: its algorithm is not offered, or its hash is not of that algorithm.
    """
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise RequestRefused("upload-header-malformed", "Upload-Checksum names an algorithm that is not offered")
    expected = _decoded(encoded, "Upload-Checksum")
    new = CHECKSUMS[algorithm]
    if len(expected) != len(new().digest()):
        raise RequestRefused("upload-header-malformed", "Upload-Checksum is not as long as its algorithm's hashes")
    return Checksum(new, expected)


def metadata(text: str) -> Said:
    """Read Upload-Metadata: `filename`, `source`, `sha256` (hex), `manifest`.

    Raises:
        RequestRefused: it is malformed or too long, or a value of these is not what it should be.
    """
    if len(text) > MOST_METADATA_CHARACTERS or not text.isascii():
        raise RequestRefused("upload-header-malformed", "Upload-Metadata is too long or not ASCII")
    pairs: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, encoded = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in pairs:
            raise RequestRefused("upload-header-malformed", "a key of Upload-Metadata is malformed or comes twice")
        try:
            pairs[key] = _decoded(encoded, "Upload-Metadata").decode()
        except UnicodeDecodeError as error:
            raise RequestRefused("upload-header-malformed", "a value of Upload-Metadata is not UTF-8") from error
    sha256 = pairs.get("sha256", "")
    if sha256 and not _HEX64.fullmatch(sha256):
        raise RequestRefused("upload-header-malformed", "sha256 in Upload-Metadata is 64 lower-case hex digits")
    return Said(
        filename=pairs.get("filename", ""),
        source=pairs.get("source", ""),
        sha256=bytes.fromhex(sha256) if sha256 else None,
        manifest=pairs.get("manifest", ""),
    )


def expires(at: datetime) -> dict[str, str]:
    """Write Upload-Expires (the date form of RFC 9110)."""
    return {"Upload-Expires": format_datetime(at.astimezone(UTC), usegmt=True)}


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RequestRefused("upload-header-malformed", f"a value of {name} is not base64") from error
