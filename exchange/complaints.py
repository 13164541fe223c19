"""Complaints (投诉, 征信业管理条例 §26): a number at once, and an answer within 30 calendar days (R-50).

A person complains about a lender, an agency or the operator. The words are sealed, and so is whom they name:
what somebody types there may be anything. The log names it where it is a registered lender. The operator reads and
answers (`qingqiao complaint`), and the answer is told to the person. What is unanswered after 30 days is escalated: it
stands in the log for regulators, and the person is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from consent.record import midnight
from exchange import messages
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.messages import Kind
from exchange.oauth import clients
from exchange.release.words import Place, Where, open_words, seal_words
from registry import log, store
from registry.canonical import JSON
from registry.clock import beijing_day
from registry.database import Transaction

ANSWER_WITHIN_DAYS: Final = 30  # calendar days, the day of filing not counted
A_MONTH_MOST: Final = 20
CHARACTERS_MOST: Final = 500  # of a complaint, and of the reply to it
AT_ONCE: Final = 500


class About(StrEnum):
    """Whom a complaint is about. The values are published; never reuse one."""

    LENDER = "lender"
    AGENCY = "agency"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint."""

    complaint_id: UUID
    number: str
    subject_id: UUID
    about: About
    filed_at: datetime
    due_at: datetime
    escalated_at: datetime | None
    state: str
    answered_at: datetime | None
    organisation: str | None = field(default=None, repr=False)
    words: str | None = field(default=None, repr=False)
    reply: str | None = field(default=None, repr=False)


def file(  # the parts of a complaint
    tx: Transaction,
    home: Home,
    subject_id: UUID,
    about: About,
    organisation: str | None,
    words: str,
    *,
    by: str,
    now: datetime,
) -> Complaint:
    """File a complaint; its number and the day it must be answered by are given at once.

    Raises:
        RequestRefused: too many within thirty days.
    """
    store.hold_subjects(tx, [subject_id])
    row = tx.execute(
        "SELECT count(*) FROM complaint WHERE subject_id = %s AND filed_at > %s",
        (subject_id, now - timedelta(days=ANSWER_WITHIN_DAYS)),
    ).fetchone()
    if row is not None and row[0] >= A_MONTH_MOST:
        raise RequestRefused("too-often", "as many complaints were filed within thirty days as may be")
    complaint_id, filed_on = uuid4(), beijing_day(now)
    number = f"TS{filed_on:%Y%m%d}-{complaint_id.hex[:10].upper()}"
    due_at = midnight(filed_on + timedelta(days=ANSWER_WITHIN_DAYS + 1))
    sealed = seal_words(home, (subject_id, Where.COMPLAINT, complaint_id), words, now=now)
    named = None
    if organisation is not None:
        named = seal_words(home, (subject_id, Where.COMPLAINT_ORGANISATION, complaint_id), organisation, now=now)
    tx.execute(
        "INSERT INTO complaint (complaint_id, number, subject_id, about, organisation, words, filed_by, filed_at,"
        " due_at, state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'open')",
        (complaint_id, number, subject_id, about.value, named, sealed, by, now, due_at),
    )
    registered = organisation if organisation in clients.organisations(tx) else None
    fields: dict[str, JSON] = {"about": about.value, "complaint_id": str(complaint_id), "organisation": registered}
    _say(tx, Event.COMPLAINT_FILED, subject_id, by, fields, now)
    return Complaint(
        complaint_id, number, subject_id, about, now, due_at, None, "open", None, organisation=organisation, words=words
    )


def of_subject(tx: Transaction, home: Home, subject_id: UUID) -> list[Complaint]:
    """List a person's complaints, the latest first."""
    rows = tx.execute(f"{_SELECT} WHERE subject_id = %s ORDER BY filed_at DESC, complaint_id", (subject_id,)).fetchall()
    return _opened(home, rows)


