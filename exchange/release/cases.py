"""A request on its way through the gate, and what can become of it. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import orjson

from consent.decision import Permit, Reason
from consent.scope import Mode
from consent.uses import StoredGrant
from exchange.answer import Asked, Noted, QueryFacts
from exchange.errors import ExchangeError
from exchange.home import Home
from exchange.limits.deciding import Left
from exchange.oauth.guard import Caller, Presented
from registry.canonical import canonical
from registry.errors import RegistryError
from registry.identifiers import Identifier, SubjectKind
from registry.keyring import Purpose
from registry.profile import Claim
from registry.records import OpenedRecord, RecordRef, VisibleRecord
from registry.suites import hmac_sha256, intl, seal, sha256, unseal

_SALT_BYTES = 16
_CLAIMS_OF = b"query-claims|"


@dataclass(frozen=True, slots=True)
class Line:
    """A place in a lender's batch of questions, counted from 1."""

    batch_id: UUID
    number: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A lender's question. `items` None asks for all that the consent covers; `body` is the canonical request.

    `identifier` None: about whoever gave the one consent that `presented`, a `Caller`, is bound to.
    `presented` is a `Caller` where the gate, or another door, has admitted the caller already. `line` is its place in a
    batch of questions (`lines`).
    """

    presented: Presented | Caller
    identifier: Identifier | None
    purpose: str
    mode: Mode
    items: frozenset[str] | None
    body: bytes
    claims: tuple[Claim, ...] = ()
    business_no: str | None = None
    staff: tuple[str, str] | None = None
    idempotency_key: str | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The same lender wants the answer to a query that was permitted before: to prove it, on paper, or with its batch.

    What an agency has recalled since is opened to prove what was answered, and for nothing else. `staff` is who at the
    lender wants it now.
    """

    presented: Presented | Caller
    query_id: UUID
    form: Literal["evidence", "pdf", "batch"] = "evidence"
    staff: tuple[str, str] | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Permitted:
    """An answer, committed and signed: canonical bytes and a detached JWS over them."""

    query_id: UUID
    body: bytes
    signature: str
    opened: tuple[OpenedRecord, ...]
    facts: QueryFacts
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """No leave, and why; `query_id` is what the refusal is called in the log."""

    query_id: UUID
    reason: Reason
    left: tuple[Left, ...] = ()


Outcome = Permitted | Refused | ExchangeError | RegistryError


@dataclass(slots=True)
class Case:
    """One request on its way through the steps."""

    ask: Ask | AskAgain
    caller: Caller | None = None
    subject_id: UUID | None = None
    subject_kind: SubjectKind | None = None
    facts: QueryFacts | None = None
    versions: list[RecordRef] | None = None
    records: list[VisibleRecord] | None = None
    beyond: frozenset[str] = frozenset()  # kinds of which records stand that are older than the permit reaches
    opened: list[OpenedRecord] | None = None
    permit: Permit | None = None
    rests_on: StoredGrant | None = None
    statement: Mapping[str, Any] | None = field(default=None, repr=False)  # the subject's own, still sealed
    outcome: Outcome | None = None
    left: tuple[Left, ...] = ()  # of the caller's limits
    conflict: bool = False

    @property
    def open(self) -> bool:
        """Not yet refused."""
        return self.outcome is None


def idempotency(case: Case) -> tuple[str, bytes]:
    """Say under what a question may have been asked before: the client, and a digest of its Idempotency-Key."""
    ask, caller = case.ask, case.caller
    if not isinstance(ask, Ask) or caller is None:
        raise TypeError("only an admitted question has an Idempotency-Key")
    return caller.client_id, sha256((ask.idempotency_key or "").encode())


def claims_digest(salt: bytes, claims: Sequence[Claim]) -> str | None:
    """Digest what a query claimed, in hex, under the query's own salt; None without claims."""
    if not claims:
        return None
    return sha256(b"qq-claims\x00" + salt + _written(claims)).hex()


def sealed_claims(key: bytes, query_id: UUID, claims: Sequence[Claim]) -> bytes:
    """Seal what a query claimed under its subject's data key: a claim that holds tells the value."""
    return seal(intl, key, _written(claims), _CLAIMS_OF + query_id.bytes)


def opened_claims(key: bytes, query_id: UUID, sealed: bytes) -> tuple[Claim, ...]:
    """Open what `sealed_claims` sealed.

    Raises:
        SealBroken: another key, another query, or changed bytes.
    """
    return tuple(Claim(*claim) for claim in orjson.loads(unseal(key, sealed, _CLAIMS_OF + query_id.bytes)))


def noted_of(records: Mapping[str, Any]) -> Noted | None:
    """Read what a query's row notes of the quality of its records; None of a row that was written before it did."""
    if "flags" not in records:
        return None
    flags: dict[tuple[UUID, int], list[str]] = {}
    for record_id, version, rule in records["flags"]:
        flags.setdefault((UUID(record_id), version), []).append(rule)
    return Noted(flags, records["partial"])


def asked_of(records: Mapping[str, Any]) -> Asked | None:
    """Read what a query's row notes of how it was asked; None of a summary, and of a row that was written before."""
    said = records.get("asked")
    if said is None:
        return None
    staff = said["staff"]
    return Asked(
        about=SubjectKind(said["about"]),
        history_months=said["history_months"],
        tags=said["tags"],
        staff=None if staff is None else (staff[0], staff[1]),
        consent_until=said["consent_until"],
    )


def _written(claims: Sequence[Claim]) -> bytes:
    return canonical([[claim.item, claim.relation, claim.value] for claim in claims])


def request_salt(home: Home, query_id: UUID) -> bytes:
    """Derive the salt of a query's request digest: not stored, so that the database alone cannot guess at requests."""
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"request|" + query_id.bytes)[:_SALT_BYTES]
