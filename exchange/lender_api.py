"""The lenders' door: ask about a subject, get a signed answer or a refusal, and the evidence for it.

The subject stands in the body, never in an address. Every question goes through the gate (`release`); this module only
reads requests and writes responses. Bodies are checked by hand-written models with fixed sentences as errors, so that
no error repeats what was sent.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from consent import purposes
from consent.scope import Mode
from exchange import evidence, once, problems
from exchange.errors import RequestRefused
from exchange.gate import Gate
from exchange.home import Home
from exchange.limits import shown
from exchange.naming import (
    CODE,
    PRINTABLE,
    Code,
    ItemCode,
    StaffCode,
    SubjectModel,
    identifier_of,
    named_staff,
    refuse_personal,
)
from exchange.oauth.doors import presented, require
from exchange.oauth.guard import Caller, Presented
from exchange.oauth.scopes import Scope
from exchange.release import Ask, AskAgain, Outcome, Permitted, Refused, response_bytes
from exchange.shapes import CatalogueShape, EvidenceShape, PendingShape
from registry import catalogue, profile
from registry.canonical import canonical
from registry.catalogue import Catalogue, DataClass, Kind
from registry.errors import CanonicalError, CatalogueError
from registry.identifiers import Identifier
from registry.profile import Claim
from registry.suites import sha256_hex

RETRY_AFTER_SECONDS: Final = 1  # the log is sequenced within a second
JSON: Final = "application/json"
QUERIES_PATH: Final = "/v1/queries"
_LONGEST_VALUE: Final = 200
AnswerMode = Literal["verify", "tags", "summary", "report"]  # those that are answered; a consent may name others too


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ClaimModel(_Strict):
    """A statement to be answered yes, no or unknown, in mode `verify`. Money in fen, areas in 1/10000 亩."""

    item: ItemCode
    relation: Literal["exists", "equals", "at_least", "at_most"] = "exists"
    value: Annotated[str, Field(pattern=PRINTABLE, max_length=_LONGEST_VALUE)] | int | bool | None = None


class StaffModel(_Strict):
    """Who at the lender asks (征信业管理条例 §22). Codes of the lender's own, not names."""

    user_id: Code
    department: Code


class QueryModel(_Strict):
    """A question. Without `items` all is asked for that the consent covers. Mode report needs `staff`."""

    subject: SubjectModel
    purpose: str = Field(pattern=CODE, max_length=40)
    business_no: Code | None = None
    mode: AnswerMode = "summary"
    items: list[ItemCode] | None = Field(default=None, min_length=1, max_length=400)
    claims: list[ClaimModel] | None = Field(default=None, min_length=1, max_length=50)
    staff: StaffModel | None = None


_MEMBERS: Final = frozenset(
    name for model in (QueryModel, SubjectModel, ClaimModel, StaffModel) for name in model.model_fields
)
_EXAMPLE: Final = {
    "subject": {"type": "resident_id", "identifier": "630222199901010001"},
    "purpose": "LOAN_APPROVAL",
    "business_no": "LA-2026-000123",
    "mode": "summary",
    "items": ["SUBSIDY.amount_paid", "SUBSIDY.grant_year", "RATING.grade"],
    "staff": {"user_id": "u-1027", "department": "credit"},
}
_TAGS_EXAMPLE: Final = {
    "subject": {"type": "resident_id", "identifier": "630222199901010001"},
    "purpose": "LOAN_APPROVAL",
    "business_no": "LA-2026-000125",
    "mode": "tags",
    "items": ["SUBSIDY", "RATING"],
}
_REPORT_EXAMPLE: Final = _EXAMPLE | {"business_no": "LA-2026-000126", "mode": "report", "items": ["SUBSIDY", "RATING"]}
_VERIFY_EXAMPLE: Final = {
    "subject": {"type": "resident_id", "identifier": "630222199901010001"},
    "purpose": "LOAN_APPROVAL",
    "business_no": "LA-2026-000124",
    "mode": "verify",
    "claims": [{"item": "RATING.score", "relation": "at_least", "value": 80}],
}


class SignedAnswer(BaseModel):
    """An answer as its signed canonical JSON, and a detached JWS (Ed25519) over exactly those bytes."""

    answer: dict[str, Any] = Field(description="qingqiao-answer/v1; its JSON Schema is /schemas/answer-<mode>-v1.json")
    signature: str = Field(description="RFC 7515 appendix F: header..signature over the RFC 8785 bytes of `answer`")


