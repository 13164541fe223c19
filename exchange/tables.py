"""Tables of the doors. Private to `exchange`.

client      a lender's or regulator's system that may ask
seen_proof  digests of assertions and DPoP proofs already used; unique, so a replay is refused in every process
revoked_token  access tokens taken back before they expire
query       a permitted query: what was asked, on which consent, which record versions. No answer is stored.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, LargeBinary, Text, UniqueConstraint
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
    state: str = "active"
    created_at: datetime = moment()


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
