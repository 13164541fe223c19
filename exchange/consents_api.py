"""The lenders' door for consents: record one that was taken at a counter or village point, see it, withdraw it.

A lender records consents that name itself, and nobody else. What it hands in is the hash of the evidence; the paper
stays with whoever collected it. The subject's own pages, and consents taken by phone, come with their own issue.
"""

from datetime import date, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from consent import ledger
from consent.errors import TermsRefused, TransitionRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import Consent, NewConsent, SubjectType, midnight
from consent.register import MEANINGS
from consent.scope import Mode
from exchange import consents, problems
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.lender_api import CODE, Code, ItemCode, SubjectModel, identifier_of, refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry.clock import rfc3339
from registry.records import NOBODY

_MOST: Final = 10_000  # uses or months: far beyond any ceiling, and within what the database holds
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EvidenceModel(_Model):
    """What was kept as proof: its kind and the SHA-256 of the file (64 hexadecimal digits)."""

    kind: EvidenceKind = Field(examples=["paper_scan"])
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class GrantModel(_Model):
    """A consent as it was taken. What is not stated becomes the strictest value of the purpose."""

    subject: SubjectModel
    purpose: str = Field(pattern=CODE, max_length=40, examples=["LOAN_APPROVAL"])
    items: list[ItemCode] = Field(min_length=1, max_length=400, examples=[["SUBSIDY"]])
    valid_from: Day = Field(description="first day, in Beijing")
    valid_to: Day | None = Field(default=None, description="last day, that day included")
    history_months: int | None = Field(default=None, ge=1, le=_MOST)
    max_uses: int | None = Field(default=None, ge=1, le=_MOST)
    mode: Literal["verify", "summary"] | None = None
    adverse_consequences_acknowledged: bool = False
    text_version: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-01"])
    text_language: Language = Field(examples=["bo"])
    channel: Literal[Channel.COUNTER, Channel.VILLAGE] = Field(examples=["village"])
    evidence: EvidenceModel
    collector: Code | None = Field(default=None, description="a code of the lender's own, not a name")
    place: str | None = Field(default=None, pattern=r"^[0-9]{6,12}$", description="division code")


class WithdrawModel(_Model):
    """Where the subject said so."""

    channel: Literal[Channel.COUNTER, Channel.VILLAGE] = Field(examples=["counter"])


class ConsentModel(BaseModel):
    """A consent, with its signed receipt for the subject (ISO/IEC TS 27560 record, compact JWS)."""

    consent_id: str
    state: str
    purpose: str
    items: list[str]
    valid_from: str
    valid_until: str = Field(description="exclusive")
    history_months: int
    max_uses: int
    uses: int
    mode: str
    receipt: str


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/v1/consents", tags=["lender"])
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    @router.post("", status_code=201, summary="Record a consent", responses=problems.responses(401, 403, 422, 503))
    def record(given: GrantModel, caller: calling) -> ConsentModel:
        """Record a consent that names the calling lender, and sign its receipt."""
        identifier = identifier_of(given.subject)
        refuse_personal(given.collector)
        new = NewConsent(
            subject_id=NOBODY,
            subject_type=SubjectType.PERSON if given.subject.type == "resident_id" else SubjectType.ORGANISATION,
            recipient=caller.org_code,
            purpose=given.purpose,
            items=given.items,
            valid_from=midnight(given.valid_from),
            valid_until=midnight(given.valid_to + timedelta(days=1)) if given.valid_to else None,
            capture=Capture(
                channel=given.channel,
                text_version=given.text_version,
                text_language=given.text_language,
                evidence=Evidence.of(given.evidence.kind, given.evidence.sha256),
                collector=given.collector,
                place=given.place,
            ),
            w_acknowledged=given.adverse_consequences_acknowledged,
            history_months=given.history_months,
            max_uses=given.max_uses,
            mode=Mode(given.mode) if given.mode else None,
            to_lender=True,
        )
        try:
            return _shown(consents.grant(home, identifier, new, actor=caller.client_id))
        except TermsRefused as refused:
            fault = f"{refused.code.value}: {MEANINGS[refused.code][1]}"  # never what was sent
            raise RequestRefused("consent-terms", fault) from refused

    @router.get("/{consent_id}", summary="See a consent", responses=problems.responses(401, 403, 404))
    def see(consent_id: str, caller: calling) -> ConsentModel:
        """Show a consent that names the calling lender."""
        with home.database.transaction() as tx:
            found = ledger.get(tx, [consent_id]).get(consent_id)
        if found is None or found.terms.scope.recipient != caller.org_code:
            raise RequestRefused("consent-unknown")
        return _shown(found)

    @router.post("/{consent_id}/withdraw", summary="Withdraw", responses=problems.responses(401, 403, 404, 409))
    def withdraw(consent_id: str, given: WithdrawModel, caller: calling) -> ConsentModel:
        """Carry out a withdrawal that the subject declared to the lender. It bites on the next read, everywhere."""
        try:
            ended = consents.withdraw(
                home, consent_id, given.channel, actor=caller.client_id, recipient=caller.org_code
            )
        except TransitionRefused as refused:
            raise RequestRefused("consent-ended") from refused
        return _shown(ended)

    return router


def _shown(consent: Consent) -> ConsentModel:
    scope = consent.terms.scope
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
        mode=scope.mode.value,
        receipt=consent.receipt,
    )
