"""The texts that people agree to, readable by anybody; and for regulators who has signed them off.

  GET /consent-texts                                       purposes, and the texts there are for each
  GET /consent-texts/parties                               who handles and who would receive, and how both are reached:
                                                           to be printed above a text, or spoken before it
  GET /consent-texts/{purpose}/{version}/{language}        one text: the very bytes whose SHA-256 a receipt names
  GET /consent-texts/{purpose}/{version}/{language}/aloud  the same for the ear: plain text that can be spoken as it is
  GET /audit/v1/notices                                    every text with its readings: who, as what, what was said;
                                                           as a page where text/html is asked for (`texts_page`)

No credentials for the texts: whoever is asked for consent reads them before there is any. What a text says never
changes, how it stands may: the header `Qingqiao-Text-Standing` says it, so nothing is cached without asking again.
Reviewers' names are shown to regulators only. There is no door for signing off: the operator does that by
`qingqiao notices review`, since operators have no way to sign in here.
"""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from consent import notices, purposes, recipients, reviews, wordings
from consent.evidence import Language
from consent.notices import Form, Notice
from consent.parties import Parties, Party
from consent.reviews import Standing
from consent.scope import recipient_name
from exchange import pages, problems, texts_page
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import PRINTABLE
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.clock import rfc3339
from registry.suites import sha256

PATH: Final = "/consent-texts"
STANDING: Final = "Qingqiao-Text-Standing"
_JSON: Final = "application/json"
_MARKDOWN: Final = "text/markdown; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"
_VARIES: Final = {"Vary": "Accept"}
_AGAIN: Final = "public, no-cache"  # the text never changes, its standing does


class Text(BaseModel):
    """One text. `sha256` is over the bytes of its file, as in receipts and readings."""

    version: str = Field(examples=["2026-03"])
    language: str = Field(examples=["bo"])
    form: str = Field(description="read, or aloud for the ear")
    sha256: str
    standing: str = Field(description="unmarked, needs-native-review, reviewed or refused")
    href: str = Field(examples=["/consent-texts/RATING/2026-03/bo/aloud"])


class PurposeTexts(BaseModel):
    """The texts of one purpose, the oldest version first."""

    purpose: str = Field(examples=["RATING"])
    titles: dict[str, str]
    texts: list[Text]


class Texts(BaseModel):
    """All of them."""

    purposes: list[PurposeTexts]


class PartiesModel(BaseModel):
    """Who handles, and who would receive. `read` and `aloud` say both; a contact is empty where none is registered."""

    operator: dict[str, Any]
    recipient: dict[str, Any] | None
    read: str
    aloud: str


class ReviewModel(BaseModel):
    """One reading. `sha256` is what the log's entry `consent:notice:reviewed` holds of it."""

    review_id: str
    reviewer: str
    role: str
    decision: str = Field(description="approved or refused")
    remark: str
    reviewed_at: AwareDatetime
    sha256: str


class ReviewedText(Text):
    """One text with all readings of these bytes, the oldest first."""

    purpose: str
    reviews: list[ReviewModel]


