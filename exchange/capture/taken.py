"""A consent that somebody took in person: on paper, or on a device. What it states, and the consent that comes of it.

The person agrees alone, or somebody acts for it who may: a guardian, a proxy, a village's meeting (`representation`, as
at the counter). Free texts have no place here: codes, dates, hashes and identifiers only.
"""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from consent.evidence import AskedBy, Capture, Channel, Evidence, Language
from consent.record import NewConsent, SubjectType, midnight
from exchange import credit_data
from exchange.acting import RepresentationModel
from exchange.capture import witnesses
from exchange.consenting import Beside
from exchange.credit_data import CreditData
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import identifier_of, refuse_personal
from registry.clock import beijing_day
from registry.database import Transaction
from registry.errors import MalformedIdentifier
from registry.identifiers import CreditCode, Identifier, ResidentId

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


class Subject(BaseModel):
    """Whose consent it is: a person by resident id; where a resolution acts, an organisation by credit code."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["resident_id", "uscc"] = "resident_id"
    identifier: str = Field(min_length=15, max_length=24, pattern=r"^[0-9A-Za-z \-]+$")

    @property
    def kind(self) -> SubjectType:
        """Who consents."""
        return SubjectType.PERSON if self.type == "resident_id" else SubjectType.ORGANISATION

    def read(self) -> Identifier:
        """Read the identifier.

        Raises:
            RequestRefused: its length, characters or check do not fit.
        """
        try:
            return (ResidentId if self.type == "resident_id" else CreditCode).parse(self.identifier)
        except MalformedIdentifier as error:
            raise RequestRefused("identifier-malformed") from error


class TakenModel(BaseModel):
    """What was agreed to, on which text, before whom. `read_aloud`: the person did not read the text, so a witness."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    subject: Subject
    representation: RepresentationModel | None = Field(default=None, description="who acted for the subject")
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
    def codes(self) -> list[str]:
        """What goes on in clear, and is nobody's identifier."""
        decided = None if self.representation is None else self.representation.resolution
        return [self.collector] if decided is None else [self.collector, decided.number]

    @property
    def representative(self) -> Identifier | None:
        """Who acted for the subject; None if nobody is named.

        Raises:
            RequestRefused: the identifier does not check.
        """
        acted = None if self.representation is None else self.representation.representative
        return None if acted is None else identifier_of(acted)


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
        RequestRefused: `began-before`: its first day lies before the day on which it was taken; `request-malformed`: an
            identifier stands where a code should.
    """
    refuse_personal(*taken.codes)
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
        subject_type=taken.subject.kind,
        representation=None if taken.representation is None else taken.representation.read(),
        w_acknowledged=taken.adverse_consequences_acknowledged,
        sensitive_agreed=taken.sensitive_agreed,
        captured_at=captured_at,
        uploaded_at=uploaded_at,
    )


def witness_of(
    tx: Transaction, home: Home, taken: TakenModel, who: Identifier, *, organisation: str, now: datetime
) -> str | None:
    """Give the witness, if there is one, and refuse a witness or a representative who does not count.

    Raises:
        RequestRefused: `witness-missing`, `witness-unfit`, `identifier-malformed`.
        TermsRefused: REPRESENTATIVE_UNFIT.
    """
    witness = None if taken.witness is None else taken.witness.read()
    witnesses.refuse_acting(tx, home, taken.representative, witness=witness, organisation=organisation)
    return witnesses.witness_of(
        tx, home, witness, subject=who, organisation=organisation, read_aloud=taken.read_aloud, now=now
    )


def beside(taken: TakenModel, witness: str | None) -> Beside:
    """Say who stands beside: whoever acts for the subject, and a witness, if there is one."""
    return Beside(taken.representative, witness)
