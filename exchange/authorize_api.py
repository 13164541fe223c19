"""The confirmation page: where a lender sends a person, and where the person says yes or no.

`GET /oauth/authorize` shows a pushed request, `POST` takes the answer and sends the person back with 303. Nobody needs
credentials here: what is answered is what was pushed, whoever agrees proves presence, and whoever refuses need not say
who he is (`capture.confirming`). What stands against other pages:

  * an address has `client_id`, `request_uri` and `lang`, each once; a page without them, or whose request is gone, says
    so and leads nowhere: redirects go to the registered address of a request that waits, never to what an address says
  * a form is taken only with the token that was made for this browser's cookie and this request, and only if the
    browser does not say that another site sent it
  * no script, no frame, nothing from elsewhere, nothing stored, no referrer (`pages.headers`)
  * resident id and code are never written back into a page
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from consent.errors import Fault
from consent.faults import MEANINGS
from exchange import pages
from exchange.capture import confirming
from exchange.capture.confirming import Again, Back, Given, Opened
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import form
from exchange.oauth.profile import AUTHORIZE_PATH
from exchange.oauth.redirects import origin
from exchange.pages import prose
from registry import clock
from registry.canonical import b64url, unb64url
from registry.keyring import Purpose
from registry.suites import constant_time_equal, hmac_sha256, random_bytes

COOKIE: Final = "qq-page"
_COOKIE_BYTES: Final = 32
_COOKIE_SECONDS: Final = 900
_LONGEST: Final = 2048
_SEE_OTHER: Final = 303  # RFC 9700 §4.12: 302 and 307 could carry the form, with number and code, to the lender
_UNPROCESSABLE: Final = 422
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_AGREE: Final = "agree"
_ANSWERS: Final = (_AGREE, "refuse")
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})


def build_router(home: Home) -> APIRouter:
    """Build the page's routes over an installation."""
    router = APIRouter(tags=["oauth"])

    @router.get(AUTHORIZE_PATH, summary="Show a pushed request to a person", response_class=Response)
    async def show(request: Request) -> Response:
        """Show who wants to see what, and ask."""
        asked = _parameters(request)
        language = pages.language_of(asked.get("lang"))
        cookie = _cookie(request) or b64url(random_bytes(_COOKIE_BYTES))
        opened = await run_in_threadpool(
            confirming.opened, home, asked.get("client_id", ""), asked.get("request_uri", ""), language, now=clock.now()
        )
        if opened is None:
            return _message(home, language, "gone")
        return _with_cookie(home, _page(home, opened, asked, language, cookie), cookie)

    @router.post(AUTHORIZE_PATH, summary="Take a person's answer", response_class=Response)
    async def answer(request: Request) -> Response:
        """Take yes or no; send the person back to the lender."""
        body = await request.body()
        try:
            sent = form.read(request.headers.get("content-type"), body)
        except RequestRefused:
            return _message(home, pages.language_of(None), "gone")
        language, cookie = pages.language_of(sent.get("lang")), _cookie(request)
        elsewhere = request.headers.get("sec-fetch-site") in _OTHER_SITES
        if cookie is None or elsewhere or not _ours(home, cookie, sent) or sent.get("answer") not in _ANSWERS:
            return _message(home, language, "again", status=403)
        outcome = await run_in_threadpool(
            confirming.answer,
            home,
            sent.get("client_id", ""),
            sent.get("request_uri", ""),
            _given(sent, language),
            now=clock.now(),
        )
        if isinstance(outcome, Back):
            return Response(status_code=_SEE_OTHER, headers={**pages.headers(), "Location": outcome.address})
        if isinstance(outcome, Again):
            return _page(home, outcome.opened, sent, language, cookie, _faults(outcome, language))
        return _message(home, language, "gone")

    @router.get(f"{pages.STYLE_PREFIX}{{name}}", summary="The pages' stylesheet", response_class=Response)
    def style(name: str) -> Response:
        """Give the stylesheet under the name of its bytes."""
        if f"{pages.STYLE_PREFIX}{name}" != pages.style_path():
            raise RequestRefused("not-found")
        return Response(pages.style(), media_type="text/css; charset=utf-8", headers=_FOR_EVER)

    return router


