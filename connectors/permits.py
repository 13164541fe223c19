"""Which sources an agency may deliver: those that the operator has permitted it, and no others.

Whoever is registered may upload; what it uploads speaks of a source, told by its headings. Without a permit for that
source nothing of the table is held: otherwise any agency could put its own rows in the place of another's, or publish
rows of classes that rest on no consent. Asked whenever a file is weighed, so that a permit that ends counts for files
that lie here already: nothing new is held of them; what they have published stays until it is recalled.

Files of a feed, and those that the operator takes in, need no permit: the operator has named their source itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from connectors.delivery import Channel, Delivery
from connectors.events import Event
from connectors.normalise import TableOutcome
from registry import log
from registry.canonical import JSON
from registry.database import Transaction

NOT_PERMITTED: Final = "SOURCE_NOT_PERMITTED"


def permitted(tx: Transaction, agency: str) -> frozenset[str]:
    """Give the codes of the declarations that an agency may deliver."""
    rows = tx.execute("SELECT source FROM agency_source WHERE agency = %s", (agency,)).fetchall()
    return frozenset(source for (source,) in rows)


def permit(tx: Transaction, agency: str, sources: Collection[str], *, now: datetime) -> list[str]:
    """Let an agency deliver these sources from now on, and log it; give those that it could not before."""
    rows = tx.execute(
        "INSERT INTO agency_source (agency, source, since) SELECT %s, s, %s FROM unnest(%s::text[]) AS s"
        " ON CONFLICT DO NOTHING RETURNING source",
        (agency, now, sorted(set(sources))),
    ).fetchall()
    return _told(tx, Event.SOURCES_PERMITTED, agency, rows, now)


def refuse(tx: Transaction, agency: str, sources: Collection[str], *, now: datetime) -> list[str]:
    """Let an agency deliver these sources no more, and log it; give those that it could before."""
    rows = tx.execute(
        "DELETE FROM agency_source WHERE agency = %s AND source = ANY(%s) RETURNING source", (agency, list(sources))
    ).fetchall()
    return _told(tx, Event.SOURCES_REFUSED, agency, rows, now)


def hold(outcomes: Sequence[TableOutcome], delivery: Delivery, allowed: Collection[str]) -> list[TableOutcome]:
    """Block, whole, every table of an upload whose source its agency may not deliver. Pure."""
    if delivery.channel is not Channel.UPLOAD:
        return list(outcomes)
    return [one if one.source is None or one.source in allowed else _blocked(one) for one in outcomes]


def _blocked(outcome: TableOutcome) -> TableOutcome:
    """Leave of a table what it is and how long: nothing that its rows say."""
    bare: dict[str, Any] = {"counts": {}, "codes": {}, "apparent": {}, "amount_fen": None, "stated_fen": None}
    return replace(outcome, blocked=NOT_PERMITTED, controls=(), held=None, **bare)


def _told(tx: Transaction, event: Event, agency: str, rows: Sequence[tuple[str]], now: datetime) -> list[str]:
    changed = sorted(source for (source,) in rows)
    if changed:
        fields: dict[str, JSON] = {"agency": agency, "sources": list(changed)}
        log.append(tx, [log.Entry(event=event.value, at=now, actor="operator", fields=fields)])
    return changed
