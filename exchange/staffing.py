"""Staff of lenders: who may ask in a lender's name, until when (R-65: one person one user, none shared, ended in time).

An organisation keeps a list or it does not. From the first entry on, or from its registration in production, it does;
then a question that names nobody, or somebody who is not on it, at that moment and in that department, is refused at
the gate (`staff-not-listed`): an account without a person is a shared one. A process that asks by itself asks in the
name of whoever answers for it. Codes that differ by upper and lower case alone are one person's. Codes and departments,
no names: who is behind a code, the lender knows.

An entry has a first and a last day, a year at most. A later statement closes the one that stood; nothing is changed or
deleted, so that it can be said of every earlier question whether who asked was on the list.

The gate reads entries under a lock that whoever ends one waits for, and takes its moment afterwards: what was permitted
was permitted before the end.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from exchange.errors import RequestRefused
from exchange.events import Event
from registry import clock, log
from registry.database import Transaction
from registry.instants import BEIJING, beijing_day

LONGEST_DAYS: Final = 366
PAGE_MOST: Final = 200
User = tuple[str, str]  # organisation, code
NOBODY: Final = ("", "")  # code and department of whoever is not named; no list has them


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands of a person, or stood. The moments are the beginnings of days in Beijing; `until` is exclusive."""

    position: int
    user_id: str
    department: str
    valid_from: datetime
    valid_until: datetime
    stated_at: datetime
    ended_at: datetime | None

    def covers(self, department: str, now: datetime) -> bool:
        """Say whether somebody of this department is on the list at a moment."""
        return self.ended_at is None and department == self.department and self.valid_from <= now < self.valid_until


_COLUMNS: Final = "position, user_id, department, valid_from, valid_until, stated_at, ended_at"


def lock(tx: Transaction, users: Collection[User]) -> Mapping[User, Entry | None]:
    """Give what stands of users whose organisation keeps a list, locked; a user of one that keeps none is absent."""
    if not users:
        return {}
    keeping = {
        organisation
        for (organisation,) in tx.execute(
            "SELECT organisation FROM staff_list WHERE organisation = ANY(%s)", (sorted({one[0] for one in users}),)
        )
    }
    asked = sorted(one for one in users if one[0] in keeping)
    if not asked:
        return {}
    rows = tx.execute(
        f"SELECT organisation, {_COLUMNS} FROM lender_staff WHERE ended_at IS NULL AND (organisation, user_id) IN"  # noqa: S608  # fixed texts
        " (SELECT * FROM unnest(%s::text[], %s::text[])) ORDER BY organisation, user_id FOR SHARE",
        ([one[0] for one in asked], [one[1] for one in asked]),
    ).fetchall()
    standing = {(row[0], row[2]): Entry(*row[1:]) for row in rows}
    return {one: standing.get(one) for one in asked}


def page(tx: Transaction, organisation: str, *, after: int, limit: int, history: bool) -> list[Entry]:
    """List an organisation's entries in their order, those behind a position; with `history` the closed ones too."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM lender_staff WHERE organisation = %s AND position > %s"  # noqa: S608  # fixed texts
        " AND (ended_at IS NULL OR %s) ORDER BY position LIMIT %s",
        (organisation, after, history, limit),
    ).fetchall()
    return [Entry(*row) for row in rows]


def begin_list(tx: Transaction, organisation: str, *, now: datetime) -> None:
    """Have an organisation keep a list from now on."""
    tx.execute(
        "INSERT INTO staff_list (organisation, since) VALUES (%s, %s) ON CONFLICT DO NOTHING", (organisation, now)
    )


def put(  # what an entry states
    tx: Transaction,
    organisation: str,
    user_id: str,
    department: str,
    *,
    first: date,
    last: date,
    by: str,
) -> Entry:
    """Put a person on the list, or other words in the place of what stood; the same again changes nothing.

    Raises:
        RequestRefused: `staff-dates`, or `staff-alike`: the code differs from another by its case alone.
    """
    begin_list(tx, organisation, now=clock.now())
    standing = _held(tx, organisation, user_id)
    if _known_otherwise(tx, organisation, user_id):
        raise RequestRefused("staff-alike")
    now = clock.now()  # after the lock is held: whoever asks meanwhile asked before
    today = beijing_day(now)
    if not first <= last or last < today or max(last - first, last - today) >= timedelta(days=LONGEST_DAYS):
        raise RequestRefused("staff-dates")
    begins, ends = _beginning(first), _beginning(last + timedelta(days=1))
    if standing is not None:
        if (standing.department, standing.valid_from, standing.valid_until) == (department, begins, ends):
            return standing
        _close(tx, standing, now)
    row = tx.execute(
        "INSERT INTO lender_staff (organisation, user_id, department, valid_from, valid_until, stated_at, stated_by)"  # noqa: S608  # fixed texts
        f" VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
        (organisation, user_id, department, begins, ends, now, by),
    ).fetchall()[0]
    fields: dict[str, Any] = {
        "organisation": organisation,
        "user_id": user_id,
        "department": department,
        "first": first.isoformat(),
        "last": last.isoformat(),
    }
    log.append(tx, [log.Entry(Event.STAFF_STATED, at=now, actor=by, fields=fields)])
    return Entry(*row)


def end(tx: Transaction, organisation: str, user_id: str, *, by: str) -> None:
    """Take a person off the list at once. The code stays that person's: it is nobody else's later.

    Raises:
        RequestRefused: `staff-unknown`.
    """
    standing = _held(tx, organisation, user_id)
    if standing is None:
        raise RequestRefused("staff-unknown")
    now = clock.now()
    _close(tx, standing, now)
    fields: dict[str, Any] = {"organisation": organisation, "user_id": user_id}
    log.append(tx, [log.Entry(Event.STAFF_ENDED, at=now, actor=by, fields=fields)])


def _held(tx: Transaction, organisation: str, user_id: str) -> Entry | None:
    """Have what stands of a person for this transaction alone; two who state at once do it one after the other."""
    tx.execute("SELECT FROM staff_list WHERE organisation = %s FOR UPDATE", (organisation,))
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM lender_staff WHERE organisation = %s AND user_id = %s AND ended_at IS NULL FOR UPDATE",  # noqa: S608  # fixed texts
        (organisation, user_id),
    ).fetchone()
    return None if row is None else Entry(*row)


def _known_otherwise(tx: Transaction, organisation: str, user_id: str) -> bool:
    row = tx.execute(
        "SELECT FROM lender_staff WHERE organisation = %s AND lower(user_id) = lower(%s) AND user_id <> %s LIMIT 1",
        (organisation, user_id, user_id),
    )
    return row.fetchone() is not None


def _beginning(day: date) -> datetime:
    return datetime.combine(day, time(), BEIJING)


def _close(tx: Transaction, standing: Entry, now: datetime) -> None:
    tx.execute("UPDATE lender_staff SET ended_at = %s WHERE position = %s", (now, standing.position))
