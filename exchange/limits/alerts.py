"""What was found of limits: a rule of the auditors, one system or person of it, one day. No subject stands in it.

  AQ04  a system's questions of a day or a month     AQ05  a person's questions of a day
  AQ06  a system or a person asked too fast          AQ10  one subject was asked about too often
  AQ17  refused for want of a consent, again and again: identifiers are being tried out

A lender's system sees what was found of itself, but for `subject-crowded`, which would tell it what others asked; and
its cursors name alerts of its own, for places in the order of all tell how many others ran into limits.

An alert is raised once and grows; the log has an entry of it when it is raised and whenever what was refused has one
digit more. What auditors decide of it is theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.limits.deciding import DAILY, MONTHLY, RATE, SUBJECT, TRYING, USER_DAILY, USER_RATE
from exchange.limits.declared import Limits
from exchange.limits.places import Place, Question
from registry import log
from registry.canonical import JSON, b64url, unb64url
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction

PAGE_MOST: Final = 100
CROWDED: Final = "subject-crowded"  # of alerts alone: nobody is refused for it
_ACTOR: Final = "system"
_NO_CURSOR: Final = "the cursor is not one that a page gave"
_DAY_SECONDS: Final = 86_400
_RULES: Final = {
    RATE: "AQ06",
    USER_RATE: "AQ06",
    DAILY: "AQ04",
    MONTHLY: "AQ04",
    USER_DAILY: "AQ05",
    SUBJECT: "AQ10",
    CROWDED: "AQ10",
    TRYING: "AQ17",
}


class Met(NamedTuple):
    """Who ran into which limit. `user_code` is empty where the limit is not a person's."""

    code: str
    client_id: str
    organisation: str
    user_code: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is shown."""

    alert_id: UUID
    position: int
    rule: str
    code: str
    client_id: str
    organisation: str
    user_code: str
    window_seconds: int
    counted: int
    refused: int
    raised_at: datetime
    last_at: datetime
    held_until: datetime | None


def met(question: Question, code: str, place: Place | None) -> Met:
    """Say who ran into a limit at a place: the person only where the place is one's own."""
    user = place.part if place is not None and place.key.startswith("u:") else ""
    return Met(code, question.client_id, question.lender, user)


def note_refused(tx: Transaction, limits: Limits, refused: Mapping[Met, int], *, now: datetime) -> None:
    """Count refusals with the day's alerts, raising those that are not there yet; the log is told sparingly."""
    for one in sorted(refused):
        counted, seconds = _of(limits, one.code)
        _note(tx, one, counted, seconds, now=now, refused=refused[one])


def note_crowded(tx: Transaction, limits: Limits, questions: Sequence[Question], *, now: datetime) -> None:
    """Raise that a subject was asked about by all lenders together more often than is usual; nobody is refused."""
    counted, seconds = _of(limits, CROWDED)
    for who in sorted({met(one, CROWDED, None) for one in questions}):  # in one order, as refusals are
        _note(tx, who, counted, seconds, now=now, refused=0)


def note_held(tx: Transaction, who: Met, counted: int, window_seconds: int, *, until: datetime, now: datetime) -> None:
    """Raise that identifiers are being tried out, and until when nothing is answered."""
    _note(tx, who, counted, window_seconds, now=now, refused=0, until=until)


def note_reading(tx: Transaction, actor: str, count: int, *, at: datetime) -> None:
    """Write to the log that somebody read the alerts, and how many were shown."""
    log.append(tx, [log.Entry(event=Event.ALERTS_READ, at=at, actor=actor, fields={"alerts": count})])


def read(
    tx: Transaction, *, limit: int, cursor: str | None = None, client_id: str | None = None, rule: str | None = None
) -> tuple[list[Alert], str | None]:
    """Read a page of all alerts, the newest first, and where the next begins.

    Raises:
        RequestRefused: the cursor is not one that a page gave.
    """
    return _page(tx, limit, cursor, {"client": client_id, "rule": rule, "hidden": None})


def read_own(
    tx: Transaction, client_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[Alert], str | None]:
    """Read a page of what a system may see of itself, as `read`.

    Raises:
        RequestRefused: the cursor is not one that a page of its own gave.
    """
    return _page(tx, limit, cursor, {"client": client_id, "rule": None, "hidden": CROWDED})


