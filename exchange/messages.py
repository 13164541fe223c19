"""Messages to persons: one for each access and each change of a consent, and what else concerns their rights.

  leave     write a message in the caller's transaction
  page      read a person's messages, newest first, accesses and changes among them
  choose    whether to be told of accesses (opt-out); everything else is always told

Accesses and changes are not copied into messages: they are read from the log's entries, which stand exactly if the
access happened (`accesses`), or the consent changed. So none is missing, none is told twice, and nobody who acts has to
write anything more for them. A check that lets no data out has no such entry, and there is no message of it.

Facts are codes, ids and names of organisations: nothing of a person. Which words a person reads, `words` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import orjson

from consent.evidence import Channel
from exchange.accesses import ASKED, OUTCOMES, Place
from exchange.security_events import NAMES
from registry.canonical import JSON
from registry.database import Transaction

PAGE_MOST: Final = 200
_EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)  # before the first entry of any installation


class Kind(StrEnum):
    """What a message is about. The values are published; never reuse one."""

    ACCESS = "access"  # read from the log, never written
    REMINDER = "reminder"
    REBINDING = "rebinding"
    CHANGE = "change"  # read from the log, never written
    REQUEST = "request"
    DISPUTE = "dispute"
    COMPLAINT = "complaint"
    PAGE_CODES_LOCKED = "page_codes_locked"
    PAGE_CODES_ENDED = "page_codes_ended"


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    message_id: UUID
    kind: Kind
    at: datetime
    facts: Mapping[str, Any]


def leave(tx: Transaction, subject_id: UUID, kind: Kind, facts: Mapping[str, JSON], now: datetime) -> UUID:
    """Write a message; it exists only if the caller's transaction commits.

    Raises:
        ValueError: a message of an access or a change: those are read from the log.
    """
    if kind in {Kind.ACCESS, Kind.CHANGE}:
        raise ValueError("a message of an access or a change is the log's own entry")
    message_id = uuid4()
    tx.execute(
        "INSERT INTO subject_message (message_id, subject_id, kind, facts, at) VALUES (%s, %s, %s, %s::jsonb, %s)",
        (message_id, subject_id, kind.value, orjson.dumps(dict(facts)).decode(), now),
    )
    return message_id


def page(
    tx: Transaction, subject_id: UUID, *, before: Place | None = None, limit: int = 50
) -> tuple[list[Message], Place | None]:
    """Give a page of a person's messages, newest first, and where the next page begins."""
    at, message_id = before or (None, None)
    since = access_messages_from(tx, subject_id)
    rows = tx.execute(
        "SELECT message_id, kind, at, facts FROM ("
        " SELECT message_id, kind, at, facts FROM subject_message WHERE subject_id = %(who)s"
        " UNION ALL"
        " SELECT entry_id, event, at, fields -> 'access' FROM log_entry"
        " WHERE subject_id = %(who)s AND event = ANY(%(asked)s) AND at >= %(since)s"
        " UNION ALL"
        " SELECT entry_id, event, at, fields || jsonb_build_object('consent_id', consent_id) FROM log_entry"
        " WHERE subject_id = %(who)s AND event = ANY(%(changes)s)"
        ") AS told WHERE %(at)s::timestamptz IS NULL OR (at, message_id) < (%(at)s, %(id)s::uuid)"
        " ORDER BY at DESC, message_id DESC LIMIT %(limit)s",
        {
            "who": subject_id,
            "asked": list(ASKED) if since is not None else [],
            "changes": list(NAMES),
            "since": since or _EVER,
            "at": at,
            "id": message_id,
            "limit": limit + 1,
        },
    ).fetchall()
    found = [_message(*row) for row in rows[:limit]]
    return found, (found[-1].at, found[-1].message_id) if len(rows) > limit else None


def choose(tx: Transaction, subject_id: UUID, *, access_messages: bool, now: datetime) -> None:
    """Keep whether a person wants a message of each access; wanting them again begins now."""
    standing = access_messages_from(tx, subject_id)
    if access_messages == (standing is not None):
        return
    tx.execute(
        "INSERT INTO subject_choice (subject_id, access_messages_from, chosen_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (subject_id) DO UPDATE SET access_messages_from = EXCLUDED.access_messages_from,"
        " chosen_at = EXCLUDED.chosen_at",
        (subject_id, now if access_messages else None, now),
    )


def access_messages_from(tx: Transaction, subject_id: UUID) -> datetime | None:
    """Say from when on a person is told of accesses; None: not at all. Whoever chose nothing is told of all."""
    row = tx.execute("SELECT access_messages_from FROM subject_choice WHERE subject_id = %s", (subject_id,)).fetchone()
    return _EVER if row is None else row[0]


