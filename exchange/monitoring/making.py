"""The job that turns what happened into events: each exactly once, decided and logged in one transaction.

Steps for each page of the log (the numbers are used in the code and the tests):
  1. take the lock of monitoring; one process does this at a time
  2. read the next entries that may matter, and what they mean to which subscription (`gathering`)
  3. lock the consents, and decide each subscription as of now (`release.watching.standing`)
  4. look into what must be compared (`looking`); say what it is called (`deciding`)
  5. write the events, numbered for each subscription, and each into the log
  6. end subscriptions whose consent is over, or whose system was suspended
  7. move the cursor, and commit all of it together

Killed anywhere, a page is done again, or was done. Events lie in one order for all subscriptions, that of their
`position`, since one process at a time writes them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import orjson

from consent.grant import ENDED, State
from exchange.home import Home
from exchange.monitoring import deciding, declared, gathering, keeping
from exchange.monitoring.deciding import Said
from exchange.monitoring.gathering import Happened
from exchange.monitoring.keeping import Subscription
from exchange.monitoring.looking import Matter
from exchange.release import watching
from exchange.release.watching import Told
from registry import clock
from registry.database import Transaction

_MAKING: Final = 7_118_452  # an advisory lock of a transaction; any number of our own


def make_all(home: Home, *, at_step: Callable[[int], None] = lambda _: None) -> None:
    """Go through all of the log that is numbered, page by page, and end what is due (the job)."""
    while _make_page(home, at_step):
        pass
    with home.database.transaction() as tx:
        keeping.end_due(tx, now=clock.now())


def _make_page(home: Home, at_step: Callable[[int], None]) -> bool:
    at_step(1)
    with home.database.transaction() as tx:  # 7
        tx.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))  # 1
        at_step(2)
        page = gathering.next_page(home, tx)  # 2
        if page is None:
            return False
        found = gathering.happened(tx, page)
        if found:
            _tell(home, tx, found, at_step)
        at_step(7)
        gathering.go_past(tx, page)
    return True


def _tell(home: Home, tx: Transaction, found: Sequence[Happened], at_step: Callable[[int], None]) -> None:
    live = keeping.live(tx, {one.subscription_id for one in found if one.subscription_id is not None})
    at_step(3)
    now, standing = watching.standing(tx, [one.watch for one in live.values()])  # 3
    at_step(4)
    matter = Matter(home, tx, found, standing, now)  # 4
    resumed = gathering.resumed(tx, {one.watch.consent_id for one in live.values()})
    made: list[tuple[Subscription, Happened, Said]] = []
    for one in found:
        subscription = live.get(one.subscription_id) if one.subscription_id is not None else None
        if subscription is not None and _in_time(subscription, one, resumed):
            made += [(subscription, one, said) for said in deciding.wanted(matter.said(one), subscription.events)]
    at_step(5)
    ids = _insert(tx, made, now) if made else []  # 5
    told = [
        Told(standing[subscription.watch.subscription_id], event_id, said.type, str(said.facts["kind"]))
        for event_id, (subscription, _, said) in zip(ids, made, strict=True)
        if said.type != declared.CONSENT  # the consent's own entry says it
    ]
    watching.note(tx, told, opened=matter.opened, subscriptions=len(standing), now=now)
    at_step(6)
    for one in found:  # 6
        if one.what == "consent" and one.state in ENDED and one.about is not None:
            keeping.end_of_consent(tx, one.about, one.state.value if one.state else State.WITHDRAWN.value, now=now)
        elif one.what == "suspended" and one.about is not None:
            keeping.end_of_client(tx, one.about, since=one.at, now=now)


def _in_time(subscription: Subscription, one: Happened, resumed: Mapping[str, int]) -> bool:
    """Say whether it happened while the subscription stood.

    Of records what the subscribing found tells, not the clock (`gathering`); and a consent that is over ended after it
    was subscribed under. What lies in the log before the end of a pause is not told, late as it may be gone through.
    """
    if one.what != "consent" and one.place < resumed.get(subscription.watch.consent_id, -1):
        return False
    if subscription.until is not None and one.at >= subscription.until:
        return False
    return one.what in {"published", "recalled"} or one.state in ENDED or one.at >= subscription.made_at


def _insert(tx: Transaction, made: Sequence[tuple[Subscription, Happened, Said]], now: datetime) -> list[UUID]:
    """Write events in their order, each with the next number of its subscription; give their ids."""
    counted: dict[UUID, int] = {}
    rows, ids = [], []
    for subscription, one, said in made:
        watch = subscription.watch
        counted[watch.subscription_id] = counted.get(watch.subscription_id, subscription.sequence) + 1
        ids.append(uuid4())
        rows.append(
            (
                ids[-1],
                watch.organisation,
                watch.subscription_id,
                watch.subject_id,
                watch.consent_id,
                counted[watch.subscription_id],
                said.type,
                orjson.dumps(dict(said.facts)).decode(),
                one.at,
                now,
                now,
            )
        )
    with tx.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO monitor_event (event_id, organisation, subscription_id, subject_id, consent_id, sequence,"
            " type, facts, at, made_at, next_at, attempts)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, 0)",
            rows,
        )
    tx.execute(
        "UPDATE monitor_subscription s SET sequence = n.q FROM unnest(%s::uuid[], %s::int[]) AS n(i, q)"
        " WHERE s.subscription_id = n.i",
        (list(counted), list(counted.values())),
    )
    return ids
