"""Rows, totals and headings of files that nobody has shown us: no row vanishes, no right file is blocked."""

import pytest

from connectors import reading
from connectors.errors import FileUnreadable
from registry.catalogue import current as catalogue
from tests.unit.connectors.tables import Cell, codes, csv, person, table

HEADER: list[Cell] = ["身份证号", "姓名", "金额(元)"]
REMARKED: list[Cell] = [*HEADER, "备注"]
HOUSEHOLDS: list[Cell] = ["户编码", *HEADER]


def paid(number: int, amount: str | int, name: str = "卓玛") -> list[Cell]:
    return [person(number), name, amount]


@pytest.mark.parametrize(
    "row",
    [
        ["63022219", "卓玛", "10", "含上年合计"],
        ["", "卓玛", "5", "合计一户"],
        ["无", "卓玛", "", "联系电话:139"],
        ["", "会计主管张三", "", "说明：缺证件"],
        ["", "小计划", "5", ""],
        ["", "卓玛", "", ""],
        ["", "会计", "5", "小计"],
        ["", "卓玛", "5", "注：已故"],
    ],
)
def test_one_word_in_a_cell_takes_no_row_away(row: list[Cell]) -> None:
    outcome = table(csv([REMARKED, [*paid(1, 10), ""], row]))
    assert (outcome.blocked, outcome.rows) == (None, 2)
    assert codes(outcome) == {"ID_MALFORMED": 1}


@pytest.mark.parametrize(
    "row",
    [
        ["制表人：张三", "", "审核人：李四"],
        ["单位负责人：", "李四", ""],
        ["", "", "盖章：李四"],
        ["注：本表一式三份", "", ""],
        ["石灰窑村", "", ""],
        ["", "第二社", ""],
        ["（以下空白）", "", ""],
        ["1", "2", "3"],
        ["甲", "乙", "1"],
    ],
)
def test_footers_sections_and_column_numbers_are_no_rows(row: list[Cell]) -> None:
    outcome = table(csv([HEADER, paid(1, 10), row]))
    assert (outcome.blocked, outcome.rows, outcome.counts["accepted"]) == (None, 1, 1)


def test_a_formula_row_under_the_header_is_no_row() -> None:
    raw = csv(
        [
            ["栏次", *HEADER[:2], "面积(亩)", "标准(元/亩)", "金额(元)"],
            ["甲", "乙", "丙", "1", "2", "3=1×2"],
            ["1", person(1), "卓玛", "10", "1", "10"],
        ]
    )
    assert table(raw).counts["accepted"] == 1


def test_a_total_label_may_stand_behind_places_and_running_numbers() -> None:
    raw = csv(
        [
            ["序号", "乡镇", "村", *HEADER],
            ["1", "北山乡", "庄子沟村", *paid(1, 10)],
            ["2", "北山乡", "小计", "", "", "10"],
            ["", "北山乡合计", "", "", "", "10"],
        ]
    )
    assert (table(raw).blocked, table(raw).rows) == (None, 1)


def test_a_total_over_no_rows_is_zero() -> None:
    assert table(csv([HEADER, ["合计", "", "999"]])).blocked == "TOTAL_MISMATCH"


@pytest.mark.parametrize(
    "total",
    [
        ["合计", "", "玖仟元整"],
        ["合计人民币（大写）：玖仟元整", "", ""],
        ["合计人民币（大写）：玖仟元整", "", "10"],
        ["合计", "", "9000.00元"],
        ["合计", "", "0.9万元"],
        ["合计", "", "#REF!"],
        ["合计", "", "约九千"],
    ],
)
def test_a_total_is_read_like_data_and_what_cannot_be_read_does_not_agree(total: list[Cell]) -> None:
    assert table(csv([HEADER, paid(1, 10), total])).blocked == "TOTAL_MISMATCH"


@pytest.mark.parametrize(
    "total",
    [
        ["合计", "", "玖仟元整"],
        ["合计人民币（大写）：玖仟元整", "", "9000.00元"],
        ["合计", "", "0.9万元"],
        ["合计：1户，金额9000元", "", ""],
        ["合计", "—", "—"],
        ["合计（标准7.5元/亩）", "", "9000"],
    ],
)
def test_a_right_total_may_be_written_in_every_way(total: list[Cell]) -> None:
    assert table(csv([HEADER, paid(1, 9000), total])).blocked is None


