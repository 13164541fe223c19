"""Telling lenders of their consents: every change of one, in order, at least once, until they say that it arrived.

The events are the log's own entries (`consent:…`), which are written in the transaction of the act: none can be
forgotten by whoever acts, and there is no second box to fall out of step with (docs/adr/0026). Here is only how far the
log has been gone through, and which events have arrived.

  spread       go on through the log: note which organisation is to hear of which entry; ask for what an ended consent
               leaves to be deleted (`deletions`)
  waiting      the events of an organisation that have not arrived, in their order, as tokens say them
  acknowledge  they arrived;   failed: the receiver could not take one
  forget       drop what arrived long ago

The order is that of the log, so the events of one consent come in the order in which they happened; whoever acts on a
consent holds its row. A person's "no" is told only where it answered a request and the person let the lender know
(`capture.requests`). What a person is told is read from the same entries (`messages`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from consent.events import Event
from consent.grant import State, told
from exchange import deletions
from exchange.home import Home
from exchange.oauth.clients import ACTIVE
from exchange.security_events import NAMES, Told
from registry import clock
from registry.database import Transaction

AT_ONCE: Final = 2000  # entries of the log in one transaction
ERRORS_MOST: Final = 5  # times that a receiver may say it cannot take an event, before it is given up
KEPT: Final = timedelta(days=30)  # after an event arrived; the log keeps what it said
ERRORS: Final = frozenset(  # RFC 8935 §2.4; whatever else a receiver says is not kept
    {
        "invalid_request",
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
    }
)
_SPREADING: Final = 7_118_450  # an advisory lock of a transaction; any number of our own
_PAGE: Final = (
    "SELECT p.leaf_index, e.entry_id, e.event, e.at, e.subject_id, e.consent_id, e.fields"
    " FROM log_position p JOIN log_entry e USING (entry_id)"
    " WHERE p.leaf_index > %s AND p.leaf_index <= %s AND e.event = ANY(%s) ORDER BY p.leaf_index"
)
_WAITING: Final = (
    "SELECT e.entry_id, e.event, e.at, l.about, e.fields, c.previous, c.valid_until FROM lender_event l"
    " JOIN log_entry e USING (entry_id) LEFT JOIN consent c ON c.consent_id = l.about"
    " WHERE l.organisation = %s AND l.settled_at IS NULL"
    " AND EXISTS (SELECT FROM client k WHERE k.client_id = %s AND k.organisation = l.organisation AND k.state = %s)"
    " ORDER BY l.position LIMIT %s"
)


# ---- through the log ------------------------------------------------------------------------------------------------


def spread(tx: Transaction, *, now: datetime) -> int:
    """Go on through the log, at most AT_ONCE entries; say how many that were. One process at a time."""
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_SPREADING,))
    after, newest = tx.execute(
        "SELECT (SELECT reached FROM telling_progress WHERE name = 'log'), max(leaf_index) FROM log_position"
    ).fetchall()[0]
    last = min(after + AT_ONCE, -1 if newest is None else newest)
    if last <= after:
        return 0
    rows = tx.execute(_PAGE, (after, last, list(NAMES))).fetchall()
    heard = [line for row in rows if (line := _line(tx, row)) is not None]
    if heard:
        tx.execute(
            "INSERT INTO lender_event (position, organisation, entry_id, about, errors)"
            " SELECT p, o, e, a, 0 FROM unnest(%s::bigint[], %s::text[], %s::uuid[], %s::text[]) AS n(p, o, e, a)",
            [list(column) for column in zip(*heard, strict=True)],
        )
    ended = {row[5]: row[3] for row in rows if row[2] in deletions.REASONS and row[5] is not None}
    if ended:
        deletions.ask(tx, ended, now=now)
    tx.execute("UPDATE telling_progress SET reached = %s WHERE name = 'log'", (last,))
    return int(last - after)


def spread_all(home: Home) -> None:
    """Go through all of the log that is numbered, page by page (a job)."""
    while True:
        with home.database.transaction() as tx:
            if spread(tx, now=clock.now()) < AT_ONCE:
                return


def _line(tx: Transaction, row: Sequence[Any]) -> tuple[int, str, UUID, str] | None:
    position, entry_id, event, at, subject_id, consent_id, fields = row
    recipient = str(fields["recipient"])
    if event != Event.REFUSED:
        return position, recipient, entry_id, consent_id
    request_id = _refused_openly(tx, subject_id, recipient, fields, at)
    return None if request_id is None else (position, recipient, entry_id, request_id)


def _refused_openly(
    tx: Transaction, subject_id: UUID, recipient: str, fields: Mapping[str, Any], at: datetime
) -> str | None:
    row = tx.execute(
        "SELECT request_id FROM consent_request WHERE subject_id = %s AND recipient = %s AND state = 'refused' AND told"
        " AND settled_at = %s AND terms->>'purpose' = %s",
        (subject_id, recipient, at, fields["purpose"]),
    ).fetchone()
    return None if row is None else str(row[0])


# ---- to a lender ----------------------------------------------------------------------------------------------------


def waiting(tx: Transaction, organisation: str, client_id: str, *, limit: int) -> list[Told]:
    """Give the events of an organisation that have not arrived, the first first; none to a client that is suspended."""
    rows = tx.execute(_WAITING, (organisation, client_id, ACTIVE, limit)).fetchall()
    return [_told(*row) for row in rows]


def _told(  # the columns of a row
    entry_id: UUID,
    event: str,
    at: datetime,
    about: str,
    fields: Mapping[str, Any],
    previous: str | None,
    valid_until: datetime | None,
) -> Told:
    """Say an entry as its lender is told it: what ended before its time as withdrawn (docs/adr/0029)."""
    if event == Event.EXPIRED and valid_until is not None:
        state = told(State.EXPIRED, since=at, valid_until=valid_until)
        event = Event.EXPIRED.value if state is State.EXPIRED else Event.WITHDRAWN.value
        fields = {**fields, "state": state.value}
    return Told(str(entry_id), event, at, about, fields, previous)


def acknowledge(
    tx: Transaction, organisation: str, jtis: Collection[UUID], *, now: datetime, how: str = "acknowledged"
) -> int:
    """Note that events arrived; say how many waited until now. Those of others, or of nobody, change nothing."""
    return tx.execute(
        "UPDATE lender_event SET settled_at = %s, settled = %s"
        " WHERE organisation = %s AND entry_id = ANY(%s) AND settled_at IS NULL",
        (now, how, organisation, list(jtis)),
    ).rowcount


def failed(tx: Transaction, organisation: str, errors: Mapping[UUID, str], *, now: datetime) -> int:
    """Note that a receiver could not take events; after ERRORS_MOST times one is given up. Say how many were."""
    given_up = 0
    for jti, error in errors.items():
        row = tx.execute(
            "UPDATE lender_event SET errors = errors + 1, error = %s,"
            " settled_at = CASE WHEN errors + 1 >= %s THEN %s::timestamptz END,"
            " settled = CASE WHEN errors + 1 >= %s THEN 'given-up' END"
            " WHERE organisation = %s AND entry_id = %s AND settled_at IS NULL RETURNING settled_at",
            (error if error in ERRORS else "other", ERRORS_MOST, now, ERRORS_MOST, organisation, jti),
        ).fetchone()
        given_up += row is not None and row[0] is not None
    return given_up


def forget(tx: Transaction, *, now: datetime) -> int:
    """Drop the lines of events that arrived long ago (a job); those that were given up stay, for the operator."""
    return tx.execute(
        "DELETE FROM lender_event WHERE settled_at < %s AND settled <> 'given-up'", (now - KEPT,)
    ).rowcount
