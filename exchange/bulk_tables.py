"""Tables of lenders' batches of questions. Private to `exchange`.

bulk_key    the public key that a system's results are sealed to
bulk_batch  one file of questions: whose, how far it has come, until when its results can be had
bulk_name   under which Idempotency-Keys a batch was handed in
bulk_block  questions that wait, some lines together, sealed under the batch's data key; gone once they are answered
bulk_line   what became of a line: the query it became, or why not. No identifier, no answer
bulk_part   what was handed out: digests of sealed parts of the result

Batches of agencies' deliveries are another matter (`connectors.tables`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class BulkKey(SQLModel, table=True):
    """A system's public key for encryption: curve, the key as HPKE writes it, and its thumbprint (RFC 7638)."""

    __tablename__ = "bulk_key"

    client_id: str = Field(primary_key=True)
    curve: str
    public: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    thumbprint: str
    registered_at: datetime = moment()


class BulkBatch(SQLModel, table=True):
    """A file of questions. Its digest is kept keyed and salted only: a short file could be guessed from a plain one.

    `destroyed_at`: its questions are gone; `cleared_at`: what became of its lines is gone too, but for `counts`.
    """

    __tablename__ = "bulk_batch"
    __table_args__ = (
        Index("bulk_batch_by_client", "client_id", "created_at", "batch_id"),
        Index("bulk_batch_kept", "state", "worked_at", postgresql_where=text("cleared_at IS NULL")),
    )

    batch_id: UUID = Field(primary_key=True)
    client_id: str
    organisation: str
    file_mac: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    file_salted: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    size_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    received_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str
    fault: str
    lines: int
    counts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"), default_factory=dict)
    created_at: datetime = moment()
    worked_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    until: datetime = moment()
    destroyed_at: datetime | None = moment(nullable=True)
    cleared_at: datetime | None = moment(nullable=True)


class BulkName(SQLModel, table=True):
    """An Idempotency-Key (its digest) under which a batch was handed in; one batch may have come under several."""

    __tablename__ = "bulk_name"

    client_id: str = Field(primary_key=True)
    key_digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    batch_id: UUID


class BulkBlock(SQLModel, table=True):
    """Some lines that wait, in one sealed piece, bound to batch and place."""

    __tablename__ = "bulk_block"

    batch_id: UUID = Field(primary_key=True)
    first_line: int = Field(primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class BulkLine(SQLModel, table=True):
    """What became of a line. `code` None: permitted, as `query_id`; `detail` is a fixed sentence."""

    __tablename__ = "bulk_line"

    batch_id: UUID = Field(primary_key=True)
    line: int = Field(primary_key=True)
    query_id: UUID | None = None
    code: str | None = None
    detail: str | None = None


class BulkPart(SQLModel, table=True):
    """A part as it was handed out once; opened anew each time, it has another digest each time."""

    __tablename__ = "bulk_part"

    batch_id: UUID = Field(primary_key=True)
    part: int = Field(primary_key=True)
    sha256: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    lines: int
    permitted: int
    handed_at: datetime = moment()
