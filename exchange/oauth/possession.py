"""Proof that whoever has a key registered holds it: a JWS by that key, for this exchange, now, once. Pure.

Steps (the numbers are used in the code and the tests):
  1. it is a compact JWS of the `typ` that is asked for
  2. it is signed with the key that is to be registered, by that key's algorithm
  3. `aud` is our issuer, exactly, as one string
  4. `iat` is now: at most five minutes old (as old as the caller says), at most 30 s ahead
  5. it has a `jti`, which the caller spends in the transaction that takes effect

A key proof (`KEY_PROOF`) says besides for which system it is (`client_id`; left out in a registration, where there is
none yet) and which keys are to stand (`thumbprints`, RFC 7638, sorted): a proof for one set serves no other. A change
of keys is signed besides by a key that stands (`prove_each`, `vouchers`): a token alone changes none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from exchange.errors import RequestRefused
from exchange.oauth import compact
from exchange.oauth.jwks import PublicKey, RegisteredKey
from exchange.oauth.spending import Spend
from registry import suites

KEY_PROOF: Final = "qq-key-proof+jwt"
MAX_AGE_SECONDS: Final = 300
AHEAD_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Possessed:
    """What a key signed, and what has to be spent with it."""

    claims: Mapping[str, Any]
    spend: Spend


def read(text: str) -> compact.Compact:
    """Take a proof apart (part of step 1).

    Raises:
        RequestRefused: `possession-unproven`.
    """
    try:
        return compact.read(text)
    except compact.MalformedJws as error:
        raise _unproven("a signature that is no compact JWS") from error


def prove(  # what it is held against
    parts: compact.Compact,
    key: PublicKey,
    *,
    typ: str,
    issuer: str,
    now: datetime,
    max_age_seconds: int = MAX_AGE_SECONDS,
) -> Possessed:
    """Do steps 1 to 5.

    Raises:
        RequestRefused: `possession-unproven`; the detail names the step and repeats nothing.
    """
    if parts.header.get("typ") != typ:  # 1
        raise _unproven(f"the typ of a signature is not {typ}")
    if parts.header.get("alg") not in key.algorithms or not key.verifies(parts.signature, parts.signing_input):  # 2
        raise _unproven("a signature is not by the key that it is for")
    if parts.claims.get("aud") != issuer:  # 3
        raise _unproven("aud must be the issuer, as one string")
    try:
        issued, jti = compact.moment(parts.claims, "iat"), compact.text(parts.claims, "jti")  # 4, 5
    except compact.MalformedJws as error:
        raise _unproven(str(error)) from error
    if issued is None or not -max_age_seconds <= issued - now.timestamp() <= AHEAD_SECONDS:  # 4
        raise _unproven("iat is missing, too old, or in the future")
    digest = suites.sha256(b"possession\x00" + key.thumbprint.encode() + b"\x00" + jti.encode())
    return Possessed(
        parts.claims, Spend(digest, datetime.fromtimestamp(issued, UTC) + timedelta(seconds=max_age_seconds))
    )


def prove_each(  # what they are held against
    proofs: Sequence[str],
    wanted: Iterable[RegisteredKey],
    *,
    standing: Sequence[str],
    client_id: str | None,
    issuer: str,
    now: datetime,
    vouchers: Sequence[RegisteredKey] | None = None,
    max_age_seconds: int = MAX_AGE_SECONDS,
) -> list[Spend]:
    """Check that each wanted key has signed for the set `standing` (thumbprints); give what has to be spent.

    With `vouchers` at least one of these keys has signed for it too; which one, is the owner's choice.

    Raises:
        RequestRefused: `possession-unproven`: a proof is missing, is one too many, or does not hold.
    """
    missing = {entry.key.thumbprint: entry for entry in wanted}
    vouching = {entry.key.thumbprint: entry for entry in vouchers or ()}
    vouched = vouchers is None
    spends: list[Spend] = []
    for text in proofs:
        parts = read(text)
        asked = [*missing.values(), *vouching.values()]
        entry = next((one for one in asked if one.key.verifies(parts.signature, parts.signing_input)), None)
        if entry is None:
            raise _unproven("a proof that is by none of the keys that have to sign, or by one of them twice")
        proven = prove(parts, entry.key, typ=KEY_PROOF, issuer=issuer, now=now, max_age_seconds=max_age_seconds)
        if proven.claims.get("thumbprints") != sorted(standing) or proven.claims.get("client_id") != client_id:
            raise _unproven("a proof that is for another system or another set of keys")
        if missing.pop(entry.key.thumbprint, None) is None:
            del vouching[entry.key.thumbprint]
            vouched = True
        spends.append(proven.spend)
    if missing:
        raise _unproven("a new key without a proof of its own")
    if not vouched:
        raise _unproven("no key that stands, and is not about to leave, has signed for the new set")
    return spends


def _unproven(detail: str) -> RequestRefused:
    return RequestRefused("possession-unproven", detail)
