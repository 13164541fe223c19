"""Tables of the registry. Private to it: other packages use `store`, `log`, `datakeys`, `disclosure`.

Sealed bytes, keyed hashes and random ids only: no column here can tell who somebody is without
the keyring and the key store. Columns that the query path reads are plain; what a record says is
in `sealed`.

  subject, subject_lookup   who is known, found by a keyed hash of an identifier
  subject_identifier        the identifiers of people who have consented, each sealed under its subject's data key
  publication               one publishing of one batch; its records are visible once it is published
  record                    append-only versions, hash-partitioned by subject (architecture.md, section 6)
  record_chunk              one leaf of the log for many records
  log_*                     the transparency log
  data_key, data_key_event  in the key store, a database of its own (docs/adr/0007)
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel import Field, SQLModel

from registry.columns import bytes_, moment


class Subject(SQLModel, table=True):
    """A person or an organisation, under a random id. `deceased_at` is when it became known that a person has died."""

    __tablename__ = "subject"

    subject_id: UUID = Field(primary_key=True)
    kind: str
    created_at: datetime = moment()
    deceased_at: datetime | None = moment(nullable=True)


class SubjectLookup(SQLModel, table=True):
    """HMAC of an identifier under a dated key → subject. Keys rotate without touching records."""

    __tablename__ = "subject_lookup"

    token: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    token_key: str = Field(primary_key=True)
    subject_id: UUID = Field(foreign_key="subject.subject_id", index=True)
    since: datetime = moment()


class SubjectIdentifier(SQLModel, table=True):
    """The identifier of a subject who has consented, sealed under the subject's data key; erased with that key."""

    __tablename__ = "subject_identifier"

    subject_id: UUID = Field(primary_key=True, foreign_key="subject.subject_id")
    sealed: bytes = bytes_()
    since: datetime = moment()


class Publication(SQLModel, table=True):
    """One publishing of one batch. `published_at` empty: staged, seen by nobody.

    `sender` is the organisation that delivered it, "" for the operator.
    """

    __tablename__ = "publication"

    publication_id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(index=True)
    source: str
    publisher: str
    class_code: str
    catalogue_version: str
    raw_sha256: bytes = bytes_()
    raw_sm3: bytes = bytes_()
    as_of: date
    sender: str = ""
    started_at: datetime = moment()
    published_at: datetime | None = moment(nullable=True)


class Record(SQLModel, table=True):
    """One version of one record, sealed under its subject's data key."""

    __tablename__ = "record"
    __table_args__ = (
        UniqueConstraint("subject_id", "identity_mac", "version"),
        Index("record_by_publication", "publication_id"),
        Index("record_recalled", "recalled_at", postgresql_where=text("recalled_at IS NOT NULL")),
        {"postgresql_partition_by": "HASH (subject_id)"},
    )

    subject_id: UUID = Field(primary_key=True)
    record_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    kind: str
    identity_mac: bytes = bytes_()
    payload_mac: bytes = bytes_()
    sealed: bytes | None = bytes_(nullable=True)
    commitment: bytes = bytes_()
    publication_id: UUID
    chunk_id: UUID
    chunk_position: int
    sheet: str = ""
    row_no: int
    period: str
    valid_from: date | None = Field(sa_column=Column(Date, nullable=True), default=None)
    valid_to: date | None = Field(sa_column=Column(Date, nullable=True), default=None)
    basis: str
    quality: str
    remark: str | None = None
    frozen_at: datetime | None = moment(nullable=True)
    recalled_at: datetime | None = moment(nullable=True)


class RecordChunk(SQLModel, table=True):
    """The records that share one leaf of the log, in order; the tree over them is RFC 6962's."""

    __tablename__ = "record_chunk"
    __table_args__ = (Index("record_chunk_by_entry", "entry_id"),)

    chunk_id: UUID = Field(primary_key=True)
    publication_id: UUID = Field(index=True)
    entry_id: UUID | None = Field(default=None)
    root: bytes = bytes_()
    size: int
    commitments: bytes = bytes_()


class LogEntry(SQLModel, table=True):
    """What happened, in clear (ids only), with the seed of the salts under which the log committed to it."""

    __tablename__ = "log_entry"
    __table_args__ = (
        Index("log_entry_by_time", "at", "entry_id"),
        Index("log_entry_by_event", "event", "at", "entry_id"),
        Index("log_entry_by_subject", "subject_id", "at"),
        Index("log_entry_by_query", "query_id"),
        Index("log_entry_by_consent", "consent_id"),
    )

    entry_id: UUID = Field(primary_key=True)
    event: str
    at: datetime = moment()
    actor: str
    subject_id: UUID | None = None
    consent_id: str | None = None
    query_id: UUID | None = None
    fields: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    seed: bytes = bytes_()


class LogQueue(SQLModel, table=True):
    """Entries that are durable and wait for a number, at most about a second."""

    __tablename__ = "log_queue"

    queued: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    entry_id: UUID
    leaf: bytes = bytes_()


class LogPosition(SQLModel, table=True):
    """Where an entry stands in the log."""

    __tablename__ = "log_position"

    entry_id: UUID = Field(primary_key=True)
    leaf_index: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))


class LogTile(SQLModel, table=True):
    """A tile of C2SP tlog-tiles; level -1 holds entry bundles. A partial tile is replaced as it grows."""

    __tablename__ = "log_tile"

    level: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    tile_index: int = Field(sa_column=Column(BigInteger, primary_key=True))
    width: int = Field(sa_column=Column(SmallInteger, nullable=False))
    data: bytes = bytes_()


class LogCheckpoint(SQLModel, table=True):
    """Every checkpoint that was signed, as the bytes that were published."""

    __tablename__ = "log_checkpoint"

    tree_size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    root: bytes = bytes_()
    note: str = Field(sa_column=Column(Text, nullable=False))
    signed_at: datetime = moment()


class KeyStoreBase(DeclarativeBase):
    """Tables of the key store: another database, another backup, another migration history."""


class DataKey(KeyStoreBase):
    """The data key of one owner (a subject, or a raw file), wrapped. Erased: the row stays, the key is gone."""

    __tablename__ = "data_key"

    owner_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    erased_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class DataKeyEvent(KeyStoreBase):
    """The key store's own log: what was made, rewrapped and erased, and when."""

    __tablename__ = "data_key_event"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    owner_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    action: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
