"""Keys that somebody has things sealed to by HPKE: JWK with `use` `enc`, public or private (RFC 7517, RFC 9180).

P-256 or X25519, as `registry.suites.hpke` has them. Such a key is never one that its owner signs with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from registry.canonical import b64url, canonical, unb64url
from registry.errors import EncryptionKeyRefused
from registry.suites import sha256
from registry.suites.hpke import Curve, HpkeKey, hpke_curve

SUITES: Final[Mapping[Curve, str]] = {
    "P-256": "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
    "X25519": "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
}
_MEMBERS: Final = {("EC", "P-256"): ("x", "y"), ("OKP", "X25519"): ("x",)}
_COORDINATE_BYTES: Final = 32
_KNOWN: Final = frozenset({"kty", "crv", "x", "y", "use", "kid"})


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A public key as HPKE writes it, and what it is called (RFC 7638)."""

    curve: Curve
    public: bytes
    thumbprint: str


def read(jwk: object) -> EncryptionKey:
    """Read a public JWK.

    Raises:
        EncryptionKeyRefused: another kind or curve, private members, not meant for encryption, or no key at all.
    """
    if not isinstance(jwk, Mapping):
        raise EncryptionKeyRefused("a JWK is a JSON object")
    if not _KNOWN.issuperset(jwk):
        raise EncryptionKeyRefused(
            "a JWK with private or unknown members; only kty, crv, x, y, use and kid may be shown"
        )
    if jwk.get("use") != "enc":
        raise EncryptionKeyRefused('a JWK that is not meant for encryption: it needs "use": "enc"')
    kind = next((known for known in _MEMBERS if known == (jwk.get("kty"), jwk.get("crv"))), None)
    if kind is None:
        raise EncryptionKeyRefused("only EC P-256 and OKP X25519 keys are sealed to")
    try:
        parts = [unb64url(jwk[name]) for name in _MEMBERS[kind]]
        if any(len(part) != _COORDINATE_BYTES for part in parts):
            raise EncryptionKeyRefused("a coordinate has 32 bytes")
        public = b"\x04" + b"".join(parts) if kind[0] == "EC" else parts[0]
        curve = hpke_curve(public)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise EncryptionKeyRefused("a JWK whose numbers are not a key of its kind") from error
    return EncryptionKey(curve, public, thumbprint(curve, public))


def jwk_of(key: HpkeKey) -> dict[str, str]:
    """Write the public half as a JWK to be registered."""
    return {**_required(key.curve, key.public), "use": "enc"}


def private_jwk(key: HpkeKey) -> dict[str, str]:
    """Write a private key as its owner keeps it."""
    return {**jwk_of(key), "d": b64url(key.private_bytes())}


def read_private(jwk: Mapping[str, Any]) -> HpkeKey:
    """Read what `private_jwk` wrote.

    Raises:
        EncryptionKeyRefused: not such a key, or its halves do not belong together.
    """
    public = read({name: value for name, value in jwk.items() if name != "d"})
    try:
        key = HpkeKey(public.curve, unb64url(jwk["d"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise EncryptionKeyRefused("a private JWK without its private half") from error
    if key.public != public.public:
        raise EncryptionKeyRefused("a private JWK whose halves do not belong together")
    return key


def thumbprint(curve: Curve, public: bytes) -> str:
    """Name a key by its digest (RFC 7638)."""
    return b64url(sha256(canonical(_required(curve, public))))


def _required(curve: Curve, public: bytes) -> dict[str, str]:
    if curve == "X25519":
        return {"kty": "OKP", "crv": "X25519", "x": b64url(public)}
    return {"kty": "EC", "crv": "P-256", "x": b64url(public[1:33]), "y": b64url(public[33:])}