def read_query(body: bytes) -> tuple[QueryModel, Identifier, bytes]:
    """Read a request body: the model, the identifier, and the canonical bytes that the request's digest is made of.

    Raises:
        RequestRefused: not JSON of this shape, or the identifier does not check.
    """
    try:
        raw = orjson.loads(body)
        query = QueryModel.model_validate(raw)
        text = canonical(raw)
    except (orjson.JSONDecodeError, CanonicalError) as error:
        raise RequestRefused("request-malformed", "the body is not JSON with integers and strings only") from error
    except ValidationError as error:
        known = sorted({place for one in error.errors(include_input=False) if (place := _place(one["loc"]))})
        raise RequestRefused(
            "request-malformed", f"these parts are missing or have another shape: {', '.join(known) or 'unknown parts'}"
        ) from error
    staff = (query.staff.user_id, query.staff.department) if query.staff else ()
    refuse_personal(query.business_no, *staff)
    return query, identifier_of(query.subject), text


def _place(steps: Sequence[object]) -> str:
    """Name a place in a request by names of ours alone: one that the sender made up may be somebody's identifier."""
    known = [str(step) for step in steps if isinstance(step, int) or step in _MEMBERS]
    return ".".join(known) if known and known[0] in QueryModel.model_fields else ""


def read_ask(request: Request, query: QueryModel, identifier: Identifier, body: bytes, key: str | None) -> Ask:
    """Turn a request into the gate's question.

    Raises:
        RequestRefused: a purpose or an item that is not published, claims without mode `verify`, two claims on one
            item, mode `report` without staff, a bad Idempotency-Key.
    """
    if key is not None:
        once.checked(key)
    return asked_by(lambda: presented(request, Scope.QUERIES), query, identifier, body, key)


def asked_by(  # the parts of a question
    who: Callable[[], Presented | Caller], query: QueryModel, identifier: Identifier, body: bytes, key: str | None
) -> Ask:
    """Turn what was read into the gate's question; `who` is asked last, when everything else holds.

    Raises:
        RequestRefused: as `read_ask`, but for the key.
    """
    if purposes.current().get(query.purpose) is None:
        raise RequestRefused("purpose-unknown")
    if (query.mode == "verify") != (query.claims is not None):
        raise RequestRefused("request-malformed", "mode verify needs claims, and claims need mode verify")
    if query.mode == "report" and query.staff is None:  # 征信业管理条例 §22; every page of a report names who asked
        raise RequestRefused("request-malformed", "mode report needs staff: user_id and department")
    claims = tuple(Claim(one.item, one.relation, one.value) for one in query.claims or ())
    asked = [claim.item for claim in claims] if claims else query.items
    if claims and len(set(asked or ())) < len(claims):  # several limits on one item would measure it
        raise RequestRefused("request-malformed", "one claim an item")
    try:
        items = _expanded(tuple(asked)) if asked is not None else None
        comparable = all(profile.comparable(claim, catalogue.current()) for claim in claims)
    except CatalogueError as error:
        raise RequestRefused("item-unknown", "an item that the catalogue does not have; see /v1/catalogue") from error
    if not comparable:
        raise RequestRefused("request-malformed", "a claim's value is not of its item's type")
    return Ask(
        presented=who(),
        identifier=identifier,
        purpose=query.purpose,
        mode=Mode(query.mode),
        items=items,
        body=body,
        claims=claims,
        business_no=query.business_no,
        staff=(query.staff.user_id, query.staff.department) if query.staff else None,
        idempotency_key=key,
    )


@lru_cache(maxsize=1)  # the catalogue is one as long as the process lives
def _catalogue_page(known: Catalogue) -> tuple[bytes, str]:
    """Write the catalogue as lenders see it, and the tag by which they ask whether it has changed."""
    body = orjson.dumps(
        {
            "version": known.version,
            "versions": list(catalogue.versions()),
            "classes": [_class_shown(one) for one in known.classes.values()],
            "kinds": [_kind_shown(one) for one in known.kinds.values()],
        }
    )
    return body, f'"{sha256_hex(body)[:32]}"'


def _class_shown(one: DataClass) -> dict[str, Any]:
    return {
        "class": one.code,
        "since": one.since,
        "title": dict(one.titles),
        "provider": one.provider,
        "update_frequency": one.frequency,
        "quality": one.quality,
        "sharing": one.sharing,
        "platform_id": one.platform_id,
        "exemption": one.exemption or None,
        "charge": one.charge,
    }


def _kind_shown(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.code,
        "class": kind.class_code,
        "title": dict(kind.titles),
        "subject": sorted(kind.subject),
        "sensitivity": kind.sensitivity,
        "basis": kind.basis.value,
        "legal_basis": kind.legal_basis,
        "consent_required": kind.consent_required,
        "purposes": sorted(kind.purposes),
        "retention": kind.retention,
        "freshness_days": kind.freshness_days,
        "items": [
            {"item": f"{kind.code}.{name}", "type": f.type, "unit": f.unit, "zh": f.zh, "en": f.en, "w": f.w}
            | ({"values": list(f.values)} if f.values else {})
            for name, f in kind.fields.items()
            if f.lender_visible
        ],
    }


