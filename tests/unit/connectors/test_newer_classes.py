"""The twelve newer classes: each header is read as one kind and no other, each cell as its field's type."""

import re
from collections.abc import Mapping
from datetime import date
from uuid import UUID

import pandas as pd
import pytest

from connectors import cleaning, days, layout, reading, source
from connectors.layout import find
from connectors.normalise import TableOutcome
from connectors.recording import identifiers, new_records
from registry import catalogue
from registry.catalogue import FieldSpec
from registry.identifiers import SubjectKind
from registry.records import NewRecord
from tests.unit.connectors.sample_headers import HEADERS, ORGANISATION
from tests.unit.connectors.tables import Cell, codes, csv, person, table

_EXACT = re.compile(r"-?[0-9]+(\.[0-9]{1,6})?")


def quoted(cell: Cell) -> str:
    return f'"{cell}"'


def sample(kind: str, **changed: Cell) -> TableOutcome:
    """The sample table of a kind, with cells changed by heading."""
    name, row = HEADERS[kind]
    row = row | changed
    return table(csv([list(row), [quoted(cell) for cell in row.values()]]), name)


def only(outcome: TableOutcome) -> NewRecord:
    owners = {one.text: UUID(int=number) for number, one in enumerate(identifiers(outcome.frame), 1)}
    (record,) = new_records(outcome.frame, outcome, owners)
    return record


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_read_as_its_kind_and_a_row_without_fault_is_accepted(kind: str) -> None:
    outcome = sample(kind)
    assert (outcome.kind, outcome.blocked, outcome.unread) == (kind, None, ())
    assert codes(outcome) == {}
    assert outcome.counts["accepted"] == 1


@pytest.mark.parametrize("kind", HEADERS)
def test_no_other_declaration_comes_near_the_header(kind: str) -> None:
    name, row = HEADERS[kind]
    (grid,) = reading.read(csv([list(row), [quoted(cell) for cell in row.values()]]))
    everything = source.current()
    columns: dict[str, int] = {}
    for each in everything.sources:
        for one in each.tables:
            alone = source.Declarations((each.model_copy(update={"tables": [one]}),), (), everything.catalogue)
            found = find(grid, alone, name)
            columns[one.kind] = 0 if found is None else len(found.uses)
    ours = columns.pop(kind)
    assert max(columns.values()) <= ours // 2
    assert layout.elsewhere(grid, everything) is None


def fits(value: object, spec: FieldSpec) -> bool:
    """Whether a value is held as its field's type says."""
    if spec.type in {"fen", "mu4", "int"}:
        return type(value) is int
    if spec.type == "bool":
        return type(value) is bool
    forms: Mapping[str, str] = {
        "date": r"\d{4}-\d{2}(-\d{2})?",
        "month": r"\d{4}-\d{2}",
        "ear_tag": r"[123]\d{14}",
        "rate6": _EXACT.pattern,
        "percent": _EXACT.pattern,
        "enum": "|".join(map(re.escape, spec.values)),
    }
    return type(value) is str and re.fullmatch(forms.get(spec.type, r".+"), value) is not None


@pytest.mark.parametrize("kind", HEADERS)
def test_every_field_of_a_record_is_held_as_its_type_says(kind: str) -> None:
    record, fields = only(sample(kind)), catalogue.current().kinds[kind].fields
    assert record.payload
    assert {name for name, value in record.payload.items() if not fits(value, fields[name])} == set()


def test_what_cells_say_is_what_the_record_holds() -> None:
    assert dict(only(sample("PRICE")).payload) == {
        "region_code": "630100",
        "market": "仁杰市场",
        "product_name": "牦牛肉",
        "price_unit": "公斤",
        "price_kind": "批发价",
        "price": 7650,
        "price_date": "2026-03-25",
        "quarter_change": "-0.152",
    }
    grass = only(sample("GRASS")).payload
    assert (grass["balance_kept"], grass["patrol"], grass["grass_year"]) == (True, False, 2025)
    assert only(sample("TAX_PAYMENT")).payload["tax_month"] == "2026-03"
    assert only(sample("TAX_PAYMENT")).period == "2026-03"
    assert only(sample("TAX_PAYMENT")).valid_from == date(2026, 3, 1)
    assert only(sample("LOAN_EVENT")).payload["loan_rate"] == "0.0435"
    assert only(sample("BIZ_REG")).payload["phone"] == "0971-6123456"


