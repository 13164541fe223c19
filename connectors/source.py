"""What a source is: the declaration of who sends which table, how its columns are called, and what must hold in it.

A declaration (`connectors/sources/*.yml`) is data: headings as patterns, units, code lists, checks, expectations,
legal basis. It is read once; an unknown key, an unknown field, a pattern that does not compile or a check on a column
that is not declared stops the loading, so that a misspelt word cannot switch a rule off.

Not here: finding the header in a file (layout), reading cells (cleaning), deciding rows (checks, normalise).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.errors import DeclarationInvalid
from registry.catalogue import Catalogue, Kind
from registry.catalogue import current as catalogue
from registry.identifiers import SubjectKind

ColumnType = Literal[
    "resident_id",  # 身份证号 of the person the row is about
    "credit_code",  # 统一社会信用代码
    "party_id",  # a person's or an organisation's number in one column
    "division",  # a district that the row is about, by code or name
    "ear_tag",
    "bank_card",  # a person's account: digits, Luhn where it looks like a card
    "account_no",  # an organisation's account
    "name",
    "text",
    "money",
    "area",
    "rate",  # money per unit
    "number",
    "int",
    "score",
    "year",
    "date",
    "month",
    "percent",
    "bool",
    "phone",
    "date_range",
    "enum",
    "project",
    "region",  # a division code
    "county",  # a county's name
    "town",  # a town's name
    "village",  # a village's name
]
Quality = Literal["A", "B", "C", "D"]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Compound(_Declared):
    """A heading in two levels, either way up: group `禁牧补助` over part `面积`, or `补贴面积` over `禁牧`."""

    group: str
    part: str


class Column(_Declared):
    """One column: how it is headed, what its cells are, where they go.

    `matches` are patterns for a whole heading without spaces and unit, the most telling first; `unit` is the
    declaration's own (else the file must say it; a percent column's is "%", or "1" where bare figures are shares of
    one); `mandatory` columns must be there and their cells not blank; `held`
    false keeps a column out of the payload; `values` are the canonical values of an enum with the spellings of
    agencies; `into` names the two fields of a date range, `alone` the column that it is when no cell holds two dates.
    """

    type: ColumnType
    matches: list[str] = []
    compound: Compound | None = None
    unit: str = ""
    mandatory: bool = False
    held: bool = True
    values: dict[str, list[str]] = {}
    into: list[str] = Field(default=[], max_length=2)
    alone: str = ""


class Product(_Declared):
    """quantity × rate = amount, within 0.01 元."""

    rule: Literal["product"]
    quantity: str
    rate: str
    amount: str


class Sum(_Declared):
    """The parts make the whole, within 0.01; a whole without a column of its own is their sum."""

    rule: Literal["sum"]
    parts: list[str] = Field(min_length=2)
    whole: str


class Difference(_Declared):
    """minuend - subtrahend = result, within 0.01 元, else NET_VALUE_MISMATCH; a missing result is derived."""

    rule: Literal["difference"]
    minuend: str
    subtrahend: str
    result: str


class Balance(_Declared):
    """Two balances of one account; their difference is held and remarked (BALANCE_DIFFERENCE)."""

    rule: Literal["balance"]
    bank: str
    ledger: str
    difference: str


class Period(_Declared):
    """`end` does not lie before `start`, else PERIOD_INVERTED."""

    rule: Literal["period"]
    start: str
    end: str


class Graded(_Declared):
    """Score within the range of the county's scheme, and grade as the scheme gives it for the score."""

    rule: Literal["graded"]
    score: str
    grade: str
    at: str
    veto: str


class Publicity(_Declared):
    """A publicity period is stated, else PUBLICITY_MISSING."""

    rule: Literal["publicity"]
    column: str


class Holder(_Declared):
    """The account is in the collective's name, else COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT."""

    rule: Literal["holder"]
    account_name: str
    organisation: str


