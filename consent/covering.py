"""Which items of a kind may be held of a subject on a day, and who has consented to any. One rule, in one statement.

  covering        which consent lets a subject's rows of a kind be taken in, and which items (intake's basis)
  covering_ids    the same of many thousand subjects, by the 16 bytes of their ids
  changed_since   of which subjects consents may have changed since `moment`: only they need be asked about again
  covered_people  page by page, everybody of whom `covering` says so: whom a source may be asked about

Holding is not releasing: a release is decided by one consent alone (consent.decision), under lock (consent.ledger).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from consent.record import midnight
from registry import catalogue
from registry.arrays import ID_BYTES, Ids, cut
from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class Cover:
    """What a subject's consents let one take in of a kind: the consent to name, and all items that they cover."""

    consent_id: str
    items: frozenset[str]


_COVERING: Final = (  # a row for each set of items, with all who agreed to it: ids, ends and consents in one run
    "SELECT w_acknowledged, array_to_string(items, ' '), string_agg(uuid_send(subject_id)"
    " || timestamptz_send(valid_until) || convert_to(rpad(consent_id, 64), 'UTF8'), ''::bytea) FROM consent"
    " WHERE subject_id = ANY(%b) AND items && %b"
    " AND (state = 'active' OR (state = 'expired' AND state_at >= valid_until))"
    " AND valid_from < %b AND valid_until >= %b GROUP BY w_acknowledged, items"
)
_MOMENT_BYTES: Final = 8
_CONSENT_BYTES: Final = 64  # an id and blanks behind it; ids are written UUIDs, of 36 characters


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
    found = covering_ids(tx, [subject.bytes for subject in subject_ids], kind, at)
    return {UUID(bytes=subject): cover for subject, cover in found.items()}


def covering_ids(tx: Transaction, subjects: Sequence[bytes], kind: str, at: date) -> dict[bytes, Cover]:
    """Do as `covering`, for subjects given by the 16 bytes of their ids.

    Raises:
        KeyError: the catalogue has no such kind.
    """
    wanted = catalogue.current().kinds[kind].items
    told = {True: wanted, False: wanted - catalogue.current().w_items}
    day_over = midnight(at + timedelta(days=1))
    named: dict[bytes, tuple[bytes, bytes]] = {}
    covered: dict[bytes, frozenset[str]] = {}
    asked = (Ids(subjects), sorted(wanted), day_over, day_over)
    for acknowledged, written, run in tx.execute(_COVERING, asked, binary=True):
        items = told[acknowledged].intersection(written.split())
        for subject, until, consent_id in cut(run, ID_BYTES, _MOMENT_BYTES, _CONSENT_BYTES) if items else ():
            before = covered.get(subject)
            covered[subject] = items if before is None or before is items else before | items
            if before is None or _lasts_longer((until, consent_id), named[subject]):
                named[subject] = until, consent_id
    return {subject: Cover(named[subject][1].decode().rstrip(), items) for subject, items in covered.items()}


def _lasts_longer(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> bool:
    """Compare by end (as the server sends it: of moments after 2000, a greater one is greater), then by id."""
    return one[0] > other[0] or (one[0] == other[0] and one[1] < other[1])


_CHANGED: Final = (  # transaction numbers go round: at most 2^31 further is later
    "SELECT string_agg(uuid_send(subject_id), ''::bytea) FROM consent WHERE subject_id = ANY(%b)"
    " AND ((xmin::text::bigint - %b::bigint) & 4294967295) < 2147483648"
)


def moment(tx: Transaction) -> int:
    """Mark a moment: every change of a consent that a later statement might not see yet has this number or a later one.

    It is the number of the oldest transaction that is on.
    """
    row = tx.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295").fetchone()
    if row is None:
        raise RuntimeError("the database tells no transaction number")
    number: int = row[0]
    return number


def changed_since(tx: Transaction, mark: int, subjects: Sequence[bytes]) -> set[bytes]:
    """Name those of these subjects of whom a consent was recorded or changed since `moment`; now and then one too many.

    By the number of the transaction that wrote a consent's row: no clock, and no withdrawal that was under way, is
    missed. Consents are never deleted. Whoever must not miss one that is under way now holds the subjects first.
    """
    row = tx.execute(_CHANGED, (Ids(subjects), mark), binary=True).fetchone()
    return {subject for (subject,) in cut(row[0] if row else None, ID_BYTES)}


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
