"""Hashes, keyed hashes, randomness and comparison in constant time.

Texts: FIPS 180-4 (SHA-256), RFC 2104 (HMAC), GB/T 32905 (SM3). SHA-1 is here for one purpose: tus 1.0 demands it of
servers that check parts of an upload against damage on the way. It proves nothing against an attacker.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

_BLOCK_BYTES = 64  # block length of SHA-256
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of the bytes, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_each(prefix: bytes, items: Iterable[bytes]) -> list[bytes]:
    """Return the SHA-256 of prefix ‖ item for each item; much faster than a call for each.

    What is common to all is hashed once and copied, which also spares looking the algorithm up.
    """
    begun = hashlib.sha256(prefix).copy
    digests = []
    for item in items:
        one = begun()
        one.update(item)
        digests.append(one.digest())
    return digests


def sha256_salted(prefix: bytes, salts_of: Iterable[bytes], head: bytes, cut: int, items: Iterable[bytes]) -> list[str]:
    """Return, for each name of `salts_of` and item, SHA-256(head ‖ SHA-256(prefix ‖ name)[:cut] ‖ item) in hex."""
    new = hashlib.sha256
    return [
        new(head + new(prefix + name).digest()[:cut] + item).hexdigest()
        for name, item in zip(salts_of, items, strict=True)
    ]


def sha256_pairs(prefix: bytes, digests: bytes) -> bytes:
    """Return SHA-256(prefix ‖ pair) for each 64-byte pair of a run of 32-byte digests, as a run half as long."""
    new = hashlib.sha256
    return b"".join([new(prefix + digests[at : at + 64]).digest() for at in range(0, len(digests), 64)])


def sm3(data: bytes) -> bytes:
    """Return the SM3 of the bytes, 32 bytes (GB/T 32905)."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def streaming_digests(chunks: Iterable[bytes]) -> tuple[bytes, bytes, int]:
    """Hash a file once while it passes by: (SHA-256, SM3, number of bytes)."""
    first, second, count = hashlib.sha256(), hashes.Hash(hashes.SM3()), 0
    for chunk in chunks:
        first.update(chunk)
        second.update(chunk)
        count += len(chunk)
    return first.digest(), second.finalize(), count


class Digests:
    """Both hashes of bytes that come piece by piece; they can be asked for at any time."""

    def __init__(self) -> None:
        self._first, self._second, self.size = hashlib.sha256(), hashes.Hash(hashes.SM3()), 0

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._first.update(piece)
        self._second.update(piece)
        self.size += len(piece)

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the bytes so far."""
        return self._first.digest()

    @property
    def sm3(self) -> bytes:
        """The SM3 of the bytes so far."""
        return self._second.copy().finalize()


class Hasher(Protocol):
    """A hash of bytes that come piece by piece."""

    def update(self, piece: bytes, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the hash, once."""


class _Sm3:
    def __init__(self) -> None:
        self._hash = hashes.Hash(hashes.SM3())

    def update(self, piece: bytes, /) -> None:
        self._hash.update(piece)

    def digest(self) -> bytes:
        return self._hash.finalize()


def _sha1() -> Hasher:
    return hashlib.sha1(usedforsecurity=False)


CHECKSUMS: Final[dict[str, Callable[[], Hasher]]] = {"sha1": _sha1, "sha256": hashlib.sha256, "sm3": _Sm3}


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 of the message, 32 bytes."""
    return hmac.digest(key, message, "sha256")


def hmac_sha256_each(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """Return the HMAC-SHA-256 of each message under one key; a fraction of the cost of a call for each.

    The padded key is made and hashed once, so that a message costs two plain hashes (RFC 2104, section 4).
    """
    if len(key) > _BLOCK_BYTES:
        key = sha256(key)
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    inner = hashlib.sha256(padded.translate(_INNER_PAD)).copy
    outer = hashlib.sha256(padded.translate(_OUTER_PAD)).copy
    codes = []
    for message in messages:
        first, second = inner(), outer()
        first.update(message)
        second.update(first.digest())
        codes.append(second.digest())
    return codes


def hmac_sm3(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SM3 of the message, 32 bytes."""
    mac = HMAC(key, hashes.SM3())
    mac.update(message)
    return mac.finalize()


def random_bytes(count: int) -> bytes:
    """Return `count` bytes from the system's generator."""
    return secrets.token_bytes(count)


def constant_time_equal(one: bytes, other: bytes) -> bool:
    """Compare two secrets without telling by time where they differ."""
    return hmac.compare_digest(one, other)
