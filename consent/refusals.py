"""What keeps a consent from being asked for, or handed in, once more: refusals, and papers that were used before.

  refuse_replayed   a consent that would undo a withdrawal, stand on somebody else's paper, or be a second one of the
                    same paper: uses that are spent are not had again by handing the paper in once more
  refuse_older      the rule for withdrawals, pauses and narrowings, the same for every door and register: what counts
                    is the moment at which the person agreed, not the day from which the consent is to hold
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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID, uuid4

from consent import purposes
from consent.errors import Fault, TermsRefused
from consent.events import Event
from consent.evidence import AskedBy, Channel, Confirmation
from consent.grant import ENDED, State
from consent.record import Consent, NewConsent, Terms
from consent.scope import recipient_name
from registry import log
from registry.clock import beijing_day
from registry.database import Transaction
from registry.records import NOBODY

Holder = tuple[UUID, str, str]
"""Subject, recipient and purpose, as in `Terms.holder`."""


class Noes(StrEnum):
    """Which of a person's refusals stand in the way of a consent."""

    ALL = "all"  # the outcome is told to the person alone: page and phone
    KNOWN = "known"  # it is told to the lender, who would learn of the others: counter, paper, chains
    NONE = "none"  # the person came of its own will

    @classmethod
    def where(cls, asked_by: AskedBy | None) -> Self:
        """Say it of a door: None where only the person is told the outcome, else who began, as the lender states it."""
        if asked_by is None:
            return cls("all")
        return cls("none" if asked_by is AskedBy.SUBJECT else "known")


class No(NamedTuple):
    """One "no" of a person: when, where, and to which request if it was one to the phone."""

    refused_at: datetime
    channel: Channel
    request_id: str | None


Known = Callable[[Collection[No]], Collection[No]]
"""Which of these refusals the recipient knows of."""


class LastWord(NamedTuple):
    """What a person did last to the consents of one holder: took them back, paused one or made one smaller."""

    withdrawn: datetime | None = None
    reduced: datetime | None = None


class _Use(NamedTuple):
    """One consent under which a paper stands."""

    consent_id: str
    subject_id: UUID
    purpose: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands against new consents: uses of their papers, the last words and last refusals of their holders."""

    papers: defaultdict[tuple[str, bytes], set[_Use]]
    said: Mapping[Holder, LastWord]
    refused: Mapping[Holder, datetime]

    def refuse(self, terms: Terms, now: datetime, *, request: str | None = None) -> None:
        """Refuse one of these consents; `request` is the consent that it is the answer to, if it was asked for.

        Raises:
            TermsRefused: EVIDENCE_REUSED, BEFORE_WITHDRAWAL, BEFORE_REDUCTION, REFUSED_LATELY; as for consents that are
                handed in one by one.
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
        refuse_older(terms.captured_at or begins, begins, self.said.get(terms.holder, LastWord()))
        no, declared = self.refused.get(terms.holder), purposes.current().get(purpose)
        if no is not None and declared is not None and now < no + timedelta(days=declared.cool_down_days):
            raise TermsRefused(Fault.REFUSED_LATELY, "the person has said no, and may not be asked again yet")

    def add(self, consent_id: str, terms: Terms, state: State) -> None:
        """Count a consent that is about to be written: the next row may be of the same paper."""
        digest = terms.capture.evidence.sha256
        if digest is not None:
            use = _Use(consent_id, terms.subject_id, terms.scope.purpose, state in ENDED)
            self.papers[terms.scope.recipient, digest].add(use)


def standing(tx: Transaction, wanted: Sequence[Terms], known: Known) -> Standing:
    """Read what stands against many consents: a handful of statements, however many they are.

    A "no" is in the way only if the recipient knows of it: whoever imports, or gets the report, may be the recipient.
    """
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
    refused = tx.execute(
        "SELECT subject_id, recipient, purpose, refused_at, channel, request_id FROM consent_refusal"
        " WHERE subject_id = ANY(%s) ORDER BY refused_at",
        (people,),
    ).fetchall()
    noes = [((row[0], row[1], row[2]), No(row[3], Channel(row[4]), row[5])) for row in refused]
    counts = set(known({no for _, no in noes}))
    return Standing(papers, _last_words(tx, people), {holder: no.refused_at for holder, no in noes if no in counts})


def _last_words(tx: Transaction, people: Sequence[UUID]) -> dict[Holder, LastWord]:
    """Read the last words of many people, by holder.

    A consent that stands on the very evidence of the one that it replaces was made smaller (`ledger.narrow`): whatever
    else takes a consent's place stands on evidence of its own.
    """
    rows = tx.execute(
        "SELECT c.subject_id, c.recipient, c.purpose, max(c.state_at) FILTER (WHERE c.state = 'withdrawn'),"
        " greatest(max(c.paused_at), max(c.created_at) FILTER (WHERE c.evidence_sha256 = p.evidence_sha256))"
        " FROM consent c LEFT JOIN consent p ON p.consent_id = c.previous"
        " WHERE c.subject_id = ANY(%s) GROUP BY c.subject_id, c.recipient, c.purpose",
        (people,),
    )
    return {(row[0], row[1], row[2]): LastWord(row[3], row[4]) for row in rows}


def refuse_older(agreed: datetime, begins: datetime, said: LastWord) -> None:
    """Refuse what the person has overtaken since by a withdrawal, pause or narrowing of the same holder. Pure.

    Args:
        agreed: when the person agreed. Of which only the day is known, that day's beginning: so it is taken to be older
            than a withdrawal of the same day.
        begins: from when the consent would hold.
        said: the last word on the same subject, recipient and purpose.

    Raises:
        TermsRefused: BEFORE_WITHDRAWAL; BEFORE_REDUCTION: of a pause that was not ended by the person, or a narrowing.
    """
    if said.withdrawn is not None and agreed <= said.withdrawn:
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it was agreed to before the person withdrew the same")
    if said.reduced is not None and agreed <= said.reduced:
        raise TermsRefused(Fault.BEFORE_REDUCTION, "it was agreed to before the person paused or narrowed the same")
    if said.withdrawn is not None and beijing_day(begins) < beijing_day(said.withdrawn):
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it would begin before the day of the last withdrawal")


def refuse_replayed(tx: Transaction, new: NewConsent, now: datetime) -> None:
    """Refuse a consent that was used before or withdrawn since; for consents that are handed in one by one.

    The caller holds the lock of the subject's row. Where it is not known when it was taken, it was taken now.

    Raises:
        TermsRefused: EVIDENCE_REUSED: the evidence stands under a consent for this recipient that has ended, that is
            another subject's, or that is for the same purpose, or it has confirmed one; BEFORE_WITHDRAWAL,
            BEFORE_REDUCTION: see `refuse_older`.
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
    last = _last_words(tx, [new.subject_id]).get((new.subject_id, recipient, new.purpose), LastWord())
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
        "SELECT max(coalesce(f.captured_at, f.confirmed_at))"
        " FROM consent_confirmation f JOIN consent c USING (consent_id)"
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
