"""Reports: every item in one place, every line with its source, every gap with its reason; on paper as in JSON."""

import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from itertools import groupby
from typing import Any
from uuid import uuid4

import orjson
import pytest
import segno

from exchange.answer import Asked, Beside, Noted, QueryFacts, Statement, build
from exchange.errors import RulesRefused
from exchange.portable import report
from exchange.portable.report import Printing
from exchange.portable.sheet import readable
from exchange.reports import layout, sections, tags
from exchange.reports.sections import Queried
from registry.catalogue import current
from registry.identifiers import SubjectKind
from registry.profile import summarise
from registry.records import OpenedRecord, Payload
from tests.opened import PERSON, TODAY, record

AT = datetime(2026, 6, 15, 4, tzinfo=UTC)
SECTIONS = (layout.current().household, layout.current().village)


def facts(about: SubjectKind, *kinds: str, **changes: Any) -> QueryFacts:
    asked = Asked(about, 36, tags.CURRENT, ("u-1027", "credit"), "2026-12-31T16:00:00.000000Z")
    stated: dict[str, Any] = {
        "query_id": uuid4(),
        "client_id": "bank",
        "lender": "沙箱农商银行",
        "subject_id": PERSON,
        "consent_id": "c-1",
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
        "mode": "report",
        "items": current().expand(kinds),
        "claims": (),
        "request_sha256": b"\x01" * 32,
        "request_salt": b"\x02" * 16,
        "decided_at": AT,
        "noted": Noted({}, {}),
        "asked": asked,
    }
    return QueryFacts(**stated | changes)


def said(query: QueryFacts, *records: OpenedRecord) -> dict[str, Any]:
    label = dict.fromkeys(("mode", "operator", "operating_mode", "authorisation", "authorised_until"), "x")
    return dict(orjson.loads(build(query, records, current(), label)))


def section(answer: dict[str, Any], code: str) -> dict[str, Any]:
    return next(dict(one) for one in answer["sections"] if one["code"] == code)


VILLAGE = (
    record("BIZ_REG", {"name": "民和县川口镇史纳村股份经济合作社", "entity_status": "存续"}),
    record("SANZI_FUND", {"bank_balance": 10_050, "difference": 0, "as_of": "2026-03-31"}),
    record("SANZI_CONTRACT", {"contract_no": "HT-1", "end_on": "2026-09-30", "publicity_from": "2026-01-01"}),
)


def test_a_villages_report_has_its_own_sections_and_says_the_name_whole() -> None:
    query = facts(SubjectKind.ORGANISATION, "BIZ_REG", "SANZI", "TAX_ARREARS")
    told = said(query, *VILLAGE)
    assert told["report"]["title"]["zh"] == "村集体信用信息报告"
    assert told["report"]["subject"]["name"] == "民和县川口镇史纳村股份经济合作社"
    assert "成员" in told["report"]["about"]["zh"]
    states = {one["code"]: (one["state"], one["reason"]) for one in told["sections"]}
    assert states["registration"] == states["accounts"] == states["resources"] == states["publicity"] == ("given", None)
    assert states["debts"] == ("withheld", "no-data")
    assert states["performance"] == ("withheld", "not-asked-or-not-consented")
    (expiring,) = section(told, "warnings")["warnings"]
    assert (expiring["warning"], expiring["on"]) == ("expiring", "2026-09-30")
    assert any("信用村" in one["zh"] for one in section(told, "publicity")["lacks"])


@pytest.mark.parametrize("form", SECTIONS)
def test_sections_are_numbered_from_0_to_14_and_none_has_a_score(form: layout.Form) -> None:
    assert [one.number for one in form.sections] == list(range(15))
    assert "征信报告" not in form.title.zh
    assert all("score" not in one.code for one in form.sections)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("items: [SUBSIDY]}", "items: [SUBSIDY, RATING]}"),
        ("items: [SUBSIDY]}", "items: [SUBSIDY.project]}"),
        ("items: [SUBSIDY]}", "items: [NOTHING]}"),
        ("items: [SUBSIDY]}", "items: [SUBSIDY, BIZ_REG]}"),
        ("items: [SUBSIDY]}", "items: [SUBSIDY], itmes: []}"),
        ("RATING: valid_to", "RATING: valid_until"),
        ("part: overview}", "part: overview, items: [SUBSIDY]}"),
    ],
)
def test_a_layout_that_loses_or_doubles_an_item_is_refused(good: str, bad: str) -> None:
    text = (resources.files("exchange.reports") / "sections.yml").read_text("utf-8")
    assert good in text
    layout.read(text, current())
    with pytest.raises(RulesRefused):
        layout.read(text.replace(good, bad, 1), current())


