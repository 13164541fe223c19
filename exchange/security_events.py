"""What a lender is told of a consent, as a Security Event Token (RFC 8417), signed. Pure but for the signature.

A token names a consent by its id alone (`sub_id`, format `opaque`, RFC 9493): no person, no identifier, nothing that a
person wrote, and not by which way the person acted. `jti` is the id of the log's entry that the event is, so the same
event has the same `jti` however often it comes. `toe` is when it happened, in seconds since 1970; `exp` there is none.
`aud` is the client that is told.

It is signed by the key that signs access tokens (ES256; public at `/oauth/jwks`), and cannot pass for one: its `typ` is
`secevent+jwt`, its `aud` no interface of ours, and it has no `exp`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consent.events import Event
from registry import jws
from registry.canonical import JSON, canonical
from registry.keyring import Keyring, Purpose

MEDIA_TYPE: Final = "secevent+jwt"
NAMES: Final[Mapping[str, str]] = {  # of the log's entries; the last step of the event's address. Never reuse one
    Event.REQUESTED.value: "requested",
    Event.AMENDED.value: "request-amended",
    Event.REFUSED.value: "request-refused",
    Event.GRANTED.value: "granted",
    Event.PAUSED.value: "paused",
    Event.RESUMED.value: "resumed",
    Event.RECONFIRMED.value: "reconfirmed",
    Event.WITHDRAWN.value: "withdrawn",
    Event.EXPIRED.value: "expired",
    Event.SUPERSEDED.value: "superseded",
}
_TOLD: Final = ("purpose", "state", "until")  # of an entry's fields


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a lender: its entry in the log, and what it is about (a consent's or a request's id).

    `replaces` is the consent that this one took the place of.
    """

    jti: str
    event: str
    at: datetime
    about: str
    fields: Mapping[str, JSON]
    replaces: str | None = None


def address(issuer: str, event: str) -> str:
    """Give the address that names an event's type."""
    return f"{issuer}/events/consent/{NAMES[event]}"


def claims(issuer: str, told: Told, *, audience: str, now: datetime) -> dict[str, JSON]:
    """Say what the token says."""
    facts: dict[str, JSON] = {name: told.fields[name] for name in _TOLD if told.fields.get(name) is not None}
    if told.replaces is not None and told.event == Event.GRANTED:
        facts["replaces"] = told.replaces
    return {
        "iss": issuer,
        "iat": int(now.timestamp()),
        "jti": told.jti,
        "aud": audience,
        "toe": int(told.at.timestamp()),
        "sub_id": {"format": "opaque", "id": told.about},
        "events": {address(issuer, told.event): facts},
    }


def signed(keyring: Keyring, issuer: str, told: Told, *, audience: str, now: datetime) -> str:
    """Write and sign one token.

    Raises:
        KeyMissing: no key signs tokens.
    """
    key = keyring.signing(Purpose.TOKEN)
    return jws.sign(key, key.key_id, canonical(claims(issuer, told, audience=audience, now=now)), MEDIA_TYPE)
