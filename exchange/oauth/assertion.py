"""Client assertions: how a registered system proves who it is (private_key_jwt, RFC 7523 §3). Pure.

Steps (the numbers are used in the code and the tests):
  1. it is a compact JWS, its `typ` absent or one of JWT's names
  2. `iss` and `sub` are one and the same client id
  3. its signature verifies under a key that this client registered, under that key's algorithm
  4. `aud` is our issuer, exactly, as one string (FAPI 2.0 §5.3.2.1: an array or the endpoint's address is not)
  5. it is valid now, and not for longer than ten minutes
  6. it has a `jti`, which the caller spends in the transaction that issues the token

`read` does 1 and 2, so that the caller can find the client; `prove` does 3, `check` 4 to 6.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from exchange.errors import AssertionRefused
from exchange.oauth import compact
from exchange.oauth.clients import CLIENT_ID, Registration
from exchange.oauth.jwks import choose
from exchange.oauth.spending import Spend
from registry import suites

MAX_LIFETIME_SECONDS: Final = 600
AHEAD_SECONDS: Final = 30  # FAPI 2.0 §5.3.2.1: clocks up to 10 s ahead must pass, over 60 s must not
_TYPES: Final = (None, "JWT", "jwt", "client-authentication+jwt")  # compared, not hashed: anything may be sent


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion taken apart, of which nothing is proven yet."""

    client_id: str
    parts: compact.Compact


@dataclass(frozen=True, slots=True)
class Proven:
    """An assertion that a registered key of this client signed; only `prove` makes one."""

    client: Registration
    parts: compact.Compact


def read(text: str) -> Assertion:
    """Do steps 1 and 2.

    Raises:
        AssertionRefused: not an assertion of any client.
    """
    try:
        parts = compact.read(text)  # 1
        issuer, subject = compact.text(parts.claims, "iss"), compact.text(parts.claims, "sub")  # 2
    except compact.MalformedJws as error:
        raise AssertionRefused(f"client assertion: {error}") from error
    if parts.header.get("typ") not in _TYPES:
        raise AssertionRefused("client assertion: typ is not JWT")
    if issuer != subject:
        raise AssertionRefused("client assertion: iss and sub differ")
    if not CLIENT_ID.fullmatch(subject):
        raise AssertionRefused("client assertion: iss is no client id")
    return Assertion(subject, parts)


def prove(assertion: Assertion, client: Registration) -> Proven | None:
    """Do step 3; None if no registered key of the client signed it."""
    parts = assertion.parts
    key = choose(client.keys, parts.header)
    if key is None or assertion.client_id != client.client_id:
        return None
    return Proven(client.proved_by(key), parts) if key.verifies(parts.signature, parts.signing_input) else None


def check(proven: Proven, *, issuer: str, now: datetime) -> Spend:
    """Do steps 4 to 6 and return what the caller must spend.

    Raises:
        AssertionRefused: a step failed; the message names it and repeats no value.
    """
    parts = proven.parts
    if parts.claims.get("aud") != issuer:  # 4
        raise AssertionRefused("client assertion: aud must be the issuer, as one string")
    try:
        expires = _valid_until(parts.claims, now.timestamp())  # 5
        jti = compact.text(parts.claims, "jti")  # 6
    except compact.MalformedJws as error:
        raise AssertionRefused(f"client assertion: {error}") from error
    digest = suites.sha256(b"assertion\x00" + proven.client.client_id.encode() + b"\x00" + jti.encode())
    return Spend(digest, datetime.fromtimestamp(expires, UTC))


def _valid_until(claims: dict[str, object], now: float) -> float:
    expires = compact.moment(claims, "exp")
    if expires is None or expires <= now:
        raise AssertionRefused("client assertion: exp is missing or past")
    if expires > now + MAX_LIFETIME_SECONDS + AHEAD_SECONDS:
        raise AssertionRefused("client assertion: exp is more than ten minutes ahead")
    for name in ("iat", "nbf"):
        since = compact.moment(claims, name)
        if since is not None and since > now + AHEAD_SECONDS:
            raise AssertionRefused(f"client assertion: {name} lies in the future")
    return expires
