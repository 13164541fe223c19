"""What comes to the lenders' door for consents and what goes out of it, as values; read into the terms of a consent.

Nothing here decides: what a consent may state is consent.record's, who may give it exchange.consenting's.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from consent import receipt
from consent.evidence import AskedBy, Capture, Channel, Confirmation, Evidence, EvidenceKind, Language
from consent.narrowing import Narrower
from consent.record import Consent, NewConsent, SubjectType, midnight
from consent.scope import Mode
from exchange import credit_data
from exchange.acting import Day, Hash, RepresentationModel
from exchange.consenting import Beside
from exchange.credit_data import StatedTerms
from exchange.naming import CODE, Code, ItemCode, Printable, SubjectModel, identifier_of
from registry.clock import rfc3339
from registry.identifiers import Identifier

_MOST: Final = 10_000  # uses, months or days: far beyond any ceiling, and within what the database holds
_A_DAY: Final = timedelta(days=1)
Count = Annotated[int, Field(ge=1, le=_MOST)]
Place = Literal[Channel.COUNTER, Channel.VILLAGE]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EvidenceModel(_Model):
    """What was kept as proof: its kind and the SHA-256 of the file (64 hexadecimal digits); its SM3 too, if known."""

    kind: EvidenceKind = Field(examples=["paper_scan"])
    sha256: Hash
    sm3: Hash | None = None
    fingerprints_redacted: bool = Field(
        default=False,
        description="the fingerprint area of the scan was blacked out before any copy left the collector; without that"
        " word no paper is taken",
    )

    def read(self) -> Evidence:
        """Give the evidence."""
        checked = Evidence.of(self.kind, self.sha256)
        sm3 = None if self.sm3 is None else bytes.fromhex(self.sm3)
        return Evidence(checked.kind, checked.sha256, sm3, self.fingerprints_redacted)


class GrantModel(StatedTerms):
    """A consent as it was taken at a counter or village point: what, from when, by whom, where, before whom."""

    subject: SubjectModel
    valid_from: Day = Field(description="first day, in Beijing")
    adverse_consequences_acknowledged: bool = False
    sensitive_agreed: bool = Field(default=False, description="sensitive items were agreed to in an act of their own")
    representation: RepresentationModel | None = None
    text_version: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-01"])
    text_language: Language = Field(examples=["bo"])
    channel: Place = Field(examples=["village"])
    evidence: EvidenceModel
    read_aloud: bool = Field(
        default=False, description="the text was read out to a person who did not read it: a witness is needed"
    )
    witness: Printable | None = Field(
        default=None,
        min_length=2,
        max_length=40,
        description="who saw it, where the person cannot read or write: a keyed token is kept, not this",
    )
    collector: Code = Field(description="a code that the operator registered for the lender, not a name")
    device: Code | None = Field(default=None, description="a code of the lender's own")
    place: str = Field(pattern=r"^[0-9]{6,12}$", description="division code")
    captured_at: AwareDatetime = Field(description="when it was taken: not in the future, at most seven days ago")
    previous: Code | None = Field(default=None, description="the consent that this new one takes the place of")
    asked_by: AskedBy = Field(
        default=AskedBy.LENDER,
        description="subject: the person came of its own will, and was received by `collector`; a no of before does not"
        " stop that",
    )

    def read(self, recipient: str, now: datetime) -> NewConsent:
        """Give the consent as it is handed in, of a subject that is not looked up yet.

        Raises:
            TermsRefused: EVIDENCE_INVALID.
        """
        capture = Capture(
            channel=self.channel,
            text_version=self.text_version,
            text_language=self.text_language,
            evidence=self.evidence.read(),
            collector=self.collector,
            device=self.device,
            place=self.place,
        )
        return credit_data.new_consent(
            self,
            capture,
            recipient=recipient,
            begins=midnight(self.valid_from),
            subject_type=SubjectType.PERSON if self.subject.type == "resident_id" else SubjectType.ORGANISATION,
            representation=None if self.representation is None else self.representation.read(),
            previous=self.previous,
            w_acknowledged=self.adverse_consequences_acknowledged,
            sensitive_agreed=self.sensitive_agreed,
            captured_at=self.captured_at,
            uploaded_at=now,
        )

    def beside(self) -> Beside:
        """Give who stood beside it.

        Raises:
            RequestRefused: the representative's identifier does not check.
        """
        acted = None if self.representation is None else self.representation.representative
        by: Identifier | None = None if acted is None else identifier_of(acted)
        return Beside(by, self.witness)


class SaidModel(_Model):
    """Where the subject said so."""

    channel: Place = Field(examples=["counter"])


class EdgesModel(_Model):
    """What becomes less; what is not stated stays as it is. Widening is a new consent. Both doors narrow by it."""

    items: list[ItemCode] | None = Field(default=None, min_length=1, max_length=400, description="items, not classes")
    valid_to: Day | None = Field(default=None, description="last day, that day included")
    history_months: Annotated[int, Field(ge=0, le=_MOST)] | None = None
    max_uses: Count | None = None
    uses_per_month: Count | None = None
    data_life_days: Annotated[int, Field(ge=0, le=_MOST)] | None = None
    mode: Literal["verify", "tags", "score", "summary", "report", "monitor"] | None = None

    def read(self) -> Narrower:
        """Give the edges of the smaller consent."""
        return Narrower(
            items=self.items,
            history_months=self.history_months,
            valid_until=midnight(self.valid_to + _A_DAY) if self.valid_to else None,
            max_uses=self.max_uses,
            uses_per_month=self.uses_per_month,
            mode=Mode(self.mode) if self.mode else None,
            data_life_days=self.data_life_days,
        )


class NarrowModel(EdgesModel, SaidModel):
    """What becomes less, and where the subject said so."""


class ReconfirmModel(SaidModel):
    """A confirmation by e-signature: where and when, who took it, and the hash of what was signed. Paper is refused."""

    evidence: EvidenceModel
    collector: Code = Field(description="a registered collector's code, not a name")
    captured_at: AwareDatetime = Field(description="when the person signed; its period begins then")

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.evidence.kind not in {EvidenceKind.PAPER_SCAN, EvidenceKind.RELIABLE_ESIGN}:
            raise ValueError("a confirmation is signed")
        return self

    def read(self) -> Confirmation:
        """Give the confirmation.

        Raises:
            TermsRefused: EVIDENCE_INVALID.
        """
        return Confirmation(self.channel, self.evidence.read(), self.captured_at, collector=self.collector)


class RefusalModel(SaidModel):
    """A person said no to this lender's request for a purpose."""

    subject: SubjectModel
    purpose: str = Field(pattern=CODE, max_length=40, examples=["LOAN_APPROVAL"])


