"""The *collecting* entrance of the gate: which people a source may be asked about. Only identifiers leave.

Steps, for each page:
  1. open one transaction
  2. decide: people with a consent in force that covers the kind on that day, by the rule of intake (`consent.covering`)
  3. write to the log, as counts, that the agency is told who they are
  4. open their identifiers
  5. commit; only then hand the page out

An agency that is asked about a person learns that the person has consented to somebody's question. It is asked
nevertheless where it can filter: the other way is to be sent everybody's data (ADR 0019). It is told neither to whom
nor to what, and a withdrawal that commits before a page is opened takes the person out of it. Pages are opened one by
one, when they are asked for, so that memory is bounded and nobody is told who is not asked about after all.

Not here: asking the source (`connectors`), which gets this as a function it is handed.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from consent import covering
from exchange.events import Event
from exchange.home import Home
from registry import clock, disclosure, identifying, log
from registry.canonical import JSON
from registry.identifiers import SubjectKind
from registry.records import NOBODY

PAGE: Final = 1000  # people told at once


def people_for(home: Home, kind: str, *, actor: str, at: date, page: int = PAGE) -> Iterator[list[str]]:
    """Give the normalised identifiers of people whose consent in force covers a kind on a day, page by page.

    Args:
        home: the installation.
        kind: a kind of the catalogue.
        actor: the agency that is asked, or the feed that asks it; stands in the log.
        at: the day (+08:00) on which a consent must stand.
        page: how many people are looked at for one page.

    Raises:
        KeyError: the catalogue has no such kind.
        DatabaseUnavailable, psycopg.Error: an entry could not be written. Nothing was told.
    """
    after = NOBODY
    while True:
        told: list[str] = []
        with home.database.transaction() as tx:  # 1, 5
            people, last = covering.covered_people(tx, kind, at, after=after, limit=page)  # 2
            sealed = identifying.sealed_of(tx, people, SubjectKind.PERSON)
            if sealed:
                fields: dict[str, JSON] = {"day": at.isoformat(), "kind": kind, "people": len(sealed)}
                entry = log.Entry(event=Event.PEOPLE_TOLD, at=clock.now(), actor=actor, fields=fields)
                log.append(tx, [entry])  # 3
                told = sorted(disclosure.open_identifiers(home.datakeys, sealed).values())  # 4
        if told:
            yield told
        if last is None:
            return
        after = last
