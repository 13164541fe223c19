"""Events and deletion notices as strangers, other lenders and hostile receivers see them."""

import socket
import ssl
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from exchange import outbound, paging, pushing
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.release import Permitted, release
from registry import clock
from tests.answering import Agency, speaking
from tests.attacks.bent_client import ISSUER, Door
from tests.certificates import Authority
from tests.people import BANK, ZHANG, consented, held, question
from tests.telling import pushed_to, receiver, spread, system, withdrawn

STANDING = True
OTHER_BANK = "别的银行"


def ended(home: Home) -> None:
    """A consent of the bank under which it was shown something, withdrawn."""
    consent = consented(home)
    held(home)
    assert isinstance(release(home, [question()])[0], Permitted)
    withdrawn(home, consent)
    spread(home)


def test_another_lender_reads_no_event_and_acknowledges_none(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    stranger = system(exchange_home, door, "other-bank", OTHER_BANK)
    ended(exchange_home)
    sets = lender.poll()["sets"]
    assert len(sets) == 2
    theirs = stranger.poll(ack=list(sets), setErrs={jti: {"err": "invalid_key"} for jti in sets})
    nobodys = stranger.poll(ack=[str(uuid4())])
    assert theirs == nobodys == {"sets": {}, "moreAvailable": False}
    assert list(lender.poll()["sets"]) == list(sets)


def test_another_lender_has_no_deletion_notice_and_answers_none(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    stranger = system(exchange_home, door, "other-bank", OTHER_BANK)
    ended(exchange_home)
    (notice,) = lender.call("GET", "/v1/deletions").json()["notices"]
    assert stranger.call("GET", "/v1/deletions").json()["notices"] == []
    for notice_id in (notice["notice_id"], str(uuid4())):
        answer = stranger.call("POST", f"/v1/deletions/{notice_id}/acknowledge", {"outcome": "deleted"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert lender.call("GET", "/v1/deletions?open_only=true").json()["notices"] == [notice]


LISTS = {
    "/v1/deletions": "deletion",
    "/v1/notices": "notice",
    "/v1/outcomes": "outcome",
    "/v1/staff": "staff",
    "/v1/subscriptions": "subscription",
    "/v1/events": "event",
    "/v1/webhook/deliveries": "delivery",
    "/audit/v1/deletions": "deletion of all",
}


def test_a_list_takes_its_own_cursors_and_no_others(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    watching = system(exchange_home, door, "csrc", "某监管局", Role.REGULATOR)
    for path, mine in LISTS.items():
        caller = watching if path.startswith("/audit/") else lender
        taken = [
            what for what in LISTS.values() if caller.call("GET", f"{path}?cursor={paging.placed(what, 1)}").is_success
        ]
        assert taken == [mine], path
        answers = [caller.call("GET", f"{path}?cursor={bent}") for bent in ("1", "x", "e30")]
        assert {(one.status_code, one.json()["code"]) for one in answers} == {(400, "request-malformed")}, path


def test_strangers_and_other_roles_find_the_doors_closed(exchange_home: Home, door: Door) -> None:
    assert door.call("POST", f"{ISSUER}/v1/events/poll", json={}).json()["code"] == "credentials-missing"
    watching = system(exchange_home, door, "csrc", "某监管局", Role.REGULATOR)
    assert watching.call("POST", "/v1/events/poll", {}).json()["code"] == "scope-missing"


def test_a_suspended_system_hears_nothing_not_even_by_push(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    there = receiver()
    pushed_to(exchange_home, there.url)
    ended(exchange_home)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, "bank-events", clients.SUSPENDED)
    assert pushing.push_due(exchange_home) == 0
    there.stop()
    assert there.asked == []
    answer = lender.call("POST", "/v1/events/poll", {"returnImmediately": True})
    assert answer.json()["code"] == "token-invalid"


@pytest.mark.parametrize(
    "body",
    [
        {"maxEvents": 201},
        {"maxEvents": -1},
        {"ack": [str(uuid4())] * 201},
        {"ack": ["' OR 1=1"]},
        {"setErrs": {"x": {"err": "y"}}},
        {"setErrs": {str(uuid4()): {}}},
        {"unknown": 1},
    ],
)
def test_a_malformed_poll_is_refused_without_repeating_it(exchange_home: Home, door: Door, body: object) -> None:
    answer = system(exchange_home, door).call("POST", "/v1/events/poll", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
    assert "OR 1=1" not in answer.text


def test_a_poll_that_was_listened_in_on_is_of_no_use_a_second_time(exchange_home: Home, door: Door) -> None:
    lender = system(exchange_home, door)
    ended(exchange_home)
    url = f"{ISSUER}/v1/events/poll"
    headers = lender.caller.headers("POST", url, lender.token)
    asked = {"headers": headers, "json": {"returnImmediately": True}}
    assert door.call("POST", url, **asked).status_code == 200
    assert door.call("POST", url, **asked).json()["code"] == "proof-invalid"


def test_a_redirect_to_a_machine_inside_is_not_followed(exchange_home: Home, door: Door) -> None:
    system(exchange_home, door)
    inside, outside = receiver(), receiver()
    outside.answer = lambda *_: (307, {"Location": inside.url}, b"")
    pushed_to(exchange_home, outside.url)
    ended(exchange_home)
    pushing.push_due(exchange_home)
    inside.stop()
    outside.stop()
    assert (len(outside.asked), len(inside.asked)) == (1, 0)


def test_a_name_that_leads_inside_since_it_was_registered_is_not_called(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(exchange_home, door)
    ended(exchange_home)
    pushed_to(exchange_home, "https://bank.example/events")
    asked: list[str] = []

    def answered(host: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        return [(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    pushing.push_due(exchange_home)
    monkeypatch.undo()
    assert asked == ["bank.example"]
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT outcome FROM event_delivery").fetchall() == [("address-refused",)]


@pytest.mark.parametrize(
    ("certified", "outcome"),
    [("bank.example", "accepted"), ("evil.example", "unreachable"), ("127.0.0.1", "unreachable")],
)
def test_only_whoever_proves_the_registered_name_is_told(  # of the address that was looked up, no certificate speaks
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certified: str, outcome: str
) -> None:
    system(exchange_home, door)
    ended(exchange_home)
    authority = Authority(tmp_path)
    there = Agency(authority.issue("there", [certified]))
    there.answer = lambda *_: (202, {}, b"")
    port = urlsplit(there.url).port
    pushed_to(exchange_home, f"https://bank.example:{port}/events")
    trusting = ssl.create_default_context(cafile=str(authority.path))
    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, verify=trusting))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    pushing.push_due(exchange_home)
    monkeypatch.undo()
    there.stop()
    with exchange_home.database.transaction() as tx:
        assert {row[0] for row in tx.execute("SELECT outcome FROM event_delivery")} == {outcome}
    assert [headers["Host"] for _, _, headers, _ in there.asked] == (
        [f"bank.example:{port}"] * 2 if outcome == "accepted" else []
    )


def test_outside_a_sandbox_this_machine_is_not_registered(exchange_home: Home, door: Door) -> None:
    system(exchange_home, door)
    for url in ("http://127.0.0.1:1/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/"):
        with exchange_home.database.transaction() as tx, pytest.raises(RequestRefused, match="events-url"):
            pushing.register(tx, "bank-events", url, sandbox=False, now=clock.now())
    with exchange_home.database.transaction() as tx, pytest.raises(RequestRefused):
        pushing.register(tx, "nobody", "https://bank.example/", sandbox=False, now=clock.now())


def test_a_receiver_that_drips_is_let_go_of_in_time(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(exchange_home, door)
    ended(exchange_home)
    monkeypatch.setattr(outbound, "DEADLINE_SECONDS", 1.0)

    def drips(caller: "object") -> None:
        caller.sendall(b"HTTP/1.1 ")  # type: ignore[attr-defined]  # a socket
        while True:
            caller.sendall(b"2")  # type: ignore[attr-defined]
            time.sleep(0.1)

    with speaking(drips) as port:
        pushed_to(exchange_home, f"http://127.0.0.1:{port}/")
        began = time.monotonic()
        assert pushing.push_due(exchange_home) == 0
        assert time.monotonic() - began < 10
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT outcome FROM event_delivery").fetchall() == [("too-long",)]


def test_neither_events_nor_the_delivery_log_hold_anything_of_a_person(exchange_home: Home, door: Door) -> None:
    system(exchange_home, door)
    there = receiver(400, '{"err": "张三 630222199901010001"}'.encode())
    pushed_to(exchange_home, there.url)
    ended(exchange_home)
    pushing.push_due(exchange_home)
    there.stop()
    with exchange_home.database.transaction() as tx:
        for table in ("event_delivery", "lender_event", "deletion_notice", "event_push"):
            text = str(tx.execute(f"SELECT * FROM {table}").fetchall())
            assert ZHANG.text not in text
            assert "张三" not in text
            (subject,) = tx.execute("SELECT subject_id FROM consent").fetchall()[0]
            assert str(subject) not in text
    assert BANK
