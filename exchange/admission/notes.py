"""What a lender is told of its own system: kept for whoever answers for it, read at `GET /v1/client`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from exchange.oauth.scopes import Role
from registry.database import Transaction

SHOWN: Final = 20


def leave(tx: Transaction, client_id: str, code: str, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Leave a note, if it is a lender's system; `code` is one of docs/lenders.md."""
    tx.execute(
        "INSERT INTO client_note (client_id, code, fields, noted_at) SELECT client_id, %s, %s, %s FROM client"
        " WHERE client_id = %s AND role = %s",
        (code, Jsonb(dict(fields)), now, client_id, Role.LENDER.value),
    )


def latest(tx: Transaction, client_id: str) -> list[tuple[str, dict[str, Any], datetime]]:
    """Give the latest notes, the newest first: code, fields, when."""
    return tx.execute(
        "SELECT code, fields, noted_at FROM client_note WHERE client_id = %s ORDER BY position DESC LIMIT %s",
        (client_id, SHOWN),
    ).fetchall()
