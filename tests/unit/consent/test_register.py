"""The consent register as agencies send it."""

import csv
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from consent import purposes, register
from consent.errors import Fault, RegisterUnreadable, TermsRefused
from consent.evidence import Channel, EvidenceKind, Language
from consent.grant import State
from consent.record import NewConsent, SubjectType, Terms, midnight, settle
from consent.register import MEANINGS, Line, Outcome, Remark, read, read_row, same_terms
from registry import catalogue

SAMPLE = Path(__file__).parents[2] / "samples" / "agencies" / "授权台账_2026.csv"
ROW = {
    "授权编号": "SQ00000001",
    "主体类型": "household",
    "身份证号": "630222199901010001",
    "姓名": "卓玛",
    "被授权机构": "青海民和农村商业银行",
    "用途": "LOAN_APPROVAL",
    "数据项": "SUBSIDY;RATING",
    "生效日期": "2026-01-10",
    "失效日期": "2026-12-31",
    "状态": "active",
    "不良后果告知": "是",
    "文本版本": "2026-01",
    "语言": "bo",
    "渠道": "村点",
    "证据文件哈希": "ab" * 32,
    "见证人": "才让",
}


def line(**cells: str) -> Line:
    return read_row(1, ROW | cells)


def terms(of: Line) -> Terms:
    new: NewConsent = of.as_new(UUID(int=1), None)
    return settle(new, purposes=purposes.current(), catalogue=catalogue.current())


def test_a_row_is_read() -> None:
    read_ = line()
    assert (read_.number, read_.subject_type, read_.state) == ("SQ00000001", SubjectType.HOUSEHOLD, State.ACTIVE)
    assert (read_.language, read_.channel, read_.w_acknowledged) == (Language.TIBETAN, Channel.VILLAGE, True)
    assert read_.items == ("SUBSIDY", "RATING")
    assert read_.evidence.kind is EvidenceKind.PAPER_SCAN


def test_the_last_day_is_within_the_consent() -> None:
    assert line().valid_until == midnight(date(2027, 1, 1))


@pytest.mark.parametrize(
    "text", ["2026-01-10", "2026/1/10", "2026.01.10", "20260110", "2026年1月10日", "２０２６－０１－１０"]
)
def test_a_day_is_read_in_the_forms_agencies_write(text: str) -> None:
    assert line(生效日期=text).valid_from == midnight(date(2026, 1, 10))


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"授权编号": ""}, Fault.NUMBER_MISSING),
        ({"授权编号": "630222199901010001"}, Fault.NUMBER_MISSING),
        ({"主体类型": "熊猫"}, Fault.SUBJECT_TYPE_UNKNOWN),
        ({"身份证号": "630222199901010002"}, Fault.IDENTITY_INVALID),
        ({"身份证号": "N2630203000000019A"}, Fault.IDENTITY_INVALID),
        ({"主体类型": "collective"}, Fault.IDENTITY_INVALID),
        ({"生效日期": "2012-12-31"}, Fault.GUARDIAN_NEEDED),
        ({"生效日期": ""}, Fault.DATE_UNREADABLE),
        ({"生效日期": "2026-02-30"}, Fault.DATE_UNREADABLE),
        ({"生效日期": "26-01-10"}, Fault.DATE_UNREADABLE),
        ({"失效日期": "年底"}, Fault.DATE_UNREADABLE),
        ({"状态": "maybe"}, Fault.STATE_UNKNOWN),
        ({"状态": ""}, Fault.STATE_UNKNOWN),
        ({"不良后果告知": "口头"}, Fault.ACKNOWLEDGEMENT_UNREADABLE),
        ({"文本版本": ""}, Fault.TEXT_UNKNOWN),
        ({"文本版本": "../../etc"}, Fault.TEXT_UNKNOWN),
        ({"语言": "fr"}, Fault.LANGUAGE_UNKNOWN),
        ({"渠道": "传真"}, Fault.CHANNEL_UNKNOWN),
        ({"证据文件哈希": "见附件"}, Fault.EVIDENCE_INVALID),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(cells: dict[str, str], fault: Fault) -> None:
    with pytest.raises(TermsRefused) as refused:
        line(**cells)
    assert refused.value.code is fault


def test_fourteen_is_old_enough_to_consent() -> None:
    assert line(生效日期="2013-01-01").valid_from == midnight(date(2013, 1, 1))


def test_a_blank_acknowledgement_is_none() -> None:
    assert not line(不良后果告知="").w_acknowledged


def test_a_blank_last_day_is_not_stated() -> None:
    assert line(失效日期="").valid_until is None


def test_an_empty_list_of_items_is_a_consent_over_nothing() -> None:
    assert terms(line(数据项="")).scope.items == frozenset()


def test_a_collective_consents_by_its_minutes() -> None:
    read_ = line(主体类型="collective", 身份证号="N2630203000000019A")
    assert read_.evidence.kind is EvidenceKind.RESOLUTION


def test_a_refusal_never_repeats_what_a_cell_held() -> None:
    rows = [ROW | {"身份证号": "630222199901010002"}, ROW | {"授权编号": "630222199901010001"}]
    lines, refused = read(rows)
    assert lines == []
    for outcome in refused:
        shown = repr(outcome) + outcome.zh + outcome.en
        assert "63022219990101000" not in shown
        assert "卓玛" not in shown
        assert "才让" not in shown


def test_a_line_shows_neither_who_it_is_about_nor_the_witness() -> None:
    shown = repr(line())
    assert "199901010001" not in shown
    assert "卓玛" not in shown
    assert "才让" not in shown


def test_a_number_counts_once_in_a_table() -> None:
    lines, refused = read([ROW, ROW])
    assert len(lines) == 1
    assert [(row.row_no, row.outcome, row.code) for row in refused] == [(2, Outcome.REFUSED, Fault.NUMBER_TWICE)]


def test_a_table_without_a_column_is_no_register() -> None:
    with pytest.raises(RegisterUnreadable, match="状态"):
        read([{name: cell for name, cell in ROW.items() if name != "状态"}])


def test_an_empty_register_is_a_register() -> None:
    assert read([]) == ([], [])


def test_every_row_of_the_sample_can_be_read_and_settled() -> None:
    with SAMPLE.open(encoding="utf-8-sig", newline="") as file:
        lines, refused = read(list(csv.DictReader(file)))
    assert refused == []
    assert len([terms(each) for each in lines]) == 283


def test_every_code_is_explained_in_two_languages() -> None:
    assert MEANINGS.keys() == set(Fault) | set(Remark)
    assert all(zh and en and not zh.isascii() and en.isascii() for zh, en in MEANINGS.values())


def test_a_later_catalogue_does_not_change_what_a_class_meant() -> None:
    fresh = terms(line())
    fewer = replace(fresh.scope, items=frozenset({"SUBSIDY.amount_paid", "RATING.grade"}))
    older = replace(fresh, catalogue_version="2020-01", scope=fewer)
    assert same_terms(fresh, older, end_stated=True)
    assert not same_terms(fresh, replace(older, catalogue_version=fresh.catalogue_version), end_stated=True)


def test_a_validity_that_is_not_stated_is_not_compared() -> None:
    fresh = terms(line(失效日期=""))
    other = replace(fresh, scope=replace(fresh.scope, valid_until=fresh.scope.valid_until + timedelta(days=9)))
    assert same_terms(fresh, other, end_stated=False)
    assert not same_terms(fresh, other, end_stated=True)


def test_the_columns_are_those_of_the_register() -> None:
    assert set(register.COLUMNS) == set(ROW)
