"""Templates: an empty workbook for one kind of table, which intake reads back without a remark.

Everything is derived from the declaration and the catalogue: columns, headings with their units, dropdowns from code
lists, text format where a number must keep all its digits. Sheets:

  填报   the header, to be filled in
  示例   the same header with two rows of people who do not exist (sequence 000 in their numbers)
  说明   what each column is, in Chinese and English, and the template's version

The last two carry the mark `MARK`, by which intake leaves them alone. A heading is one that the declaration knows;
which optional columns go together is tried out on the examples by intake itself, so that a template cannot promise what
intake would refuse.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Final

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from connectors import apparent, headwords, layout, reading, schemes, source
from connectors.codes import Outcome
from connectors.delivery import BY_COMMAND
from connectors.headings import heading
from connectors.neutral import neutral
from connectors.source import Column, Declarations, Source, Table
from registry import divisions
from registry.identifiers import CREDIT_ALPHABET, CREDIT_WEIGHTS, luhn_holds, organisation_check, resident_check

MARK: Final = "青桥模板说明"
DATA, EXAMPLES, HELP = "填报", "示例", "说明"
FORMAT: Final = "1"
_COUNTY: Final = "630222"
_BIRTHS: Final = ("19900101", "19850615")
_AS_OF: Final = date(2026, 6, 15)
_ROWS: Final = 5_000  # as far as formats and dropdowns reach
_TEXT: Final = frozenset(
    {"resident_id", "credit_code", "party_id", "division", "ear_tag", "bank_card", "account_no", "region", "phone"}
)
_UNITS: Final = {"money": "元", "area": "亩", "percent": "%"}
_FIRST_CHOICES: Final = ("身份证号码", "统一社会信用代码", "行政村代码", "县", "乡镇", "行政村", "开户账号", "银行账号")
_ENDS: Final = re.compile(r"(?:^|_)(?:end|to|until|expiry|expires|closed|due)(?:_|$)")
_ORGANISED: Final = re.compile(r"org|unit|account_name|lessor|company|enterprise|holder|insurer|publisher|taxpayer")
_LONGEST_LIST: Final = 250  # characters of a dropdown, by the format


@dataclass(frozen=True, slots=True)
class Template:
    """One kind's template: its columns in order, each with its heading, and two rows that intake accepts."""

    source: Source
    table: Table
    headings: Mapping[str, str]
    examples: tuple[Mapping[str, str], ...]
    version: str

    @property
    def file_name(self) -> str:
        """What the file is called when it is downloaded."""
        return f"{self.table.kind}_{self.version}.xlsx"


def kinds(declarations: Declarations | None = None) -> list[str]:
    """Name the kinds that have a template."""
    known = declarations or source.current()
    return [table.kind for one in known.sources for table in one.tables]


@cache
def of_kind(kind: str) -> Template | None:
    """Give a kind's template by the release's declarations; None for a kind that none has."""
    known = source.current()
    found = next(((one, table) for one in known.sources for table in one.tables if table.kind == kind), None)
    return _fitted(known, *found) if found else None


def workbook(template: Template) -> bytes:
    """Write a template as .xlsx."""
    book = Workbook()
    book.remove(book.active) if book.active is not None else None
    data, examples, helping = (book.create_sheet(title) for title in (DATA, EXAMPLES, HELP))
    _header(data, template, 1)
    _formats(data, template)
    examples.append([MARK, "示例数据，均为虚构，不会入库 / made-up examples; never taken in"])
    _header(examples, template, 2)
    for row in template.examples:
        examples.append([neutral(row[name]) for name in template.headings])
    for cells in _help(template):
        helping.append([neutral(text) for text in cells])
    for column, width in (("A", 28), ("B", 12), ("C", 44), ("D", 44)):
        helping.column_dimensions[column].width = width
    book.properties.title = f"{template.table.kind} {template.version}"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


# ---- which columns, under which headings ----------------------------------------------------------------------------


def _fitted(known: Declarations, declared: Source, table: Table) -> Template:
    """Leave out optional columns until intake takes the examples in without a remark."""
    headings = _headings(declared, table)
    while True:
        template = _made(known, declared, table, headings)
        fault = _fault(known, template)
        if fault is None:
            return template
        dropped = _to_drop(table, headings, fault)
        if dropped is None:
            raise ValueError(f"{table.kind}: no template can be made of its declaration: {fault}")
        headings = {name: text for name, text in headings.items() if name != dropped}


