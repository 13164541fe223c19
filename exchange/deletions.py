"""Deletion notices: a lender deletes what it was shown once the consent or the data's life is over, and says so.

  ask          a notice for each organisation that was shown something under a consent that was withdrawn or expired
  ask_outlived a notice of answers that have outlived their data life, while their consent runs on
  of_lender    an organisation's notices, in their order
  acknowledge  it says what it did: `deleted`, or `frozen_by_law` with the ground on which it keeps the data, unused
  run_clock    mark those whose time is over without a word, once, and log it (a job)
  of_all       what regulators read: of all lenders, or only what is overdue

Time: fifteen working days (`deletions.yml`; Monday to Friday). After a withdrawal, and whatever else ended a consent
before its time, from then on (the lender is told no other reason: docs/adr/0029). After a consent whose time was over
no earlier than the data life, counted from the last answer: until then the lender may keep what it was shown. The data
life is the one that was agreed to, or the purpose's of today if that is shorter. A question answered a moment before a
withdrawal is in the notice: whoever withdraws waits for its commit. What was shown under a consent that another took
the place of goes with that other one. A subscription is named like an answer, for the events that were told under it;
the data life is counted from its end.

That it was looked for answers is logged also where there were none: the public log must not tell whoever withdraws, or
watches somebody do so, whether the lender had asked. A notice names the consent and the lender's own queries, no
person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import yaml

from consent import ledger, purposes
from consent.events import Event as ConsentEvent
from consent.record import Consent, midnight
from exchange.errors import RequestRefused
from exchange.events import Event
from registry import log
from registry.canonical import JSON
from registry.clock import beijing_day
from registry.database import Transaction

REASONS: Final[Mapping[str, str]] = {
    ConsentEvent.WITHDRAWN.value: "withdrawn",
    ConsentEvent.EXPIRED.value: "expired",
}
AT_ONCE: Final = 500
PAGE_MOST: Final = 200
_FILE: Final = Path(__file__).with_name("deletions.yml")
_SATURDAY: Final = 5
_ASKING: Final = 7_118_453  # an advisory lock of a transaction; any number of our own
_SHOWN: Final = (
    "WITH RECURSIVE chain AS (SELECT consent_id, previous FROM consent WHERE consent_id = %s"
    "  UNION ALL SELECT c.consent_id, c.previous FROM chain JOIN consent c ON c.consent_id = chain.previous)"
    " SELECT organisation, array_agg(query_id::text ORDER BY decided_at), max(decided_at) FROM query"
    " WHERE subject_id = %s AND consent_id IN (SELECT consent_id FROM chain) GROUP BY organisation"
)
_STANDING: Final = (
    "SELECT consent_id FROM consent WHERE consent_id > %s AND state IN ('active', 'paused')"
    " ORDER BY consent_id LIMIT %s"
)
_OUTLIVED: Final = (
    "WITH RECURSIVE page AS (SELECT consent_id AS stands, consent_id, previous, subject_id,"
    "  make_interval(days => coalesce(least(data_life_days, (%s::jsonb ->> purpose)::int), 0)) AS life"
    "  FROM consent WHERE consent_id = ANY(%s)"
    "  UNION ALL SELECT p.stands, c.consent_id, c.previous, p.subject_id, p.life"
    "  FROM page p JOIN consent c ON c.consent_id = p.previous)"
    " SELECT p.stands, q.organisation, array_agg(q.query_id::text ORDER BY q.decided_at),"
    " max(q.decided_at + p.life) FROM page p"
    " JOIN query q ON q.subject_id = p.subject_id AND q.consent_id = p.consent_id AND q.decided_at + p.life <= %s"
    " AND NOT EXISTS (SELECT FROM monitor_subscription s WHERE s.subscription_id = q.query_id"
    "  AND (s.ended_at IS NULL OR s.ended_at + p.life > %s))"
    " WHERE NOT EXISTS (SELECT FROM page x JOIN deletion_notice d ON d.consent_id = x.consent_id"
    "  WHERE x.stands = p.stands AND d.organisation = q.organisation AND q.query_id::text = ANY(d.queries))"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)
_COLUMNS: Final = (
    "position, notice_id, organisation, consent_id, reason, queries, ended_at, due_at, acknowledged_at, outcome,"
    " legal_basis, overdue_at"
)


class Outcome(StrEnum):
    """What a lender did. The values are published; never reuse one."""

    DELETED = "deleted"
    FROZEN_BY_LAW = "frozen_by_law"


@dataclass(frozen=True, slots=True)
class Rules:
    """What `deletions.yml` says."""

    working_days: int
    legal_bases: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `position`: its place among all, for a cursor."""

    position: int
    notice_id: UUID
    organisation: str
    consent_id: str
    reason: str
    queries: tuple[str, ...]
    ended_at: datetime
    due_at: datetime
    acknowledged_at: datetime | None
    outcome: str | None
    legal_basis: str | None
    overdue_at: datetime | None


