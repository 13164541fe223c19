"""Each rule X01 to X18 finds its planted fault, and is silent where there is none or nothing is known."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from connectors.codes import BY_NAME
from exchange.consistency import declared
from exchange.consistency.evaluating import flags, organisations_named, shared
from exchange.consistency.rows import Row, folded
from exchange.consistency.unchecked import unchecked
from exchange.errors import RulesRefused
from registry import catalogue
from registry.records import Payload, RecordRef, Value

Told = Sequence[tuple[str, Payload]]

LESSEE = "91632200MA0000001X"
LESSOR = "N2632200MF0000001A"
SUBSIDY: dict[str, Value] = {"category": "耕地地力", "project": "地力补贴", "grant_year": 2026, "area": 100_000}
GRAZING: dict[str, Value] = {
    "category": "草原生态补奖",
    "project": "补奖",
    "grant_year": 2026,
    "grazing_ban_area": 300_000,
    "balance_area": 300_000,
}
CONTRACT: dict[str, Value] = {"lessee_uscc": LESSEE, "lessee_name": "绿源合作社", "kind": "资源发包"}
LOAN: dict[str, Value] = {"lessee_name": "张三", "lessor_uscc": LESSOR, "kind": "借款"}
OVERDUE: dict[str, Value] = {"lender_code": "B1", "loan_no": "h1", "event_on": "2026-02-01", "overdue_days": 45}
SETTLED: dict[str, Value] = {"lender_code": "B1", "loan_no": "h1", "event_on": "2026-03-01", "overdue_days": 0}
RATED: dict[str, Value] = {"grade": "AA", "eval_date": "2026-04-01", "evaluator": "农商银行"}
SALES: Told = [("TAX_PAYMENT", {"tax_month": f"2026-{n:02d}", "invoiced": 50_000}) for n in range(1, 13)]

# rule → (at fault, what mends it): the first record is the one that is flagged
CASES: Mapping[str, tuple[Told, Told]] = {
    "X01": (
        [("SUBSIDY", SUBSIDY), ("LAND_CONTRACT", {"confirmed_area": 90_000})],
        [("SUBSIDY", SUBSIDY), ("LAND_CONTRACT", {"contracted_area": 99_500})],
    ),
    "X02": (
        [("SUBSIDY", GRAZING), ("GRASS", {"grass_year": 2026, "pasture_area": 500_000})],
        [("SUBSIDY", GRAZING), ("GRASS", {"grass_year": 2026, "pasture_area": 600_000})],
    ),
    "X03": (
        [
            ("LIVESTOCK", {"species": "牦牛", "heads_total": 60, "as_of": "2026-06-30"}),
            ("GRASS", {"grass_year": 2026, "carrying_capacity": "200"}),
        ],
        [
            ("LIVESTOCK", {"species": "藏羊", "heads_total": 60, "as_of": "2026-06-30"}),
            ("GRASS", {"grass_year": 2026, "carrying_capacity": "200"}),
        ],
    ),
    "X04": (
        [("SUBSIDY", {"payee_name": "李四"}), ("LAND_CONTRACT", {"contractor_name": "张三"})],
        [("SUBSIDY", {"payee_name": "张 三"}), ("LAND_CONTRACT", {"contractor_name": "张三"})],
    ),
    "X06": (
        [("SUBSIDY", {"paid_on": "2026-05-08"}), ("CIVIL_AFF", {"deceased": True, "died_on": "2025-12-30"})],
        [("SUBSIDY", {"paid_on": "2026-05-08"}), ("CIVIL_AFF", {"deceased": True, "died_on": "2026-06-01"})],
    ),
    "X06B": (
        [("SUBSIDY", {"paid_on": "2026-05-08"}), ("HEALTH_AGE", {"deceased": True, "checked_on": "2026-04-01"})],
        [("SUBSIDY", {"paid_on": "2026-05-08"}), ("HEALTH_AGE", {"deceased": False, "checked_on": "2026-04-01"})],
    ),
    "X09": (
        [("SANZI_CONTRACT", CONTRACT), (f"{LESSEE} BIZ_REG", {"entity_status": "吊销", "name": "绿源合作社"})],
        [("SANZI_CONTRACT", CONTRACT), (f"{LESSEE} BIZ_REG", {"entity_status": "存续", "name": "绿源合作社"})],
    ),
    "X09B": (
        [("SANZI_CONTRACT", CONTRACT), (f"{LESSEE} BIZ_REG", {"entity_status": "存续", "name": "绿洲合作社"})],
        [("SANZI_CONTRACT", CONTRACT), (f"{LESSEE} BIZ_REG", {"entity_status": "存续", "name": "绿源 合作社"})],
    ),
    "X11": (
        [
            ("SUBSIDY", SUBSIDY | {"paid_on": "2026-05-08"}),
            ("LAND_CONTRACT", {"contract_end": "2025-12-31", "confirmed_area": 900_000}),
        ],
        [
            ("SUBSIDY", SUBSIDY | {"paid_on": "2026-05-08"}),
            ("LAND_CONTRACT", {"contract_end": "2025-12-31", "confirmed_area": 900_000}),
            ("LAND_CONTRACT", {"contract_end": "2027-12-31", "confirmed_area": 900_000}),
        ],
    ),
    "X12": ([("RATING", {"eval_date": "2026-04-01", "evaluator": None})], [("RATING", RATED)]),
    "X13": (
        [*SALES, ("GOV_PROC", {"won_amount": 900_000, "won_on": "2026-05-01"})],
        [*SALES, ("GOV_PROC", {"won_amount": 600_000, "won_on": "2026-05-01"})],
    ),
    "X17": (
        [("SANZI_CONTRACT", LOAN), (f"{LESSOR} BIZ_REG", {"legal_rep": "张三", "entity_status": "存续"})],
        [("SANZI_CONTRACT", LOAN), (f"{LESSOR} BIZ_REG", {"legal_rep": "王五", "entity_status": "存续"})],
    ),
    "X18": (
        [("RATING", RATED), ("LOAN_EVENT", OVERDUE)],
        [("RATING", RATED), ("LOAN_EVENT", OVERDUE), ("LOAN_EVENT", SETTLED)],
    ),
}  # fmt: skip
SHARED = {
    "X05": ("SUBSIDY", "bank_account", 3),
    "X05B": ("SANZI_FUND", "account_no", 2),
    "X14": ("BIZ_REG", "phone", 3),
}
BY_CODE = {
    "X07": "VILLAGE_UNKNOWN",
    "X08": "TOTAL_MISMATCH",
    "X10": "DUPLICATE_IN_BATCH",
    "X15": "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT",
    "X16": "BALANCE_DIFFERENCE",
}


def row(kind: str, fields: Payload, subject: UUID, held: frozenset[str] | None = None) -> Row:
    return Row(RecordRef(subject, uuid4(), 1), kind, fields, held)


def found(told: Told, held: frozenset[str] | None = None) -> dict[str, list[int]]:
    """Apply all rules to what is told of one subject; give the places of flagged records by rule."""
    subject = uuid4()
    rows = [row(kind.split()[-1], fields, subject if " " not in kind else uuid4(), held) for kind, fields in told]
    own: dict[str, list[Row]] = {}
    organisations: dict[str, dict[str, list[Row]]] = {}
    for (kind, _), one in zip(told, rows, strict=True):
        code = kind.split()[0]
        known = organisations.setdefault(folded(code), {}) if " " in kind else own
        known.setdefault(one.kind, []).append(one)
    places = {one.ref: place for place, one in enumerate(rows)}
    result: dict[str, list[int]] = {}
    for flag in flags(declared.checks(), {subject: own}, organisations):
        result.setdefault(flag.rule, []).append(places[flag.ref])
    return result


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_finds_its_planted_fault_in_the_record_at_fault(rule: str) -> None:
    assert 0 in found(CASES[rule][0])[rule]


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_is_silent_where_there_is_no_fault(rule: str) -> None:
    assert found(CASES[rule][1]) == {}


@pytest.mark.parametrize("rule", sorted(CASES.keys() - {"X12"}))
def test_without_a_counterpart_nothing_is_known_and_nothing_found(rule: str) -> None:
    assert rule not in found(CASES[rule][0][:1])


@pytest.mark.parametrize("rule", sorted(SHARED))
def test_a_value_that_may_stand_with_few_subjects_is_given_to_be_compared(rule: str) -> None:
    kind, name, k = SHARED[rule]
    subject = uuid4()
    one, empty = row(kind, {name: "62 3-00"}, subject), row(kind, {name: None}, subject)
    given = [s for s in shared(declared.between_subjects(), {subject: {kind: [one, empty]}}) if s.rule == rule]
    assert [(s.value, s.ref) for s in given] == [("62300", one.ref)]
    assert {r.id: check.k for r, _, check in declared.between_subjects()}[rule] == k


@pytest.mark.parametrize("rule", sorted(BY_CODE))
def test_a_rule_that_intake_carries_out_names_its_code_and_checks_nothing_twice(rule: str) -> None:
    assert declared.current()[rule].code == BY_CODE[rule]
    assert BY_CODE[rule] in BY_NAME
    assert declared.current()[rule] not in declared.checks()


def test_every_number_of_the_data_dictionary_has_a_rule_and_every_rule_a_case() -> None:
    rules = declared.current()
    assert {rule.number for rule in rules.values()} == {f"X{n:02d}" for n in range(1, 19)}
    assert set(rules) == CASES.keys() | SHARED.keys() | BY_CODE.keys()


def test_a_field_that_no_consent_covers_is_not_missing() -> None:
    assert found([("RATING", {"eval_date": "2026-04-01"})], held=frozenset({"eval_date"})) == {}


def test_a_rating_without_a_consent_in_force_is_found_though_nothing_of_it_is_opened() -> None:
    assert found([("RATING", {})], held=frozenset()) == {"X12": [0]}


def test_areas_are_added_up_by_project_and_year_and_never_across_them() -> None:
    land: Told = [("LAND_CONTRACT", {"confirmed_area": 150_000})]
    two_years = [("SUBSIDY", SUBSIDY), ("SUBSIDY", SUBSIDY | {"grant_year": 2025}), *land]
    one_year = [("SUBSIDY", SUBSIDY), ("SUBSIDY", SUBSIDY), *land]
    assert found(two_years) == {}
    assert found(one_year) == {"X01": [0, 1]}


def test_ban_and_balance_are_added_up_though_each_is_a_project_of_its_own() -> None:
    ban = GRAZING | {"project": "禁牧补助", "balance_area": None}
    balance = GRAZING | {"project": "草畜平衡奖励", "grazing_ban_area": None}
    pasture: Told = [("GRASS", {"grass_year": 2026, "pasture_area": 500_000})]
    assert found([("SUBSIDY", ban), ("SUBSIDY", balance), *pasture]) == {"X02": [0, 1]}
    assert found([("SUBSIDY", ban), ("SUBSIDY", balance | {"grant_year": 2025}), *pasture]) == {}


def test_land_or_pasture_whose_size_is_not_known_bounds_nothing() -> None:
    unknown: Told = [("LAND_CONTRACT", {"contractor_name": None, "confirmed_area": None})]
    assert found([("SUBSIDY", SUBSIDY), ("LAND_CONTRACT", {"confirmed_area": 90_000}), *unknown]) == {}
    herd: Told = [("LIVESTOCK", {"species": "牦牛", "heads_total": 60, "as_of": "2026-06-30"})]
    capacity: Told = [("GRASS", {"grass_year": 2026, "carrying_capacity": one}) for one in ("200", None)]
    assert found([*herd, *capacity]) == {}


def test_a_year_of_which_months_are_missing_is_not_too_little_turnover() -> None:
    won: Told = [("GOV_PROC", {"won_amount": 900_000, "won_on": "2026-05-01"})]
    assert found([*SALES[:11], *won]) == {}


@pytest.mark.parametrize("point", "·•・‧∙⋅･")
def test_a_name_is_the_same_whatever_point_stands_in_it(point: str) -> None:
    told: Told = [("SUBSIDY", {"payee_name": f"才让{point}卓玛"}), ("GRASS", {"herder_name": "才让·卓玛"})]
    assert found(told) == {}


# ---- what is not checked --------------------------------------------------------------------------------------------

EVERY_KIND = frozenset(catalogue.current().kinds)


@pytest.mark.parametrize(
    ("rule", "whole", "word"),
    [
        ("X03", False, "羊单位"),
        ("X04", False, "家庭成员"),
        ("X05", True, "账号"),
        ("X13", False, "个人收入"),
        ("X14", False, "电话"),
        ("X17", False, "姓名"),
        ("X18", False, "等级"),
    ],
)
def test_what_no_class_holds_is_told_as_not_checked(rule: str, whole: bool, word: str) -> None:  # noqa: FBT001  # of the case
    (told,) = [one for one in unchecked(EVERY_KIND) if one.rule == rule]
    assert told.whole is whole
    assert word in told.why.zh
    assert told.why.zh.startswith("未检查：" if whole else "未全部检查：")
    assert told.why.en.startswith("not checked: " if whole else "not checked in full: ")


def test_with_everything_delivered_only_what_is_declared_is_not_checked() -> None:
    declared_so = {rule.id for rule in declared.current().values() if rule.lacks}
    assert {one.rule for one in unchecked(EVERY_KIND)} == declared_so


@pytest.mark.parametrize(
    "rule", sorted(rule.id for rule in declared.checks() if rule.check and rule.check.counterparts)
)
def test_a_rule_whose_counterparts_nobody_has_delivered_is_told_as_not_checked(rule: str) -> None:
    one = declared.current()[rule]
    assert one.records is not None
    assert one.check is not None
    compared = {other.kind for other in one.check.counterparts}
    told = [u for u in unchecked(EVERY_KIND - compared) if u.rule == rule and u.whole]
    assert len(told) == 1
    for kind in compared:
        assert catalogue.current().kinds[kind].titles["zh"] in told[0].why.zh
        assert catalogue.current().kinds[kind].titles["en"] in told[0].why.en


def test_a_rule_with_some_of_its_counterparts_is_not_checked_in_full() -> None:
    told = [one for one in unchecked(EVERY_KIND - {"GRASS"}) if one.rule == "X04" and "报送" in one.why.zh]
    assert [one.whole for one in told] == [False]


def test_a_rule_is_never_silent_unless_it_can_find_something() -> None:
    """A rule that is not told of has something of each kind that it reads, whatever was delivered."""
    for missing in sorted(EVERY_KIND):
        silent = {one.rule for one in unchecked(EVERY_KIND - {missing})}
        for rule in declared.checks():
            read = {item.partition(".")[0] for item in rule.reads} | {rule.records.kind if rule.records else ""}
            assert rule.id in silent or missing not in read


def test_an_agency_is_told_of_the_rules_on_what_it_delivers() -> None:
    assert {one.rule for one in unchecked(EVERY_KIND, about={"SANZI_CONTRACT"})} == {"X17"}
    assert unchecked(EVERY_KIND, about=set()) == []


def test_a_pasture_of_another_year_says_nothing() -> None:
    assert found([("SUBSIDY", GRAZING), ("GRASS", {"grass_year": 2024, "pasture_area": 1})]) == {}


def test_an_animal_whose_sheep_units_are_not_declared_makes_the_herd_unknown() -> None:
    herd: Told = [("LIVESTOCK", {"species": "其他", "heads_total": 9000, "as_of": "2026-06-30"})]
    assert found([*herd, ("GRASS", {"grass_year": 2026, "carrying_capacity": "10"})]) == {}


def test_only_the_newest_rating_is_held_against_loans() -> None:
    before = {"grade": "AA", "eval_date": "2025-04-01", "evaluator": "农商银行"}
    now = {"grade": "C", "eval_date": "2026-04-01", "evaluator": "农商银行"}
    assert found([("RATING", before), ("RATING", now), ("LOAN_EVENT", OVERDUE)]) == {}


def test_the_organisations_that_records_name_are_followed() -> None:
    subject = uuid4()
    known = {subject: {"SANZI_CONTRACT": [row("SANZI_CONTRACT", CONTRACT | {"lessor_uscc": LESSOR}, subject)]}}
    assert organisations_named(declared.checks(), known) == {LESSEE, LESSOR}


def test_a_lender_is_told_of_a_flag_only_if_it_may_see_all_that_the_rule_reads() -> None:
    x06 = declared.current()["X06"]
    assert "X06" in declared.told_with(x06.reads)
    assert "X06" not in declared.told_with(x06.reads - {"CIVIL_AFF.died_on"})


def test_what_no_lender_may_see_makes_a_rule_that_no_lender_is_told_of() -> None:
    everything = catalogue.current().expand(catalogue.current().kinds)
    assert not {"X05", "X05B", "X14", "X18"} & set(declared.told_with(everything))


_RULE = """
rules:
  - id: X01
    title: {zh: 甲, en: a}
    cause: {zh: 甲, en: a}
    mend: {zh: 甲, en: a}
    severity: warn
    told: agencies