def _made(known: Declarations, declared: Source, table: Table, headings: Mapping[str, str]) -> Template:
    examples = tuple(_example(declared, table, headings, number) for number in (0, 1))
    return Template(declared, table, headings, examples, f"{known.catalogue.version}-{FORMAT}")


def _headings(declared: Source, table: Table) -> dict[str, str]:
    """Choose a heading for each column; those that cannot be told in one row of headings are left out."""
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for name, column in table.columns.items():
        for text in _candidates(table, name, column):
            if text not in taken and _names_only(table, text, name):
                taken.add(text)
                chosen[name] = text + _unit(table, name, column)
                break
    del declared
    return chosen


def _candidates(table: Table, name: str, column: Column) -> list[str]:
    spelt = [text for pattern in column.matches for text in headwords.spelt(pattern)]
    plain = sorted(dict.fromkeys(spelt), key=lambda text: (not 3 <= len(text) <= 6, spelt.index(text)))  # noqa: PLR2004  # short enough to read, long enough to tell
    first = [text for text in _FIRST_CHOICES if any(re.fullmatch(pattern, text) for pattern in column.matches)]
    del table, name
    return [*first, *plain]


def _names_only(table: Table, text: str, name: str) -> bool:
    """Say whether a heading is this column's before it is any other's."""
    core = heading(text).core
    ranks = [
        (rank, other)
        for other, column in table.columns.items()
        for rank, pattern in enumerate(column.matches)
        if re.fullmatch(pattern, core)
    ]
    return bool(ranks) and min(ranks, key=lambda pair: pair[0])[1] == name


