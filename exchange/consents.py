"""Consents, where they touch more than the ledger: who the subject is, and what becomes of data held on them.

`consent` never sees an identifier and never touches records; here the two are put together, in one transaction:

  * a consent is recorded under the subject's random id, which is made if need be, and with it the subject's
    identifier, sealed, so that sources can be asked about those who consented and nobody else
  * a withdrawal freezes, in its own transaction, the records that no other consent of the subject covers any more;
    they are shown to nobody from that commit on, and shredded when the time for corrections is over (`jobs`)
  * what no consent covers is looked for among all subjects as well, in case a freezing was missed (`jobs`)
  * intake is told on which basis each row may be held (`basis_of`)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from connectors import quarantine, reading
from consent import covering, importing, ledger
from consent.errors import Fault, RegisterUnreadable, TermsRefused
from consent.evidence import Channel
from consent.importing import ImportReport
from consent.record import Consent, NewConsent
from consent.register import GUARDIAN_UNTIL_AGE
from exchange import findings
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import clients
from registry import catalogue, clock, identifying, store
from registry.basis import Basis, BasisKind
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, SubjectKind, years_between

_HEADER_WITHIN_ROWS = 10
SUBJECTS_AT_ONCE = 1000  # of all subjects, in one transaction of the job, so that it holds few locks
_PEOPLE_AT_ONCE = 20_000  # of a file; a bound on memory
_REGISTER_MARKS = {"授权编号", "身份证号", "被授权机构"}


def import_register(home: Home, rows: Sequence[Mapping[str, str]], *, actor: str = "system") -> ImportReport:
    """Record a consent register (授权台账), row by row; the same register again changes nothing."""
    now = clock.now()
    with home.database.transaction() as tx:
        people: dict[UUID, Identifier] = {}

        def subjects(identifiers: Sequence[Identifier]) -> Mapping[str, UUID]:
            found = store.ensure_subjects(tx, home.keyring, identifiers, now=now)
            people.update((found[identifier.text], identifier) for identifier in identifiers)
            return found

        report = importing.import_register(
            tx,
            rows,
            keyring=home.keyring,
            subjects=subjects,
            now=now,
            actor=actor,
            registered=clients.organisations(tx),
        )
        _freeze_uncovered(tx, report.subjects, now=now)
        agreed = {subject_id: people[subject_id] for subject_id in report.subjects}
        identifying.remember(tx, home.sealing, agreed, now=now)
        return report


def grant(home: Home, identifier: Identifier, new: NewConsent, *, actor: str) -> Consent:
    """Record one consent. `new.subject_id` is replaced by the subject's own.

    Raises:
        TermsRefused: terms that no consent may have, evidence that stands under another consent of this recipient, or
            a first day before that of the last withdrawal.
    """
    now = clock.now()
    today = clock.beijing_day(now)
    if isinstance(identifier, ResidentId) and years_between(identifier.birth, today) < GUARDIAN_UNTIL_AGE:
        raise TermsRefused(Fault.GUARDIAN_NEEDED, "a child under 14: a guardian has to consent")
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
        store.hold_subjects(tx, [subject_id])
        mine = replace(new, subject_id=subject_id)
        ledger.refuse_replayed(tx, mine)
        consent = ledger.create(tx, mine, home.keyring, now, actor=actor)
        identifying.remember(tx, home.sealing, {subject_id: identifier}, now=now)
        return consent


def withdraw(home: Home, consent_id: str, channel: Channel, *, actor: str, recipient: str | None = None) -> Consent:
    """Withdraw a consent. From this commit on nothing is released on it, in any process.

    Args:
        home: the installation.
        consent_id: which one.
        channel: where the subject said so.
        actor: who carried it out.
        recipient: when given, only a consent for this lender is found.

    Raises:
        RequestRefused: there is no such consent (of this recipient).
        TransitionRefused: it has ended already.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        found = ledger.get(tx, [consent_id]).get(consent_id)
        if found is None or recipient not in (None, found.terms.scope.recipient):
            raise RequestRefused("consent-unknown")
        withdrawn = ledger.withdraw(tx, consent_id, channel, now, actor=actor)
        _freeze_uncovered(tx, [withdrawn.terms.subject_id], now=now)
        return withdrawn


