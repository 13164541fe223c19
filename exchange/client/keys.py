"""Who a system is at an exchange: the id under which it is registered, and its private key; and what it signs.

Keys: P-256 (ES256), Ed25519, RSA (PS256), the algorithms of FAPI 2.0 §5.4. They are kept as a JWK in a file that only
its owner reads: `{"client_id": …, "jwk": {…}}`, as `qingqiao lender add --make-key` writes it. A key is never shown by
`repr`. Signatures are joserfc's, not the exchange's own: two mistakes would have to agree.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from registry.canonical import b64url
from registry.suites import sha256

Json = Mapping[str, Any]
Key = ECKey | OKPKey | RSAKey

ASSERTION_SECONDS: Final = 60
_ALGORITHMS: Final = {"EC": "ES256", "OKP": "Ed25519", "RSA": "PS256"}


@dataclass(frozen=True)
class Client:
    """A registered system: its id and its private key."""

    client_id: str
    key: Key = field(repr=False)

    @property
    def algorithm(self) -> str:
        """By which algorithm its key signs."""
        return _ALGORITHMS[self.key.key_type]

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys to register with the exchange (RFC 7517)."""
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "kid": self.key.thumbprint(), "alg": self.algorithm, "use": "sig"}]}

    def private_jwk(self) -> dict[str, Any]:
        """The private key, to be kept by the lender; `client_of` reads it back."""
        return dict(self.key.as_dict(private=True))

    def assertion(self, issuer: str, now: float) -> str:
        """Prove who asks (private_key_jwt, RFC 7523): for this issuer, once, for a minute."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "jti": str(uuid4()),
            "iat": int(now),
            "exp": int(now) + ASSERTION_SECONDS,
        }
        header = {"alg": self.algorithm, "kid": self.key.thumbprint()}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def new_client(client_id: str) -> Client:
    """Make a client with a fresh ES256 key pair."""
    return Client(client_id, ECKey.generate_key("P-256"))


def client_of(client_id: str, private_jwk: Json) -> Client:
    """Read a client back from its private key.

    Raises:
        ValueError: not a private key of a kind that may sign here; it is not repeated.
    """
    try:
        key = JWKRegistry.import_key(dict(private_jwk))
    except (JoseError, ValueError, TypeError, KeyError):
        raise ValueError("not a private JWK") from None
    if not isinstance(key, ECKey | OKPKey | RSAKey) or not key.is_private:
        raise ValueError("not a private key of P-256, Ed25519 or RSA")
    return Client(client_id, key)


def read_client(path: Path) -> Client:
    """Read the key file of a client.

    Raises:
        OSError, ValueError: there is none, or it is not one.
    """
    try:
        held = json.loads(path.read_bytes())
        client_id, jwk = str(held["client_id"]), dict(held["jwk"])
    except (TypeError, KeyError):
        raise ValueError("a key file holds client_id and jwk") from None
    return client_of(client_id, jwk)


def proof_key() -> ECKey:
    """Make a key that tokens are bound to; it lives as long as a session."""
    return ECKey.generate_key("P-256")


def proof(key: ECKey, method: str, url: str, now: float, *, token: str | None = None) -> str:
    """Prove possession of a key for one request (DPoP, RFC 9449): `url` without query, `token` as it is presented."""
    claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(now), "jti": str(uuid4())}
    if token is not None:
        claims["ath"] = s256(token)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key)


def s256(text: str) -> str:
    """base64url(SHA-256(ASCII)): the challenge of RFC 7636 and the `ath` of RFC 9449."""
    return b64url(sha256(text.encode("ascii")))
