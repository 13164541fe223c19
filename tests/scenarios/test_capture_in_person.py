"""At a counter, in a village, on paper: collectors, witnesses, four eyes, and papers that were used before."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from consent.evidence import Channel
from exchange import consents, subjects
from exchange.capture import collectors
from registry import clock, store
from registry.identifiers import ResidentId
from registry.suites import sha256_hex
from tests.asking import Bank, bank
from tests.capturing import COLLECTOR, SECOND, collector, taken
from tests.people import BANK
from tests.scenarios.stage import OTHER, Lender, Scene, World, collective, evidence, refuses, subject, today
from tests.scenarios.test_collectives import resolved

PAPERS = "/v1/paper-consents"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
AS_PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module", autouse=True)
def second(world: World) -> Lender:
    """A second system of the first lender, and two collectors of it."""
    for code, who in (("c-1", COLLECTOR), ("c-2", SECOND)):
        collector(world.home, code, who)
    pages: Bank = bank(world.home, world.door, "bank-second", BANK)
    return Lender(pages, pages.caller.token(world.door))


# ---- papers that were used before -----------------------------------------------------------------------------------


@refuses("EVIDENCE_REUSED")
def test_one_persons_paper_does_not_serve_another(scene: Scene) -> None:
    one, other, paper = scene.person(), scene.person(), evidence()
    scene.permitted(scene.records(one, evidence=paper))
    scene.refused(scene.records(other, evidence=paper))
    scene.permitted(scene.records(other))


@refuses("EVIDENCE_REUSED")
def test_a_withdrawn_consents_paper_is_not_handed_in_again(scene: Scene) -> None:
    who, paper = scene.person(), evidence()
    made = scene.recorded(who, evidence=paper)
    consents.withdraw(scene.home, made["consent_id"], Channel.VILLAGE, actor="test")
    scene.refused(scene.records(who, evidence=paper))
    scene.permitted(scene.records(who))


@refuses("EVIDENCE_INVALID")
def test_an_empty_file_proves_nothing(scene: Scene) -> None:
    who = scene.person()
    of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    scene.refused(scene.records(who, evidence=evidence(sha256=of_nothing)))
    scene.permitted(scene.records(who, evidence=evidence()))


@refuses("EVIDENCE_INVALID")
def test_a_hash_of_zeros_proves_nothing(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, evidence=evidence(sha256="0" * 64)))
    scene.permitted(scene.records(who, evidence=evidence()))


@refuses("request-invalid")
def test_a_consent_without_any_proof_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, evidence=None))
    scene.permitted(scene.records(who))


@refuses("request-malformed")
def test_no_number_of_a_person_is_hidden_in_a_collectors_code(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, device=who.text))
    scene.permitted(scene.records(who, device="d-1"))


@refuses("request-invalid")
def test_a_counter_does_not_say_that_somebody_agreed_on_a_phone(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, channel="app"))
    scene.permitted(scene.records(who, channel="counter"))


# ---- collectors -----------------------------------------------------------------------------------------------------


@refuses("collector-unknown")
def test_a_collector_whom_nobody_registered_collects_nothing(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, collector="c-nobody"))
    scene.permitted(scene.records(who, collector="c-1"))


@refuses("collector-unknown")
def test_a_collector_of_one_lender_collects_nothing_for_another(scene: Scene) -> None:
    who, theirs = scene.person(), collector(scene.home, f"c-{uuid4()}", organisation=OTHER)
    scene.refused(scene.records(who, collector=theirs))
    scene.permitted(scene.records(who, scene.other, collector=theirs))


@refuses("collector-unknown")
def test_a_collector_whose_time_is_over_collects_nothing(scene: Scene) -> None:
    code = collector(scene.home, f"c-{uuid4()}")
    scene.permitted(scene.records(scene.person(), collector=code))
    with scene.home.database.transaction() as tx:
        collectors.end(tx, BANK, code, now=clock.now() - timedelta(seconds=1))
    scene.refused(scene.records(scene.person(), collector=code))


@refuses("request-invalid")
def test_nobody_knows_who_took_a_consent_that_no_collector_stands_behind(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, collector=None))
    scene.permitted(scene.records(who))


@refuses("request-invalid")
def test_a_consent_that_was_taken_nowhere_was_not_taken(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, place=None))
    scene.permitted(scene.records(who))


@refuses("request-invalid")
def test_a_consent_that_was_taken_at_no_time_was_not_taken(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, captured_at=None))
    scene.permitted(scene.records(who))


@refuses("collector-unknown")
def test_a_collector_took_nothing_before_he_was_registered(scene: Scene) -> None:
    who, code = scene.person(), collector(scene.home, f"c-{uuid4()}")
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE collector SET valid_from = %s WHERE code = %s", (clock.now() - timedelta(hours=2), code))
    for hours, expected in ((3, scene.refused), (1, scene.permitted)):
        at = clock.now() - timedelta(hours=hours)
        expected(scene.records(who, collector=code, captured_at=at.isoformat()))


@refuses("request-invalid")
def test_a_text_is_not_read_out_by_nobody(scene: Scene) -> None:
    who, witness = scene.person(), scene.person(30)
    scene.refused(scene.records(who, read_aloud=True, witness=witness.text, collector=None))
    scene.permitted(scene.records(who, read_aloud=True, witness=witness.text, collector="c-1"))


# ---- witnesses ------------------------------------------------------------------------------------------------------


def before(scene: Scene, who: ResidentId, witness: str | None) -> Any:
    """Hand in what was read out before somebody."""
    return scene.records(who, read_aloud=True, collector="c-1", witness=witness)


@refuses("witness-missing")
def test_what_was_read_out_before_nobody_was_not_agreed_to(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, None))
    scene.permitted(before(scene, who, scene.person(30).text))


@refuses("witness-unfit")
def test_nobody_witnesses_the_own_consent(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, who.text))
    scene.permitted(before(scene, who, scene.person(30).text))


@refuses("witness-unfit")
def test_a_collector_does_not_witness_what_he_collects(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, COLLECTOR.text))
    scene.permitted(before(scene, who, scene.person(30).text))


@refuses("witness-unfit")
def test_a_colleague_of_the_collector_is_no_witness(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, SECOND.text))
    scene.permitted(before(scene, who, scene.person(30).text))


@refuses("witness-unfit")
def test_a_colleague_who_has_left_is_no_witness_either(scene: Scene) -> None:
    who, colleague, code = scene.person(70), scene.person(30), f"c-{uuid4()}"
    scene.permitted(before(scene, who, colleague.text))
    collector(scene.home, code, colleague)
    with scene.home.database.transaction() as tx:
        collectors.end(tx, BANK, code, now=clock.now() - timedelta(seconds=1))
    scene.refused(before(scene, scene.person(70), colleague.text))


@refuses("witness-unfit")
def test_a_child_is_no_witness(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, scene.person(17).text))
    scene.permitted(before(scene, who, scene.person(18).text))


@refuses("witness-unfit")
def test_a_made_up_number_is_no_witness(scene: Scene) -> None:
    who, witness = scene.person(70), scene.person(30).text
    forged = witness[:16] + str((int(witness[16]) + 1) % 10) + witness[17]
    scene.refused(before(scene, who, forged))
    scene.permitted(before(scene, who, witness))


@refuses("witness-unfit")
def test_a_mere_name_is_no_witness_where_the_text_was_read_out(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(before(scene, who, "卓玛措"))
    scene.permitted(before(scene, who, scene.person(30).text))


@refuses("witness-unfit")
def test_whoever_acts_for_somebody_does_not_witness_it(scene: Scene) -> None:
    who, by = scene.person(70), scene.person(45)
    acts: dict[str, Any] = {"representation": proxy(by), "read_aloud": True, "collector": "c-1"}
    scene.refused(scene.records(who, witness=by.text, **acts))
    scene.permitted(scene.records(who, witness=scene.person(30).text, **acts))


def renumbered(scene: Scene, age: int, *, from_age: int | None = None) -> tuple[ResidentId, ResidentId]:
    """Somebody who was given another number: the one of before, and the current one."""
    old, new = scene.person(from_age or age), scene.person(age)
    scene.recorded(old, representation=None if (from_age or age) >= 18 else guardian(scene.person(50)))
    subjects.renumber(scene.home, old, new, document_sha256=b"\x07" * 32, actor="operator")
    return old, new


@refuses("witness-unfit")
def test_nobody_witnesses_the_own_consent_under_the_number_of_before(scene: Scene) -> None:
    old, new = renumbered(scene, 70)
    scene.refused(before(scene, new, old.text))
    scene.refused(before(scene, old, new.text))
    scene.permitted(before(scene, new, scene.person(30).text))


@refuses("witness-unfit", "REPRESENTATIVE_UNFIT")
def test_a_collector_who_was_renumbered_is_the_same_under_each_number(scene: Scene) -> None:
    for registered in (0, 1):  # under the number of before, and under the current one
        numbers = scene.person(30), scene.person(30)
        code = collector(scene.home, f"c-{uuid4()}", numbers[registered])
        scene.recorded(numbers[0])
        subjects.renumber(scene.home, *numbers, document_sha256=b"\x07" * 32, actor="operator")
        for number in numbers:
            scene.refused(before(scene, scene.person(70), number.text))
            scene.refused(scene.records(scene.person(70), collector=code, representation=proxy(number)))
    scene.permitted(before(scene, scene.person(70), scene.person(30).text))


@refuses("witness-unfit")
def test_a_witness_is_as_old_as_the_current_number_says(scene: Scene) -> None:
    old, _ = renumbered(scene, 17, from_age=20)
    scene.refused(before(scene, scene.person(70), old.text))
    grown, _ = renumbered(scene, 20, from_age=19)
    scene.permitted(before(scene, scene.person(70), grown.text))


@refuses("witness-unfit")
def test_whoever_acts_for_somebody_does_not_witness_it_under_another_number(scene: Scene) -> None:
    old, new = renumbered(scene, 45)
    acts: dict[str, Any] = {"representation": proxy(new), "read_aloud": True, "collector": "c-1"}
    scene.refused(scene.records(scene.person(70), witness=old.text, **acts))
    scene.permitted(scene.records(scene.person(70), witness=scene.person(30).text, **acts))


@refuses("REPRESENTATIVE_UNFIT")
def test_a_lenders_collector_does_not_agree_in_a_persons_name(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(scene.records(who, collector="c-1", representation=proxy(COLLECTOR)))
    scene.refused(scene.records(who, collector="c-1", representation=proxy(SECOND)))
    scene.permitted(scene.records(who, collector="c-1", representation=proxy(scene.person(45))))


def guardian(by: ResidentId, **changes: Any) -> dict[str, Any]:
    stated = {"kind": "guardian", "relation": "parent", "representative": subject(by), "document_sha256": "01" * 32}
    return stated | changes


def proxy(by: ResidentId) -> dict[str, Any]:
    stated = {"kind": "proxy", "relation": "relative", "representative": subject(by), "document_sha256": "02" * 32}
    return stated | {"until": today(days=20)}


# ---- paper ----------------------------------------------------------------------------------------------------------


def entered(scene: Scene, who: ResidentId, lender: Lender | None = None, **changes: Any) -> Any:
    """Enter a paper."""
    stated = {"original_sha256": uuid4().hex * 2, "signed_on": today(), "channel": "village"}
    body = taken(who) | stated | {"fingerprints_redacted": True} | changes
    return (lender or scene.bank).call("POST", PAPERS, body)


def confirmed(by: Lender, paper: dict[str, Any], who: ResidentId, original: str, **changes: Any) -> Any:
    """Confirm a paper with the original in hand."""
    said = {"collector": "c-2", "subject": {"identifier": who.text}, "original_sha256": original}
    said |= {"terms_sha256": paper["terms_sha256"]}
    return by.call("POST", f"{PAPERS}/{paper['paper_id']}/confirm", said | changes)


@refuses("PAPER_NEEDS_FOUR_EYES")
def test_a_paper_that_one_pair_of_eyes_has_seen_is_not_recorded_at_the_counter(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = {"kind": "paper_scan", "sha256": original, "fingerprints_redacted": True}
    scene.refused(scene.records(who, evidence=paper))
    scene.permitted(confirmed(second, entered(scene, who, original_sha256=original).json(), who, original))


@refuses("fingerprints-not-redacted")
def test_a_paper_whose_fingerprints_were_not_blacked_out_is_not_taken(scene: Scene) -> None:
    who = scene.person()
    scene.refused(entered(scene, who, fingerprints_redacted=False))
    scene.permitted(entered(scene, who))


@refuses("no-consent")
def test_a_paper_that_one_person_has_looked_at_opens_nothing(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(scene.asks(who))
    scene.permitted(confirmed(second, paper, who, original))
    scene.permitted(scene.asks(who))


@refuses("four-eyes-needed")
def test_a_paper_is_not_confirmed_through_the_system_that_entered_it(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(scene.bank, paper, who, original))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("four-eyes-needed")
def test_a_paper_is_not_confirmed_by_the_one_who_collected_it(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(second, paper, who, original, collector="c-1"))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("four-eyes-needed")
def test_a_second_code_makes_no_second_person(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    again = collector(scene.home, f"c-{uuid4()}", COLLECTOR)
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(second, paper, who, original, collector=again))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("four-eyes-needed")
def test_a_second_number_makes_no_second_person(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    old, new = scene.person(30), scene.person(30)
    codes = [collector(scene.home, f"c-{uuid4()}", number) for number in (old, new)]
    scene.recorded(old)
    subjects.renumber(scene.home, old, new, document_sha256=b"\x07" * 32, actor="operator")
    paper = entered(scene, who, original_sha256=original, collector=codes[0]).json()
    scene.refused(confirmed(second, paper, who, original, collector=codes[1]))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("SUBJECT_UNAVAILABLE")
def test_entering_a_paper_tells_of_nobody_whether_erased_or_dead(scene: Scene, second: Lender) -> None:
    alive, dead, erased, later = (scene.person(60) for _ in range(4))
    for who in (dead, erased):
        scene.recorded(who)
    subjects.note_death(scene.home, dead, document_sha256=b"\x07" * 32, actor="operator")
    erase(scene, erased)
    papers = {}
    for who in (alive, dead, erased, later):
        original = uuid4().hex * 2
        answer = entered(scene, who, original_sha256=original)
        papers[who] = answer.json(), original
        put = scene.bank.pages.api("PUT", f"{PAPERS}/{papers[who][0]['paper_id']}/scan", content=PNG, headers=AS_PNG)
        assert (answer.status_code, put.status_code, put.json()["scan_type"]) == (201, 200, "image/png")
        assert scene.bank.call("GET", f"{PAPERS}/{papers[who][0]['paper_id']}/scan").content == PNG
        differs = confirmed(second, papers[who][0], who, uuid4().hex * 2, scan_sha256=sha256_hex(PNG))
        assert differs.json()["code"] == "paper-differs"
    erase(scene, later)  # while the paper waits
    for who, (paper, original) in papers.items():
        expected = scene.permitted if who is alive else scene.refused
        expected(confirmed(second, paper, who, original, scan_sha256=sha256_hex(PNG)))
        assert len(scene.consents(who)) == (0 if who is later else 1)


def erase(scene: Scene, who: ResidentId) -> None:
    """Erase somebody's data key."""
    with scene.home.database.transaction() as tx:
        known = store.lookup(tx, scene.home.keyring, [who])[who.text]
    scene.home.datakeys.erase(known, now=clock.now())


