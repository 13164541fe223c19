"""Disputes (异议, 征信业管理条例 §25): of one item of one record, with a clock of 20 calendar days and a mark at once.

  file       a person disputes an item of a record that is held about him or her, with the hash of what supports it
  answer     the agency that the record came from: `error`, `no_error`, `undetermined`
  run_clock  warn after 15 days, escalate after 20 (the job)

The mark is on from the filing's commit: filing takes the locks that the gate decides under, so that every answer that
is decided later carries it (`release.marking`). It goes off where the agency found no error. Where it found one,
versions up to the disputed one keep the mark, and what the agency publishes next, by mending the row, is free of it.
Where it could not be determined, the mark stays: the facts are recorded.

    open ──▶ answered      an answer is possible after the clock has run out, too; a late one is told as late

An agency is told of a dispute by batch, sheet and row, for it has to look. So it learns that data of this row's person
is held, which is what the person chose by disputing.

Not here: what becomes of a dispute after its answer (review, repair, lenders told); that follows with the life of
records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from connectors import batches
from consent.record import midnight
from consent.scope import recipient_name
from exchange import messages
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.messages import Kind
from exchange.release.marking import hold_answers
from exchange.release.words import Place, Where, open_words, seal_words
from registry import catalogue, log, store
from registry.canonical import JSON
from registry.clock import beijing_day
from registry.database import Transaction
from registry.records import RecordRef, VisibleRecord

ANSWER_WITHIN_DAYS: Final = 20  # calendar days, the day of filing not counted
WARN_AFTER_DAYS: Final = 15
OPEN_MOST: Final = 30  # of one person at once
PAGE_MOST: Final = 200
AT_ONCE: Final = 500


class Reason(StrEnum):
    """Why an item is disputed. The values are published; never reuse one."""

    WRONG_VALUE = "wrong_value"
    NOT_MINE = "not_mine"
    OUTDATED = "outdated"
    DUPLICATE = "duplicate"
    OTHER = "other"


class Outcome(StrEnum):
    """What the agency found. The values are published; never reuse one."""

    ERROR = "error"
    NO_ERROR = "no_error"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class New:
    """What a person hands in."""

    record: RecordRef
    item: str
    reason: Reason
    evidence_sha256: bytes
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute. Its words are opened for whoever may read them; `marked` says that answers carry the mark."""

    dispute_id: UUID
    number: str
    subject_id: UUID
    record_id: UUID
    version: int
    until_version: int | None
    item: str
    batch_id: UUID
    agency: str
    reason: Reason
    evidence_sha256: bytes
    filed_at: datetime
    due_at: datetime
    warned_at: datetime | None
    escalated_at: datetime | None
    state: str
    marked: bool
    outcome: Outcome | None
    answered_at: datetime | None
    words: str | None = None
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A dispute as its agency sees it: with the row's place, and whether a later version has been published."""

    dispute: Dispute
    kind: str
    sheet: str
    row_no: int
    corrected: bool


# ---- a person disputes ----------------------------------------------------------------------------------------------


def file(tx: Transaction, home: Home, subject_id: UUID, new: New, *, by: str, now: datetime) -> UUID:
    """File a dispute; from the caller's commit on the mark is in every answer.

    Raises:
        RequestRefused: no such record of this person, no such item in it, the item is disputed already, or too many
            disputes are open.
    """
    hold_answers(tx, subject_id)  # the gate comes before or after this, never between
    record = _standing(tx, subject_id, new)
    row = tx.execute("SELECT count(*) FROM dispute WHERE subject_id = %s AND state = 'open'", (subject_id,)).fetchone()
    if row is not None and row[0] >= OPEN_MOST:
        raise RequestRefused("too-often", "as many of your disputes are open as may be at once")
    batch_id, agency = _answerable(tx, record)
    dispute_id, filed_on = uuid4(), beijing_day(now)
    words = None
    if new.words is not None:
        words = seal_words(home, (subject_id, Where.DISPUTE, dispute_id), new.words, now=now)
    number = f"YY{filed_on:%Y%m%d}-{dispute_id.hex[:10].upper()}"
    due_at = midnight(filed_on + timedelta(days=ANSWER_WITHIN_DAYS + 1))
    try:
        tx.execute(
            "INSERT INTO dispute (dispute_id, number, subject_id, record_id, version, item, batch_id, agency, reason,"
            " words, evidence_sha256, filed_by, filed_at, warn_at, due_at, state, marked)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', true)",
            (
                dispute_id,
                number,
                subject_id,
                record.ref.record_id,
                record.ref.version,
                new.item,
                batch_id,
                agency,
                new.reason.value,
                words,
                new.evidence_sha256,
                by,
                now,
                midnight(filed_on + timedelta(days=WARN_AFTER_DAYS)),
                due_at,
            ),
        )
    except psycopg.errors.UniqueViolation as error:
        raise RequestRefused("dispute-open") from error
    fields: dict[str, JSON] = {
        "agency": agency,
        "dispute_id": str(dispute_id),
        "evidence_sha256": new.evidence_sha256.hex(),
        "item": new.item,
        "reason": new.reason.value,
        "record": record.commitment.hex(),
    }
    _say(tx, Event.DISPUTE_FILED, subject_id, by, fields, now)
    return dispute_id


