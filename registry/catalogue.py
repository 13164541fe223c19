"""The catalogue: which kinds of record exist, which fields they have, and on what terms they may be held.

It reads the declarations in `registry/classes/*.yml` once, refuses anything in them that it does not understand,
and hands out frozen values. It does not decide about consent (consent.decision), does not know how an agency writes
a column (connectors.source) and never looks at a record.

Terms, after docs/requirements.md, fields:
  * class  数据类   what a consent and the catalogue speak of: SANZI, SUBSIDY, RATING
  * kind   记录种类 one table of a class: SANZI has SANZI_FUND, SANZI_ASSET, SANZI_RESOURCE, SANZI_CONTRACT
  * item   数据项   one field of a kind, written "<KIND>.<field>"; consents and answers are lists of items
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import CatalogueError
from registry.identifiers import SubjectKind

FieldType = Literal["text", "date", "month", "fen", "mu4", "int", "rate6", "bool", "enum"]
Sensitivity = Literal["S1", "S2"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a kind.

    `type` says how a payload holds it, always as a JSON string, integer or boolean:
    text, enum → string; date → "2026-03-25" (or "2026-03" where the source gave no day); month → "2024-01";
    fen → integer fen (1/100 元); mu4 → integer 1/10 000 亩; int → integer; rate6 → decimal string; bool → true/false.
    `w` marks what 征信业管理条例 §14 ¶2 lets one hold about a person only with acknowledged written consent (R-05).
    """

    name: str
    type: FieldType
    unit: str
    zh: str
    en: str
    w: bool
    lender_visible: bool
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record: who it is about, what it holds, what makes two rows the same record.

    `identity` names fields of the payload; `retention` is an ISO 8601 duration.
    """

    code: str
    class_code: str
    subject: frozenset[SubjectKind]
    fields: Mapping[str, FieldSpec]
    identity: tuple[str, ...]
    snapshot: bool
    freshness_days: int
    retention: str
    sensitivity: Sensitivity
    legal_basis: str
    consent_required: bool
    titles: Mapping[str, str]

    @property
    def items(self) -> frozenset[str]:
        """Every item that a lender may be shown, as "<KIND>.<field>"."""
        return frozenset(f"{self.code}.{name}" for name, spec in self.fields.items() if spec.lender_visible)


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """All kinds of one catalogue version. A consent freezes the version of the day it was given.

    Equal to itself only, so that what follows from it can be remembered under it.
    """

    version: str
    kinds: Mapping[str, Kind]
    class_titles: Mapping[str, Mapping[str, str]]
    w_items: frozenset[str]

    def expand(self, codes: Iterable[str]) -> frozenset[str]:
        """Turn class codes, kind codes and items into items: "SUBSIDY" → every "SUBSIDY.<field>" a lender may see.

        Raises:
            CatalogueError: a code that is no class, kind or lender-visible item of this version.
        """
        items: set[str] = set()
        for code in codes:
            found = self._items_of(code)
            if not found:
                raise CatalogueError(f"{code!r} is no class, kind or item of catalogue {self.version}")
            items |= found
        return frozenset(items)

    def field(self, item: str) -> FieldSpec:
        """Look up the field of an item "<KIND>.<field>".

        Raises:
            CatalogueError: there is no such item.
        """
        kind_code, _, name = item.partition(".")
        kind = self.kinds.get(kind_code)
        if kind is None or name not in kind.fields:
            raise CatalogueError(f"{item!r} is no item of catalogue {self.version}")
        return kind.fields[name]

    def kinds_of(self, class_code: str) -> tuple[Kind, ...]:
        """All kinds of a class, in the order of their declaration; empty for an unknown class."""
        return tuple(kind for kind in self.kinds.values() if kind.class_code == class_code)

    def _items_of(self, code: str) -> frozenset[str]:
        found = frozenset[str]().union(*(kind.items for kind in self.kinds_of(code)))
        if code in self.kinds:
            found |= self.kinds[code].items
        if "." in code:
            kind_code, _, name = code.partition(".")
            kind = self.kinds.get(kind_code)
            if kind is not None and name in kind.fields and kind.fields[name].lender_visible:
                found |= {code}
        return found


class _Declared(BaseModel):
    """Base of the yml shapes: an unknown key is an error, so that a misspelt word cannot switch a rule off."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Titles(_Declared):
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class _FieldDeclaration(_Titles):
    type: FieldType
    unit: str = ""
    w: bool = False
    lender_visible: bool = True
    values: list[str] = []


