"""The consent ledger's table. Private to `consent`: others use `consent.ledger`.

One row is one consent: one subject, one recipient, one purpose (docs/requirements.md R-15). Who the subject is
cannot be told from here: `subject_id` is random, evidence is a hash.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from registry.columns import moment


class Consent(SQLModel, table=True):
    """One consent. `items` are `KIND.field` as the catalogue had them on the day it was given, frozen."""

    __tablename__ = "consent"
    __table_args__ = (
        UniqueConstraint("register_no"),
        Index("consent_by_subject", "subject_id", "recipient"),
        Index("consent_by_state", "state", "valid_until"),
        Index("consent_by_change", "state_at"),
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
    text_version: str
    text_language: str
    channel: str
    place: str | None = None
    evidence_kind: str
    evidence_sha256: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    witness: str | None = None
    collector: str | None = None
    device: str | None = None
    state: str
    state_at: datetime = moment()
    withdraw_channel: str | None = None
    previous: str | None = None
    receipt: str = Field(sa_column=Column(Text, nullable=False))
    receipt_entry: UUID
    created_at: datetime = moment()
