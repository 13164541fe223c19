"""Pushed requests and their codes, as they are kept: each answered once, each code redeemed once, in any process.

  full_for_seconds    whether an organisation has too many of them, and how long
  push     keep a request, if the client still stands as it was checked and the redirect URI is its own
  find     read a request that can still be answered, locked until the transaction ends
  count_try, settle   count a wrong proof of presence; write what became of a request, once
  of_code  read what a code stands for, to be checked
  redeem   use codes up, in the transaction that issues their tokens; a code that comes twice takes its token back
  end_all  end a system's requests and codes, for good: it was sent away

The secrets of request_uri and code are random; only their SHA-256 is kept. A request ends with its answer: opening the
page again is harmless (a bad line, a chat program that looks at links), answering again is not possible.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from exchange.oauth import spending
from exchange.oauth.clients import ACTIVE
from exchange.oauth.par import LIFETIME_SECONDS, URN, Pushed
from exchange.oauth.spending import Issue, Outcome
from registry import suites
from registry.canonical import b64url
from registry.database import Transaction

CODE_SECONDS: Final = 60  # FAPI 2.0 §5.3.2.2
MOST_TRIES: Final = 5
MOST_AT_ONCE: Final = 1000  # requests of one organisation that were pushed within their lifetime, answered or not
KEPT_AFTER_EXPIRY: Final = timedelta(days=1)
AGREED: Final = "agreed"
REFUSED: Final = "refused"
FAILED: Final = "failed"
_SECRET_BYTES: Final = 32
_DOMAIN: Final = {"request": b"request-uri\x00", "code": b"authorization-code\x00"}
_PUSH: Final = """
INSERT INTO authorization_request (digest, client_id, recipient, redirect_uri, state, nonce, code_challenge, dpop_jkt,
                                   scopes, wanted, replaces, created_at, expires_at, tries)
SELECT %(digest)s, client_id, organisation, %(redirect_uri)s::text, %(state)s, %(nonce)s, %(challenge)s, %(jkt)s,
       %(scopes)s, %(wanted)s, %(replaces)s::text, %(now)s, %(until)s, 0
FROM client WHERE client_id = %(client_id)s AND state = %(active)s AND organisation = %(organisation)s
AND jwks @> %(jwks)s::jsonb AND certificate IS NOT DISTINCT FROM %(certificate)s::jsonb
AND %(redirect_uri)s::text = ANY(redirect_uris)
"""
_FIND: Final = """
SELECT r.digest, r.client_id, r.recipient, r.redirect_uri, r.state, r.wanted, r.tries, r.replaces
FROM authorization_request r JOIN client c USING (client_id)
WHERE r.digest = %s AND r.client_id = %s AND r.settled_at IS NULL AND r.expires_at > %s
AND c.state = %s AND c.organisation = r.recipient AND r.redirect_uri = ANY(c.redirect_uris)
FOR UPDATE OF r
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its answer."""

    digest: bytes
    client_id: str
    recipient: str
    redirect_uri: str
    state: str | None
    wanted: Mapping[str, Any]
    tries: int
    replaces: str | None = None  # the consent that is to end with this agreement


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code stands for, and the key that it is bound to (`dpop_jkt`, as `par.Pushed` has it).

    `authorization_details` is what the person agreed to, with the consent's id.
    """

    client_id: str
    redirect_uri: str
    code_challenge: str
    dpop_jkt: str
    scopes: frozenset[str]
    nonce: str | None
    until: datetime
    authorization_details: Mapping[str, Any]


def push(tx: Transaction, pushed: Pushed, *, now: datetime) -> str | None:
    """Keep a request (step 8 of `par`); give its request_uri. None: not this client's redirect URI, or not its keys.

    What it brought was spent before, in the same transaction.
    """
    secret = b64url(suites.random_bytes(_SECRET_BYTES))
    kept = tx.execute(
        _PUSH,
        {
            "digest": _digest("request", secret),
            "redirect_uri": pushed.redirect_uri,
            "state": pushed.state,
            "nonce": pushed.nonce,
            "challenge": pushed.code_challenge,
            "jkt": pushed.dpop_jkt,
            "scopes": sorted(pushed.scopes),
            "wanted": Jsonb(pushed.wanted.as_json()),
            "replaces": pushed.replaces,
            "now": now,
            "until": now + timedelta(seconds=LIFETIME_SECONDS),
            "client_id": pushed.client.client_id,
            "active": ACTIVE,
            "organisation": pushed.client.organisation,
            "jwks": pushed.client.jwks_text,
            "certificate": pushed.client.certificate_text,
        },
    )
    return URN + secret if kept.rowcount == 1 else None


def full_for_seconds(tx: Transaction, organisation: str, *, now: datetime) -> int | None:
    """Say for how many seconds an organisation has too many requests to push another; None: it has not.

    Those that were answered count on until their end: whoever looks for two requests of one number on the page
    (`presence`) answers the own ones, and has no more of them for it.
    """
    place = suites.sha256(b"pushed-requests\x00" + organisation.encode())[:8]
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(place, "big", signed=True),))  # many at once
    row = tx.execute(
        "SELECT count(*), min(expires_at) FROM authorization_request WHERE recipient = %s AND expires_at > %s",
        (organisation, now),
    ).fetchone()
    if row is None or row[0] < MOST_AT_ONCE:
        return None
    wait: timedelta = row[1] - now
    return math.ceil(wait.total_seconds())


