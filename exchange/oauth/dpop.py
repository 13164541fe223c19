"""Proofs of possession: that a request comes from the holder of a key (DPoP, RFC 9449). Pure.

Steps (the numbers are those of RFC 9449 §4.3, used in the code and the tests):
  1.  exactly one DPoP header (the guard and the token endpoint count them)
  2.  it is one well-formed JWT
  3.  `jti`, `htm`, `htu`, `iat` are there
  4.  `typ` is dpop+jwt
  5.  `alg` is one of ours, and fits the key
  6.  the signature verifies under the header's `jwk`
  7.  the `jwk` has no private member
  8.  `htm` is the request's method
  9.  `htu` is the door's address: from configuration and the path, never from the request's Host
  11. `iat` is now: at most 60 s old, at most 30 s ahead
  12. with a token: `ath` is its hash and the key is the one it is bound to (12b in `guard`)
The nonce of step 10 is not used: `jti` is spent in the database, which tells replays apart by itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from exchange.errors import KeyRefused, ProofRefused
from exchange.oauth import compact
from exchange.oauth.jwks import read_jwk
from exchange.oauth.spending import Spend
from registry import suites
from registry.canonical import b64url

MAX_AGE_SECONDS: Final = 60
AHEAD_SECONDS: Final = 30  # FAPI 2.0 §5.3.2.1: clocks up to 10 s ahead must pass, over 60 s must not
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds, except that nobody has yet looked whether it was used before."""

    thumbprint: str
    spend: Spend


def verify(text: str, *, method: str, url: str, now: datetime, token_hash: str | None = None) -> Proof:
    """Check a proof against the request it came with.

    Args:
        text: the DPoP header's value.
        method: the request's method.
        url: the door's address without query, from configuration.
        now: this instant.
        token_hash: base64url SHA-256 of the access token presented beside it; None at the token endpoint.

    Raises:
        ProofRefused: a step failed; the message names it and repeats no value.
    """
    try:
        parts = compact.read(text)  # 2
        claims = parts.claims
        jti, htm = compact.text(claims, "jti"), compact.text(claims, "htm")  # 3
        htu, issued = compact.text(claims, "htu", longest=2048), compact.moment(claims, "iat")  # 3
        if parts.header.get("typ") != "dpop+jwt":  # 4
            raise ProofRefused("DPoP proof: typ is not dpop+jwt")
        key = read_jwk(parts.header.get("jwk"))  # 7
    except (compact.MalformedJws, KeyRefused) as error:
        raise ProofRefused(f"DPoP proof: {error}") from error
    if htm != method:  # 8
        raise ProofRefused("DPoP proof: htm is not this request's method")
    if htu != url and _normal(htu) != _normal(url):  # 9
        raise ProofRefused("DPoP proof: htu is not this door's address")
    if issued is None or not -MAX_AGE_SECONDS <= issued - now.timestamp() <= AHEAD_SECONDS:  # 11
        raise ProofRefused("DPoP proof: iat is missing, too old or in the future")
    if claims.get("ath") != token_hash:  # 12
        raise ProofRefused("DPoP proof: ath is not the hash of the access token")
    algorithm = parts.header.get("alg")
    if algorithm not in key.algorithms or not key.verifies(parts.signature, parts.signing_input):  # 5, 6
        raise ProofRefused("DPoP proof: not signed with the key it shows")
    digest = suites.sha256(b"dpop\x00" + key.thumbprint.encode() + b"\x00" + jti.encode())
    return Proof(key.thumbprint, Spend(digest, datetime.fromtimestamp(issued + MAX_AGE_SECONDS, UTC)))


def hash_of(token: str) -> str:
    """Return what `ath` must be for an access token (RFC 9449 §4.2)."""
    return b64url(suites.sha256(token.encode("ascii")))


def _normal(url: str) -> tuple[str, str | None, int | None, str] | None:
    """Return an address without query and fragment, in the forms RFC 3986 §6.2.2 calls equal; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port, parts.path or "/")