def expire_due(tx: Transaction, *, now: datetime) -> int:
    """Write `expired` where a consent's time is over, and freeze what no other covers; say how many ended."""
    subjects = ledger.expire_due(tx, now)
    _freeze_uncovered(tx, set(subjects), now=now)
    return len(subjects)


def freeze_uncovered(tx: Transaction, after: UUID, *, now: datetime) -> list[UUID]:
    """Freeze what no consent covers, for a page of all subjects: those that come after one, in the order of their ids.

    For the job that looks at everybody, whatever changed: give the last one of a page to get the next; the
    page after the last is shorter than SUBJECTS_AT_ONCE.
    """
    page = tx.execute(
        "SELECT subject_id FROM subject WHERE subject_id > %s ORDER BY subject_id LIMIT %s", (after, SUBJECTS_AT_ONCE)
    ).fetchall()
    subjects = [row[0] for row in page]
    _freeze_uncovered(tx, subjects, now=now)
    return subjects


def _freeze_uncovered(tx: Transaction, subjects: Collection[UUID], *, now: datetime) -> None:
    """Freeze the records of every kind that no consent of their subject covers any more."""
    if subjects:
        store.hold_subjects(tx, subjects)
    today = clock.beijing_day(now)
    held = store.kinds_on_consent(tx, subjects) | quarantine.kinds_on_consent(tx, subjects) if subjects else set[str]()
    for kind in sorted(held & catalogue.current().kinds.keys()):
        covered = covering.covering(tx, subjects, kind, today)
        bare = [one for one in subjects if one not in covered]
        store.freeze(tx, bare, kind, now=now)
        quarantine.forget(tx, bare, kind)
    findings.forget_frozen(tx, subjects, now=now)


def basis_of(home: Home, kind: str, identifiers: Sequence[str], at: date) -> list[Basis | None]:
    """Say on which consent each person's row of a kind may be held on a day; None: on none (intake's step 4).

    With it goes which fields may be held: those that the person's consents cover together, W-fields only where adverse
    consequences were acknowledged (R-05). A field that no lender may see (an account number) is in no consent.

    People are looked up, never made: an official's file must not leave a trace of who has not consented.
    """
    people = list(dict.fromkeys(identifiers))  # normalised by whoever asks
    held: dict[str, Basis] = {}
    with home.database.transaction() as tx:
        for first in range(0, len(people), _PEOPLE_AT_ONCE):
            subjects = store.ids_of(tx, home.keyring, SubjectKind.PERSON, people[first : first + _PEOPLE_AT_ONCE])
            covered = covering.covering_ids(tx, list(subjects.values()), kind, at)
            fields = {items: _fields(items) for items in {cover.items for cover in covered.values()}}
            held |= {
                text: Basis(BasisKind.CONSENT, cover.consent_id, fields[cover.items])
                for text, subject_id in subjects.items()
                if (cover := covered.get(subject_id)) is not None
            }
    return list(map(held.get, identifiers))


class Changes:
    """Tells intake of whom consents may have changed since a moment (`connectors.staging.Changes`)."""

    def moment(self, tx: Transaction) -> int:
        """Mark a moment, before bases are asked for."""
        return covering.moment(tx)

    def since(self, tx: Transaction, moment: int, subjects: Sequence[bytes]) -> set[bytes]:
        """Name those of these subjects, held by the caller, of whom consents were recorded or changed since."""
        return covering.changed_since(tx, moment, subjects)


def _fields(items: frozenset[str]) -> frozenset[str]:
    return frozenset(item.partition(".")[2] for item in items)


def read_register(raw: bytes) -> list[dict[str, str]]:
    """Read a consent register (授权台账), workbook or text, into rows by column name.

    Raises:
        FileUnreadable: no table can be read from the bytes.
        RegisterUnreadable: no sheet has the register's header within its first rows.
    """
    for grid in reading.read(raw):
        for index in range(min(grid.height, _HEADER_WITHIN_ROWS)):
            header = ["".join(cell.split()) for cell in grid.row(index)]
            if set(header) >= _REGISTER_MARKS:
                columns = [column.iloc[index + 1 :].astype(str).str.strip() for column in grid.columns]
                rows = [dict(zip(header, cells, strict=False)) for cells in zip(*columns, strict=True)]
                return [row for row in rows if any(row.values())]
    raise RegisterUnreadable("no sheet has the header of a consent register (授权台账)")
