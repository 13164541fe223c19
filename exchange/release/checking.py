"""The *check* entrance of the gate: records are opened for the declared consistency rules, and only flags leave.

Steps, in the transaction of whoever keeps the flags (`exchange.findings`), which holds the lock of checking:
  1. take the subjects that a publication has touched: a page of them, never all
  2. decide what may be opened: of a person's record that is held on consent, the fields that consents in force cover
     today (`consent.covering`); nothing of anybody else's
  3. open exactly the fields that some rule reads, of these subjects and of what their records relate to: the
     organisations that they name, and subjects that share a value with them
  4. apply the rules (`exchange.consistency`, pure)
  5. write to the log how many subjects and records were opened, for which rules, and how many flags came out
  6. give the flags: rule, subject, record, version

No value leaves, in no form: what is compared between subjects is kept as a keyed hash (`check_mark`), under a key that
the database does not have. A person's account or telephone number is not held in the first place.

Not here: which publications are due, and what stands (`exchange.findings`); who is told (`exchange.agency_api`,
`answer`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from consent import covering
from exchange.consistency import declared
from exchange.consistency.evaluating import Flag, Shared, flags, organisations_named, shared
from exchange.consistency.rows import Known, Row, folded
from exchange.events import Event
from exchange.home import Home
from registry import catalogue, clock, disclosure, log, store
from registry.basis import BasisKind
from registry.canonical import JSON
from registry.database import Transaction
from registry.errors import IdentifierCheckFailed, MalformedIdentifier
from registry.identifiers import CreditCode
from registry.keyring import Purpose
from registry.records import RecordRef, VisibleRecord
from registry.suites import hmac_sha256_each

RELATED_MOST: Final = 1000  # subjects that are looked at again because of one page


@dataclass(frozen=True, slots=True)
class Checked:
    """What came out: flags, and the subjects to whom they apply whole (a flag that is absent is no fault)."""

    flags: frozenset[Flag]
    subjects: frozenset[UUID]


def check(home: Home, tx: Transaction, publication_id: UUID, touched: Collection[UUID], *, now: datetime) -> Checked:
    """Apply the rules to the subjects that a publication touched, and to those that share a value with them.

    Raises:
        SealBroken, ProofFailed: a record does not open as it was sealed. Nothing is flagged; call the duty officer.
    """
    rules, between = declared.checks(), declared.between_subjects()
    known = _known(home, tx, touched, now)  # 2, 3
    marks = _marks(home, list(shared(between, known)))
    others = _remark(tx, touched, marks) - known.keys()
    if others:
        known |= _known(home, tx, others, now)
        marks |= _marks(home, list(shared(between, {one: known[one] for one in others})))
    organisations = _organisations(home, tx, organisations_named(rules, known), now)
    found = frozenset(flags(rules, known, organisations)) | _shared_flags(tx, marks)  # 4
    _note(tx, publication_id, known, found, now)  # 5
    return Checked(found, frozenset(known))  # 6


def check_nobody(tx: Transaction, publication_id: UUID, *, now: datetime) -> None:
    """Write of a publication without records what `check` writes of one: the public log tells nobody which it was."""
    _note(tx, publication_id, {}, (), now)


def _known(home: Home, tx: Transaction, subjects: Collection[UUID], now: datetime) -> dict[UUID, Known]:
    """Open what the rules read of these subjects; each is there, if only with nothing."""
    read = declared.fields_read()
    visible = store.visible(tx, {(one, kind) for one in subjects for kind in read}) if subjects else []
    erased = {one.ref.subject_id for one in visible} - home.datakeys.standing(subjects).keys()
    visible = [one for one in visible if one.ref.subject_id not in erased]
    held = _held(tx, visible, now)
    wanted = [
        disclosure.Wanted(one, _may_open(one.kind, read[one.kind], held.get(one.ref)))
        for one in visible
        if held.get(one.ref) != frozenset()
    ]
    opened = {one.visible.ref: one.fields for one in disclosure.open_records(home.datakeys, wanted)}
    rows: dict[UUID, dict[str, list[Row]]] = {one: defaultdict(list) for one in subjects}
    for one in visible:
        row = Row(one.ref, one.kind, opened.get(one.ref, {}), held.get(one.ref))
        rows[one.ref.subject_id][one.kind].append(row)
    return dict(rows)


def _held(tx: Transaction, records: Collection[VisibleRecord], now: datetime) -> dict[RecordRef, frozenset[str]]:
    """Say, of each record that is held on consent, which fields the person's consents in force cover today."""
    on_consent: dict[str, list[VisibleRecord]] = defaultdict(list)
    for one in records:
        if one.basis.partition(":")[0] == BasisKind.CONSENT.value:
            on_consent[one.kind].append(one)
    held: dict[RecordRef, frozenset[str]] = {}
    for kind, members in on_consent.items():
        covered = covering.covering(tx, {one.ref.subject_id for one in members}, kind, clock.beijing_day(now))
        for one in members:
            cover = covered.get(one.ref.subject_id)
            items = cover.items if cover else frozenset[str]()
            held[one.ref] = frozenset(item.partition(".")[2] for item in items)
    return held


