"""Figures about consents, as regulators of data sharing ask for them (CDR): by month, by channel, by language.

  of_month       what happened in a month that is over: new, amended, paused, resumed, confirmed again, withdrawn,
                 expired, refused; how many stood at its end; how requests to people ended, by stage
  count_requests adds up how requests ended before they are forgotten (a job)
  standing_now   how many consents stand in each state, for gauges

Changes are counted from the log's entries, so a month that is over stays as it was told. No figure speaks of fewer than
FEWEST_PEOPLE: a smaller one is not told, with it the next smallest of the same row where it could be worked out from
the sum, and what stood at the end is told in whole tens, since otherwise the changes would follow from two of them.
The month that runs is not told: two readings of it, a moment apart, would speak of whoever acted in between.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from connectors.normalise import FEWEST_PEOPLE
from consent.events import Event
from consent.record import midnight
from exchange.errors import RequestRefused
from registry.clock import beijing_day
from registry.database import Transaction

FIGURES: Final[Mapping[str, str]] = {
    Event.GRANTED.value: "new",
    Event.PAUSED.value: "paused",
    Event.RESUMED.value: "resumed",
    Event.RECONFIRMED.value: "reconfirmed",
    Event.WITHDRAWN.value: "withdrawn",
    Event.EXPIRED.value: "expired",
    Event.REFUSED.value: "refused",
}
_STANDS: Final = ("active", "paused")
_UNKNOWN: Final = "unknown"
_COUNTING: Final = 7_118_451  # an advisory lock of a transaction; any number of our own
_PHONES: Final = timedelta(days=3, minutes=15)  # after it, nothing more becomes of a request to a phone
_PAGES: Final = timedelta(minutes=15)  # nor of one on the page
_CHANGES: Final = (
    "SELECT e.event, e.fields->>'channel', c.text_language, c.previous IS NOT NULL, count(*)"
    " FROM log_entry e LEFT JOIN consent c USING (consent_id) WHERE e.event = ANY(%s) AND e.at >= %s AND e.at < %s"
    " AND (e.event = ANY(%s) OR e.fields->>'was' IS NOT NULL) GROUP BY 1, 2, 3, 4"  # not those recorded as over
)
_STOOD: Final = (
    "SELECT c.channel, c.text_language, count(*) FROM consent c JOIN log_entry e ON e.entry_id = c.receipt_entry"
    " WHERE e.event = ANY(%s) AND e.at < %s AND c.valid_until > %s AND (c.state = ANY(%s) OR c.state_at >= %s)"
    " GROUP BY 1, 2"
)
_PHONE_STAGES: Final = (
    "SELECT created_at, CASE WHEN state IN ('agreed', 'refused') THEN state"
    " WHEN subject_id IS NULL THEN 'unreached' ELSE 'unanswered' END AS stage, language FROM consent_request"
)
_PAGE_STAGES: Final = "SELECT created_at, coalesce(outcome, 'unanswered') AS stage, language FROM authorization_request"
_ADD: Final = (
    "INSERT INTO consent_request_day (day, channel, stage, language, requests)"
    " SELECT (created_at AT TIME ZONE 'Asia/Shanghai')::date, %s, stage, coalesce(language, %s), count(*)"
    " FROM ({}) AS r WHERE created_at >= to_timestamp(%s) AND created_at < to_timestamp(%s) GROUP BY 1, 3, 4"
    " ON CONFLICT (day, channel, stage, language) DO UPDATE"
    " SET requests = consent_request_day.requests + EXCLUDED.requests"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: in all, by channel, by language. None: fewer than FEWEST_PEOPLE, or it would follow from others."""

    total: int | None
    by_channel: Mapping[str, int | None]
    by_language: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Figures:
    """A month's figures. `requests` are by channel and stage, `requests_by_language` by those and then by language."""

    month: str
    changes: Mapping[str, Figure]
    standing: Figure
    requests: Mapping[str, Mapping[str, int | None]]
    requests_by_language: Mapping[str, Mapping[str, Mapping[str, int | None]]]


# ---- pure -----------------------------------------------------------------------------------------------------------


def told(counts: Mapping[str, int]) -> tuple[int | None, dict[str, int | None]]:
    """Say what may be told of counts and of their sum."""
    total = sum(counts.values())
    hidden = {name for name, count in counts.items() if 0 < count < FEWEST_PEOPLE}
    shown = sorted((count, name) for name, count in counts.items() if count >= FEWEST_PEOPLE)
    while hidden and shown and (len(hidden) == 1 or sum(counts[name] for name in hidden) < FEWEST_PEOPLE):
        hidden.add(shown.pop(0)[1])  # the rest of the sum must not speak of few either
    parts = {name: None if name in hidden else count for name, count in sorted(counts.items())}
    return (None if 0 < total < FEWEST_PEOPLE else total), parts


