"""Hashes, keyed hashes, randomness and comparison in constant time.

Texts: FIPS 180-4 (SHA-256), RFC 2104 (HMAC), GB/T 32905 (SM3).
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

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
    """Return the SHA-256 of prefix ‖ item for each item; much faster than a call for each."""
    new = hashlib.sha256
    return [new(prefix + item).digest() for item in items]


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


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 of the message, 32 bytes."""
    return hmac.digest(key, message, "sha256")


def hmac_sha256_each(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """Return the HMAC-SHA-256 of each message under one key; half the cost of a call for each.

    The padded key is made once, so that a message costs two plain hashes (RFC 2104, section 4).
    """
    if len(key) > _BLOCK_BYTES:
        key = sha256(key)
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    inner, outer = padded.translate(_INNER_PAD), padded.translate(_OUTER_PAD)
    new = hashlib.sha256
    return [new(outer + new(inner + message).digest()).digest() for message in messages]


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
