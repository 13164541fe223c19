"""A label holds no identifier, and of everything else in a name nothing is lost."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.labels import MASK, nameless, of_table
from registry.identifiers import resident_check
from tests.checked import organisation, person

ID = person(3).text
OLD = "632721850302001"


@pytest.mark.parametrize(
    "identifier",
    [
        ID,
        ID[:-1] + "X",
        ID[:-1] + "x",
        OLD,
        f"{ID[:6]} {ID[6:14]} {ID[14:]}",
        f"{ID[:6]}-{ID[6:14]}-{ID[14:]}",
        "".join(chr(ord(one) + 0xFEE0) for one in ID),
        organisation(7).text,
        organisation(7).text.lower(),
        "6228480402564890018",
        "6228 4804 0256 4890 018",
        "6228480402564890",
        "13997012345",
        "139-9701-2345",
        "8613997012345",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "{}.xlsx", "扎西{}", "扎西{}补贴名册.xlsx", "ID{}", "2025年{}（2）.xlsx", "{}、{}"]
)
def test_an_identifier_in_a_name_is_made_unreadable(identifier: str, around: str) -> None:
    label = nameless(around.format(identifier, identifier))
    assert identifier not in label
    assert label == around.format(MASK + identifier[-2:], MASK + identifier[-2:])


@pytest.mark.parametrize(
    "name",
    [
        "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx",
        "名册20250630.xlsx",
        "名册20250630120000.csv",
        "2025-06-30至2025-07-01.xlsx",
        "20250630-20250701.xlsx",
        "632722101200_隆宝镇.xlsx",
        "村委会电话0976-8822222.xlsx",
        "青财农字〔2021〕1245号.xlsx",
        "(1)(2)(3).xlsx",
        "བོད་ཡིག.csv",
        "",
    ],
)
def test_a_name_without_an_identifier_stays_as_it_is(name: str) -> None:
    assert nameless(name) == name


def test_two_sheets_that_are_called_by_identifiers_have_labels_of_their_own() -> None:
    assert of_table("x.xlsx", ID, 1) == "x.xlsx#第1张"
    assert of_table("x.xlsx", ID, 2) == "x.xlsx#第2张"
    assert of_table("x.xlsx", "隆宝镇", 2) == "x.xlsx#隆宝镇"


@given(st.text(max_size=40), st.dates(min_value=date(1930, 1, 1)), st.integers(0, 999), st.text(max_size=40))
def test_no_resident_id_survives_whatever_stands_around_it(before: str, born: date, order: int, after: str) -> None:
    body = f"632721{born:%Y%m%d}{order:03d}"
    identifier = body + resident_check(body)
    assert identifier not in nameless(f"{before}{identifier}{after}")


@given(st.text(max_size=60))
def test_a_label_is_its_own_label(name: str) -> None:
    once = nameless(name)
    assert nameless(once) == once
    if not re.search(r"\d", name):
        assert once == name
