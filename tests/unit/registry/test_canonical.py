"""Canonical bytes, base64 in one spelling, the clock, the basis."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from orjson import Fragment

from registry.basis import Basis, BasisKind
from registry.canonical import (
    JSON,
    b64,
    b64url,
    canonical,
    canonical_array,
    canonical_each,
    canonical_object,
    unb64,
    unb64url,
)
from registry.clock import BEIJING, beijing_day, now, rfc3339
from registry.errors import CanonicalError


class Mode(StrEnum):
    ONE = "one"


class Count(IntEnum):
    ONE = 1


def test_keys_are_sorted_and_nothing_is_added() -> None:
    assert (
        canonical({"b": [1, True, None], "a": {"z": "青", "A": ""}})
        == '{"a":{"A":"","z":"青"},"b":[1,true,null]}'.encode()
    )


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        Decimal(1),
        2**53,
        -(2**53),
        b"x",
        date(2026, 1, 1),
        {"ключ": 1},
        {1: 2},
        {"a": [{"b": 1.5}]},
        {1, 2},
        "\ud800",
        object(),
    ],
)
def test_what_two_programs_could_write_differently_is_refused(value: Any) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, UUID(int=1), Mode.ONE, Fragment(b"1"), Count(1)])
def test_what_the_writer_would_write_and_the_profile_does_not_know_is_refused(value: Any) -> None:
    places: list[Any] = [value, [value], (value,), {"a": value}, {"a": [1, {"b": ["x", value]}]}]
    for held in places:
        with pytest.raises(CanonicalError):
            canonical(held)
    with pytest.raises(CanonicalError):
        canonical_object({"a": value}, {})


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CanonicalError):
        canonical(value)


def test_an_object_put_together_is_the_object_written_whole() -> None:
    whole: dict[str, JSON] = {"b": [1, "青"], "a": {"z": None}, "c": True}
    parts = {name: canonical(value) for name, value in whole.items()}
    assert canonical_object({}, parts) == canonical(whole)
    assert canonical_object({"b": [1, "青"]}, {"a": parts["a"], "c": parts["c"]}) == canonical(whole)
    assert canonical_array(parts.values()) == canonical(list(whole.values()))
    with pytest.raises(CanonicalError):
        canonical_object({}, {"ключ": b"1"})


def test_the_largest_exact_integers_are_written() -> None:
    assert canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


def test_base64_has_one_spelling_for_one_byte_string() -> None:
    assert unb64url(b64url(b"\xfb\xff")) == b"\xfb\xff"
    assert unb64(b64(b"\xfb\xff")) == b"\xfb\xff"
    for text in ("-_8=", "-_9", "+/8", "a", "-_8\n"):
        with pytest.raises(ValueError, match="base64url"):
            unb64url(text)
    for text in ("+/8", "+/9=", "-_8=", "a"):
        with pytest.raises(ValueError, match="base64"):
            unb64(text)


def test_an_instant_is_written_in_one_way() -> None:
    at = datetime(2026, 6, 15, 10, 3, 4, 5, tzinfo=BEIJING)
    assert rfc3339(at) == "2026-06-15T02:03:04.000005Z"
    assert rfc3339(datetime(2026, 6, 15, tzinfo=UTC)) == "2026-06-15T00:00:00.000000Z"
    assert rfc3339(datetime(2026, 6, 15, tzinfo=timezone(timedelta(0)))) == "2026-06-15T00:00:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        rfc3339(datetime(2026, 6, 15))  # noqa: DTZ001  # the mistake under test


def test_a_day_begins_in_beijing() -> None:
    assert beijing_day(datetime(2026, 6, 14, 16, tzinfo=UTC)) == date(2026, 6, 15)
    assert now().tzinfo is UTC


@pytest.mark.parametrize("text", ["consent:6f1c2a34-0000-4000-8000-000000000001", "statute:农村集体经济组织法 §43"])
def test_a_basis_is_read_as_it_is_written(text: str) -> None:
    assert Basis.parse(text).text == text


@pytest.mark.parametrize("text", ["", "consent", "consent:", "guess:x", "consent:\n", "statute:" + "x" * 201])
def test_a_basis_that_points_to_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"basis|BasisKind"):
        Basis.parse(text)


def test_the_kinds_of_basis_are_those_of_the_design() -> None:
    assert {kind.value for kind in BasisKind} == {"consent", "statute", "public", "organisation"}


@pytest.mark.parametrize(
    "values",
    [
        ["", ",", '"', '","', "\\", '\\"', '"', ",", "", "青\n", ',"', '",'],
        [",", '","'],
        [""],
        [],
        [1, -1, True, None, 2**53 - 1],
        ["a", None, 1],
    ],
)
def test_many_scalars_are_written_as_each_alone(values: list[str | int | None]) -> None:
    assert canonical_each(values) == [canonical(value) for value in values]


@pytest.mark.parametrize("values", [["\ud800"], [2**53], ["a", "\ud800"], [1, 2**53]])
def test_a_scalar_outside_the_profile_is_refused_among_many(values: list[str | int]) -> None:
    with pytest.raises(CanonicalError):
        canonical_each(values)