@refuses("paper-differs")
def test_whoever_has_not_the_paper_in_hand_does_not_confirm_it(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(second, paper, who, uuid4().hex * 2))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("paper-differs")
def test_whoever_has_looked_at_other_terms_does_not_confirm_these(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(second, paper, who, original, terms_sha256=uuid4().hex * 2))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("paper-known")
def test_one_paper_is_not_entered_twice(scene: Scene) -> None:
    original = uuid4().hex * 2
    scene.permitted(entered(scene, scene.person(), original_sha256=original))
    scene.refused(entered(scene, scene.person(), original_sha256=original))


@refuses("paper-settled")
def test_a_paper_that_was_refused_is_not_confirmed(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    said = {"collector": "c-2", "reason": "unsigned"}
    scene.permitted(second.call("POST", f"{PAPERS}/{paper['paper_id']}/refuse", said))
    scene.refused(confirmed(second, paper, who, original))


@refuses("paper-settled")
def test_a_paper_that_nobody_looked_at_in_time_is_not_confirmed(scene: Scene, second: Lender) -> None:
    for late, expected in (("14 days 1 second", scene.refused), ("13 days", scene.permitted)):
        who, original = scene.person(), uuid4().hex * 2
        paper = entered(scene, who, original_sha256=original).json()
        with scene.home.database.transaction() as tx:
            tx.execute(
                "UPDATE paper_consent SET open_until = open_until - %s::interval WHERE paper_id = %s",
                (late, paper["paper_id"]),
            )
        expected(confirmed(second, paper, who, original))


@refuses("paper-unknown")
def test_another_lenders_paper_is_not_there(scene: Scene, second: Lender) -> None:
    who, original = scene.person(), uuid4().hex * 2
    paper = entered(scene, who, original_sha256=original).json()
    scene.refused(confirmed(scene.other, paper, who, original))
    scene.refused(scene.other.call("GET", f"{PAPERS}/{paper['paper_id']}"))
    scene.permitted(confirmed(second, paper, who, original))


@refuses("SENSITIVE_NOT_AGREED")
def test_four_eyes_do_not_make_up_for_an_act_that_was_not_done(scene: Scene, second: Lender) -> None:
    terms = {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["HOUSE_FUND.fund_status"]}
    for done, expected in ((False, scene.refused), (True, scene.permitted)):
        who, original = scene.person(), uuid4().hex * 2
        answer = entered(scene, who, original_sha256=original, terms=terms, sensitive_agreed=done)
        expected(answer if answer.status_code != 201 else confirmed(second, answer.json(), who, original))


@refuses("GUARDIAN_NEEDED")
def test_a_childs_own_paper_is_none(scene: Scene, second: Lender) -> None:
    for age, expected in ((15, scene.refused), (18, scene.permitted)):
        who, original = scene.person(age), uuid4().hex * 2
        answer = entered(scene, who, original_sha256=original)
        expected(answer if answer.status_code != 201 else confirmed(second, answer.json(), who, original))


@refuses("paper-differs")
def test_a_childs_paper_is_not_confirmed_as_another_guardians(scene: Scene, second: Lender) -> None:
    ward, parent, original = scene.person(11), scene.person(38), uuid4().hex * 2
    paper = entered(scene, ward, original_sha256=original, representation=guardian(parent), sensitive_agreed=True)
    stranger, by = ({"representative": {"identifier": who.text}} for who in (scene.person(38), parent))
    scene.refused(confirmed(second, paper.json(), ward, original, **stranger))
    scene.refused(confirmed(second, paper.json(), ward, original))
    scene.permitted(confirmed(second, paper.json(), ward, original, **by))


@refuses("GUARDIANSHIP_UNPROVEN")
def test_a_guardian_without_a_document_is_none_on_paper_either(scene: Scene, second: Lender) -> None:
    ward, parent = scene.person(11), scene.person(38)
    for changes, expected in (({"document_sha256": None}, scene.refused), ({}, scene.permitted)):
        original, acted = uuid4().hex * 2, guardian(parent, **changes)
        paper = entered(scene, ward, original_sha256=original, representation=acted, sensitive_agreed=True)
        by = {"representative": {"identifier": parent.text}}
        expected(confirmed(second, paper.json(), ward, original, **by))


@refuses("REPRESENTATIVE_UNFIT")
def test_a_lenders_collector_does_not_sign_a_paper_in_a_persons_name(scene: Scene) -> None:
    who = scene.person(70)
    scene.refused(entered(scene, who, representation=proxy(SECOND)))
    scene.permitted(entered(scene, who, representation=proxy(scene.person(45))))


@refuses("VOTES_MISSED")
def test_a_meeting_that_did_not_agree_decides_nothing_on_paper_either(scene: Scene, second: Lender) -> None:
    for votes, expected in ((59, scene.refused), (60, scene.permitted)):
        who, minutes = collective(), uuid4().hex * 2
        terms = {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["SANZI_FUND"]}
        acted = resolved(minutes, present=60, votes_for=votes, votes_against=60 - votes, votes_abstained=0)
        named: dict[str, Any] = {"subject": subject(who), "terms": terms, "representation": acted}
        paper = entered(scene, scene.person(), original_sha256=minutes, **named)
        expected(confirmed(second, paper.json(), scene.person(), minutes, subject=subject(who)))


@refuses("binding-child", "binding-refused")
def test_no_phone_is_bound_for_a_child_under_fourteen(scene: Scene) -> None:
    seen = {"verified": "resident_card_seen", "collector": collector(scene.home, f"c-{uuid4()}")}
    scene.refused(scene.bank.call("POST", "/v1/bindings", {"subject": subject(scene.person(13))} | seen))
    scene.permitted(scene.bank.call("POST", "/v1/bindings", {"subject": subject(scene.person(14))} | seen))
