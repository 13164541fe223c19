"""Which items of a kind may be held of a subject on a day, and who has consented to any. One rule, in one statement.

  covering        which consent lets a subject's rows of a kind be taken in, and which items (intake's basis)
  covered_people  page by page, everybody of whom `covering` says so: whom a source may be asked about

Holding is not releasing: a release is decided by one consent alone (consent.decision), under lock (consent.ledger).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from consent.record import midnight
from registry import catalogue
from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class Cover:
    """What a subject's consents let one take in of a kind: the consent to name, and all items that they cover."""

    consent_id: str
    items: frozenset[str]


_COVERING: Final = (
    "SELECT subject_id, consent_id, w_acknowledged, array_to_string(items, ' ') FROM consent"
    " WHERE subject_id = ANY(%b) AND items && %s"
    " AND (state = 'active' OR (state = 'expired' AND state_at >= valid_until))"
    " AND valid_from < %s AND valid_until >= %s ORDER BY subject_id, valid_until DESC, consent_id"
)


def covering(tx: Transaction, subject_ids: Collection[UUID], kind: str, at: date) -> dict[UUID, Cover]:
    """Find, for each subject, which items of a kind may be taken in on a day (+08:00), and a consent to name for it.

    The items are those that the subject's consents cover together, to whichever recipients: holding is not releasing,
    and each release is decided by one consent alone (consent.decision). A consent counts if it is active, begins before
    the day is over and reaches to the end of the day. W-items (R-05) count only from consents with adverse consequences
    acknowledged. Subjects without any item are absent. The consent named is the one that lasts longest of those that
    count.

    A consent that the job has meanwhile marked expired still covers the days before it ended.

    Raises:
        KeyError: the catalogue has no such kind.
    """
    wanted = catalogue.current().kinds[kind].items
    told = {True: wanted, False: wanted - catalogue.current().w_items}
    day_over = midnight(at + timedelta(days=1))
    named: dict[UUID, str] = {}
    covered: dict[UUID, frozenset[str]] = {}
    read: dict[tuple[str, bool], frozenset[str]] = {}
    found = tx.execute(_COVERING, (list(subject_ids), sorted(wanted), day_over, day_over))
    for subject_id, consent_id, acknowledged, written in found:
        if (written, acknowledged) not in read:
            read[written, acknowledged] = told[acknowledged].intersection(written.split())
        items = read[written, acknowledged]
        if items:
            named.setdefault(subject_id, consent_id)
            before = covered.get(subject_id, items)
            covered[subject_id] = items if before is items else before | items
    return {subject_id: Cover(consent_id, covered[subject_id]) for subject_id, consent_id in named.items()}


_ANYBODY: Final = (
    "SELECT DISTINCT subject_id FROM consent WHERE subject_id > %s AND items && %s AND state IN ('active', 'expired')"
    " ORDER BY subject_id LIMIT %s"
)


def covered_people(tx: Transaction, kind: str, at: date, *, after: UUID, limit: int) -> tuple[list[UUID], UUID | None]:
    """Find a page of subjects with a consent that covers a kind on a day, in the order of their ids.

    Who might be is found by the kind's items; `covering` alone says who is.

    Args:
        tx: the caller's transaction.
        kind: a kind of the catalogue.
        at: the day (+08:00).
        after: where the page before ended; the id of nobody to begin.
        limit: how many subjects are looked at.

    Returns:
        The page, which may be empty though others follow, and where it ended: None after the last.
    """
    wanted = sorted(catalogue.current().kinds[kind].items)
    looked_at = [row[0] for row in tx.execute(_ANYBODY, (after, wanted, limit))]
    covered = covering(tx, looked_at, kind, at)
    last = looked_at[-1] if len(looked_at) == limit else None
    return [subject_id for subject_id in looked_at if subject_id in covered], last
