"""The operators of consistency rules, over records of any shape."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exchange.consistency.operators import Check
from exchange.consistency.rows import Row, first_filled, folded, number, surely_before, year_of
from exchange.consistency.selecting import Counterpart
from registry.records import RecordRef, Value

SUBJECT = UUID(int=7)
dates = st.dates().map(str) | st.dates().map(lambda d: str(d)[:7]) | st.dates().map(lambda d: str(d)[:4])
values: st.SearchStrategy[Value] = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.sampled_from(["", "甲", "甲 ", "乙", "1.5"]) | dates
)
fields = st.fixed_dictionaries(dict.fromkeys(("a", "b", "on", "until"), values))


def rows(records: Sequence[dict[str, Value]], kind: str = "OWN") -> list[Row]:
    return [Row(RecordRef(SUBJECT, UUID(int=n), 1), kind, one) for n, one in enumerate(records, start=1)]


own_and_other = st.tuples(st.lists(fields, max_size=5).map(rows), st.lists(fields, max_size=5).map(rows))


def check(**said: object) -> Check:
    adapter: TypeAdapter[Check] = TypeAdapter(Check)
    return adapter.validate_python(said)


def at_fault(rule: Check, own: Sequence[Row], other: Sequence[Row]) -> list[Row]:
    def related(row: Row, one: Counterpart) -> Sequence[Row]:
        moved = [Row(RecordRef(UUID(int=8), o.ref.record_id, 1), "OTHER", o.fields) for o in other]
        return one.of(row, moved)

    return list(rule.at_fault(own, related))


AGAINST = {"kind": "OTHER", "fields": ["b"]}
CHECKS = [
    check(operator="le_sum", of=["a"], against=[AGAINST]),
    check(operator="ge_sum", of=["a"], year="on", against=[AGAINST]),
    check(operator="ratio", of=["a"], weight_by="b", weights={"甲": 2, "乙": "0.5"}, against=[AGAINST], at_most=1),
    check(operator="member_of", of=["a"], against=[AGAINST]),
    check(operator="not_member_of", of=["a"], against=[AGAINST]),
    check(operator="before", of=["on"], against=[{"kind": "OTHER", "fields": ["until"]}], fault_if_after="any"),
    check(operator="before", of=["on"], against=[{"kind": "OTHER", "fields": ["until"]}], fault_if_after="all"),
    check(operator="equals_normalised", of="a", other="b"),
    check(operator="active_at", against=AGAINST, states=["甲"]),
    check(operator="none_of", against=AGAINST),
    check(operator="present", of=["a"]),
    check(operator="once_per", per=["a", "b"]),
    check(operator="overlaps", start="on", end="until", per=["a"]),
    check(operator="k_or_more_distinct", of="a", k=2),
]
NEEDS_COUNTERPART = [rule for rule in CHECKS if rule.counterparts]


@given(st.sampled_from(CHECKS), own_and_other)
def test_only_own_records_are_found_and_the_order_of_records_does_not_matter(
    rule: Check, told: tuple[list[Row], list[Row]]
) -> None:
    own, other = told
    found = {row.ref for row in at_fault(rule, own, other)}
    assert found <= {row.ref for row in own}
    assert found == {row.ref for row in at_fault(rule, own[::-1], other[::-1])}


@given(st.sampled_from(NEEDS_COUNTERPART), own_and_other)
def test_without_a_counterpart_nothing_is_found(rule: Check, told: tuple[list[Row], list[Row]]) -> None:
    assert at_fault(rule, told[0], []) == []


@given(st.sampled_from(CHECKS), own_and_other)
def test_a_rule_names_every_field_that_it_reads(rule: Check, told: tuple[list[Row], list[Row]]) -> None:
    own, other = told
    own_names = rule.own_names
    other_names = frozenset().union(*(one.names for one in rule.counterparts))

    def cut(row: Row, names: frozenset[str]) -> Row:
        return Row(row.ref, row.kind, {name: value for name, value in row.fields.items() if name in names})

    cut_down = at_fault(rule, [cut(row, own_names) for row in own], [cut(row, other_names) for row in other])
    assert [row.ref for row in cut_down] == [row.ref for row in at_fault(rule, own, other)]


@given(own_and_other, st.integers(0, 100))
def test_a_wider_tolerance_never_finds_more(told: tuple[list[Row], list[Row]], percent: int) -> None:
    own = [row for row in told[0] if (number(row.fields["a"]) or 0) >= 0]
    other = [row for row in told[1] if (number(row.fields["b"]) or 0) >= 0]
    strict, wide = (
        check(operator="le_sum", of=["a"], against=[AGAINST], tolerance=Decimal(share) / 100) for share in (0, percent)
    )
    assert {row.ref for row in at_fault(wide, own, other)} <= {row.ref for row in at_fault(strict, own, other)}


@given(own_and_other)
def test_a_sum_is_at_fault_exactly_if_it_exceeds_the_counterparts(told: tuple[list[Row], list[Row]]) -> None:
    own, other = told
    theirs = [number(first_filled(row, ["b"])) for row in other]
    known = [read for read in theirs if read is not None]
    whole = bool(known) and len(known) == len(theirs)
    expected = [row.ref for row in own if whole and (mine := number(row.fields["a"])) is not None and mine > sum(known)]
    rule = check(operator="le_sum", of=["a"], against=[AGAINST])
    assert [row.ref for row in at_fault(rule, own, other)] == expected


@given(st.sampled_from(["le_sum", "ratio"]), own_and_other, st.integers(0, 4))
def test_a_bound_of_which_a_part_is_not_known_bounds_nothing(
    operator: str, told: tuple[list[Row], list[Row]], place: int
) -> None:
    own, other = told
    more = {"weight_by": "b", "weights": {"甲": 1}, "at_most": 1} if operator == "ratio" else {}
    blank: dict[str, Value] = {"a": None, "b": None, "on": None, "until": None}
    unknown = Row(RecordRef(SUBJECT, UUID(int=99), 1), "OWN", blank)  # a record of its own: each counts once
    holed = [*other[:place], unknown, *other[place:]]
    assert at_fault(check(operator=operator, of=["a"], against=[AGAINST], **more), own, holed) == []


def test_a_year_whose_months_are_not_all_there_is_not_too_little() -> None:
    rule = check(operator="ge_sum", of=["a"], year="on", months=12, against=[AGAINST])
    months: list[dict[str, Value]] = [{"a": 1, "on": f"2026-{n:02d}"} for n in range(1, 13)]
    award = rows([{"b": 13}])
    assert len(at_fault(rule, rows(months), award)) == 12
    assert at_fault(rule, rows(months[:11]), award) == []
    assert at_fault(rule, rows([*months[:11], {"a": None, "on": "2026-12"}]), award) == []
    assert at_fault(rule, rows(months), rows([{"b": 12}])) == []


def test_numbers_that_are_only_written_differently_are_one() -> None:
    rule = check(operator="k_or_more_distinct", of="a", k=2, digits=11)
    written = ["0972-8000000", "(0972) 8000000", "09728000000", "+86 139 0000 0001", "13900000001"]
    given_out = [rule.value(row) for row in rows([{"a": one} for one in written])]  # type: ignore[union-attr]  # of this operator
    assert given_out == ["09728000000"] * 3 + ["13900000001"] * 2
    assert rule.value(rows([{"a": "无"}])[0]) == ""  # type: ignore[union-attr]  # of this operator


@given(own_and_other)
def test_member_of_and_not_member_of_never_find_the_same_record(told: tuple[list[Row], list[Row]]) -> None:
    one, other = (
        {row.ref for row in at_fault(check(operator=name, of=["a"], against=[AGAINST]), *told)}
        for name in ("member_of", "not_member_of")
    )
    assert not one & other


@given(st.lists(fields, max_size=6).map(rows))
def test_once_per_leaves_one_of_each_and_no_two_alike(own: list[Row]) -> None:
    rule = check(operator="once_per", per=["a", "b"])
    left = [row for row in own if row not in at_fault(rule, own, [])]
    keys = [(folded(row.fields["a"]), folded(row.fields["b"])) for row in left]
    whole = [key for key in keys if all(key)]
    assert len(whole) == len(set(whole))


periods = st.tuples(st.dates(), st.dates()).map(lambda ends: sorted(map(str, ends)))


@given(periods, periods)
def test_periods_overlap_exactly_if_one_begins_before_the_other_ends(one: list[str], other: list[str]) -> None:
    (first, until), (second, to) = one, other
    own = rows([{"a": "甲", "on": first, "until": until}, {"a": "甲", "on": second, "until": to}])
    rule = check(operator="overlaps", start="on", end="until", per=["a"])
    earlier_end, later_start = (until, second) if first <= second else (to, first)
    assert bool(at_fault(rule, own, [])) is (later_start < earlier_end)


@given(dates, dates)
def test_of_two_dates_at_most_one_is_surely_before(one: str, other: str) -> None:
    assert not (surely_before(one, other) and surely_before(other, one))
    if year_of(one) < year_of(other):
        assert surely_before(one, other)


@given(values)
def test_folding_twice_is_folding_once(value: Value) -> None:
    assert folded(folded(value)) == folded(value)
