"""Cells as files of other counties write them: names, numbers, dates, places. Each reading is a promise."""

import pytest

from tests.unit.connectors.tables import Cell, codes, csv, person, table

ROSTER = ["身份证号", "姓名", "金额(元)"]


@pytest.mark.parametrize("name", ["马和平", "李与安", "和志强", "欧阳和", "尼玛·和平", "才让卓玛"])
def test_a_name_with_he_yu_or_ji_in_it_is_one_person(name: str) -> None:
    assert codes(table(csv([ROSTER, [person(1), name, "1"]]))) == {}


@pytest.mark.parametrize("name", ["扎西;卓玛", "扎西、卓玛", "扎西/卓玛", '"扎西，卓玛"', "扎西和卓玛", "才让与卓玛"])
def test_a_separator_between_names_makes_several_persons(name: str) -> None:
    assert codes(table(csv([ROSTER, [person(1), name, "1"]]))) == {"MULTIPLE_PERSONS": 1}


@pytest.mark.parametrize("number", ["6.30222E+17", "6.30222E17", "6.30222e17", "6E17"])
def test_a_number_that_a_spreadsheet_rounded_is_known_by_its_exponent(number: str) -> None:
    assert codes(table(csv([ROSTER, [number, "张生莲", "1"]]))) == {"ID_PRECISION_LOST": 1}


RATING = ["身份证号", "评分", "信用等级", "评定日期", "有效期至", "公示起止"]
PUBLIC = "2026.5.10-2026.5.16"


def rating(until: str, public: str = PUBLIC, day: str = "2026-05-20") -> tuple[dict[str, int], list[Cell]]:
    outcome = table(csv([RATING, [person(1), "95", "AAA", day, until, public]]), "刚察县_信用户评定.csv")
    frame = outcome.frame.astype(object).where(outcome.frame.notna(), None)
    return codes(outcome), frame[["valid_to", "publicity_from", "publicity_to"]].iloc[0].tolist()


@pytest.mark.parametrize(
    ("until", "last", "code"),
    [
        ("2026-05-20至2027-05-19", "2027-05-19", None),
        ("2026.5.20-2027.5.19", "2027-05-19", None),
        ("2026年5月20日至2027年5月19日", "2027-05-19", None),
        ("一年", "2027-05-19", None),
        ("两年", "2028-05-19", None),
        ("12个月", "2027-05-19", None),
        ("长期", None, None),
        ("", None, None),
        ("2027-05-19至2026-05-20", "2026-05-20", "PERIOD_INVERTED"),
        ("2024-05-20至2025-05-19", "2025-05-19", "PERIOD_INVERTED"),
        ("26.5.20-27.5.19", None, "DATE_AMBIGUOUS"),
        ("2027-02-30", None, "DATE_MALFORMED"),
    ],
)
def test_a_validity_is_a_last_day_a_period_or_a_term_from_the_evaluation(
    until: str, last: str | None, code: str | None
) -> None:
    found, dates = rating(until)
    assert found == ({code: 1} if code else {})
    assert dates[0] == last


def test_a_term_ends_the_day_before_it_would_begin_again() -> None:
    assert rating("一年", day="2026-01-01")[1][0] == "2026-12-31"
    assert rating("1个月", day="2026-01-31")[1][0] == "2026-02-28"


@pytest.mark.parametrize(
    ("public", "dates", "code"),
    [
        ("5月10日至5月16日", ["2026-05-10", "2026-05-16"], None),
        ("5月10日-16日", ["2026-05-10", "2026-05-16"], None),
        ("12月28日至1月3日", ["2025-12-28", "2026-01-03"], None),
        ("7个工作日", [None, None], "PUBLICITY_MISSING"),
        ("七个工作日", [None, None], "PUBLICITY_MISSING"),
        ("已公示", [None, None], "PUBLICITY_MISSING"),
        ("13月10日至13月16日", [None, None], "DATE_MALFORMED"),
        ("26.5.10-26.5.16", [None, None], "DATE_AMBIGUOUS"),
    ],
)
def test_a_publicity_period_takes_its_year_from_the_evaluation_and_words_state_none(
    public: str, dates: list[str | None], code: str | None
) -> None:
    found, (_, *stated) = rating("2027-05-19", public)
    assert found == ({code: 1} if code else {})
    assert stated == dates


@pytest.mark.parametrize(
    ("text", "iso", "code"),
    [
        ("未发放", None, None),
        ("—", None, None),
        ("2024年1月15", "2024-01-15", None),
        ("46127.5", "2026-04-15", None),
        ("46127.0", "2026-04-15", None),
        ("1/15/24", None, "DATE_AMBIGUOUS"),
        ("24.1", None, "DATE_AMBIGUOUS"),
        ("24-1-15", None, "DATE_AMBIGUOUS"),
        ("2024-13-01", None, "DATE_MALFORMED"),
        ("2024年1月中旬", None, "DATE_MALFORMED"),
        ("15/01/2024", None, "DATE_MALFORMED"),
    ],
)
def test_words_in_an_optional_date_are_no_date_and_a_wrong_date_is_no_word(
    text: str, iso: str | None, code: str | None
) -> None:
    outcome = table(csv([[*ROSTER, "发放日期"], [person(1), "张生莲", "1", text]]))
    assert codes(outcome) == ({code: 1} if code else {})
    assert [one for one in outcome.frame["paid_on"] if one == one] == ([iso] if iso else [])  # noqa: PLR0124  # not NaN


