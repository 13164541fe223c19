"""Consents that somebody gave for another, and whose ground is over: a ward has grown up, a proxy's paper has ended.

A consent ends on that day by its own date, which is set when it is given. Some stand longer all the same: recorded
before that rule, given for a purpose whose age was lowered since, or for somebody whose day of birth was corrected.
They are looked for among all that stand, and end as if their time were over: logged, told to the lender and to the
subject, and what rested on them alone is frozen. What an appointed guardian gave for an adult goes on.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from consent import ledger, purposes
from consent.ages import OF_AGE
from consent.record import Consent
from consent.representation import Kind, Relation
from exchange import consents
from exchange.home import Home
from registry import clock, identifying, store
from registry.clock import beijing_day
from registry.database import Transaction
from registry.identifiers import years_between

AT_ONCE: Final = 500


def end_all(home: Home) -> None:
    """End whatever stands on a ground that is over, page by page (a job)."""
    after = ""
    while True:
        with home.database.transaction() as tx:
            page = end_page(tx, home, after, now=clock.now())
        if len(page) < AT_ONCE:
            return
        after = page[-1]


def end_page(tx: Transaction, home: Home, after: str, *, now: datetime) -> list[str]:
    """End what has lost its ground among a page of consents that others gave; give the ids that were looked at."""
    page = [
        row[0]
        for row in tx.execute(
            "SELECT consent_id FROM consent WHERE representation IS NOT NULL"
            " AND state IN ('requested', 'active', 'paused') AND consent_id > %s ORDER BY consent_id LIMIT %s",
            (after, AT_ONCE),
        )
    ]
    standing = ledger.get(tx, page).values()
    births = identifying.births(tx, home.sealing, {one.terms.subject_id for one in standing})
    today = beijing_day(now)
    over = [one for one in standing if ground_over(one, births.get(one.terms.subject_id), _ages(), today)]
    if over:
        store.hold_subjects(tx, {one.terms.subject_id for one in over})
        consents.end_in(tx, [one.consent_id for one in over], now=now)
    return page


def ground_over(consent: Consent, birth: date | None, ages: Mapping[str, int], today: date) -> bool:
    """Say whether whoever gave a consent for another could not give it today. Pure.

    Args:
        consent: one that somebody gave for another.
        birth: the subject's day of birth, by the identifier that is current; None if it is not known.
        ages: from which age each purpose needs no guardian.
        today: the day, in Beijing.
    """
    acted = consent.terms.representation
    if acted is None:
        return False
    if acted.last_day is not None and acted.last_day < today:
        return True
    alone = ages.get(consent.terms.scope.purpose)
    if acted.kind is not Kind.GUARDIAN or birth is None or alone is None:
        return False
    taken = beijing_day(consent.terms.captured_at or consent.created_at)
    if acted.relation is Relation.APPOINTED and years_between(birth, taken) >= OF_AGE:
        return False
    return years_between(birth, today) >= alone


def _ages() -> dict[str, int]:
    return {code: purpose.guardian_until_age for code, purpose in purposes.current().by_code.items()}
