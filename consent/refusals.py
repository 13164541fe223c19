"""What keeps a consent from being asked for, or handed in, once more: refusals, and papers that were used before.

  refuse_replayed   a consent that would undo a withdrawal, stand on somebody else's paper, or be a second one of the
                    same paper: uses that are spent are not had again by handing the paper in once more
  refuse_older      the rule for withdrawals, the same for every door and register: what counts is the moment at which
                    the person agreed, not the day from which the consent is to hold
  refuse_reconfirming   a confirmation by a paper that proves something already, or that was signed before what it is
                    to confirm
  standing          what stands against many consents of a register, read in three statements; `Standing.refuse` then
                    judges each row by the same two rules
  record_refusal    a person's "no", with its log entry
  refuse_nagging    for some time after it the same recipient does not ask again for the same purpose (R-26,
                    网络数据安全管理条例 §22): how long is declared with the purpose

The caller holds the lock of the subject's row; an import does not, and counts as having come before whatever a door
commits beside it. Nothing is cached.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

from consent import purposes
from consent.errors import Fault, TermsRefused
from consent.events import Event
from consent.evidence import Channel, Confirmation
from consent.grant import ENDED, State
from consent.record import Consent, NewConsent, Terms
from consent.scope import recipient_name
from registry import log
from registry.clock import beijing_day
from registry.database import Transaction
from registry.records import NOBODY

Holder = tuple[UUID, str, str]
"""Subject, recipient and purpose, as in `Terms.holder`."""


class AskedBy(StrEnum):
    """Who began: a person who comes of its own will is not held to a "no" of before; a lender that asks is."""

    SUBJECT = "subject"
    LENDER = "lender"

    @property
    def noes(self) -> "Noes":
        """Which refusals stand in the way at a door whose answer goes to the lender."""
        return Noes.NONE if self is AskedBy.SUBJECT else Noes.KNOWN


class Noes(StrEnum):
    """Which of a person's refusals stand in the way of a consent."""

    ALL = "all"  # the outcome is told to the person alone: page and phone
    KNOWN = "known"  # it is told to the lender, who would learn of the others: counter, paper, chains
    NONE = "none"  # the person came of its own will


class No(NamedTuple):
    """One "no" of a person: when, where, and to which request if it was one to the phone."""

    refused_at: datetime
    channel: Channel
    request_id: str | None


