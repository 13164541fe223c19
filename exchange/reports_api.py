"""Reports on paper, the check of their codes, and the published form of every answer.

`GET /v1/queries/{id}/report.pdf` goes through the gate as an opening of the query (`release.AskAgain`): decided on
the consent as it stands now and logged, so that a withdrawal bites here too. Nothing is stored; the PDF is set from
the answer that was built for this opening, which lies in it with its signature. Setting one takes about a second of a
processor, so a process sets one at a time, and of each system one is set or waits: a further one is refused before the
gate is asked.

`/reports/check` is what a report's QR code opens. Behind `#` stands a slip, signed by the answer key: number, lender,
moment, digest of the answer. No browser sends that part; a few lines of script put it into the form. The check needs no
database: it says whether we signed the slip, and repeats it. Whoever has the paper knows as much; whoever has only the
address learns nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from exchange import pages, problems
from exchange.errors import RequestRefused, TokenRefused
from exchange.gate import Gate
from exchange.home import Home
from exchange.limits import shown
from exchange.naming import StaffCode, named_staff
from exchange.oauth import form
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller, still_admitted
from exchange.oauth.scopes import Scope
from exchange.portable import report
from exchange.portable.report import Printing
from exchange.portable.sheet import MEDIA_TYPE
from exchange.release import AskAgain, Permitted, Refused, response_bytes
from exchange.reports import schemas
from registry import catalogue, clock, jws
from registry.canonical import canonical
from registry.clock import rfc3339
from registry.errors import SignatureInvalid
from registry.keyring import Purpose
from registry.suites import sha256

CHECK_PATH: Final = "/reports/check"
SLIP_TYPE: Final = "qq-report-slip+jws"
_MODE: Final = "report"
_SLIP: Final = frozenset({"answer_sha256", "decided_at", "lender", "query_id"})
_AGAIN_SECONDS: Final = 2  # about as long as it takes to set one
_FOR_AN_HOUR: Final = {"Cache-Control": "public, max-age=3600"}


class Press:
    """What bounds the setting of PDFs: one at a time in a process, and one of each system that is set or waits."""

    def __init__(self) -> None:
        self.free = asyncio.Lock()
        self._systems: set[str] = set()

    @contextmanager
    def taken_by(self, client_id: str) -> Iterator[None]:
        """Hold a system's one place, until the block ends, however it ends.

        Raises:
            RequestRefused: it has one already; the problem says when to come again.
        """
        if client_id in self._systems:
            said = "a report of this system is being set; the next one after it"
            raise RequestRefused("rate-exceeded", said, retry_after_seconds=_AGAIN_SECONDS)
        self._systems.add(client_id)
        try:
            yield
        finally:
            self._systems.remove(client_id)


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    press = Press()

    @router.get(
        "/v1/queries/{query_id}/report.pdf",
        summary="A report on paper",
        tags=["lender"],
        response_class=Response,
        responses={200: {"content": {MEDIA_TYPE: {}}}, **problems.responses(400, 401, 403, 404, 429, 503)},
    )
    async def on_paper(
        request: Request, query_id: UUID, user_id: StaffCode = None, department: StaffCode = None
    ) -> Response:
        """Set the report of a query in mode report as a PDF (A4), with watermark and QR code.

        `user_id` and `department` are the lender's own codes of whoever prints, if it is another than who asked; a
        lender that keeps a list of its staff has one on it who prints. Each opening is logged. After a withdrawal, once
        the answer has outlived its data life, and once an agency has recalled what it rests on, it is refused. A system
        has one set at a time.
        """
        caller = await require(Scope.QUERIES)(request)
        staff = named_staff(user_id, department)
        await run_in_threadpool(_must_be_a_report, home, query_id, caller.client_id)
        gate: Gate = request.app.state.gate
        with press.taken_by(caller.client_id):
            async with press.free:  # before the gate: what is withdrawn while it waits is not set
                await run_in_threadpool(_must_still_be_admitted, home, caller)
                outcome = await gate.ask(AskAgain(caller, query_id, form="pdf", staff=staff))
                left = shown.headers(outcome.left) if isinstance(outcome, Permitted | Refused) else {}
                if isinstance(outcome, Refused):
                    refusal = problems.refusal(outcome.reason, outcome.query_id, issuer=home.settings.issuer)
                    refusal.headers.update(left)
                    return refusal
                if not isinstance(outcome, Permitted):
                    raise outcome
                made = await run_in_threadpool(printed, home, outcome, staff)
        headers = {"Cache-Control": "no-store", "Content-Disposition": 'inline; filename="report.pdf"', **left}
        return Response(made, 200, headers, MEDIA_TYPE)

    @router.get(CHECK_PATH, summary="Page that checks a report", tags=["reports"], response_class=Response)
    def show(lang: str | None = None) -> Response:
        """Show the page; it tells nothing of any report."""
        return _page(home, pages.language_of(lang), with_script=True)

    @router.post(CHECK_PATH, summary="Check a report", tags=["reports"], response_class=Response)
    async def check(request: Request) -> Response:
        """Say whether a slip was signed by us, and repeat what it says."""
        try:
            sent = form.read(request.headers.get("content-type"), await request.body())
        except RequestRefused:
            sent = {}
        slip = read_slip(sent.get("code", ""), home.keyring.policy().answer_keys)
        return _page(home, pages.language_of(sent.get("lang")), checked=True, slip=slip)

    for path in schemas.PATHS:
        router.add_api_route(path, _schema_of(path), methods=["GET"], tags=["lender"], response_class=Response)
    return router


def printed(home: Home, permitted: Permitted, staff: tuple[str, str] | None) -> bytes:
    """Set an opened report as a PDF.

    Args:
        home: the installation.
        permitted: the outcome of an opening in mode report.
        staff: who at the lender prints it, if it is another than who asked.
    """
    asked = permitted.facts.asked
    code = f"{home.settings.issuer}{CHECK_PATH}#{slip_of(home, permitted)}"
    who = staff or (asked.staff if asked else None)
    printing = Printing(clock.now(), who, code, response_bytes(permitted))
    return report.render(orjson.loads(permitted.body), catalogue.current(), printing)


def slip_of(home: Home, permitted: Permitted) -> str:
    """Sign what a report's QR code says: its number, lender, moment, and the digest of the answer."""
    facts = permitted.facts
    said = {
        "answer_sha256": sha256(permitted.body).hex(),
        "decided_at": rfc3339(facts.decided_at),
        "lender": facts.lender,
        "query_id": str(facts.query_id),
    }
    key = home.keyring.signing(Purpose.ANSWER)
    return jws.sign(key, key.key_id, canonical(said), SLIP_TYPE)


