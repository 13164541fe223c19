"""Requests that are made to break what stands behind the doors, or to leave something there in clear."""

from collections.abc import AsyncIterator
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from consent import ledger
from consent.evidence import Channel
from consent.scope import Mode
from exchange import consents, jobs
from exchange.errors import OutOfService, RequestRefused
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.release import AskAgain, Permitted, recording, release
from exchange.release.cases import claims_digest
from registry import clock
from registry.canonical import canonical
from registry.errors import AnswerFailed, MalformedIdentifier
from registry.identifiers import CreditCode
from registry.profile import Claim
from registry.suites import sha256
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.attacks.test_queries import BANK_ONE, QUERIES, Bank, body, code
from tests.capturing import in_person, staffed
from tests.people import LI, ZHANG, caller, consented, held, question, sequenced
from tests.reachable import CONTACT

STANDING = True
CONSENTS = f"{ISSUER}/v1/consents"
CREDIT = "91630000MA00000000"


@pytest.fixture
def bank(exchange_home: Home, door: Door, lender: Caller) -> Bank:
    staffed(exchange_home, BANK_ONE)
    return Bank(door, lender)


def uses(home: Home) -> int:
    with home.database.transaction() as tx:
        row = tx.execute("SELECT sum(uses) FROM consent").fetchone()
    assert row is not None
    return int(row[0])


def given(**changes: Any) -> dict[str, Any]:
    today = clock.beijing_day(clock.now())
    stated = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "items": ["RATING"],
        "valid_from": today.isoformat(),
        "text_version": "2026-01",
        "text_language": "bo",
        "channel": "village",
        "evidence": {"kind": "reliable_esign", "sha256": "ab" * 32},
    }
    return stated | in_person() | changes


def post(bank: Bank, url: str, sent: dict[str, Any]) -> httpx.Response:
    return bank.door.call("POST", url, json=sent, headers=bank.client.headers("POST", url, bank.token))


# ---- one batch ------------------------------------------------------------------------------------------------------


