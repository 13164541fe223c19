"""The public key that a lender's results are sealed to, registered by the operator; what it looks like: `encryption`.

It stands beside the keys that the system signs with and is never one of them. Registering another takes the place of
the first: results that are fetched from then on are sealed to it.
"""

from datetime import datetime
from typing import Any

from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.oauth.scopes import Role
from registry import log
from registry.database import Transaction
from registry.encryption import EncryptionKey


def register(tx: Transaction, client_id: str, key: EncryptionKey, *, now: datetime) -> None:
    """Seal a lender's results to this key from now on, and write that to the log.

    Raises:
        RequestRefused: `client-unregistrable`: no such lender's system.
    """
    row = tx.execute("SELECT FROM client WHERE client_id = %s AND role = %s", (client_id, Role.LENDER.value)).fetchone()
    if row is None:
        raise RequestRefused("client-unregistrable", "no lender's system of this id is registered")
    tx.execute(
        "INSERT INTO bulk_key (client_id, curve, public, thumbprint, registered_at) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (client_id) DO UPDATE SET curve = EXCLUDED.curve, public = EXCLUDED.public,"
        " thumbprint = EXCLUDED.thumbprint, registered_at = EXCLUDED.registered_at",
        (client_id, key.curve, key.public, key.thumbprint, now),
    )
    fields: dict[str, Any] = {"client_id": client_id, "thumbprint": key.thumbprint}
    log.append(tx, [log.Entry(event=Event.ENCRYPTION_KEY_SET, at=now, actor="operator", fields=fields)])


def of_client(tx: Transaction, client_id: str) -> EncryptionKey:
    """Give the key that a system's results are sealed to.

    Raises:
        RequestRefused: `bulk-key-missing`.
    """
    row = tx.execute("SELECT curve, public, thumbprint FROM bulk_key WHERE client_id = %s", (client_id,)).fetchone()
    if row is None:
        raise RequestRefused("bulk-key-missing")
    return EncryptionKey(*row)
