"""Devices that take consents without signal: registered for one organisation, each with a key of its own.

The key never leaves the device; here is its public half: Ed25519, ES256 or SM2. A device that was lost is ended, and
from then on nothing of it is taken: its clock cannot be believed, so that what it signs could be of any day. A device
whose chain has forked is blocked by itself.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from consent import offline
from consent.offline import Announced, Link, Verifies
from consent.scope import recipient_name
from exchange.capture.events import Event
from exchange.errors import RequestRefused
from registry import log
from registry.database import Transaction
from registry.suites import sha256_hex, verify_ed25519, verify_es256, verify_sm2

_VERIFIERS: Final[Mapping[str, tuple[int, Callable[[bytes, bytes, bytes], bool]]]] = MappingProxyType(
    {"Ed25519": (32, verify_ed25519), "ES256": (65, verify_es256), "SM2": (65, verify_sm2)}
)
_ID_CHARACTERS: Final = 16
_POINT: Final = 4  # begins an uncompressed point
_COLUMNS: Final = (
    "device_id, organisation, algorithm, public_key, state, counter, head, last_at, announced, announced_head,"
    " announced_at, ended_at"
)


class State(StrEnum):
    """Where a device stands. The values are published; never reuse one."""

    ACTIVE = "active"
    ENDED = "ended"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Device:
    """A device, and how far its chain has been received."""

    device_id: str
    organisation: str
    algorithm: str
    public_key: bytes
    state: State
    stands: Link
    announced: Announced | None
    ended_at: datetime | None

    @property
    def verifies(self) -> Verifies:
        """Check signatures with the device's key."""
        return partial(_VERIFIERS[self.algorithm][1], self.public_key)

    @property
    def pending(self) -> int:
        """How many records it has announced that have not been uploaded: `offline_pending`."""
        return max(0, self.announced.counter - self.stands.counter) if self.announced else 0


def device_id_of(algorithm: str, public_key: bytes) -> str:
    """Name a device after its key, so that a device can know its own name before it is registered."""
    return f"dev-{sha256_hex(algorithm.encode() + b'|' + public_key)[:_ID_CHARACTERS]}"


def add(tx: Transaction, organisation: str, algorithm: str, public_key: bytes, *, now: datetime) -> str:
    """Register a device by its public key; give its id.

    Raises:
        RequestRefused: no such algorithm, not a key of it, or the key is registered.
    """
    length, _ = _VERIFIERS.get(algorithm, (0, verify_ed25519))
    point = algorithm != "Ed25519"
    if not length or len(public_key) != length or (point and public_key[0] != _POINT):
        raise RequestRefused("key-unacceptable", "Ed25519 (32 bytes), ES256 or SM2 (an uncompressed point, 65 bytes)")
    device_id, name = device_id_of(algorithm, public_key), recipient_name(organisation)
    made = tx.execute(
        "INSERT INTO capture_device (device_id, organisation, algorithm, public_key, state, valid_from, counter, head,"
        " announced) VALUES (%s, %s, %s, %s, %s, %s, 0, %s, 0) ON CONFLICT DO NOTHING",
        (device_id, name, algorithm, public_key, State.ACTIVE.value, now, offline.beginning(device_id).link),
    )
    if made.rowcount != 1:
        raise RequestRefused("key-unacceptable", "a device with this key is registered already")
    _say(tx, Event.DEVICE_ADDED, device_id, name, "operator", now)
    return device_id


def end(tx: Transaction, device_id: str, *, now: datetime) -> bool:
    """End a device; False if there is none of this id that is not ended."""
    row = tx.execute(
        "UPDATE capture_device SET state = %s, ended_at = %s WHERE device_id = %s AND state <> %s"
        " RETURNING organisation",
        (State.ENDED.value, now, device_id, State.ENDED.value),
    ).fetchone()
    if row is not None:
        _say(tx, Event.DEVICE_ENDED, device_id, row[0], "operator", now)
    return row is not None


def block(tx: Transaction, device: Device, *, actor: str, now: datetime) -> None:
    """Take nothing more of a device until somebody has looked at it."""
    tx.execute(
        "UPDATE capture_device SET state = %s WHERE device_id = %s AND state = %s",
        (State.BLOCKED.value, device.device_id, State.ACTIVE.value),
    )
    _say(tx, Event.DEVICE_BLOCKED, device.device_id, device.organisation, actor, now)


def listing(tx: Transaction, organisation: str | None = None) -> Sequence[Device]:
    """List devices, of one organisation or of all."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM capture_device WHERE %s::text IS NULL OR organisation = %s"  # noqa: S608
        " ORDER BY organisation, device_id",
        (organisation, None if organisation is None else recipient_name(organisation)),
    )
    return [_device(row) for row in rows]


def held(tx: Transaction, device_id: str, organisation: str) -> Device | None:
    """Read a device of an organisation, locked until the transaction ends; None if it has none of this id."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM capture_device WHERE device_id = %s AND organisation = %s FOR UPDATE",  # noqa: S608
        (device_id, organisation),
    ).fetchone()
    return None if row is None else _device(row)


def stand(tx: Transaction, device: Device, stands: Link) -> None:
    """Write how far a chain has been received."""
    tx.execute(
        "UPDATE capture_device SET counter = %s, head = %s, last_at = %s WHERE device_id = %s",
        (stands.counter, stands.link, stands.at, device.device_id),
    )


def announce(tx: Transaction, device: Device, head: Announced) -> None:
    """Write how far a device says that its chain has come, and keep what it said: it is bound to that from now on."""
    tx.execute(
        "UPDATE capture_device SET announced = %s, announced_head = %s, announced_at = %s WHERE device_id = %s",
        (head.counter, head.link, head.at, device.device_id),
    )
    tx.execute(
        "INSERT INTO offline_head (device_id, counter, link, announced_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",  # the same head again: whoever calls has seen that it is no other
        (device.device_id, head.counter, head.link, head.at),
    )


def heads(tx: Transaction, device_id: str, counters: Collection[int]) -> dict[int, bytes]:
    """Read the links that a device announced under these numbers, ever."""
    rows = tx.execute(
        "SELECT counter, link FROM offline_head WHERE device_id = %s AND counter = ANY(%s)", (device_id, list(counters))
    )
    return {counter: bytes(link) for counter, link in rows}


def _device(row: Sequence[Any]) -> Device:
    device_id, organisation, algorithm, public, state, counter, head, last_at, announced, link, at, ended = row
    said = Announced(announced, bytes(link), at) if link is not None else None
    stands = Link(counter, bytes(head), last_at)
    return Device(device_id, organisation, algorithm, bytes(public), State(state), stands, said, ended)


def _say(tx: Transaction, event: Event, device_id: str, organisation: str, actor: str, now: datetime) -> None:
    fields = {"device_id": device_id, "organisation": organisation}
    log.append(tx, [log.Entry(event=event.value, at=now, actor=actor, fields=fields)])
