"""Small tables of the newer classes as other counties write them: every row ends under the code that it earns.

Each case is a file name, the rows of its sheet and, row by row below the header, what must become of them ("" is
accepted). Numbers are nobody's.
"""

from collections.abc import Sequence

import pytest

from connectors.codes import REGISTER
from tests.unit.connectors.sample_headers import ORGANISATION
from tests.unit.connectors.tables import Cell, codes, person, table, xlsx

A, B, C = (person(number) for number in (1, 2, 3))
FULL_WIDTH = B.translate(str.maketrans("0123456789X", "０１２３４５６７８９Ｘ"))
OLD = B[:6] + B[8:17]
LOST = float(C[:15] + "000")
COMPANY = ORGANISATION

Rows = Sequence[Sequence[Cell]]
CASES: dict[str, tuple[str, str, Rows, Sequence[str]]] = {
    "tax ratings under a title": (
        "TAX_CREDIT",
        "2025年度纳税信用评价结果.xlsx",
        [
            ["2025年度纳税信用A级纳税人名单"],
            ["序号", "纳税人识别号", "纳税人名称", "年度", "评价结果", "主管税务机关"],
            [1, COMPANY, "牧业公司", "2025", "A", "民和县税务局"],
            [2, A, "张生莲", 2025, "B级", "民和县税务局"],
            [3, "", "马国庆", 2025, "B", "民和县税务局"],
            [4, FULL_WIDTH, "马国庆", "２０２５", "M", "民和县税务局"],
        ],
        ["", "", "ID_MALFORMED", ""],
    ),
    "taxes in 万元, months written four ways": (
        "TAX_PAYMENT",
        "纳税情况_2026.xlsx",
        [
            ["单位：万元"],
            ["纳税人识别号", "纳税人名称", "税款所属期", "开票金额", "实缴税额"],
            [COMPANY, "牧业公司", "2026年3月", "12.5", "1.2345"],
            [A, "张生莲", "202603", 3, "0.2"],
            [A, "张生莲", "2026-03", 3, "0.2"],
            [B, "马国庆", "26.3", 3, ""],
        ],
        ["", "", "DUPLICATE_IN_BATCH", "DATE_AMBIGUOUS"],
    ),
    "arrears announced of companies and, wrongly, of a person": (
        "TAX_ARREARS",
        "欠税公告2026.xlsx",
        [
            ["纳税人识别号", "纳税人名称", "欠税税种", "欠税余额（元）", "公告日期"],
            [COMPANY, "牧业公司", "增值税", "1,234.50", "2026.3.31"],
            [COMPANY, "牧业公司", "企业所得税", "￥300", "2026年3月31日"],
            [A, "张生莲", "增值税", "5", "2026-03-31"],
        ],
        ["", "", "USCC_CHECK_FAILED"],
    ),
    "electricity: text numbers, a lost ID, a company": (
        "ELEC",
        "电费清单.xlsx",
        [
            ["户号", "户名", "用户身份证号", "电费年月", "电量(千瓦时)", "电费(元)", "用电类别"],
            ["0012345678", "张生莲", A, "202605", "123", "65.4", "乡村居民生活用电"],
            ["0012345678", "张生莲", A, 202605, 123, 65.4, "居民"],
            ["", "马国庆", B, "2026/05", 1, 2, "居民"],
            ["0012345680", "才让", LOST, "2026-05", 1, 2, "居民"],
            ["0012345681", "牧业公司", COMPANY, "2026-5", "1.5", "-2", "农业排灌"],
        ],
        ["", "DUPLICATE_IN_BATCH", "FIELD_MISSING", "ID_PRECISION_LOST", ""],
    ),
    "insured people with an old number and an unknown branch": (
        "SOC_INS",
        "城乡居民养老保险参保名册.xlsx",
        [
            ["社会保障号码", "姓名", "险种", "缴费年月", "缴费状态", "缴费金额（元）", "断缴月数"],
            [A, "张生莲", "城乡居民基本养老保险", "202512", "正常", 200, 0],
            [OLD, "马国庆", "居民养老", "202512", "断缴", 0, 12],
            [C, "才让", "新农保", "202512", "正常", 200, 0],
            [A, "张生莲", "失业保险", "202512", "正常", 200, -1],
        ],
        ["", "ID_15_CONVERTED", "UNKNOWN_CATEGORY", "FIGURE_NEGATIVE"],
    ),
    "defaulters, one of them masked, one a serial date": (
        "JUDICIAL",
        "失信被执行人名单.xlsx",
        [
            ["序号", "被执行人姓名/名称", "身份证号码/组织机构代码", "案号", "执行法院", "立案时间", "公开类别"],
            [1, "张生莲", A, "(2025)青0222执123号", "民和县人民法院", "2025年06月03日", "失信被执行人"],
            [2, "马某", B[:6] + "********" + B[14:], "(2025)青0222执124号", "民和县人民法院", "2025-06-03", "失信"],
            [3, "牧业公司", COMPANY, "(2025)青0222执125号", "民和县人民法院", "45810", "限高"],
        ],
        ["", "ID_MALFORMED", ""],
    ),
    "operators by credit code and by their head's number": (
        "AGRI_OPERATOR",
        "合作社名录.xlsx",
        [
            ["合作社名称", "统一社会信用代码", "主体类型", "示范级别", "成员数(户)", "经营面积(亩)", "认定时间"],
            ["牧业合作社", COMPANY, "合作社", "省级示范社", 35, "1,200.5", "2021.05"],
            ["才让家庭牧场", A, "家庭牧场", "", 1, "-3000", "2021-05-06"],
        ],
        ["", "FIGURE_NEGATIVE"],
    ),
    "land contracts in hectares and square metres": (
        "LAND_CONTRACT",
        "土地承包登记簿.xlsx",
        [
            ["承包方代表姓名", "承包方代表身份证号码", "承包方编码", "承包合同编号", "合同面积(公顷)", "实测面积(㎡)",
             "承包起始日期", "承包终止日期"],
            ["张生莲", A, "630222100200010001", "630222100200010001J", "1.2", "8000", "1998-10-01", "2028-09-30"],
            ["马国庆", B, "", "630222100200010002J", "1.2", "8000", "1998-10-01", "2028-09-30"],
            ["才让", C, "630222100200010003", "630222100200010003J", "1.2", "8000", "2028-10-01", "1998-09-30"],
        ],
        ["", "FIELD_MISSING", "PERIOD_INVERTED"],
    ),
    "pasture in 亩 and 万亩": (
        "GRASS",
        "草畜平衡.xlsx",
        [
            ["2025年度称多县草畜平衡台账"],
            ["户主", "身份证号", "年度", "承包草场面积(亩)", "禁牧面积(万亩)", "核定载畜量", "实际载畜量", "是否达标"],
            ["才让", A, "2025", 12000, 0.5, 300, 320, "否"],
            ["卓玛、扎西", B, "2025年", 12000, 0.5, 300, 200, "是"],
            ["扎西", C, "2025", 12000, -0.5, 300, 200, "√"],
        ],
        ["", "MULTIPLE_PERSONS", "FIGURE_NEGATIVE"],
    ),
    "herds: full-width heads, half an animal, a negative one": (
        "LIVESTOCK",
        "牲畜存栏统计.xlsx",
        [
            ["户主", "身份证号", "畜种", "年末存栏(头只)", "能繁母畜", "出栏", "死亡", "截止日期"],
            ["才让", A, "牦牛", 120, 60, 30, 2, "2025-12-31"],
            ["才让", A, "藏系羊", "３００", "100", "50", "5", "2025-12-31"],
            ["才让", A, "犏牛", "-5", "1", "1", "1", "2025-12-31"],
            ["卓玛", B, "牦牛", "12.5", "1", "1", "1", "2025-12-31"],
            ["卓玛", B, "鸡", "12", "1", "1", "1", "2025-12-31"],
            ["卓玛", B, "黄牛", "", "1", "1", "1", "2025-12-31"],
        ],
        ["", "", "FIGURE_NEGATIVE", "AMOUNT_MALFORMED", "UNKNOWN_CATEGORY", "AMOUNT_MISSING"],
    ),
    "ear tags as text, as numbers, spaced, short and doubled": (
        "LIVESTOCK_TAG",
        "耳标登记表.xlsx",
        [
            ["畜主姓名", "身份证号码", "畜禽标识编码", "畜种", "佩戴时间", "状态"],
            ["才让", A, "263272100000001", "牦牛", "2025-05-01", "在群"],
            ["才让", A, 263272100000002, "牦牛", "2025/5/1", "在群"],
            ["才让", A, "２６３２７２１０００００００３", "牦牛", "2025-05-01", "在群"],
            ["才让", A, "2 632721 00000005", "牦牛", "2025-05-01", "在群"],
            ["才让", A, "263272100000001", "牦牛", "2025-05-01", "在群"],
            ["才让", A, "363272100000004", "牦牛", "2025-05-01", "在群"],
            ["才让", A, "2632721000000", "牦牛", "2025-05-01", "在群"],
            ["", "", "263272100000009", "牦牛", "2025-05-01", "在群"],
        ],
        ["", "", "", "", "DUPLICATE_IN_BATCH", "EAR_TAG_SPECIES", "EAR_TAG_MALFORMED", "ID_MALFORMED"],
    ),
    "policies whose shares do not make the premium": (
        "AGRI_INS_POLICY",
        "牦牛保险承保清单.xlsx",
        [
            ["单位：元"],
            ["投保人", "身份证号", "保单号", "险种", "投保数量", "保险金额", "保费", "中央补贴", "省级补贴", "县级补贴",
             "农户自缴", "起保日期", "终保日期"],
            ["才让", A, "P1", "牦牛保险", 100, 200000, 12000, 4800, 3000, 600, 3600, "2025-05-01", "2026-04-30"],
            ["卓玛", B, "P2", "牦牛保险", 100, 200000, 12000, 4800, 3000, 600, 3500, "2025-05-01", "2026-04-30"],
            ["扎西", C, "P3", "牦牛保险", 100, "20万", 12000, 4800, 3000, 600, 3600, "2025-05-01", "2024-04-30"],
        ],
        ["", "AMOUNT_MISMATCH", "PERIOD_INVERTED"],
    ),
    "claims for a loss that no list has": (
        "AGRI_INS_CLAIM",
        "理赔公示清单.xlsx",
        [
            ["被保险人", "身份证号码", "报案号", "保单号", "出险原因", "报案日期", "核定损失(元)", "赔款金额(元)"],
            ["才让", A, "R1", "P1", "雪灾", "2026-01-05", "24000", "24000"],
            ["才让", A, "R1", "P1", "雪灾", "2026-01-05", "24000", "24000"],
            ["卓玛", B, "R2", "P1", "狼害", "2026-01-05", "24000", "24000"],
        ],
        ["", "DUPLICATE_IN_BATCH", "UNKNOWN_CATEGORY"],
    ),
    "snow by the district's name, and words for figures": (
        "METEO",
        "积雪观测.xlsx",
        [
            ["县区", "站名", "日期", "雪深(cm)", "最低气温", "预警级别"],
            ["玉树市", "玉树站", "2026-01-05", "12", "-21.5", "蓝色"],
            ["称多县", "清水河", "2026-01-05", "微量", "-30", ""],
            ["祁连山", "托勒", "2026-01-06", "35", "-21.5", ""],
            ["玉树市", "隆宝", "2026-01-06", "-35", "-21.5", "Ⅳ级"],
            ["玉树市", "巴塘", "2026-01-06", "35", "-21.5", "红色预警信号"],
        ],
        ["", "AMOUNT_MALFORMED", "REGION_UNKNOWN", "FIGURE_NEGATIVE", ""],
    ),
    "divisions as numbers and with too many digits": (
        "METEO",
        "气象预警_2026.xlsx",
        [
            ["区划代码", "气象台站", "观测日期", "积雪深度（厘米）"],
            ["632701", "玉树", "20260105", 12],
            [632701.0, "玉树", "20260106", 12],
            ["63270100", "玉树", "20260107", 1],
        ],
        ["", "", "REGION_UNKNOWN"],
    ),
    "prices by district, without a year, without a market": (
        "PRICE",
        "畜产品价格监测.xlsx",
        [
            ["县区", "市场", "品名", "计量单位", "价格", "采价日期"],
            ["西宁市城东区", "仁杰市场", "牦牛肉", "元/公斤", "76.5", "2026-05-01"],
            ["玉树市", "结古市场", "藏羊", "元/只", "1,200", "2026-05-01"],
            ["玉树市", "结古市场", "酥油", "元/500克", "45", "5月1日"],
            ["玉树市", "", "牦牛绒", "元/公斤", "45", "2026-05-01"],
            ["玉树市", "结古市场", "羊皮", "元/张", "-45", "2026-05-01"],
        ],
        ["", "", "DATE_MALFORMED", "FIELD_MISSING", "FIGURE_NEGATIVE"],
    ),
    "loans: an event that no list has, a rate without its sign": (
        "LOAN_EVENT",
        "贷款反馈.xlsx",
        [
            ["机构代码", "客户身份证号", "借据号哈希", "业务类型", "业务日期", "金额(万元)", "利率(%)", "逾期天数"],
            ["QH001", A, "ab12" * 8, "放款", "2026-05-01", "5", "4.35", "0"],
            ["QH001", A, "ab12" * 8, "展期", "2026-05-01", "5", "4.35%", "0"],
            ["QH001", B, "", "还款", "2026-05-02", "1", "4.35", "0"],
            ["QH001", B, "cd34" * 8, "还款", "2026-05-02", "1", "4.35", "-3"],
        ],
        ["", "UNKNOWN_CATEGORY", "FIELD_MISSING", "FIGURE_NEGATIVE"],
    ),
    "companies as the public register writes them": (
        "BIZ_REG",
        "市场主体登记.xlsx",
        [
            ["统一社会信用代码", "企业名称", "企业类型", "法定代表人", "注册资本(万元)", "成立日期", "登记状态"],
            [COMPANY, "甲公司", "有限责任公司(自然人投资或控股)", "张生莲", "500万元人民币", "2015-01-01",
             "存续（在营、开业、在册）"],
            ["630222600012345", "乙商店", "个体工商户", "马国庆", "5", "2012-03-04", "存续"],
            ["", "丙商店", "个体工商户", "马国庆", "5", "2012-03-04", "存续"],
        ],
        ["", "USCC_CHECK_FAILED", "USCC_CHECK_FAILED"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_row_ends_under_the_code_that_it_earns(case: str) -> None:
    kind, name, rows, expected = CASES[case]
    outcome = table(xlsx({"Sheet1": rows}), name)
    assert (outcome.kind, outcome.blocked) == (kind, None)
    assert outcome.frame["code"].tolist() == list(expected)
    assert sum(outcome.counts.values()) == len(expected)


NOT_TAKEN: dict[str, tuple[str, Rows, str]] = {
    "a source that nobody declared: water": (
        "水费清单.xlsx",
        [["户号", "户名", "身份证号", "月份", "用水量", "水费(元)"], ["1", "张生莲", A, "202605", 5, 12]],
        "HEADER_UNKNOWN",
    ),
    "a source that nobody declared: housing fund": (
        "公积金缴存.xlsx",
        [["姓名", "身份证号", "缴存月份", "月缴额(元)"], ["张生莲", A, "202605", 500]],
        "HEADER_UNKNOWN",
    ),
    "a list of defaulters that does not say in a column that it is one": (
        "限制高消费名单.xlsx",
        [["姓名", "身份证号", "案号", "法院", "立案日期"], ["张生莲", A, "(2025)青0222执1号", "民和法院", "2025-6-3"]],
        "HEADER_UNKNOWN",
    ),
    "a month a column": (
        "电量台账.xlsx",
        [["户号", "户名", "身份证号码", "1月电量", "2月电量"], ["1", "张生莲", A, 1, 2]],
        "HEADER_UNKNOWN",
    ),
    "amounts without a unit": (
        "单位参保.xlsx",
        [["统一社会信用代码", "险种", "费款所属期", "参保人数", "欠费金额"], [COMPANY, "失业保险", "2026-01", 12, 0]],
        "UNIT_UNKNOWN",
    ),
    "a total that is not the sum": (
        "电费清单.xlsx",
        [
            ["户号", "户名", "身份证号", "电费年月", "电量", "电费(元)"],
            ["1", "张生莲", A, "202605", 1, 2],
            ["合计", "", "", "", 1, 3],
        ],
        "TOTAL_MISMATCH",
    ),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_a_table_that_cannot_be_trusted_is_blocked_whole_and_says_why(case: str) -> None:
    name, rows, code = NOT_TAKEN[case]
    outcome = table(xlsx({"Sheet1": rows}), name)
    assert outcome.blocked == code
    (told,) = [each for each in REGISTER if each.name == code]
    assert not told.mend.zh.isascii()
    assert codes(outcome) == {}
