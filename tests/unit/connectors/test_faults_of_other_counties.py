"""Each fault ends with its code, whatever else the row has; the order of the codes is the register's."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from connectors.codes import BY_NAME, REGISTER, Outcome
from connectors.normalise import TableOutcome
from registry.basis import Basis, BasisKind
from tests.unit.connectors.consent_register import nobody
from tests.unit.connectors.tables import Cell, codes, csv, person, table, xlsx

HEADER = [
    "身份证号",
    "姓名",
    "乡镇",
    "村",
    "村代码",
    "面积(亩)",
    "标准(元/亩)",
    "金额(元)",
    "银行账号",
    "发放日期",
    "发放状态",
]
GOOD: dict[str, Cell] = {
    "身份证号": person(1),
    "姓名": "张生莲",
    "乡镇": "北山乡",
    "村": "庄子沟村",
    "村代码": "630222201201",
    "面积(亩)": "10",
    "标准(元/亩)": "78.6",
    "金额(元)": "786",
    "银行账号": "6239990000000000018",
    "发放日期": "2026-04-15",
    "发放状态": "已发放",
}


def subsidy(*changes: dict[str, Cell], **how: Any) -> TableOutcome:
    rows = [[(GOOD | change)[name] for name in HEADER] for change in changes]
    return table(csv([HEADER, *rows]), "民和县_种粮补贴_2026.csv", **how)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"身份证号": "63022219800102000O"}, "ID_MALFORMED"),
        ({"身份证号": "63022219800102"}, "ID_MALFORMED"),
        ({"身份证号": ""}, "ID_MALFORMED"),
        ({"身份证号": "630222199901010002"}, "ID_CHECK_FAILED"),
        ({"身份证号": "63020319991301000X"}, "ID_CHECK_FAILED"),
        ({"身份证号": "6.30222E+17"}, "ID_PRECISION_LOST"),
        ({"银行账号": "6.23999E+18"}, "ID_PRECISION_LOST"),
        ({"金额(元)": "—"}, "AMOUNT_MISSING"),
        ({"金额(元)": ""}, "AMOUNT_MISSING"),
        ({"金额(元)": "若干"}, "AMOUNT_MALFORMED"),
        ({"金额(元)": "786.005"}, "AMOUNT_MALFORMED"),
        ({"面积(亩)": "十来亩"}, "AMOUNT_MALFORMED"),
        ({"发放日期": "26.4.15"}, "DATE_AMBIGUOUS"),
        ({"发放日期": "2026-02-30"}, "DATE_MALFORMED"),
        ({"金额(元)": "#REF!"}, "CELL_ERROR"),
        ({"身份证号": "#N/A"}, "CELL_ERROR"),
        ({"发放状态": "#N/A"}, None),
        ({"金额(元)": "786.02"}, "AMOUNT_MISMATCH"),
        ({"金额(元)": "786.01"}, None),
        ({"村代码": "630222201999"}, "VILLAGE_UNKNOWN"),
        ({"村代码": ""}, None),
        ({"村代码": "", "村": "没有的村"}, "VILLAGE_UNKNOWN"),
        ({"村代码": "", "乡镇": "", "村": "庄子沟村"}, "VILLAGE_UNKNOWN"),
        ({"姓名": "扎西;卓玛"}, "MULTIPLE_PERSONS"),
        ({"姓名": "尼玛·才让"}, None),
        ({"身份证号": f"{person(1)};{person(2)}"}, "MULTIPLE_PERSONS"),
        ({"发放状态": "待议"}, "UNKNOWN_CATEGORY"),
        ({"银行账号": "6239990000000000019"}, "ACCOUNT_LUHN"),
        ({"银行账号": "01234567890123456"}, None),
        ({"身份证号": "630222800102000"}, "ID_15_CONVERTED"),
        ({"村代码": "632122201201"}, "REGION_RETIRED"),
        ({"身份证号": person(1, prefix="639999")}, "ID_REGION_UNKNOWN"),
        ({"身份证号": person(1, prefix="632123")}, None),
        ({"身份证号": person(1, prefix="410105")}, None),
        ({"身份证号": f"'{person(1)}"}, None),
        ({"身份证号": person(1).translate({ord(d): ord(d) + 0xFEE0 for d in "0123456789X"}) + "\u3000"}, None),
        ({"金额(元)": "柒佰捌拾陆元整"}, None),
        ({"金额(元)": "￥786.00"}, None),
        ({"金额(元)": "７８６"}, None),
        ({"发放日期": "46127"}, None),
        ({"发放日期": "2026年4月15日"}, None),
    ],
)
def test_one_fault_has_one_code(change: dict[str, Cell], code: str | None) -> None:
    outcome = subsidy(change)
    assert codes(outcome) == ({code: 1} if code else {})
    if code:
        assert outcome.counts[BY_NAME[code].outcome.value] == 1


def test_the_first_code_of_the_register_counts() -> None:
    faults: list[dict[str, Cell]] = [
        {"身份证号": "63022219800102000O"},
        {"金额(元)": "—"},
        {"发放日期": "26.4.15"},
        {"村代码": "630222201999"},
        {"姓名": "扎西;卓玛"},
        {"发放状态": "待议"},
        {"银行账号": "6239990000000000019"},
    ]
    ranks = []
    for first in range(len(faults)):
        together: dict[str, Cell] = {}
        for fault in reversed(faults[first:]):
            together |= fault
        (code,) = codes(subsidy(together))
        ranks.append([known.name for known in REGISTER].index(code))
    assert ranks == sorted(ranks)


def test_a_fault_is_named_before_a_missing_consent_and_a_decision_after_it() -> None:
    faults: tuple[dict[str, Cell], ...] = (
        {"金额(元)": "—"},
        {"村代码": "630222201999"},
        {"银行账号": "6239990000000000019"},
        {},
    )
    assert codes(subsidy(*faults, basis_of=nobody)) == {"AMOUNT_MISSING": 1, "NO_CONSENT": 3}


def test_all_people_of_a_row_must_have_consented() -> None:
    def only_first(_: str, identifiers: Sequence[str], __: date) -> list[Basis | None]:
        return [Basis(BasisKind.CONSENT, "c") if one == person(1) else None for one in identifiers]

    assert codes(subsidy({"身份证号": f"{person(1)}、{person(2)}"}, basis_of=only_first)) == {"NO_CONSENT": 1}


def test_the_first_of_two_stays_and_a_row_that_is_no_record_does_not_count() -> None:
    assert codes(subsidy({}, {})) == {"DUPLICATE_IN_BATCH": 1}
    assert codes(subsidy({"金额(元)": "—"}, {})) == {"AMOUNT_MISSING": 1}


def test_a_number_cell_keeps_its_digits_only_up_to_fifteen() -> None:
    header = ["身份证号", "金额(元)"]
    raw = xlsx({"表": [header, [630222198001020000, 1], [630222800102000, 1]]})
    assert codes(table(raw, "表.xlsx")) == {"ID_PRECISION_LOST": 1, "ID_15_CONVERTED": 1}


def test_formula_errors_of_a_workbook_are_seen() -> None:
    raw = xlsx({"表": [["身份证号", "金额(元)"], [person(1), "#N/A"], ["#REF!", 1], [person(2), 1]]})
    assert codes(table(raw, "表.xlsx")) == {"CELL_ERROR": 2}


def test_a_retired_code_is_held_under_its_successor() -> None:
    assert subsidy({"村代码": "632122201201"}).frame["region_code"][0] == "630222201201"


RATING = ["身份证号", "评分", "信用等级", "评定日期", "有效期至", "公示起止"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (["95", "AAA", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], None),
        (["80", "AA", "2026-05-20", "2027-05-19", "2026.5.10-5.16"], None),
        (["79.99", "ＡＡ", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "GRADE_SCORE_MISMATCH"),
        (["59", "不予评定", "2026-05-20", "2027-05-19", "2026年5月10日至2026年5月16日"], None),
        (["100.5", "AAA", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "SCORE_OUT_OF_RANGE"),
        (["-1", "AAA", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "SCORE_OUT_OF_RANGE"),
        (["", "AAA", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "SCORE_OUT_OF_RANGE"),
        (["#REF!", "AAA", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "CELL_ERROR"),
        (["95", "特级", "2026-05-20", "2027-05-19", "2026.5.10-2026.5.16"], "UNKNOWN_CATEGORY"),
        (["95", "AAA", "2026-05-20", "2026-05-19", "2026.5.10-2026.5.16"], "PERIOD_INVERTED"),
        (["95", "AAA", "2026-05-20", "2027-05-19", ""], "PUBLICITY_MISSING"),
        (["95", "AAA", "", "2027-05-19", "2026.5.10-2026.5.16"], "DATE_MALFORMED"),
    ],
)
def test_a_rating_is_held_to_its_scheme(row: list[Cell], code: str | None) -> None:
    outcome = table(csv([RATING, [person(1), *row]]), "刚察县_信用户评定.csv")
    assert codes(outcome) == ({code: 1} if code else {})


FUND = ["村集体经济组织", "统一社会信用代码", "户名", "账号", "银行余额(元)", "账面余额(元)"]
USCC = "N2630203000000019A"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (["井尔沟股份经济合作社", USCC, "井尔沟股份经济合作社", "820137", "1", "1"], None),
        (["井尔沟村委会", USCC, "平安区洪水泉乡井尔沟村股份经济合作社", "820137", "1", "1"], None),
        (["井尔沟股份经济合作社", USCC, "张生莲", "820137", "1", "1"], "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT"),
        (
            ["井尔沟股份经济合作社", USCC, "北岭股份经济合作社", "820137", "1", "1"],
            "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT",
        ),
        (["井尔沟股份经济合作社", USCC, "井尔沟股份经济合作社", "820137", "1", "2"], "BALANCE_DIFFERENCE"),
        (["井尔沟股份经济合作社", USCC[:-1] + "B", "井尔沟股份经济合作社", "820137", "1", "1"], "USCC_CHECK_FAILED"),
        (["井尔沟股份经济合作社", "", "井尔沟股份经济合作社", "820137", "1", "1"], "USCC_CHECK_FAILED"),
    ],
)
def test_collective_funds_lie_in_the_collectives_account(row: list[Cell], code: str | None) -> None:
    outcome = table(csv([FUND, row]), "平安区_三资_2026年第一季度.csv", basis_of=nobody)
    assert codes(outcome) == ({code: 1} if code else {})


def test_a_net_value_is_what_is_left() -> None:
    header = ["统一社会信用代码", "资产名称", "资产类别", "原值(万元)", "累计折旧(万元)", "净值(万元)"]
    rows = [[USCC, "冷库", "机器设备", "10", "1", "9"], [USCC, "冷库", "机器设备", "10", "1", "8.999998"]]
    outcome = table(csv([header, *rows, rows[0]]), "资产.csv")
    assert codes(outcome) == {"NET_VALUE_MISMATCH": 1}
    assert outcome.frame["ordinal"].tolist() == [1, 2, 3]


def test_a_contract_is_the_persons_or_the_collectives() -> None:
    header = ["合同编号", "统一社会信用代码", "承包方", "承包方证件号码", "年租金(元)", "起始日期", "终止日期"]
    rows = [
        ["1", USCC, "东成录", person(1), "100", "2024-01-01", "2033-12-31"],
        ["2", USCC, "某某农牧有限公司", "93632801000000051T", "100", "2024-01-01", "2033-12-31"],
        ["3", USCC, "某某农牧有限公司", "93632801000000051T", "100", "2024-01-01", "2023-12-31"],
        ["4", USCC, "东成录", "", "100", "2024-01-01", "2033-12-31"],
        ["5", USCC, "东成录", "630222199901010002", "100", "2024-01-01", "2033-12-31"],
    ]
    outcome = table(csv([header, *rows]), "合同.csv")
    assert codes(outcome) == {"PERIOD_INVERTED": 1, "ID_MALFORMED": 1, "ID_CHECK_FAILED": 1}
    assert outcome.frame["subject_kind"].tolist()[:3] == ["person", "organisation", "organisation"]
    assert outcome.frame["lessee_uscc"][1] == "93632801000000051T"
    assert codes(table(csv([header, *rows[:2]]), "合同.csv", basis_of=nobody)) == {"NO_CONSENT": 1}


def test_a_term_in_one_cell_is_two_dates() -> None:
    header = ["合同编号", "统一社会信用代码", "承租方", "承租方身份证号码", "年租金（元）", "承包期限"]
    rows = [
        ["1", USCC, "甲", person(1), "100", "2024-01-01至2033-12-31"],
        ["2", USCC, "甲", person(2), "100", "2024.1.1-2023.12.31"],
    ]
    outcome = table(csv([header, *rows]), "合同台账.csv")
    assert outcome.frame["end_on"].tolist() == ["2033-12-31", "2023-12-31"]
    assert codes(outcome) == {"PERIOD_INVERTED": 1}


def test_codes_are_registered_once_with_cause_and_mend_in_both_languages() -> None:
    assert len({code.name for code in REGISTER}) == len(REGISTER)
    for code in REGISTER:
        for words in (code.cause, code.mend):
            assert words.zh
            assert words.en.translate({ord(sign): None for sign in "…×"}).isascii()
    order = [code.outcome for code in REGISTER]
    assert order == sorted(order, key=[Outcome.REJECTED, Outcome.QUARANTINED, Outcome.WARNED, Outcome.BLOCKED].index)
