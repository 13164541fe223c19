"""Events are sent to a proved address, signed, in order for each person, at least once, and again when asked for."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
from http_message_signatures import InvalidSignature
from prometheus_client import CollectorRegistry, generate_latest

from consent.evidence import Channel
from exchange import consents
from exchange.admission import keyrings, notes, settling, suspending
from exchange.client import Lender, NotGenuine, new_client, verify_webhook
from exchange.home import Home
from exchange.monitoring import delivering, reading, webhooks
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.telling_gauges import TellingGauges
from registry import clock
from registry.canonical import unb64url
from registry.database import Transaction
from tests.agencies import events as logged
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.monitoring import Receiver, delivered, held_by_a_library, published, rating, subscribed, told, watched
from tests.people import BANK, LI, SUBSIDY, ZHANG
from tests.reachable import CONTACT
from tests.registering import fresh_key
from tests.telling import System, system
from tests.through import through
from tests.waiting import until_somebody_waits

STANDING = True
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> System:
    return system(exchange_home, door, "bank-monitor")


@pytest.fixture
def there() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def registered(home: Home, lender: System, there: Receiver) -> None:
    """Register an address, which proves itself at once."""
    assert lender.call("PUT", "/v1/webhook", {"url": there.url}).json()["state"] == "pending"
    delivered(home)


def years(home: Home, *wanted: int, who: Any = ZHANG) -> None:
    for year in wanted:
        published(home, ("SUBSIDY", dict(SUBSIDY) | {"grant_year": year}), who=who)
    told(home)


def outcomes(lender: System) -> list[str]:
    """What came of attempts, the first first."""
    found = lender.call("GET", "/v1/webhook/deliveries").json()["deliveries"]
    return [one["outcome"] for one in reversed(found)]


def state(lender: System) -> dict[str, Any]:
    return dict(lender.call("GET", "/v1/webhook").json())


def hurried(home: Home) -> None:
    """Let what waits be due."""
    with home.database.transaction() as tx:
        tx.execute("UPDATE webhook SET next_at = now() - interval '1 second'")
        tx.execute("UPDATE webhook SET asked_at = now() - interval '20 seconds' WHERE asked_at IS NOT NULL")
        tx.execute("UPDATE monitor_event SET next_at = now() - interval '1 second'")
        tx.execute("UPDATE webhook_delivery SET at = at - interval '20 seconds'")


def test_the_whole_way_with_signatures_that_a_library_of_others_holds(
    exchange_home: Home, lender: System, there: Receiver, door: Door
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    assert state(lender)["state"] == "verified"
    years(exchange_home, 2020, 2021)
    assert delivered(exchange_home) == 2
    assert [event["data"]["sequence"] for event in there.taken] == [1, 2]
    assert outcomes(lender) == ["accepted"] * 3
    jwks = door.call("GET", f"{ISSUER}/oauth/jwks").json()
    assert len(there.agency.asked) == 3
    for method, path, headers, body in there.agency.asked:
        assert (method, path, headers["Content-Type"]) == ("POST", "/qingqiao", "application/cloudevents+json")
        result = held_by_a_library(jwks, there.url, headers, body)
        assert set(result.covered_components) == {
            '"@method"', '"@target-uri"', '"content-digest"', '"content-type"', '"@signature-params"',
        }  # fmt: skip
        assert result.parameters["alg"] == "ecdsa-p256-sha256"
        assert verify_webhook(headers, body, jwks, url=there.url)["id"]
        with pytest.raises(InvalidSignature):
            held_by_a_library(jwks, there.url, headers, body + b" ")
        with pytest.raises(NotGenuine):
            verify_webhook(headers, body + b" ", jwks, url=there.url)
    assert delivered(exchange_home) == 0


def test_nothing_is_sent_to_an_address_that_does_not_prove_itself(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    watched(exchange_home)
    subscribed(lender)
    there.proves = False
    registered(exchange_home, lender, there)
    years(exchange_home, 2020)
    for _ in range(webhooks.CHALLENGES_MOST + 2):
        hurried(exchange_home)
        delivered(exchange_home)
    assert there.taken == []
    assert outcomes(lender) == ["challenge-unanswered"] * webhooks.CHALLENGES_MOST
    assert state(lender)["state"] == "unproven"
    there.proves = True
    assert lender.call("POST", "/v1/webhook/test").status_code == 202
    assert delivered(exchange_home) == 1


def test_an_address_that_fails_waits_longer_each_time_is_paused_and_proves_itself_again(
    exchange_home: Home, lender: System, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020, 2021)
    there.status, there.headers = 503, {"Retry-After": "600"}
    monkeypatch.setattr(webhooks, "FAILURES_MOST", 2)
    assert delivered(exchange_home) == 0
    assert delivered(exchange_home) == 0  # not yet due again
    with exchange_home.database.transaction() as tx:
        (wait,) = tx.execute("SELECT next_at - %s FROM webhook", (clock.now(),)).fetchall()[0]
    assert timedelta(seconds=590) < wait <= timedelta(seconds=600)
    hurried(exchange_home)
    delivered(exchange_home)
    assert (state(lender)["state"], state(lender)["paused"]) == ("paused", "failures")
    there.status = 200
    hurried(exchange_home)
    assert delivered(exchange_home) == 0
    lender.call("POST", "/v1/webhook/test")
    assert delivered(exchange_home) == 2
    assert [event["data"]["sequence"] for event in there.taken] == [1, 2]
    assert outcomes(lender) == ["accepted", "status:503", "status:503", "accepted", "accepted", "accepted"]
    assert logged(exchange_home).count("exchange:webhook:paused") == 1
    there.status = 410
    years(exchange_home, 2022)
    delivered(exchange_home)
    assert state(lender)["paused"] == "gone"


def test_a_receiver_that_has_lost_its_route_or_our_keys_loses_no_event(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020, 2021)
    there.status = 404
    for there.status in (401, 403, 404) * 4:
        hurried(exchange_home)
        assert delivered(exchange_home) == 0
    there.status = 200
    hurried(exchange_home)
    assert delivered(exchange_home) == 2
    assert [event["data"]["sequence"] for event in there.taken] == [1, 2]


def test_a_challenge_says_for_whose_events_an_address_is_asked(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    registered(exchange_home, lender, there)
    ((*_, body),) = there.agency.asked
    assert orjson.loads(body)["data"]["client_id"] == "bank-monitor"
    jsonschema.validate(orjson.loads(body), reading.schema())


def test_what_one_event_is_refused_holds_up_its_own_person_and_nobody_else(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    watched(exchange_home)
    watched(exchange_home, LI)
    first = subscribed(lender)
    other = subscribed(lender, subject={"type": "resident_id", "identifier": LI.text})
    registered(exchange_home, lender, there)
    there.refuses = {"rating.changed"}
    published(exchange_home, rating("A", "2026-01-01"), days_ago=90)
    published(exchange_home, rating("AA", "2026-02-01"), days_ago=60)
    years(exchange_home, 2020)
    years(exchange_home, 2021, who=LI)
    delivered(exchange_home)
    sent = [(event["data"]["subscription_id"], event["type"]) for event in there.taken]
    assert sent == [(first["subscription_id"], "record.new"), (other["subscription_id"], "record.new")]
    for _ in range(delivering.REFUSED_MOST):
        hurried(exchange_home)
        delivered(exchange_home)
    assert [event["data"]["sequence"] for event in there.taken] == [1, 1, 3]  # given up, and on
    assert outcomes(lender).count("status:422") == delivering.REFUSED_MOST
    assert state(lender)["state"] == "verified"


def test_what_may_not_be_told_any_more_is_not_sent(exchange_home: Home, lender: System, there: Receiver) -> None:
    consent = watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020)
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert delivered(exchange_home) == 0
    told(exchange_home)
    assert delivered(exchange_home) == 1
    assert there.types == ["consent.changed"]


def test_events_are_sent_again_from_a_cursor_with_the_same_ids(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020, 2021, 2022)
    assert delivered(exchange_home) == 3
    after = lender.call("GET", "/v1/events?limit=1").json()["next"]
    assert lender.call("POST", "/v1/webhook/replay", {"after": after}).json() == {"events": 2}
    assert delivered(exchange_home) == 2
    ids = [event["id"] for event in there.taken]
    assert ids[3:] == ids[1:3]
    with exchange_home.database.transaction() as tx:
        webhooks.forget(tx, now=clock.now() + timedelta(days=91))
    assert lender.call("GET", "/v1/events").json()["events"] == []
    assert lender.call("GET", "/v1/webhook/deliveries").json() == {"deliveries": [], "next": None}


def test_an_event_that_arrived_and_was_not_noted_is_sent_once_more_under_its_id(
    exchange_home: Home, lender: System, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020)

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(webhooks, "note", dies)
        delivered(exchange_home)
    assert delivered(exchange_home) == 1
    first, second = there.taken
    assert first == second


def test_the_delivery_log_is_paged_and_an_address_is_taken_back(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    watched(exchange_home)
    subscribed(lender)
    registered(exchange_home, lender, there)
    years(exchange_home, 2020, 2021)
    delivered(exchange_home)
    first = lender.call("GET", "/v1/webhook/deliveries?limit=2").json()
    second = lender.call("GET", f"/v1/webhook/deliveries?limit=2&cursor={first['next']}").json()
    events = [one["event_id"] for one in (*first["deliveries"], *second["deliveries"])]
    assert [one is None for one in events] == [False, False, True]
    assert second["next"] is None
    assert all(set(one) == {"event_id", "at", "attempt", "outcome", "milliseconds"} for one in first["deliveries"])
    assert lender.call("DELETE", "/v1/webhook").status_code == 204
    assert lender.call("GET", "/v1/webhook").json()["code"] == "webhook-unknown"
    years(exchange_home, 2022)
    assert delivered(exchange_home) == 0


def test_the_operator_sees_by_count_and_by_lender_what_waits_and_what_is_paused(
    exchange_home: Home, lender: System, there: Receiver, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(exchange_home)
    subscribed(lender)
    years(exchange_home, 2020)
    qingqiao = InProcess(exchange_home.settings.home, addresses, monkeypatch)
    assert "none" in qingqiao("lender", "webhooks").stdout
    registered(exchange_home, lender, there)
    there.status = 410
    years(exchange_home, 2021, 2022)
    delivered(exchange_home)
    said = qingqiao("lender", "webhooks").stdout
    for word in (BANK, "paused", "gone", "status:410"):
        assert word in said
    with exchange_home.database.transaction() as tx:
        assert webhooks.states(tx) == [(BANK, "bank-monitor", "paused", "gone", 1, 2, 1, "status:410")]
    registry = CollectorRegistry()
    TellingGauges(registry).look(exchange_home)
    text = generate_latest(registry).decode()
    assert 'qingqiao_webhooks{state="paused"} 1.0' in text
    assert 'qingqiao_webhooks{state="verified"} 0.0' in text
    assert "qingqiao_subscriptions 1.0" in text
    assert "qingqiao_webhook_events_waiting 2.0" in text
    assert BANK not in text


def test_the_receiver_of_the_document_and_the_kit_do_what_the_document_says(exchange_home: Home, door: Door) -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- receiver -->\n```python\n(.*?)```", text, re.DOTALL)
    kept: list[dict[str, Any]] = []
    mine = new_client("bank-kit")
    with exchange_home.database.transaction() as tx:
        clients.register(
            tx, "bank-kit", role=Role.LENDER, organisation=BANK, jwks=mine.jwks, now=clock.now(), contact=CONTACT
        )
    with through(door) as http:
        kit = Lender(ISSUER, mine, http=http)
        told_of: dict[str, Any] = {"keys": kit.published_keys, "client_id": "bank-kit", "keep": kept.append}
        exec(code, told_of)  # noqa: S102  # what a reader of the document would run
        quiet = type("Quiet", (told_of["Receiver"],), {"log_message": lambda *_: None})
        with HTTPServer(("127.0.0.1", 0), quiet) as server:
            told_of["address"] = f"http://127.0.0.1:{server.server_address[1]}/in"
            threading.Thread(target=server.serve_forever, daemon=True).start()
            consent = watched(exchange_home)
            made = kit.subscribe(
                consent.consent_id, purpose="POST_LOAN", business_no="1", events=["record.new"], items=["SUBSIDY"]
            )
            assert kit.set_webhook(told_of["address"]) is not None
            delivered(exchange_home)
            years(exchange_home, 2020)
            assert delivered(exchange_home) == 1
            read = kit.happenings()
            assert kit.replay(read.next) == 0
            assert kit.webhook()["state"] == "verified"
            forged = httpx.post(told_of["address"], content=b"{}")
            server.shutdown()
        assert [event["type"] for event in kept] == ["webhook.challenge", "record.new"]
        assert list(read) == kept[1:]
        assert kept[1]["data"]["subscription_id"] == made["subscription_id"]
        assert forged.status_code == 401
        kit.unsubscribe(made["subscription_id"])
        assert kit.set_webhook(None) is None


# ---- whoever registered it may have been somebody else --------------------------------------------------------------


def noted(home: Home, client_id: str = "bank-monitor") -> list[tuple[str, dict[str, Any]]]:
    with home.database.transaction() as tx:
        return [(code, fields) for code, fields, _ in notes.latest(tx, client_id)]


def _suspended(tx: Transaction) -> None:
    assert suspending.suspend(tx, "bank-monitor", actor="operator", now=clock.now())
    assert suspending.resume(tx, "bank-monitor", actor="operator", now=clock.now())


def _other_certificate(tx: Transaction) -> None:
    assert settling.set_certificate(tx, "bank-monitor", None, actor="operator", now=clock.now())


def _other_keys(tx: Transaction) -> None:
    keys = Caller("bank-monitor", key=fresh_key("k2")).jwks
    assert keyrings.replace(tx, "bank-monitor", keys, actor="bank-monitor", now=clock.now())


@pytest.mark.parametrize("change", [_suspended, _other_certificate, _other_keys])
def test_an_address_is_unproven_once_its_system_was_suspended_or_its_credentials_were_replaced(
    exchange_home: Home, lender: System, there: Receiver, change: Callable[[Transaction], None]
) -> None:
    registered(exchange_home, lender, there)
    with exchange_home.database.transaction() as tx:
        under_way = webhooks.find(tx, BANK)
        assert under_way is not None
        change(tx)
    with exchange_home.database.transaction() as tx:
        webhooks.proved(tx, under_way, now=clock.now())  # a challenge that was answered meanwhile
        found = webhooks.find(tx, BANK)
    assert found is not None
    assert (found.state, found.url) == ("unproven", there.url)
    before = len(there.agency.asked)
    assert delivered(exchange_home) == 0
    assert len(there.agency.asked) == before, "nothing was sent, and no challenge"
    assert "webhook-unproven" in [code for code, _ in noted(exchange_home)]
    hurried(exchange_home)
    with exchange_home.database.transaction() as tx:
        webhooks.ask(tx, BANK, now=clock.now())
    delivered(exchange_home)
    with exchange_home.database.transaction() as tx:
        proved = webhooks.find(tx, BANK)
    assert proved is not None
    assert proved.state == "verified"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/webhook", {"url": "http://127.0.0.1:9/thief"}),
        ("DELETE", "/v1/webhook", None),
        ("POST", "/v1/webhook/test", None),
        ("POST", "/v1/webhook/replay", {}),
    ],
)
def test_who_was_admitted_a_moment_before_a_suspension_changes_no_address_after_it(
    exchange_home: Home, lender: System, there: Receiver, method: str, path: str, body: dict[str, str] | None
) -> None:
    registered(exchange_home, lender, there)
    answers: list[int] = []
    with exchange_home.database.transaction() as tx:
        _suspended(tx)
        late = threading.Thread(target=lambda: answers.append(lender.call(method, path, body).status_code))
        late.start()  # admitted by what stands: the suspension has not been committed
        until_somebody_waits(exchange_home)
    late.join()
    assert answers == [401]
    with exchange_home.database.transaction() as tx:
        found = webhooks.find(tx, BANK)
    assert found is not None
    assert (found.state, found.url) == ("unproven", there.url)


def test_a_token_got_in_the_second_of_a_change_is_as_good_as_any(
    exchange_home: Home, door: Door, lender: System, there: Receiver
) -> None:
    issued = orjson.loads(unb64url(lender.token.split(".")[1]))["iat"]
    with exchange_home.database.transaction() as tx:
        tx.execute(
            "UPDATE client SET tokens_from = to_timestamp(%s) WHERE client_id = 'bank-monitor'", (issued - 0.0005,)
        )
    assert lender.call("PUT", "/v1/webhook", {"url": there.url}).status_code == 200
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE client SET tokens_from = to_timestamp(%s) WHERE client_id = 'bank-monitor'", (issued,))
    assert lender.call("DELETE", "/v1/webhook").status_code == 401


def another_system(home: Home, client_id: str) -> None:
    """Register another system of the same lender."""
    with home.database.transaction() as tx:
        clients.register(
            tx, client_id, role=Role.LENDER, organisation=BANK, jwks=Caller(client_id).jwks, now=clock.now(),
            same_organisation=True,
        )  # fmt: skip


def test_the_suspension_of_another_system_leaves_the_address_as_it_is(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    another_system(exchange_home, "bank-other")
    registered(exchange_home, lender, there)
    with exchange_home.database.transaction() as tx:
        assert suspending.suspend(tx, "bank-other", actor="operator", now=clock.now())
    assert state(lender)["state"] == "verified"


def test_all_systems_of_a_lender_find_a_note_of_each_address_that_is_set_or_taken_back(
    exchange_home: Home, lender: System, there: Receiver
) -> None:
    another_system(exchange_home, "bank-other")
    for _ in range(2):
        assert lender.call("PUT", "/v1/webhook", {"url": there.url}).status_code == 200
    for _ in range(2):
        assert lender.call("DELETE", "/v1/webhook").status_code == 204
    said = [("webhook-set", {"by": "bank-monitor", "host": host}) for host in (None, "127.0.0.1")]
    assert noted(exchange_home) == noted(exchange_home, "bank-other") == said
