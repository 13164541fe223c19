"""What the other offices of a province send: twelve files, each in the way of its office, with faults planted in them.

Registrar, tax office, power company, social insurance, courts, farm registers, forestry, animal husbandry, insurer,
weather service, price monitoring, lenders. Each file has a title, a line for unit and date, a header, its rows and a
line for who made it. Every row has at most one fault (`faults.plant`); what must become of it is counted while it is
written. The rows are about the province's own households and collectives, whose numbers are nobody's.

It decides nothing about consents: a household that agreed to everything agreed to these classes too (`agreed`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from numpy.random import Generator, default_rng

from sandbox.faults import Tally, plant
from sandbox.numbers import credit_code, ear_tag, with_wrong_end
from sandbox.people import CLASSES, Household, Province
from sandbox.workbooks import AgencyFile, Cell, Sheet, yuan

CLASSES_OF_PERSONS: Final = (
    *("TAX", "ELEC", "SOC_INS", "JUDICIAL", "AGRI_REG"),
    *("GRASS", "LIVESTOCK", "AGRI_INS", "LENDER"),
)
"""The classes to which a household's consent is extended; those about organisations and districts need none."""

_ROW = list[Cell]
_ORGANISATIONS: Final = 24
_FIRST_SERIAL: Final = 50_001
_DISTRICTS: Final = ("632701", "632722", "632723", "632724", "632725", "632726", "632621", "632622")
_RETIRED_DISTRICT: Final = "632721"  # 玉树县 until 2013
_PRODUCTS: Final = (
    ("牦牛肉", "元/公斤", 7650),
    ("藏羊肉", "元/公斤", 7220),
    ("马铃薯", "元/公斤", 260),
    ("青稞", "元/公斤", 410),
)
_MARKETS: Final = (("西宁市", "仁杰市场"), ("海东市", "乐都综合市场"), ("玉树市", "玉树农贸市场"))


@dataclass(frozen=True)
class Subject:
    """Whom a row is about: a household or a co-operative, by name and number."""

    name: str = field(repr=False)
    number: str = field(repr=False)
    consented: bool = True
    remark: str = ""  # the code that its number brings with it
    household: Household | None = None


def agreed(household: Household) -> bool:
    """Say whether a household's consent covers these classes: it does where it covers all the older ones."""
    return household.classes == CLASSES


def files(province: Province, *, seed: int) -> list[AgencyFile]:
    """Lay out all twelve files, as of the province's day."""
    herders = [_person(one) for one in province.herders]
    farmers = [_person(one) for one in province.farmers]
    organisations = [
        Subject(f"{village.stem}生态畜牧业专业合作社", credit_code("93", village.county_code, _FIRST_SERIAL + at))
        for at, village in enumerate([one.village for one in province.collectives][:_ORGANISATIONS])
    ]
    day, grazing, farming = province.as_of, province.herders[0].village, province.farmers[0].village
    made = _Office(default_rng([seed, 9]), day)
    return [
        made.registrar(organisations, province.collectives[0].village.county),
        made.tax(farmers, organisations, farming.county),
        made.power(farmers, organisations, farming.county),
        made.social_insurance(farmers, farming.county),
        made.courts(farmers, organisations),
        made.land_contracts(farmers, farming.county),
        made.pasture(herders, grazing.county),
        made.herds(herders, grazing.county),
        made.insurance(herders, grazing.county),
        made.weather(),
        made.prices(),
        made.loans(farmers, organisations),
    ]


def _person(household: Household) -> Subject:
    remark = "ID_REGION_UNKNOWN" if household.unknown_prefix else ""
    return Subject(household.name, household.resident_id, agreed(household), remark, household)


