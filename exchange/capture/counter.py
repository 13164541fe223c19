"""Consents taken at a counter or village point (`POST /v1/consents`): when, on what, and by whom they were taken.

* paper goes under four eyes (`paper`), so it is not recorded here; what was taken in the future or too long ago is
  asked for anew (`consent.taking`); no consent begins before the day on which it was taken
* a collector is named, whom the operator registered for this lender, both when it was taken and now
* where the text was read out to a person who did not read it, a witness is named by resident id: only so can be seen
  that the witness is of age, not the person, and not one of the recipient's own (`witnesses`)
* whoever acts for the person is none of the recipient's own either, and no witness
"""

from contextlib import suppress
from datetime import date, datetime

from consent import taking
from consent.errors import Fault, TermsRefused
from consent.evidence import EvidenceKind
from exchange.capture import collectors, witnesses
from exchange.errors import RequestRefused
from exchange.home import Home
from registry.clock import beijing_day
from registry.database import Transaction
from registry.errors import MalformedIdentifier
from registry.identifiers import Identifier, ResidentId


def refuse_unfit(kind: EvidenceKind, captured_at: datetime, valid_from: date, *, now: datetime) -> None:
    """Refuse what is not recorded at this door, or not any more.

    Raises:
        TermsRefused: PAPER_NEEDS_FOUR_EYES, TAKEN_OUT_OF_TIME.
        RequestRefused: `began-before`.
    """
    if kind is EvidenceKind.PAPER_SCAN:
        raise TermsRefused(Fault.PAPER_NEEDS_FOUR_EYES, "paper is entered at /v1/paper-consents")
    bounds = taking.bounds()
    if not now - bounds.counter_within <= captured_at <= now + bounds.clock:
        raise TermsRefused(Fault.TAKEN_OUT_OF_TIME, "taken in the future, or too many days ago")
    if valid_from < beijing_day(captured_at):
        raise RequestRefused("began-before")


def check(  # noqa: PLR0913  # everybody who was in the room
    tx: Transaction,
    home: Home,
    organisation: str,
    *,
    subject: Identifier,
    collector: str,
    witness: str | None,
    read_aloud: bool,
    captured_at: datetime,
    now: datetime,
    representative: Identifier | None = None,
) -> None:
    """Refuse a consent whose collector, witness or representative does not count.

    Raises:
        RequestRefused: `collector-unknown`, `witness-missing`, `witness-unfit`.
        TermsRefused: REPRESENTATIVE_UNFIT.
    """
    for moment in (min(captured_at, now), now):
        collectors.require(tx, organisation, collector, at=moment)
    person: ResidentId | None = None
    with suppress(MalformedIdentifier):
        person = None if witness is None else ResidentId.parse(witness)
    if read_aloud and witness is not None and person is None:
        raise RequestRefused("witness-unfit", "where the text was read out, the witness is named by resident id")
    witnesses.refuse_acting(tx, home, representative, witness=person, organisation=organisation)
    witnesses.witness_of(tx, home, person, subject=subject, organisation=organisation, read_aloud=read_aloud, now=now)
