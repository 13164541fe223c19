"""Round trips and refusals that hold for every identifier, amount, date and canonical value."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.canonical import b64url, canonical, canonical_object, unb64url
from registry.clock import rfc3339
from registry.commitments import commit_fields
from registry.dates import Precision, from_serial, stated_date
from registry.errors import CanonicalError, DateUnreadable, InexactAmount, MalformedIdentifier, RegistryError
from registry.identifier_columns import Verdict, credit_codes, resident_ids
from registry.identifiers import (
    CREDIT_ALPHABET,
    CREDIT_WEIGHTS,
    CreditCode,
    ResidentId,
    normalise,
    organisation_check,
    resident_check,
)
from registry.quantities import fen, mu4
from registry.suites import gm, intl, unseal

DAY = date(2026, 6, 15)
births = st.dates(date(1910, 1, 1), date(2026, 1, 1))
residents = st.builds(
    lambda region, birth, sequence: (body := f"{region:06}{birth:%Y%m%d}{sequence:03}") + resident_check(body),
    st.integers(110_000, 659_999),
    births,
    st.integers(0, 999),
)


def credit(head: str, region: int, organisation: str) -> str:
    body = f"{head}{region:06}{organisation}{organisation_check(organisation)}"
    total = sum(
        CREDIT_ALPHABET.find(character) * weight for character, weight in zip(body, CREDIT_WEIGHTS, strict=True)
    )
    return body + CREDIT_ALPHABET[-total % 31]


credits_ = st.builds(
    credit,
    st.sampled_from(["N1", "N2", "N3", "91", "93", "11", "54"]),
    st.integers(630_000, 639_999),
    st.text(CREDIT_ALPHABET, min_size=8, max_size=8),
).filter(lambda code: code[16] in CREDIT_ALPHABET)


@given(residents)
def test_every_well_made_resident_id_is_read_and_no_neighbour_of_it(text: str) -> None:
    found = ResidentId.parse(text, on=DAY)
    assert (found.text, found.birth) == (text, date.fromisoformat(text[6:14]))
    other = "0123456789X"[("0123456789X".index(text[17]) + 1) % 11]
    with pytest.raises(MalformedIdentifier):
        ResidentId.parse(text[:17] + other)


@given(residents, st.integers(0, 16))
def test_two_digits_swapped_are_found(text: str, place: int) -> None:
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if swapped != text:
        with pytest.raises(MalformedIdentifier):
            ResidentId.parse(swapped)


@given(credits_)
def test_every_well_made_credit_code_is_read(text: str) -> None:
    assert CreditCode.parse(f" {text.lower()} ").text == text


def refusal(read: Callable[[str], object], text: str) -> str:
    """What a reader says when it refuses a text, or nothing; any other failure is the test's."""
    try:
        read(text)
    except RegistryError as refused:
        return str(refused)
    return ""


@given(st.text(min_size=5, max_size=24))
def test_any_text_is_an_identifier_or_refused_and_never_repeated(text: str) -> None:
    assert text not in refusal(ResidentId.parse, text)
    assert text not in refusal(CreditCode.parse, text)


@given(st.text(max_size=24))
@example("R\u00b8")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


mixed = st.lists(residents | credits_ | st.text("0123456789X x-'", max_size=20) | st.none(), max_size=30)


@settings(deadline=None)
@given(mixed)
def test_columns_and_single_identifiers_agree(texts: list[str | None]) -> None:
    column = pd.Series(texts, dtype="str")
    for kind, judged in ((ResidentId, resident_ids(column)), (CreditCode, credit_codes(column))):
        for text, verdict, found in zip(texts, judged.verdict, judged.text, strict=True):
            try:
                expected = kind.parse(text or "").text
            except MalformedIdentifier:
                assert verdict in {Verdict.MALFORMED, Verdict.CHECK_FAILED, Verdict.MISSING}
                assert pd.isna(found)
            else:
                assert verdict in {Verdict.VALID, Verdict.CONVERTED}
                assert found == expected


@given(st.decimals(-(10**12), 10**12, places=2))
def test_every_amount_of_whole_fen_is_exact_in_every_spelling(amount: Decimal) -> None:
    cents = int(amount * 100)
    assert fen(str(amount)) == fen(f"{amount:,}") == fen(f"￥{amount}") == cents
    assert fen(f"{amount / 10_000:f}", "万元") == cents
    if cents < 0:
        assert fen(f"({-amount:,})") == cents


@given(st.decimals(-(10**9), 10**9, places=6))
def test_an_amount_is_exact_or_refused(amount: Decimal) -> None:
    if amount * 100 == (amount * 100).to_integral_value():
        assert fen(f"{amount:f}") == amount * 100
    else:
        with pytest.raises(InexactAmount):
            fen(f"{amount:f}")


