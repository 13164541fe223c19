"""Chains of records signed without signal: each break is named, and nothing good before it is lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consent import offline, taking
from consent.offline import Announced, Break, Checked, Fault, Link, Signed
from registry.canonical import unb64url
from registry.suites import Ed25519Key, Es256Key, Sm2Key, verify_ed25519, verify_es256, verify_sm2
from sandbox.device import Device, new_device
from sandbox.device import link_of as outside_link_of

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
DEVICE = "dev-0123456789abcdef"
KEY = Ed25519Key.generate()
OTHER = Ed25519Key.generate()


def chain(
    count: int, *, start: Link | None = None, ago: timedelta = timedelta(hours=5), device: str = DEVICE, key: Any = KEY
) -> list[Signed]:
    """Sign records, a minute apart."""
    stands, made = start or offline.beginning(device), []
    for step in range(count):
        record = {
            "v": 1,
            "kind": "consent",
            "device": device,
            "counter": stands.counter + 1,
            "prev": stands.link.hex(),
            "at": (NOW - ago + timedelta(minutes=step)).isoformat(),
            "content": {"n": step},
        }
        made.append(Signed(record, key.sign(offline.signing_input(record))))
        stands = Link(stands.counter + 1, offline.link_of(record))
    return made


def signed(record: dict[str, Any], key: Any = KEY) -> Signed:
    return Signed(record, key.sign(offline.signing_input(record)))


def check(
    upload: Sequence[Signed],
    *,
    stands: Link | None = None,
    received: Mapping[int, bytes] | None = None,
    announced: Mapping[int, bytes] | None = None,
    now: datetime = NOW,
) -> Checked:
    return offline.check(
        upload,
        device=DEVICE,
        stands=stands or offline.beginning(DEVICE),
        received=received or {},
        announced=announced or {},
        verifies=lambda signature, message: verify_ed25519(KEY.public, signature, message),
        now=now,
        given=taking.bounds(),
    )


def links(upload: Sequence[Signed]) -> dict[int, bytes]:
    return {one.record["counter"]: offline.link_of(one.record) for one in upload if isinstance(one.record, dict)}


def changed(one: Signed, **members: Any) -> dict[str, Any]:
    assert isinstance(one.record, dict)
    return {**one.record, **members}


def test_a_whole_chain_is_taken_and_stands_at_its_last_record() -> None:
    made = chain(5)
    found = check(made)
    assert [one.counter for one in found.taken] == [1, 2, 3, 4, 5]
    assert all(one.fault is None for one in found.taken)
    assert (found.broken, found.stands.counter, found.stands.link) == (None, 5, links(made)[5])


def test_a_chain_goes_on_where_it_was_received_to() -> None:
    made = chain(5)
    first = check(made[:3])
    found = check(made[3:], stands=first.stands)
    assert [one.counter for one in found.taken] == [4, 5]


def test_what_was_received_is_passed_over_and_the_rest_taken() -> None:
    made = chain(5)
    first = check(made[:3])
    found = check(made, stands=first.stands, received=links(made[:3]))
    assert (found.repeated, [one.counter for one in found.taken]) == ((1, 2, 3), [4, 5])


@pytest.mark.parametrize("place", range(5))
def test_a_record_that_was_changed_stops_the_chain_there_and_loses_nothing_before(place: int) -> None:
    made = chain(5)
    made[place] = replace(made[place], record=changed(made[place], content={"n": 99}))
    found = check(made)
    assert found.broken == Break(place, place + 1, Fault.TAMPERED)
    assert [one.counter for one in found.taken] == list(range(1, place + 1))
    assert found.stands.counter == place


@pytest.mark.parametrize("member", ["counter", "prev", "at", "device", "content"])
def test_no_member_of_a_record_can_be_changed(member: str) -> None:
    made = chain(2)
    bent = {"counter": 3, "prev": "ab" * 32, "at": NOW.isoformat(), "device": "dev-ffffffffffffffff", "content": {}}
    made[1] = replace(made[1], record=changed(made[1], **{member: bent[member]}))
    found = check(made)
    assert found.broken is not None
    assert found.broken.fault is (Fault.WRONG_DEVICE if member == "device" else Fault.TAMPERED)
    assert len(found.taken) == 1


def test_a_gap_is_named_and_can_be_filled() -> None:
    made = chain(5)
    found = check([*made[:2], *made[3:]])
    assert found.broken == Break(2, 4, Fault.GAP)
    again = check(made[2:], stands=found.stands)
    assert [one.counter for one in again.taken] == [3, 4, 5]


def test_records_out_of_order_are_named() -> None:
    made = chain(4)
    found = check([made[0], made[1], made[0], made[2]])
    assert found.broken == Break(2, 1, Fault.ORDER)
    assert check([made[1], made[0]]).broken == Break(0, 2, Fault.GAP)


def test_two_histories_under_one_number_are_a_fork() -> None:
    first, second = chain(3), chain(3, ago=timedelta(hours=4))
    stands = check(first).stands
    assert check(second, stands=stands, received=links(first)).broken == Break(0, 1, Fault.FORK)
    later = chain(1, start=Link(3, links(second)[3]))
    assert check(later, stands=stands).broken == Break(0, 4, Fault.FORK)


def test_a_head_that_was_announced_is_kept_to() -> None:
    made, other = chain(3), chain(3, ago=timedelta(hours=4))
    head = {3: links(made)[3]}
    assert check(made, announced=head).broken is None
    found = check(other, announced=head)
    assert found.broken == Break(2, 3, Fault.FORK)


def test_every_head_that_was_announced_is_kept_to_not_the_last_alone() -> None:
    made, other = chain(3), chain(3, ago=timedelta(hours=4))
    heads = {1: links(made)[1], 3: links(other)[3]}
    assert check(other, announced=heads).broken == Break(0, 1, Fault.FORK)
    assert check(made, announced=heads).broken == Break(2, 3, Fault.FORK)


def test_a_record_by_another_key_or_of_another_device_is_none_of_this_chain() -> None:
    assert check(chain(1, key=OTHER)).broken == Break(0, 1, Fault.TAMPERED)
    assert check(chain(1, device="dev-ffffffffffffffff")).broken == Break(0, 1, Fault.WRONG_DEVICE)


def test_a_fork_is_seen_only_under_the_device_s_own_signature() -> None:
    """Nobody but the device can have it blocked."""
    first = chain(2)
    forged = chain(2, ago=timedelta(hours=4), key=OTHER)
    assert check(forged, stands=check(first).stands, received=links(first)).broken == Break(0, 1, Fault.TAMPERED)


@pytest.mark.parametrize(
    ("ago", "fault"),
    [
        (timedelta(days=6, hours=23), None),
        (timedelta(days=7, minutes=1), Fault.TOO_LATE),
        (timedelta(minutes=-14), None),
        (timedelta(minutes=-16), Fault.CLOCK_AHEAD),
    ],
)
def test_a_record_in_time_counts_and_one_beyond_is_a_link_only(ago: timedelta, fault: Fault | None) -> None:
    found = check(chain(1, ago=ago))
    assert [one.fault for one in found.taken] == [fault]
    assert found.broken is None
    assert found.stands.counter == 1


def test_a_clock_that_goes_back_spoils_its_record_and_no_other() -> None:
    made = chain(1, ago=timedelta(hours=2))
    back = chain(1, start=check(made).stands, ago=timedelta(hours=2, minutes=16))
    right = chain(1, start=check(back, stands=check(made).stands).stands, ago=timedelta(hours=1))
    found = check([*made, *back, *right])
    assert [one.fault for one in found.taken] == [None, Fault.CLOCK_BACK, None]


def test_a_clock_that_was_ahead_once_does_not_spoil_those_after_it() -> None:
    ahead = chain(1, ago=timedelta(days=-400))
    found = check([*ahead, *chain(1, start=check(ahead).stands)])
    assert [one.fault for one in found.taken] == [Fault.CLOCK_AHEAD, None]


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "record",
        {},
        {"v": 1},
        changed(chain(1)[0], extra=1),
        changed(chain(1)[0], v=2),
        changed(chain(1)[0], kind="head"),
        changed(chain(1)[0], counter=0),
        changed(chain(1)[0], counter=True),
        changed(chain(1)[0], counter=1 << 40),
        changed(chain(1)[0], prev="AB" * 32),
        changed(chain(1)[0], at="2026-11-20T08:00:00"),
        changed(chain(1)[0], at="yesterday"),
        changed(chain(1)[0], at="0001-01-01T00:00:00+14:00"),
        changed(chain(1)[0], at="1999-12-31T23:59:59Z"),
        changed(chain(1)[0], at="2101-01-01T00:00:00Z"),
        changed(chain(1)[0], at="9999-12-31T23:59:59-14:00"),
        changed(chain(1)[0], content=[]),
        changed(chain(1)[0], content={"x": 1.5}),
    ],
)
def test_what_is_no_record_is_called_malformed(record: Any) -> None:
    assert check([Signed(record, b"")]).broken == Break(0, None, Fault.MALFORMED)


@pytest.mark.parametrize(
    ("key", "verify"),
    [(Es256Key.generate(), verify_es256), (Ed25519Key.generate(), verify_ed25519), (Sm2Key.generate(), verify_sm2)],
)
def test_a_device_may_sign_with_each_algorithm(key: Any, verify: Any) -> None:
    found = offline.check(
        chain(2, key=key),
        device=DEVICE,
        stands=offline.beginning(DEVICE),
        received={},
        announced={},
        verifies=lambda signature, message: verify(key.public, signature, message),
        now=NOW,
        given=taking.bounds(),
    )
    assert len(found.taken) == 2


def announced(device: Device, head: dict[str, Any], now: datetime = NOW) -> Announced | Fault:
    return offline.announcement(
        head["head"],
        _unb64(head["signature"]),
        device=device.name,
        verifies=lambda signature, message: verify_es256(device.public, signature, message),
        now=now,
        given=taking.bounds(),
    )


def _unb64(text: str) -> bytes:
    return unb64url(text)


def test_what_the_integrators_tool_signs_is_a_chain() -> None:
    device = new_device()
    for step in range(3):
        device.take({"n": step}, at=NOW - timedelta(minutes=30 - step))
    (segment,) = device.segments()
    upload = [Signed(one["record"], _unb64(one["signature"])) for one in segment["records"]]
    found = offline.check(
        upload,
        device=device.name,
        stands=offline.beginning(device.name),
        received={},
        announced={},
        verifies=lambda signature, message: verify_es256(device.public, signature, message),
        now=NOW,
        given=taking.bounds(),
    )
    assert found.broken is None
    assert [one.link for one in found.taken] == [outside_link_of(one["record"]) for one in segment["records"]]


def test_a_head_is_believed_only_signed_and_by_a_clock_that_is_right() -> None:
    device = new_device()
    device.take({"n": 1}, at=NOW)
    head = device.head(at=NOW)
    assert announced(device, head) == Announced(1, device.link, NOW)
    assert announced(device, head, NOW + timedelta(minutes=16)) is Fault.CLOCK_BACK
    assert announced(device, head, NOW - timedelta(minutes=16)) is Fault.CLOCK_AHEAD
    assert announced(device, {**head, "head": head["head"] | {"counter": 2}}) is Fault.TAMPERED
    assert announced(device, {**head, "head": head["head"] | {"device": DEVICE}}) is Fault.WRONG_DEVICE
    assert announced(device, {**head, "head": {}}) is Fault.MALFORMED


def test_every_fault_says_in_two_languages_what_is_wrong_and_how_to_mend_it() -> None:
    assert offline.MEANINGS.keys() == set(Fault)
    assert all(all(meaning) and not meaning.zh.isascii() for meaning in offline.MEANINGS.values())
