"""Consents, where they touch more than the ledger: who the subject is, and what becomes of data held on them.

`consent` never sees an identifier and never touches records; here the two are put together, in one transaction:

  * a consent is recorded under the subject's random id, which is made if need be, and with it the subject's
    identifier, sealed, so that sources can be asked about those who consented and nobody else; who may consent is
    said by `exchange.consenting`
  * pausing, resuming, narrowing, confirming again, and a person's "no": `…_in` works in the caller's transaction
  * a withdrawal freezes, in its own transaction, the records that no other consent of the subject covers any more;
    they are shown to nobody from that commit on, and shredded when the time for corrections is over (`jobs`)
  * what no consent covers is looked for among all subjects as well, in case a freezing was missed (`jobs`)
  * intake is told on which basis each row may be held (`basis_of`)

Locks: whoever changes consents makes people known first, all in one statement; then holds them, all in one statement;
then locks rows of consents, and those of people it holds alone. So nobody waits in a circle. Should the database have
to choose all the same, `undisturbed` does the change again: a withdrawal does not fail for others' sake.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, TypeVar
from uuid import UUID

from psycopg.errors import DeadlockDetected, SerializationFailure

from connectors import quarantine
from consent import covering, ledger, purposes, refusals
from consent.errors import Fault, TermsRefused
from consent.evidence import AskedBy, Channel, Confirmation
from consent.grant import ENDED, State
from consent.narrowing import Narrower
from consent.receipt import Issuer
from consent.record import Consent, NewConsent
from consent.refusals import No, Noes
from consent.representation import Kind
from exchange import consenting, findings
from exchange.consenting import NOBODY_BESIDE, Beside, Births
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import clients
from registry import catalogue, clock, identifying, store, subjects
from registry.basis import Basis, BasisKind
from registry.database import Transaction
from registry.identifiers import Identifier, SubjectKind

SUBJECTS_AT_ONCE = 1000  # of all subjects, in one transaction of the job, so that it holds few locks
_PEOPLE_AT_ONCE = 20_000  # of a file; a bound on memory
LOST_MOST: Final = 5  # times in a row that a change may lose against others before it is reported as failed
Done = TypeVar("Done")


# ---- the life of a consent ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose consents a caller may touch: those for one recipient, or of one subject; both None for the operator."""

    recipient: str | None = None
    subject_id: UUID | None = None


ANYBODYS: Final = Whose()


def undisturbed(home: Home, act: Callable[[Transaction], Done]) -> Done:
    """Do a change in a transaction of its own; again, if the database let it lose against another, LOST_MOST times.

    Raises:
        psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure: it lost each time. Nothing was written.
    """
    for _ in range(LOST_MOST - 1):
        with suppress(DeadlockDetected, SerializationFailure), home.database.transaction() as tx:
            return act(tx)
    with home.database.transaction() as tx:
        return act(tx)


def grant(
    home: Home, identifier: Identifier, new: NewConsent, *, actor: str, beside: Beside = NOBODY_BESIDE
) -> Consent:
    """Record one consent, in a transaction of its own; see `grant_in`."""
    with home.database.transaction() as tx:
        return grant_in(tx, home, identifier, new, actor=actor, now=clock.now(), beside=beside)


