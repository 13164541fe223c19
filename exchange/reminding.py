"""Reminders: a person is told, once for each date, that a consent is about to end or wants to be confirmed again.

Which reminders there are is declared in `reminders.yml`. One that was missed because nothing ran is not made up for
when a later one of the same date is due: the person is told how things stand, once. A consent that was given after a
reminder's moment gets none. That a reminder was left is a row with a key of consent, kind and date, written in the
transaction of the message: neither a restart nor two processes leave it twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from exchange import messages
from exchange.home import Home
from registry import clock
from registry.clock import rfc3339
from registry.database import Transaction

AT_ONCE: Final = 500
_FILE: Final = Path(__file__).with_name("reminders.yml")
_LATE: Final = timedelta(days=30)  # a date that lies further back is no news
_DATES: Final[Mapping[str, tuple[str, str]]] = {  # of a consent: column, and the name under which days are declared
    "expiry": ("valid_until", "before_expiry_days"),
    "reconfirmation": ("reconfirm_by", "before_reconfirmation_days"),
}


@dataclass(frozen=True, slots=True)
class Reminder:
    """One kind of reminder. `covers` are those that it makes needless: of the same date, earlier."""

    about: str
    days: int
    covers: tuple[str, ...]

    @property
    def what(self) -> str:
        """Its name in the table."""
        return f"{self.about}-{self.days}"


@lru_cache(maxsize=1)
def declared() -> tuple[Reminder, ...]:
    """Read the reminders, of each date the latest first."""
    said: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Reminder(about, day, tuple(f"{about}-{other}" for other in said[name] if other >= day))
        for about, (_, name) in _DATES.items()
        for day in sorted(said[name])
    )


def remind_due(tx: Transaction, reminder: Reminder, *, now: datetime) -> int:
    """Leave the reminders of one kind that are due, at most AT_ONCE; say how many consents were looked at."""
    column = _DATES[reminder.about][0]
    before = timedelta(days=reminder.days)
    rows = tx.execute(
        f"SELECT consent_id, subject_id, recipient, purpose, {column} FROM consent c"  # noqa: S608  # a name of ours
        f" WHERE state IN ('active', 'paused') AND valid_until > %s AND {column} > %s AND {column} <= %s"
        f" AND created_at < {column} - %s AND NOT EXISTS (SELECT FROM reminder_sent r"
        f" WHERE r.consent_id = c.consent_id AND r.what = %s AND r.due_at = c.{column})"
        " ORDER BY consent_id LIMIT %s",
        (now, now - _LATE, now + before, before, reminder.what, AT_ONCE),
    ).fetchall()
    for consent_id, subject_id, recipient, purpose, at in rows:
        mine = tx.execute(
            "INSERT INTO reminder_sent (consent_id, what, due_at, sent_at)"
            " SELECT %s, w, %s, %s FROM unnest(%s::text[]) AS w ON CONFLICT DO NOTHING RETURNING what",
            (consent_id, at, now, list(reminder.covers)),
        ).fetchall()
        if (reminder.what,) in mine:
            facts = {"about": reminder.about, "consent_id": consent_id, "at": rfc3339(at)}
            facts |= {"purpose": purpose, "recipient": recipient}
            messages.leave(tx, subject_id, messages.Kind.REMINDER, facts, now)
    return len(rows)


def remind_all(home: Home) -> None:
    """Leave every reminder that is due, page by page (a job)."""
    for reminder in declared():
        while True:
            with home.database.transaction() as tx:
                if remind_due(tx, reminder, now=clock.now()) < AT_ONCE:
                    break
