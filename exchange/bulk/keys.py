"""The public key that a system's results are sealed to: a JWK with `use` `enc`, registered by the operator.

P-256 or X25519, as `registry.suites.hpke` has them. It stands beside the keys that the system signs with and is never
one of them. Registering another takes the place of the first: results that are fetched from then on are sealed to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from exchange.errors import KeyRefused, RequestRefused
from exchange.events import Event
from exchange.oauth.scopes import Role
from registry import log
from registry.canonical import b64url, canonical, unb64url
from registry.database import Transaction
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
        KeyRefused: another kind or curve, private members, not meant for encryption, or no key at all.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRefused("a JWK is a JSON object")
    if not _KNOWN.issuperset(jwk):
        raise KeyRefused("a JWK with private or unknown members; only kty, crv, x, y, use and kid may be shown")
    if jwk.get("use") != "enc":
        raise KeyRefused('a JWK that is not meant for encryption: it needs "use": "enc"')
    kind = next((known for known in _MEMBERS if known == (jwk.get("kty"), jwk.get("crv"))), None)
    if kind is None:
        raise KeyRefused("only EC P-256 and OKP X25519 keys are sealed to")
    try:
        parts = [unb64url(jwk[name]) for name in _MEMBERS[kind]]
        if any(len(part) != _COORDINATE_BYTES for part in parts):
            raise KeyRefused("a coordinate has 32 bytes")
        public = b"\x04" + b"".join(parts) if kind[0] == "EC" else parts[0]
        curve = hpke_curve(public)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise KeyRefused("a JWK whose numbers are not a key of its kind") from error
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
        KeyRefused: not such a key, or its halves do not belong together.
    """
    public = read({name: value for name, value in jwk.items() if name != "d"})
    try:
        key = HpkeKey(public.curve, unb64url(jwk["d"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise KeyRefused("a private JWK without its private half") from error
    if key.public != public.public:
        raise KeyRefused("a private JWK whose halves do not belong together")
    return key


def thumbprint(curve: Curve, public: bytes) -> str:
    """Name a key by its digest (RFC 7638)."""
    return b64url(sha256(canonical(_required(curve, public))))


def register(tx: Transaction, client_id: str, key: EncryptionKey, *, now: datetime) -> None:
    """Seal a lender's results to this key from now on, and write that to the log.

    Raises:
        RequestRefused: `client-unregistrable`: no such lender's system.
    """
    row = tx.execute("SELECT FROM client WHERE client_id = %s AND role = %s", (client_id, Role.LENDER.value)).fetchone()
    if row is None:
        raise RequestRefused("client-unregistrable", "no lender's system of this id is registered")
    tx.execute(
        "INSERT INTO bulk_key (client_id, curve, public, thumbprint, registered_at) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (client_id) DO UPDATE SET curve = EXCLUDED.curve, public = EXCLUDED.public,"
        " thumbprint = EXCLUDED.thumbprint, registered_at = EXCLUDED.registered_at",
        (client_id, key.curve, key.public, key.thumbprint, now),
    )
    fields: dict[str, Any] = {"client_id": client_id, "thumbprint": key.thumbprint}
    log.append(tx, [log.Entry(event=Event.ENCRYPTION_KEY_SET, at=now, actor="operator", fields=fields)])


def of_client(tx: Transaction, client_id: str) -> EncryptionKey:
    """Give the key that a system's results are sealed to.

    Raises:
        RequestRefused: `bulk-key-missing`.
    """
    row = tx.execute("SELECT curve, public, thumbprint FROM bulk_key WHERE client_id = %s", (client_id,)).fetchone()
    if row is None:
        raise RequestRefused("bulk-key-missing")
    return EncryptionKey(*row)


def _required(curve: Curve, public: bytes) -> dict[str, str]:
    if curve == "X25519":
        return {"kty": "OKP", "crv": "X25519", "x": b64url(public)}
    return {"kty": "EC", "crv": "P-256", "x": b64url(public[1:33]), "y": b64url(public[33:])}
