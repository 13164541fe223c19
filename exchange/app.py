"""The web application: every door of one installation, put together.

All doors are closed: `envelope.ClosedDoors` asks for credentials on every path but the public ones
listed here. Errors become problems in one place (`problems`). Nothing here decides anything.

Not here: the network (`cli serve` starts uvicorn, with its own access log off), scheduled jobs (`jobs`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import psycopg
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from connectors.errors import StorageFull
from exchange import (
    agency_api,
    alerts_api,
    audit_api,
    audit_consents_api,
    authorize_api,
    bindings_api,
    capture_api,
    client_api,
    consent_texts_api,
    consents_api,
    deletions_api,
    deprecations,
    events_api,
    grants_api,
    journal,
    lender_api,
    limit_problems,
    log_api,
    outcomes_api,
    pages,
    recall_notices_api,
    receipts_api,
    reference,
    registrations_api,
    reports_api,
    sources_api,
    subject_api,
)
from exchange.agency_api.uploads import UPLOAD_BYTES, UPLOADS_PATH
from exchange.bulk import doors as bulk_doors
from exchange.bulk.keeping import BATCH_BYTES
from exchange.capture.paper import MOST_SCAN_BYTES
from exchange.capture_api import papers
from exchange.envelope import ClosedDoors, Envelope, Limits, Public, Wider
from exchange.errors import ExchangeError, OutOfService, RequestRefused
from exchange.gate import Gate
from exchange.home import Home, Mode
from exchange.limits import declared, pacing
from exchange.metrics import MEDIA_TYPE as METRICS_MEDIA_TYPE
from exchange.metrics import Metrics
from exchange.monitoring import doors as monitoring_doors
from exchange.monitoring.reading import SCHEMA_PATH as EVENT_SCHEMA_PATH
from exchange.oauth import endpoints, inspection
from exchange.oauth.certificates import FromProxy
from exchange.oauth.doors import admissions
from exchange.oauth.guard import Guard
from exchange.oauth.profile import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    PAR_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    Profile,
)
from exchange.oauth.tokens import TokenKeys
from exchange.portable.document import SCHEMA_PATH
from exchange.problems import CATALOGUE, Told, responses, tell, told_of
from exchange.reports import schemas
from exchange.straight import Doors
from exchange.subject_api.bindings import BINDINGS_PATH
from registry import schema
from registry.errors import DatabaseUnavailable

API_VERSION: Final = "1.0"  # of the interfaces; the distribution has a version of its own
MAX_BODY_BYTES: Final = 64 * 1024  # a query with every item named is under 8 KiB
_PUBLIC_PATHS: Final = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/problems",
    reference.PATH,
    consent_texts_api.PATH,
    registrations_api.PATH,
    reports_api.CHECK_PATH,
    *schemas.PATHS,
    EVENT_SCHEMA_PATH,
    TOKEN_PATH,
    JWKS_PATH,
    PAR_PATH,
    INTROSPECT_PATH,
    REVOKE_PATH,
    AUTHORIZE_PATH,
)
_PUBLIC_PREFIXES: Final = (
    "/problems/",
    "/log/",  # the log's tiles and checkpoint are for everyone
    pages.STYLE_PREFIX,
    f"{registrations_api.PATH}/",  # asked by whoever has no credentials yet; the id is random
    f"{consent_texts_api.PATH}/",  # read before there is a consent
    f"{receipts_api.RECEIPTS_PATH}/",  # whoever holds a receipt checks it
)
_PUBLIC_FOR_PERSONS: Final = (BINDINGS_PATH, SCHEMA_PATH)  # a phone has no token before it is bound
_SCANS: Final = Wider("PUT", f"{papers.PREFIX}/", papers.SCAN_ENDING, MOST_SCAN_BYTES)
_QUESTIONS: Final = Wider("PATCH", f"{bulk_doors.PATH}/", bulk_doors.QUESTIONS_ENDING, BATCH_BYTES)
_CODES_BY_STATUS: Final = {
    400: "request-malformed",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-too-slow",
    413: "body-too-large",
    415: "request-malformed",
}
_DESCRIPTION: Final = """
Consented, provable exchange of credit data (青桥信用数据共享平台).

