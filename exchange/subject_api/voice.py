"""A person's own voice: messages, statement, disputes, complaints.

What a person writes is sealed at once; it is refused here if it holds a resident id or credit code, so that nobody's
identifier travels in somebody's words.
"""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from consent.errors import TermsRefused
from consent.evidence import Evidence, EvidenceKind
from exchange import binding, complaints, disputes, messages, paging, problems, statements
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.portable.document import complaint_shown, dispute_shown, statement_shown
from exchange.subject_api.asking import Person, asking
from registry import clock
from registry.clock import rfc3339
from registry.records import RecordRef

_MESSAGES: Final = "message"
_WRITTEN = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$"  # lines, but nothing unseen that turns text
Words = Annotated[str, Field(min_length=2, max_length=500, pattern=_WRITTEN)]
Item = Annotated[str, Field(max_length=80, pattern=r"^[A-Z][A-Z0-9_]*\.[a-z][a-z0-9_]*$")]
Name = Annotated[str, Field(min_length=2, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StatementModel(_Model):
    """本人声明: at most 200 characters, shown to every lender with an answer while it stands."""

    text: Annotated[str, Field(min_length=2, max_length=statements.CHARACTERS_MOST, pattern=_WRITTEN)]


class DisputeModel(_Model):
    """异议: of one item of one record, as `GET /subject/v1/records` shows it, with the hash of what supports it."""

    record_id: UUID
    version: int = Field(ge=1, le=1_000_000)
    item: Item
    reason: disputes.Reason
    words: Words | None = None
    evidence_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ComplaintModel(_Model):
    """投诉: about whom, and why."""

    about: complaints.About
    organisation: Name | None = None
    words: Words


class ChoiceModel(_Model):
    """Whether to be told of each access."""

    access_messages: bool


class MessageModel(BaseModel):
    """A message, in facts and in words."""

    message_id: str
    kind: str
    at: str
    facts: dict[str, Any]
    text: dict[str, str]


class MessagesModel(BaseModel):
    """A page of messages, newest first."""

    messages: list[MessageModel]
    access_messages: bool
    next: str | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    guard = asking(home)
    router = APIRouter(prefix="/subject/v1", tags=["subject: voice"], dependencies=[Depends(guard)])
    for add in (_add_messages, _add_statement, _add_disputes, _add_complaints):
        add(router, home, guard)
    return router


def _add_messages(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]

    @router.get("/messages", summary="Messages", responses=problems.responses(400, 401, 403))
    def told(
        who: person,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=messages.PAGE_MOST)] = 50,
    ) -> MessagesModel:
        """List messages: one for each access, permitted or refused, and what else concerns the person."""
        with home.database.transaction() as tx:
            found, after = messages.page(tx, who.subject_id, before=paging.opened(_MESSAGES, cursor), limit=limit)
            wanted = messages.access_messages_from(tx, who.subject_id) is not None
        shown = [
            MessageModel(
                message_id=str(one.message_id),
                kind=one.kind.value,
                at=rfc3339(one.at),
                facts=dict(one.facts),
                text=messages.words(one),
            )
            for one in found
        ]
        more = None if after is None else paging.cursor(_MESSAGES, *after)
        return MessagesModel(messages=shown, access_messages=wanted, next=more)

    @router.put("/messages/choice", status_code=204, summary="Be told of accesses, or not")
    def choose(given: ChoiceModel, who: person) -> None:
        """Keep whether a message of each access is wanted. The list of accesses stays complete in either case."""
        with home.database.transaction() as tx:
            who.acts(tx)
            messages.choose(tx, who.subject_id, access_messages=given.access_messages, now=clock.now())


