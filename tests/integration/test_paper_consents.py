"""Consents on paper: entered by one, confirmed by another who has the paper in hand; and witnesses at the counter."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from consent import ledger
from consent.evidence import EvidenceKind
from exchange.capture import collectors, paper
from exchange.home import Home
from exchange.jobs import end_captures
from registry import clock, store
from registry.identifiers import ResidentId
from registry.suites import sha256_hex
from tests.asking import Bank, bank
from tests.attacks.bent_client import Door
from tests.capturing import COLLECTOR, SECOND, WITNESS, collector, taken
from tests.people import BANK, LI, ZHANG, held

ORIGINAL = sha256_hex(b"the paper")
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100_000
PATH = "/v1/paper-consents"


@pytest.fixture
def door(exchange_home: Home) -> Iterator[Door]:
    with Door(exchange_home) as opened:
        yield opened


@pytest.fixture
def clerk(exchange_home: Home, door: Door) -> Bank:
    collector(exchange_home)
    collector(exchange_home, "c-2", SECOND)
    return bank(exchange_home, door)


@pytest.fixture
def second(exchange_home: Home, door: Door, clerk: Bank) -> Bank:
    return bank(exchange_home, door, "bank-second")


def today() -> str:
    return clock.beijing_day(clock.now()).isoformat()


def entry(**changes: Any) -> dict[str, Any]:
    stated = {
        "original_sha256": ORIGINAL,
        "signed_on": today(),
        "channel": "village",
        "fingerprints_redacted": True,
    }
    return taken() | stated | changes


def enter(clerk: Bank, **changes: Any) -> dict[str, Any]:
    answer = clerk.api("POST", PATH, json=entry(**changes))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def looked_at(one: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What whoever has the paper in hand says of it."""
    said = {"collector": "c-2", "subject": {"identifier": ZHANG.text}, "original_sha256": ORIGINAL}
    return said | {"terms_sha256": one["terms_sha256"]} | changes


def confirm(by: Bank, one: dict[str, Any], **changes: Any) -> Any:
    return by.api("POST", f"{PATH}/{one['paper_id']}/confirm", json=looked_at(one, **changes))


def consents_of(home: Home, who: ResidentId = ZHANG) -> list[Any]:
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [who]).get(who.text)
        return [] if found is None else ledger.list_for_subject(tx, found)


def query(lender: Bank) -> Any:
    body = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
        "items": ["RATING.grade"],
    }
    return lender.api("POST", "/v1/queries", json=body)


