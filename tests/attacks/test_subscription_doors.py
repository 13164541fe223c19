"""Subscriptions, their events and the address for them, as strangers, other lenders and hostile receivers see them."""

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from exchange import outbound, push_targets
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.monitoring import delivering, doors, webhooks
from exchange.monitoring.models import SubscribeModel
from exchange.oauth import clients
from exchange.oauth.scopes import OF_AN_AGREEMENT, Role, Scope
from exchange.push_targets import Unreachable
from registry import clock, store
from tests.answering import speaking
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.monitoring import Receiver, delivered, published, subscribed, told, watched
from tests.people import BANK, SUBSIDY, ZHANG, caller
from tests.reachable import CONTACT
from tests.telling import System, system

STANDING = True
OTHER_BANK = "别的银行"
ROUTES = [
    ("GET", "/v1/subscriptions"),
    ("GET", f"/v1/subscriptions/{uuid4()}"),
    ("DELETE", f"/v1/subscriptions/{uuid4()}"),
    ("GET", "/v1/events"),
    ("GET", "/v1/webhook"),
    ("PUT", "/v1/webhook"),
    ("DELETE", "/v1/webhook"),
    ("POST", "/v1/webhook/test"),
    ("POST", "/v1/webhook/replay"),
    ("GET", "/v1/webhook/deliveries"),
    ("POST", "/v1/subscriptions"),
]


def waiting(home: Home, door: Door, url: str) -> System:
    """A lender with an address that is verified, and one event that waits for it."""
    lender = system(home, door, "bank-monitor")
    watched(home)
    subscribed(lender)
    with home.database.transaction() as tx:
        webhooks.register(tx, BANK, "bank-monitor", url, sandbox=True, now=clock.now())
        tx.execute("UPDATE webhook SET verified_at = now(), asked_at = NULL, next_at = now() - interval '1 second'")
    published(home, ("SUBSIDY", SUBSIDY))
    told(home)
    return lender


def outcomes(home: Home) -> list[str]:
    with home.database.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT outcome FROM webhook_delivery ORDER BY position")]


def test_anothers_subscription_event_and_address_are_not_there(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door, "bank-monitor")
    stranger = system(exchange_home, door, "other-bank", OTHER_BANK)
    consent = watched(exchange_home)
    made = subscribed(lender)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    told(exchange_home)
    for subscription_id in (made["subscription_id"], str(uuid4())):
        for method in ("GET", "DELETE"):
            answer = stranger.call(method, f"/v1/subscriptions/{subscription_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, "subscription-unknown")
    assert stranger.call("GET", "/v1/subscriptions").json()["subscriptions"] == []
    assert stranger.call("GET", "/v1/events").json()["events"] == []
    lender.call("PUT", "/v1/webhook", {"url": "https://bank.example/in"})
    for method, path in (("GET", ""), ("POST", "/test"), ("POST", "/replay")):
        answer = stranger.call(method, f"/v1/webhook{path}", {} if path == "/replay" else None)
        assert answer.json()["code"] == "webhook-unknown"
    assert stranger.call("DELETE", "/v1/webhook").status_code == 204
    assert lender.call("GET", "/v1/webhook").json()["url"] == "https://bank.example/in"
    body = {"consent_id": consent.consent_id, "purpose": "POST_LOAN", "business_no": "1", "events": ["warning"]}
    assert stranger.call("POST", "/v1/subscriptions", body).json()["code"] == "no-consent"
    assert len(lender.call("GET", "/v1/events").json()["events"]) == 1
    watching = system(exchange_home, door, "csrc", "某监管局", Role.REGULATOR)
    for method, path in ROUTES:
        given: dict[str, str] | None = {} if method in {"PUT", "POST"} else None
        assert door.call(method, ISSUER + path).json()["code"] == "credentials-missing"
        assert watching.call(method, path, given).json()["code"] == "scope-missing"


def test_a_token_of_one_agreement_follows_nothing_and_subscribes_under_no_other_consent() -> None:
    assert Scope.CONSENTS not in OF_AN_AGREEMENT
    bound = replace(caller(), consent_id="c-1")
    given = {"purpose": "POST_LOAN", "events": ["warning"]}
    with pytest.raises(RequestRefused, match="other-consent"):
        doors._ask(SubscribeModel(consent_id="c-2", **given), bound, None)  # type: ignore[arg-type]  # as it is read
    assert doors._ask(SubscribeModel(consent_id="c-1", **given), bound, None).presented == bound  # type: ignore[arg-type]  # the same


def test_what_is_malformed_is_refused_without_being_repeated(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door, "bank-monitor")
    good = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "POST_LOAN",
        "business_no": "1",
        "events": ["warning"],
    }
    bad: list[dict[str, object]] = [
        {"events": []},
        {"events": ["record.everything"]},
        {"business_no": ZHANG.text},
        {"subject": {"type": "resident_id", "identifier": "630222199901010002"}},
        {"consent_id": "x"},
        {"items": ["SUBSIDY.nothing"]},
        {"purpose": "SPYING"},
        {"until": "2020-01-01"},
        {"staff": {"user_id": "u"}},
        {ZHANG.text: 1},
    ]
    for change in bad:
        answer = lender.call("POST", "/v1/subscriptions", good | change)
        assert 400 <= answer.status_code < 500, change
        assert ZHANG.text not in answer.text
        assert "SPYING" not in answer.text
    for url in ("http://10.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://u:p@bank.example/",
                "ftp://bank.example/", "https://bank.example/?id=1", "http://bank.example/"):  # fmt: skip
        answer = lender.call("PUT", "/v1/webhook", {"url": url})
        assert answer.status_code == 422 or url == "https://[::1]/", url  # in a sandbox this machine may be named
    with exchange_home.database.transaction() as tx, pytest.raises(RequestRefused, match="events-url"):
        webhooks.register(tx, BANK, "bank-monitor", "https://127.0.0.1/", sandbox=False, now=clock.now())


