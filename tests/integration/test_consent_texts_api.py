"""The texts over HTTP: the very bytes for everybody, how they stand, and names of reviewers for regulators only."""

import re

import pytest

from consent import notices, purposes, reviews, wordings
from consent.evidence import Language
from consent.notices import Form, Notice
from consent.reviews import Decision
from exchange import texts_page
from exchange.home import SANDBOX, Home
from exchange.oauth.scopes import Role
from registry import clock
from registry.canonical import b64
from registry.suites import sha256
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.reachable import CONTACT

STANDING = True
TEXTS = f"{ISSUER}/consent-texts"
AUDIT = f"{ISSUER}/audit/v1/notices"
NAME, ROLE = "卓玛", "州编译局译审"


def text(language: Language = Language.TIBETAN, form: Form = Form.READ) -> Notice:
    found = notices.find("RATING", "2026-03", language, form)
    assert found is not None
    return found


def sign_off(home: Home, notice: Notice, decision: Decision = Decision.APPROVED, remark: str = "") -> None:
    with home.database.transaction() as tx:
        reviews.record(
            tx, notice, sha256=notice.sha256.hex(), reviewer=NAME, role=ROLE, decision=decision, remark=remark,
            now=clock.now(),
        )  # fmt: skip


def test_everybody_reads_the_bytes_that_receipts_name(door: Door) -> None:
    for language in (Language.CHINESE, Language.TIBETAN, Language.ENGLISH):
        answer = door.call("GET", f"{TEXTS}/RATING/2026-03/{language.value}")
        assert answer.status_code == 200
        assert sha256(answer.content) == text(language).sha256
        assert answer.headers["content-language"] == language.value
        assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
        assert answer.headers["etag"] == f'"{text(language).sha256.hex()}"'


def test_a_text_for_the_ear_comes_without_its_keepers_mark(door: Door) -> None:
    answer = door.call("GET", f"{TEXTS}/RATING/2026-03/bo/aloud")
    assert (answer.status_code, answer.headers["content-language"]) == (200, "bo")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == text(form=Form.ALOUD).shown
    assert "<!--" not in answer.text
    assert answer.headers["qingqiao-text-standing"] == "needs-native-review"


def test_what_is_known_already_is_not_sent_again_but_how_it_stands_is(exchange_home: Home, door: Door) -> None:
    url = f"{TEXTS}/RATING/2026-03/bo"
    first = door.call("GET", url)
    assert first.headers["qingqiao-text-standing"] == "needs-native-review"
    assert first.headers["cache-control"] == "public, no-cache"
    sign_off(exchange_home, text())
    again = door.call("GET", url, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["qingqiao-text-standing"] == "reviewed"
    assert door.call("GET", url, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("RATING/2026-03/mn", 404),
        ("RATING/2026-02/zh", 404),
        ("NOTHING/2026-03/zh", 404),
        ("LOAN_APPROVAL/2026-02/zh/aloud", 404),
        ("RATING/2026-03/xx", 422),
        ("..%2Fnotices/2026-03/zh", 404),
        ("RATING/..%2F2026-03/zh", 404),
        ("RATING/2026-03", 404),
    ],
)
def test_what_there_is_not_is_not_found(door: Door, path: str, status: int) -> None:
    assert door.call("GET", f"{TEXTS}/{path}").status_code == status


def test_the_list_leads_to_every_text_and_changes_its_tag_with_a_review(exchange_home: Home, door: Door) -> None:
    answer = door.call("GET", TEXTS)
    listed = {one["purpose"]: one for one in answer.json()["purposes"]}
    assert listed.keys() == purposes.current().by_code.keys()
    assert listed["RATING"]["titles"]["zh"] == "信用评定"
    texts = [one for purpose in listed.values() for one in purpose["texts"]]
    assert len(texts) == len(notices.every())
    for one in texts[::7]:
        assert door.call("GET", ISSUER + one["href"]).headers["etag"] == f'"{one["sha256"]}"'
    seen = {"If-None-Match": answer.headers["etag"]}
    assert door.call("GET", TEXTS, headers=seen).status_code == 304
    sign_off(exchange_home, text())
    changed = door.call("GET", TEXTS, headers=seen)
    assert changed.status_code == 200
    assert NAME not in changed.text
    assert {one["standing"] for one in texts} == {"unmarked", "needs-native-review"}
    now = [one for purpose in changed.json()["purposes"] for one in purpose["texts"] if one["standing"] == "reviewed"]
    assert [one["sha256"] for one in now] == [text().sha256.hex()]