PLACES = [*ROSTER, "县", "乡镇", "村", "村代码"]


@pytest.mark.parametrize(
    ("county", "town", "village", "number"),
    [
        ("平安区", "石灰窑乡", "石灰窑村", ""),
        ("平安区", "", "石灰窑乡石灰窑村", ""),
        ("", "", "平安区石灰窑乡石灰窑村", ""),
        ("", "", "海东市平安区石灰窑回族乡石灰窑村", ""),
        ("平安区", "石灰窑乡", "石灰窑村一社", ""),
        ("平安区", "石灰窑乡", "石灰窑村第3村民小组", ""),
        ("平安区", "石灰窑乡", "石灰窑乡石灰窑村二社", ""),
        ("", "石灰窑乡", "石灰窑村", "630203"),
        ("", "石灰窑乡", "石灰窑村", "630203201"),
    ],
)
def test_a_village_may_be_written_with_its_town_its_county_or_its_group(
    county: str, town: str, village: str, number: str
) -> None:
    outcome = table(csv([PLACES, [person(1), "张生莲", "1", county, town, village, number]]), "补贴.csv")
    assert codes(outcome) == {}
    assert outcome.frame["region_code"].tolist() == ["630203201200"]


@pytest.mark.parametrize(
    ("county", "town", "village", "number"),
    [
        ("", "", "", "630203201"),
        ("", "", "", "630203"),
        ("乐都区", "", "平安区石灰窑乡石灰窑村", ""),
        ("平安区", "洪水泉乡", "石灰窑乡石灰窑村", ""),
        ("", "", "石灰窑村一社", ""),
        ("", "石灰窑乡", "石灰窑村", "630222"),
    ],
)
def test_a_place_that_is_no_village_or_gainsays_itself_is_unknown(
    county: str, town: str, village: str, number: str
) -> None:
    outcome = table(csv([PLACES, [person(1), "张生莲", "1", county, town, village, number]]), "补贴.csv")
    assert codes(outcome) == {"VILLAGE_UNKNOWN": 1}


PERSONAL = "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT"
USCC = "N2630203000000019A"
FUND = ["村集体经济组织", "统一社会信用代码", "户名", "账号", "银行余额(元)", "账面余额(元)"]


@pytest.mark.parametrize(
    ("organisation", "account", "code"),
    [
        ("平安区石灰窑乡石灰窑村集体经济组织", "石灰窑村股份经济合作社", None),
        ("石灰窑村股份经济合作社", "平安区石灰窑乡石灰窑村集体经济组织", None),
        ("平安区石灰窑乡石灰窑村集体经济组织", "石灰窑乡石灰窑村村民委员会", None),
        ("平安区石灰窑乡石灰窑村集体经济组织", "洪水泉乡石灰窑村股份经济合作社", PERSONAL),
        ("平安区石灰窑乡石灰窑村集体经济组织", "平安区石灰窑乡上法台村股份经济合作社", PERSONAL),
        ("平安区石灰窑乡石灰窑村集体经济组织", "石灰窑", PERSONAL),
        ("平安区石灰窑乡石灰窑村集体经济组织", "张生莲", PERSONAL),
    ],
)
def test_an_account_in_another_of_the_collectives_names_is_its_own(
    organisation: str, account: str, code: str | None
) -> None:
    outcome = table(csv([FUND, [organisation, USCC, account, "820137", "1", "1"]]), "平安区_三资_2026年第一季度.csv")
    assert codes(outcome) == ({code: 1} if code else {})


def test_a_depreciation_that_is_not_stated_is_not_zero() -> None:
    header = ["统一社会信用代码", "资产名称", "资产类别", "原值(元)", "累计折旧(元)", "净值(元)"]
    assert codes(table(csv([header, [USCC, "冷库", "机器设备", "100", "—", "90"]]), "资产.csv")) == {}
    derived = table(csv([header[:5], [USCC, "冷库", "机器设备", "100", "—"]]), "资产.csv")
    assert derived.frame["net_value"].isna().all()


def test_a_person_is_rated_once_in_a_year() -> None:
    rows = [
        [person(1), "95", "AAA", "2026-05-20", "2027-05-19", PUBLIC],
        [person(1), "80", "AA", "2026-05-28", "2027-05-27", PUBLIC],
        [person(1), "95", "AAA", "2025-05-20", "2026-05-19", "2025.5.10-2025.5.16"],
    ]
    outcome = table(csv([RATING, *rows]), "刚察县_信用户评定.csv")
    assert codes(outcome) == {"DUPLICATE_IN_BATCH": 1}
    assert outcome.frame["code"].tolist() == ["", "DUPLICATE_IN_BATCH", ""]


def test_a_payment_stands_once_unless_both_rows_state_different_instalments() -> None:
    header = [*ROSTER, "批次"]
    first, second, blank = ([person(1), "张生莲", "1", batch] for batch in ("第一批", "第二批", ""))
    assert codes(table(csv([header, first, second]))) == {}
    assert codes(table(csv([header, first, first]))) == {"DUPLICATE_IN_BATCH": 1}
    assert codes(table(csv([header, first, blank]))) == {"DUPLICATE_IN_BATCH": 1}
    assert codes(table(csv([header, blank, first, second]))) == {"DUPLICATE_IN_BATCH": 2}
