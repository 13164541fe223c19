"""Consents that name the lender: recorded, seen, changed as the subject says. Flows.

What is sent is stated by the OpenAPI document, and so is every member here. What makes something carries an
Idempotency-Key and may be repeated. What changes something is sent once: if the line broke, look (`see_consent`) before
it is sent again.
"""

from http import HTTPStatus
from typing import Any, Final, Literal, NotRequired, TypedDict
from urllib.parse import quote
from uuid import uuid4

from exchange.client.answers import Consent, Subject
from exchange.client.flow import Flow
from exchange.client.keys import Json
from exchange.client.session import Ask, Session

CONSENTS_PATH: Final = "/v1/consents"
Channel = Literal["counter", "village"]
Language = Literal["zh", "bo", "en"]


class CreditData(TypedDict):
    """What a consent is to permit. What is not stated takes the purpose's strictest value."""

    purpose: str
    items: list[str]
    history_months: NotRequired[int]
    valid_to: NotRequired[str]
    max_uses: NotRequired[int]
    uses_per_month: NotRequired[int]
    data_life_days: NotRequired[int]
    mode: NotRequired[str]


class Evidence(TypedDict):
    """What was kept as proof: its kind and the SHA-256 of the file, in hexadecimal."""

    kind: str
    sha256: str
    sm3: NotRequired[str]
    fingerprints_redacted: NotRequired[bool]


class Taken(CreditData):
    """A consent as it was taken at a counter or village point."""

    valid_from: str
    text_version: str
    text_language: Language
    channel: Channel
    evidence: Evidence
    collector: str
    place: str
    captured_at: str
    adverse_consequences_acknowledged: NotRequired[bool]
    sensitive_agreed: NotRequired[bool]
    representation: NotRequired[dict[str, Any]]
    read_aloud: NotRequired[bool]
    witness: NotRequired[str]
    device: NotRequired[str]
    previous: NotRequired[str]
    asked_by: NotRequired[Literal["lender", "subject"]]


class Narrower(TypedDict, total=False):
    """What becomes less; what is not stated stays as it is."""

    items: list[str]
    valid_to: str
    history_months: int
    max_uses: int
    uses_per_month: int
    data_life_days: int
    mode: str


def record_consent(
    session: Session, subject: Subject, taken: Taken, *, idempotency_key: str | None = None
) -> Flow[Consent]:
    """Record a consent that was taken at a counter or village point.

    Args:
        session: whose.
        subject: who agreed.
        taken: to what, and how it was taken.
        idempotency_key: that of an earlier call to be repeated, which gives what it made; a fresh one otherwise.

    Raises:
        RequestWrong: `problem.places` says which term does not do, and how it is mended.
        Refused, NotReached: as every call.
    """
    headers, body = _once(idempotency_key), {"subject": subject.as_json(), **taken}
    return _consent(session, Ask("POST", CONSENTS_PATH, json=body, headers=headers, safe=True))


def record_no(session: Session, subject: Subject, purpose: str, *, channel: Channel) -> Flow[None]:
    """Record that a person said no: for a while the lender does not ask the same again."""
    body = {"subject": subject.as_json(), "purpose": purpose, "channel": channel}
    yield from session.call(Ask("POST", f"{CONSENTS_PATH}/refusals", json=body))


def see_consent(session: Session, consent_id: str) -> Flow[Consent]:
    """See a consent.

    Raises:
        RequestWrong: none that names this lender has the id.
    """
    return _consent(session, Ask("GET", _at(consent_id), safe=True))


def receipt_sheet(session: Session, consent_id: str, language: Language = "zh") -> Flow[str]:
    """Fetch the receipt as a sheet to print: one HTML document."""
    ask = Ask("GET", f"{_at(consent_id)}/receipt", params={"language": language}, safe=True)
    response = yield from session.call(ask)
    return response.text


def withdraw(session: Session, consent_id: str, *, channel: Channel) -> Flow[Consent]:
    """Carry out a withdrawal that the subject declared. It bites on the next read, everywhere."""
    return _consent(session, Ask("POST", f"{_at(consent_id)}/withdraw", json={"channel": channel}))


def pause(session: Session, consent_id: str, *, channel: Channel) -> Flow[Consent]:
    """Pause a consent as the subject said; only the subject resumes it."""
    return _consent(session, Ask("POST", f"{_at(consent_id)}/pause", json={"channel": channel}))


def narrow(session: Session, consent_id: str, less: Narrower, *, channel: Channel) -> Flow[Consent]:
    """Put a smaller consent in the place of this one; gives the new one, with its own receipt."""
    return _consent(session, Ask("POST", f"{_at(consent_id)}/narrow", json={"channel": channel, **less}))


def reconfirm(  # what a confirmation states
    session: Session, consent_id: str, evidence: Evidence, *, channel: Channel, collector: str, captured_at: str
) -> Flow[Consent]:
    """Record that the subject has signed a confirmation."""
    body = {"channel": channel, "evidence": evidence, "collector": collector, "captured_at": captured_at}
    return _consent(session, Ask("POST", f"{_at(consent_id)}/reconfirm", json=body))


def ask_phone(
    session: Session, identifier: str, wanted: CreditData, message: str = "", *, idempotency_key: str | None = None
) -> Flow[Json]:
    """Ask a person on the phone that was bound in person: `request_id`, and the `user_code` to be read out.

    The answer is the same for everybody; look (`see_request`) every `interval` seconds. `idempotency_key` is that of an
    earlier call to be repeated; a fresh one otherwise.
    """
    body = {"subject": {"identifier": identifier}, "terms": {"type": "credit_data", **wanted}, "message": message}
    response = yield from session.call(
        Ask("POST", "/v1/consent-requests", json=body, headers=_once(idempotency_key), safe=True)
    )
    offered: Json = response.json()
    return offered


def see_request(session: Session, request_id: str) -> Flow[Json]:
    """See what became of a request to a phone: `state`, and with `agreed` the `consent_id`."""
    response = yield from session.call(Ask("GET", f"/v1/consent-requests/{quote(request_id, safe='')}", safe=True))
    seen: Json = response.json()
    return seen


def _consent(session: Session, ask: Ask) -> Flow[Consent]:
    response = yield from session.call(ask)
    found = Consent.read(response.json())
    if session.trust is not None and response.status_code in {HTTPStatus.OK, HTTPStatus.CREATED}:
        found.check(session.trust)
    return found


def _at(consent_id: str) -> str:
    return f"{CONSENTS_PATH}/{quote(consent_id, safe='')}"


def _once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4())}
