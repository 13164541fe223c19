"""What a change is called for one lender, when what failed is tried again, and how a request is signed."""

import base64
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from exchange import http_signatures, messages
from exchange.errors import RulesRefused
from exchange.messages import Kind, Message
from exchange.monitoring import deciding, declared, delivering, reading
from exchange.monitoring.deciding import Change, Said
from registry import catalogue
from registry.suites import Es256Key, sha256, verify_es256

ROOT = Path(__file__).parents[3]
RATING = {"kind": "RATING", "class": "RATING"}
GRADE = frozenset({"RATING.grade"})


def rated(now: str, **more: Any) -> Change:
    return Change("RATING", "RATING", {"grade": now}, **more)


def said(change: Change, items: frozenset[str] = GRADE) -> list[tuple[str, str | None]]:
    return [(one.type, one.facts.get("code")) for one in deciding.of_record(change, items, declared.current())]


# ---- what it is called ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, "AA", [("record.new", None)]),
        ("AA", "AA", [("record.new", None)]),
        ("AA", "AAA", [("rating.changed", None)]),
        ("AA", "B", [("rating.changed", None), ("warning", "rating-lowered")]),
        ("B", "不予评定", [("rating.changed", None), ("warning", "rating-lowered")]),
        ("AA", "四星", [("rating.changed", None)]),  # a grade of another scheme is worse or better to nobody
    ],
)
def test_a_new_rating_is_news_and_a_lower_one_a_warning(
    before: str | None, now: str, expected: list[tuple[str, str | None]]
) -> None:
    assert said(rated(now, other=None if before is None else {"grade": before})) == expected


def test_the_grade_is_told_of_only_to_whoever_may_see_it() -> None:
    seen = Change("RATING", "RATING", {"score": "60"}, other={"score": "90"})
    assert said(seen, frozenset({"RATING.score"})) == [("record.new", None)]


def test_what_came_again_with_the_same_content_is_no_event() -> None:
    same = {"amount_paid": 1}
    assert said(Change("SUBSIDY", "SUBSIDY", same, before=same)) == []
    assert said(Change("SUBSIDY", "SUBSIDY", {}, before={})) == []  # corrected where this lender sees nothing
    assert said(Change("SUBSIDY", "SUBSIDY", same, before={"amount_paid": 2})) == [("record.corrected", None)]


def test_a_grade_that_was_corrected_is_a_change_of_rating() -> None:
    assert said(rated("A", before={"grade": "AA"}))[0] == ("rating.changed", None)


def test_facts_hold_kind_and_class_and_nothing_else() -> None:
    made = [
        *deciding.of_record(rated("B", other={"grade": "AA"}), GRADE, declared.current()),
        *deciding.of_recall("RATING", "RATING"),
        *deciding.of_dispute("RATING", "RATING", filed=True, marked=True),
        *deciding.of_dispute("RATING", "RATING", filed=False, marked=False),
        *deciding.of_finding("X12", "RATING", "RATING", declared.current()),
        *deciding.of_consent("paused"),
    ]
    assert {name for one in made for name in one.facts} <= {"kind", "class", "code", "rule", "marked", "state"}
    assert {one.type for one in made} <= set(declared.TYPES)
    published = set(reading.schema()["properties"]["data"]["anyOf"][0]["properties"])
    assert published >= {name for one in made for name in one.facts}


def test_what_was_not_subscribed_to_is_left_out_but_for_the_consent() -> None:
    all_of_it = [Said("record.new"), Said("warning"), Said("consent.changed")]
    assert [one.type for one in deciding.wanted(all_of_it, ["warning"])] == ["warning", "consent.changed"]


# ---- what is declared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("type: record.new", "type: record.brand-new"),
        ("new_of: JUDICIAL", "new_of: JUDICAL"),
        ("item: RATING.grade", "item: RATING.gade"),
        ("code: finding", "code: judicial-record"),
        ("    finding: true", "    finding: true\n    new_of: RATING"),
        ("finding: true", "findings: true"),
        ("en: a record is new", 'en: ""'),
    ],
)
def test_a_declaration_that_is_not_understood_is_refused(before: str, after: str) -> None:
    text = (resources.files("exchange.monitoring") / "events.yml").read_text("utf-8")
    assert before in text
    with pytest.raises(RulesRefused):
        declared.read(text.replace(before, after), catalogue.current())


def test_every_type_and_warning_has_words_in_both_languages() -> None:
    words = declared.words()
    assert set(words) == {*declared.TYPES, "judicial-record", "finding", "rating-lowered"}
    assert all(one["zh"] and one["en"] for one in words.values())


def test_the_document_lists_what_is_declared() -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    table = text.partition("<!-- events -->")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "`" in line[:30]]
    listed = {name.replace("warning ", "").strip("`"): {"en": en, "zh": zh} for name, en, zh in rows}
    assert listed == declared.words()


def test_a_person_reads_that_a_lender_was_told_and_that_no_content_was() -> None:
    facts = {"outcome": "told", "lender": "银行", "purpose": "POST_LOAN", "reason": None}
    said = messages.words(Message(uuid4(), Kind.ACCESS, datetime(2026, 6, 15, tzinfo=UTC), facts))
    assert "未向其提供具体内容" in said["zh"]
    assert "was told on your consent" in said["en"]


# ---- when it is tried again -----------------------------------------------------------------------------------------


def test_waits_double_up_to_an_hour_with_jitter_and_never_less_than_was_asked_for() -> None:
    waits = [deciding.wait_seconds(failures, 0.0) for failures in range(1, 14)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits == sorted(waits)
    assert max(deciding.wait_seconds(failures, 1.0) for failures in (1, 50, 2000)) == 3600 * 1.25
    assert deciding.wait_seconds(1, 0.5, 60) == 60
    assert deciding.wait_seconds(9, 0.0, 1) == 1280
    assert deciding.wait_seconds(1, 0.0, 10**9) == 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("-1", None),
        ("1e9", None),
        ("99999999999", None),
        ("Wed, 21 Oct 2026", None),
        (None, None),
    ],
)
def test_a_retry_after_is_read_in_seconds_alone(text: str | None, seconds: float | None) -> None:
    assert delivering.retry_after(text) == seconds


# ---- how it is signed -----------------------------------------------------------------------------------------------


def test_a_request_is_signed_over_method_address_digest_and_type() -> None:
    key = Es256Key.generate()
    now = datetime(2026, 6, 15, 4, 5, 6, tzinfo=UTC)
    headers = http_signatures.signed_headers(key, "k1", "https://bank.example/in", b"{}", "application/json", now=now)
    digest = base64.b64encode(sha256(b"{}")).decode()
    params = '("@method" "@target-uri" "content-digest" "content-type");created=1781496306;keyid="k1"'
    params += ';alg="ecdsa-p256-sha256";tag="qingqiao-webhook"'
    assert headers["Signature-Input"] == f"sig1={params}"
    base = (
        '"@method": POST\n"@target-uri": https://bank.example/in\n'
        f'"content-digest": sha-256=:{digest}:\n"content-type": application/json\n"@signature-params": {params}'
    )
    signature = base64.b64decode(headers["Signature"].removeprefix("sig1=:").removesuffix(":"))
    assert verify_es256(key.public, signature, base.encode())