@pytest.mark.parametrize(
    ("announced", "blocked"),
    [
        ("共3户，合计金额2358元", "TOTAL_MISMATCH"),
        ("共2户，合计金额30元", None),
        ("本表共计30元", None),
        ("共3页", None),
        ("每户补贴标准共30000元", None),
    ],
)
def test_a_total_announced_above_the_header_is_held_against_all_rows(announced: str, blocked: str | None) -> None:
    raw = csv([["民和县发放表", "", ""], [announced, "", "单位：元"], HEADER, paid(1, 10), paid(2, 20)])
    assert table(raw.replace("，".encode(), "；".encode())).blocked == blocked


VILLAGES_AFTER: list[list[Cell]] = [
    paid(1, 10),
    ["甲村小计", "", 10],
    paid(2, 20),
    ["乙村小计", "", 20],
    ["某乡小计", "", 30],
    paid(3, 5),
    ["丙村小计", "", 5],
    ["某镇小计", "", 5],
]
VILLAGES_BEFORE: list[list[Cell]] = [
    ["某乡小计", "", 30],
    ["甲村小计", "", 10],
    paid(1, 10),
    ["乙村小计", "", 20],
    paid(2, 20),
    ["某镇小计", "", 5],
    ["丙村小计", "", 5],
    paid(3, 5),
]


@pytest.mark.parametrize("rows", [VILLAGES_AFTER, VILLAGES_BEFORE], ids=["after", "before"])
@pytest.mark.parametrize("word", ["小计", "合计"])
@pytest.mark.parametrize("grand_first", [True, False])
def test_villages_and_towns_may_have_subtotals_of_one_name(
    rows: list[list[Cell]], word: str, *, grand_first: bool
) -> None:
    named: list[list[Cell]] = [[str(row[0]).replace("小计", word), *row[1:]] for row in rows]
    grand: list[Cell] = ["总计", "", 35]
    raw = csv([HEADER, *([grand] if grand_first else []), *named, *([] if grand_first else [grand])])
    assert (table(raw).blocked, table(raw).rows) == (None, 3)
    wrong = csv([HEADER, *named]).replace(f"乙村{word},,20".encode(), f"乙村{word},,21".encode())
    assert table(wrong).blocked == "TOTAL_MISMATCH"


@pytest.mark.parametrize(
    ("count", "blocked"),
    [
        ("3户", None),
        ("3户4人", None),
        ("4人", None),
        ("3户，4笔", None),
        ("2户", "TOTAL_MISMATCH"),
        ("5户", "TOTAL_MISMATCH"),
        ("3户3人", "TOTAL_MISMATCH"),
        ("3笔", "TOTAL_MISMATCH"),
    ],
)
def test_households_are_counted_by_their_code_and_people_by_row(count: str, blocked: str | None) -> None:
    rows = [[code, *paid(n, 1)] for n, code in enumerate(["1", "1", "2", "3"])]
    assert table(csv([HOUSEHOLDS, *rows, ["合计", count.replace("，", "、"), "", 4]])).blocked == blocked


@pytest.mark.parametrize(("count", "blocked"), [("1户", None), ("2户", None), ("3户", "TOTAL_MISMATCH")])
def test_without_household_codes_there_may_be_fewer_households_than_rows_but_never_more(
    count: str, blocked: str | None
) -> None:
    assert table(csv([HEADER, paid(1, 1), paid(2, 1), ["合计", count, 2]])).blocked == blocked


def test_family_members_are_no_count_of_rows() -> None:
    raw = csv([["序号", *HEADER, "人口"], ["1", *paid(1, 1), "4"], ["合计", "", "", "1", "4人"]])
    assert table(raw).blocked is None


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "兑现金额(元)",
            "兑现资金(元)",
            "应兑现资金(元)",
            "拨付金额(元)",
            "支付金额(元)",
            "领取金额(元)",
            "打卡金额(元)",
        ),
        *("本次发放金额(元)", "应发补助金额(元)", "一次性补贴金额（元）", "合计(元)", "小计(元)", "金额(人民币:元)"),
    ],
)
def test_an_amount_is_known_by_every_usual_heading(heading: str) -> None:
    outcome = table(csv([["身份证号码", "姓名", heading], paid(1, 12)]))
    assert (outcome.blocked, outcome.amount_fen) == (None, 1200)


