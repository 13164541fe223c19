"""`/v1/consent-requests`: ask a person on the phone that was bound in person, and look what became of it.

Nobody is told by this door who is known here: see `exchange.capture.requests` for the rule.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from consent.errors import TermsRefused
from exchange import problems, terms
from exchange.capture import requests
from exchange.capture.requests import Seen
from exchange.capture.taken import Person
from exchange.credit_data import CreditData, own
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.profile import Profile
from exchange.oauth.scopes import Scope
from exchange.once import Key, Once
from registry import clock

PATH: Final = "/v1/consent-requests"
POLL_SECONDS: Final = 5
_DOOR: Final = "consent-requests"
_MOST_CHARACTERS: Final = 60
_MESSAGE: Final = (  # nothing that a phone makes a link of: no slash, no colon, no full stop before a letter
    r"^(?:[A-Za-z0-9\u4e00-\u9fff\u0f00-\u0fff ，。、：_-]|\.[0-9 ，。、：_-])*\.?$"
)


class AskModel(BaseModel):
    """Whom to ask, for what, and a few words by which the person knows the occasion; no identifier, markup or link."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    subject: Person
    terms: CreditData
    message: str = Field(default="", max_length=_MOST_CHARACTERS, pattern=_MESSAGE, examples=["柜台 3 号，春耕贷款"])


class OfferedModel(BaseModel):
    """The request was taken; whether anybody is shown it is not said. Read `user_code` out, so that it is compared."""

    request_id: UUID
    user_code: str
    expires_at: datetime
    interval: int = POLL_SECONDS


class SeenModel(BaseModel):
    """What became of a request. `agreed` comes with the consent; `refused` is said only if the person wants that."""

    request_id: UUID
    state: Seen
    consent_id: str | None
    expires_at: datetime


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix=PATH, tags=["lender"])
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]
    resource = Profile(home.settings.issuer).resource

    @router.post(
        "", status_code=202, summary="Ask a person", responses=problems.responses(400, 401, 403, 409, 422, 429, 503)
    )
    def ask(given: AskModel, caller: calling, key: Key = None) -> OfferedModel:
        """Ask a person on his or her phone. The answer is the same for everybody.

        The same by the same `Idempotency-Key` is the request of before: nobody is asked twice after a broken line.
        """
        refuse_personal(given.message)
        own(given.terms, organisation=caller.org_code, resource=resource)
        try:
            offered = requests.offer(
                home,
                caller,
                given.subject.read(),
                given.terms,
                given.message,
                now=clock.now(),
                once=None if key is None else Once.of(home, caller, _DOOR, key, given.model_dump_json()),
            )
        except TermsRefused as refused:
            raise terms.refused(refused) from refused
        return OfferedModel(request_id=offered.request_id, user_code=offered.user_code, expires_at=offered.expires_at)

    @router.get("/{request_id}", summary="See what became of it", responses=problems.responses(401, 403, 404))
    def see(request_id: UUID, caller: calling) -> SeenModel:
        """Say what became of a request of the calling organisation."""
        with home.database.transaction() as tx:
            seen = requests.seen_by_lender(tx, request_id, caller.org_code, now=clock.now())
        if seen is None:
            raise RequestRefused("request-unknown")
        state, consent_id, expires_at = seen
        return SeenModel(request_id=request_id, state=state, consent_id=consent_id, expires_at=expires_at)

    return router