class _Use(NamedTuple):
    """One consent under which a paper stands."""

    consent_id: str
    subject_id: UUID
    purpose: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands against new consents: uses of their papers, last withdrawals and last refusals of their holders."""

    papers: defaultdict[tuple[str, bytes], set[_Use]]
    withdrawn: Mapping[Holder, datetime]
    refused: Mapping[Holder, datetime]

    def refuse(self, terms: Terms, now: datetime, *, request: str | None = None) -> None:
        """Refuse one of these consents; `request` is the consent that it is the answer to, if it was asked for.

        Raises:
            TermsRefused: EVIDENCE_REUSED, BEFORE_WITHDRAWAL, REFUSED_LATELY; as for consents handed in one by one.
        """
        subject_id, recipient, purpose = terms.holder
        digest = terms.capture.evidence.sha256
        uses = set[_Use]() if digest is None else self.papers.get((recipient, digest), set())
        if any(
            use.ended or use.subject_id != subject_id or use.purpose == purpose
            for use in uses
            if use.consent_id != request
        ):
            raise TermsRefused(Fault.EVIDENCE_REUSED, "the evidence stands under another consent of this recipient")
        begins = terms.scope.valid_from
        refuse_older(terms.captured_at or begins, begins, self.withdrawn.get(terms.holder))
        no, declared = self.refused.get(terms.holder), purposes.current().get(purpose)
        if no is not None and declared is not None and now < no + timedelta(days=declared.cool_down_days):
            raise TermsRefused(Fault.REFUSED_LATELY, "the person has said no, and may not be asked again yet")

    def add(self, consent_id: str, terms: Terms, state: State) -> None:
        """Count a consent that is about to be written: the next row may be of the same paper."""
        digest = terms.capture.evidence.sha256
        if digest is not None:
            use = _Use(consent_id, terms.subject_id, terms.scope.purpose, state in ENDED)
            self.papers[terms.scope.recipient, digest].add(use)


def standing(tx: Transaction, wanted: Sequence[Terms]) -> Standing:
    """Read what stands against many consents: three statements, however many they are."""
    digests = {terms.capture.evidence.sha256 for terms in wanted} - {None}
    papers: defaultdict[tuple[str, bytes], set[_Use]] = defaultdict(set)
    for recipient, digest, consent_id, subject_id, purpose, state in tx.execute(
        "SELECT recipient, evidence_sha256, consent_id, subject_id, purpose, state FROM consent"
        " WHERE evidence_sha256 = ANY(%s)",
        (list(digests),),
    ):
        papers[recipient, bytes(digest)].add(_Use(consent_id, subject_id, purpose, State(state) in ENDED))
    for recipient, digest, consent_id in tx.execute(
        "SELECT recipient, evidence_sha256, consent_id FROM consent_confirmation WHERE evidence_sha256 = ANY(%s)",
        (list(digests),),
    ):
        papers[recipient, bytes(digest)].add(_Use(consent_id, NOBODY, "", ended=True))
    people = list({terms.subject_id for terms in wanted})
    withdrawn = tx.execute(
        "SELECT subject_id, recipient, purpose, max(state_at) FROM consent"
        " WHERE subject_id = ANY(%s) AND state = 'withdrawn' GROUP BY subject_id, recipient, purpose",
        (people,),
    ).fetchall()
    refused = tx.execute(
        "SELECT subject_id, recipient, purpose, max(refused_at) FROM consent_refusal"
        " WHERE subject_id = ANY(%s) GROUP BY subject_id, recipient, purpose",
        (people,),
    ).fetchall()
    return Standing(papers, {row[:3]: row[3] for row in withdrawn}, {row[:3]: row[3] for row in refused})


def refuse_older(agreed: datetime, begins: datetime, withdrawn: datetime | None) -> None:
    """Refuse what a later withdrawal of the same holder has overtaken. Pure.

    Args:
        agreed: when the person agreed. Of which only the day is known, that day's beginning: so it is taken to be older
            than a withdrawal of the same day.
        begins: from when the consent would hold.
        withdrawn: the last withdrawal of the same subject, recipient and purpose, if there is one.

    Raises:
        TermsRefused: BEFORE_WITHDRAWAL.
    """
    if withdrawn is None:
        return
    if agreed <= withdrawn:
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it was agreed to before the person withdrew the same")
    if beijing_day(begins) < beijing_day(withdrawn):
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it would begin before the day of the last withdrawal")


def refuse_replayed(tx: Transaction, new: NewConsent, now: datetime) -> None:
    """Refuse a consent that was used before or withdrawn since; for consents that are handed in one by one.

    The caller holds the lock of the subject's row. Where it is not known when it was taken, it was taken now.

    Raises:
        TermsRefused: EVIDENCE_REUSED: the evidence stands under a consent for this recipient that has ended, that is
            another subject's, or that is for the same purpose, or it has confirmed one; BEFORE_WITHDRAWAL: see
            `refuse_older`.
    """
    recipient, digest = recipient_name(new.recipient), new.capture.evidence.sha256
    if digest is not None:
        _hold_paper(tx, digest)
        reused = tx.execute(
            "SELECT true FROM consent WHERE recipient = %s AND evidence_sha256 = %s"
            " AND (subject_id <> %s OR purpose = %s OR state = ANY(%s)) LIMIT 1",
            (recipient, digest, new.subject_id, new.purpose, [state.value for state in ENDED]),
        ).fetchone()
        if reused is not None or _has_confirmed(tx, recipient, digest):
            raise TermsRefused(Fault.EVIDENCE_REUSED, "the evidence stands under another consent of this recipient")
    last = _last_withdrawal(tx, (new.subject_id, recipient, new.purpose))
    refuse_older(min(new.captured_at or now, now), new.valid_from, last)


def refuse_reconfirming(tx: Transaction, consent: Consent, said: Confirmation, *, now: datetime) -> None:
    """Refuse a confirmation that proves nothing new: by a used paper, or by one older than what it is to confirm.

    The caller holds the lock of the subject's row.

    Raises:
        TermsRefused: EVIDENCE_MISSING; EVIDENCE_REUSED: the evidence stands under any consent of this recipient, or has
            confirmed one; DATE_UNREADABLE: signed in the future; CONFIRMED_TOO_EARLY: signed before the consent, its
            last confirmation, or the last withdrawal of the same holder.
    """
    recipient, digest = consent.terms.scope.recipient, said.evidence.sha256
    if digest is None:
        raise TermsRefused(Fault.EVIDENCE_MISSING, "a confirmation needs the hash of its evidence")
    if said.captured_at > now:
        raise TermsRefused(Fault.DATE_UNREADABLE, "confirmed in the future")
    _hold_paper(tx, digest)
    used = tx.execute(
        "SELECT true FROM consent WHERE recipient = %s AND evidence_sha256 = %s LIMIT 1", (recipient, digest)
    ).fetchone()
    if used is not None or _has_confirmed(tx, recipient, digest):
        raise TermsRefused(Fault.EVIDENCE_REUSED, "the evidence stands under a consent or a confirmation already")
    row = tx.execute(  # of the same holder: a consent that was made smaller has another id
        "SELECT max(f.captured_at) FROM consent_confirmation f JOIN consent c USING (consent_id)"
        " WHERE c.subject_id = %s AND c.recipient = %s AND c.purpose = %s",
        consent.terms.holder,
    ).fetchone()
    confirmed = None if row is None else row[0]
    taken = consent.terms.captured_at or min(consent.created_at, consent.terms.scope.valid_from)
    before = [taken, confirmed, _last_withdrawal(tx, consent.terms.holder)]
    if any(moment is not None and said.captured_at < moment for moment in before):
        raise TermsRefused(Fault.CONFIRMED_TOO_EARLY, "signed before what it is to confirm")


def _hold_paper(tx: Transaction, digest: bytes) -> None:
    """Let whoever hands in the same paper wait until this transaction ends."""
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(digest[:8], "big", signed=True),))


def _has_confirmed(tx: Transaction, recipient: str, digest: bytes) -> bool:
    found = tx.execute(
        "SELECT FROM consent_confirmation WHERE recipient = %s AND evidence_sha256 = %s", (recipient, digest)
    )
    return found.fetchone() is not None


def _last_withdrawal(tx: Transaction, holder: Holder) -> datetime | None:
    row = tx.execute(
        "SELECT max(state_at) FROM consent WHERE subject_id = %s AND recipient = %s AND purpose = %s"
        " AND state = 'withdrawn'",
        holder,
    ).fetchone()
    return None if row is None else row[0]


def record_refusal(  # the parts of a refusal
    tx: Transaction,
    subject_id: UUID,
    recipient: str,
    purpose: str,
    channel: Channel,
    now: datetime,
    *,
    actor: str,
    request_id: str | None = None,
) -> UUID:
    """Record that a person said no to a recipient's request for a purpose."""
    refusal_id, asker = uuid4(), recipient_name(recipient)
    tx.execute(
        "INSERT INTO consent_refusal (refusal_id, subject_id, recipient, purpose, channel, request_id, refused_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (refusal_id, subject_id, asker, purpose, channel.value, request_id, now),
    )
    fields = {"channel": channel.value, "purpose": purpose, "recipient": asker}
    log.append(tx, [log.Entry(Event.REFUSED.value, at=now, actor=actor, fields=fields, subject_id=subject_id)])
    return refusal_id


