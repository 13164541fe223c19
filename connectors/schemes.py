"""Rating schemes (评定办法): range, grades and cut-offs, per county and version. Configuration, never code.

A county's own scheme stands before the one for all (`*`); of several versions the one in force on the evaluation date
counts. Files: `connectors/schemes/*.yml`. After docs/requirements.md, fields: "grades, cut-offs and weights are
configuration per county, versioned".
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.errors import DeclarationInvalid

_FOR_ALL = "*"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grade(_Declared):
    """One grade: the least score that earns it, and how agencies spell it."""

    grade: str = Field(min_length=1)
    at_least: Decimal
    spelt: list[str] = []


class Scheme(_Declared):
    """One version of one scheme. `veto` is the grade that may stand at any score when a reason is stated."""

    scheme: str = Field(pattern=r"^[a-z0-9-]{2,32}$")
    version: str = Field(min_length=1)
    label: str
    counties: list[str] = Field(min_length=1)
    since: date = Field(alias="from")
    lowest: Decimal
    highest: Decimal
    grades: list[Grade] = Field(min_length=1)
    veto: str = ""

    @property
    def name(self) -> str:
        """Scheme and version, as a record states them."""
        return f"{self.scheme}/{self.version}"

    def spellings(self) -> dict[str, list[str]]:
        """Give the grades with their spellings."""
        return {grade.grade: grade.spelt for grade in self.grades}


@cache
def current() -> tuple[Scheme, ...]:
    """Give the schemes that this release carries; read once.

    Raises:
        DeclarationInvalid: one of them is not understood.
    """
    folder = resources.files("connectors") / "schemes"
    return read({path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")})


def read(texts: Mapping[str, str]) -> tuple[Scheme, ...]:
    """Read schemes from yml texts by file name.

    Raises:
        DeclarationInvalid: wrong shape, grades not from the best downwards, or a veto that is no grade.
    """
    schemes = []
    for name, text in sorted(texts.items()):
        try:
            scheme = Scheme.model_validate(yaml.safe_load(text))
        except (ValidationError, yaml.YAMLError) as error:
            raise DeclarationInvalid(f"{name}: {error}") from error
        limits = [grade.at_least for grade in scheme.grades]
        if limits != sorted(limits, reverse=True) or len(set(limits)) != len(limits):
            raise DeclarationInvalid(f"{name}: grades must stand from the best downwards, each with its own limit")
        if scheme.veto and scheme.veto not in {grade.grade for grade in scheme.grades}:
            raise DeclarationInvalid(f"{name}: the veto is no grade of the scheme")
        schemes.append(scheme)
    return tuple(schemes)


def in_force(schemes: Sequence[Scheme], county: str, at: date) -> Scheme | None:
    """Find the scheme of a county (six-digit code, "" when unknown) on a day; None when there is none."""
    for place in (county, _FOR_ALL):
        standing = [scheme for scheme in schemes if place in scheme.counties and scheme.since <= at]
        if standing:
            return max(standing, key=lambda scheme: (scheme.since, scheme.version))
    return None
