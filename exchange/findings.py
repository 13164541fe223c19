"""What the consistency rules found: kept so that what stood at a moment can be told again.

  check_published  the job: go through what was published since, page by page, and keep what the rules find
  forget_frozen    what was found in records that a withdrawal froze stands no more, from the withdrawal's own commit on
  of_agency        what stands in an agency's own batches, told so that nobody learns who has consented
  counts           how much stood at a moment, by rule, agency and class, for regulators
  not_checked      what the rules do not check, and why, for both

Steps of the job, for each page of a publication's subjects, in one transaction:
  1. take the lock of checking; one process checks at a time
  2. read how far the rules have gone through this publication
  3. check the next subjects (`release.checking`: decides, opens, logs; only flags come out)
  4. keep the flags that are new; clear those that stood and were not found again
  5. move the cursor, and commit all of it together

A publication is due until its row says that it is done: nothing depends on the order in which publications committed.
A finding is never changed but for `cleared_at`, once.

Why an agency is told of persons in counts only, and nothing of fewer than TOLD_FROM persons or of a table with few
rows: findings exist of people who have consented and of nobody else, so a finding on a person's row, or in a table made
to ask about that person, would say that this person seeks credit. What
intake itself remarks on rows (by code) it remarks before it asks for consent, and tells by row.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from connectors import batches
from connectors.normalise import FEWEST_PEOPLE
from consent.scope import recipient_name
from exchange.consistency import declared
from exchange.consistency.evaluating import Flag
from exchange.consistency.unchecked import Unchecked, unchecked
from exchange.home import Home
from exchange.release.checking import Checked, check, check_nobody
from registry import catalogue, clock
from registry.database import Transaction
from registry.errors import RegistryError
from registry.records import NOBODY, RecordRef

TOLD_FROM: Final = FEWEST_PEOPLE  # persons of one batch at fault under one rule, before an agency is told how many
SUBJECTS_AT_ONCE: Final = 500  # of a publication, in one transaction
ROWS_MOST: Final = 1000  # findings told by row at once
_LOOKED_UP_AT_ONCE: Final = 20_000  # ids of a publication's subjects, so that its index is not read for each page
_PUBLICATIONS_AT_ONCE: Final = 50
_CHECKING: Final = 7_204_150_312  # an advisory lock of a transaction; any number of our own


# ---- the job --------------------------------------------------------------------------------------------------------


def check_published(home: Home, *, page: int = SUBJECTS_AT_ONCE) -> int:
    """Check everything that was published and has not been checked; say how many publications that was.

    What was found in records that have been frozen or recalled since is cleared first.

    Raises:
        SealBroken, ProofFailed: records of a publication do not open as they were sealed. The others were checked.
    """
    with home.database.transaction() as tx:
        tx.execute(_CLEAR_FROZEN, (clock.now(),))
    done, failed = 0, None
    while due := _due(home):
        for publication_id, class_code in due:
            try:
                _check_one(home, publication_id, class_code, page)
                done += 1
            except RegistryError as error:
                failed = failed or error
        if failed is not None:
            raise failed
    return done


def _due(home: Home) -> list[tuple[UUID, str]]:
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT p.publication_id, p.class_code FROM publication p LEFT JOIN checked_publication c"
            " USING (publication_id) WHERE p.published_at IS NOT NULL AND c.done_at IS NULL"
            " ORDER BY p.published_at, p.publication_id LIMIT %s",
            (_PUBLICATIONS_AT_ONCE,),
        ).fetchall()


def _check_one(home: Home, publication_id: UUID, class_code: str, page: int) -> None:
    read = declared.fields_read()
    concerned = any(kind.code in read for kind in catalogue.current().kinds_of(class_code))
    while True:
        with home.database.transaction() as tx:
            after = _begun(tx, publication_id, now=clock.now())
            if after is None:
                return
            subjects = _touched(tx, publication_id, after) if concerned else []
        for first in range(0, len(subjects), page):
            _check_page(home, publication_id, subjects[first : first + page])
        if len(subjects) < _LOOKED_UP_AT_ONCE:
            _done(home, publication_id, nobody=concerned and not subjects and after == NOBODY)
            return


def _done(home: Home, publication_id: UUID, *, nobody: bool) -> None:
    with home.database.transaction() as tx:
        now = clock.now()
        ended = tx.execute(
            "UPDATE checked_publication SET done_at = %s WHERE publication_id = %s AND done_at IS NULL",
            (now, publication_id),
        ).rowcount
        if ended and nobody:
            check_nobody(tx, publication_id, now=now)


def _begun(tx: Transaction, publication_id: UUID, *, now: datetime) -> UUID | None:
    """Give the subject after whom checking goes on; None if all have been checked."""
    tx.execute(
        "INSERT INTO checked_publication (publication_id, after_subject, subjects, found, cleared, started_at)"
        " VALUES (%s, %s, 0, 0, 0, %s) ON CONFLICT DO NOTHING",
        (publication_id, NOBODY, now),
    )
    row = tx.execute(
        "SELECT after_subject FROM checked_publication WHERE publication_id = %s AND done_at IS NULL",
        (publication_id,),
    ).fetchone()
    return row[0] if row else None


def _touched(tx: Transaction, publication_id: UUID, after: UUID) -> list[UUID]:
    rows = tx.execute(
        "SELECT DISTINCT subject_id FROM record WHERE publication_id = %s AND subject_id > %s"
        " ORDER BY subject_id LIMIT %s",
        (publication_id, after, _LOOKED_UP_AT_ONCE),
    )
    return [row[0] for row in rows]


def _check_page(home: Home, publication_id: UUID, subjects: list[UUID]) -> None:
    with home.database.transaction() as tx:  # 5
        tx.execute("SELECT pg_advisory_xact_lock(%s)", (_CHECKING,))  # 1
        after = _begun(tx, publication_id, now=clock.now())  # 2
        if after is None or after >= subjects[-1]:
            return  # another process has been here in the meantime
        now = clock.now()
        checked = check(home, tx, publication_id, subjects, now=now)  # 3
        found, cleared = keep(tx, checked, now=now)  # 4
        tx.execute(
            "UPDATE checked_publication SET after_subject = %s, subjects = subjects + %s, found = found + %s,"
            " cleared = cleared + %s WHERE publication_id = %s",
            (subjects[-1], len(subjects), found, cleared, publication_id),
        )


def keep(tx: Transaction, checked: Checked, *, now: datetime) -> tuple[int, int]:
    """Keep the flags that are new, clear those of the same subjects that were not found again; say how many each."""
    standing = {
        Flag(rule, RecordRef(subject_id, record_id, version)): finding_id
        for finding_id, rule, subject_id, record_id, version in tx.execute(
            "SELECT finding_id, rule, subject_id, record_id, version FROM finding"
            " WHERE subject_id = ANY(%s) AND cleared_at IS NULL",
            (list(checked.subjects),),
        )
    }
    mended = [finding_id for flag, finding_id in standing.items() if flag not in checked.flags]
    if mended:
        tx.execute("UPDATE finding SET cleared_at = %s WHERE finding_id = ANY(%s)", (now, mended))
    new = checked.flags - standing.keys()
    if new:
        _insert(tx, new, now)
    return len(new), len(mended)


def _insert(tx: Transaction, new: Collection[Flag], now: datetime) -> None:
    rows = tx.execute(
        "SELECT n.rule, s.kind, p.class_code, r.kind, r.subject_id, r.record_id, r.version, p.batch_id, p.publisher"
        " FROM unnest(%s::text[], %s::uuid[], %s::uuid[], %s::int[]) AS n(rule, s, i, v)"
        " JOIN record r ON (r.subject_id, r.record_id, r.version) = (n.s, n.i, n.v)"
        " JOIN publication p USING (publication_id) JOIN subject s ON s.subject_id = r.subject_id",
        (
            [flag.rule for flag in new],
            [flag.ref.subject_id for flag in new],
            [flag.ref.record_id for flag in new],
            [flag.ref.version for flag in new],
        ),
    ).fetchall()
    agencies = batches.agencies(tx, {row[7] for row in rows})
    with tx.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO finding (finding_id, rule, about, class_code, kind, subject_id, record_id, version, batch_id,"
            " agency, found_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(uuid4(), *row[:8], recipient_name(agencies.get(row[7]) or row[8]), now) for row in rows],
        )


def forget_frozen(tx: Transaction, subjects: Collection[UUID], *, now: datetime) -> None:
    """Clear what was found in records of these subjects that are frozen, and forget what was compared of them.

    Part of the withdrawal's transaction: from its commit on, no count includes the person any more.
    """
    if not subjects:
        return
    tx.execute(_CLEAR_FROZEN + " AND f.subject_id = ANY(%s)", (now, list(subjects)))
    tx.execute(
        "DELETE FROM check_mark m WHERE m.subject_id = ANY(%s) AND NOT EXISTS"
        " (SELECT FROM record r WHERE r.subject_id = m.subject_id AND r.frozen_at IS NULL)",
        (list(subjects),),
    )


_CLEAR_FROZEN: Final = (
    "UPDATE finding f SET cleared_at = %s FROM record r WHERE f.cleared_at IS NULL"
    " AND (r.frozen_at IS NOT NULL OR r.recalled_at IS NOT NULL)"
    " AND (r.subject_id, r.record_id, r.version) = (f.subject_id, f.record_id, f.version)"
)


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of one batch are at fault under one rule. `by_code`: intake remarked on them when they came."""

    batch_id: UUID
    rule: str
    rows: int
    by_code: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A row about an organisation that is at fault under a rule."""

    batch_id: UUID
    rule: str
    kind: str
    sheet: str
    row_no: int
    found_at: datetime


@dataclass(frozen=True, slots=True)
class OfAgency:
    """What stands in an agency's own batches. `more`: not all rows fitted."""

    counted: list[Counted]
    located: list[Located]
    more: bool