def lately(tx: Transaction, subject_id: UUID, recipient: str, purpose: str, now: datetime) -> list[No]:
    """Give a person's refusals that count still: this recipient may not ask for this purpose again."""
    declared = purposes.current().get(purpose)
    if declared is None:
        return []
    rows = tx.execute(
        "SELECT refused_at, channel, request_id FROM consent_refusal"
        " WHERE subject_id = %s AND recipient = %s AND purpose = %s AND refused_at > %s ORDER BY refused_at",
        (subject_id, recipient_name(recipient), purpose, now - timedelta(days=declared.cool_down_days)),
    )
    return [No(refused_at, Channel(channel), request_id) for refused_at, channel, request_id in rows]


def refused_until(tx: Transaction, subject_id: UUID, recipient: str, purpose: str, now: datetime) -> datetime | None:
    """Say until when this recipient may not ask this person for this purpose again; None if it may."""
    noes = lately(tx, subject_id, recipient, purpose, now)
    if not noes:
        return None
    return noes[-1].refused_at + timedelta(days=purposes.current().by_code[purpose].cool_down_days)


def refuse_nagging(  # whom, what, and which refusals count
    tx: Transaction,
    subject_id: UUID,
    recipient: str,
    purpose: str,
    now: datetime,
    *,
    counts: Callable[[No], bool] = lambda _: True,
) -> None:
    """Refuse to ask a person again who has lately said no to the same recipient for the same purpose.

    Args:
        tx: the caller's transaction.
        subject_id: whom.
        recipient: who asks.
        purpose: what for.
        now: this instant.
        counts: tells whether a "no" counts. Where the answer goes to whoever asks, it is only those that it knows of.

    Raises:
        TermsRefused: REFUSED_LATELY.
    """
    if any(counts(no) for no in lately(tx, subject_id, recipient, purpose, now)):
        raise TermsRefused(Fault.REFUSED_LATELY, "the person has said no, and the time for asking again is not come")
