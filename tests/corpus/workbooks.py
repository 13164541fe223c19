"""Broken workbooks, each made in memory and named after its fault, with what must become of every row.

A case says, for each table that the file holds, how many data rows it has and how they end. `end` counts outcomes and
codes together: `{"accepted": 3, "AMOUNT_MISSING": 1}` are four rows. A blocked table is `"blocked:<CODE>"`, a file that
holds no table of an agency is `[]`.

People and places: nobody's IDs (sequence 000), one real village of Minhe.
"""

import datetime as dt
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import xlwt
from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from tests.bombs import bomb
from tests.unit.connectors.tables import Cell, person

Rows = Sequence[Sequence[Any]]
End: TypeAlias = dict[str, int] | str

HEADER: Final = [
    "序号",
    "户主姓名",
    "身份证号码",
    "行政村代码",
    "补贴面积(亩)",
    "补贴标准(元/亩)",
    "补贴金额(元)",
    "银行账号",
]
VILLAGE: Final = "630222201201"
ACCOUNT: Final = "6239990000000000018"
TITLE: Final = "民和县2026年耕地地力保护补贴发放花名册"
FILE: Final = "民和县_耕地地力保护补贴_2026.xlsx"


@dataclass(frozen=True)
class Case:
    """One file: its name, its bytes, and for each of its tables how its rows end."""

    fault: str
    name: str
    raw: bytes
    ends: list[End]


_MADE: list[Callable[[], Case]] = []


def _case(build: Callable[[], tuple[bytes, str, list[End]]]) -> Callable[[], Case]:
    def made() -> Case:
        raw, name, ends = build()
        return Case(build.__name__.strip("_"), name, raw, ends)

    made.__name__ = build.__name__.strip("_")
    _MADE.append(made)
    return made


def cases() -> Iterator[Callable[[], Case]]:
    """Every case, to be made when it is wanted."""
    yield from _MADE


# ---- rows and files -------------------------------------------------------------------------------------------------


def row(number: int, **change: Cell) -> list[Any]:
    """One good row; `change` names columns of HEADER by a word of their heading."""
    good: list[Any] = [
        number,
        f"李有{'一二三四五六七八九十'[number % 10]}",
        person(number),
        VILLAGE,
        10,
        78.6,
        786,
        ACCOUNT,
    ]
    words = {"name": 1, "id": 2, "village": 3, "area": 4, "rate": 5, "amount": 6, "account": 7, "no": 0}
    for word, value in change.items():
        good[words[word]] = value
    return good


def rows(count: int = 3, first: int = 1) -> list[list[Any]]:
    return [row(number) for number in range(first, first + count)]


def total(count: int, label: str = "合计", amount: Cell = None) -> list[Any]:
    return [label, None, None, None, 10 * count, None, 786 * count if amount is None else amount, None]


def book(*sheets: tuple[str, Rows], dress: Callable[[Workbook], None] = lambda _: None) -> bytes:
    made = Workbook()
    made.remove(made.worksheets[0])
    for name, lines in sheets:
        sheet = made.create_sheet(name)
        for line in lines:
            sheet.append(list(line))
    dress(made)
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def one(lines: Rows, dress: Callable[[Worksheet], None] = lambda _: None) -> bytes:
    return book(("Sheet1", lines), dress=lambda made: dress(made.worksheets[0]))


def text(lines: Rows, encoding: str = "utf-8", delimiter: str = ",", newline: str = "\r\n") -> bytes:
    return newline.join(delimiter.join("" if cell is None else str(cell) for cell in line) for line in lines).encode(
        encoding
    )