def of_agency(tx: Transaction, agency: str, batch_id: UUID | None = None) -> OfAgency:
    """Say what stands now in the batches that an agency answers for, or in one of them.

    Persons are counted, only from TOLD_FROM of them on, and only in tables of many persons; rows are named of
    organisations alone.
    """
    name = recipient_name(agency)
    counted = [
        Counted(*row)
        for row in tx.execute(
            "SELECT f.batch_id, f.rule, count(*) FROM finding f JOIN batch b USING (batch_id)"
            " WHERE f.agency = %s AND f.about = 'person' AND f.cleared_at IS NULL AND (b.totals->>'people')::int >= %s"
            " AND (%s::uuid IS NULL OR f.batch_id = %s)"
            " GROUP BY f.batch_id, f.rule HAVING count(DISTINCT f.subject_id) >= %s ORDER BY f.batch_id, f.rule",
            (name, FEWEST_PEOPLE, batch_id, batch_id, TOLD_FROM),
        )
    ]
    rows = tx.execute(
        "SELECT f.batch_id, f.rule, f.kind, r.sheet, r.row_no, f.found_at FROM finding f JOIN record r"
        " ON (r.subject_id, r.record_id, r.version) = (f.subject_id, f.record_id, f.version)"
        " WHERE f.agency = %s AND f.about = 'organisation' AND f.cleared_at IS NULL"
        " AND (%s::uuid IS NULL OR f.batch_id = %s) ORDER BY f.batch_id, r.sheet, r.row_no, f.rule LIMIT %s",
        (name, batch_id, batch_id, ROWS_MOST + 1),
    ).fetchall()
    return OfAgency(
        counted + _by_code(tx, agency, batch_id),
        [Located(*row) for row in rows[:ROWS_MOST]],
        len(rows) > ROWS_MOST,
    )