def words(message: Message) -> dict[str, str]:
    """Say a message in one sentence, in Chinese and in English. Codes stand in it as they are published."""
    if message.kind is Kind.CHANGE:
        return _changed(message.facts)
    if message.kind is not Kind.ACCESS:
        return _WORDS[message.kind]
    who, purpose = message.facts["lender"], message.facts["purpose"] or "—"
    if message.facts["outcome"] == "refused":
        return {
            "zh": f"“{who}”申请查询您的信息（用途 {purpose}），未获准许，未提供任何信息。",
            "en": f"{who} asked about you ({purpose}) and was refused; nothing was shown.",
        }
    if message.facts["outcome"] == "evidence":
        case = message.facts["reason"]
        return {
            "zh": f"“{who}”因案号 {case} 调阅了您一项授权的凭证。",
            "en": f"{who} had the evidence of one of your consents opened, for case {case}.",
        }
    if message.facts["outcome"] == "told":
        return {
            "zh": f"“{who}”依据您的授权获知您的信息有变动（用途 {purpose}），未向其提供具体内容。",
            "en": f"{who} was told on your consent that something held about you changed ({purpose}), not what.",
        }
    return {
        "zh": f"“{who}”依据您的授权查询了您的信息（用途 {purpose}）。",
        "en": f"{who} was shown information about you on your consent ({purpose}).",
    }


_WORDS: Final[Mapping[Kind, dict[str, str]]] = {
    Kind.REBINDING: {
        "zh": "有人持一次性验证码申请绑定新手机，72 小时后生效。如非本人办理，请立即拒绝。",
        "en": "A new phone is to be bound to you in 72 hours. Refuse it at once if it was not you.",
    },
    Kind.DISPUTE: {"zh": "您提出的异议有新的进展。", "en": "There is news of a dispute that you filed."},
    Kind.COMPLAINT: {"zh": "您提出的投诉有新的进展。", "en": "There is news of a complaint that you filed."},
    Kind.REMINDER: {"zh": "您的一项授权需要您留意。", "en": "One of your consents needs your attention."},
    Kind.PAGE_CODES_LOCKED: {
        "zh": "有人在授权页面多次输错您的手机码，该页面暂不接受您的手机码，手机上的操作不受影响。"
        "如非本人所为，别人让您输入的号码请不要输入。",
        "en": "Wrong codes were given in your name on a lender's page; it takes none of yours for a while. Your phone"
        " itself works as before. If it was not you, type no number that somebody gives you.",
    },
    Kind.PAGE_CODES_ENDED: {
        "zh": "您手机上用于授权页面的旧手机码已停用。请在手机上重新获取；手机上的其他操作不受影响。",
        "en": "The codes that your phone made for lenders' pages count no more. Fetch new ones on the phone; all else"
        " on it works as before.",
    },
    Kind.REQUEST: {"zh": "有一项授权申请等待您决定。", "en": "A request for your consent waits for you."},
}
_CHANGES: Final[Mapping[str, tuple[str, str]]] = {
    "requested": ("已登记授权申请，尚未签署", "was asked for; you have not agreed yet"),
    "request-amended": ("授权申请的条款已更新，尚未签署", "was asked for on other terms; you have not agreed yet"),
    "request-refused": ("您已拒绝授权", "was refused by you"),
    "granted": ("授权已生效", "was given"),
    "paused": ("授权已暂停", "is paused"),
    "resumed": ("授权已恢复", "is in force again"),
    "reconfirmed": ("授权已再次确认", "was confirmed again"),
    "withdrawn": ("授权已撤回", "was withdrawn"),
    "expired": ("授权已到期", "has expired"),
    "superseded": ("授权已被新的授权取代", "was replaced by a later one"),
}
_GIVEN_UP: Final = ("授权已由该机构放弃", "was given up by that lender; it sees nothing more")


def _changed(facts: Mapping[str, Any]) -> dict[str, str]:
    given_up = facts["change"] == "withdrawn" and facts["channel"] == Channel.LENDER
    zh, en = _GIVEN_UP if given_up else _CHANGES[facts["change"]]
    return {
        "zh": f"对“{facts['recipient']}”的{zh}（用途 {facts['purpose']}）。",
        "en": f"Your consent for {facts['recipient']} ({facts['purpose']}) {en}.",
    }


def _message(message_id: UUID, kind: str, at: datetime, facts: Mapping[str, Any] | None) -> Message:
    if kind in NAMES:
        said = facts or {}
        changed = {name: said.get(name) for name in ("consent_id", "recipient", "purpose", "channel")}
        return Message(message_id, Kind.CHANGE, at, {"change": NAMES[kind], **changed})
    if kind not in OUTCOMES:
        return Message(message_id, Kind(kind), at, facts or {})
    asked = facts or {}
    told = {name: asked.get(name) for name in ("lender", "purpose", "mode", "items", "reason", "query_id")}
    return Message(message_id, Kind.ACCESS, at, {"outcome": OUTCOMES[kind], **told})
