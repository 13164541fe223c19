"""What a lender follows: events of its consents, deletions, notices, the catalogue, how sources fare. Flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import quote

from exchange.client.answers import Event, Page, signing_keys
from exchange.client.flow import Flow
from exchange.client.keys import Json
from exchange.client.session import Ask, Session

LONG_POLL_SECONDS: Final = 40.0  # the exchange answers within 20
_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Polled:
    """Events in their order; acknowledge them with the next poll. `more` says whether there are others already."""

    events: tuple[Event, ...]
    more: bool

    @property
    def acknowledge(self) -> tuple[str, ...]:
        """What to acknowledge once they are kept."""
        return tuple(event.jti for event in self.events)


def poll_events(  # what a poll states
    session: Session,
    acknowledge: Sequence[str] = (),
    *,
    failed: Mapping[str, str] | None = None,
    most: int = _MOST,
    wait: bool = False,
) -> Flow[Polled]:
    """Acknowledge what was kept, and fetch what has not arrived (RFC 8936); each event's signature is checked.

    Args:
        session: whose.
        acknowledge: events by jti that will not be given again.
        failed: by jti, a code of RFC 8935 §2.4 that says why an event could not be taken.
        most: events at once; 0 to acknowledge only.
        wait: let the exchange wait for something to tell.

    Raises:
        NotGenuine: an event that the exchange did not sign for this client. None of the poll is handed out.
    """
    body = {
        "maxEvents": most,
        "returnImmediately": not wait,
        "ack": list(acknowledge),
        "setErrs": {jti: {"err": err} for jti, err in (failed or {}).items()},
    }
    ask = Ask("POST", "/v1/events/poll", json=body, safe=True, timeout_seconds=LONG_POLL_SECONDS if wait else None)
    response = yield from session.call(ask)
    said = response.json()
    sets: dict[str, str] = said["sets"]
    keys = signing_keys((yield from session.public((yield from session.endpoint("jwks_uri"))))) if sets else {}
    named = {"issuer": session.issuer, "audience": session.client.client_id}
    return Polled(tuple(Event.read(text, keys, **named) for text in sets.values()), bool(said["moreAvailable"]))


def deletions(session: Session, cursor: str | None = None, *, open_only: bool = False) -> Flow[Page]:
    """List what is to be deleted until when: a page of notices behind a cursor."""
    return _page(session, "/v1/deletions", cursor, open_only=open_only)


def acknowledge_deletion(
    session: Session,
    notice_id: str,
    outcome: Literal["deleted", "frozen_by_law"] = "deleted",
    *,
    legal_basis: str | None = None,
) -> Flow[None]:
    """Say what was done; the same again changes nothing."""
    body: dict[str, Any] = {"outcome": outcome} | ({} if legal_basis is None else {"legal_basis": legal_basis})
    path = f"/v1/deletions/{quote(notice_id, safe='')}/acknowledge"
    yield from session.call(Ask("POST", path, json=body, safe=True))


def notices(session: Session, cursor: str | None = None, *, open_only: bool = False) -> Flow[Page]:
    """List records that were shown and have been recalled or corrected since: a page of notices behind a cursor."""
    return _page(session, "/v1/notices", cursor, open_only=open_only)


def acknowledge_notice(session: Session, notice_id: str) -> Flow[None]:
    """Say that a notice has been taken up; the same again changes nothing."""
    yield from session.call(Ask("POST", f"/v1/notices/{quote(notice_id, safe='')}/acknowledge", safe=True))


def catalogue(session: Session) -> Flow[Json]:
    """Fetch classes, kinds and items; what has not changed (ETag) is not sent again."""
    return _remembered(session, "/v1/catalogue")


def sources(session: Session) -> Flow[Json]:
    """Fetch how sources fare; what has not changed (ETag) is not sent again."""
    return _remembered(session, "/v1/sources")


def _page(session: Session, path: str, cursor: str | None, *, open_only: bool) -> Flow[Page]:
    params = {"open_only": "true" if open_only else "false"} | ({} if cursor is None else {"cursor": cursor})
    said = (yield from session.call(Ask("GET", path, params=params, safe=True))).json()
    return Page(tuple(said["notices"]), said["next"])


def _remembered(session: Session, path: str) -> Flow[Json]:
    tag, known = session.remembered.get(path, ("", {}))
    headers = {"If-None-Match": tag} if tag else {}
    response = yield from session.call(Ask("GET", path, headers=headers, safe=True))
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        kept: Json = known
        return kept
    found: Json = response.json()
    session.remembered[path] = (response.headers.get("ETag", ""), found)
    return found
