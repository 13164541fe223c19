"""SM2 signatures with SM3 (GB/T 32918.2, curve of GB/T 32918.5) through the system's libcrypto 3.

`cryptography` has no SM2, and pure Python is forty times slower; so libcrypto is called through ctypes. Where it is
missing, `sm2_available()` is False and using a key raises `CipherUnavailable`: logs are then signed with Ed25519 only.
Public keys are uncompressed points (65 bytes), signatures r‖s (64 bytes), the signer's id the default of GM/T 0009.
"""

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from registry.errors import CipherUnavailable
from registry.suites.digests import random_bytes

DEFAULT_ID: Final = b"1234567812345678"  # GM/T 0009-2012 §10
CURVE_ORDER: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123  # GB/T 32918.5
_SCALAR_BYTES: Final = 32
_POINT_BYTES: Final = 65
_SIGNATURE_BYTES: Final = 64
_DER_ROOM_BYTES: Final = 256
_OPENSSL_MAJOR: Final = 3
_CURVE_OID: Final = bytes.fromhex("06082a811ccf5501822d")  # 1.2.156.10197.1.301
_EC_KEY_OID: Final = bytes.fromhex("06072a8648ce3d0201")  # 1.2.840.10045.2.1
_NAMES: Final = ("libcrypto.so.3", "libcrypto.3.dylib", "libcrypto-3-x64.dll", "libcrypto.so")


class Sm2Key:
    """An SM2 private key."""

    algorithm = "SM2"
    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        """Load a private scalar of 32 bytes, big-endian.

        Raises:
            CipherUnavailable: this machine has no libcrypto 3 with SM2.
            ValueError: the scalar is not between 1 and n − 2.
        """
        if len(private) != _SCALAR_BYTES or not 1 <= int.from_bytes(private) <= CURVE_ORDER - 2:
            raise ValueError("an SM2 private key is a scalar between 1 and n − 2")
        self._private = private
        with _private_key(private) as pkey:
            self.public: bytes = _public_point(pkey)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        while True:
            private = random_bytes(_SCALAR_BYTES)
            if 1 <= int.from_bytes(private) <= CURVE_ORDER - 2:
                return cls(private)

    def sign(self, message: bytes) -> bytes:
        """Return r‖s over SM3(Z ‖ message), 64 bytes; each call gives another signature."""
        lib = _libcrypto()
        length = ctypes.c_size_t(_DER_ROOM_BYTES)
        room = ctypes.create_string_buffer(_DER_ROOM_BYTES)
        with _private_key(self._private, self.public) as pkey, _digest_context(pkey) as context:
            _must(lib.EVP_DigestSignInit(context, None, lib.EVP_sm3(), None, pkey))
            _must(lib.EVP_DigestSign(context, room, ctypes.byref(length), message, len(message)))
        r, s = decode_dss_signature(room.raw[: length.value])
        return r.to_bytes(_SCALAR_BYTES) + s.to_bytes(_SCALAR_BYTES)

    def private_bytes(self) -> bytes:
        """Return the private scalar, 32 bytes."""
        return self._private

    def __repr__(self) -> str:
        """Show the public key's beginning only."""
        return f"Sm2Key({self.public[1:5].hex()}…)"


