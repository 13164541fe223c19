"""Tables of the lives of lenders' systems: how they are let in, what they keep current, who uses them. Private.

officer          who may let a lender in: a person by a code, in one of two roles, with one key
matter           what two officers decide of: a registration asked for, a suspension's end, higher caps, an officer
matter_approval  an officer's signed yes to exactly one state of a matter
client_profile   what a registration says beside `client`: regions, caps, who answers for it, where its keys lie
client_key       since when a key stands, and when it leaves
client_note      what a lender is told of its own system
client_warning   which expiry was warned of, once each
staff_list       organisations that keep a list of their staff
lender_staff     that list with its history: codes and departments, no names
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from registry.columns import moment


class Officer(SQLModel, table=True):
    """A person by the code that the operator's staff list has. A key is one person's, once and for ever (R-65)."""

    __tablename__ = "officer"

    officer_id: str = Field(primary_key=True)
    role: str
    jwk: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    thumbprint: str = Field(unique=True)
    added_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)


class Matter(SQLModel, table=True):
    """What is decided of. `digest` is over `content` as it is now: an approval counts for the digest that it names."""

    __tablename__ = "matter"
    __table_args__ = (Index("matter_open", "opened_at", postgresql_where=text("settled_at IS NULL")),)

    matter_id: UUID = Field(primary_key=True)
    kind: str
    state: str
    organisation: str
    client_id: str | None = None
    content: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str | None = None
    opened_at: datetime = moment()
    fetched_at: datetime | None = moment(nullable=True)
    settled_at: datetime | None = moment(nullable=True)


class MatterApproval(SQLModel, table=True):
    """A signed yes. `digest` is what it was said to; after a change of the matter it says yes to nothing."""

    __tablename__ = "matter_approval"

    matter_id: UUID = Field(primary_key=True)
    officer_id: str = Field(primary_key=True)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    statement: str
    approved_at: datetime = moment()


class ClientProfile(SQLModel, table=True):
    """What a registration says beside `client`. Caps are questions of one day and of one month (Beijing)."""

    __tablename__ = "client_profile"

    client_id: str = Field(primary_key=True)
    client_name: str
    uscc: str
    contacts: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    technical: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    security: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    service_regions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    daily_cap: int
    monthly_cap: int
    jwks_uri: str | None = None
    fetched_at: datetime | None = moment(nullable=True)
    wanted_at: datetime | None = moment(nullable=True)
    fault: str | None = None


class ClientKey(SQLModel, table=True):
    """Since when a key of a client stands. `leaves_at`: it was replaced and is still taken until then."""

    __tablename__ = "client_key"
    __table_args__ = (Index("client_key_by_thumbprint", "thumbprint"),)

    client_id: str = Field(primary_key=True)
    thumbprint: str = Field(primary_key=True)
    added_at: datetime = moment()
    leaves_at: datetime | None = moment(nullable=True)


class ClientNote(SQLModel, table=True):
    """What happened to a lender's system, as it is told whoever answers for it."""

    __tablename__ = "client_note"
    __table_args__ = (Index("client_note_by_client", "client_id", "position"),)

    position: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    client_id: str
    code: str
    fields: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    noted_at: datetime = moment()


class ClientWarning(SQLModel, table=True):
    """That an expiry was warned of so many days before."""

    __tablename__ = "client_warning"

    client_id: str = Field(primary_key=True)
    thumbprint: str = Field(primary_key=True)
    days: int = Field(primary_key=True)
    warned_at: datetime = moment()


class StaffList(SQLModel, table=True):
    """An organisation that keeps a list: whoever is not on it asks nothing."""

    __tablename__ = "staff_list"

    organisation: str = Field(primary_key=True)
    since: datetime = moment()


class LenderStaff(SQLModel, table=True):
    """One statement about a person of a lender's staff. A later one closes it (`ended_at`); none is changed."""

    __tablename__ = "lender_staff"
    __table_args__ = (
        Index(
            "lender_staff_standing",
            "organisation",
            "user_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("lender_staff_history", "organisation", "position"),
    )

    position: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    organisation: str
    user_id: str
    department: str
    valid_from: datetime = moment()
    valid_until: datetime = moment()
    stated_at: datetime = moment()
    stated_by: str
    ended_at: datetime | None = moment(nullable=True)
