"""The consent record: what is kept about one consent, and what must hold before it is kept. Pure.

`settle` turns what somebody hands in into a record, in this order:
  1. the purpose is a known one, and the recipient may use it; classes and kinds become items of today's catalogue,
     frozen from here on
  2. one recipient, items within the purpose
  3. what is not stated takes the purpose's strictest value; what is stated stays within its ceiling
  4. dates in order; the period within the ceiling, and no longer than whoever acted for the subject may act; the
     first day at most so many days after the consent was taken
  5. whoever agreed has left evidence, on paper only with the word that fingerprints were blacked out (R-75; an agency's
     own register excepted: its paper is not handed in), acknowledged adverse consequences in writing or not at all
     (R-05, R-73), and agreed to sensitive items, or anything of a child's, in an act of its own (R-17)
  6. whoever acted for the subject may do so (consent.representation); a collective consents by resolution, and never
     for its members: only items of kinds about organisations
  7. a person agrees on a text of ours, where there is one for the purpose, and to nothing that it does not name
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

from consent import notices, representation
from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, Evidence, EvidenceKind
from consent.grant import Grant, State, told
from consent.purposes import Entrance, Purpose, Purposes
from consent.representation import Kind, Representation
from consent.scope import Mode, Scope, names_one, recipient_name
from registry.catalogue import Catalogue
from registry.errors import RegistryError
from registry.identifiers import SubjectKind
from registry.instants import BEIJING, beijing_day

AGREED: Final = frozenset({State.ACTIVE, State.PAUSED})
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
    `to_lender` says that the recipient is known to be a lender. `representation` is who acted for the subject,
    `sensitive_agreed` the act of its own for sensitive items. `captured_at` and `uploaded_at` are when it was taken and
    when it arrived, `request_id` the request that it answers. `ends_by` is a limit that the caller knows and the
    ledger does not (the day on which a child comes of age): the consent ends then at the latest.
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
    uses_per_month: int | None = None
    data_life_days: int | None = None
    sensitive_agreed: bool = False
    representation: Representation | None = None
    captured_at: datetime | None = None
    uploaded_at: datetime | None = None
    request_id: str | None = None
    ends_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """A consent's terms, settled: every cap filled in.

    Consents of before 2026-03 state no `data_life_days` (days): theirs is the purpose's.
    """

    register_no: str | None
    subject_id: UUID
    subject_type: SubjectType
    scope: Scope
    purpose_version: str
    catalogue_version: str
    capture: Capture
    previous: str | None
    data_life_days: int | None = None
    representation: Representation | None = None
    captured_at: datetime | None = None
    uploaded_at: datetime | None = None
    request_id: str | None = None

    @property
    def holder(self) -> tuple[UUID, str, str]:
        """Whose consent it is, for whom, for what: what nothing later can change."""
        return self.subject_id, self.scope.recipient, self.scope.purpose


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent as the ledger holds it. `receipt` is the signed receipt, `receipt_entry` its entry in the log.

    `receipt_sm2` is a second, detached signature over the same bytes, where the operator has a key of SM2. `month`,
    `month_uses` and `reconfirm_by` are as in consent.grant. `paused_at` is when it was paused, if the person did
    not resume it since, whatever became of it.
    """

    consent_id: str
    terms: Terms
    state: State
    state_at: datetime
    uses: int
    withdraw_channel: str | None
    receipt: str
    receipt_entry: UUID
    created_at: datetime
    receipt_sm2: str | None = None
    month: str | None = None
    month_uses: int = 0
    reconfirm_by: datetime | None = None
    paused_at: datetime | None = None

    @property
    def told(self) -> State:
        """The state that the recipient is told."""
        return told(self.state, since=self.state_at, valid_until=self.terms.scope.valid_until)

    @property
    def grant(self) -> Grant:
        """The consent as the decision sees it."""
        return Grant(
            self.consent_id,
            self.terms.scope,
            self.told,
            self.uses,
            self.month,
            self.month_uses,
            self.reconfirm_by,
            self.terms.data_life_days or 0,
        )