def test_a_poisoned_request_burns_no_use_of_those_beside_it(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it fails with, the others are answered, and what was counted was answered."""
    consented(exchange_home)
    held(exchange_home)
    good = recording._row  # a mistake of ours is put where a poisoned value would meet it

    def poisoned(facts: Any, *rest: Any) -> Any:
        if facts.business_no == "POISON":
            raise AttributeError("a mistake")
        return good(facts, *rest)

    monkeypatch.setattr(recording, "_row", poisoned)
    outcomes = release(exchange_home, [question(business_no=number) for number in ("LA-1", "POISON", "LA-3")])
    assert [type(outcome) for outcome in outcomes] == [Permitted, AnswerFailed, Permitted]
    assert uses(exchange_home) == 2


def test_an_outage_half_way_keeps_what_was_committed_and_tells_the_rest_to_come_again(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    consented(exchange_home)
    held(exchange_home)
    good = recording._row  # as above

    def failing(facts: Any, *rest: Any) -> Any:
        if facts.business_no == "GONE":
            raise tried.pop(0)
        return good(facts, *rest)

    tried: list[Exception] = [TypeError("in the batch"), psycopg.OperationalError("by itself")]
    monkeypatch.setattr(recording, "_row", failing)
    outcomes = release(exchange_home, [question(business_no=number) for number in ("LA-1", "GONE", "LA-3")])
    assert [type(outcome) for outcome in outcomes] == [Permitted, OutOfService, OutOfService]
    assert uses(exchange_home) == 1


def test_the_same_key_twice_at_once_is_answered_twice_when_no_use_is_left(exchange_home: Home) -> None:
    consented(exchange_home, max_uses=1)
    held(exchange_home)
    (first,) = release(exchange_home, [question(idempotency_key="application-80")])
    assert isinstance(first, Permitted)
    again = release(
        exchange_home,
        [question(idempotency_key="application-80")] * 2 + [AskAgain(caller(), first.query_id)] * 2,
    )
    assert {outcome.query_id for outcome in again if isinstance(outcome, Permitted)} == {first.query_id}
    assert all(isinstance(outcome, Permitted) for outcome in again)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([TypeError("together")], [Permitted, Permitted, Permitted]),
        ([TypeError("together"), TypeError("by itself")], [Permitted, AnswerFailed, Permitted]),
        ([psycopg.OperationalError("together")], [Permitted, OutOfService, OutOfService]),
    ],
)
def test_what_fails_in_the_round_after_the_first_of_a_key_takes_nothing_from_the_first(
    exchange_home: Home, failures: list[Exception], expected: list[type]
) -> None:
    consented(exchange_home)
    held(exchange_home)
    left = list(failures)
    rounds = 0

    def fail(step: int) -> None:
        nonlocal rounds
        rounds += step == 1
        if step == 4 and rounds > 1 and left:
            raise left.pop(0)

    outcomes = release(exchange_home, [question(idempotency_key="application-82")] * 3, at_step=fail)
    assert [type(outcome) for outcome in outcomes] == expected
    assert uses(exchange_home) == 1


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_what_was_claimed_is_nowhere_in_clear_and_comes_back_from_its_seal(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    asked = question(
        mode=Mode.VERIFY,
        items=frozenset({"RATING.score"}),
        claims=(Claim("RATING.score", "at_least", "86.4375"),),
        idempotency_key="application-81",
    )
    (first,) = release(exchange_home, [asked])
    (again,) = release(exchange_home, [asked])
    assert isinstance(first, Permitted)
    assert isinstance(again, Permitted)
    assert first.body == again.body
    with exchange_home.database.transaction() as tx:
        (row,) = tx.execute("SELECT query::text FROM query").fetchall()
        (entry,) = tx.execute("SELECT fields FROM log_entry WHERE event = 'release:query:permitted'").fetchall()
    assert "86.4375" not in row[0]
    assert b"86.4375".hex() not in row[0]
    access = entry[0]["access"]
    written = canonical([["RATING.score", "at_least", "86.4375"]])
    assert access["claims_sha256"] == sha256(b"qq-claims\x00" + first.facts.request_salt + written).hex()
    assert access["claims_sha256"] == claims_digest(first.facts.request_salt, asked.claims)


def test_the_log_says_on_which_terms_it_was_permitted(exchange_home: Home) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    release(exchange_home, [question()])
    with exchange_home.database.transaction() as tx:
        (row,) = tx.execute("SELECT fields FROM log_entry WHERE event = 'release:query:permitted'").fetchall()
    assert row[0]["consent_entry"] == str(consent.receipt_entry)
    access = row[0]["access"]
    assert (access["history_months"], access["w_acknowledged"], access["claims_sha256"]) == (24, True, None)


def test_an_item_is_compared_once_a_request(bank: Bank) -> None:
    claims = [{"item": "RATING.score", "relation": "at_least", "value": limit} for limit in (70, 80)]
    assert code(bank.ask(body(mode="verify", claims=claims))) == (400, "request-malformed")


# ---- what goes to the log in clear ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"business_no": ZHANG.text},
        {"business_no": f"LA-{ZHANG.text[:6]}-{ZHANG.text[6:14]}-{ZHANG.text[14:]}"},
        {"business_no": f"a:{ZHANG.text[:6]}.{ZHANG.text[6:14]}/{ZHANG.text[14:]}"},
        {"business_no": "张三的贷款"},
        {"business_no": "LA 1"},
        {"business_no": "x" * 65},
        {"staff": {"user_id": "次仁", "department": "credit"}},
        {"staff": {"user_id": "u-1", "department": ZHANG.text}},
        {"items": ["RATING.grade\u0000"]},
        {"mode": "verify", "claims": [{"item": "RATING.grade", "relation": "equals", "value": "A\u0000"}]},
        {"mode": "verify", "claims": [{"item": "RATING.grade", "relation": "equals", "value": "A" * 201}]},
        {"mode": "verify", "claims": [{"item": "RATING.score", "relation": "equals", "value": 2**63}]},
    ],
)
def test_codes_hold_no_names_identifiers_or_control_characters(
    exchange_home: Home, bank: Bank, changes: dict[str, Any]
) -> None:
    response = bank.ask(body(**changes))
    assert code(response) == (400, "request-malformed")
    assert ZHANG.text not in response.text
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM log_entry WHERE event LIKE 'release:%'").fetchone() == (0,)


def test_a_credit_code_is_found_in_a_code_too(bank: Bank) -> None:
    good = collective()
    with pytest.raises(RequestRefused):
        refuse_personal(f"x{good.text}")
    refuse_personal("LA-2026-000123", None, "https://bank.example/loans/2026/000123456789")


OLD_FORM = "632122800101001"  # 15 digits, as resident ids were until 1999


@pytest.mark.parametrize(
    "bent",
    [OLD_FORM, f"LA{OLD_FORM}", f"2026-{OLD_FORM}", f"LA-{OLD_FORM}/1", "632122-800101-001", "a:632122.800101.001"],
)
def test_the_old_form_of_a_resident_id_is_found_in_a_code_too(bent: str) -> None:
    with pytest.raises(RequestRefused):
        refuse_personal(bent)


def test_a_number_that_is_no_old_form_is_a_code(bank: Bank) -> None:
    day_that_is_not, no_province, longer = "632122801301001", "202611080712301", f"{OLD_FORM}7"
    refuse_personal(day_that_is_not, no_province, longer, OLD_FORM[1:])
    refused = bank.ask(body(business_no=OLD_FORM))
    assert code(refused) == (400, "request-malformed")
    assert OLD_FORM not in refused.text


def collective() -> CreditCode:
    """A credit code that holds."""
    for last in "0123456789ABCDEFGHJKLMNPQRTUWXY":
        for check in "0123456789X":
            try:
                return CreditCode.parse(f"N2630222MF123456{check}{last}")
            except MalformedIdentifier:
                continue
    raise AssertionError("no check character holds")


def test_an_unknown_purpose_never_reaches_the_log(exchange_home: Home, bank: Bank) -> None:
    response = bank.ask(body(purpose="ZhangSan630222199901010001"))
    assert code(response) == (422, "purpose-unknown")
    assert "ZhangSan" not in response.text
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM log_entry WHERE event LIKE 'release:%'").fetchone() == (0,)


@pytest.mark.parametrize("purpose", ["SELF_QUERY", "REPAIR", "MODEL_TRAINING"])
def test_lenders_neither_ask_nor_record_for_purposes_of_others(bank: Bank, purpose: str) -> None:
    assert code(bank.ask(body(purpose=purpose))) == (403, "purpose-not-for-lenders")
    told = post(bank, CONSENTS, given(purpose=purpose))
    assert code(told) == (422, "consent-terms")
    assert told.json()["detail"].startswith("PURPOSE_NOT_FOR_LENDERS")


# ---- consents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"text_version": ZHANG.text},
        {"text_version": "latest"},
        {"collector": "次仁卓玛"},
        {"collector": f"c-{ZHANG.text}"},
        {"place": "٦٣٢٧٠١"},
        {"valid_from": "0001-01-01"},
        {"valid_to": "9999-12-31"},
        {"max_uses": 2**70},
        {"items": ["RATING\u0000"]},
        {"purpose": "LOAN\u0000"},
    ],
)
def test_a_consent_that_nothing_could_hold_is_a_problem_and_no_failure(bank: Bank, changes: dict[str, Any]) -> None:
    status, _ = code(post(bank, CONSENTS, given(**changes)))
    assert status in {400, 422}


def test_a_consent_id_that_the_database_cannot_hold_is_a_problem(bank: Bank) -> None:
    address = f"{CONSENTS}/a%00b"
    response = bank.door.call("GET", address, headers=bank.client.headers("GET", address, bank.token))
    assert code(response) == (404, "not-found")


def test_what_is_wrong_with_terms_is_said_in_fixed_words(bank: Bank) -> None:
    told = post(bank, CONSENTS, given(purpose="ZhangSan"))
    assert code(told) == (422, "consent-terms")
    assert told.json()["detail"] == "PURPOSE_UNKNOWN: no such purpose"


def test_a_withdrawal_is_not_undone_with_the_same_paper_or_an_earlier_day(exchange_home: Home, bank: Bank) -> None:
    made = post(bank, CONSENTS, given())
    assert made.status_code == 201, made.text
    ended = post(bank, f"{CONSENTS}/{made.json()['consent_id']}/withdraw", {"channel": "counter"})
    assert ended.json()["state"] == "withdrawn"
    assert post(bank, CONSENTS, given()).json()["detail"].startswith("EVIDENCE_REUSED")
    fresh = {"evidence": {"kind": "reliable_esign", "sha256": "cd" * 32}}
    yesterday = (clock.beijing_day(clock.now()) - timedelta(days=1)).isoformat()
    dated_back = (clock.now() - timedelta(days=1)).isoformat()
    earlier = post(bank, CONSENTS, given(valid_from=yesterday, captured_at=dated_back, **fresh))
    assert earlier.json()["detail"].startswith("BEFORE_WITHDRAWAL")
    assert post(bank, CONSENTS, given(**fresh)).status_code == 201
    other = given(subject={"type": "resident_id", "identifier": LI.text}, **fresh)
    assert post(bank, CONSENTS, other).json()["detail"].startswith("EVIDENCE_REUSED")
    assert post(bank, CONSENTS, given(purpose="GUARANTEE", text_version="2026-03", **fresh)).status_code == 201


def test_nobody_agrees_at_the_door_to_what_the_text_read_out_does_not_name(exchange_home: Home, bank: Bank) -> None:
    beyond = post(bank, CONSENTS, given(items=["RATING", "TAX_PAYMENT"]))
    assert beyond.status_code == 422
    assert beyond.json()["detail"].startswith("ITEM_NOT_IN_TEXT")
    assert post(bank, CONSENTS, given(text_version="2031-12")).json()["detail"].startswith("TEXT_UNKNOWN")
    named = given(items=["RATING", "TAX_PAYMENT"], text_version="2026-02")
    assert post(bank, CONSENTS, named).status_code == 201


def resolved(minutes: str) -> dict[str, object]:
    """A meeting of all members that was made public for a week and is over."""
    today = clock.beijing_day(clock.now())
    ago = {days: (today - timedelta(days=days)).isoformat() for days in (20, 15, 9)}
    votes = {"members": 90, "present": 66, "votes_for": 60, "votes_against": 4, "votes_abstained": 2}
    meeting = {"meeting": "members", "number": "2026-7", "held_on": ago[20], "publicity_from": ago[15]}
    end = {"publicity_to": ago[9], "term_until": (today + timedelta(days=300)).isoformat(), "minutes_sha256": minutes}
    return {"kind": "resolution", "relation": "board", "resolution": votes | meeting | end}


def test_a_collective_consents_by_resolution_only(exchange_home: Home, bank: Bank) -> None:
    about = {"subject": {"type": "uscc", "identifier": collective().text}, "items": ["SANZI_FUND"]}
    assert post(bank, CONSENTS, given(**about)).json()["detail"].startswith("RESOLUTION_MISSING")
    about["evidence"] = {"kind": "resolution", "sha256": "ef" * 32}
    assert post(bank, CONSENTS, given(**about)).json()["detail"].startswith("RESOLUTION_MISSING")  # what did they vote?
    about["representation"] = resolved("ef" * 32)
    assert post(bank, CONSENTS, given(**about)).status_code == 201


def test_of_two_withdrawals_at_once_the_second_freezes_what_neither_covers(exchange_home: Home) -> None:
    """Each alone would still see the other's consent standing."""
    subject = held(exchange_home)
    one, two = (consented(exchange_home, recipient=name) for name in ("甲银行", "乙银行"))
    with exchange_home.database.transaction() as tx:
        first = ledger.withdraw(tx, one.consent_id, Channel.COUNTER, clock.now())
        consents.freeze_bare(tx, [subject], now=clock.now())  # the first, before its commit
        second = Thread(
            target=consents.withdraw, args=(exchange_home, two.consent_id, Channel.COUNTER), kwargs={"actor": "test"}
        )
        second.start()
        second.join(0.5)
        assert second.is_alive()  # it waits for the first
    second.join()
    assert first.state.value == "withdrawn"
    assert _unfrozen(exchange_home, subject) == 0


def _unfrozen(home: Home, subject: UUID) -> int:
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT count(*) FROM record WHERE subject_id = %s AND frozen_at IS NULL", (subject,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_what_no_consent_covers_is_frozen_even_if_nobody_withdrew(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consents, "SUBJECTS_AT_ONCE", 1)
    consented(exchange_home, LI)
    bare, covered = held(exchange_home, ZHANG), held(exchange_home, LI)
    jobs.freeze_uncovered(exchange_home)
    assert (_unfrozen(exchange_home, bare), _unfrozen(exchange_home, covered)) == (0, 2)


# ---- systems --------------------------------------------------------------------------------------------------------


def _register(home: Home, organisation: str, **more: Any) -> None:
    with home.database.transaction() as tx:
        keys = Caller("some-system").jwks
        clients.register(
            tx, f"c-{sha256(organisation.encode()).hex()[:8]}-{len(more)}", role=Role.LENDER,
            organisation=organisation, jwks=keys, now=clock.now(), contact=CONTACT, **more,
        )  # fmt: skip


def test_a_system_joins_an_organisation_only_when_that_is_said(exchange_home: Home) -> None:
    _register(exchange_home, "青海民和农村商业银行（总行）")
    for same in ("青海民和农村商业银行(总行)", "青海民和 农村商业银行（总行）"):
        with pytest.raises(RequestRefused, match="has a client already"):
            _register(exchange_home, same)
    _register(exchange_home, "青海民和农村商业银行(总行)", same_organisation=True)
    with exchange_home.database.transaction() as tx:
        assert clients.organisations(tx) == {"青海民和农村商业银行(总行)"}


@pytest.mark.parametrize(
    "name", ["", " ", "甲银行\u200b", "甲银行\u202e", "甲\u0000银行", "甲银行；乙银行", "甲银行／乙银行"]
)
def test_a_name_that_cannot_be_seen_or_is_several_is_not_registered(exchange_home: Home, name: str) -> None:
    with pytest.raises(RequestRefused, match="one organisation"):
        _register(exchange_home, name)


def test_an_assertion_in_a_strange_name_is_refused_before_anyone_is_looked_up(door: Door) -> None:
    for name in ("a\u0000b", "张三", "x" * 65, ZHANG.text + "\n"):
        answer = Caller(name).ask(door)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


# ---- the envelope ---------------------------------------------------------------------------------------------------


async def _pieces() -> AsyncIterator[bytes]:
    """A body that states no length."""
    for _ in range(70):
        yield b" " * 1024


def test_a_body_that_is_too_long_is_a_problem_and_no_failure(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    headers = {"content-type": "application/json"}
    for url in (QUERIES, CONSENTS):
        for content in (b" " * 70_000, _pieces()):
            sent = headers | bank.client.headers("POST", url, bank.token)
            assert code(bank.door.call("POST", url, content=content, headers=sent)) == (413, "body-too-large")
    assert '"level":"error"' not in capsys.readouterr().err


def test_what_is_behind_a_closed_door_is_stored_nowhere_on_the_way(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    for url, kept in ((f"{ISSUER}/v1/catalogue", "private, no-cache"), (f"{ISSUER}/v1/nowhere", "no-store")):
        told = bank.door.call("GET", url, headers=bank.client.headers("GET", url, bank.token))
        assert told.headers.get_list("cache-control") == [kept]  # the catalogue says nothing about anybody
    assert bank.ask(body()).headers.get_list("cache-control") == ["no-store"]
    sequenced(exchange_home)
    assert bank.door.call("GET", f"{ISSUER}/log/checkpoint").headers.get_list("cache-control") == ["no-cache"]


def test_mode_verify_tells_nothing_of_a_record_but_that_it_is_there(exchange_home: Home, bank: Bank) -> None:
    consented(exchange_home, recipient=BANK_ONE)
    held(exchange_home)
    claims = [{"item": "RATING.score", "relation": "at_least", "value": 80}]
    told = bank.ask(body(mode="verify", claims=claims)).json()["answer"]
    assert [claim["holds"] for claim in told["claims"]] == [True]
    assert [set(record) for record in told["records"]] == [{"commitment"}]
    assert "summary" not in told
