"""Reports at the door: on paper, for whom they are, and what a code on paper proves."""

import re
import threading
import time
import zlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator

from consent.evidence import Channel
from consent.record import SubjectType
from consent.scope import Mode
from exchange import consents, reports_api
from exchange.home import Home
from exchange.reports import schemas
from registry import jws
from registry.canonical import canonical
from registry.keyring import Purpose
from registry.suites import sha256
from registry.trust import TrustPolicy
from registry.verify import verify
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.people import VILLAGE, ZHANG, consented, held, sequenced

STANDING = True
QUERIES = f"{ISSUER}/v1/queries"
CHECK = f"{ISSUER}{reports_api.CHECK_PATH}"
BANK_ONE = "91630000MA0000000X"  # what bent_client registers
STAFF = {"user_id": "u-1027", "department": "credit"}


class Bank:
    """A lender's session at the door."""

    def __init__(self, door: Door, client: Caller) -> None:
        self.door, self.client, self.token = door, client, client.token(door)

    def ask(self, mode: str, **changes: Any) -> httpx.Response:
        asked = {
            "subject": {"type": "resident_id", "identifier": ZHANG.text},
            "purpose": "LOAN_APPROVAL",
            "business_no": "LA-1",
            "mode": mode,
            "staff": STAFF,
        }
        body = {name: value for name, value in (asked | changes).items() if value is not None}
        return self.door.call("POST", QUERIES, json=body, headers=self.client.headers("POST", QUERIES, self.token))

    def answer(self, mode: str, **changes: Any) -> dict[str, Any]:
        said = self.ask(mode, **changes)
        assert said.status_code == 200, said.text
        return dict(said.json()["answer"])

    def paper(self, query_id: str, **staff: str) -> httpx.Response:
        method, address, more = self.asking_for_paper(query_id, **staff)
        return self.door.call(method, address, **more)

    def asking_for_paper(self, query_id: str, **staff: str) -> tuple[str, str, dict[str, Any]]:
        address = f"{QUERIES}/{query_id}/report.pdf"
        return "GET", address, {"params": staff, "headers": self.client.headers("GET", address, self.token)}

    def evidence(self, query_id: str) -> httpx.Response:
        address = f"{QUERIES}/{query_id}/evidence"
        return self.door.call("GET", address, headers=self.client.headers("GET", address, self.token))


@pytest.fixture
def bank(door: Door, lender: Caller) -> Bank:
    return Bank(door, lender)


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def attached(pdf: bytes) -> dict[str, Any]:
    """What lies in a PDF beside its pages."""
    streams = [
        zlib.decompress(one) for one in re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL) if one[:1] == b"x"
    ]
    (found,) = [one for one in streams if one.startswith(b'{"answer":')]
    return dict(orjson.loads(found))


def openings(home: Home) -> list[dict[str, Any]]:
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT fields -> 'access' FROM log_entry WHERE event = 'release:query:reopened' ORDER BY at"
        ).fetchall()
    return [row[0] for row in rows]


