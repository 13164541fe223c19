"""The rules, read from rules.yml and held against the catalogue and the register of codes.

A rule either declares a check of records, or names the code that intake gives for the same fault: one rule, one place.
It says in both languages what it means, what is the matter and what the agency can do; and, where no class holds what
it would need, what it does not check (`unchecked`).

A rule that names a kind, a field or a code that does not exist is refused, as is a word that is not understood: a rule
that cannot be carried out must not look as if it were.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from connectors.codes import BY_NAME
from exchange.consistency.operators import Check, KOrMoreDistinct
from exchange.consistency.selecting import Declared, Selection
from exchange.errors import RulesRefused
from registry import catalogue
from registry.catalogue import Catalogue


class Said(Declared):
    """The same in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Lack(Said):
    """What a rule does not check, and why; `whole` if it checks nothing for it."""

    whole: bool = False


class Rule(Declared):
    """One rule. `told` says who may learn of its findings; a lender only if it may see all that the rule reads.

    `lacks` says what it cannot check with the classes that there are: its silence there is no good news.
    """

    id: str = Field(pattern=r"^X\d{2}[A-Z]?$")
    title: Said
    cause: Said
    mend: Said
    severity: Literal["note", "warn", "error"]
    told: Literal["agencies", "lenders"]
    code: str | None = None
    records: Selection | None = None
    check: Check | None = None
    lacks: list[Lack] = Field(default=[])

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.code is None) is (self.records is None) or (self.records is None) is not (self.check is None):
            raise ValueError("a rule either names a code, or says on what it checks what")
        return self

    @property
    def reads(self) -> frozenset[str]:
        """The items that the rule reads, "<KIND>.<field>"; empty for a rule that names a code."""
        if self.records is None or self.check is None:
            return frozenset()
        items = {f"{self.records.kind}.{name}" for name in self.records.names | self.check.own_names}
        return frozenset(items.union(*(_items(one.kind, one.names) for one in self.check.counterparts)))

    @property
    def compares(self) -> frozenset[str]:
        """The kinds of which other records of the same subject than the flagged one may have made it a fault.

        The registers of organisations that a record names are not among them: they say how a register stands.
        """
        if self.records is None or self.check is None:
            return frozenset()
        kinds = {one.kind for one in self.check.counterparts if one.organisation is None}
        among = self.check.among_own or self.records.newest is not None
        return frozenset(kinds | {self.records.kind} if among else kinds)

    @property
    def number(self) -> str:
        """The rule's number in the data dictionary: X09 for its parts X09A and X09B."""
        return self.id[:3]


class _File(Declared):
    rules: list[Rule] = Field(min_length=1)


@cache
def current() -> Mapping[str, Rule]:
    """Give the rules of this release by id; read once.

    Raises:
        RulesRefused: the file is not understood, or names what does not exist.
    """
    text = (resources.files("exchange") / "consistency" / "rules.yml").read_text("utf-8")
    return read(text, catalogue.current())


def read(text: str, known: Catalogue) -> Mapping[str, Rule]:
    """Read rules and hold them against a catalogue.

    Raises:
        RulesRefused: wrong shape, an id twice, or a kind, field or code that does not exist.
    """
    try:
        rules = _File.model_validate(yaml.safe_load(text)).rules
    except (ValidationError, yaml.YAMLError) as error:
        raise RulesRefused(f"consistency rules: {error}") from error
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in found:
            raise RulesRefused(f"rule {rule.id} is declared twice")
        if rule.code is not None and rule.code not in BY_NAME:
            raise RulesRefused(f"rule {rule.id} names the code {rule.code}, which intake does not have")
        for item in sorted(rule.reads):
            kind, _, name = item.partition(".")
            if kind not in known.kinds or name not in known.kinds[kind].fields:
                raise RulesRefused(f"rule {rule.id} reads {item}, which the catalogue does not have")
        found[rule.id] = rule
    return MappingProxyType(found)


def checks() -> tuple[Rule, ...]:
    """Give the rules that open records, in the order of their ids."""
    return tuple(rule for _, rule in sorted(current().items()) if rule.check is not None)


@cache
def fields_read() -> Mapping[str, frozenset[str]]:
    """Give, for each kind that a rule reads, the fields that are read of it."""
    names: dict[str, set[str]] = {}
    for rule in checks():
        for item in rule.reads:
            kind, _, name = item.partition(".")
            names.setdefault(kind, set()).add(name)
        if rule.records is not None:
            names.setdefault(rule.records.kind, set())
    return MappingProxyType({kind: frozenset(held) for kind, held in names.items()})


@lru_cache(maxsize=1024)  # sets of items come again with every question; nothing here can go stale
def told_with(items: frozenset[str], beyond: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Give the rules of whose findings a lender may learn who may see these items: those that read nothing else.

    Of the kinds in `beyond` the subject has records older than the lender may see: a rule that compares with records of
    such a kind is left out, for what it found may rest on them.

    A flag says something of every item that its rule reads (a payee who has died, a loan that is overdue), so it is a
    disclosure of them (docs/requirements.md R-10).
    """
    return tuple(
        rule.id for rule in checks() if rule.told == "lenders" and rule.reads <= items and not rule.compares & beyond
    )


def between_subjects() -> tuple[tuple[Rule, Selection, KOrMoreDistinct], ...]:
    """Give the rules that compare a value between subjects."""
    return tuple(
        (rule, rule.records, rule.check)
        for rule in checks()
        if rule.records is not None and isinstance(rule.check, KOrMoreDistinct)
    )


def _items(kind: str, names: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{kind}.{name}" for name in names)
