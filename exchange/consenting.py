"""Who may consent, seen where identifiers may be seen: ages, representatives, witnesses. Pure but for the keyed tokens.

  1. how old the person was when the consent was taken, by the number that is current, and whether a guardian consents
     for this purpose (民法典 §18-27, 个人信息保护法 §31): then only a guardian does, and the consent ends when the ward
     can consent alone
  2. whoever is of age consents alone, or by a proxy with a power of attorney, or by an appointed guardian
  3. whoever acts is a person of age and not the subject
  4. representative and witness leave here as keyed tokens (consent.tokens)

Documents, meetings and items are consent.record's to check; whether somebody has died is asked in the transaction.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, NamedTuple

from consent import purposes, tokens
from consent.ages import OF_AGE
from consent.errors import Fault, TermsRefused
from consent.purposes import Purpose
from consent.record import NewConsent, midnight
from consent.representation import OF_A_MINOR, Kind, Relation, Representation
from registry.clock import beijing_day
from registry.identifiers import Identifier, ResidentId, years_between
from registry.keyring import Keyring
from registry.keyring import Purpose as KeyPurpose


@dataclass(frozen=True, slots=True)
class Beside:
    """People who stand beside a consent: who acted for the subject, and who saw it. Their identifiers stay here."""

    representative: Identifier | None = None
    witness: str | None = None

    def __repr__(self) -> str:
        """Show nobody."""
        return "Beside()"


NOBODY_BESIDE: Final = Beside()


class Births(NamedTuple):
    """Days of birth by the identifiers that are current; None: by the one that was shown.

    Somebody who was given another number may show the one of before, in which the birthday may be another.
    """

    subject: date | None = None
    representative: date | None = None


AS_SHOWN: Final = Births()


def admitted(  # the parts of an admission
    new: NewConsent,
    subject: Identifier,
    beside: Beside,
    *,
    keyring: Keyring,
    now: datetime,
    births: Births = AS_SHOWN,
) -> NewConsent:
    """Give the consent as it may be recorded, with tokens for people and the day on which the right to act ends.

    Raises:
        TermsRefused: somebody acts who may not, or nobody where somebody must.
    """
    acted_on = beijing_day(new.captured_at or now)
    purpose = purposes.current().get(new.purpose)
    keys = keyring.symmetric_all(KeyPurpose.LOOKUP)
    if isinstance(subject, ResidentId) and purpose is not None:
        new = _for_person(new, births.subject or subject.birth, purpose, acted_on)  # 1, 2
    if new.representation is not None:
        _fit(new.representation, subject, beside.representative, births.representative, acted_on)  # 3
        if beside.representative is not None:
            by = tokens.representative(beside.representative.text, keys)[0]
            new = replace(new, representation=replace(new.representation, by=by))
    elif beside.representative is not None:
        raise TermsRefused(Fault.REPRESENTATION_INVALID, "somebody acts, and on what ground is not stated")
    if beside.witness is not None:
        witness = tokens.witness(beside.witness, keys)[0]  # 4
        new = replace(new, capture=replace(new.capture, witness=witness))
    return new


def _for_person(new: NewConsent, birth: date, purpose: Purpose, acted_on: date) -> NewConsent:
    acted, age = new.representation, years_between(birth, acted_on)
    if age < purpose.guardian_until_age:
        if acted is None or acted.kind is not Kind.GUARDIAN:
            raise TermsRefused(Fault.GUARDIAN_NEEDED, "a guardian consents below this age")
        if acted.relation not in OF_A_MINOR:
            raise TermsRefused(Fault.GUARDIANSHIP_UNPROVEN, "not a relation that can be a child's guardian")
        alone = midnight(_birthday(birth, purpose.guardian_until_age))
        return replace(new, ends_by=alone if new.ends_by is None else min(new.ends_by, alone))
    appointed = age >= OF_AGE and acted is not None and acted.relation is Relation.APPOINTED
    if acted is not None and acted.kind is Kind.GUARDIAN and not appointed:
        raise TermsRefused(Fault.GUARDIAN_NOT_NEEDED, "of age for this, and under nobody's appointed guardianship")
    if acted is not None and acted.kind is Kind.PROXY and age < OF_AGE:
        raise TermsRefused(Fault.REPRESENTATION_INVALID, "a minor gives no power of attorney")
    return new


def _fit(acted: Representation, subject: Identifier, by: Identifier | None, birth: date | None, acted_on: date) -> None:
    if by is None:
        if acted.kind is not Kind.RESOLUTION:
            raise TermsRefused(Fault.REPRESENTATION_INVALID, "nobody is named who acted")
        return
    if not isinstance(by, ResidentId) or by.text == subject.text or years_between(birth or by.birth, acted_on) < OF_AGE:
        raise TermsRefused(Fault.REPRESENTATIVE_UNFIT, "the subject itself, no person, or a minor")


def _birthday(birth: date, age: int) -> date:
    try:
        return birth.replace(year=birth.year + age)
    except ValueError:  # 29 February: of age with the day after
        return date(birth.year + age, 3, 1)
