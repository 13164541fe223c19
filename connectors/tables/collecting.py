"""Tables of what is fetched from agencies.

feed_position    how far a feed has been read, and when it was begun from the beginning
feed_file        files that were taken from a feed, by a keyed mark: names stay with the raw file
feed_asked       whom a filtered feed has been asked about, by keyed marks, so that new people are asked about in full
feed_credential  the sealed credential of a feed
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from registry.columns import bytes_, json_, moment


class FeedPosition(SQLModel, table=True):
    """How far a feed has been read: what its transport needs to go on. Moved only after what was read is published."""

    __tablename__ = "feed_position"

    feed: str = Field(primary_key=True)
    position: dict[str, Any] = json_()
    begun_at: datetime = moment()
    moved_at: datetime = moment()


class FeedFile(SQLModel, table=True):
    """A file of a feed that was settled. `mark` is a keyed hash of its name, size and time; `fault` why it was not."""

    __tablename__ = "feed_file"

    feed: str = Field(primary_key=True)
    mark: bytes = bytes_(primary_key=True)
    sha256: bytes = bytes_()
    fault: str = ""
    settled_at: datetime = moment()


class FeedAsked(SQLModel, table=True):
    """One of those whom a feed has been asked about from the beginning, as a keyed hash."""

    __tablename__ = "feed_asked"

    feed: str = Field(primary_key=True)
    mark: bytes = bytes_(primary_key=True)
    asked_at: datetime = moment()


class FeedCredential(SQLModel, table=True):
    """A credential, sealed under the data key of `owner_id`, which is a new one each time it is set."""

    __tablename__ = "feed_credential"

    feed: str = Field(primary_key=True)
    owner_id: UUID
    sealed: bytes = bytes_()
    set_at: datetime = moment()
