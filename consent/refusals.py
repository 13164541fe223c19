"""What keeps a consent from being asked for, or handed in, once more: refusals, and papers that were used before.

  refuse_replayed   a consent that would undo a withdrawal with the same paper, stand on somebody else's, or be a second
                    one of the same paper: uses that are spent are not had again by handing the paper in once more
  standing          what stands against many consents of a register, read in three statements; `Standing.refuse` then
                    judges each row by the same two rules
  record_refusal    a person's "no", with its log entry
  refuse_nagging    for some time after it the same recipient does not ask again for the same purpose (R-26,
                    网络数据安全管理条例 §22): how long is declared with the purpose

The caller holds the lock of the subject's row; an import does not, and counts as having come before whatever a door
commits beside it. Nothing is cached.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4

from consent import purposes
from consent.errors import Fault, TermsRefused
from consent.events import Event
from consent.evidence import Channel
from consent.grant import ENDED, State
from consent.record import NewConsent, Terms
from consent.scope import recipient_name
from registry import log
from registry.clock import beijing_day
from registry.database import Transaction

Holder = tuple[UUID, str, str]
"""Subject, recipient and purpose, as in `Terms.holder`."""


class AskedBy(StrEnum):
    """Who began: a person who comes of its own will is not held to a "no" of before; a lender that asks is."""

    SUBJECT = "subject"
    LENDER = "lender"


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
        last = self.withdrawn.get(terms.holder)
        if last is not None and beijing_day(terms.scope.valid_from) < beijing_day(last):
            raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it would begin before the day of the last withdrawal")
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


def refuse_replayed(tx: Transaction, new: NewConsent) -> None:
    """Refuse a consent that would undo a withdrawal with the same paper; for consents that are handed in one by one.

    The caller holds the lock of the subject's row.

    Raises:
        TermsRefused: EVIDENCE_REUSED: the evidence stands under a consent for this recipient that has ended, that is
            another subject's, or that is for the same purpose; BEFORE_WITHDRAWAL: it would begin before the day of the
            last withdrawal of the same holder.
    """
    recipient, digest = recipient_name(new.recipient), new.capture.evidence.sha256
    if digest is not None:
        tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(digest[:8], "big", signed=True),))
        reused = tx.execute(
            "SELECT true FROM consent WHERE recipient = %s AND evidence_sha256 = %s"
            " AND (subject_id <> %s OR purpose = %s OR state = ANY(%s)) LIMIT 1",
            (recipient, digest, new.subject_id, new.purpose, [state.value for state in ENDED]),
        ).fetchone()
        if reused is not None:
            raise TermsRefused(Fault.EVIDENCE_REUSED, "the evidence stands under another consent of this recipient")
    row = tx.execute(
        "SELECT max(state_at) FROM consent WHERE subject_id = %s AND recipient = %s AND purpose = %s"
        " AND state = 'withdrawn'",
        (new.subject_id, recipient, new.purpose),
    ).fetchone()
    if row is not None and row[0] is not None and beijing_day(new.valid_from) < beijing_day(row[0]):
        raise TermsRefused(Fault.BEFORE_WITHDRAWAL, "it would begin before the day of the last withdrawal")


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


def refused_until(tx: Transaction, subject_id: UUID, recipient: str, purpose: str, now: datetime) -> datetime | None:
    """Say until when this recipient may not ask this person for this purpose again; None if it may."""
    declared = purposes.current().get(purpose)
    row = tx.execute(
        "SELECT max(refused_at) FROM consent_refusal WHERE subject_id = %s AND recipient = %s AND purpose = %s",
        (subject_id, recipient_name(recipient), purpose),
    ).fetchone()
    if declared is None or row is None or row[0] is None:
        return None
    until: datetime = row[0] + timedelta(days=declared.cool_down_days)
    return until if now < until else None


def refuse_nagging(tx: Transaction, subject_id: UUID, recipient: str, purpose: str, now: datetime) -> None:
    """Refuse to ask a person again who has lately said no to the same recipient for the same purpose.

    Raises:
        TermsRefused: REFUSED_LATELY.
    """
    if refused_until(tx, subject_id, recipient, purpose, now) is not None:
        raise TermsRefused(Fault.REFUSED_LATELY, "the person has said no, and the time for asking again is not come")
