"""Lists of lenders' staff: who is on one may ask, nobody else, from the next question on; and of which house."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from consent.scope import Mode
from exchange import staffing
from exchange.home import Home
from registry import clock
from registry.clock import beijing_day
from tests.attacks.bent_client import ISSUER, Door
from tests.bulking import Batcher, asked, batcher, file_of, outcomes, worked
from tests.people import BANK, ZHANG, consented, held, sequenced
from tests.standing import Standing
from tests.telling import System, system

STAFF = {"user_id": "u-1027", "department": "credit"}
OTHER = "另一家银行"


@pytest.fixture
def exchange_home(standing: Standing) -> Home:
    return standing.emptied()


@pytest.fixture
def door(standing: Standing) -> Door:
    return standing.door()


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> System:
    held(exchange_home)
    consented(exchange_home, max_uses=12, mode=Mode.REPORT)
    return system(exchange_home, door, "bank-system")


def ask(lender: System, staff: dict[str, str] | None = STAFF, **more: Any) -> httpx.Response:
    body = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "business_no": "L-1",
        "staff": staff,
    } | more
    return lender.call("POST", "/v1/queries", {name: value for name, value in body.items() if value is not None})


def put(lender: System, user_id: str = "u-1027", **bent: Any) -> httpx.Response:
    today = beijing_day(clock.now())
    stated = {"department": "credit", "last": str(today + timedelta(days=90))} | bent
    return lender.call("PUT", f"/v1/staff/{user_id}", stated)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_from_the_first_entry_on_only_who_is_on_the_list_asks(exchange_home: Home, lender: System) -> None:
    assert ask(lender).status_code == 200, "an organisation that keeps no list names whom it will"
    assert put(lender).status_code == 200
    assert ask(lender).status_code == 200
    strangers = (("u-2", "credit"), ("u-1027", "risk"), ("U-1027", "credit"), ("u-1027.", "credit"))
    for user, department in strangers:
        assert told(ask(lender, {"user_id": user, "department": department})) == (403, "staff-not-listed")
    assert told(ask(lender, None)) == (403, "staff-not-listed"), "an account without a person is a shared one"
    for hidden in ("u-1027 ", "u-1027\u200b", "ｕ-1027", ""):
        assert ask(lender, {"user_id": hidden, "department": "credit"}).status_code == 400
    assert lender.call("DELETE", "/v1/staff/u-1027").status_code == 204
    assert told(ask(lender)) == (403, "staff-not-listed")
    assert told(lender.call("DELETE", "/v1/staff/u-1027")) == (404, "staff-unknown")
    with exchange_home.database.transaction() as tx:
        refused = tx.execute(
            "SELECT fields->'access'->>'reason', fields->'access'->'staff' FROM log_entry"
            " WHERE event = 'release:query:refused' ORDER BY at, entry_id"
        ).fetchall()
        events = tx.execute("SELECT event FROM log_entry WHERE event LIKE 'exchange:staff:%%' ORDER BY at").fetchall()
    assert [reason for reason, _ in refused] == ["staff-not-listed"] * 6, "refusals are logged, as all are"
    assert refused[0][1] == ["u-2", "credit"]
    assert [event for (event,) in events] == ["exchange:staff:stated", "exchange:staff:ended"]


def test_nobody_asks_before_the_first_day_or_after_the_last(exchange_home: Home, lender: System) -> None:
    today = beijing_day(clock.now())
    assert put(lender, first=str(today + timedelta(days=1))).status_code == 200
    assert told(ask(lender)) == (403, "staff-not-listed")
    assert put(lender, first=str(today - timedelta(days=9)), last=str(today)).status_code == 200
    assert ask(lender).status_code == 200
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE lender_staff SET valid_until = now() WHERE ended_at IS NULL")
    assert told(ask(lender)) == (403, "staff-not-listed")


def test_whoever_left_opens_nothing_that_was_answered_before(exchange_home: Home, lender: System) -> None:
    assert put(lender).status_code == 200
    answer = ask(lender, mode="report")
    assert answer.status_code == 200, answer.text
    paper = f"/v1/queries/{answer.json()['answer']['query_id']}/report.pdf"
    assert lender.call("GET", paper).status_code == 200
    assert lender.call("DELETE", "/v1/staff/u-1027").status_code == 204
    url = f"{paper}?user_id=u-1027&department=credit"
    assert told(lender.call("GET", url)) == (403, "staff-not-listed")
    assert told(lender.call("GET", paper)) == (403, "staff-not-listed"), "unnamed it is who asked, who has left"
    sequenced(exchange_home)
    proof = paper.replace("report.pdf", "evidence")
    assert told(lender.call("GET", proof)) == (403, "staff-not-listed")
    assert put(lender, "u-2").status_code == 200
    named = "?user_id=u-2&department=credit"
    assert lender.call("GET", paper + named).status_code == 200
    assert lender.call("GET", proof + named).status_code == 200
    assert lender.call("GET", proof + "?user_id=u-2").status_code == 400
    assert lender.call("GET", proof + "?form=redacted").status_code == 200, "there is nobody in it"


def test_evidence_of_what_names_nobody_is_opened_by_somebody_of_the_list(exchange_home: Home, lender: System) -> None:
    answer = ask(lender, None)
    proof = f"/v1/queries/{answer.json()['answer']['query_id']}/evidence"
    sequenced(exchange_home)
    assert lender.call("GET", proof).status_code == 200
    assert put(lender).status_code == 200
    assert told(lender.call("GET", proof)) == (403, "staff-not-listed")
    assert lender.call("GET", f"{proof}?user_id=u-1027&department=credit").status_code == 200


def test_a_code_is_one_persons_whatever_its_case(lender: System) -> None:
    assert put(lender).status_code == 200
    assert told(put(lender, "U-1027")) == (409, "staff-alike")
    assert lender.call("DELETE", "/v1/staff/u-1027").status_code == 204
    assert told(put(lender, "U-1027")) == (409, "staff-alike"), "also of somebody who has left"


def test_a_list_is_its_organisations_alone(exchange_home: Home, door: Door, lender: System) -> None:
    other = system(exchange_home, door, "other-system", OTHER)
    assert put(lender).status_code == 200
    assert put(other, "u-9").status_code == 200
    assert told(ask(lender, {"user_id": "u-9", "department": "credit"})) == (403, "staff-not-listed")
    assert told(other.call("DELETE", "/v1/staff/u-1027")) == (404, "staff-unknown")
    assert [one["user_id"] for one in other.call("GET", "/v1/staff").json()["staff"]] == ["u-9"]
    assert ask(lender).status_code == 200


def test_the_list_is_read_page_by_page_and_keeps_its_history(lender: System) -> None:
    for user in ("u-1", "u-2", "u-3"):
        assert put(lender, user).status_code == 200
    assert put(lender, "u-1", department="risk").status_code == 200
    assert put(lender, "u-1", department="risk").status_code == 200, "the same again changes nothing"
    first = lender.call("GET", "/v1/staff?limit=2").json()
    rest = lender.call("GET", f"/v1/staff?limit=2&cursor={first['next']}").json()
    assert [one["user_id"] for one in first["staff"] + rest["staff"]] == ["u-2", "u-3", "u-1"]
    assert rest["next"] is None
    assert lender.call("GET", "/v1/staff?limit=3").json()["next"] is None
    history = lender.call("GET", "/v1/staff?history=true").json()["staff"]
    assert [(one["user_id"], one["department"], one["ended_at"] is None) for one in history] == [
        ("u-1", "credit", False), ("u-2", "credit", True), ("u-3", "credit", True), ("u-1", "risk", True),
    ]  # fmt: skip


def test_dates_and_codes_that_do_not_do_are_refused(lender: System) -> None:
    today = beijing_day(clock.now())
    for bent in (
        {"last": str(today - timedelta(days=1))},
        {"last": str(today + timedelta(days=staffing.LONGEST_DAYS))},
        {"first": str(today - timedelta(days=300)), "last": str(today + timedelta(days=100))},
        {"first": str(today + timedelta(days=9)), "last": str(today + timedelta(days=8))},
    ):
        assert told(put(lender, **bent)) == (422, "staff-dates")
    assert put(lender, last=str(today + timedelta(days=staffing.LONGEST_DAYS - 1))).status_code == 200
    assert put(lender, department=ZHANG.text).status_code == 400
    assert put(lender, "x" * 65).status_code == 422
    assert put(lender, name="张三").status_code == 422


def test_lines_of_a_batch_name_staff_of_the_list_too(exchange_home: Home, door: Door) -> None:
    held(exchange_home)
    consented(exchange_home, max_uses=12)
    bank: Batcher = batcher(exchange_home, door)
    with exchange_home.database.transaction() as tx:
        today = beijing_day(clock.now())
        staffing.put(tx, BANK, "u-1027", "credit", first=today, last=today, by="bank")
    strange = asked(staff={"user_id": "u-2", "department": "credit"})
    batch_id = bank.handed_in(file_of(asked(staff=STAFF), strange, asked()))
    worked(exchange_home)
    assert outcomes(bank.fetched(batch_id)) == [(1, "permitted"), (2, "staff-not-listed"), (3, "staff-not-listed")]


def test_two_who_state_at_once_leave_one_entry(exchange_home: Home, lender: System) -> None:
    url = f"{ISSUER}/v1/staff/u-5"
    last = str(beijing_day(clock.now()) + timedelta(days=9))
    several = [
        ("PUT", url, {"json": {"department": f"d{n}", "last": last},
                      "headers": lender.caller.headers("PUT", url, lender.token)})
        for n in range(6)
    ]  # fmt: skip
    assert {one.status_code for one in lender.door.together(*several)} == {200}
    with exchange_home.database.transaction() as tx:
        counted = tx.execute("SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL) FROM lender_staff").fetchall()
    assert counted == [(6, 1)]
