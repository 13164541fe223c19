"""Identifiers of the sandbox: they check by the public texts, and the broken ones do not."""

from datetime import date

import pytest

from sandbox import numbers


@pytest.mark.parametrize(
    ("division", "born", "expected"),
    [
        ("630222", date(1999, 1, 1), "630222199901010001"),
        ("632721", date(1985, 3, 2), "63272119850302000X"),
        ("630203", date(1976, 6, 15), "630203197606150003"),
        ("632123", date(1980, 12, 31), "632123198012310002"),
        ("630102", date(1988, 2, 29), "630102198802290006"),
    ],
)
def test_a_resident_id_is_the_published_vector(division: str, born: date, expected: str) -> None:
    assert numbers.resident_id(division, born) == expected


@pytest.mark.parametrize(
    ("kind", "division", "serial", "expected"),
    [
        ("N2", "630203", 1, "N2630203000000019A"),
        ("N2", "632721", 2, "N2632721000000027R"),
        ("N1", "630222", 3, "N1630222000000035K"),
        ("N3", "632521", 4, "N36325210000000432"),
        ("93", "632801", 5, "93632801000000051T"),
        ("11", "630000", 6, "1163000000000006XG"),
    ],
)
def test_a_credit_code_is_the_published_vector(kind: str, division: str, serial: int, expected: str) -> None:
    assert numbers.credit_code(kind, division, serial) == expected


def test_a_card_number_is_the_published_vector() -> None:
    assert numbers.card_number(1) == "6239990000000000018"


def test_no_number_can_be_a_persons() -> None:
    assert numbers.resident_id("630222", date(1999, 1, 1))[14:17] == "000"


def test_the_old_form_loses_the_century_and_the_check() -> None:
    assert numbers.old_resident_id("632123198012310002") == "632123801231000"


@pytest.mark.parametrize("text", ["630222199901010001", "63272119850302000X", "N2630203000000019A"])
def test_a_wrong_end_is_one_character_off(text: str) -> None:
    wrong = numbers.with_wrong_end(text)
    assert wrong != text
    assert wrong[:-1] == text[:-1]
