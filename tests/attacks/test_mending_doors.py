"""The agencies' door for mending and the lenders' door for notices, as callers of every kind see them."""

import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import openpyxl
import orjson
import pytest

from connectors import delivered as tables
from connectors import mending as decisions
from connectors.mending import What
from exchange.agency_api import pace
from exchange.home import Home
from exchange.mending import decide
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.release import Permitted, release
from registry import clock
from registry.canonical import b64url, unb64url
from tests.agencies import AGENCY, OTHER_AGENCY, delivered, events, line, roster, shown, staff, wanted
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.people import BANK, LI, NOBODY, ZHANG, consented, question
from tests.reachable import CONTACT


def enrolled(home: Home, client_id: str, role: Role, organisation: str) -> Caller:
    made = Caller(client_id)
    with home.database.transaction() as tx:
        clients.register(
            tx,
            client_id,
            role=role,
            organisation=organisation,
            jwks=made.jwks,
            now=clock.now(),
            same_organisation=True,
            contact=CONTACT if role is Role.LENDER else None,
        )
    return made


class Desk:
    """One registered system at the doors, with its token."""

    def __init__(self, door: Door, who: Caller) -> None:
        self.door, self.who, self.token = door, who, who.token(door)

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"{ISSUER}{path}"
        headers = self.who.headers(method, url.partition("?")[0], self.token)
        return self.door.call(method, url, headers=headers, **({} if body is None else {"json": body}))


@pytest.fixture
def wang(exchange_home: Home, door: Door) -> Desk:
    return Desk(door, enrolled(exchange_home, "agency-wang", Role.AGENCY, AGENCY))


@pytest.fixture
def li(exchange_home: Home, door: Door) -> Desk:
    return Desk(door, enrolled(exchange_home, "agency-li", Role.AGENCY, AGENCY))


@pytest.fixture
def stranger(exchange_home: Home, door: Door) -> Desk:
    return Desk(door, enrolled(exchange_home, "agency-sun", Role.AGENCY, OTHER_AGENCY))


@pytest.fixture
def bank(exchange_home: Home, door: Door) -> Desk:
    return Desk(door, enrolled(exchange_home, "bank", Role.LENDER, BANK))


def test_a_row_is_mended_over_the_door_and_its_lender_hears_of_it(
    exchange_home: Home, wang: Desk, li: Desk, bank: Desk
) -> None:
    consented(exchange_home)
    batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG), line(ZHANG), line(LI, day='26-5-8')))}"
    waiting = wang.call("GET", f"{batch}/quarantine").json()
    assert [(row["row"], row["code"]) for row in waiting["rows"]] == [(3, "DUPLICATE_IN_BATCH")]
    assert ZHANG.text not in str(waiting)
    assert ZHANG.text in wang.call("GET", f"{batch}/quarantine?mask=false").text
    book = openpyxl.load_workbook(BytesIO(wang.call("GET", f"{batch}/annotated").content))
    assert len(book.sheetnames) == 3
    assert isinstance(release(exchange_home, [question()])[0], Permitted)

    assert wang.call("PUT", "/agency/v1/settings", {"four_eyes": True}).status_code == 200
    assert wang.call("PUT", "/agency/v1/settings", {"four_eyes": False}).json()["code"] == "four-eyes-needed"
    given = {"act": "withdraw", "reason": "发放错误"}
    proposed = wang.call("POST", f"{batch}/rows/0/2/decision", given)
    assert proposed.json()["state"] == "proposed"
    at = f"/agency/v1/proposals/{proposed.json()['proposal_id']}"
    assert wang.call("POST", f"{at}/approve").json()["code"] == "four-eyes-needed"
    assert li.call("GET", at).json()["reason"] == "发放错误"
    waiting = li.call("GET", "/agency/v1/proposals?state=proposed").json()
    assert ([one["proposal_id"] for one in waiting["proposals"]], waiting["next"]) == (
        [proposed.json()["proposal_id"]],
        None,
    )
    assert li.call("POST", f"{at}/approve").json()["state"] == "decided"
    assert shown(exchange_home, ZHANG) == []

    (notice,) = bank.call("GET", "/v1/notices").json()["notices"]
    assert set(notice) == {"notice_id", "event", "commitment", "queries", "recalled_at", "acknowledged_at"}
    assert bank.call("POST", f"/v1/notices/{notice['notice_id']}/acknowledge").status_code == 204
    assert bank.call("GET", "/v1/notices?open_only=true").json()["notices"] == []
    assert bank.call("POST", f"/v1/notices/{uuid4()}/acknowledge").status_code == 404


def proposals(desk: Desk, asked: str) -> list[str]:
    """Give the ids of an organisation's proposals, page by page."""
    page = desk.call("GET", f"/agency/v1/proposals{asked}").json()
    found = [one["proposal_id"] for one in page["proposals"]]
    while page["next"] is not None:
        page = desk.call("GET", f"/agency/v1/proposals{asked}&cursor={page['next']}").json()
        found += [one["proposal_id"] for one in page["proposals"]]
    return found


