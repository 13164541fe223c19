"""Who collects and who witnesses: kept as keyed hashes and tokens only, never by name or number.

A witness counts (R-72, R-75 and legal practice for people who cannot read) if he or she is a grown-up, and neither the
person who agrees, nor the one who collects, nor anybody else who collects for the organisation that will see the data:
those have an interest in a "yes". A witness is needed where the person did not read the text but had it read out.
Whoever acts for the subject is none of the recipient's own either, and no witness of what he or she says.

Persons are compared, not numbers: whoever was given another number is the same under each, and as old as the current
one says. People are looked up, never made: that somebody witnessed something leaves no trace in the registry.
"""

from datetime import datetime

from consent.ages import OF_AGE
from consent.errors import Fault, TermsRefused
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import identifying, store, subjects
from registry.clock import beijing_day
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, years_between
from registry.keyring import Keyring, Purpose
from registry.records import NOBODY
from registry.suites import hmac_sha256


def person_of(keyring: Keyring, who: Identifier) -> bytes:
    """Give the keyed hash under which somebody is known as a collector or witness."""
    return hmac_sha256(keyring.symmetric(Purpose.MAC).secret, b"collector-or-witness\x00" + who.text.encode())


def witness_of(  # everybody who is in the room
    tx: Transaction,
    home: Home,
    witness: ResidentId | None,
    *,
    subject: Identifier,
    organisation: str,
    read_aloud: bool,
    now: datetime,
) -> str | None:
    """Give what is known of a witness who counts, for `consents` to make a token of; None where there is none.

    Raises:
        RequestRefused: `witness-missing`: the text was read out and nobody witnessed it; `witness-unfit`.
    """
    if witness is None:
        if read_aloud:
            raise RequestRefused("witness-missing")
        return None
    known = store.lookup(tx, home.keyring, [witness])
    born = identifying.births(tx, home.sealing, set(known.values()))
    birth = next(iter(born.values()), witness.birth)
    young = years_between(birth, beijing_day(now)) < OF_AGE
    if same_person(tx, home, witness, subject) or collects(tx, home, witness, organisation) or young:
        raise RequestRefused("witness-unfit")
    return witness.text


def refuse_acting(
    tx: Transaction, home: Home, by: Identifier | None, *, witness: ResidentId | None, organisation: str
) -> None:
    """Refuse whoever acts for the subject and may not: one of the recipient's own, or its own witness.

    Nobody deals with himself in another's name (民法典 §168).

    Raises:
        TermsRefused: REPRESENTATIVE_UNFIT.
        RequestRefused: `witness-unfit`.
    """
    if by is None:
        return
    if collects(tx, home, by, organisation):
        raise TermsRefused(Fault.REPRESENTATIVE_UNFIT, "somebody who collects for the recipient acts for nobody")
    if witness is not None and same_person(tx, home, witness, by):
        raise RequestRefused("witness-unfit", "whoever acts for the person is no witness of it")


def collects(tx: Transaction, home: Home, who: Identifier, organisation: str) -> bool:
    """Say whether somebody collects for an organisation, or ever did: they are known to the bank, and it to them."""
    rows = tx.execute("SELECT person, lookups FROM collector WHERE organisation = %s", (organisation,)).fetchall()
    own = {person_of(home.keyring, who), *subjects.tokens_of(home.keyring, who)}
    if any(own.intersection((bytes(person), *map(bytes, lookups))) for person, lookups in rows):
        return True
    known = set(store.lookup(tx, home.keyring, [who]).values())
    return bool(known & subjects.found_by(tx, [token for _, lookups in rows for token in lookups]))


def same_person(tx: Transaction, home: Home, one: Identifier, other: Identifier) -> bool:
    """Say whether two identifiers are one person's: the same, or two that the registry links."""
    known = store.lookup(tx, home.keyring, [one, other])
    return one.text == other.text or known.get(one.text, NOBODY) == known.get(other.text)
