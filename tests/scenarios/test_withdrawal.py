"""A withdrawal bites: on the next read, in every process, on tokens, keys, batches and what lies waiting."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx

from consent import ledger
from consent.evidence import Channel
from exchange import consents
from exchange.oauth import clients
from exchange.release import AskAgain, Permitted
from exchange.release.collecting import people_for
from registry import clock
from registry.identifiers import ResidentId
from tests.asking import Bank, Browser, back, bank
from tests.attacks.bent_client import Door
from tests.capturing import collector, taken
from tests.people import BANK, caller, consented, held, question, sequenced
from tests.phones import bound
from tests.scenarios.stage import Lender, Scene, code, refuses, today

RATINGS = frozenset({"RATING.grade"})


def withdraws(scene: Scene, consent_id: str) -> None:
    """Withdraw, as at a counter."""
    consents.withdraw(scene.home, consent_id, Channel.COUNTER, actor="test")


@refuses("withdrawn")
def test_what_was_withdrawn_opens_nothing_from_its_commit_on(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    scene.permitted(scene.asks(who))
    withdraws(scene, made["consent_id"])
    scene.refused(scene.asks(who))


@refuses("withdrawn")
def test_what_a_person_withdraws_on_the_phone_opens_nothing_to_the_lender(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    phone = bound(scene.home, scene.door, who)
    scene.permitted(scene.asks(who))
    scene.permitted(phone.call("POST", f"/subject/v1/consents/{made['consent_id']}/withdraw"))
    scene.refused(scene.asks(who))


@refuses("withdrawn")
def test_a_withdrawal_bites_in_another_process(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    with Door(scene.home) as second:
        there = Lender(Bank(second, scene.bank.caller), scene.bank.token)
        scene.permitted(scene.asks(who, there))
        withdraws(scene, made["consent_id"])
        scene.refused(scene.asks(who, there))


@refuses("withdrawn")
def test_a_token_that_is_still_good_opens_nothing_that_was_withdrawn(scene: Scene) -> None:
    who = scene.person()
    phone = bound(scene.home, scene.door, who)
    page = Browser(scene.door, scene.bank.caller.client_id, scene.bank.pages.pushed())
    page.open()
    token = scene.bank.pages.redeem(back(page.agree(phone.secret, who))["code"]).json()["access_token"]
    with_token = Lender(scene.bank.pages, token)
    scene.permitted(scene.asks(who, with_token, items=["SUBSIDY.project"]))
    (made,) = scene.consents(who)
    withdraws(scene, made.consent_id)
    scene.refused(scene.asks(who, with_token, items=["SUBSIDY.project"]))


@refuses("withdrawn")
def test_a_key_does_not_open_an_answer_again_after_a_withdrawal(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    made = scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    scene.permitted(scene.asks(who, key=key))
    withdraws(scene, made["consent_id"])
    scene.refused(scene.asks(who, key=key))


@refuses("withdrawn")
def test_another_consent_does_not_bring_a_withdrawn_answer_back(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    made = scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    withdraws(scene, made["consent_id"])
    scene.recorded(who)
    scene.refused(scene.asks(who, key=key))
    scene.permitted(scene.asks(who, key=str(uuid4())))


@refuses("withdrawn")
def test_the_evidence_of_an_answer_shows_no_data_after_a_withdrawal(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    held(scene.home, who)
    query_id = scene.asks(who).json()["answer"]["query_id"]
    sequenced(scene.home)
    path = f"/v1/queries/{query_id}/evidence"
    scene.permitted(scene.bank.call("GET", path))
    withdraws(scene, consent.consent_id)
    scene.refused(scene.bank.call("GET", path))
    scene.permitted(scene.bank.call("GET", f"{path}?form=redacted"))  # which proves it, and shows nothing


@refuses("withdrawn")
def test_a_question_that_was_asked_before_a_withdrawal_and_is_decided_after_it_is_refused(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    asked = question(who=who, identifier=who, items=RATINGS)
    scene.permitted(scene.together(asked)[0])

    def interrupted(step: int) -> None:
        if step == 2:  # the question is read; its consents are not yet
            withdraws(scene, consent.consent_id)

    (outcome,) = scene.together(asked, at_step=interrupted)
    scene.refused(outcome)


@refuses("withdrawn")
def test_a_withdrawal_between_decision_and_answer_waits_for_this_one_and_stops_the_next(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    asked, done = question(who=who, identifier=who, items=RATINGS), threading.Event()

    def withdraw() -> None:
        withdraws(scene, consent.consent_id)
        done.set()

    thread = threading.Thread(target=withdraw)

    def interrupted(step: int) -> None:
        if step == 3:  # decided, under lock; not yet written
            thread.start()
            assert not done.wait(0.2), "a withdrawal went past a decision that was under way"

    (outcome,) = scene.together(asked, at_step=interrupted)
    scene.permitted(outcome)
    thread.join()
    scene.refused(scene.together(asked)[0])


@refuses("withdrawn")
def test_a_withdrawal_during_a_batch_stops_every_question_about_the_person_and_no_other(scene: Scene) -> None:
    who, other = scene.person(), scene.person()
    consent = consented(scene.home, who)
    consented(scene.home, other)
    asks = [question(who=one, identifier=one, items=RATINGS) for one in (who, other, who)]

    def interrupted(step: int) -> None:
        if step == 2:
            withdraws(scene, consent.consent_id)

    first, beside, last = scene.together(*asks, at_step=interrupted)
    scene.refused(first)
    scene.permitted(beside)
    scene.refused(last)


@refuses("withdrawn")
def test_an_old_receipt_withdraws_what_has_come_of_its_consent(scene: Scene) -> None:
    who = scene.person()
    first = scene.recorded(who)
    said = {"channel": "counter", "max_uses": 2}
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{first['consent_id']}/narrow", said))
    scene.permitted(scene.asks(who))
    withdraws(scene, first["consent_id"])
    scene.refused(scene.asks(who))


@refuses("withdrawn")
def test_a_paused_consent_is_withdrawn_like_any_other(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    scene.permitted(scene.asks(who))
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{made['consent_id']}/pause", {"channel": "counter"}))
    withdraws(scene, made["consent_id"])
    scene.refused(scene.asks(who))


@refuses("consent-unknown")
def test_another_lender_withdraws_nothing(scene: Scene) -> None:
    who = scene.person()
    path = f"/v1/consents/{scene.recorded(who)['consent_id']}/withdraw"
    scene.refused(scene.other.call("POST", path, {"channel": "counter"}))
    scene.permitted(scene.asks(who))
    scene.permitted(scene.bank.call("POST", path, {"channel": "counter"}))


@refuses("consent-unknown")
def test_another_person_withdraws_nothing(scene: Scene) -> None:
    who, other = scene.person(), scene.person()
    path = f"/subject/v1/consents/{scene.recorded(who)['consent_id']}/withdraw"
    scene.refused(bound(scene.home, scene.door, other).call("POST", path))
    scene.permitted(scene.asks(who))
    scene.permitted(bound(scene.home, scene.door, who).call("POST", path))


@refuses("frozen")
def test_what_was_held_on_a_withdrawn_consent_alone_is_shown_to_nobody(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    held(scene.home, who)
    phone = bound(scene.home, scene.door, who)
    scene.permitted("permitted" if phone.get("/subject/v1/records")["records"] else "frozen")
    withdraws(scene, consent.consent_id)
    scene.refused("permitted" if phone.get("/subject/v1/records")["records"] else "frozen")


@refuses("no-basis")
def test_nothing_more_is_taken_in_on_a_withdrawn_consent(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    day = clock.beijing_day(clock.now())
    scene.permitted("permitted" if consents.basis_of(scene.home, "RATING", [who.text], day)[0] else "no-basis")
    withdraws(scene, consent.consent_id)
    scene.refused("permitted" if consents.basis_of(scene.home, "RATING", [who.text], day)[0] else "no-basis")


@refuses("not-named")
def test_no_source_is_asked_about_somebody_who_withdrew(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    scene.permitted("permitted" if who.text in _asked_about(scene) else "not-named")
    withdraws(scene, consent.consent_id)
    scene.refused("permitted" if who.text in _asked_about(scene) else "not-named")


def _asked_about(scene: Scene) -> set[str]:
    day = clock.beijing_day(clock.now())
    return {text for told in people_for(scene.home, "RATING", actor="agency", at=day) for text in told}


@refuses("no-consent", "withdrawn")
def test_a_withdrawal_from_one_lender_gives_nothing_to_it_by_way_of_another(scene: Scene) -> None:
    who = scene.person()
    mine, theirs = scene.recorded(who), scene.recorded(who, scene.other)
    withdraws(scene, mine["consent_id"])
    scene.refused(scene.asks(who))
    scene.permitted(scene.asks(who, scene.other))
    withdraws(scene, theirs["consent_id"])
    scene.refused(scene.asks(who, scene.other))


@refuses("token-invalid")
def test_a_lender_that_was_suspended_asks_nothing_with_the_token_it_has(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    for state, expected in ((clients.SUSPENDED, scene.refused), (clients.ACTIVE, scene.permitted)):
        with scene.home.database.transaction() as tx:
            clients.set_state(tx, scene.bank.caller.client_id, state)
        expected(scene.asks(who))


@refuses("withdrawn")
def test_an_answer_is_not_asked_for_again_at_the_gate_after_a_withdrawal(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    held(scene.home, who)
    outcome = scene.gate(who)
    assert isinstance(outcome, Permitted)
    again = AskAgain(caller(), outcome.query_id)
    scene.permitted(scene.together(again)[0])
    withdraws(scene, consent.consent_id)
    scene.refused(scene.together(again)[0])


@refuses("withdrawn")
def test_many_consents_withdrawn_in_one_go_open_nothing_one_by_one(scene: Scene) -> None:
    people: list[ResidentId] = [scene.person() for _ in range(5)]
    made = [consented(scene.home, who) for who in people]
    with scene.home.database.transaction() as tx:
        for consent in made[:4]:
            ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, clock.now())
    outcomes = scene.together(*(question(who=who, identifier=who, items=RATINGS) for who in people))
    for outcome in outcomes[:4]:
        scene.refused(outcome)
    scene.permitted(outcomes[4])
    assert [code(one) for one in outcomes].count("withdrawn") == 4


# ---- what was agreed to before a withdrawal -------------------------------------------------------------------------


@refuses("BEFORE_WITHDRAWAL")
def test_what_was_signed_before_a_withdrawal_does_not_undo_it_at_the_counter(scene: Scene) -> None:
    who, other = scene.person(), scene.person()
    before: dict[str, Any] = {"captured_at": (clock.now() - timedelta(minutes=9)).isoformat()}
    made = scene.recorded(who)
    withdraws(scene, made["consent_id"])
    scene.refused(scene.records(who, **before))
    scene.refused(scene.records(who, **before, valid_from=today(days=5)))  # to begin later makes it no younger
    scene.permitted(scene.records(other, **before))
    scene.permitted(scene.records(who, scene.other, **before))
    scene.permitted(scene.records(who, **before, purpose="GUARANTEE"))
    scene.permitted(scene.records(who))


@refuses("BEFORE_WITHDRAWAL")
def test_a_paper_of_the_day_of_a_withdrawal_does_not_undo_it(scene: Scene) -> None:
    who, other, second = scene.person(), scene.person(), second_system(scene)
    withdraws(scene, consented(scene.home, who).consent_id)
    scene.refused(on_paper(scene, second, who))  # of it only the day is known
    scene.permitted(on_paper(scene, second, other))
    scene.permitted(on_paper(scene, second, who, signed_at=clock.now().isoformat()))


@refuses("BEFORE_WITHDRAWAL")
def test_a_paper_of_the_days_before_a_withdrawal_does_not_undo_it(scene: Scene) -> None:
    who, second = scene.person(), second_system(scene)
    with scene.at(clock.now() - timedelta(days=2)):
        withdraws(scene, consented(scene.home, who).consent_id)
    scene.refused(on_paper(scene, second, who, signed_on=today(days=-3)))
    scene.refused(on_paper(scene, second, who, signed_on=today(days=-3), valid_from=today()))
    scene.permitted(on_paper(scene, second, who, signed_on=today(days=-1)))


def second_system(scene: Scene) -> Lender:
    """Another system of the first lender, and two collectors for papers, each once."""
    name = uuid4().hex[:8]
    for role, number in (("one", scene.person(30)), ("two", scene.person(31))):
        collector(scene.home, f"c-{role}-{name}", number)
    pages = bank(scene.home, scene.door, f"second-{name}", BANK)
    return Lender(pages, pages.caller.token(scene.door))


def on_paper(scene: Scene, second: Lender, who: ResidentId, **changes: Any) -> httpx.Response:
    """Enter a paper and have it confirmed."""
    name, original = second.caller.client_id.partition("-")[2], uuid4().hex * 2
    signed = {"original_sha256": original, "signed_on": today(), "channel": "village", "fingerprints_redacted": True}
    paper = scene.bank.call(
        "POST", "/v1/paper-consents", taken(who, collector=f"c-one-{name}") | signed | changes
    ).json()
    said = {"collector": f"c-two-{name}", "subject": {"identifier": who.text}, "original_sha256": original}
    path = f"/v1/paper-consents/{paper['paper_id']}/confirm"
    return second.call("POST", path, said | {"terms_sha256": paper["terms_sha256"]})
