"""The door for lenders that have no credentials yet: ask to be registered, and see how far that has come.

A request proves itself: it is signed with the key that it registers (`exchange.admission.registration`), spent once,
counted (`exchange.admission.arriving`). Nothing is fetched while somebody waits here. The answer gives a random id;
whoever has it sees the state and nothing else of the request.
"""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from exchange import problems
from exchange.admission import arriving, matters, registration
from exchange.admission.matters import Kind, Matter, State
from exchange.errors import RequestRefused
from exchange.home import Home, Mode
from registry import clock
from registry.clock import rfc3339

PATH: Final = "/v1/registrations"
Jws = Annotated[str, Field(max_length=registration.REQUEST_CHARACTERS)]


class RequestModel(BaseModel):
    """A registration request: a compact JWS of typ `qq-registration+jwt`; docs/lenders.md lists its members."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    request: Jws = Field(description="signed with one of the keys that it registers")
    proofs: list[Jws] = Field(
        default_factory=list,
        max_length=registration.MOST_PROOFS,
        description="of each further key of jwks: a compact JWS of typ qq-key-proof+jwt",
    )


class StateModel(BaseModel):
    """How far a request has come."""

    registration_id: UUID
    state: State
    keys_read: bool = Field(description="false: the keys at jwks_uri have not been read yet")
    trial: bool = Field(description="whether a trial in a sandbox was added; production asks for one")
    reason: str | None = Field(description="of a request that was refused or returned; docs/lenders.md")
    client_id: str | None = Field(description="once it is approved")
    asked_at: str


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix=PATH, tags=["lender: registration"])
    sandbox, pace = home.installation.mode is Mode.SANDBOX, arriving.Pace()

    @router.post(
        "", status_code=201, summary="Ask to be registered", responses=problems.responses(400, 403, 409, 422, 429, 503)
    )
    def ask(given: RequestModel) -> StateModel:
        """Keep the request until two officers of the operator have decided it."""
        now = clock.now()
        asked = registration.read(given.request, given.proofs, issuer=home.settings.issuer, sandbox=sandbox, now=now)
        pace.take()
        with home.database.transaction() as tx:
            return _shown(arriving.keep(tx, asked, by_hand=False, now=now))

    @router.get("/{registration_id}", summary="How far a request has come", responses=problems.responses(404, 422, 503))
    def see(registration_id: UUID) -> StateModel:
        """Say the state to whoever has the id."""
        with home.database.transaction() as tx:
            matter = matters.get(tx, registration_id)
        if matter is None or matter.kind is not Kind.REGISTRATION:
            raise RequestRefused("registration-unknown")
        return _shown(matter)

    return router


def _shown(matter: Matter) -> StateModel:
    return StateModel(
        registration_id=matter.matter_id,
        state=matter.state,
        keys_read=matter.content["jwks"] is not None,
        trial=matter.content["trial"] is not None,
        reason=matter.reason,
        client_id=matter.client_id,
        asked_at=rfc3339(matter.opened_at),
    )