def waiting(tx: Transaction, home: Home, *, actor: str, now: datetime) -> list[Complaint]:
    """List the complaints that wait for the operator's answer, the most pressing first; the reading is logged."""
    rows = tx.execute(f"{_SELECT} WHERE state = 'open' ORDER BY due_at, complaint_id").fetchall()
    fields: dict[str, JSON] = {"complaints": len(rows)}
    log.append(tx, [log.Entry(event=Event.COMPLAINTS_READ, at=now, actor=actor, fields=fields)])
    return _opened(home, rows)


def answer(tx: Transaction, home: Home, number: str, reply: str, *, by: str, now: datetime) -> None:
    """Answer a complaint, once. The person is told.

    Raises:
        RequestRefused: there is none of this number that waits.
    """
    row = tx.execute(
        "SELECT complaint_id, subject_id FROM complaint WHERE number = %s AND state = 'open' FOR UPDATE", (number,)
    ).fetchone()
    if row is None:
        raise RequestRefused("complaint-unknown")
    complaint_id, subject_id = row
    sealed = seal_words(home, (subject_id, Where.COMPLAINT_REPLY, complaint_id), reply, now=now)
    tx.execute(
        "UPDATE complaint SET state = 'answered', answered_at = %s, answered_by = %s, reply = %s"
        " WHERE complaint_id = %s",
        (now, by, sealed, complaint_id),
    )
    _say(tx, Event.COMPLAINT_ANSWERED, subject_id, by, {"complaint_id": str(complaint_id)}, now)
    messages.leave(tx, subject_id, Kind.COMPLAINT, {"complaint_id": str(complaint_id)}, now)


def run_clock(tx: Transaction, *, now: datetime) -> int:
    """Escalate what is unanswered after 30 days; say how many (the job)."""
    rows = tx.execute(
        "UPDATE complaint SET escalated_at = %s WHERE complaint_id IN (SELECT complaint_id FROM complaint"
        " WHERE state = 'open' AND escalated_at IS NULL AND due_at <= %s ORDER BY due_at LIMIT %s"
        " FOR UPDATE SKIP LOCKED) RETURNING complaint_id, subject_id",
        (now, now, AT_ONCE),
    ).fetchall()
    for complaint_id, subject_id in rows:
        _say(tx, Event.COMPLAINT_ESCALATED, subject_id, "system", {"complaint_id": str(complaint_id)}, now)
        messages.leave(tx, subject_id, Kind.COMPLAINT, {"complaint_id": str(complaint_id), "overdue": True}, now)
    return len(rows)


_SELECT: Final = (
    "SELECT complaint_id, number, subject_id, about, organisation, filed_at, due_at, escalated_at, state, answered_at,"
    " words, reply FROM complaint"
)


def _opened(home: Home, rows: Sequence[Sequence[Any]]) -> list[Complaint]:
    sealed: dict[Place, bytes] = {}
    for row in rows:
        sealed[row[2], Where.COMPLAINT, row[0]] = row[10]
        if row[4] is not None:
            sealed[row[2], Where.COMPLAINT_ORGANISATION, row[0]] = row[4]
        if row[11] is not None:
            sealed[row[2], Where.COMPLAINT_REPLY, row[0]] = row[11]
    opened = open_words(home, sealed)
    return [
        Complaint(
            complaint_id=row[0],
            number=row[1],
            subject_id=row[2],
            about=About(row[3]),
            organisation=opened.get((row[2], Where.COMPLAINT_ORGANISATION, row[0])),
            filed_at=row[5],
            due_at=row[6],
            escalated_at=row[7],
            state=row[8],
            answered_at=row[9],
            words=opened.get((row[2], Where.COMPLAINT, row[0])),
            reply=opened.get((row[2], Where.COMPLAINT_REPLY, row[0])),
        )
        for row in rows
    ]


def _say(tx: Transaction, event: Event, subject_id: UUID, actor: str, fields: dict[str, JSON], now: datetime) -> None:
    log.append(tx, [log.Entry(event=event, at=now, actor=actor, fields=fields, subject_id=subject_id)])
