"""The portable document on paper: every line of it, in its own script, with fonts that go along."""

import re
import zlib
from typing import Any

import orjson
import pytest

from consent.parties import Party
from exchange.portable import document, sheet
from tests.reachable import CONTACT

MOMENT = "2026-06-15T02:03:04.000005Z"
TIBETAN = "ང་ཡི་རྩྭ་ཐང་གི་ཁ་གསབ།"


@pytest.fixture
def whole() -> dict[str, Any]:
    """A document in which every part has something."""
    field = {"item": "SUBSIDY.amount_due", "zh": "应发金额", "en": "amount due", "unit": "元", "value": 120_050}
    field["type"] = "fen"
    record = {
        "record_id": "5f6b1c1e-0000-4000-8000-000000000001",
        "version": 1,
        "kind": "SUBSIDY",
        "title": {"zh": "农牧业补贴", "en": "subsidies"},
        "source": "subsidy_roster",
        "publisher": "民和县农业农村局",
        "as_of": "2026-06-15",
        "period": "2026",
        "quality": "B",
        "remark": None,
        "basis": "consent",
        "commitment": "ab" * 32,
        "fields": [
            field | {"disputed": True},
            field | {"item": "SUBSIDY.area", "zh": "面积", "type": "mu4", "unit": "亩", "value": 1, "disputed": False},
        ],
    }
    dispute = {"number": "YY20260615-0123456789", "item": "SUBSIDY.amount_due", "agency": "民和县农业农村局"}
    return {
        "format": document.FORMAT,
        "made_at": MOMENT,
        "notice": document.NOTICE,
        "installation": {"operator": "青桥沙箱"},
        "parties": [
            document.party_shown("operator", Party("青桥沙箱", CONTACT)),
            document.party_shown("recipient", Party("沙箱农商银行")),
        ],
        "records": [record],
        "consents": [
            {
                "consent_id": "c-1",
                "state": "active",
                "recipient": "沙箱农商银行",
                "purpose": "LOAN_APPROVAL",
                "items": ["SUBSIDY.amount_due"],
                "valid_from": "2026-06-14T16:00:00.000000Z",
                "valid_until": "2026-12-14T16:00:00.000000Z",
                "max_uses": 3,
                "uses": 1,
            }
        ],
        "accesses": [
            {
                "at": MOMENT,
                "lender": "别的银行",
                "purpose": "LOAN_APPROVAL",
                "outcome": "refused",
                "reason": "no-consent",
            }
        ],
        "recipients": [
            {
                "organisation": "沙箱农商银行",
                "accesses": 1,
                "first_at": MOMENT,
                "last_at": MOMENT,
                "purposes": ["LOAN_APPROVAL"],
            }
        ],
        "statement": {"text": f"已还清。{TIBETAN}"},
        "disputes": [
            dispute
            | {
                "outcome": None,
                "state": "open",
                "due_at": "2026-07-05T16:00:00.000000Z",
                "words": "不对",
                "reply": None,
            }
        ],
        "complaints": [
            {
                "number": "TS20260615-0123456789",
                "about": "operator",
                "organisation": None,
                "state": "open",
                "due_at": "2026-07-15T16:00:00.000000Z",
                "words": "未答复",
                "reply": None,
            }
        ],
        "phones": [],
    }


def told(whole: dict[str, Any]) -> list[str]:
    return [text for _, text in sheet.lines(whole)]


def test_every_part_stands_on_the_sheet_in_days_of_beijing(whole: dict[str, Any]) -> None:
    text = "\n".join(told(whole))
    for part in (
        "1,200.50 元  【异议处理中 disputed】",
        "沙箱农商银行 · LOAN_APPROVAL · 2026-06-15 至 2026-12-14",
        TIBETAN,
    ):
        assert part in text
    assert "2026-06-15 10:03 · 别的银行 · LOAN_APPROVAL · 拒绝 · no-consent" in text
    assert "面积（SUBSIDY.area）：0.0001 亩" in text
    assert "答复期限 2026-07-05" in text
    assert "答复期限 2026-07-15" in text


def test_both_fonts_go_along_and_tibetan_is_set_in_its_own(whole: dict[str, Any]) -> None:
    made = sheet.render(whole)
    assert made.count(b"/FontFile2") == 2
    used = [
        zlib.decompress(one) for one in re.findall(rb"stream\n(.*?)\nendstream", made, re.DOTALL) if one[:1] == b"x"
    ]
    pages = b"".join(one for one in used if b" Tf" in one)
    fonts = set(re.findall(rb"/(F\d+) [\d.]+ Tf", pages))
    assert len(fonts) == 2


def test_a_sheet_without_tibetan_needs_one_font(whole: dict[str, Any]) -> None:
    whole["statement"] = None
    assert b"NotoSansSC" in sheet.render(whole)


def test_a_long_history_goes_on_over_pages(whole: dict[str, Any]) -> None:
    whole["accesses"] *= 150
    assert sheet.render(whole).count(b"/Type /Page\n") >= 3


def test_the_schema_is_one_and_names_its_own_address() -> None:
    schema = orjson.loads(document.schema())
    assert schema["properties"]["schema"] == {"const": document.SCHEMA_PATH}
    assert schema["properties"]["format"] == {"const": document.FORMAT}
    assert schema["additionalProperties"] is False
