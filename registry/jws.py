"""Compact and detached JSON Web Signatures (RFC 7515) by Ed25519 (RFC 9864 name `Ed25519`), ES256 and SM2.

The verifier is told which keys may sign and takes the algorithm from the key, never from the header; the header must
agree. Headers have `alg`, `kid` and `typ`; `crit`, `b64`, `jwk`, `jku`, `x5c`, `x5u` are refused. Not done: encryption,
JSON serialisation, several signatures, claims.

No registry of JOSE names one for SM2 with SM3 (GB/T 32918, signer's id 1234567812345678): here it is `SM2`, and its key
must be given as `Public`, since a point of SM2 is as long as one of P-256.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import orjson

from registry.canonical import b64url, canonical, unb64url
from registry.errors import SignatureInvalid
from registry.suites import verify_ed25519, verify_es256, verify_sm2

_VERIFIERS: Final = {"Ed25519": verify_ed25519, "ES256": verify_es256, "SM2": verify_sm2}
_BY_LENGTH: Final = {32: "Ed25519", 65: "ES256"}  # of a public key that does not say what it is
_REFUSED: Final = frozenset({"crit", "b64", "jwk", "jku", "x5c", "x5u"})
_MAX_HEADER_CHARACTERS: Final = 2048


class Public(NamedTuple):
    """A public key that says what it is for: `Ed25519`, `ES256` or `SM2`, and its raw bytes."""

    algorithm: str
    raw: bytes


class Signer(Protocol):
    """What signs: a key of the cipher room or of the ring."""

    @property
    def algorithm(self) -> str:
        """`Ed25519`, `ES256` or `SM2`."""

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature."""


def sign(key: Signer, key_id: str, payload: bytes, typ: str) -> str:
    """Sign and return `header.payload.signature`.

    Args:
        key: an Ed25519, ES256 or SM2 key.
        key_id: `kid` of the header.
        payload: the bytes that are signed; canonical JSON everywhere in the product.
        typ: media type without `application/`, for instance `qq-answer+jws`; it keeps one use from passing as another.
    """
    header, body = _header(key, key_id, typ), b64url(payload)
    return f"{header}.{body}.{b64url(key.sign(f'{header}.{body}'.encode('ascii')))}"


def sign_detached(key: Signer, key_id: str, payload: bytes, typ: str) -> str:
    """Sign and return `header..signature`; the payload travels beside it (RFC 7515 appendix F)."""
    header = _header(key, key_id, typ)
    signed = b".".join((header.encode("ascii"), b64url(payload).encode("ascii")))
    return f"{header}..{b64url(key.sign(signed))}"


def verify(
    jws: str,
    public_keys: Mapping[str, bytes] | Mapping[str, Public],
    detached_payload: bytes | None = None,
    *,
    typ: str | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Return (header, payload) of a signature by one of the keys.

    Args:
        jws: compact form, or detached form together with `detached_payload`.
        public_keys: kid → raw public key (32 bytes Ed25519, 65 bytes P-256), or a `Public`.
        detached_payload: the payload when it travelled beside the signature.
        typ: when given, the only `typ` accepted.

    Raises:
        SignatureInvalid: anything but a well-formed, matching signature by a known key.
        CipherUnavailable: an SM2 signature, and this machine cannot check one.
    """
    try:
        head, body, signature = jws.split(".")
        if detached_payload is not None:
            if body:
                raise SignatureInvalid("a detached signature with a payload inside")
            body = b64url(detached_payload)
        header, raw, payload = _read_header(head), unb64url(signature), unb64url(body)
    except ValueError as error:
        raise SignatureInvalid("not a compact signature") from error
    public = public_keys.get(header["kid"])
    if public is None:
        raise SignatureInvalid("signed by a key that is not trusted for this")
    algorithm, trusted = public if isinstance(public, Public) else (_BY_LENGTH[len(public)], public)
    if header.get("alg") != algorithm:
        raise SignatureInvalid("the header names another algorithm than the key's")
    if typ is not None and header.get("typ") != typ:
        raise SignatureInvalid(f"signed as something else than {typ}")
    if not _VERIFIERS[algorithm](trusted, raw, f"{head}.{body}".encode()):
        raise SignatureInvalid("the signature does not match")
    return header, payload


def _read_header(head: str) -> dict[str, Any]:
    if len(head) > _MAX_HEADER_CHARACTERS:
        raise SignatureInvalid("the signature's header is too long")
    header = orjson.loads(unb64url(head))
    if not isinstance(header, dict) or _REFUSED & header.keys() or not isinstance(header.get("kid"), str):
        raise SignatureInvalid("a header that is not allowed here")
    return header


def public_jwk(public: bytes, key_id: str, *, use: str = "sig") -> dict[str, str]:
    """Write a public key as a JWK (RFC 7517; RFC 8037 for Ed25519)."""
    algorithm = _BY_LENGTH[len(public)]
    shape = (
        {"kty": "OKP", "crv": "Ed25519", "x": b64url(public)}
        if algorithm == "Ed25519"
        else {"kty": "EC", "crv": "P-256", "x": b64url(public[1:33]), "y": b64url(public[33:])}
    )
    return shape | {"alg": algorithm, "kid": key_id, "use": use}


def _header(key: Signer, key_id: str, typ: str) -> str:
    return _encoded_header(key.algorithm, key_id, typ)


@lru_cache(maxsize=64)
def _encoded_header(algorithm: str, key_id: str, typ: str) -> str:
    return b64url(canonical({"alg": algorithm, "kid": key_id, "typ": typ}))
