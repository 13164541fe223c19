"""The lenders' door for grants (Grant Management for OAuth 2.0, FAPI WG): see one as it stands, give one up.

A grant is a consent, `grant_id` its id; a lender's own, of whichever of its systems and however it was taken. One that
is another's, has ended or never was is answered alike, with 404. Giving one up ends the consent by the channel
`lender`, which no person can use and which says so in the log: the person has a message, the lender its deletion
notice, and tokens that rest on it open nothing from that commit on. It is not a withdrawal that a person declared to
the lender; that has a door of its own (`exchange.consents_api`).
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from consent import ledger
from consent.evidence import Channel
from consent.grant import ENDED, State
from consent.record import Consent
from exchange import consents, credit_data, problems
from exchange.consents import Whose
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.profile import GRANTS_PATH, Profile
from exchange.oauth.scopes import OF_AN_AGREEMENT, Scope
from registry import clock
from registry.database import Transaction


class ScopeModel(BaseModel):
    """A scope that tokens under the grant may have, and where."""

    scope: str = Field(examples=["queries"])
    resource: list[str]


class GrantModel(BaseModel):
    """A grant as it stands now: after it was narrowed it says less. Paused, it permits nothing and has no scopes."""

    scopes: list[ScopeModel]
    authorization_details: list[dict[str, Any]] = Field(description="one object of type credit_data (RFC 9396)")


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix=GRANTS_PATH, tags=["oauth"])
    profile = Profile(home.settings.issuer)
    seeing = Annotated[Caller, Depends(require(Scope.GRANT_QUERY))]
    revoking = Annotated[Caller, Depends(require(Scope.GRANT_REVOKE))]

    @router.get("/{grant_id}", summary="What a grant permits now", responses=problems.responses(401, 403, 404, 429))
    def see(grant_id: str, caller: seeing) -> GrantModel:
        """Say which scopes and authorization_details stand."""
        now = clock.now()
        with home.database.transaction() as tx:
            found = _standing(tx, grant_id, caller, now)
        permits = found.state is State.ACTIVE
        scopes = [ScopeModel(scope=one.value, resource=[profile.resource]) for one in sorted(OF_AN_AGREEMENT)]
        return GrantModel(scopes=scopes if permits else [], authorization_details=[credit_data.agreed_to(found)])

    @router.delete(
        "/{grant_id}", status_code=204, summary="Give a grant up", responses=problems.responses(401, 403, 404, 429)
    )
    def give_up(grant_id: str, caller: revoking) -> Response:
        """End the consent; every token that rests on it is of no use from now on."""
        now = clock.now()

        def given_up(tx: Transaction) -> Consent:
            consents.held(tx, grant_id, _whose(caller))  # whoever changes it at this moment is waited for
            _standing(tx, grant_id, caller, now)
            whose = _whose(caller)
            return consents.withdraw_in(tx, grant_id, Channel.LENDER, actor=caller.client_id, now=now, whose=whose)

        consents.undisturbed(home, given_up)
        return Response(status_code=204)

    return router


def _whose(caller: Caller) -> Whose:
    return Whose(recipient=caller.org_code)


def _standing(tx: Transaction, grant_id: str, caller: Caller, now: datetime) -> Consent:
    """Find a grant of the caller's that stands.

    Raises:
        RequestRefused: there is none; whether it is another's, has ended or never was is not said.
    """
    found = ledger.get(tx, [grant_id]).get(grant_id)
    if found is None or found.terms.scope.recipient != caller.org_code:
        raise RequestRefused("consent-unknown")
    if found.state in ENDED or found.state is State.REQUESTED or found.terms.scope.valid_until <= now:
        raise RequestRefused("consent-unknown")
    return found
