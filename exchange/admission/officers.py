"""Officers: who lets a lender in. A person by a code, in one of two roles, with a key of its own; and what it signs.

What an officer says is a compact JWS of `typ` qq-approval+jws by its key over canonical JSON: yes or no, which
installation, which matter, the digest of its content as it was looked at, the officer, the moment. So it cannot be
carried to another matter, to another state of it, or to another installation; and whoever holds the database alone can
make none.

A code is one person's and a key is one person's, once and for ever (R-65): neither is taken again after it ended. That
two codes are two persons is for the operator's staff office to know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

import orjson

from exchange.admission.errors import NotApproved
from exchange.errors import KeyRefused
from exchange.oauth.jwks import read_jwk
from registry import jws
from registry.canonical import b64url, canonical, unb64url
from registry.clock import rfc3339
from registry.database import Transaction
from registry.errors import SignatureInvalid
from registry.suites import Ed25519Key, Es256Key

APPROVAL: Final = "qq-approval+jws"
MAX_AGE_SECONDS: Final = 600
AHEAD_SECONDS: Final = 30
CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
_LOCK: Final = 7_118_433  # of pg_advisory_xact_lock: officers are added and ended one after the other
_TAKEN: Final = "this code or this key was somebody's already; neither is given a second time"


class Decision(StrEnum):
    """What an officer says."""

    APPROVE = "approve"
    REFUSE = "refuse"


class Role(StrEnum):
    """What an officer answers for: that the lender is who it says, or that its keys and system are sound."""

    OPERATOR = "operator"
    SECURITY_ADMIN = "security-admin"


@dataclass(frozen=True, slots=True)
class Officer:
    """An officer as it is registered."""

    officer_id: str
    role: Role
    public: bytes
    thumbprint: str
    standing: bool


@dataclass(frozen=True, slots=True)
class OfficerKey:
    """An officer's private key, in the file that its owner alone can read."""

    officer_id: str
    key: Ed25519Key | Es256Key

    @classmethod
    def make(cls, officer_id: str) -> Self:
        """Make a key pair (Ed25519)."""
        return cls(officer_id, Ed25519Key.generate())

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read what `written` wrote; a P-256 key of the same form is read too.

        Raises:
            NotApproved: not the private key of an officer.
        """
        try:
            said = orjson.loads(text)
            jwk, officer_id = said["jwk"], str(said["officer_id"])
            private = unb64url(jwk["d"])
            key = Es256Key(private) if jwk["kty"] == "EC" else Ed25519Key(private)
            same = _public_of(jwk) == key.public
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise NotApproved("the file holds no officer's key; make one: qingqiao officer make-key") from error
        if not same:
            raise NotApproved("the file holds two halves of different keys")
        return cls(officer_id, key)

    @property
    def public_jwk(self) -> dict[str, str]:
        """The half that is registered."""
        return jws.public_jwk(self.key.public, self.officer_id)

    def written(self) -> bytes:
        """Write it for a private file."""
        return orjson.dumps(
            {"officer_id": self.officer_id, "jwk": self.public_jwk | {"d": b64url(self.key.private_bytes())}}
        )

    def say(self, decision: Decision, matter_id: UUID, digest: bytes, *, issuer: str, now: datetime) -> str:
        """Sign a yes or a no to one state of one matter."""
        said = {
            "v": 1,
            "decision": decision.value,
            "issuer": issuer,
            "matter_id": str(matter_id),
            "digest": digest.hex(),
            "officer_id": self.officer_id,
            "at": rfc3339(now),
        }
        return jws.sign(self.key, self.officer_id, canonical(said), APPROVAL)


def read_public(jwk: object) -> tuple[bytes, str]:
    """Give the raw public key and the thumbprint of what an officer registers: Ed25519 or P-256.

    Raises:
        KeyRefused: another kind of key, or one with a private half.
    """
    known = read_jwk(jwk)
    if not isinstance(jwk, Mapping) or jwk.get("kty") not in {"EC", "OKP"}:
        raise KeyRefused("an officer's key is Ed25519 or P-256")
    return _public_of(jwk), known.thumbprint


def _public_of(jwk: Mapping[str, Any]) -> bytes:
    x = unb64url(jwk["x"])
    return b"\x04" + x + unb64url(jwk["y"]) if jwk["kty"] == "EC" else x


def find(tx: Transaction, officer_id: str) -> Officer | None:
    """Give an officer, standing or not; locked against being ended meanwhile."""
    row = tx.execute(
        "SELECT role, jwk, thumbprint, ended_at FROM officer WHERE officer_id = %s FOR SHARE", (officer_id,)
    ).fetchone()
    if row is None:
        return None
    public, thumbprint = read_public(row[1])
    return Officer(officer_id, Role(row[0]), public, thumbprint, row[3] is None)


def roles_standing(tx: Transaction) -> dict[Role, int]:
    """Count the standing officers of each role."""
    rows = tx.execute("SELECT role, count(*) FROM officer WHERE ended_at IS NULL GROUP BY role").fetchall()
    return {Role(role): int(count) for role, count in rows}


def listed(tx: Transaction) -> list[tuple[str, str, str, datetime, datetime | None]]:
    """Give all officers: code, role, thumbprint, since, ended."""
    return tx.execute(
        "SELECT officer_id, role, thumbprint, added_at, ended_at FROM officer ORDER BY added_at, officer_id"
    ).fetchall()


def one_by_one(tx: Transaction) -> None:
    """Have officers added and ended by one transaction at a time, from here to its end."""
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def add(tx: Transaction, officer_id: str, role: Role, jwk: Mapping[str, Any], *, now: datetime) -> None:
    """Register an officer with its public key.

    Raises:
        NotApproved: the code or the key was somebody's already.
        KeyRefused: see `read_public`.
    """
    if not CODE.fullmatch(officer_id):
        raise NotApproved("an officer's code is 2 to 64 of A-Z a-z 0-9 . _ -, as the staff list has it; no name")
    _, thumbprint = read_public(jwk)
    one_by_one(tx)
    alike = tx.execute("SELECT FROM officer WHERE lower(officer_id) = lower(%s)", (officer_id,)).fetchone()
    if alike is not None:  # o-1 and O-1 are one person's
        raise NotApproved(_TAKEN)
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    made = tx.execute(
        "INSERT INTO officer (officer_id, role, jwk, thumbprint, added_at) VALUES (%s, %s, %s::jsonb, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (officer_id, role.value, orjson.dumps(public).decode(), thumbprint, now),
    )
    if made.rowcount != 1:
        raise NotApproved(_TAKEN)


def end(tx: Transaction, officer_id: str, *, now: datetime) -> None:
    """End an officer: what it approved before and is not yet carried out counts no more.

    Raises:
        NotApproved: there is no standing officer of this code, or it is the last of its role.
    """
    one_by_one(tx)  # two who end the last two of a role at once leave one
    row = tx.execute(
        "SELECT role FROM officer WHERE officer_id = %s AND ended_at IS NULL FOR UPDATE", (officer_id,)
    ).fetchone()
    if row is None:
        raise NotApproved("no standing officer has this code")
    if roles_standing(tx)[Role(row[0])] == 1:
        raise NotApproved("the last officer of a role is not ended: add another first")
    tx.execute("UPDATE officer SET ended_at = %s WHERE officer_id = %s", (now, officer_id))


def who_says(  # what it is held against
    tx: Transaction,
    statement: str,
    decision: Decision,
    *,
    matter_id: UUID,
    digest: bytes,
    issuer: str,
    now: datetime,
) -> Officer:
    """Check what an officer says against the matter as it stands, and say whose it is.

    Raises:
        NotApproved: not signed by a standing officer, for another matter or another state of it, or not now.
    """
    officer, at = _said(tx, statement, decision, matter_id=matter_id, digest=digest, issuer=issuer)
    if not -MAX_AGE_SECONDS <= (at - now).total_seconds() <= AHEAD_SECONDS:
        raise NotApproved("the approval was not signed now")
    return officer


def refuse_unsigned(
    tx: Transaction, statement: str, officer_id: str, *, matter_id: UUID, digest: bytes, issuer: str
) -> None:
    """Check a yes that was kept once more: that it is by this officer's key, to this state of this matter.

    Raises:
        NotApproved: it is not; whoever wrote it into the database has none of the officers' keys.
    """
    officer, _ = _said(tx, statement, Decision.APPROVE, matter_id=matter_id, digest=digest, issuer=issuer)
    if officer.officer_id != officer_id:
        raise NotApproved(
            "an approval is kept under another officer's code: the database was changed; call the duty officer"
        )


def _said(
    tx: Transaction, statement: str, decision: Decision, *, matter_id: UUID, digest: bytes, issuer: str
) -> tuple[Officer, datetime]:
    officer = find(tx, _claimed(statement))
    if officer is None or not officer.standing:
        raise NotApproved("no standing officer has this code")
    try:
        _, payload = jws.verify(statement, {officer.officer_id: officer.public}, typ=APPROVAL)
        said = orjson.loads(payload)
        at = datetime.fromisoformat(said["at"])
        bound = (said["v"], said["decision"], said["issuer"], said["matter_id"], said["officer_id"])
        looked_at = said["digest"]
    except (SignatureInvalid, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise NotApproved("the approval is not signed by the officer's registered key") from error
    if bound != (1, decision.value, issuer, str(matter_id), officer.officer_id):
        raise NotApproved("the approval says something else, or is for another matter or another installation")
    if looked_at != digest.hex():
        raise NotApproved("the matter has changed since it was looked at; look again, then approve")
    if at.tzinfo is None:
        raise NotApproved("the approval was not signed now")
    return officer, at


def _claimed(statement: str) -> str:
    try:
        return str(orjson.loads(unb64url(statement.partition(".")[0]))["kid"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise NotApproved("no approval") from error
