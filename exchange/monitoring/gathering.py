"""What happened to those who are watched, read from the log's own entries, in the order of the log.

    entry                          what is looked for
    records published              versions of that chunk
    records recalled               versions that the act took back
    records checked                findings that were kept in the same transaction
    dispute filed, answered        the disputed item and its record
    a consent changed              how it stands now, as its recipient is told it (docs/adr/0029)
    a client suspended             what its system subscribed to

The log has no gaps and grows at its end alone, so that an entry that was gone past was told, or was nothing to tell.
One page is the entries up to the first that published records: each chunk of these is a transaction of its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from consent.events import Event as Change
from consent.grant import State, told
from exchange.events import Event
from exchange.home import Home
from exchange.release import watching
from registry import store
from registry.database import Transaction
from registry.recalling import RECALLED
from registry.records import RecordRef

AT_ONCE: Final = 500  # entries that matter, at most, in one page
PROGRESS: Final = "monitor"
ENDINGS: Final = {Change.WITHDRAWN.value: State.WITHDRAWN, Change.EXPIRED.value: State.EXPIRED}
STATES: Final = {
    **ENDINGS,
    Change.SUPERSEDED.value: State.SUPERSEDED,
    Change.PAUSED.value: State.PAUSED,
    Change.RESUMED.value: State.ACTIVE,
    Change.RECONFIRMED.value: State.ACTIVE,
}
_MATTER: Final = (
    store.PUBLISHED,
    RECALLED,
    Event.RECORDS_CHECKED.value,
    Event.DISPUTE_FILED.value,
    Event.DISPUTE_ANSWERED.value,
    Event.CLIENT_SUSPENDED.value,
    *STATES,
)
_BEFORE: Final = timedelta(days=1)  # an entry's time may lie before its commit: what was shown already is known anyway
What = Literal["published", "recalled", "disputed", "answered", "found", "consent", "suspended"]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in their order, and how far the log has been gone through with them."""

    entries: Sequence["Entry"]
    reached: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log that may matter."""

    place: int
    entry_id: UUID
    event: str
    at: datetime
    consent_id: str | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened, for one subscription. What is not known of a kind of happening is None."""

    what: What
    at: datetime
    subscription_id: UUID | None
    record: RecordRef | None = None
    item: str | None = None  # of a dispute
    marked: bool = False  # of an answer
    rule: str | None = None  # of a finding
    state: State | None = None  # of a consent
    about: str | None = None  # which consent, or which client
    place: int = -1  # of its entry in the log


def next_page(home: Home, tx: Transaction) -> Page | None:
    """Read the next entries that may matter; None if the log has been gone through.

    Whoever was subscribing while the last of them were written is waited for: else it would be told of them neither by
    what it found nor by an event.
    """
    reached, newest = tx.execute(
        "SELECT (SELECT reached FROM telling_progress WHERE name = %s), max(leaf_index) FROM log_position", (PROGRESS,)
    ).fetchall()[0]
    if newest is None or newest <= reached:
        return None
    watching.wait_for_subscribers(home)
    if tx.execute("SELECT FROM monitor_subscription WHERE ended_at IS NULL LIMIT 1").fetchone() is None:
        return Page([], newest)  # nobody is watched
    rows = tx.execute(
        "SELECT p.leaf_index, e.entry_id, e.event, e.at, e.consent_id, e.fields FROM log_position p"
        " JOIN log_entry e USING (entry_id) WHERE p.leaf_index > %s AND p.leaf_index <= %s AND e.event = ANY(%s)"
        " ORDER BY p.leaf_index LIMIT %s",
        (reached, newest, list(_MATTER), AT_ONCE),
    ).fetchall()
    last = next((place for place, row in enumerate(rows) if row[2] == store.PUBLISHED), None)
    if last is not None:
        rows = rows[: last + 1]
    whole = last is None and len(rows) < AT_ONCE
    return Page([Entry(*row) for row in rows], newest if whole else rows[-1][0])


def go_past(tx: Transaction, page: Page) -> None:
    """Note that a page has been told."""
    tx.execute("UPDATE telling_progress SET reached = %s WHERE name = %s", (page.reached, PROGRESS))


def happened(tx: Transaction, page: Page) -> list[Happened]:
    """Say what a page means to which subscription, in the order of the log."""
    return [replace(one, place=entry.place) for entry in page.entries for one in _meant(tx, entry)]


def _meant(tx: Transaction, entry: Entry) -> list[Happened]:
    if entry.event == store.PUBLISHED:
        return _published(tx, entry)
    if entry.event == RECALLED:
        return _recalled(tx, entry)
    if entry.event == Event.RECORDS_CHECKED:
        return _found(tx, entry)
    if entry.event in {Event.DISPUTE_FILED, Event.DISPUTE_ANSWERED}:
        return _disputed(tx, entry)
    if entry.event == Event.CLIENT_SUSPENDED:
        return [Happened("suspended", entry.at, None, about=str(entry.fields["client_id"]))]
    return _of_consent(tx, entry) if entry.consent_id is not None else []


