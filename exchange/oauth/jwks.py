"""Public keys of others, as JSON Web Keys (RFC 7517, 7518, 8037, thumbprint RFC 7638).

Three kinds, one algorithm family each, after FAPI 2.0 §5.4; nothing else is read:
  EC  P-256             ES256
  RSA 2048-4096, e=65537  PS256
  OKP Ed25519           Ed25519 (RFC 9864) and its older name EdDSA

The algorithm follows from the key, never from the token's header alone: a token that names
another one is refused, so neither `none` nor an HMAC keyed with a public key can be spoken of.
A JWK that carries private members is refused whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from exchange.errors import KeyRefused
from registry import suites
from registry.canonical import b64url, canonical, unb64url

ALGORITHMS: Final = ("ES256", "PS256", "Ed25519", "EdDSA")
MAX_REGISTERED_KEYS: Final = 8
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_KEPT_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "alg")
_COORDINATE_BYTES: Final = 32
_RSA_EXPONENT: Final = 65537
_RSA_BITS: Final = range(2048, 4097)


_Verifies = Callable[[bytes, bytes], bool]
_Read = tuple[tuple[str, ...], _Verifies]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures can be checked with. `verifies(signature, message)` never raises."""

    algorithms: tuple[str, ...]
    thumbprint: str
    verifies: _Verifies


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key that a client has registered, with the name it gave it."""

    kid: str | None
    key: PublicKey


def read_jwk(jwk: object) -> PublicKey:
    """Read one public JWK.

    Raises:
        KeyRefused: another kind, size or curve, private members, or not meant for signatures.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRefused("a JWK is a JSON object")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise KeyRefused("a JWK with private members; only the public key may be shown")
    if jwk.get("use", "sig") != "sig" or jwk.get("key_ops", ["verify"]) != ["verify"]:
        raise KeyRefused("a JWK that is not meant for verifying signatures")
    kind = (jwk.get("kty"), jwk.get("crv"))
    names = next((members for known, members in _MEMBERS if known == kind), None)  # == : what is sent may not hash
    if names is None:
        raise KeyRefused("only EC P-256, RSA and OKP Ed25519 keys are taken")
    values = tuple(jwk.get(name) for name in names)
    if not all(isinstance(value, str) and len(value) <= 1024 for value in values):  # noqa: PLR2004  # > RSA-4096
        raise KeyRefused("a JWK with a member missing or too long")
    key = _key(names, values)
    if jwk.get("alg", key.algorithms[0]) not in key.algorithms:
        raise KeyRefused("a JWK whose alg is not one of its kind")
    return key


def read_jwks(jwks: object) -> tuple[RegisteredKey, ...]:
    """Read a client's JWK set: one to eight keys, names (`kid`) unique and present when there are several.

    Raises:
        KeyRefused: no such set, or a key in it that `read_jwk` refuses.
    """
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, Sequence) or isinstance(keys, str) or not 0 < len(keys) <= MAX_REGISTERED_KEYS:
        raise KeyRefused("a JWK set of one to eight keys is needed")
    registered = tuple(RegisteredKey(_kid(jwk), read_jwk(jwk)) for jwk in keys)
    kids = [entry.kid for entry in registered]
    if len(registered) > 1 and (None in kids or len(set(kids)) != len(kids)):
        raise KeyRefused("several keys need a kid each, all different")
    return registered


def kept(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Give a set that was read (`read_jwks`) with the members alone that are looked at; what else came is not kept."""
    return {"keys": [{name: jwk[name] for name in _KEPT_MEMBERS if name in jwk} for jwk in jwks["keys"]]}


def choose(registered: Sequence[RegisteredKey], header: Mapping[str, Any]) -> PublicKey | None:
    """Return the registered key that a token's header points to, if its algorithm fits; else None."""
    kid, algorithm = header.get("kid"), header.get("alg")
    if kid is None and len(registered) > 1:
        return None
    for entry in registered:
        if (kid is None or entry.kid is None or entry.kid == kid) and algorithm in entry.key.algorithms:
            return entry.key
    return None


def names_another(header: Mapping[str, Any], registered: Sequence[RegisteredKey]) -> bool:
    """Say whether a token's header names a key that is not among the registered ones."""
    return isinstance(header.get("kid"), str) and header["kid"] not in {entry.kid for entry in registered}


def _kid(jwk: object) -> str | None:
    kid = jwk.get("kid") if isinstance(jwk, Mapping) else None
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 128 and kid.isprintable()):  # noqa: PLR2004  # a hash
        raise KeyRefused("a kid is a string of at most 128 visible characters")
    return kid


@lru_cache(maxsize=4096)  # keys are public and come again with every call; nothing here can go stale
def _key(names: tuple[str, ...], values: tuple[str, ...]) -> PublicKey:
    fixed = _FIXED_MEMBERS[names]
    try:
        algorithms, verifies = _READERS[names](*(unb64url(value) for value in values))
    except ValueError as error:
        raise KeyRefused("a JWK whose numbers are not a key of its kind") from error
    required = {**fixed, **dict(zip(names, values, strict=True))}
    thumbprint = b64url(suites.sha256(canonical(required)))  # RFC 7638 §3: sorted, no spaces: our canonical form
    return PublicKey(algorithms, thumbprint, verifies)


def _read_ec(x: bytes, y: bytes) -> _Read:
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise ValueError("a P-256 coordinate has 32 bytes")
    return ("ES256",), partial(suites.verify_es256, b"\x04" + x + y)


def _read_okp(x: bytes) -> _Read:
    if len(x) != _COORDINATE_BYTES:
        raise ValueError("an Ed25519 key has 32 bytes")
    return ("Ed25519", "EdDSA"), partial(suites.verify_ed25519, x)


def _read_rsa(n: bytes, e: bytes) -> _Read:
    modulus, exponent = int.from_bytes(n), int.from_bytes(e)
    if modulus.bit_length() not in _RSA_BITS or exponent != _RSA_EXPONENT or n[0] == 0:
        raise ValueError("RSA of 2048 to 4096 bits with exponent 65537")
    return ("PS256",), partial(suites.verify_ps256, modulus, exponent)


_MEMBERS: Final[Sequence[tuple[tuple[object, object], tuple[str, ...]]]] = (
    (("EC", "P-256"), ("x", "y")),
    (("OKP", "Ed25519"), ("x",)),
    (("RSA", None), ("n", "e")),
)
_FIXED_MEMBERS: Final[Mapping[tuple[str, ...], dict[str, str]]] = {
    ("x", "y"): {"kty": "EC", "crv": "P-256"},
    ("x",): {"kty": "OKP", "crv": "Ed25519"},
    ("n", "e"): {"kty": "RSA"},
}
_READERS: Final[Mapping[tuple[str, ...], Callable[..., _Read]]] = {
    ("x", "y"): _read_ec,
    ("x",): _read_okp,
    ("n", "e"): _read_rsa,
}
