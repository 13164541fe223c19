"""A report on paper: A4, the same content as the signed JSON, which lies in the file too. Pure.

Each page says whose report it is and carries a watermark: lender, staff, moment of printing and number, so that a page
that turns up somewhere says who let it go. The first page has a QR code: the address of the public check with a slip
signed by the answer key behind `#` (`exchange.reports_api`). The answer and its signature are attached, so that whoever
has the file can check it offline.

Data that nobody has checked is set in grey and says so. Nothing is left out but the commitments, which the attached
answer has. Not here: who may have a report (`exchange.release`), what stands in it (`exchange.reports`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import segno
from fpdf import FPDF

from consent import purposes
from exchange.portable.sheet import HAN, prepare, readable, write_line
from exchange.reports.sections import UNCHECKED
from registry.catalogue import Catalogue
from registry.clock import BEIJING, beijing_day

ATTACHED: Final = "answer.json"
REASONS: Final[Mapping[str, str]] = {
    "not-asked-or-not-consented": "未申请或本人未授权",
    "no-data": "没有数据",
    "stale": "数据陈旧",
    "late": "数据来源延迟",
    "failing": "数据来源中断",
    "blocked": "数据来源被拦截",
    "incomplete": "数据不完整",
    "history-too-short": "授权的回溯期不足",
}
FIGURES: Final[Mapping[str, str]] = {  # of registry.profile's summary
    "payments": "发放笔数",
    "year": "年度",
    "amount_due_fen": "应发（元）",
    "amount_paid_fen": "实发（元）",
    "last_paid_on": "最近发放",
    "returned_payments": "退回笔数",
    "evaluations": "评定次数",
    "grade": "等级",
    "score": "评定得分",
    "eval_date": "评定日期",
    "expired": "已过期",
    "contracts": "合同份数",
    "running": "履行中",
    "annual_fee_fen": "年承包费（元）",
    "area_mu4": "面积（亩）",
    "arrears_fen": "欠费（元）",
    "next_end_on": "最近到期",
    "accounts": "账户数",
    "bank_balance_fen": "银行余额（元）",
    "ledger_balance_fen": "账面余额（元）",
    "assets": "资产项数",
    "original_value_fen": "原值（元）",
    "net_value_fen": "净值（元）",
    "operating_net_value_fen": "经营性净值（元）",
    "resources": "资源宗数",
    "contracted_area_mu4": "已发包面积（亩）",
}
_VALUES: Final = {"yes": "是", "no": "否", "unknown": "未知"}
_TITLE, _HEADING, _BODY, _SMALL = 16.0, 13.0, 9.0, 7.5
_QR_MM: Final = 34.0
_GREY, _BLACK, _FAINT = 120, 0, 225
_WATERMARK_STEPS_MM: Final = (50, 58)
_WATERMARK_ANGLE: Final = 30


@dataclass(frozen=True, slots=True)
class Printing:
    """What a print says beyond the answer: when it was made and for whom, what its code opens, what is attached."""

    at: datetime
    staff: tuple[str, str] | None
    code: str
    attached: bytes

    def watermark(self, answer: Mapping[str, Any]) -> str:
        """Say who let this page go: lender, staff, moment, number."""
        staff = "/".join(self.staff) if self.staff else "-"
        moment = self.at.astimezone(BEIJING)
        return f"{answer['lender']} {staff} {moment:%Y-%m-%d %H:%M} {answer['query_id']}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report: its size in points, and whether it is set in grey."""

    size: float
    text: str
    grey: bool = False


