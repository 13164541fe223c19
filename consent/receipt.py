"""The consent receipt: what a subject keeps of a consent, and what evidence of an answer rests on.

After ISO/IEC TS 27560:2023: the five sections of its consent record (header, processing, PII information, party
identification, events) with the standard's field names, as canonical JSON, signed as a compact JWS of type
`consent-receipt+jwt`. Its claims `iss`, `sub`, `jti`, `iat` are RFC 7519's, so that any JWT library can read it.

A receipt is pseudonymous: the subject is the random subject id; no name, no identifier, no witness stands in it.
It is issued when a consent is first recorded, and once more when a request is agreed to; it is never changed by what
happens later: a withdrawal is an entry in the log, not a new receipt. The same consent gives the same bytes.

`verify` shows that our key signed it and that it has the declared form. It does not show that the consent stands today.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import orjson

from consent import notices
from consent.errors import ReceiptInvalid
from consent.evidence import EvidenceKind
from consent.grant import State
from consent.purposes import Purpose
from consent.record import SubjectType, Terms
from registry import catalogue, jws
from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.errors import RegistryError
from registry.keyring import Keyring, RingKey
from registry.keyring import Purpose as KeyPurpose
from registry.suites import sha256

TYP: Final = "consent-receipt+jwt"
SCHEMA_VERSION: Final = "ISO/IEC TS 27560:2023"
_SECTIONS: Final = frozenset({"header", "processing", "pii_information", "party_identification", "events"})
_CLAIMS: Final = frozenset({"iss", "sub", "jti", "iat"})
_EVENT_STATES: Final[Mapping[State, str]] = {
    State.REQUESTED: "consent requested",
    State.ACTIVE: "consent given",
    State.PAUSED: "consent given, paused",
    State.WITHDRAWN: "consent withdrawn",
    State.EXPIRED: "consent expired",
    State.SUPERSEDED: "consent superseded",
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs receipts: the operator, known by the log's origin and by a name people know."""

    key: RingKey
    origin: str
    name: str

    @classmethod
    def of(cls, keyring: Keyring, operator: str | None = None) -> Self:
        """Take the receipt key of a ring; without a name the operator is called by the log's origin."""
        return cls(keyring.signing(KeyPurpose.RECEIPT), keyring.origin, operator or keyring.origin)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that was verified: `document` is the whole signed JSON, `key_id` who signed."""

    consent_id: str
    subject_id: UUID
    recipient: str
    purpose: str
    items: frozenset[str]
    key_id: str
    document: Mapping[str, Any]


def issue(consent_id: str, terms: Terms, state: State, at: datetime, purpose: Purpose, issuer: Issuer) -> str:
    """Write and sign a receipt; a compact JWS in ASCII, about 2 kB."""
    return jws.sign(
        issuer.key, issuer.key.key_id, canonical(_document(consent_id, terms, state, at, purpose, issuer)), TYP
    )


def digest(receipt: str) -> bytes:
    """Give the SHA-256 of a receipt's ASCII bytes, as the log commits to it."""
    return sha256(receipt.encode("ascii"))


