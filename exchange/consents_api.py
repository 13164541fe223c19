"""The lenders' door for consents: record one that was taken at a counter or village point, see, change, withdraw it.

A lender records consents that name itself, and nobody else. What it hands in is the hash of the evidence; that stays
with whoever collected it. Paper is no evidence here: it goes under four eyes (`exchange.capture.paper`).
Representatives and witnesses become keyed tokens at once. A lender carries out what the subject said (withdraw, pause,
narrow, "no"); it never resumes: that is the subject's own word, at its own door.

Faults are RFC 9457 problems that name the place and the mend in Chinese and English (`exchange.terms`). The subject's
own pages and consents taken by phone are doors of their own.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from consent import ledger
from consent.errors import TermsRefused, TransitionRefused, UnknownConsent
from consent.evidence import Language
from consent.record import Consent
from exchange import consents, once, problems, receipts_api, terms
from exchange.capture import counter, reconfirming
from exchange.consent_models import (
    ConsentModel,
    GrantModel,
    NarrowModel,
    ReconfirmModel,
    RefusalModel,
    SaidModel,
    shown,
)
from exchange.consents import Whose
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import identifier_of, refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.once import Once
from registry import clock
from registry.database import Transaction

_DOOR: Final = "consents"


class RecordedModel(BaseModel):
    """What was said is on record."""

    recorded: Literal[True] = True


def _told(consent: Consent) -> ConsentModel:
    """Show a consent in the state that its recipient is told (docs/adr/0029)."""
    return shown(replace(consent, state=consent.told))


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/v1/consents", tags=["lender"])
    _add_recording(router, home)
    _add_seeing(router, home)
    _add_changing(router, home)
    return router


def _add_recording(router: APIRouter, home: Home) -> None:
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    @router.post(
        "",
        status_code=201,
        summary="Record a consent",
        responses={
            200: {"model": ConsentModel, "description": "The consent that was recorded by this key before"},
            **problems.responses(400, 401, 403, 404, 409, 422, 503),
        },
    )
    def record(given: GrantModel, caller: calling, response: Response, key: once.Key = None) -> ConsentModel:
        """Record a consent that names the calling lender, and sign its receipt.

        The same by the same `Idempotency-Key` is the consent of before, as it stands now.
        """
        identifier, beside = identifier_of(given.subject), given.beside()
        refuse_personal(given.collector, given.device)  # `previous` is an id of ours: one in 500 looks like a code
        if given.representation is not None and given.representation.resolution is not None:
            refuse_personal(given.representation.resolution.number)
        now = clock.now()
        try:
            counter.refuse_unfit(given.evidence.kind, given.captured_at, given.valid_from, now=now)
            new = given.read(caller.org_code, now)
            with home.database.transaction() as tx:
                made_once = None if key is None else Once.of(home, caller, _DOOR, key, given.model_dump_json())
                before = None if made_once is None else made_once.before(tx, now=now)
                if before is not None:
                    response.status_code = 200
                    return _told(ledger.get(tx, [before])[before])
                counter.check(
                    tx,
                    home,
                    caller.org_code,
                    subject=identifier,
                    collector=given.collector,
                    witness=given.witness,
                    read_aloud=given.read_aloud,
                    captured_at=given.captured_at,
                    now=now,
                    representative=beside.representative,
                )
                made = consents.grant_in(
                    tx,
                    home,
                    identifier,
                    new,
                    actor=caller.client_id,
                    now=now,
                    beside=beside,
                    asked_by=given.asked_by,
                )
                if made_once is not None:
                    made_once.note(tx, made.consent_id)
        except TermsRefused as refused:
            raise terms.refused(refused) from refused
        except UnknownConsent as unknown:
            raise RequestRefused("consent-unknown") from unknown
        except TransitionRefused as refused:
            raise RequestRefused("consent-ended") from refused
        return _told(made)

    @router.post(
        "/refusals", status_code=201, summary="Record a person's no", responses=problems.responses(401, 403, 422)
    )
    def refuse(given: RefusalModel, caller: calling) -> RecordedModel:
        """Record that a person refused: for a while this lender does not ask the same again."""
        try:
            consents.refuse(
                home,
                identifier_of(given.subject),
                caller.org_code,
                given.purpose,
                channel=given.channel,
                actor=caller.client_id,
            )
        except TermsRefused as refused:
            raise terms.refused(refused) from refused
        return RecordedModel()


def _add_seeing(router: APIRouter, home: Home) -> None:
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    def found(consent_id: str, caller: Caller) -> Consent:
        with home.database.transaction() as tx:
            one = ledger.get(tx, [consent_id]).get(consent_id)
        if one is None or one.terms.scope.recipient != caller.org_code:
            raise RequestRefused("consent-unknown")
        return one

    @router.get("/{consent_id}", summary="See a consent", responses=problems.responses(401, 403, 404))
    def see(consent_id: str, caller: calling) -> ConsentModel:
        """Show a consent that names the calling lender."""
        return _told(found(consent_id, caller))

    @router.get(
        "/{consent_id}/receipt",
        summary="Sheet to hand out",
        response_class=HTMLResponse,
        responses=problems.responses(401, 403, 404),
    )
    def receipt(consent_id: str, caller: calling, language: Language = Language.CHINESE) -> Response:
        """Give the receipt as a sheet to print and hand to the subject: one HTML document, in zh, bo or en."""
        return receipts_api.sheet(home, found(consent_id, caller), language)


def _add_changing(router: APIRouter, home: Home) -> None:
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]
    told = problems.responses(401, 403, 404, 409, 422)

    def changed(change: Callable[[Transaction], Consent]) -> ConsentModel:
        try:
            after = consents.undisturbed(home, change)
        except TransitionRefused as refused:
            raise RequestRefused("consent-ended") from refused
        except TermsRefused as refused:
            raise terms.refused(refused) from refused
        return _told(after)

    def by(caller: Caller) -> Whose:
        return Whose(recipient=caller.org_code)

    @router.post("/{consent_id}/withdraw", summary="Withdraw", responses=told)
    def withdraw(consent_id: str, given: SaidModel, caller: calling) -> ConsentModel:
        """Carry out a withdrawal that the subject declared to the lender. It bites on the next read, everywhere."""
        now, actor = clock.now(), caller.client_id
        return changed(
            lambda tx: consents.withdraw_in(tx, consent_id, given.channel, actor=actor, now=now, whose=by(caller))
        )

    @router.post("/{consent_id}/pause", summary="Pause", responses=told)
    def pause(consent_id: str, given: SaidModel, caller: calling) -> ConsentModel:
        """Pause a consent as the subject said: it permits nothing until the subject resumes it."""
        now, actor = clock.now(), caller.client_id
        return changed(
            lambda tx: consents.pause_in(tx, consent_id, given.channel, actor=actor, now=now, whose=by(caller))
        )

    @router.post("/{consent_id}/narrow", summary="Narrow", responses=told)
    def narrow(consent_id: str, given: NarrowModel, caller: calling) -> ConsentModel:
        """Put a smaller consent in the place of this one; the answer is the new one, with its own receipt."""
        now, asked, actor = clock.now(), given.read(), caller.client_id
        return changed(
            lambda tx: consents.narrow_in(
                tx, home, consent_id, asked, given.channel, actor=actor, now=now, whose=by(caller)
            )
        )

    @router.post("/{consent_id}/reconfirm", summary="Confirm again", responses=told)
    def reconfirm(consent_id: str, given: ReconfirmModel, caller: calling) -> ConsentModel:
        """Record that the subject has signed a confirmation, where the purpose asks for one; each paper proves once."""
        now, actor = clock.now(), caller.client_id

        refuse_personal(given.collector)

        def confirmed(tx: Transaction) -> Consent:
            return reconfirming.at_counter(
                tx, consent_id, given.read(), organisation=caller.org_code, actor=actor, now=now
            )

        return changed(confirmed)
