"""Columns that every package's tables share: bytes, and moments with their zone."""

from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def bytes_(*, nullable: bool = False, primary_key: bool = False) -> Any:  # noqa: ANN401  # SQLModel wants a Column as the default of a typed field
    """Give a column of bytes."""
    return Field(sa_column=Column(LargeBinary, nullable=nullable, primary_key=primary_key))


def moment(*, nullable: bool = False) -> Any:  # noqa: ANN401  # as above
    """Give a column of moments with their zone (timestamptz)."""
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable), default=None)


def json_() -> Any:  # noqa: ANN401  # as above
    """Give a column that holds a JSON object (jsonb), empty if nothing is said."""
    return Field(sa_column=Column(JSONB, nullable=False), default_factory=dict)
