"""A bank asks a person on the phone; what it learns is what the person says, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest

from exchange.capture import requests
from exchange.home import Home
from exchange.jobs import end_captures
from registry import catalogue, clock
from registry.identifiers import ResidentId
from sandbox.numbers import resident_id
from tests.asking import W_WANTED, WANTED, Bank, bank
from tests.attacks.bent_client import Door
from tests.people import BANK, LI, NOBODY, ZHANG, held
from tests.phones import Phone, bound

STANDING = True


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


def ask(lender: Bank, who: ResidentId = ZHANG, wanted: Any = WANTED, message: str = "柜台 3 号") -> dict[str, Any]:
    body = {"subject": {"identifier": who.text}, "terms": wanted, "message": message}
    answer = lender.api("POST", "/v1/consent-requests", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def look(lender: Bank, asked: dict[str, Any]) -> dict[str, Any]:
    answer = lender.api("GET", f"/v1/consent-requests/{asked['request_id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def waiting(phone: Phone) -> list[dict[str, Any]]:
    return list(phone.get("/subject/v1/requests")["requests"])


def agree(phone: Phone, asked: dict[str, Any], **acts: Any) -> Any:
    body = {"language": "zh", "text_version": "2026-03"} | acts
    return phone.call("POST", f"/subject/v1/requests/{asked['request_id']}/agree", json=body)


def refuse(phone: Phone, asked: dict[str, Any], **said: Any) -> Any:
    return phone.call("POST", f"/subject/v1/requests/{asked['request_id']}/refuse", json=said)


def later(home: Home, days: int) -> None:
    """Let so many days pass for what was asked."""
    with home.database.transaction() as tx:
        ago = timedelta(days=days)
        tx.execute("UPDATE consent_request SET created_at = created_at - %s, expires_at = expires_at - %s", (ago, ago))


def test_a_person_sees_who_asks_for_what_and_agrees(phone: Phone, lender: Bank) -> None:
    asked = ask(lender, wanted=W_WANTED)
    (shown,) = waiting(phone)
    assert (shown["recipient"], shown["message"], shown["user_code"]) == (BANK, "柜台 3 号", asked["user_code"])
    assert "可能的不良后果" in shown["text"]["words"]
    assert shown["adverse_consequences"]
    assert look(lender, asked)["state"] == "pending"
    made = agree(phone, asked, adverse_consequences_acknowledged=True)
    assert made.status_code == 200, made.text
    seen = look(lender, asked)
    assert seen["state"] == "agreed"
    consent = lender.api("GET", f"/v1/consents/{seen['consent_id']}").json()
    assert set(consent["items"]) == catalogue.current().expand(["SUBSIDY", "RATING"])
    assert waiting(phone) == []
    assert agree(phone, asked).status_code == 404


def test_acts_that_were_not_done_leave_out_what_needs_them(phone: Phone, lender: Bank) -> None:
    asked = ask(lender, wanted=W_WANTED)
    assert agree(phone, asked).status_code == 200
    consent = lender.api("GET", f"/v1/consents/{look(lender, asked)['consent_id']}").json()
    assert catalogue.current().w_items.isdisjoint(consent["items"])
    only_w = ask(lender, wanted=WANTED | {"items": ["SUBSIDY.amount_paid"]})
    assert agree(phone, only_w).json()["code"] == "nothing-agreed"


def test_nobody_is_told_apart_who_has_not_answered(door: Door, exchange_home: Home, phone: Phone, lender: Bank) -> None:
    held(exchange_home, LI)  # known, without a phone
    ignored, silent = ask(lender), ask(lender, wanted=WANTED | {"purpose": "GUARANTEE"})
    refuse(phone, silent)
    cooling = ask(lender, wanted=WANTED | {"purpose": "GUARANTEE"})
    twice, phoneless, unknown = ask(lender), ask(lender, LI), ask(lender, NOBODY)
    young = bound(exchange_home, door, ResidentId.parse(_born(15)))
    child = ask(lender, ResidentId.parse(_born(15)))
    everybody = [ignored, silent, cooling, twice, phoneless, unknown, child]
    assert {tuple(sorted(one)) for one in everybody} == {("expires_at", "interval", "request_id", "user_code")}
    assert {look(lender, one)["state"] for one in everybody} == {"pending"}
    assert [one["request_id"] for one in waiting(phone)] == [ignored["request_id"]]
    assert waiting(young) == []
    later(exchange_home, 3)
    assert {look(lender, one)["state"] for one in everybody} == {"expired"}
    end_captures(exchange_home)
    assert {look(lender, one)["state"] for one in everybody} == {"expired"}
    assert all(look(lender, one)["consent_id"] is None for one in everybody)


def test_of_somebody_who_is_not_known_here_nothing_is_kept(exchange_home: Home, lender: Bank) -> None:
    ask(lender, NOBODY)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT subject_id, sealed FROM consent_request").fetchall() == [(None, None)]
        assert tx.execute("SELECT count(*) FROM subject").fetchone() == (0,)


def test_the_log_says_the_same_of_everybody_who_is_asked(exchange_home: Home, phone: Phone, lender: Bank) -> None:
    ask(lender), ask(lender, NOBODY)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT fields, subject_id FROM log_entry WHERE event = 'capture:request:offered'").fetchall()
    assert len(rows) == 2
    assert {tuple(sorted(fields)) for fields, _ in rows} == {("organisation", "purpose", "request_id")}
    assert {subject for _, subject in rows} == {None}


def test_a_no_is_told_only_if_the_person_wants_that(phone: Phone, lender: Bank) -> None:
    told, silent = ask(lender), ask(lender, wanted=WANTED | {"purpose": "GUARANTEE"})
    assert refuse(phone, told, tell_lender=True).status_code == 204
    assert refuse(phone, silent).status_code == 204
    assert look(lender, told)["state"] == "refused"
    assert look(lender, silent)["state"] == "pending"


def test_after_a_no_the_same_is_not_shown_again_until_its_time(exchange_home: Home, phone: Phone, lender: Bank) -> None:
    refuse(phone, ask(lender))
    ask(lender)
    assert waiting(phone) == []
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE consent_refusal SET refused_at = refused_at - interval '31 days'")
    later(exchange_home, 3)
    assert waiting(phone) == []  # what was not shown is never shown later
    ask(lender)
    assert len(waiting(phone)) == 1


def test_a_request_that_is_answered_or_over_keeps_no_identifier(
    exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    agree(phone, ask(lender))
    refuse(phone, ask(lender, wanted=WANTED | {"purpose": "GUARANTEE"}))
    ask(lender, wanted=WANTED | {"purpose": "RATING", "items": ["RATING"]})
    later(exchange_home, 3)
    end_captures(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT state, sealed IS NULL FROM consent_request ORDER BY state").fetchall()
    assert rows == [("agreed", True), ("expired", True), ("refused", True)]


def test_a_request_is_another_persons_to_nobody(door: Door, exchange_home: Home, phone: Phone, lender: Bank) -> None:
    asked = ask(lender)
    other = bound(exchange_home, door, LI)
    assert agree(other, asked).status_code == 404
    assert refuse(other, asked).status_code == 404
    stranger = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    assert stranger.api("GET", f"/v1/consent-requests/{asked['request_id']}").status_code == 404


def test_nobody_agrees_to_a_text_that_was_not_shown(phone: Phone, lender: Bank) -> None:
    answer = agree(phone, ask(lender), text_version="2026-01")
    assert (answer.status_code, answer.json()["code"]) == (409, "text-changed")


@pytest.mark.parametrize(
    "message", ["<b>x</b>", "a\u202eb", "x" * 61, "javascript:alert(1);", "630222199901010001", "a\nb", "\u200b"]
)
def test_a_message_is_a_few_plain_words_and_names_nobody(lender: Bank, message: str) -> None:
    body = {"subject": {"identifier": ZHANG.text}, "terms": WANTED, "message": message}
    assert lender.api("POST", "/v1/consent-requests", json=body).status_code in {400, 422}


@pytest.mark.parametrize(
    "message",
    [
        "https://evil.example",
        "evil.example",
        "evil.cn/x",
        "tel:110",
        "a.b",
        "见 evil.中国",
        "evil..cn",
        "www.1a.cn",
        "1.a",
    ],
)
def test_a_message_holds_no_link(lender: Bank, message: str) -> None:
    body = {"subject": {"identifier": ZHANG.text}, "terms": WANTED, "message": message}
    answer = lender.api("POST", "/v1/consent-requests", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")


@pytest.mark.parametrize(
    "message", ["", "春耕贷款 3.5 万，柜台 2-3 号。", "No. 3 counter", "ཁ་གྲངས་ 3", "x" * 60, "见合同."]
)
def test_a_message_says_what_staff_say(lender: Bank, message: str) -> None:
    ask(lender, message=message)


def test_an_organisation_asks_so_many_at_a_time_and_a_silent_no_makes_no_place(
    door: Door, exchange_home: Home, phone: Phone, lender: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_PENDING", 2)
    other = WANTED | {"purpose": "GUARANTEE"}
    silent, told = ask(lender), ask(lender, wanted=other)
    body = {"subject": {"identifier": NOBODY.text}, "terms": WANTED, "message": ""}

    def full(by: Bank = lender) -> bool:
        answer = by.api("POST", "/v1/consent-requests", json=body)
        if answer.status_code == 202:
            return False
        assert (answer.status_code, answer.json()["code"]) == (429, "requests-too-many")
        assert timedelta(days=2) < timedelta(seconds=int(answer.headers["retry-after"])) <= requests.LIFETIME
        return True

    assert full()
    assert not full(bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/"))
    assert refuse(phone, silent).status_code == 204
    assert full()  # nobody reads a "no" from a place that became free
    assert refuse(phone, told, tell_lender=True).status_code == 204
    assert not full()
    assert full()
    later(exchange_home, 3)
    assert not full()


def test_terms_are_judged_before_anybody_is_looked_up(lender: Bank, phone: Phone) -> None:
    answers = set()
    for who in (ZHANG, NOBODY):
        body = {"subject": {"identifier": who.text}, "terms": WANTED | {"purpose": "SELF_QUERY"}, "message": ""}
        answer = lender.api("POST", "/v1/consent-requests", json=body)
        said = answer.json()
        assert said.pop("request_id") == answer.headers["x-request-id"]  # all that may differ
        answers.add((answer.status_code, str(said)))
    assert len(answers) == 1
    assert answers.pop()[0] == 422


def test_two_that_agree_at_once_make_one_consent(exchange_home: Home, phone: Phone, lender: Bank) -> None:
    asked = ask(lender)
    body = {"language": "zh", "text_version": "2026-03"}
    url = f"https://exchange.example/subject/v1/requests/{asked['request_id']}/agree"
    calls = [("POST", url, {"json": body, "headers": phone.client.headers("POST", url, phone.token)}) for _ in range(4)]
    statuses = sorted(answer.status_code for answer in phone.door.together(*calls))
    assert statuses == [200, 404, 404, 404]


def test_what_ended_long_ago_is_forgotten(exchange_home: Home, phone: Phone, lender: Bank) -> None:
    ask(lender)
    with exchange_home.database.transaction() as tx:
        requests.expire(tx, now=clock.now() + timedelta(days=40))
        assert tx.execute("SELECT count(*) FROM consent_request").fetchone() == (0,)


def _born(years: int) -> str:
    day = clock.beijing_day(clock.now()) - timedelta(days=365 * years + 40)
    return str(resident_id("630222", day))


def test_a_no_that_the_lender_was_told_of_counts_for_as_long_as_the_purpose_says(
    exchange_home: Home, phone: Phone, lender: Bank
) -> None:
    """The lender knows of it from the request alone: what is forgotten too early would count no more."""
    for purpose, kept in (("GUARANTEE", "refused"), ("LOAN_APPROVAL", None)):
        no = ask(lender, wanted=WANTED | {"purpose": purpose})
        assert refuse(phone, no, tell_lender=True).status_code == 204
        with exchange_home.database.transaction() as tx:
            tx.execute(
                "UPDATE consent_request SET expires_at = expires_at - interval '40 days',"
                " settled_at = settled_at - interval '40 days' WHERE request_id = %s",
                (no["request_id"],),
            )
        end_captures(exchange_home)
        there = lender.api("GET", f"/v1/consent-requests/{no['request_id']}")
        assert there.json().get("state") == kept, purpose
