"""Tables of what agencies hand over by upload, and of what they sign.

upload         a file on its way in: how much of it is durable, what became of it; its bytes lie sealed beside it
agency_key     public keys by which an agency's manifests are signed, with their dates
manifest       a signed manifest as it came
manifest_file  one file of a manifest: hashes, size, declared rows and amount
agency_source  which sources an agency may deliver by upload
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from registry.columns import bytes_, moment


def _number(*, nullable: bool = False) -> int:
    number: int = Field(sa_column=Column(BigInteger, nullable=nullable), default=None if nullable else 0)
    return number


class Upload(SQLModel, table=True):
    """A file on its way in. `metadata_text` is what the sender said of it, as it was sent (tus: Upload-Metadata)."""

    __tablename__ = "upload"
    __table_args__ = (
        Index("upload_by_state", "state", "not_before"),
        Index("upload_by_agency", "agency", "created_at"),
    )

    upload_id: UUID = Field(primary_key=True)
    agency: str
    client_id: str
    label: str
    source: str = ""
    metadata_text: str = ""
    manifest: str = ""
    sha256: bytes | None = bytes_(nullable=True)
    size_bytes: int = _number()
    received_bytes: int = _number()
    state: str
    fault: str = ""
    created_at: datetime = moment()
    expires_at: datetime = moment()
    completed_at: datetime | None = moment(nullable=True)
    not_before: datetime | None = moment(nullable=True)
    ended_at: datetime | None = moment(nullable=True)
    attempts: int = 0
    stage: str = ""
    rows_read: int = _number()
    rows_checked: int = _number()
    rows_accepted: int = _number()
    raw_id: UUID | None = None


class AgencyKey(SQLModel, table=True):
    """A key that signs for an agency. It counts from `valid_from` until it was revoked or `valid_until` is over."""

    __tablename__ = "agency_key"

    key_id: str = Field(primary_key=True)
    agency: str = Field(index=True)
    algorithm: str
    public: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    valid_from: datetime = moment()
    valid_until: datetime | None = moment(nullable=True)
    revoked_at: datetime | None = moment(nullable=True)


class Manifest(SQLModel, table=True):
    """A manifest; `manifest_id` is the SHA-256 (hex) of `jws`, the compact signature with its payload inside."""

    __tablename__ = "manifest"

    manifest_id: str = Field(primary_key=True)
    agency: str = Field(index=True)
    key_id: str = Field(foreign_key="agency_key.key_id")
    jws: str
    made_at: datetime = moment()
    received_at: datetime = moment()


class ManifestFile(SQLModel, table=True):
    """One file that a manifest speaks of. `applied_at`: since when the file's rows are weighed under it."""

    __tablename__ = "manifest_file"
    __table_args__ = (Index("manifest_file_by_hash", "sha256"),)

    manifest_id: str = Field(primary_key=True, foreign_key="manifest.manifest_id")
    sha256: bytes = bytes_(primary_key=True)
    sm3: bytes = bytes_()
    size_bytes: int = _number()
    rows: int | None = _number(nullable=True)
    amount_fen: int | None = _number(nullable=True)
    applied_at: datetime | None = moment(nullable=True)


class AgencySource(SQLModel, table=True):
    """A source (code of a declaration) that an agency may deliver by upload, permitted by the operator."""

    __tablename__ = "agency_source"

    agency: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    since: datetime = moment()
