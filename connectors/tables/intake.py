"""Tables of intake.

raw_file      a file as it came: hashes for ever, its bytes sealed beside the database while it is open
batch         one table of a raw file, and what became of its rows
quarantine_row a row that a person must decide, sealed
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from registry.columns import json_, moment


class RawFile(SQLModel, table=True):
    """A file as it came. `destroyed_at` set: its bytes are gone, its hashes stay.

    The last five columns are its delivery (`connectors/delivery.py`).
    """

    __tablename__ = "raw_file"
    __table_args__ = (UniqueConstraint("agency", "sm3"),)

    raw_id: UUID = Field(primary_key=True)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sm3: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    label: str
    size_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    received_at: datetime = moment()
    open_until: datetime = moment()
    destroyed_at: datetime | None = moment(nullable=True)
    channel: str = "command"
    agency: str = ""
    source: str = ""
    manifest: str = ""
    mapping: dict[str, Any] = json_()


class Batch(SQLModel, table=True):
    """One table of a raw file. Counts are those of its last evaluation."""

    __tablename__ = "batch"
    __table_args__ = (UniqueConstraint("raw_id", "label"), Index("batch_by_state", "state", "class_code"))

    batch_id: UUID = Field(primary_key=True)
    raw_id: UUID = Field(foreign_key="raw_file.raw_id")
    label: str
    source: str | None = None
    class_code: str | None = None
    kind: str | None = None
    project: str | None = None
    state: str
    blocked_code: str | None = None
    as_of: date = Field(sa_column=Column(Date, nullable=False))
    rows: int = 0
    accepted: int = 0
    warned: int = 0
    quarantined: int = 0
    rejected: int = 0
    codes: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False), default_factory=dict)
    amount_fen: int | None = Field(sa_column=Column(BigInteger, nullable=True), default=None)
    totals: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False), default_factory=dict)
    evaluations: int = 0
    evaluated_at: datetime | None = moment(nullable=True)
    published_at: datetime | None = moment(nullable=True)


class QuarantineRow(SQLModel, table=True):
    """A row that a person must decide, sealed under the data key of `owner_id` (its subject, or the raw file)."""

    __tablename__ = "quarantine_row"
    __table_args__ = (UniqueConstraint("batch_id", "sheet", "row_no"),)

    quarantine_id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="batch.batch_id")
    sheet: str = ""
    row_no: int
    code: str
    owner_id: UUID
    basis: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = moment()
