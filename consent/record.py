"""The consent record: what is kept about one consent, and what must hold before it is kept. Pure.

`settle` turns what somebody hands in into a record, in this order:
  1. the purpose is a known one, and the recipient may use it; classes and kinds become items of today's catalogue,
     frozen from here on
  2. one recipient, items within the purpose
  3. what is not stated takes the purpose's strictest value; what is stated stays within its ceiling
  4. dates in order; the period within the ceiling
  5. whoever agreed has left evidence, a collective the resolution of its meeting, and acknowledged adverse
     consequences in writing or not at all (R-05, R-73)
  6. a person agrees on a text of ours, where there is one for the purpose, and to nothing that it does not name
     (R-25); an agency's own register (`register_no`) rests on the agency's own paper

A period of n months ends with the day that has the same number n months on, that day included (民法典 §201–202), or
with the last day of a shorter month. Days are days in Beijing (+08:00).
"""

import calendar
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from consent import notices
from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, EvidenceKind
from consent.grant import Grant, State
from consent.purposes import Entrance, Purpose, Purposes
from consent.scope import Mode, Scope, names_one, recipient_name
from registry.catalogue import Catalogue
from registry.clock import BEIJING, beijing_day
from registry.errors import RegistryError

_AGREED: Final = frozenset({State.ACTIVE, State.PAUSED})
_MONTHS_OF_A_YEAR: Final = 12


