"""`/v1/paper-consents`: consents on paper, entered by one and confirmed by another."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from consent.errors import TermsRefused
from exchange import paging, problems, terms
from exchange.capture import paper
from exchange.capture.paper import Paper, State
from exchange.capture.paper_models import ConfirmModel, PaperModel
from exchange.capture.paper_reasons import MEANINGS, Reason
from exchange.capture.taken import REFERENCE
from exchange.credit_data import own
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.profile import Profile
from exchange.oauth.scopes import Scope
from registry import clock

PREFIX: Final = "/v1/paper-consents"
SCAN_ENDING: Final = "/scan"
_AT_ONCE: Final = 100
_LIST: Final = "paper"


class RefuseModel(BaseModel):
    """Who looked at the paper, and what is wrong with it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    collector: str = Field(pattern=REFERENCE)
    reason: Reason


class SaidModel(BaseModel):
    """A reason, with cause and mend in Chinese and English."""

    code: str
    zh: str
    en: str
    mend_zh: str
    mend_en: str


class PaperShown(BaseModel):
    """A paper. Whose it is, is on the paper, and is not shown again; its hash only once it is confirmed."""

    paper_id: UUID
    state: State
    original_sha256: str | None
    terms: dict[str, Any]
    terms_sha256: str
    entered_by: str
    entered_at: datetime
    open_until: datetime
    decided_by: str | None
    reason: SaidModel | None
    consent_id: str | None
    scan_type: str | None


def _next(home: Home, state: State, limit: int, found: Sequence[Paper]) -> dict[str, str]:
    """Say where the next page is, if more was found than one holds."""
    if len(found) <= limit:
        return {}
    place = paging.cursor(_LIST, found[limit - 1].entered_at, found[limit - 1].paper_id)
    query = urlencode({"state": state.value, "limit": limit, "cursor": place})
    return {"Link": f'<{home.settings.issuer}{PREFIX}?{query}>; rel="next"'}


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix=PREFIX, tags=["lender"])
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]
    resource = Profile(home.settings.issuer).resource

    @router.post("", status_code=201, summary="Enter a paper", responses=problems.responses(401, 403, 409, 422))
    def enter(given: PaperModel, caller: calling) -> PaperShown:
        """Enter a consent on paper. Nothing rests on it until another person has confirmed it."""
        own(given.terms, organisation=caller.org_code, resource=resource)
        refuse_personal(*given.codes)
        try:
            return _shown(paper.enter(home, caller, given, now=clock.now()))
        except TermsRefused as refused:
            raise terms.refused(refused) from refused

    @router.get("", summary="List papers", responses=problems.responses(400, 401, 403, 422))
    def listing(
        caller: calling,
        response: Response,
        state: Annotated[State, Query()] = State.REQUESTED,
        limit: Annotated[int, Query(ge=1, le=_AT_ONCE)] = _AT_ONCE,
        cursor: Annotated[str | None, Query(max_length=paging.LONGEST)] = None,
    ) -> list[PaperShown]:
        """List the organisation's papers in a state, the oldest first. `Link` with rel="next" says where it goes on."""
        after = paging.opened(_LIST, cursor)
        with home.database.transaction() as tx:
            found = paper.listing(tx, caller.org_code, state, limit=limit + 1, after=after)
        response.headers.update(_next(home, state, limit, found))
        return [_shown(one) for one in found[:limit]]

    @router.get("/{paper_id}", summary="See a paper", responses=problems.responses(401, 403, 404))
    def see(paper_id: UUID, caller: calling) -> PaperShown:
        """Show a paper of the calling organisation."""
        with home.database.transaction() as tx:
            return _shown(paper.see(tx, paper_id, caller.org_code))

    @router.put(
        f"/{{paper_id}}{SCAN_ENDING}", summary="Upload the redacted scan", responses=problems.responses(403, 404, 409)
    )
    async def put_scan(paper_id: UUID, request: Request, caller: calling) -> PaperShown:
        """Keep the redacted scan, sealed: JPEG, PNG or PDF, at most 2 MiB. Fingerprints are blacked out before."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        content = await request.body()
        kept = await run_in_threadpool(paper.put_scan, home, caller, paper_id, kind, content, now=clock.now())
        return _shown(kept)

    @router.get(
        f"/{{paper_id}}{SCAN_ENDING}",
        summary="See the scan",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}, "image/png": {}, "application/pdf": {}}}},
    )
    def get_scan(paper_id: UUID, caller: calling) -> Response:
        """Give the scan back to the organisation that uploaded it."""
        kind, content = paper.scan(home, caller, paper_id)
        headers = {"Content-Disposition": "attachment", "Cache-Control": "no-store"}
        return Response(content, 200, headers, kind)

    @router.post("/{paper_id}/confirm", summary="Confirm", responses=problems.responses(401, 403, 404, 409, 422))
    def confirm(paper_id: UUID, given: ConfirmModel, caller: calling) -> PaperShown:
        """Confirm a paper that another entered; from here on there is a consent."""
        try:
            paper.confirm(home, caller, paper_id, given, now=clock.now())
        except TermsRefused as refused:
            raise terms.refused(refused) from refused
        with home.database.transaction() as tx:
            return _shown(paper.see(tx, paper_id, caller.org_code))

    @router.post("/{paper_id}/refuse", summary="Refuse", responses=problems.responses(401, 403, 404, 409))
    def refuse(paper_id: UUID, given: RefuseModel, caller: calling) -> PaperShown:
        """Refuse a paper that another entered, with a reason."""
        refused = paper.refuse(home, caller, paper_id, collector=given.collector, reason=given.reason, now=clock.now())
        return _shown(refused)

    return router


def _shown(one: Paper) -> PaperShown:
    said = None
    if one.reason is not None:
        meaning = MEANINGS[one.reason]
        said = SaidModel(code=one.reason.value, **meaning._asdict())
    return PaperShown(
        paper_id=one.paper_id,
        state=one.state,
        original_sha256=one.original_sha256.hex() if one.state is State.CONFIRMED else None,
        terms=dict(one.terms),
        terms_sha256=one.terms_sha256,
        entered_by=one.entered_by,
        entered_at=one.entered_at,
        open_until=one.open_until,
        decided_by=one.decided_by,
        reason=said,
        consent_id=one.consent_id,
        scan_type=one.scan_type,
    )
