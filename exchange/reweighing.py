"""All open files are weighed again: consents were granted and withdrawn, and days begun on which one starts or ends.

Once a night, at `HOUR` in Beijing; in between in every quarter of an hour before which anybody's consent has changed;
and when the operator asks. The public log gets the same entries of every batch, whether it has changed or not, all at
the time at which the run began. So who sends files of one person and watches the log learns what the log's consent
entries tell anyway: that somebody in the province has consented, not who.

That a run was is in the log, so whoever leads next does not repeat it; one that was broken off is done again. A file
that fails or is busy waits for the next run.

Not here: what weighing is (`connectors.intake`); a withdrawal, which freezes in its own transaction (`consents`).
"""

from datetime import datetime, time, timedelta
from typing import Final

from exchange import audit, mending
from exchange.events import Event
from exchange.home import Home
from registry import clock, log
from registry.database import Transaction

HOUR: Final = time(2)
SLOWEST_COMMIT: Final = timedelta(seconds=60)  # an entry's time is its act's, and it is seen when that commits


def weigh_due(home: Home) -> None:
    """Weigh all open files again if it is time: a night has begun, or a quarter after a consent has changed."""
    now = clock.now()
    with home.database.transaction() as tx:
        done = _newest(tx, Event.FILES_WEIGHED.value)
        if done is not None and (
            done >= last_quarter(now)
            or (done >= last_night(now) and _newest(tx, "consent:*", since=done - SLOWEST_COMMIT) is None)
        ):
            return
    weigh_all(home, actor="system")


def _newest(tx: Transaction, event: str, since: datetime | None = None) -> datetime | None:
    found = audit.read(tx, audit.Filters(event=event, since=since), limit=1).events
    return datetime.fromisoformat(found[0]["at"]) if found else None


def weigh_all(home: Home, *, actor: str) -> int:
    """Weigh all open files again; say how many batches have changed.

    Raises:
        What one of the files failed with, after all the others were weighed.
    """
    taken, began = [], clock.now()
    try:
        taken = mending.intake_of(home).reevaluate_evenly()
    finally:
        with home.database.transaction() as tx:
            entry = log.Entry(event=Event.FILES_WEIGHED, at=began, actor=actor, fields={"batches": len(taken)})
            log.append(tx, [entry])
    return sum(one.changed for one in taken)


def last_quarter(now: datetime) -> datetime:
    """Give the last full quarter of an hour."""
    return now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)


def last_night(now: datetime) -> datetime:
    """Give the last moment at which it was `HOUR` in Beijing."""
    local = now.astimezone(clock.BEIJING)
    today = datetime.combine(local.date(), HOUR, clock.BEIJING)
    return today if local >= today else today - timedelta(days=1)