class SubjectType(StrEnum):
    """Who consents: a household's member speaks for himself or herself only (R-70)."""

    HOUSEHOLD = "household"
    PERSON = "person"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class NewConsent:
    """What is handed in. `items` may be class or kind codes too. None means: not stated.

    `register_no` is the number in an agency's consent register, unique; `previous` the consent that this one replaces;
    `to_lender` says that the recipient is known to be a lender.
    """

    subject_id: UUID
    subject_type: SubjectType
    recipient: str
    purpose: str
    items: Collection[str]
    valid_from: datetime
    capture: Capture
    valid_until: datetime | None = None
    w_acknowledged: bool = False
    history_months: int | None = None
    max_uses: int | None = None
    mode: Mode | None = None
    state: State = State.ACTIVE
    register_no: str | None = None
    previous: str | None = None
    to_lender: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """A consent's terms, settled: every cap filled in."""

    register_no: str | None
    subject_id: UUID
    subject_type: SubjectType
    scope: Scope
    purpose_version: str
    catalogue_version: str
    capture: Capture
    previous: str | None

    @property
    def holder(self) -> tuple[UUID, str, str]:
        """Whose consent it is, for whom, for what: what nothing later can change."""
        return self.subject_id, self.scope.recipient, self.scope.purpose


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent as the ledger holds it. `receipt` is the signed receipt, `receipt_entry` its entry in the log."""

    consent_id: str
    terms: Terms
    state: State
    state_at: datetime
    uses: int
    withdraw_channel: str | None
    receipt: str
    receipt_entry: UUID
    created_at: datetime

    @property
    def grant(self) -> Grant:
        """The consent as the decision sees it."""
        return Grant(self.consent_id, self.terms.scope, self.state, self.uses)


def settle(new: NewConsent, *, purposes: Purposes, catalogue: Catalogue) -> Terms:
    """Turn what is handed in into terms, or refuse it.

    Raises:
        TermsRefused: with the first fault found, in the order of the steps above.
    """
    purpose = purposes.get(new.purpose)
    if purpose is None:
        raise TermsRefused(Fault.PURPOSE_UNKNOWN, f"no purpose of version {purposes.version}")
    if new.to_lender and Entrance.LENDER not in purpose.entrances:
        raise TermsRefused(Fault.PURPOSE_NOT_FOR_LENDERS, f"lenders may not use {purpose.code}")
    try:
        items = catalogue.expand(new.items)
    except RegistryError as error:
        raise TermsRefused(Fault.ITEM_UNKNOWN, str(error)) from error
    recipient = recipient_name(new.recipient)
    if not names_one(new.recipient):
        raise TermsRefused(Fault.RECIPIENT_NOT_ONE, "a consent names exactly one recipient")
    outside = sorted({item.partition(".")[0] for item in items if not purpose.allows_item(item)})
    if outside:
        raise TermsRefused(Fault.ITEM_OUTSIDE_PURPOSE, f"{purpose.code} may not touch {', '.join(outside)}")
    scope = Scope(
        recipient=recipient,
        purpose=purpose.code,
        items=items,
        history_months=_history(new.history_months, purpose),
        valid_from=new.valid_from,
        valid_until=_valid_until(new.valid_from, new.valid_until, purpose),
        max_uses=_uses(new.max_uses, purpose),
        mode=_mode(new.mode, purpose),
        w_acknowledged=new.w_acknowledged,
    )
    _require_evidence(new)
    _require_named(new, items, catalogue)
    return Terms(
        register_no=new.register_no,
        subject_id=new.subject_id,
        subject_type=new.subject_type,
        scope=scope,
        purpose_version=purpose.version,
        catalogue_version=catalogue.version,
        capture=new.capture,
        previous=new.previous,
    )


def midnight(day: date) -> datetime:
    """Give the instant at which a day begins in Beijing."""
    return datetime.combine(day, time(), BEIJING)


def end_of_period(start: datetime, months: int) -> datetime:
    """Give the instant, exclusive, at which a period of months ends that begins at `start`."""
    first = beijing_day(start)
    count = first.year * _MONTHS_OF_A_YEAR + first.month - 1 + months
    year, month = divmod(count, _MONTHS_OF_A_YEAR)
    last = calendar.monthrange(year, month + 1)[1]
    return midnight(date(year, month + 1, min(first.day, last)) + timedelta(days=1))


def _history(stated: int | None, purpose: Purpose) -> int:
    cap = purpose.history_months
    if stated is None:
        return cap.strictest
    if not 0 <= stated <= cap.ceiling:
        raise TermsRefused(Fault.HISTORY_TOO_LONG, f"{stated} months of history, {purpose.code} allows {cap.ceiling}")
    return stated


def _uses(stated: int | None, purpose: Purpose) -> int:
    cap = purpose.uses
    if stated is None:
        return cap.strictest
    if not 1 <= stated <= cap.ceiling:
        raise TermsRefused(Fault.TOO_MANY_USES, f"{stated} uses, {purpose.code} allows 1 to {cap.ceiling}")
    return stated


def _mode(stated: Mode | None, purpose: Purpose) -> Mode:
    cap = purpose.mode
    if stated is None:
        return cap.strictest
    if stated.rank > cap.ceiling.rank:
        raise TermsRefused(Fault.MODE_TOO_HIGH, f"mode {stated.value}, {purpose.code} allows {cap.ceiling.value}")
    return stated


def _valid_until(start: datetime, stated: datetime | None, purpose: Purpose) -> datetime:
    if start.tzinfo is None or (stated is not None and stated.tzinfo is None):
        raise TermsRefused(Fault.DATE_UNREADABLE, "a moment without a time zone")
    cap = purpose.validity_months
    if stated is None:
        return end_of_period(start, cap.strictest)
    if stated <= start:
        raise TermsRefused(Fault.PERIOD_INVERTED, "the consent would end before it begins")
    if stated > end_of_period(start, cap.ceiling):
        raise TermsRefused(Fault.VALIDITY_TOO_LONG, f"{purpose.code} allows {cap.ceiling} months")
    return stated


def _require_evidence(new: NewConsent) -> None:
    if new.state not in _AGREED:
        return
    if new.capture.evidence.sha256 is None:
        raise TermsRefused(Fault.EVIDENCE_MISSING, "a consent in force needs the hash of its evidence")
    if new.subject_type is SubjectType.ORGANISATION and new.capture.evidence.kind is not EvidenceKind.RESOLUTION:
        raise TermsRefused(Fault.RESOLUTION_MISSING, "a collective consents by resolution")
    if new.w_acknowledged and not new.capture.evidence.written:
        raise TermsRefused(Fault.ACKNOWLEDGEMENT_NOT_WRITTEN, "adverse consequences are acknowledged in writing")


def _require_named(new: NewConsent, items: Collection[str], catalogue: Catalogue) -> None:
    if new.subject_type is SubjectType.ORGANISATION or new.register_no is not None:
        return
    if not notices.published(new.purpose):
        return
    notice = notices.find(new.purpose, new.capture.text_version, new.capture.text_language)
    if notice is None:
        raise TermsRefused(Fault.TEXT_UNKNOWN, "no text of this version in this language")
    unnamed = sorted({item.partition(".")[0] for item in notice.unnamed(items, catalogue)})
    if unnamed:
        raise TermsRefused(Fault.ITEM_NOT_IN_TEXT, f"the text does not name {', '.join(unnamed)}")
