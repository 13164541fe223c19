"""Sealing: authenticated encryption whose result says which suite made it.

Sealed bytes: suite id (1) ‖ nonce (12) ‖ ciphertext ‖ tag (16). The suite id is authenticated too.
A key is 32 bytes; SM4 takes the first 16 of them. Nonces are random: one key seals fewer than 2^32 messages.

Texts: NIST SP 800-38D (GCM), GB/T 32907 (SM4), RFC 8998 (SM4-GCM).
"""

from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from registry.errors import SealBroken
from registry.suites.digests import random_bytes

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SM4_KEY_BYTES: Final = 16
_HEAD_BYTES: Final = 1 + _NONCE_BYTES


class Suite(Protocol):
    """What every suite offers; `name` is what configuration calls it."""

    @property
    def name(self) -> str:
        """`intl` or `gm`."""

    @property
    def mark(self) -> bytes:
        """The first byte of everything this suite seals."""

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt and authenticate; `aad` is authenticated but not part of the result."""

    def unseal(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext, or raise `SealBroken`."""


class _Intl:
    name = "intl"
    mark = b"\x01"

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        _require_key(key)
        nonce = random_bytes(_NONCE_BYTES)
        return self.mark + nonce + AESGCM(key).encrypt(nonce, plaintext, self.mark + aad)

    def unseal(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        _require_key(key)
        _require_shape(sealed, self.mark)
        try:
            return AESGCM(key).decrypt(sealed[1:_HEAD_BYTES], sealed[_HEAD_BYTES:], self.mark + aad)
        except InvalidTag as error:
            raise SealBroken("sealed bytes do not open under this key and place") from error


class _Gm:
    name = "gm"
    mark = b"\x02"

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        _require_key(key)
        nonce = random_bytes(_NONCE_BYTES)
        encryptor = Cipher(algorithms.SM4(key[:_SM4_KEY_BYTES]), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(self.mark + aad)
        return self.mark + nonce + encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag

    def unseal(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        _require_key(key)
        _require_shape(sealed, self.mark)
        nonce, tag = sealed[1:_HEAD_BYTES], sealed[-_TAG_BYTES:]
        decryptor = Cipher(algorithms.SM4(key[:_SM4_KEY_BYTES]), modes.GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(self.mark + aad)
        try:
            return decryptor.update(sealed[_HEAD_BYTES:-_TAG_BYTES]) + decryptor.finalize()
        except InvalidTag as error:
            raise SealBroken("sealed bytes do not open under this key and place") from error


intl: Final[Suite] = _Intl()
gm: Final[Suite] = _Gm()
_BY_MARK: Final = {suite.mark: suite for suite in (intl, gm)}


def suite_named(name: str) -> Suite:
    """Return the suite that configuration calls `intl` or `gm`.

    Raises:
        ValueError: no suite of that name.
    """
    for suite in _BY_MARK.values():
        if suite.name == name:
            return suite
    raise ValueError(f"no cipher suite named {name!r}; there are intl and gm")


def seal(suite: Suite, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Seal under a suite. `key` is 32 bytes; `aad` ties the result to its place (table, ids)."""
    return suite.seal(key, plaintext, aad)


def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what any suite sealed; which one, the first byte says.

    Raises:
        SealBroken: unknown suite, wrong key, wrong place or changed bytes.
    """
    suite = _BY_MARK.get(sealed[:1])
    if suite is None:
        raise SealBroken("sealed bytes of no known suite")
    return suite.unseal(key, sealed, aad)


def _require_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a sealing key has {KEY_BYTES} bytes")


def _require_shape(sealed: bytes, mark: bytes) -> None:
    if sealed[:1] != mark or len(sealed) < _HEAD_BYTES + _TAG_BYTES:
        raise SealBroken("sealed bytes are cut short or of another suite")
