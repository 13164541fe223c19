"""What became of a query: the lender's decision, and how what it lent is repaid (审批结果与履约反馈).

A lender returns, for each query of its own, whether it lent and what followed. The audit of queries without any
application behind them rests on it (AQ09): a permitted query for a purpose that ends in a decision, of which nothing
came back within thirty days, is listed for regulators.

Each report has a reference of the lender's own: the same again changes nothing, the same reference with another content
is refused. Kind, decision and day are kept in any case: they say whether the query was for what it was said to be for.
Amounts, terms and repayment states speak of a person's debts. They are kept only while a consent of that person for
that lender and purpose stands, sealed under the person's data key, and are opened for the two of them alone: what
stands to be learned from them needs a consent for that (MODEL_TRAINING). When the last one ends they are shown to
nobody from that commit on, and a job drops them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import orjson

from consent.grant import ENDED
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.guard import Caller
from exchange.release.words import Where, open_words, seal_words
from registry import log, store
from registry.canonical import JSON, canonical
from registry.clock import beijing_day
from registry.database import Transaction
from registry.keyring import Purpose
from registry.suites import constant_time_equal, hmac_sha256

WITHIN_DAYS: Final = 30  # AQ09
PAGE_MOST: Final = 500
DECIDING: Final = ("LOAN_APPROVAL", "GUARANTEE")  # purposes whose queries end in a decision


class Kind(StrEnum):
    """What is reported. The values are published; never reuse one."""

    DECISION = "decision"
    DISBURSEMENT = "disbursement"
    REPAYMENT = "repayment"
    SETTLEMENT = "settlement"


class Decision(StrEnum):
    """How an application ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    CANCELLED = "cancelled"  # by the applicant, or never made


@dataclass(frozen=True, slots=True)
class Reported:
    """What a lender reports of one query. `details` are kept only while the consent stands: amounts, states."""

    query_id: UUID
    reference: str
    kind: Kind
    decision: Decision | None
    happened_on: date
    details: dict[str, JSON] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A report as it is kept. `details` is None where none were kept, or they cannot be opened any more."""

    position: int
    outcome_id: UUID
    organisation: str
    query_id: UUID
    reference: str
    kind: Kind
    decision: Decision | None
    happened_on: date
    recorded_at: datetime
    details: dict[str, Any] | None = field(default=None, repr=False)


class Kept(NamedTuple):
    """What became of a report: its id, whether its details are kept, and whether it came for the first time."""

    outcome_id: UUID
    details: bool
    fresh: bool


@dataclass(frozen=True, slots=True)
class Silent:
    """A query of which nothing came back in time. `business_no` is a code of the lender's own."""

    query_id: UUID
    organisation: str
    purpose: str
    business_no: str | None
    decided_at: datetime


def report(tx: Transaction, home: Home, caller: Caller, one: Reported, *, now: datetime) -> Kept:
    """Keep a report. The same report again changes nothing.

    Raises:
        RequestRefused: `query-unknown`; `outcome-reference-reused`; `outcome-date`: before the query, or to come.
    """
    row = tx.execute(
        "SELECT subject_id, purpose, consent_id, decided_at FROM query WHERE query_id = %s AND organisation = %s",
        (one.query_id, caller.org_code),
    ).fetchone()
    if row is None:
        raise RequestRefused("query-unknown")
    subject_id, purpose, consent_id, decided_at = row
    if not beijing_day(decided_at) <= one.happened_on <= beijing_day(now):
        raise RequestRefused("outcome-date")
    digest = _digest(home, one)
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{caller.org_code}|{one.reference}",))
    known = tx.execute(
        "SELECT outcome_id, digest, details IS NOT NULL FROM outcome WHERE organisation = %s AND reference = %s",
        (caller.org_code, one.reference),
    ).fetchone()
    if known is not None:
        if not constant_time_equal(bytes(known[1]), digest):
            raise RequestRefused("outcome-reference-reused")
        return Kept(known[0], known[2], fresh=False)
    outcome_id = uuid4()
    store.hold_subjects(tx, [subject_id])
    sealed = None
    if one.details and _stands(tx, subject_id, caller.org_code, purpose, now):  # read behind the lock: a withdrawal won
        text = canonical(one.details).decode()
        sealed = seal_words(home, (subject_id, Where.OUTCOME, outcome_id), text, now=now)
    tx.execute(
        "INSERT INTO outcome (outcome_id, organisation, client_id, query_id, subject_id, consent_id, purpose,"
        " reference, digest, kind, decision, happened_on, details, recorded_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            outcome_id,
            caller.org_code,
            caller.client_id,
            one.query_id,
            subject_id,
            consent_id,
            purpose,
            one.reference,
            digest,
            one.kind.value,
            one.decision.value if one.decision else None,
            one.happened_on,
            sealed,
            now,
        ),
    )
    fields: dict[str, JSON] = {"kind": one.kind.value, "outcome_id": str(outcome_id)}
    log.append(
        tx,
        [
            log.Entry(
                event=Event.OUTCOME_REPORTED,
                at=now,
                actor=caller.client_id,
                fields=fields,
                subject_id=subject_id,
                query_id=one.query_id,
            )
        ],
    )
    return Kept(outcome_id, sealed is not None, fresh=True)