@lru_cache(maxsize=1)
def rules() -> Rules:
    """Read the declared rules."""
    declared: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return Rules(int(declared["working_days"]), declared["legal_bases"])


def after_working_days(start: datetime, days: int) -> datetime:
    """Give the end of the n-th working day in Beijing after an instant; its own day is not counted (民法典 §201)."""
    day = beijing_day(start)
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < _SATURDAY
    return midnight(day + timedelta(days=1))


def due(reason: str, ended_at: datetime, last_shown: datetime, data_life_days: int) -> datetime:
    """Say until when what was shown is to be deleted."""
    soonest = after_working_days(ended_at, rules().working_days)
    return soonest if reason == "withdrawn" else max(soonest, last_shown + timedelta(days=data_life_days))


# ---- made and answered ----------------------------------------------------------------------------------------------


def ask(tx: Transaction, ended: Mapping[str, datetime], *, now: datetime) -> int:
    """Ask for deletion under consents that have ended, each at its instant; the same again changes nothing."""
    found = ledger.get(tx, list(ended))
    made = sum(_ask(tx, consent, ended[consent_id]) for consent_id, consent in sorted(found.items()))
    fields: dict[str, JSON] = {"consents": len(ended), "notices": made}
    log.append(tx, [log.Entry(Event.DELETIONS_ASKED.value, at=now, actor="system", fields=fields)])
    return made


def _ask(tx: Transaction, consent: Consent, ended_at: datetime) -> int:
    agreed, purpose = consent.terms.data_life_days, purposes.current().get(consent.terms.scope.purpose)
    life = (agreed or 0) if purpose is None else purpose.life_days(agreed)
    shown = tx.execute(
        _SHOWN,
        (consent.consent_id, consent.terms.subject_id),
    ).fetchall()
    reason = consent.told.value  # it has ended, and ends no second time; early, it is as if it were withdrawn
    return sum(
        tx.execute(
            "INSERT INTO deletion_notice (notice_id, organisation, consent_id, reason, queries, ended_at, due_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (organisation, consent_id) WHERE reason <> 'data-life' DO NOTHING",
            (
                uuid4(),
                organisation,
                consent.consent_id,
                reason,
                queries,
                ended_at,
                due(reason, ended_at, last_shown, life),
            ),
        ).rowcount
        for organisation, queries, last_shown in shown
    )


def ask_outlived(tx: Transaction, after: str, *, now: datetime) -> list[str]:
    """Ask for deletion of answers that have outlived their data life, for a page of consents that stand (a job).

    Give the last id of a page to get the next; the page after the last is shorter than AT_ONCE.
    """
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_ASKING,))
    page = [row[0] for row in tx.execute(_STANDING, (after, AT_ONCE))]
    lives = {code: purpose.data_life_days for code, purpose in purposes.current().by_code.items()}
    rows = tx.execute(_OUTLIVED, (orjson.dumps(lives).decode(), page, now, now)).fetchall()
    for consent_id, organisation, queries, over_at in rows:
        tx.execute(
            "INSERT INTO deletion_notice (notice_id, organisation, consent_id, reason, queries, ended_at, due_at)"
            " VALUES (%s, %s, %s, 'data-life', %s, %s, %s)",
            (uuid4(), organisation, consent_id, queries, over_at, after_working_days(now, rules().working_days)),
        )
    if page:
        fields: dict[str, JSON] = {"consents": len(page), "notices": len(rows)}
        log.append(tx, [log.Entry(Event.DELETIONS_ASKED.value, at=now, actor="system", fields=fields)])
    return page