def settle(new: NewConsent, *, purposes: Purposes, catalogue: Catalogue, now: datetime | None = None) -> Terms:
    """Turn what is handed in into terms, or refuse it. Where it is not stated when it was taken, `now` stands for that.

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
        valid_until=_valid_until(new, purpose),
        max_uses=_uses(new.max_uses, purpose),
        mode=_mode(new.mode, purpose),
        w_acknowledged=new.w_acknowledged,
        sensitive_agreed=new.sensitive_agreed,
        uses_per_month=_uses_per_month(new.uses_per_month, purpose),
    )
    _require_near(new, purposes, now)
    _require_evidence(new)
    _require_separate(new, items, catalogue)
    _require_leave(new, items, catalogue)
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
        data_life_days=_data_life(new.data_life_days, purpose),
        representation=new.representation,
        captured_at=new.captured_at,
        uploaded_at=new.uploaded_at,
        request_id=new.request_id,
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


def _uses_per_month(stated: int | None, purpose: Purpose) -> int:
    cap = purpose.uses_per_month
    if stated is None:
        return cap.strictest
    if not 1 <= stated <= cap.ceiling:
        raise TermsRefused(
            Fault.TOO_MANY_USES_PER_MONTH, f"{stated} uses a month, {purpose.code} allows 1 to {cap.ceiling}"
        )
    return stated


def _data_life(stated: int | None, purpose: Purpose) -> int:
    if stated is not None and not 0 <= stated <= purpose.data_life_days:
        raise TermsRefused(Fault.DATA_LIFE_TOO_LONG, f"{stated} days, {purpose.code} allows {purpose.data_life_days}")
    return purpose.data_life_days if stated is None else stated


def _valid_until(new: NewConsent, purpose: Purpose) -> datetime:
    start, stated = new.valid_from, new.valid_until
    if any(moment is not None and moment.tzinfo is None for moment in (start, stated, new.ends_by)):
        raise TermsRefused(Fault.DATE_UNREADABLE, "a moment without a time zone")
    cap = purpose.validity_months
    if stated is not None and stated <= start:
        raise TermsRefused(Fault.PERIOD_INVERTED, "the consent would end before it begins")
    if stated is not None and stated > end_of_period(start, cap.ceiling):
        raise TermsRefused(Fault.VALIDITY_TOO_LONG, f"{purpose.code} allows {cap.ceiling} months")
    until = end_of_period(start, cap.strictest) if stated is None else stated
    acted = None if new.representation is None else new.representation.last_day
    ends = [until, *([new.ends_by] if new.ends_by else []), *([midnight(acted + timedelta(days=1))] if acted else [])]
    if min(ends) <= start:
        raise TermsRefused(Fault.REPRESENTATION_OVER, "whoever acted cannot act any more when the consent begins")
    return min(ends)


def _require_near(new: NewConsent, purposes: Purposes, now: datetime | None) -> None:
    taken = new.captured_at or now
    if new.state not in AGREED or taken is None:
        return
    if beijing_day(new.valid_from) > beijing_day(taken) + timedelta(days=purposes.begins_within_days):
        raise TermsRefused(Fault.BEGINS_TOO_LATE, f"it begins within {purposes.begins_within_days} days of being taken")


def refuse_unredacted(evidence: Evidence) -> None:
    """Refuse a paper without the word that its fingerprints were blacked out (R-75).

    Raises:
        TermsRefused: FINGERPRINTS_NOT_REDACTED.
    """
    if evidence.kind is EvidenceKind.PAPER_SCAN and not evidence.redacted:
        raise TermsRefused(Fault.FINGERPRINTS_NOT_REDACTED, "a paper without the word that fingerprints are redacted")


def _require_evidence(new: NewConsent) -> None:
    if new.state not in AGREED:
        return
    if new.capture.evidence.sha256 is None:
        raise TermsRefused(Fault.EVIDENCE_MISSING, "a consent in force needs the hash of its evidence")
    if new.register_no is None:
        refuse_unredacted(new.capture.evidence)
    if new.w_acknowledged and not new.capture.evidence.written:
        raise TermsRefused(Fault.ACKNOWLEDGEMENT_NOT_WRITTEN, "adverse consequences are acknowledged in writing")


def _require_separate(new: NewConsent, items: frozenset[str], catalogue: Catalogue) -> None:
    if new.state not in AGREED or new.sensitive_agreed or new.subject_type is SubjectType.ORGANISATION:
        return
    if items & catalogue.separate_items:
        raise TermsRefused(Fault.SENSITIVE_NOT_AGREED, "sensitive items need an act of agreement of their own")
    if new.representation is not None and new.representation.kind is Kind.GUARDIAN:
        raise TermsRefused(Fault.SENSITIVE_NOT_AGREED, "a ward's data need an act of agreement of their own")


def _require_leave(new: NewConsent, items: frozenset[str], catalogue: Catalogue) -> None:
    if new.state not in AGREED:
        return
    acted = new.representation
    collective = new.subject_type is SubjectType.ORGANISATION
    if collective:
        _require_resolution(new, items, catalogue)
    elif new.capture.evidence.kind is EvidenceKind.RESOLUTION or (acted is not None and acted.kind is Kind.RESOLUTION):
        raise TermsRefused(
            Fault.COLLECTIVE_FOR_MEMBER, "a meeting cannot consent for a person, nor its minutes prove it"
        )
    if acted is not None:
        representation.check(
            acted,
            sensitive=not collective and bool(items & catalogue.separate_items),
            first_day=beijing_day(new.valid_from),
            given=representation.rules(),
        )


def _require_resolution(new: NewConsent, items: frozenset[str], catalogue: Catalogue) -> None:
    acted, evidence = new.representation, new.capture.evidence
    if evidence.kind is not EvidenceKind.RESOLUTION or (acted is not None and acted.kind is not Kind.RESOLUTION):
        raise TermsRefused(Fault.RESOLUTION_MISSING, "a collective consents by resolution")
    if acted is None and new.register_no is None:  # an agency's own register rests on the agency's own paper
        raise TermsRefused(Fault.RESOLUTION_MISSING, "the resolution's meeting, votes and publicity are not stated")
    if acted is not None and acted.resolution is not None and acted.resolution.minutes_sha256 != evidence.sha256:
        raise TermsRefused(Fault.RESOLUTION_INVALID, "the evidence is not the minutes of this resolution")
    members = {
        item for item in items if SubjectKind.ORGANISATION not in catalogue.kinds[item.partition(".")[0]].subject
    }
    if members:
        raise TermsRefused(Fault.COLLECTIVE_FOR_MEMBER, "items about persons: each member consents alone")


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
