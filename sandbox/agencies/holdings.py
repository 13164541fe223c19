"""What the three agencies hold, as rows that a system delivers instead of the sheets that a desk sends.

The 三资 ledgers are the cells of `sandbox.sanzi`, one mapping of heading to value a row, merged cells filled and the
unit in the heading. Payments are made here from `sandbox.people`, with those faults that columns of a database can
hold. Each comes with what must become of its rows, in the shape of an intake report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from numpy.random import default_rng

from sandbox.faults import Tally, plant
from sandbox.numbers import old_resident_id, with_wrong_end
from sandbox.people import Household, Province
from sandbox.sanzi import ledger, quarter_end
from sandbox.subsidy import FARMLAND
from sandbox.workbooks import Cell, Sheet

Row: TypeAlias = dict[str, Cell]

FUNDS: Final = "funds"
CONTRACTS: Final = "contracts"
_CODE: Final = "统一社会信用代码"
_ORGANISATION: Final = "村集体经济组织"
_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "(元)": ("银行余额", "账面余额"),
    "(万元)": ("原值", "累计折旧", "净值"),
    "(亩)": ("总面积", "已发包面积", "未发包面积"),
}
_UNIT_OF: Final = {heading: unit for unit, headings in _UNITS.items() for heading in headings}
_LEDGERS: Final = {FUNDS: ("资金", 2), "assets": ("资产", 2), "resources": ("资源", 2), CONTRACTS: ("合同", 1)}


@dataclass(frozen=True)
class Ledger:
    """One ledger (资金 and so on): each organisation's rows, and what must become of all of them together."""

    name: str
    holdings: Mapping[str, Sequence[Row]] = field(repr=False)  # by credit code
    expected: Mapping[str, object]


def ledgers(province: Province, *, seed: int) -> dict[str, Ledger]:
    """Give the four ledgers of the province's collectives."""
    file = ledger(province.collectives, province.tenants, as_of=province.as_of, seed=seed)
    by_name = {collective.name: collective.credit_code for collective in province.collectives}
    sheets = {sheet.name: sheet for sheet in file.sheets}
    closed = f"{quarter_end(province.as_of)}"
    found = {}
    for name, (title, header) in _LEDGERS.items():
        rows = _rows(sheets[title], header)
        if name != CONTRACTS:  # a contract stands by itself; the others are the set of a quarter
            rows = [{**row, "截止日期": closed} for row in rows]
        found[name] = Ledger(name, _by_organisation(rows, by_name), file.expected[f"{file.name}#{title}"])
    return found


def _rows(sheet: Sheet, header: int) -> list[Row]:
    """Turn a sheet's data rows into mappings; blanks of merged cells take the value above."""
    headings = [str(cell) for cell in sheet.rows[header]]
    rows: list[Row] = []
    for cells in sheet.rows[header + 1 :]:
        if cells[0] == "合计":
            continue
        above = rows[-1] if rows else {}
        row = {name: above.get(name) if cell is None else cell for name, cell in zip(headings, cells, strict=True)}
        rows.append(row)
    return [{name + _UNIT_OF.get(name, ""): cell for name, cell in row.items()} for row in rows]


def _by_organisation(rows: Sequence[Row], by_name: Mapping[str, str]) -> dict[str, list[Row]]:
    """File rows under the organisation; where the code is written wrongly, the system knows it by its name."""
    filed: dict[str, list[Row]] = {}
    for row in rows:
        filed.setdefault(by_name.get(str(row.get(_ORGANISATION)), str(row[_CODE])), []).append(row)
    return filed


@dataclass
class Payment:
    """One payment as the subsidy system's table holds it; amounts in yuan, areas in 亩."""

    resident_id: str = field(repr=False)
    name: str = field(repr=False)
    card: str = field(repr=False)
    town: str
    village: str
    village_code: str
    area: Decimal
    amount: Decimal | None
    paid_on: date
    grant_year: int
    status: str


_RATE_FEN: Final = 7860  # 耕地地力保护补贴, fen a 亩
RATE: Final = Decimal("78.60")
_FAULTS: Final = {
    "AMOUNT_MISMATCH": 0.01,
    "AMOUNT_MISSING": 0.02,
    "ID_15_CONVERTED": 0.03,
    "ID_CHECK_FAILED": 0.01,
    "ID_MALFORMED": 0.01,
    "VILLAGE_UNKNOWN": 0.02,
}
_NOT_FOUND: Final = ("ID_CHECK_FAILED", "ID_MALFORMED")  # under a number that is nobody's
_EXTRA: Final = Decimal(100)


@dataclass(frozen=True)
class Payments:
    """This year's payments, and what must become of the rows: of all, and of those of people one can ask about.

    Who is asked about is a person who agreed; whoever's number is written wrongly is not found by it.
    """

    rows: Sequence[Payment] = field(repr=False)
    expected: Mapping[str, object]
    expected_of_people: Mapping[str, object]


def payments(farmers: Sequence[Household], *, as_of: date, seed: int) -> Payments:
    """Make this year's payments to the farmers of a county."""
    rng = default_rng([seed, 6])
    tally, found = (Tally("SUBSIDY", FARMLAND, has_amounts=True) for _ in range(2))
    made = []
    for household, fault in zip(farmers, plant(rng, len(farmers), _FAULTS), strict=True):
        tenths = int(rng.integers(50, 300))  # of a 亩
        fen = tenths * _RATE_FEN // 10 + (int(_EXTRA) * 100 if fault == "AMOUNT_MISMATCH" else 0)
        codes = ["ID_REGION_UNKNOWN"] * household.unknown_prefix + ([fault] if fault else [])
        agreed = household.agreed_to("SUBSIDY")
        tally.count(codes, consented=agreed, amount_fen=fen)
        if agreed and fault not in _NOT_FOUND:
            found.count(codes, amount_fen=fen)
        village = household.village
        made.append(
            Payment(
                resident_id=_written(household.resident_id, fault),
                name=household.name,
                card=household.card,
                town=village.town,
                village=village.village,
                village_code=f"{village.town_code}999" if fault == "VILLAGE_UNKNOWN" else village.village_code,
                area=Decimal(tenths) / 10,
                amount=None if fault == "AMOUNT_MISSING" else Decimal(fen) / 100,
                paid_on=as_of - timedelta(days=61),
                grant_year=as_of.year,
                status="已发放",
            )
        )
    return Payments(made, tally.as_expected(), found.as_expected())


def _written(number: str, fault: str | None) -> str:
    match fault:
        case "ID_15_CONVERTED":
            return old_resident_id(number)
        case "ID_CHECK_FAILED":
            return with_wrong_end(number)
        case "ID_MALFORMED":
            return number[:14] + "OOO" + number[17:]
        case _:
            return number
