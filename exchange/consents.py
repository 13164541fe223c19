"""Consents, where they touch more than the ledger: who the subject is, and what becomes of data held on them.

`consent` never sees an identifier and never touches records; here the two are put together, in one transaction:

  * a consent is recorded under the subject's random id, which is made if need be
  * a withdrawal freezes, in its own transaction, the records that no other consent of the subject covers any more;
    they are shown to nobody from that commit on, and shredded when the time for corrections is over (`jobs`)
  * intake is told on which basis each row may be held (`basis_of`)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from consent import importing, ledger
from consent.evidence import Channel
from consent.record import Consent, NewConsent
from consent.importing import ImportReport
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import clients
from registry import catalogue, clock, store
from registry.basis import Basis, BasisKind
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId


def import_register(home: Home, rows: Sequence[Mapping[str, str]], *, actor: str = "system") -> ImportReport:
    """Record a consent register (授权台账), row by row; the same register again changes nothing."""
    now = clock.now()
    with home.database.transaction() as tx:

        def subjects(identifiers: Sequence[Identifier]) -> Mapping[str, UUID]:
            return store.ensure_subjects(tx, home.keyring, identifiers, now=now)

        report = importing.import_register(
            tx, rows, subjects=subjects, keyring=home.keyring, registered=clients.organisations(tx), now=now, actor=actor
        )
        _freeze_uncovered(tx, report.subjects, now=now)
        return report


def grant(home: Home, identifier: Identifier, new: NewConsent, *, actor: str) -> Consent:
    """Record one consent. `new.subject_id` is replaced by the subject's own.

    Raises:
        TermsRefused: terms that no consent may have.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
        return ledger.create(tx, replace(new, subject_id=subject_id), home.keyring, now, actor=actor)


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


def _freeze_uncovered(tx: Transaction, subjects: Collection[UUID], *, now: datetime) -> None:
    """Freeze the records of every kind that no consent of their subject covers any more (architecture.md, section 4)."""
    today = clock.beijing_day(now)
    for kind in catalogue.current().kinds.values():
        if kind.consent_required and subjects:
            covered = ledger.covering(tx, subjects, kind.code, today)
            store.freeze(tx, [one for one in subjects if one not in covered], kind.code, now=now)


def basis_of(home: Home, kind: str, identifiers: Sequence[str], at: date) -> list[Basis | None]:
    """Say on which consent each person's row of a kind may be held on a day; None: on none (intake's step 4).

    People are looked up, never made: an official's file must not leave a trace of who has not consented.
    """
    people = {text: ResidentId.parse(text) for text in set(identifiers)}
    with home.database.transaction() as tx:
        subjects = store.lookup(tx, home.keyring, list(people.values()))
        consents = ledger.covering(tx, list(subjects.values()), kind, at)
    held = {text: consents[subject_id] for text, subject_id in subjects.items() if subject_id in consents}
    return [Basis(BasisKind.CONSENT, held[text]) if text in held else None for text in identifiers]