def test_nobody_recalls_a_whole_batch_alone_by_naming_its_rows(exchange_home: Home, wang: Desk, li: Desk) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    faulty = line(NOBODY, day="26-5-8")  # held of nobody, but a row of the file
    batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG), line(LI), faulty, line(NOBODY)))}"

    def recall(*rows: int) -> dict[str, Any]:
        given = {"reason": "误报", "rows": [{"sheet": 0, "row": row} for row in rows]}
        return dict(wang.call("POST", f"{batch}/recall", given).json())

    for given in ((2, 3, 4, 5), (5, 4, 3, 2, 2)):
        whole = recall(*given)
        assert (whole["act"], whole["state"], whole["rows"]) == ("recall", "proposed", [])
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([("", 2)], [("", 3)])
    assert recall(2, 2, 4, 5)["state"] == "decided"
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 3)])
    last = wang.call("POST", f"{batch}/rows/0/3/decision", {"act": "withdraw", "reason": "误报"}).json()
    assert (last["act"], last["state"], last["approver"]) == ("recall", "proposed", None)
    assert len(one_by_one := proposals(li, "?limit=1")) > 1
    assert one_by_one == proposals(li, "?limit=200")
    assert li.call("GET", "/agency/v1/proposals?cursor=e30").json()["code"] == "request-malformed"
    at = f"/agency/v1/proposals/{last['proposal_id']}/approve"
    assert wang.call("POST", at).json()["code"] == "four-eyes-needed"
    assert shown(exchange_home, LI) == [("", 3)]
    assert li.call("POST", at).json()["state"] == "decided"
    assert shown(exchange_home, LI) == []


def test_two_halves_withdrawn_at_once_are_no_whole_batch_recalled_by_one_person(
    exchange_home: Home,
) -> None:
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(LI)))

    def withdraw(row: int) -> str:
        return decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", row))).state.value

    with ThreadPoolExecutor(2) as both, exchange_home.database.transaction() as tx:
        decisions.keep_others_waiting(tx, batch_id)  # both have opened the file by the time that one may go on
        halves = [both.submit(withdraw, row) for row in (2, 3)]
        until = time.monotonic() + 20
        while _waiting(exchange_home) < len(halves):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert sorted(one.result() for one in halves) == ["decided", "proposed"]


def _waiting(home: Home) -> int:
    with home.database.transaction() as tx:
        row = tx.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return int(row[0]) if row else 0


def test_a_row_without_a_record_counts_as_any_other_whoever_consented(exchange_home: Home, wang: Desk) -> None:
    consented(exchange_home)
    ends = []
    for first, second in ((ZHANG, NOBODY), (NOBODY, ZHANG)):
        batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(first, '1'), line(second, '1')))}"
        given = {"act": "withdraw", "reason": "误报"}
        answers = [wang.call("POST", f"{batch}/rows/0/{row}/decision", given).json() for row in (2, 3)]
        ends.append([(one["act"], one["state"]) for one in answers])
    assert ends == [[("withdraw", "decided"), ("recall", "proposed")]] * 2


def test_another_agency_and_a_lender_find_nothing_there(
    exchange_home: Home, wang: Desk, stranger: Desk, bank: Desk
) -> None:
    batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG)))}"
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"{batch}/annotated", None),
        ("GET", f"{batch}/quarantine", None),
        ("POST", f"{batch}/recall", {"reason": "误报"}),
        ("POST", f"{batch}/rows/0/2/decision", {"act": "withdraw", "reason": "误报"}),
        ("POST", f"{batch}/replace", {"successor": str(uuid4()), "reason": "误报"}),
    ]
    for method, path, body in asked:
        theirs, nobodys = (
            stranger.call(method, path, body),
            stranger.call(method, path.replace(batch[-8:], "0" * 8), body),
        )
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.json()["code"] == nobodys.json()["code"] == "batch-unknown"
        assert bank.call(method, path, body).json()["code"] == "scope-missing"
    assert wang.call("GET", "/v1/notices").json()["code"] == "scope-missing"
    assert wang.call("GET", f"{batch}/annotated").status_code == 200


def test_templates_and_headings_are_to_be_had(exchange_home: Home, wang: Desk) -> None:
    kinds = wang.call("GET", "/agency/v1/templates").json()
    assert {"SUBSIDY", "RATING"} <= {one["kind"] for one in kinds}
    given = wang.call("GET", "/agency/v1/templates/SUBSIDY.xlsx")
    assert openpyxl.load_workbook(BytesIO(given.content)).sheetnames[0] == "填报"
    assert wang.call("GET", "/agency/v1/templates/NO_SUCH.xlsx").json()["code"] == "template-unknown"
    said = {"kind": "SUBSIDY", "heading": "领款 凭证码", "column": "payee_id"}
    assert wang.call("PUT", "/agency/v1/mappings", said).json()["heading"] == "领款凭证码"
    assert [one["column"] for one in wang.call("GET", "/agency/v1/mappings").json()] == ["payee_id"]
    assert wang.call("PUT", "/agency/v1/mappings", said | {"column": "nothing"}).json()["code"] == "column-unknown"