@given(st.integers(0, 10**8), st.integers(0, 9999))
def test_areas_of_four_decimals_are_exact(whole: int, part: int) -> None:
    assert mu4(f"{whole}.{part:04}") == whole * 10_000 + part


@given(st.text(min_size=5, max_size=30))
@example("not a")
def test_any_text_is_an_amount_or_a_date_or_refused_and_never_repeated(text: str) -> None:
    """A mark that no message of ours has tells a repeated text from words that happen to be the message's own."""
    for read in (fen, mu4, stated_date):
        refusal(read, text)
        assert "※" not in refusal(read, f"※{text}※")


@given(st.integers(0, 10**14 - 1))
def test_amounts_in_chinese_numerals_are_those_in_digits(amount: int) -> None:
    assert fen(in_chinese(amount)) == amount


def in_chinese(amount: int) -> str:
    """An amount in fen as a cashier writes it."""
    digits = "零壹贰叁肆伍陆柒捌玖"
    written = ""
    for scale, mark in ((10**10, "亿"), (10**6, "万"), (100, "")):
        part = amount // scale % 10_000
        figures = f"{part:04}"
        section = "".join(
            digits[int(figure)] + unit if figure != "0" else "零"
            for figure, unit in zip(figures, "仟佰拾 ", strict=True)
        )
        if part:
            written += (section if written else section.lstrip("零")).replace(" ", "").rstrip("零") + mark
    yuan = f"{written}元" if written else "零元"
    jiao, odd = amount // 10 % 10, amount % 10
    return yuan + (f"{digits[jiao]}角" if jiao else "") + (f"{digits[odd]}分" if odd else "") + "整"


@given(st.dates(date(1850, 1, 1), date(2200, 12, 31)))
def test_every_day_is_read_in_every_form(day: date) -> None:
    year, month, number = day.year, day.month, day.day
    for text in (
        day.isoformat(),
        f"{year}/{month}/{number}",
        f"{year}.{month:02}.{number:02}",
        f"{year}{month:02}{number:02}",
        f"{year}年{month}月{number}日",
    ):
        assert stated_date(text) == (day.isoformat(), Precision.DAY)


@given(st.integers(61, 2_958_465))
def test_serials_count_days(serial: int) -> None:
    assert from_serial(serial) == date(1900, 3, 1) + timedelta(days=serial - 61)


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 28), st.sampled_from("-/."))
def test_no_two_digit_year_is_ever_read(year: int, month: int, day: int, mark: str) -> None:
    with pytest.raises(DateUnreadable):
        stated_date(f"{year:02}{mark}{month}{mark}{day}")


keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@given(values)
def test_canonical_bytes_are_those_of_rfc8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(st.dictionaries(keys, values, max_size=5), st.sets(keys))
def test_an_object_put_together_is_the_object_written_whole(value: dict[str, Any], apart: set[str]) -> None:
    written = {name: canonical(value[name]) for name in value.keys() & apart}
    rest = {name: value[name] for name in value.keys() - apart}
    assert canonical_object(rest, written) == rfc8785.dumps(value)


@given(values, st.sampled_from([1.5, 2.0**53, float("nan"), 2**53, -(2**53), b"x", UUID(int=0)]), st.data())
def test_one_foreign_value_anywhere_is_refused(value: Any, foreign: object, data: st.DataObject) -> None:
    def plant(inner: Any) -> Any:
        if isinstance(inner, list) and inner and data.draw(st.booleans()):
            place = data.draw(st.integers(0, len(inner) - 1))
            return [plant(one) if n == place else one for n, one in enumerate(inner)]
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(inner)))
            return inner | {name: plant(inner[name])}
        return foreign

    with pytest.raises(CanonicalError):
        canonical(plant(value))


@given(st.binary(max_size=80))
def test_base64url_round_trips(data: bytes) -> None:
    assert unb64url(b64url(data)) == data


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # bounds are naive by hypothesis' rule
def test_instants_round_trip(at: datetime) -> None:
    assert datetime.fromisoformat(rfc3339(at)) == at
    assert len(rfc3339(at)) == 27


@given(
    st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.binary(max_size=40), st.sampled_from([intl, gm])
)
def test_whatever_is_sealed_opens(key: bytes, plain: bytes, place: bytes, suite: Any) -> None:
    assert unseal(key, suite.seal(key, plain, place), place) == plain


@given(st.binary(min_size=16, max_size=16), st.dictionaries(keys.filter(bool), scalars, max_size=5))
def test_two_values_never_share_a_commitment(seed: bytes, fields: dict[str, Any]) -> None:
    digests = commit_fields(seed, fields)
    assert len(set(digests.values())) == len(fields)
    assert list(digests) == list(fields)