class ReviewedTexts(BaseModel):
    """All of them."""

    texts: list[ReviewedText]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    unchanged: dict[int | str, dict[str, Any]] = {304: {"description": "as before"}}

    @router.get(
        PATH,
        tags=["consent texts"],
        summary="Purposes and their texts",
        responses={200: {"model": Texts}, **unchanged, **problems.responses(503)},
    )
    def listing(request: Request) -> Response:
        """List the purposes of consent with every text of ours, and how each stands."""
        with home.database.transaction() as tx:
            standings = reviews.standings(tx, notices.every())
        said = [
            {
                "purpose": code,
                "titles": dict(purpose.titles),
                "texts": [_said(notice, stands) for notice, stands in standings.items() if notice.purpose == code],
            }
            for code, purpose in purposes.current().by_code.items()
        ]
        body = orjson.dumps({"purposes": said})
        return _answer(request, body, {"Cache-Control": _AGAIN, "ETag": _tag(body)}, _JSON)

    @router.get(
        f"{PATH}/parties",
        tags=["consent texts"],
        summary="Who handles and who receives",
        responses=problems.responses(422, 503),
    )
    def parties(
        recipient: Annotated[str | None, Query(min_length=1, max_length=120, pattern=PRINTABLE)] = None,
        language: Language = Language.CHINESE,
    ) -> PartiesModel:
        """Say what a person has to be told of both besides the text, where somebody takes a consent in person."""
        with home.database.transaction() as tx:
            reached = None if recipient is None else recipients.contact(tx, recipient_name(recipient))
        named = None if recipient is None else Party(recipient_name(recipient), reached)
        both = Parties(home.installation.party, named)
        said = both.as_json()
        return PartiesModel(**said, read=both.read(language), aloud=both.aloud(language))

    @router.get(
        f"{PATH}/{{purpose}}/{{version}}/{{language}}",
        tags=["consent texts"],
        summary="One text, as its receipt names it",
        response_class=Response,
        responses={200: {"content": {"text/markdown": {}}}, **unchanged, **problems.responses(404, 422, 503)},
    )
    def text(request: Request, purpose: str, version: str, language: Language) -> Response:
        """Give the bytes of a text; a mark for its keepers stands in a comment on the first line."""
        notice, headers = _found(home, purpose, version, language, Form.READ)
        return _answer(request, notice.text.encode(), headers, _MARKDOWN)

    @router.get(
        f"{PATH}/{{purpose}}/{{version}}/{{language}}/aloud",
        tags=["consent texts"],
        summary="One text, to be read aloud",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **unchanged, **problems.responses(404, 422, 503)},
    )
    def aloud(request: Request, purpose: str, version: str, language: Language) -> Response:
        """Give what a speech engine is to say, and nothing else."""
        notice, headers = _found(home, purpose, version, language, Form.ALOUD)
        return _answer(request, notice.shown.encode(), headers, _PLAIN)

    @router.get(
        "/audit/v1/notices",
        tags=["regulator"],
        summary="Texts and who signed them off",
        response_model=ReviewedTexts,
        responses={
            200: {"content": {"text/html": {}}},
            **problems.responses(401, 403, 503),
        },
    )
    def audited(request: Request, _: Annotated[Caller, Depends(require(Scope.AUDIT_READ))]) -> Response:
        """Give every text of this release and the names that go with them, how each stands, and all its readings."""
        with home.database.transaction() as tx:
            if _wants_a_page(request):
                shown = texts_page.page(tx, home.installation.operator, now=clock.now())
                return Response(shown, headers=texts_page.headers() | _VARIES, media_type=pages.MEDIA_TYPE)
            standings = reviews.standings(tx, wordings.reviewable())
            readings = reviews.readings(tx, wordings.reviewable())
        said = [
            {**_said(notice, stands), "purpose": notice.purpose, "reviews": list(map(_review, readings[notice]))}
            for notice, stands in standings.items()
        ]
        body = ReviewedTexts.model_validate({"texts": said}).model_dump_json()
        return Response(body, headers=_VARIES, media_type=_JSON)

    return router


def _wants_a_page(request: Request) -> bool:
    """Whether the first media type that is asked for is a page; whoever asks for nothing gets JSON."""
    first = request.headers.get("accept", "").partition(",")[0]
    return first.partition(";")[0].strip().lower() == "text/html"


def _found(home: Home, purpose: str, version: str, language: Language, form: Form) -> tuple[Notice, dict[str, str]]:
    notice = notices.find(purpose, version, language, form)
    if notice is None:
        raise RequestRefused("not-found")
    with home.database.transaction() as tx:
        stands = reviews.standing(tx, notice)
    return notice, {
        "Cache-Control": _AGAIN,
        "Content-Language": language.value,
        "ETag": f'"{notice.sha256.hex()}"',
        STANDING: stands.state.value,
    }


def _answer(request: Request, body: bytes, headers: dict[str, str], media_type: str) -> Response:
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _tag(body: bytes) -> str:
    return f'"{sha256(body).hex()}"'


def _said(notice: Notice, stands: Standing) -> dict[str, Any]:
    address = f"{PATH}/{notice.purpose}/{notice.version}/{notice.language.value}"
    return {
        "version": notice.version,
        "language": notice.language.value,
        "form": notice.form.value,
        "sha256": notice.sha256.hex(),
        "standing": stands.state.value,
        "href": address if notice.form is Form.READ else f"{address}/aloud",
    }


def _review(review: reviews.Review) -> dict[str, Any]:
    return {
        "review_id": str(review.review_id),
        "reviewer": review.reviewer,
        "role": review.role,
        "decision": review.decision.value,
        "remark": review.remark,
        "reviewed_at": rfc3339(review.reviewed_at),
        "sha256": review.sha256,
    }
