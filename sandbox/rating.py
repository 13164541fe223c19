"""Results of credit-household rating (信用户评定结果) as a county's credit union lays them out.

An xlsx of one sheet: title, fill-unit row, header, one row a household, a closing line with the number of
households. Grades follow the example scheme (AAA from 90, AA from 80, A from 70, B from 60, else 不予评定).
Villages are named, not coded.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from numpy.random import default_rng

from sandbox.faults import Tally, plant
from sandbox.numbers import full_width
from sandbox.people import Household
from sandbox.workbooks import AgencyFile, Cell, Sheet

_FAULTS: Final = {
    "GRADE_SCORE_MISMATCH": 0.03,
    "MULTIPLE_PERSONS": 0.01,
    "PERIOD_INVERTED": 0.01,
    "PUBLICITY_MISSING": 0.02,
    "SCORE_OUT_OF_RANGE": 0.02,
    "UNKNOWN_CATEGORY": 0.01,
    "VILLAGE_UNKNOWN": 0.01,
}
_HEADINGS: Final = (
    *("序号", "乡镇", "行政村", "户主姓名", "身份证号码", "家庭人口", "评分"),
    *("信用等级", "评定日期", "有效期至", "公示起止", "评议小组", "备注"),
)
_GRADES: Final = ((900, "AAA"), (800, "AA"), (700, "A"), (600, "B"), (0, "不予评定"))  # from tenths of a point
_PANEL: Final = "党支部、村委会、客户经理、乡贤、合作社"
_OUT_OF_RANGE: Final = 1300  # tenths of a point; the scheme ends at 1000


def rating(households: Sequence[Household], *, as_of: date, seed: int) -> AgencyFile:
    """Lay out this year's rating of the households of one county."""
    rng = default_rng([seed, 3, int(households[0].village.county_code)])
    county = households[0].village.county
    rated_on = as_of - timedelta(days=26)
    until = rated_on + timedelta(days=364)
    shown = f"{_dotted(rated_on - timedelta(days=10))}-{_dotted(rated_on - timedelta(days=4))}"
    tally = Tally("RATING")
    rows: list[list[Cell]] = [
        [f"{county}农牧户信用等级评定结果汇总表"],
        [f"评定单位：{county}信用联社", *[None] * 9, f"{as_of - timedelta(days=16):%Y年%-m月%-d日}"],
        [*_HEADINGS],
    ]
    for number, (household, fault) in enumerate(
        zip(households, plant(rng, len(households), _FAULTS), strict=True), start=1
    ):
        score = int(rng.integers(560, 960))
        grade = _grade(score)
        if fault == "GRADE_SCORE_MISMATCH":
            grade = "AAA" if grade != "AAA" else "B"
        elif fault == "UNKNOWN_CATEGORY":
            grade = "丙等"
        elif fault == "SCORE_OUT_OF_RANGE":
            score = _OUT_OF_RANGE
        elif rng.integers(25) == 0 and grade.isascii():
            grade = full_width(grade)
        codes = ["ID_REGION_UNKNOWN"] * household.unknown_prefix + ([fault] if fault else [])
        tally.count(codes, consented=household.agreed_to("RATING"), person=household.resident_id)
        rows.append(
            [
                number,
                household.village.town,
                "无此村委会" if fault == "VILLAGE_UNKNOWN" else household.village.village,
                f"{household.name};{households[number - 2].name}" if fault == "MULTIPLE_PERSONS" else household.name,
                household.resident_id,
                household.members,
                score // 10 if score % 10 == 0 else score / 10,
                grade,
                f"{rated_on:%Y-%m-%d}",
                f"{rated_on - timedelta(days=366):%Y-%m-%d}" if fault == "PERIOD_INVERTED" else f"{until:%Y-%m-%d}",
                None if fault == "PUBLICITY_MISSING" else shown,
                _PANEL,
            ]
        )
    rows.append([None, None, None, f"合计：{len(households)}户"])
    name = f"{county}_信用户评定结果_{as_of.year}.xlsx"
    return AgencyFile(
        name, [Sheet("评定结果", rows)], {name: tally.as_expected()}, accepted_people=tally.accepted_people
    )


def _grade(tenths: int) -> str:
    return next(grade for floor, grade in _GRADES if tenths >= floor)


def _dotted(day: date) -> str:
    return f"{day.year}.{day.month}.{day.day}"
