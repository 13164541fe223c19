"""What a lender is told: one canonical JSON value, the same again whenever it is built from the same query. Pure.

An answer is never stored. It is built from the query's own row and the record versions that the query names, so that
the same query opened again gives the same bytes and the same signature.

Every field of every record carries its source, reference date and quality with it; every item says how whole it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry import profile
from registry.canonical import b64url, canonical
from registry.catalogue import Catalogue
from registry.clock import rfc3339
from registry.profile import Claim
from registry.records import OpenedRecord, header
from registry.suites import sha256

FORMAT = "qingqiao-answer/v1"
NOTICE = "信息供参考，不是征信报告。 For information only; not a credit-bureau report."  # legal.md


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What was asked and permitted: the row of a query, without its answer."""

    query_id: UUID
    client_id: str
    lender: str
    subject_id: UUID
    consent_id: str
    purpose: str
    business_no: str | None
    mode: str
    items: frozenset[str]
    claims: tuple[Claim, ...]
    request_sha256: bytes
    request_salt: bytes
    decided_at: datetime


def request_digest(salt: bytes, body: bytes) -> bytes:
    """Digest a request so that its sender can recognise it and nobody can guess the identifier in it."""
    return sha256(b"qq-request\x00" + salt + body)


def build(
    query: QueryFacts, records: Sequence[OpenedRecord], catalogue: Catalogue, installation: Mapping[str, str | None]
) -> dict[str, Any]:
    """Assemble the answer to a query from the records that were opened for it."""
    answer: dict[str, Any] = {
        "format": FORMAT,
        "installation": dict(installation),
        "notice": NOTICE,
        "query_id": str(query.query_id),
        "decided_at": rfc3339(query.decided_at),
        "lender": query.lender,
        "purpose": query.purpose,
        "business_no": query.business_no,
        "mode": query.mode,
        "consent_id": query.consent_id,
        "request": {"salt": b64url(query.request_salt), "sha256": query.request_sha256.hex()},
        "items": profile.label(query.items, records, catalogue, at=query.decided_at),
        "records": [_record(record, values=query.mode != "verify") for record in records],
    }
    if query.mode == "verify":
        answer["claims"] = [
            {"item": c.item, "relation": c.relation, "value": c.value, "holds": profile.holds(c, records, catalogue)}
            for c in query.claims
        ]
    else:
        answer["summary"] = profile.summarise(records, catalogue, at=query.decided_at)
        answer["withheld"] = _withheld(query, catalogue)
    return answer


def _record(record: OpenedRecord, *, values: bool) -> dict[str, Any]:
    seen = record.visible
    said = header(seen.kind, seen.provenance, row_no=seen.row_no, period=seen.period, quality=seen.quality)
    return said | {
        "commitment": seen.commitment.hex(),
        "remark": seen.remark,
        "fields": dict(record.fields) if values else {},
    }


def _withheld(query: QueryFacts, catalogue: Catalogue) -> list[dict[str, str]]:
    kinds = {item.partition(".")[0] for item in query.items}
    offered = frozenset[str]().union(*(catalogue.kinds[kind].items for kind in kinds))
    return [{"item": item, "reason": "not-asked-or-not-consented"} for item in sorted(offered - query.items)]


def bytes_of(answer: Mapping[str, Any]) -> bytes:
    """Write an answer as it is signed and sent: canonical bytes."""
    return canonical(dict(answer))
