"""Columns are judged exactly as single identifiers are."""

from datetime import date

import pandas as pd
import pytest

from registry.errors import IdentifierCheckFailed, MalformedIdentifier
from registry.identifier_columns import (
    JudgedColumn,
    Verdict,
    credit_codes,
    luhn_suspects,
    region_unknown,
    resident_ids,
)
from registry.identifiers import CreditCode, Identifier, ResidentId, resident_check

DAY = date(2026, 6, 15)
RESIDENTS = [
    "11010519491231002X",
    "63272119850302000x",
    "632123801231000",
    "632123801331000",
    "190011801231000",
    "'630203 19760615 0003",
    "６３０２０３１９７６０６１５０００３",
    "630222199901010002",
    "63020319991301000X",
    "630203197802290003",
    "63O203197606150003",
    "63020319760615000Y",
    "63020319760615000²",
    "63020319760615\u0660\u0661\u0662\u0663",
    "6302031976061500",
    "扎西",
    "630222202701010000",
    "630222" + "19000101" + "000" + resident_check("63022219000101000"),
    "630222" + "00000101" + "000" + resident_check("63022200000101000"),
]
CREDITS = [
    "91350100M000100Y43",
    "n2630203000000019a",
    "N2630203 000000019A",
    "N2630203000000019B",
    "N26302O3000000019A",
    "N2A30203000000019A",
    "N263020300000001",
    "某某村",
]


def column(*texts: str | None) -> "pd.Series[str]":
    return pd.Series(list(texts), dtype="str")


def verdict_of(kind: type[Identifier], text: str) -> tuple[Verdict, str | None]:
    try:
        found: Identifier = CreditCode.parse(text) if kind is CreditCode else ResidentId.parse(text, on=DAY)
    except IdentifierCheckFailed:
        return Verdict.CHECK_FAILED, None
    except MalformedIdentifier:
        return Verdict.MALFORMED, None
    converted = isinstance(found, ResidentId) and found.converted
    return (Verdict.CONVERTED if converted else Verdict.VALID), found.text


def judged(found: JudgedColumn) -> list[tuple[Verdict, str | None]]:
    texts = found.text.astype(object).where(found.text.notna(), None).tolist()
    return [(Verdict(verdict), text) for verdict, text in zip(found.verdict, texts, strict=True)]


def test_a_column_of_resident_ids_is_judged_as_each_alone() -> None:
    assert judged(resident_ids(column(*RESIDENTS), on=DAY)) == [verdict_of(ResidentId, text) for text in RESIDENTS]


@pytest.mark.parametrize("text", RESIDENTS)
def test_a_column_of_one_is_judged_the_same(text: str) -> None:
    assert judged(resident_ids(column(text), on=DAY)) == [verdict_of(ResidentId, text)]


def test_a_column_of_credit_codes_is_judged_as_each_alone() -> None:
    assert judged(credit_codes(column(*CREDITS))) == [verdict_of(CreditCode, text) for text in CREDITS]


def test_missing_and_blank_cells_are_neither_valid_nor_malformed() -> None:
    assert judged(resident_ids(column(None, "", " \u200b", "630203197606150003"))) == [
        (Verdict.MISSING, None),
        (Verdict.MISSING, None),
        (Verdict.MISSING, None),
        (Verdict.VALID, "630203197606150003"),
    ]
    assert len(resident_ids(column()).verdict) == 0


def test_rows_keep_their_place_whatever_their_index_and_slice() -> None:
    cells = column(*RESIDENTS, *RESIDENTS)[3:30:2]
    found = resident_ids(cells, on=DAY)
    assert list(found.text.index) == list(range(3, 30, 2))
    assert judged(found) == [verdict_of(ResidentId, text) for text in cells]


def test_without_a_day_nobody_is_too_old_or_unborn() -> None:
    unborn = "63022220270101000" + resident_check("63022220270101000")
    assert resident_ids(column(unborn)).verdict.tolist() == [Verdict.VALID]
    assert resident_ids(column(unborn), on=DAY).verdict.tolist() == [Verdict.CHECK_FAILED]


def test_a_region_that_never_was_is_remarked_and_a_retired_one_is_not() -> None:
    bodies = ["63999919900101000", "63212319900101000", "44052419900101000", "99000019900101000", "00000019900101000"]
    found = resident_ids(column(*(body + resident_check(body) for body in bodies), "x"))
    assert region_unknown(found).tolist() == [True, False, False, False, True, False]


def test_only_what_looks_like_a_card_can_fail_the_card_check() -> None:
    cells = column(
        "6239990000000000018", "6239990000000000019", "1239990000000000019", "62399900000000000x9", "62", None
    )
    assert luhn_suspects(cells).tolist() == [False, True, False, False, False, False]


def test_a_column_shows_nothing_of_its_rows() -> None:
    assert repr(resident_ids(column(*RESIDENTS))) == f"JudgedColumn({len(RESIDENTS)} rows)"
