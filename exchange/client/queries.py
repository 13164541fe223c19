"""What a lender asks about a subject, and the evidence for it. Flows.

Every question carries an Idempotency-Key, which is made here unless one is given: a repeated question takes no second
use. `trust` of a client has each answer checked before it is handed out.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Literal, NotRequired, TypedDict, Unpack
from urllib.parse import quote
from uuid import uuid4

import orjson

from exchange.client.answers import Answer, Claim, Mode, Subject
from exchange.client.errors import NotReady, retry_after
from exchange.client.flow import Flow, Wait
from exchange.client.keys import Json
from exchange.client.session import Ask, Session
from registry.canonical import canonical

QUERIES_PATH: Final = "/v1/queries"
EVIDENCE_PATIENCE_SECONDS: Final = 30.0
_SHORTEST_SECONDS: Final = 0.1


class Stated(TypedDict):
    """What a question states besides whom it is about and how much is wanted: arguments of `query`."""

    purpose: str
    business_no: NotRequired[str | None]
    items: NotRequired[Sequence[str] | None]
    staff: NotRequired[tuple[str, str] | None]
    idempotency_key: NotRequired[str | None]


def question(  # what a query states
    subject: Subject,
    *,
    purpose: str,
    business_no: str | None = None,
    items: Sequence[str] | None = None,
    mode: Mode = "summary",
    claims: Sequence[Claim] | None = None,
    staff: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Write one question, for `query` or as a line of a batch. The arguments are those of `query`."""
    stated: dict[str, Any] = {"subject": subject.as_json(), "purpose": purpose, "mode": mode}
    if business_no is not None:
        stated["business_no"] = business_no
    if items is not None:
        stated["items"] = list(items)
    if claims is not None:
        stated["claims"] = [claim.as_json() for claim in claims]
    if staff is not None:
        stated["staff"] = {"user_id": staff[0], "department": staff[1]}
    return stated


def query(  # noqa: PLR0913  # what a query states
    session: Session,
    subject: Subject,
    *,
    purpose: str,
    business_no: str | None = None,
    items: Sequence[str] | None = None,
    mode: Mode = "summary",
    claims: Sequence[Claim] | None = None,
    staff: tuple[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Flow[Answer]:
    """Ask about one subject (POST /v1/queries).

    Args:
        session: whose.
        subject: whom it is about.
        purpose: a published purpose, such as LOAN_APPROVAL.
        business_no: the lender's own number of the application.
        items: "SUBSIDY.amount_paid" and the like, or a class; without them all that the consent covers.
        mode: how much is wanted.
        claims: with mode verify, what is to be answered yes or no.
        staff: codes of the lender's own for the person who asks, and the department.
        idempotency_key: that of an earlier call to be repeated; a fresh one otherwise.

    Raises:
        QueryRefused: no consent covers it; `code` says why.
        NotGenuine: the answer is not for this question.
        Refused, NotReached: as every call.
    """
    key = idempotency_key or str(uuid4())
    stated = question(
        subject, purpose=purpose, business_no=business_no, items=items, mode=mode, claims=claims, staff=staff
    )
    body = canonical(stated)
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    response = yield from session.call(Ask("POST", QUERIES_PATH, content=body, headers=headers, safe=True))
    answer = Answer.read(orjson.loads(response.content), asked=body, idempotency_key=key)
    if session.trust is not None:
        answer.check(session.trust)
    return answer


def verify(session: Session, subject: Subject, claims: Sequence[Claim], **stated: Unpack[Stated]) -> Flow[Answer]:
    """Have claims answered yes, no or unknown, without a value: the least there is. They name the items."""
    return query(session, subject, mode="verify", claims=claims, **stated)


def tags(session: Session, subject: Subject, **stated: Unpack[Stated]) -> Flow[Answer]:
    """Ask for tags instead of figures. The rest is as of `query`."""
    return query(session, subject, mode="tags", **stated)


def summary(session: Session, subject: Subject, **stated: Unpack[Stated]) -> Flow[Answer]:
    """Ask for the permitted fields and figures over them. The rest is as of `query`."""
    return query(session, subject, mode="summary", **stated)


def report(session: Session, subject: Subject, **stated: Unpack[Stated]) -> Flow[Answer]:
    """Ask for the whole report; it needs `staff`. The rest is as of `query`."""
    return query(session, subject, mode="report", **stated)


def report_pdf(session: Session, query_id: str, *, staff: tuple[str, str] | None = None) -> Flow[bytes]:
    """Fetch a report that was asked for as it is printed: A4, with its watermark and code.

    `staff` is who prints it, user and department, if it is another than who asked.

    Raises:
        QueryRefused, RequestWrong: no longer to be had, or not a report of this lender's.
        Refused, NotReached: as every call.
    """
    ask = Ask("GET", f"{QUERIES_PATH}/{quote(query_id, safe='')}/report.pdf", params=_named(staff), safe=True)
    return (yield from session.call(ask)).content


def evidence(
    session: Session,
    query_id: str,
    form: Literal["full", "redacted"] = "full",
    *,
    staff: tuple[str, str] | None = None,
    patience_seconds: float = EVIDENCE_PATIENCE_SECONDS,
) -> Flow[bytes]:
    """Fetch the evidence of a query as it is served, waiting until a checkpoint covers it.

    `staff` is who opens it, user and department: a lender that keeps a list of its staff names somebody of it.

    Raises:
        QueryRefused, RequestWrong: no longer to be had in this form, or not this lender's query.
        NotReady: still 202 when patience ran out.
        Refused, NotReached: as every call.
    """
    waited = 0.0
    path, params = f"{QUERIES_PATH}/{quote(query_id, safe='')}/evidence", {"form": form} | _named(staff)
    ask = Ask("GET", path, params=params, safe=True)
    while True:
        response = yield from session.call(ask)
        if response.status_code != HTTPStatus.ACCEPTED:
            return response.content
        if waited >= patience_seconds:
            raise NotReady(f"query {query_id} is not covered by a checkpoint after {waited:.0f} s")
        delay = min(float(retry_after(response) or 1), max(patience_seconds - waited, _SHORTEST_SECONDS))
        yield Wait(delay)
        waited += delay


def _named(staff: tuple[str, str] | None) -> dict[str, str]:
    return {} if staff is None else {"user_id": staff[0], "department": staff[1]}


def explain(session: Session, code: str) -> Flow[Json]:
    """Fetch the published description of a problem: titles, cause and mend.

    Raises:
        RequestWrong: there is no such problem.
    """
    return session.public(f"/problems/{quote(code, safe='')}")
