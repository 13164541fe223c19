"""The portable document as a PDF that looks the same everywhere: fonts embedded, Chinese and Tibetan. Pure.

Latin and Chinese text is set in Noto Sans SC, Tibetan in Noto Serif Tibetan, each run in its own font, shaped by
HarfBuzz: Tibetan stacks its consonants, and without shaping it cannot be read. Both fonts lie in `fonts/` under the SIL
Open Font License; only the glyphs that are used go into the file.

The layout is plain on purpose: one column, headings, one line a fact, so that it prints on any paper and reads aloud.
The document's own words stand in it as they are: control characters were refused when they came in.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from fpdf import FPDF

from registry.clock import BEIJING, beijing_day

_FONTS: Final = Path(__file__).with_name("fonts")
_TIBETAN: Final = re.compile(r"([\u0f00-\u0fff]+)")
HAN, _BO = "noto-sc", "noto-bo"
_MARGIN_MM: Final = 18.0
_LINE_MM: Final = 5.4
MEDIA_TYPE: Final = "application/pdf"

_OUTCOMES: Final = {
    "permitted": "准许",
    "reopened": "再次出示",
    "refused": "拒绝",
    "own": "本人查阅",
    "evidence": "调阅凭证",
    "told": "告知变动",
}
_PARTS: Final = {"fen": (100, 2), "mu4": (10_000, 4)}  # of a 元, of a 亩; and the decimals that write them exactly
_STATES: Final = {
    "requested": "待同意",
    "active": "有效",
    "paused": "暂停",
    "withdrawn": "已撤回",
    "expired": "已到期",
    "superseded": "已被替换",
}


class _Sheet(FPDF):
    def footer(self) -> None:
        """Number the pages."""
        self.set_y(-14)
        self.set_font(HAN, size=8)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="C")


def render(document: Mapping[str, Any]) -> bytes:
    """Set a portable document as a PDF."""
    sheet = _Sheet(format="A4")
    prepare(sheet, "本人信息副本")
    sheet.add_page()
    for size, text in lines(document):
        write_line(sheet, text, size)
    return bytes(sheet.output())


def prepare(sheet: FPDF, title: str) -> None:
    """Give a sheet its margins, title, language and fonts."""
    sheet.set_margins(_MARGIN_MM, _MARGIN_MM)
    sheet.set_auto_page_break(auto=True, margin=_MARGIN_MM)
    sheet.set_title(title)
    sheet.set_lang("zh")
    sheet.add_font(HAN, fname=_FONTS / "NotoSansSC-Regular.ttf")
    sheet.add_font(_BO, fname=_FONTS / "NotoSerifTibetan-Regular.ttf")
    sheet.set_text_shaping(use_shaping_engine=True)


def write_line(sheet: FPDF, text: str, size: float) -> None:
    """Write one paragraph, each run in the font of its script."""
    if size > 10:  # noqa: PLR2004  # a heading: air above it
        sheet.ln(2)
    for run in filter(None, _TIBETAN.split(text)):
        sheet.set_font(_BO if _TIBETAN.match(run) else HAN, size=size)
        sheet.write(_LINE_MM * size / 9, run)
    sheet.ln(_LINE_MM * size / 9)


def lines(document: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """Say the document line by line, each with its size in points."""
    operator = document["installation"].get("operator") or ""
    yield 16, "本人信息副本  Copy of your information"
    yield 9, document["notice"]
    yield 9, f"生成时间 made at {document['made_at']} · 运营单位 operator {operator}"
    yield 13, f"怎样联系  Whom to reach ({len(document['parties'])})"
    for one in document["parties"]:
        yield 9, _dotted(one["name"], *_reached(one["contact"]))
    yield from _records(document)
    yield 13, f"授权  Consents ({len(document['consents'])})"
    for one in document["consents"]:
        span = f"{_day(one['valid_from'])} 至 {_last_day(one['valid_until'])}"
        yield 9, _dotted(_STATES[one["state"]], one["recipient"], one["purpose"], span)
        uses = f"已用 {one['uses']}/{one['max_uses']}"
        yield 8, _dotted(f"授权编号 {one['consent_id']}", uses, f"{len(one['items'])} 项：{'、'.join(one['items'])}")
    yield 13, f"已获得信息的机构  Recipients ({len(document['recipients'])})"
    for one in document["recipients"]:
        times, span = f"{one['accesses']} 次", f"{_day(one['first_at'])} 至 {_day(one['last_at'])}"
        yield 9, _dotted(one["organisation"], times, span, "、".join(one["purposes"]))
    yield 13, f"查询记录  Accesses ({len(document['accesses'])})"
    for one in document["accesses"]:
        who, outcome = one["lender"] or "本人", _OUTCOMES[one["outcome"]]
        at = datetime.fromisoformat(one["at"]).astimezone(BEIJING)
        yield 9, _dotted(f"{at:%Y-%m-%d %H:%M}", who, one["purpose"], outcome, one["reason"])
    yield from _voice(document)


def _reached(contact: Mapping[str, str | None] | None) -> tuple[str | None, ...]:
    return ("联系方式未登记 no contact is registered",) if contact is None else tuple(contact.values())


def _records(document: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    yield 13, f"持有的信息  Records ({len(document['records'])})"
    for record in document["records"]:
        title = record["title"].get("zh") or record["kind"]
        yield 10, f"{title} · {record['publisher']} · 截至 {record['as_of']} · 质量 {record['quality']}"
        for field in record["fields"]:
            unit = f" {field['unit']}" if field["unit"] else ""
            value = readable(field["value"], field["type"])
            mark = "  【异议处理中 disputed】" if field["disputed"] else ""
            yield 9, f"    {field['zh']}（{field['item']}）：{value}{unit}{mark}"


def _voice(document: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    if document["statement"] is not None:
        yield 13, "本人声明  Statement"
        yield 9, document["statement"]["text"]
    yield 13, f"异议  Disputes ({len(document['disputes'])})"
    for one in document["disputes"]:
        state = one["outcome"] or one["state"]
        yield 9, _dotted(one["number"], one["item"], one["agency"], state, f"答复期限 {_last_day(one['due_at'])}")
        yield from _quoted(one)
    yield 13, f"投诉  Complaints ({len(document['complaints'])})"
    for one in document["complaints"]:
        about = one["organisation"] or one["about"]
        yield 9, _dotted(one["number"], about, one["state"], f"答复期限 {_last_day(one['due_at'])}")
        yield from _quoted(one)


def _quoted(one: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for text in filter(None, (one["words"], one["reply"])):
        yield 8, f"    {text}"


def readable(value: object, held_as: str) -> str:
    """Write a value in the unit in which people read it; exactly, never rounded."""
    if isinstance(value, bool):
        return "是 yes" if value else "否 no"
    if isinstance(value, int) and held_as in _PARTS:
        parts, digits = _PARTS[held_as]
        return f"{Decimal(value) / parts:,.{digits}f}"
    return str(value)


def _dotted(*parts: str | None) -> str:
    return " · ".join(filter(None, parts))


def _day(moment: str) -> str:
    return beijing_day(datetime.fromisoformat(moment)).isoformat()


def _last_day(end: str) -> str:
    """Give the last day before an end that is not included."""
    return beijing_day(datetime.fromisoformat(end) - timedelta(microseconds=1)).isoformat()