def verify(receipt: str, public_keys: Mapping[str, bytes]) -> Receipt:
    """Check a receipt's signature and form.

    Args:
        receipt: a compact JWS.
        public_keys: key id → raw Ed25519 public key, from the trust policy, never from the receipt.

    Raises:
        ReceiptInvalid: not signed by one of the keys, another type, or a section missing.
    """
    try:
        header, payload = jws.verify(receipt, public_keys, typ=TYP)
    except RegistryError as error:
        raise ReceiptInvalid(f"receipt: {error}") from error
    document = orjson.loads(payload)
    if not isinstance(document, dict) or not document.keys() >= _SECTIONS | _CLAIMS:
        raise ReceiptInvalid("receipt: a section is missing")
    try:
        purpose = document["processing"]["purposes"][0]
        items = frozenset(
            f"{group['pii_type']}.{name}" for group in document["pii_information"] for name in group["pii_attribute_id"]
        )
        return Receipt(
            consent_id=document["header"]["record_id"],
            subject_id=UUID(document["header"]["pii_principal_id"]),
            recipient=purpose["recipient_third_parties"][0],
            purpose=purpose["purpose"],
            items=items,
            key_id=header["kid"],
            document=document,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ReceiptInvalid("receipt: a field is missing or of another kind") from error


def _document(
    consent_id: str, terms: Terms, state: State, at: datetime, purpose: Purpose, issuer: Issuer
) -> dict[str, JSON]:
    moment = rfc3339(at)
    return {
        "iss": issuer.origin,
        "sub": str(terms.subject_id),
        "jti": consent_id,
        "iat": int(at.timestamp()),
        "header": {
            "schema_version": SCHEMA_VERSION,
            "record_id": consent_id,
            "pii_principal_id": str(terms.subject_id),
        },
        "processing": _processing(terms, purpose, issuer),
        "pii_information": _pii(terms),
        "party_identification": [
            {"party_id": issuer.origin, "party_name": issuer.name, "party_role": "pii_controller"},
            {"party_id": terms.scope.recipient, "party_name": terms.scope.recipient, "party_role": "third_party"},
        ],
        "events": [
            {
                "event_time": moment,
                "event_type": _event_type(terms),
                "event_state": _EVENT_STATES[state],
                "entity_id": str(terms.subject_id),
                "consent_type": _event_type(terms),
                "validity_duration": f"{rfc3339(terms.scope.valid_from)}/{rfc3339(terms.scope.valid_until)}",
            }
        ],
    }


def _shown(terms: Terms) -> notices.Notice | None:
    """Find the text of ours that was agreed to: one that names every item, else it was an agency's own."""
    capture = terms.capture
    notice = notices.find(terms.scope.purpose, capture.text_version, capture.text_language)
    return None if notice is None or notice.unnamed(terms.scope.items, catalogue.current()) else notice


def _processing(terms: Terms, purpose: Purpose, issuer: Issuer) -> dict[str, JSON]:
    scope, capture = terms.scope, terms.capture
    notice = _shown(terms)
    evidence = capture.evidence
    return {
        "privacy_notice": {
            "purpose": scope.purpose,
            "version": capture.text_version,
            "language": capture.text_language.value,
            "sha256": None if notice is None else notice.sha256.hex(),
        },
        "language": capture.text_language.value,
        "purposes": [
            {
                "purpose": scope.purpose,
                "purpose_type": purpose.titles["zh"],
                "purpose_version": terms.purpose_version,
                "lawful_basis": "consent",
                "pii_controllers": [issuer.origin],
                "recipient_third_parties": [scope.recipient],
                "collection_method": capture.channel.value,
                "processing_method": "disclosure of the items of pii_information to the recipient, on its request",
                "storage_locations": ["CN"],
                "processing_locations": ["CN"],
                "geographic_restrictions": ["CN"],
                "retention_period": f"P{purpose.data_life_days}D",
                "jurisdiction": "CN",
                "withdrawal_method": "phone page, bank counter, village point, or the operator; free, at once",
                "privacy_rights": ["access", "copy", "correction", "deletion", "explanation", "dispute", "withdrawal"],
                "limits": {
                    "history_months": scope.history_months,
                    "max_uses": scope.max_uses,
                    "highest_mode": scope.mode.value,
                    "adverse_consequences_acknowledged": scope.w_acknowledged,
                },
            }
        ],
        "catalogue_version": terms.catalogue_version,
        "evidence": {
            "kind": evidence.kind.value,
            "sha256": None if evidence.sha256 is None else evidence.sha256.hex(),
            "witnessed": capture.witness is not None,
        },
        "replaces": terms.previous,
    }


def _pii(terms: Terms) -> list[JSON]:
    kinds: dict[str, list[JSON]] = {}
    for item in sorted(terms.scope.items):
        kind, _, name = item.partition(".")
        kinds.setdefault(kind, []).append(name)
    return [{"pii_type": kind, "pii_attribute_id": names, "pii_optional": False} for kind, names in kinds.items()]


def _event_type(terms: Terms) -> str:
    if terms.subject_type is SubjectType.ORGANISATION or terms.capture.evidence.kind is EvidenceKind.RESOLUTION:
        return "resolution"
    return "explicit"
