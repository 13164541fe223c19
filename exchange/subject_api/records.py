"""A person's own data: what is held, who asked, who was shown what, and all of it to take along.

What is held comes through the subject's entrance of the gate (`release.owning`), each time decided and logged.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from consent import ledger
from consent.recipients import contacts
from exchange import accesses, binding, complaints, disputes, paging, problems, statements
from exchange.home import Home
from exchange.portable import document, sheet
from exchange.release.owning import FREE_A_YEAR, Owned, open_own
from exchange.subject_api.asking import Person, asking
from registry import catalogue

_NAME: Final = "qingqiao-my-information"  # of the file: says nothing of whose it is
_ACCESSES: Final = "access"
_FOR_AN_HOUR: Final = {"Cache-Control": "public, max-age=3600"}


class RecordsModel(BaseModel):
    """What is held. Opening it is free; the law asks for `free_a_year` times at least (R-43)."""

    records: list[dict[str, Any]] = Field(description="as `records` in /schemas/subject-export-v1.json")
    opened_at: str
    opened_this_year: int
    free_a_year: int = FREE_A_YEAR


class AccessesModel(BaseModel):
    """A page of accesses, newest first."""

    accesses: list[dict[str, Any]] = Field(description="as `accesses` in /schemas/subject-export-v1.json")
    next: str | None


class RecipientsModel(BaseModel):
    """Organisations that were shown data."""

    recipients: list[dict[str, Any]] = Field(description="as `recipients` in /schemas/subject-export-v1.json")


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    guard = asking(home)
    person = Annotated[Person, Depends(guard)]
    router = APIRouter(tags=["subject: data"])
    own = APIRouter(prefix="/subject/v1", tags=["subject: data"], dependencies=[Depends(guard)])

    @router.get(document.SCHEMA_PATH, summary="The form of the portable export (JSON Schema)", response_class=Response)
    def schema() -> Response:
        """Give the JSON Schema that every export fits."""
        return Response(document.schema(), media_type="application/schema+json", headers=_FOR_AN_HOUR)

    @own.get("/records", summary="Own data", responses=problems.responses(401, 403, 429, 503))
    def records(who: person) -> RecordsModel:
        """Show every record that is held about the person, with every field. It is logged that they were opened."""
        owned = open_own(home, who.client_id, purpose="reading")
        held = _held(home, who, owned)
        shown = document.build(held, catalogue.current(), home.installation_label, home.installation.party)
        return RecordsModel(
            records=shown["records"], opened_at=shown["made_at"], opened_this_year=owned.opened_this_year
        )

    @own.get("/accesses", summary="Who asked", responses=problems.responses(400, 401, 403))
    def asked(
        who: person,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=accesses.PAGE_MOST)] = 50,
    ) -> AccessesModel:
        """List every access, permitted or refused with its reason, also from before any phone was bound."""
        with home.database.transaction() as tx:
            found, after = accesses.page(tx, who.subject_id, before=paging.opened(_ACCESSES, cursor), limit=limit)
        more = None if after is None else paging.cursor(_ACCESSES, *after)
        return AccessesModel(accesses=[document.access_shown(one) for one in found], next=more)

    @own.get("/recipients", summary="Who was shown what", responses=problems.responses(401, 403))
    def shown_to(who: person) -> RecipientsModel:
        """List the organisations that were shown data: when, how often, for what, which items."""
        with home.database.transaction() as tx:
            found = accesses.recipients(tx, who.subject_id)
        return RecipientsModel(recipients=[document.recipient_shown(one) for one in found])

    @own.get("/export", summary="Everything, to take along", responses=problems.responses(401, 403, 429, 503))
    def export(who: person) -> Response:
        """Give one JSON document of the published form, with all that is held and all that was done with it."""
        return _file(document.written(_document(home, who)), "application/json", "json")

    @own.get("/export.pdf", summary="Everything, on paper", responses=problems.responses(401, 403, 429, 503))
    def on_paper(who: person) -> Response:
        """Give the same as a PDF with its fonts embedded."""
        return _file(sheet.render(_document(home, who)), sheet.MEDIA_TYPE, "pdf")

    router.routes.extend(own.routes)
    return router


def _document(home: Home, who: Person) -> dict[str, Any]:
    owned = open_own(home, who.client_id, purpose="export")
    held, operator = _held(home, who, owned, whole=True), home.installation.party
    return document.build(held, catalogue.current(), home.installation_label, operator)


def _held(home: Home, who: Person, owned: Owned, *, whole: bool = False) -> document.Held:
    """Read what goes with the records; of it all only for the export."""
    with home.database.transaction() as tx:
        consents = ledger.list_for_subject(tx, who.subject_id) if whole else []
        shown_to = accesses.recipients(tx, who.subject_id) if whole else []
        named = {one.terms.scope.recipient for one in consents} | {one.organisation for one in shown_to}
        return document.Held(
            made_at=owned.opened_at,
            records=owned.records,
            consents=consents,
            accesses=accesses.every(tx, who.subject_id) if whole else [],
            recipients=shown_to,
            statement=statements.standing(tx, home, who.subject_id) if whole else None,
            disputes=disputes.of_subject(tx, home, who.subject_id),
            complaints=complaints.of_subject(tx, home, who.subject_id) if whole else [],
            phones=binding.phones(tx, who.subject_id) if whole else [],
            contacts=contacts(tx, named),
        )


def _file(body: bytes, media_type: str, ending: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{_NAME}.{ending}"', "Cache-Control": "no-store"}
    return Response(body, media_type=media_type, headers=headers)