def _by_code(tx: Transaction, agency: str, batch_id: UUID | None) -> list[Counted]:
    """Count the remarks of intake for the rules that name a code."""
    rules = {rule.code: rule.id for rule in declared.current().values() if rule.code is not None}
    counted = []
    for batch, codes in batches.codes_of_agency(tx, agency).items():
        if batch_id in (None, batch):
            counted += [
                Counted(batch, rules[code], rows, code) for code, rows in sorted(codes.items()) if code in rules
            ]
    return counted


def counts(tx: Transaction, at: datetime) -> list[tuple[str, str, str, int]]:
    """Count what stood at a moment: rule, agency, class, how many. The same for the same moment, once it has passed."""
    return tx.execute(
        "SELECT rule, agency, class_code, count(*) FROM finding"
        " WHERE found_at <= %s AND (cleared_at IS NULL OR cleared_at > %s)"
        " GROUP BY rule, agency, class_code ORDER BY rule, agency, class_code",
        (at, at),
    ).fetchall()


def not_checked(tx: Transaction, agency: str | None = None) -> list[Unchecked]:
    """Say what the rules do not check: of an agency, the rules on kinds that it has delivered; of None, all.

    It goes by what files were delivered, whoever is in them: nothing of it depends on a consent.
    """
    kinds = tx.execute(
        "SELECT b.kind, bool_or(f.agency = %s) FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE b.kind IS NOT NULL AND b.evaluated_at IS NOT NULL AND b.blocked_code IS NULL GROUP BY b.kind",
        (agency or "",),
    ).fetchall()
    own = None if agency is None else {kind for kind, theirs in kinds if theirs}
    return unchecked({kind for kind, _ in kinds}, about=own)
