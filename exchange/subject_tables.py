"""Tables of the subjects' door. Private to `exchange`.

subject_phone      a phone that was bound in person: which client speaks for which subject, from when; its sealed secret
binding_code       one-time codes handed out at a counter: handle, and a keyed hash, never the secret
presence_wrong     wrong codes on pages, for one phone and one organisation whose pages they were
binding_miss       how often handles that do not exist came from a network address, by its keyed hash
subject_message    what a subject is told (accesses are not copied here: they are read from the log's own entries)
subject_choice     what a subject has chosen of messages
subject_statement  本人声明, sealed under the subject's data key
dispute            异议 of one item of one record version, its clock and its mark
complaint          投诉, sealed, with its number and its clock

No column says who somebody is: subjects are random ids, what they wrote is sealed.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from registry.columns import bytes_, moment


class SubjectPhone(SQLModel, table=True):
    """One key of one person. `thumbprint` is that key's: no second person can bind it (R-65)."""

    __tablename__ = "subject_phone"
    __table_args__ = (
        UniqueConstraint("thumbprint"),
        Index("subject_phone_by_subject", "subject_id", "state"),
        Index("subject_phone_waiting", "active_from", postgresql_where=text("state = 'waiting'")),
    )

    client_id: str = Field(primary_key=True)
    subject_id: UUID
    thumbprint: str
    state: str
    bound_by: str
    organisation: str
    collector: str
    bound_at: datetime = moment()
    active_from: datetime = moment()
    trial_until: datetime | None = moment(nullable=True)
    ended_at: datetime | None = moment(nullable=True)
    page_secret: bytes | None = bytes_(nullable=True)
    page_step: int = Field(sa_column=Column(BigInteger, nullable=False), default=0)


class PresenceWrong(SQLModel, table=True):
    """Wrong codes on pages of one organisation, or of all (an empty name), still counted since a moment; last told."""

    __tablename__ = "presence_wrong"

    client_id: str = Field(primary_key=True)
    organisation: str = Field(primary_key=True)
    wrong: int
    since: datetime = moment()
    told_at: datetime | None = moment(nullable=True)


class BindingCode(SQLModel, table=True):
    """A one-time code: the handle that finds it, keyed hash of its secret, until when, how often it was tried."""

    __tablename__ = "binding_code"
    __table_args__ = (UniqueConstraint("handle"), Index("binding_code_by_subject", "subject_id", "issued_at"))

    code_id: UUID = Field(primary_key=True)
    subject_id: UUID
    handle: str
    code_mac: bytes = bytes_()
    issued_by: str
    organisation: str
    collector: str
    issued_at: datetime = moment()
    expires_at: datetime = moment()
    tries: int = 0
    used_at: datetime | None = moment(nullable=True)
    exhausted_at: datetime | None = moment(nullable=True)


class BindingMiss(SQLModel, table=True):
    """Handles that do not exist, from one network address since a moment."""

    __tablename__ = "binding_miss"

    source: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    since: datetime = moment()
    misses: int


class SubjectMessage(SQLModel, table=True):
    """One message. `facts` hold codes, ids and organisations' names, nothing of a person."""

    __tablename__ = "subject_message"
    __table_args__ = (Index("subject_message_by_subject", "subject_id", "at", "message_id"),)

    message_id: UUID = Field(primary_key=True)
    subject_id: UUID
    kind: str
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    at: datetime = moment()


class SubjectChoice(SQLModel, table=True):
    """From when on a subject wants to be told of accesses; None: not at all."""

    __tablename__ = "subject_choice"

    subject_id: UUID = Field(primary_key=True)
    access_messages_from: datetime | None = moment(nullable=True)
    chosen_at: datetime = moment()


class SubjectStatement(SQLModel, table=True):
    """A subject's own words, shown with answers while `ended_at` is empty. At most one stands."""

    __tablename__ = "subject_statement"
    __table_args__ = (
        Index("subject_statement_standing", "subject_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )

    statement_id: UUID = Field(primary_key=True)
    subject_id: UUID = Field(index=True)
    sealed: bytes = bytes_()
    made_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)


class Dispute(SQLModel, table=True):
    """One dispute. While `marked`, versions from `version` up to `until_version` (None: all later) carry the mark."""

    __tablename__ = "dispute"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("dispute_marked", "subject_id", postgresql_where=text("marked")),
        Index("dispute_by_subject", "subject_id", "filed_at"),
        Index("dispute_by_agency", "agency", "state", "due_at"),
        Index(
            "dispute_open_item",
            "subject_id",
            "record_id",
            "item",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
    )

    dispute_id: UUID = Field(primary_key=True)
    number: str
    subject_id: UUID
    record_id: UUID
    version: int
    until_version: int | None = None
    item: str
    batch_id: UUID
    agency: str
    reason: str
    words: bytes | None = bytes_(nullable=True)
    evidence_sha256: bytes = bytes_()
    filed_by: str
    filed_at: datetime = moment()
    warn_at: datetime = moment()
    due_at: datetime = moment()
    warned_at: datetime | None = moment(nullable=True)
    escalated_at: datetime | None = moment(nullable=True)
    state: str = "open"
    marked: bool = True
    outcome: str | None = None
    answered_at: datetime | None = moment(nullable=True)
    answered_by: str | None = None
    reply: bytes | None = bytes_(nullable=True)


class Complaint(SQLModel, table=True):
    """One complaint. `organisation`, `words` and `reply` are sealed under the subject's data key."""

    __tablename__ = "complaint"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("complaint_by_subject", "subject_id", "filed_at"),
        Index("complaint_open", "due_at", postgresql_where=text("state = 'open'")),
    )

    complaint_id: UUID = Field(primary_key=True)
    number: str
    subject_id: UUID
    about: str
    organisation: bytes | None = bytes_(nullable=True)
    words: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    filed_by: str
    filed_at: datetime = moment()
    due_at: datetime = moment()
    escalated_at: datetime | None = moment(nullable=True)
    state: str = "open"
    answered_at: datetime | None = moment(nullable=True)
    answered_by: str | None = None
    reply: bytes | None = bytes_(nullable=True)
