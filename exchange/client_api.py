"""The lender's own door to what is registered of its system: see it, change its keys, keep its list of staff.

All under the scope `registration`, which no token of a person's agreement has. A system sees itself alone; the list of
staff is its organisation's, and two systems of one lender see the same.
"""

from datetime import date, timedelta
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from exchange import paging, problems, staffing
from exchange.admission import expiring, keyrings, notes, profiles, registration
from exchange.admission.keyrings import Standing
from exchange.admission.profiles import Profile
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import REFERENCE, Code, refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.shapes import KeySetShape
from registry import clock
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction

CLIENT_PATH: Final = "/v1/client"
STAFF_PATH: Final = "/v1/staff"
_LIST: Final = "staff"
JSON: Final = "application/json"
_PROOFS: Final = 9  # eight keys at most, and one that stands


class KeyModel(BaseModel):
    """A key of this system; `leaves_at`: it was replaced, and is taken until then."""

    thumbprint: str
    kid: str | None
    added_at: str
    leaves_at: str | None


class ExpiryModel(BaseModel):
    """A key or certificate that ends soon. `days`: 30, 14, 3 or 0, the step that is reached."""

    what: expiring.What
    thumbprint: str
    ends_at: str
    days: int


class NoteModel(BaseModel):
    """What happened to this system; codes in docs/lenders.md."""

    code: str
    at: str
    fields: dict[str, Any]


class CapsModel(BaseModel):
    """Questions of one day and of one calendar month (Beijing)."""

    daily: int
    monthly: int


class OwnModel(BaseModel):
    """A system's own registration. What was not stated, since an operator's command registered it, is null."""

    client_id: str
    organisation: str
    client_name: str | None = None
    scope: str
    redirect_uris: list[str]
    contacts: list[str] | None = None
    technical_contact: dict[str, str] | None = None
    security_contact: dict[str, str] | None = None
    service_regions: list[str] | None = None
    caps: CapsModel | None = None
    jwks_uri: str | None = None
    jwks_fault: str | None = Field(default=None, description="why the keys at jwks_uri could not be read the last time")
    keys: list[KeyModel]
    warnings: list[ExpiryModel]
    notes: list[NoteModel]


class SetModel(BaseModel):
    """A key set that takes the place of the one that stands (If-Match)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    jwks: dict[str, Any] = Field(description="the whole set, at most eight keys")
    proofs: list[Annotated[str, Field(max_length=registration.REQUEST_CHARACTERS)]] = Field(
        default_factory=list,
        max_length=_PROOFS,
        description="of each new key, and of one that stands: a JWS of typ qq-key-proof+jwt",
    )
    overlap_days: int = Field(
        default=0,
        ge=0,
        le=keyrings.MOST_OVERLAP_DAYS,
        description="for so long keys that are left out are still taken; 0: they and all tokens end at once",
    )


class StatedStaffModel(BaseModel):
    """A person of your staff by department and days (Beijing), both included; a year at most."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    department: Code
    first: date | None = Field(default=None, description="today, if it is left out")
    last: date


class StaffEntryModel(BaseModel):
    """An entry of the list. `ended_at`: a later one took its place, or the person was taken off."""

    user_id: str
    department: str
    first: date
    last: date
    stated_at: str
    ended_at: str | None


class StaffPageModel(BaseModel):
    """A page of entries in their order; `next` is the `cursor` of the next page, null at the end."""

    staff: list[StaffEntryModel]
    next: str | None


_Calling = Annotated[Caller, Depends(require(Scope.REGISTRATION))]
_UserId = Annotated[str, Path(pattern=REFERENCE, max_length=64)]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    router.routes.extend(_own(home).routes)
    router.routes.extend(_staff(home).routes)
    return router


def _own(home: Home) -> APIRouter:
    router = APIRouter(prefix=CLIENT_PATH, tags=["lender: registration"])

    @router.get("", summary="Your own registration", responses=problems.responses(401, 403))
    def see(caller: _Calling) -> OwnModel:
        """Say what is registered of this system, what of it ends soon, and what happened to it lately."""
        with home.database.transaction() as tx:
            return _shown(tx, caller)

    @router.get(
        "/keys",
        summary="Your keys as they stand",
        responses={200: {"model": KeySetShape}, **problems.responses(401, 403, 404)},
    )
    def keys(caller: _Calling) -> Response:
        """Give the set (RFC 7517) and its ETag."""
        with home.database.transaction() as tx:
            found = keyrings.standing(tx, caller.client_id)
        if found is None:
            raise RequestRefused("not-found")
        return _set(found)

    @router.put(
        "/keys",
        summary="Change your keys",
        responses={200: {"model": KeySetShape}, **problems.responses(401, 403, 404, 409, 412, 422)},
    )
    def change(given: SetModel, caller: _Calling, if_match: Annotated[str | None, Header()] = None) -> Response:
        """Put a set in the place of the one whose ETag is If-Match. It counts in every process at once."""
        with home.database.transaction() as tx:
            changed = keyrings.change(
                tx,
                caller.client_id,
                given.jwks,
                given.proofs,
                if_match=if_match,
                overlap_days=given.overlap_days,
                issuer=home.settings.issuer,
                now=clock.now(),
            )
        return _set(changed)

    return router