def grant_in(  # the parts of a grant
    tx: Transaction,
    home: Home,
    identifier: Identifier,
    new: NewConsent,
    *,
    actor: str,
    now: datetime,
    beside: Beside = NOBODY_BESIDE,
    asked_by: AskedBy | None = None,
) -> Consent:
    """Record one consent of somebody who may give it. `new.subject_id` is replaced by the subject's own.

    What only the operator knows of a person is asked last, when the consent is as good as recorded: nobody learns it by
    handing in what is refused for another reason anyway. The subject is the only one held: whose `new.previous` is, is
    found out without a lock.

    Args:
        tx: the caller's transaction.
        home: the installation.
        identifier: whose consent it is.
        new: its terms.
        actor: who records it.
        now: the moment of recording.
        beside: who acted for the subject, and who saw it.
        asked_by: who began, as it is stated at a door whose answer goes to the lender; it says which refusals of before
            stand in the way, and is kept. None where the person alone is told the outcome.

    Raises:
        TermsRefused: terms that no consent may have; somebody acts who may not (exchange.consenting); a lender of which
            nobody can be told how it is reached; evidence that stands under another consent of this recipient;
            something that the person has overtaken since; a person who has lately refused the same; and last:
            subject and whoever acts are one person under two numbers, or one of them is known to have died.
        UnknownConsent: `new.previous` is none of the same subject, recipient and purpose.
        TransitionRefused: it has ended.
    """
    births = _births(tx, home, identifier, beside)
    admitted = consenting.admitted(new, identifier, beside, keyring=home.keyring, now=now, births=births)
    subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
    store.hold_subjects(tx, [subject_id])
    clients.refuse_unreached(tx, new.recipient)
    noes = Noes.where(asked_by)
    if noes is not Noes.NONE:

        def counts(no: No) -> bool:
            return noes is Noes.ALL or no in known_to_lenders(tx, [no])

        refusals.refuse_nagging(tx, subject_id, new.recipient, new.purpose, now, counts=counts)
    began = asked_by if new.request_id is None else AskedBy.LENDER  # requests are the lender's, always
    mine = replace(admitted, subject_id=subject_id, capture=replace(admitted.capture, asked_by=began))
    refusals.refuse_replayed(tx, mine, now)
    consent = ledger.create(tx, mine, home.keyring, now, actor=actor, operator=home.installation.party)
    acting = [] if beside.representative is None else [beside.representative]
    acts = store.lookup(tx, home.keyring, acting) if acting else {}  # looked up, never made
    if subject_id in acts.values():
        raise TermsRefused(Fault.REPRESENTATIVE_UNFIT, "nobody acts for himself under another number")
    if subjects.deceased(tx, [subject_id, *acts.values()]):
        raise TermsRefused(Fault.SUBJECT_UNAVAILABLE, "nobody consents for the dead, and the dead for nobody")
    if consent.terms.previous is not None:
        freeze_bare(tx, [subject_id], now=now)
    identifying.remember(tx, home.sealing, {subject_id: identifier}, now=now)
    return consent


def _births(tx: Transaction, home: Home, who: Identifier, beside: Beside) -> Births:
    """Tell the days of birth of subject and representative, by the identifiers that are current."""
    acts = beside.representative
    known = store.lookup(tx, home.keyring, [who] if acts is None else [who, acts])
    born = identifying.births(tx, home.sealing, set(known.values()))
    subject, other = known.get(who.text), None if acts is None else known.get(acts.text)
    return Births(*(None if one is None else born.get(one) for one in (subject, other)))


def known_to_lenders(tx: Transaction, noes: Collection[No]) -> set[No]:
    """Tell which refusals the lender recorded itself, or was let know of by the person (R-26)."""
    asked = [no.request_id for no in noes if no.request_id is not None]
    rows = tx.execute(
        "SELECT request_id::text FROM consent_request"
        " WHERE request_id = ANY(%s::uuid[]) AND state = 'refused' AND told",
        (asked,),
    )
    told = {row[0] for row in rows} if asked else set[str]()
    return {no for no in noes if no.channel in (Channel.COUNTER, Channel.VILLAGE) or no.request_id in told}


def refuse(home: Home, identifier: Identifier, recipient: str, purpose: str, *, channel: Channel, actor: str) -> None:
    """Record that a person said no to a recipient's request, in a transaction of its own; see `refuse_in`."""
    now = clock.now()
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [identifier], now=now)[identifier.text]
        refuse_in(tx, subject_id, recipient, purpose, channel=channel, actor=actor, now=now)