class _KindDeclaration(_Titles):
    subject: list[Literal["person", "organisation"]] = Field(min_length=1)
    sensitivity: Sensitivity
    identity: list[str] = Field(min_length=1)
    snapshot: bool
    freshness_days: int = Field(gt=0)
    retention: str = Field(pattern=r"^P\d+[YMD]$")
    consent_required: bool
    legal_basis: str = Field(min_length=1)
    fields: dict[str, _FieldDeclaration] = Field(min_length=1)


class _ClassDeclaration(_Titles):
    catalogue: str = Field(pattern=r"^\d{4}-\d{2}$")
    class_code: str = Field(alias="class", pattern=r"^[A-Z][A-Z_]{1,31}$")
    kinds: dict[str, _KindDeclaration] = Field(min_length=1)


@cache
def current() -> Catalogue:
    """Give the catalogue that this release of the product carries; read once.

    Raises:
        CatalogueError: a class file does not have the declared shape.
    """
    folder = resources.files("registry") / "classes"
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")}
    return read(texts)


def read(texts: Mapping[str, str]) -> Catalogue:
    """Build a catalogue from yml texts by file name; all files must name the same version.

    Raises:
        CatalogueError: wrong shape, two versions, a kind declared twice, an identity field that does not exist,
            a list of values without the type `enum` or the reverse.
    """
    declared = [_declaration(name, text) for name, text in sorted(texts.items())]
    versions = {declaration.catalogue for declaration in declared}
    if len(versions) != 1:
        raise CatalogueError(f"class files name the versions {sorted(versions)}, need exactly one")
    kinds: dict[str, Kind] = {}
    for declaration in declared:
        for code, kind in declaration.kinds.items():
            if code in kinds:
                raise CatalogueError(f"kind {code} is declared twice")
            kinds[code] = _kind(code, declaration.class_code, kind)
    titles = {d.class_code: MappingProxyType({"zh": d.zh, "en": d.en}) for d in declared}
    w_items = {f"{code}.{name}" for code, kind in kinds.items() for name, spec in kind.fields.items() if spec.w}
    return Catalogue(versions.pop(), MappingProxyType(kinds), MappingProxyType(titles), frozenset(w_items))


def _declaration(name: str, text: str) -> _ClassDeclaration:
    try:
        return _ClassDeclaration.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise CatalogueError(f"class file {name}: {error}") from error


def _kind(code: str, class_code: str, declared: _KindDeclaration) -> Kind:
    missing = [name for name in declared.identity if name not in declared.fields]
    if missing:
        raise CatalogueError(f"kind {code}: identity names {missing}, which are no fields of it")
    fields: dict[str, FieldSpec] = {}
    for name, field in declared.fields.items():
        if bool(field.values) != (field.type == "enum"):
            raise CatalogueError(f"{code}.{name}: an enum needs values, and only an enum may have them")
        fields[name] = FieldSpec(
            name=name,
            type=field.type,
            unit=field.unit,
            zh=field.zh,
            en=field.en,
            w=field.w,
            lender_visible=field.lender_visible,
            values=tuple(field.values),
        )
    return Kind(
        code=code,
        class_code=class_code,
        subject=frozenset(SubjectKind(subject) for subject in declared.subject),
        fields=MappingProxyType(fields),
        identity=tuple(declared.identity),
        snapshot=declared.snapshot,
        freshness_days=declared.freshness_days,
        retention=declared.retention,
        sensitivity=declared.sensitivity,
        legal_basis=declared.legal_basis,
        consent_required=declared.consent_required,
        titles=MappingProxyType({"zh": declared.zh, "en": declared.en}),
    )