"""
_ONCE = "\n    check: {operator: once_per, per: [area]}"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("    code: NO_SUCH_CODE", "NO_SUCH_CODE"),
        ("    records: {kind: NO_SUCH_KIND}\n    check: {operator: once_per, per: [x]}", "NO_SUCH_KIND.x"),
        ("    records: {kind: SUBSIDY}\n    check: {operator: once_per, per: [no_such]}", "SUBSIDY.no_such"),
        ("    records: {kind: SUBSIDY}\n    check: {operator: no_such, per: [area]}", "no_such"),
        ("    records: {kind: SUBSIDY}\n    check: {operator: once_per, per: [area], perr: [area]}", "perr"),
        (
            "    records: {kind: SUBSIDY, where: {no_such: [1]}}" + _ONCE,
            "no_such",
        ),
        ("    records: {kind: SUBSIDY}", "what"),
        ("", "what"),
        (
            "    code: TOTAL_MISMATCH\n    records: {kind: SUBSIDY}" + _ONCE,
            "what",
        ),
    ],
)
def test_a_rule_that_cannot_be_carried_out_is_refused(more: str, why: str) -> None:
    with pytest.raises(RulesRefused, match=why):
        declared.read(_RULE + more, catalogue.current())


def test_a_new_rule_of_an_operator_that_exists_needs_no_code() -> None:
    text = _RULE.replace("X01", "X98") + (
        "    records: {kind: SUBSIDY}\n    check: {operator: once_per, per: [project, grant_year, paid_on]}"
    )
    rule = declared.read(text, catalogue.current())["X98"]
    subject = uuid4()
    fields: dict[str, Value] = {"project": "a", "grant_year": 2026, "paid_on": "2026-05-08"}
    rows = [row("SUBSIDY", fields, subject), row("SUBSIDY", fields, subject)]
    assert {flag.ref for flag in flags([rule], {subject: {"SUBSIDY": rows}}, {})} == {one.ref for one in rows}


def test_a_rule_that_compares_with_kinds_beyond_the_permits_history_is_not_told() -> None:
    x18 = declared.current()["X18"]
    assert x18.compares == {"RATING", "LOAN_EVENT"}
    x01 = declared.current()["X01"]
    assert x01.compares == {"SUBSIDY", "LAND_CONTRACT"}
    assert "X01" in declared.told_with(x01.reads)
    assert "X01" not in declared.told_with(x01.reads, frozenset({"LAND_CONTRACT"}))
    x12 = declared.current()["X12"]
    assert "X12" in declared.told_with(x12.reads, frozenset({"RATING"}))  # each record by itself
