"""Divisions: codes with their successors, and names that count only where they are unique."""

from datetime import date

import pytest

from registry import divisions
from registry.divisions import Standing

DAY = date(2026, 6, 15)


def test_the_table_has_the_counts_it_was_published_with() -> None:
    codes = divisions.known_regions()
    assert len([code for code in codes if divisions.division(code)]) == 1 + 8 + 44 + 1
    assert divisions.division("632857") is not None


@pytest.mark.parametrize(
    ("retired", "today"),
    [
        ("630122", "630106"),
        ("630221", "630203"),
        ("632100", "630200"),
        ("632121", "630203"),
        ("632124", "630106"),
        ("632125", "630123"),
        ("632321", "632301"),
        ("632721", "632701"),
        ("632421", "632324"),
        ("632858", "632803"),
    ],
)
def test_a_retired_code_leads_to_the_division_of_today(retired: str, today: str) -> None:
    found = divisions.resolve(retired, DAY)
    assert found is not None
    assert (found.division.code, found.retired) == (today, True)


def test_a_record_older_than_the_change_was_right_to_use_the_code() -> None:
    found = divisions.resolve("630122", date(2018, 5, 1))
    assert found is not None
    assert not found.retired


def test_a_current_code_is_itself_and_an_unknown_one_is_nothing() -> None:
    found = divisions.resolve("630222201201", DAY)
    assert found is not None
    assert (found.division.name, found.division.is_village, found.retired) == ("庄子沟村委会", True, False)
    assert divisions.resolve("630222999999", DAY) is None


@pytest.mark.parametrize(
    ("region", "standing"),
    [
        ("630222", Standing.CURRENT),
        ("632123", Standing.RETIRED),
        ("630999", Standing.UNKNOWN),
        ("440524", Standing.CURRENT),
        ("830000", Standing.CURRENT),
        ("911840", Standing.CURRENT),
        ("660000", Standing.UNKNOWN),
    ],
)
def test_a_region_is_current_retired_or_unknown(region: str, standing: Standing) -> None:
    assert divisions.region_standing(region) is standing


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("民和回族土族自治县", "630222"),
        ("民和县", "630222"),
        ("海东市民和县", "630222"),
        ("青海省海东市民和回族土族自治县", "630222"),
        ("玉树市", "632701"),
        ("玉树州玉树市", "632701"),
        ("河南县", "632324"),
        ("大柴旦行委", "632857"),
        ("没有县", None),
        ("", None),
    ],
)
def test_a_county_is_found_by_the_names_people_give_it(name: str, code: str | None) -> None:
    found = divisions.county_by_name(name)
    assert (found.code if found else None) == code


@pytest.mark.parametrize("name", ["庄子沟村委会", "庄子沟村", "庄子沟村民委员会", "庄子沟", " 庄子沟 村委会"])
def test_a_village_is_found_with_whatever_ending(name: str) -> None:
    found = divisions.village_by_name("民和县", "北山乡", name)
    assert found is not None
    assert found.code == "630222201201"


def test_every_village_that_is_alone_in_its_town_is_found_by_its_own_name() -> None:
    for code in ("632701", "632323", "630222", "630203"):
        towns = [found for found in map(divisions.division, _towns(code)) if found]
        assert towns
        for town in towns:
            for village in divisions.villages_of(town.code):
                assert divisions.village_by_name(code, town.code, village.name) == village


def _towns(county: str) -> list[str]:
    return [f"{county}{number:03}" for number in range(1, 600) if divisions.division(f"{county}{number:03}")]


def test_a_variant_character_is_the_same_name() -> None:
    assert divisions.folded("査玛村") == divisions.folded("查玛村")


def test_a_village_is_not_found_without_its_town_or_in_another_county() -> None:
    assert divisions.village_by_name("民和县", "没有乡", "庄子沟村") is None
    assert divisions.village_by_name("平安区", "630222201", "庄子沟村") is None
    assert divisions.village_by_name("民和县", "北山乡", "没有村") is None


def test_a_village_and_a_residents_committee_of_one_name_are_two_places() -> None:
    assert divisions.village_by_name("民和县", "北山乡", "庄子沟社区") is None


@pytest.mark.parametrize(
    ("name", "code"),
    [("西宁市", "630100"), ("玉树州", "632700"), ("玉树藏族自治州", "632700"), ("玉树", None), ("昆仑市", None)],
)
def test_a_prefecture_is_found_by_its_name_and_nothing_is_guessed(name: str, code: str | None) -> None:
    found = divisions.prefecture_by_name(name)
    assert (found.code if found else None) == code
