"""Somebody at a lender tries identifiers out, under the product's own limits: what the doors answer, who is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml

from exchange import paging
from exchange.home import Home
from exchange.limits import declared
from registry import clock
from registry.canonical import b64url
from registry.identifiers import ResidentId, resident_check
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.people import ZHANG, consented, held, sequenced

QUERIES = f"{ISSUER}/v1/queries"
BANK_ONE = "91630000MA0000000X"  # what bent_client registers


@pytest.fixture(autouse=True)
def _own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QINGQIAO_LIMITS")


@pytest.fixture
def exchange(_own_limits: None, exchange_home: Home, door: Door) -> Home:
    assert exchange_home.settings.limits is None
    consented(exchange_home, recipient=BANK_ONE, max_uses=12)
    held(exchange_home)
    return exchange_home


class Asking:
    """A session at the doors."""

    def __init__(self, door: Door, client: Caller) -> None:
        self.door, self.client, self.token = door, client, client.token(door)

    def get(self, path: str, **query: Any) -> httpx.Response:
        address = ISSUER + path
        return self.door.call("GET", address, params=query, headers=self.client.headers("GET", address, self.token))

    def ask(self, who: ResidentId, user: str | None = "u-1", **changes: Any) -> httpx.Response:
        asked = {
            "subject": {"type": "resident_id", "identifier": who.text},
            "purpose": "LOAN_APPROVAL",
            "business_no": "LA-1",
        }
        staff = {} if user is None else {"staff": {"user_id": user, "department": "credit"}}
        headers = self.client.headers("POST", QUERIES, self.token)
        return self.door.call("POST", QUERIES, json=asked | staff | changes, headers=headers)


def stranger(number: int) -> ResidentId:
    digits = f"63020319{50 + number}0615000"
    return ResidentId.parse(digits + resident_check(digits))


def test_five_guesses_end_a_users_day_and_everybody_concerned_is_told(
    exchange: Home, door: Door, lender: Caller, other_lender: Caller, regulator: Caller
) -> None:
    bank = Asking(door, lender)
    before = bank.ask(ZHANG)
    assert before.status_code == 200
    assert '"user-day";r=49;' in before.headers["ratelimit"]
    assert '"user-day";q=50;w=86400' in before.headers["ratelimit-policy"]
    for number in range(5):
        refused = bank.ask(stranger(number), business_no=f"LA-{number}")
        assert (refused.status_code, refused.json()["code"]) == (403, "no-consent")
        assert f'"user-day";r={48 - number};' in refused.headers["ratelimit"]
    for changes in ({}, {"business_no": "LA-9"}, {"purpose": "GUARANTEE"}, {"mode": "tags"}):
        held_off = bank.ask(ZHANG, **changes)
        assert held_off.status_code == 429
        problem = held_off.json()
        assert (problem["code"], problem["request_id"]) == ("enumeration-suspected", held_off.headers["x-request-id"])
        assert 1700 < int(held_off.headers["retry-after"]) <= 1800
        assert held_off.headers["content-type"] == "application/problem+json"
    assert bank.ask(ZHANG, "u-2").status_code == 200
    assert bank.ask(ZHANG, None).status_code == 200

    office = Asking(door, regulator)
    (alert,) = office.get("/audit/v1/alerts", rule="AQ17").json()["alerts"]
    assert (alert["client_id"], alert["user_code"], alert["counted"], alert["refused"]) == ("lender-one", "u-1", 5, 4)
    assert (alert["window_seconds"], alert["organisation"]) == (600, BANK_ONE)
    assert alert["held_until"] is not None
    events = office.get("/audit/v1/events", event="audit:alert*").json()["events"]
    assert {one["event"] for one in events} == {"audit:alert:raised", "audit:alert:grew", "audit:alerts:read"}
    assert all(one["subject_id"] is None for one in events)
    assert bank.get("/v1/alerts").json()["alerts"] == [alert]
    assert Asking(door, other_lender).get("/v1/alerts").json() == {"alerts": [], "next": None}
    assert 'qingqiao_limited_total{code="enumeration-suspected"} 4.0' in door.call("GET", f"{ISSUER}/metrics").text


def test_alerts_are_read_page_by_page_and_a_cursor_of_ones_own_is_refused(
    exchange: Home, door: Door, lender: Caller, regulator: Caller
) -> None:
    bank, office = Asking(door, lender), Asking(door, regulator)
    for user in ("u-1", "u-2", "u-3"):
        for number in range(5):
            bank.ask(stranger(number), user)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = office.get("/audit/v1/alerts", limit=2, **cursor).json()
        seen += [one["user_code"] for one in page["alerts"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == ["u-3", "u-2", "u-1"]
    for made_up in ("x", "WzFd.", "e30", "WyJhIl0"):
        assert office.get("/audit/v1/alerts", cursor=made_up).status_code == 400
    assert office.get("/v1/alerts").status_code == 403
    assert bank.get("/audit/v1/alerts").status_code == 403


def test_the_trail_is_read_page_by_page_and_a_cursor_of_ones_own_is_refused(door: Door, regulator: Caller) -> None:
    office = Asking(door, regulator)
    for _ in range(5):
        office.get("/audit/v1/alerts")
    whole = [one["entry_id"] for one in office.get("/audit/v1/events", event="audit:alerts:read").json()["events"]]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = office.get("/audit/v1/events", event="audit:alerts:read", limit=2, **cursor).json()
        seen += [one["entry_id"] for one in page["events"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert (seen, len(seen)) == (whole, 5)
    others = paging.cursor("paper", clock.now(), UUID(whole[0]))
    for made_up in ("x", "e30", b64url(b'["entry","2026-06-01T00:00:00Z",5]'), b64url(b'["2026-06-01",null]'), others):
        assert office.get("/audit/v1/events", cursor=made_up).status_code == 400


def left_of(answer: httpx.Response, name: str) -> int:
    assert answer.headers.get_list("ratelimit-policy") == [f'"{name}";q=3;w=90']
    (told,) = answer.headers.get_list("ratelimit")
    what, left, seconds = told.split(";")
    assert (what, 0 < int(seconds.removeprefix("t=")) <= 90) == (f'"{name}"', True)
    return int(left.removeprefix("r="))


def test_an_answer_tells_what_is_left_of_all_that_it_counted_against_and_of_nothing_else(
    exchange: Home, door: Door, lender: Caller, regulator: Caller
) -> None:
    bank = Asking(door, lender)
    for path, status in (("/v1/alerts", 200), (f"/v1/subscriptions/{UUID(int=1)}", 404), ("/v1/alerts?limit=x", 422)):
        address = ISSUER + path
        headers = lender.headers("GET", address.partition("?")[0], bank.token)
        answer = door.call("GET", address, headers=headers)
        assert (answer.status_code, answer.headers["ratelimit-policy"]) == (status, '"doors";q=400;w=8')
        assert answer.headers["ratelimit"].startswith('"doors";r=39')
    asked = bank.ask(ZHANG)
    assert asked.status_code == 200
    assert '"burst"' in asked.headers["ratelimit"]
    assert '"doors"' not in asked.headers["ratelimit"]
    sequenced(exchange)
    evidence = bank.get(f"/v1/queries/{asked.json()['answer']['query_id']}/evidence")
    assert evidence.status_code == 200
    for name in ("ratelimit", "ratelimit-policy"):
        of_questions, of_doors = evidence.headers.get_list(name)
        assert of_questions.startswith('"burst";')
        assert of_doors.startswith('"doors";')
    assert "ratelimit" not in Asking(door, regulator).get("/audit/v1/alerts").headers
    assert "ratelimit" not in door.call("GET", f"{ISSUER}/v1/alerts").headers


def test_a_system_that_calls_too_fast_waits_at_every_door_and_no_other_system_does(
    exchange_home: Home, tmp_path: Path, lender: Caller, other_lender: Caller
) -> None:
    file = tmp_path / "limits.yml"
    few = {"per_minute": 2, "burst": 3}
    file.write_text(yaml.safe_dump(declared.of(None).model_dump() | {"doors": few, "tokens": few}), encoding="utf-8")
    settings = exchange_home.settings.model_copy(update={"limits": file})
    with Door(replace(exchange_home, settings=settings)) as door:
        bank, other = Asking(door, lender), Asking(door, other_lender)
        came = [bank.get(path) for path in ("/v1/alerts", "/v1/catalogue", "/v1/outcomes", "/v1/alerts")]
        assert [one.status_code for one in came] == [200, 200, 200, 429]
        assert came[3].json()["code"] == "rate-exceeded"
        assert 20 < int(came[3].headers["retry-after"]) <= 30
        assert [left_of(one, "doors") for one in came] == [2, 1, 0, 0]
        refused = other.get("/audit/v1/alerts")
        assert (refused.status_code, "ratelimit" in refused.headers) == (403, False), "not admitted, not counted"
        assert other.get("/v1/alerts").status_code == 200
        tokens = [lender.ask(door) for _ in range(3)]
        assert [one.status_code for one in tokens] == [200, 200, 429]  # one was had before
        assert tokens[2].json()["error"] == "temporarily_unavailable"
        assert 20 < int(tokens[2].headers["retry-after"]) <= 30
        assert [left_of(one, "tokens") for one in tokens] == [1, 0, 0]
        assert other_lender.ask(door).status_code == 200
        for url in (f"{ISSUER}/oauth/introspect", f"{ISSUER}/oauth/revoke"):
            slow = door.call("POST", url, data=lender.form(grant_type=None) | {"token": bank.token})
            assert (slow.status_code, slow.json()["error"]) == (429, "temporarily_unavailable")
            assert 20 < int(slow.headers["retry-after"]) <= 30
            assert left_of(slow, "tokens") == 0
        said = other_lender.form(grant_type=None) | {"token": other.token}
        told = door.call("POST", f"{ISSUER}/oauth/introspect", data=said)
        assert (told.json()["active"], left_of(told, "tokens")) == (True, 0)
        assert door.call("POST", f"{ISSUER}/oauth/introspect", data=said).status_code == 401, (
            "an assertion is used once"
        )
        assert door.call("POST", f"{ISSUER}/oauth/revoke", data=lender.form(grant_type=None)).status_code == 400