def of_lender(tx: Transaction, organisation: str, *, after: int, limit: int, open_only: bool) -> list[Notice]:
    """Give an organisation's notices behind a position, in their order."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deletion_notice WHERE organisation = %s AND position > %s"  # noqa: S608  # fixed texts
        " AND (NOT %s OR acknowledged_at IS NULL) ORDER BY position LIMIT %s",
        (organisation, after, open_only, limit),
    ).fetchall()
    return [_notice(row) for row in rows]


def acknowledge(
    tx: Transaction,
    organisation: str,
    notice_id: UUID,
    outcome: Outcome,
    legal_basis: str | None,
    *,
    by: str,
    now: datetime,
) -> None:
    """Note what a lender did. The same again changes nothing; `deleted` may follow `frozen_by_law`, never the reverse.

    Raises:
        RequestRefused: `not-found`: it has no notice of this id; `deletion-basis`: a ground is missing, unknown, or
            given for what was deleted; `deletion-settled`: it said something else before.
    """
    frozen = outcome is Outcome.FROZEN_BY_LAW
    if frozen != (legal_basis is not None) or (legal_basis is not None and legal_basis not in rules().legal_bases):
        raise RequestRefused("deletion-basis")
    row = tx.execute(
        "SELECT outcome, legal_basis FROM deletion_notice WHERE notice_id = %s AND organisation = %s FOR UPDATE",
        (notice_id, organisation),
    ).fetchone()
    if row is None:
        raise RequestRefused("not-found")
    said = tuple(row)
    if said == (outcome.value, legal_basis):
        return
    if said[0] == Outcome.DELETED or (said[0] is not None and frozen):
        raise RequestRefused("deletion-settled")
    tx.execute(
        "UPDATE deletion_notice SET acknowledged_at = %s, acknowledged_by = %s, outcome = %s, legal_basis = %s"
        " WHERE notice_id = %s",
        (now, by, outcome.value, legal_basis, notice_id),
    )
    fields: dict[str, JSON] = {
        "notice_id": str(notice_id),
        "organisation": organisation,
        "outcome": outcome.value,
        "legal_basis": legal_basis,
    }
    log.append(tx, [log.Entry(Event.DELETION_ACKNOWLEDGED.value, at=now, actor=by, fields=fields)])


# ---- clock and regulators -------------------------------------------------------------------------------------------


def run_clock(tx: Transaction, *, now: datetime) -> int:
    """Mark notices whose time is over without an answer, and log each; say how many. Call again until under AT_ONCE."""
    rows = tx.execute(
        "UPDATE deletion_notice SET overdue_at = %s WHERE notice_id IN (SELECT notice_id FROM deletion_notice"
        " WHERE acknowledged_at IS NULL AND overdue_at IS NULL AND due_at <= %s ORDER BY due_at LIMIT %s"
        " FOR UPDATE SKIP LOCKED) RETURNING notice_id, organisation",
        (now, now, AT_ONCE),
    ).fetchall()
    log.append(
        tx,
        [
            log.Entry(
                Event.DELETION_OVERDUE.value,
                at=now,
                actor="system",
                fields={"notice_id": str(notice_id), "organisation": organisation},
            )
            for notice_id, organisation in rows
        ],
    )
    return len(rows)


def of_all(tx: Transaction, *, after: int, limit: int, overdue: bool, now: datetime) -> list[Notice]:
    """Give the notices of all lenders behind a position; with `overdue` those whose time is over without an answer."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deletion_notice WHERE position > %s"  # noqa: S608  # fixed texts
        " AND (NOT %s OR (acknowledged_at IS NULL AND due_at <= %s)) ORDER BY position LIMIT %s",
        (after, overdue, now, limit),
    ).fetchall()
    return [_notice(row) for row in rows]


def note_reading(tx: Transaction, actor: str, count: int, *, now: datetime) -> None:
    """Write to the log that a regulator read notices, and how many were shown."""
    fields: dict[str, JSON] = {"notices": count}
    log.append(tx, [log.Entry(Event.DELETIONS_READ.value, at=now, actor=actor, fields=fields)])


def _notice(row: Any) -> Notice:  # noqa: ANN401  # a row of the driver
    position, notice_id, organisation, consent_id, reason, queries, *rest = row
    return Notice(position, notice_id, organisation, consent_id, reason, tuple(queries), *rest)