def _add_statement(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]

    @router.get("/statement", summary="Own statement", responses=problems.responses(401, 403))
    def standing(who: person) -> dict[str, Any]:
        """Show the statement that stands, if there is one."""
        with home.database.transaction() as tx:
            found = statements.standing(tx, home, who.subject_id)
        return {"statement": None if found is None else statement_shown(found)}

    @router.put("/statement", summary="Make a statement", responses=problems.responses(401, 403, 422, 429))
    def make(given: StatementModel, who: person) -> dict[str, Any]:
        """Put a statement in the place of the one before; from now on it goes with every answer."""
        _refuse_identifiers(given.text)
        with home.database.transaction() as tx:
            who.acts(tx)
            made = statements.make(tx, home, who.subject_id, given.text, by=who.client_id, now=clock.now())
        return {"statement": statement_shown(made)}

    @router.delete("/statement", status_code=204, summary="Take it back", responses=problems.responses(401, 403))
    def take_back(who: person) -> Response:
        """Take the statement back; it goes with no answer any more."""
        with home.database.transaction() as tx:
            who.acts(tx)
            statements.take_back(tx, who.subject_id, by=who.client_id, now=clock.now())
        return Response(status_code=204)


def _add_disputes(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]

    @router.get("/disputes", summary="Own disputes", responses=problems.responses(401, 403))
    def filed(who: person) -> dict[Literal["disputes"], list[dict[str, Any]]]:
        """List the person's disputes, with the agencies' replies."""
        with home.database.transaction() as tx:
            found = disputes.of_subject(tx, home, who.subject_id)
        return {"disputes": [dispute_shown(one) for one in found]}

    @router.post(
        "/disputes",
        status_code=201,
        summary="Dispute an item",
        responses=problems.responses(401, 403, 404, 409, 422, 429),
    )
    def file(given: DisputeModel, who: person) -> dict[str, Any]:
        """File a dispute: the mark is in every answer at once, and the agency has 20 days to answer.

        The agency is told the row that is disputed, and so that data of this row's person is held here.
        """
        _refuse_identifiers(given.words)
        new = disputes.New(
            record=RecordRef(who.subject_id, given.record_id, given.version),
            item=given.item,
            reason=given.reason,
            evidence_sha256=_evidence(given.evidence_sha256),
            words=given.words,
        )
        with home.database.transaction() as tx:
            who.acts(tx)
            now = clock.now()
            if binding.on_trial(tx, who.client_id, now=now) is not None:
                raise RequestRefused("phone-on-trial")
            dispute_id = disputes.file(tx, home, who.subject_id, new, by=who.client_id, now=now)
            found = {one.dispute_id: one for one in disputes.of_subject(tx, home, who.subject_id)}
        return dispute_shown(found[dispute_id])


def _add_complaints(router: APIRouter, home: Home, guard: asking) -> None:
    person = Annotated[Person, Depends(guard)]

    @router.get("/complaints", summary="Own complaints", responses=problems.responses(401, 403))
    def made(who: person) -> dict[Literal["complaints"], list[dict[str, Any]]]:
        """List the person's complaints, with the replies."""
        with home.database.transaction() as tx:
            found = complaints.of_subject(tx, home, who.subject_id)
        return {"complaints": [complaint_shown(one) for one in found]}

    @router.post("/complaints", status_code=201, summary="Complain", responses=problems.responses(401, 403, 422, 429))
    def file(given: ComplaintModel, who: person) -> dict[str, Any]:
        """File a complaint; its number is given at once, an answer within 30 days."""
        _refuse_identifiers(given.words, given.organisation)
        with home.database.transaction() as tx:
            who.acts(tx)
            filed = complaints.file(
                tx,
                home,
                who.subject_id,
                given.about,
                given.organisation,
                given.words,
                by=who.client_id,
                now=clock.now(),
            )
        return complaint_shown(filed)


def _refuse_identifiers(*texts: str | None) -> None:
    try:
        refuse_personal(*texts)
    except RequestRefused as error:
        raise RequestRefused("words-name-somebody") from error


def _evidence(sha256_hex: str) -> bytes:
    try:
        digest = Evidence.of(EvidenceKind.PAPER_SCAN, sha256_hex).sha256
    except TermsRefused as error:
        raise RequestRefused("evidence-malformed") from error
    if digest is None:
        raise RequestRefused("evidence-malformed")
    return digest