def test_regulators_see_who_signed_off_and_nobody_else_does(exchange_home: Home, door: Door) -> None:
    sign_off(exchange_home, text(), Decision.REFUSED, "第三段有错字")
    sign_off(exchange_home, text())
    regulator = registered(exchange_home, Caller("regulator-one"), role=Role.REGULATOR)
    shown = regulator.get(door, regulator.token(door), AUDIT).json()["texts"]
    assert len(shown) == len(wordings.reviewable())
    (found,) = [one for one in shown if one["reviews"]]
    assert (found["purpose"], found["language"], found["standing"]) == ("RATING", "bo", "reviewed")
    assert [(one["reviewer"], one["role"], one["decision"], one["remark"]) for one in found["reviews"]] == [
        (NAME, ROLE, "refused", "第三段有错字"),
        (NAME, ROLE, "approved", ""),
    ]
    with exchange_home.database.transaction() as tx:
        logged = tx.execute("SELECT fields ->> 'review_sha256' FROM log_entry WHERE event = 'consent:notice:reviewed'")
        assert {row[0] for row in logged} == {one["sha256"] for one in found["reviews"]}
    lender = registered(exchange_home, Caller("lender-one"))
    assert lender.get(door, lender.token(door), AUDIT).status_code == 403
    assert door.call("GET", AUDIT).status_code == 401


def test_regulators_read_the_texts_as_a_page_that_says_which_wait_and_how_to_sign_off(
    exchange_home: Home, door: Door
) -> None:
    sign_off(exchange_home, text())
    regulator = registered(exchange_home, Caller("regulator-one"), role=Role.REGULATOR)
    headers = regulator.headers("GET", AUDIT, regulator.token(door)) | {"Accept": "text/html,*/*;q=0.8"}
    answer = door.call("GET", AUDIT, headers=headers)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert f"'sha256-{b64(sha256(style.encode()))}'" in policy, "the page's own stylesheet is let in"
    waiting = [one for one in wordings.reviewable() if one.needs_review]
    assert answer.text.count('class="mark"') == 2 * (len(waiting) - 1), "in the list and at the text; one was signed"
    for one in wordings.reviewable():
        assert answer.text.count(one.sha256.hex()) == 2  # beside the text, and in its command
    assert f"{NAME}, {ROLE}" in answer.text
    assert "--aloud" in answer.text
    lender = registered(exchange_home, Caller("lender-one"))
    refused = lender.headers("GET", AUDIT, lender.token(door)) | {"Accept": "text/html"}
    assert door.call("GET", AUDIT, headers=refused).status_code == 403


def test_a_reviewers_words_are_no_part_of_the_page_itself(exchange_home: Home, door: Door) -> None:
    sign_off(exchange_home, text(), Decision.REFUSED, "<script>alert(1)</script>")
    with exchange_home.database.transaction() as tx:
        shown = texts_page.page(tx, "<b>operator</b>", now=clock.now()).decode()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<b>operator" not in shown


def test_whoever_takes_a_consent_in_person_reads_out_who_handles_and_who_receives(
    exchange_home: Home, door: Door
) -> None:
    registered(exchange_home, Caller("bank-one"), organisation="甲银行")
    told = door.call("GET", f"{TEXTS}/parties?recipient=甲银行&language=bo").json()
    assert told["recipient"] == {"name": "甲银行", "contact": CONTACT.as_json()}
    assert told["operator"]["contact"] == SANDBOX.contact.as_json()
    for contact in (CONTACT, SANDBOX.contact):
        assert contact.phone in told["read"]
        assert contact.address in told["read"]
    assert not any(digit in told["aloud"] for digit in "0123456789")
    nobody = door.call("GET", f"{TEXTS}/parties?recipient=乙银行").json()
    assert nobody["recipient"]["contact"] is None
    assert "联系方式未登记" in nobody["read"]
    assert door.call("GET", f"{TEXTS}/parties").json()["recipient"] is None