def test_disputed_flagged_and_unchecked_data_is_marked_in_place() -> None:
    one = record("SUBSIDY", {"project": "草原补奖", "amount_paid": 100}, quality="D")
    version = (one.visible.ref.record_id, 1)
    query = facts(
        SubjectKind.PERSON,
        "SUBSIDY",
        noted=Noted({version: ["X01"]}, {}),
        beside=Beside({version: ["SUBSIDY.amount_paid"]}, Statement("我没有领到。", "2026-06-01T00:00:00.000000Z")),
    )
    told = said(query, one)
    (entry,) = section(told, "subsidies")["entries"]
    marks = {mark["mark"]: mark for mark in entry["marks"]}
    assert set(marks) == {"disputed", "flagged", "unchecked"}
    assert (marks["disputed"]["zh"], marks["disputed"]["items"]) == ("异议处理中", ["SUBSIDY.amount_paid"])
    assert marks["flagged"]["rules"] == ["X01"]
    voice = section(told, "voice")
    assert voice["disputed"][0]["items"] == ["SUBSIDY.amount_paid"]
    assert voice["statement"]["text"] == "我没有领到。"
    grey = [line for line in report.lines(told, current()) if line.grey]
    assert any("100" in line.text or "1.00" in line.text for line in grey)


def test_a_source_that_is_behind_is_the_reason_and_a_warning() -> None:
    query = facts(SubjectKind.PERSON, "SUBSIDY", "GRASS", noted=Noted({}, {"GRASS": "failing", "SUBSIDY": "late"}))
    told = said(query, record("SUBSIDY", {"project": "草原补奖"}))
    assert section(told, "means")["reason"] == "failing"
    assert {"item": "SUBSIDY.project", "reason": "late"} in section(told, "subsidies")["incomplete"]
    behind = [one for one in section(told, "warnings")["warnings"] if one["warning"] == "source-behind"]
    assert {one["kind"]: one["reason"] for one in behind} == {"GRASS": "failing", "SUBSIDY": "late"}


def test_what_is_old_is_given_and_called_stale() -> None:
    told = said(facts(SubjectKind.PERSON, "SUBSIDY"), record("SUBSIDY", {"project": "补贴"}, as_of=TODAY.replace(2024)))
    assert section(told, "subsidies")["state"] == "given"
    assert {"item": "SUBSIDY.project", "reason": "stale"} in section(told, "subsidies")["incomplete"]


def test_a_month_is_over_when_it_is_over() -> None:
    def marks(until: str) -> list[str]:
        told = said(facts(SubjectKind.PERSON, "RATING"), record("RATING", {"valid_to": until}))
        (entry,) = section(told, "rating")["entries"]
        return [mark["mark"] for mark in entry["marks"]]

    assert marks("2026-06") == marks("2026-06-15") == marks("2026") == []
    assert marks("2026-05") == marks("2026-06-14") == ["expired"]


def test_a_mask_leaves_the_first_character() -> None:
    assert (sections.masked("扎西顿珠"), sections.masked("张"), sections.masked(None)) == ("扎**", "张**", None)


# ---- on paper -------------------------------------------------------------------------------------------------------

PRINTING = Printing(
    AT, ("u-9", "risk"), "https://exchange.example/reports/check#a.b.c", b'{"answer":{},"signature":""}'
)


@pytest.fixture
def whole() -> dict[str, Any]:
    """A report in which most parts have something."""
    rows = [
        record("SUBSIDY", {"project": "草原补奖", "grant_year": year, "pay_status": "paid", "amount_paid": 120_050})
        for year in (2024, 2025, 2026)
    ]
    rating = record("RATING", {"grade": "AA", "eval_date": "2026-03-01", "valid_to": "2026-05-31", "head_name": "扎西"})
    queries = (Queried("2026-06-01T00:00:00.000000Z", "POST_LOAN"),)
    query = facts(SubjectKind.PERSON, "SUBSIDY", "RATING", "CREDIT_CHN", queries=queries)
    return said(query, *rows, rating)


