"""Tables of what is told about consents, to lenders, persons and regulators. Private to `exchange`.

telling_progress    how far the log, and requests that ended, have been gone through
lender_event        one line for each event that a lender is to hear of: its place in the log, whether it has arrived
event_push          where a lender wants its events sent, and how that fares
event_delivery      what was sent where and when, and what came of it
deletion_notice     what a lender is to delete: under which consent, until when, and what it says it did
reminder_sent       reminders that were left for persons, each once
consent_request_day how requests to phones and on pages ended, counted by day; the requests themselves are forgotten

What an event says is not kept here: it is read from the log's own entry each time (docs/adr/0026).
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from registry.columns import moment


class TellingProgress(SQLModel, table=True):
    """How far something was gone through: entries of the log, or requests, by the second (since 1970)."""

    __tablename__ = "telling_progress"

    name: str = Field(primary_key=True)
    reached: int = Field(sa_column=Column(BigInteger, nullable=False))


class LenderEvent(SQLModel, table=True):
    """An entry of the log that an organisation is told of. `position` is its place in the log."""

    __tablename__ = "lender_event"
    __table_args__ = (
        UniqueConstraint("entry_id"),
        Index("lender_event_waiting", "organisation", "position", postgresql_where=text("settled_at IS NULL")),
        Index("lender_event_settled", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    )

    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    organisation: str
    entry_id: UUID
    about: str
    settled_at: datetime | None = moment(nullable=True)
    settled: str | None = None
    errors: int = 0
    error: str | None = None


class EventPush(SQLModel, table=True):
    """An organisation's address for events. After too many failures it is paused until it is registered again."""

    __tablename__ = "event_push"

    organisation: str = Field(primary_key=True)
    client_id: str
    url: str
    since: datetime = moment()
    failures: int = 0
    next_at: datetime = moment()
    paused_at: datetime | None = moment(nullable=True)


class EventDelivery(SQLModel, table=True):
    """One attempt to deliver one event. `outcome`: accepted, refused:…, status:…, or why nobody was reached."""

    __tablename__ = "event_delivery"
    __table_args__ = (
        Index("event_delivery_by_time", "at"),
        Index("event_delivery_by_organisation", "organisation", "at"),
    )

    delivery_id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    organisation: str
    entry_id: UUID
    at: datetime = moment()
    outcome: str
    milliseconds: int


class DeletionNotice(SQLModel, table=True):
    """A lender is to delete what it was shown: the consent has ended, or the answers outlived what was agreed to."""

    __tablename__ = "deletion_notice"
    __table_args__ = (
        UniqueConstraint("notice_id"),
        Index("deletion_notice_by_consent", "consent_id"),
        Index(
            "deletion_notice_of_ended",
            "organisation",
            "consent_id",
            unique=True,
            postgresql_where=text("reason <> 'data-life'"),
        ),
        Index("deletion_notice_by_organisation", "organisation", "position"),
        Index("deletion_notice_open", "due_at", postgresql_where=text("acknowledged_at IS NULL")),
    )

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    notice_id: UUID
    organisation: str
    consent_id: str
    reason: str
    queries: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    ended_at: datetime = moment()
    due_at: datetime = moment()
    acknowledged_at: datetime | None = moment(nullable=True)
    acknowledged_by: str | None = None
    outcome: str | None = None
    legal_basis: str | None = None
    overdue_at: datetime | None = moment(nullable=True)


class ReminderSent(SQLModel, table=True):
    """A reminder was left: of which consent, which reminder, of which date."""

    __tablename__ = "reminder_sent"

    consent_id: str = Field(primary_key=True)
    what: str = Field(primary_key=True)
    due_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    sent_at: datetime = moment()


class ConsentRequestDay(SQLModel, table=True):
    """How many requests that were offered on a day in Beijing, on a phone or a page, ended in which way."""

    __tablename__ = "consent_request_day"

    day: date = Field(sa_column=Column(Date, primary_key=True))
    channel: str = Field(primary_key=True)
    stage: str = Field(primary_key=True)
    language: str = Field(primary_key=True)
    requests: int
