"""Access tokens: signed, short-lived, bound to the caller's key or certificate (RFC 9068, 9449 §6, 8705 §3). Pure.

A token says which client may open which doors, for at most ten minutes, and only together with
proofs signed by the key in `cnf.jkt`, or on connections made with the certificate in `cnf.x5t#S256`. It carries nothing
about persons; one that rests on a person's agreement names the consent (`authorization_details`, RFC 9396 §9.1) and is
of use under that one alone.
Whether the client is still active and the token not taken back is not in it: `guard.admit` asks the
database on every use.

Verifying a token's signature costs a hundred times what its look-up does, so `Verifier` remembers
results by the token's SHA-256. Only what cannot change is remembered; expiry is compared each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

import orjson

from exchange.errors import TokenRefused
from exchange.oauth import compact
from registry import suites
from registry.canonical import b64url
from registry.keyring import Keyring, Purpose, RingKey

LIFETIME_SECONDS: Final = 600  # docs/adr/0012: at most ten minutes
AHEAD_SECONDS: Final = 10  # how far the clocks of two web processes may differ
MEDIA_TYPE: Final = "at+jwt"
ROTATION_GRACE: Final = timedelta(minutes=5)  # clocks, and processes that read the ring a moment before `keys rotate`
CONSENT: Final = "consent_id"
JKT: Final = "jkt"
X5T: Final = "x5t#S256"
TYPES: Final[Mapping[str, str]] = {JKT: "DPoP", X5T: "Bearer"}  # RFC 8705 has no scheme of its own
_JTI_BYTES: Final = 16
_REMEMBERED: Final = 8192  # tokens; about 1 KB each


class TokenKeys:
    """The keys of the ring that concern access tokens, as they stand at each use: rotating needs no restart."""

    def __init__(self, keyring: Keyring) -> None:
        """Take the ring.

        Raises:
            KeyMissing: no key signs tokens.
        """
        keyring.signing(Purpose.TOKEN)
        self._keyring = keyring

    @property
    def ring(self) -> Sequence[RingKey]:
        """The key in use first, then retired ones."""
        return self._keyring.signing_all(Purpose.TOKEN)

    @property
    def signer(self) -> RingKey:
        """The key that signs now."""
        return self._keyring.signing(Purpose.TOKEN)

    def by_id(self, key_id: str) -> RingKey | None:
        """Return the key of an id, in use or retired; None if it is none of ours."""
        return next((key for key in self.ring if key.key_id == key_id), None)

    def jwks(self, *, now: datetime) -> dict[str, list[dict[str, str]]]:
        """Return the public keys whose tokens may still be alive at `now`, as a JWK set (RFC 7517)."""
        oldest = now - ROTATION_GRACE - timedelta(seconds=LIFETIME_SECONDS)
        return {
            "keys": [
                {
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.key_id,
                    "x": b64url(key.public[1:33]), "y": b64url(key.public[33:65]),
                }
                for key in self.ring
                if key.retired_at is None or key.retired_at > oldest
            ]
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is to say. `thumbprint` is of what it is bound to, `by` which kind that is."""

    client_id: str
    scopes: frozenset[str]
    thumbprint: str
    details: Mapping[str, str] | None = None
    by: str = JKT


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of ours, its signature verified. `expires` in seconds since 1970.

    `details` is the one object of `authorization_details` (RFC 9396) of a token that rests on a person's agreement.
    """

    client_id: str
    scopes: frozenset[str]
    thumbprint: str
    jti: str
    not_before: float
    expires: float
    details: Mapping[str, str] | None = None
    by: str = JKT

    @property
    def consent_id(self) -> str | None:
        """The one consent that the token may be used under; None: whatever stands for its organisation."""
        return None if self.details is None else self.details[CONSENT]


@dataclass(frozen=True, slots=True)
class Issuer:
    """Writes access tokens. `issuer` and `resource` come from configuration."""

    issuer: str
    resource: str
    keys: TokenKeys

    def issue(self, grant: Grant, *, now: datetime, jti: str | None = None) -> str:
        """Write and sign a token that lives `LIFETIME_SECONDS` from `now`; `jti` by default a fresh one.

        `iat` has thousandths (RFC 7519 §2 allows them): whether a token is of before a change of its client's keys is
        told by it (`guard`), and a second is too long for that.
        """
        issued = int(now.timestamp())
        signer = self.keys.signer
        header = {"typ": MEDIA_TYPE, "alg": "ES256", "kid": signer.key_id}
        claims = {
            "iss": self.issuer,
            "sub": grant.client_id,
            "client_id": grant.client_id,
            "aud": self.resource,
            "iat": int(now.timestamp() * 1000) / 1000,
            "exp": issued + LIFETIME_SECONDS,
            "jti": jti or fresh_jti(),
            "scope": " ".join(sorted(grant.scopes)),
            "cnf": {grant.by: grant.thumbprint},
        }
        if grant.details is not None:
            claims["authorization_details"] = [dict(grant.details)]
        signing_input = f"{b64url(orjson.dumps(header))}.{b64url(orjson.dumps(claims))}"
        return f"{signing_input}.{b64url(signer.sign(signing_input.encode('ascii')))}"


def fresh_jti() -> str:
    """Name a token before it is written."""
    return b64url(suites.random_bytes(_JTI_BYTES))


class Verifier:
    """Reads access tokens back. Safe to share between threads."""

    def __init__(self, issuer: str, resource: str, keys: TokenKeys) -> None:
        """Take what a token must name, and the keys it may be signed with."""
        self._issuer = issuer
        self._resource = resource
        self._keys = keys
        self._known: dict[bytes, AccessToken] = {}
        self._lock = Lock()

    def verify(self, token: str, *, now: datetime) -> AccessToken:
        """Return what a token says, if it is ours and valid at `now`.

        Raises:
            TokenRefused: not ours, wrong kind, wrong door, changed, or expired.
        """
        digest = suites.sha256(token.encode("ascii", "replace"))
        known = self._known.get(digest)
        if known is None:
            known = self._read(token)
            self._remember(digest, known)
        if not known.not_before - AHEAD_SECONDS <= now.timestamp() < known.expires:
            raise TokenRefused("access token: expired or not valid yet")
        return known

    def _read(self, token: str) -> AccessToken:
        try:
            parts = compact.read(token)
            header, claims = parts.header, parts.claims
            key = self._keys.by_id(compact.text(header, "kid"))
            if header.get("typ") != MEDIA_TYPE or header.get("alg") != "ES256" or key is None:
                raise TokenRefused("access token: not of our kind, or signed with no key of ours")
            if not suites.verify_es256(key.public, parts.signature, parts.signing_input):
                raise TokenRefused("access token: signature does not match")
            if claims.get("iss") != self._issuer or claims.get("aud") != self._resource:
                raise TokenRefused("access token: of another issuer, or for another resource")
            issued, expires = compact.moment(claims, "iat"), compact.moment(claims, "exp")
            binding = claims.get("cnf")
            if issued is None or expires is None or not isinstance(binding, dict) or len(binding) != 1:
                raise TokenRefused("access token: lacks its times or its binding")
            if expires - issued > LIFETIME_SECONDS or _signed_after_retirement(key, issued):
                raise TokenRefused("access token: lives too long, or its key had been retired")
            by = X5T if X5T in binding else JKT
            return AccessToken(
                client_id=compact.text(claims, "client_id"),
                scopes=frozenset(compact.text(claims, "scope").split(" ")),
                thumbprint=compact.text(binding, by),
                jti=compact.text(claims, "jti"),
                not_before=issued,
                expires=expires,
                details=_details(claims),
                by=by,
            )
        except compact.MalformedJws as error:
            raise TokenRefused(f"access token: {error}") from error

    def _remember(self, digest: bytes, token: AccessToken) -> None:
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                for oldest in list(self._known)[: _REMEMBERED // 4]:
                    del self._known[oldest]
            self._known[digest] = token


def _details(claims: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Give the one object of authorization_details, if there are any; whatever cannot be read binds to nothing."""
    if "authorization_details" not in claims:
        return None
    details = claims["authorization_details"]
    if isinstance(details, list) and len(details) == 1 and isinstance(details[0], dict) and CONSENT in details[0]:
        return {str(name): str(said) for name, said in details[0].items()}
    raise TokenRefused("access token: authorization_details that cannot be read")


def _signed_after_retirement(key: RingKey, issued: float) -> bool:
    return key.retired_at is not None and issued > (key.retired_at + ROTATION_GRACE).timestamp()
