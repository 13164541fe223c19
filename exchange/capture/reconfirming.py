"""A consent confirmed again: at a lender's counter with a paper that was signed, or by the person's own phone.

  at_counter   a registered collector took an electronic signature: which evidence, and when; what was signed stays
               with the lender. Paper is not taken: it goes under four eyes, which look at consents and not at
               confirmations. Who signs on paper signs a new consent (`paper`)
  by_phone     the key of the phone bound in person signs the act; what it confirmed is kept, and is the evidence

Both need evidence that proves nothing else for this recipient, signed after what it confirms (`consent.refusals`). What
a guardian agreed to is confirmed by the guardian, at the counter: a phone speaks for the ward alone.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from consent import receipt, taking
from consent.errors import Fault, TermsRefused
from consent.evidence import Channel, Confirmation, Evidence, EvidenceKind
from consent.record import Consent
from exchange import consents
from exchange.capture import collectors, evidence
from exchange.consents import Whose
from registry.canonical import JSON
from registry.clock import rfc3339
from registry.database import Transaction

VERSION: Final = 1


def at_counter(
    tx: Transaction, consent_id: str, said: Confirmation, *, organisation: str, actor: str, now: datetime
) -> Consent:
    """Take a confirmation that a person signed at a lender's counter.

    Raises:
        RequestRefused: `consent-unknown`: not this lender's; `collector-unknown`: nobody who collected for it both then
            and now.
        TransitionRefused: it is not in force, or needs no confirmation.
        TermsRefused: PAPER_NEEDS_FOUR_EYES; DATE_UNREADABLE: signed in the future; see `ledger.reconfirm`.
    """
    if said.evidence.kind is EvidenceKind.PAPER_SCAN:
        raise TermsRefused(Fault.PAPER_NEEDS_FOUR_EYES, "a confirmation is signed electronically")
    if said.captured_at > now + taking.bounds().clock:
        raise TermsRefused(Fault.DATE_UNREADABLE, "confirmed in the future")
    signed = replace(said, captured_at=min(said.captured_at, now))
    whose = Whose(recipient=organisation)
    consents.held(tx, consent_id, whose)
    for moment in (signed.captured_at, now):
        collectors.require(tx, organisation, signed.collector, at=moment)
    return consents.reconfirm_in(tx, consent_id, signed, actor=actor, now=now, whose=whose)


def by_phone(tx: Transaction, consent_id: str, *, phone: str, whose: Whose, now: datetime) -> Consent:
    """Take a confirmation by the phone whose key signed the call; its document is kept as evidence.

    Raises:
        RequestRefused: `consent-unknown`: not this person's.
        TransitionRefused: it is not in force, or needs no confirmation.
        TermsRefused: GUARDIAN_NEEDED: a guardian gave it; see `ledger.reconfirm`.
    """
    found = consents.held(tx, consent_id, whose)
    consents.refuse_ward(found)
    scope = found.terms.scope
    document: dict[str, JSON] = {
        "v": VERSION,
        "consent_id": consent_id,
        "receipt_sha256": receipt.digest(found.receipt).hex(),
        "subject_id": str(found.terms.subject_id),
        "recipient": scope.recipient,
        "purpose": scope.purpose,
        "items": sorted(scope.items),
        "acts": {"confirmed_again": True},
        "channel": Channel.APP.value,
        "presence": "key of the phone bound in person (DPoP)",
        "device": phone,
        "at": rfc3339(now),
    }
    text, digest = evidence.written(document)
    said = Confirmation(Channel.APP, Evidence(EvidenceKind.RELIABLE_ESIGN, digest), now, device=phone)
    confirmed = consents.reconfirm_in(tx, consent_id, said, actor=phone, now=now, whose=whose)
    evidence.keep(tx, consent_id, text, now=now)
    return confirmed
