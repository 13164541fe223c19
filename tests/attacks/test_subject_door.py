"""Whoever is not the person: a stranger who guesses, a thief, another person, a lender, an agency."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from joserfc.jwk import ECKey

from exchange import binding, journal, subjects
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock, store
from tests.agencies import AGENCY, OTHER_AGENCY
from tests.asking import WANTED, bank
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.capturing import collector
from tests.people import BANK, LI, NOBODY, ZHANG, consented, held
from tests.phones import Phone, bound, code_for, shown, trial_over, try_binding, wrong

EVIDENCE = "ab" * 32
ORGANISATION = "91630000MA0000000X"  # of the fixture `lender`


def told(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def without_id(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that an answer tells, but for its own id."""
    headers = [(name, value) for name, value in answer.headers.items() if name != "x-request-id"]
    own = answer.headers["x-request-id"].encode()
    return answer.status_code, answer.content.replace(own, b"<its own>"), headers


# ---- thieves --------------------------------------------------------------------------------------------------------


def test_a_thief_with_a_clerk_of_the_bank_gets_nothing_for_72_hours_and_nothing_after_a_refusal(
    exchange_home: Home, door: Door
) -> None:
    held(exchange_home)
    owner, thief = bound(exchange_home, door), bound(exchange_home, door)
    assert thief.client.ask(door).status_code == 401
    answer = owner.call("POST", f"/subject/v1/phones/{thief.client.client_id}/refuse")
    assert answer.status_code == 200
    with exchange_home.database.transaction() as tx:
        assert binding.activate_due(tx, now=clock.now() + timedelta(days=4)) == 0
    assert thief.client.ask(door).status_code == 401


def test_an_operator_who_resumes_a_waiting_phone_lets_nobody_in(exchange_home: Home, door: Door) -> None:
    bound(exchange_home, door)
    thief = bound(exchange_home, door)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, thief.client.client_id, clients.ACTIVE)
    assert told(thief.signed_in().call("GET", "/subject/v1/records")) == (401, "token-invalid")


def test_a_phone_is_never_registered_by_command(exchange_home: Home) -> None:
    with pytest.raises(RequestRefused), exchange_home.database.transaction() as tx:
        clients.register(
            tx, "phone-mine", role=Role.SUBJECT, organisation="某人", jwks=Caller("phone-mine").jwks, now=clock.now()
        )


# ---- other people ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two(exchange_home: Home, door: Door) -> tuple[Phone, Phone]:
    """Zhang and Li, each with data, a consent and a phone."""
    for who in (ZHANG, LI):
        consented(exchange_home, who)
        held(exchange_home, who)
    return bound(exchange_home, door, ZHANG), bound(exchange_home, door, LI)


def test_another_persons_consent_record_and_phone_are_not_there(two: tuple[Phone, Phone]) -> None:
    zhang, li = two
    (consent,) = zhang.get("/subject/v1/consents")["consents"]
    path = f"/subject/v1/consents/{consent['consent_id']}"
    unknown = f"/subject/v1/consents/{uuid4()}"
    for method, rest in (("GET", ""), ("GET", "/receipt"), ("GET", "/receipt/zh"), ("POST", "/withdraw")):
        assert without_id(li.call(method, path + rest)) == without_id(li.call(method, unknown + rest))
        assert told(li.call(method, path + rest)) == (404, "consent-unknown")
    for verb in ("pause", "resume", "reconfirm"):
        assert told(li.call("POST", f"{path}/{verb}")) == (404, "consent-unknown")
    assert told(li.call("POST", f"{path}/narrow", json={"max_uses": 1})) == (404, "consent-unknown")
    assert zhang.get(path)["state"] == "active"
    record = zhang.get("/subject/v1/records")["records"][0]
    body = {"record_id": record["record_id"], "version": 1, "item": record["fields"][0]["item"], "reason": "other"}
    for record_id in (record["record_id"], str(uuid4())):
        answer = li.call(
            "POST", "/subject/v1/disputes", json=body | {"record_id": record_id, "evidence_sha256": EVIDENCE}
        )
        assert told(answer) == (404, "record-unknown")
    for verb in ("refuse", "end"):
        for client_id in (zhang.client.client_id, "phone-0000"):
            assert told(li.call("POST", f"/subject/v1/phones/{client_id}/{verb}")) == (404, "phone-unknown")


