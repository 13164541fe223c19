"""The consent receipt: what a subject keeps of a consent, and what evidence of an answer rests on.

After ISO/IEC TS 27560:2023: the five sections of its consent record (header, processing, PII information, party
identification, events) with the standard's field names, as canonical JSON, signed as a compact JWS of type
`consent-receipt+jwt`. Its claims `iss`, `sub`, `jti`, `iat` are RFC 7519's, so that any JWT library can read it.
Where the operator has a key of SM2 (国密), a detached JWS with the algorithm name `SM2` over the very same bytes stands
beside it (`countersign`); the receipt is one document in two signatures, never two documents.

A receipt is pseudonymous: the subject is the random subject id; no name, no identifier, no token of a witness or of
whoever acted stands in it. It is issued when a consent is first recorded, and once more when a request is agreed to; it
is never changed by what happens later: a withdrawal is an entry in the log, not a new receipt. The same consent gives
the same bytes.

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
from consent.parties import Contact, Party
from consent.purposes import Purpose
from consent.record import SubjectType, Terms
from registry import catalogue, jws
from registry.canonical import JSON, canonical, unb64url
from registry.clock import rfc3339
from registry.errors import CipherUnavailable, RegistryError
from registry.keyring import Keyring, RingKey
from registry.keyring import Purpose as KeyPurpose
from registry.suites import sha256, sm3

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
    """Who signs receipts: the operator, known by the log's origin and by a name people know; and how to reach it."""

    key: RingKey
    origin: str
    name: str
    sm2: RingKey | None = None
    contact: Contact | None = None

    @classmethod
    def of(cls, keyring: Keyring, operator: Party | None = None) -> Self:
        """Take the receipt key of a ring; without a name the operator is called by the log's origin."""
        return cls(
            keyring.signing(KeyPurpose.RECEIPT),
            keyring.origin,
            keyring.origin if operator is None else operator.name,
            keyring.sm2(KeyPurpose.RECEIPT),
            None if operator is None else operator.contact,
        )


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


def issue(  # the parts of a receipt
    consent_id: str,
    terms: Terms,
    state: State,
    at: datetime,
    purpose: Purpose,
    issuer: Issuer,
    recipient: Contact | None = None,
) -> str:
    """Write and sign a receipt; a compact JWS in ASCII, about 2 kB. `recipient` is how the recipient is reached."""
    document = _document(consent_id, terms, state, at, purpose, issuer, recipient)
    return jws.sign(issuer.key, issuer.key.key_id, canonical(document), TYP)


def countersign(receipt: str, issuer: Issuer) -> str | None:
    """Sign a receipt's bytes by SM2 as well: a detached JWS (RFC 7515 appendix F); None without such a key."""
    if issuer.sm2 is None:
        return None
    return jws.sign_detached(issuer.sm2, issuer.sm2.key_id, document_bytes(receipt), TYP)


def document_bytes(receipt: str) -> bytes:
    """Give the canonical JSON that a receipt of ours signs.

    Raises:
        ReceiptInvalid: not a compact JWS.
    """
    try:
        _, body, _ = receipt.split(".")
        return unb64url(body)
    except ValueError as error:
        raise ReceiptInvalid("receipt: not a compact signature") from error


def verify_sm2(receipt: str, signature: str, public_keys: Mapping[str, bytes]) -> None:
    """Check the SM2 signature that stands beside a receipt.

    Args:
        receipt: the compact JWS that it stands beside.
        signature: the detached JWS.
        public_keys: key id → uncompressed point, from the trust policy.

    Raises:
        ReceiptInvalid: not of one of the keys, of another type, or over other bytes.
        CipherUnavailable: this machine cannot check SM2.
    """
    trusted = {key_id: jws.Public("SM2", raw) for key_id, raw in public_keys.items()}
    try:
        jws.verify(signature, trusted, document_bytes(receipt), typ=TYP)
    except CipherUnavailable:
        raise
    except RegistryError as error:
        raise ReceiptInvalid(f"receipt: {error}") from error


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


def _document(  # as `issue`
    consent_id: str,
    terms: Terms,
    state: State,
    at: datetime,
    purpose: Purpose,
    issuer: Issuer,
    recipient: Contact | None,
) -> dict[str, JSON]:
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
        "party_identification": _parties(terms, issuer, recipient),
        "events": [_event(terms, state, at)],
    }


