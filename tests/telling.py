"""Lenders that are told of their consents: polling systems, and receivers on loopback."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from consent.evidence import Channel
from consent.record import Consent
from exchange import consents, pushing, telling
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import clock
from tests.answering import Agency, Answer
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.people import BANK, sequenced

EVENTS = f"{ISSUER}/events/consent/"


@dataclass
class System:
    """A registered system with its token."""

    door: Door
    caller: Caller
    token: str

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = ISSUER + path
        headers = self.caller.headers(method, url.partition("?")[0], self.token)
        return self.door.call(method, url, headers=headers, **({} if body is None else {"json": body}))

    def poll(self, **asked: Any) -> dict[str, Any]:
        answer = self.call("POST", "/v1/events/poll", {"returnImmediately": True} | asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def system(
    home: Home, door: Door, client_id: str = "bank-events", organisation: str = BANK, role: Role = Role.LENDER
) -> System:
    """Register a system and sign it in."""
    caller = registered(home, Caller(client_id), role=role, organisation=organisation)
    return System(door, caller, caller.token(door))


def spread(home: Home) -> None:
    """Do what the scheduled jobs do every second."""
    sequenced(home)
    telling.spread_all(home)


def opened(door: Door, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify an event with a library that is not ours, by the published keys alone; give header and claims."""
    keys = KeySet.import_key_set(door.call("GET", f"{ISSUER}/oauth/jwks").json())
    read = jwt.decode(token, keys, algorithms=["ES256"])
    return dict(read.header), dict(read.claims)


def kinds(door: Door, sets: dict[str, str]) -> list[tuple[str, str]]:
    """Give (consent, what happened) of events in their order."""
    found = []
    for token in sets.values():
        claims = opened(door, token)[1]
        (address,) = claims["events"]
        found.append((claims["sub_id"]["id"], address.removeprefix(EVENTS)))
    return found


def withdrawn(home: Home, consent: Consent) -> None:
    consents.withdraw(home, consent.consent_id, Channel.VILLAGE, actor="test")


def pushed_to(home: Home, url: str, client_id: str = "bank-events") -> None:
    with home.database.transaction() as tx:
        pushing.register(tx, client_id, url, sandbox=True, now=clock.now())


def receiver(status: int = 202, body: bytes = b"") -> Agency:
    """A receiver of pushed events on loopback; it remembers what it was sent."""
    made = Agency()

    def answer(*_: Any) -> Answer:
        return status, {}, body

    made.answer = answer
    return made


def jtis(sets: dict[str, str]) -> list[UUID]:
    return [UUID(jti) for jti in sets]