def verify_sm2(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether r‖s is this key's signature under the default id; a malformed key or signature is not.

    Raises:
        CipherUnavailable: this machine cannot check SM2 at all.
    """
    lib = _libcrypto()
    if len(public) != _POINT_BYTES or len(signature) != _SIGNATURE_BYTES:
        return False
    der = encode_dss_signature(int.from_bytes(signature[:_SCALAR_BYTES]), int.from_bytes(signature[_SCALAR_BYTES:]))
    algorithm = _sequence(_EC_KEY_OID + _CURVE_OID)
    encoded = _sequence(algorithm + b"\x03" + bytes([_POINT_BYTES + 1]) + b"\x00" + public)
    pkey = lib.d2i_PUBKEY(None, ctypes.byref(ctypes.c_char_p(encoded)), len(encoded))
    if not pkey:
        lib.ERR_clear_error()
        return False
    try:
        with _digest_context(pkey) as context:
            _must(lib.EVP_DigestVerifyInit(context, None, lib.EVP_sm3(), None, pkey))
            verdict: int = lib.EVP_DigestVerify(context, der, len(der), message, len(message))
            lib.ERR_clear_error()
            return verdict == 1
    finally:
        lib.EVP_PKEY_free(pkey)


def sm2_available() -> bool:
    """Say whether this machine's libcrypto can sign and verify SM2."""
    try:
        Sm2Key((1).to_bytes(_SCALAR_BYTES))
    except CipherUnavailable:
        return False
    return True


@lru_cache(maxsize=1)
def _libcrypto() -> ctypes.CDLL:
    for name in (*_NAMES, ctypes.util.find_library("crypto")):
        if name is None:
            continue
        try:
            lib = ctypes.CDLL(name)
            version: int = lib.OPENSSL_version_major()
        except (OSError, AttributeError):
            continue
        if version >= _OPENSSL_MAJOR:
            return _declared(lib)
    raise CipherUnavailable("SM2 needs the system's libcrypto 3 (Debian: libssl3)")


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size, text, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("d2i_AutoPrivateKey", pointer, (pointer, pointer, ctypes.c_long)),
        ("d2i_PUBKEY", pointer, (pointer, pointer, ctypes.c_long)),
        ("i2d_PUBKEY", number, (pointer, pointer)),
        ("EVP_PKEY_free", None, (pointer,)),
        ("EVP_PKEY_CTX_new", pointer, (pointer, pointer)),
        ("EVP_PKEY_CTX_free", None, (pointer,)),
        ("EVP_PKEY_CTX_set1_id", number, (pointer, text, number)),
        ("EVP_MD_CTX_new", pointer, ()),
        ("EVP_MD_CTX_free", None, (pointer,)),
        ("EVP_MD_CTX_set_pkey_ctx", None, (pointer, pointer)),
        ("EVP_sm3", pointer, ()),
        ("EVP_DigestSignInit", number, (pointer, pointer, pointer, pointer, pointer)),
        ("EVP_DigestSign", number, (pointer, text, pointer, text, size)),
        ("EVP_DigestVerifyInit", number, (pointer, pointer, pointer, pointer, pointer)),
        ("EVP_DigestVerify", number, (pointer, text, size, text, size)),
        ("ERR_clear_error", None, ()),
    ):
        try:
            function = getattr(lib, name)
        except AttributeError as error:
            raise CipherUnavailable(f"this libcrypto has no {name}; SM2 is switched off in it") from error
        function.restype, function.argtypes = result, arguments
    return lib


@contextmanager
def _private_key(private: bytes, public: bytes = b"") -> Iterator[int]:
    """Yield libcrypto's handle of the key, from its SEC 1 encoding (RFC 5915).

    With the public point, which is known once the key was loaded, libcrypto need not compute it: half of a signature.
    """
    lib = _libcrypto()
    curve = b"\xa0" + bytes([len(_CURVE_OID)]) + _CURVE_OID
    bits = b"\x03" + bytes([len(public) + 1]) + b"\x00" + public
    point = b"\xa1" + bytes([len(bits)]) + bits if public else b""
    encoded = _sequence(b"\x02\x01\x01" + b"\x04\x20" + private + curve + point)
    pkey: int | None = lib.d2i_AutoPrivateKey(None, ctypes.byref(ctypes.c_char_p(encoded)), len(encoded))
    if not pkey:
        lib.ERR_clear_error()
        raise CipherUnavailable("this libcrypto cannot load an SM2 key")
    try:
        yield pkey
    finally:
        lib.EVP_PKEY_free(pkey)


@contextmanager
def _digest_context(pkey: int) -> Iterator[int]:
    """Yield a digest context bound to the key and the default signer's id."""
    lib = _libcrypto()
    key_context: int = lib.EVP_PKEY_CTX_new(pkey, None)
    context: int = lib.EVP_MD_CTX_new()
    try:
        _must(lib.EVP_PKEY_CTX_set1_id(key_context, DEFAULT_ID, len(DEFAULT_ID)))
        lib.EVP_MD_CTX_set_pkey_ctx(context, key_context)
        yield context
    finally:
        lib.EVP_MD_CTX_free(context)
        lib.EVP_PKEY_CTX_free(key_context)


def _public_point(pkey: int) -> bytes:
    """Return the point at the end of the SubjectPublicKeyInfo."""
    lib = _libcrypto()
    length: int = lib.i2d_PUBKEY(pkey, None)
    room = ctypes.create_string_buffer(length)
    _must(lib.i2d_PUBKEY(pkey, ctypes.byref(ctypes.c_void_p(ctypes.addressof(room)))))
    return room.raw[-_POINT_BYTES:]


def _sequence(content: bytes) -> bytes:
    return b"\x30" + bytes([len(content)]) + content


def _must(result: int) -> None:
    if result <= 0:
        _libcrypto().ERR_clear_error()
        raise CipherUnavailable("libcrypto refused an SM2 operation")
