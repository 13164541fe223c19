"""What meets a subscription sideways: while it is made, in a pause, and what else is told of its person."""

from datetime import datetime
from threading import Thread

import httpx
import pytest

from consent.evidence import Channel
from exchange import consents, jobs, recall_notices
from exchange.home import Home
from exchange.monitoring import doors, keeping, making
from exchange.monitoring.models import SubscribeModel
from exchange.release import Permitted, release, watching
from exchange.release.watching import Watch
from registry import clock, recalling, store
from registry.database import Transaction
from registry.recalling import Recalled
from tests.attacks.bent_client import ISSUER, Door
from tests.monitoring import SUBSCRIBE, made, published, rating, subscribed, told, types, watched
from tests.people import SUBSIDY, ZHANG, caller, question, sequenced
from tests.telling import System, system

STANDING = True


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> System:
    return system(exchange_home, door, "bank-monitor")


def keyed(lender: System, body: object) -> httpx.Response:
    url = f"{ISSUER}/v1/subscriptions"
    headers = lender.caller.headers("POST", url, lender.token) | {"Idempotency-Key": "key-of-a-loan-1"}
    return lender.door.call("POST", url, headers=headers, json=body)


def test_a_subscription_is_found_by_its_key_though_a_record_that_stood_then_was_recalled(
    exchange_home: Home, lender: System
) -> None:
    watched(exchange_home)
    batch = published(exchange_home, ("SUBSIDY", SUBSIDY))
    body = {"subject": {"type": "resident_id", "identifier": ZHANG.text}, "events": ["record.new"]} | SUBSCRIBE
    first = keyed(lender, body)
    with exchange_home.database.transaction() as tx:
        recalling.recall_batch(tx, batch, now=clock.now(), actor="test")
    again = keyed(lender, body)
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_subscription_says_what_is_left_of_its_systems_limits_as_any_answer_does(
    exchange_home: Home, lender: System
) -> None:
    watched(exchange_home)
    body = {"subject": {"type": "resident_id", "identifier": ZHANG.text}, "events": ["record.new"]} | SUBSCRIBE
    answer = lender.call("POST", "/v1/subscriptions", body)
    assert answer.status_code == 201
    assert "RateLimit" in answer.headers
    assert "RateLimit-Policy" in answer.headers


def test_what_is_published_while_somebody_subscribes_is_found_or_told(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    given = SubscribeModel.model_validate(
        {"subject": {"type": "resident_id", "identifier": ZHANG.text}, "events": ["record.new"]} | SUBSCRIBE
    )
    job = Thread(target=making.make_all, args=(exchange_home,))

    def meanwhile(step: int) -> None:
        if step == 4:  # what stood has been read, the subscription is not there yet
            published(exchange_home, ("SUBSIDY", SUBSIDY))
            sequenced(exchange_home)
            job.start()
            job.join(1)

    def keep(tx: Transaction, watch: Watch, now: datetime) -> None:
        keeping.keep(tx, watch, given.events, None, now=now)

    asked = caller(client_id=lender.caller.client_id)
    watching.subscribe(exchange_home, doors._ask(given, asked, None), keep, at_step=meanwhile)
    job.join(30)
    assert types(exchange_home) == ["record.new"]


def test_what_is_recalled_while_somebody_subscribes_is_told_though_its_moment_lies_before(
    exchange_home: Home, lender: System
) -> None:
    watched(exchange_home)
    batch = published(exchange_home, ("SUBSIDY", SUBSIDY))
    before = clock.now()
    subscribed(lender)
    with exchange_home.database.transaction() as tx:
        recalling.recall_batch(tx, batch, now=before, actor="test")
    told(exchange_home)
    assert types(exchange_home) == ["record.recalled"]


def test_no_notice_of_a_recall_goes_to_whoever_only_subscribed(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    subscribed(lender)
    for notices in (0, 1):
        with exchange_home.database.transaction() as tx:
            subject = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
            gone = [Recalled(one.ref, one.commitment) for one in store.visible(tx, {(subject, "SUBSIDY")})]
            assert recall_notices.notify(tx, gone) == notices
        asked = question(purpose="POST_LOAN", items=frozenset({"SUBSIDY.project"}))
        assert isinstance(release(exchange_home, [asked])[0], Permitted)


def test_no_data_life_is_over_of_a_subscription_that_stands(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    made_one = subscribed(lender)

    def asked() -> list[dict[str, object]]:
        jobs.ask_outlived(exchange_home)
        return list(lender.call("GET", "/v1/deletions").json()["notices"])

    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE query SET decided_at = decided_at - interval '900 days'")
    assert asked() == []
    lender.call("DELETE", f"/v1/subscriptions/{made_one['subscription_id']}")
    assert asked() == []
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE monitor_subscription SET ended_at = ended_at - interval '900 days'")
    for _ in range(2):
        (notice,) = asked()
        assert (notice["reason"], notice["queries"]) == ("data-life", [made_one["subscription_id"]])


def test_a_pause_stays_silent_though_it_was_over_before_anybody_looked(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    subscribed(lender)
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        consents.pause_in(tx, consent.consent_id, Channel.APP, actor="test", now=clock.now())
    sequenced(exchange_home)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    sequenced(exchange_home)
    with exchange_home.database.transaction() as tx:
        consents.resume_in(tx, consent.consent_id, Channel.APP, actor="test", now=clock.now())
    sequenced(exchange_home)
    published(exchange_home, rating("B"))
    told(exchange_home)
    assert [facts.get("kind") for _, facts in made(exchange_home)] == [None, None, "RATING"]