class OnePerson(_Declared):
    """A name cell names one person, else MULTIPLE_PERSONS."""

    rule: Literal["one_person"]
    name: str


class Village(_Declared):
    """The row's village: its code, else its name within its town; else VILLAGE_UNKNOWN."""

    rule: Literal["village"]
    code: str
    county: str
    town: str
    name: str
    into: str


class Once(_Declared):
    """The same subject with the same key stands once in a batch, else DUPLICATE_IN_BATCH.

    Of a date in `by_year` only the year counts: a household is rated once a year.
    """

    rule: Literal["once"]
    key: list[str]
    by_year: list[str] = []


class Stated(_Declared):
    """At least one of these figures is stated, else AMOUNT_MISSING."""

    rule: Literal["stated"]
    figures: list[str] = Field(min_length=2)


class NotNegative(_Declared):
    """None of these figures is below zero, else FIGURE_NEGATIVE; figures that corrections take back stay out of it."""

    rule: Literal["not_negative"]
    figures: list[str] = Field(min_length=1)


class Tagged(_Declared):
    """An ear tag begins with the digit of its animal's species (猪 1, 牛 2, 羊 3), else EAR_TAG_SPECIES."""

    rule: Literal["tagged"]
    tag: str
    species: str


class PaidInFull(_Declared):
    """What was paid follows from the status where no column says it: paid → amount due, returned or failed → 0."""

    rule: Literal["paid"]
    status: str
    due: str
    paid: str


Check = Annotated[
    Product
    | Sum
    | Difference
    | Balance
    | Period
    | Graded
    | Publicity
    | Holder
    | OnePerson
    | Village
    | Once
    | Stated
    | NotNegative
    | Tagged
    | PaidInFull,
    Field(discriminator="rule"),
]


class Table(_Declared):
    """One kind of table of a source.

    `require` lists the header signature: of each inner list one column must be there. `instead` fills a column that is
    not there from another one. `subject` is the column that names the subject; `party` (contracts) names a person who
    is the subject when there is one. `amount` is the column that reports sum up. `period` says what a record speaks of.
    Whose rows they may be follows from the type of the subject's column.
    """

    kind: str
    subject: str
    party: str = ""
    require: list[list[str]] = Field(min_length=1)
    columns: dict[str, Column] = Field(min_length=1)
    instead: dict[str, str] = {}
    checks: list[Check] = []
    amount: str = ""
    period: Literal["year", "as_of", "date", "month"]
    valid_from: str = ""
    valid_to: str = ""
    filled: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


class Project(_Declared):
    """One subsidy project: its name, its category of the catalogue, how titles and cells write it."""

    name: str
    category: str
    matches: list[str] = Field(min_length=1)


class Source(_Declared):
    """One source: who sends it, on what basis, how good it is, and its tables."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]{2,31}$")
    publisher: str = Field(min_length=1)
    class_code: str = Field(alias="class")
    legal_basis: str = Field(min_length=1)
    quality: Quality
    files: list[str] = []
    projects: list[Project] = []
    tables: list[Table] = Field(min_length=1)


class Elsewhere(_Declared):
    """A table that is no agency data (the consent register, say): recognised by its headings and left alone."""

    name: str
    headings: list[str] = Field(min_length=1)


class _ElsewhereFile(_Declared):
    elsewhere: list[Elsewhere]


@dataclass(frozen=True, slots=True)
class Declarations:
    """All sources, the tables that are somebody else's, and the catalogue that the sources were held to."""

    sources: tuple[Source, ...]
    elsewhere: tuple[Elsewhere, ...]
    catalogue: Catalogue


_ELSEWHERE_FILE = "elsewhere.yml"
_NEED_VALUES = {"enum"}
_SUBJECTS: Mapping[str, frozenset[SubjectKind]] = {
    "resident_id": frozenset({SubjectKind.PERSON}),
    "credit_code": frozenset({SubjectKind.ORGANISATION}),
    "party_id": frozenset({SubjectKind.PERSON, SubjectKind.ORGANISATION}),
    "division": frozenset({SubjectKind.REGION}),
}


