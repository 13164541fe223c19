"""The consent ledger's tables. Private to `consent`: others use `consent.ledger`.

One row is one consent: one subject, one recipient, one purpose (docs/requirements.md R-15). Who the subject is
cannot be told from here: `subject_id` is random, evidence is a hash.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from registry.columns import bytes_, moment


class Consent(SQLModel, table=True):
    """One consent. `items` are `KIND.field` as the catalogue had them on the day it was given, frozen.

    `month` and `month_uses` stand in the row itself, under the row's own lock: uses of a month counted beside it could
    be read as they were before the lock was had.
    """

    __tablename__ = "consent"
    __table_args__ = (
        UniqueConstraint("register_no"),
        Index("consent_by_subject", "subject_id", "recipient"),
        Index("consent_by_state", "state", "valid_until"),
        Index("consent_by_change", "state_at"),
        Index("consent_by_previous", "previous"),
        Index(
            "consent_of_others",
            "consent_id",
            postgresql_where=text("representation IS NOT NULL AND state IN ('requested', 'active', 'paused')"),
        ),
        {"postgresql_with": {"fillfactor": 80}},  # a row is written again with each use
    )

    consent_id: str = Field(primary_key=True)
    register_no: str | None = None
    subject_id: UUID
    subject_type: str
    recipient: str
    purpose: str
    purpose_version: str
    items: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    catalogue_version: str
    history_months: int
    valid_from: datetime = moment()
    valid_until: datetime = moment()
    max_uses: int
    uses: int = 0
    mode: str
    w_acknowledged: bool
    sensitive_agreed: bool = False
    uses_per_month: int | None = None
    month: str | None = None
    month_uses: int = 0
    reconfirm_by: datetime | None = moment(nullable=True)
    data_life_days: int | None = None
    representation: dict[str, Any] | None = Field(
        sa_column=Column(JSONB(none_as_null=True), nullable=True), default=None
    )
    text_version: str
    text_language: str
    channel: str
    place: str | None = None
    evidence_kind: str
    evidence_sha256: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    evidence_sm3: bytes | None = bytes_(nullable=True)
    evidence_redacted: bool = False
    witness: str | None = None
    collector: str | None = None
    device: str | None = None
    asked_by: str | None = None
    captured_at: datetime | None = moment(nullable=True)
    uploaded_at: datetime | None = moment(nullable=True)
    request_id: str | None = None
    state: str
    state_at: datetime = moment()
    paused_at: datetime | None = moment(nullable=True)
    withdraw_channel: str | None = None
    previous: str | None = None
    receipt: str = Field(sa_column=Column(Text, nullable=False))
    receipt_sm2: str | None = Field(sa_column=Column(Text, nullable=True), default=None)
    receipt_entry: UUID
    created_at: datetime = moment()


class ConsentConfirmation(SQLModel, table=True):
    """One confirmation of a consent in force. What proves it proves nothing else for the same recipient.

    Those of before migration 0019 were copied `from_log`: of their evidence the kind is `unknown`, of the signing the
    moment, and the same may stand twice.
    """

    __tablename__ = "consent_confirmation"
    __table_args__ = (
        Index(
            "consent_confirmation_once",
            "recipient",
            "evidence_sha256",
            unique=True,
            postgresql_where=text("NOT from_log"),
        ),
        Index("consent_confirmation_by_evidence", "evidence_sha256"),
        Index("consent_confirmation_by_consent", "consent_id", "captured_at"),
    )

    confirmation_id: UUID = Field(primary_key=True)
    consent_id: str
    recipient: str
    channel: str
    evidence_kind: str
    evidence_sha256: bytes = bytes_()
    collector: str | None = None
    device: str | None = None
    captured_at: datetime | None = moment(nullable=True)
    confirmed_at: datetime = moment()
    from_log: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"), default=False)


class ConsentRefusal(SQLModel, table=True):
    """One "no" of a person to a recipient: for a while the same is not asked again (R-26)."""

    __tablename__ = "consent_refusal"
    __table_args__ = (Index("consent_refusal_by_subject", "subject_id", "recipient", "purpose", "refused_at"),)

    refusal_id: UUID = Field(primary_key=True)
    subject_id: UUID
    recipient: str
    purpose: str
    channel: str
    request_id: str | None = None
    refused_at: datetime = moment()


class RecipientContact(SQLModel, table=True):
    """How an organisation that consents name as recipient is reached: an office, never a person. The latest stands."""

    __tablename__ = "recipient_contact"

    recipient: str = Field(primary_key=True)
    office: str
    phone: str
    address: str
    email: str | None = None
    url: str | None = None
    stated_at: datetime = moment()


class NoticeReview(SQLModel, table=True):
    """One reading of a text by a named reviewer; never changed. The last one of the same bytes stands."""

    __tablename__ = "notice_review"
    __table_args__ = (Index("notice_review_by_text", "text_sha256", "position"),)

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    review_id: UUID = Field(unique=True)
    purpose: str
    version: str
    language: str
    form: str
    text_sha256: bytes = bytes_()
    reviewer: str
    role: str
    decision: str
    remark: str
    reviewed_at: datetime = moment()
