"""Tables of limits: how much was asked, who is held, and what was found of it. Private to `exchange`.

limit_count   how often a system, a user or a lender about one subject asked on a day, and how fast
limit_denied  the latest refusals for want of a consent, by system and by user: moments, no subject
limit_hold    who is not answered for a while
once          what was made under an Idempotency-Key, by system and door (`exchange.once`)
alert         what was found: rule, whose system and user, how often; no subject

A subject stands here as a keyed hash, under a key that the database does not have, and the same whether it is known or
not. Counts are kept for as many days as the longest limit looks back.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Double, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from registry.columns import bytes_, moment


class LimitCount(SQLModel, table=True):
    """Questions of one day (Beijing). `paced_until` is a moment in seconds since 1970: the later, the faster it was."""

    __tablename__ = "limit_count"
    __table_args__ = (Index("limit_count_by_day", "day"),)

    key: str = Field(primary_key=True)
    part: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    n: int
    paced_until: float = Field(sa_column=Column(Double, nullable=False))


class LimitDenied(SQLModel, table=True):
    """Moments at which somebody was denied, each with a keyed hash of the neighbourhood asked about, and how often."""

    __tablename__ = "limit_denied"

    key: str = Field(primary_key=True)
    part: str = Field(primary_key=True)
    recent: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    denied_at: datetime = moment()


class LimitHold(SQLModel, table=True):
    """A system or a user that is not answered until then."""

    __tablename__ = "limit_hold"

    key: str = Field(primary_key=True)
    part: str = Field(primary_key=True)
    until: datetime = moment()


class OnceMade(SQLModel, table=True):
    """A key that came, as its SHA-256, and a keyed hash of the request that it came with."""

    __tablename__ = "once"
    __table_args__ = (Index("once_by_age", "made_at"),)

    client_id: str = Field(primary_key=True)
    door: str = Field(primary_key=True)
    key: bytes = bytes_(primary_key=True)
    request: bytes = bytes_()
    made: str | None = None
    made_at: datetime = moment()


class Alert(SQLModel, table=True):
    """One rule, one system or user of it, one day. `counted` is what raised it, `refused` what was refused since.

    `user_code` is empty where no user was named. `position` is the order in which alerts were raised.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index("alert_of_a_day", "rule", "code", "client_id", "user_code", "day", unique=True),
        Index("alert_by_position", "position", unique=True),
        Index("alert_by_client", "client_id", "position"),
    )

    alert_id: UUID = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    rule: str
    code: str
    client_id: str
    organisation: str
    user_code: str
    day: date
    window_seconds: int
    counted: int
    refused: int
    raised_at: datetime = moment()
    last_at: datetime = moment()
    held_until: datetime | None = moment(nullable=True)
