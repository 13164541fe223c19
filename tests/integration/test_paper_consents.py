"""Consents on paper: entered by one, confirmed by another who has the paper in hand; and witnesses at the counter."""

from datetime import timedelta
from typing import Any

import pytest

from consent import ledger
from consent.evidence import Channel, EvidenceKind
from consent.record import SubjectType
from consent.representation import Kind, Relation
from exchange import consents
from exchange.capture import collectors, paper
from exchange.home import Home
from exchange.jobs import end_captures
from registry import clock, store
from registry.identifiers import CreditCode, ResidentId
from registry.suites import sha256_hex
from tests.asking import Bank, bank
from tests.attacks.bent_client import Door
from tests.capturing import COLLECTOR, SECOND, WITNESS, collector, taken
from tests.people import BANK, LI, ZHANG, consented, held
from tests.scenarios.stage import collective

STANDING = True
ORIGINAL = sha256_hex(b"the paper")
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100_000
PATH = "/v1/paper-consents"


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


# ---- somebody who acts for the subject ------------------------------------------------------------------------------

WARD = ResidentId.parse("632521201506010003")  # eleven
PARENT = ResidentId.parse("632521198506010009")


def guardian(**changes: Any) -> dict[str, Any]:
    by = {"type": "resident_id", "identifier": PARENT.text}
    return {"kind": "guardian", "relation": "parent", "representative": by, "document_sha256": "01" * 32} | changes


def for_ward(**changes: Any) -> dict[str, Any]:
    return {"subject": {"identifier": WARD.text}, "representation": guardian(), "sensitive_agreed": True} | changes


def seen_of_ward(**changes: Any) -> dict[str, Any]:
    people = {"subject": {"identifier": WARD.text}, "representative": {"identifier": PARENT.text}}
    return people | changes


def test_a_guardians_paper_is_a_consent_of_the_child_with_a_token_of_the_guardian(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    one = enter(clerk, **for_ward())
    assert one["terms"]["representation"] == {
        "kind": "guardian", "relation": "parent", "document_sha256": "01" * 32
    }  # fmt: skip
    shown = second.api("GET", f"{PATH}/{one['paper_id']}").text
    with exchange_home.database.transaction() as tx:
        kept = str(tx.execute("SELECT paper_consent::text FROM paper_consent").fetchall())
    for text in (str(one), shown, kept):
        assert WARD.text not in text
        assert PARENT.text not in text
    assert confirm(second, one, **seen_of_ward()).status_code == 200
    (made,) = consents_of(exchange_home, WARD)
    acted = made.terms.representation
    assert (acted.kind, acted.relation) == (Kind.GUARDIAN, Relation.PARENT)
    assert acted.by is not None
    assert PARENT.text not in f"{acted.by} {made.receipt}"


@pytest.mark.parametrize("seen", [None, {"identifier": LI.text}], ids=["overlooked", "another"])
def test_whoever_acted_is_the_one_who_stands_on_the_paper(
    exchange_home: Home, clerk: Bank, second: Bank, seen: dict[str, str] | None
) -> None:
    one = enter(clerk, **for_ward())
    assert confirm(second, one, **seen_of_ward(representative=seen)).json()["code"] == "paper-differs"
    assert consents_of(exchange_home, WARD) == []
    assert confirm(second, one, **seen_of_ward()).status_code == 200


def test_nobody_acted_on_a_paper_that_names_nobody(exchange_home: Home, clerk: Bank, second: Bank) -> None:
    one = enter(clerk)
    assert confirm(second, one, representative={"identifier": PARENT.text}).json()["code"] == "paper-differs"
    assert confirm(second, one).status_code == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"representation": None}, "GUARDIAN_NEEDED"),
        ({"representation": guardian(document_sha256=None)}, "GUARDIANSHIP_UNPROVEN"),
        ({"representation": guardian(relation="agent")}, "GUARDIANSHIP_UNPROVEN"),
        ({"sensitive_agreed": False}, "SENSITIVE_NOT_AGREED"),
        ({"subject": {"identifier": ZHANG.text}}, "GUARDIAN_NOT_NEEDED"),
    ],
)
def test_a_guardians_paper_is_held_to_what_holds_at_the_counter(
    exchange_home: Home, clerk: Bank, second: Bank, changes: dict[str, Any], expected: str
) -> None:
    entered = for_ward() | changes
    one = enter(clerk, **entered)
    seen = {"subject": entered["subject"]}
    if entered["representation"] is not None:
        seen["representative"] = {"identifier": PARENT.text}
    told = confirm(second, one, **seen).json()
    assert (told["code"], told["errors"][0]["code"]) == ("consent-terms", expected)
    assert consents_of(exchange_home, WARD) == consents_of(exchange_home) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"representation": guardian(representative={"type": "resident_id", "identifier": COLLECTOR.text})},
         "consent-terms"),
        ({"read_aloud": True, "witness": {"identifier": PARENT.text}}, "witness-unfit"),
        ({"representation": guardian(representative={"type": "resident_id", "identifier": "1" * 18})},
         "identifier-malformed"),
    ],
    ids=["collector", "own-witness", "made-up"],
)  # fmt: skip
def test_whoever_acts_is_none_of_the_lenders_own_and_no_witness(
    exchange_home: Home, clerk: Bank, changes: dict[str, Any], expected: str
) -> None:
    told = clerk.api("POST", PATH, json=entry(**for_ward(**changes)))
    assert (told.status_code, told.json()["code"]) == (422, expected)