@dataclass(frozen=True)
class _Office:
    """Lays out tables with one source of chance and one day."""

    rng: Generator
    day: date

    def _table(
        self,
        dataset: str,
        subjects: Sequence[Subject],
        shares: Mapping[str, float],
        row: Callable[[int, Subject, str | None], tuple[_ROW, int]],
        *,
        has_amounts: bool = False,
    ) -> tuple[list[_ROW], Tally]:
        """Write a row for each subject; `row` gives its cells and its amount in fen. A duplicate follows its row."""
        tally, rows = Tally(dataset, has_amounts=has_amounts), list[_ROW]()
        for at, (subject, fault) in enumerate(zip(subjects, plant(self.rng, len(subjects), shares), strict=True)):
            again = fault == "DUPLICATE_IN_BATCH"
            cells, amount = row(at, subject, None if again else fault)
            remark = [subject.remark] if subject.remark else []
            rows.append(cells)
            tally.count(
                remark + ([fault] if fault and not again else []), consented=subject.consented, amount_fen=amount
            )
            if again:
                rows.append(list(cells))
                tally.count([*remark, "DUPLICATE_IN_BATCH"], consented=subject.consented, amount_fen=amount)
        return rows, tally

    def _amount(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high)) * 10  # fen

    def registrar(self, organisations: Sequence[Subject], county: str) -> AgencyFile:
        """市场主体登记信息."""

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            code = with_wrong_end(one.number) if fault == "USCC_CHECK_FAILED" else one.number
            status = "状态不详" if fault == "UNKNOWN_CATEGORY" else ("存续", "存续", "注销")[at % 3]
            phone = "12345" if fault == "PHONE_MALFORMED" else f"0972-86{at:05}"
            return [at + 1, code, one.name, "农民专业合作社", status, "2018-05-02", 50 + at, "牦牛、藏羊养殖", phone], 0

        headings = _heads("序号 统一社会信用代码 名称 主体类型 登记状态 成立日期 注册资本(万元) 经营范围 联系电话")
        shares = {"USCC_CHECK_FAILED": 0.05, "UNKNOWN_CATEGORY": 0.05, "PHONE_MALFORMED": 0.05}
        rows, tally = self._table("BIZ_REG", organisations, shares, row)
        return _workbook(f"{county}_市场主体登记信息_{self.day.year}.xlsx", "登记信息", headings, rows, tally)

    def tax(self, people: Sequence[Subject], organisations: Sequence[Subject], county: str) -> AgencyFile:
        """开票缴税明细: persons and organisations in one column."""

        def row(_: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            number = one.number[:-2] if fault == "ID_MALFORMED" and one.household else one.number
            month = "26年3月" if fault == "DATE_AMBIGUOUS" else f"{self.day.year}03"
            invoiced = self._amount(10_000, 900_000)
            return [number, one.name, month, yuan(invoiced), yuan(invoiced // 100), "0", "否"], 0

        headings = _heads("纳税人识别号 纳税人名称 所属月份 开票金额(元) 实缴税额(元) 欠缴税额(元) 是否非正常户")
        rows, tally = self._table("TAX", [*people, *organisations], {"DATE_AMBIGUOUS": 0.02}, row)
        return _text(f"{county}_开票缴税明细_{self.day.year}.csv", headings, rows, tally)

    def power(self, people: Sequence[Subject], organisations: Sequence[Subject], county: str) -> AgencyFile:
        """用电电费明细."""

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            kind = "路灯" if fault == "UNKNOWN_CATEGORY" else "居民生活用电" if one.household else "农业生产用电"
            month = "去年底" if fault == "DATE_MALFORMED" else f"{self.day.year}年4月"
            bill = self._amount(1_000, 60_000)
            kwh = int(self.rng.integers(20, 900))
            return [f"6302{at:06}", one.name, one.number, month, kind, kwh, yuan(bill), "-"], 0

        headings = _heads("用电户号 户名 证件号码 用电月份 用电类别 用电量(千瓦时) 电费(元) 欠费(元)")
        shares = {"DATE_MALFORMED": 0.02, "DUPLICATE_IN_BATCH": 0.02, "UNKNOWN_CATEGORY": 0.02}
        rows, tally = self._table("ELEC", [*people, *organisations], shares, row)
        return _text(f"{county}_电费明细_{self.day.year}.csv", headings, rows, tally)

    def social_insurance(self, people: Sequence[Subject], county: str) -> AgencyFile:
        """个人参保缴费明细."""

        def row(_: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            number = with_wrong_end(one.number) if fault == "ID_CHECK_FAILED" else one.number
            status = "未知" if fault == "UNKNOWN_CATEGORY" else "参保缴费"
            base = self._amount(300_00, 900_00)
            return [
                one.name,
                number,
                "城乡居民基本养老保险",
                f"{self.day.year}-04",
                status,
                yuan(base),
                yuan(base // 10),
                0,
            ], 0

        headings = _heads("姓名 社会保障号码 险种类型 费款所属期 参保状态 缴费基数(元) 个人缴费额(元) 断缴月数")
        shares = {"ID_CHECK_FAILED": 0.02, "UNKNOWN_CATEGORY": 0.02}
        rows, tally = self._table("SOC_INS", people, shares, row)
        return _workbook(f"{county}_个人参保缴费_{self.day.year}.xlsx", "参保缴费", headings, rows, tally)

    def courts(self, people: Sequence[Subject], organisations: Sequence[Subject]) -> AgencyFile:
        """失信被执行人名单: published, so that nobody is asked; some numbers are masked by the court."""
        named = [replace(one, consented=True) for one in people[::4]]

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            number = f"{one.number[:6]}********{one.number[14:]}" if fault == "ID_MALFORMED" else one.number
            filed = self.day - timedelta(days=400 + at)
            closed = filed - timedelta(days=3) if fault == "PERIOD_INVERTED" else ""
            amount = yuan(self._amount(50_000, 5_000_000))
            case = f"（{filed.year}）青02执{at + 1}号"
            return [
                one.name,
                number,
                "失信被执行人",
                case,
                "海东市中级人民法院",
                _slashed(filed),
                amount,
                _slashed(closed),
            ], 0

        headings = _heads(
            "被执行人姓名/名称 身份证号码/组织机构代码 公开类别 案号 执行法院 立案时间 执行标的(元) 结案日期"
        )
        rows, tally = self._table("JUDICIAL", named, {"ID_MALFORMED": 0.1, "PERIOD_INVERTED": 0.05}, row)
        clean, more = self._table("JUDICIAL", organisations[:4], {}, lambda at, one, _: row(len(named) + at, one, None))
        return _text(f"青海省_失信被执行人名单_{self.day.year}.csv", headings, rows + clean, _added(tally, more))

    def land_contracts(self, people: Sequence[Subject], county: str) -> AgencyFile:
        """土地承包登记簿."""

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            village = one.household.village.village_code if one.household else ""
            code = f"{village}01{at + 1:04}"
            area = "—" if fault == "AMOUNT_MISSING" else int(self.rng.integers(20, 900)) / 10
            end = "1997-08-31" if fault == "PERIOD_INVERTED" else "2028-08-31"
            return [one.name, one.number, code, f"{code}J", area, area, "1998-09-01", end], 0

        headings = _heads(
            "承包方代表 承包方代表身份证号 承包方编码 承包合同代码 合同面积 确权面积 承包起始日期 承包终止日期"
        )
        rows, tally = self._table("AGRI_REG", people, {"AMOUNT_MISSING": 0.02, "PERIOD_INVERTED": 0.02}, row)
        name = f"{county}_土地承包登记簿_{self.day.year}.xlsx"
        return _workbook(name, "登记簿", headings, rows, tally, unit="单位：亩")

    def pasture(self, people: Sequence[Subject], county: str) -> AgencyFile:
        """草畜平衡台账."""

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            place = one.household.village if one.household else None
            ban, balance = int(self.rng.integers(100, 900)), int(self.rng.integers(300, 3000))
            village = "无此牧委会" if fault == "VILLAGE_UNKNOWN" else place.village if place else ""
            kept = "待定" if fault == "UNKNOWN_CATEGORY" else "是" if at % 7 else "否"
            town = place.town if place else ""
            figures: _ROW = [ban + balance, ban, balance, balance // 5, balance // 6, kept, "无" if at % 9 else "有"]
            return [town, village, one.name, one.number, self.day.year - 1, f"玉草字第{at + 1:04}号", *figures], 0

        headings = _heads(
            "乡镇 行政村 户主姓名 身份证号码 年度 草原证号 承包草场面积 禁牧面积 草畜平衡面积 "
            "核定载畜量 实际载畜量 是否达标 是否生态管护员"
        )
        rows, tally = self._table("GRASS", people, {"VILLAGE_UNKNOWN": 0.02, "UNKNOWN_CATEGORY": 0.02}, row)
        return _workbook(
            f"{county}_草畜平衡台账_{self.day.year - 1}.xlsx", "台账", headings, rows, tally, unit="单位：亩"
        )

    def herds(self, people: Sequence[Subject], county: str) -> AgencyFile:
        """存栏出栏统计 and 耳标登记: two sheets of one workbook."""
        stand = f"{self.day - timedelta(days=76):%Y-%m-%d}"

        def herd(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            species = "梅花鹿" if fault == "UNKNOWN_CATEGORY" else ("牦牛", "藏系羊")[at % 2]
            name = f"{one.name};{people[at - 1].name}" if fault == "MULTIPLE_PERSONS" else one.name
            heads = int(self.rng.integers(10, 240))
            return [name, one.number, species, heads, heads // 2, heads // 8, heads // 40, heads - 2, stand], 0

        def tag(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            number = ear_tag("3" if fault == "EAR_TAG_SPECIES" else "2", "632701", at + 1)
            number = number[:-1] if fault == "EAR_TAG_MALFORMED" else number
            return [one.name, one.number, number, "牦牛", f"{self.day.year - 1}-10-02", "在群"], 0

        shares = {"MULTIPLE_PERSONS": 0.02, "UNKNOWN_CATEGORY": 0.02}
        herds, herd_tally = self._table("LIVESTOCK", people, shares, herd)
        wrong = {"EAR_TAG_MALFORMED": 0.02, "EAR_TAG_SPECIES": 0.02, "DUPLICATE_IN_BATCH": 0.02}
        tags, tag_tally = self._table("LIVESTOCK", people, wrong, tag)
        name = f"{county}_牲畜存栏与耳标登记_{self.day.year}.xlsx"
        counted = _heads("户主姓名 身份证号 畜种 存栏数 能繁母畜数 出栏数 死亡数 耳标佩戴数 截止日期")
        tagged = _heads("畜主姓名 身份证号 耳标号 畜种 佩戴日期 状态")
        sheets = [_sheet("存栏出栏", counted, herds, county), _sheet("耳标登记", tagged, tags, county)]
        expected = {f"{name}#存栏出栏": herd_tally.as_expected(), f"{name}#耳标登记": tag_tally.as_expected()}
        return AgencyFile(name, sheets, expected)

    def insurance(self, people: Sequence[Subject], county: str) -> AgencyFile:
        """承保清单 and 理赔清单."""
        start = date(self.day.year, 1, 1)

        def policy(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            heads = int(self.rng.integers(10, 200))
            premium = heads * 180_00
            shares = [premium * 4 // 10, premium * 3 // 10, premium // 10, premium * 2 // 10]
            end = start - timedelta(days=1) if fault == "PERIOD_INVERTED" else date(self.day.year, 12, 31)
            told = premium + 100 if fault == "AMOUNT_MISMATCH" else premium
            kind = "商业性" if at % 5 == 0 else "政策性"
            cells: _ROW = [one.name, one.number, f"PQH{at + 1:07}", "牦牛养殖保险", kind, heads, yuan(heads * 3000_00)]
            return [*cells, yuan(told), *map(yuan, shares), f"{start}", f"{end}"], premium

        def claim(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            cause = "陨石" if fault == "UNKNOWN_CATEGORY" else ("雪灾", "疫病")[at % 2]
            paid = self._amount(20_000, 90_000)
            day = f"{start + timedelta(days=40)}"
            return [one.name, one.number, f"CQH{at + 1:07}", cause, day, 3, yuan(paid), yuan(paid), day], paid

        faults = {"AMOUNT_MISMATCH": 0.02, "PERIOD_INVERTED": 0.02}
        policies, insured = self._table("AGRI_INS", people, faults, policy, has_amounts=True)
        claims, lost = self._table("AGRI_INS", people[::3], {"UNKNOWN_CATEGORY": 0.04}, claim, has_amounts=True)
        name = f"{county}_农业保险承保理赔清单_{self.day.year}.xlsx"
        headings = _heads(
            "被保险人 证件号码 保单号 险种名称 保险性质 承保数量(头) 保险金额 保费 中央财政补贴 "
            "省级财政补贴 市县财政补贴 农户自缴 起保日期 终保日期"
        )
        lost_headings = _heads("被保险人 证件号码 赔案号 出险原因 报案日期 损失数量 定损金额 赔付金额 赔付日期")
        sheets = [
            _sheet("承保清单", headings, policies, county, "单位：元"),
            _sheet("理赔清单", lost_headings, claims, county, "单位：元"),
        ]
        expected = {f"{name}#承保清单": insured.as_expected(), f"{name}#理赔清单": lost.as_expected()}
        return AgencyFile(name, sheets, expected)

    def weather(self) -> AgencyFile:
        """积雪监测: about districts. One district is written with the code it had until 2013, one does not exist."""
        tally, rows = Tally("METEO"), list[_ROW]()
        codes = {"639998": "REGION_UNKNOWN", _RETIRED_DISTRICT: "REGION_RETIRED"}
        for back in range(5):
            day = f"{self.day - timedelta(days=back):%Y%m%d}"
            for at, district in enumerate((*_DISTRICTS, *codes)):
                depth = int(self.rng.integers(0, 400)) / 10
                level = "橙色预警" if depth > 30 else "-"  # noqa: PLR2004  # cm: the depth at which herders are warned
                rows.append([district, f"站{at + 1:02}", day, depth, int(self.rng.integers(0, 90)) / 10, level])
                tally.count([codes[district]] if district in codes else [])
        headings = _heads("区划代码 站名 观测日期 积雪深度(cm) 降水量(mm) 预警级别")
        return _text(f"青海省_积雪监测_{self.day.year}.csv", headings, rows, tally)

    def prices(self) -> AgencyFile:
        """农产品价格监测: about the district in which a market lies."""
        tally, rows = Tally("PRICE"), list[_ROW]()
        quoted = [(week, place, one) for week in range(4) for place in _MARKETS for one in _PRODUCTS]
        shares = {"AMOUNT_MISSING": 0.03, "UNKNOWN_CATEGORY": 0.03, "REGION_UNKNOWN": 0.03}
        for (week, (district, market), (product, unit, fen)), fault in zip(
            quoted, plant(self.rng, len(quoted), shares), strict=True
        ):
            price = "无" if fault == "AMOUNT_MISSING" else yuan(fen + int(self.rng.integers(-90, 90)))
            rows.append(
                [
                    "昆仑市" if fault == "REGION_UNKNOWN" else district,
                    market,
                    product,
                    price,
                    "元/车" if fault == "UNKNOWN_CATEGORY" else unit,
                    f"{self.day - timedelta(days=7 * week)}",
                    f"{int(self.rng.integers(-200, 200)) / 10}%",
                ]
            )
            tally.count([fault] if fault else [])
        headings = _heads("地区 市场名称 品种名称 价格(元) 计价单位 采价日期 较上季度涨跌幅")
        return _workbook(f"青海省_农产品价格监测_{self.day.year}.xlsx", "价格", headings, rows, tally)

    def loans(self, people: Sequence[Subject], organisations: Sequence[Subject]) -> AgencyFile:
        """贷款事件反馈, as a lender reports it: numbers of loans are hashes of the lender's own."""

        def row(at: int, one: Subject, fault: str | None) -> tuple[_ROW, int]:
            amount = self._amount(500_000, 5_000_000)
            start = self.day - timedelta(days=90)
            due = start - timedelta(days=1) if fault == "PERIOD_INVERTED" else start + timedelta(days=365)
            event = "转让" if fault == "UNKNOWN_CATEGORY" else "放款"
            rate = f"{3 + at % 3}.{at % 100:02}%"
            told: _ROW = ["QHRCB-02", one.name, one.number, self.rng.bytes(8).hex(), event, f"{start}", yuan(amount)]
            return [*told, yuan(amount), rate, f"{start}", f"{due}", "正常", "信用"], amount

        headings = _heads(
            "机构代码 借款人姓名 证件号码 借据号散列 事件类型 事件日期 金额(元) 余额(元) 年利率 "
            "贷款起始日 贷款到期日 五级分类 担保方式"
        )
        shares = {"PERIOD_INVERTED": 0.02, "UNKNOWN_CATEGORY": 0.02}
        rows, tally = self._table("LENDER", [*people, *organisations], shares, row, has_amounts=True)
        return _text(f"青海民和农商银行_贷款反馈_{self.day.year}.csv", headings, rows, tally)


def _heads(names: str) -> list[str]:
    return names.split()


def _added(one: Tally, other: Tally) -> Tally:
    one.counts.update(other.counts)
    one.accepted_fen += other.accepted_fen
    return one


def _slashed(day: date | str) -> str:
    return day if isinstance(day, str) else f"{day.year}/{day.month}/{day.day}"


def _sheet(name: str, headings: Sequence[str], rows: Sequence[_ROW], county: str, unit: str = "") -> Sheet:
    above: list[_ROW] = [[f"{county}{name}"], [unit or county]]
    return Sheet(name, [*above, list(headings), *rows, ["制表人：", None, "审核人："]])


def _workbook(
    name: str, sheet: str, headings: Sequence[str], rows: Sequence[_ROW], tally: Tally, *, unit: str = ""
) -> AgencyFile:
    county = name.partition("_")[0]
    return AgencyFile(name, [_sheet(sheet, headings, rows, county, unit)], {name: tally.as_expected()})


def _text(name: str, headings: Sequence[str], rows: Sequence[_ROW], tally: Tally) -> AgencyFile:
    return AgencyFile(name, [Sheet("", [list(headings), *rows])], {name: tally.as_expected()})