def find(tx: Transaction, request_uri: str, client_id: str, *, now: datetime) -> Pending | None:
    """Give the request that waits under a request_uri, locked; None if there is none of this client's."""
    if not request_uri.startswith(URN) or not request_uri.isascii():
        return None
    digest = _digest("request", request_uri.removeprefix(URN))
    row = tx.execute(_FIND, (digest, client_id, now, ACTIVE)).fetchone()
    return None if row is None else Pending(*row)


def note_language(tx: Transaction, pending: Pending, language: str) -> None:
    """Keep in which language a request was shown: figures tell abandoned ones by it."""
    tx.execute("UPDATE authorization_request SET language = %s WHERE digest = %s", (language, pending.digest))


def count_try(tx: Transaction, pending: Pending) -> bool:
    """Count a wrong proof of presence; say whether another may follow."""
    tx.execute("UPDATE authorization_request SET tries = tries + 1 WHERE digest = %s", (pending.digest,))
    return pending.tries + 1 < MOST_TRIES


def settle_granted(tx: Transaction, pending: Pending, granted: Mapping[str, Any], *, now: datetime) -> str:
    """Write that the person agreed, and to what; give the code."""
    secret = b64url(suites.random_bytes(_SECRET_BYTES))
    tx.execute(
        "UPDATE authorization_request SET settled_at = %s, outcome = %s, granted = %s, code_digest = %s,"
        " code_until = %s WHERE digest = %s",
        (
            now,
            AGREED,
            Jsonb(dict(granted)),
            _digest("code", secret),
            now + timedelta(seconds=CODE_SECONDS),
            pending.digest,
        ),
    )
    return secret


def settle(tx: Transaction, pending: Pending, outcome: str, *, now: datetime) -> None:
    """Write that a request ended without agreement."""
    tx.execute(
        "UPDATE authorization_request SET settled_at = %s, outcome = %s WHERE digest = %s",
        (now, outcome, pending.digest),
    )


def digest_of_code(code: str) -> bytes:
    """Give the digest under which a code is kept."""
    return _digest("code", code)


def of_code(tx: Transaction, code_digest: bytes) -> Granted | None:
    """Read what a code stands for, whether or not it was used."""
    row = tx.execute(
        "SELECT client_id, redirect_uri, code_challenge, dpop_jkt, scopes, nonce, code_until, granted"
        " FROM authorization_request WHERE code_digest = %s",
        (code_digest,),
    ).fetchone()
    return None if row is None else _granted(row)


def _granted(row: Sequence[Any]) -> Granted:
    client_id, redirect_uri, challenge, jkt, scopes, nonce, until, granted = row
    return Granted(client_id, redirect_uri, challenge, jkt, frozenset(scopes), nonce, until, granted)


def redeem(tx: Transaction, batch: Sequence[Issue], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Use up the codes of those whose token is about to be issued; who comes second gets nothing.

    A code that comes a second time from its own client takes back the token that was issued for it (RFC 6749 §4.1.2):
    of two that have it, one stole it.

    They are used up in the order of their digests, whatever the batch's: of two processes with the same codes one waits
    for the other, and never the other for it as well.
    """
    found = list(outcomes)
    ordered = sorted((issue.redeem.code_digest, place) for place, issue in enumerate(batch) if issue.redeem is not None)
    for _, place in ordered:
        if found[place] is Outcome.ISSUED and not _use(tx, batch[place]):
            found[place] = Outcome.CODE_SPENT
    return found


def end_all(tx: Transaction, client_id: str, *, now: datetime) -> int:
    """End what waits for an answer and what could be redeemed, of one system; say how many."""
    ended = tx.execute(
        "UPDATE authorization_request SET settled_at = coalesce(settled_at, %s), outcome = coalesce(outcome, %s),"
        " code_until = least(code_until, %s) WHERE client_id = %s AND expires_at > %s"
        " AND (settled_at IS NULL OR code_used_at IS NULL AND code_until > %s)",
        (now, FAILED, now, client_id, now - KEPT_AFTER_EXPIRY, now),
    )
    return ended.rowcount


def forget_expired(tx: Transaction, *, now: datetime) -> int:
    """Delete requests that ended long ago (a job); what was agreed to stands as a consent, with its evidence."""
    before = now - KEPT_AFTER_EXPIRY
    return tx.execute("DELETE FROM authorization_request WHERE expires_at < %s", (before,)).rowcount


def _use(tx: Transaction, issue: Issue) -> bool:
    wanted = issue.redeem
    if wanted is None:
        return True
    used = tx.execute(
        "UPDATE authorization_request SET code_used_at = %s, token_jti = %s, token_until = %s"
        " WHERE code_digest = %s AND client_id = %s AND code_used_at IS NULL AND code_until > %s",
        (wanted.now, wanted.token_jti, wanted.token_until, wanted.code_digest, issue.client_id, wanted.now),
    ).rowcount
    if used:
        return True
    row = tx.execute(
        "SELECT token_jti, token_until FROM authorization_request WHERE code_digest = %s AND client_id = %s",
        (wanted.code_digest, issue.client_id),
    ).fetchone()
    if row is not None and row[0] is not None:
        spending.revoke(tx, row[0], row[1])
    return False


def _digest(what: str, secret: str) -> bytes:
    return suites.sha256(_DOMAIN[what] + secret.encode("utf-8", "replace"))
