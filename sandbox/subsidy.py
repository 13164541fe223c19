"""Subsidy rosters (补贴发放花名册) as two counties lay them out.

* grassland (草原生态保护补助奖励): xlsx, one sheet a village, a two-level header with merged cells, a subtotal and a
  footer on every sheet; areas in 亩, amounts in 元.
* farmland (耕地地力保护补贴): csv in GB18030 with a title and a fill-unit row, amounts as formatted text, a total.
* and three small files that must be blocked whole.

Amounts are computed in fen; a roster's total is the sum of what it states, wrong rows included, as a
spreadsheet's would be.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Final

from numpy.random import Generator, default_rng

from sandbox.faults import Tally, blocked, plant
from sandbox.numbers import full_width, old_resident_id, with_wrong_end
from sandbox.people import Household
from sandbox.workbooks import AgencyFile, Cell, Sheet, yuan, yuan_text

GRASSLAND: Final = "草原生态保护补助奖励"
FARMLAND: Final = "耕地地力保护补贴"

_GRASSLAND_FAULTS: Final = {
    "ACCOUNT_LUHN": 0.02,
    "AMOUNT_MISMATCH": 0.02,
    "DUPLICATE_IN_BATCH": 0.01,
    "DATE_AMBIGUOUS": 0.02,
    "ID_CHECK_FAILED": 0.02,
    "ID_PRECISION_LOST": 0.01,
}
_FARMLAND_FAULTS: Final = {
    "AMOUNT_MISMATCH": 0.01,
    "AMOUNT_MISSING": 0.02,
    "CELL_ERROR": 0.01,
    "ID_15_CONVERTED": 0.03,
    "ID_CHECK_FAILED": 0.01,
    "ID_MALFORMED": 0.01,
    "VILLAGE_UNKNOWN": 0.02,
}
_GRASSLAND_HEADINGS: Final[Sequence[Cell]] = (
    *("序号", "户主姓名", "身份证号码", "一卡通账号"),
    *("禁牧补助", None, None, "草畜平衡奖励", None, None),
    *("补奖合计", "发放日期", "备注"),
)
_FARMLAND_HEADINGS: Final = (
    *("序号", "乡镇", "村", "村代码", "户主", "身份证号"),
    *("确权面积(亩)", "补贴标准(元/亩)", "补贴金额(元)", "社保卡银行账号", "发放日期", "发放状态"),
)
_BAN_FEN: Final = 750  # 禁牧补助, fen a 亩 and year
_BALANCE_FEN: Final = 250  # 草畜平衡奖励
_FARMLAND_FEN: Final = 7860  # 耕地地力保护补贴, fen a 亩
_WRONG_FEN: Final = 10_000


def grassland(herders: Sequence[Household], *, as_of: date, seed: int) -> AgencyFile:
    """Lay out last year's grassland roster of a county."""
    rng = default_rng([seed, 1])
    paid_on = as_of - timedelta(days=82)
    filed_on = paid_on - timedelta(days=7)
    year = as_of.year - 1
    county = herders[0].village.county
    tally = Tally("SUBSIDY", GRASSLAND, has_amounts=True)
    planted = iter(plant(rng, len(herders), _GRASSLAND_FAULTS))
    sheets = []
    for village, group in groupby(herders, key=lambda household: household.village):
        title = f"{county}{village.town}{village.village}{year}年{GRASSLAND}资金发放花名册"
        rows: list[list[Cell]] = [
            [title],
            ["填报单位（盖章）：", *[None] * 4, f"填报日期：{filed_on:%Y年%-m月%-d日}", *[None] * 4, "单位：亩、元"],
            [*_GRASSLAND_HEADINGS],
            [*[None] * 4, *["面积", "标准", "金额"] * 2],
        ]
        subtotal = 0
        number = 0
        for household in group:
            fault = next(planted)
            for row, fen in _grassland_rows(rng, household, fault, paid_on, tally):
                number += 1
                subtotal += fen
                rows.append([number, *row])
        rows += [[None, "小计", *[None] * 8, yuan(subtotal)], [], ["制表人：        审核人：        单位负责人："]]
        merges = ["A1:M1", "E3:G3", "H3:J3", *(f"{column}3:{column}4" for column in "ABCDKLM")]
        sheets.append(Sheet(village.village, rows, merges))
    name = f"{county}{year}年{GRASSLAND}资金发放花名册.xlsx"
    return AgencyFile(name, sheets, {name: tally.as_expected()})


def _grassland_rows(
    rng: Generator, household: Household, fault: str | None, paid_on: date, tally: Tally
) -> Iterator[tuple[list[Cell], int]]:
    """Write one household's row, twice for a duplicate; yield it with the amount that it states, in fen."""
    ban, balance = int(rng.integers(20, 900)), int(rng.integers(5, 700))  # 亩
    total = ban * _BAN_FEN + balance * _BALANCE_FEN + (_WRONG_FEN if fault == "AMOUNT_MISMATCH" else 0)
    written: Cell = household.resident_id
    if fault == "ID_PRECISION_LOST":
        written = float(household.resident_id[:17] + "0")  # a number cell: its last digits are gone
    elif fault == "ID_CHECK_FAILED":
        written = with_wrong_end(household.resident_id)
    elif rng.integers(20) == 0:
        written = full_width(household.resident_id) + "\u3000"
    elif rng.integers(20) == 0:
        written = f"'{household.resident_id}"
    day = f"{paid_on:%Y-%m-%d}" if rng.integers(10) else f"{paid_on:%Y年%-m月%-d日}"
    row: list[Cell] = [
        household.name,
        written,
        with_wrong_end(household.card) if fault == "ACCOUNT_LUHN" else household.card,
        *(ban, yuan(_BAN_FEN), yuan(ban * _BAN_FEN)),
        *(balance, yuan(_BALANCE_FEN), yuan(balance * _BALANCE_FEN)),
        yuan(total),
        f"{paid_on:%y}.{paid_on.month}.{paid_on.day}" if fault == "DATE_AMBIGUOUS" else day,
    ]
    consented = household.agreed_to("SUBSIDY")
    first = [] if fault in (None, "DUPLICATE_IN_BATCH") else [fault]
    tally.count(first, consented=consented, amount_fen=total)
    yield row, total
    if fault == "DUPLICATE_IN_BATCH":
        tally.count([fault], consented=consented, amount_fen=total)
        yield row, total


