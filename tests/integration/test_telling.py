"""Lenders are told of every change of their consents: polled and pushed, in order, at least once, and nothing else."""

import time
from datetime import timedelta
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from consent.evidence import Channel
from consent.narrowing import Narrower
from exchange import consents, events_api, jobs, pushing, telling
from exchange.home import Home
from exchange.telling_gauges import TellingGauges
from registry import clock
from tests.agencies import events
from tests.attacks.bent_client import ISSUER, Door
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.people import BANK, LI, ZHANG, consented
from tests.telling import kinds, opened, pushed_to, receiver, spread, system, withdrawn

STANDING = True
OTHER_BANK = "别的银行"


# ---- polled ---------------------------------------------------------------------------------------------------------


def test_every_change_comes_in_its_order_until_it_is_acknowledged(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    first, second = consented(exchange_home), consented(exchange_home, LI)
    with exchange_home.database.transaction() as tx:
        consents.pause_in(tx, first.consent_id, Channel.APP, actor="test", now=clock.now())
    withdrawn(exchange_home, first)
    spread(exchange_home)
    expected = [
        (first.consent_id, "granted"),
        (second.consent_id, "granted"),
        (first.consent_id, "paused"),
        (first.consent_id, "withdrawn"),
    ]
    sets = lender.poll()["sets"]
    assert kinds(door, sets) == expected
    assert kinds(door, lender.poll()["sets"]) == expected
    some = lender.poll(maxEvents=2, ack=list(sets)[:1])
    assert (list(some["sets"]), some["moreAvailable"]) == (list(sets)[1:3], True)
    rest = lender.poll(ack=list(sets)[1:3])
    assert (list(rest["sets"]), rest["moreAvailable"]) == (list(sets)[3:], False)
    assert lender.poll(ack=list(sets))["sets"] == {}
    assert lender.poll(maxEvents=0)["sets"] == {}


def test_an_event_verifies_with_a_library_that_is_not_ours_and_names_nobody(exchange_home: Home, door: Door) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    sets = lender.poll()["sets"]
    (jti, token) = list(sets.items())[1]
    header, claims = opened(door, token)
    assert header["typ"] == "secevent+jwt"
    assert claims["events"] == {
        f"{ISSUER}/events/consent/withdrawn": {"purpose": "LOAN_APPROVAL", "state": "withdrawn"}
    }
    assert (claims["iss"], claims["aud"], claims["jti"]) == (ISSUER, "bank-events", jti)
    assert claims["sub_id"] == {"format": "opaque", "id": consent.consent_id}
    text = orjson.dumps(claims).decode()
    assert ZHANG.text not in text
    assert str(consent.terms.subject_id) not in text
    assert "village" not in text
    assert "exp" not in claims


def test_a_consent_that_was_narrowed_comes_as_one_that_ended_and_one_that_replaces_it(
    exchange_home: Home, door: Door
) -> None:
    lender, first = system(exchange_home, door), consented(exchange_home)
    with exchange_home.database.transaction() as tx:
        asked = Narrower(max_uses=4)
        smaller = consents.narrow_in(
            tx, exchange_home, first.consent_id, asked, Channel.APP, actor="test", now=clock.now()
        )
    spread(exchange_home)
    sets = lender.poll()["sets"]
    assert kinds(door, sets)[1:] == [(first.consent_id, "superseded"), (smaller.consent_id, "granted")]
    said = opened(door, list(sets.values())[2])[1]["events"]
    assert said[f"{ISSUER}/events/consent/granted"]["replaces"] == first.consent_id


def test_a_signed_event_is_no_access_token(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    consented(exchange_home)
    spread(exchange_home)
    (token,) = lender.poll()["sets"].values()
    lender.token = token
    answer = lender.call("GET", "/v1/deletions")
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


def test_one_transaction_that_comes_to_nothing_is_told_to_nobody(exchange_home: Home, door: Door) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    with pytest.raises(RuntimeError), exchange_home.database.transaction() as tx:
        consents.withdraw_in(tx, consent.consent_id, Channel.APP, actor="test", now=clock.now())
        raise RuntimeError
    spread(exchange_home)
    assert kinds(door, lender.poll()["sets"]) == [(consent.consent_id, "granted")]


def test_a_poll_that_may_wait_waits_no_longer_than_it_says_and_hears_what_comes_meanwhile(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    lender = system(exchange_home, door)
    monkeypatch.setattr(events_api, "LONG_POLL_SECONDS", 1.5)
    monkeypatch.setattr(events_api, "_LOOK_SECONDS", 0.2)
    began = time.monotonic()
    assert lender.poll(returnImmediately=False)["sets"] == {}
    assert time.monotonic() - began >= 1.5
    waited: list[int] = []
    fetch = events_api._fetch

    def meanwhile(*given: Any) -> Any:
        waited.append(1)
        if len(waited) == 3:
            consented(exchange_home)
            spread(exchange_home)
        return fetch(*given)

    monkeypatch.setattr(events_api, "_fetch", meanwhile)
    monkeypatch.setattr(events_api, "LONG_POLL_SECONDS", 60.0)
    assert len(lender.poll(returnImmediately=False)["sets"]) == 1


def test_a_third_poll_of_one_organisation_is_answered_at_once() -> None:
    waiting = events_api._Waiting()
    assert [waiting.enter(BANK) for _ in range(3)] == [True, True, False]
    assert waiting.enter(OTHER_BANK)
    waiting.leave(BANK)
    assert waiting.enter(BANK)


def test_an_event_that_cannot_be_taken_comes_again_and_is_given_up_after_five_times(
    exchange_home: Home, door: Door
) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    first, second = lender.poll()["sets"]
    said = {first: {"err": "invalid_key", "description": "张三的密钥"}}
    for _ in range(4):
        assert list(lender.poll(setErrs=said)["sets"]) == [first, second]
    assert list(lender.poll(setErrs=said)["sets"]) == [second]
    with exchange_home.database.transaction() as tx:
        row = tx.execute("SELECT settled, error, errors FROM lender_event WHERE entry_id = %s", (first,)).fetchone()
        assert row == ("given-up", "invalid_key", 5)
        telling.forget(tx, now=clock.now() + timedelta(days=31))
        assert tx.execute("SELECT count(*) FROM lender_event").fetchone() == (2,)
        telling.acknowledge(tx, BANK, [second], now=clock.now())
        assert telling.forget(tx, now=clock.now() + timedelta(days=31)) == 1


def test_a_no_is_told_only_where_the_person_let_the_lender_know(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    consents.refuse(exchange_home, ZHANG, BANK, "LOAN_APPROVAL", channel=Channel.APP, actor="test")
    now = clock.now()
    with exchange_home.database.transaction() as tx:
        (subject,) = tx.execute("SELECT subject_id FROM consent_refusal").fetchall()[0]
        for told, purpose in ((False, "GUARANTEE"), (True, "POST_LOAN")):
            consents.refuse_in(tx, subject, BANK, purpose, channel=Channel.APP, actor="phone", now=now)
            tx.execute(
                "INSERT INTO consent_request (request_id, client_id, recipient, subject_id, terms, message, user_code,"
                " state, told, created_at, expires_at, settled_at) VALUES (gen_random_uuid(), 'bank-events', %s, %s,"
                " jsonb_build_object('purpose', %s::text), '', '0000', 'refused', %s, %s, %s, %s)",
                (BANK, subject, purpose, told, now, now, now),
            )
    spread(exchange_home)
    (claims,) = (opened(door, one)[1] for one in lender.poll()["sets"].values())
    assert claims["events"] == {f"{ISSUER}/events/consent/request-refused": {"purpose": "POST_LOAN"}}


def test_going_through_the_log_page_by_page_leaves_nothing_out_and_tells_nothing_twice(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    lender = system(exchange_home, door)
    monkeypatch.setattr(telling, "AT_ONCE", 2)
    made = [consented(exchange_home).consent_id for _ in range(5)]
    spread(exchange_home)
    spread(exchange_home)
    assert [consent_id for consent_id, _ in kinds(door, lender.poll()["sets"])] == made


# ---- pushed ---------------------------------------------------------------------------------------------------------


def test_events_are_pushed_one_by_one_in_order_and_then_polled_no_more(exchange_home: Home, door: Door) -> None:
    lender, consent = system(exchange_home, door), consented(exchange_home)
    withdrawn(exchange_home, consent)
    spread(exchange_home)
    there = receiver()
    pushed_to(exchange_home, f"{there.url}/events")
    assert pushing.push_due(exchange_home) == 2
    there.stop()
    assert kinds(door, {str(place): one[3].decode() for place, one in enumerate(there.asked)}) == [
        (consent.consent_id, "granted"),
        (consent.consent_id, "withdrawn"),
    ]
    method, path, headers, _ = there.asked[0]
    assert (method, path, headers["Content-Type"]) == ("POST", "/events", "application/secevent+jwt")
    assert lender.poll()["sets"] == {}
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT outcome FROM event_delivery").fetchall() == [("accepted",)] * 2
        assert pushing.states(tx) == [(BANK, "bank-events", 0, 0, "", "accepted")]
    assert pushing.push_due(exchange_home) == 0


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (500, b"", "status:500"),
        (200, b"", "status:200"),
        (302, b"", "status:302"),
        (400, b'{"err": "invalid_key", "description": "x"}', "refused:invalid_key"),
        (400, b'{"err": "\xe5\xbc\xa0"}', "refused:other"),
        (400, b"[" * 30_000, "refused:other"),
    ],
)
def test_what_is_not_taken_is_noted_waits_longer_each_time_and_stays_to_be_polled(
    exchange_home: Home, door: Door, status: int, body: bytes, outcome: str
) -> None:
    lender = system(exchange_home, door)
    consented(exchange_home)
    consented(exchange_home, LI)
    spread(exchange_home)
    there = receiver(status, body)
    pushed_to(exchange_home, there.url)
    assert pushing.push_due(exchange_home) == 0
    assert pushing.push_due(exchange_home) == 0  # not yet due again
    there.stop()
    assert len(there.asked) == 1  # it stopped at the first
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT outcome FROM event_delivery").fetchall() == [(outcome,)]
        (failures, wait) = tx.execute("SELECT failures, next_at - %s FROM event_push", (clock.now(),)).fetchall()[0]
    assert failures == 1
    assert timedelta(0) < wait <= timedelta(seconds=5)
    assert len(lender.poll()["sets"]) == 2


def test_pushing_pauses_after_too_many_failures_and_registering_again_ends_that(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(exchange_home, door)
    consented(exchange_home)
    spread(exchange_home)
    there = receiver()
    gone = there.url
    there.stop()
    pushed_to(exchange_home, gone)
    monkeypatch.setattr(pushing, "FAILURES_MOST", 2)
    for _ in range(3):
        pushing.push_due(exchange_home)
        with exchange_home.database.transaction() as tx:
            tx.execute("UPDATE event_push SET next_at = now() - interval '1 second'")
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT outcome FROM event_delivery").fetchall() == [("unreachable",)] * 2
        assert tx.execute("SELECT paused_at IS NOT NULL FROM event_push").fetchone() == (True,)
    assert events(exchange_home).count("exchange:events:push-paused") == 1
    again = receiver()
    pushed_to(exchange_home, again.url)
    assert pushing.push_due(exchange_home) == 1
    again.stop()


def test_the_scheduled_jobs_bring_an_event_without_anybody_asking(exchange_home: Home, door: Door) -> None:
    system(exchange_home, door)
    there = receiver()
    pushed_to(exchange_home, there.url)
    wanted = {"log:sequence", "telling:spread", "telling:push"}
    running = jobs.Jobs(exchange_home, [job for job in jobs.table() if job.name in wanted])
    running.start()
    try:
        consented(exchange_home)
        deadline = time.monotonic() + 30
        while not there.asked and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        running.stop()
        there.stop()
    assert len(there.asked) == 1


def test_the_operator_says_on_the_command_line_where_events_go_and_sees_how_that_fares(
    exchange_home: Home, door: Door, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(exchange_home, door)
    consented(exchange_home)
    spread(exchange_home)
    there = receiver()
    qingqiao = InProcess(exchange_home.settings.home, addresses, monkeypatch)
    assert qingqiao("lender", "events-url", "bank-events", "--url", "http://10.0.0.1/").returncode == 2
    assert qingqiao("lender", "events-url", "nobody", "--url", there.url).returncode == 2
    assert qingqiao("lender", "events-url", "bank-events", "--url", f"{there.url}/in").returncode == 0
    assert pushing.push_due(exchange_home) == 1
    there.stop()
    said = qingqiao("lender", "events").stdout
    assert BANK in said
    assert "accepted" in said
    assert qingqiao("lender", "events-url", "bank-events").returncode == 0
    assert BANK not in qingqiao("lender", "events").stdout
    assert events(exchange_home).count("exchange:events:address-set") == 2


def test_the_gauges_tell_counts_and_name_nobody(exchange_home: Home, door: Door) -> None:
    system(exchange_home, door)
    withdrawn(exchange_home, consented(exchange_home))
    consented(exchange_home, LI)
    spread(exchange_home)
    registry = CollectorRegistry()
    TellingGauges(registry).look(exchange_home)
    text = generate_latest(registry).decode()
    assert 'qingqiao_consents{state="active"} 1.0' in text
    assert 'qingqiao_consents{state="withdrawn"} 1.0' in text
    assert "qingqiao_events_waiting 3.0" in text
    assert BANK not in text
