"""The ledger of used proofs, as the token endpoint writes it.

An assertion or proof may be used once, in any process, also after a restart. Looking first and
writing then would let two through together; so the digest is inserted under a unique key in the
very transaction that decides, and whoever inserts nothing has come second.

`issue` answers many token requests with one statement:
  1. insert all digests, in one order (so that two transactions never wait for each other in a ring)
  2. see whether each client is active and still has the key its assertion was checked against; its row is shared until
     the commit, in one order too. Whoever changes a client waits for that, and who waits for a change sees what stands
     after it: so no token is issued from what stood before a change and written after it (`admission.ending`)
A request gets its token only if both of its digests were inserted and its client stands unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

import orjson

from registry.database import Transaction

KEPT_AFTER_EXPIRY: Final = timedelta(minutes=5)  # so that no clock in the installation still takes a forgotten proof

_ISSUE: Final = """
WITH asked AS (
    SELECT client_id, jwks, certificate, decode(assertion, 'hex') AS assertion, assertion_until,
           decode(proof, 'hex') AS proof, proof_until, n FROM ROWS FROM (
        json_to_recordset(%b::text::json) AS (client text, jwks text, certificate text,
            assertion text, assertion_until timestamptz, proof text, proof_until timestamptz)
    ) WITH ORDINALITY AS t (client_id, jwks, certificate, assertion, assertion_until, proof, proof_until, n)
), digests AS (
    SELECT assertion AS digest, assertion_until AS expires_at FROM asked
    UNION ALL SELECT proof, proof_until FROM asked
), spent AS (
    INSERT INTO seen_proof (digest, expires_at)
    SELECT DISTINCT ON (digest) digest, expires_at FROM digests WHERE digest IS NOT NULL ORDER BY digest
    ON CONFLICT DO NOTHING RETURNING digest
), held AS (
    SELECT client_id, state, jwks, certificate FROM client
    WHERE client_id = ANY (ARRAY(SELECT client_id FROM asked)) ORDER BY client_id FOR SHARE
)
SELECT asked.assertion IN (SELECT digest FROM spent), asked.proof IN (SELECT digest FROM spent),
       held.state = 'active' AND held.jwks @> asked.jwks::jsonb
       AND held.certificate IS NOT DISTINCT FROM asked.certificate::jsonb
FROM asked LEFT JOIN held USING (client_id) ORDER BY n
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """What must be recorded, once and for all, before the thing it came with may take effect."""

    digest: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Redeem:
    """A code that is about to be redeemed, and the token that will be issued for it (`codes.redeem`)."""

    code_digest: bytes
    token_jti: str
    now: datetime
    token_until: datetime


@dataclass(frozen=True, slots=True)
class Issue:
    """One token about to be issued: to whom, checked against which key (as a set), on which assertion, proof and code.

    None: a certificate stood for it, of which there is nothing to spend.
    """

    client_id: str
    jwks_text: str
    assertion: Spend | None
    proof: Spend | None
    redeem: Redeem | None = None
    certificate_text: str | None = None


class Outcome(Enum):
    """What became of a token request at the ledger."""

    ISSUED = auto()
    ASSERTION_REPLAYED = auto()
    PROOF_REPLAYED = auto()
    CLIENT_CHANGED = auto()
    CODE_SPENT = auto()


def issue(tx: Transaction, asked: Sequence[Issue]) -> list[Outcome]:
    """Spend what each request brought, in the caller's transaction; see the module's header."""
    given = [
        {
            "client": one.client_id,
            "jwks": one.jwks_text,
            "certificate": one.certificate_text,
            "assertion": one.assertion and one.assertion.digest.hex(),
            "assertion_until": one.assertion and one.assertion.expires_at,
            "proof": one.proof and one.proof.digest.hex(),
            "proof_until": one.proof and one.proof.expires_at,
        }
        for one in asked
    ]
    rows = tx.execute(_ISSUE, (orjson.dumps(given).decode(),)).fetchall()  # an array a column costs the driver more
    taken: set[bytes] = set()
    outcomes = []
    for one, (assertion_fresh, proof_fresh, client_stands) in zip(asked, rows, strict=True):
        outcomes.append(
            Outcome.ASSERTION_REPLAYED if one.assertion and (not assertion_fresh or one.assertion.digest in taken)
            else Outcome.PROOF_REPLAYED if one.proof and (not proof_fresh or one.proof.digest in taken)
            else Outcome.ISSUED if client_stands
            else Outcome.CLIENT_CHANGED
        )  # fmt: skip
        taken.update(spent.digest for spent in (one.assertion, one.proof) if spent)
    return outcomes


def spend(tx: Transaction, one: Spend | None) -> bool:
    """Spend one proof that came without a token, in the caller's transaction; False if it was used before.

    Where a certificate stood for it there is nothing to spend.
    """
    if one is None:
        return True
    spent = tx.execute(
        "INSERT INTO seen_proof (digest, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (one.digest, one.expires_at),
    )
    return spent.rowcount == 1


def stands(tx: Transaction, client_id: str, jwks_text: str, certificate_text: str | None) -> bool:
    """Say whether a client is active, and has the key and the certificate that it was checked against."""
    row = tx.execute(
        "SELECT FROM client WHERE client_id = %s AND state = 'active' AND jwks @> %s::jsonb"
        " AND certificate IS NOT DISTINCT FROM %s::jsonb",
        (client_id, jwks_text, certificate_text),
    )
    return row.fetchone() is not None


def revoke(tx: Transaction, jti: str, expires_at: datetime) -> None:
    """Take an access token back, everywhere, from the next request on."""
    tx.execute("INSERT INTO revoked_token (jti, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (jti, expires_at))


def forget_expired(tx: Transaction, *, now: datetime) -> int:
    """Delete what is too old to be used again (a job, every few minutes); return how many rows went."""
    before = now - KEPT_AFTER_EXPIRY
    proofs = tx.execute("DELETE FROM seen_proof WHERE expires_at < %s", (before,)).rowcount
    return proofs + tx.execute("DELETE FROM revoked_token WHERE expires_at < %s", (before,)).rowcount