@lru_cache(maxsize=256)  # lenders ask for the same again and again; the catalogue is one as long as the process lives
def _expanded(codes: tuple[str, ...]) -> frozenset[str]:
    return catalogue.current().expand(codes)


def query_route(home: Home) -> Route:
    """Return the route that answers questions.

    A plain one: FastAPI, which describes the same function in `build_router`, has nothing to read or write here.
    """

    async def ask(request: Request) -> Response:
        return await _ask(request, home.settings.issuer)

    return Route(QUERIES_PATH, ask, methods=["POST"])


async def _ask(request: Request, issuer: str) -> Response:
    query, identifier, text = read_query(await request.body())
    key = request.headers.get(once.HEADER)
    gate: Gate = request.app.state.gate
    return _response(await gate.ask(read_ask(request, query, identifier, text, key)), issuer)


def build_router(home: Home) -> APIRouter:
    """Build the lenders' routes over an installation; `query_route` goes before it."""
    router = APIRouter(tags=["lender"])

    @router.post(
        QUERIES_PATH,
        summary="Ask about a person or a collective",
        responses={200: {"model": SignedAnswer}, **problems.responses(400, 401, 403, 409, 429, 503)},
        openapi_extra={
            "parameters": [{"name": once.HEADER, "in": "header", "schema": {**once.SCHEMA}}],
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": QueryModel.model_json_schema(ref_template="#/components/schemas/{model}"),
                        "examples": {
                            "summary": {"value": _EXAMPLE},
                            "verify": {"value": _VERIFY_EXAMPLE},
                            "tags": {"value": _TAGS_EXAMPLE},
                            "report": {"value": _REPORT_EXAMPLE},
                        },
                    }
                },
            },
        },
    )
    async def ask(request: Request) -> Response:
        """Answer, or refuse with a problem that names a published reason.

        The same Idempotency-Key with the same body opens the same record versions again, without a second use,
        if the consent still stands. With another body it is refused.
        """
        return await _ask(request, home.settings.issuer)

    @router.get(
        f"{QUERIES_PATH}/{{query_id}}/evidence",
        summary="Evidence for an answer",
        responses={
            200: {"model": EvidenceShape},
            202: {"model": PendingShape, "description": "Not yet in a signed checkpoint"},
            **problems.responses(401, 403, 404, 429, 503),
        },
    )
    async def evidence_of(
        request: Request,
        query_id: UUID,
        form: Annotated[Literal["full", "redacted"], Query()] = "full",
        user_id: StaffCode = None,
        department: StaffCode = None,
    ) -> Response:
        """Give one JSON file that proves the answer, checked offline by `qingqiao verify`.

        `user_id` and `department` are the lender's own codes of whoever opens it; a lender that keeps a list of its
        staff names somebody of it, unless who asked is noted with a report and still on the list.

        The full form holds the answer and so goes through the gate once more: after a withdrawal, and once the
        answer has outlived its data life, it is refused, and only the redacted form, without personal data, is given.
        """
        caller = await require(Scope.QUERIES)(request)
        staff = named_staff(user_id, department)
        found, left = await run_in_threadpool(evidence.redacted, home, query_id, caller.client_id), dict[str, str]()
        if found is not None and form == "full":  # only when the log covers it is anything opened
            gate: Gate = request.app.state.gate
            outcome = await gate.ask(AskAgain(caller, query_id, staff=staff))
            if not isinstance(outcome, Permitted):
                return _response(outcome, home.settings.issuer)
            found, left = await run_in_threadpool(evidence.full, home, outcome), shown.headers(outcome.left)
        if found is None:
            pending = orjson.dumps({"status": "pending", "query_id": str(query_id)})
            return Response(pending, 202, {"Retry-After": str(RETRY_AFTER_SECONDS), **left}, JSON)
        return Response(found, 200, left, JSON)

    @router.get(
        "/v1/catalogue",
        summary="Kinds and items",
        responses={200: {"model": CatalogueShape}, **problems.responses(401)},
    )
    def show_catalogue(request: Request, _: Annotated[Caller, Depends(require(Scope.QUERIES))]) -> Response:
        """List every item a lender may ask for, and the terms of its kind and class; unchanged answers are 304."""
        body, tag = _catalogue_page(catalogue.current())
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        return Response(status_code=304, headers=headers) if tag in known else Response(body, 200, headers, JSON)

    return router


def _response(outcome: Outcome, issuer: str) -> Response:
    if isinstance(outcome, Permitted):
        headers = {"Cache-Control": "no-store", **shown.headers(outcome.left)}
        return Response(response_bytes(outcome), 200, headers, JSON)
    if isinstance(outcome, Refused):
        refusal = problems.refusal(outcome.reason, outcome.query_id, issuer=issuer)
        refusal.headers.update(shown.headers(outcome.left))
        return refusal
    raise outcome
