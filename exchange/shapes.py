"""What answers look like whose bytes are written by hand, for the interfaces' description. Nothing is built of it.

Not here: answers to questions (`exchange.reports.schemas`), which are signed and have schemas of their own.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field


class LogEntryShape(BaseModel):
    """An entry of the log: its leaf, what is opened of it, and the proof that the checkpoint covers it."""

    leaf: str
    opened: dict[str, Any]
    proof: str = Field(description="C2SP tlog-proof")


class EvidenceShape(BaseModel):
    """One file that proves an answer, checked offline by `qingqiao verify`; docs/trust.md."""

    format: str
    form: Literal["full", "redacted"]
    access: LogEntryShape
    consent: LogEntryShape
    chunks: list[LogEntryShape]
    checkpoint: str
    records: list[dict[str, Any]]
    answer: dict[str, Any] | None = Field(default=None, description="in the full form")
    signature: str | None = Field(default=None, description="in the full form")
    receipt: dict[str, Any] | None = Field(default=None, description="in the full form")


class PendingShape(BaseModel):
    """The log does not cover it yet; come again after `Retry-After`."""

    status: Literal["pending"]
    query_id: UUID


class ClassShape(BaseModel):
    """A class of data."""

    class_: str = Field(alias="class")
    since: str
    title: dict[str, str]
    provider: str
    update_frequency: str
    quality: str
    sharing: str
    platform_id: str | None
    exemption: str | None
    charge: str | None


class ItemShape(BaseModel):
    """An item that may be asked for."""

    item: str
    type: str
    unit: str | None
    zh: str
    en: str
    w: bool = Field(description="needs the separate acknowledgement of adverse consequences")
    values: list[Any] | None = Field(default=None, description="of a code: those there are")


class KindShape(BaseModel):
    """A kind of records of a class, and its items."""

    kind: str
    class_: str = Field(alias="class")
    title: dict[str, str]
    subject: list[str]
    sensitivity: str
    basis: str
    legal_basis: str
    consent_required: bool
    purposes: list[str]
    retention: Any
    freshness_days: int | None
    items: list[ItemShape]


class CatalogueShape(BaseModel):
    """Every item a lender may ask for, and the terms of its kind and class."""

    version: str
    versions: list[str]
    classes: list[ClassShape]
    kinds: list[KindShape]


class PartShape(BaseModel):
    """A part of a batch's result, sealed to the system's key (RFC 9180)."""

    format: Literal["qingqiao-batch-part/v1"]
    batch_id: UUID
    part: int
    first_line: int
    last_line: int
    lines: int
    key: str = Field(description="RFC 7638 thumbprint of your key")
    suite: str
    sealed: str = Field(description="base64url of enc ‖ ciphertext")


class ManifestShape(BaseModel):
    """What was handed out of a batch, signed: a detached JWS over the RFC 8785 bytes of `manifest`."""

    manifest: dict[str, Any]
    signature: str


class KeySetShape(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[dict[str, Any]]