def refuse_in(  # the parts of a refusal
    tx: Transaction,
    subject_id: UUID,
    recipient: str,
    purpose: str,
    *,
    channel: Channel,
    actor: str,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """Record that a person said no: for a while the same recipient does not ask for the same again (R-26).

    Raises:
        TermsRefused: PURPOSE_UNKNOWN.
    """
    if purposes.current().get(purpose) is None:
        raise TermsRefused(Fault.PURPOSE_UNKNOWN, "no such purpose")
    store.hold_subjects(tx, [subject_id])
    refusals.record_refusal(tx, subject_id, recipient, purpose, channel, now, actor=actor, request_id=request_id)


def withdraw(home: Home, consent_id: str, channel: Channel, *, actor: str, recipient: str | None = None) -> Consent:
    """Withdraw a consent. From this commit on nothing is released on it, in any process; see `undisturbed`.

    Args:
        home: the installation.
        consent_id: which one; one that was replaced is withdrawn in what took its place.
        channel: where the subject said so.
        actor: who carried it out.
        recipient: when given, only a consent for this lender is found.

    Raises:
        RequestRefused: there is no such consent (of this recipient).
        TransitionRefused: it has ended already.
    """
    return undisturbed(
        home,
        lambda tx: withdraw_in(tx, consent_id, channel, actor=actor, now=clock.now(), whose=Whose(recipient)),
    )


def withdraw_in(
    tx: Transaction, consent_id: str, channel: Channel, *, actor: str, now: datetime, whose: Whose = ANYBODYS
) -> Consent:
    """Withdraw in the caller's transaction; see `withdraw`."""
    held(tx, consent_id, whose)
    withdrawn = ledger.withdraw(tx, consent_id, channel, now, actor=actor)
    freeze_bare(tx, [withdrawn.terms.subject_id], now=now)
    return withdrawn


def pause_in(
    tx: Transaction, consent_id: str, channel: Channel, *, actor: str, now: datetime, whose: Whose = ANYBODYS
) -> Consent:
    """Pause a consent: it permits nothing until it is resumed. What is held on it alone is shown to nobody."""
    held(tx, consent_id, whose)
    paused = ledger.transition(tx, consent_id, State.PAUSED, channel=channel, now=now, actor=actor)
    freeze_bare(tx, [paused.terms.subject_id], now=now)
    return paused


def resume_in(
    tx: Transaction, consent_id: str, channel: Channel, *, actor: str, now: datetime, whose: Whose = ANYBODYS
) -> Consent:
    """Resume a paused consent, on the subject's own word.

    Raises:
        RequestRefused: there is no such consent of this caller.
        TransitionRefused: it is not paused.
        TermsRefused: GUARDIAN_NEEDED: a guardian gave it, and this is the ward's door; SUBJECT_UNAVAILABLE, asked last.
    """
    found = held(tx, consent_id, whose)
    if whose.subject_id is not None:
        refuse_ward(found)
    resumed = ledger.transition(tx, consent_id, State.ACTIVE, channel=channel, now=now, actor=actor)
    if subjects.deceased(tx, [resumed.terms.subject_id]):
        raise TermsRefused(Fault.SUBJECT_UNAVAILABLE, "nobody resumes for the dead")
    return resumed


def narrow_in(  # the parts of a narrowing
    tx: Transaction,
    home: Home,
    consent_id: str,
    asked: Narrower,
    channel: Channel,
    *,
    actor: str,
    now: datetime,
    whose: Whose = ANYBODYS,
) -> Consent:
    """Put a smaller consent in the place of one in force; see `ledger.narrow`.

    Raises:
        RequestRefused: there is no such consent of this caller.
        TransitionRefused: it is not in force.
        TermsRefused: an edge would be wider, or nothing would change.
    """
    held(tx, consent_id, whose)
    issuer = Issuer.of(home.keyring, home.installation.party)
    made = ledger.narrow(tx, consent_id, asked, issuer, now, channel=channel, actor=actor)
    freeze_bare(tx, [made.terms.subject_id], now=now)
    return made


def reconfirm_in(
    tx: Transaction, consent_id: str, said: Confirmation, *, actor: str, now: datetime, whose: Whose = ANYBODYS
) -> Consent:
    """Confirm a consent again, where its purpose asks for that; see `ledger.reconfirm`.

    Raises:
        RequestRefused: there is no such consent of this caller.
        TransitionRefused: it is not in force, or needs no confirmation.
        TermsRefused: the evidence proves something already, or is older than what it confirms; SUBJECT_UNAVAILABLE,
            asked last.
    """
    held(tx, consent_id, whose)
    confirmed = ledger.reconfirm(tx, consent_id, said, now, actor=actor)
    if subjects.deceased(tx, [confirmed.terms.subject_id]):
        raise TermsRefused(Fault.SUBJECT_UNAVAILABLE, "nobody confirms for the dead")
    return confirmed


def held(tx: Transaction, consent_id: str, whose: Whose) -> Consent:
    """Find a consent that a caller may touch, and hold its subject: changes of a subject's consents come one by one.

    Raises:
        RequestRefused: there is none of this id, or not the caller's.
    """
    found = ledger.get(tx, [consent_id]).get(consent_id)
    if found is None or whose.recipient not in (None, found.terms.scope.recipient):
        raise RequestRefused("consent-unknown")
    if whose.subject_id not in (None, found.terms.subject_id):
        raise RequestRefused("consent-unknown")
    store.hold_subjects(tx, [found.terms.subject_id])
    return found


def refuse_ward(consent: Consent) -> None:
    """Refuse what a ward would bring about alone, on what a guardian agreed to. Ending and pausing are no such act.

    Raises:
        TermsRefused: GUARDIAN_NEEDED.
    """
    acted = consent.terms.representation
    if acted is not None and acted.kind is Kind.GUARDIAN:
        raise TermsRefused(Fault.GUARDIAN_NEEDED, "what a guardian agreed to goes on by the guardian's word")


def end_of_the_dead(tx: Transaction, subject_id: UUID, *, actor: str, now: datetime) -> list[Consent]:
    """End what stands of a subject who has died: nothing is released of the dead on what they agreed to.

    The caller holds the subject.
    """
    standing = [one for one in ledger.list_for_subject(tx, subject_id) if one.state not in ENDED]
    ended = ledger.expire(tx, [one.consent_id for one in standing], now=now, actor=actor)
    freeze_bare(tx, [subject_id], now=now)
    return ended


def end_in(tx: Transaction, consent_ids: Collection[str], *, now: datetime) -> None:
    """End consents whose ground is over (`outgrowing`), freeze what no other covers; the caller holds the subjects."""
    ended = ledger.expire(tx, consent_ids, now=now)
    freeze_bare(tx, {one.terms.subject_id for one in ended}, now=now)


# ---- what is held on consents ---------------------------------------------------------------------------------------


def expire_due(tx: Transaction, *, now: datetime) -> int:
    """Write `expired` where a consent's time is over, and freeze what no other covers; say how many ended."""
    ended = ledger.expire_due(tx, now, lambda people: store.hold_subjects(tx, people))
    freeze_bare(tx, set(ended), now=now)
    return len(ended)


def freeze_uncovered(tx: Transaction, after: UUID, *, now: datetime) -> list[UUID]:
    """Freeze what no consent covers, for a page of all subjects: those that come after one, in the order of their ids.

    For the job that looks at everybody, whatever changed: give the last one of a page to get the next; the
    page after the last is shorter than SUBJECTS_AT_ONCE.
    """
    page = tx.execute(
        "SELECT subject_id FROM subject WHERE subject_id > %s ORDER BY subject_id LIMIT %s", (after, SUBJECTS_AT_ONCE)
    ).fetchall()
    looked_at = [row[0] for row in page]
    freeze_bare(tx, looked_at, now=now)
    return looked_at


def freeze_bare(tx: Transaction, people: Collection[UUID], *, now: datetime) -> None:
    """Freeze the records of every kind that no consent of their subject covers any more."""
    if people:
        store.hold_subjects(tx, people)
    today = clock.beijing_day(now)
    held = store.kinds_on_consent(tx, people) | quarantine.kinds_on_consent(tx, people) if people else set[str]()
    for kind in sorted(held & catalogue.current().kinds.keys()):
        covered = covering.covering(tx, people, kind, today)
        bare = [one for one in people if one not in covered]
        store.freeze(tx, bare, kind, now=now)
        quarantine.forget(tx, bare, kind)
    findings.forget_frozen(tx, people, now=now)


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
            known = store.ids_of(tx, home.keyring, SubjectKind.PERSON, people[first : first + _PEOPLE_AT_ONCE])
            covered = covering.covering_ids(tx, list(known.values()), kind, at)
            fields = {items: _fields(items) for items in {cover.items for cover in covered.values()}}
            held |= {
                text: Basis(BasisKind.CONSENT, cover.consent_id, fields[cover.items])
                for text, subject_id in known.items()
                if (cover := covered.get(subject_id)) is not None
            }
    return list(map(held.get, identifiers))


class Changes:
    """Tells intake of whom consents may have changed since a moment (`connectors.staging.Changes`)."""

    def moment(self, tx: Transaction) -> int:
        """Mark a moment, before bases are asked for."""
        return covering.moment(tx)

    def since(self, tx: Transaction, moment: int, people: Sequence[bytes]) -> set[bytes]:
        """Name those of these subjects, held by the caller, of whom consents were recorded or changed since."""
        return covering.changed_since(tx, moment, people)


def _fields(items: frozenset[str]) -> frozenset[str]:
    return frozenset(item.partition(".")[2] for item in items)
