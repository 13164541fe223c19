"""Sealing: authenticated encryption whose result says which suite made it.

Sealed bytes: suite id (1) ‖ nonce (12) ‖ ciphertext ‖ tag (16). The suite id is authenticated too.
A key is 32 bytes; SM4 takes the first 16 of them. Nonces are random: one key seals fewer than 2^32 messages.

Texts: NIST SP 800-38D (GCM), GB/T 32907 (SM4), RFC 8998 (SM4-GCM).
"""

from collections.abc import Iterable, Sequence
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

    def seal_each(self, keys: Iterable[bytes], plaintexts: Sequence[bytes], aads: Iterable[bytes]) -> list[bytes]:
        """Do as `seal` for each of many, each under its own key."""

    def unseal(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext, or raise `SealBroken`."""


class _Intl:
    name = "intl"
    mark = b"\x01"

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        _require_key(key)
        nonce = random_bytes(_NONCE_BYTES)
        return self.mark + nonce + AESGCM(key).encrypt(nonce, plaintext, self.mark + aad)

    def seal_each(self, keys: Iterable[bytes], plaintexts: Sequence[bytes], aads: Iterable[bytes]) -> list[bytes]:
        mark, ciphers, sealed = self.mark, _Last(), []
        for key, nonce, plaintext, aad in zip(keys, _nonces(len(plaintexts)), plaintexts, aads, strict=True):
            sealed.append(mark + nonce + ciphers.under(key).encrypt(nonce, plaintext, mark + aad))
        return sealed

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

    def seal_each(self, keys: Iterable[bytes], plaintexts: Sequence[bytes], aads: Iterable[bytes]) -> list[bytes]:
        return [self.seal(*one) for one in zip(keys, plaintexts, aads, strict=True)]

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


def seal_each(suite: Suite, keys: Iterable[bytes], plaintexts: Sequence[bytes], aads: Iterable[bytes]) -> list[bytes]:
    """Seal many, each under its own key and to its own place, as `seal` does one by one; random bytes come at once."""
    return suite.seal_each(keys, plaintexts, aads)


def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what any suite sealed; which one, the first byte says.

    Raises:
        SealBroken: unknown suite, wrong key, wrong place or changed bytes.
    """
    suite = _BY_MARK.get(sealed[:1])
    if suite is None:
        raise SealBroken("sealed bytes of no known suite")
    return suite.unseal(key, sealed, aad)


def unseal_each(keys: Iterable[bytes], sealed: Iterable[bytes], aads: Iterable[bytes]) -> list[bytes]:
    """Open many, as `unseal` does one by one; neighbours under one key share its cipher.

    Raises:
        SealBroken: one of them does not open.
    """
    ciphers, opened = _Last(), []
    for key, one, aad in zip(keys, sealed, aads, strict=True):
        if one[:1] != intl.mark:
            opened.append(unseal(key, one, aad))
            continue
        _require_shape(one, intl.mark)
        try:
            opened.append(ciphers.under(key).decrypt(one[1:_HEAD_BYTES], one[_HEAD_BYTES:], intl.mark + aad))
        except InvalidTag as error:
            raise SealBroken("sealed bytes do not open under this key and place") from error
    return opened


class _Last:
    """The cipher of the key that was used last: making one costs as much as sealing a record."""

    def __init__(self) -> None:
        self._key, self._cipher = b"", AESGCM(bytes(KEY_BYTES))

    def under(self, key: bytes) -> AESGCM:
        if key is not self._key:
            _require_key(key)
            self._key, self._cipher = key, AESGCM(key)
        return self._cipher


def _nonces(count: int) -> list[bytes]:
    drawn = random_bytes(_NONCE_BYTES * count)
    return [drawn[at : at + _NONCE_BYTES] for at in range(0, len(drawn), _NONCE_BYTES)]


def _require_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a sealing key has {KEY_BYTES} bytes")


def _require_shape(sealed: bytes, mark: bytes) -> None:
    if sealed[:1] != mark or len(sealed) < _HEAD_BYTES + _TAG_BYTES:
        raise SealBroken("sealed bytes are cut short or of another suite")