def of_lender(
    tx: Transaction, home: Home, organisation: str, *, after: int, limit: int, now: datetime
) -> list[Outcome]:
    """List what a lender has reported, in its order, behind a position."""
    rows = tx.execute(
        f"{_SELECT} WHERE organisation = %s AND position > %s ORDER BY position LIMIT %s",
        (_ENDED, now, organisation, after, limit),
    ).fetchall()
    return _opened(home, rows)


def of_subject(tx: Transaction, home: Home, subject_id: UUID, *, now: datetime) -> list[Outcome]:
    """List what lenders have reported of a person, the latest first."""
    rows = tx.execute(
        f"{_SELECT} WHERE subject_id = %s ORDER BY position DESC LIMIT %s", (_ENDED, now, subject_id, PAGE_MOST)
    ).fetchall()
    return _opened(home, rows)


def silent(
    tx: Transaction, *, organisation: str | None, after: tuple[datetime, UUID] | None, limit: int, now: datetime
) -> list[Silent]:
    """List queries that should have ended in a decision, and of which nothing came back in time: the latest first.

    Args:
        tx: the caller's transaction.
        organisation: one lender's only.
        after: the moment and the id of the query that the last page ended with; those decided together share a moment.
        limit: at most so many.
        now: this instant.
    """
    moment, last = after or (None, None)
    rows = tx.execute(
        "SELECT query_id, organisation, purpose, business_no, decided_at FROM query q WHERE purpose = ANY(%s)"
        " AND decided_at < %s AND (%s::text IS NULL OR organisation = %s)"
        " AND (%s::timestamptz IS NULL OR decided_at < %s OR decided_at = %s AND query_id > %s)"
        " AND NOT EXISTS (SELECT FROM outcome o WHERE o.query_id = q.query_id)"
        " AND NOT EXISTS (SELECT FROM outcome o JOIN query p USING (query_id) WHERE p.business_no = q.business_no"
        " AND p.organisation = q.organisation AND p.subject_id = q.subject_id)"
        " ORDER BY decided_at DESC, query_id LIMIT %s",
        (
            *(list(DECIDING), now - timedelta(days=WITHIN_DAYS), organisation, organisation),
            *(moment, moment, moment, last, limit),
        ),
    ).fetchall()
    return [Silent(*row) for row in rows]


def forget_details(tx: Transaction, *, now: datetime) -> int:
    """Drop the details of reports whose holder has no consent any more (the job); say how many."""
    return tx.execute(
        f"UPDATE outcome o SET details = NULL WHERE details IS NOT NULL AND NOT {_STANDING}",  # noqa: S608  # fixed texts
        (_ENDED, now),
    ).rowcount


def note_reading(tx: Transaction, actor: str, queries: int, *, now: datetime) -> None:
    """Write that a regulator read what is missing."""
    log.append(tx, [log.Entry(event=Event.OUTCOMES_READ, at=now, actor=actor, fields={"queries": queries})])


_ENDED: Final = [state.value for state in ENDED]
_STANDING: Final = (  # whoever made a consent smaller, or gave it anew, still has one
    "EXISTS (SELECT FROM consent c WHERE c.subject_id = o.subject_id AND c.recipient = o.organisation"
    " AND c.purpose = o.purpose AND c.state <> ALL(%s) AND c.valid_until > %s)"
)
_SELECT: Final = (
    "SELECT position, outcome_id, organisation, query_id, reference, kind, decision, happened_on, recorded_at,"  # noqa: S608  # fixed texts
    f" CASE WHEN {_STANDING} THEN details END, subject_id FROM outcome o"
)


def _stands(tx: Transaction, subject_id: UUID, organisation: str, purpose: str, now: datetime) -> bool:
    row = tx.execute(
        f"SELECT {_STANDING} FROM (SELECT %s::uuid AS subject_id, %s AS organisation, %s AS purpose) o",  # noqa: S608  # fixed texts
        (_ENDED, now, subject_id, organisation, purpose),
    ).fetchone()
    return row == (True,)


def _opened(home: Home, rows: Sequence[Sequence[Any]]) -> list[Outcome]:
    sealed = {(row[10], Where.OUTCOME, row[1]): bytes(row[9]) for row in rows if row[9] is not None}
    opened = open_words(home, sealed)
    outcomes = []
    for row in rows:
        text = opened.get((row[10], Where.OUTCOME, row[1]))
        outcomes.append(
            Outcome(
                position=row[0],
                outcome_id=row[1],
                organisation=row[2],
                query_id=row[3],
                reference=row[4],
                kind=Kind(row[5]),
                decision=Decision(row[6]) if row[6] else None,
                happened_on=row[7],
                recorded_at=row[8],
                details=None if text is None else orjson.loads(text),
            )
        )
    return outcomes


def _digest(home: Home, one: Reported) -> bytes:
    """Tell the same report again, without the database alone telling what it was: keyed."""
    said: dict[str, JSON] = {
        "decision": one.decision.value if one.decision else None,
        "details": one.details,
        "happened_on": one.happened_on.isoformat(),
        "kind": one.kind.value,
        "query_id": str(one.query_id),
    }
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"outcome|" + canonical(said))
