"""A consent that somebody took in person: on paper, or on a device. What it states, and the consent that comes of it.

The person agrees for himself or herself; whoever acts for somebody else does so at the counter (`POST /v1/consents`),
where the documents are. Free texts have no place here: codes, dates, hashes and identifiers only.
"""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from consent.evidence import Capture, Channel, Evidence, Language
from consent.record import NewConsent, midnight
from consent.refusals import AskedBy
from exchange import credit_data
from exchange.consenting import Beside
from exchange.credit_data import CreditData
from exchange.errors import RequestRefused
from registry.clock import beijing_day
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId

REFERENCE: Final = r"^[A-Za-z0-9._:/-]{1,64}$"


class Person(BaseModel):
    """A person, by resident id (公民身份号码)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    identifier: str = Field(min_length=15, max_length=24, pattern=r"^[0-9Xx \-]+$")

    def read(self) -> ResidentId:
        """Read the identifier.

        Raises:
            RequestRefused: its length, characters or check do not fit.
        """
        try:
            return ResidentId.parse(self.identifier)
        except MalformedIdentifier as error:
            raise RequestRefused("identifier-malformed") from error


class TakenModel(BaseModel):
    """What was agreed to, on which text, before whom. `read_aloud`: the person did not read the text, so a witness."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    subject: Person
    terms: CreditData
    valid_from: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))] | None = Field(
        default=None, description="first day, in Beijing; without it the day on which it was taken"
    )
    text_version: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}$")
    text_language: Language
    adverse_consequences_acknowledged: bool = False
    sensitive_agreed: bool = False
    read_aloud: bool = False
    witness: Person | None = None
    collector: str = Field(pattern=REFERENCE, description="a code that the operator registered for you")
    place: str = Field(pattern=r"^[0-9]{6,12}$", description="division code")
    asked_by: AskedBy = Field(
        default=AskedBy.LENDER,
        description="subject: the person came of its own will; a no of before does not stop that",
    )

    @property
    def asked_by_subject(self) -> bool:
        """Whether the person came of its own will."""
        return self.asked_by is AskedBy.SUBJECT


def consent_of(  # what an agreement in person adds to its statement
    taken: TakenModel,
    evidence: Evidence,
    *,
    organisation: str,
    channel: Channel,
    captured_at: datetime,
    uploaded_at: datetime,
    device: str | None = None,
) -> NewConsent:
    """Make what is handed in to the ledger. It begins no earlier than it was taken.

    Raises:
        RequestRefused: `began-before`: its first day lies before the day on which it was taken.
    """
    begins = captured_at
    if taken.valid_from is not None:
        if taken.valid_from < beijing_day(captured_at):
            raise RequestRefused("began-before")
        begins = max(captured_at, midnight(taken.valid_from))
    capture = Capture(
        channel=channel,
        text_version=taken.text_version,
        text_language=taken.text_language,
        evidence=evidence,
        collector=taken.collector,
        device=device,
        place=taken.place,
    )
    return credit_data.new_consent(
        taken.terms,
        capture,
        recipient=organisation,
        begins=begins,
        w_acknowledged=taken.adverse_consequences_acknowledged,
        sensitive_agreed=taken.sensitive_agreed,
        captured_at=captured_at,
        uploaded_at=uploaded_at,
    )


def beside(witness: str | None) -> Beside:
    """Say who stands beside: a witness, if there is one."""
    return Beside(witness=witness)
