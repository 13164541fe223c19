"""What a lender asks a person to agree to: one object, the same at every door (RFC 9396, type `credit_data`). Pure.

    {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["SUBSIDY"], "history_months": 24,
     "valid_to": "2027-03-31", "max_uses": 3, "uses_per_month": 1, "data_life_days": 90, "mode": "summary",
     "recipient": "…", "locations": ["<issuer>/api"]}

`recipient` and `locations` may be left out; stated, they name the asking organisation and this exchange, nothing else.
What is not stated takes the purpose's strictest value. A request is one object: two consents are two requests, for
nothing is bundled (个人信息保护法 §14, §23). The terms in it (`StatedTerms`) are stated alike at the counter.

`settled` says what consent would come of it today, by the same code that records consents: what a person is shown is
what would be recorded. It does not record, and it decides nothing about the person.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consent import notices, purposes
from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.notices import Notice
from consent.record import Consent, NewConsent, SubjectType, Terms, midnight, settle
from consent.representation import Representation
from consent.scope import Mode, recipient_name
from exchange.errors import RequestRefused
from registry import catalogue
from registry.clock import beijing_day
from registry.records import NOBODY

TYPE: Final = "credit_data"
_LAST_INSTANT: Final = timedelta(microseconds=1)  # before an end that is exclusive
_MOST: Final = 10_000  # uses, months or days: far beyond any ceiling, and within what the database holds
_CODE: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
_ITEM: Final = r"^[A-Z][A-Z0-9_]*(\.[a-z0-9_]+)?$"
_Count = Annotated[int, Field(ge=1, le=_MOST)]


class StatedTerms(BaseModel):
    """What a consent is to permit, as every door states it. What is not stated takes the purpose's strictest value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    purpose: str = Field(pattern=_CODE, max_length=40, examples=["LOAN_APPROVAL"])
    items: list[Annotated[str, Field(pattern=_ITEM, max_length=80)]] = Field(
        min_length=1, max_length=400, examples=[["SUBSIDY", "RATING"]]
    )
    history_months: _Count | None = None
    valid_to: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))] | None = Field(
        default=None, description="last day, that day included"
    )
    max_uses: _Count | None = None
    uses_per_month: _Count | None = None
    data_life_days: Annotated[int, Field(ge=0, le=_MOST)] | None = Field(
        default=None, description="how long the recipient keeps an answer"
    )
    mode: Mode | None = None


class CreditData(StatedTerms):
    """What is asked for. Its class of errors repeats nothing of the input."""

    type: Literal["credit_data"] = "credit_data"
    recipient: str | None = Field(default=None, max_length=120, description="the asking organisation's own name")
    locations: list[Annotated[str, Field(max_length=300)]] | None = Field(default=None, max_length=1)

    def as_json(self) -> dict[str, Any]:
        """Write it as it is kept."""
        return self.model_dump(mode="json", exclude_none=True)


def read_details(text: str, *, organisation: str, resource: str) -> CreditData:
    """Read the parameter `authorization_details` of a client of an organisation.

    Raises:
        RequestRefused: not exactly one object of this type, or it names another recipient or place. The sentence is
            fixed and repeats nothing.
    """
    try:
        stated = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestRefused("request-malformed", "authorization_details is not JSON") from error
    if not isinstance(stated, list) or len(stated) != 1:
        raise RequestRefused("request-malformed", "authorization_details holds exactly one object")
    try:
        wanted = CreditData.model_validate(stated[0])
    except ValidationError as error:
        raise RequestRefused(
            "request-malformed", "authorization_details: a member of credit_data is missing, unknown or malformed"
        ) from error
    own(wanted, organisation=organisation, resource=resource)
    return wanted


def own(wanted: CreditData, *, organisation: str, resource: str) -> None:
    """Refuse a request for anybody else than the one who asks.

    Raises:
        RequestRefused: it names another recipient or place.
    """
    if wanted.recipient is not None and recipient_name(wanted.recipient) != organisation:
        raise RequestRefused("request-malformed", "recipient is the asking organisation, or left out")
    if wanted.locations not in (None, [resource]):
        raise RequestRefused("request-malformed", "locations names this exchange's interfaces, or is left out")


