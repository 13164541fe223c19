"""The catalogue: which kinds of record exist, which fields they have, and on what terms they may be held.

It reads the declarations in `registry/classes/*.yml` once, refuses anything in them that it does not understand,
and hands out frozen values. It does not decide about consent (consent.decision), does not know how an agency writes
a column (connectors.source) and never looks at a record.

A catalogue has versions (`versions.yml`, docs/adr/0015): a class, kind or field says since which version it is there,
nothing is ever taken out, and so every version that a consent has frozen can still be read (`version`).

Terms, after docs/requirements.md, fields:
  * class  数据类   what a consent and the catalogue speak of: SANZI, SUBSIDY, TAX, LIVESTOCK
  * kind   记录种类 one table of a class: SANZI has SANZI_FUND, SANZI_ASSET, SANZI_RESOURCE, SANZI_CONTRACT
  * item   数据项   one field of a kind, written "<KIND>.<field>"; consents and answers are lists of items
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.basis import BasisKind
from registry.errors import CatalogueError
from registry.identifiers import SubjectKind

FieldType = Literal["text", "date", "month", "fen", "mu4", "int", "rate6", "percent", "bool", "enum", "ear_tag"]
Sensitivity = Literal["S1", "S2"]
Sharing = Literal["unconditional", "conditional", "none"]  # 无条件共享、有条件共享、不予共享
Frequency = Literal["daily", "weekly", "monthly", "quarterly", "yearly", "on-event"]
Quality = Literal["A", "B", "C", "D"]
NUMERIC_TYPES: Final[frozenset[FieldType]] = frozenset({"fen", "mu4", "int", "rate6", "percent"})


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a kind.

    `type` says how a payload holds it, always as a JSON string, integer or boolean:
    text, enum → string; date → "2026-03-25" (or "2026-03" where the source gave no day); month → "2024-01";
    fen → integer fen (1/100 元); mu4 → integer 1/10 000 亩; int → integer; rate6 → decimal string; percent → decimal
    string, a share of 1 ("0.85"); bool → true/false; ear_tag → string of 15 digits.
    `w` marks what 征信业管理条例 §14 ¶2 lets one hold about a person only with acknowledged written consent (R-05),
    `separate` what a person agrees to in an act of its own (单独同意, 个人信息保护法 §28-29; R-17): accounts, and
    that the state assists somebody.
    """

    name: str
    type: FieldType
    unit: str
    zh: str
    en: str
    bo: str
    w: bool
    lender_visible: bool
    values: tuple[str, ...]
    separate: bool

    @property
    def titles(self) -> Mapping[str, str]:
        """Its names, by language."""
        return MappingProxyType({"zh": self.zh, "bo": self.bo, "en": self.en})


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class and the terms that all its kinds share.

    `provider` is the office that answers for the data, `quality` the best level that its data may have, `platform_id`
    the item of the provincial data-sharing platform's catalogue that it is read under; where there is none yet,
    `exemption` says why (R-03). `charge` is what a lender pays for it.
    """

    code: str
    since: str
    titles: Mapping[str, str]
    provider: str
    frequency: Frequency
    quality: Quality
    sharing: Sharing
    platform_id: str | None
    exemption: str
    charge: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record: who it is about, what it holds, what makes two rows the same record.

    `identity` names fields of the payload; `retention` is an ISO 8601 duration. `basis` is the ground on which rows
    about persons (or, of a public kind, all rows) are held; `purposes` are those of consents that may touch the kind:
    the one place where that is said (consent.purposes reads it here).
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
    basis: BasisKind
    purposes: frozenset[str]
    titles: Mapping[str, str]

    @property
    def consent_required(self) -> bool:
        """Whether a person's row is held on the person's consent only."""
        return self.basis is BasisKind.CONSENT

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
    classes: Mapping[str, DataClass]
    w_items: frozenset[str]
    separate_items: frozenset[str]

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


class _Named(_Titles):
    """Something that people are shown by name: in Tibetan too."""

    bo: str = Field(min_length=1)


class _FieldDeclaration(_Named):
    type: FieldType
    unit: str = ""
    w: bool = False
    separate: bool = False
    lender_visible: bool = True
    values: list[str] = []
    since: str = ""


class _KindDeclaration(_Named):
    subject: list[Literal["person", "organisation", "region"]] = Field(min_length=1)
    sensitivity: Sensitivity
    identity: list[str] = Field(min_length=1)
    snapshot: bool
    freshness_days: int = Field(gt=0)
    retention: str = Field(pattern=r"^P\d+[YMD]$")
    basis: Literal["consent", "statute", "public", "organisation"]
    legal_basis: str = Field(min_length=1)
    purposes: list[str] | None = None  # those of the class, unless the kind has its own
    since: str = ""
    fields: dict[str, _FieldDeclaration] = Field(min_length=1)


class _ClassDeclaration(_Named):
    class_code: str = Field(alias="class", pattern=r"^[A-Z][A-Z_]{1,31}$")
    since: str = Field(min_length=1)
    provider: str = Field(min_length=1)
    frequency: Frequency
    quality: Quality
    sharing: Sharing
    platform_id: str | None = Field(default=None, min_length=1)
    exemption: str = ""
    charge: str = Field(min_length=1)
    purposes: list[str]
    kinds: dict[str, _KindDeclaration] = Field(min_length=1)

    @model_validator(mode="after")
    def _read_under_something(self) -> "_ClassDeclaration":
        if (self.platform_id is None) != bool(self.exemption):
            raise ValueError("a class names its item of the sharing platform, or else why it has none (R-03)")
        return self


class _Version(_Titles):
    version: str = Field(pattern=r"^(v\d+|\d{4}-\d{2})$")


class _VersionsFile(_Declared):
    versions: list[_Version] = Field(min_length=1)


_VERSIONS_FILE: Final = "versions.yml"
_Thing = TypeVar("_Thing", _FieldDeclaration, _KindDeclaration)


@cache
def _release() -> Mapping[str, Catalogue]:
    folder = resources.files("registry") / "classes"
    return editions({path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")})


@cache
def current() -> Catalogue:
    """Give the newest version of the catalogue that this release of the product carries; read once.

    Raises:
        CatalogueError: a class file does not have the declared shape.
    """
    return _newest(_release())


def version(name: str) -> Catalogue:
    """Give the catalogue as it stood at a version: "v1" has 18 classes, "v2" has 23.

    Raises:
        CatalogueError: this release knows no such version.
    """
    known = _release().get(name)
    if known is None:
        raise CatalogueError(f"{name!r} is no version of the catalogue; there are {', '.join(_release())}")
    return known


def versions() -> tuple[str, ...]:
    """Name all versions of the catalogue, the oldest first."""
    return tuple(_release())


def read(texts: Mapping[str, str]) -> Catalogue:
    """Build the newest version of a catalogue from yml texts by file name; see `editions`."""
    return _newest(editions(texts))


def _newest(known: Mapping[str, Catalogue]) -> Catalogue:
    return list(known.values())[-1]


def editions(texts: Mapping[str, str]) -> Mapping[str, Catalogue]:
    """Build every version of a catalogue from yml texts by file name, `versions.yml` among them; the oldest first.

    Raises:
        CatalogueError: wrong shape, a version that is not listed, a class or kind declared twice, an identity field
            that does not exist, a list of values without the type `enum` or the reverse, or terms that contradict
            each other.
    """
    order = _versions(texts.get(_VERSIONS_FILE, ""))
    declared = [_declaration(name, text) for name, text in sorted(texts.items()) if name != _VERSIONS_FILE]
    _once([one.class_code for one in declared])
    _once([code for one in declared for code in one.kinds])
    return MappingProxyType({name: _edition(name, order[: at + 1], order, declared) for at, name in enumerate(order)})


def _versions(text: str) -> list[str]:
    try:
        listed = [one.version for one in _VersionsFile.model_validate(yaml.safe_load(text)).versions]
    except (ValidationError, yaml.YAMLError) as error:
        raise CatalogueError(f"{_VERSIONS_FILE}: {error}") from error
    _once(listed)
    return listed


def _once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CatalogueError(f"{name} is declared twice")
        seen.add(name)


def _edition(name: str, until: Sequence[str], order: Sequence[str], declared: Sequence[_ClassDeclaration]) -> Catalogue:
    kinds: dict[str, Kind] = {}
    classes: dict[str, DataClass] = {}
    for one in declared:
        _known(one.since, one.class_code, order)
        if one.since in until:
            classes[one.class_code] = _class(one)
            kinds |= {
                code: _kind(code, one, kind, until, order)
                for code, kind in _there(one.kinds, one.since, until, order).items()
            }
    specs = {f"{code}.{field}": spec for code, kind in kinds.items() for field, spec in kind.fields.items()}
    return Catalogue(
        name,
        MappingProxyType(kinds),
        MappingProxyType(classes),
        frozenset(item for item, spec in specs.items() if spec.w),
        frozenset(item for item, spec in specs.items() if spec.separate),
    )


def _there(declared: Mapping[str, _Thing], since: str, until: Sequence[str], order: Sequence[str]) -> dict[str, _Thing]:
    """Leave out what came later than the version; what says nothing came with what it belongs to."""
    for name, one in declared.items():
        _known(one.since or since, name, order)
        if order.index(one.since or since) < order.index(since):
            raise CatalogueError(f"{name} cannot be older than what it belongs to")
    return {name: one for name, one in declared.items() if (one.since or since) in until}


def _known(since: str, name: str, order: Sequence[str]) -> None:
    if since not in order:
        raise CatalogueError(f"{name}: {since!r} is no version; {_VERSIONS_FILE} lists {', '.join(order)}")


def _declaration(name: str, text: str) -> _ClassDeclaration:
    try:
        return _ClassDeclaration.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise CatalogueError(f"class file {name}: {error}") from error


def _class(declared: _ClassDeclaration) -> DataClass:
    return DataClass(
        code=declared.class_code,
        since=declared.since,
        titles=MappingProxyType({"zh": declared.zh, "bo": declared.bo, "en": declared.en}),
        provider=declared.provider,
        frequency=declared.frequency,
        quality=declared.quality,
        sharing=declared.sharing,
        platform_id=declared.platform_id,
        exemption=declared.exemption,
        charge=declared.charge,
    )


def _kind(
    code: str, of: _ClassDeclaration, declared: _KindDeclaration, until: Sequence[str], order: Sequence[str]
) -> Kind:
    there = _there(declared.fields, declared.since or of.since, until, order)
    missing = [name for name in declared.identity if name not in there]
    if missing:
        raise CatalogueError(f"kind {code}: identity names {missing}, which are no fields of it")
    kind = Kind(
        code=code,
        class_code=of.class_code,
        subject=frozenset(SubjectKind(subject) for subject in declared.subject),
        fields=MappingProxyType({name: _field(code, name, field) for name, field in there.items()}),
        identity=tuple(declared.identity),
        snapshot=declared.snapshot,
        freshness_days=declared.freshness_days,
        retention=declared.retention,
        sensitivity=declared.sensitivity,
        legal_basis=declared.legal_basis,
        basis=BasisKind(declared.basis),
        purposes=frozenset(of.purposes if declared.purposes is None else declared.purposes),
        titles=MappingProxyType({"zh": declared.zh, "bo": declared.bo, "en": declared.en}),
    )
    for holds, fault in _contradictions(kind, of.sharing):
        if holds:
            raise CatalogueError(f"kind {code}: {fault}")
    return kind


def _field(code: str, name: str, declared: _FieldDeclaration) -> FieldSpec:
    if bool(declared.values) != (declared.type == "enum"):
        raise CatalogueError(f"{code}.{name}: an enum needs values, and only an enum may have them")
    return FieldSpec(
        name=name,
        type=declared.type,
        unit=declared.unit,
        zh=declared.zh,
        en=declared.en,
        bo=declared.bo,
        w=declared.w,
        lender_visible=declared.lender_visible,
        values=tuple(declared.values),
        separate=declared.separate,
    )


def _contradictions(kind: Kind, sharing: Sharing) -> Iterable[tuple[bool, str]]:
    """Say what cannot stand together in a kind's terms, and whether it does."""
    of_persons = SubjectKind.PERSON in kind.subject
    of_regions = SubjectKind.REGION in kind.subject
    has_separate = any(spec.separate for spec in kind.fields.values())
    has_w = any(spec.w for spec in kind.fields.values())
    return (
        (of_persons and kind.basis is BasisKind.ORGANISATION, "persons' rows need consent, a statute or publicity"),
        (of_persons and has_w and not kind.consent_required, "W-items of a person are held on consent only (R-05)"),
        (has_separate and not kind.consent_required, "what is agreed to separately is held on consent only (R-17)"),
        (kind.consent_required and not of_persons, "only persons consent"),
        (of_regions and kind.subject != {SubjectKind.REGION}, "what is about a region is about nobody else"),
        (of_regions and kind.basis is not BasisKind.PUBLIC, "what is about a region is public"),
        (of_regions == bool(kind.purposes), "purposes are those of consents, and regions give none"),
        (sharing == "none" and bool(kind.items), "what is not shared (不予共享) is visible to no lender"),
    )
