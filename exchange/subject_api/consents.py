"""A person's own consents: see them, take a receipt along, withdraw, pause, resume, narrow, confirm again.

Withdrawing is as easy as consenting (R-12) and bites on the next read, in every process. Narrowing needs nothing new;
widening is a new consent and has no way through here. What is done is `exchange.consents`'; here it is only asked whose
consent it is: another person's is what does not exist.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Response

from consent import ledger
from consent.errors import TermsRefused, TransitionRefused
from consent.evidence import Channel, Language
from consent.faults import MEANINGS
from consent.record import Consent
from exchange import binding, consents, problems, receipts_api
from exchange.capture import reconfirming
from exchange.consent_models import EdgesModel
from exchange.consents import Whose
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.portable.document import consent_shown
from exchange.subject_api.asking import Person, asking
from registry import clock
from registry.database import Transaction

JWT: Final = "application/jwt"


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    guard = asking(home)
    router = APIRouter(prefix="/subject/v1/consents", tags=["subject: consents"], dependencies=[Depends(guard)])
    _add_seeing(router, home, guard)
    _add_changing(router, home, guard)
    return router


def _add_seeing(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]

    @router.get("", summary="Own consents", responses=problems.responses(401, 403))
    def listing(who: person) -> dict[Literal["consents"], list[dict[str, Any]]]:
        """List all consents that were ever given, the latest first."""
        with home.database.transaction() as tx:
            found = ledger.list_for_subject(tx, who.subject_id)
        return {"consents": [consent_shown(one) for one in found]}

    @router.get("/{consent_id}", summary="One consent", responses=problems.responses(401, 403, 404))
    def one(consent_id: str, who: person) -> dict[str, Any]:
        """Show one consent."""
        with home.database.transaction() as tx:
            return consent_shown(_own(tx, consent_id, who))

    @router.get(
        "/{consent_id}/receipt",
        summary="The signed receipt",
        response_class=Response,
        responses=problems.responses(401, 403, 404),
    )
    def receipt(consent_id: str, who: person) -> Response:
        """Give the receipt (ISO/IEC TS 27560 record) as it was signed: a compact JWS."""
        with home.database.transaction() as tx:
            found = _own(tx, consent_id, who)
        return Response(found.receipt, media_type=JWT, headers={"Cache-Control": "no-store"})

    @router.get(
        "/{consent_id}/receipt/{language}",
        summary="The receipt on a sheet",
        response_class=Response,
        responses=problems.responses(401, 403, 404),
    )
    def printed(consent_id: str, language: Literal["zh", "bo", "en"], who: person) -> Response:
        """Give the receipt as one HTML page to print, with a code by which anybody can have it checked."""
        with home.database.transaction() as tx:
            found = _own(tx, consent_id, who)
        return receipts_api.sheet(home, found, Language(language))


def _add_changing(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]
    told = problems.responses(401, 403, 404, 409)

    @router.post("/{consent_id}/withdraw", summary="Withdraw", responses=told)
    def withdraw(consent_id: str, who: person) -> dict[str, Any]:
        """Withdraw a consent. It bites on the next read, everywhere; withdrawing twice is harmless."""
        return _changed(home, consent_id, who, consents.withdraw_in)

    @router.post("/{consent_id}/pause", summary="Pause", responses=told)
    def pause(consent_id: str, who: person) -> dict[str, Any]:
        """Pause a consent: it permits nothing until it is resumed."""
        return _changed(home, consent_id, who, consents.pause_in)

    @router.post("/{consent_id}/resume", summary="Resume", responses=told)
    def resume(consent_id: str, who: person) -> dict[str, Any]:
        """Let a paused consent permit again."""
        return _changed(home, consent_id, who, consents.resume_in, lets_in=True)

    @router.post("/{consent_id}/reconfirm", summary="Confirm again", responses=told)
    def reconfirm(consent_id: str, who: person) -> dict[str, Any]:
        """Confirm a consent again, where its purpose asks for that once a year; the phone's key signs the act."""

        def confirmed(tx: Transaction, consent_id: str, _: Channel, **more: Any) -> Consent:  # noqa: ANN401  # as the others take it
            return reconfirming.by_phone(tx, consent_id, phone=more["actor"], whose=more["whose"], now=more["now"])

        return _changed(home, consent_id, who, confirmed, lets_in=True)

    @router.post("/{consent_id}/narrow", summary="Narrow", responses={**told, **problems.responses(422)})
    def narrow(consent_id: str, given: EdgesModel, who: person) -> dict[str, Any]:
        """Put a smaller consent in the place of this one; the answer is the new one, with its own receipt."""
        asked = given.read()

        def narrowed(tx: Transaction, consent_id: str, channel: Channel, **more: Any) -> Consent:  # noqa: ANN401  # as the others take it
            return consents.narrow_in(tx, home, consent_id, asked, channel, **more)

        return _changed(home, consent_id, who, narrowed)


def _changed(
    home: Home, consent_id: str, who: Person, change: Callable[..., Consent], *, lets_in: bool = False
) -> dict[str, Any]:
    def changed(tx: Transaction) -> Consent:
        who.acts(tx)
        if lets_in:
            _refuse_on_trial(tx, _own(tx, consent_id, who), who)
        whose = Whose(subject_id=who.subject_id)
        return change(tx, consent_id, Channel.APP, actor=who.client_id, now=clock.now(), whose=whose)

    try:
        after = consents.undisturbed(home, changed)
    except TransitionRefused as refused:
        raise RequestRefused("consent-ended") from refused
    except TermsRefused as refused:
        fault = f"{refused.code.value}: {MEANINGS[refused.code].zh}"  # never what was sent
        raise RequestRefused("consent-terms", fault) from refused
    return consent_shown(after)


def _refuse_on_trial(tx: Transaction, found: Consent, who: Person) -> None:
    if binding.on_trial(tx, who.client_id, now=clock.now()) == found.terms.scope.recipient:
        raise RequestRefused("phone-on-trial")


def _own(tx: Transaction, consent_id: str, who: Person) -> Consent:
    found = ledger.get(tx, [consent_id]).get(consent_id)
    if found is None or found.terms.subject_id != who.subject_id:
        raise RequestRefused("consent-unknown")
    return found
