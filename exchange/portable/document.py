"""The portable document: everything that is held about a person and done with it, as one JSON value. Pure.

Its form is published as a JSON Schema (draft 2020-12) at `/schemas/subject-export-v1.json`; a test holds every document
to it. A value is as its `type` holds it: `fen` whole fen (1/100 元), `mu4` whole 1/10000 亩; instants are in UTC,
days as they stand in the records. Keys are English codes; titles of kinds and fields go along in Chinese, Tibetan and
English, so that the file explains itself; so do the operator and every recipient, with how they are reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from consent.parties import Contact, Party
from consent.record import Consent
from exchange.accesses import Access, Recipient
from exchange.binding import Phone
from exchange.complaints import Complaint
from exchange.disputes import Dispute
from exchange.statements import Statement
from registry.catalogue import Catalogue
from registry.clock import rfc3339
from registry.records import OpenedRecord

FORMAT: Final = "qingqiao-subject-export/v1"
SCHEMA_PATH: Final = "/schemas/subject-export-v1.json"
NOTICE: Final = (
    "本文件为本人信息副本，仅供本人使用，不是征信报告。 A copy of your own information; not a credit report."
)
_SCHEMA: Final = Path(__file__).with_name("subject-export-v1.json")


@dataclass(frozen=True, slots=True)
class Held:
    """What goes into a document, as it was read and opened."""

    made_at: datetime
    records: Sequence[OpenedRecord]
    consents: Sequence[Consent]
    accesses: Sequence[Access]
    recipients: Sequence[Recipient]
    statement: Statement | None
    disputes: Sequence[Dispute]
    complaints: Sequence[Complaint]
    phones: Sequence[Phone]
    contacts: Mapping[str, Contact]


@lru_cache(maxsize=1)
def schema() -> bytes:
    """Give the JSON Schema of the document, as published."""
    return _SCHEMA.read_bytes()


def build(held: Held, catalogue: Catalogue, installation: Mapping[str, str | None], operator: Party) -> dict[str, Any]:
    """Write the document."""
    recipients = {one.terms.scope.recipient for one in held.consents} | {one.organisation for one in held.recipients}
    return {
        "format": FORMAT,
        "schema": SCHEMA_PATH,
        "made_at": rfc3339(held.made_at),
        "notice": NOTICE,
        "installation": dict(installation),
        "parties": [
            party_shown("operator", operator),
            *(party_shown("recipient", Party(name, held.contacts.get(name))) for name in sorted(recipients)),
        ],
        "records": [record_shown(record, catalogue, held.disputes) for record in held.records],
        "consents": [consent_shown(one) for one in held.consents],
        "accesses": [access_shown(one) for one in held.accesses],
        "recipients": [recipient_shown(one) for one in held.recipients],
        "statement": None if held.statement is None else statement_shown(held.statement),
        "disputes": [dispute_shown(one) for one in held.disputes],
        "complaints": [complaint_shown(one) for one in held.complaints],
        "phones": [phone_shown(one) for one in held.phones],
    }


def party_shown(role: str, party: Party) -> dict[str, Any]:
    """Show who handles or receives, and how it is reached (个人信息保护法 §17, §23)."""
    return {"role": role, **party.as_json()}


def written(document: Mapping[str, Any]) -> bytes:
    """Write a document as the bytes of a file."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def record_shown(record: OpenedRecord, catalogue: Catalogue, disputes: Sequence[Dispute]) -> dict[str, Any]:
    """Show one record: where it comes from, how good it is, and every field that is held."""
    seen, kind = record.visible, catalogue.kinds[record.visible.kind]
    marked = {
        one.item
        for one in disputes
        if one.marked and one.record_id == seen.ref.record_id and covers(one, seen.ref.version)
    }
    return {
        "record_id": str(seen.ref.record_id),
        "version": seen.ref.version,
        "kind": seen.kind,
        "title": dict(kind.titles),
        "source": seen.provenance.source,
        "publisher": seen.provenance.publisher,
        "as_of": seen.provenance.as_of.isoformat(),
        "period": seen.period,
        "quality": seen.quality,
        "remark": seen.remark,
        "basis": seen.basis.partition(":")[0],
        "commitment": seen.commitment.hex(),
        "fields": [
            {
                "item": f"{seen.kind}.{name}",
                "zh": kind.fields[name].zh,
                "bo": kind.fields[name].bo,
                "en": kind.fields[name].en,
                "type": kind.fields[name].type,
                "unit": kind.fields[name].unit,
                "value": value,
                "disputed": f"{seen.kind}.{name}" in marked,
            }
            for name, value in record.fields.items()
            if value is not None
        ],
    }