def _set(found: Standing) -> Response:
    headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
    return Response(orjson.dumps(dict(found.jwks)), 200, headers, JSON)


def _shown(tx: Transaction, caller: Caller) -> OwnModel:
    now = clock.now()
    profile = profiles.of(tx, caller.client_id)
    row = tx.execute("SELECT redirect_uris, scopes FROM client WHERE client_id = %s", (caller.client_id,)).fetchall()[0]
    return OwnModel(
        client_id=caller.client_id,
        organisation=caller.org_code,
        scope=" ".join(sorted(row[1])),
        redirect_uris=row[0],
        keys=[
            KeyModel(
                thumbprint=one.thumbprint,
                kid=one.kid,
                added_at=rfc3339(one.added_at),
                leaves_at=None if one.leaves_at is None else rfc3339(one.leaves_at),
            )
            for one in keyrings.dates(tx, caller.client_id)
        ],
        warnings=[
            ExpiryModel(what=one.what, thumbprint=one.thumbprint, ends_at=rfc3339(one.ends_at), days=one.days)
            for one in expiring.of_client(tx, caller.client_id, now=now)
        ],
        notes=[
            NoteModel(code=code, at=rfc3339(at), fields=fields)
            for code, fields, at in notes.latest(tx, caller.client_id)
        ],
        **({} if profile is None else _stated(profile)),
    )


def _stated(profile: Profile) -> dict[str, Any]:
    return {
        "client_name": profile.client_name,
        "contacts": profile.contacts,
        "technical_contact": dict(profile.technical),
        "security_contact": dict(profile.security),
        "service_regions": profile.service_regions,
        "caps": CapsModel(daily=profile.caps.daily, monthly=profile.caps.monthly),
        "jwks_uri": profile.jwks_uri,
        "jwks_fault": profile.fault,
    }


def _staff(home: Home) -> APIRouter:
    router = APIRouter(prefix=STAFF_PATH, tags=["lender: registration"])

    @router.get("", summary="Your list of staff", responses=problems.responses(400, 401, 403, 422))
    def see(
        caller: _Calling,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=staffing.PAGE_MOST)] = 100,
        *,
        history: Annotated[bool, Query(description="entries that were closed too")] = False,
    ) -> StaffPageModel:
        """List your organisation's entries in their order, those behind `cursor`."""
        place = paging.place(_LIST, cursor) or 0
        with home.database.transaction() as tx:
            found = staffing.page(tx, caller.org_code, after=place, limit=limit + 1, history=history)
        page, more = paging.page(_LIST, found, limit)
        return StaffPageModel(staff=[_entry(one) for one in page], next=more)

    @router.put(
        "/{user_id:path}", summary="Put a person on the list", responses=problems.responses(400, 401, 403, 409, 422)
    )
    def put(user_id: _UserId, given: StatedStaffModel, caller: _Calling) -> StaffEntryModel:
        """Put a person on the list, or other words in the place of what stood. The first entry begins the list."""
        refuse_personal(user_id, given.department)
        first = given.first or beijing_day(clock.now())
        with home.database.transaction() as tx:
            entry = staffing.put(
                tx, caller.org_code, user_id, given.department, first=first, last=given.last, by=caller.client_id
            )
        return _entry(entry)

    @router.delete(
        "/{user_id:path}",
        status_code=204,
        summary="Take a person off the list",
        responses=problems.responses(401, 403, 404),
    )
    def end(user_id: _UserId, caller: _Calling) -> Response:
        """Take a person off at once: no question in this person's name is answered from then on."""
        refuse_personal(user_id)
        with home.database.transaction() as tx:
            staffing.end(tx, caller.org_code, user_id, by=caller.client_id)
        return Response(status_code=204)

    return router


def _entry(one: staffing.Entry) -> StaffEntryModel:
    return StaffEntryModel(
        user_id=one.user_id,
        department=one.department,
        first=beijing_day(one.valid_from),
        last=beijing_day(one.valid_until - timedelta(seconds=1)),
        stated_at=rfc3339(one.stated_at),
        ended_at=None if one.ended_at is None else rfc3339(one.ended_at),
    )
