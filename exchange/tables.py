"""Tables of the doors. Private to `exchange`.

client      a lender's or regulator's system that may ask
seen_proof  digests of assertions and DPoP proofs already used; unique, so a replay is refused in every process
revoked_token  access tokens taken back before they expire
query       a permitted query: what was asked, on which consent, which record versions. No answer is stored.
outcome     what a lender reported of a query of its own; amounts and states lie sealed under the person's data key
lender_notice  a record that a lender was shown was recalled or corrected by its agency; whose and what, is not said
finding     what a consistency rule found about one record version, and until when: rule and ids, no value
check_mark  keyed hashes of values that rules compare between subjects
checked_publication  how far the rules have gone through each publication
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class Client(SQLModel, table=True):
    """A registered system. `organisation` is what consents name as recipient."""

    __tablename__ = "client"

    client_id: str = Field(primary_key=True)
    role: str
    organisation: str = Field(index=True)
    jwks: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    redirect_uris: list[str] = Field(
        sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"), default_factory=list
    )
    certificate: dict[str, Any] | None = Field(sa_column=Column(JSONB(none_as_null=True), nullable=True), default=None)
    state: str = "active"
    created_at: datetime = moment()
    tokens_from: datetime | None = moment(nullable=True)  # tokens of before are of no use any more


class SeenProof(SQLModel, table=True):
    """SHA-256 over (kind, key or client, jti) of a proof that was used."""

    __tablename__ = "seen_proof"
    __table_args__ = (Index("seen_proof_by_expiry", "expires_at"),)

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    expires_at: datetime = moment()


class RevokedToken(SQLModel, table=True):
    """An access token that was taken back."""

    __tablename__ = "revoked_token"

    jti: str = Field(primary_key=True)
    expires_at: datetime = moment()


class Query(SQLModel, table=True):
    """A permitted query. The answer is opened anew from `records`, through the gate, each time it is wanted."""

    __tablename__ = "query"
    __table_args__ = (
        UniqueConstraint("client_id", "idempotency_digest"),
        Index("query_by_subject", "subject_id", "decided_at"),
    )

    query_id: UUID = Field(primary_key=True)
    client_id: str
    organisation: str
    idempotency_digest: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    request_sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    subject_id: UUID
    consent_id: str
    purpose: str
    business_no: str | None = None
    mode: str
    items: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    records: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    claims: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)  # under the subject's key
    decided_at: datetime = moment()


class Outcome(SQLModel, table=True):
    """What became of a query. Never written again; `position` is the order in which a lender reads its own."""

    __tablename__ = "outcome"
    __table_args__ = (
        UniqueConstraint("organisation", "reference"),
        Index("outcome_by_position", "organisation", "position"),
        Index("outcome_by_query", "query_id"),
        Index("outcome_by_subject", "subject_id"),
    )

    outcome_id: UUID = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    organisation: str
    client_id: str
    query_id: UUID
    subject_id: UUID
    consent_id: str
    purpose: str
    reference: str
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    kind: str
    decision: str | None = None
    happened_on: date
    details: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True), default=None)
    recorded_at: datetime = moment()


class Finding(SQLModel, table=True):
    """A rule found fault with a record version. Only `cleared_at` is ever written later, once."""

    __tablename__ = "finding"
    __table_args__ = (
        Index(
            "finding_standing",
            "subject_id",
            "rule",
            "record_id",
            "version",
            unique=True,
            postgresql_where=text("cleared_at IS NULL"),
        ),
        Index("finding_by_agency", "agency", "batch_id"),
        Index("finding_by_time", "found_at"),
    )

    finding_id: UUID = Field(primary_key=True)
    rule: str
    about: str
    class_code: str
    kind: str
    subject_id: UUID
    record_id: UUID
    version: int
    batch_id: UUID
    agency: str
    found_at: datetime = moment()
    cleared_at: datetime | None = moment(nullable=True)


class CheckMark(SQLModel, table=True):
    """A subject's record carries the value that hashes to `token`, under a key that the database does not have."""

    __tablename__ = "check_mark"
    __table_args__ = (Index("check_mark_by_subject", "subject_id"),)

    rule: str = Field(primary_key=True)
    token: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    subject_id: UUID = Field(primary_key=True)


class CheckedPublication(SQLModel, table=True):
    """The rules went through this publication's subjects up to `after_subject`, or (`done_at`) through all."""

    __tablename__ = "checked_publication"

    publication_id: UUID = Field(primary_key=True)
    after_subject: UUID
    subjects: int = 0
    found: int = 0
    cleared: int = 0
    started_at: datetime = moment()
    done_at: datetime | None = moment(nullable=True)


class LenderNotice(SQLModel, table=True):
    """A record that a lender was shown was recalled or corrected (`event`): its commitment, the lender's queries.

    `recalled_at` is the moment of either.
    """

    __tablename__ = "lender_notice"
    __table_args__ = (UniqueConstraint("organisation", "commitment", "event"), UniqueConstraint("notice_id"))

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    notice_id: UUID
    organisation: str
    commitment: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    event: str
    queries: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    recalled_at: datetime = moment()
    acknowledged_at: datetime | None = moment(nullable=True)
    acknowledged_by: str | None = None
