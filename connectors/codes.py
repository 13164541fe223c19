"""What can become of a row and of a batch: the registered codes, in their order of precedence.

A row ends with the first code of `REGISTER` that applies to it; a batch that has a `blocked` code ends whole with it.
The order is that of docs/requirements.md, rows; codes of ours stand where their outcome stands. A code is never
used again for something else. Each has its cause (why) and its mend (what the sender does), in Chinese and English.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The four ends of a row, and the one of a batch."""

    REJECTED = "rejected"
    QUARANTINED = "quarantined"
    WARNED = "warned"
    ACCEPTED = "accepted"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Words:
    """One text in the two languages of those who send."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Code:
    """One registered code: where it leads, why, and what to do about it."""

    name: str
    outcome: Outcome
    cause: Words
    mend: Words


_R, _Q, _W, _B = Outcome.REJECTED, Outcome.QUARANTINED, Outcome.WARNED, Outcome.BLOCKED


def _code(name: str, outcome: Outcome, cause: tuple[str, str], mend: tuple[str, str]) -> Code:
    return Code(name, outcome, Words(*cause), Words(*mend))


REGISTER: tuple[Code, ...] = (
    _code(
        "ID_MALFORMED",
        _R,
        (
            "身份证号长度不对，或含有不应出现的字符",
            "The resident ID has a wrong length or a character that cannot stand there",
        ),
        ("核对证件原件后更正", "Correct it from the document"),
    ),
    _code(
        "ID_CHECK_FAILED",
        _R,
        ("身份证号校验码或出生日期不成立", "The resident ID's check character or birth date is impossible"),
        ("核对证件原件后更正", "Correct it from the document"),
    ),
    _code(
        "ID_PRECISION_LOST",
        _R,
        (
            "身份证号或账号存为数值，超过15位的数字已丢失",
            "An ID or account number is held as a number; digits beyond 15 are lost",
        ),
        ("将该列设为文本格式后重新填写", "Format the column as text and enter the number again"),
    ),
    _code(
        "USCC_CHECK_FAILED",
        _R,
        ("统一社会信用代码缺失或校验不通过", "The unified social credit code is missing or does not check"),
        ("核对登记证书后更正", "Correct it from the registration certificate"),
    ),
    _code(
        "EAR_TAG_MALFORMED",
        _R,
        (
            "耳标号缺失，或不是以1、2、3开头的15位数字",
            "The ear tag is missing, or not 15 digits that begin with 1, 2 or 3",
        ),
        ("核对耳标后更正", "Correct it from the tag"),
    ),
    _code(
        "REGION_UNKNOWN",
        _R,
        ("区划代码或名称不在区划表中", "The division's code or name is not in the table"),
        ("填写6、9或12位区划代码", "Give the division's code of 6, 9 or 12 digits"),
    ),
    _code(
        "AMOUNT_MISSING",
        _R,
        ("必填金额为空", "A mandatory amount is blank"),
        ("补填金额；确为零的填0", "Enter the amount; write 0 if it is zero"),
    ),
    _code(
        "AMOUNT_MALFORMED",
        _R,
        (
            "金额或数量不是可识别的数字，或小数位过多",
            "An amount or quantity is no number, or has more decimals than its unit allows",
        ),
        (
            "填写阿拉伯数字，不带文字；金额（元）最多两位小数，头数、月数等填整数",
            "Enter a plain number; yuan with at most two decimals, heads, months and other counts as whole numbers",
        ),
    ),
    _code(
        "DATE_AMBIGUOUS",
        _R,
        ("日期的年份只有两位", "The date has a two-digit year"),
        ("用四位年份重新填写", "Write the year with four digits"),
    ),
    _code(
        "DATE_MALFORMED",
        _R,
        ("日期不成立，或必填日期为空", "The text is not a calendar date, or a mandatory date is blank"),
        ("按 2026-03-25 的形式填写", "Write it like 2026-03-25"),
    ),
    _code(
        "SCORE_OUT_OF_RANGE",
        _R,
        ("评分缺失或超出评定办法的分值范围", "The score is missing or outside the scheme's range"),
        ("核对评分后更正", "Correct the score"),
    ),
    _code(
        "CELL_ERROR",
        _R,
        ("必填单元格是公式错误（#REF!、#N/A 等）", "A mandatory cell holds a formula error (#REF!, #N/A, …)"),
        ("改正公式或填写数值", "Mend the formula or enter the value"),
    ),
    _code(
        "FIELD_MISSING",
        _R,
        ("必填项为空", "A mandatory cell is blank"),
        ("补填该项", "Fill it in"),
    ),
    _code(
        "WITHDRAWN_BY_AGENCY",
        _R,
        ("报送单位已撤回该行", "The agency has withdrawn this row"),
        ("如需恢复，请重新报送", "Send it again if it should stand"),
    ),
    _code(
        "NO_CONSENT",
        _R,
        ("没有覆盖该类数据的有效授权", "No active consent covers this class at the intake date"),
        ("不逐行告知，无需更正", "Told as a count only; nothing to correct"),
    ),
    _code(
        "AMOUNT_MISMATCH",
        _Q,
        (
            "数量×标准与金额不符，或分项之和与合计不符",
            "Quantity × rate differs from the amount, or the parts from their sum",
        ),
        ("核对面积、标准和金额", "Check quantity, rate and amount"),
    ),
    _code(
        "VILLAGE_UNKNOWN",
        _Q,
        (
            "村代码在当时的区划表中不存在，或村名在本乡镇内不唯一",
            "The village code is not in the table, or the name not unique in its town",
        ),
        ("填写12位统计用区划代码", "Give the 12-digit division code"),
    ),
    _code(
        "MULTIPLE_PERSONS",
        _Q,
        ("一个单元格内有多个人", "Several people stand in one cell"),
        ("一人一行", "Give each person a row"),
    ),
    _code(
        "DUPLICATE_IN_BATCH",
        _Q,
        (
            "同一批次内重复（同一人、同一项目、同一年度）",
            "The same person, project and year stands in the batch already",
        ),
        ("删除重复行，或说明为不同期次", "Remove the row, or state that it is another instalment"),
    ),
    _code(
        "UNKNOWN_CATEGORY",
        _Q,
        ("取值不在代码表内", "The value is not in the code list"),
        ("改用代码表中的取值", "Use a value of the code list"),
    ),
    _code(
        "GRADE_SCORE_MISMATCH",
        _Q,
        ("等级与评分在评定办法下不一致", "Grade and score disagree under the scheme"),
        ("核对等级与评分；有否决项的注明", "Check both; state a veto if there is one"),
    ),
    _code(
        "PERIOD_INVERTED",
        _Q,
        ("截止日期早于起始日期", "The end lies before the start"),
        ("核对起止日期", "Check both dates"),
    ),
    _code(
        "NET_VALUE_MISMATCH",
        _Q,
        ("原值减累计折旧不等于净值", "Original value less depreciation differs from the net value"),
        ("核对资产卡片", "Check the asset card"),
    ),
    _code(
        "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT",
        _Q,
        ("账户户名不是该集体经济组织", "The account is not in the collective's name"),
        ("集体资金不得存入个人账户，请核查", "Collective funds must not lie in a person's account: look into it"),
    ),
    _code(
        "EAR_TAG_SPECIES",
        _Q,
        ("耳标号首位与畜种不符", "The ear tag's first digit is not that of the species"),
        ("核对耳标和畜种（猪1、牛2、羊3）", "Check tag and species (pig 1, cattle 2, sheep 3)"),
    ),
    _code(
        "FIGURE_NEGATIVE",
        _Q,
        ("数量、面积或价格为负数", "A quantity, an area or a price is below zero"),
        ("核对原始数据后更正", "Correct it from the original"),
    ),
    _code(
        "ACCEPTED_BY_AGENCY",
        _W,
        ("该行存疑，经报送单位说明理由后采信", "The row was doubtful; the agency accepted it and said why"),
        ("无需处理；理由随批次保存", "Nothing to do; the reason is kept with the batch"),
    ),
    _code(
        "ACCOUNT_LUHN",
        _W,
        ("银行卡号未通过校验", "The bank card number fails its check digit"),
        ("核对卡号", "Check the card number"),
    ),
    _code(
        "ID_15_CONVERTED",
        _W,
        ("15位旧身份证号，已换算为18位", "An old 15-digit ID, converted to 18"),
        ("请更新为18位证件号", "Update it to the 18-digit number"),
    ),
    _code(
        "REGION_RETIRED",
        _W,
        ("区划代码已撤销，按现行代码入库", "The division code is retired; held under its successor"),
        ("改用现行区划代码", "Use the current code"),
    ),
    _code(
        "ID_REGION_UNKNOWN",
        _W,
        ("身份证号前六位不是现行或曾用区划代码", "The ID's first six digits are neither a current nor a retired code"),
        ("核对证件号", "Check the number"),
    ),
    _code(
        "PHONE_MALFORMED",
        _W,
        (
            "联系电话不是手机号或固定电话号码，未入库",
            "The telephone number is neither mobile nor landline; it is not held",
        ),
        ("填写11位手机号或带区号的固定电话", "Give 11 digits, or a landline with its area code"),
    ),
    _code(
        "BALANCE_DIFFERENCE",
        _W,
        ("银行余额与账面余额不一致", "Bank balance and ledger balance differ"),
        ("编制余额调节表", "Reconcile the two"),
    ),
    _code(
        "PUBLICITY_MISSING",
        _W,
        ("未填写公示起止日期", "No publicity period is stated"),
        ("补填公示期", "State the publicity period"),
    ),
    _code(
        "TABLES_SIDE_BY_SIDE",
        _B,
        ("同一工作表左右并排了两张表", "Two tables stand side by side on one sheet"),
        (
            "将右侧的表移到左侧表格下方或另一工作表后重新报送",
            "Move the right one below the left one, or to a sheet of its own",
        ),
    ),
    _code(
        "TOTAL_MISMATCH",
        _B,
        ("合计或小计与明细之和不符", "A declared total, subtotal or count differs from its rows"),
        ("核对明细与合计后整批重报", "Check rows and totals and send the batch again"),
    ),
    _code(
        "UNIT_UNKNOWN",
        _B,
        ("表头、填报单位行和来源声明均未给出计量单位", "Neither header, fill-unit row nor declaration gives the unit"),
        ("在表头注明单位（如“金额（元）”）后整批重报", "Name the unit in the header and send the batch again"),
    ),
    _code(
        "EXPECTATION_MISSED",
        _B,
        ("必填列的填写率低于该来源的要求，疑为错列", "A mandatory column is filled less than its source promises"),
        ("检查是否错列或漏填后整批重报", "Look for shifted or missing columns and send the batch again"),
    ),
    _code(
        "FILE_UNREADABLE",
        _B,
        (
            "文件损坏、加密，或既不是 UTF-8 也不是 GB18030 编码",
            "The file is broken, locked, or neither UTF-8 nor GB18030",
        ),
        ("重新导出后整批重报", "Export it again and send the batch again"),
    ),
    _code(
        "HEADER_UNKNOWN",
        _B,
        ("平台不认识这些表头", "No declaration recognises the columns"),
        ("使用模板，或请平台登记该表式", "Use a template, or have the layout registered"),
    ),
    _code(
        "SOURCE_NOT_PERMITTED",
        _B,
        ("本单位未获准报送此类数据来源", "This agency has no permit to deliver files of this source"),
        ("请联系平台运营方开通后重新报送", "Ask the operator for the permit and send it again"),
    ),
)

BY_NAME: dict[str, Code] = {code.name: code for code in REGISTER}
RANK: dict[str, int] = {code.name: rank for rank, code in enumerate(REGISTER)}
CLEAN = len(REGISTER)  # the rank of a row to which no code applies