@pytest.mark.parametrize(
    ("kind", "heading", "cell", "code"),
    [
        ("LIVESTOCK_TAG", "耳标号", "26327010000001", "EAR_TAG_MALFORMED"),
        ("LIVESTOCK_TAG", "耳标号", "463270100000001", "EAR_TAG_MALFORMED"),
        ("LIVESTOCK_TAG", "耳标号", "", "EAR_TAG_MALFORMED"),
        ("LIVESTOCK_TAG", "耳标号", "2.6327E+14", "ID_PRECISION_LOST"),
        ("LIVESTOCK_TAG", "耳标号", "363270100000001", "EAR_TAG_SPECIES"),
        ("METEO", "区划代码", "639999", "REGION_UNKNOWN"),
        ("METEO", "区划代码", "", "REGION_UNKNOWN"),
        ("METEO", "区划代码", "632721", "REGION_RETIRED"),
        ("METEO", "积雪深度(cm)", "很深", "AMOUNT_MALFORMED"),
        ("METEO", "预警级别", "紫色", "UNKNOWN_CATEGORY"),
        ("PRICE", "价格(元/公斤)", "—", "AMOUNT_MISSING"),
        ("PRICE", "计价单位", "万元/吨", "UNKNOWN_CATEGORY"),
        ("PRICE", "较上季度涨跌幅", "下降", "AMOUNT_MALFORMED"),
        ("BIZ_REG", "联系电话", "123", "PHONE_MALFORMED"),
        ("BIZ_REG", "统一社会信用代码", "93632801000000051U", "USCC_CHECK_FAILED"),
        ("BIZ_NOTICE", "移出日期", "2025-06-01", "PERIOD_INVERTED"),
        ("TAX_PAYMENT", "所属月份", "2026", "DATE_MALFORMED"),
        ("TAX_PAYMENT", "所属月份", "26-03", "DATE_AMBIGUOUS"),
        ("TAX_PAYMENT", "是否非正常户", "也许", "UNKNOWN_CATEGORY"),
        ("TAX_PAYMENT", "纳税人识别号", person(3)[:-1] + "0", "ID_CHECK_FAILED"),
        ("TAX_PAYMENT", "纳税人识别号", ORGANISATION[:-1] + "1", "USCC_CHECK_FAILED"),
        ("TAX_PAYMENT", "纳税人识别号", "", "ID_MALFORMED"),
        ("TAX_PAYMENT", "纳税人名称", "张生莲;马国庆", "MULTIPLE_PERSONS"),
        ("TAX_CREDIT", "纳税信用等级", "E级", "UNKNOWN_CATEGORY"),
        ("AGRI_INS_POLICY", "保费(元)", "15481", "AMOUNT_MISMATCH"),
        ("AGRI_INS_POLICY", "终保日期", "2025-12-31", "PERIOD_INVERTED"),
        ("SOC_INS", "断缴月数", "两", "AMOUNT_MALFORMED"),
    ],
)
def test_a_fault_ends_under_its_code(kind: str, heading: str, cell: str, code: str) -> None:
    assert codes(sample(kind, **{heading: cell})) == {code: 1}


def test_a_row_is_about_whom_its_number_names() -> None:
    kinds = {kind: sample(kind).frame["subject_kind"].tolist() for kind in ("TAX_PAYMENT", "TAX_CREDIT", "METEO")}
    assert kinds == {"TAX_PAYMENT": ["person"], "TAX_CREDIT": ["organisation"], "METEO": ["region"]}
    (region,) = identifiers(sample("METEO").frame)
    assert (region.kind, region.text) == (SubjectKind.REGION, "632701")


