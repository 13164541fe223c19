"""The public check of a printed receipt, and the sheet itself.

`GET /receipts/{consent_id}` is the page that a receipt's QR code opens: the same for every address, whether such a
consent exists or not. The code's digest stands behind `#` and is not sent; a few lines of script put it into the form,
and without script a person types the check code. `POST` compares it and says three things, no more:

  1. a receipt with this digest stands under this id, and its signature is of a key of ours: issued by us, unchanged
  2. how the consent stands now
  3. otherwise that it cannot be confirmed: the same words for an unknown id, a wrong code and a changed row

Whoever has the sheet knows all that is on it; whoever has only the address learns nothing. No credentials, nothing
stored, no identifier anywhere. The sheet (`sheet`) is written for those who may see the consent: other doors serve it.
"""

import re
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from consent import ledger, printing, receipt
from consent.errors import ReceiptInvalid
from consent.evidence import Language
from consent.grant import State
from consent.printing import Sheet
from consent.record import Consent
from exchange import pages
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import form
from registry import clock
from registry.suites import constant_time_equal

RECEIPTS_PATH: Final = "/receipts"
_DIGEST_DIGITS: Final = 64
_CODE: Final = re.compile(rf"[0-9a-f]{{{printing.CODE_DIGITS},{_DIGEST_DIGITS}}}")


def build_router(home: Home) -> APIRouter:
    """Build the public routes over an installation."""
    router = APIRouter(prefix=RECEIPTS_PATH, tags=["receipts"])

    @router.get("/{consent_id}", summary="Page that checks a receipt", response_class=Response)
    def show(consent_id: str, lang: str | None = None) -> Response:  # noqa: ARG001  # the same for every id
        """Show the page; it tells nothing of any consent."""
        return _page(home, pages.language_of(lang), with_script=True)

    @router.post("/{consent_id}", summary="Check a receipt", response_class=Response)
    async def check(consent_id: str, request: Request) -> Response:
        """Compare a check code or digest, and say whether the receipt is ours and how the consent stands now."""
        try:
            sent = form.read(request.headers.get("content-type"), await request.body())
        except RequestRefused:
            sent = {}
        language = pages.language_of(sent.get("lang"))
        state = await run_in_threadpool(checked, home, consent_id, sent.get("code", ""), now=clock.now())
        return _page(home, language, found=state is not None, state=state)

    return router


def checked(home: Home, consent_id: str, code: str, *, now: datetime) -> str | None:
    """Say how a consent stands whose receipt has this digest, or begins with this code; None for all else."""
    given = "".join(code.split()).lower()
    if not _CODE.fullmatch(given):
        return None
    with home.database.transaction() as tx:
        found = ledger.get(tx, [consent_id]).get(consent_id)
    digest = "" if found is None else receipt.digest(found.receipt).hex()
    if not constant_time_equal(digest[: len(given)].encode(), given.encode()) or found is None:
        return None
    try:
        receipt.verify(found.receipt, home.keyring.policy().receipt_keys)
    except ReceiptInvalid:
        return None
    return standing(found, now=now)


def standing(consent: Consent, *, now: datetime) -> str:
    """Say how a consent stands at a moment: its state, and what its dates make of it where nobody has written that."""
    scope, due = consent.terms.scope, consent.reconfirm_by
    if consent.state in {State.ACTIVE, State.PAUSED, State.REQUESTED} and now >= scope.valid_until:
        return State.EXPIRED.value
    if consent.state is State.ACTIVE and now < scope.valid_from:
        return "not_yet"
    if consent.state is State.ACTIVE and due is not None and now >= due:
        return "due"
    return consent.told.value


def sheet(home: Home, consent: Consent, language: Language, *, masked_name: str | None = None) -> Response:
    """Write a receipt's sheet for somebody who may see the consent."""
    where = f"{home.settings.issuer}{RECEIPTS_PATH}/{consent.consent_id}"
    text = printing.html(Sheet(consent.receipt, consent.receipt_sm2, where, masked_name), language)
    policy = f"default-src 'none'; style-src '{printing.style_hash()}'; frame-ancestors 'none'; base-uri 'none'"
    return Response(
        text,
        headers={**pages.headers(), "Content-Security-Policy": policy},
        media_type=pages.MEDIA_TYPE,
    )


def _page(
    home: Home, language: str, *, found: bool | None = None, state: str | None = None, with_script: bool = False
) -> Response:
    base = urlsplit(home.settings.issuer).path
    text, told = pages.checking("receipt", language, base=base, with_script=with_script, found=found, state=state)
    return Response(text, headers=told, media_type=pages.MEDIA_TYPE)
