"""What a subscription can tell, read from events.yml and held against the catalogue. Pure, once it is read.

A type or a warning that is not understood, or names a kind or an item that does not exist, is refused: what cannot be
told must not look as if it were.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exchange.errors import RulesRefused
from registry import catalogue
from registry.catalogue import Catalogue

NEW: Final = "record.new"
CORRECTED: Final = "record.corrected"
RECALLED: Final = "record.recalled"
RATING: Final = "rating.changed"
OPENED: Final = "dispute.opened"
CLOSED: Final = "dispute.closed"
CONSENT: Final = "consent.changed"
WARNING: Final = "warning"
TYPES: Final = (NEW, CORRECTED, RECALLED, RATING, OPENED, CLOSED, CONSENT, WARNING)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Type(_Declared):
    """A type of event, and what it means."""

    type: str
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Lowered(_Declared):
    """A value of this item is worse than the one before, by this order."""

    item: str
    best_first: list[str] = Field(min_length=2)


class Warning_(_Declared):  # noqa: N801  # a warning that is declared; the builtin is another thing
    """A warning: exactly one of what brings it about is said."""

    code: str = Field(pattern="^[a-z]+(-[a-z]+)*$")
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    new_of: str | None = None
    finding: bool = False
    lowered: Lowered | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.new_of is not None, self.finding, self.lowered is not None)) != 1:
            raise ValueError("a warning says one thing that brings it about")
        return self


class Declared(_Declared):
    """All that can be told."""

    types: list[Type]
    warnings: list[Warning_]

    @property
    def of_findings(self) -> Warning_ | None:
        """The warning of what consistency rules found, if there is one."""
        return next((one for one in self.warnings if one.finding), None)

    def of_new(self, kind: str) -> list[Warning_]:
        """The warnings that a new record of a kind brings about."""
        return [one for one in self.warnings if one.new_of == kind]

    def of_lower(self, kind: str) -> list[tuple[Warning_, Lowered]]:
        """The warnings that a lower value in a kind brings about."""
        return [
            (one, one.lowered)
            for one in self.warnings
            if one.lowered is not None and one.lowered.item.partition(".")[0] == kind
        ]


@cache
def current() -> Declared:
    """Give what this release can tell.

    Raises:
        RulesRefused: the file is not understood, or names what does not exist.
    """
    return read((resources.files("exchange.monitoring") / "events.yml").read_text("utf-8"), catalogue.current())


def read(text: str, known: Catalogue) -> Declared:
    """Read declarations and hold them against a catalogue.

    Raises:
        RulesRefused: wrong shape, other types than the code makes, a code twice, an unknown kind or item.
    """
    try:
        found = Declared.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise RulesRefused(f"events of subscriptions: {error}") from error
    if [one.type for one in found.types] != list(TYPES):
        raise RulesRefused("events of subscriptions: these are not the types that are made")
    codes = [one.code for one in found.warnings]
    if len(set(codes)) < len(codes):
        raise RulesRefused("events of subscriptions: a warning is declared twice")
    for one in found.warnings:
        if one.new_of is not None and one.new_of not in known.kinds:
            raise RulesRefused(f"the warning {one.code} names the kind {one.new_of}, which the catalogue does not have")
        if one.lowered is not None:
            kind, _, name = one.lowered.item.partition(".")
            if kind not in known.kinds or name not in known.kinds[kind].fields:
                raise RulesRefused(f"the warning {one.code} names an item that the catalogue does not have")
    return found


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """Give what each type and each warning means, in both languages, by type or code."""
    said = current()
    named = [(one.type, one) for one in said.types] + [(one.code, one) for one in said.warnings]
    return {name: {"zh": one.zh, "en": one.en} for name, one in named}