def _may_open(kind: str, names: frozenset[str], held: frozenset[str] | None) -> frozenset[str]:
    """Leave out what no consent covers. Fields that no lender may see are in no consent, and held of no person."""
    if held is None:
        return names
    specs = catalogue.current().kinds[kind].fields
    return frozenset(name for name in names if name in held or not specs[name].lender_visible)


def _organisations(home: Home, tx: Transaction, codes: Collection[str], now: datetime) -> dict[str, Known]:
    """Open what the rules read of organisations that records name by credit code; unknown ones are absent."""
    parsed: dict[str, CreditCode] = {}
    for code in codes:
        with suppress(MalformedIdentifier, IdentifierCheckFailed):
            parsed[folded(code)] = CreditCode.parse(code)
    found = store.lookup(tx, home.keyring, list(parsed.values())) if parsed else {}
    known = _known(home, tx, set(found.values()), now)
    return {written: known[found[code.text]] for written, code in parsed.items() if code.text in found}


# ---- values that are compared between subjects ----------------------------------------------------------------------

_Mark = tuple[str, bytes, UUID]  # rule, keyed hash, subject


def _marks(home: Home, values: Collection[Shared]) -> dict[_Mark, set[RecordRef]]:
    """Hash values under a key that the database does not have, and say in which records each stands."""
    key = home.keyring.symmetric(Purpose.MAC).secret
    tokens = hmac_sha256_each(key, [f"check|{one.rule}|{one.value}".encode() for one in values])
    marks: dict[_Mark, set[RecordRef]] = defaultdict(set)
    for token, one in zip(tokens, values, strict=True):
        marks[one.rule, token, one.ref.subject_id].add(one.ref)
    return marks


def _remark(tx: Transaction, touched: Collection[UUID], marks: Collection[_Mark]) -> set[UUID]:
    """Write the marks of these subjects anew; give the subjects that share a value which came or went."""
    before = set(
        tx.execute("SELECT rule, token, subject_id FROM check_mark WHERE subject_id = ANY(%s)", (list(touched),))
    )
    gone, come = before - set(marks), set(marks) - before
    if not gone and not come:
        return set()
    columns = "unnest(%s::text[], %s::bytea[], %s::uuid[]) AS n(rule, token, subject_id)"
    if gone:
        tx.execute(f"DELETE FROM check_mark USING {columns} WHERE {_SAME_MARK}", _columns(gone))  # noqa: S608  # constants
    if come:
        tx.execute(f"INSERT INTO check_mark (rule, token, subject_id) SELECT * FROM {columns}", _columns(come))  # noqa: S608  # constants
    rules, tokens, _ = _columns(gone | come)
    return {
        row[0]
        for row in tx.execute(
            "SELECT DISTINCT subject_id FROM check_mark"
            " JOIN unnest(%s::text[], %s::bytea[]) AS n(rule, token) USING (rule, token) ORDER BY 1 LIMIT %s",
            (rules, tokens, RELATED_MOST),
        )
    }


_SAME_MARK = (
    "(check_mark.rule, check_mark.token, check_mark.subject_id) = (n.rule, n.token, n.subject_id)"  # its whole key
)


def _columns(marks: Collection[_Mark]) -> tuple[list[str], list[bytes], list[UUID]]:
    ordered = sorted(marks)
    return [mark[0] for mark in ordered], [mark[1] for mark in ordered], [mark[2] for mark in ordered]


def _shared_flags(tx: Transaction, marks: Mapping[_Mark, set[RecordRef]]) -> frozenset[Flag]:
    """Flag the records whose value stands with as many subjects as its rule calls too many."""
    if not marks:
        return frozenset()
    most = {rule.id: check.k for rule, _, check in declared.between_subjects()}
    rules, tokens, _ = _columns(marks)
    counted = {
        (rule, token): count
        for rule, token, count in tx.execute(
            "SELECT rule, token, count(*) FROM check_mark WHERE (rule, token) IN"
            " (SELECT * FROM unnest(%s::text[], %s::bytea[])) GROUP BY rule, token",
            (rules, tokens),
        )
    }
    return frozenset(
        Flag(rule, ref)
        for (rule, token, _), refs in marks.items()
        if counted.get((rule, token), 0) >= most[rule]
        for ref in refs
    )


def _note(
    tx: Transaction, publication_id: UUID, known: Mapping[UUID, Known], found: Collection[Flag], now: datetime
) -> None:
    fields: dict[str, JSON] = {
        "flags": dict(sorted(Counter(flag.rule for flag in found).items())),
        "publication_id": str(publication_id),
        "records": sum(len(rows) for one in known.values() for rows in one.values()),
        "rules": [rule.id for rule in declared.checks()],
        "subjects": len(known),
    }
    log.append(tx, [log.Entry(event=Event.RECORDS_CHECKED, at=now, actor="system", fields=fields)])
