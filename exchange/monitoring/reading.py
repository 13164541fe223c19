"""An organisation's events, by cursor, as long as the consent permits under which each would be told.

What is read and what is sent is decided at that moment, by the gate's own decision, on the consent as it then stands:
after a withdrawal nothing of it is told any more but that the consent ended, though the event had been made before.
An event looks as CloudEvents 1.0 has it (structured mode); its form is published at SCHEMA_PATH.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from exchange.monitoring import declared, keeping
from exchange.monitoring.declared import CONSENT
from exchange.release import watching
from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.database import Transaction

PAGE_MOST: Final = 200
MEDIA_TYPE: Final = "application/cloudevents+json"
SCHEMA_PATH: Final = "/schemas/monitor-event-v1.json"
CHALLENGE: Final = "webhook.challenge"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_EVENT: Final = "event"


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as it is kept. `attempts`: how often it was tried to send it."""

    position: int
    event_id: UUID
    subscription_id: UUID
    consent_id: str
    sequence: int
    type: str
    facts: Mapping[str, Any]
    at: datetime
    attempts: int


_COLUMNS: Final = "position, event_id, subscription_id, consent_id, sequence, type, facts, at, attempts"


def page(tx: Transaction, organisation: str, *, after: int, limit: int) -> tuple[list[Happening], int, bool]:
    """Give events behind a place, where the next page begins, and whether there may be more.

    Places of events that may not be told now are gone past, so that a cursor always moves on.
    """
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM monitor_event WHERE organisation = %s AND position > %s ORDER BY position LIMIT %s",  # noqa: S608  # fixed texts
        (organisation, after, limit),
    ).fetchall()
    found = [Happening(*row) for row in rows]
    return told(tx, found), found[-1].position if found else after, len(found) == limit


def due(tx: Transaction, organisation: str, *, now: datetime, limit: int) -> list[Happening]:
    """Give what may be sent now: of each subject the first event that has not arrived, unless it waits; in order."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM (SELECT DISTINCT ON (subject_id) {_COLUMNS}, next_at FROM monitor_event"  # noqa: S608  # fixed texts
        " WHERE organisation = %s AND settled_at IS NULL ORDER BY subject_id, position) h"
        " WHERE next_at <= %s ORDER BY position LIMIT %s",
        (organisation, now, limit),
    ).fetchall()
    return [Happening(*row) for row in rows]


def told(tx: Transaction, found: Sequence[Happening]) -> list[Happening]:
    """Keep those that may be told now: their subscription lives and its consent permits, or the consent is the news."""
    live = keeping.live(tx, {one.subscription_id for one in found if one.type != CONSENT}, over=True) if found else {}
    _, standing = watching.standing(tx, [one.watch for one in live.values()])
    return [one for one in found if one.type == CONSENT or one.subscription_id in standing]


def settle(tx: Transaction, event_id: UUID, how: str, *, now: datetime) -> None:
    """Note that an event needs no more sending."""
    tx.execute(
        "UPDATE monitor_event SET settled_at = %s, settled = %s, attempts = attempts + %s WHERE event_id = %s"
        " AND settled_at IS NULL",
        (now, how, int(how != "silenced"), event_id),
    )


def wait(tx: Transaction, event_id: UUID, until: datetime) -> None:
    """Note that a receiver could not take an event now; its subject's later ones wait for it."""
    tx.execute(
        "UPDATE monitor_event SET attempts = attempts + 1, next_at = %s WHERE event_id = %s AND settled_at IS NULL",
        (until, event_id),
    )


# ---- as it is published ---------------------------------------------------------------------------------------------


def envelope(issuer: str, one: Happening) -> dict[str, JSON]:
    """Write an event as it is told."""
    data: dict[str, JSON] = {
        "subscription_id": str(one.subscription_id),
        "consent_id": one.consent_id,
        "sequence": one.sequence,
        **one.facts,
    }
    return {
        "specversion": "1.0",
        "id": str(one.event_id),
        "source": issuer,
        "type": one.type,
        "time": rfc3339(one.at),
        "datacontenttype": "application/json",
        "data": data,
    }


def challenge(issuer: str, challenge_id: UUID, nonce: str, client_id: str, *, now: datetime) -> bytes:
    """Write what an address is asked to prove itself by: a nonce, and whose events are to come."""
    said: dict[str, JSON] = {
        "specversion": "1.0",
        "id": str(challenge_id),
        "source": issuer,
        "type": CHALLENGE,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {"challenge": nonce, "client_id": client_id},
    }
    return canonical(said)


def schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an event and of a challenge."""
    text, code = {"type": "string"}, {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}
    identifier = {"type": "string", "format": "uuid"}
    facts = {
        "kind": code,
        "class": code,
        "state": {"enum": ["active", "paused", "withdrawn", "expired", "superseded"]},
        "code": {"enum": [one.code for one in declared.current().warnings]},
        "rule": {"type": "string", "pattern": r"^X\d{2}[A-Z]?$"},
        "marked": {"type": "boolean", "description": "whether answers still carry the mark"},
    }
    always = {"subscription_id": identifier, "consent_id": text, "sequence": {"type": "integer", "minimum": 1}}
    data = {
        "anyOf": [
            _closed(always, facts),
            _closed(
                {
                    "challenge": {"type": "string", "description": "to be answered, by itself or as JSON"},
                    "client_id": {"type": "string", "description": "whose events are to come; another's: no answer"},
                },
                {},
            ),
        ]
    }
    common = {
        "specversion": {"const": "1.0"},
        "id": identifier,
        "source": {"type": "string", "format": "uri"},
        "type": {"enum": [*declared.TYPES, CHALLENGE]},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": data,
    }
    return {"$schema": _DIALECT, "$id": SCHEMA_PATH, "title": "An event of a subscription", **_closed(common, {})}


def _closed(always: Mapping[str, Any], maybe: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(always),
        "properties": {**always, **maybe},
    }