def in_tens(counts: Mapping[str, int]) -> tuple[int, dict[str, int | None]]:
    """Say counts and their sum in whole tens, rounded down."""
    return sum(counts.values()) // 10 * 10, {name: count // 10 * 10 for name, count in sorted(counts.items())}


def ended(
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> tuple[dict[str, dict[str, int | None]], dict[str, dict[str, dict[str, int | None]]]]:
    """Say what may be told of requests: by channel and stage, and each of those by language.

    A stage that is not told is told in no language either; no sum by language over stages or channels is told, since
    with it what is hidden here would follow.
    """
    by_stage: dict[str, dict[str, int | None]] = {}
    by_language: dict[str, dict[str, dict[str, int | None]]] = {}
    for channel, stages in counts.items():
        by_stage[channel] = told({stage: sum(languages.values()) for stage, languages in stages.items()})[1]
        by_language[channel] = {
            stage: told(stages[stage])[1] if total is not None else dict.fromkeys(sorted(stages[stage]))
            for stage, total in by_stage[channel].items()
        }
    return by_stage, by_language


def edges(month: str, *, now: datetime) -> tuple[datetime, datetime]:
    """Give the instants between which a month lies in Beijing.

    Raises:
        RequestRefused: `figures-month`: it is no month, or not over.
    """
    try:
        first = date.fromisoformat(f"{month}-01")
        behind = (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError) as error:
        raise RequestRefused("figures-month") from error
    if behind > beijing_day(now):
        raise RequestRefused("figures-month")
    return midnight(first), midnight(behind)


def _figure(rows: Iterable[tuple[str, str, int]]) -> tuple[dict[str, int], dict[str, int]]:
    channels: dict[str, int] = {}
    languages: dict[str, int] = {}
    for channel, language, count in rows:
        channels[channel] = channels.get(channel, 0) + count
        languages[language] = languages.get(language, 0) + count
    return channels, languages


# ---- read and kept --------------------------------------------------------------------------------------------------


def of_month(tx: Transaction, month: str, *, now: datetime) -> Figures:
    """Give the figures of a month that is over.

    Raises:
        RequestRefused: as `edges`.
    """
    first, behind = edges(month, now=now)
    whole = [event for event in FIGURES if event not in {Event.PAUSED, Event.WITHDRAWN, Event.EXPIRED}]
    found: dict[str, list[tuple[str, str, int]]] = {name: [] for name in (*FIGURES.values(), "amended")}
    for event, channel, language, replaces, count in tx.execute(_CHANGES, (list(FIGURES), first, behind, whole)):
        name = "amended" if event == Event.GRANTED and replaces else FIGURES[event]
        found[name].append((channel or _UNKNOWN, language or _UNKNOWN, count))
    changes = {}
    for name, rows in sorted(found.items()):
        channels, languages = _figure(rows)
        total, by_channel = told(channels)
        changes[name] = Figure(total, by_channel, told(languages)[1])
    given = [Event.GRANTED.value, Event.PAUSED.value]
    stood = tx.execute(_STOOD, (given, behind, behind, list(_STANDS), behind)).fetchall()
    channels, languages = _figure(stood)
    total, by_channel = in_tens(channels)
    standing = Figure(total, by_channel, in_tens(languages)[1])
    requests, requests_by_language = ended(_requests(tx, beijing_day(first), beijing_day(behind)))
    return Figures(month, changes, standing, requests, requests_by_language)


def _requests(tx: Transaction, first: date, behind: date) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for channel, stage, language, count in tx.execute(
        "SELECT channel, stage, language, sum(requests)::bigint FROM consent_request_day WHERE day >= %s AND day < %s"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        (first, behind),
    ):
        found.setdefault(channel, {}).setdefault(stage, {})[language] = count
    return found


def count_requests(tx: Transaction, *, now: datetime) -> None:
    """Add up, once, requests of which nothing more becomes; they are forgotten later."""
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_COUNTING,))
    for channel, source, after in (("phone", _PHONE_STAGES, _PHONES), ("page", _PAGE_STAGES, _PAGES)):
        name, until = f"requests:{channel}", int((now - after).timestamp())
        row = tx.execute("SELECT reached FROM telling_progress WHERE name = %s", (name,)).fetchone()
        since = 0 if row is None else row[0]
        if until <= since:
            continue
        tx.execute(_ADD.format(source), (channel, _UNKNOWN, since, until))
        tx.execute(
            "INSERT INTO telling_progress (name, reached) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET reached = EXCLUDED.reached",
            (name, until),
        )


def standing_now(tx: Transaction) -> dict[str, int]:
    """Count consents by state."""
    return dict(tx.execute("SELECT state, count(*) FROM consent GROUP BY state").fetchall())