def of_subject(tx: Transaction, home: Home, subject_id: UUID) -> list[Dispute]:
    """List a person's disputes, the latest first, with the person's own words and the agencies' replies."""
    rows = tx.execute(f"{_SELECT} WHERE d.subject_id = %s ORDER BY filed_at DESC, dispute_id", (subject_id,)).fetchall()
    return _opened(home, rows)


# ---- an agency answers ----------------------------------------------------------------------------------------------


def of_agency(
    tx: Transaction, home: Home, agency: str, *, actor: str, everything: bool = False, now: datetime
) -> list[Located]:
    """List the disputes that an agency has to answer, the most pressing first; with `everything` answered ones too.

    That they were read is logged.
    """
    rows = tx.execute(
        f"{_SELECT} WHERE d.agency = %s AND (%s OR d.state = 'open') ORDER BY d.due_at, d.dispute_id LIMIT %s",
        (recipient_name(agency), everything, PAGE_MOST),
    ).fetchall()
    found = _opened(home, rows)
    fields: dict[str, JSON] = {"agency": recipient_name(agency), "disputes": len(found)}
    log.append(tx, [log.Entry(event=Event.DISPUTES_READ, at=now, actor=actor, fields=fields)])
    refs = [RecordRef(one.subject_id, one.record_id, one.version) for one in found]
    records = {record.ref: record for record in store.versions(tx, refs)} if refs else {}
    latest = _latest(tx, refs)
    located = []
    for one, ref in zip(found, refs, strict=True):
        record = records[ref]
        corrected = latest[ref.record_id] > ref.version
        located.append(Located(one, record.kind, record.sheet, record.row_no, corrected))
    return located


def answer(
    tx: Transaction, home: Home, agency: str, dispute_id: UUID, outcome: Outcome, reply: str, *, by: str, now: datetime
) -> Dispute:
    """Answer a dispute, once. The person is told.

    Raises:
        RequestRefused: no dispute that this agency has to answer has this id, or it is answered.
    """
    row = tx.execute(
        "SELECT subject_id, record_id, version, state FROM dispute WHERE dispute_id = %s AND agency = %s FOR UPDATE",
        (dispute_id, recipient_name(agency)),
    ).fetchone()
    if row is None:
        raise RequestRefused("dispute-unknown")
    subject_id, record_id, version, state = row
    if state != "open":
        raise RequestRefused("dispute-answered")
    until = None
    if outcome is Outcome.ERROR:  # what was published since, or will be, is the correction
        until = max(version, _latest(tx, [RecordRef(subject_id, record_id, version)])[record_id] - 1)
    sealed = seal_words(home, (subject_id, Where.DISPUTE_REPLY, dispute_id), reply, now=now)
    tx.execute(
        "UPDATE dispute SET state = 'answered', outcome = %s, marked = %s, until_version = %s, answered_at = %s,"
        " answered_by = %s, reply = %s WHERE dispute_id = %s",
        (outcome.value, outcome is not Outcome.NO_ERROR, until, now, by, sealed, dispute_id),
    )
    fields: dict[str, JSON] = {
        "agency": recipient_name(agency),
        "dispute_id": str(dispute_id),
        "outcome": outcome.value,
    }
    _say(tx, Event.DISPUTE_ANSWERED, subject_id, by, fields, now)
    messages.leave(tx, subject_id, Kind.DISPUTE, {"dispute_id": str(dispute_id), "outcome": outcome.value}, now)
    rows = tx.execute(f"{_SELECT} WHERE d.dispute_id = %s", (dispute_id,)).fetchall()
    return _opened(home, rows)[0]


# ---- the clock ------------------------------------------------------------------------------------------------------