def farmland(farmers: Sequence[Household], *, as_of: date, seed: int) -> AgencyFile:
    """Lay out this year's farmland roster of a county."""
    rng = default_rng([seed, 2])
    county = farmers[0].village.county
    tally = Tally("SUBSIDY", FARMLAND, has_amounts=True)
    paid_on = as_of - timedelta(days=61)
    rows: list[list[Cell]] = [
        [f"{county}{as_of.year}年{FARMLAND}发放明细表", *[""] * 11],
        [f"填报单位：{county}农业农村局", *[""] * 9, "单位：元", ""],
        [*_FARMLAND_HEADINGS],
    ]
    total = 0
    for number, (household, fault) in enumerate(
        zip(farmers, plant(rng, len(farmers), _FARMLAND_FAULTS), strict=True), start=1
    ):
        tenths = int(rng.integers(50, 300))  # of a 亩
        fen = tenths * _FARMLAND_FEN // 10
        codes = ["ID_REGION_UNKNOWN"] * household.unknown_prefix + ([fault] if fault else [])
        tally.count(codes, consented=household.agreed_to("SUBSIDY"), amount_fen=fen, person=household.resident_id)
        total += 0 if fault in ("AMOUNT_MISSING", "CELL_ERROR") else fen
        rows.append(
            [
                str(number),
                household.village.town,
                household.village.village,
                f"{household.village.town_code}999" if fault == "VILLAGE_UNKNOWN" else household.village.village_code,
                household.name,
                _written_id(household.resident_id, fault),
                f"{tenths / 10:.1f}".removesuffix(".0"),
                "86.70" if fault == "AMOUNT_MISMATCH" else "78.60",
                {"AMOUNT_MISSING": "—", "CELL_ERROR": "#REF!"}.get(fault or "", _written_amount(rng, fen)),
                household.card,
                f"{paid_on:%Y-%m-%d}",
                *(("退回", "账户注销") if rng.integers(15) == 0 else ("已发放",)),
            ]
        )
    rows.append(["合计", "", "", "", f"{len(farmers)}户", "", "", "", yuan_text(total), "", "", ""])
    name = f"{county}_{FARMLAND}发放明细_{as_of.year}.csv"
    return AgencyFile(name, [Sheet("", rows)], {name: tally.as_expected()}, accepted_people=tally.accepted_people)


def _written_id(number: str, fault: str | None) -> str:
    match fault:
        case "ID_15_CONVERTED":
            return old_resident_id(number)
        case "ID_CHECK_FAILED":
            return with_wrong_end(number)
        case "ID_MALFORMED":
            return number[:14] + "OOO" + number[17:]  # the letter O for the digit 0
        case _:
            return number


def _written_amount(rng: Generator, fen: int) -> str:
    plain = f"{fen // 100}.{fen % 100:02d}"
    return (yuan_text(fen), plain, f"￥{plain}")[int(rng.choice(3, p=(0.7, 0.2, 0.1)))]


def to_be_blocked(farmers: Sequence[Household], *, as_of: date) -> list[AgencyFile]:
    """Lay out three files whose frame cannot be trusted: a wrong total, no unit, unknown columns."""
    county = farmers[0].village.county
    listed = farmers[:8]
    amounts = [20_000 + 1_731 * number for number in range(1, len(listed) + 1)]  # fen
    files = []
    for project, heading, code, off in (
        ("粮食直补", "补贴金额(元)", "TOTAL_MISMATCH", 5_000),
        ("良种补贴", "补贴金额", "UNIT_UNKNOWN", 0),
    ):
        rows: list[list[Cell]] = [["序号", "村代码", "户主", "身份证号", heading, "发放日期"]]
        for number, (household, fen) in enumerate(zip(listed, amounts, strict=True), start=1):
            who = (household.village.village_code, household.name, household.resident_id)
            rows.append([number, *who, yuan(fen), f"{as_of - timedelta(days=38):%Y-%m-%d}"])
        rows.append(["合计", "", f"{len(listed)}户", "", yuan(sum(amounts) + off), ""])
        name = f"{county}_{project}发放明细_{as_of.year}.csv"
        expected = {name: blocked(code, dataset="SUBSIDY", project=project, rows=len(listed))}
        files.append(AgencyFile(name, [Sheet("", rows)], expected))
    name = f"{county}_村民通讯录.csv"
    directory: list[list[Cell]] = [["姓名", "电话", "备注"], [listed[0].name, "13900000000", ""]]
    files.append(AgencyFile(name, [Sheet("", directory)], {name: blocked("HEADER_UNKNOWN")}, encoding="utf-8"))
    return files