def legacy(lines: Rows, style: Callable[[Any], None] = lambda _: None) -> bytes:
    made = xlwt.Workbook(encoding="utf-8")
    sheet = made.add_sheet("Sheet1")
    for at, line in enumerate(lines):
        for column, cell in enumerate(line):
            if cell is not None:
                sheet.write(at, column, cell)
    style(sheet)
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def repacked(raw: bytes, change: Callable[[str, bytes], bytes | None], added: dict[str, bytes] | None = None) -> bytes:
    """Write a package again with its parts changed; a part that becomes None is left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            body = change(part, old.read(part))
            if body is not None:
                new.writestr(part, body)
        for part, body in (added or {}).items():
            new.writestr(part, body)
    return file.getvalue()


def fine(count: int = 3) -> list[End]:
    return [{"accepted": count}]


# ---- where the table stands -----------------------------------------------------------------------------------------


@_case
def header_in_row_20() -> tuple[bytes, str, list[End]]:
    above: Rows = [
        [TITLE],
        *([[None]] * 10),
        ["填报单位：民和县农业农村局", None, None, "单位：元、亩"],
        *([[None]] * 7),
    ]
    return one([*above, HEADER, *rows()]), FILE, fine()


@_case
def header_under_two_title_rows_merged_across() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet.merge_cells("A1:H1")
        sheet.merge_cells("A2:H2")

    return one([[TITLE], ["2026年4月"], HEADER, *rows()], dress), FILE, fine()


@_case
def table_begins_in_column_c() -> tuple[bytes, str, list[End]]:
    return one([[None, None, *line] for line in [[TITLE], HEADER, *rows()]]), FILE, fine()


@_case
def blank_rows_between_data_rows() -> tuple[bytes, str, list[End]]:
    a, b, c = rows()
    return one([HEADER, a, [None], [None], b, [None], c]), FILE, fine()


@_case
def blank_row_between_header_and_data() -> tuple[bytes, str, list[End]]:
    return one([[TITLE], HEADER, [None], *rows()]), FILE, fine()


@_case
def blank_columns_between_columns() -> tuple[bytes, str, list[End]]:
    return one([[*line[:3], None, *line[3:6], None, *line[6:]] for line in [HEADER, *rows()]]), FILE, fine()


@_case
def header_repeated_on_every_page() -> tuple[bytes, str, list[End]]:
    return one([[TITLE], HEADER, *rows(2), [TITLE], HEADER, *rows(2, 3)]), FILE, fine(4)


@_case
def numbered_row_under_the_header() -> tuple[bytes, str, list[End]]:
    return one([HEADER, [1, 2, 3, 4, 5, 6, 7, 8], *rows()]), FILE, fine()


@_case
def two_level_header_merged() -> tuple[bytes, str, list[End]]:
    top = ["序号", "户主姓名", "身份证号码", "行政村代码", "补贴", None, None, "银行账号"]
    under = [None, None, None, None, "面积(亩)", "标准(元/亩)", "金额(元)", None]

    def dress(sheet: Worksheet) -> None:
        sheet.merge_cells("E1:G1")
        for column in "ABCDH":
            sheet.merge_cells(f"{column}1:{column}2")

    return one([top, under, *rows()], dress), FILE, fine()


@_case
def headings_broken_over_lines() -> tuple[bytes, str, list[End]]:
    broken = [heading[:2] + "\n" + heading[2:] for heading in HEADER]
    return one([broken, *rows()]), FILE, fine()


@_case
def headings_padded_with_spaces() -> tuple[bytes, str, list[End]]:
    return one([[" 　".join(heading) for heading in HEADER], *rows()]), FILE, fine()


@_case
def headings_in_full_width_brackets() -> tuple[bytes, str, list[End]]:
    wide = [heading.replace("(", "（").replace(")", "）") for heading in HEADER]
    return one([wide, *rows()]), FILE, fine()


@_case
def required_heading_missing() -> tuple[bytes, str, list[End]]:
    return (
        one([[TITLE], HEADER[:2] + HEADER[3:], *[line[:2] + line[3:] for line in rows()]]),
        FILE,
        ["blocked:HEADER_UNKNOWN"],
    )


@_case
def no_header_at_all() -> tuple[bytes, str, list[End]]:
    return one(rows()), FILE, ["blocked:HEADER_UNKNOWN"]


@_case
def only_a_header() -> tuple[bytes, str, list[End]]:
    return one([[TITLE], HEADER]), FILE, [{}]


@_case
def empty_workbook() -> tuple[bytes, str, list[End]]:
    return one([]), FILE, ["blocked:HEADER_UNKNOWN"]


@_case
def footer_with_signatures() -> tuple[bytes, str, list[End]]:
    foot: Rows = [["制表人：王某", None, "审核人：李某", None, "单位负责人：赵某"], ["注：本表一式三份。"]]
    return one([[TITLE], HEADER, *rows(), *foot]), FILE, fine()


@_case
def notes_above_the_header() -> tuple[bytes, str, list[End]]:
    return one([[TITLE], ["填表说明：1.身份证号须为18位；2.金额单位为元。"], HEADER, *rows()]), FILE, fine()


# ---- sheets ---------------------------------------------------------------------------------------------------------


@_case
def two_sheets_of_one_table() -> tuple[bytes, str, list[End]]:
    return book(("一社", [HEADER, *rows(2)]), ("二社", [HEADER, *rows(2, 3)])), FILE, fine(4)


@_case
def data_on_the_second_sheet_after_a_cover() -> tuple[bytes, str, list[End]]:
    return (
        book(("封面", [["民和县农业农村局"], ["二〇二六年四月"]]), ("明细", [HEADER, *rows()])),
        FILE,
        [{"accepted": 3}, "blocked:HEADER_UNKNOWN"],
    )


@_case
def hidden_sheet() -> tuple[bytes, str, list[End]]:
    def dress(made: Workbook) -> None:
        made.worksheets[1].sheet_state = "hidden"

    return book(("明", [HEADER, *rows(2)]), ("暗", [HEADER, *rows(2, 3)]), dress=dress), FILE, fine(4)


@_case
def hidden_rows_and_columns() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["C"].hidden = True

    return one([HEADER, *rows()], dress), FILE, fine()


@_case
def filtered_rows() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet.auto_filter.ref = "A1:H4"
        sheet.auto_filter.add_filter_column(0, ["1"])
        sheet.row_dimensions[3].hidden = sheet.row_dimensions[4].hidden = True

    return one([HEADER, *rows()], dress), FILE, fine()


@_case
def empty_sheets_beside_the_table() -> tuple[bytes, str, list[End]]:
    return book(("Sheet1", [HEADER, *rows()]), ("Sheet2", []), ("Sheet3", [])), FILE, fine()


@_case
def two_tables_on_one_sheet_one_under_the_other() -> tuple[bytes, str, list[End]]:
    return one([["一社"], HEADER, *rows(2), total(2), [None], ["二社"], HEADER, *rows(2, 3), total(2)]), FILE, fine(4)


@_case
def two_tables_side_by_side() -> tuple[bytes, str, list[End]]:
    lines = [[*left, None, *right] for left, right in zip([HEADER, *rows(2)], [HEADER, *rows(2, 3)], strict=True)]
    return one(lines), FILE, ["blocked:TABLES_SIDE_BY_SIDE"]


@_case
def protected_sheet() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet.protection.set_password("qq")
        sheet.protection.enable()

    return one([HEADER, *rows()], dress), FILE, fine()


@_case
def locked_with_a_password() -> tuple[bytes, str, list[End]]:
    from msoffcrypto.format.ooxml import OOXMLFile  # noqa: PLC0415  # only this case needs it

    locked = io.BytesIO()
    OOXMLFile(io.BytesIO(one([HEADER, *rows()]))).encrypt("qq-2026", locked)
    return locked.getvalue(), FILE, ["blocked:FILE_UNREADABLE"]


@_case
def frozen_panes_colours_and_comments() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet.freeze_panes = "A2"
        sheet["C2"].comment = Comment("请核对", "某某")
        sheet["C3"].fill = PatternFill("solid", fgColor="FFFF00")
        sheet["C3"].font = Font(strike=True)

    return one([HEADER, *rows()], dress), FILE, fine()


@_case
def dropdowns_and_rules() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        rule = DataValidation(type="list", formula1='"是,否"')
        sheet.add_data_validation(rule)
        rule.add("I2:I10")

    return one([HEADER, *rows()], dress), FILE, fine()


@_case
def a_chart_sheet_and_a_picture_beside() -> tuple[bytes, str, list[End]]:
    def dress(made: Workbook) -> None:
        made.create_chartsheet("图")

    return book(("Sheet1", [HEADER, *rows()]), dress=dress), FILE, fine()


# ---- merged cells ---------------------------------------------------------------------------------------------------


@_case
def village_merged_over_its_rows() -> tuple[bytes, str, list[End]]:
    lines = rows()
    lines[1][3] = lines[2][3] = None
    return one([HEADER, *lines], lambda sheet: sheet.merge_cells("D2:D4")), FILE, fine()


@_case
def account_of_a_family_merged() -> tuple[bytes, str, list[End]]:
    lines = rows()
    lines[1][7] = None
    return one([HEADER, *lines], lambda sheet: sheet.merge_cells("H2:H3")), FILE, fine()


@_case
def merged_cell_with_leftovers_inside() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows()])
    merge = b'<mergeCells count="1"><mergeCell ref="A1:A1"/></mergeCells>'

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"</sheetData>", b"</sheetData>" + merge) if part.endswith("sheet1.xml") else body

    return repacked(raw, change), FILE, fine()


# ---- totals ---------------------------------------------------------------------------------------------------------


@_case
def total_before_the_rows() -> tuple[bytes, str, list[End]]:
    return one([HEADER, total(3), *rows()]), FILE, fine()


@_case
def total_after_the_rows_spaced_out() -> tuple[bytes, str, list[End]]:
    return one([HEADER, *rows(), total(3, "合　　计")]), FILE, fine()


@_case
def subtotals_and_a_grand_total() -> tuple[bytes, str, list[End]]:
    return one([HEADER, *rows(2), total(2, "小计"), *rows(2, 3), total(2, "小计"), total(4, "总计")]), FILE, fine(4)


@_case
def total_off_by_a_hundred() -> tuple[bytes, str, list[End]]:
    return one([HEADER, *rows(), total(3, amount=2258)]), FILE, ["blocked:TOTAL_MISMATCH"]


@_case
def total_as_a_formula_with_a_stale_value() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows(), total(3, amount=1111)])

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"<v>1111</v>", b"<f>SUM(G2:G4)</f><v>1111</v>") if part.endswith("sheet1.xml") else body

    return repacked(raw, change), FILE, ["blocked:TOTAL_MISMATCH"]


@_case
def formulas_with_right_values() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows()])

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"<v>786</v>", b"<f>E2*F2</f><v>786</v>") if part.endswith("sheet1.xml") else body

    return repacked(raw, change), FILE, fine()


@_case
def formula_with_a_stale_value_in_a_row() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, row(1), row(2, amount=700)])

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"<v>700</v>", b"<f>E3*F3</f><v>700</v>") if part.endswith("sheet1.xml") else body

    return repacked(raw, change), FILE, [{"accepted": 1, "AMOUNT_MISMATCH": 1}]


@_case
def formulas_never_calculated() -> tuple[bytes, str, list[End]]:
    lines = rows()
    for at, line in enumerate(lines, start=2):
        line[6] = f"=E{at}*F{at}"
    return one([HEADER, *lines]), FILE, [{"AMOUNT_MISSING": 3}]


# ---- cells ----------------------------------------------------------------------------------------------------------


@_case
def error_cells() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, amount="#REF!"), row(2, id="#N/A"), row(3)]), FILE, [{"accepted": 1, "CELL_ERROR": 2}]


@_case
def id_held_as_a_number() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, id=int(person(1)[:17] + "0")), row(2)]), FILE, [{"accepted": 1, "ID_PRECISION_LOST": 1}]


@_case
def id_in_scientific_notation() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, id="6.30222E+17"), row(2)]), FILE, [{"accepted": 1, "ID_PRECISION_LOST": 1}]


@_case
def id_of_15_digits() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, id="630222800102000"), row(2)]), FILE, [{"accepted": 1, "ID_15_CONVERTED": 1}]


@_case
def id_with_letter_o_for_zero() -> tuple[bytes, str, list[End]]:
    return (
        one([HEADER, row(1, id=person(1)[:14] + "OO0" + person(1)[17]), row(2)]),
        FILE,
        [{"accepted": 1, "ID_MALFORMED": 1}],
    )


@_case
def id_with_lower_case_x() -> tuple[bytes, str, list[End]]:
    with_x = next(p for number in range(1, 99) if (p := person(number)).endswith("X"))
    return one([HEADER, row(1, id=with_x.lower()), row(2)]), FILE, fine(2)


@_case
def id_in_full_width_digits_with_spaces() -> tuple[bytes, str, list[End]]:
    wide = person(1).translate({ord(d): ord(d) + 0xFEE0 for d in "0123456789X"})
    return one([HEADER, row(1, id=f" {wide[:6]} {wide[6:14]} {wide[14:]}　"), row(2)]), FILE, fine(2)


@_case
def id_behind_an_apostrophe() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, id="'" + person(1)), row(2)]), FILE, fine(2)


@_case
def id_with_zero_width_characters() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, id="\u200b" + person(1) + "\ufeff"), row(2)]), FILE, fine(2)


@_case
def several_people_in_a_cell() -> tuple[bytes, str, list[End]]:
    both = row(1, name="扎西、卓玛", id=f"{person(1)}\n{person(2)}")
    return one([HEADER, both, row(3)]), FILE, [{"accepted": 1, "MULTIPLE_PERSONS": 1}]


@_case
def amounts_as_text_with_separators() -> tuple[bytes, str, list[End]]:
    return (
        one([HEADER, row(1, amount="１，５７２.00", area="20.0"), row(2, amount="￥786.00元"), row(3, amount=" 786 ")]),
        FILE,
        fine(),
    )


@_case
def amounts_in_chinese_capitals() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, amount="柒佰捌拾陆元整"), row(2)]), FILE, fine(2)


@_case
def amount_with_binary_dust() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, area=3.3, rate=78.6, amount=259.38000000000005), row(2)]), FILE, fine(2)


@_case
def amount_blank_and_dash() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, amount="—"), row(2, amount=None), row(3)]), FILE, [{"accepted": 1, "AMOUNT_MISSING": 2}]


@_case
def amount_in_words() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, amount="见附件"), row(2)]), FILE, [{"accepted": 1, "AMOUNT_MALFORMED": 1}]


@_case
def amount_negative_clawback() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, area=-10, amount=-786), row(2)]), FILE, fine(2)


@_case
def amounts_in_ten_thousand_yuan() -> tuple[bytes, str, list[End]]:
    header = [*HEADER[:6], "补贴金额(万元)", HEADER[7]]
    return one([header, row(1, amount=0.0786), row(2, amount="0.0786")]), FILE, fine(2)


@_case
def unit_said_nowhere() -> tuple[bytes, str, list[End]]:
    bare = [heading.partition("(")[0] for heading in HEADER]
    return one([bare, *rows()]), FILE, ["blocked:UNIT_UNKNOWN"]


@_case
def unit_in_a_row_above_the_header() -> tuple[bytes, str, list[End]]:
    bare = [heading.partition("(")[0] for heading in HEADER]
    return one([[TITLE], [None, None, None, None, None, "单位：亩、元/亩、元"], bare, *rows()]), FILE, fine()


@_case
def feb_29_of_1900() -> tuple[bytes, str, list[End]]:
    return (
        one([[*HEADER, "发放日期"], [*row(1), 60], [*row(2), 46127], [*row(3), "1900-02-29"]]),
        FILE,
        [{"accepted": 1, "DATE_MALFORMED": 2}],
    )


@_case
def dates_of_every_form() -> tuple[bytes, str, list[End]]:
    forms: list[Any] = [
        "2026-4-15",
        "2026/04/15",
        "2026.4.15",
        "20260415",
        "2026年4月15日",
        "二〇二六年四月十五日",
        46127,
        dt.date(2026, 4, 15),
    ]
    return (
        one([[*HEADER, "发放日期"], *[[*row(n), form] for n, form in enumerate(forms, start=1)]]),
        FILE,
        fine(len(forms)),
    )


@_case
def dates_of_two_digit_years() -> tuple[bytes, str, list[End]]:
    return one([[*HEADER, "发放日期"], [*row(1), "26.4.15"], [*row(2), "26-04-15"]]), FILE, [{"DATE_AMBIGUOUS": 2}]


@_case
def dates_counted_from_1904() -> tuple[bytes, str, list[End]]:
    raw = one([[*HEADER, "发放日期"], [*row(1), 46127 - 1462]])

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"<workbookPr", b'<workbookPr date1904="1"') if part == "xl/workbook.xml" else body

    return repacked(raw, change), FILE, fine(1)


@_case
def same_person_twice() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1), row(1), row(2)]), FILE, [{"accepted": 2, "DUPLICATE_IN_BATCH": 1}]


@_case
def tibetan_names() -> tuple[bytes, str, list[End]]:
    return (
        one([HEADER, row(1, name="བཀྲ་ཤིས་ཚེ་རིང་།"), row(2, name="སྒྲོལ་མ། (卓玛)"), row(3, name="尼玛·才让·多杰")]),
        FILE,
        fine(),
    )


@_case
def rare_characters_in_names() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, name="马𠅤"), row(2, name="李\ue1a4"), row(3, name="㐆生莲")]), FILE, fine()


@_case
def cells_that_look_like_formulas() -> tuple[bytes, str, list[End]]:
    lines = [
        [*row(1), '=HYPERLINK("http://example.invalid","x")'],
        [*row(2), "@SUM(1+1)*cmd|' /C calc'!A0"],
        [*row(3), "+1-1"],
    ]
    return text([[*HEADER, "备注"], *lines], delimiter="\t"), "民和县_耕地地力保护补贴_2026.csv", fine()


@_case
def village_code_unknown() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, village="630222201999"), row(2)]), FILE, [{"accepted": 1, "VILLAGE_UNKNOWN": 1}]


@_case
def village_code_held_as_a_number() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, village=int(VILLAGE)), row(2)]), FILE, fine(2)


@_case
def account_held_as_a_number() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, account=6239990000000000018), row(2)]), FILE, [{"accepted": 1, "ID_PRECISION_LOST": 1}]


@_case
def account_grouped_in_fours() -> tuple[bytes, str, list[End]]:
    return one([HEADER, row(1, account="6239 9900 0000 0000 018"), row(2)]), FILE, fine(2)


@_case
def unknown_columns_beside() -> tuple[bytes, str, list[End]]:
    return one([[*HEADER, "备用1", "备用2"], *[[*line, "x", None] for line in rows()]]), FILE, fine()


@_case
def rich_text_cells() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows()])
    shared = "李有二".encode()

    def change(part: str, body: bytes) -> bytes:
        if part != "xl/sharedStrings.xml":
            return body
        runs = "<r><t>李</t></r><r><rPr><b/></rPr><t>有二</t></r>".encode()
        return body.replace(b"<t>" + shared + b"</t>", runs)

    return repacked(raw, change), FILE, fine()


@_case
def very_long_cell() -> tuple[bytes, str, list[End]]:
    return one([[*HEADER, "备注"], [*row(1), "长" * 32_000], [*row(2), None]]), FILE, fine(2)


# ---- who made it ----------------------------------------------------------------------------------------------------


@_case
def made_by_wps() -> tuple[bytes, str, list[End]]:
    raw = one([[TITLE], HEADER, *rows()])

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"Microsoft Excel", "WPS 表格".encode()) if part == "docProps/app.xml" else body

    extra = {
        "xl/cellimages.xml": b'<?xml version="1.0"?><etc:cellImages xmlns:etc="http://www.wps.cn/officeDocument/2017/etCustomData"/>',
        "customXml/item1.xml": b'<?xml version="1.0"?><woSheetsProps xmlns="https://web.wps.cn/et/2018/main"/>',
    }
    return repacked(raw, change, extra), FILE, fine()


@_case
def legacy_xls() -> tuple[bytes, str, list[End]]:
    return legacy([[TITLE], HEADER, *rows()]), "民和县_耕地地力保护补贴_2026.xls", fine()


@_case
def legacy_et_of_wps() -> tuple[bytes, str, list[End]]:
    return legacy([HEADER, *rows()]), "民和县_耕地地力保护补贴_2026.et", fine()


@_case
def legacy_xls_merged() -> tuple[bytes, str, list[End]]:
    lines: Rows = [HEADER, *rows(1), [*row(2, village=None)]]
    return legacy(lines, lambda sheet: sheet.merge(1, 2, 3, 3)), "民和县_耕地地力保护补贴_2026.xls", fine(2)


@_case
def legacy_xls_with_error_cells() -> tuple[bytes, str, list[End]]:
    lines = [HEADER, row(1), [*row(2)[:6], None, *row(2)[7:]], row(3)]
    raw = legacy(lines, lambda sheet: sheet.row(2).set_cell_error(6, "#REF!"))
    return raw, "民和县_补贴_2026.xls", [{"accepted": 2, "CELL_ERROR": 1}]


@_case
def xlsx_under_the_name_xls() -> tuple[bytes, str, list[End]]:
    return one([HEADER, *rows()]), "民和县_耕地地力保护补贴_2026.xls", fine()


@_case
def csv_under_the_name_xlsx() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()]), FILE, fine()


@_case
def html_table_under_the_name_xls() -> tuple[bytes, str, list[End]]:
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in [HEADER, *rows()])
    return f"<html><table>{cells}</table></html>".encode(), "民和县_补贴_2026.xls", ["blocked:FILE_UNREADABLE"]


@_case
def pdf_under_the_name_xlsx() -> tuple[bytes, str, list[End]]:
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", FILE, ["blocked:FILE_UNREADABLE"]


@_case
def workbook_cut_off_in_the_middle() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows(50)])
    return raw[: len(raw) // 2], FILE, ["blocked:FILE_UNREADABLE"]


@_case
def workbook_with_macros() -> tuple[bytes, str, list[End]]:
    return (
        repacked(one([HEADER, *rows()]), lambda _, body: body, {"xl/vbaProject.bin": b"\xd0\xcf\x11\xe0" * 64}),
        "民和县_补贴_2026.xlsm",
        fine(),
    )


@_case
def workbook_that_links_outside() -> tuple[bytes, str, list[End]]:
    outside = b'<?xml version="1.0"?><externalLink xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"/>'
    return (
        repacked(one([HEADER, *rows()]), lambda _, body: body, {"xl/externalLinks/externalLink1.xml": outside}),
        FILE,
        fine(),
    )


@_case
def entities_in_the_sheet() -> tuple[bytes, str, list[End]]:
    raw = one([HEADER, *rows()])
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'

    def change(part: str, body: bytes) -> bytes:
        return body.replace(b"<worksheet", bomb + b"<worksheet", 1) if part.endswith("sheet1.xml") else body

    return repacked(raw, change), FILE, ["blocked:FILE_UNREADABLE"]


@_case
def unpacks_to_gigabytes() -> tuple[bytes, str, list[End]]:
    return bomb({"xl/media/a.bin": 2200}, b"\0", one([HEADER, *rows()])), FILE, ["blocked:FILE_UNREADABLE"]


@_case
def a_cell_at_the_far_corner() -> tuple[bytes, str, list[End]]:
    def dress(sheet: Worksheet) -> None:
        sheet["XFD1048576"] = "x"

    return one([HEADER, *rows()], dress), FILE, ["blocked:FILE_UNREADABLE"]


# ---- text -----------------------------------------------------------------------------------------------------------

CSV: Final = "民和县_耕地地力保护补贴_2026.csv"


@_case
def csv_gb18030() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()], "gb18030"), CSV, fine()


@_case
def csv_utf8_with_bom() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()], "utf-8-sig"), CSV, fine()


@_case
def csv_utf16() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()], "utf-16", delimiter="\t"), CSV, fine()


@_case
def csv_mixed_encodings() -> tuple[bytes, str, list[End]]:
    return (
        text([HEADER, *rows(2)]) + b"\r\n" + text(rows(1, 3), "gb18030")[:-2] + b"\xff\xff",
        CSV,
        ["blocked:FILE_UNREADABLE"],
    )


@_case
def csv_with_semicolons() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()], delimiter=";"), CSV, fine()


@_case
def csv_with_line_feeds_only() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()], newline="\n"), CSV, fine()


@_case
def csv_with_quoted_line_breaks() -> tuple[bytes, str, list[End]]:
    lines = [[*row(1), '"第一行\n第二行"'], [*row(2), '"有""引号"""']]
    return text([[*HEADER, "备注"], *lines]), CSV, fine(2)


