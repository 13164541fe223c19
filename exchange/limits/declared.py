"""Limits as they are declared, read strictly: a misspelt limit must not become no limit."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exchange.errors import RulesRefused

_MOST: Final = 1_000_000_000  # what a column of counts can hold
Number = Annotated[int, Field(ge=1, le=_MOST)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class OfClient(_Declared):
    """What one system may ask."""

    per_second: Number
    burst: Number
    daily: Number
    monthly: Number


class OfUser(_Declared):
    """What one person at a lender may ask."""

    per_minute: Number
    burst: Number
    daily: Number


class OfSubject(_Declared):
    """How often one identifier may be asked about."""

    daily: Number
    thirty_days: Number
    all_lenders_thirty_days: Number


class OfDoors(_Declared):
    """How fast one system may call at doors that are not about questions."""

    per_minute: Number
    burst: Number


class Trying(_Declared):
    """When refusals for want of a consent are too many, and how long nothing is answered then."""

    within_seconds: Annotated[int, Field(ge=1, le=86_400)]
    user: Number
    adjacent: Number
    client: Number
    user_daily: Number
    client_daily: Number
    lines_daily: Number
    held_seconds: Annotated[int, Field(ge=1, le=604_800)]


class OfConnections(_Declared):
    """How slow a connection may be, and how many there may be, in one process."""

    at_most: Number
    of_one_peer: Number
    header_bytes: Annotated[int, Field(ge=8_192, le=1_048_576)]
    header_seconds: Annotated[int, Field(ge=1, le=600)]
    body_seconds: Annotated[int, Field(ge=1, le=600)]
    write_seconds: Annotated[int, Field(ge=1, le=600)]
    idle_seconds: Annotated[int, Field(ge=1, le=600)]


class Limits(_Declared):
    """All of limits.yml."""

    client: OfClient
    user: OfUser
    subject: OfSubject
    doors: OfDoors
    tokens: OfDoors
    trying: Trying
    connections: OfConnections


@cache
def of(path: Path | None) -> Limits:
    """Give the limits of an installation: those of a file, or the product's own. Read once.

    Raises:
        RulesRefused: the file cannot be read, or is not understood; whoever wrote it must correct it.
    """
    try:
        text = (resources.files("exchange.limits") / "limits.yml" if path is None else path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesRefused("limits: the file cannot be read; see QINGQIAO_LIMITS") from error
    return read(text)


def read(text: str) -> Limits:
    """Read limits.

    Raises:
        RulesRefused: something is missing, unknown, or no whole number of at least one.
    """
    try:
        return Limits.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise RulesRefused("limits: not yml") from error
    except ValidationError as error:
        where = sorted(".".join(str(step) for step in one["loc"]) for one in error.errors(include_input=False))
        raise RulesRefused(f"limits: missing, unknown or no number that may be: {', '.join(where)}") from error