def test_another_persons_words_messages_and_accesses_are_in_no_list(
    exchange_home: Home, two: tuple[Phone, Phone]
) -> None:
    zhang, li = two
    record = next(r for r in zhang.get("/subject/v1/records")["records"] if r["kind"] == "SUBSIDY")
    body = {"record_id": record["record_id"], "version": 1, "item": "SUBSIDY.amount_due", "reason": "other"}
    assert zhang.call("POST", "/subject/v1/disputes", json=body | {"evidence_sha256": EVIDENCE}).status_code == 201
    zhang.call("PUT", "/subject/v1/statement", json={"text": "张的声明"})
    zhang.call("POST", "/subject/v1/complaints", json={"about": "operator", "words": "张的投诉"})
    bound(exchange_home, zhang.door, ZHANG)
    for part in ("disputes", "complaints", "recipients"):
        assert li.get(f"/subject/v1/{part}")[part] == []
    (own,), (consent,) = li.get("/subject/v1/messages")["messages"], li.get("/subject/v1/consents")["consents"]
    assert (own["kind"], own["facts"]["consent_id"]) == ("change", consent["consent_id"])
    assert li.get("/subject/v1/statement") == {"statement": None}
    assert [one["outcome"] for one in li.get("/subject/v1/accesses")["accesses"]] == []
    taken = li.call("GET", "/subject/v1/export").text
    assert "张的" not in taken
    assert zhang.client.client_id not in taken


# ---- lenders, agencies, regulators ----------------------------------------------------------------------------------


def test_no_organisations_token_opens_the_persons_door_and_no_phones_opens_theirs(
    exchange_home: Home, door: Door, lender: Caller, regulator: Caller
) -> None:
    agency = registered(exchange_home, Caller("agency-one"), Role.AGENCY, AGENCY)
    for stranger in (lender, regulator, agency):
        token = stranger.token(door)
        for path in ("consents", "records", "accesses", "messages", "phones", "export", "statement", "requests"):
            assert told(stranger.get(door, token, f"{ISSUER}/subject/v1/{path}")) == (403, "scope-missing")
    phone = bound(exchange_home, door)
    for path in ("/v1/catalogue", "/v1/notices", "/audit/v1/events", "/agency/v1/batches", "/agency/v1/disputes"):
        assert told(phone.call("GET", path)) == (403, "scope-missing")
    body = {"subject": {"type": "resident_id", "identifier": LI.text}, "purpose": "LOAN_APPROVAL"}
    assert told(phone.call("POST", "/v1/queries", json=body)) == (403, "scope-missing")
    offered = {"subject": body["subject"], "verified": "known_in_person", "collector": "me"}
    assert told(phone.call("POST", "/v1/bindings", json=offered)) == (403, "scope-missing")
    assert phone.client.ask(door, scope="subject queries").json()["error"] == "invalid_scope"


def test_a_dispute_is_answered_by_its_own_agency_alone(exchange_home: Home, door: Door) -> None:
    held(exchange_home)
    phone = bound(exchange_home, door)
    record = phone.get("/subject/v1/records")["records"][0]
    body = {"record_id": record["record_id"], "version": 1, "item": record["fields"][0]["item"], "reason": "other"}
    filed = phone.call("POST", "/subject/v1/disputes", json=body | {"evidence_sha256": EVIDENCE}).json()
    answer = {"outcome": "no_error", "reply": "经核对无误"}
    url = f"{ISSUER}/agency/v1/disputes/{filed['dispute_id']}/answer"
    for name, organisation, expected in (("b", OTHER_AGENCY, 404), ("a", AGENCY, 200), ("a2", AGENCY, 409)):
        agency = registered(exchange_home, Caller(f"agency-{name}"), Role.AGENCY, organisation)
        sent = door.call("POST", url, json=answer, headers=agency.headers("POST", url, agency.token(door)))
        assert sent.status_code == expected, sent.text
    listing = f"{ISSUER}/agency/v1/disputes?everything=true"
    agency = registered(exchange_home, Caller("agency-c"), Role.AGENCY, OTHER_AGENCY)
    headers = agency.headers("GET", listing.partition("?")[0], agency.token(door))
    assert door.call("GET", listing, headers=headers).json() == {"disputes": []}