def run_clock(tx: Transaction, *, now: datetime) -> int:
    """Warn of disputes that are open after 15 days, and escalate those open after 20; say how many steps were taken."""
    steps = 0
    for column, due, event in (
        ("warned_at", "warn_at", Event.DISPUTE_WARNED),
        ("escalated_at", "due_at", Event.DISPUTE_ESCALATED),
    ):
        rows = tx.execute(
            f"UPDATE dispute SET {column} = %s WHERE dispute_id IN (SELECT dispute_id FROM dispute"  # noqa: S608  # columns of our own
            f" WHERE state = 'open' AND {column} IS NULL AND {due} <= %s ORDER BY {due} LIMIT %s"
            " FOR UPDATE SKIP LOCKED) RETURNING dispute_id, subject_id, agency",
            (now, now, AT_ONCE),
        ).fetchall()
        for dispute_id, subject_id, agency in rows:
            fields: dict[str, JSON] = {"agency": agency, "dispute_id": str(dispute_id)}
            _say(tx, event, subject_id, "system", fields, now)
            if event is Event.DISPUTE_ESCALATED:
                messages.leave(tx, subject_id, Kind.DISPUTE, {"dispute_id": str(dispute_id), "overdue": True}, now)
        steps += len(rows)
    return steps


# ---- inside ---------------------------------------------------------------------------------------------------------

_SELECT: Final = (
    "SELECT d.dispute_id, d.number, d.subject_id, d.record_id, d.version, d.until_version, d.item, d.batch_id,"
    " d.agency, d.reason, d.evidence_sha256, d.filed_at, d.due_at, d.warned_at, d.escalated_at, d.state, d.marked,"
    " d.outcome, d.answered_at, d.words, d.reply FROM dispute d"
)


def _standing(tx: Transaction, subject_id: UUID, new: New) -> VisibleRecord:
    kind = catalogue.current().kinds.get(new.item.partition(".")[0])
    found = [] if new.record.subject_id != subject_id or kind is None else store.versions(tx, [new.record])
    fits = [one for one in found if one.kind == new.item.partition(".")[0] and not one.frozen and not one.recalled]
    if not fits or kind is None or new.item.partition(".")[2] not in kind.fields:
        raise RequestRefused("record-unknown")
    return fits[0]


def _answerable(tx: Transaction, record: VisibleRecord) -> tuple[UUID, str]:
    """Say which batch a record came in, and which organisation answers for it."""
    row = tx.execute(
        "SELECT batch_id, publisher FROM publication WHERE publication_id = %s", (record.provenance.publication_id,)
    ).fetchone()
    if row is None:
        raise RequestRefused("record-unknown")
    batch_id, publisher = row
    return batch_id, recipient_name(batches.agencies(tx, {batch_id}).get(batch_id) or publisher)


def _latest(tx: Transaction, refs: Sequence[RecordRef]) -> dict[UUID, int]:
    """Give the latest published version of each of these records."""
    rows = tx.execute(
        "SELECT r.record_id, max(r.version) FROM record r JOIN publication p USING (publication_id)"
        " WHERE r.subject_id = ANY(%s) AND r.record_id = ANY(%s) AND p.published_at IS NOT NULL GROUP BY r.record_id",
        ([ref.subject_id for ref in refs], [ref.record_id for ref in refs]),
    ).fetchall()
    return {ref.record_id: ref.version for ref in refs} | dict(rows)


def _opened(home: Home, rows: Sequence[Sequence[Any]]) -> list[Dispute]:
    sealed: dict[Place, bytes] = {}
    for row in rows:
        if row[19] is not None:
            sealed[row[2], Where.DISPUTE, row[0]] = row[19]
        if row[20] is not None:
            sealed[row[2], Where.DISPUTE_REPLY, row[0]] = row[20]
    opened = open_words(home, sealed)
    return [_dispute(row, opened) for row in rows]


def _dispute(row: Sequence[Any], opened: Mapping[Place, str]) -> Dispute:
    subject_id, dispute_id = row[2], row[0]
    return Dispute(
        dispute_id=dispute_id,
        number=row[1],
        subject_id=subject_id,
        record_id=row[3],
        version=row[4],
        until_version=row[5],
        item=row[6],
        batch_id=row[7],
        agency=row[8],
        reason=Reason(row[9]),
        evidence_sha256=row[10],
        filed_at=row[11],
        due_at=row[12],
        warned_at=row[13],
        escalated_at=row[14],
        state=row[15],
        marked=row[16],
        outcome=Outcome(row[17]) if row[17] else None,
        answered_at=row[18],
        words=opened.get((subject_id, Where.DISPUTE, dispute_id)),
        reply=opened.get((subject_id, Where.DISPUTE_REPLY, dispute_id)),
    )


def _say(
    tx: Transaction, event: Event, subject_id: UUID, actor: str, fields: Mapping[str, JSON], now: datetime
) -> None:
    log.append(tx, [log.Entry(event=event, at=now, actor=actor, fields=fields, subject_id=subject_id)])
