"""A county's ledger of collective funds, assets, resources and contracts (农村集体三资台账).

One xlsx of four sheets with different headers, each a table of its own: 资金 (元, with a total), 资产 (万元, the
organisation's cells merged over its assets), 资源 (亩), 合同 (units in the headings). Organisations' rows need no
consent; a contract with a person does.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from numpy.random import Generator, default_rng

from sandbox.faults import Tally, plant
from sandbox.numbers import with_wrong_end
from sandbox.people import Collective, Household
from sandbox.workbooks import AgencyFile, Cell, Sheet, yuan

_FUND_FAULTS: Final = {
    "BALANCE_DIFFERENCE": 0.03,
    "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT": 0.03,
    "USCC_CHECK_FAILED": 0.06,
}
_ASSET_FAULTS: Final = {"NET_VALUE_MISMATCH": 0.04}
_RESOURCE_FAULTS: Final = {"UNKNOWN_CATEGORY": 0.06}
_CONTRACT_FAULTS: Final = {"ID_CHECK_FAILED": 0.06, "PERIOD_INVERTED": 0.05}
_ASSET_HEADINGS: Final = (
    *("村集体经济组织", "统一社会信用代码", "资产名称", "资产类别", "是否经营性"),
    *("取得日期", "原值", "累计折旧", "净值"),
)
_CONTRACT_HEADINGS: Final = (
    *("合同编号", "发包方", "统一社会信用代码", "承包方", "承包方身份证号", "合同类型"),
    *("面积(亩)", "年承包费(元)", "起始日期", "终止日期", "欠费(元)"),
)
_ASSETS: Final = ("办公用房", "蓄水池", "拖拉机", "冷库", "养殖暖棚", "温室大棚")
_ASSET_KINDS: Final = ("农田水利设施", "机器设备", "房屋建筑物")
_BOUGHT: Final = ("2019-06-01", "2020/5/12", "2021年8月")
_RESOURCES: Final = ("草地", "水面", "林地", "耕地")
_USES: Final = ("家庭承包", "发包", "统一经营")


def quarter_end(as_of: date) -> date:
    """Say on which day the quarter that ended last before `as_of` was closed."""
    return date(as_of.year, (as_of.month - 1) // 3 * 3 + 1, 1) - timedelta(days=1)


def ledger(collectives: Sequence[Collective], tenants: Sequence[Household], *, as_of: date, seed: int) -> AgencyFile:
    """Lay out the ledger of the quarter that ended last before `as_of`."""
    rng = default_rng([seed, 4])
    closed = quarter_end(as_of)
    county = collectives[0].village.county
    name = f"{county}_农村集体三资台账_{closed.year}年第{'一二三四'[(closed.month - 1) // 3]}季度.xlsx"
    sheets, expected = [], {}
    for sheet, tally in (
        _funds(rng, collectives, tenants, county, closed),
        _assets(rng, collectives, county),
        _resources(rng, collectives, county),
        _contracts(rng, collectives, tenants, as_of),
    ):
        sheets.append(sheet)
        expected[f"{name}#{sheet.name}"] = tally.as_expected()
    return AgencyFile(name, sheets, expected)


def _funds(
    rng: Generator, collectives: Sequence[Collective], tenants: Sequence[Household], county: str, closed: date
) -> tuple[Sheet, Tally]:
    tally = Tally("SANZI")
    bank = f"青海农商银行{county}支行"
    rows: list[list[Cell]] = [
        [f"{county}农村集体资金账户余额表"],
        [*[None] * 6, f"截止日期：{closed:%Y年%-m月%-d日}", None, "单位：元"],
        ["乡镇", "村集体经济组织", "统一社会信用代码", "开户银行", "户名", "账号", "账户性质", "银行余额", "账面余额"],
    ]
    total = 0
    for index, (collective, fault) in enumerate(
        zip(collectives, plant(rng, len(collectives), _FUND_FAULTS), strict=True)
    ):
        balance = int(rng.integers(2_000_000, 90_000_000))  # fen
        booked = balance + 123_456 if fault == "BALANCE_DIFFERENCE" else balance
        total += balance
        tally.count([fault] if fault else [])
        in_own_name = fault != "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT"
        rows.append(
            [
                collective.village.town,
                collective.name,
                _written_code(collective, fault),
                bank,
                collective.name if in_own_name else tenants[index % len(tenants)].name,
                f"8201{int(rng.integers(10**12)):012d}",
                "基本户",
                yuan(balance),
                yuan(booked),
            ]
        )
    rows.append(["合计", *[None] * 6, yuan(total)])
    return Sheet("资金", rows, ["A1:I1"]), tally


def _assets(rng: Generator, collectives: Sequence[Collective], county: str) -> tuple[Sheet, Tally]:
    tally = Tally("SANZI")
    rows: list[list[Cell]] = [
        [f"{county}农村集体资产清查明细表"],
        [*[None] * 8, "单位：万元"],
        [*_ASSET_HEADINGS],
    ]
    merges = []
    owners = [collective for collective in collectives for _ in range(int(rng.integers(1, 4)))]
    for index, (owner, fault) in enumerate(zip(owners, plant(rng, len(owners), _ASSET_FAULTS), strict=True)):
        first = index == 0 or owners[index - 1] is not owner
        if first and (count := owners.count(owner)) > 1:
            merges += [f"{column}{len(rows) + 1}:{column}{len(rows) + count}" for column in "AB"]
        worth = int(rng.integers(200_000, 9_000_000))  # yuan
        written_off = worth * int(rng.integers(1, 70)) // 100
        left = worth - written_off + (10_000 if fault == "NET_VALUE_MISMATCH" else 0)
        tally.count([fault] if fault else [])
        rows.append(
            [
                owner.village.village if first else None,
                owner.credit_code if first else None,
                _one_of(rng, _ASSETS),
                _one_of(rng, _ASSET_KINDS),
                _one_of(rng, ("是", "否")),
                _one_of(rng, _BOUGHT),
                *(worth / 10_000, written_off / 10_000, left / 10_000),
            ]
        )
    return Sheet("资产", rows, merges), tally


def _resources(rng: Generator, collectives: Sequence[Collective], county: str) -> tuple[Sheet, Tally]:
    tally = Tally("SANZI")
    rows: list[list[Cell]] = [
        [f"{county}农村集体资源性资产登记表"],
        [*[None] * 6, "单位：亩"],
        ["村集体经济组织", "统一社会信用代码", "资源类型", "总面积", "已发包面积", "未发包面积", "利用方式"],
    ]
    for collective, fault in zip(collectives, plant(rng, len(collectives), _RESOURCE_FAULTS), strict=True):
        area = int(rng.integers(2_000, 90_000))  # tenths of a 亩
        let = area * int(rng.integers(5, 95)) // 100
        tally.count([fault] if fault else [])
        rows.append(
            [
                collective.village.village,
                collective.credit_code,
                "待定" if fault == "UNKNOWN_CATEGORY" else _one_of(rng, _RESOURCES),
                *(area / 10, let / 10, (area - let) / 10),
                _one_of(rng, _USES),
            ]
        )
    return Sheet("资源", rows, ["A1:G1"]), tally


def _contracts(
    rng: Generator, collectives: Sequence[Collective], tenants: Sequence[Household], as_of: date
) -> tuple[Sheet, Tally]:
    tally = Tally("SANZI")
    county, code = collectives[0].village.county, collectives[0].village.county_code
    rows: list[list[Cell]] = [
        [f"{county}农村集体经济合同登记表"],
        [*_CONTRACT_HEADINGS],
    ]
    begun = as_of.year - 2
    for number, (tenant, fault) in enumerate(
        zip(tenants, plant(rng, len(tenants), _CONTRACT_FAULTS), strict=True), start=1
    ):
        collective = collectives[(number - 1) % len(collectives)]
        end = _one_of(rng, (f"{begun + 4}-12-31", f"{begun + 9}年12月31日"))
        tally.count([fault] if fault else [], consented=tenant.agreed_to("SANZI_CONTRACT"))
        rows.append(
            [
                f"HT{code}{number:05d}",
                collective.village.village,
                collective.credit_code,
                tenant.name,
                with_wrong_end(tenant.resident_id) if fault == "ID_CHECK_FAILED" else tenant.resident_id,
                _one_of(rng, ("资产出租", "资源发包")),
                int(rng.integers(20, 400)),
                yuan(int(rng.integers(70_000, 900_000))),
                f"{begun}-01-01",
                f"{begun - 1}-12-31" if fault == "PERIOD_INVERTED" else end,
                350.5 if rng.integers(12) == 0 else 0,
            ]
        )
    return Sheet("合同", rows, ["A1:K1"]), tally


def _written_code(collective: Collective, fault: str | None) -> str:
    return with_wrong_end(collective.credit_code) if fault == "USCC_CHECK_FAILED" else collective.credit_code


def _one_of(rng: Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
