"""Consents taken at a counter or village point: whether who collected and who witnessed may (`POST /v1/consents`).

* a collector who is named is one that the operator registered for this lender, now
* where the text was read out to a person who did not read it, a collector is named, and a witness by resident id: only
  so can be seen that the witness is of age, not the person, and not one of the recipient's own (`witnesses`)
* whoever acts for the person is none of the recipient's own either (民法典 §168: nobody deals with himself in another's
  name), and is no witness of what he or she says
"""

from contextlib import suppress
from datetime import datetime

from consent.errors import Fault, TermsRefused
from exchange.capture import collectors, witnesses
from exchange.errors import RequestRefused
from exchange.home import Home
from registry.database import Transaction
from registry.errors import MalformedIdentifier
from registry.identifiers import Identifier, ResidentId


def check(  # noqa: PLR0913  # everybody who was in the room
    tx: Transaction,
    home: Home,
    organisation: str,
    *,
    subject: Identifier,
    collector: str | None,
    witness: str | None,
    read_aloud: bool,
    now: datetime,
    representative: Identifier | None = None,
) -> None:
    """Refuse a consent whose collector, witness or representative does not count.

    Raises:
        RequestRefused: `collector-unknown`, `witness-missing`, `witness-unfit`.
        TermsRefused: REPRESENTATIVE_UNFIT.
    """
    if representative is not None and witnesses.collects(tx, home, representative, organisation):
        raise TermsRefused(Fault.REPRESENTATIVE_UNFIT, "somebody who collects for the recipient acts for nobody")
    if collector is not None or read_aloud:
        collectors.require(tx, organisation, collector, at=now)
    person: ResidentId | None = None
    with suppress(MalformedIdentifier):
        person = None if witness is None else ResidentId.parse(witness)
    if read_aloud and witness is not None and person is None:
        raise RequestRefused("witness-unfit", "where the text was read out, the witness is named by resident id")
    if person is not None and representative is not None and person.text == representative.text:
        raise RequestRefused("witness-unfit", "whoever acts for the person is no witness of it")
    witnesses.witness_of(tx, home, person, subject=subject, organisation=organisation, read_aloud=read_aloud, now=now)
