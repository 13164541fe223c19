"""What lenders ask a person for, answered on the person's own phone (decoupled; `exchange.capture.requests`).

A request is shown as the whole text with who, what for, which items, how far back and how long. Agreeing to W-items and
to sensitive items is an act of its own each; what was not agreed to is left out. A "no" is told to the lender only if
the person wants that, and begins the time in which the same may not be asked again (R-26).
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from consent.errors import TermsRefused
from consent.faults import MEANINGS
from exchange import problems
from exchange.capture import requests
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.portable.document import consent_shown
from exchange.subject_api.asking import Person, asking
from registry import clock
from registry.clock import rfc3339

Tongue = Literal["zh", "bo", "en"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AgreeModel(_Model):
    """Which text was read, and the acts that were done, each by itself."""

    language: Tongue
    text_version: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}$")
    adverse_consequences_acknowledged: bool = False
    sensitive_agreed: bool = False


class RefuseModel(_Model):
    """Whether the lender may learn of the "no"."""

    tell_lender: bool = False


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    guard = asking(home)
    person = Annotated[Person, Depends(guard)]
    router = APIRouter(prefix="/subject/v1/requests", tags=["subject: requests"], dependencies=[Depends(guard)])

    @router.get("", summary="Open requests", responses=problems.responses(401, 403))
    def waiting(who: person, language: Annotated[Tongue, Query()] = "zh") -> dict[Literal["requests"], list[Any]]:
        """List what lenders ask for, the latest first, in the language wanted."""
        with home.database.transaction() as tx:
            found = requests.of_subject(tx, who.subject_id, language, home.installation.party, now=clock.now())
        return {"requests": [_shown(one) for one in found]}

    @router.post("/{request_id}/agree", summary="Agree", responses=problems.responses(401, 403, 404, 409, 422))
    def agree(request_id: UUID, given: AgreeModel, who: person) -> dict[str, Any]:
        """Agree to a request on the text that was shown; the answer is the consent, with its signed receipt."""
        acts = requests.Given(
            language=given.language,
            text_version=given.text_version,
            acknowledged=given.adverse_consequences_acknowledged,
            sensitive=given.sensitive_agreed,
        )
        try:
            made = requests.agree(home, who.subject_id, request_id, acts, phone=who.client_id, now=clock.now())
        except TermsRefused as refused:
            fault = f"{refused.code.value}: {MEANINGS[refused.code].zh}"  # never what was sent
            raise RequestRefused("consent-terms", fault) from refused
        return consent_shown(made)

    @router.post("/{request_id}/refuse", status_code=204, summary="Refuse", responses=problems.responses(401, 403, 404))
    def refuse(request_id: UUID, given: RefuseModel, who: person) -> None:
        """Say no. Without `tell_lender` the request ends for the lender as if nobody had answered."""
        requests.refuse(
            home, who.subject_id, request_id, tell_lender=given.tell_lender, phone=who.client_id, now=clock.now()
        )

    return router


def _shown(one: requests.Asked) -> dict[str, Any]:
    return {
        "request_id": str(one.request_id),
        "message": one.message,
        "user_code": one.user_code,
        "created_at": rfc3339(one.created_at),
        "expires_at": rfc3339(one.expires_at),
        **one.shown.as_json(),
    }