def new_consent(  # noqa: PLR0913  # what an agreement adds to what was asked for
    wanted: StatedTerms,
    capture: Capture,
    *,
    recipient: str,
    begins: datetime,
    subject_type: SubjectType = SubjectType.PERSON,
    representation: Representation | None = None,
    previous: str | None = None,
    items: Collection[str] | None = None,
    w_acknowledged: bool = False,
    sensitive_agreed: bool = False,
    captured_at: datetime | None = None,
    uploaded_at: datetime | None = None,
    request_id: str | None = None,
) -> NewConsent:
    """Make what is handed in to the ledger of a request that a person agreed to.

    Args:
        wanted: what was asked for.
        capture: how the person agreed.
        recipient: the asking organisation.
        begins: from when the consent is to hold.
        subject_type: who agreed.
        representation: who acted for the subject.
        previous: the consent that it takes the place of.
        items: fewer items than were asked for, where the person agreed to fewer.
        w_acknowledged: whether adverse consequences were acknowledged, by an act of its own.
        sensitive_agreed: whether the person agreed to sensitive items, by an act of its own.
        captured_at: when it was taken.
        uploaded_at: when it arrived, if that is another moment.
        request_id: the request that it answers.
    """
    return NewConsent(
        subject_id=NOBODY,
        subject_type=subject_type,
        recipient=recipient,
        purpose=wanted.purpose,
        items=sorted(wanted.items if items is None else items),
        valid_from=begins,
        valid_until=midnight(wanted.valid_to + timedelta(days=1)) if wanted.valid_to else None,
        capture=capture,
        w_acknowledged=w_acknowledged,
        history_months=wanted.history_months,
        max_uses=wanted.max_uses,
        uses_per_month=wanted.uses_per_month,
        data_life_days=wanted.data_life_days,
        mode=wanted.mode,
        to_lender=True,
        sensitive_agreed=sensitive_agreed,
        captured_at=captured_at,
        uploaded_at=uploaded_at,
        request_id=request_id,
        representation=representation,
        previous=previous,
    )


def agreed_to(made: Consent) -> dict[str, Any]:
    """Say what was agreed to, in the form in which it was asked for (RFC 9396 §7.1)."""
    scope = made.terms.scope
    return {
        "type": TYPE,
        "consent_id": made.consent_id,
        "recipient": scope.recipient,
        "purpose": scope.purpose,
        "items": sorted(scope.items),
        "history_months": scope.history_months,
        "valid_to": beijing_day(scope.valid_until - _LAST_INSTANT).isoformat(),
        "max_uses": scope.max_uses,
        "uses_per_month": scope.uses_per_month,
        "mode": scope.mode.value,
        "data_life_days": made.terms.data_life_days,
        "adverse_consequences_acknowledged": scope.w_acknowledged,
        "sensitive_agreed": scope.sensitive_agreed,
    }


def settled(
    wanted: CreditData,
    notice: Notice,
    *,
    recipient: str,
    now: datetime,
    subject_type: SubjectType = SubjectType.PERSON,
) -> Terms:
    """Say what consent would come of it, if everything were agreed to now, on this text.

    Raises:
        TermsRefused: terms that no consent may have.
    """
    capture = Capture(
        channel=Channel.H5,
        text_version=notice.version,
        text_language=notice.language,
        evidence=Evidence(EvidenceKind.RELIABLE_ESIGN, None),
    )
    new = new_consent(
        wanted, capture, recipient=recipient, begins=now, subject_type=subject_type, sensitive_agreed=True
    )
    return settle(replace(new, state=State.REQUESTED), purposes=purposes.current(), catalogue=catalogue.current())


def refuse_unsettled(
    wanted: CreditData, *, recipient: str, now: datetime, subject_type: SubjectType = SubjectType.PERSON
) -> None:
    """Refuse what nobody could agree to, before anybody is asked.

    Raises:
        TermsRefused: terms that no consent may have, or a purpose without a text of ours.
    """
    purpose = purposes.current().get(wanted.purpose)
    if purpose is None:
        raise TermsRefused(Fault.PURPOSE_UNKNOWN, "no such purpose")
    notice = text_of(wanted.purpose, Language.CHINESE)
    if notice is None:
        raise TermsRefused(Fault.TEXT_UNKNOWN, "there is no text of this purpose that a person could agree to")
    settled(wanted, notice, recipient=recipient, now=now, subject_type=subject_type)


def text_of(purpose: str, language: Language) -> Notice | None:
    """Give the newest text of a purpose in a language; None if there is none."""
    found = (notices.find(purpose, version, language) for version in reversed(notices.versions(purpose)))
    return next((notice for notice in found if notice is not None), None)