def test_paper_says_every_value_mark_reason_and_tag_of_the_answer(whole: dict[str, Any]) -> None:
    text = "\n".join(line.text for line in report.lines(whole, current()))
    for record_ in whole["records"]:
        for name, value in record_["fields"].items():
            spec = current().field(f"{record_['kind']}.{name}")
            assert f"{spec.zh}：{readable(value, spec.type)}" in text
    for one in whole["sections"]:
        assert f"{one['number']}. {one['zh']}" in text
        for tag in one.get("tags", ()):
            assert f"{tag['zh']}：" in text
        for lack in one["lacks"]:
            assert lack["zh"] in text
    for one in whole["withheld"]:
        assert current().field(one["item"]).zh in text
    assert all(one["tag"] in text for one in whole["withheld_tags"])
    assert "【已过期 2026-05-31】" in text
    assert "2026-06-01 08:00 · 沙箱农商银行 · 贷后管理" in text
    assert "接收 2026-06-16" in text


def streams(pdf: bytes) -> list[bytes]:
    found = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    return [zlib.decompress(one) for one in found if one[:1] == b"x"]


def test_every_page_carries_the_watermark_and_the_first_the_code(whole: dict[str, Any]) -> None:
    pdf = report.render(whole, current(), PRINTING)
    pages = [one for one in streams(pdf) if b" Tf" in one]
    assert len(pages) == pdf.count(b"/Type /Page\n") >= 2
    faint = b"0.8824 g"  # 225 of 255
    assert all(page.count(faint) >= 1 and page.count(b" cm\n") >= 4 for page in pages)
    bars = [page.count(b" re f") for page in pages]
    code = segno.make(PRINTING.code, error="m", micro=False).matrix
    assert bars[0] == sum(bool(dark) for row in code for dark, _ in groupby(row))
    assert sum(bars[1:]) == 0
    assert b"NotoSansSC" in pdf
    assert b"MediaBox [0 0 595.28 841.89]" in pdf


def test_a_watermark_names_lender_staff_moment_and_number(whole: dict[str, Any]) -> None:
    assert PRINTING.watermark(whole) == f"沙箱农商银行 u-9/risk 2026-06-15 12:00 {whole['query_id']}"


def test_what_is_attached_is_what_was_signed(whole: dict[str, Any]) -> None:
    assert PRINTING.attached in streams(report.render(whole, current(), PRINTING))


def test_every_figure_and_reason_has_its_words() -> None:
    paid: Payload = {"grant_year": 2026, "amount_due": 1, "amount_paid": 1, "paid_on": "2026-05", "pay_status": "paid"}
    rows = [
        record("SUBSIDY", paid),
        record("RATING", {"grade": "A", "score": "80", "eval_date": "2026-03-01", "valid_to": "2027-01-01"}),
        record("SANZI_CONTRACT", {"annual_fee": 1, "area": 1, "arrears": 1, "end_on": "2027-01-01"}),
        record("SANZI_FUND", {"bank_balance": 1, "ledger_balance": 1}),
        record("SANZI_ASSET", {"original_value": 1, "net_value": 1, "asset_class": "operating"}),
        record("SANZI_RESOURCE", {"area": 1, "contracted_area": 1}),
    ]  # fmt: skip
    figures = summarise(rows, current(), at=AT)
    names = {name for one in figures.values() for name in one if name != "years"}  # type: ignore[union-attr]
    assert names | {"year", "amount_due_fen", "amount_paid_fen"} == set(report.FIGURES)
    assert set(sections.REASONS) <= set(report.REASONS)


def test_a_person_without_a_name_to_show_is_not_named(whole: dict[str, Any]) -> None:
    query = replace(facts(SubjectKind.PERSON, "SUBSIDY"), items=frozenset({"SUBSIDY.project"}))
    told = said(query, record("SUBSIDY", {"project": "补贴"}))
    assert told["report"]["subject"]["name"] is None
    assert report.render(told, current(), PRINTING).startswith(b"%PDF-")
