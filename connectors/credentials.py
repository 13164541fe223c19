"""Credentials of feeds: sealed, never printed.

Each is sealed under a data key of its own from the key store, bound to its feed and to what it is for. Setting one
anew makes a new key and erases the old, so that a backup does not bring the old credential back. An erased credential
cannot be read by anybody.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from connectors.events import Event
from registry import log
from registry.database import Database, Transaction
from registry.store import Sealing
from registry.suites import seal, unseal

LONGEST_BYTES: Final = 16_384
_PURPOSE: Final = b"feed-credential|"


class Secret:
    """A credential, opened. It shows itself to nobody who does not ask for `text` by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def text(self) -> str:
        """The credential itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Refuse to be pickled: a pickle is a copy that nobody erases.

        Raises:
            TypeError: always.
        """
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of an installation's feeds."""

    database: Database
    sealing: Sealing

    def get(self, feed: str) -> Secret | None:
        """Open a feed's credential; None if none is kept.

        Raises:
            SealBroken: what is kept was changed, or belongs to another feed.
        """
        with self.database.transaction() as tx:
            found = tx.execute("SELECT owner_id, sealed FROM feed_credential WHERE feed = %s", (feed,)).fetchone()
        if found is None:
            return None
        owner, sealed = found
        key = self.sealing.keys.get([owner])[owner]
        return Secret(unseal(key, bytes(sealed), _binding(feed, owner)).decode())

    def set(self, feed: str, text: str, *, now: datetime) -> None:
        """Keep a feed's credential; the one before is destroyed.

        Raises:
            ValueError: it is empty or longer than any credential.
        """
        plain = text.encode()
        if not plain or len(plain) > LONGEST_BYTES:
            raise ValueError(f"a credential has 1 to {LONGEST_BYTES} bytes")
        owner = uuid4()
        key = self.sealing.keys.ensure([owner], now=now)[owner]
        sealed = seal(self.sealing.suite, key, plain, _binding(feed, owner))
        with self.database.transaction() as tx:
            before = _owner(tx, feed)
            tx.execute(
                "INSERT INTO feed_credential (feed, owner_id, sealed, set_at) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (feed) DO UPDATE SET owner_id = excluded.owner_id, sealed = excluded.sealed,"
                " set_at = excluded.set_at",
                (feed, owner, sealed, now),
            )
            _say(tx, Event.CREDENTIAL_SET, feed, now)
        if before is not None:
            self.sealing.keys.erase(before, now=now)

    def erase(self, feed: str, *, now: datetime) -> bool:
        """Destroy a feed's credential; say whether there was one."""
        with self.database.transaction() as tx:
            before = _owner(tx, feed)
            if before is None:
                return False
            tx.execute("DELETE FROM feed_credential WHERE feed = %s", (feed,))
            _say(tx, Event.CREDENTIAL_ERASED, feed, now)
        self.sealing.keys.erase(before, now=now)
        return True

    def set_at(self, feed: str) -> datetime | None:
        """Say when a feed's credential was set; None if none is kept."""
        with self.database.transaction() as tx:
            found = tx.execute("SELECT set_at FROM feed_credential WHERE feed = %s", (feed,)).fetchone()
        return found[0] if found else None


def _owner(tx: Transaction, feed: str) -> UUID | None:
    found = tx.execute("SELECT owner_id FROM feed_credential WHERE feed = %s FOR UPDATE", (feed,)).fetchone()
    return found[0] if found else None


def _say(tx: Transaction, event: Event, feed: str, now: datetime) -> None:
    log.append(tx, [log.Entry(event=event.value, at=now, actor="operator", fields={"feed": feed})])


def _binding(feed: str, owner: UUID) -> bytes:
    return _PURPOSE + feed.encode() + b"|" + owner.bytes