def _unit(table: Table, name: str, column: Column) -> str:
    if column.type == "rate":
        per_area = any(
            check.rule == "product" and check.rate == name and table.columns[check.quantity].type == "area"
            for check in table.checks
            if check.rule != "product" or check.quantity in table.columns
        )
        return "（元/亩）" if per_area else "（元）"
    unit = _UNITS.get(column.type, "")
    return f"（{unit}）" if unit else ""


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why intake would not take the examples in: a code, and the columns it may lie in."""

    code: str
    columns: tuple[str, ...]


def _fault(known: Declarations, template: Template) -> _Fault | None:
    raw = _text(template)
    found = layout.find(reading.read(raw)[0], known, "")
    if found is None or found.table.kind != template.table.kind:
        return _Fault("HEADER_UNKNOWN", ())
    wrong = [
        name
        for name, text in template.headings.items()
        if not any(use.heading == text and (use.name == name or table_alone(template.table, name) == use.name)
                   for use in found.uses.values())
    ]  # fmt: skip
    if wrong:
        return _Fault("UNREAD", tuple(wrong))
    (outcome,) = apparent.evaluate(raw, "", as_of=_AS_OF, delivery=BY_COMMAND, mended={})
    if outcome.blocked:
        return _Fault(outcome.blocked, ())
    bad = outcome.frame[outcome.frame["outcome"] != Outcome.ACCEPTED.value]
    if bad.empty:
        return None
    by_heading = {use.heading: use.name for use in found.uses.values()}
    column = str(bad.iloc[0]["column"])
    return _Fault(str(bad.iloc[0]["code"]), (by_heading.get(column, column),))


def table_alone(table: Table, name: str) -> str:
    """Name the column that a date range is where its cells hold one date."""
    return table.columns[name].alone


def _to_drop(table: Table, headings: Mapping[str, str], fault: _Fault) -> str | None:
    """Choose an optional column to leave out: the faulty one, else one that a rule puts beside it, else the last."""
    needed = {table.subject, *(name for name, one in table.columns.items() if one.mandatory)}
    needed |= {group[0] for group in table.require if not needed & set(group)}
    optional = [name for name in headings if name not in needed]
    beside = [
        name
        for check in table.checks
        for names in [_named(check.model_dump())]
        if set(fault.columns) & names
        for name in names
    ]
    for name in (*fault.columns, *beside):
        if name in optional:
            return name
    return optional[-1] if optional else None


def _named(check: Mapping[str, object]) -> set[str]:
    names: set[str] = set()
    for key, value in check.items():
        if key != "rule":
            names |= (
                {value} if isinstance(value, str) else {str(one) for one in value} if isinstance(value, list) else set()
            )
    return names


def _text(template: Template) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(template.headings.values())
    writer.writerows([row[name] for name in template.headings] for row in template.examples)
    return out.getvalue().encode()


# ---- people who do not exist ----------------------------------------------------------------------------------------


def _example(declared: Source, table: Table, headings: Mapping[str, str], number: int) -> dict[str, str]:
    row = {name: _value(declared, table, name, table.columns[name], number) for name in headings}
    for check in table.checks:
        if check.rule == "sum" and {check.whole, *check.parts} <= row.keys():
            row |= {part: str(Decimal(row[check.whole]) / len(check.parts)) for part in check.parts}
        elif check.rule == "difference" and {check.minuend, check.subtrahend, check.result} <= row.keys():
            row |= {check.subtrahend: "400", check.result: str(Decimal(row[check.minuend]) - 400)}
        elif check.rule == "graded" and check.grade in row:
            row[check.grade] = _grade(Decimal(row[check.score]))
    return row


def _grade(score: Decimal) -> str:
    scheme = schemes.in_force(schemes.current(), _COUNTY, _AS_OF)
    return next((one.grade for one in scheme.grades if score >= one.at_least), "") if scheme else ""


def _value(  # noqa: PLR0911  # one a type
    declared: Source, table: Table, name: str, column: Column, number: int
) -> str:
    if column.values:
        canonical, spellings = next(iter(column.values.items()))
        return spellings[0] if spellings else canonical
    if column.type in {"date", "date_range", "year", "month"}:
        return _time(name, column)
    if column.type in {"resident_id", "party_id"}:
        return resident(number)
    if column.type == "credit_code":
        return credit_code(number)
    if column.type in {"region", "division", "county", "town", "village"}:
        return _place(column)
    if column.type == "name":
        organised = table.columns[table.subject].type == "credit_code" or bool(_ORGANISED.search(name))
        return f"示例{'甲乙'[number]}村股份经济合作社" if organised and not table.party else f"示例{'甲乙'[number]}"
    if column.type == "project":
        return declared.projects[0].name if declared.projects else "示例项目"
    return _PLAIN.get(column.type, ("示例一", "示例二"))[number]


_PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "money": ("1200", "1200"),
    "area": ("10", "10"),
    "rate": ("120", "120"),
    "number": ("10", "10"),
    "int": ("3", "4"),
    "score": ("85", "92"),
    "percent": ("50", "60"),
    "bool": ("是", "否"),
    "phone": ("13900000000", "13900000001"),
    "ear_tag": ("263022200000001", "263022200000002"),
    "account_no": ("82010000000000001", "82010000000000002"),
    "bank_card": tuple(  # type: ignore[dict-item]  # two of them
        next(text for digit in range(10) if luhn_holds(text := f"62170000000000{n}{digit}")) for n in (10, 20)
    ),
}


def resident(number: int) -> str:
    """Give the number of a person who does not exist: sequence 000 is given to nobody."""
    digits = f"{_COUNTY}{_BIRTHS[number]}000"
    return digits + resident_check(digits)


def credit_code(number: int) -> str:
    """Give the code of a village collective that does not exist."""
    body = f"MF00000{number + 1}"
    text = f"N2{_COUNTY}{body}{organisation_check(body)}"
    total = sum(CREDIT_ALPHABET.index(one) * weight for one, weight in zip(text, CREDIT_WEIGHTS, strict=True))
    return text + CREDIT_ALPHABET[-total % 31]


def _time(name: str, column: Column) -> str:
    ends = bool(_ENDS.search(name))
    if column.type == "year":
        return "2026"
    if column.type == "month":
        return "2026-03"
    if column.type == "date_range":
        return "2026-03-01至2026-03-10"
    return "2026-06-10" if ends else "2026-03-02"


@cache
def _village() -> divisions.Division:
    towns = (f"{_COUNTY}{number:03}" for number in range(100, 300))
    return next(village for town in towns for village in divisions.villages_of(town))


def _place(column: Column) -> str:
    village = _village()
    town = divisions.division(village.parent)
    county = divisions.division(_COUNTY)
    told = {"village": village.name, "town": town.name if town else "", "county": county.name if county else ""}
    if column.type == "division":
        return _COUNTY
    return told.get(column.type, village.code)


# ---- how it looks ---------------------------------------------------------------------------------------------------


def _header(sheet: Worksheet, template: Template, row: int) -> None:
    for at, (name, text) in enumerate(template.headings.items(), start=1):
        cell = sheet.cell(row, at, text)
        needed = template.table.columns[name].mandatory
        cell.font = Font(bold=True, color="FFC00000" if needed else "FF000000")
        cell.fill = PatternFill("solid", fgColor="FFDDEBF7")
        cell.alignment = Alignment(wrap_text=True, horizontal="center")
        sheet.column_dimensions[get_column_letter(at)].width = max(14, 2 * len(text) + 2)
    sheet.freeze_panes = f"A{row + 1}"


def _formats(sheet: Worksheet, template: Template) -> None:
    for at, name in enumerate(template.headings, start=1):
        column, letter = template.table.columns[name], get_column_letter(at)
        cells = f"{letter}2:{letter}{_ROWS}"
        if column.type in _TEXT:
            sheet.column_dimensions[letter].number_format = "@"
            for row in range(2, 202):
                sheet.cell(row, at).number_format = "@"
        choices = [spellings[0] if spellings else canonical for canonical, spellings in column.values.items()]
        if column.type == "bool":
            choices = ["是", "否"]
        listed = ",".join(choices)
        if choices and len(listed) <= _LONGEST_LIST and not any("," in one for one in choices):
            rule = DataValidation(type="list", formula1=f'"{listed}"', allow_blank=not column.mandatory)
            rule.error, rule.errorTitle = "请从下拉列表中选择", "不在代码表内"
            rule.add(cells)
            sheet.add_data_validation(rule)


_KINDS_OF_CELLS: Final = {
    "resident_id": ("18位身份证号，文本格式", "18 characters, as text"),
    "credit_code": ("18位统一社会信用代码", "18 characters"),
    "party_id": ("身份证号或统一社会信用代码，文本格式", "resident ID or credit code, as text"),
    "bank_card": ("账号，文本格式", "account number, as text"),
    "account_no": ("账号，文本格式", "account number, as text"),
    "ear_tag": ("15位畜禽标识，文本格式", "15 digits, as text"),
    "region": ("12位统计用区划代码", "12-digit division code"),
    "division": ("区划代码", "division code"),
    "money": ("数字，元，两位小数", "number, yuan, two decimals"),
    "area": ("数字，亩", "number, mu"),
    "rate": ("数字", "number"),
    "number": ("数字", "number"),
    "int": ("整数", "whole number"),
    "percent": ("百分数", "per cent"),
    "score": ("分数", "score"),
    "date": ("日期，如 2026-03-25", "date like 2026-03-25"),
    "month": ("月份，如 2026-03", "month like 2026-03"),
    "year": ("四位年份", "four-digit year"),
    "date_range": ("起止日期，如 2026-03-01至2026-03-10", "two dates, 2026-03-01至2026-03-10"),
    "enum": ("从下拉列表中选择", "choose from the list"),
    "bool": ("是 或 否", "是 (yes) or 否 (no)"),
}


def _help(template: Template) -> list[list[str]]:
    kind = source.current().catalogue.kinds[template.table.kind]
    rows = [
        [MARK, f"版本 {template.version}"],
        [f"{kind.titles['zh']} / {kind.titles['en']}", template.table.kind],
        ["请在“填报”页自第二行起填写，一人（一户、一项）一行；不要合并单元格，不要改表头"],
        ["Fill in the sheet 填报 from its second row, one row each; do not merge cells or change headings"],
        ["红色表头必填，黑色表头可以不填 / headings in red are needed, those in black are not"],
        ["填好后直接上传本文件 / then upload this file as it is"],
        ["示例页与本页不会入库 / the sheets 示例 and 说明 are never taken in"],
        [],
        ["列", "必填", "填写要求", "What to write"],
    ]
    for name, text in template.headings.items():
        column, spec = template.table.columns[name], kind.fields.get(name)
        zh, en = _KINDS_OF_CELLS.get(column.type, ("文本", "text"))
        meant = (f"{spec.zh}：", f"{spec.en}: ") if spec else ("", "")
        rows.append([text, "是" if column.mandatory else "", meant[0] + zh, meant[1] + en])
    return rows