def resolved(minutes: str = ORIGINAL, **changes: Any) -> dict[str, Any]:
    """A meeting of all members that was made public for a week and is over."""
    day = clock.beijing_day(clock.now())
    ago = {days: (day - timedelta(days=days)).isoformat() for days in (20, 15, 9)}
    votes = {"members": 90, "present": 66, "votes_for": 60, "votes_against": 4, "votes_abstained": 2}
    meeting = {"meeting": "members", "number": "2026-7", "held_on": ago[20], "publicity_from": ago[15]}
    end = {"publicity_to": ago[9], "term_until": (day + timedelta(days=300)).isoformat(), "minutes_sha256": minutes}
    return {"kind": "resolution", "relation": "board", "resolution": votes | meeting | end | changes}


def for_village(who: CreditCode, **changes: Any) -> dict[str, Any]:
    terms = {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["SANZI_FUND"]}
    named = {"subject": {"type": "uscc", "identifier": who.text}, "representation": resolved()}
    return named | {"terms": terms} | changes


def test_a_villages_resolution_on_paper_is_its_consent_under_four_eyes(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    village = collective()
    one = enter(clerk, **for_village(village))
    assert village.text not in str(one)
    of_village = {"subject": {"type": "uscc", "identifier": village.text}}
    assert confirm(second, one, subject={"type": "uscc", "identifier": collective().text}).json()["code"] == (
        "paper-differs"
    )
    answer = confirm(second, one, **of_village)
    assert answer.status_code == 200, answer.text
    with exchange_home.database.transaction() as tx:
        (made,) = ledger.get(tx, [answer.json()["consent_id"]]).values()
    assert made.terms.subject_type is SubjectType.ORGANISATION
    assert made.terms.capture.evidence.kind is EvidenceKind.RESOLUTION
    assert made.terms.capture.evidence.sha256 == bytes.fromhex(ORIGINAL)
    acted = made.terms.representation
    assert acted is not None
    assert acted.resolution is not None
    assert acted.resolution.number == "2026-7"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"representation": None}, "RESOLUTION_MISSING"),
        ({"representation": resolved("ef" * 32)}, "RESOLUTION_INVALID"),
        ({"representation": resolved(votes_for=40, votes_against=24)}, "VOTES_MISSED"),
        ({"terms": {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["RATING"]}}, "COLLECTIVE_FOR_MEMBER"),
        ({"subject": {"identifier": ZHANG.text}, "terms": taken()["terms"]}, "COLLECTIVE_FOR_MEMBER"),
    ],
)
def test_minutes_on_paper_are_held_to_what_holds_at_the_counter(
    exchange_home: Home, clerk: Bank, second: Bank, changes: dict[str, Any], expected: str
) -> None:
    entered = for_village(collective()) | changes
    told = confirm(second, enter(clerk, **entered), subject=entered["subject"]).json()
    assert (told["code"], told["errors"][0]["code"]) == ("consent-terms", expected)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (0,)


def test_no_identifier_stands_where_a_resolutions_number_should(clerk: Bank) -> None:
    told = clerk.api("POST", PATH, json=entry(**for_village(collective(), representation=resolved(number=ZHANG.text))))
    assert (told.status_code, told.json()["code"]) == (400, "request-malformed")


# ---- a "no" ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channel", "status"), [(Channel.VILLAGE, 422), (Channel.APP, 200), (Channel.H5, 200)])
def test_a_paper_is_held_to_the_no_that_the_lender_recorded_and_shows_none_that_was_silent(
    exchange_home: Home, clerk: Bank, second: Bank, channel: Channel, status: int
) -> None:
    consents.refuse(exchange_home, ZHANG, BANK, "LOAN_APPROVAL", channel=channel, actor="test")
    told = confirm(second, enter(clerk))
    assert told.status_code == status, told.text
    assert status == 200 or told.json()["errors"][0]["code"] == "REFUSED_LATELY"


# ---- after a withdrawal ---------------------------------------------------------------------------------------------


def test_a_paper_signed_before_a_withdrawal_does_not_undo_it_and_one_signed_after_does(
    exchange_home: Home, clerk: Bank, second: Bank
) -> None:
    withdrawn = consented(exchange_home)
    consents.withdraw(exchange_home, withdrawn.consent_id, Channel.COUNTER, actor="test")
    evening = clock.now()
    morning = evening - timedelta(minutes=10)
    for number, when in enumerate(({}, {"signed_at": morning.isoformat()}, {"signed_at": evening.isoformat()})):
        original = f"{number + 1:064x}"
        day = {} if not when else {"signed_on": clock.beijing_day(evening if number > 1 else morning).isoformat()}
        one = enter(clerk, original_sha256=original, **when, **day)
        told = confirm(second, one, original_sha256=original)
        if number > 1:
            assert told.status_code == 200, told.text
        else:
            assert told.json()["errors"][0]["code"] == "BEFORE_WITHDRAWAL"


def test_the_moment_of_signing_is_one_of_the_day_of_signing(clerk: Bank) -> None:
    for moment in (clock.now() - timedelta(days=2), clock.now() + timedelta(minutes=16)):
        told = clerk.api("POST", PATH, json=entry(signed_at=moment.isoformat()))
        assert (told.status_code, told.json()["code"]) == (422, "paper-too-old")


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
        "place": "632701",
        "captured_at": clock.now().isoformat(),
        "evidence": {"kind": "reliable_esign", "sha256": "ab" * 32},
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
        ({"read_aloud": True, "witness": WITNESS.text, "collector": None}, "request-invalid"),
        ({"collector": None}, "request-invalid"),
        ({"place": None}, "request-invalid"),
        ({"captured_at": None}, "request-invalid"),
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
