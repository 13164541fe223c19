"""How a door is told who acted for the subject: a guardian, a proxy, a village's meeting. Values only.

What may act is said by `consent.representation`; who may, by `exchange.consenting`.
"""

from datetime import date
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from consent.representation import Kind, Meeting, Relation, Representation, Resolution
from exchange.naming import Code, SubjectModel

_MOST_HEADS: Final = 1_000_000
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Heads = Annotated[int, Field(ge=0, le=_MOST_HEADS)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ResolutionModel(_Model):
    """A collective's resolution (农村集体经济组织法 §26-28). `members`: all who were entitled to vote."""

    meeting: Meeting
    number: Code
    members: Heads
    present: Heads
    votes_for: Heads
    votes_against: Heads
    votes_abstained: Heads
    held_on: Day
    publicity_from: Day
    publicity_to: Day
    term_until: Day
    minutes_sha256: Hash

    def read(self) -> Resolution:
        """Give the resolution."""
        said = self.model_dump(exclude={"minutes_sha256"})
        return Resolution(**said, minutes_sha256=bytes.fromhex(self.minutes_sha256))


class RepresentationModel(_Model):
    """Who acted for the subject. The representative's identifier becomes a keyed token at once and is not kept."""

    kind: Kind
    relation: Relation
    representative: SubjectModel | None = None
    document_sha256: Hash | None = Field(default=None, description="power of attorney, or proof of guardianship")
    until: Day | None = Field(default=None, description="last day of the document, that day included")
    resolution: ResolutionModel | None = None

    def read(self) -> Representation:
        """Give the representation, without who it was."""
        document = None if self.document_sha256 is None else bytes.fromhex(self.document_sha256)
        resolution = None if self.resolution is None else self.resolution.read()
        return Representation(self.kind, self.relation, None, document, self.until, resolution)
