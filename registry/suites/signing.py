"""Signatures of the intl suite: Ed25519 (RFC 8032) and ES256 (ECDSA P-256 with SHA-256, RFC 7518 §3.4).

A key's `public` bytes and its signatures are raw: 32 and 64 bytes for Ed25519; an uncompressed point of 65 bytes and
r‖s of 64 bytes for ES256. ES256 signs deterministically (RFC 6979), so that a bad random source cannot leak the key.
PS256 (RSASSA-PSS, RFC 7518 §3.5) is verified only, for lenders whose systems hold RSA keys; we never sign with it.
"""

from functools import lru_cache
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SIGNATURE_BYTES: Final = 64
_SCALAR_BYTES: Final = 32


class SigningKey(Protocol):
    """A private key of any signature algorithm."""

    @property
    def algorithm(self) -> str:
        """`Ed25519`, `ES256` or `SM2`."""

    @property
    def public(self) -> bytes:
        """The raw public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature, 64 bytes."""

    def private_bytes(self) -> bytes:
        """The raw private key, 32 bytes; only the key ring asks for it."""


class Ed25519Key:
    """An Ed25519 private key."""

    algorithm = "Ed25519"
    __slots__ = ("_key", "public")

    def __init__(self, private: bytes) -> None:
        """Load a private key of 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(message)

    def private_bytes(self) -> bytes:
        """Return the private key, 32 bytes."""
        return self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def __repr__(self) -> str:
        """Show the public key's beginning only."""
        return f"Ed25519Key({self.public[:4].hex()}…)"


class Es256Key:
    """A P-256 private key for ES256."""

    algorithm = "ES256"
    __slots__ = ("_key", "public")

    def __init__(self, private: bytes) -> None:
        """Load a private scalar of 32 bytes, big-endian."""
        self._key = ec.derive_private_key(int.from_bytes(private), ec.SECP256R1())
        self.public: bytes = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        scalar = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        return cls(scalar.to_bytes(_SCALAR_BYTES))

    def sign(self, message: bytes) -> bytes:
        """Return r‖s, 64 bytes, deterministic."""
        der = self._key.sign(message, _RFC6979)
        r, s = decode_dss_signature(der)
        return r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES)

    def private_bytes(self) -> bytes:
        """Return the private scalar, 32 bytes."""
        return self._key.private_numbers().private_value.to_bytes(_SCALAR_BYTES)

    def __repr__(self) -> str:
        """Show the public key's beginning only."""
        return f"Es256Key({self.public[1:5].hex()}…)"


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether the signature is this key's; a malformed key or signature is not."""
    try:
        _ed25519_public(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_es256(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether r‖s is this key's; a malformed key or signature is not."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    der = encode_dss_signature(int.from_bytes(signature[:_SCALAR_BYTES]), int.from_bytes(signature[_SCALAR_BYTES:]))
    try:
        _es256_public(public).verify(der, message, _ES256)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_ps256(modulus: int, exponent: int, signature: bytes, message: bytes) -> bool:
    """Say whether the signature is this RSA key's; a malformed key or signature is not."""
    try:
        _rsa_public(modulus, exponent).verify(signature, message, _PSS, _SHA256)
    except (InvalidSignature, ValueError):
        return False
    return True


_ES256: Final = ec.ECDSA(hashes.SHA256())
_RFC6979: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_SHA256: Final = hashes.SHA256()
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@lru_cache(maxsize=1024)
def _ed25519_public(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


@lru_cache(maxsize=1024)
def _es256_public(public: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)


@lru_cache(maxsize=256)
def _rsa_public(modulus: int, exponent: int) -> RSAPublicKey:
    return RSAPublicNumbers(exponent, modulus).public_key()
