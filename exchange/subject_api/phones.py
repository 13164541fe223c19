"""A person's own phones: which there are, refuse one that waits, end one; another secret for this one's page codes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from exchange import binding, problems
from exchange.home import Home
from exchange.portable.document import phone_shown
from exchange.subject_api.asking import Person, asking
from exchange.subject_api.bindings import PageCodesModel
from registry import clock


class PhoneModel(BaseModel):
    """A phone of one's own. `this`: the one that asks."""

    client_id: str
    state: str
    bound_at: str
    active_from: str
    ended_at: str | None
    this: bool


class PhonesModel(BaseModel):
    """All phones, the latest first."""

    phones: list[PhoneModel]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    guard = asking(home)
    person = Annotated[Person, Depends(guard)]
    router = APIRouter(prefix="/subject/v1/phones", tags=["subject: phones"], dependencies=[Depends(guard)])

    def listed(who: Person) -> PhonesModel:
        with home.database.transaction() as tx:
            found = binding.phones(tx, who.subject_id)
        return PhonesModel(
            phones=[PhoneModel(**phone_shown(one), this=one.client_id == who.client_id) for one in found]
        )

    @router.get("", summary="Own phones", responses=problems.responses(401, 403))
    def phones(who: person) -> PhonesModel:
        """List the phones that were ever bound, and where each stands."""
        return listed(who)

    @router.post("/page-codes", summary="Another secret for page codes", responses=problems.responses(401, 403, 410))
    def renew(who: person, response: Response) -> PageCodesModel:
        """Give this phone another secret for the codes of pages, told this once; the one of before counts no more."""
        with home.database.transaction() as tx:
            who.acts(tx)
            secret = binding.renew_page_secret(tx, home, who.subject_id, who.client_id, now=clock.now())
        response.headers["Cache-Control"] = "no-store"
        return PageCodesModel(secret=secret)

    @router.post(
        "/{client_id}/refuse", summary="Refuse a phone that waits", responses=problems.responses(401, 403, 404)
    )
    def refuse(client_id: str, who: person) -> PhonesModel:
        """Refuse a phone that waits for its 72 hours: it never becomes active."""
        with home.database.transaction() as tx:
            who.acts(tx)
            binding.refuse(tx, who.subject_id, client_id, by=who.client_id, now=clock.now())
        return listed(who)

    @router.post("/{client_id}/end", summary="End a phone", responses=problems.responses(401, 403, 404))
    def end(client_id: str, who: person) -> PhonesModel:
        """End a phone of one's own, this one included: its next request is refused."""
        with home.database.transaction() as tx:
            who.acts(tx)
            binding.end(tx, who.subject_id, client_id, by=who.client_id, now=clock.now())
        return listed(who)

    return router