@pytest.mark.parametrize(
    "whose", ["承包人", "养殖户", "种植户", "开户人", "被补助人", "联户代表", "账户所有人", "承包方代表"]
)
def test_an_identifier_is_known_whosesoever_it_is(whose: str) -> None:
    outcome = table(csv([[f"{whose}身份证号", f"{whose}姓名", "金额(元)"], paid(1, 12)]))
    assert (outcome.blocked, outcome.unread) == (None, ())


@pytest.mark.parametrize("unit", ["单位：元（人民币）", "单位 ： 元", "（人民币：元）", "单位：人民币元"])
def test_a_unit_is_known_however_the_currency_is_named(unit: str) -> None:
    outcome = table(csv([["发放表", "", ""], ["", "", unit], ["身份证号", "姓名", "金额"], paid(1, 12)]))
    assert (outcome.blocked, outcome.amount_fen) == (None, 1200)
    ten_thousands = csv([["单位 ： 万 元", "", ""], ["身份证号", "姓名", "金额"], paid(1, "0.12")])
    assert table(ten_thousands).amount_fen == 120_000


def test_a_grassland_roster_may_end_in_a_bare_total_column() -> None:
    groups: list[Cell] = ["身份证号", "姓名", "禁牧补助", "", "", "草畜平衡奖励", "", "", "合计"]
    parts: list[Cell] = ["", "", *(("面积(亩)", "标准(元/亩)", "金额(元)") * 2), "(元)"]
    for last in (["合计(元)", ""], ["合计", "金额(元)"]):
        header = [[*groups[:-1], last[0]], [*parts[:-1], last[1]]]
        rows: list[list[Cell]] = [
            [person(1), "卓玛", 100, "7.5", 750, 200, "2.5", 500, 1250],
            [person(2), "卓玛", 100, "7.5", 750, 200, "2.5", 500, 1251],
        ]
        outcome = table(csv([*header, *rows]), "草原补奖.csv")
        assert (outcome.amount_fen, codes(outcome)) == (125_000, {"AMOUNT_MISMATCH": 1})


def test_a_total_of_areas_is_no_amount() -> None:
    raw = csv([[*HEADER[:2], "合计(亩)", "补贴金额(元)"], [*paid(1, 10), 20]])
    assert (table(raw).blocked, table(raw).amount_fen) == (None, 2000)


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        (["确权面积(亩)", "补贴面积(亩)", "补贴标准(元/亩)"], [12, 10, "78.6"]),
        (["补贴面积(亩)", "种植面积(亩)", "补贴标准(元/亩)"], [10, 12, "78.6"]),
        (["承包面积(亩)", "面积(亩)", "补贴标准(元/亩)"], [12, 10, "78.6"]),
        (["草场面积(亩)", "存栏数量(头)", "标准(元/头)"], [500, 10, "78.6"]),
        (["草场面积(亩)", "存栏数量(头)", "每头标准"], [500, 10, "78.6"]),
        (["草场面积(亩)", "存栏数量(头)", "补贴标准"], [500, 10, "78.6"]),
        (["补贴面积(亩)", "存栏数量(头)", "补贴标准"], [10, 3, "78.6"]),
        (["补贴面积(亩)", "存栏数量(头)", "标准(元/亩)"], [10, 3, "78.6"]),
        (["补贴面积(亩)", "家庭人口", "标准(元/人)"], [3, 10, "78.6"]),
    ],
)
def test_a_rate_is_multiplied_by_the_quantity_that_it_is_per(columns: list[Cell], cells: list[Cell]) -> None:
    raw = csv([[*HEADER[:2], *columns, "补贴金额(元)"], [person(1), "卓玛", *cells, 786]])
    assert (table(raw).blocked, codes(table(raw))) == (None, {})
    wrong = csv([[*HEADER[:2], *columns, "补贴金额(元)"], [person(1), "卓玛", *cells, 787]])
    assert codes(table(wrong)) == ({} if "元/人" in str(columns) else {"AMOUNT_MISMATCH": 1})


