"""The consent register (授权台账): how an agency's table of consents is read, row by row. Pure.

One row is one consent, or it is refused with a code and a reason in Chinese and English; nothing is guessed.
  * 失效日期 is inclusive, in +08:00; a blank one is not stated, and takes the purpose's strictest validity
  * an empty 数据项 is a consent over nothing: kept, and it permits nothing
  * a blank 不良后果告知 is no acknowledgement; a word that is neither yes nor no is refused
  * 姓名 is dropped unread; 见证人 leaves here only as a keyed token
  * a child under 14 cannot consent for itself (个人信息保护法 §31), and a register has no place for a guardian

Reasons never repeat what a cell held: a report goes further than the register itself.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from consent import faults
from consent.ages import CHILD_UNTIL
from consent.errors import Fault, RegisterUnreadable, TermsRefused
from consent.evidence import USUAL, Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.record import NewConsent, SubjectType, Terms, midnight
from registry.errors import MalformedIdentifier
from registry.identifiers import Identifier, ResidentId, SubjectKind, parse_identifier, years_between

Known = TypeVar("Known")

COLUMNS: Final = (
    "授权编号", "主体类型", "身份证号", "姓名", "被授权机构", "用途", "数据项", "生效日期",
    "失效日期", "状态", "不良后果告知", "文本版本", "语言", "渠道", "证据文件哈希", "见证人",
)  # fmt: skip

_SUBJECTS: Final[Mapping[str, SubjectType]] = MappingProxyType(
    {
        **dict.fromkeys(("household", "农牧户", "农户", "牧户", "家庭"), SubjectType.HOUSEHOLD),
        **dict.fromkeys(("person", "个人", "自然人"), SubjectType.PERSON),
        **dict.fromkeys(
            ("organisation", "organization", "collective", "组织", "村集体", "农村集体经济组织"),
            SubjectType.ORGANISATION,
        ),
    }
)
_STATES: Final[Mapping[str, State]] = MappingProxyType(
    {
        **{state.value: state for state in State},
        "suspended": State.PAUSED,
        "待确认": State.REQUESTED,
        "申请中": State.REQUESTED,
        "有效": State.ACTIVE,
        "生效": State.ACTIVE,
        "暂停": State.PAUSED,
        "撤回": State.WITHDRAWN,
        "已撤回": State.WITHDRAWN,
        "已撤销": State.WITHDRAWN,
        "到期": State.EXPIRED,
        "已到期": State.EXPIRED,
        "已过期": State.EXPIRED,
        "已替代": State.SUPERSEDED,
    }
)
_ACKNOWLEDGED: Final[Mapping[str, bool]] = MappingProxyType(
    {
        **dict.fromkeys(("是", "已告知", "true", "yes", "y", "1"), True),
        **dict.fromkeys(("", "否", "未告知", "false", "no", "n", "0"), False),
    }
)
_LANGUAGES: Final[Mapping[str, Language]] = MappingProxyType(
    {
        **{language.value: language for language in Language},
        "汉": Language.CHINESE,
        "汉语": Language.CHINESE,
        "中文": Language.CHINESE,
        "藏": Language.TIBETAN,
        "藏语": Language.TIBETAN,
        "藏文": Language.TIBETAN,
        "蒙": Language.MONGOLIAN,
        "蒙语": Language.MONGOLIAN,
        "蒙文": Language.MONGOLIAN,
    }
)
_CHANNELS: Final[Mapping[str, Channel]] = MappingProxyType(
    {
        **{
            channel.value: channel
            for channel in (Channel.APP, Channel.H5, Channel.COUNTER, Channel.VILLAGE, Channel.OFFLINE)
        },
        "柜面": Channel.COUNTER,
        "柜台": Channel.COUNTER,
        "村点": Channel.VILLAGE,
        "村级服务点": Channel.VILLAGE,
        "离线": Channel.OFFLINE,
    }
)
_DATE: Final = re.compile(r"(\d{4})([-/.年])(\d{1,2})(?:[-/.月])(\d{1,2})日?|(\d{4})(\d{2})(\d{2})", re.ASCII)
_TEXT_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}")  # as notices are published
_NUMBER: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,63}")
_LIKE_RESIDENT_ID: Final = re.compile(r"\d{17}[\dXx]", re.ASCII)  # numbers are shown in reports, identifiers never
_ITEMS_APART: Final = re.compile(r"[;；,，、\s]+")


class Outcome(StrEnum):
    """What became of a row."""

    IMPORTED = "imported"  # recorded, or the consent under its number went on to the state it names
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Remark(StrEnum):
    """How a row that was not refused came out. The values are published; never reuse one."""

    RECORDED = "RECORDED"
    RECIPIENT_NOT_REGISTERED = "RECIPIENT_NOT_REGISTERED"
    AMENDED = "AMENDED"
    STATE_CHANGED = "STATE_CHANGED"
    SAME = "SAME"
    LATER_STATE_STANDS = "LATER_STATE_STANDS"


_TO_BE_KNOWN: Final = frozenset({Remark.RECIPIENT_NOT_REGISTERED, Remark.LATER_STATE_STANDS})


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row. `row_no` counts data rows from 1; no field says who it is about."""

    row_no: int
    register_no: str
    outcome: Outcome
    code: Fault | Remark
    consent_id: str | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to act, or should know why nothing happened."""
        return isinstance(self.code, Fault) or self.code in _TO_BE_KNOWN

    @property
    def zh(self) -> str:
        """The reason, in Chinese."""
        return MEANINGS[self.code][0]

    @property
    def en(self) -> str:
        """The reason, in English."""
        return MEANINGS[self.code][1]


@dataclass(frozen=True, slots=True)
class Line:
    """A row that could be read. Who it is about is not part of its repr."""

    row_no: int
    number: str
    subject_type: SubjectType
    identifier: Identifier = field(repr=False)
    recipient: str
    purpose: str
    items: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime | None
    state: State
    w_acknowledged: bool
    text_version: str
    language: Language
    channel: Channel
    evidence: Evidence
    witness: str = field(repr=False)

    def as_new(self, subject_id: UUID, witness: str | None) -> NewConsent:
        """Turn the row into a consent to be recorded, of a known subject, with its witness as a token."""
        return NewConsent(
            subject_id=subject_id,
            subject_type=self.subject_type,
            recipient=self.recipient,
            purpose=self.purpose,
            items=self.items,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            capture=Capture(self.channel, self.text_version, self.language, self.evidence, witness=witness),
            w_acknowledged=self.w_acknowledged,
            state=self.state,
            register_no=self.number,
        )


def read(rows: Sequence[Mapping[str, str]]) -> tuple[list[Line], list[RowOutcome]]:
    """Read a register: the rows that could be read, and the refusals of those that could not.

    A number that stands in several rows is read once; each later row of that number is refused.

    Raises:
        RegisterUnreadable: a column is missing. The message names it.
    """
    missing = sorted({column for row in rows[:1] for column in COLUMNS if column not in row})
    if missing:
        raise RegisterUnreadable(f"consent register: columns missing: {', '.join(missing)}")
    lines: list[Line] = []
    refused: list[RowOutcome] = []
    seen: set[str] = set()
    for row_no, row in enumerate(rows, 1):
        try:
            line = read_row(row_no, row)
        except TermsRefused as refusal:
            shown = "" if refusal.code is Fault.NUMBER_MISSING else _cell(row, "授权编号")
            refused.append(RowOutcome(row_no, shown, Outcome.REFUSED, refusal.code))
            continue
        if line.number in seen:
            refused.append(RowOutcome(row_no, line.number, Outcome.REFUSED, Fault.NUMBER_TWICE))
            continue
        seen.add(line.number)
        lines.append(line)
    return lines, refused


def read_row(row_no: int, row: Mapping[str, str]) -> Line:
    """Read one row.

    Raises:
        TermsRefused: with the first fault found, in the order of `Fault`.
    """
    number = _cell(row, "授权编号")
    if not _NUMBER.fullmatch(number) or _LIKE_RESIDENT_ID.fullmatch(number):
        raise TermsRefused(Fault.NUMBER_MISSING, "no number, or one that is none")
    subject_type = _one_of(_SUBJECTS, _cell(row, "主体类型").lower(), Fault.SUBJECT_TYPE_UNKNOWN)
    valid_from = _day(_cell(row, "生效日期"))
    if valid_from is None:
        raise TermsRefused(Fault.DATE_UNREADABLE, "no first day")
    identifier = _identifier(subject_type, _cell(row, "身份证号"), valid_from)
    valid_until = _day(_cell(row, "失效日期"))
    state = _one_of(_STATES, _cell(row, "状态").lower(), Fault.STATE_UNKNOWN)
    acknowledged = _one_of(_ACKNOWLEDGED, _cell(row, "不良后果告知").lower(), Fault.ACKNOWLEDGEMENT_UNREADABLE)
    text_version = _cell(row, "文本版本")
    if not _TEXT_VERSION.fullmatch(text_version):  # it goes to the log: no free text
        raise TermsRefused(Fault.TEXT_UNKNOWN, "no version of the text that was agreed to")
    language = _one_of(_LANGUAGES, _cell(row, "语言").lower(), Fault.LANGUAGE_UNKNOWN)
    channel = _one_of(_CHANNELS, _cell(row, "渠道").lower(), Fault.CHANNEL_UNKNOWN)
    kind = EvidenceKind.RESOLUTION if subject_type is SubjectType.ORGANISATION else USUAL[channel]
    return Line(
        row_no=row_no,
        number=number,
        subject_type=subject_type,
        identifier=identifier,
        recipient=_cell(row, "被授权机构"),
        purpose=_cell(row, "用途").upper(),
        items=tuple(code for code in _ITEMS_APART.split(_cell(row, "数据项")) if code),
        valid_from=midnight(valid_from),
        valid_until=None if valid_until is None else midnight(valid_until + timedelta(days=1)),
        state=state,
        w_acknowledged=acknowledged,
        text_version=text_version,
        language=language,
        channel=channel,
        evidence=Evidence.of(kind, _cell(row, "证据文件哈希")),
        witness=_cell(row, "见证人"),
    )


def _cell(row: Mapping[str, str], column: str) -> str:
    return unicodedata.normalize("NFKC", row.get(column) or "").strip()


def _one_of(known: Mapping[str, Known], word: str, fault: Fault) -> Known:
    if word not in known:
        raise TermsRefused(fault, "a word that is not known here")
    return known[word]


def _day(text: str) -> date | None:
    if not text:
        return None
    found = _DATE.fullmatch(text)
    if found is None:
        raise TermsRefused(Fault.DATE_UNREADABLE, "a date in a form that is not known here")
    year, month, day = found.group(1, 3, 4) if found.group(1) else found.group(5, 6, 7)
    try:
        return date(int(year), int(month), int(day))
    except ValueError as error:
        raise TermsRefused(Fault.DATE_UNREADABLE, "a date that does not exist") from error


def _identifier(subject_type: SubjectType, text: str, on: date) -> Identifier:
    try:
        if subject_type is SubjectType.ORGANISATION:
            return parse_identifier(SubjectKind.ORGANISATION, text)
        person = ResidentId.parse(text, on=on)
    except MalformedIdentifier as error:
        raise TermsRefused(Fault.IDENTITY_INVALID, "the identifier does not hold") from error
    if years_between(person.birth, on) < CHILD_UNTIL:
        raise TermsRefused(Fault.GUARDIAN_NEEDED, "a child under 14")
    return person


MEANINGS: Final[Mapping[Fault | Remark, tuple[str, str]]] = MappingProxyType(
    {
        Remark.RECORDED: ("已登记", "recorded"),
        Remark.RECIPIENT_NOT_REGISTERED: (
            "已登记；被授权机构尚未在平台注册，注册前不能据此查询",
            "recorded; its recipient is not registered yet, and nothing can be asked on it until then",
        ),
        Remark.AMENDED: ("尚未同意的申请，内容已更新", "a request that nobody had agreed to was brought up to date"),
        Remark.STATE_CHANGED: ("状态已变更", "its state was changed"),
        Remark.SAME: ("与已登记的一致", "the same as recorded"),
        Remark.LATER_STATE_STANDS: (
            "平台已有更后的状态（如已撤回、已暂停），以平台为准；恢复由本人办理，重新授权请用新编号",
            "the exchange holds a later state, and that one stands; only the subject resumes, or consents anew",
        ),
        **{fault: (meaning.zh, meaning.en) for fault, meaning in faults.MEANINGS.items()},
    }
)


def same_terms(fresh: Terms, standing: Terms, *, end_stated: bool) -> bool:
    """Tell whether a row states what is already recorded.

    Only what a register can state is compared. Items are compared by field within one catalogue version and by kind
    across two, since a class means its fields on the day of consent; a validity that is not stated is not compared.
    """
    if fresh.catalogue_version == standing.catalogue_version:
        items_agree = fresh.scope.items == standing.scope.items
    else:
        items_agree = _kinds(fresh) == _kinds(standing)
    return (
        items_agree
        and fresh.scope.valid_from == standing.scope.valid_from
        and (not end_stated or fresh.scope.valid_until == standing.scope.valid_until)
        and fresh.scope.w_acknowledged == standing.scope.w_acknowledged
        and fresh.subject_type == standing.subject_type
        and fresh.capture == standing.capture
    )


def _kinds(terms: Terms) -> set[str]:
    return {item.partition(".")[0] for item in terms.scope.items}
