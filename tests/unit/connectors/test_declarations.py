"""Declarations are data that stop the loading when they are not understood."""

from datetime import date
from importlib import resources

import pytest
import yaml

from connectors import schemes, source
from connectors.errors import DeclarationInvalid
from registry import catalogue
from registry.errors import CatalogueError


def declaration(name: str) -> dict[str, object]:
    text = (resources.files("connectors") / "sources" / name).read_text("utf-8")
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def read(changed: dict[str, object]) -> None:
    source.read({"changed.yml": yaml.safe_dump(changed, allow_unicode=True)})


NOT_YET_SENT = {"WATER", "LAND", "CREDIT_CHN", "HOUSE_FUND", "POLICE", "GOV_PROC", "UTILITY_OTHER", "CIVIL_AFF"}


def test_fifteen_classes_are_declared_with_all_their_kinds() -> None:
    declared = {(one.class_code, table.kind) for one in source.current().sources for table in one.tables}
    assert declared == {
        (kind.class_code, kind.code)
        for kind in catalogue.current().kinds.values()
        if kind.class_code not in {*NOT_YET_SENT, "HEALTH_AGE"}
    }
    assert len({class_code for class_code, _ in declared}) == 15


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("pubisher", "x"),
        ("quality", "E"),
        ("class", "SUBSIDIES"),
        ("class", "RATING"),
    ],
)
def test_a_misspelt_word_stops_the_loading(where: str, value: str) -> None:
    changed = declaration("subsidy_roster.yml") | {where: value}
    with pytest.raises(DeclarationInvalid):
        read(changed)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("amount_due", {"type": "money", "matchs": ["金额"]}),
        ("amount_due", {"type": "money", "matches": ["(金额"]}),
        ("amount", {"type": "money", "matches": ["金额"]}),
        ("amount_due", {"type": "enum", "matches": ["金额"]}),
        ("pay_status", {"type": "enum", "matches": ["状态"], "values": {"gone": ["没了"]}}),
    ],
)
def test_a_column_that_the_catalogue_does_not_know_stops_the_loading(column: str, change: dict[str, object]) -> None:
    changed = declaration("subsidy_roster.yml")
    tables = changed["tables"]
    assert isinstance(tables, list)
    tables[0]["columns"][column] = change
    with pytest.raises(DeclarationInvalid):
        read(changed)


def test_a_check_on_a_column_that_is_not_declared_stops_the_loading() -> None:
    changed = declaration("rating_results.yml")
    tables = changed["tables"]
    assert isinstance(tables, list)
    tables[0]["checks"].append({"rule": "period", "start": "eval_date", "end": "valid_until"})
    with pytest.raises(DeclarationInvalid):
        read(changed)


SCHEME = """
scheme: gangcha
version: "2026-02"
label: 刚察县信用户评定办法
counties: ["632224"]
from: 2026-04-01
lowest: "0"
highest: "120"
grades:
  - {grade: 五星, at_least: "100"}
  - {grade: 四星, at_least: "80"}
  - {grade: 不评, at_least: "0"}
veto: 不评
"""


def test_a_countys_own_scheme_stands_before_the_example_from_its_day_on() -> None:
    known = (*schemes.current(), *schemes.read({"own.yml": SCHEME}))
    assert [
        found.name if (found := schemes.in_force(known, county, day)) else None
        for county, day in [
            ("632224", date(2026, 4, 1)),
            ("632224", date(2026, 3, 31)),
            ("630222", date(2026, 4, 1)),
            ("", date(2026, 4, 1)),
        ]
    ] == ["gangcha/2026-02", "example/2026-01", "example/2026-01", "example/2026-01"]


@pytest.mark.parametrize(
    ("old", "new"), [('"80"', '"100"'), ("veto: 不评", "veto: 差"), ("label:", "lable:"), ('"80"', '"101"')]
)
def test_a_scheme_that_contradicts_itself_stops_the_loading(old: str, new: str) -> None:
    with pytest.raises(DeclarationInvalid):
        schemes.read({"own.yml": SCHEME.replace(old, new)})


def test_a_class_code_expands_to_what_a_lender_may_see() -> None:
    current = catalogue.current()
    assert "SUBSIDY.amount_due" in current.expand(["SUBSIDY"])
    assert "SUBSIDY.bank_account" not in current.expand(["SUBSIDY"])
    assert current.expand(["SANZI"]) == current.expand([kind.code for kind in current.kinds_of("SANZI")])
    assert current.expand(["RATING.grade"]) == {"RATING.grade"}


@pytest.mark.parametrize(
    "code", ["SUBSIDIES", "SUBSIDY.", "SUBSIDY.bank_account", "SUBSIDY.amount", "", "RATING.grade.x"]
)
def test_an_unknown_code_is_refused(code: str) -> None:
    with pytest.raises(CatalogueError):
        catalogue.current().expand([code])