@_case
def csv_rows_of_different_length() -> tuple[bytes, str, list[End]]:
    return text([[TITLE], HEADER, row(1)[:7], [*row(2), "多出一格"], row(3)]), CSV, fine()


@_case
def csv_without_a_last_line_break_cut_in_a_row() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows(2), row(3)[:4]]), CSV, [{"accepted": 2, "AMOUNT_MISSING": 1}]


@_case
def csv_with_nul_bytes() -> tuple[bytes, str, list[End]]:
    return text([HEADER, *rows()])[:-4] + b"\x00\x00\x00\x00", CSV, ["blocked:FILE_UNREADABLE"]


@_case
def csv_empty() -> tuple[bytes, str, list[End]]:
    return b"", CSV, []


@_case
def thousands_separators_unquoted() -> tuple[bytes, str, list[End]]:
    return text([HEADER, row(1, area=20, amount='"1,572.00"'), row(2)]), CSV, fine(2)


@_case
def a_thousand_rows_every_tenth_without_amount() -> tuple[bytes, str, list[End]]:
    lines = [row(number % 9000 + 1, amount="—" if number % 10 == 0 else 786) for number in range(1000)]
    people = [line for number, line in enumerate(lines) if number % 10]
    assert len({str(line[2]) for line in people}) == len(people)
    return text([HEADER, *lines]), CSV, [{"accepted": 900, "AMOUNT_MISSING": 100}]