Get a token at `/oauth/token` (client_credentials, private_key_jwt, DPoP), then call with
`Authorization: DPoP <token>` and a fresh `DPoP` proof per request. Problems are RFC 9457; `/problems` lists them.
"""


def public_of(profile: Profile) -> Public:
    """Return the paths that need no credentials."""
    return Public(frozenset({*_PUBLIC_PATHS, *_PUBLIC_FOR_PERSONS, profile.metadata_path}), _PUBLIC_PREFIXES)


def create_app(home: Home) -> FastAPI:
    """Put the application together over an opened installation. Two may live in one process.

    Raises:
        KeyMissing: the keyring has no key that signs tokens.
        RulesRefused: the file of limits is not understood.
    """
    if not structlog.is_configured():  # whoever serves has set it up; without that, its default writes whole messages
        journal.set_up()
    settings = home.settings
    limits = declared.of(settings.limits)  # a file that is not understood stops the process here, no question later
    profile = Profile(settings.issuer, settings.tls_proxy is not None, settings.mtls_address)
    keys = TokenKeys(home.keyring)
    metrics = Metrics()
    app = Doors(
        title="Qingqiao 青桥",
        version=API_VERSION,
        description=_DESCRIPTION,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_gate_open,
    )
    app.state.admissions = admissions(home.database, pacing.of_doors(limits.doors))
    of_tokens = pacing.of_process(limits.tokens)
    app.state.gate = Gate(home)
    app.state.metrics = metrics
    app.straight = (
        lender_api.query_route(home),
        endpoints.token_route(profile, keys, home.database, of_tokens),
        endpoints.par_route(profile, home.database, of_tokens),
        *inspection.routes(profile, keys, home.database, of_tokens),
    )
    app.router.routes[:0] = app.straight  # other methods than theirs are told so by the router
    for build_router in (
        lender_api.build_router,
        outcomes_api.build_router,
        bulk_doors.build_router,
        monitoring_doors.build_router,
        consents_api.build_router,
        audit_api.build_router,
        alerts_api.build_router,
        log_api.build_router,
        sources_api.build_router,
        agency_api.build_router,
        recall_notices_api.build_router,
        events_api.build_router,
        deletions_api.build_router,
        grants_api.build_router,
        registrations_api.build_router,
        client_api.build_router,
        audit_consents_api.build_router,
        bindings_api.build_router,
        subject_api.build_router,
        authorize_api.build_router,
        capture_api.build_router,
        consent_texts_api.build_router,
        receipts_api.build_router,
        reports_api.build_router,
    ):
        app.router.routes.extend(build_router(home).routes)
    app.router.routes.extend(endpoints.build_router(profile, keys).routes)
    app.router.routes.extend(_operating(home, metrics).routes)
    app.router.routes.extend(_problems(profile.issuer).routes)
    _handle_errors(app, profile.issuer, metrics)
    described = _described(app, profile)
    app.router.routes.extend(reference.build_router(described).routes)
    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    app.add_middleware(ClosedDoors, guard=Guard(profile, keys), public=public_of(profile), issuer=profile.issuer)
    if settings.tls_proxy is not None:
        app.add_middleware(FromProxy, proxy=settings.tls_proxy)
    mode = Mode.SANDBOX.value if home.installation.mode is Mode.SANDBOX else None
    app.add_middleware(
        Envelope,
        issuer=profile.issuer,
        metrics=metrics,
        mode=mode,
        public=public_of(profile),
        deprecations=deprecations.current(),
        limits=Limits(
            MAX_BODY_BYTES,
            UPLOAD_BYTES,
            "PATCH",
            f"{UPLOADS_PATH}/",
            (_SCANS, _QUESTIONS),
            limits.connections.body_seconds,
        ),
    )
    return app


@asynccontextmanager
async def _gate_open(app: FastAPI) -> AsyncIterator[None]:
    gate: Gate = app.state.gate
    gate.start()
    try:
        yield
    finally:
        gate.stop()


def _operating(home: Home, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operating"])
    revision = schema.newest("main")

    @router.get("/healthz", summary="Is the process alive")
    def healthz() -> dict[str, str]:
        """Answer as long as the process runs."""
        return {"status": "alive", "mode": home.installation.mode.value}

    @router.get("/readyz", summary="Can it serve", responses={503: {"description": "not now"}})
    def readyz() -> dict[str, str]:
        """Answer 200 if the database is reachable and at this release's schema."""
        with home.database.transaction() as tx:
            if not schema.stands_at(tx, revision):
                raise OutOfService("the database's schema is not this release's")
        return {"status": "ready", "mode": home.installation.mode.value}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    def exposition() -> Response:
        """Return the metrics; no label says who or about whom."""
        return Response(metrics.exposition(), media_type=METRICS_MEDIA_TYPE)

    return router