def test_a_lender_learns_nothing_of_whether_the_person_is_known_when_it_hands_out_a_code(
    exchange_home: Home, door: Door, lender: Caller
) -> None:
    held(exchange_home, LI)
    collector(exchange_home, "u-1", organisation=ORGANISATION)
    url, answers = f"{ISSUER}/v1/bindings", []
    for who in (LI, NOBODY):
        body = {"subject": {"type": "resident_id", "identifier": who.text}, "verified": "resident_card_seen"}
        headers = lender.headers("POST", url, lender.token(door))
        answers.append(door.call("POST", url, json=body | {"collector": "u-1"}, headers=headers))
    assert {answer.status_code for answer in answers} == {201}
    assert answers[0].json().keys() == answers[1].json().keys()


def test_no_code_is_handed_out_in_the_name_of_nobody_or_of_another_lenders_collector(
    exchange_home: Home, door: Door, lender: Caller
) -> None:
    """A lender's system alone binds a key to nobody: it needs a person whom the operator has registered for it."""
    url = f"{ISSUER}/v1/bindings"
    collector(exchange_home, "u-other", organisation=BANK)
    collector(exchange_home, "u-gone", organisation=ORGANISATION, until=clock.now() - timedelta(seconds=1))
    collector(exchange_home, "u-here", organisation=ORGANISATION)
    body = {"subject": {"type": "resident_id", "identifier": ZHANG.text}, "verified": "resident_card_seen"}
    for code, expected in (("made-up", 422), ("u-other", 422), ("u-gone", 422), ("u-here", 201)):
        headers = lender.headers("POST", url, lender.token(door))
        answer = door.call("POST", url, json=body | {"collector": code}, headers=headers)
        assert answer.status_code == expected, answer.text
        assert expected == 201 or told(answer) == (422, "collector-unknown")


# ---- a first phone is on trial --------------------------------------------------------------------------------------


def test_a_first_phone_opens_and_disputes_nothing_for_72_hours_but_sees_ends_and_complains(
    exchange_home: Home, door: Door
) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    phone = bound(exchange_home, door, on_trial=True)
    for path in ("records", "export", "export.pdf"):
        assert told(phone.call("GET", f"/subject/v1/{path}")) == (403, "phone-on-trial")
    body = {"record_id": str(uuid4()), "version": 1, "item": "SUBSIDY.amount_due", "reason": "other"}
    dispute = body | {"evidence_sha256": EVIDENCE}
    assert told(phone.call("POST", "/subject/v1/disputes", json=dispute)) == (403, "phone-on-trial")
    path = f"/subject/v1/consents/{consent.consent_id}"
    assert [one["consent_id"] for one in phone.get("/subject/v1/consents")["consents"]] == [consent.consent_id]
    assert phone.call("POST", f"{path}/pause").status_code == 200
    assert told(phone.call("POST", f"{path}/resume")) == (403, "phone-on-trial")
    assert told(phone.call("POST", f"{path}/reconfirm")) == (403, "phone-on-trial")
    assert phone.call("POST", f"{path}/withdraw").status_code == 200
    complaint = {"about": "lender", "words": "我没有绑定过手机"}
    assert phone.call("POST", "/subject/v1/complaints", json=complaint).status_code == 201
    trial_over(exchange_home, phone)
    assert phone.call("GET", "/subject/v1/records").status_code == 200
    assert told(phone.call("POST", "/subject/v1/disputes", json=dispute)) == (404, "record-unknown")