class _Report(FPDF):
    def __init__(self, answer: Mapping[str, Any], printing: Printing) -> None:
        super().__init__(format="A4")
        self._head = f"{answer['report']['title']['zh']} {answer['query_id']} · {answer['lender']} · {_purpose(answer)}"
        self._notice = str(answer["notice"])
        self._mark = printing.watermark(answer)

    def header(self) -> None:
        """Lay the watermark, then say whose report this is."""
        self.set_text_color(_FAINT)
        self.set_font(HAN, size=9)
        across, down = _WATERMARK_STEPS_MM
        for y in range(down, int(self.h), down):
            with self.rotation(_WATERMARK_ANGLE, across, y):
                self.text(across, y, self._mark)
        self.set_text_color(_BLACK)
        self.set_font(HAN, size=7)
        self.cell(0, 4, self._head, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(2)

    def footer(self) -> None:
        """Number the pages, and say again what this is not."""
        self.set_y(-14)
        self.set_text_color(_BLACK)
        self.set_font(HAN, size=7)
        self.cell(0, 5, f"{self._notice}  {self.page_no()} / {{nb}}", align="C")


def render(answer: Mapping[str, Any], known: Catalogue, printing: Printing) -> bytes:
    """Set a report as a PDF.

    Args:
        answer: a signed answer in mode report.
        known: the catalogue, for the names of fields.
        printing: what this print says of itself.
    """
    sheet = _Report(answer, printing)
    prepare(sheet, answer["report"]["title"]["zh"])
    sheet.set_creation_date(printing.at)
    sheet.add_page()
    top = sheet.get_y()
    _code(sheet, printing.code, sheet.w - sheet.r_margin - _QR_MM, top)
    sheet.set_right_margin(sheet.r_margin + _QR_MM + 4)
    for line in _head(answer, printing):
        write_line(sheet, line.text, line.size)
    sheet.set_right_margin(sheet.l_margin)
    sheet.set_y(max(sheet.get_y(), top + _QR_MM + 2))
    for line in lines(answer, known):
        sheet.set_text_color(_GREY if line.grey else _BLACK)
        write_line(sheet, line.text, line.size)
    sheet.embed_file(bytes=printing.attached, basename=ATTACHED, desc="signed answer", compress=True)
    return bytes(sheet.output())


def _code(sheet: FPDF, content: str, x: float, y: float) -> None:
    """Draw a QR code; dark modules that touch are drawn as one bar."""
    matrix = segno.make(content, error="m", micro=False).matrix
    side = _QR_MM / len(matrix)
    sheet.set_fill_color(_BLACK)
    for row, modules in enumerate(matrix):
        start = None
        for column, dark in enumerate((*modules, 0)):
            if dark and start is None:
                start = column
            elif not dark and start is not None:
                sheet.rect(x + start * side, y + row * side, (column - start) * side, side, style="F")
                start = None


def _head(answer: Mapping[str, Any], printing: Printing) -> Iterator[Line]:
    head, installed = answer["report"], answer["installation"]
    subject, fresh, staff = head["subject"], head["freshness"], head["staff"]
    yield Line(_TITLE, head["title"]["zh"])
    yield Line(_BODY, head["title"]["en"])
    yield Line(_BODY, answer["notice"])
    yield Line(_BODY, f"报告编号 number {head['number']}")
    printed = f"打印 printed {printing.at.astimezone(BEIJING):%Y-%m-%d %H:%M}"
    yield Line(_BODY, f"生成时间 made at {_moment(answer['decided_at'])} · {printed}")
    yield Line(
        _BODY, _dotted("运营单位", installed["operator"], installed["operating_mode"], installed["authorisation"])
    )
    yield Line(
        _BODY, _dotted("查询机构", answer["lender"], *((staff["department"], staff["user_id"]) if staff else ()))
    )
    yield Line(_BODY, _dotted("查询目的", _purpose(answer), answer["business_no"]))
    until = beijing_day(datetime.fromisoformat(head["consent_until"])).isoformat()
    yield Line(
        _BODY, f"授权编号 consent {answer['consent_id']} · 有效至 until {until} · 回溯 {head['history_months']} 个月"
    )
    yield Line(
        _BODY,
        _dotted(
            "信息主体", subject["name"] or "（姓名未授权）", f"地区 {subject['region']}" if subject["region"] else None
        ),
    )
    states = f"完整 {fresh['COMPLETE']} 项 · 不完整 {fresh['PARTIAL']} 项 · 陈旧 {fresh['STALE']} 项"
    yield Line(_BODY, f"数据时点 {fresh['oldest'] or '-'} 至 {fresh['newest'] or '-'} · {states}")
    yield Line(_BODY, head["about"]["zh"])


def lines(answer: Mapping[str, Any], known: Catalogue) -> Iterator[Line]:
    """Say all sections of a report line by line."""
    records = {record["commitment"]: record for record in answer["records"]}
    taken_in = {
        one["record"]: one["taken_in_on"] for section in answer["sections"] for one in section.get("provenance", ())
    }
    withheld: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for one in answer["withheld"]:
        withheld[one["section"]].append(one)
    for section in answer["sections"]:
        yield Line(_HEADING, f"{section['number']}. {section['zh']}  {section['en']}")
        if section["state"] == "withheld":
            yield Line(_BODY, f"未提供 withheld：{REASONS[section['reason']]}")
        for entry in section.get("entries", ()):
            yield from _entry(entry, records[entry["record"]], taken_in[entry["record"]], known)
        yield from _grouped("请注意", section.get("incomplete", ()), known)
        yield from _part(section, answer, known)
        yield from _grouped("未提供", withheld[section["number"]], known)
        for one in section["lacks"]:
            yield Line(_SMALL, f"说明：{one['zh']}")


def _entry(
    entry: Mapping[str, Any], record: Mapping[str, Any], taken_in: str | None, known: Catalogue
) -> Iterator[Line]:
    grey = record["quality"] in UNCHECKED
    marks = "".join(f"【{_marked(mark, known)}】" for mark in entry["marks"])
    source = f"{record['publisher']}（{record['source']}）"
    where = _dotted(source, f"截至 {record['as_of']}", f"接收 {taken_in}" if taken_in else None)
    yield Line(10, f"{entry['zh']} · {record['period']}{marks}", grey)
    yield Line(_SMALL, _dotted(where, f"质量 {record['quality']}", f"目录 {record['catalogue']}"), grey)
    disputed = set(record.get("disputed", ()))
    for item in entry["items"]:
        spec = known.field(item)
        value = record["fields"][item.partition(".")[2]]
        unit = f" {spec.unit}" if spec.unit else ""
        mark = "【异议处理中】" if item in disputed else ""
        yield Line(_BODY, f"    {spec.zh}：{readable(value, spec.type)}{unit}{mark}", grey)
    if record.get("remark"):
        yield Line(_SMALL, f"    备注：{record['remark']}", grey)


def _marked(mark: Mapping[str, Any], known: Catalogue) -> str:
    more = mark.get("on") or mark.get("quality") or "、".join(mark.get("rules", ()))
    items = "、".join(_named(item, known) for item in mark.get("items", ()))
    return " ".join(filter(None, (mark["zh"], more, items)))


def _part(section: Mapping[str, Any], answer: Mapping[str, Any], known: Catalogue) -> Iterator[Line]:
    if "overview" in section:
        yield from _overview(section["overview"], answer, known)
    for one in section.get("warnings", ()):
        kind = known.kinds[one["kind"]].titles["zh"] if "kind" in one else None
        tag = _tag_said(answer, one["tag"]) if "tag" in one else None
        rules = "、".join(one.get("rules", ()))
        yield Line(
            _BODY, f"{one['zh']}：{_dotted(kind, tag, one.get('on'), rules, REASONS.get(one.get('reason', '')))}"
        )
    for tag in section.get("tags", ()):
        reason = f"（{REASONS[tag['reason']]}）" if "reason" in tag else ""
        marked = "【异议处理中】" if tag.get("disputed") else ""
        span = _dotted(
            f"截至 {tag['as_of']}" if tag["as_of"] else None,
            f"可用至 {tag['valid_until']}" if tag["valid_until"] else None,
        )
        yield Line(_BODY, f"{tag['zh']}：{_VALUES[tag['value']]}{reason}{marked}")
        yield Line(_SMALL, f"    {_dotted(tag['rule']['zh'], '、'.join(tag['sources']), span)}")
    if "tags" in section and answer["withheld_tags"]:
        codes = "、".join(one["tag"] for one in answer["withheld_tags"])
        yield Line(_SMALL, f"未计算的标签（{REASONS['not-asked-or-not-consented']}）：{codes}")
    for one in section.get("disputed", ()):
        yield Line(_BODY, f"{one['zh']}：{'、'.join(one['items'])}")
    if section.get("statement") is not None:
        yield Line(_BODY, f"本人声明（{_moment(section['statement']['made_at'])}）：{section['statement']['text']}")
    for one in section.get("queries", ()):
        yield Line(_BODY, _dotted(_moment(one["at"]), answer["lender"], _purpose(one)))
    for one in section.get("provenance", ()):
        taken_in = f"接收 {one['taken_in_on']}" if one["taken_in_on"] else None
        said = (one["provider"], one["source"], f"截至 {one['business_date']}", taken_in, f"质量 {one['quality']}")
        yield Line(_SMALL, _dotted(one["kind"], *said, f"目录 {one['catalogue']}"))
    for code, words in section.get("glossary", {}).items():
        yield Line(_SMALL, f"{code}：{words['zh']}")


def _tag_said(answer: Mapping[str, Any], code: str) -> str:
    tags = (tag for section in answer["sections"] for tag in section.get("tags", ()))
    return next(f"{tag['zh']}（{_VALUES[tag['value']]}）" for tag in tags if tag["tag"] == code)


def _overview(overview: Mapping[str, Any], answer: Mapping[str, Any], known: Catalogue) -> Iterator[Line]:
    yield Line(_BODY, f"数据完整度 {overview['complete_percent']}%")
    for words, codes in (("有利", overview["good"]), ("不利", overview["bad"])):
        if codes:
            yield Line(_BODY, f"{words}：{'、'.join(_tag_said(answer, code) for code in codes)}")
    for kind, figures in overview["figures"].items():
        yield Line(_BODY, f"{known.kinds[kind].titles['zh']}：{_dotted(*_figures(figures))}")


def _figures(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, figure in figures.items():
        if isinstance(figure, list):
            for one in figure:
                yield " ".join(_figures(one))
        else:
            held_as = "fen" if name.endswith("_fen") else "mu4" if name.endswith("_mu4") else ""
            yield f"{FIGURES[name]} {readable(figure, held_as)}"


def _grouped(words: str, found: Sequence[Mapping[str, Any]], known: Catalogue) -> Iterator[Line]:
    """Name items by kind and reason: one line for each."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in found:
        names[one["reason"], one["item"].partition(".")[0]].append(known.field(one["item"]).zh)
    for (reason, kind), fields in names.items():
        yield Line(_SMALL, f"{words}（{REASONS[reason]}）{known.kinds[kind].titles['zh']}：{'、'.join(fields)}")


def _purpose(said: Mapping[str, Any]) -> str:
    """Name a purpose as people read it; one that is published no more stays as its code."""
    known = purposes.current().get(said["purpose"])
    return known.titles["zh"] if known else str(said["purpose"])


def _named(item: str, known: Catalogue) -> str:
    return f"{known.kinds[item.partition('.')[0]].titles['zh']}·{known.field(item).zh}"


def _dotted(*parts: str | None) -> str:
    return " · ".join(filter(None, parts))


def _moment(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(BEIJING):%Y-%m-%d %H:%M}"
