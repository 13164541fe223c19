"""Other column orders, units, headers, totals and containers than those of the samples: rules, not files."""

import io

import pytest
import xlwt

from tests.unit.connectors.tables import Cell, codes, csv, person, table, tables, xlsx

HEADER: list[Cell] = ["身份证号", "姓名", "面积(亩)", "标准(元/亩)", "金额(元)"]


def rows(count: int, first: int = 0) -> list[list[Cell]]:
    return [[person(n), "张生莲", "10", "78.6", "786"] for n in range(first, first + count)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_text_is_read_in_every_encoding_that_is_sent(encoding: str) -> None:
    outcome = table(csv([HEADER, [person(1), "བོད䶮𠮷", "1", "1", "1"]], encoding))
    assert outcome.counts["accepted"] == 1
    assert outcome.frame["payee_name"][0] == "བོད䶮𠮷"


def test_bytes_of_no_encoding_are_blocked_and_nothing_is_replaced() -> None:
    assert table(csv([HEADER]) + b"\xff\xff\x80\x30\xff").blocked == "FILE_UNREADABLE"


@pytest.mark.parametrize("mark", ["\t", ";", ","])
def test_a_text_may_be_divided_by_tabs_or_semicolons(mark: str) -> None:
    raw = csv([HEADER, *rows(3)]).decode().replace(",", mark).encode()
    assert table(raw).counts["accepted"] == 3


def test_columns_may_stand_in_any_order_and_have_other_names() -> None:
    raw = csv([["补助资金（元）", "领款人", "备注", "公民身份号码"], ["1,200.50", "马占林", "", person(1)]])
    raw = raw.replace(b"1,200.50", b'"1,200.50"')
    outcome = table(raw)
    assert outcome.counts["accepted"] == 1
    assert outcome.frame["amount_due"][0] == 120_050
    assert outcome.unread == ("备注",)


def test_ten_thousands_and_hectares_come_from_the_header_and_from_the_fill_unit_row() -> None:
    by_header = table(csv([["身份证号", "面积（公顷）", "金额（万元）"], [person(1), "2", "0.1234"]]))
    by_row = table(
        csv(
            [["明细表", "", ""], ["", "", "单位：万元、公顷"], ["身份证号", "面积", "金额"], [person(1), "2", "0.1234"]]
        )
    )
    for outcome in (by_header, by_row):
        assert outcome.frame["amount_due"][0] == 123_400
        assert outcome.frame["area"][0] == 300_000


def test_the_heading_stands_before_the_fill_unit_row() -> None:
    outcome = table(csv([["单位：元", "", ""], ["身份证号", "姓名", "金额(万元)"], [person(1), "甲", "1"]]))
    assert outcome.frame["amount_due"][0] == 1_000_000


@pytest.mark.parametrize("row", [["填报单位：元坝乡", ""], ["单位：亩", ""], ["", ""], ["单位：斗", ""]])
def test_a_unit_that_nobody_gives_is_never_guessed(row: list[str]) -> None:
    outcome = table(csv([row, ["身份证号", "金额"], [person(1), "1"]]))
    assert (outcome.blocked, outcome.rows) == ("UNIT_UNKNOWN", 1)
    assert outcome.frame.empty


def test_an_unknown_unit_and_a_wrong_total_together_are_a_wrong_total() -> None:
    assert table(csv([["身份证号", "金额"], [person(1), "1"], ["合计", "3"]])).blocked == "TOTAL_MISMATCH"


def test_a_header_in_two_levels_without_merged_cells_is_read() -> None:
    raw = csv(
        [
            ["身份证号", "户主", "补贴情况", "", "", "发放日期"],
            ["", "", "面积(亩)", "标准(元/亩)", "金额(元)", ""],
            [person(1), "张生莲", "10", "78.6", "786", "2026-04-15"],
        ]
    )
    outcome = table(raw)
    assert outcome.counts["accepted"] == 1
    assert outcome.frame["paid_on"][0] == "2026-04-15"


def test_levels_may_stand_the_other_way_up() -> None:
    raw = xlsx(
        {
            "花名册": [
                ["某乡草原补奖发放表（单位：元、亩）"],
                ["身份证号", "补贴面积", None, "补贴标准", None, "补贴金额", None, "合计金额"],
                [None, "禁牧", "草畜平衡", "禁牧", "草畜平衡", "禁牧", "草畜平衡", None],
                [person(1), 100, 200, 7.5, 2.5, 750, 500, 1250],
                [person(2), 100, 200, 7.5, 2.5, 750, 501, 1251],
            ]
        },
        [("花名册", "A1:H1"), ("花名册", "B2:C2"), ("花名册", "D2:E2"), ("花名册", "F2:G2")],
    )
    outcome = table(raw, "草原补奖.xlsx")
    assert outcome.frame["balance_area"].tolist() == [2_000_000, 2_000_000]
    assert outcome.frame["grazing_ban_amount"].tolist() == [75_000, 75_000]
    assert codes(outcome) == {"AMOUNT_MISMATCH": 1}


def test_parts_without_a_whole_are_summed() -> None:
    raw = csv(
        [["身份证号", "禁牧补助金额(元)", "草畜平衡奖励金额(元)"], [person(1), "750", "500.5"], [person(2), "", ""]]
    )
    outcome = table(raw)
    assert outcome.amount_fen == 125_050
    assert codes(outcome) == {"AMOUNT_MISSING": 1}


def test_a_repeated_header_a_page_total_and_blank_rows_are_no_rows() -> None:
    raw = csv(
        [
            ["民和县2026年发放表", "", "", "", ""],
            HEADER,
            *rows(2),
            ["本页小计", "", "20", "", "1572"],
            ["", "", "", "", ""],
            ["民和县2026年发放表", "", "", "", ""],
            HEADER,
            *rows(3, 2),
            ["本页小计", "", "30", "", "2358"],
            ["合  计", "5户", "50", "", "3930"],
            ["制表人：张三", "", "审核人：李四", "", ""],
            ["备注：以上金额已核对", "", "", "", ""],
        ]
    )
    outcome = table(raw)
    assert (outcome.blocked, outcome.rows, outcome.counts["accepted"]) == (None, 5, 5)
    assert outcome.furniture == {"blank": 1, "title": 1, "header": 1, "footer": 2}


def test_subtotals_may_stand_before_their_rows() -> None:
    raw = csv(
        [
            HEADER,
            ["合计", "", "", "", "3930"],
            ["甲村小计", "", "", "", "1572"],
            *rows(2),
            ["乙村小计", "", "", "", "2358"],
            *rows(3, 2),
        ]
    )
    assert table(raw).counts["accepted"] == 5


@pytest.mark.parametrize(
    "total",
    [
        ["合计", "", "", "", "3930.02"],
        ["合计", "6户", "", "", "3930"],
        ["合计", "", "50.1", "", "3930"],
        ["总计：5户，金额3931.00元", "", "", "", ""],
    ],
)
def test_a_total_that_is_off_blocks_the_batch_whole(total: list[str]) -> None:
    outcome = table(csv([HEADER, *rows(5), total]))
    assert (outcome.blocked, outcome.rows) == ("TOTAL_MISMATCH", 5)
    assert outcome.frame.empty


def test_a_subtotal_that_is_off_blocks_even_when_the_total_is_right() -> None:
    raw = csv(
        [
            HEADER,
            *rows(2),
            ["小计", "", "", "", "1571"],
            *rows(2, 2),
            ["小计", "", "", "", "1573"],
            ["合计", "", "", "", "3144"],
        ]
    )
    assert table(raw).blocked == "TOTAL_MISMATCH"


def test_a_cent_of_difference_in_a_total_is_let_pass() -> None:
    assert table(csv([HEADER, *rows(5), ["合计", "", "", "", "3930.01"]])).blocked is None


def test_sheets_with_one_header_are_one_table_and_the_grand_total_is_that_of_all() -> None:
    raw = xlsx(
        {
            "甲村": [HEADER, *rows(2), ["小计", "", "", "", 1572]],
            "乙村": [HEADER, *rows(3, 2), ["小计", "", "", "", 2358], ["总计", "", "", "", 3930]],
        }
    )
    outcome = table(raw, "发放表.xlsx")
    assert (outcome.label, outcome.rows, outcome.blocked) == ("发放表.xlsx", 5, None)
    assert set(outcome.frame["sheet"]) == {"1", "2"}


def test_sheets_with_other_headers_are_tables_of_their_own() -> None:
    rating: list[list[Cell]] = [["身份证号", "评分", "信用等级", "评定日期"], [person(1), 95, "AAA", "2026-05-01"]]
    found = tables(
        xlsx({"补贴": [HEADER, *rows(1)], "评定": rating, "说明": [["说明", "x"], ["随便", "写"]]}), "合并.xlsx"
    )
    assert [(one.label, one.kind, one.blocked) for one in found] == [
        ("合并.xlsx#补贴", "SUBSIDY", None),
        ("合并.xlsx#评定", "RATING", None),
        ("合并.xlsx#说明", None, "HEADER_UNKNOWN"),
    ]


def test_cells_merged_downwards_are_filled_but_never_amounts() -> None:
    raw = xlsx(
        {"表": [HEADER, [person(1), "甲", 1, 1, 1], [None, None, 2, 1, 2], [person(2), "乙", 3, 1, 3]]},
        [("表", "A2:A3"), ("表", "E2:E3")],
    )
    outcome = table(raw, "表.xlsx")
    assert outcome.rows == 3
    assert codes(outcome) == {"AMOUNT_MISSING": 1}


def test_hidden_rows_and_sheets_are_rows() -> None:
    book = xlwt.Workbook()
    for name in ("甲", "乙"):
        sheet = book.add_sheet(name)
        for at, row in enumerate([HEADER, *rows(2, 0 if name == "甲" else 5)]):
            for column, cell in enumerate(row):
                sheet.write(at, column, cell)
        sheet.row(1).hidden = True
        sheet.visibility = int(name == "乙")
    file = io.BytesIO()
    book.save(file)
    outcome = table(file.getvalue(), "发放表.xls")
    assert outcome.counts["accepted"] == 4


def test_rows_longer_and_shorter_than_the_header_keep_their_places() -> None:
    raw = csv([HEADER, [*rows(1)[0], "退回", "账户注销"], rows(2)[1][:4], *rows(1, 2)])
    outcome = table(raw)
    assert outcome.rows == 3
    assert outcome.frame["row_no"].tolist() == [2, 3, 4]
    assert codes(outcome) == {"AMOUNT_MISSING": 1}


def test_a_section_heading_between_rows_is_no_row() -> None:
    assert (
        table(csv([HEADER, ["庄子沟村", "", "", "", ""], *rows(2), ["下川村", "", "", "", ""], *rows(2, 2)])).rows == 4
    )


def test_a_table_that_no_declaration_knows_is_blocked() -> None:
    assert table(csv([["姓名", "电话"], ["甲", "1"]])).blocked == "HEADER_UNKNOWN"
    assert tables(b"") == []


def test_a_mandatory_column_that_is_mostly_blank_blocks_the_batch() -> None:
    blank = [["", "张", "1", "1", "1"] for _ in range(30)]
    assert table(csv([HEADER, *rows(10), *blank])).blocked == "EXPECTATION_MISSED"


def test_project_and_year_come_from_the_title_or_the_file() -> None:
    titled = table(csv([["尖扎县2024年能繁母畜养殖补贴发放表", "", "", "", ""], HEADER, *rows(1)]), "a.csv")
    assert (titled.project, titled.frame["grant_year"][0]) == ("养殖补贴", 2024)
    named = table(csv([HEADER, *rows(1)]), "共和县_粮食直补_2023.csv")
    assert (named.project, named.frame["grant_year"][0]) == ("粮食直补", 2023)


def test_a_project_column_stands_before_the_title() -> None:
    raw = csv(
        [
            ["身份证号", "补贴项目", "年度", "金额(元)"],
            [person(1), "良种补贴", "2022", "1"],
            [person(1), "不明项目", "2022", "1"],
        ]
    )
    outcome = table(raw)
    assert outcome.frame["project"][0] == "良种补贴"
    assert codes(outcome) == {"UNKNOWN_CATEGORY": 1}