def _problems(issuer: str) -> APIRouter:
    router = APIRouter(tags=["problems"])

    @router.get("/problems", summary="All problems that answers may name")
    def catalogue() -> list[dict[str, Any]]:
        """List code, status, titles, cause and mend of every problem."""
        return [problem.document(issuer) for problem in CATALOGUE.values()]

    @router.get("/problems/{code}", summary="One problem", responses={404: {"description": "no such problem"}})
    def one(code: str) -> dict[str, Any]:
        """Describe one problem; its address is the `type` in answers."""
        if code not in CATALOGUE:
            raise HTTPException(404)
        return CATALOGUE[code].document(issuer)

    return router


def _handle_errors(app: FastAPI, issuer: str, metrics: Metrics) -> None:
    def response(told: Told) -> Response:
        return Response(told.body, told.status, told.headers)

    @app.exception_handler(ExchangeError)
    async def refused(_: Request, error: ExchangeError) -> Response:
        if isinstance(error, RequestRefused) and error.code in limit_problems.CODES:
            metrics.limited(error.code)
        return response(told_of(issuer, error))

    @app.exception_handler(DatabaseUnavailable)
    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(StorageFull)
    async def unreachable(_: Request, __: Exception) -> Response:
        return response(tell(issuer, "out-of-service"))

    @app.exception_handler(psycopg.DataError)
    @app.exception_handler(OverflowError)
    async def unholdable(_: Request, __: Exception) -> Response:
        """Answer for a value that passed its model and that the database cannot hold."""
        return response(tell(issuer, "request-malformed"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return response(tell(issuer, "request-malformed"))
        return response(tell(issuer, "request-invalid", more={"errors": [_place(one) for one in error.errors()]}))

    @app.exception_handler(HTTPException)
    async def by_status(_: Request, error: HTTPException) -> Response:
        told = tell(issuer, _CODES_BY_STATUS.get(error.status_code, "internal"))
        told.headers.update(error.headers or {})
        return response(told)


def _place(error: dict[str, Any]) -> dict[str, str]:
    """Say where a member is wrong and which rule it broke. Names that the caller made up are not repeated."""
    steps = list(error["loc"])
    if error["type"] == "extra_forbidden":
        steps[-1] = "?"
    known = (str(step) if isinstance(step, int) or step.replace("_", "").isalpha() else "?" for step in steps)
    return {"at": "/" + "/".join(known), "rule": str(error["type"])}


def _described(app: FastAPI, profile: Profile) -> Callable[[], dict[str, Any]]:
    public = public_of(profile)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes,
                servers=[{"url": profile.issuer}],
            )  # fmt: skip
            described["paths"][TOKEN_PATH] = {"post": orjson.loads(orjson.dumps(endpoints.TOKEN_OPERATION))}
            described["paths"][INTROSPECT_PATH] = {"post": orjson.loads(orjson.dumps(inspection.INTROSPECTION))}
            described["paths"][REVOKE_PATH] = {"post": orjson.loads(orjson.dumps(inspection.REVOCATION))}
            described["paths"][PAR_PATH] = {"post": orjson.loads(orjson.dumps(endpoints.PAR_OPERATION))}
            scheme = {"type": "http", "scheme": "DPoP", "description": "RFC 9449, with a DPoP proof header per request"}
            described.setdefault("components", {}).setdefault("securitySchemes", {})["DPoP"] = scheme
            for path, operations in described["paths"].items():
                for operation in operations.values():
                    if path.startswith("/v1/") and not public.has(path):  # doors of lenders have a pace
                        operation["responses"].setdefault("429", responses(429)[429])
                    operation["security"] = [] if public.has(path) else [{"DPoP": []}]
            app.openapi_schema = orjson.loads(orjson.dumps(described))
        return app.openapi_schema

    return openapi
