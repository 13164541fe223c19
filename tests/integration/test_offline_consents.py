"""Consents that a device signed without signal, uploaded as a chain; and what never becomes a consent of it."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from consent import ledger
from consent.evidence import Channel
from exchange import consents
from exchange.capture import collectors, devices
from exchange.home import Home
from exchange.oauth import clients
from registry import clock, store
from registry.identifiers import ResidentId
from sandbox.device import Device
from tests.asking import Bank, bank
from tests.attacks.bent_client import Door
from tests.capturing import COLLECTOR, WITNESS, collector, content, device
from tests.people import BANK, LI, ZHANG, consented, held
from tests.waiting import until_somebody_waits

STANDING = True
OTHERS = [ResidentId.parse(one) for one in ("632521199001010008", "632521199102020002", "632521199203030007")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Bank:
    collector(exchange_home)
    return bank(exchange_home, door)


@pytest.fixture
def taker(exchange_home: Home) -> Device:
    return device(exchange_home)


def took(taker: Device, people: list[ResidentId], **changes: Any) -> None:
    """Take a consent of each, a minute apart, the last a minute ago."""
    begun = len(taker.records)
    for place, who in enumerate(people):
        at = clock.now() - MINUTE * (len(people) - place)
        taker.take(content(begun + place + 1, who, **changes), at=at)


def upload(lender: Bank, segment: dict[str, Any]) -> dict[str, Any]:
    answer = lender.api("POST", "/v1/consents/offline", json=segment)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def whole(taker: Device, first: int = 0) -> dict[str, Any]:
    return {"device": taker.name, "records": taker.records[first:]}


def consents_of(home: Home, who: ResidentId = ZHANG) -> list[Any]:
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [who]).get(who.text)
        return [] if found is None else ledger.list_for_subject(tx, found)


def query(lender: Bank, who: ResidentId = ZHANG) -> Any:
    body = {
        "subject": {"type": "resident_id", "identifier": who.text},
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
        "items": ["RATING.grade"],
    }
    return lender.api("POST", "/v1/queries", json=body)


def test_what_a_device_signed_is_a_consent_once_it_is_uploaded_and_not_before(
    exchange_home: Home, lender: Bank, taker: Device
) -> None:
    held(exchange_home)
    took(taker, [ZHANG], read_aloud=True, witness={"identifier": WITNESS.text})
    said = lender.api("POST", "/v1/capture-devices/heads", json=taker.head(at=clock.now())).json()
    assert (said["announced"], said["received"], said["offline_pending"]) == (1, 0, 1)
    assert query(lender).json()["code"] == "no-consent"
    received = upload(lender, whole(taker))
    assert received["broken"] is None
    assert received["device"]["offline_pending"] == 0
    assert query(lender).status_code == 200
    (made,) = consents_of(exchange_home)
    capture = made.terms.capture
    assert received["records"][0]["consent_id"] == made.consent_id
    assert (capture.channel, capture.device, capture.collector, capture.place) == (
        Channel.OFFLINE,
        taker.name,
        "c-1",
        "632701",
    )
    assert capture.witness is not None
    assert WITNESS.text not in capture.witness
    assert made.terms.captured_at < made.terms.uploaded_at
    with exchange_home.database.transaction() as tx:
        (sealed,) = tx.execute("SELECT sealed FROM offline_record").fetchone()  # type: ignore[misc]
    assert ZHANG.text.encode() not in bytes(sealed)


def test_an_upload_that_was_cut_off_is_sent_again_and_nothing_is_taken_twice(
    exchange_home: Home, lender: Bank, taker: Device
) -> None:
    took(taker, OTHERS)
    first = upload(lender, {"device": taker.name, "records": taker.records[:2]})
    again = upload(lender, whole(taker))
    assert [one["repeated"] for one in again["records"]] == [True, True, False]
    assert [one["consent_id"] for one in again["records"][:2]] == [one["consent_id"] for one in first["records"]]
    assert [len(consents_of(exchange_home, who)) for who in OTHERS] == [1, 1, 1]


def test_a_record_that_was_changed_stops_there_and_nothing_before_is_lost(
    exchange_home: Home, lender: Bank, taker: Device
) -> None:
    took(taker, OTHERS)
    sent = whole(taker)
    bent = [dict(one) for one in sent["records"]]
    bent[1] = {**bent[1], "record": {**bent[1]["record"], "content": content(9, LI)}}
    received = upload(lender, {**sent, "records": bent})
    assert (received["broken"]["place"], received["broken"]["reason"]["code"]) == (1, "record-tampered")
    assert received["broken"]["reason"]["mend_zh"]
    assert [len(consents_of(exchange_home, who)) for who in (*OTHERS, LI)] == [1, 0, 0, 0]
    assert upload(lender, whole(taker, 1))["broken"] is None
    assert [len(consents_of(exchange_home, who)) for who in OTHERS] == [1, 1, 1]


def test_a_gap_is_named_and_filled(exchange_home: Home, lender: Bank, taker: Device) -> None:
    took(taker, OTHERS)
    received = upload(lender, {"device": taker.name, "records": [taker.records[0], taker.records[2]]})
    assert (received["broken"]["counter"], received["broken"]["reason"]["code"]) == (3, "chain-gap")
    assert upload(lender, whole(taker, 1))["broken"] is None
    assert [len(consents_of(exchange_home, who)) for who in OTHERS] == [1, 1, 1]


def test_a_fork_blocks_the_device(exchange_home: Home, lender: Bank, taker: Device) -> None:
    took(taker, OTHERS[:2])
    upload(lender, whole(taker))
    twin = Device(taker.key)
    took(twin, [LI])
    received = upload(lender, whole(twin))
    assert received["broken"]["reason"]["code"] == "chain-fork"
    assert received["device"]["state"] == "blocked"
    took(taker, OTHERS[2:])
    refused = lender.api("POST", "/v1/consents/offline", json=whole(taker, 2))
    assert (refused.status_code, refused.json()["code"]) == (409, "device-blocked")
    assert consents_of(exchange_home, LI) == []
    assert len(consents_of(exchange_home, OTHERS[0])) == 1


def test_a_device_is_bound_to_the_head_it_announced(exchange_home: Home, lender: Bank, taker: Device) -> None:
    took(taker, OTHERS[:1])
    lender.api("POST", "/v1/capture-devices/heads", json=taker.head(at=clock.now()))
    twin = Device(taker.key)
    took(twin, [LI])
    assert upload(lender, whole(twin))["broken"]["reason"]["code"] == "chain-fork"
    assert consents_of(exchange_home, LI) == []


def test_an_announced_head_binds_whatever_is_announced_after_it(
    exchange_home: Home, lender: Bank, taker: Device
) -> None:
    path, twin = "/v1/capture-devices/heads", Device(taker.key)
    took(taker, OTHERS[:1])
    assert lender.api("POST", path, json=taker.head(at=clock.now())).status_code == 200
    took(twin, [LI, ZHANG])
    assert lender.api("POST", path, json=twin.head(at=clock.now())).status_code == 200  # of another history
    received = upload(lender, whole(twin))
    assert (received["broken"]["counter"], received["broken"]["reason"]["code"]) == (1, "chain-fork")
    assert received["device"]["state"] == "blocked"
    assert consents_of(exchange_home, LI) == consents_of(exchange_home) == []


@pytest.mark.parametrize("further", [1, 2])
def test_a_head_of_another_history_under_a_number_of_before_blocks_the_device(
    lender: Bank, taker: Device, further: int
) -> None:
    path, twin = "/v1/capture-devices/heads", Device(taker.key)
    for _ in range(further):  # what is contradicted is the last head, or one before it
        took(taker, OTHERS[:1])
        lender.api("POST", path, json=taker.head(at=clock.now()))
    took(twin, [LI])
    answer = lender.api("POST", path, json=twin.head(at=clock.now()))
    assert (answer.status_code, answer.json()["state"]) == (200, "blocked")


def test_a_record_of_an_impossible_year_is_named_and_its_device_goes_on(
    exchange_home: Home, lender: Bank, taker: Device
) -> None:
    twin = Device(taker.key)
    twin.take(content(1, LI), at=datetime.fromisoformat("0001-01-01T00:00:00+14:00"))
    assert upload(lender, whole(twin))["broken"]["reason"]["code"] == "record-malformed"
    took(taker, [ZHANG])
    received = upload(lender, whole(taker))
    assert (received["broken"], received["device"]["state"]) == (None, "active")
    assert len(consents_of(exchange_home)) == 1


def test_an_upload_holds_everybody_it_names_before_it_writes_of_anybody(
    exchange_home: Home, door: Door, lender: Bank, taker: Device
) -> None:
    """Whoever waits for one of its people has the others free: two uploads do not wait for each other in a ring."""
    with exchange_home.database.transaction() as tx:
        known = store.ensure_subjects(tx, exchange_home.keyring, OTHERS[:2], now=clock.now())
    first, last = sorted(OTHERS[:2], key=lambda who: known[who.text])
    took(taker, [last, first])
    token, url = lender.caller.token(door), "https://exchange.example/v1/consents/offline"
    call = ("POST", url, {"json": whole(taker), "headers": lender.caller.headers("POST", url, token)})
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(door.together(call)))
    with exchange_home.database.transaction() as tx:
        store.hold_subjects(tx, [known[first.text]])
        thread.start()
        until_somebody_waits(exchange_home)
        free = "SELECT FROM subject WHERE subject_id = %s FOR UPDATE NOWAIT"  # raises if the upload holds it
        assert tx.execute(free, (known[last.text],)).rowcount == 1
    thread.join(30)
    assert [answer.json()["broken"] for answer in answers] == [None]
    assert [len(consents_of(exchange_home, who)) for who in OTHERS[:2]] == [1, 1]


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (timedelta(days=-7, minutes=-5), "uploaded-too-late"),
        (timedelta(minutes=20), "clock-ahead"),
    ],
)
def test_a_record_beyond_its_time_is_no_consent_and_the_chain_goes_on(
    exchange_home: Home, lender: Bank, taker: Device, at: timedelta, code: str
) -> None:
    taker.take(content(1, ZHANG), at=clock.now() + at)
    taker.take(content(2, LI), at=clock.now() - MINUTE)
    received = upload(lender, whole(taker))
    first, second = received["records"]
    assert (first["consent_id"], first["reason"]["code"]) == (None, code)
    assert first["reason"]["zh"]
    assert first["reason"]["mend_en"]
    assert second["consent_id"] is not None
    assert received["broken"] is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"collector": "c-unknown"}, "collector-unknown"),
        ({"read_aloud": True}, "witness-missing"),
        ({"read_aloud": True, "witness": {"identifier": COLLECTOR.text}}, "witness-unfit"),
        ({"read_aloud": True, "witness": {"identifier": ZHANG.text}}, "witness-unfit"),
        ({"subject": {"identifier": "630222199901010002"}}, "identifier-malformed"),
        ({"text_version": "1999-01"}, "TEXT_UNKNOWN"),
        ({"terms": {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["NOTHING"]}}, "ITEM_UNKNOWN"),
        ({"terms": {"type": "credit_data", "purpose": "SELF_QUERY", "items": ["RATING"]}}, "PURPOSE_NOT_FOR_LENDERS"),
        ({"surprise": 1}, "content-invalid"),
        ({"place": "here"}, "content-invalid"),
        ({"valid_from": "2020-01-01"}, "began-before"),
    ],
)
def test_a_record_that_cannot_be_a_consent_has_a_reason_and_takes_nothing_with_it(
    exchange_home: Home, lender: Bank, taker: Device, changes: dict[str, Any], code: str
) -> None:
    took(taker, [ZHANG], **changes)
    took(taker, [LI])
    received = upload(lender, whole(taker))
    assert [one["reason"] and one["reason"]["code"] for one in received["records"]] == [code, None]
    assert all(received["records"][0]["reason"].values())
    assert consents_of(exchange_home) == []
    assert len(consents_of(exchange_home, LI)) == 1
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT sealed IS NULL, subject_id IS NULL FROM offline_record WHERE counter = 1").fetchall()
    assert rows == [(True, True)]


def test_an_upload_undoes_no_withdrawal_of_the_same_day(exchange_home: Home, lender: Bank, taker: Device) -> None:
    took(taker, [ZHANG])
    given = consented(exchange_home)
    consents.withdraw(exchange_home, given.consent_id, Channel.COUNTER, actor="test")
    (outcome,) = upload(lender, whole(taker))["records"]
    assert outcome["reason"]["code"] == "BEFORE_WITHDRAWAL"
    assert [one.state.value for one in consents_of(exchange_home)] == ["withdrawn"]


def test_a_device_is_its_own_organisations_and_ends(
    exchange_home: Home, door: Door, lender: Bank, taker: Device
) -> None:
    took(taker, [ZHANG])
    stranger = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    refused = stranger.api("POST", "/v1/consents/offline", json=whole(taker))
    assert (refused.status_code, refused.json()["code"]) == (404, "device-unknown")
    with exchange_home.database.transaction() as tx:
        assert devices.end(tx, taker.name, now=clock.now())
    ended = lender.api("POST", "/v1/consents/offline", json=whole(taker))
    assert (ended.status_code, ended.json()["code"]) == (409, "device-ended")
    assert consents_of(exchange_home) == []


def test_a_collector_counts_for_the_time_that_he_or_she_had(exchange_home: Home, lender: Bank, taker: Device) -> None:
    took(taker, OTHERS[:1])
    with exchange_home.database.transaction() as tx:
        assert collectors.end(tx, BANK, "c-1", now=clock.now() - MINUTE * 2)
    (outcome,) = upload(lender, whole(taker))["records"]
    assert outcome["reason"]["code"] == "collector-unknown"


def test_uploads_of_one_segment_at_once_make_one_consent_each(
    exchange_home: Home, door: Door, lender: Bank, taker: Device
) -> None:
    took(taker, OTHERS)
    token, url = lender.caller.token(door), "https://exchange.example/v1/consents/offline"
    calls = [
        ("POST", url, {"json": whole(taker), "headers": lender.caller.headers("POST", url, token)}) for _ in range(4)
    ]
    answers = [answer.json() for answer in door.together(*calls)]
    assert all(answer["broken"] is None for answer in answers)
    assert [len(consents_of(exchange_home, who)) for who in OTHERS] == [1, 1, 1]


def test_a_head_with_a_wrong_clock_or_signature_or_behind_is_not_taken(lender: Bank, taker: Device) -> None:
    took(taker, OTHERS[:2])
    path = "/v1/capture-devices/heads"
    assert lender.api("POST", path, json=taker.head(at=clock.now() - timedelta(minutes=20))).status_code == 422
    head = taker.head(at=clock.now())
    assert lender.api("POST", path, json=head | {"head": head["head"] | {"counter": 9}}).status_code == 422
    assert lender.api("POST", path, json=head).status_code == 200
    older = Device(taker.key, taker.records[:1]).head(at=clock.now())
    assert lender.api("POST", path, json=older).json()["code"] == "head-refused"


def test_devices_are_listed_with_what_is_pending(lender: Bank, taker: Device) -> None:
    took(taker, OTHERS)
    lender.api("POST", "/v1/capture-devices/heads", json=taker.head(at=clock.now()))
    upload(lender, {"device": taker.name, "records": taker.records[:1]})
    (listed,) = lender.api("GET", "/v1/capture-devices").json()
    assert (listed["device"], listed["received"], listed["offline_pending"]) == (taker.name, 1, 2)


def test_a_suspended_lender_uploads_nothing(exchange_home: Home, lender: Bank, taker: Device, door: Door) -> None:
    took(taker, [ZHANG])
    token, url = lender.caller.token(door), "https://exchange.example/v1/consents/offline"
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, lender.caller.client_id, clients.SUSPENDED)
    answer = door.call("POST", url, json=whole(taker), headers=lender.caller.headers("POST", url, token))
    assert answer.status_code == 401