class ConsentModel(BaseModel):
    """A consent, with its signed receipt for the subject (ISO/IEC TS 27560 record, compact JWS; SM2 beside it)."""

    consent_id: str
    state: str
    purpose: str
    items: list[str]
    valid_from: str
    valid_until: str = Field(description="exclusive")
    history_months: int
    max_uses: int
    uses: int
    uses_per_month: int | None = Field(description="null: the purpose's ceiling")
    mode: str
    data_life_days: int | None = Field(description="null: the purpose's")
    sensitive_agreed: bool
    representation: str | None = Field(description="guardian, proxy or resolution")
    reconfirm_by: str | None = Field(description="from then on it permits nothing until the subject confirms it again")
    previous: str | None
    receipt: str
    receipt_sm2: str | None = Field(description="detached JWS, alg SM2, over the same bytes")
    receipt_sha256: str


def shown(consent: Consent) -> ConsentModel:
    """Write a consent for the lender that it names."""
    terms, scope = consent.terms, consent.terms.scope
    return ConsentModel(
        consent_id=consent.consent_id,
        state=consent.state.value,
        purpose=scope.purpose,
        items=sorted(scope.items),
        valid_from=rfc3339(scope.valid_from),
        valid_until=rfc3339(scope.valid_until),
        history_months=scope.history_months,
        max_uses=scope.max_uses,
        uses=consent.uses,
        uses_per_month=scope.uses_per_month,
        mode=scope.mode.value,
        data_life_days=terms.data_life_days,
        sensitive_agreed=scope.sensitive_agreed,
        representation=None if terms.representation is None else terms.representation.kind.value,
        reconfirm_by=None if consent.reconfirm_by is None else rfc3339(consent.reconfirm_by),
        previous=terms.previous,
        receipt=consent.receipt,
        receipt_sm2=consent.receipt_sm2,
        receipt_sha256=receipt.digest(consent.receipt).hex(),
    )
