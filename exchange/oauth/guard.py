"""The resource side: who is calling, is it really them, and may they still.

Two halves, so that the release gate can do the second for many callers in its own transaction:

  `Guard.verify_presented`  pure: no database, no clock
    1. one Authorization header under the DPoP scheme and one DPoP header; or, on a connection made with a certificate
       of which a trusted proxy tells (`certificates`), under the Bearer scheme and none. Bearer is else refused
    2. the access token is ours, for this resource, unexpired (`tokens`)
    3. the proof fits method, address, moment and token (`dpop`)
    4. the proof's key, or the certificate within its days, is the one the token is bound to (RFC 9449 §4.3 step 12b,
       RFC 8705 §3)
    5. the token has the scope that the door asks for

  `admit`  in the caller's transaction, one statement for many
    6. the proof was never used before, in any process; from now on it was
    7. the client is active, and still has the scope
    8. the token was not taken back, by itself or with all that its client had (`client.tokens_from`)

A caller who fails in `admit` fails alone; what the others wrote stands. If the caller's transaction
is rolled back, its proofs count as unused: nothing was let out on them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import orjson

from exchange.errors import CredentialsMissing, CredentialsRefused, ProofRefused, ScopeMissing, TokenRefused
from exchange.oauth import dpop
from exchange.oauth.certificates import thumbprint
from exchange.oauth.profile import Profile
from exchange.oauth.scopes import Scope
from exchange.oauth.spending import Spend
from exchange.oauth.tokens import JKT, X5T, AccessToken, TokenKeys, Verifier
from registry.database import Transaction
from registry.suites.certificates import Certificate

RawHeaders = Iterable[tuple[bytes, bytes]]

_ADMIT: Final = """
WITH presented AS (
    SELECT client_id, jti, decode(proof, 'hex') AS digest, until AS expires_at, issued_at, n FROM ROWS FROM (
        json_to_recordset(%b::text::json) AS (client text, jti text, proof text, until timestamptz, issued timestamptz)
    ) WITH ORDINALITY AS t (client_id, jti, proof, until, issued_at, n)
), spent AS (
    INSERT INTO seen_proof (digest, expires_at)
    SELECT DISTINCT ON (digest) digest, expires_at FROM presented WHERE digest IS NOT NULL ORDER BY digest
    ON CONFLICT DO NOTHING RETURNING digest
)
SELECT spent.digest IS NOT NULL, revoked_token.jti IS NOT NULL, client.role, client.organisation, client.scopes
FROM presented
LEFT JOIN spent USING (digest)
LEFT JOIN client ON client.client_id = presented.client_id AND client.state = 'active'
     AND (client.tokens_from IS NULL OR client.tokens_from < presented.issued_at)
LEFT JOIN revoked_token ON revoked_token.jti = presented.jti
ORDER BY n
"""
_STILL: Final = (
    "SELECT FROM client WHERE client_id = %s AND state = 'active' AND organisation = %s AND %s = ANY(scopes)"
    " AND (tokens_from IS NULL OR tokens_from < %s)"
    " AND NOT EXISTS (SELECT FROM revoked_token WHERE jti = %s)"
)

_BEFORE_EVERYTHING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Presented:
    """Credentials that hold by themselves; whether they were used or taken back is not yet known."""

    client_id: str
    scopes: frozenset[str]
    token_jti: str
    proof: Spend | None  # None: bound to a certificate
    token_expires: float  # in seconds since 1970
    needed: Scope | None = None
    consent_id: str | None = None  # the one consent that the token is bound to
    token_issued: float = 0.0  # in seconds since 1970; of one that does not say, before everything


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, admitted. `org_code` is what consents name as recipient; `kind` is lender or regulator.

    `consent_id` is the one consent that the token was given for, if a person's agreement stands behind it.
    """

    client_id: str
    org_code: str
    kind: str
    scopes: frozenset[str]
    token_jti: str
    proof_digest: bytes | None
    proof_expires: datetime | None
    token_expires: datetime
    consent_id: str | None = None
    token_issued: datetime = _BEFORE_EVERYTHING  # of one that does not say


class Guard:
    """Checks what callers present. Safe to share between threads."""

    def __init__(self, profile: Profile, keys: TokenKeys) -> None:
        """Take the addresses and the keys that tokens are signed with."""
        self._profile = profile
        self._tokens = Verifier(profile.issuer, profile.resource, keys)

    def verify_presented(
        self,
        headers: RawHeaders,
        method: str,
        path: str,
        now: datetime,
        *,
        scope: Scope | None = None,
        certificate: Certificate | None = None,
    ) -> Presented:
        """Do steps 1 to 5.

        Args:
            headers: as ASGI gives them: lower-case names, every occurrence.
            method: the request's method.
            path: the request's path, without query, as sent (percent-encoding kept).
            now: this instant.
            scope: what the door asks for; None leaves step 5 to a later `need`.
            certificate: what the connection was made with, if a trusted proxy says so.

        Raises:
            CredentialsMissing, TokenRefused, ProofRefused, ScopeMissing: the step that failed.
        """
        token, proof_text = _presented(headers, certificate)  # 1
        access = self._tokens.verify(token, now=now)  # 2
        if proof_text is None:
            if certificate is None or not _bound_to(access, certificate, now):  # 4
                raise TokenRefused("access token: not bound to the certificate of this connection")
            presented = _of(access, None)
            return presented if scope is None else need(presented, scope)  # 5
        proof = dpop.verify(
            proof_text,
            method=method,
            url=self._profile.address(path),
            now=now,
            token_hash=dpop.hash_of(token),
        )  # 3
        if access.by != JKT or proof.thumbprint != access.thumbprint:  # 4
            raise ProofRefused("DPoP proof: its key is not the one the access token is bound to")
        presented = _of(access, proof.spend)
        return presented if scope is None else need(presented, scope)  # 5


