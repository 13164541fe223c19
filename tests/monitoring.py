"""A person with a consent in mode monitor, records that are published one after the other, and a lender's receiver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, VerifyResult, algorithms
from joserfc.jwk import KeySet

from consent.record import Consent, NewConsent, SubjectType
from consent.scope import Mode
from exchange import consents
from exchange.home import Home
from exchange.monitoring import delivering, making
from registry import clock, store
from registry.basis import Basis, BasisKind
from registry.catalogue import current
from registry.identifiers import ResidentId
from registry.records import NewRecord, Payload, Provenance
from tests.answering import Agency, Answer
from tests.people import BANK, ZHANG, capture, sequenced
from tests.telling import System

WATCHED = ("SUBSIDY", "RATING", "JUDICIAL")
SUBSCRIBE = {"purpose": "POST_LOAN", "business_no": "LOAN-1"}
ALL = (
    "record.new",
    "record.corrected",
    "record.recalled",
    "rating.changed",
    "dispute.opened",
    "dispute.closed",
    "warning",
)


def watched(  # one argument a term
    home: Home,
    who: ResidentId = ZHANG,
    *,
    recipient: str = BANK,
    items: Sequence[str] = WATCHED,
    mode: Mode = Mode.MONITOR,
    w_acknowledged: bool = True,
    sensitive_agreed: bool = True,
    max_uses: int = 5,
) -> Consent:
    """Record a consent for the management of a running loan, in mode monitor."""
    start = clock.now() - timedelta(days=1)
    new = NewConsent(
        subject_id=UUID(int=0),
        subject_type=SubjectType.PERSON,
        recipient=recipient,
        purpose="POST_LOAN",
        items=items,
        valid_from=start,
        valid_until=start + timedelta(days=300),
        capture=capture(),
        w_acknowledged=w_acknowledged,
        sensitive_agreed=sensitive_agreed,
        max_uses=max_uses,
        uses_per_month=max_uses,
        mode=mode,
        register_no=str(uuid4()),  # an office's paper names what it names
    )
    return consents.grant(home, who, new, actor="test")


def published(
    home: Home, *records: tuple[str, Payload], who: ResidentId = ZHANG, days_ago: int = 30, batch: UUID | None = None
) -> UUID:
    """Publish records of a person in one publication; give its batch."""
    now, batch_id = clock.now(), batch or uuid4()
    provenance = Provenance(
        uuid4(), "test-agency", "民和县农业农村局", "SUBSIDY", current().version, uuid4().bytes * 2, date(2026, 6, 15)
    )
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [who], now=now)[who.text]
        store.open_publication(tx, batch_id, provenance, raw_sm3=b"\x02" * 32, now=now)
        rows = [
            NewRecord(
                subject_id, kind, payload, 7 + place, Basis(BasisKind.CONSENT, "test"), "B", "2026",
                valid_from=now.date() - timedelta(days=days_ago),
            )
            for place, (kind, payload) in enumerate(records)
        ]  # fmt: skip
        store.stage(tx, home.sealing, provenance, rows, now=now)
        store.publish(tx, provenance, now=now)
    return batch_id


def rating(grade: str, day: str = "2026-03-01", **more: Any) -> tuple[str, Payload]:
    return "RATING", {"grade": grade, "score": "80", "eval_date": day, "valid_to": None} | more


def told(home: Home) -> None:
    """Do what the scheduled jobs do every second, but for the sending."""
    sequenced(home)
    making.make_all(home)


def delivered(home: Home) -> int:
    """Send what is due."""
    return delivering.deliver_due(home)


def made(home: Home) -> list[tuple[str, dict[str, Any]]]:
    """Type and facts of all events, in their order."""
    with home.database.transaction() as tx:
        return [(row[0], row[1]) for row in tx.execute("SELECT type, facts FROM monitor_event ORDER BY position")]


def types(home: Home) -> list[str]:
    return [one for one, _ in made(home)]


def subscribed(lender: System, *events: str, **more: Any) -> dict[str, Any]:
    """Subscribe to what happens to a person; all types but the consent's own by default."""
    subject = {"subject": {"type": "resident_id", "identifier": ZHANG.text}}
    body = (subject if "consent_id" not in more and "subject" not in more else {}) | SUBSCRIBE
    answer = lender.call("POST", "/v1/subscriptions", body | {"events": list(events or ALL)} | more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


# ---- a receiver -----------------------------------------------------------------------------------------------------


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = KeySet.import_key_set(dict(jwks))  # type: ignore[arg-type]  # as it was read

    def resolve_public_key(self, key_id: str) -> Any:
        return self._keys.get_by_kid(key_id).public_key

    def resolve_private_key(self, key_id: str) -> Any:
        raise NotImplementedError


@dataclass
class _Message:
    method: str
    url: str
    headers: Mapping[str, str]


def held_by_a_library(jwks: Mapping[str, Any], url: str, headers: Mapping[str, str], body: bytes) -> VerifyResult:
    """Verify a request with a library that is not ours, by the published keys alone; give the signature that held."""
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=_Keys(jwks))
    (result,) = verifier.verify(_Message("POST", url, headers), body=body, expect_tag="qingqiao-webhook")
    return result


@dataclass
class Receiver:
    """A lender's receiver on loopback: it answers challenges, and else as it is told; it keeps what it took."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    proves: bool = True
    refuses: set[str] = field(default_factory=set)
    taken: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.agency = Agency()
        self.agency.answer = self._answer
        self.url = f"{self.agency.url}/qingqiao"

    def _answer(self, *_: Any) -> Answer:
        event = orjson.loads(self.agency.asked[-1][3])
        if event["type"] == "webhook.challenge":
            return 200, {}, event["data"]["challenge"].encode() if self.proves else b"no"
        if event["type"] in self.refuses:
            return 422, self.headers, b""
        if self.status < 300:
            self.taken.append(event)
        return self.status, self.headers, b""

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.taken]

    def stop(self) -> None:
        self.agency.stop()