def test_a_bank_that_binds_its_own_key_to_somebody_agrees_to_nothing_in_that_name(
    exchange_home: Home, door: Door
) -> None:
    """What the bank asks for is shown and can be refused; what another bank asks for can be agreed to."""
    mine, other = bank(exchange_home, door), bank(exchange_home, door, "bank-b", "湟源县另一家银行")
    phone = bound(exchange_home, door, on_trial=True)
    asked = [
        one.api(
            "POST",
            "/v1/consent-requests",
            json={"subject": {"identifier": ZHANG.text}, "terms": WANTED, "message": "柜台 3 号"},
        ).json()["request_id"]
        for one in (mine, other)
    ]
    yes = {"language": "zh", "text_version": "2026-03"}
    first, second = (f"/subject/v1/requests/{one}" for one in asked)
    assert told(phone.call("POST", f"{first}/agree", json=yes)) == (403, "phone-on-trial")
    assert phone.call("POST", f"{second}/agree", json=yes).status_code == 200
    assert {one["recipient"] for one in phone.get("/subject/v1/consents")["consents"]} == {"湟源县另一家银行"}
    assert phone.call("POST", f"{first}/refuse", json={}).status_code == 204


# ---- an ended phone that waits for a lock ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        ("POST", "/subject/v1/consents/{consent}/withdraw", None),
        ("POST", "/subject/v1/consents/{consent}/pause", None),
        ("POST", "/subject/v1/consents/{consent}/resume", None),
        ("POST", "/subject/v1/consents/{consent}/narrow", {"max_uses": 1}),
        ("PUT", "/subject/v1/statement", {"text": "贼的声明"}),
        ("DELETE", "/subject/v1/statement", None),
        ("PUT", "/subject/v1/messages/choice", {"access_messages": False}),
        ("POST", "/subject/v1/complaints", {"about": "operator", "words": "贼的投诉"}),
        ("POST", "/subject/v1/requests/{unknown}/agree", {"language": "zh", "text_version": "2026-03"}),
        ("POST", "/subject/v1/requests/{unknown}/refuse", {}),
        ("POST", "/subject/v1/phones/{phone}/end", None),
        ("GET", "/subject/v1/records", None),
    ],
)
def test_what_a_phone_asked_before_it_was_ended_is_not_done_after(
    exchange_home: Home, door: Door, act: tuple[str, str, dict[str, Any] | None]
) -> None:
    """The request is admitted, waits for the person's lock, and finds there that its phone has been ended."""
    consent = consented(exchange_home)
    held(exchange_home)
    phone = bound(exchange_home, door)
    method, address, body = act
    path = address.format(consent=consent.consent_id, unknown=uuid4(), phone=phone.client.client_id)
    holds = threading.Event()
    with ThreadPoolExecutor(1) as other:
        ended = other.submit(_end_while_one_waits, exchange_home, phone.client.client_id, holds)
        assert holds.wait(10)
        answer = phone.call(method, path, **({"json": body} if body is not None else {}))
        ended.result(timeout=20)
    assert told(answer) == (401, "token-invalid")
    assert said_by(exchange_home, phone.client.client_id) == []


def said_by(home: Home, client_id: str) -> list[str]:
    with home.database.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT event FROM log_entry WHERE actor = %s", (client_id,))]


def _end_while_one_waits(home: Home, client_id: str, holds: threading.Event) -> None:
    """Hold the person until somebody waits for that, then end the phone."""
    with home.database.transaction() as tx:
        owner = binding.subject_of(tx, client_id)
        assert owner is not None
        store.hold_subjects(tx, [owner])
        holds.set()
        _wait_for_one_that_waits(home)
        binding.end(tx, owner, client_id, by="operator", now=clock.now())


def _wait_for_one_that_waits(home: Home) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with home.database.transaction() as tx:
            row = tx.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        if row is not None and row[0] > 0:
            return
        time.sleep(0.02)
    raise AssertionError("the request never came to the lock")


