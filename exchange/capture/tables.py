"""Tables of capture: how an agreement comes to be before it is a consent. Private to `exchange`.

authorization_request  a lender's pushed request (RFC 9126), what became of it, and its code
consent_request        a lender's request to a person's phone; subject is null where nobody can be shown it
capture_evidence       what a person saw and did when agreeing on a page or phone, as canonical JSON; found by its hash
collector              who may collect consents for an organisation
paper_consent          a consent on paper: entered by one, confirmed by another
capture_device         devices that take consents without signal, and how far their chain has come
offline_head           every head that a device announced: it is bound to each, whatever it announces later
offline_record         the records of those chains

Identifiers lie sealed under the subject's own data key, and only as long as somebody still has to decide.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class AuthorizationRequest(SQLModel, table=True):
    """A pushed authorization request. `digest` is the SHA-256 of the secret in its request_uri."""

    __tablename__ = "authorization_request"
    __table_args__ = (
        Index("authorization_request_by_code", "code_digest", unique=True),
        Index("authorization_request_by_expiry", "expires_at"),
    )

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    client_id: str
    recipient: str
    redirect_uri: str
    state: str | None = None
    nonce: str | None = None
    code_challenge: str
    dpop_jkt: str
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    wanted: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = moment()
    expires_at: datetime = moment()
    tries: int = 0
    language: str | None = None  # in which the page was opened last
    replaces: str | None = None  # the consent that it is to take the place of
    settled_at: datetime | None = moment(nullable=True)
    outcome: str | None = None
    granted: dict[str, Any] | None = Field(sa_column=Column(JSONB(none_as_null=True), nullable=True), default=None)
    code_digest: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    code_until: datetime | None = moment(nullable=True)
    code_used_at: datetime | None = moment(nullable=True)
    token_jti: str | None = None
    token_until: datetime | None = moment(nullable=True)


class ConsentRequest(SQLModel, table=True):
    """A request to a person's phone. `sealed` is the identifier, gone once the request is settled."""

    __tablename__ = "consent_request"
    __table_args__ = (
        Index("consent_request_by_subject", "subject_id", "state"),
        Index("consent_request_by_recipient", "recipient", "expires_at"),
        Index("consent_request_by_expiry", "expires_at", postgresql_where=text("state = 'offered'")),
    )

    request_id: UUID = Field(primary_key=True)
    client_id: str
    recipient: str
    subject_id: UUID | None = None
    sealed: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    terms: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    message: str
    user_code: str
    state: str
    channel: str | None = None
    text_version: str | None = None
    language: str | None = None
    consent_id: str | None = None
    told: bool = False
    created_at: datetime = moment()
    expires_at: datetime = moment()
    settled_at: datetime | None = moment(nullable=True)


class CaptureEvidence(SQLModel, table=True):
    """What was agreed to, word by word, and by which act. No name, no identifier."""

    __tablename__ = "capture_evidence"

    sha256: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    consent_id: str = Field(index=True)
    document: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = moment()


class Collector(SQLModel, table=True):
    """Somebody who collects consents for an organisation. `person` is a keyed hash of his or her identifier.

    `lookups` are those by which the registry finds a person, if it knows this one: so somebody who was given another
    number is still the same.
    """

    __tablename__ = "collector"

    organisation: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    person: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    lookups: list[bytes] = Field(
        sa_column=Column(ARRAY(LargeBinary), nullable=False, server_default="{}"), default_factory=list
    )
    valid_from: datetime = moment()
    valid_until: datetime | None = moment(nullable=True)


class PaperConsent(SQLModel, table=True):
    """A consent on paper. `sealed` is the identifier, gone once it is decided; `scan` the redacted scan, sealed."""

    __tablename__ = "paper_consent"
    __table_args__ = (
        Index("paper_consent_by_organisation", "organisation", "state", "entered_at"),
        Index("paper_consent_by_original", "organisation", "original_sha256"),
    )

    paper_id: UUID = Field(primary_key=True)
    organisation: str
    client_id: str
    subject_id: UUID
    sealed: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    original_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    terms: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    state: str
    entered_by: str
    entered_at: datetime = moment()
    open_until: datetime = moment()
    decided_client: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = moment(nullable=True)
    reason: str | None = None
    consent_id: str | None = None
    scan: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    scan_type: str | None = None
    scan_sha256: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)


class CaptureDevice(SQLModel, table=True):
    """A device that signs consents without signal. `counter` and `head`: how far its chain has been received."""

    __tablename__ = "capture_device"
    __table_args__ = (Index("capture_device_by_organisation", "organisation"),)

    device_id: str = Field(primary_key=True)
    organisation: str
    algorithm: str
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str = "active"
    valid_from: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    counter: int = 0
    head: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    last_at: datetime | None = moment(nullable=True)
    announced: int = 0
    announced_head: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    announced_at: datetime | None = moment(nullable=True)


class OfflineHead(SQLModel, table=True):
    """A head that a device announced: under this number stands this link, and no other ever will."""

    __tablename__ = "offline_head"

    device_id: str = Field(primary_key=True)
    counter: int = Field(primary_key=True)
    link: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    announced_at: datetime = moment()


class OfflineRecord(SQLModel, table=True):
    """A link of a device's chain. `sealed` is the signed record as it came, under its subject's key."""

    __tablename__ = "offline_record"

    device_id: str = Field(primary_key=True)
    counter: int = Field(primary_key=True)
    link: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    captured_at: datetime = moment()
    uploaded_at: datetime = moment()
    consent_id: str | None = None
    reason: str | None = None
    subject_id: UUID | None = None
    sealed: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