@cache
def current() -> Declarations:
    """Give the declarations that this release carries; read once.

    Raises:
        DeclarationInvalid: one of them is not understood.
    """
    folder = resources.files("connectors") / "sources"
    return read({path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")})


def read(texts: Mapping[str, str], known: Catalogue | None = None) -> Declarations:
    """Read declarations from yml texts by file name, held to the catalogue of the release unless another is `known`.

    Raises:
        DeclarationInvalid: wrong shape, unknown kind, field or column, or a pattern that does not compile.
    """
    sources: list[Source] = []
    elsewhere: list[Elsewhere] = []
    for name, text in sorted(texts.items()):
        try:
            content = yaml.safe_load(text)
            if name == _ELSEWHERE_FILE:
                elsewhere += _ElsewhereFile.model_validate(content).elsewhere
            else:
                sources.append(Source.model_validate(content))
        except (ValidationError, yaml.YAMLError) as error:
            raise DeclarationInvalid(f"{name}: {error}") from error
    held_to = known or catalogue()
    for source in sources:
        _hold_to_catalogue(source, held_to)
    if len({source.source for source in sources}) != len(sources):
        raise DeclarationInvalid("two declarations have the same source code")
    return Declarations(tuple(sources), tuple(elsewhere), held_to)


def _hold_to_catalogue(source: Source, known: Catalogue) -> None:
    kinds = known.kinds
    for project in source.projects:
        for pattern in project.matches:
            _compiles(source, pattern)
    for table in source.tables:
        kind = kinds.get(table.kind)
        if kind is None or kind.class_code != source.class_code:
            raise DeclarationInvalid(f"{source.source}: {table.kind} is no kind of class {source.class_code}")
        for name, column in table.columns.items():
            _hold_column(source, kind, name, column)
        _hold_references(source, table, kind)


def _hold_column(source: Source, kind: Kind, name: str, column: Column) -> None:
    patterns = [*column.matches, *([column.compound.group, column.compound.part] if column.compound else [])]
    for pattern in patterns:
        _compiles(source, pattern)
    fields = column.into or [name]
    unknown = [field for field in fields if column.held and field not in kind.fields]
    if unknown:
        raise DeclarationInvalid(f"{source.source}: {unknown} are no fields of {kind.code}")
    if (column.type in _NEED_VALUES) != bool(column.values):
        raise DeclarationInvalid(
            f"{source.source}: column {name}: an enum needs values, and only an enum may have them"
        )
    if column.held and column.values:
        stray = set(column.values) - set(kind.fields[name].values)
        if stray:
            raise DeclarationInvalid(f"{source.source}: column {name}: the catalogue does not know {sorted(stray)}")


def _hold_references(source: Source, table: Table, kind: Kind) -> None:
    known = set(table.columns) | set(kind.fields)
    named = {table.subject, *table.instead, *table.instead.values(), *table.filled}
    named |= {name for group in table.require for name in group} | {one.alone for one in table.columns.values()}
    named |= {name for name in (table.party, table.amount, table.valid_from, table.valid_to) if name}
    for check in table.checks:
        for key, value in check.model_dump().items():
            if key != "rule":
                named |= {value} if isinstance(value, str) else set(value)
    unknown = {name for name in named if name} - known
    if unknown:
        raise DeclarationInvalid(f"{source.source}: {table.kind} speaks of {sorted(unknown)}, which are not declared")
    subject = table.columns.get(table.subject)
    if subject is None or subject.type not in _SUBJECTS or not _SUBJECTS[subject.type] <= kind.subject:
        raise DeclarationInvalid(f"{source.source}: {table.kind}: {table.subject} does not say whose a row is")


def _compiles(source: Source, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise DeclarationInvalid(f"{source.source}: pattern {pattern!r}: {error}") from error
