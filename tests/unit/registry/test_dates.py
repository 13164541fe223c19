"""Dates in every form of docs/requirements.md, identifiers; a century is never guessed."""

from datetime import date, datetime

import pytest

from registry.dates import Precision, StatedDate, from_serial, stated_date
from registry.errors import DateAmbiguous, DateUnreadable


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-15",
        "2024/1/15",
        "2024.1.15",
        "20240115",
        "2024年1月15日",
        "２０２４年１月１５日",
        "2024 年 1 月 15 日",
        "二〇二四年一月十五日",
        "2024-01-15 00:00:00",
        "2024-01-15T08:30:00+08:00",
        "45306",
        45306,
        45306.75,
        20240115,
        date(2024, 1, 15),
        datetime(2024, 1, 15, 8, 30),  # noqa: DTZ001  # a spreadsheet's cell has no zone
    ],
)
def test_a_day_is_read_in_every_form(value: str | float | date) -> None:
    assert stated_date(value) == StatedDate("2024-01-15", Precision.DAY)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024年1月", ("2024-01", Precision.MONTH)),
        ("2024-1", ("2024-01", Precision.MONTH)),
        ("2024年12月份", ("2024-12", Precision.MONTH)),
        ("2024年", ("2024", Precision.YEAR)),
        ("2024年度", ("2024", Precision.YEAR)),
        (2024, ("2024", Precision.YEAR)),
    ],
)
def test_what_was_not_stated_is_not_made_up(value: str | float, expected: tuple[str, Precision]) -> None:
    assert stated_date(value) == expected
    assert stated_date(value).first_day.day == 1


@pytest.mark.parametrize("text", ["24.3.15", "24-3-15", "24/03/15", "24年3月15日", "24年3月", "240315", "'24.3.15"])
def test_a_two_digit_year_is_ambiguous(text: str) -> None:
    with pytest.raises(DateAmbiguous):
        stated_date(text)


@pytest.mark.parametrize(
    "value",
    ["2024-13-01", "2023-02-29", "2024-1/15", "长期", "", "15/1/2024", "0001-01-01", "9999年", 0, -5, float("nan")],
)
def test_what_is_no_day_is_refused_without_repeating_it(value: str | float) -> None:
    with pytest.raises(DateUnreadable) as refused:
        stated_date(value)
    assert not isinstance(refused.value, DateAmbiguous)
    assert not str(value) or str(value) not in str(refused.value)


def test_serials_pass_over_the_leap_day_that_never_was() -> None:
    assert (from_serial(1), from_serial(59), from_serial(61)) == (date(1900, 1, 1), date(1900, 2, 28), date(1900, 3, 1))
    assert from_serial(2_958_465) == date(9999, 12, 31)
    with pytest.raises(DateUnreadable, match="never was"):
        from_serial(60)