def need(presented: Presented, scope: Scope) -> Presented:
    """Do step 5: return the same credentials, marked with the scope they are used for.

    Raises:
        ScopeMissing: the token does not have it.
    """
    if scope.value not in presented.scopes:
        raise ScopeMissing(scope.value)
    return replace(presented, needed=scope)


def admit(tx: Transaction, presented: Sequence[Presented]) -> list[Caller | CredentialsRefused]:
    """Do steps 6 to 8 for many, in the caller's transaction; each gets its caller or its refusal, in order."""
    given = [
        {
            "client": one.client_id,
            "jti": one.token_jti,
            "proof": one.proof and one.proof.digest.hex(),
            "until": one.proof and one.proof.expires_at,
            "issued": datetime.fromtimestamp(one.token_issued, UTC),
        }
        for one in presented
    ]
    rows = tx.execute(_ADMIT, (orjson.dumps(given).decode(),)).fetchall()  # an array a column costs the driver more
    taken: set[bytes] = set()
    outcomes: list[Caller | CredentialsRefused] = []
    for one, (fresh, revoked, role, organisation, scopes) in zip(presented, rows, strict=True):
        if one.proof is not None and (not fresh or one.proof.digest in taken):  # 6
            outcomes.append(ProofRefused("DPoP proof: used before"))
        elif role is None or revoked:  # 7, 8
            outcomes.append(TokenRefused("access token: taken back, or its client is not active"))
        elif one.needed is not None and one.needed.value not in scopes:  # 7
            outcomes.append(ScopeMissing(one.needed.value))
        else:
            held = one.scopes.intersection(scopes)
            spend = one.proof
            until = datetime.fromtimestamp(one.token_expires, UTC)
            outcomes.append(
                Caller(
                    one.client_id,
                    organisation,
                    role,
                    held,
                    one.token_jti,
                    None if spend is None else spend.digest,
                    None if spend is None else spend.expires_at,
                    until,
                    one.consent_id,
                    datetime.fromtimestamp(one.token_issued, UTC),
                )
            )
        if one.proof is not None:
            taken.add(one.proof.digest)
    return outcomes


def still_admitted(tx: Transaction, caller: Caller, *, scope: Scope, now: datetime) -> bool:
    """Say whether a caller who was admitted may go on: the token stands and has not ended, the client has the scope.

    For answers that last. The proof was used when the caller was admitted and is not asked for again.
    """
    if now >= caller.token_expires:
        return False
    return tx.execute(_STILL, _standing(caller, scope)).rowcount == 1


def hold(tx: Transaction, caller: Caller, *, scope: Scope, now: datetime) -> None:
    """Keep what a caller was admitted on as it is until the commit.

    For a change that would outlive a suspension or a change of keys (`exchange.admission.ending`): whoever makes one
    waits for this transaction, and finds what it wrote; or this one waits, and is refused.

    Raises:
        TokenRefused: it is over already.
    """
    if (
        now >= caller.token_expires
        or tx.execute(f"{_STILL} FOR SHARE OF client", _standing(caller, scope)).rowcount != 1
    ):
        raise TokenRefused("access token: taken back, or its client is not active")


def _standing(caller: Caller, scope: Scope) -> tuple[str, str, str, datetime, str]:
    return caller.client_id, caller.org_code, scope.value, caller.token_issued, caller.token_jti


def _presented(headers: RawHeaders, certificate: Certificate | None) -> tuple[str, str | None]:
    authorizations: list[bytes] = []
    proofs: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            authorizations.append(value)
        elif name == b"dpop":
            proofs.append(value)
    if not authorizations:
        raise CredentialsMissing("an access token under the DPoP scheme is needed")
    scheme, _, token = authorizations[0].partition(b" ")
    by_certificate = scheme.lower() == b"bearer" and certificate is not None
    if len(authorizations) > 1 or not (by_certificate or scheme.lower() == b"dpop") or not token.isascii():
        raise CredentialsMissing("exactly one Authorization header, under the DPoP scheme, is needed")
    if by_certificate:
        if proofs:  # which of the two it is to be bound to, nobody could tell
            raise CredentialsMissing("a DPoP proof goes with the DPoP scheme")
        return token.decode("ascii"), None
    if len(proofs) != 1 or not proofs[0].isascii():
        raise ProofRefused("DPoP proof: exactly one DPoP header is needed")
    return token.decode("ascii"), proofs[0].decode("ascii")


def _bound_to(access: AccessToken, shown: Certificate, now: datetime) -> bool:
    return access.by == X5T and access.thumbprint == thumbprint(shown) and shown.valid_at(now)


def _of(access: AccessToken, spend: Spend | None) -> Presented:
    return Presented(
        access.client_id,
        access.scopes,
        access.jti,
        spend,
        access.expires,
        consent_id=access.consent_id,
        token_issued=access.not_before,
    )