RATED: list[Cell] = ["户主身份证号", "户主姓名"]


@pytest.mark.parametrize("grade", ["信用评级", "评级", "信用户等级", "农户信用等级", "信用等级"])
@pytest.mark.parametrize("score", ["综合评价得分", "评分"])
@pytest.mark.parametrize(("at", "day"), [("评审日期", "2026-05-01"), ("评定年月", "2026年5月"), ("评定年度", "2026")])
def test_a_rating_is_known_by_every_usual_heading(grade: str, score: str, at: str, day: str) -> None:
    outcome = table(csv([[*RATED, score, grade, at], [person(1), "卓玛", 95, "AAA", day]]), "评定.csv")
    assert (outcome.kind, outcome.unread, outcome.counts["rejected"]) == ("RATING", (), 0)


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        (["有效期", "公示期"], ["2026-05-20至2027-05-19", "2026-05-10至2026-05-16"]),
        (["有效期", "公示期"], ["2027-05-19", "2026-05-10至2026-05-16"]),
        (["有效期至", "公示开始日期", "公示结束日期"], ["2027-05-19", "2026-05-10", "2026-05-16"]),
        (["有效期结束日期", "公示起", "公示止"], ["2027-05-19", "2026-05-10", "2026-05-16"]),
    ],
)
def test_periods_may_stand_in_one_column_or_in_two(columns: list[Cell], cells: list[Cell]) -> None:
    raw = csv([[*RATED, "评分", "等级", "评定日期", *columns], [person(1), "卓玛", 95, "AAA", "2026-05-20", *cells]])
    outcome = table(raw, "评定.csv")
    assert codes(outcome) == {}
    row = outcome.frame.iloc[0]
    assert [row["valid_to"], row["publicity_from"], row["publicity_to"]] == ["2027-05-19", "2026-05-10", "2026-05-16"]


ORGANISATION = "N2630203000000019A"


@pytest.mark.parametrize(
    ("header", "cells", "kind"),
    [
        *(
            (["社会统一信用代码", "账号", balance], ["123", "10"], "SANZI_FUND")
            for balance in ("期末余额(元)", "账户余额(元)", "余额(元)", "银行余额(元)")
        ),
        *(
            (["统一社会信用代码", "资源类型", area], ["草地", "10"], "SANZI_RESOURCE")
            for area in ("承包面积(亩)", "草场面积(亩)", "实有面积(亩)")
        ),
        *(
            (
                ["发包方统一社会信用代码", "合同编号", "承包方身份证号码/统一社会信用代码", fee],
                ["1", person(1), "10"],
                "SANZI_CONTRACT",
            )
            for fee in ("租金(元)", "承包费(元)", "承包金(元/年)", "合同年金额(元)", "年租金(元)")
        ),
    ],
)
def test_a_ledger_of_the_collective_is_known_by_every_usual_heading(
    header: list[Cell], cells: list[Cell], kind: str
) -> None:
    outcome = table(csv([header, [ORGANISATION, *cells]]), "三资.csv")
    assert (outcome.kind, outcome.blocked, outcome.unread) == (kind, None, ())
    assert outcome.counts["rejected"] == 0


def test_a_part_may_be_marked_as_one() -> None:
    header: list[Cell] = ["统一社会信用代码", "资源类型", "面积(亩)", "其中:已发包面积(亩)", "未发包面积(亩)"]
    raw = csv([header, [ORGANISATION, "耕地", 100, 60, 40], [ORGANISATION, "耕地", 100, 60, 30]])
    assert codes(table(raw, "资源.csv")) == {"AMOUNT_MISMATCH": 1}