def test_a_report_on_paper_holds_the_signed_answer_and_each_opening_is_logged(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    said = bank.ask("report").json()
    got = bank.paper(said["answer"]["query_id"])
    assert got.status_code == 200, got.text
    assert (got.headers["content-type"], got.headers["cache-control"]) == ("application/pdf", "no-store")
    assert got.content.startswith(b"%PDF-")
    assert attached(got.content) == said
    keys = exchange_home.keyring.policy().answer_keys
    jws.verify(said["signature"], keys, canonical(attached(got.content)["answer"]), typ="qq-answer+jws")
    (opening,) = openings(exchange_home)
    assert (opening["form"], opening["staff"]) == ("pdf", None)
    bank.paper(said["answer"]["query_id"], user_id="u-9", department="risk")
    assert openings(exchange_home)[-1]["staff"] == ["u-9", "risk"]


def test_paper_is_no_second_use(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT, max_uses=1)
    held(exchange_home)
    query_id = bank.answer("report")["query_id"]
    assert [bank.paper(query_id).status_code for _ in range(2)] == [200, 200]
    assert code(bank.ask("report")) == (403, "uses-exhausted")


def test_after_a_withdrawal_there_is_no_paper(exchange_home: Home, bank: Bank) -> None:
    consent = consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    query_id = bank.answer("report")["query_id"]
    assert bank.paper(query_id).status_code == 200
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert code(bank.paper(query_id)) == (403, "withdrawn")


def test_what_an_agency_has_recalled_is_printed_no_more_and_stays_provable(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    query_id = bank.answer("report")["query_id"]
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE record SET recalled_at = now() WHERE kind = 'RATING'")
    assert code(bank.paper(query_id)) == (409, "recalled")
    sequenced(exchange_home)
    assert bank.evidence(query_id).status_code == 200


def test_only_a_report_of_this_lenders_own_is_printed(exchange_home: Home, bank: Bank, other_lender: Caller) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    summary, report = (bank.answer(mode)["query_id"] for mode in ("summary", "report"))
    before = len(openings(exchange_home))
    assert code(bank.paper(summary)) == (400, "request-malformed")
    other = Bank(bank.door, other_lender)
    assert code(other.paper(report)) == code(other.paper(str(uuid4()))) == (404, "query-unknown")
    assert len(openings(exchange_home)) == before
    address = f"{QUERIES}/{report}/report.pdf"
    assert bank.door.call("GET", address).status_code == 401


def test_a_report_needs_to_know_who_asks_and_nobodys_identifier_will_do(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    assert code(bank.ask("report", staff=None)) == (400, "request-malformed")
    query_id = bank.answer("report")["query_id"]
    assert code(bank.paper(query_id, user_id=ZHANG.text, department="credit"))[0] == 400
    assert code(bank.paper(query_id, user_id="u-9")) == (400, "request-malformed")


def test_a_process_sets_one_report_at_a_time_and_a_system_has_one_set_or_waiting(
    exchange_home: Home, bank: Bank, other_lender: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    other = Bank(bank.door, other_lender)
    mine, theirs = (one.answer("report")["query_id"] for one in (bank, other))
    free, alone = threading.Lock(), []

    def slowly(*_: Any) -> bytes:
        alone.append(free.acquire(blocking=False))
        time.sleep(0.5)
        free.release()
        return b"%PDF-"

    monkeypatch.setattr(reports_api, "printed", slowly)
    before = len(openings(exchange_home))
    came = bank.door.together(
        *(bank.asking_for_paper(mine) for _ in range(4)), *(other.asking_for_paper(theirs) for _ in range(4))
    )
    for answers in (came[:4], came[4:]):
        assert sorted(one.status_code for one in answers) == [200, 429, 429, 429]
        refused = [one for one in answers if one.status_code == 429]
        assert {(one.json()["code"], one.headers["retry-after"]) for one in refused} == {("rate-exceeded", "2")}
    assert alone == [True, True]
    assert len(openings(exchange_home)) == before + 2, "what is refused is no opening"
    assert bank.paper(mine).status_code == 200


def test_what_is_withdrawn_while_a_report_waits_to_be_set_is_not_set(
    exchange_home: Home, bank: Bank, other_lender: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    other = Bank(bank.door, other_lender)
    mine, theirs = (one.answer("report")["query_id"] for one in (bank, other))

    def while_another_waits(*_: Any) -> bytes:
        time.sleep(0.5)  # it has been admitted by then
        consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
        return b"%PDF-"

    monkeypatch.setattr(reports_api, "printed", while_another_waits)
    came = bank.door.together(bank.asking_for_paper(mine), other.asking_for_paper(theirs))
    assert sorted(one.status_code for one in came) == [200, 403]
    (refused,) = (one for one in came if one.status_code == 403)
    assert code(refused) == (403, "withdrawn")


def test_a_report_that_cannot_be_set_keeps_no_place(
    exchange_home: Home, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    query_id = bank.answer("report")["query_id"]
    with monkeypatch.context() as broken:
        broken.delattr(reports_api, "printed")
        assert [bank.paper(query_id).status_code for _ in range(2)] == [500, 500]
    assert bank.paper(query_id).status_code == 200
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert [code(bank.paper(query_id)) for _ in range(2)] == [(403, "withdrawn")] * 2


@pytest.mark.parametrize("mode", ["score", "monitor", "REPORT"])
def test_a_mode_that_is_not_answered_is_not_taken(exchange_home: Home, bank: Bank, mode: str) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    assert code(bank.ask(mode)) == (400, "request-malformed")
    offered = bank.door.call("GET", f"{ISSUER}/openapi.json").json()
    shown = offered["paths"]["/v1/queries"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert shown["properties"]["mode"]["enum"] == ["verify", "tags", "summary", "report"]


def test_a_mode_above_the_consent_or_the_purpose_is_refused(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.VERIFY)
    held(exchange_home)
    assert code(bank.ask("tags")) == (403, "mode-too-high")
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.TAGS, began=timedelta(0))
    assert bank.ask("tags").status_code == 200
    assert code(bank.ask("report")) == (403, "mode-too-high")


@pytest.mark.parametrize("path", schemas.PATHS)
def test_the_form_of_each_answer_is_published_to_everybody(exchange_home: Home, bank: Bank, path: str) -> None:
    consented(exchange_home, recipient=BANK_ONE, mode=Mode.REPORT)
    held(exchange_home)
    got = bank.door.call("GET", f"{ISSUER}{path}")
    assert (got.status_code, got.headers["content-type"]) == (200, "application/schema+json")
    schema = got.json()
    assert schema["$id"] == path
    mode = schemas.PATHS[path].value
    claims = [{"item": "RATING.grade", "relation": "equals", "value": "AA"}] if mode == "verify" else None
    Draft202012Validator(schema).validate(bank.answer(mode, claims=claims))


def checked(door: Door, slip: str, lang: str = "zh") -> str:
    answer = door.call("POST", CHECK, data={"code": slip, "lang": lang})
    assert answer.status_code == 200
    return answer.text


def slip(home: Home, typ: str = reports_api.SLIP_TYPE, **changes: str) -> str:
    key = home.keyring.signing(Purpose.ANSWER)
    said = {
        "answer_sha256": sha256(b"x").hex(),
        "decided_at": "2026-06-15T02:03:04.000005Z",
        "lender": "沙箱农商银行",
        "query_id": str(uuid4()),
    }
    return jws.sign(key, key.key_id, canonical(said | changes), typ)


def test_a_slip_that_we_signed_is_confirmed_and_any_other_is_not(exchange_home: Home, door: Door) -> None:
    good = slip(exchange_home)
    told = checked(door, good)
    assert "这份报告是本平台签发的" in told
    assert "沙箱农商银行" in told
    head, payload, signature = good.split(".")
    for bad in (
        f"{head}.{payload[:-2]}AA.{signature}",
        slip(exchange_home, typ="qq-answer+jws"),
        slip(exchange_home, more="beside"),
        "",
        "x.y.z",
        head,
    ):
        refused = checked(door, bad)
        assert "无法确认这份报告" in refused
        assert "沙箱农商银行" not in refused
    assert "cannot be confirmed" in checked(door, "x", lang="en")


def test_what_a_slip_says_is_shown_as_text(exchange_home: Home, door: Door) -> None:
    told = checked(door, slip(exchange_home, lender="<script>alert(1)</script>"))
    assert "<script>alert" not in told
    assert "&lt;script&gt;alert" in told


def test_the_page_of_the_check_is_open_and_runs_its_own_script_only(door: Door) -> None:
    page = door.call("GET", CHECK)
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200
    assert "script-src 'sha256-" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in door.call("POST", CHECK, data={"code": "x"}).headers["content-security-policy"]


def test_a_villages_report_goes_through_the_door_with_its_evidence_and_on_paper(
    bank: Bank, exchange_home: Home
) -> None:
    held(
        exchange_home,
        VILLAGE,
        [
            ("SANZI_FUND", {"org_name": "史纳村股份经济合作社", "account_name": "基本户", "bank_balance": 10_050}),
            ("SANZI_CONTRACT", {"contract_no": "HT-1", "end_on": "2026-09-30", "publicity_from": "2026-01-01"}),
        ],
    )
    given = consented(
        exchange_home,
        VILLAGE,
        subject_type=SubjectType.ORGANISATION,
        recipient=BANK_ONE,
        items=("SANZI",),
        mode=Mode.REPORT,
        by_register=True,
    )
    told = bank.answer("report", subject={"type": "uscc", "identifier": VILLAGE.text})
    assert (told["consent_id"], told["report"]["title"]["zh"]) == (given.consent_id, "村集体信用信息报告")
    states = {one["code"]: one["state"] for one in told["sections"]}
    assert (states["accounts"], states["resources"]) == ("given", "given")
    schema = Draft202012Validator(schemas.of(Mode.REPORT))
    schema.validate(told)
    assert bank.paper(told["query_id"]).content.startswith(b"%PDF-")
    sequenced(exchange_home)
    evidence = bank.evidence(told["query_id"])
    verdict = verify(evidence.content, TrustPolicy.parse(exchange_home.keyring.trust_policy()))
    assert (verdict.form, len(verdict.shown)) == ("full", 8)
    refused = bank.ask("report", subject={"type": "uscc", "identifier": "91630000MA00000071"})
    assert code(refused) == (403, "no-consent")
