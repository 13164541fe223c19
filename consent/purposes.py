"""Purposes of consent and their caps, read from purposes.yml.

A purpose is a template: through which doors it may be used, which kinds of record it may ever touch, and for history,
validity, uses, uses a month and answer mode the `ceiling` that no consent may pass and the `strictest` value that
holds where a consent states nothing (R-10, R-44).
The loader refuses what it does not understand: a misspelt cap must not become no cap. The kinds that a purpose may
touch are not said here a second time: they are those whose terms in the catalogue name the purpose.

It does not say what a subject agreed to (consent.scope) and does not decide (consent.decision).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Generic, TypeVar

import yaml

from consent.ages import CHILD_UNTIL
from consent.declared import Table
from consent.errors import DeclarationInvalid
from consent.scope import RANK, Mode, Scope
from registry import catalogue
from registry.catalogue import Catalogue

Bound = TypeVar("Bound", int, Mode)


class Entrance(StrEnum):
    """Through which door a purpose may be used."""

    LENDER = "lender"
    SUBJECT = "subject"
    AGENCY = "agency"


@dataclass(frozen=True, slots=True)
class Cap(Generic[Bound]):
    """One cap: what holds when nothing is stated, and the most that may be stated."""

    strictest: Bound
    ceiling: Bound


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose. `data_life_days` is how long a recipient may keep an answer; periods are calendar months.

    `uses_per_month` caps the uses of one calendar month. For `cool_down_days` after a person has said no, that person
    may not be asked again for the same recipient and purpose (R-26). Every `reconfirm_months` a consent has to be
    confirmed again, 0 for never. Below `guardian_until_age` years a guardian consents.
    """

    code: str
    version: str
    titles: Mapping[str, str]
    entrances: frozenset[Entrance]
    kinds: frozenset[str]
    business_number: bool
    history_months: Cap[int]
    validity_months: Cap[int]
    uses: Cap[int]
    uses_per_month: Cap[int]
    mode: Cap[Mode]
    data_life_days: int
    cool_down_days: int
    reconfirm_months: int
    guardian_until_age: int

    def allows_item(self, item: str) -> bool:
        """Tell whether an item "<KIND>.<field>" is of a kind that this purpose may touch."""
        return item.partition(".")[0] in self.kinds

    def life_days(self, agreed: int | None) -> int:
        """Say how many days an answer lives today: as agreed, and no longer than this purpose has it now.

        Args:
            agreed: what the consent states; None states nothing (consents of before 2026-03).
        """
        return self.data_life_days if agreed is None else min(agreed, self.data_life_days)

    def narrowed(self, scope: Scope) -> Scope:
        """Cut a consent back to the ceilings of today: one that was lowered since binds consents given before.

        Items, history, uses, uses a month and mode are cut; the dates stay, since the subject was told them.
        How long an answer lives is cut by `life_days`.
        """
        return replace(
            scope,
            items=_of_kinds(scope.items, self.kinds),
            history_months=min(scope.history_months, self.history_months.ceiling),
            max_uses=min(scope.max_uses, self.uses.ceiling),
            uses_per_month=min(scope.uses_per_month or self.uses_per_month.ceiling, self.uses_per_month.ceiling),
            mode=min(scope.mode, self.mode.ceiling, key=RANK.__getitem__),
        )


@dataclass(frozen=True, slots=True)
class Purposes:
    """All purposes of one version. A consent begins at most `begins_within_days` after the day it was taken."""

    version: str
    begins_within_days: int
    by_code: Mapping[str, Purpose]

    def get(self, code: str) -> Purpose | None:
        """Look a purpose up; None if there is no such purpose."""
        return self.by_code.get(code)


@lru_cache(maxsize=1024)  # the gate cuts every consent at every use, and most agree to the same few sets of items
def _of_kinds(items: frozenset[str], kinds: frozenset[str]) -> frozenset[str]:
    return frozenset(item for item in items if item.partition(".")[0] in kinds)


@cache
def current() -> Purposes:
    """Give the purposes that this release of the product carries; read once.

    Raises:
        DeclarationInvalid: purposes.yml does not have the declared shape.
    """
    return read((resources.files("consent") / "purposes.yml").read_text("utf-8"))


def read(text: str, known: Catalogue | None = None) -> Purposes:
    """Read purposes from yml, and their kinds from the catalogue (that of the release, unless another is `known`).

    Raises:
        DeclarationInvalid: not yml, a key missing or not understood, a figure below zero, a strictest value that
            passes its ceiling, or the catalogue names a purpose that is not declared. The message names the place.
    """
    kinds = (known or catalogue.current()).kinds.values()
    try:
        declared = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DeclarationInvalid(f"purposes: not readable as yml: {error}") from error
    top = Table("purposes", declared)
    version = top.text("version")
    begins_within_days = top.number("begins_within_days", least=0)
    entries = top.table("purposes")
    top.done()
    found = {
        code: _purpose(code, version, frozenset(kind.code for kind in kinds if code in kind.purposes), entries)
        for code in entries.names()
    }
    entries.done()
    if not found:
        raise DeclarationInvalid("purposes: none declared")
    unknown = sorted({purpose for kind in kinds for purpose in kind.purposes} - found.keys())
    if unknown:
        raise DeclarationInvalid(f"purposes: the catalogue names {', '.join(unknown)}, which are not declared")
    return Purposes(version, begins_within_days, MappingProxyType(found))


def _purpose(code: str, version: str, kinds: frozenset[str], entries: Table) -> Purpose:
    table = entries.table(code)
    purpose = Purpose(
        code=code,
        version=version,
        titles=MappingProxyType({language: table.text(language) for language in ("zh", "en", "bo")}),
        entrances=_entrances(table),
        kinds=kinds,
        business_number=table.flag("business_number"),
        history_months=_cap(table.table("history_months"), least=0),
        validity_months=_cap(table.table("validity_months"), least=1),
        uses=_cap(table.table("uses"), least=1),
        uses_per_month=_cap(table.table("uses_per_month"), least=1),
        mode=_mode_cap(table.table("mode")),
        data_life_days=table.number("data_life_days", least=0),
        cool_down_days=table.number("cool_down_days", least=0),
        reconfirm_months=table.number("reconfirm_months", least=0),
        guardian_until_age=table.number("guardian_until_age", least=CHILD_UNTIL),
    )
    table.done()
    return purpose


def _entrances(table: Table) -> frozenset[Entrance]:
    try:
        return frozenset(map(Entrance, table.texts("entrance")))
    except ValueError as error:
        raise DeclarationInvalid(f"{table.place}.entrance: {error}") from error


def _cap(table: Table, *, least: int) -> Cap[int]:
    cap = Cap(table.number("strictest", least=least), table.number("ceiling", least=least))
    table.done()
    if cap.strictest > cap.ceiling:
        raise DeclarationInvalid(f"{table.place}: strictest {cap.strictest} passes the ceiling {cap.ceiling}")
    return cap


def _mode_cap(table: Table) -> Cap[Mode]:
    try:
        cap = Cap(Mode(table.text("strictest")), Mode(table.text("ceiling")))
    except ValueError as error:
        raise DeclarationInvalid(f"{table.place}: {error}") from error
    table.done()
    if cap.strictest.rank > cap.ceiling.rank:
        raise DeclarationInvalid(f"{table.place}: strictest {cap.strictest} passes the ceiling {cap.ceiling}")
    return cap