def covers(dispute: Dispute, version: int) -> bool:
    """Say whether a dispute's mark is on a version of its record."""
    return dispute.version <= version and (dispute.until_version is None or version <= dispute.until_version)


def consent_shown(consent: Consent) -> dict[str, Any]:
    """Show one consent, its signed receipt with it."""
    scope = consent.terms.scope
    return {
        "consent_id": consent.consent_id,
        "state": consent.state.value,
        "state_at": rfc3339(consent.state_at),
        "recipient": scope.recipient,
        "purpose": scope.purpose,
        "items": sorted(scope.items),
        "history_months": scope.history_months,
        "valid_from": rfc3339(scope.valid_from),
        "valid_until": rfc3339(scope.valid_until),
        "max_uses": scope.max_uses,
        "uses_per_month": scope.uses_per_month,
        "uses": consent.uses,
        "mode": scope.mode.value,
        "adverse_consequences_acknowledged": scope.w_acknowledged,
        "sensitive_agreed": scope.sensitive_agreed,
        "represented_by": None if consent.terms.representation is None else consent.terms.representation.kind.value,
        "reconfirm_by": _moment(consent.reconfirm_by),
        "text_version": consent.terms.capture.text_version,
        "text_language": consent.terms.capture.text_language.value,
        "channel": consent.terms.capture.channel.value,
        "given_at": rfc3339(consent.created_at),
        "receipt": consent.receipt,
        "receipt_sm2": consent.receipt_sm2,
    }


def access_shown(access: Access) -> dict[str, Any]:
    """Show one access: who, when, for what, which items, permitted or why not."""
    return {
        "access_id": str(access.entry_id),
        "at": rfc3339(access.at),
        "outcome": access.outcome,
        "lender": access.lender,
        "department": access.department,
        "purpose": access.purpose,
        "mode": access.mode,
        "items": None if access.items is None else list(access.items),
        "reason": access.reason,
        "consent_id": access.consent_id,
        "query_id": None if access.query_id is None else str(access.query_id),
    }


def recipient_shown(recipient: Recipient) -> dict[str, Any]:
    """Show one organisation that was shown data."""
    return {
        "organisation": recipient.organisation,
        "first_at": rfc3339(recipient.first_at),
        "last_at": rfc3339(recipient.last_at),
        "accesses": recipient.accesses,
        "purposes": list(recipient.purposes),
        "items": list(recipient.items),
    }


def statement_shown(statement: Statement) -> dict[str, Any]:
    """Show the standing statement."""
    return {
        "statement_id": str(statement.statement_id),
        "text": statement.text,
        "made_at": rfc3339(statement.made_at),
    }


def dispute_shown(dispute: Dispute) -> dict[str, Any]:
    """Show one dispute to whoever filed it."""
    return {
        "dispute_id": str(dispute.dispute_id),
        "number": dispute.number,
        "record_id": str(dispute.record_id),
        "version": dispute.version,
        "item": dispute.item,
        "agency": dispute.agency,
        "reason": dispute.reason.value,
        "words": dispute.words,
        "evidence_sha256": dispute.evidence_sha256.hex(),
        "filed_at": rfc3339(dispute.filed_at),
        "due_at": rfc3339(dispute.due_at),
        "overdue": dispute.escalated_at is not None,
        "state": dispute.state,
        "marked": dispute.marked,
        "outcome": dispute.outcome.value if dispute.outcome else None,
        "answered_at": _moment(dispute.answered_at),
        "reply": dispute.reply,
    }


def complaint_shown(complaint: Complaint) -> dict[str, Any]:
    """Show one complaint to whoever made it."""
    return {
        "complaint_id": str(complaint.complaint_id),
        "number": complaint.number,
        "about": complaint.about.value,
        "organisation": complaint.organisation,
        "words": complaint.words,
        "filed_at": rfc3339(complaint.filed_at),
        "due_at": rfc3339(complaint.due_at),
        "overdue": complaint.escalated_at is not None,
        "state": complaint.state,
        "answered_at": _moment(complaint.answered_at),
        "reply": complaint.reply,
    }


def phone_shown(phone: Phone) -> dict[str, Any]:
    """Show one phone to its owner."""
    return {
        "client_id": phone.client_id,
        "state": phone.state.value,
        "bound_at": rfc3339(phone.bound_at),
        "active_from": rfc3339(phone.active_from),
        "ended_at": _moment(phone.ended_at),
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
