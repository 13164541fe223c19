"""Rows of a consent register (授权台账) taken into the ledger, as often as they are sent; again they change nothing.

  1. settle the terms of each row that was read (consent.register, consent.record)
  2. one import at a time; turn identifiers into subject ids; hold everybody of whom something may change, all at once,
     and only then read and lock what stands under the numbers: whoever withdraws holds the person first, too
  3. judge each row against what stands under its number:
       nothing stands                                 → recorded, in the state it names; in force only where a consent
                                                        handed in by itself would be: no paper that stands elsewhere,
                                                        first day after that of the last withdrawal, pause and
                                                        narrowing, no "no" of late that its recipient knows of
       another subject, recipient or purpose          → NUMBER_REUSED
       the ledger has ended it (withdrawn, …)         → SAME, or LATER_STATE_STANDS: an old table revives nothing
       the row ends it                                → the ledger follows, whatever else the row says
       a request stands, and the row says more        → taken over; in force once the row says so, as above
       other terms than those agreed to               → TERMS_CHANGED: they need a new consent
       the row pauses it                              → the ledger follows
       the ledger has paused it                       → LATER_STATE_STANDS: an old table resumes nothing
  4. write everything in a handful of statements, each change with its log entry

The rows of one transaction are a portion of a register: all of a person's are in one (`exchange.consent_registers`). A
register names no day of withdrawal or pause: one that the ledger learns in this portion is no bar to the same portion's
rows, only to those of later ones. A recipient that is not registered is recorded all the same: nobody can ask in its
name until it is.
"""

from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final
from uuid import UUID

from consent import ledger, purposes, recipients, refusals, register, rows, tokens
from consent.errors import Fault, TermsRefused
from consent.evidence import Channel
from consent.grant import ENDED, STEPS, State
from consent.parties import Contact, Party
from consent.receipt import Issuer
from consent.record import AGREED, Consent, Terms, settle
from consent.register import Line, Outcome, Remark, RowOutcome
from consent.scope import recipient_name
from registry import catalogue, log
from registry.clock import beijing_day
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, years_between
from registry.keyring import Keyring, Purpose, SymmetricKey

Subjects = Callable[[Sequence[Identifier]], Mapping[str, UUID]]
Hold = Callable[[Collection[UUID]], None]
Unavailable = Callable[[Collection[UUID]], Container[UUID]]
Born = Callable[[Collection[UUID]], Mapping[UUID, date]]

