"""What is made under an Idempotency-Key is made once: the same request by the same key gives what it made before.

In the transaction of the act: who comes second waits for the first to commit; a request that failed has left nothing.
Of the request a keyed hash is kept, for as long as `KEPT`: the database alone cannot try out whom it named.

What a key looks like is said here for every door that takes one.

Not here: questions, whose key stands with the query (`exchange.release`), and batches (`exchange.bulk`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Depends, Header

from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.guard import Caller
from registry.database import Transaction
from registry.keyring import Purpose
from registry.suites import constant_time_equal, hmac_sha256, sha256

HEADER: Final = "Idempotency-Key"
KEPT: Final = timedelta(days=30)
_LENGTHS: Final = range(8, 129)
_BOUNDS: Final = {"minLength": _LENGTHS[0], "maxLength": _LENGTHS[-1]}
SCHEMA: Final = {"type": "string", **_BOUNDS}


def checked(key: str) -> str:
    """Give a key back that has the form of one.

    Raises:
        RequestRefused: `idempotency-key-malformed`.
    """
    if len(key) not in _LENGTHS or not key.isascii() or not key.isprintable():
        raise RequestRefused("idempotency-key-malformed", "an Idempotency-Key is 8 to 128 printable ASCII characters")
    return key


def _read(key: Annotated[str | None, Header(alias=HEADER, json_schema_extra={**_BOUNDS})] = None) -> str | None:
    return None if key is None else checked(key)


Key = Annotated[str | None, Depends(_read)]


@dataclass(frozen=True, slots=True)
class Once:
    """A request under its key, at one door of a system."""

    client_id: str
    door: str
    key: bytes
    request: bytes

    @classmethod
    def of(cls, home: Home, caller: Caller, door: str, key: str, request: str) -> "Once":
        """Put a request as it is kept. `request` is all that it says, the same for the same."""
        secret = home.keyring.symmetric(Purpose.MAC).secret
        said = hmac_sha256(secret, f"once|{door}|{caller.org_code}|{request}".encode())
        return cls(caller.client_id, door, sha256(key.encode()), said)

    def before(self, tx: Transaction, *, now: datetime) -> str | None:
        """Take the key; give what was made under it before, None if nothing was.

        Raises:
            RequestRefused: `idempotency-key-reused`, the key came with another request.
        """
        new = tx.execute(
            "INSERT INTO once (client_id, door, key, request, made_at) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING client_id",
            (self.client_id, self.door, self.key, self.request, now),
        ).fetchone()
        if new is not None:
            return None
        row = tx.execute(_FOUND, self._place).fetchone()
        if row is None or not constant_time_equal(row[0], self.request):
            raise RequestRefused("idempotency-key-reused")
        made: str | None = row[1]
        return made

    def note(self, tx: Transaction, made: str) -> None:
        """Keep what was made."""
        tx.execute("UPDATE once SET made = %s WHERE client_id = %s AND door = %s AND key = %s", (made, *self._place))

    @property
    def _place(self) -> tuple[str, str, bytes]:
        return self.client_id, self.door, self.key


_FOUND: Final = "SELECT request, made FROM once WHERE client_id = %s AND door = %s AND key = %s"


def forget(tx: Transaction, *, now: datetime) -> None:
    """Delete keys that are too old to come again."""
    tx.execute("DELETE FROM once WHERE made_at < %s", (now - KEPT,))
