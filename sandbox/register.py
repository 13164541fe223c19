"""The consent register (授权台账) as a county keeps it: one csv, UTF-8 with a byte order mark.

A household that was never asked has no line. Caps on use, period and mode are not stated, so that whoever
reads it must take the strictest of the purpose. The hash of the evidence is of nothing: there is no paper here.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from numpy.random import default_rng

from sandbox.offices import CLASSES_OF_PERSONS, agreed
from sandbox.people import CLASSES, LENDER, OTHER_LENDER, Answer, Household
from sandbox.workbooks import AgencyFile, Cell, Sheet

PURPOSE: Final = "LOAN_APPROVAL"
_HEADINGS: Final = (
    *("授权编号", "主体类型", "身份证号", "姓名", "被授权机构", "用途", "数据项", "生效日期", "失效日期"),
    *("状态", "不良后果告知", "文本版本", "语言", "渠道", "证据文件哈希", "见证人"),
)
_STATUS: Final = {Answer.REQUESTED: "requested", Answer.WITHDRAWN: "withdrawn"}


def register(households: Sequence[Household], *, as_of: date, seed: int, offices: bool = False) -> AgencyFile:
    """Write down who agreed to what, as of the day of intake; with `offices` to the other offices' classes too."""
    rng = default_rng([seed, 5])
    since = as_of - timedelta(days=156)
    rows: list[list[Cell]] = [list(_HEADINGS)]
    for household in households:
        if household.answer is Answer.NEVER_ASKED:
            continue
        until = since + timedelta(days=22) if household.answer is Answer.EXPIRED else since + timedelta(days=355)
        rows.append(
            [
                f"SQ{len(rows):08d}",
                "household",
                household.resident_id,
                household.name,
                OTHER_LENDER if household.answer is Answer.OTHER_LENDER else LENDER,
                PURPOSE,
                ";".join(_items(household, offices=offices)),
                f"{since:%Y-%m-%d}",
                f"{until:%Y-%m-%d}",
                _STATUS.get(household.answer, "active"),
                "是",
                "2026-02" if offices else "2026-01",  # the text that names the other offices' classes, too
                household.language,
                "村点",
                rng.bytes(32).hex(),
                "",
            ]
        )
    return AgencyFile(f"授权台账_{as_of.year}.csv", [Sheet("", rows)], encoding="utf-8-sig")


def _items(household: Household, *, offices: bool) -> tuple[str, ...]:
    asked = household.classes or CLASSES
    return (*asked, *CLASSES_OF_PERSONS) if offices and (agreed(household) or not household.classes) else asked
