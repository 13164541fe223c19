"""A consent on paper as it is entered, and what a second person reads from the paper in hand. Values only."""

from datetime import date, datetime
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from consent import taking
from consent.evidence import Channel, EvidenceKind
from consent.record import midnight
from consent.representation import Kind
from exchange.capture.taken import REFERENCE, Person, Subject, TakenModel
from exchange.errors import RequestRefused
from registry.clock import beijing_day

_HASH: Final = r"^[0-9a-fA-F]{64}$"


class PaperModel(TakenModel):
    """A consent on paper as it is entered."""

    original_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    signed_on: date
    signed_at: AwareDatetime | None = Field(
        default=None, description="the moment, if the paper has it: only so it counts after a withdrawal of that day"
    )
    channel: Literal[Channel.COUNTER, Channel.VILLAGE]
    fingerprints_redacted: bool

    @property
    def kind(self) -> EvidenceKind:
        """What the paper is: a resolution's minutes prove a collective's consent, any other paper a person's."""
        acted = self.representation
        by_resolution = acted is not None and acted.kind is Kind.RESOLUTION
        return EvidenceKind.RESOLUTION if by_resolution else EvidenceKind.PAPER_SCAN

    @property
    def agreed_at(self) -> datetime:
        """When it was signed; of which only the day is known, that day's beginning."""
        return self.signed_at or midnight(self.signed_on)

    def refuse_date(self, now: datetime) -> None:
        """Refuse what was signed in the future or too long ago.

        Raises:
            RequestRefused: `paper-too-old`.
        """
        today, bounds = beijing_day(now), taking.bounds()
        if not today - bounds.paper_within <= self.signed_on <= today:
            raise RequestRefused("paper-too-old")
        moment = self.signed_at
        if moment is not None and (beijing_day(moment) != self.signed_on or moment > now + bounds.clock):
            raise RequestRefused("paper-too-old", "signed_at is in the future, or on another day than signed_on")

    def without_people(self) -> dict[str, Any]:
        """Write it as it is kept and shown: without whose it is, who acted, who witnessed, and the hash."""
        kept = self.model_dump(mode="json", exclude={"subject", "witness", "original_sha256"}, exclude_none=True)
        kept.get("representation", {}).pop("representative", None)
        return kept


class ConfirmModel(BaseModel):
    """What a second person reads from the paper in hand, and looked at: all of it as it was entered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    collector: str = Field(pattern=REFERENCE, description="who looked at the paper")
    subject: Subject
    representative: Person | None = Field(default=None, description="who acted for the subject, where somebody did")
    witness: Person | None = Field(default=None, description="where the paper has one")
    original_sha256: str = Field(pattern=_HASH, description="taken again from the paper in hand")
    terms_sha256: str = Field(pattern=_HASH, description="of the terms that were shown")
    scan_sha256: str | None = Field(
        default=None, pattern=_HASH, description="of the scan that was looked at; null if there is none"
    )
