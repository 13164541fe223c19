"""The lenders' door for binding phones: staff who have the person before them hand out a one-time code.

The code is shown once, to the person, on the counter's screen or on paper; here only its keyed hash stays. What staff
saw is said by a code (`verified`), and who it was by a collector whom the operator registered for that very lender: no
lender's system hands out codes in nobody's name.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from exchange import binding_codes, problems
from exchange.binding_codes import Seen
from exchange.capture import collectors
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import Code, SubjectModel, identifier_of, refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.clock import rfc3339
from registry.identifiers import ResidentId


class OfferModel(BaseModel):
    """Whom staff have before them, and how they know it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    subject: SubjectModel
    verified: Literal["resident_card_seen", "resident_card_read", "known_in_person"] = Field(
        description="by sight of the resident card, by a card reader, or by a village official who knows the person"
    )
    collector: Code = Field(description="a registered collector's code, not a name")
    place: str | None = Field(default=None, pattern=r"^[0-9]{6,12}$", description="division code")


class CodeModel(BaseModel):
    """The code for the person's phone, and until when it counts."""

    code: str = Field(
        description="sixteen digits, best shown in fours: the first eight find it, the last eight prove it"
    )
    expires_at: str


def build_router(home: Home) -> APIRouter:
    """Build the route over an installation."""
    router = APIRouter(prefix="/v1/bindings", tags=["lender"])

    @router.post("", status_code=201, summary="Hand out a code", responses=problems.responses(401, 403, 422, 429, 503))
    def offer(
        given: OfferModel, caller: Annotated[Caller, Depends(require(Scope.CONSENTS))], response: Response
    ) -> CodeModel:
        """Hand out the code with which the person binds a phone; it does not say whether the person is known here."""
        identifier = identifier_of(given.subject)
        refuse_personal(given.collector)
        if not isinstance(identifier, ResidentId):
            raise RequestRefused("identifier-malformed", "a phone is a person's: give the resident id")
        now = clock.now()
        with home.database.transaction() as tx:
            collector = collectors.require(tx, caller.org_code, given.collector, at=now)
            seen = Seen(caller.client_id, caller.org_code, given.verified, collector, given.place)
            code, until = binding_codes.offer(tx, home, identifier, seen, now=now)
        response.headers["Cache-Control"] = "no-store"
        return CodeModel(code=code, expires_at=rfc3339(until))

    return router
