"""Chains of records that a device signed without signal. Pure: no clock, no database, no network.

A record is canonical JSON, signed by the device's key, and holds the hash of the record before it:

    {"v": 1, "kind": "consent", "device": "…", "counter": 7, "prev": "<hex of record 6's link>", "at": "2026-…Z",
     "content": {…}}
    link of a record = SHA-256("qq-offline-link/v1" 00 ‖ canonical record); link 0 = the same of the device's name
    signature over "qq-offline-record/v1" 00 ‖ canonical record

`check` walks what was uploaded, in this order for each record (the numbers are used in the code and the tests):
  1. it has the form above                        record-malformed
  2. it names this device                         wrong-device
  3. its signature holds                          record-tampered
  4. it was received before: the same is passed over, another one in its place is a fork
                                                  chain-fork
  5. it is the next one: a later number is a gap, an earlier one within the upload is out of order
                                                  chain-gap, chain-order
  6. `prev` is the link of the one before, and every head that was announced is kept to
                                                  chain-fork
  7. its clock: not ahead of ours, not behind the records before it, by more than the tolerance
                                                  clock-ahead, clock-back
  8. it was uploaded in time                      uploaded-too-late

1 to 6 break the chain: nothing from there on is taken, all before it stands, and the upload can be repeated from there.
7 and 8 do not: the record is a link, so that those behind it can follow, but it is no consent. After a fork no record
of the device can be believed until somebody has looked: there were two histories.

Not here: what a record's content says, and whether it becomes a consent (`exchange.capture.offline`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from consent.taking import Bounds
from registry.canonical import canonical
from registry.errors import CanonicalError
from registry.suites import sha256

_LINK: Final = b"qq-offline-link/v1\x00"
_RECORD: Final = b"qq-offline-record/v1\x00"
_HEAD: Final = b"qq-offline-head/v1\x00"
_MEMBERS: Final = frozenset({"v", "kind", "device", "counter", "prev", "at", "content"})
_HEAD_MEMBERS: Final = frozenset({"v", "kind", "device", "counter", "head", "at"})
_HASH_CHARACTERS: Final = 64
_LAST_COUNTER: Final = 1 << 31
_YEARS: Final = range(
    2000, 2101
)  # of no other year can a device tell; all moments in them can be kept and reckoned with

Verifies = Callable[[bytes, bytes], bool]
"""`verifies(signature, message)` with the device's key; never raises."""


class Fault(StrEnum):
    """What is wrong with a record. The values are published; never reuse one."""

    MALFORMED = "record-malformed"
    WRONG_DEVICE = "wrong-device"
    TAMPERED = "record-tampered"
    FORK = "chain-fork"
    GAP = "chain-gap"
    ORDER = "chain-order"
    CLOCK_AHEAD = "clock-ahead"
    CLOCK_BACK = "clock-back"
    TOO_LATE = "uploaded-too-late"


class Meaning(NamedTuple):
    """Cause and mend, in Chinese and English."""

    zh: str
    en: str
    mend_zh: str
    mend_en: str