def resumed(tx: Transaction, consents: Collection[str]) -> dict[str, int]:
    """Say of consents that were paused once where in the log the last pause ended.

    What lies before it may have happened in the pause, though the pause was over before the log was gone through.
    """
    rows = tx.execute(
        "SELECT e.consent_id, max(p.leaf_index) FROM log_entry e JOIN log_position p USING (entry_id)"
        " WHERE e.consent_id = ANY(%s) AND e.event = %s GROUP BY 1",
        (list(consents), Change.RESUMED.value),
    ).fetchall()
    return dict(rows)


_WATCHED: Final = (
    " JOIN monitor_subscription s ON s.subject_id = r.subject_id AND s.ended_at IS NULL AND s.made_at < %s"
)


def _published(tx: Transaction, entry: Entry) -> list[Happened]:
    """Versions that stand in no earlier answer: what the subscribing found already is no news."""
    rows = tx.execute(
        "SELECT s.subscription_id, r.subject_id, r.record_id, r.version FROM record_chunk c JOIN record r"  # noqa: S608  # fixed texts
        " ON r.publication_id = c.publication_id AND r.chunk_id = c.chunk_id" + _WATCHED + " JOIN query q"
        " ON q.query_id = s.subscription_id WHERE c.entry_id = %s AND NOT EXISTS (SELECT FROM"
        " jsonb_array_elements(q.records -> 'versions') v WHERE (v ->> 0)::uuid = r.record_id"
        " AND (v ->> 1)::int >= r.version) ORDER BY s.position, r.kind, r.record_id, r.version",
        (entry.at + _BEFORE, entry.entry_id),
    ).fetchall()
    return [Happened("published", entry.at, row[0], RecordRef(*row[1:])) for row in rows]


def _recalled(tx: Transaction, entry: Entry) -> list[Happened]:
    """Versions that this act took back, of records of which nothing later of theirs stands.

    What the subscribing found stood then, and was taken back afterwards, whatever the clocks say.
    """
    rows = tx.execute(
        "SELECT s.subscription_id, r.subject_id, r.record_id, r.version FROM publication p JOIN record r"  # noqa: S608  # fixed texts
        " USING (publication_id)" + _WATCHED + " JOIN query q ON q.query_id = s.subscription_id"
        " WHERE p.batch_id = %s AND r.recalled_at = %s AND (s.made_at < %s"
        " OR q.records -> 'versions' @> jsonb_build_array(jsonb_build_array(r.record_id, r.version))) AND NOT EXISTS"
        " (SELECT FROM record l JOIN publication o ON o.publication_id = l.publication_id"
        " WHERE l.subject_id = r.subject_id AND l.record_id = r.record_id AND l.version > r.version"
        " AND o.published_at IS NOT NULL) ORDER BY s.position, r.kind, r.record_id, r.version",
        (entry.at + _BEFORE, UUID(entry.fields["batch_id"]), entry.at, entry.at),
    ).fetchall()
    return [Happened("recalled", entry.at, row[0], RecordRef(*row[1:])) for row in rows]


def _found(tx: Transaction, entry: Entry) -> list[Happened]:
    rows = tx.execute(
        "SELECT s.subscription_id, r.subject_id, r.record_id, r.version, r.rule FROM finding r"  # noqa: S608  # fixed texts
        + _WATCHED
        + " WHERE r.found_at = %s AND r.cleared_at IS NULL ORDER BY s.position, r.rule, r.record_id",
        (entry.at, entry.at),
    ).fetchall()
    return [Happened("found", entry.at, row[0], RecordRef(*row[1:4]), rule=row[4]) for row in rows]


def _disputed(tx: Transaction, entry: Entry) -> list[Happened]:
    filed = entry.event == Event.DISPUTE_FILED
    rows = tx.execute(
        "SELECT s.subscription_id, r.subject_id, r.record_id, r.version, r.item, r.marked FROM dispute r"  # noqa: S608  # fixed texts
        + _WATCHED
        + " WHERE r.dispute_id = %s ORDER BY s.position",
        (entry.at, UUID(entry.fields["dispute_id"])),
    ).fetchall()
    return [
        Happened(
            "disputed" if filed else "answered", entry.at, row[0], RecordRef(*row[1:4]), item=row[4], marked=row[5]
        )
        for row in rows
    ]


def _of_consent(tx: Transaction, entry: Entry) -> list[Happened]:
    rows = tx.execute(
        "SELECT s.subscription_id, c.valid_until FROM monitor_subscription s JOIN consent c USING (consent_id)"
        " WHERE s.consent_id = %s AND s.ended_at IS NULL ORDER BY s.position",
        (entry.consent_id,),
    ).fetchall()
    state = STATES[entry.event]
    return [
        Happened(
            "consent", entry.at, row[0], state=told(state, since=entry.at, valid_until=row[1]), about=entry.consent_id
        )
        for row in rows
    ]