def test_a_redirect_to_a_machine_inside_is_not_followed(exchange_home: Home, door: Door) -> None:
    inside, outside = Receiver(), Receiver()
    outside.status, outside.headers = 307, {"Location": inside.url}
    waiting(exchange_home, door, outside.url)
    delivered(exchange_home)
    inside.stop()
    outside.stop()
    assert (len(outside.agency.asked), len(inside.agency.asked)) == (1, 0)
    assert outcomes(exchange_home) == ["status:307"]


def test_a_name_that_leads_inside_since_it_was_proved_is_not_called(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(exchange_home, door, "https://bank.example/events")
    answers = [(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    delivered(exchange_home)
    monkeypatch.undo()
    refused = outcomes(exchange_home)
    waiting_again(exchange_home)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    delivered(exchange_home)
    monkeypatch.undo()
    assert refused == ["no-public-address"]
    assert outcomes(exchange_home) == refused * 2  # which names are known inside is not told


def waiting_again(home: Home) -> None:
    with home.database.transaction() as tx:
        tx.execute("UPDATE webhook SET next_at = now() - interval '1 second'")


def test_a_name_that_cannot_be_looked_up_stops_nobody_elses_events(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_ORGANISATIONS_AT_ONCE", 1)
    there = Receiver()
    waiting(exchange_home, door, there.url)
    with exchange_home.database.transaction() as tx:
        clients.register(
            tx, "odd-bank", role=Role.LENDER, organisation=OTHER_BANK, jwks=Caller("odd-bank").jwks, now=clock.now(),
            contact=CONTACT,
        )  # fmt: skip
        webhooks.register(tx, OTHER_BANK, "odd-bank", "https://odd.example/", sandbox=True, now=clock.now())
        tx.execute(
            "UPDATE webhook SET url = 'https://odd..example/', next_at = next_at - interval '1 day'"
            " WHERE organisation = %s",
            (OTHER_BANK,),
        )
    delivered(exchange_home)
    there.stop()
    assert there.types == ["record.new"]


def test_whatever_breaks_with_one_organisation_the_others_are_served(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Receiver()
    waiting(exchange_home, door, there.url)
    with exchange_home.database.transaction() as tx:
        hook = webhooks.find(tx, BANK)
    assert hook is not None
    broken, serve = replace(hook, organisation=OTHER_BANK), delivering._serve

    async def breaks(home: Home, one: webhooks.Webhook) -> int:
        if one.organisation == OTHER_BANK:
            raise RuntimeError
        return await serve(home, one)

    monkeypatch.setattr(delivering, "_ORGANISATIONS_AT_ONCE", 1)
    monkeypatch.setattr(delivering, "_serve", breaks)
    monkeypatch.setattr(delivering, "_due", lambda _: [broken, hook])
    with pytest.raises(RuntimeError):
        delivered(exchange_home)
    there.stop()
    assert there.types == ["record.new"]


def test_challenges_of_one_organisation_are_apart_however_they_are_asked_for(exchange_home: Home, door: Door) -> None:
    lender, there, other = system(exchange_home, door, "bank-monitor"), Receiver(), Receiver()
    for url in (there.url, other.url):
        lender.call("PUT", "/v1/webhook", {"url": url})
        delivered(exchange_home)
        lender.call("DELETE", "/v1/webhook")
    again = lender.call("PUT", "/v1/webhook", {"url": other.url})
    there.stop()
    other.stop()
    assert (again.status_code, again.json()["code"], again.headers["Retry-After"]) == (429, "too-often", "10")
    assert (len(there.agency.asked), len(other.agency.asked)) == (1, 0)


def test_a_receiver_that_drips_is_let_go_of_in_time_and_one_that_floods_is_not_read(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE_SECONDS", 1.0)

    def drips(caller: socket.socket) -> None:
        caller.sendall(b"HTTP/1.1 ")
        while True:
            caller.sendall(b"2")
            time.sleep(0.1)

    with speaking(drips) as port:
        lender = waiting(exchange_home, door, f"http://127.0.0.1:{port}/")
        began = time.monotonic()
        assert delivered(exchange_home) == 0
        assert time.monotonic() - began < 10
    assert outcomes(exchange_home) == ["too-long"]
    flooding = Receiver()
    flooding.agency.answer = lambda *_: (200, {}, b"x" * 200_000)
    with exchange_home.database.transaction() as tx:
        tx.execute("DELETE FROM webhook")
        webhooks.register(tx, BANK, lender.caller.client_id, flooding.url, sandbox=True, now=clock.now())
    assert delivered(exchange_home) == 0  # what it floods with is no proof
    flooding.stop()
    assert outcomes(exchange_home)[-1] == "challenge-unanswered"


def test_who_is_slow_keeps_the_others_waiting_no_longer_than_the_document_says(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/lenders.md").read_text(encoding="utf-8")
    assert f"none within {delivering.ANSWER_SECONDS:.0f} seconds" in text
    monkeypatch.setattr(delivering, "ANSWER_SECONDS", 0.5)

    def says_nothing(caller: socket.socket) -> None:
        while caller.recv(65536):
            pass

    with speaking(says_nothing) as port:
        waiting(exchange_home, door, f"http://127.0.0.1:{port}/")
        began = time.monotonic()
        assert delivered(exchange_home) == 0
        with exchange_home.database.transaction() as tx:
            tx.execute("UPDATE webhook SET asked_at = now(), verified_at = NULL")
        assert delivered(exchange_home) == 0
        assert time.monotonic() - began < outbound.READ_SECONDS
    assert outcomes(exchange_home) == ["too-long", "too-long"]


def test_a_challenge_takes_of_the_time_of_its_organisation(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Receiver()
    waiting(exchange_home, door, there.url)
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE webhook SET asked_at = now(), verified_at = NULL")
    with monkeypatch.context() as short:
        short.setattr(delivering, "RUN_SECONDS", 0.0)
        assert delivered(exchange_home) == 0
    assert outcomes(exchange_home) == ["accepted"], "the challenge alone"
    assert delivered(exchange_home) == 1
    there.stop()


def test_a_name_server_that_does_not_answer_is_not_waited_for(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(exchange_home, door, "http://127.0.0.1:9/")
    monkeypatch.setattr(delivering, "ANSWER_SECONDS", 0.5)
    over = threading.Event()

    def waits(*_: object, **__: object) -> None:
        over.wait(20)
        raise Unreachable("name-unknown")

    monkeypatch.setattr(push_targets, "resolve", waits)
    began = time.monotonic()
    assert delivered(exchange_home) == 0
    assert time.monotonic() - began < 10
    over.set()
    assert outcomes(exchange_home) == ["too-long"]


def test_a_suspended_system_is_sent_nothing(exchange_home: Home, door: Door) -> None:
    there = Receiver()
    waiting(exchange_home, door, there.url)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, "bank-monitor", clients.SUSPENDED)
    assert delivered(exchange_home) == 0
    there.stop()
    assert there.agency.asked == []


def test_no_table_of_subscriptions_holds_a_name_a_number_or_a_value(exchange_home: Home, door: Door) -> None:
    there = Receiver(status=422)
    there.headers = {"X-Said": "630222199901010001"}
    waiting(exchange_home, door, there.url)
    delivered(exchange_home)
    there.stop()
    with exchange_home.database.transaction() as tx:
        subject = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
        for table in ("monitor_subscription", "monitor_event", "webhook", "webhook_delivery"):
            text = str(tx.execute(f"SELECT * FROM {table}").fetchall())
            assert ZHANG.text not in text
            assert "120050" not in text
        sent = b"".join(body for *_, body in there.agency.asked).decode()
    assert str(subject) not in sent
    assert BANK not in sent