MEANINGS: Final[Mapping[Fault, Meaning]] = MappingProxyType(
    {
        Fault.MALFORMED: Meaning(
            "记录格式不符",
            "the record does not have the declared form",
            "从这一条起重新上传设备上的原记录",
            "upload again from this record, as the device holds it",
        ),
        Fault.WRONG_DEVICE: Meaning(
            "记录属于另一台设备",
            "the record is another device's",
            "按设备分别上传",
            "upload each device's records under that device",
        ),
        Fault.TAMPERED: Meaning(
            "签名不符，记录签署后被改动",
            "the signature does not hold: the record was changed after it was signed",
            "从这一条起重新上传设备上的原记录；原记录已失，须停用设备并请本人重新同意",
            "upload again from this record, as the device holds it; if that is lost, end the device and ask again",
        ),
        Fault.FORK: Meaning(
            "同一序号有两条不同的记录，设备已停用",
            "two different records stand under one number; the device is blocked",
            "请运营单位核查设备；须登记新设备，并请相关人员重新同意",
            "the operator has to look at the device; register a new one and ask the people concerned again",
        ),
        Fault.GAP: Meaning(
            "中间缺少记录",
            "records between are missing",
            "先上传缺少的记录，再从这一条继续",
            "upload the missing ones first, then go on from this record",
        ),
        Fault.ORDER: Meaning(
            "记录次序颠倒",
            "the records are out of order",
            "按序号从小到大重新上传",
            "upload them again in the order of their numbers",
        ),
        Fault.CLOCK_AHEAD: Meaning(
            "设备时钟超前十五分钟以上",
            "the device's clock is ahead by more than the tolerance",
            "校准设备时钟，请本人重新同意",
            "set the device's clock and ask the person again",
        ),
        Fault.CLOCK_BACK: Meaning(
            "设备时钟倒退十五分钟以上",
            "the device's clock went back by more than the tolerance",
            "校准设备时钟，请本人重新同意",
            "set the device's clock and ask the person again",
        ),
        Fault.TOO_LATE: Meaning(
            "超过上传期限",
            "it was uploaded after the time that is allowed",
            "请本人重新同意；以后按期上传",
            "ask the person again; upload in time",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: the last record's number and link, and the latest time that its clock showed rightly."""

    counter: int
    link: bytes
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A record as it came."""

    record: object
    signature: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A record that is a link of the chain from now on. With a `fault` it is no consent."""

    counter: int
    link: bytes
    at: datetime
    content: Mapping[str, Any]
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain broke: the place in the upload, the number if one could be read, and why."""

    place: int
    counter: int | None
    fault: Fault


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of an upload. `repeated` counts records that had been received before."""

    taken: tuple[Taken, ...]
    repeated: tuple[int, ...]
    broken: Break | None
    stands: Link


@dataclass(frozen=True, slots=True)
class Announced:
    """A head that the device signed: so far its chain has come, whatever was uploaded of it."""

    counter: int
    link: bytes
    at: datetime


def beginning(device: str) -> Link:
    """Give where a new device's chain stands."""
    return Link(0, sha256(_LINK + device.encode()))


def link_of(record: Mapping[str, Any]) -> bytes:
    """Give a record's link.

    Raises:
        CanonicalError: it has no canonical form.
    """
    return sha256(_LINK + canonical(dict(record)))


def signing_input(record: Mapping[str, Any]) -> bytes:
    """Give the bytes that a device signs.

    Raises:
        CanonicalError: the record has no canonical form.
    """
    return _RECORD + canonical(dict(record))


def head_input(head: Mapping[str, Any]) -> bytes:
    """Give the bytes that a device signs to announce its head."""
    return _HEAD + canonical(dict(head))


def check(  # what came, and what it is held against
    upload: Sequence[Signed],
    *,
    device: str,
    stands: Link,
    received: Mapping[int, bytes],
    announced: Mapping[int, bytes],
    verifies: Verifies,
    now: datetime,
    given: Bounds,
) -> Checked:
    """Walk an upload as the module's header says.

    Args:
        upload: the records, in the order in which they came.
        device: whose chain it is.
        stands: how far it was received.
        received: links by number of records that were received before; those that the upload may repeat.
        announced: links by number of all the heads that the device announced, those of the upload's numbers at least.
        verifies: checks with the device's key.
        now: this instant.
        given: the limits.
    """
    taken: list[Taken] = []
    repeated: list[int] = []
    last = 0
    for place, signed in enumerate(upload):
        record = _header(signed.record)  # 1
        if record is None:
            return _broken(taken, repeated, stands, place, None, Fault.MALFORMED)
        counter = int(record["counter"])
        fault, link = _held(record, signed.signature, device, verifies), link_of(record)
        if fault is None and counter in received:  # 4
            fault = None if received[counter] == link else Fault.FORK
            if fault is None:
                repeated.append(counter)
                last = counter
                continue
        if fault is None:
            fault = _next(record, link, stands, last, announced)
        if fault is not None:
            return _broken(taken, repeated, stands, place, counter, fault)
        at = datetime.fromisoformat(record["at"])
        late = _late(at, stands.at, now, given)
        plausible = stands.at if late in {Fault.CLOCK_AHEAD, Fault.CLOCK_BACK} else max(at, stands.at or at)
        stands = Link(counter, link, plausible)
        last = counter
        taken.append(Taken(counter, link, at, record["content"], late))
    return Checked(tuple(taken), tuple(repeated), None, stands)


def announcement(
    head: object, signature: bytes, *, device: str, verifies: Verifies, now: datetime, given: Bounds
) -> Announced | Fault:
    """Read a signed head: its form, device, signature, and that the device's clock is right just now."""
    if not isinstance(head, dict) or head.keys() != _HEAD_MEMBERS or head["v"] != 1 or head["kind"] != "head":
        return Fault.MALFORMED
    if not _number(head["counter"]) or not _hash(head["head"]) or _moment(head["at"]) is None:
        return Fault.MALFORMED
    if head["device"] != device:
        return Fault.WRONG_DEVICE
    if not verifies(signature, head_input(head)):
        return Fault.TAMPERED
    at = datetime.fromisoformat(head["at"])
    if abs(at - now) > given.clock:
        return Fault.CLOCK_AHEAD if at > now else Fault.CLOCK_BACK
    return Announced(head["counter"], bytes.fromhex(head["head"]), at)


def _header(record: object) -> Mapping[str, Any] | None:
    if not isinstance(record, dict) or record.keys() != _MEMBERS:
        return None
    try:
        canonical(record)
    except CanonicalError:
        return None
    right = (
        record["v"] == 1
        and record["kind"] == "consent"
        and isinstance(record["device"], str)
        and _number(record["counter"])
        and _hash(record["prev"])
        and _moment(record["at"]) is not None
        and isinstance(record["content"], dict)
    )
    return record if right else None


def _held(record: Mapping[str, Any], signature: bytes, device: str, verifies: Verifies) -> Fault | None:
    if record["device"] != device:
        return Fault.WRONG_DEVICE  # 2
    return None if verifies(signature, signing_input(record)) else Fault.TAMPERED  # 3


def _next(
    record: Mapping[str, Any], link: bytes, stands: Link, last: int, announced: Mapping[int, bytes]
) -> Fault | None:
    counter = record["counter"]
    if counter <= stands.counter or counter <= last:
        return Fault.ORDER  # 5
    if counter > stands.counter + 1:
        return Fault.GAP
    if bytes.fromhex(record["prev"]) != stands.link:
        return Fault.FORK  # 6
    return Fault.FORK if announced.get(counter, link) != link else None


def _late(at: datetime, before: datetime | None, now: datetime, given: Bounds) -> Fault | None:
    if at > now + given.clock:
        return Fault.CLOCK_AHEAD  # 7
    if before is not None and at < before - given.clock:
        return Fault.CLOCK_BACK
    return Fault.TOO_LATE if now - at > given.upload_within else None  # 8


def _broken(  # where it stood when it broke
    taken: Sequence[Taken], repeated: Sequence[int], stands: Link, place: int, counter: int | None, fault: Fault
) -> Checked:
    return Checked(tuple(taken), tuple(repeated), Break(place, counter, fault), stands)


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LAST_COUNTER


def _hash(value: object) -> bool:
    if not isinstance(value, str) or len(value) != _HASH_CHARACTERS:
        return False
    return all(one in "0123456789abcdef" for one in value)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None and moment.year in _YEARS else None
