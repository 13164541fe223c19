"""Tables of lenders' subscriptions, of what they were told, and of where it is sent. Private to `exchange`.

monitor_subscription  what a lender hears of one person or organisation: resting on one consent, ended with it
monitor_event         that something happened, once; no value and no identifier. Kept for ninety days
webhook               where an organisation has its events sent, whether it has proved that it wants them there
webhook_delivery      one attempt to send something there, and what came of it

How far the log has been gone through for subscriptions is a line of `telling_progress` (`exchange.telling_tables`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class MonitorSubscription(SQLModel, table=True):
    """A subscription. Its id is that of the query which permitted it; `until` is the lender's own end, if it set one.

    `sequence` is the number of its latest event. `ended`: withdrawn, expired, superseded, until, deleted, suspended.
    """

    __tablename__ = "monitor_subscription"
    __table_args__ = (
        UniqueConstraint("subscription_id"),
        Index("monitor_subscription_by_organisation", "organisation", "position"),
        Index("monitor_subscription_of_subject", "subject_id", postgresql_where=text("ended_at IS NULL")),
        Index("monitor_subscription_of_consent", "consent_id", postgresql_where=text("ended_at IS NULL")),
    )

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    subscription_id: UUID
    organisation: str
    client_id: str
    subject_id: UUID
    about: str
    consent_id: str
    purpose: str
    business_no: str | None = None
    items: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    events: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    staff: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    made_at: datetime = moment()
    until: datetime | None = moment(nullable=True)
    sequence: int = 0
    ended_at: datetime | None = moment(nullable=True)
    ended: str | None = None


class MonitorEvent(SQLModel, table=True):
    """Something happened. `settled`: delivered, given-up, silenced; without a webhook an event stays unsettled."""

    __tablename__ = "monitor_event"
    __table_args__ = (
        UniqueConstraint("event_id"),
        UniqueConstraint("subscription_id", "sequence"),
        Index("monitor_event_by_organisation", "organisation", "position"),
        Index(
            "monitor_event_waiting",
            "organisation",
            "subject_id",
            "position",
            postgresql_where=text("settled_at IS NULL"),
        ),
        Index("monitor_event_by_time", "made_at"),
    )

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    event_id: UUID
    organisation: str
    subscription_id: UUID
    subject_id: UUID
    consent_id: str
    sequence: int
    type: str
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    at: datetime = moment()
    made_at: datetime = moment()
    attempts: int = 0
    next_at: datetime = moment()
    settled_at: datetime | None = moment(nullable=True)
    settled: str | None = None


class Webhook(SQLModel, table=True):
    """An organisation's address for events. Nothing but a challenge is sent there before `verified_at`.

    After too many failures in a row it is paused, and after a 410 over, until it has answered a challenge again.
    `asked_at`: a challenge is due from then on; None: none is.
    """

    __tablename__ = "webhook"

    organisation: str = Field(primary_key=True)
    webhook_id: UUID
    client_id: str
    url: str
    since: datetime = moment()
    verified_at: datetime | None = moment(nullable=True)
    asked_at: datetime | None = moment(nullable=True)
    challenges: int = 0
    failures: int = 0
    next_at: datetime = moment()
    paused_at: datetime | None = moment(nullable=True)
    paused: str | None = None


class WebhookDelivery(SQLModel, table=True):
    """One attempt. `event_id` is null of a challenge. `outcome`: accepted, status:…, or why nobody was reached."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("webhook_delivery_by_organisation", "organisation", "position"),
        Index("webhook_delivery_by_time", "at"),
    )

    position: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    organisation: str
    webhook_id: UUID
    event_id: UUID | None = None
    at: datetime = moment()
    attempt: int
    outcome: str
    milliseconds: int
