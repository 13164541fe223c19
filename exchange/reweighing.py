"""All open files are weighed again: consents were granted and withdrawn, and days begun on which one starts or ends.

Once a night, at `HOUR` in Beijing, and when the operator asks; never because a consent has changed. The public log
gets the same entries of every batch, whether it has changed or not, all at the time at which the run began. So who
sends files of one person and watches the log learns neither that the person consents nor when.

That a run was is in the log, so whoever leads next does not repeat it; one that was broken off is done again. A file
that fails or is busy waits for the next night.

Not here: what weighing is (`connectors.intake`); a withdrawal, which freezes in its own transaction (`consents`).
"""

from datetime import datetime, time, timedelta
from typing import Final

from exchange import audit, mending
from exchange.events import Event
from exchange.home import Home
from registry import clock, log

HOUR: Final = time(2)


def weigh_nightly(home: Home) -> None:
    """Weigh all open files again if that has not been done since the last night began."""
    wanted = audit.Filters(event=Event.FILES_WEIGHED.value, since=last_night(clock.now()))
    with home.database.transaction() as tx:
        done = audit.read(tx, wanted, limit=1).events
    if not done:
        weigh_all(home, actor="system")


def weigh_all(home: Home, *, actor: str) -> int:
    """Weigh all open files again; say how many batches have changed.

    Raises:
        What one of the files failed with, after all the others were weighed.
    """
    taken = []
    try:
        taken = mending.intake_of(home).reevaluate_evenly()
    finally:
        with home.database.transaction() as tx:
            entry = log.Entry(event=Event.FILES_WEIGHED, at=clock.now(), actor=actor, fields={"batches": len(taken)})
            log.append(tx, [entry])
    return sum(one.changed for one in taken)


def last_night(now: datetime) -> datetime:
    """Give the last moment at which it was `HOUR` in Beijing."""
    local = now.astimezone(clock.BEIJING)
    today = datetime.combine(local.date(), HOUR, clock.BEIJING)
    return today if local >= today else today - timedelta(days=1)