def test_an_organisation_that_asks_too_fast_waits_and_keeps_nobody_else_waiting(
    exchange_home: Home, wang: Desk, li: Desk, stranger: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG)))}"
    monkeypatch.setattr(pace, "BURST", 6)
    monkeypatch.setattr(pace, "A_SECOND", 0.001)
    before = len(events(exchange_home))
    assert wang.call("GET", f"{batch}/annotated").status_code == 200
    assert li.call("GET", "/agency/v1/templates/SUBSIDY.xlsx").status_code == 200
    costly: list[tuple[str, str, Any]] = [
        ("GET", f"{batch}/annotated", None),
        ("GET", "/agency/v1/quarantine", None),
        ("POST", f"{batch}/rows/0/2/decision", {"act": "withdraw", "reason": "误报"}),
        ("POST", f"{batch}/recall", {"reason": "误报"}),
        ("POST", f"{batch}/replace", {"successor": str(uuid4()), "reason": "误报"}),
        ("PUT", "/agency/v1/mappings", {"kind": "SUBSIDY", "heading": "领款号", "column": "payee_id"}),
        ("POST", f"/agency/v1/mappings/{uuid4()}/approve", None),
        ("POST", f"/agency/v1/proposals/{uuid4()}/approve", None),
    ]
    for method, path, body in costly:
        for who in (wang, li):
            answer = who.call(method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (429, "asked-too-fast"), path
            assert int(answer.headers["Retry-After"]) >= 1
    assert len(events(exchange_home)) == before + 1
    for path in (batch, f"{batch}/remarks", "/agency/v1/proposals"):
        assert wang.call("GET", path).status_code == 200  # what is left is enough, or it costs nothing
    for path in (f"{batch}/remarks", f"{batch}/quarantine", "/agency/v1/templates/SUBSIDY.xlsx"):
        assert wang.call("GET", path).json()["code"] == "asked-too-fast"
    assert stranger.call("GET", "/agency/v1/templates/SUBSIDY.xlsx").status_code == 200


def paged(desk: Desk, path: str, what: str, most: int = 9) -> tuple[list[Any], list[str]]:
    """Give a list's entries, one a page, and the texts that led on."""
    found, led = list[Any](), list[str]()
    while len(led) < most:
        page = desk.call("GET", f"{path}?limit=1" + (f"&cursor={led[-1]}" if led else "")).json()
        found += page[what]
        if page["next"] is None:
            return found, led
        led.append(page["next"])
    raise AssertionError("the list does not end")


def test_lists_go_on_page_by_page_and_take_no_other_lists_cursors(
    exchange_home: Home, wang: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "REMARKS_MOST", 1)
    batch_id = delivered(exchange_home, roster(*[line(ZHANG)] * 4))
    other = delivered(exchange_home, roster(line(LI), line(LI)))
    batch = f"/agency/v1/batches/{batch_id}"
    of_batch, led = paged(wang, f"{batch}/quarantine", "rows")
    assert ([one["row"] for one in of_batch], len(led)) == ([3, 4, 5], 2)
    assert wang.call("GET", f"{batch}/quarantine?limit=1&cursor={led[0]}").json()["total"] == 3
    batches, of_batches = paged(wang, "/agency/v1/batches", "batches")
    assert [one["batch_id"] for one in batches] == [str(other), str(batch_id)]
    queue, of_queue = paged(wang, "/agency/v1/quarantine", "rows")
    assert [(one["batch_id"], one["row"]) for one in queue] == [
        (str(other), 3), *((str(batch_id), row) for row in (3, 4, 5)),
    ]  # fmt: skip
    remarks = wang.call("GET", f"{batch}/remarks").json()
    rest = wang.call("GET", f"{batch}/remarks?cursor={remarks['next']}").json()
    assert [one["row_no"] for one in remarks["remarks"] + rest["remarks"]] == [3, 4]
    mine = {
        "/agency/v1/batches": of_batches[0], "/agency/v1/quarantine": of_queue[0], f"{batch}/quarantine": led[0],
        f"{batch}/remarks": remarks["next"],
    }  # fmt: skip
    for path in (*mine, "/agency/v1/proposals"):
        for given in (*mine.values(), "e30", "x", "1", *map(unnamed, mine.values())):
            answer = wang.call("GET", f"{path}?cursor={given}")
            expected = 200 if given == mine.get(path) else 400
            assert (answer.status_code, answer.json().get("code", "request-malformed")) == (
                expected, "request-malformed",
            ), path  # fmt: skip


def unnamed(cursor: str) -> str:
    """Give a cursor without its list's name."""
    return b64url(orjson.dumps(orjson.loads(unb64url(cursor))[1:]))


def test_no_problem_repeats_what_was_sent(exchange_home: Home, wang: Desk) -> None:
    batch = f"/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG)))}"
    for cells in ({"身份证号": LI.text[:-1]}, {LI.text: "x"}, {"身份证号": LI.text * 200}):
        answer = wang.call("POST", f"{batch}/rows/0/2/decision", {"act": "correct", "reason": "核对", "cells": cells})
        assert answer.status_code == 422
        assert LI.text[:-1] not in answer.text
