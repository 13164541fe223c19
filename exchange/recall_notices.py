"""Notices: every lender that was shown a record is told, once, that its agency has recalled or corrected it.

  recalled   the record stands no more; what the lender was shown was wrong or is taken back
  corrected  a later version of the same record says something else; ask again to see it

A notice names the record's commitment and the lender's own queries that showed it: no person, no value. A subscription
showed nothing; it is told by its own events, while its consent stands (`monitoring`). A notice is made in
the transaction that recalls or corrects; that it looked for lenders is logged also where there are none, for the public
log must not tell whoever recalls a row whether its person asked for credit. A question that read the record a moment
before and commits a moment after is found by `complete`, which looks at the last minutes again (`jobs`); the same again
makes nothing new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from connectors import mending
from exchange.events import Event
from registry import clock, log, recalling
from registry.database import Transaction
from registry.recalling import Recalled
from registry.records import RecordRef

LOOK_BACK: Final = timedelta(minutes=10)  # longer than any question waits for its commit
_AT_ONCE: Final = 5_000
_NOTIFY: Final = (
    "WITH gone AS (SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::int[], %b::bytea[]) AS n(s, i, v, c)),"
    " shown AS (SELECT q.organisation, gone.c, array_agg(DISTINCT q.query_id::text) AS queries"
    "  FROM gone JOIN query q ON q.subject_id = gone.s AND q.mode <> 'monitor'"  # which showed nothing
    "  AND q.records->'versions' @> jsonb_build_array(jsonb_build_array(gone.i::text, gone.v)) GROUP BY 1, 2)"
    " INSERT INTO lender_notice (notice_id, organisation, commitment, event, queries, recalled_at)"
    " SELECT gen_random_uuid(), organisation, c, %b, queries, %b FROM shown ORDER BY organisation, c"
    " ON CONFLICT (organisation, commitment, event) DO UPDATE SET queries = EXCLUDED.queries"
    " WHERE NOT lender_notice.queries @> EXCLUDED.queries RETURNING organisation"
)


class What(StrEnum):
    """What has become of a record. The values stand in a table and in answers; never reuse one."""

    RECALLED = "recalled"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `position`: its place among all, for a cursor; `recalled_at`: when, also of a correction."""

    position: int
    notice_id: UUID
    commitment: bytes
    event: What
    queries: tuple[str, ...]
    recalled_at: datetime
    acknowledged_at: datetime | None


def notify(tx: Transaction, gone: Sequence[Recalled], what: What = What.RECALLED) -> int:
    """Tell every lender that was shown one of these versions; say how many notices were made or grew."""
    made = _make(tx, gone, what)
    _say(tx, made)
    return made


def notify_corrected(tx: Transaction, former: Sequence[Recalled]) -> int:
    """Tell every lender that was shown one of these versions that it has been corrected."""
    return notify(tx, former, What.CORRECTED)


def _make(tx: Transaction, recalled: Sequence[Recalled], what: What) -> int:
    now, made = clock.now(), 0
    for first in range(0, len(recalled), _AT_ONCE):
        page = recalled[first : first + _AT_ONCE]
        columns = (
            [one.ref.subject_id for one in page],
            [one.ref.record_id for one in page],
            [one.ref.version for one in page],
            [one.commitment for one in page],
        )
        made += len(tx.execute(_NOTIFY, (*columns, what.value, now)).fetchall())
    return made


def _say(tx: Transaction, made: int) -> None:
    entry = log.Entry(event=Event.LENDERS_NOTIFIED, at=clock.now(), actor="system", fields={"notices": made})
    log.append(tx, [entry])


def complete(tx: Transaction, *, now: datetime) -> int:
    """Notify again of what was recalled or corrected in the last minutes, for questions that were under way then.

    That it looked is logged each time: an entry only where notices were made would say of whom lenders had asked.
    """
    rows = tx.execute(
        "SELECT subject_id, record_id, version, commitment FROM record WHERE recalled_at >= %s", (now - LOOK_BACK,)
    ).fetchall()
    made = _make(tx, [Recalled(RecordRef(*row[:3]), row[3]) for row in rows], What.RECALLED)
    for batch_id, places in mending.corrected_since(tx, now - LOOK_BACK):
        made += _make(tx, recalling.corrected(tx, batch_id, places), What.CORRECTED)
    _say(tx, made)
    return made


def of_lender(tx: Transaction, organisation: str, *, after: int, limit: int, unacknowledged: bool) -> list[Notice]:
    """Give an organisation's notices behind a position, in their order."""
    rows = tx.execute(
        "SELECT position, notice_id, commitment, event, queries, recalled_at, acknowledged_at FROM lender_notice"
        " WHERE organisation = %s AND position > %s AND (NOT %s OR acknowledged_at IS NULL) ORDER BY position LIMIT %s",
        (organisation, after, unacknowledged, limit),
    ).fetchall()
    return [
        Notice(position, notice_id, commitment, What(event), tuple(queries), recalled_at, acknowledged_at)
        for position, notice_id, commitment, event, queries, recalled_at, acknowledged_at in rows
    ]


def acknowledge(tx: Transaction, organisation: str, notice_id: UUID, *, by: str, now: datetime) -> bool:
    """Note that a lender has taken a notice up; False if it has none of this id. The same again changes nothing."""
    row = tx.execute(
        "SELECT acknowledged_at FROM lender_notice WHERE notice_id = %s AND organisation = %s FOR UPDATE",
        (notice_id, organisation),
    ).fetchone()
    if row is None:
        return False
    if row[0] is None:
        tx.execute(
            "UPDATE lender_notice SET acknowledged_at = %s, acknowledged_by = %s WHERE notice_id = %s",
            (now, by, notice_id),
        )
        fields = {"notice_id": str(notice_id), "organisation": organisation}
        log.append(tx, [log.Entry(event=Event.NOTICE_ACKNOWLEDGED, at=now, actor=by, fields=fields)])
    return True