def read_slip(code: str, keys: Mapping[str, bytes]) -> Mapping[str, str] | None:
    """Give what a slip says if one of our keys signed it as such; None for all else."""
    try:
        _, payload = jws.verify("".join(code.split()), keys, typ=SLIP_TYPE)
        said = orjson.loads(payload)
    except (SignatureInvalid, orjson.JSONDecodeError):
        return None
    return said if isinstance(said, dict) and said.keys() == _SLIP else None


def _must_still_be_admitted(home: Home, caller: Caller) -> None:
    """Ask once more whether a caller that has waited may go on.

    Raises:
        TokenRefused: its token was taken back or is over, or its client is not active.
    """
    with home.database.transaction() as tx:
        if not still_admitted(tx, caller, scope=Scope.QUERIES, now=clock.now()):
            raise TokenRefused("access token: taken back or over, or its client is not active")


def _must_be_a_report(home: Home, query_id: UUID, client_id: str) -> None:
    """Refuse what has no report before anything is opened.

    Raises:
        RequestRefused: this client has made no such query, or in another mode.
    """
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT mode FROM query WHERE query_id = %s AND client_id = %s", (query_id, client_id)
        ).fetchone()
    if row is None:
        raise RequestRefused("query-unknown")
    if row[0] != _MODE:
        raise RequestRefused("request-malformed", "only a query in mode report has a report")


def _schema_of(path: str) -> Any:  # noqa: ANN401  # a route's function
    def schema(if_none_match: Annotated[str, Header()] = "") -> Response:
        """Give the JSON Schema that every answer of this mode fits; unchanged ones are 304."""
        written = schemas.written(path)
        tag = f'"{sha256(written).hex()[:32]}"'
        headers = {**_FOR_AN_HOUR, "ETag": tag}
        if tag in {one.strip().removeprefix("W/") for one in if_none_match.split(",")}:
            return Response(status_code=304, headers=headers)
        return Response(written, media_type=schemas.MEDIA_TYPE, headers=headers)

    return schema


def _page(
    home: Home,
    language: str,
    *,
    checked: bool = False,
    slip: Mapping[str, str] | None = None,
    with_script: bool = False,
) -> Response:
    base = urlsplit(home.settings.issuer).path
    text, told = pages.checking("report", language, base=base, with_script=with_script, checked=checked, slip=slip)
    return Response(text, headers=told, media_type=pages.MEDIA_TYPE)