_ONE_IMPORT_AT_A_TIME: Final = 7_204_150_311  # an advisory lock of this transaction; any number of our own
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a register: one outcome for every row, and whose consents changed (their rows are due again)."""

    rows: tuple[RowOutcome, ...]
    subjects: frozenset[UUID]

    @property
    def counts(self) -> dict[Outcome, int]:
        """Rows by outcome, each outcome named."""
        return {outcome: sum(row.outcome is outcome for row in self.rows) for outcome in Outcome}

    @property
    def codes(self) -> dict[str, int]:
        """Rows by code."""
        return dict(Counter(row.code.value for row in self.rows))


@dataclass(slots=True)
class _Plan:
    """What an import will write, and what stands against it."""

    standing: refusals.Standing
    reached: Mapping[str, Contact]
    made: list[Consent] = field(default_factory=list)
    rewritten: list[Consent] = field(default_factory=list)
    entries: list[log.Entry] = field(default_factory=list)
    moves: dict[tuple[State, Channel], list[Consent]] = field(default_factory=dict)
    outcomes: list[RowOutcome] = field(default_factory=list)
    subjects: set[UUID] = field(default_factory=set)


def import_lines(  # noqa: PLR0913  # what a register is read with
    tx: Transaction,
    lines: Sequence[Line],
    *,
    keyring: Keyring,
    subjects: Subjects,
    hold: Hold,
    known: refusals.Known,
    now: datetime,
    actor: str = "register",
    registered: Container[str] | None = None,
    operator: Party | None = None,
    unavailable: Unavailable = lambda _: (),
    born: Born = lambda _: {},
) -> ImportReport:
    """Take rows of a consent register into the ledger.

    Args:
        tx: the caller's transaction.
        lines: the rows, as they were read (consent.register.read), in their order.
        keyring: signs receipts, and turns witnesses' names into tokens.
        subjects: gives the subject id of each identifier by its text, making those that are not known.
        hold: keeps everybody else from changing consents of these subjects until the transaction ends.
        known: tells which refusals the recipients know of.
        now: the moment of import.
        actor: who imports; stands in the log.
        registered: names of registered lenders (consent.scope.recipient_name); None leaves that unremarked.
        operator: the operator for receipts, with how it is reached.
        unavailable: tells for which of these subjects nobody can consent any more.
        born: tells the days of birth of these subjects by the identifiers that are current, where those are kept.
    """
    settled = [(line, *_settled(line, registered, now)) for line in lines]  # 1
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_IMPORT_AT_A_TIME,))  # 2
    numbers = [line.number for line in lines]
    owners = rows.owners_by_number(tx, numbers)  # a number names the same person for ever: read without a lock
    wanted = [line for line, terms, _ in settled if terms is not None or line.number in owners]
    ids = subjects([line.identifier for line in wanted]) if wanted else {}
    hold(sorted({*ids.values(), *owners.values()}))
    standing = rows.locked_by_number(tx, numbers)
    gone, births = unavailable(set(ids.values())), born(set(ids.values()))
    fresh = [replace(terms, subject_id=ids[line.identifier.text]) for line, terms, _ in settled if terms is not None]
    reached = recipients.contacts(tx, {terms.scope.recipient for terms in fresh})
    plan = _Plan(refusals.standing(tx, fresh, known), reached)
    issuer = Issuer.of(keyring, operator)
    witnesses = keyring.symmetric_all(Purpose.LOOKUP)
    for line, terms, fault in settled:  # 3
        present = standing.get(line.number)
        subject_id = ids.get(line.identifier.text, _NOBODY)
        if terms is not None and subject_id in births:
            fault = _minor(line, births[subject_id])  # noqa: PLW2901  # the number that is current says so
            terms = terms if fault is None else None  # noqa: PLW2901  # the same
        if subject_id in gone and line.state not in ENDED:
            terms, fault = None, TermsRefused(Fault.SUBJECT_UNAVAILABLE, "nobody consents for this subject")  # noqa: PLW2901  # now known
        if terms is not None:
            capture = replace(terms.capture, witness=_witness(line.witness, witnesses, present))
            terms = replace(terms, subject_id=subject_id, capture=capture)  # noqa: PLW2901  # now known
        try:
            if present is None:
                outcome = _record(line, terms, fault, plan, (issuer, now, actor), registered)
            else:
                outcome = _follow(line, terms, fault, plan, (issuer, now, actor), present, subject_id)
        except TermsRefused as refusal:
            outcome = RowOutcome(line.row_no, line.number, Outcome.REFUSED, refusal.code)
        plan.outcomes.append(outcome)
    _write(tx, plan, now, actor)  # 4
    return ImportReport(tuple(sorted(plan.outcomes, key=lambda row: row.row_no)), frozenset(plan.subjects))


_By = tuple[Issuer, datetime, str]


def _settled(line: Line, lenders: Container[str] | None, now: datetime) -> tuple[Terms | None, TermsRefused | None]:
    try:
        known = lenders is not None and recipient_name(line.recipient) in lenders
        new = replace(line.as_new(_NOBODY, None), to_lender=known)
        young = _minor(line, line.identifier.birth) if isinstance(line.identifier, ResidentId) else None
        if young is not None:
            return None, young
        return settle(new, purposes=purposes.current(), catalogue=catalogue.current(), now=now), None
    except TermsRefused as refusal:
        return None, refusal


def _minor(line: Line, birth: date) -> TermsRefused | None:
    """Say that a guardian has to consent for somebody born on that day, if so: a register has no place for one."""
    purpose = purposes.current().get(line.purpose)
    if purpose is None or years_between(birth, beijing_day(line.valid_from)) >= purpose.guardian_until_age:
        return None
    return TermsRefused(Fault.GUARDIAN_NEEDED, "under the age at which this purpose needs no guardian")


def _record(
    line: Line,
    terms: Terms | None,
    fault: TermsRefused | None,
    plan: _Plan,
    by: _By,
    registered: Container[str] | None,
) -> RowOutcome:
    if terms is None:
        raise fault or TermsRefused(Fault.TERMS_CHANGED, "no terms")
    issuer, now, actor = by
    if line.state in AGREED:
        plan.standing.refuse(terms, now)
    consent, entry = ledger.first_recorded(terms, line.state, now=now, issuer=issuer, actor=actor, reached=plan.reached)
    plan.standing.add(consent.consent_id, terms, line.state)
    plan.made.append(consent)
    plan.entries.append(entry)
    plan.subjects.add(terms.subject_id)
    known = registered is None or terms.scope.recipient in registered
    remark = Remark.RECORDED if known else Remark.RECIPIENT_NOT_REGISTERED
    return RowOutcome(line.row_no, line.number, Outcome.IMPORTED, remark, consent.consent_id)


def _follow(
    line: Line,
    terms: Terms | None,
    fault: TermsRefused | None,
    plan: _Plan,
    by: _By,
    present: Consent,
    subject_id: UUID,
) -> RowOutcome:
    stands = present.terms
    if (subject_id, recipient_name(line.recipient), line.purpose) != stands.holder:
        raise TermsRefused(Fault.NUMBER_REUSED, "the number names another consent")
    if present.state in ENDED:
        remark = Remark.SAME if line.state is present.state else Remark.LATER_STATE_STANDS
        return RowOutcome(line.row_no, line.number, Outcome.UNCHANGED, remark, present.consent_id)
    if line.state in ENDED:
        if line.state not in STEPS[present.state]:
            raise TermsRefused(Fault.TRANSITION_REFUSED, "no such step")
        return _moved(line, plan, present)
    if terms is None:
        raise fault or TermsRefused(Fault.TERMS_CHANGED, "no terms")
    same = register.same_terms(terms, stands, end_stated=line.valid_until is not None)
    if present.state is State.REQUESTED:
        return _request(line, terms, plan, by, present, same=same)
    if not same:
        raise TermsRefused(Fault.TERMS_CHANGED, "other terms than those agreed to")
    if line.state is present.state:
        return RowOutcome(line.row_no, line.number, Outcome.UNCHANGED, Remark.SAME, present.consent_id)
    if present.state is State.ACTIVE and line.state is State.PAUSED:
        return _moved(line, plan, present)
    return RowOutcome(line.row_no, line.number, Outcome.UNCHANGED, Remark.LATER_STATE_STANDS, present.consent_id)


def _request(line: Line, terms: Terms, plan: _Plan, by: _By, present: Consent, *, same: bool) -> RowOutcome:
    if line.state is State.REQUESTED and same:
        return RowOutcome(line.row_no, line.number, Outcome.UNCHANGED, Remark.SAME, present.consent_id)
    if line.state not in {State.REQUESTED, State.ACTIVE}:
        raise TermsRefused(Fault.TRANSITION_REFUSED, "no such step")
    issuer, now, actor = by
    if line.state in AGREED:
        plan.standing.refuse(terms, now, request=present.consent_id)
    consent, entry = ledger.first_recorded(
        terms, line.state, now=now, issuer=issuer, actor=actor, reached=plan.reached, standing=present
    )
    plan.standing.add(consent.consent_id, terms, line.state)
    plan.rewritten.append(consent)
    plan.entries.append(entry)
    plan.subjects.add(terms.subject_id)
    remark = Remark.AMENDED if line.state is State.REQUESTED else Remark.STATE_CHANGED
    return RowOutcome(line.row_no, line.number, Outcome.IMPORTED, remark, consent.consent_id)


def _moved(line: Line, plan: _Plan, present: Consent) -> RowOutcome:
    plan.moves.setdefault((line.state, line.channel), []).append(present)
    plan.subjects.add(present.terms.subject_id)
    return RowOutcome(line.row_no, line.number, Outcome.IMPORTED, Remark.STATE_CHANGED, present.consent_id)


def _witness(name: str, keys: Sequence[SymmetricKey], present: Consent | None) -> str | None:
    """Turn a witness's name into a token; the one that stands, if it is the same name's under an older key."""
    if not name:
        return None
    known = tokens.witness(name, keys)
    stands = None if present is None else present.terms.capture.witness
    return stands if stands in known else known[0]


def _write(tx: Transaction, plan: _Plan, now: datetime, actor: str) -> None:
    if plan.rewritten:
        rows.rewrite(tx, plan.rewritten)
    ledger.record(tx, plan.made, plan.entries)
    for (state, channel), consents in plan.moves.items():
        ledger.move(tx, consents, state, channel=channel, now=now, actor=actor)