def test_the_code_of_somebody_who_died_since_binds_nothing(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    subjects.note_death(exchange_home, ZHANG, document_sha256=b"\x07" * 32, actor="operator")
    assert told(try_binding(door, shown(code, key), key)) == (403, "binding-refused")
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE binding_code SET expires_at = now() + interval '5 minutes'")  # had it not been ended
    assert told(try_binding(door, shown(code, key), key)) == (403, "binding-refused")


# ---- what is written down -------------------------------------------------------------------------------------------


def test_nothing_of_a_person_stands_in_log_journal_address_or_error(exchange_home: Home, door: Door) -> None:
    lines = io.StringIO()
    journal.set_up(lines)
    try:
        held(exchange_home)
        code, key = code_for(exchange_home), ECKey.generate_key("P-256")
        try_binding(door, shown(wrong(code), key), key)
        answer = try_binding(door, shown(code, key), key)
        said = answer.json()
        phone = Phone(door, Caller(said["client_id"], key=key, proof_key=key), "", said).signed_in()
        assert phone.call("GET", "/subject/v1/records").status_code == 403  # on trial
        trial_over(exchange_home, phone)
        phone.call("PUT", "/subject/v1/statement", json={"text": "草场纠纷已解决"})
        phone.call(
            "POST", "/subject/v1/complaints", json={"about": "operator", "words": "草场纠纷已解决", "x": ZHANG.text}
        )
        phone.call("POST", "/subject/v1/complaints", json={"about": "operator", "words": "草场纠纷已解决"})
        record = phone.get("/subject/v1/records")["records"][0]
        body = {"record_id": record["record_id"], "version": 1, "item": record["fields"][0]["item"], "reason": "other"}
        body |= {"words": "草场纠纷已解决", "evidence_sha256": EVIDENCE}
        assert phone.call("POST", "/subject/v1/disputes", json=body).status_code == 201
        broken = phone.call("PUT", "/subject/v1/statement", json={"text": ZHANG.text})
        in_address = phone.call("GET", f"/subject/v1/consents/{ZHANG.text}")
        assert in_address.status_code == 400
    finally:
        structlog.reset_defaults()
    with exchange_home.database.transaction() as tx:
        entries = str(tx.execute("SELECT event, actor, fields::text FROM log_entry").fetchall())
        leaves = str(tx.execute("SELECT convert_from(leaf, 'UTF8') FROM log_queue").fetchall())
        tables = [
            str(tx.execute(f"SELECT t::text FROM {table} t").fetchall())
            for table in (
                "subject_phone",
                "binding_code",
                "subject_message",
                "subject_statement",
                "dispute",
                "complaint",
            )
        ]
    for secret in (ZHANG.text, "草场纠纷", code, said["page_codes"]["secret"]):
        assert secret not in lines.getvalue()
        assert secret not in entries + leaves
        assert all(secret not in rows for rows in tables)
        assert secret not in broken.text + in_address.text


def test_whom_a_complaint_names_is_sealed_and_logged_only_where_it_is_a_registered_lender(
    exchange_home: Home, door: Door
) -> None:
    bank(exchange_home, door)
    phone = bound(exchange_home, door)
    for named in (BANK, "隔壁的扎西"):
        body = {"about": "lender", "organisation": named, "words": "未经同意联系我的家人"}
        assert phone.call("POST", "/subject/v1/complaints", json=body).json()["organisation"] == named
    listed = phone.get("/subject/v1/complaints")["complaints"]
    assert {one["organisation"] for one in listed} == {BANK, "隔壁的扎西"}
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT fields->>'organisation' FROM log_entry WHERE event = 'exchange:complaint:filed'")
        logged = {name for (name,) in rows}
        kept = tx.execute("SELECT organisation FROM complaint").fetchall()
    assert logged == {BANK, None}
    assert all(BANK.encode() not in bytes(one) and "扎西".encode() not in bytes(one) for (one,) in kept)


def test_words_that_turn_the_text_or_cannot_be_seen_are_refused(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    for text in ("\u202eabc", "ab\x00", "a\x9bb", "\u2066x\u2069"):
        assert phone.call("PUT", "/subject/v1/statement", json={"text": text}).status_code == 422


def test_a_dispute_of_what_a_withdrawal_froze_is_of_nothing(exchange_home: Home, two: tuple[Phone, Phone]) -> None:
    zhang, _ = two
    record = zhang.get("/subject/v1/records")["records"][0]
    (consent,) = zhang.get("/subject/v1/consents")["consents"]
    assert zhang.call("POST", f"/subject/v1/consents/{consent['consent_id']}/withdraw").status_code == 200
    assert zhang.get("/subject/v1/records")["records"] == []
    body = {"record_id": record["record_id"], "version": 1, "item": record["fields"][0]["item"], "reason": "other"}
    answer = zhang.call("POST", "/subject/v1/disputes", json=body | {"evidence_sha256": EVIDENCE})
    assert told(answer) == (404, "record-unknown")
