"""How sources fare: for the gate, which labels what it releases, and for whoever relies on them (`sources_api`).

A feed's health is what `connectors.runs` keeps of it. A declared source that is delivered by hand or uploaded has no
times: it is late when its newest batch is older than the catalogue's freshness, and blocked if that batch was.

Nothing here names a person, a server or a credential; errors are published codes with words of ours.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from connectors import batches, health, runs, schedule, source
from connectors.codes import Words
from connectors.health import Health
from connectors.runs import Standing, partial_kinds
from connectors.schedule import Timetable
from connectors.source import Source
from registry.catalogue import current as catalogue
from registry.clock import rfc3339
from registry.database import Transaction

__all__ = ["SourceState", "document", "partial_kinds", "retry_after", "states"]

_BAD: Final = frozenset({Health.LATE, Health.FAILING, Health.BLOCKED})


@dataclass(frozen=True, slots=True)
class SourceState:
    """How one feed, or one declared source, fares at a moment.

    Attributes:
        feed: the feed's code; None for a source as it is declared, delivered by hand.
        agency: who answers for the feed; None as above.
        lag_seconds: since the last good run or batch; None before the first.
        retry_after: seconds until it is asked again, if something is wrong with it and it is known when.
    """

    source: str
    feed: str | None
    class_code: str
    kinds: tuple[str, ...]
    agency: str | None
    state: Health
    last_good: datetime | None
    next_due: datetime | None
    lag_seconds: int | None
    error: str | None
    retry_after: int | None

    @property
    def words(self) -> Words | None:
        """What the error means, in the published words."""
        return None if self.error is None else health.words(self.error)


def states(tx: Transaction, *, at: datetime) -> list[SourceState]:
    """Say how every feed and every declared source fares now, feeds by code, then sources by code."""
    declared = {one.source: one for one in source.current().sources}
    standing = runs.all_standing(tx, now=at)
    feeds = [_of_feed(one, declared.get(one.source), at) for _, one in sorted(standing.items()) if not one.retired_at]
    newest = batches.newest(tx)
    return feeds + [_of_source(one, newest.get(code), at) for code, one in sorted(declared.items())]


def retry_after(found: list[SourceState]) -> int | None:
    """Return in how many seconds the first of those that are not well is asked again; None if none is."""
    return min((one.retry_after for one in found if one.retry_after is not None), default=None)


def document(one: SourceState) -> dict[str, object]:
    """Write a state as the door publishes it."""
    said: dict[str, object] = asdict(one) | {"state": one.state.value, "kinds": list(one.kinds)}
    said["class"] = said.pop("class_code")
    for name in ("last_good", "next_due"):
        moment = getattr(one, name)
        said[name] = None if moment is None else rfc3339(moment)
    said["error_zh"] = one.words.zh if one.words else None
    said["error_en"] = one.words.en if one.words else None
    return said


def _of_feed(one: Standing, declared: Source | None, at: datetime) -> SourceState:
    state = health.at_moment(one.health, one.late_from, at=at)
    table = Timetable.of_text(one.timetable)
    due = None if table is None or one.paused_at is not None else schedule.next_due(table, one.past, now=at)
    return SourceState(
        source=one.source,
        feed=one.feed,
        class_code=declared.class_code if declared else "",
        kinds=one.kinds,
        agency=one.agency,
        state=state,
        last_good=one.last_good,
        next_due=due,
        lag_seconds=_since(one.last_good, at),
        error=one.error,
        retry_after=_seconds(due, at) if state in _BAD else None,
    )


def _of_source(one: Source, newest: tuple[datetime | None, str | None] | None, at: datetime) -> SourceState:
    kinds = tuple(table.kind for table in one.tables)
    good, blocked = newest or (None, None)
    fresh = timedelta(days=min(catalogue().kinds[kind].freshness_days for kind in kinds))
    state = health.standing(retired=False, paused=False, error=blocked, needs_somebody=True, good=good is not None)
    return SourceState(
        source=one.source,
        feed=None,
        class_code=one.class_code,
        kinds=kinds,
        agency=None,
        state=health.at_moment(state, None if good is None else good + fresh, at=at),
        last_good=good,
        next_due=None,
        lag_seconds=_since(good, at),
        error=blocked,
        retry_after=None,
    )


def _since(good: datetime | None, at: datetime) -> int | None:
    return None if good is None else max(0, int((at - good).total_seconds()))


def _seconds(due: datetime | None, at: datetime) -> int | None:
    return None if due is None else max(1, int((due - at).total_seconds()))
