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
from itertools import repeat
from typing import Final
from uuid import UUID

from registry.arrays import ID_BYTES, Ids, Sealed, cut
from registry.database import Database, Transaction
from registry.errors import KeyMissing
from registry.keyring import Keyring, Purpose, SymmetricKey
from registry.suites import intl, random_bytes, seal_each, unseal_each

_KEY_BYTES = 32
_WRAPPED_BYTES: Final = 1 + 12 + _KEY_BYTES + 16  # suite, nonce, key, tag (`suites.sealing`)
_READ: Final = (  # a row for each key-encryption key, with all that it wraps; the order is the same in both runs
    "SELECT key_id, string_agg(uuid_send(owner_id), ''::bytea ORDER BY owner_id) FILTER (WHERE wrapped IS NOT NULL),"
    " string_agg(wrapped, ''::bytea ORDER BY owner_id) FILTER (WHERE wrapped IS NOT NULL),"
    " string_agg(uuid_send(owner_id), ''::bytea) FILTER (WHERE wrapped IS NULL)"
    " FROM data_key WHERE owner_id = ANY(%b) GROUP BY key_id"
)


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
        return _by_uuid(self.ensure_ids({owner.bytes for owner in owners}, now=now))

    def ensure_ids(self, owners: Collection[bytes], *, now: datetime) -> dict[bytes, bytes]:
        """Do as `ensure` for owners whose ids are given as 16 bytes each.

        Raises:
            KeyMissing: as `ensure`.
        """
        return _whole(owners, self._ensured(owners, now))

    def ensure_standing(self, owners: Collection[UUID], *, now: datetime) -> dict[UUID, bytes]:
        """Give each owner's key as `ensure` does, leaving out those whose key has been erased."""
        return _by_uuid(_standing(self._ensured({owner.bytes for owner in owners}, now)))

    def _ensured(self, owners: Collection[bytes], now: datetime) -> dict[bytes, bytes | None]:
        wanted = _ordered(owners)
        with self._keystore.transaction() as tx:
            found = self._read(tx, wanted)
            new = [owner for owner in wanted if owner not in found]
            if new:
                found |= self._make(tx, new, now)
        return found

    def _make(self, tx: Transaction, owners: Sequence[bytes], now: datetime) -> Mapping[bytes, bytes | None]:
        wrapping = self._keyring.symmetric(Purpose.DATA)
        keys = [key for (key,) in cut(random_bytes(_KEY_BYTES * len(owners)), _KEY_BYTES)]
        wrapped = seal_each(intl, repeat(wrapping.secret, len(owners)), keys, map(_binding, owners))
        made = tx.execute(
            "WITH made AS (INSERT INTO data_key (owner_id, wrapped, key_id, created_at)"
            " SELECT o, w, %s, %s FROM unnest(%b::uuid[], %b::bytea[]) AS n(o, w) ORDER BY o"
            " ON CONFLICT (owner_id) DO NOTHING RETURNING owner_id)"
            " INSERT INTO data_key_event (owner_id, action, at) SELECT owner_id, 'made', %s FROM made",
            (wrapping.key_id, now, Ids(owners), Sealed(wrapped), now),
        ).rowcount
        if made != len(owners):
            return self._read(tx, owners)  # another process was first: its keys count
        return dict(zip(owners, keys, strict=True))

    def get(self, owners: Collection[UUID]) -> dict[UUID, bytes]:
        """Give each owner's key.

        Raises:
            KeyMissing: an owner has no key, or it has been erased.
        """
        ids = {owner.bytes for owner in owners}
        return _by_uuid(_whole(ids, self._stored(ids)))

    def standing(self, owners: Collection[UUID]) -> dict[UUID, bytes]:
        """Give the keys that there are; owners without one, or whose key has been erased, are absent."""
        return _by_uuid(_standing(self._stored({owner.bytes for owner in owners})))

    def _stored(self, owners: Collection[bytes]) -> dict[bytes, bytes | None]:
        with self._keystore.statement() as tx:
            return self._read(tx, _ordered(owners))

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

    def _read(self, tx: Transaction, owners: Sequence[bytes]) -> dict[bytes, bytes | None]:
        rows = tx.execute(_READ, (Ids(owners),), binary=True).fetchall()
        found: dict[bytes, bytes | None] = {}
        for key_id, held, wrapped, gone in rows:
            ids = [one for (one,) in cut(held, ID_BYTES)]
            sealed = [one for (one,) in cut(wrapped, _WRAPPED_BYTES)]
            secret = repeat(self._secret(key_id), len(ids))
            found.update(zip(ids, unseal_each(secret, sealed, map(_binding, ids)), strict=True))
            found.update((one, None) for (one,) in cut(gone, ID_BYTES))
        return found

    def _secret(self, key_id: str) -> bytes:
        key = self._keyring.by_id(key_id)
        if not isinstance(key, SymmetricKey):
            raise KeyMissing("a data key is wrapped under a key that signs")
        return key.secret


def _ordered(owners: Collection[bytes]) -> list[bytes]:
    """Give each owner once, in one order everywhere, so that two makers cannot lock each other out."""
    return sorted(set(owners))


def _binding(owner: bytes) -> bytes:
    return b"data-key|" + owner


def _standing(found: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {owner: key for owner, key in found.items() if key is not None}


def _by_uuid(found: Mapping[bytes, bytes]) -> dict[UUID, bytes]:
    return {UUID(bytes=owner): key for owner, key in found.items()}


def _whole(wanted: Collection[bytes], found: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    keys = {owner: key for owner in wanted if (key := found.get(owner)) is not None}
    if len(keys) != len(set(wanted)):
        raise KeyMissing(
            f"{len(set(wanted)) - len(keys)} of {len(set(wanted))} data keys are erased or were never made"
        )
    return keys