_NAMED: Final = "SELECT FROM alert WHERE alert_id = %(after)s AND (%(client)s::text IS NULL OR client_id = %(client)s)"
_PAGE: Final = (
    "SELECT alert_id, position, rule, code, client_id, organisation, user_code, window_seconds, counted, refused,"
    " raised_at, last_at, held_until FROM alert"
    " WHERE (%(after)s::uuid IS NULL OR position < (SELECT position FROM alert WHERE alert_id = %(after)s))"
    " AND (%(client)s::text IS NULL OR client_id = %(client)s) AND (%(rule)s::text IS NULL OR rule = %(rule)s)"
    " AND (%(hidden)s::text IS NULL OR code <> %(hidden)s) ORDER BY position DESC LIMIT %(limit)s"
)


def _page(
    tx: Transaction, limit: int, cursor: str | None, sought: Mapping[str, str | None]
) -> tuple[list[Alert], str | None]:
    given = {**sought, "after": _opened(cursor), "limit": limit + 1}
    if cursor is not None and tx.execute(_NAMED, given).fetchone() is None:
        raise RequestRefused("request-malformed", _NO_CURSOR)
    rows = tx.execute(_PAGE, given).fetchall()
    shown = [Alert(*row) for row in rows[:limit]]
    return shown, _cursor(shown) if len(rows) > limit else None


_RAISE: Final = (
    "INSERT INTO alert AS a (alert_id, rule, code, client_id, organisation, user_code, day, window_seconds, counted,"
    " refused, raised_at, last_at, held_until) VALUES (%(id)s, %(rule)s, %(code)s, %(client)s, %(lender)s, %(user)s,"
    " %(day)s, %(seconds)s, %(counted)s, %(refused)s, %(now)s, %(now)s, %(until)s)"
    " ON CONFLICT (rule, code, client_id, user_code, day) DO UPDATE SET refused = a.refused + excluded.refused,"
    " last_at = excluded.last_at, held_until = coalesce(excluded.held_until, a.held_until)"
    " RETURNING alert_id, refused"
)


def _note(  # what an alert states
    tx: Transaction,
    who: Met,
    counted: int,
    seconds: int,
    *,
    now: datetime,
    refused: int,
    until: datetime | None = None,
) -> None:
    rule, new = _RULES[who.code], uuid4()
    stated = {
        "id": new, "rule": rule, "code": who.code, "client": who.client_id, "lender": who.organisation,
        "user": who.user_code, "day": beijing_day(now), "seconds": seconds, "counted": counted, "refused": refused,
        "now": now, "until": until,
    }  # fmt: skip
    row = tx.execute(_RAISE, stated).fetchone()
    if row is None:
        raise TypeError("an alert is raised, or was")
    alert_id, total = row
    raised = alert_id == new
    if not raised and until is None and not _one_digit_more(total - refused, total):
        return
    fields: dict[str, JSON] = {
        "alert_id": str(alert_id), "client_id": who.client_id, "code": who.code, "counted": counted,
        "held_until": None if until is None else rfc3339(until), "lender": who.organisation, "refused": total,
        "rule": rule, "user": who.user_code or None, "window_seconds": seconds,
    }  # fmt: skip
    event = Event.ALERT_RAISED if raised or until is not None else Event.ALERT_GREW
    log.append(tx, [log.Entry(event=event, at=now, actor=_ACTOR, fields=fields)])


def _one_digit_more(before: int, after: int) -> bool:
    return (len(str(after)) if after else 0) > (len(str(before)) if before else 0)


def _of(limits: Limits, code: str) -> tuple[int, int]:
    """Say how many within how many seconds a limit is."""
    client, user, subject = limits.client, limits.user, limits.subject
    return {
        RATE: (client.burst, -(-client.burst // client.per_second)),
        USER_RATE: (user.burst, -(-user.burst * 60 // user.per_minute)),
        DAILY: (client.daily, _DAY_SECONDS),
        MONTHLY: (client.monthly, 30 * _DAY_SECONDS),
        USER_DAILY: (user.daily, _DAY_SECONDS),
        SUBJECT: (subject.daily, _DAY_SECONDS),
        CROWDED: (subject.all_lenders_thirty_days, 30 * _DAY_SECONDS),
        TRYING: (limits.trying.user, limits.trying.within_seconds),
    }[code]


def _cursor(shown: Sequence[Alert]) -> str:
    return b64url(shown[-1].alert_id.bytes)


def _opened(cursor: str | None) -> UUID | None:
    try:
        return None if cursor is None else UUID(bytes=unb64url(cursor))
    except ValueError as error:
        raise RequestRefused("request-malformed", _NO_CURSOR) from error
