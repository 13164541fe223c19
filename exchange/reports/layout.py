"""The sections of a report, read from sections.yml and held against the catalogue. Pure.

Every item that a lender may see stands in exactly one section of each form whose subject its kind can be about: what is
permitted cannot get lost, and nothing is told twice. A section may also hold a part of its own (tags, queries …), and
says what it lacks because no class holds it.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from exchange.consistency.declared import Said
from exchange.consistency.selecting import Declared
from exchange.errors import RulesRefused
from registry import catalogue
from registry.catalogue import Catalogue
from registry.identifiers import SubjectKind

Part = Literal["overview", "warnings", "tags", "voice", "queries", "notes"]
HOUSEHOLD: Final = "household"
VILLAGE: Final = "village"


class Section(Declared):
    """One section: its number and names, the items that stand in it, a part of its own, and what it lacks."""

    number: int = Field(ge=0, le=14)
    code: str = Field(pattern=r"^[a-z]+$")
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    items: list[str] = Field(default=[])
    part: Part | None = None
    lacks: list[Said] = Field(default=[])

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if bool(self.items) is (self.part is not None):
            raise ValueError("a section holds items or a part")
        return self


class Form(Declared):
    """The form of a report about one kind of subject: its title, whom it is about, and its sections."""

    title: Said
    about: Said
    sections: list[Section] = Field(min_length=1)


class Layout(Declared):
    """All of sections.yml."""

    version: str
    ends: dict[str, str]
    expiring_days: int = Field(ge=1, le=400)
    queries_months: int = Field(ge=1, le=60)
    names: dict[Literal["person", "organisation"], list[str]]
    regions: list[str]
    household: Form
    village: Form

    def form(self, about: SubjectKind) -> Form:
        """Give the form of a report about this kind of subject."""
        return self.village if about is SubjectKind.ORGANISATION else self.household


@cache
def current() -> Layout:
    """Give the layout of this release; read once.

    Raises:
        RulesRefused: the file is not understood, or does not give each item one place.
    """
    text = (resources.files("exchange.reports") / "sections.yml").read_text("utf-8")
    return read(text, catalogue.current())


def read(text: str, known: Catalogue) -> Layout:
    """Read a layout and hold it against a catalogue.

    Raises:
        RulesRefused: wrong shape, or an item that does not exist, has no place or has two.
    """
    try:
        layout = Layout.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise RulesRefused(f"sections of a report: {error}") from error
    for about in (SubjectKind.PERSON, SubjectKind.ORGANISATION):
        placed(layout.form(about), known, about)
    named = [f"{kind}.{name}" for kind, name in layout.ends.items()]
    for item in (*named, *layout.regions, *(one for names in layout.names.values() for one in names)):
        kind = known.kinds.get(item.partition(".")[0])
        if kind is None or item not in kind.items:
            raise RulesRefused(f"sections of a report: no lender may see {item}")
    return layout


def placed(form: Form, known: Catalogue, about: SubjectKind) -> Mapping[int, frozenset[str]]:
    """Give the items of each section, by its number.

    Raises:
        RulesRefused: an item that does not exist, has no place or has two.
    """
    single = {code for section in form.sections for code in section.items if "." in code}
    found: dict[int, frozenset[str]] = {}
    for section in form.sections:
        items: set[str] = set()
        for code in section.items:
            kind = known.kinds.get(code.partition(".")[0])
            if kind is None or ("." in code and code not in kind.items):
                raise RulesRefused(f"sections of a report: section {section.number} names {code}, which does not exist")
            items |= {code} if "." in code else kind.items - single
        found[section.number] = frozenset(items)
    every = [item for items in found.values() for item in items]
    wanted = frozenset[str]().union(
        *(kind.items for kind in known.kinds.values() if about in kind.subject and kind.purposes)
    )
    if len(set(every)) < len(every) or set(every) != wanted:
        odd = sorted(set(every) ^ wanted) or sorted({item for item in every if every.count(item) > 1})
        raise RulesRefused(f"sections of a report: no place, two places or not about such a subject: {', '.join(odd)}")
    return found
