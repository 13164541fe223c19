"""Tables of the schedule.

feed_state   one feed as this installation last saw it, and how it fares
feed_run     one run of a feed; a feed is never run twice for one time, nor twice at once
feed_health  how each feed fared from when on; rows are added, never changed, so that any moment can be told again
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from registry.columns import moment


class FeedState(SQLModel, table=True):
    """One feed. `number` is what its advisory lock is taken on; `timetable` is what its times were reckoned from.

    `error` is why the last run did not succeed; if `needs_somebody` is set, trying again does not help by itself.
    `retry_at` is when it is tried again before its next time; `failures` in a row and `not_before` are its breaker
    (`connectors.breaker`): nothing is asked of the source before, except by hand.
    `late_from` is when it is late unless a run succeeds first. `retired_at`: its file is gone.
    """

    __tablename__ = "feed_state"
    __table_args__ = (UniqueConstraint("number"),)

    feed: str = Field(primary_key=True)
    number: int | None = Field(default=None, sa_column=Column(Integer, Identity(always=True), nullable=False))
    source: str
    agency: str
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    timetable: str
    known_since: datetime = moment()
    retired_at: datetime | None = moment(nullable=True)
    paused_at: datetime | None = moment(nullable=True)
    paused_by: str | None = None
    failures: int = 0
    error: str | None = None
    needs_somebody: bool = False
    retry_at: datetime | None = moment(nullable=True)
    not_before: datetime | None = moment(nullable=True)
    last_good: datetime | None = moment(nullable=True)
    late_from: datetime | None = moment(nullable=True)


class FeedRun(SQLModel, table=True):
    """One run. The row is durable before the run begins: whoever inserts it runs, nobody else does."""

    __tablename__ = "feed_run"
    __table_args__ = (
        UniqueConstraint("feed", "scheduled_for"),
        Index("feed_run_one_at_once", "feed", unique=True, postgresql_where=text("state = 'running'")),
    )

    run_id: UUID = Field(primary_key=True)
    feed: str = Field(foreign_key="feed_state.feed")
    scheduled_for: datetime = moment()
    occasion: str
    state: str
    started_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    error: str | None = None
    rows: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    files: int = 0


class FeedHealth(SQLModel, table=True):
    """From `at` on this is how the feed fares, and from `late_from` on it is late besides; the newest row counts."""

    __tablename__ = "feed_health"

    feed: str = Field(primary_key=True, foreign_key="feed_state.feed")
    change_no: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = moment()
    state: str
    error: str | None = None
    late_from: datetime | None = moment(nullable=True)
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
