"""What a person sees and does at the own door: accesses, own data, export, consents, statement, complaint, messages."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import jsonschema
import orjson
import pytest
from joserfc.jwk import ECKey

from consent import receipt
from consent.decision import Reason
from consent.scope import Mode
from exchange import binding, complaints, jobs, paging, subjects
from exchange.home import Home
from exchange.portable import document
from exchange.release import Permitted, Refused, release
from registry import clock
from registry.canonical import b64url
from registry.profile import Claim
from tests.agencies import events
from tests.attacks.bent_client import ISSUER, Door
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.people import BANK, LI, SUBSIDY, ZHANG, caller, consented, held, question
from tests.phones import Phone, bound, code_for, shown, try_binding

STANDING = True
OTHER_BANK = "别的银行"
TIBETAN = "ང་ཡི་རྩྭ་ཐང་གི་ཁ་གསབ།"


def answered(home: Home, **changes: Any) -> dict[str, Any]:
    outcome = release(home, [question(**changes)])[0]
    assert isinstance(outcome, Permitted), outcome
    return dict(orjson.loads(outcome.body))


def refused(home: Home, **changes: Any) -> Reason:
    outcome = release(home, [question(**changes)])[0]
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def used(home: Home) -> None:
    """A permitted question, a refused one of another bank, and a permitted one about somebody else."""
    for who in (ZHANG, LI):
        consented(home, who)
        held(home, who)
        answered(home, who=who, staff=("u-7", "credit"))
    refused(home, presented=caller(OTHER_BANK, "other"))


# ---- who asked ------------------------------------------------------------------------------------------------------


def test_accesses_from_before_the_phone_was_bound_are_listed_with_refusals_and_reasons(
    exchange_home: Home, door: Door
) -> None:
    used(exchange_home)
    phone = bound(exchange_home, door)
    first, second = phone.get("/subject/v1/accesses")["accesses"]
    assert (first["lender"], first["outcome"], first["reason"]) == (OTHER_BANK, "refused", "no-consent")
    assert (second["lender"], second["outcome"], second["department"]) == (BANK, "permitted", "credit")
    assert (second["purpose"], second["mode"]) == ("LOAN_APPROVAL", "summary")
    assert "SUBSIDY.amount_due" in second["items"]
    assert "u-7" not in orjson.dumps(second).decode()
    page = phone.get("/subject/v1/accesses?limit=1")
    assert page["accesses"] == [first]
    assert phone.get(f"/subject/v1/accesses?limit=1&cursor={page['next']}")["accesses"] == [second]
    without_zone = b64url(orjson.dumps(["access", "2026-06-15T02:03:04", str(UUID(int=1))]))
    assert phone.get(f"/subject/v1/messages?cursor={paging.cursor('message', clock.now(), UUID(int=1))}")
    for bent in ("x", without_zone, paging.cursor("message", clock.now(), UUID(int=1))):
        answer = phone.call("GET", f"/subject/v1/accesses?cursor={bent}")
        assert (answer.status_code, answer.json()["code"]) == (400, "request-malformed")


def test_recipients_are_those_that_were_shown_something_and_nobody_else(exchange_home: Home, door: Door) -> None:
    used(exchange_home)
    answered(exchange_home)
    (one,) = bound(exchange_home, door).get("/subject/v1/recipients")["recipients"]
    assert (one["organisation"], one["accesses"], one["purposes"]) == (BANK, 2, ["LOAN_APPROVAL"])
    assert "RATING.grade" in one["items"]


def test_there_is_one_message_for_each_access_until_the_person_opts_out(exchange_home: Home, door: Door) -> None:
    used(exchange_home)
    phone = bound(exchange_home, door)
    told = phone.get("/subject/v1/messages")["messages"]
    assert [one["kind"] for one in told] == ["access", "access", "change"]
    assert [one["facts"]["outcome"] for one in told[:2]] == ["refused", "permitted"]
    assert BANK in told[1]["text"]["zh"]
    assert phone.call("PUT", "/subject/v1/messages/choice", json={"access_messages": False}).status_code == 204
    answered(exchange_home)
    quiet = phone.get("/subject/v1/messages")
    assert (quiet["messages"], quiet["access_messages"]) == (told[2:], False)
    assert len(phone.get("/subject/v1/accesses")["accesses"]) == 3
    phone.call("PUT", "/subject/v1/messages/choice", json={"access_messages": True})
    answered(exchange_home)
    assert [one["kind"] for one in phone.get("/subject/v1/messages")["messages"]] == ["access", "change"]


def test_every_change_of_a_consent_is_told_once_in_the_persons_own_words(exchange_home: Home, door: Door) -> None:
    consent = consented(exchange_home)
    consented(exchange_home, LI)
    phone = bound(exchange_home, door)
    for act in ("pause", "resume", "withdraw"):
        assert phone.call("POST", f"/subject/v1/consents/{consent.consent_id}/{act}").status_code in {200, 204}
    told = phone.get("/subject/v1/messages")["messages"]
    assert [(one["kind"], one["facts"]["change"]) for one in told] == [
        ("change", "withdrawn"),
        ("change", "resumed"),
        ("change", "paused"),
        ("change", "granted"),
    ]
    assert {one["facts"]["consent_id"] for one in told} == {consent.consent_id}
    assert told[0]["text"]["zh"] == f"对“{BANK}”的授权已撤回（用途 LOAN_APPROVAL）。"


# ---- own data -------------------------------------------------------------------------------------------------------


def test_own_data_is_shown_whole_logged_and_counted(exchange_home: Home, door: Door) -> None:
    held(exchange_home)
    held(exchange_home, LI, [("SUBSIDY", {**SUBSIDY, "amount_due": 999_999})])
    phone = bound(exchange_home, door)
    shown = phone.get("/subject/v1/records")
    fields = {f["item"]: f["value"] for record in shown["records"] for f in record["fields"]}
    assert fields["SUBSIDY.amount_due"] == 120_050
    assert fields["RATING.grade"] == "AA"
    assert "999999" not in orjson.dumps(shown).decode()
    assert (shown["opened_this_year"], shown["free_a_year"]) == (1, 2)
    assert phone.get("/subject/v1/records")["opened_this_year"] == 2
    assert events(exchange_home).count("release:subject:opened") == 2
    assert [one["outcome"] for one in phone.get("/subject/v1/accesses")["accesses"]] == ["own", "own"]


def test_own_data_is_opened_thirty_times_a_day_and_no_more(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.release.owning.A_DAY_MOST", 3)
    phone = bound(exchange_home, door)
    for _ in range(3):
        phone.get("/subject/v1/records")
    answer = phone.call("GET", "/subject/v1/export")
    assert (answer.status_code, answer.json()["code"]) == (429, "too-often")


def whole(home: Home, door: Door) -> Phone:
    """A person of whom everything exists that an export can hold."""
    used(home)
    phone = bound(home, door)
    assert phone.call("PUT", "/subject/v1/statement", json={"text": f"已还清。{TIBETAN}"}).status_code == 200
    record = next(r for r in phone.get("/subject/v1/records")["records"] if r["kind"] == "SUBSIDY")
    body = {
        "record_id": record["record_id"],
        "version": record["version"],
        "item": "SUBSIDY.amount_due",
        "reason": "wrong_value",
        "words": "金额不对",
        "evidence_sha256": "ab" * 32,
    }
    assert phone.call("POST", "/subject/v1/disputes", json=body).status_code == 201
    complaint = {"about": "lender", "organisation": BANK, "words": "未经同意联系我的家人"}
    assert phone.call("POST", "/subject/v1/complaints", json=complaint).status_code == 201
    return phone


def test_the_export_fits_the_published_schema_and_holds_everything(exchange_home: Home, door: Door) -> None:
    phone = whole(exchange_home, door)
    published = door.call("GET", f"{ISSUER}{document.SCHEMA_PATH}")
    assert published.headers["content-type"] == "application/schema+json"
    schema = published.json()
    jsonschema.Draft202012Validator.check_schema(schema)
    answer = phone.call("GET", "/subject/v1/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store"
    taken = answer.json()
    jsonschema.validate(taken, schema, format_checker=jsonschema.FormatChecker())
    parts = ("records", "consents", "accesses", "recipients", "disputes", "complaints", "phones")
    assert all(taken[part] for part in parts)
    assert taken["statement"]["text"].endswith(TIBETAN)
    marked = [f for r in taken["records"] for f in r["fields"] if f["disputed"]]
    assert [f["item"] for f in marked] == ["SUBSIDY.amount_due"]
    assert LI.text not in answer.text
    taken["records"][0]["sex"] = "?"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(taken, schema)


def test_the_paper_export_embeds_chinese_and_tibetan_fonts(exchange_home: Home, door: Door) -> None:
    answer = whole(exchange_home, door).call("GET", "/subject/v1/export.pdf")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF-")
    assert answer.content.count(b"/FontFile2") == 2
    assert b"NotoSansSC" in answer.content
    assert b"NotoSerifTibetan" in answer.content


# ---- own consents ---------------------------------------------------------------------------------------------------


def test_a_person_pauses_resumes_narrows_and_withdraws_and_each_bites_on_the_next_question(
    exchange_home: Home, door: Door
) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    phone = bound(exchange_home, door)
    path = f"/subject/v1/consents/{consent.consent_id}"
    assert phone.call("POST", f"{path}/pause").json()["state"] == "paused"
    assert refused(exchange_home) is Reason.PAUSED
    assert phone.call("POST", f"{path}/resume").json()["state"] == "active"
    narrowed = phone.call("POST", f"{path}/narrow", json={"items": ["RATING.grade"]})
    assert narrowed.status_code == 200, narrowed.text
    assert narrowed.json()["items"] == ["RATING.grade"]
    assert refused(exchange_home, items=frozenset({"SUBSIDY.amount_due"})) is Reason.ITEMS_NOT_COVERED
    wider = phone.call(
        "POST",
        f"/subject/v1/consents/{narrowed.json()['consent_id']}/narrow",
        json={"items": ["RATING.grade", "RATING.score"]},
    )
    assert (wider.status_code, wider.json()["code"]) == (422, "consent-terms")
    assert phone.call("POST", f"/subject/v1/consents/{narrowed.json()['consent_id']}/withdraw").status_code == 200
    assert refused(exchange_home) is not None
    again = phone.call("POST", f"/subject/v1/consents/{narrowed.json()['consent_id']}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "consent-ended")


def test_a_receipt_is_taken_along_as_it_was_signed_and_on_a_sheet(exchange_home: Home, door: Door) -> None:
    consent = consented(exchange_home)
    phone = bound(exchange_home, door)
    taken = phone.call("GET", f"/subject/v1/consents/{consent.consent_id}/receipt")
    assert taken.headers["content-type"] == "application/jwt"
    checked = receipt.verify(taken.text, exchange_home.keyring.policy().receipt_keys)
    assert checked.consent_id == consent.consent_id
    sheet = phone.call("GET", f"/subject/v1/consents/{consent.consent_id}/receipt/bo")
    assert sheet.headers["content-type"].startswith("text/html")
    assert consent.consent_id in sheet.text
    assert "script" not in sheet.headers["content-security-policy"]


# ---- statement ------------------------------------------------------------------------------------------------------


def test_a_statement_goes_with_summaries_sealed_until_it_is_taken_back(exchange_home: Home, door: Door) -> None:
    consented(exchange_home, max_uses=5)
    held(exchange_home)
    phone = bound(exchange_home, door)
    assert "statement" not in answered(exchange_home)
    phone.call("PUT", "/subject/v1/statement", json={"text": "2025 年雪灾，牲畜损失已补报。"})
    assert answered(exchange_home)["statement"]["text"] == "2025 年雪灾，牲畜损失已补报。"
    claim = (Claim("RATING.grade", "exists", None),)
    asked = {"mode": Mode.VERIFY, "items": frozenset({"RATING.grade"}), "claims": claim}
    assert "statement" not in answered(exchange_home, **asked)
    with exchange_home.database.transaction() as tx:
        kept = tx.execute("SELECT row_to_json(s)::text FROM subject_statement s").fetchall()
        entries = tx.execute("SELECT fields::text FROM log_entry").fetchall()
        queries = tx.execute("SELECT row_to_json(q)::text FROM query q").fetchall()
    assert "雪灾" not in str(kept + entries + queries)
    assert phone.call("DELETE", "/subject/v1/statement").status_code == 204
    assert "statement" not in answered(exchange_home)
    assert phone.get("/subject/v1/statement") == {"statement": None}


def test_a_statement_has_at_most_200_characters_and_names_nobody_by_number(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    long = phone.call("PUT", "/subject/v1/statement", json={"text": "草" * 201})
    assert (long.status_code, "草" in long.text) == (422, False)
    assert phone.call("PUT", "/subject/v1/statement", json={"text": "草" * 200}).status_code == 200
    naming = phone.call("PUT", "/subject/v1/statement", json={"text": f"是{LI.text}欠的"})
    assert (naming.status_code, naming.json()["code"]) == (422, "words-name-somebody")
    assert LI.text not in naming.text


# ---- complaints -----------------------------------------------------------------------------------------------------


def test_a_complaint_has_a_number_a_clock_of_thirty_days_and_an_answer(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    body = {"about": "operator", "words": "三次申请未答复"}
    filed = phone.call("POST", "/subject/v1/complaints", json=body).json()
    assert filed["number"].startswith("TS")
    span = clock.now() + timedelta(days=29)
    with exchange_home.database.transaction() as tx:
        assert complaints.run_clock(tx, now=span) == 0
        assert complaints.run_clock(tx, now=span + timedelta(days=2)) == 1
        assert complaints.run_clock(tx, now=span + timedelta(days=2)) == 0
        (waiting,) = complaints.waiting(tx, exchange_home, actor="operator", now=clock.now())
        assert waiting.words == "三次申请未答复"
        complaints.answer(tx, exchange_home, filed["number"], "已联系您核实", by="operator", now=clock.now())
    (own,) = phone.get("/subject/v1/complaints")["complaints"]
    assert (own["state"], own["overdue"], own["reply"]) == ("answered", True, "已联系您核实")
    assert [one["kind"] for one in phone.get("/subject/v1/messages")["messages"]] == ["complaint", "complaint"]
    jobs.run_clocks(exchange_home)


def test_whatever_was_never_bound_owns_nothing(exchange_home: Home) -> None:
    with exchange_home.database.transaction() as tx:
        assert binding.subject_of(tx, "bank") is None
        assert not binding.has_phone(tx, UUID(int=7))


def test_the_phones_of_the_dead_are_ended(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    subjects.note_death(exchange_home, ZHANG, document_sha256=b"\x07" * 32, actor="operator")
    assert phone.call("GET", "/subject/v1/records").status_code == 401
    key = ECKey.generate_key("P-256")
    refused = try_binding(door, shown(code_for(exchange_home), key), key)
    assert (refused.status_code, refused.json()["code"]) == (403, "binding-refused")


def test_the_operator_reads_and_answers_complaints_by_command(
    exchange_home: Home, door: Door, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = bound(exchange_home, door)
    body = {"about": "lender", "organisation": BANK, "words": "未经同意联系我的家人"}
    number = phone.call("POST", "/subject/v1/complaints", json=body).json()["number"]
    command = InProcess(exchange_home.settings.home, addresses, monkeypatch)
    listed = command("complaint", "list")
    assert listed.returncode == 0, listed.stderr
    assert number in listed.stdout
    assert "未经同意联系我的家人" in listed.stdout
    assert command("complaint", "answer", number, "--reply", "已责成该行停止联系").returncode == 0
    assert command("complaint", "answer", number, "--reply", "再次").returncode == 2
    (own,) = phone.get("/subject/v1/complaints")["complaints"]
    assert (own["state"], own["reply"]) == ("answered", "已责成该行停止联系")
    assert "exchange:complaints:read" in events(exchange_home)
