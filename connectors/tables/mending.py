"""Tables of mending.

mending         what people proposed and decided of rows of a batch, or of the whole; what they wrote lies sealed
agency_setting  how an organisation wants its decisions made
column_mapping  what an organisation has said of its own headings
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class Mending(SQLModel, table=True):
    """One proposal. `places` are [sheet, row] pairs, none of a whole batch; `sealed` holds reason and cells.

    `owner_id` names the data key of `sealed`: the raw file's, so that it goes with the bytes, or the batch's own once
    these are gone. `weighed_at` empty: decided, and the file has not been weighed since.
    """

    __tablename__ = "mending"
    __table_args__ = (Index("mending_by_batch", "batch_id", "state"), Index("mending_by_file", "raw_id", "state"))

    mending_id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="batch.batch_id")
    raw_id: UUID = Field(foreign_key="raw_file.raw_id")
    organisation: str = Field(index=True)
    act: str
    places: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    successor: UUID | None = None
    state: str
    owner_id: UUID
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    proposer: str
    proposed_at: datetime = moment()
    approver: str | None = None
    decided_at: datetime | None = moment(nullable=True)
    weighed_at: datetime | None = moment(nullable=True)


class AgencySetting(SQLModel, table=True):
    """How an organisation wants its decisions made. `four_eyes`: each by two persons."""

    __tablename__ = "agency_setting"

    organisation: str = Field(primary_key=True)
    four_eyes: bool = False
    changed_by: str
    changed_at: datetime = moment()


class ColumnMapping(SQLModel, table=True):
    """One heading of an organisation's tables of one kind, and the column it is; said of which batch, if of one.

    `in_force` is the column that counts: that of the last decision, while another one may be proposed in `column`.
    """

    __tablename__ = "column_mapping"
    __table_args__ = (UniqueConstraint("organisation", "kind", "heading"),)

    mapping_id: UUID = Field(primary_key=True)
    organisation: str
    kind: str
    heading: str
    column: str
    in_force: str | None = None
    batch_id: UUID | None = None
    state: str
    proposer: str
    proposed_at: datetime = moment()
    approver: str | None = None
    decided_at: datetime | None = moment(nullable=True)
