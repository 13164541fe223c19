"""Subscriptions: what a lender hears of, the events by cursor, and the address that they are sent to. Flows.

What is sent to the address is checked there by `webhooks.verify_webhook`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from exchange.client.answers import Subject
from exchange.client.flow import Flow
from exchange.client.keys import Json
from exchange.client.session import Ask, Session


@dataclass(frozen=True, slots=True)
class Happenings:
    """Events of subscriptions in order: iterate it. Keep `next` once they are kept; `more`: there are others."""

    events: tuple[Json, ...] = field(repr=False)
    next: str
    more: bool

    def __iter__(self) -> Iterator[Json]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)


def subscribe(  # noqa: PLR0913  # the parts of a subscription
    session: Session,
    who: Subject | str,
    *,
    purpose: str,
    events: Sequence[str],
    business_no: str | None = None,
    items: Sequence[str] | None = None,
    staff: tuple[str, str] | None = None,
    until: str | None = None,
    idempotency_key: str | None = None,
) -> Flow[Json]:
    """Subscribe to what happens to a person, or under a consent (its id): decided as a question in mode monitor.

    Args:
        session: whose.
        who: a subject, or the id of a consent.
        purpose: of the consent.
        events: types of events.
        business_no: where the purpose asks for one.
        items: classes, kinds or items; all that the consent covers, without.
        staff: user and department.
        until: last day, as YYYY-MM-DD.
        idempotency_key: the same again gives the same subscription; one is made without.

    Raises:
        QueryRefused: no consent permits it.
    """
    stated = {
        "purpose": purpose,
        "events": list(events),
        "business_no": business_no,
        "items": None if items is None else list(items),
        "staff": None if staff is None else {"user_id": staff[0], "department": staff[1]},
        "until": until,
    }
    named: dict[str, Any] = {"consent_id": who} if isinstance(who, str) else {"subject": who.as_json()}
    body = named | {name: value for name, value in stated.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
    found: Json = (
        yield from session.call(Ask("POST", "/v1/subscriptions", json=body, headers=headers, safe=True))
    ).json()
    return found


def unsubscribe(session: Session, subscription_id: str) -> Flow[None]:
    """End a subscription; ending it once more changes nothing."""
    yield from session.call(Ask("DELETE", f"/v1/subscriptions/{quote(subscription_id, safe='')}", safe=True))


def happenings(session: Session, cursor: str | None = None, *, limit: int = 50) -> Flow[Happenings]:
    """Read events behind a cursor; without one, from the oldest that is kept."""
    params = {"limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
    said = (yield from session.call(Ask("GET", "/v1/events", params=params, safe=True))).json()
    return Happenings(tuple(said["events"]), str(said["next"]), bool(said["more"]))


def set_webhook(session: Session, url: str | None) -> Flow[Json | None]:
    """Have events sent to an address, or (None) no longer. It is challenged before anything else is sent there."""
    if url is None:
        yield from session.call(Ask("DELETE", "/v1/webhook", safe=True))
        return None
    found: Json = (yield from session.call(Ask("PUT", "/v1/webhook", json={"url": url}, safe=True))).json()
    return found


def webhook(session: Session) -> Flow[Json]:
    """See the address and how it fares."""
    found: Json = (yield from session.call(Ask("GET", "/v1/webhook", safe=True))).json()
    return found


def replay(session: Session, after: str | None = None) -> Flow[int]:
    """Have events behind a cursor sent again; give how many."""
    answer = yield from session.call(Ask("POST", "/v1/webhook/replay", json={"after": after}, safe=True))
    return int(answer.json()["events"])


def published_keys(session: Session) -> Flow[Json]:
    """Fetch the keys that webhooks are signed by; for `verify_webhook`."""
    return (yield from session.public((yield from session.endpoint("jwks_uri"))))
