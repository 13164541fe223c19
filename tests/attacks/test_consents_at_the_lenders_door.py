"""The lenders' door for consents, and the public check of a receipt: what goes through, and what is told to whom."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from consent import ledger, printing, receipt
from consent.evidence import Channel
from consent.grant import State
from exchange import consents, subjects
from exchange.capture import collectors
from exchange.home import Home
from exchange.release import Permitted, Refused, release
from registry import clock, store
from registry.clock import rfc3339
from registry.errors import IdentifierTaken, SubjectUnknown
from registry.identifiers import ResidentId, resident_check
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.attacks.test_doors_poisoned import CONSENTS, bank, given, post
from tests.attacks.test_queries import BANK_ONE, Bank, code
from tests.capturing import staffed
from tests.people import LI, NOBODY, ZHANG, consented, held, question

STANDING = True
__all__ = ["bank"]

OTHER = "另一家银行"

DOCUMENT = b"\x05" * 32


@pytest.fixture
def stranger(exchange_home: Home, door: Door) -> Bank:
    """Another lender."""
    staffed(exchange_home, OTHER)
    return Bank(door, registered(exchange_home, Caller("lender-of-another-bank"), organisation=OTHER))


def child(years: int) -> ResidentId:
    birth = clock.beijing_day(clock.now()) - timedelta(days=years * 365 + years // 4 + 2)
    digits = f"632721{birth:%Y%m%d}000"
    return ResidentId.parse(digits + resident_check(digits))


def subject(who: ResidentId) -> dict[str, str]:
    return {"type": "resident_id", "identifier": who.text}


def guardian(**changes: object) -> dict[str, Any]:
    stated = {"kind": "guardian", "relation": "parent", "representative": subject(LI), "document_sha256": "01" * 32}
    return stated | changes


def proxy(**changes: object) -> dict[str, Any]:
    until = (clock.beijing_day(clock.now()) + timedelta(days=20)).isoformat()
    stated = {"kind": "proxy", "relation": "spouse", "representative": subject(LI), "document_sha256": "02" * 32}
    return stated | {"until": until} | changes


def signed(number: int) -> dict[str, object]:
    return {"kind": "reliable_esign", "sha256": f"{number:064x}"}


def fault(response: httpx.Response) -> str:
    assert code(response) == (422, "consent-terms"), response.text
    return str(response.json()["errors"][0]["code"])


def test_a_fault_names_its_place_and_its_mend_in_both_languages(exchange_home: Home, bank: Bank) -> None:
    told = post(bank, CONSENTS, given(max_uses=99)).json()
    assert told["errors"] == [
        {
            "at": "/max_uses",
            "code": "TOO_MANY_USES",
            "cause": "more uses than the purpose allows",
            "cause_zh": "查询次数超过该用途的上限",
            "mend": "state fewer uses",
            "mend_zh": "减少查询次数",
        }
    ]


def test_all_that_a_record_holds_comes_in_at_the_door(exchange_home: Home, bank: Bank) -> None:
    now = clock.now()
    with exchange_home.database.transaction() as tx:
        collectors.add(tx, exchange_home, "91630000MA0000000X", "c-1", NOBODY, until=None, now=now - timedelta(days=1))
    sent = given(
        evidence={"kind": "reliable_esign", "sha256": "0a" * 32, "sm3": "0b" * 32},
        witness="卓玛措",
        collector="c-1",
        device="d-1",
        place="630222101201",
        captured_at=(now - timedelta(hours=1)).isoformat(),
        uses_per_month=2,
        data_life_days=30,
        adverse_consequences_acknowledged=True,
        representation=proxy(),
    )
    made = post(bank, CONSENTS, sent)
    assert made.status_code == 201, made.text
    with exchange_home.database.transaction() as tx:
        (kept,) = ledger.get(tx, [made.json()["consent_id"]]).values()
    capture, acted = kept.terms.capture, kept.terms.representation
    assert (capture.collector, capture.device, capture.place) == ("c-1", "d-1", "630222101201")
    assert capture.evidence.sm3 == b"\x0b" * 32
    assert kept.terms.captured_at == now - timedelta(hours=1)
    assert kept.terms.uploaded_at is not None
    assert (kept.terms.scope.uses_per_month, kept.terms.data_life_days) == (2, 30)
    assert acted is not None
    assert acted.by is not None
    assert kept.terms.scope.valid_until <= now + timedelta(days=21)  # the power of attorney's last day
    everything = f"{made.text} {kept.receipt} {kept.receipt_sm2}"
    assert LI.text not in everything
    assert "卓玛措" not in everything
    assert acted.by not in everything
    receipt.verify(kept.receipt, exchange_home.keyring.policy().receipt_keys)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subject": subject(child(10))}, "GUARDIAN_NEEDED"),
        ({"subject": subject(child(16))}, "GUARDIAN_NEEDED"),
        ({"subject": subject(child(10)), "representation": guardian()}, "SENSITIVE_NOT_AGREED"),
        (
            {"subject": subject(child(10)), "representation": guardian(document_sha256=None), "sensitive_agreed": True},
            "GUARDIANSHIP_UNPROVEN",
        ),
        (
            {"subject": subject(child(10)), "representation": guardian(representative=subject(child(16)))},
            "REPRESENTATIVE_UNFIT",
        ),
        ({"representation": guardian(), "sensitive_agreed": True}, "GUARDIAN_NOT_NEEDED"),
        ({"representation": proxy(document_sha256=None)}, "POWER_OF_ATTORNEY_MISSING"),
        ({"representation": proxy(until=None)}, "POWER_OF_ATTORNEY_MISSING"),
        ({"representation": proxy(representative=None)}, "REPRESENTATION_INVALID"),
        ({"representation": proxy(representative=subject(ZHANG))}, "REPRESENTATIVE_UNFIT"),
        ({"captured_at": "2099-01-01T00:00:00+08:00"}, "TAKEN_OUT_OF_TIME"),
    ],
)
def test_nobody_consents_who_may_not(exchange_home: Home, bank: Bank, changes: dict[str, Any], expected: str) -> None:
    assert fault(post(bank, CONSENTS, given(**changes))) == expected


def test_a_guardian_consents_for_a_child_until_it_is_of_age(exchange_home: Home, bank: Bank) -> None:
    ward = child(17)
    sent = given(subject=subject(ward), representation=guardian(), sensitive_agreed=True)
    made = post(bank, CONSENTS, sent)
    assert made.status_code == 201, made.text
    assert made.json()["representation"] == "guardian"


def test_a_person_who_said_no_is_not_asked_again_at_the_counter(
    exchange_home: Home, bank: Bank, stranger: Bank
) -> None:
    no = {"subject": subject(ZHANG), "purpose": "LOAN_APPROVAL", "channel": "counter"}
    assert post(bank, f"{CONSENTS}/refusals", no).status_code == 201
    assert fault(post(bank, CONSENTS, given())) == "REFUSED_LATELY"
    assert post(stranger, CONSENTS, given()).status_code == 201  # it did not ask yet


def test_a_person_who_comes_of_its_own_will_is_not_held_to_a_no(exchange_home: Home, bank: Bank) -> None:
    no = {"subject": subject(ZHANG), "purpose": "LOAN_APPROVAL", "channel": "counter"}
    assert post(bank, f"{CONSENTS}/refusals", no).status_code == 201
    assert post(bank, CONSENTS, given(asked_by="subject", collector=None)).status_code == 422  # received by nobody
    assert code(post(bank, CONSENTS, given(asked_by="subject", collector="made-up"))) == (422, "collector-unknown")
    with exchange_home.database.transaction() as tx:
        since = clock.now() - timedelta(days=1)
        collectors.add(tx, exchange_home, "91630000MA0000000X", "C-1", NOBODY, until=None, now=since)
    assert fault(post(bank, CONSENTS, given(collector="C-1"))) == "REFUSED_LATELY"
    assert post(bank, CONSENTS, given(asked_by="subject", collector="C-1")).status_code == 201


def test_paper_is_sent_to_the_door_where_two_people_look_at_it(exchange_home: Home, bank: Bank) -> None:
    for redacted in (False, True):
        paper = {"kind": "paper_scan", "sha256": "0c" * 32, "fingerprints_redacted": redacted}
        told = post(bank, CONSENTS, given(evidence=paper))
        assert fault(told) == "PAPER_NEEDS_FOUR_EYES"
        (place,) = told.json()["errors"]
        assert place["at"] == "/evidence/kind"
        assert all("/v1/paper-consents" in place[mend] for mend in ("mend", "mend_zh"))
    assert post(bank, CONSENTS, given()).status_code == 201


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(minutes=-14), 201),
        (timedelta(minutes=-16), 422),
        (timedelta(days=6, hours=23), 201),
        (timedelta(days=7, minutes=1), 422),
    ],
    ids=["fast-clock", "future", "a-week", "over-a-week"],
)
def test_a_consent_comes_in_within_seven_days_and_not_from_the_future(
    exchange_home: Home, bank: Bank, ago: timedelta, expected: int
) -> None:
    with exchange_home.database.transaction() as tx:  # whoever collected it did so then
        tx.execute("UPDATE collector SET valid_from = %s", (clock.now() - timedelta(days=30),))
    at = clock.now() - ago
    told = post(bank, CONSENTS, given(captured_at=at.isoformat(), valid_from=in_days(1)))
    assert told.status_code == expected, told.text
    assert expected == 201 or fault(told) == "TAKEN_OUT_OF_TIME"


@pytest.mark.parametrize("part", ["collector", "place", "captured_at"])
def test_who_took_it_where_and_when_is_said_of_every_consent(exchange_home: Home, bank: Bank, part: str) -> None:
    told = post(bank, CONSENTS, {name: value for name, value in given().items() if name != part})
    assert code(told) == (422, "request-invalid")
    assert post(bank, CONSENTS, given()).status_code == 201


def test_no_confirmation_is_taken_on_paper_before_one_pair_of_eyes(exchange_home: Home, bank: Bank) -> None:
    paper = {"kind": "paper_scan", "sha256": "0c" * 32}
    made = post(bank, CONSENTS, given())
    assert made.status_code == 201
    there = f"{CONSENTS}/{made.json()['consent_id']}/reconfirm"
    confirms = {"channel": "counter", "collector": "u-1027", "captured_at": rfc3339(clock.now())}
    for redacted in ({}, {"fingerprints_redacted": True}):
        said = post(bank, there, confirms | {"evidence": paper | redacted})
        assert fault(said) == "PAPER_NEEDS_FOUR_EYES"
    signed = {"kind": "reliable_esign", "sha256": "0d" * 32}
    assert code(post(bank, there, confirms | {"evidence": signed})) == (422, "collector-unknown")  # further than paper


def test_a_lender_narrows_and_pauses_what_names_it_and_resumes_nothing(
    exchange_home: Home, bank: Bank, stranger: Bank
) -> None:
    made = post(bank, CONSENTS, given()).json()
    here = f"{CONSENTS}/{made['consent_id']}"
    for act in ("withdraw", "pause", "narrow"):
        assert code(post(stranger, f"{here}/{act}", {"channel": "counter"})) == (404, "consent-unknown")
    assert fault(post(bank, f"{here}/narrow", {"channel": "counter", "max_uses": 4})) == "NOT_NARROWER"
    smaller = post(bank, f"{here}/narrow", {"channel": "counter", "max_uses": 2}).json()
    assert (smaller["previous"], smaller["max_uses"], smaller["state"]) == (made["consent_id"], 2, "active")
    there = f"{CONSENTS}/{smaller['consent_id']}"
    assert post(bank, f"{there}/pause", {"channel": "counter"}).json()["state"] == "paused"
    assert post(bank, f"{there}/resume", {"channel": "counter"}).status_code in {404, 405}
    ended = post(bank, f"{here}/withdraw", {"channel": "counter"}).json()  # by the first receipt
    assert (ended["consent_id"], ended["state"]) == (smaller["consent_id"], "withdrawn")
    assert code(post(bank, f"{there}/pause", {"channel": "counter"})) == (409, "consent-ended")


def test_a_new_act_takes_the_place_of_a_consent_of_the_same_person_and_lender_only(
    exchange_home: Home, bank: Bank
) -> None:
    first = post(bank, CONSENTS, given()).json()["consent_id"]
    other = given(subject=subject(LI), previous=first, evidence=signed(2))
    assert code(post(bank, CONSENTS, other)) == (404, "consent-unknown")
    wider = post(bank, CONSENTS, given(previous=first, max_uses=6, evidence=signed(3)))
    assert wider.status_code == 201, wider.text
    with exchange_home.database.transaction() as tx:
        assert ledger.get(tx, [first])[first].state is State.SUPERSEDED
    elsewhere = consented(exchange_home, NOBODY, recipient=OTHER).consent_id
    strange = given(subject=subject(NOBODY), previous=elsewhere, evidence=signed(4))
    assert code(post(bank, CONSENTS, strange)) == (404, "consent-unknown")


# ---- a "no" that the lender was not told of, and a death -------------------------------------------------------------


def said_no(home: Home, who: ResidentId = ZHANG, **where: Any) -> None:
    """Let a person refuse what the lender asked for, in silence unless `where` says otherwise."""
    channel = where.pop("channel", Channel.APP)
    now = clock.now() - timedelta(minutes=5)
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [who], now=now)[who.text]
        consents.refuse_in(
            tx, subject_id, BANK_ONE, "LOAN_APPROVAL", channel=channel, actor="subject", now=now, **where
        )


def shape(told: httpx.Response) -> tuple[int, object]:
    """All of an answer that does not differ from one consent to the next."""
    body = dict(told.json())
    differs = {"consent_id", "receipt", "receipt_sm2", "receipt_sha256", "instance", "request_id"}
    return told.status_code, {name: value for name, value in body.items() if name not in differs}


@pytest.mark.parametrize("channel", [Channel.APP, Channel.H5])
def test_a_no_said_in_silence_changes_no_answer_at_the_counter(
    exchange_home: Home, bank: Bank, channel: Channel
) -> None:
    """Of two people one said no on the phone or the page and did not let the lender know."""
    said_no(exchange_home, LI, channel=channel)
    used = post(bank, CONSENTS, given(subject=subject(NOBODY), evidence=signed(1)))
    assert used.status_code == 201
    tries: list[dict[str, Any]] = [
        {"evidence": signed(1)},  # somebody else's
        {"max_uses": 99},
        {"items": ["HOUSE_FUND.fund_status"]},
        {"representation": guardian(representative=subject(NOBODY))},
        {"captured_at": (clock.now() - timedelta(days=8)).isoformat()},
        {"captured_at": (clock.now() - timedelta(minutes=10)).isoformat(), "valid_to": in_days(9)},  # before the no
        {"captured_at": (clock.now() - timedelta(minutes=1)).isoformat(), "asked_by": "subject"},
    ]
    for place, one in enumerate(tries):
        sent = [
            given(subject=subject(who), evidence=signed(10 * place + turn + 20)) | one
            for turn, who in enumerate((ZHANG, LI))
        ]
        answers = [shape(post(bank, CONSENTS, each)) for each in sent]
        assert answers[0] == answers[1], one


def in_days(days: int) -> str:
    return (clock.beijing_day(clock.now()) + timedelta(days=days)).isoformat()


def test_a_no_that_the_person_let_the_lender_know_of_counts_at_the_counter(exchange_home: Home, bank: Bank) -> None:
    for told, expected in ((False, 201), (True, 422)):
        request_id, who = uuid4(), LI if told else ZHANG
        with exchange_home.database.transaction() as tx:
            tx.execute(
                "INSERT INTO consent_request (request_id, client_id, recipient, terms, message, user_code, state, told,"
                " created_at, expires_at) VALUES (%s, 'lender-one', %s, '{}', '', '0000', 'refused', %s, now(),"
                " now() + interval '1 day')",
                (request_id, BANK_ONE, told),
            )
        said_no(exchange_home, who, request_id=str(request_id))
        answer = post(bank, CONSENTS, given(subject=subject(who), evidence=signed(told + 70)))
        assert answer.status_code == expected, answer.text
        assert not told or fault(answer) == "REFUSED_LATELY"


def test_a_death_is_told_to_nobody_whose_consent_would_be_refused_anyway(exchange_home: Home, bank: Bank) -> None:
    """Whoever hands in what cannot be recorded learns the same of the dead as of the living."""
    used = post(bank, CONSENTS, given(subject=subject(NOBODY), evidence=signed(1)))
    assert used.status_code == 201
    held(exchange_home, LI)
    subjects.note_death(exchange_home, LI, document_sha256=DOCUMENT, actor="operator")
    tries: list[dict[str, Any]] = [
        {"evidence": signed(1)},
        {"max_uses": 99},
        {"items": ["NOTHING"]},
        {"items": ["HOUSE_FUND.fund_status"]},
        {"text_version": "2031-12"},
        {"previous": str(uuid4())},
        {"representation": guardian(representative=subject(NOBODY))},
        {"collector": "made-up"},
        {"evidence": {"kind": "paper_scan", "sha256": "0c" * 32, "fingerprints_redacted": True}},
    ]
    for one in tries:
        living, dead = (shape(post(bank, CONSENTS, given(subject=subject(who)) | one)) for who in (ZHANG, LI))
        assert living == dead, one
        assert living[0] in {404, 422}
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (1,)
    whole = given(subject=subject(LI), evidence=signed(2))
    assert fault(post(bank, CONSENTS, whole)) == "SUBJECT_UNAVAILABLE"
    with exchange_home.database.transaction() as tx:  # what was as good as recorded left nothing
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (1,)
        given_entries = "SELECT count(*) FROM log_entry WHERE event = 'consent:grant:recorded'"
        assert tx.execute(given_entries).fetchone() == (1,)


# ---- the dead, and those who go by another number --------------------------------------------------------------------


def test_nothing_is_released_of_the_dead_and_nobody_consents_for_them(exchange_home: Home, bank: Bank) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    assert subjects.note_death(exchange_home, ZHANG, document_sha256=DOCUMENT, actor="operator") == 1
    assert subjects.note_death(exchange_home, ZHANG, document_sha256=DOCUMENT, actor="operator") == 0
    (told_of_the_dead,) = release(exchange_home, [question()])
    assert isinstance(told_of_the_dead, Refused)
    assert told_of_the_dead.reason == "withdrawn"
    told = post(bank, CONSENTS, given())
    assert fault(told) == "SUBJECT_UNAVAILABLE"
    assert "dea" not in told.text  # whoever asks is not told that somebody has died
    acted = given(subject=subject(LI), representation=proxy(representative=subject(ZHANG)))
    assert fault(post(bank, CONSENTS, acted)) == "SUBJECT_UNAVAILABLE"
    with exchange_home.database.transaction() as tx:
        entries = tx.execute(
            "SELECT event FROM log_entry WHERE subject_id = %s ORDER BY at, event", (consent.terms.subject_id,)
        ).fetchall()
    assert [row[0] for row in entries].count("registry:subject:deceased") == 1
    with pytest.raises(SubjectUnknown):
        subjects.note_death(exchange_home, NOBODY, document_sha256=DOCUMENT, actor="operator")


def test_whoever_goes_by_another_number_keeps_consents_and_records(exchange_home: Home) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    fresh = NOBODY
    moved = subjects.renumber(exchange_home, ZHANG, fresh, document_sha256=DOCUMENT, actor="operator")
    assert moved == consent.terms.subject_id
    for who in (fresh, ZHANG):  # files of before still name the old one
        (found,) = release(exchange_home, [question(who)])
        assert isinstance(found, Permitted)
        assert found.facts.consent_id == consent.consent_id
    consented(exchange_home, LI)
    with pytest.raises(IdentifierTaken):
        subjects.renumber(exchange_home, fresh, LI, document_sha256=DOCUMENT, actor="operator")
    with pytest.raises(SubjectUnknown):
        subjects.renumber(exchange_home, child(30), fresh, document_sha256=DOCUMENT, actor="operator")


# ---- the receipt's page ----------------------------------------------------------------------------------------------


def page(door: Door, consent_id: str, **sent: str) -> httpx.Response:
    address = f"{ISSUER}/receipts/{consent_id}"
    return door.call("POST", address, data=sent) if sent else door.call("GET", address)


def test_the_page_of_a_receipt_is_the_same_for_everybody_and_every_id(exchange_home: Home, door: Door) -> None:
    consent = consented(exchange_home)
    known, unknown = page(door, consent.consent_id), page(door, "no-such-consent")
    assert known.status_code == unknown.status_code == 200
    assert known.content == unknown.content
    assert consent.terms.scope.recipient not in known.text
    policy = known.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy


def test_whoever_holds_a_receipt_learns_that_it_is_ours_and_how_it_stands(exchange_home: Home, door: Door) -> None:
    consent = consented(exchange_home)
    digest = receipt.digest(consent.receipt).hex()
    for shown in (digest, digest.upper(), printing.check_code(consent.receipt)):
        found = page(door, consent.consent_id, code=shown, lang="en").text
        assert "has not been changed" in found
        assert "in force" in found
        assert consent.terms.scope.recipient not in found
        assert "LOAN_APPROVAL" not in found
    with exchange_home.database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, consent.terms.capture.channel, clock.now())
    assert "已撤回" in page(door, consent.consent_id, code=digest).text


def test_a_wrong_code_an_unknown_consent_and_a_changed_row_cannot_be_told_apart(
    exchange_home: Home, door: Door
) -> None:
    consent, other = consented(exchange_home), consented(exchange_home, LI)
    digest = receipt.digest(consent.receipt).hex()
    wrong = [
        page(door, consent.consent_id, code=receipt.digest(other.receipt).hex()),
        page(door, consent.consent_id, code=digest[:23]),
        page(door, consent.consent_id, code=digest + "0"),
        page(door, consent.consent_id, code="zz" * 32),
        page(door, "no-such-consent", code=digest),
        page(door, consent.consent_id, lang="zh"),
    ]
    with exchange_home.database.transaction() as tx:
        bent = other.receipt[:-6] + "AAAAAA"
        tx.execute("UPDATE consent SET receipt = %s WHERE consent_id = %s", (bent, consent.consent_id))
    wrong.append(page(door, consent.consent_id, code=receipt.digest(bent).hex()))
    assert {response.content for response in wrong} == {wrong[0].content}
    assert "无法确认" in wrong[0].text


def test_the_sheet_is_for_those_who_may_see_the_consent(
    exchange_home: Home, bank: Bank, door: Door, stranger: Bank
) -> None:
    made = post(bank, CONSENTS, given()).json()
    address = f"{CONSENTS}/{made['consent_id']}/receipt"

    def fetched(who: Bank, **query: str) -> httpx.Response:
        url = address + ("?language=" + query["language"] if query else "")
        return who.door.call("GET", url, headers=who.client.headers("GET", address, who.token))

    sheet = fetched(bank, language="bo")
    assert sheet.status_code == 200, sheet.text
    assert f"{ISSUER}/receipts/{made['consent_id']}" in sheet.text
    assert re.search(r"style-src 'sha256-[A-Za-z0-9+/=]+'", sheet.headers["content-security-policy"])
    assert fetched(stranger).status_code == 404
    assert door.call("GET", address).status_code == 401