def test_a_paper_is_a_consent_when_a_second_person_has_confirmed_it_and_not_before(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    held(exchange_home)
    one = enter(clerk, witness={"identifier": WITNESS.text}, read_aloud=True)
    assert one["state"] == "requested"
    assert ZHANG.text not in str(one)
    assert WITNESS.text not in str(one)
    assert query(clerk).json()["code"] == "no-consent"
    answer = confirm(second, one, witness={"identifier": WITNESS.text})
    assert answer.status_code == 200, answer.text
    assert query(clerk).status_code == 200
    (made,) = consents_of(exchange_home)
    capture = made.terms.capture
    assert (made.consent_id, capture.evidence.kind) == (answer.json()["consent_id"], EvidenceKind.PAPER_SCAN)
    assert (capture.evidence.sha256.hex(), capture.evidence.redacted) == (ORIGINAL, True)
    assert (capture.collector, capture.place, capture.witness is not None) == ("c-1", "632701", True)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT sealed FROM paper_consent").fetchall() == [(None,)]


def test_who_entered_does_not_confirm_nor_under_another_code_or_system(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk)
    assert confirm(clerk, one).json()["code"] == "four-eyes-needed"  # another person, the same system
    assert confirm(second, one, collector="c-1").json()["code"] == "four-eyes-needed"  # another system, the same person
    collector(exchange_home, "c-1b", COLLECTOR)
    assert confirm(second, one, collector="c-1b").json()["code"] == "four-eyes-needed"  # the same person, two codes
    assert confirm(second, one, collector="nobody").json()["code"] == "collector-unknown"
    assert consents_of(exchange_home) == []


def test_who_confirms_has_this_very_paper_and_has_seen_these_very_terms(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk)
    assert confirm(second, one, original_sha256="ab" * 32).json()["code"] == "paper-differs"
    assert confirm(second, one, terms_sha256="ab" * 32).json()["code"] == "paper-differs"
    assert consents_of(exchange_home) == []


def test_a_paper_under_another_persons_number_is_not_confirmed(exchange_home: Home, clerk: Bank, second: Bank) -> None:
    """Zhang signed it, and it was entered under Li's number: the second person reads Zhang's from the paper."""
    one = enter(clerk, subject={"identifier": LI.text})
    assert (confirm(second, one).status_code, confirm(second, one).json()["code"]) == (409, "paper-differs")
    assert consents_of(exchange_home) == consents_of(exchange_home, LI) == []
    assert confirm(second, one, subject={"identifier": LI.text}).status_code == 200
    assert (len(consents_of(exchange_home)), len(consents_of(exchange_home, LI))) == (0, 1)


@pytest.mark.parametrize(
    ("entered", "seen"), [(None, WITNESS), (WITNESS, None), (WITNESS, LI)], ids=["none", "forgotten", "another"]
)
def test_a_witness_is_the_one_who_stands_on_the_paper(
    exchange_home: Home, clerk: Bank, second: Bank, entered: ResidentId | None, seen: ResidentId | None
) -> None:
    named = {None: None, WITNESS: {"identifier": WITNESS.text}, LI: {"identifier": LI.text}}
    one = enter(clerk, witness=named[entered])
    assert confirm(second, one, witness=named[seen]).json()["code"] == "paper-differs"
    assert consents_of(exchange_home) == []
    assert confirm(second, one, witness=named[entered]).status_code == 200


def test_what_has_to_be_taken_from_the_paper_is_shown_to_nobody_before(clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    shown = [second.api("GET", f"{PATH}/{one['paper_id']}"), second.api("GET", PATH)]
    assert not any(ORIGINAL in answer.text or ZHANG.text in answer.text for answer in shown)
    assert one["original_sha256"] is None
    assert confirm(second, one).json()["original_sha256"] == ORIGINAL


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fingerprints_redacted": False}, "fingerprints-not-redacted"),
        ({"collector": "nobody"}, "collector-unknown"),
        ({"read_aloud": True}, "witness-missing"),
        ({"read_aloud": True, "witness": {"identifier": SECOND.text}}, "witness-unfit"),
        ({"read_aloud": True, "witness": {"identifier": ZHANG.text}}, "witness-unfit"),
        ({"signed_on": "2020-01-01"}, "paper-too-old"),
        ({"signed_on": "2099-01-01"}, "paper-too-old"),
        ({"original_sha256": "0" * 64}, "consent-terms"),
        ({"terms": {"type": "credit_data", "purpose": "SELF_QUERY", "items": ["RATING"]}}, "consent-terms"),
        ({"channel": "app"}, "request-invalid"),
    ],
)
def test_a_paper_that_cannot_count_is_refused_with_its_mend(
    exchange_home: Home, clerk: Bank, changes: dict[str, Any], code: str
) -> None:
    answer = clerk.api("POST", PATH, json=entry(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert ZHANG.text not in answer.text
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM paper_consent").fetchone() == (0,)


def test_one_original_is_entered_once(clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    assert clerk.api("POST", PATH, json=entry()).json()["code"] == "paper-known"
    assert confirm(second, one).status_code == 200
    assert clerk.api("POST", PATH, json=entry()).json()["code"] == "paper-known"


def test_a_paper_is_refused_with_a_reason_and_nothing_of_the_person_stays(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk)
    put(clerk, one, PNG, "image/png")
    said = {"collector": "c-2", "reason": "fingerprint-visible"}
    answer = second.api("POST", f"{PATH}/{one['paper_id']}/refuse", json=said)
    assert answer.status_code == 200, answer.text
    assert answer.json()["reason"]["mend_zh"].startswith("遮盖")
    assert confirm(second, one).json()["code"] == "paper-settled"
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT sealed, scan FROM paper_consent").fetchall() == [(None, None)]
    assert consents_of(exchange_home) == []
    enter(clerk)  # mended, it may be entered anew


def put(by: Bank, one: dict[str, Any], content: bytes, kind: str) -> Any:
    return by.api("PUT", f"{PATH}/{one['paper_id']}/scan", content=content, headers={"Content-Type": kind})


def test_a_scan_is_kept_sealed_and_given_back_to_its_organisation_only(
    exchange_home: Home, door: Door, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk)
    assert put(clerk, one, PNG, "image/png").json()["scan_type"] == "image/png"
    with exchange_home.database.transaction() as tx:
        (sealed,) = tx.execute("SELECT scan FROM paper_consent").fetchone()  # type: ignore[misc]
    assert PNG[:64] not in bytes(sealed)
    seen = second.api("GET", f"{PATH}/{one['paper_id']}/scan")
    assert (seen.content, seen.headers["content-type"]) == (PNG, "image/png")
    assert seen.headers["content-disposition"] == "attachment"
    assert seen.headers["x-content-type-options"] == "nosniff"
    stranger = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    for path in (f"{PATH}/{one['paper_id']}", f"{PATH}/{one['paper_id']}/scan"):
        assert stranger.api("GET", path).status_code == 404


def test_a_scan_is_confirmed_as_it_was_looked_at_and_by_nobody_else_swapped(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one, other = enter(clerk), PNG + b"\x01"
    put(clerk, one, PNG, "image/png")
    seen = second.api("GET", f"{PATH}/{one['paper_id']}/scan").content
    refused = put(second, one, other, "image/png")
    assert (refused.status_code, refused.json()["code"]) == (403, "paper-anothers")
    put(clerk, one, other, "image/png")  # between looking and confirming
    assert confirm(second, one, scan_sha256=sha256_hex(seen)).json()["code"] == "paper-differs"
    assert confirm(second, one).json()["code"] == "paper-differs"
    assert consents_of(exchange_home) == []
    assert confirm(second, one, scan_sha256=sha256_hex(other)).status_code == 200


def test_a_scan_that_is_not_there_was_not_looked_at(exchange_home: Home, clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    assert confirm(second, one, scan_sha256=sha256_hex(PNG)).json()["code"] == "paper-differs"
    assert consents_of(exchange_home) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"<svg onload=alert(1)>", "image/svg+xml", 422),
        (b"<html>", "image/png", 422),
        (b"MZ\x90", "application/pdf", 422),
        (b"", "image/png", 422),
        (b"\xff\xd8\xff" + b"0" * paper.MOST_SCAN_BYTES, "image/jpeg", 413),
    ],
)
def test_a_scan_is_an_image_or_pdf_of_a_size_that_can_be_meant(
    clerk: Bank, content: bytes, kind: str, status: int
) -> None:
    assert put(clerk, enter(clerk), content, kind).status_code == status


def test_what_nobody_decides_ends_and_nothing_of_the_person_stays(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk)
    put(clerk, one, PNG, "image/png")
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE paper_consent SET open_until = now() - interval '1 second'")
    assert confirm(second, one).json()["code"] == "paper-settled"
    end_captures(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT state, sealed, scan FROM paper_consent").fetchall()
    assert rows == [("expired", None, None)]


def test_papers_are_listed_by_state(clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    assert [each["paper_id"] for each in second.api("GET", PATH).json()] == [one["paper_id"]]
    confirm(second, one)
    assert second.api("GET", PATH).json() == []


def test_two_confirmations_at_once_make_one_consent(exchange_home: Home, door: Door, clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    said = looked_at(one)
    token, url = second.caller.token(door), f"https://exchange.example{PATH}/{one['paper_id']}/confirm"
    calls = [("POST", url, {"json": said, "headers": second.caller.headers("POST", url, token)}) for _ in range(4)]
    assert sorted(answer.status_code for answer in door.together(*calls)) == [200, 409, 409, 409]
    assert len(consents_of(exchange_home)) == 1


# ---- the counter ----------------------------------------------------------------------------------------------------


def at_counter(**changes: Any) -> dict[str, Any]:
    stated = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "purpose": "LOAN_APPROVAL",
        "items": ["RATING"],
        "valid_from": today(),
        "text_version": "2026-03",
        "text_language": "bo",
        "channel": "counter",
        "collector": "c-1",
        "evidence": {"kind": "paper_scan", "sha256": "ab" * 32, "fingerprints_redacted": True},
    }
    return stated | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"collector": "c-unknown"}, "collector-unknown"),
        ({"read_aloud": True}, "witness-missing"),
        ({"read_aloud": True, "witness": "卓玛"}, "witness-unfit"),
        ({"read_aloud": True, "witness": ZHANG.text}, "witness-unfit"),
        ({"read_aloud": True, "witness": COLLECTOR.text}, "witness-unfit"),
        ({"read_aloud": True, "witness": SECOND.text}, "witness-unfit"),
        ({"read_aloud": True, "witness": "632521201906010002"}, "witness-unfit"),
        ({"read_aloud": True, "witness": WITNESS.text, "collector": None}, "collector-unknown"),
    ],
)
def test_at_the_counter_a_witness_is_somebody_else_and_a_collector_is_registered(
    exchange_home: Home, clerk: Bank, changes: dict[str, Any], code: str
) -> None:
    answer = clerk.api("POST", "/v1/consents", json=at_counter(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert consents_of(exchange_home) == []


def test_at_the_counter_a_consent_before_a_witness_is_kept_with_a_token_of_the_witness(
    exchange_home: Home, clerk: Bank
) -> None:
    answer = clerk.api("POST", "/v1/consents", json=at_counter(read_aloud=True, witness=WITNESS.text))
    assert answer.status_code == 201, answer.text
    (made,) = consents_of(exchange_home)
    assert made.terms.capture.witness is not None
    assert WITNESS.text not in made.terms.capture.witness


def test_a_collector_of_one_bank_is_none_of_another_and_ends(exchange_home: Home, door: Door, clerk: Bank) -> None:
    stranger = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    assert stranger.api("POST", "/v1/consents", json=at_counter()).json()["code"] == "collector-unknown"
    with exchange_home.database.transaction() as tx:
        assert collectors.end(tx, BANK, "c-1", now=clock.now() - timedelta(seconds=1))
        assert not collectors.end(tx, BANK, "c-1", now=clock.now())
    assert clerk.api("POST", "/v1/consents", json=at_counter()).json()["code"] == "collector-unknown"