@pytest.mark.parametrize(("kind", "basis"), [("JUDICIAL", "public"), ("METEO", "public"), ("BIZ_REG", "organisation")])
def test_what_needs_no_consent_says_on_which_ground_it_is_held(kind: str, basis: str) -> None:
    name, row = HEADERS[kind]
    outcome = table(csv([list(row), [quoted(cell) for cell in row.values()]]), name, basis_of=nobody_may_ask)
    assert [text.partition(":")[0] for text in outcome.frame["basis"]] == [basis]
    if basis == "public":
        assert outcome.frame["basis"].tolist() == [f"public:{catalogue.current().kinds[kind].legal_basis}"]


def nobody_may_ask(*_: object) -> list[None]:
    raise AssertionError("whose data needs no consent is not asked about")


CONTRACT = ["合同编号", "发包方", "组织机构代码", "承包方", "承包方身份证号", "起始日期", "终止日期"]
SIGNED = ["HT-1", "井尔沟股份经济合作社", "N2630203000000019A", "张生莲", person(1), "2024-01-01", "2028-12-31"]


@pytest.mark.parametrize(
    ("headings", "cells", "fee", "amount"),
    [
        (["年收益(元)"], ["1200"], 120_000, None),
        (["合同金额(元)"], ["6000"], None, 600_000),
        (["年收益(元)", "合同金额(元)"], ["1200", "6000"], 120_000, 600_000),
        (["年收益(元)", "合同金额(元)"], ["-", "6000"], None, 600_000),
    ],
)
def test_a_contract_states_a_yearly_fee_or_its_whole_amount_and_neither_is_taken_for_the_other(
    headings: list[str], cells: list[str], fee: int | None, amount: int | None
) -> None:
    outcome = table(csv([[*CONTRACT, *headings], [*SIGNED, *cells]]), "平安区_集体经济合同_2026.csv")
    assert (outcome.kind, codes(outcome)) == ("SANZI_CONTRACT", {})
    payload = only(outcome).payload
    assert (payload.get("annual_fee"), payload.get("contract_amount")) == (fee, amount)


@pytest.mark.parametrize(("cells", "code"), [(["-", "-"], "AMOUNT_MISSING"), (["#REF!", ""], "CELL_ERROR")])
def test_a_contract_that_states_neither_is_rejected(cells: list[str], code: str) -> None:
    rows = [[*CONTRACT, "年收益(元)", "合同金额(元)"], [*SIGNED, *cells]]
    assert codes(table(csv(rows), "平安区_集体经济合同_2026.csv")) == {code: 1}


def test_an_old_nine_character_organisation_code_is_no_credit_code() -> None:
    rows = [[*CONTRACT, "年收益(元)"], [*SIGNED[:2], "00000001-9", *SIGNED[3:], "1200"]]
    assert codes(table(csv(rows), "平安区_集体经济合同_2026.csv")) == {"USCC_CHECK_FAILED": 1}


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2026-03", "2026-03"),
        ("2026年3月", "2026-03"),
        ("202603", "2026-03"),
        ("2026/3/15", "2026-03"),
        ("—", ""),
        ("202613", ""),
        ("2026", ""),
        ("三月", ""),
    ],
)
def test_months_are_read_as_offices_write_them(text: str, month: str) -> None:
    assert days.calendar_months(pd.Series([text], dtype="str")).iso.tolist() == [month]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("13897000000", "13897000000"),
        ("+86 138-9700-0000", "13897000000"),
        ("0971-6123456", "0971-6123456"),
        ("(0971)6123456", "0971-6123456"),
        ("12897000000", ""),
        ("无", ""),
    ],
)
def test_telephone_numbers_are_held_in_one_form_or_not_at_all(text: str, held: str) -> None:
    assert cleaning.phones(pd.Series([text], dtype="str"))[0].tolist() == [held]


@pytest.mark.parametrize(("text", "held"), [("是", "true"), ("√", "true"), ("无", "false"), ("—", ""), ("也许", "")])
def test_yes_and_no_are_read_and_nothing_is_guessed(text: str, held: str) -> None:
    read, outside = cleaning.flags(pd.Series([text], dtype="str"))
    assert read.tolist() == [held]
    assert outside.tolist() == [text == "也许"]