@pytest.mark.parametrize(
    "header",
    [
        ["身份证号", "评分", "信用等级"],
        ["统一社会信用代码", "账号", "账面余额(元)"],
        ["统一社会信用代码", "资产名称", "原值(元)"],
        ["发包方统一社会信用代码", "合同编号", "承包方身份证号"],
    ],
)
def test_a_table_without_a_mandatory_column_is_blocked_and_never_held_with_a_hole(header: list[Cell]) -> None:
    outcome = table(csv([header, [ORGANISATION, "1", "1"]]), "表.csv")
    assert outcome.blocked == "HEADER_UNKNOWN"


@pytest.mark.parametrize("held_instead", [b"<html><table></table></html>", b"%PDF-1.7", b'{"a": 1}'])
@pytest.mark.parametrize("name", ["a.xls", "A.XLSX", "a.csv", "a.et"])
def test_a_file_that_is_called_a_table_and_is_none_is_unreadable_and_not_passed_over(
    held_instead: bytes, name: str
) -> None:
    assert reading.is_table(held_instead, name)
    assert not reading.is_table(held_instead, "a.pdf")
    with pytest.raises(FileUnreadable):
        reading.read(held_instead)


def test_a_score_of_the_panel_stands_beside_the_score() -> None:
    header: list[Cell] = [*RATED, "评议得分", "评分", "等级", "评定日期", "评定单位", "审批人"]
    raw = csv([header, [person(1), "卓玛", 9, 95, "AAA", "2026-05-20", "信用联社", "李四"]])
    outcome = table(raw, "评定.csv")
    row = outcome.frame.iloc[0]
    assert (row["score"], row["review_score"], row["evaluator"], outcome.unread) == ("95", "9", "信用联社", ())


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        (
            ["统一社会信用代码", "资产名称", "资产类别", "原值(元)", "规格型号", "计量单位", "资产来源", "折旧方法"],
            ["办公楼", "房屋", 100, "二层", "栋", "自建", "年限平均法"],
        ),
        (
            ["统一社会信用代码", "资产名称", "资产类别", "原值(元)", "存放地点", "保管人", "产权证号", "是否抵押"],
            ["办公楼", "房屋", 100, "村委会", "李四", "青1", "否"],
        ),
        (
            [
                "统一社会信用代码",
                "资源类型",
                "面积(亩)",
                "权属性质",
                "确权面积(亩)",
                "四至",
                "载畜量",
                "是否涉及生态红线",
            ],
            ["草地", 100, "集体", 90, "东至河", 12, "否"],
        ),
        (
            ["统一社会信用代码", "账号", "银行余额(元)", "行号", "账户用途", "开户日期", "冻结金额(元)", "账户状态"],
            ["123", 100, "402", "集体资金", "2020-01-01", 0, "正常"],
        ),
        (
            [
                "发包方统一社会信用代码",
                "合同编号",
                "承包方身份证号",
                "年承包费(元)",
                "合同年限",
                "发包方式",
                "乡镇备案",
            ],
            ["1", person(1), 100, "30年", "公开竞价", "已备案"],
        ),
        (
            [
                "发包方统一社会信用代码",
                "合同编号",
                "承包方身份证号",
                "年承包费(元)",
                "是否本集体成员",
                "决议编号",
                "公示期",
            ],
            ["1", person(1), 100, "是", "3号", "2026-05-10至2026-05-16"],
        ),
    ],
)
def test_what_the_dictionary_names_is_read(header: list[Cell], cells: list[Cell]) -> None:
    outcome = table(csv([header, [ORGANISATION, *cells]]), "三资.csv")
    assert (outcome.blocked, outcome.unread, outcome.counts["rejected"]) == (None, (), 0)


def test_bank_and_reason_of_a_payment_are_read_and_a_card_is_shown_to_no_lender() -> None:
    header: list[Cell] = [*HEADER, "开户行", "社会保障卡号", "调整原因", "摘要"]
    outcome = table(csv([header, [*paid(1, 10), "农商行", "D12345678", "超载", "补奖"]]))
    assert outcome.unread == ()
    items = catalogue().kinds["SUBSIDY"].items
    assert "SUBSIDY.adjust_reason" in items
    assert items.isdisjoint({"SUBSIDY.ss_card_no", "SUBSIDY.bank_account", "SUBSIDY.bank_name"})
    assert "RATING.panel" not in catalogue().kinds["RATING"].items
