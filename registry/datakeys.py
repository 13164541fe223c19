"""Data keys: one per subject or raw file, wrapped, in a database of their own.

  * A key is durable in the key store before its first use: `ensure` commits by itself, before the caller
    seals anything. A crash in between leaves a key without data, never data without a key.
  * Erasing a key erases what was sealed under it, in the database and in every backup of it; the key store's
    own backups are kept 30 days at most (docs/adr/0007), so a date can be named for that.
  * Keys are asked for anew each time: a cache of them would outlive an erasure.

Not here: who may open what (`disclosure`, and above it `exchange.release`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from registry.database import Database, Transaction
from registry.errors import KeyMissing
from registry.keyring import Keyring, Purpose, SymmetricKey
from registry.suites import intl, random_bytes, seal, unseal

_KEY_BYTES = 32
_number = attrgetter("int")


class DataKeys:
    """The key store, and the key-encryption keys that open it."""

    def __init__(self, keystore: Database, keyring: Keyring) -> None:
        """Take the key store's own database and the keyring that holds the key-encryption keys."""
        self._keystore = keystore
        self._keyring = keyring

    def ensure(self, owners: Collection[UUID], *, now: datetime) -> dict[UUID, bytes]:
        """Give each owner's key, making and committing those that are missing.

        Raises:
            KeyMissing: an owner's key has been erased; nothing may be sealed for it again under this id.
        """
        return _whole(_ordered(owners), self.ensure_standing(owners, now=now))

    def ensure_standing(self, owners: Collection[UUID], *, now: datetime) -> dict[UUID, bytes]:
        """Give each owner's key as `ensure` does, leaving out those whose key has been erased."""
        wanted = _ordered(owners)
        with self._keystore.transaction() as tx:
            found = self._read(tx, wanted)
            new = [owner for owner in wanted if owner not in found]
            if new:
                found |= self._make(tx, new, now)
        return {owner: key for owner, key in found.items() if key is not None}

    def _make(self, tx: Transaction, owners: Sequence[UUID], now: datetime) -> Mapping[UUID, bytes | None]:
        wrapping = self._keyring.symmetric(Purpose.DATA)
        keys = {owner: random_bytes(_KEY_BYTES) for owner in owners}
        made = tx.execute(
            "WITH made AS (INSERT INTO data_key (owner_id, wrapped, key_id, created_at)"
            " SELECT o, w, %s, %s FROM unnest(%b::uuid[], %b::bytea[]) AS n(o, w) ORDER BY o"
            " ON CONFLICT (owner_id) DO NOTHING RETURNING owner_id)"
            " INSERT INTO data_key_event (owner_id, action, at) SELECT owner_id, 'made', %s FROM made",
            (
                wrapping.key_id,
                now,
                list(owners),
                [seal(intl, wrapping.secret, key, _binding(owner)) for owner, key in keys.items()],
                now,
            ),
        ).rowcount
        return keys if made == len(keys) else self._read(tx, owners)  # another process was first: its keys count

    def get(self, owners: Collection[UUID]) -> dict[UUID, bytes]:
        """Give each owner's key.

        Raises:
            KeyMissing: an owner has no key, or it has been erased.
        """
        return _whole(_ordered(owners), self.standing(owners))

    def standing(self, owners: Collection[UUID]) -> dict[UUID, bytes]:
        """Give the keys that there are; owners without one, or whose key has been erased, are absent."""
        with self._keystore.transaction() as tx:
            found = self._read(tx, _ordered(owners))
        return {owner: key for owner, key in found.items() if key is not None}

    def erase(self, owner: UUID, *, now: datetime) -> bool:
        """Destroy a key for good; say whether there was one. The row stays, so that it is never made anew."""
        with self._keystore.transaction() as tx:
            gone = tx.execute(
                "UPDATE data_key SET wrapped = NULL, erased_at = %s WHERE owner_id = %s AND erased_at IS NULL",
                (now, owner),
            ).rowcount
            if gone:
                tx.execute("INSERT INTO data_key_event (owner_id, action, at) VALUES (%s, 'erased', %s)", (owner, now))
        return bool(gone)

    def _read(self, tx: Transaction, owners: Collection[UUID]) -> dict[UUID, bytes | None]:
        rows = tx.execute(
            "SELECT owner_id, wrapped, key_id FROM data_key WHERE owner_id = ANY(%b)", (list(owners),)
        ).fetchall()
        secrets = {key_id: self._secret(key_id) for key_id in {row[2] for row in rows}}
        return {
            owner: None if wrapped is None else unseal(secrets[key_id], wrapped, _binding(owner))
            for owner, wrapped, key_id in rows
        }

    def _secret(self, key_id: str) -> bytes:
        key = self._keyring.by_id(key_id)
        if not isinstance(key, SymmetricKey):
            raise KeyMissing("a data key is wrapped under a key that signs")
        return key.secret


def _ordered(owners: Collection[UUID]) -> list[UUID]:
    """Give each owner once, in one order everywhere, so that two makers cannot lock each other out."""
    return sorted(set(owners), key=_number)


def _binding(owner: UUID) -> bytes:
    return b"data-key|" + owner.bytes


def _whole(wanted: Collection[UUID], found: Mapping[UUID, bytes | None]) -> dict[UUID, bytes]:
    keys = {owner: key for owner in wanted if (key := found.get(owner)) is not None}
    if len(keys) != len(wanted):
        raise KeyMissing(f"{len(wanted) - len(keys)} of {len(wanted)} data keys are erased or were never made")
    return keys
