"""What a lender is told of its own system: kept for whoever answers for it, read at `GET /v1/client`.

The last SHOWN of each are kept however old, others for KEPT_FOR; all of it stands in the log besides.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from exchange.oauth.scopes import Role
from registry.database import Transaction

SHOWN: Final = 20
KEPT_FOR: Final = timedelta(days=400)


def leave(tx: Transaction, client_id: str, code: str, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Leave a note, if it is a lender's system; `code` is one of docs/lenders.md."""
    tx.execute(
        "INSERT INTO client_note (client_id, code, fields, noted_at) SELECT client_id, %s, %s, %s FROM client"
        " WHERE client_id = %s AND role = %s",
        (code, Jsonb(dict(fields)), now, client_id, Role.LENDER.value),
    )


def leave_all(tx: Transaction, organisation: str, code: str, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Leave a note with every system of a lender; `code` is one of docs/lenders.md."""
    tx.execute(
        "INSERT INTO client_note (client_id, code, fields, noted_at) SELECT client_id, %s, %s, %s FROM client"
        " WHERE organisation = %s AND role = %s",
        (code, Jsonb(dict(fields)), now, organisation, Role.LENDER.value),
    )


def latest(tx: Transaction, client_id: str) -> list[tuple[str, dict[str, Any], datetime]]:
    """Give the latest notes, the newest first: code, fields, when."""
    return tx.execute(
        "SELECT code, fields, noted_at FROM client_note WHERE client_id = %s ORDER BY position DESC LIMIT %s",
        (client_id, SHOWN),
    ).fetchall()


def forget(tx: Transaction, *, now: datetime) -> int:
    """Drop notes that are older than `KEPT_FOR` and no longer shown (a job); say how many."""
    dropped = tx.execute(
        "DELETE FROM client_note WHERE position IN (SELECT position FROM (SELECT position, noted_at, row_number()"
        " OVER (PARTITION BY client_id ORDER BY position DESC) AS place FROM client_note) AS one"
        " WHERE place > %s AND noted_at < %s)",
        (SHOWN, now - KEPT_FOR),
    )
    return dropped.rowcount
