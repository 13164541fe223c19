"""What is kept of a registered system beside its credentials: who answers for it, regions, caps, where its keys lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class Caps:
    """Questions of one day and of one calendar month in Beijing; enforced at the gate's door (docs/lenders.md)."""

    daily: int
    monthly: int

    def within(self, other: "Caps") -> bool:
        """Say whether neither is higher than the other's."""
        return self.daily <= other.daily and self.monthly <= other.monthly


@dataclass(frozen=True, slots=True)
class Profile:
    """A system's profile."""

    client_name: str
    uscc: str
    contacts: list[str]
    technical: Mapping[str, str]
    security: Mapping[str, str]
    service_regions: list[str]
    caps: Caps
    jwks_uri: str | None
    fetched_at: datetime | None
    fault: str | None


def of(tx: Transaction, client_id: str) -> Profile | None:
    """Give a system's profile; None of one that was registered by command, without any."""
    row = tx.execute(
        "SELECT client_name, uscc, contacts, technical, security, service_regions, daily_cap, monthly_cap, jwks_uri,"
        " fetched_at, fault FROM client_profile WHERE client_id = %s",
        (client_id,),
    ).fetchone()
    if row is None:
        return None
    name, uscc, contacts, technical, security, regions, daily, monthly, jwks_uri, fetched_at, fault = row
    held = Caps(daily, monthly)
    return Profile(name, uscc, contacts, technical, security, regions, held, jwks_uri, fetched_at, fault)


def keep(tx: Transaction, client_id: str, content: Mapping[str, Any], *, now: datetime) -> None:
    """Keep what a registration says, as two officers have agreed to it."""
    tx.execute(
        "INSERT INTO client_profile (client_id, client_name, uscc, contacts, technical, security, service_regions,"
        " daily_cap, monthly_cap, jwks_uri, fetched_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            client_id,
            content["client_name"],
            content["uscc"],
            content["contacts"],
            Jsonb(content["technical_contact"]),
            Jsonb(content["security_contact"]),
            content["service_regions"],
            content["caps"]["daily"],
            content["caps"]["monthly"],
            content["jwks_uri"],
            None if content["jwks_uri"] is None else now,
        ),
    )


def set_caps(tx: Transaction, client_id: str, caps: Caps) -> bool:
    """Put other caps in the place of those that stood; False if there is no such profile."""
    changed = tx.execute(
        "UPDATE client_profile SET daily_cap = %s, monthly_cap = %s WHERE client_id = %s",
        (caps.daily, caps.monthly, client_id),
    )
    return changed.rowcount == 1
