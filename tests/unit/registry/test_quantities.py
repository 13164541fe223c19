"""Amounts, areas, counts, rates: exact or refused, never rounded; missing is not zero."""

from decimal import Decimal

import pytest

from registry.errors import InexactAmount, UnitUnknown
from registry.quantities import (
    cell_number,
    count,
    fen,
    fen_from_ten_thousand_yuan,
    is_missing,
    known_unit,
    mu4,
    number,
    rate,
)

MISSING = ["", " ", "\u3000", "—", "——", "－", "-", "–", "/", "无", "\u200b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12,345.60", 1_234_560),
        ("￥12345.6", 1_234_560),
        ("¥ 12 345.6", 1_234_560),
        ("１２３", 12_300),
        ("1.2万", 1_200_000),
        ("1.2万元", 1_200_000),
        ("5元", 500),
        ("0.01", 1),
        ("-3.5", -350),
        ("(1,200)", -120_000),
        ("（300）", -30_000),
        ("壹万贰仟元整", 1_200_000),
        ("人民币壹仟零贰拾元叁角伍分", 102_035),
        ("壹亿零伍万元整", 10_005_000_000),
        ("拾元整", 1_000),
        ("一百二十元", 12_000),
        ("伍角", 50),
        ("负壹佰元整", -10_000),
    ],
)
def test_an_amount_in_yuan_is_read_as_agencies_write_it(text: str, expected: int) -> None:
    assert fen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1,2345",
        "12,34",
        "1.2.3",
        "abc",
        "1e5",
        "NaN",
        "Infinity",
        "壹贰元",
        "一",
        "+-1",
        "(-1)",
        "0x10",
        "扎西",
        "1" * 99,
    ],
)
def test_what_is_no_amount_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InexactAmount) as refused:
        fen(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", MISSING)
def test_a_mark_for_nothing_is_missing_and_not_zero(text: str) -> None:
    assert is_missing(text)
    assert (fen(text), mu4(text), count(text), number(text), rate(text, bare_is_percent=True)) == (None,) * 5


@pytest.mark.parametrize("text", ["0", "0.00", "零元整"])
def test_zero_is_a_value(text: str) -> None:
    assert not is_missing(text)
    assert fen(text) == 0


@pytest.mark.parametrize(("text", "expected"), [("1", 1_000_000), ("-0.000001", -1), ("12.34", 12_340_000)])
def test_six_decimals_of_ten_thousand_yuan_are_exact(text: str, expected: int) -> None:
    assert fen_from_ten_thousand_yuan(text) == expected


@pytest.mark.parametrize("text", ["0.0000001", "NaN", "Infinity", "", "一"])
def test_an_amount_that_fen_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(InexactAmount):
        fen_from_ten_thousand_yuan(text)


def test_a_unit_written_in_the_cell_stands_over_the_column() -> None:
    assert fen("500元", "万元") == 50_000
    assert fen("壹万元整", "万元") == 1_000_000
    assert mu4("2公顷", "亩") == 300_000


def test_a_number_in_ten_thousands_where_ten_thousands_are_counted_is_not_guessed() -> None:
    with pytest.raises(UnitUnknown):
        fen("1.2万", "万元")


def test_a_unit_that_is_not_ours_is_refused() -> None:
    with pytest.raises(UnitUnknown):
        fen("1", "美元")
    assert (known_unit("万元"), known_unit("㎡"), known_unit(" 公顷 "), known_unit("元/亩")) == (
        "万元",
        "平方米",
        "公顷",
        None,
    )


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [("6.7", "亩", 67_000), ("1.5", "万亩", 150_000_000), ("1", "公顷", 150_000), ("10000", "平方米", 150_000)],
)
def test_areas_become_ten_thousandths_of_a_mu(text: str, unit: str, expected: int) -> None:
    assert mu4(text, unit) == expected


def test_an_area_finer_than_a_ten_thousandth_of_a_mu_is_refused() -> None:
    with pytest.raises(InexactAmount):
        mu4("0.00001")


def test_counts_are_whole() -> None:
    assert count("1.2", "万头") == 12_000
    assert count("12", "头") == 12
    with pytest.raises(InexactAmount):
        count("1.5", "头")


@pytest.mark.parametrize(
    ("text", "bare_is_percent", "expected"),
    [("4.35%", False, "0.043500"), ("0.0435", False, "0.043500"), ("85", True, "0.850000"), ("5‰", True, "0.005000")],
)
def test_rates_are_fractions_of_six_decimals(text: str, expected: str, *, bare_is_percent: bool) -> None:
    assert rate(text, bare_is_percent=bare_is_percent) == expected


def test_a_rate_finer_than_six_decimals_is_refused() -> None:
    with pytest.raises(InexactAmount):
        rate("0.1234567", bare_is_percent=False)


def test_a_spreadsheet_product_is_the_number_it_shows() -> None:
    assert fen(6.7 * 78.6) == 52_662
    assert cell_number(0.1 + 0.2) == Decimal("0.3")
    assert fen(Decimal("1.23")) == 123
    assert fen(12) == 1_200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN")])
def test_a_number_cell_that_is_no_number_is_refused(value: float | Decimal) -> None:
    with pytest.raises(InexactAmount):
        fen(value)