def _given(sent: Mapping[str, str], language: str) -> Given:
    return Given(
        language=language,
        text_version=sent.get("text_version", ""),
        agrees=sent["answer"] == _AGREE,
        identifier=sent.get("identifier", ""),
        code=sent.get("code", "").strip(),
    )


def _page(  # what stands on it
    home: Home,
    opened: Opened,
    asked: dict[str, str],
    language: str,
    cookie: str,
    faults: tuple[str, ...] = (),
) -> Response:
    named = {"client_id": asked["client_id"], "request_uri": asked["request_uri"]}
    text = pages.page(
        "consent.html",
        language,
        shown=opened.shown,
        elsewhere=sorted({*opened.shown.w_names, *opened.shown.separate_names}),
        number=opened.number,
        number_to_refuse=opened.number_to_refuse,
        replaces=opened.replaces,
        blocks=prose.blocks(opened.shown.notice.shown),
        faults=faults,
        base=_base(home),
        action=_base(home) + AUTHORIZE_PATH,
        query=urlencode(named),
        csrf=_token(home, cookie, named["request_uri"]),
        **named,
    )
    status = _UNPROCESSABLE if faults else 200
    return Response(text, status, pages.headers(origin(opened.redirect_uri)), pages.MEDIA_TYPE)


def _base(home: Home) -> str:
    """Give the path under which this exchange is reached from outside."""
    return urlsplit(home.settings.issuer).path


def _message(home: Home, language: str, word: str, *, status: int = 400) -> Response:
    words = pages.words(language)
    text = pages.page("message.html", language, base=_base(home), title=words[f"{word}_title"], text=words[word])
    return Response(text, status, pages.headers(), pages.MEDIA_TYPE)


def _faults(again: Again, language: str) -> tuple[str, ...]:
    words = pages.words(language)
    if again.word is not None:
        return (str(words[again.word]),)
    meaning = MEANINGS[again.fault or Fault.TEXT_UNKNOWN]
    cause, mend = (meaning.en, meaning.mend_en) if language == "en" else (meaning.zh, meaning.mend_zh)
    return (str(words["not_recorded"]), cause, mend)


def _parameters(request: Request) -> dict[str, str]:
    """Read an address's parameters; one that is too long, cannot be read or has a name twice has none."""
    text = request.scope["query_string"]
    if len(text) > _LONGEST:
        return {}
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=8)
    except ValueError:
        return {}
    names = [name for name, _ in pairs]
    return {} if len(set(names)) != len(names) else dict(pairs)


def _cookie(request: Request) -> str | None:
    held = request.cookies.get(COOKIE, "")
    try:
        return held if len(unb64url(held)) == _COOKIE_BYTES else None
    except ValueError:
        return None


def _with_cookie(home: Home, response: Response, cookie: str) -> Response:
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=_COOKIE_SECONDS,
        path=_base(home) + AUTHORIZE_PATH,
        secure=home.settings.issuer.startswith("https:"),
        httponly=True,
        samesite="lax",  # sent when the person comes from the lender's page; never with another site's form
    )
    return response


def _token(home: Home, cookie: str, request_uri: str) -> str:
    secret = home.keyring.symmetric(Purpose.MAC).secret
    return b64url(hmac_sha256(secret, b"page-token\x00" + cookie.encode() + b"\x00" + request_uri.encode()))


def _ours(home: Home, cookie: str, sent: dict[str, str]) -> bool:
    made = _token(home, cookie, sent.get("request_uri", ""))
    return constant_time_equal(made.encode(), sent.get("csrf", "").encode())