def _parties(terms: Terms, issuer: Issuer, recipient: Contact | None) -> list[JSON]:
    """Name who handles and who receives, each with how it is reached (个人信息保护法 §17, §23)."""
    named = (
        (issuer.origin, issuer.name, "pii_controller", issuer.contact),
        (terms.scope.recipient, terms.scope.recipient, "third_party", recipient),
    )
    parties: list[JSON] = [
        {
            "party_id": party_id,
            "party_name": name,
            "party_role": role,
            **({} if contact is None else contact.as_party()),
        }
        for party_id, name, role, contact in named
    ]
    acted = terms.representation
    if acted is not None:  # as what, never who
        parties.append(
            {"party_role": "representative", "party_type": acted.kind.value, "relation": acted.relation.value}
        )
    return parties


def _event(terms: Terms, state: State, at: datetime) -> dict[str, JSON]:
    capture = terms.capture
    return {
        "event_time": rfc3339(at),
        "event_type": _event_type(terms),
        "event_state": _EVENT_STATES[state],
        "entity_id": str(terms.subject_id),
        "consent_type": _event_type(terms),
        "validity_duration": f"{rfc3339(terms.scope.valid_from)}/{rfc3339(terms.scope.valid_until)}",
        "captured_at": None if terms.captured_at is None else rfc3339(terms.captured_at),
        "uploaded_at": None if terms.uploaded_at is None else rfc3339(terms.uploaded_at),
        "channel": capture.channel.value,
        "place": capture.place,
        "collector": capture.collector,
        "asked_by": None if capture.asked_by is None else capture.asked_by.value,
        "device": capture.device,
        "request_id": terms.request_id,
        "subject_type": terms.subject_type.value,
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
            "sm3": None if notice is None else sm3(notice.text.encode()).hex(),
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
                "recipient_storage": {
                    "location": "CN",
                    "longest_days": _life(terms, purpose),
                    "onward_transfer": False,
                },
                "processing_locations": ["CN"],
                "geographic_restrictions": ["CN"],
                "retention_period": f"P{_life(terms, purpose)}D",
                "service": f"{issuer.name}, {purpose.titles['zh']}",
                "jurisdiction": "CN",
                "withdrawal_method": "phone page, bank counter, village point, or the operator; free, at once",
                "privacy_rights": ["access", "copy", "correction", "deletion", "explanation", "dispute", "withdrawal"],
                "limits": {
                    "history_months": scope.history_months,
                    "max_uses": scope.max_uses,
                    "uses_per_month": scope.uses_per_month,
                    "highest_mode": scope.mode.value,
                    "adverse_consequences_acknowledged": scope.w_acknowledged,
                    "sensitive_items_agreed_separately": scope.sensitive_agreed,
                    "reconfirm_months": purpose.reconfirm_months,
                },
            }
        ],
        "catalogue_version": terms.catalogue_version,
        "evidence": {
            "kind": evidence.kind.value,
            "sha256": None if evidence.sha256 is None else evidence.sha256.hex(),
            "sm3": None if evidence.sm3 is None else evidence.sm3.hex(),
            "fingerprints_redacted": evidence.redacted,
            "witnessed": capture.witness is not None,
        },
        "representation": _representation(terms),
        "replaces": terms.previous,
    }


def _life(terms: Terms, purpose: Purpose) -> int:
    """Days that the recipient may keep an answer."""
    return purpose.data_life_days if terms.data_life_days is None else terms.data_life_days


def _representation(terms: Terms) -> dict[str, JSON] | None:
    """Write on what ground somebody acted: without the token of who it was."""
    acted = terms.representation
    return None if acted is None else {name: value for name, value in acted.as_json().items() if name != "by"}


def _pii(terms: Terms) -> list[JSON]:
    kinds: dict[str, list[JSON]] = {}
    for item in sorted(terms.scope.items):
        kind, _, name = item.partition(".")
        kinds.setdefault(kind, []).append(name)
    known = catalogue.current()
    groups: list[JSON] = []
    for kind, names in kinds.items():
        held = {f"{kind}.{name}" for name in names}
        groups.append(
            {
                "pii_type": kind,
                "pii_attribute_id": names,
                "pii_optional": False,
                "sensitive_pii_category": sorted(held & known.separate_items),
                "special_pii_category": sorted(held & known.w_items),
            }
        )
    return groups


def _event_type(terms: Terms) -> str:
    if terms.subject_type is SubjectType.ORGANISATION or terms.capture.evidence.kind is EvidenceKind.RESOLUTION:
        return "resolution"
    return "explicit"
