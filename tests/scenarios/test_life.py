"""A consent's life: nothing leads back from its end, and nothing makes it wider without a new act."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from consent import ledger
from consent.evidence import Channel
from consent.grant import STEPS, State
from consent.record import NewConsent, SubjectType
from exchange import consents
from exchange.errors import RequestRefused
from exchange.naming import refuse_personal
from registry import clock
from registry.clock import rfc3339
from registry.identifiers import ResidentId
from registry.records import NOBODY
from tests.capturing import collector
from tests.people import BANK, capture, consented
from tests.phones import Phone, bound
from tests.scenarios.stage import GRADE, Lender, Scene, code, evidence, refuses, today


def somebody(scene: Scene, **terms: Any) -> tuple[ResidentId, Phone, str]:
    """A person with a phone and a consent."""
    who = scene.person()
    made = scene.recorded(who, **terms)
    return who, bound(scene.home, scene.door, who), f"/subject/v1/consents/{made['consent_id']}"


def ended(scene: Scene, consent_id: str) -> None:
    """Withdraw."""
    consents.withdraw(scene.home, consent_id, Channel.COUNTER, actor="test")


def said(lender: Lender, path: str, verb: str, **more: Any) -> Any:
    """Carry out at a lender's counter what a person said."""
    return lender.call("POST", f"{path.replace('subject/v1', 'v1')}/{verb}", {"channel": "counter"} | more)


# ---- nothing leads back ---------------------------------------------------------------------------------------------


@refuses("consent-ended")
def test_what_was_withdrawn_does_not_go_on(scene: Scene) -> None:
    _, phone, path = somebody(scene)
    scene.permitted(phone.call("POST", f"{path}/pause"))
    scene.permitted(phone.call("POST", f"{path}/resume"))
    scene.permitted(phone.call("POST", f"{path}/withdraw"))
    scene.refused(phone.call("POST", f"{path}/resume"))


@refuses("consent-ended")
def test_what_was_withdrawn_is_not_paused_to_be_resumed(scene: Scene) -> None:
    _, phone, path = somebody(scene)
    scene.permitted(phone.call("POST", f"{path}/withdraw"))
    scene.refused(phone.call("POST", f"{path}/pause"))


@refuses("consent-ended")
def test_what_was_withdrawn_is_not_confirmed_again(scene: Scene) -> None:
    terms = {"purpose": "POST_LOAN", "valid_to": today(days=700)}
    for withdraws in (True, False):
        _, phone, path = somebody(scene, **terms)
        if withdraws:
            phone.call("POST", f"{path}/withdraw")
        (scene.refused if withdraws else scene.permitted)(phone.call("POST", f"{path}/reconfirm"))


@refuses("consent-ended")
def test_what_was_withdrawn_has_no_smaller_consent_in_its_place(scene: Scene) -> None:
    _, phone, path = somebody(scene)
    smaller = phone.call("POST", f"{path}/narrow", json={"max_uses": 2})
    scene.permitted(smaller)
    scene.permitted(phone.call("POST", f"{path}/withdraw"))
    scene.refused(
        phone.call("POST", f"/subject/v1/consents/{smaller.json()['consent_id']}/narrow", json={"max_uses": 1})
    )


@refuses("consent-ended")
def test_what_was_withdrawn_is_not_replaced_but_given_anew(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    ended(scene, made["consent_id"])
    scene.refused(scene.records(who, previous=made["consent_id"]))
    scene.permitted(scene.records(who))


@refuses("TransitionRefused")
def test_no_step_of_the_ledger_leads_out_of_an_end(scene: Scene) -> None:
    ends = [state for state, onward in STEPS.items() if not onward]
    assert set(ends) == {State.WITHDRAWN, State.EXPIRED, State.SUPERSEDED}

    def moves(consent_id: str, to: State) -> Callable[[], object]:
        def act() -> None:
            with scene.home.database.transaction() as tx:
                ledger.transition(tx, consent_id, to, channel=Channel.APP, now=clock.now())

        return act

    for end in ends:
        consent_id = consented(scene.home, scene.person()).consent_id
        scene.permitted(scene.tries(moves(consent_id, State.PAUSED)))
        scene.permitted(scene.tries(moves(consent_id, end)))
        for to in State:
            scene.refused(scene.tries(moves(consent_id, to)))


@refuses("consent-ended", "expired")
def test_whoever_goes_on_after_the_job_wrote_expired_goes_nowhere(scene: Scene) -> None:
    who, phone, path = somebody(scene, valid_to=today(days=9))
    scene.permitted(phone.call("POST", f"{path}/pause"))
    scene.permitted(phone.call("POST", f"{path}/resume"))
    scene.permitted(scene.asks(who))
    scene.permitted(phone.call("POST", f"{path}/pause"))
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent SET valid_until = now() WHERE consent_id = %s", (path.rpartition("/")[2],))
        consents.expire_due(tx, now=clock.now() + timedelta(seconds=1))
    scene.refused(phone.call("POST", f"{path}/resume"))
    scene.refused(scene.asks(who))


@refuses("consent-ended")
def test_a_paused_consent_whose_time_is_over_does_not_go_on_though_the_job_is_late(scene: Scene) -> None:
    for over in (True, False):
        _, phone, path = somebody(scene)
        scene.permitted(phone.call("POST", f"{path}/pause"))
        if over:
            with scene.home.database.transaction() as tx:
                tx.execute("UPDATE consent SET valid_until = now() WHERE consent_id = %s", (path.rpartition("/")[2],))
        (scene.refused if over else scene.permitted)(phone.call("POST", f"{path}/resume"))


@refuses("consent-ended")
def test_what_has_expired_is_not_withdrawn_as_if_it_stood(scene: Scene) -> None:
    for over in (True, False):
        _, phone, path = somebody(scene)
        if over:
            with scene.home.database.transaction() as tx:
                tx.execute("UPDATE consent SET valid_until = now() WHERE consent_id = %s", (path.rpartition("/")[2],))
                consents.expire_due(tx, now=clock.now() + timedelta(seconds=1))
        (scene.refused if over else scene.permitted)(phone.call("POST", f"{path}/withdraw"))


# ---- what is not in force -------------------------------------------------------------------------------------------


@refuses("paused")
def test_a_consent_that_is_paused_opens_nothing(scene: Scene) -> None:
    who, phone, path = somebody(scene)
    scene.permitted(phone.call("POST", f"{path}/pause"))
    scene.refused(scene.asks(who))
    scene.permitted(phone.call("POST", f"{path}/resume"))
    scene.permitted(scene.asks(who))


@refuses("not-found", "method-not-allowed")
def test_no_lender_goes_on_with_what_a_person_has_paused(scene: Scene) -> None:
    _, phone, path = somebody(scene)
    scene.permitted(said(scene.bank, path, "pause"))
    scene.refused(said(scene.bank, path, "resume"))
    scene.permitted(phone.call("POST", f"{path}/resume"))


@refuses("not-yet-given")
def test_a_request_that_nobody_has_agreed_to_opens_nothing(scene: Scene) -> None:
    for state, expected in ((State.REQUESTED, scene.refused), (State.ACTIVE, scene.permitted)):
        who = scene.person()
        consents.grant(scene.home, who, new(state=state), actor="test")
        expected(scene.gate(who))


@refuses("TransitionRefused")
def test_a_request_does_not_become_a_consent_without_its_evidence(scene: Scene) -> None:
    who = scene.person()
    made = consents.grant(scene.home, who, new(state=State.REQUESTED), actor="test")

    def agrees() -> None:
        with scene.home.database.transaction() as tx:
            ledger.transition(tx, made.consent_id, State.ACTIVE, channel=Channel.APP, now=clock.now())

    scene.refused(scene.tries(agrees))
    scene.permitted(scene.tries(lambda: consents.grant(scene.home, who, new(), actor="test")))
    scene.permitted(scene.gate(who))


def new(**changes: Any) -> NewConsent:
    stated: dict[str, Any] = {
        "subject_id": NOBODY,
        "subject_type": SubjectType.PERSON,
        "recipient": BANK,
        "purpose": "LOAN_APPROVAL",
        "items": ("RATING",),
        "valid_from": clock.now(),
        "capture": capture(),
    }
    return NewConsent(**(stated | changes))


@refuses("items-not-covered", "superseded")
def test_what_a_smaller_consent_left_out_is_not_read_from_the_one_before(scene: Scene) -> None:
    who, phone, path = somebody(scene, items=["RATING"])
    scene.permitted(scene.asks(who, items=["RATING.score"]))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"items": GRADE}))
    scene.refused(scene.asks(who, items=["RATING.score"]))
    scene.permitted(scene.asks(who, items=GRADE))


# ---- nothing makes it wider -----------------------------------------------------------------------------------------


@refuses("NOT_NARROWER")
def test_a_smaller_consent_has_no_use_more(scene: Scene) -> None:
    _, phone, path = somebody(scene, max_uses=3)
    scene.refused(phone.call("POST", f"{path}/narrow", json={"max_uses": 4}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"max_uses": 2}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_has_no_use_a_month_more(scene: Scene) -> None:
    _, phone, path = somebody(scene, uses_per_month=2)
    scene.refused(phone.call("POST", f"{path}/narrow", json={"uses_per_month": 3}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"uses_per_month": 1}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_has_no_item_more(scene: Scene) -> None:
    _, phone, path = somebody(scene, items=["RATING"])
    scene.refused(phone.call("POST", f"{path}/narrow", json={"items": [*GRADE, "SUBSIDY.project"]}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"items": GRADE}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_lasts_no_day_longer(scene: Scene) -> None:
    _, phone, path = somebody(scene, valid_to=today(days=30))
    scene.refused(phone.call("POST", f"{path}/narrow", json={"valid_to": today(days=31)}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"valid_to": today(days=29)}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_reaches_no_month_further_back(scene: Scene) -> None:
    _, phone, path = somebody(scene, history_months=12)
    scene.refused(phone.call("POST", f"{path}/narrow", json={"history_months": 13}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"history_months": 11}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_says_no_more_of_an_answer(scene: Scene) -> None:
    _, phone, path = somebody(scene, mode="summary")
    scene.refused(phone.call("POST", f"{path}/narrow", json={"mode": "report"}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"mode": "verify"}))


@refuses("NOT_NARROWER")
def test_a_smaller_consent_on_one_edge_is_no_wider_on_another(scene: Scene) -> None:
    _, phone, path = somebody(scene, max_uses=3, history_months=12)
    scene.refused(phone.call("POST", f"{path}/narrow", json={"max_uses": 1, "history_months": 24}))
    scene.permitted(phone.call("POST", f"{path}/narrow", json={"max_uses": 1, "history_months": 12}))


@refuses("NOT_NARROWER")
def test_answers_live_no_day_longer_after_a_narrowing_at_either_door(scene: Scene) -> None:
    def at_the_phone(phone: Phone, path: str, days: int) -> Any:
        return phone.call("POST", f"{path}/narrow", json={"data_life_days": days})

    def at_the_counter(_: Phone, path: str, days: int) -> Any:
        return said(scene.bank, path, "narrow", data_life_days=days)

    for narrows in (at_the_phone, at_the_counter):
        _, phone, path = somebody(scene, data_life_days=30)
        scene.refused(narrows(phone, path, 31))
        answer = narrows(phone, path, 10)
        scene.permitted(answer)
        with scene.home.database.transaction() as tx:
            (smaller,) = ledger.get(tx, [answer.json()["consent_id"]]).values()
        assert smaller.terms.data_life_days == 10


@refuses("NOT_NARROWER")
def test_a_lender_makes_no_consent_wider_at_its_counter(scene: Scene) -> None:
    _, _, path = somebody(scene, max_uses=3)
    scene.refused(said(scene.bank, path, "narrow", max_uses=4))
    scene.permitted(said(scene.bank, path, "narrow", max_uses=2))


@refuses("EVIDENCE_REUSED")
def test_a_wider_consent_does_not_rest_on_the_paper_of_the_one_it_replaces(scene: Scene) -> None:
    who, paper = scene.person(), evidence()
    made = scene.recorded(who, max_uses=3, evidence=paper)
    wider = {"previous": made["consent_id"], "max_uses": 6}
    scene.refused(scene.records(who, evidence=paper, **wider))
    scene.permitted(scene.records(who, evidence=evidence(), **wider))


@refuses("consent-unknown")
def test_a_wider_consent_does_not_take_the_place_of_somebody_elses(scene: Scene) -> None:
    one, other = scene.person(), scene.person()
    made = scene.recorded(one)
    scene.refused(scene.records(other, previous=made["consent_id"], max_uses=6))
    scene.permitted(scene.records(one, previous=made["consent_id"], max_uses=6))


@refuses("consent-unknown")
def test_a_consent_does_not_take_the_place_of_one_for_another_lender(scene: Scene) -> None:
    who = scene.person()
    theirs = scene.recorded(who, scene.other)
    scene.refused(scene.records(who, previous=theirs["consent_id"]))
    scene.permitted(scene.records(who, scene.other, previous=theirs["consent_id"]))


@refuses("consent-unknown")
def test_a_consent_takes_the_place_of_none_that_never_was(scene: Scene) -> None:
    """One id in 500 holds digits that could be an organisation's code: it is looked up like any other."""
    who = scene.person()
    made = scene.recorded(who)
    scene.refused(scene.records(who, previous=str(uuid4())))
    scene.refused(scene.records(who, previous=next(one for one in iter(lambda: str(uuid4()), "") if like_a_code(one))))
    scene.permitted(scene.records(who, previous=made["consent_id"]))


def like_a_code(text: str) -> bool:
    """Whether a text holds what would be refused in a field for codes, if it were no UUID."""
    try:
        refuse_personal(f"LA-{text}")
    except RequestRefused:
        return True
    return False


@refuses("consent-unknown")
def test_a_consent_does_not_take_the_place_of_one_for_another_purpose(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who)
    scene.refused(scene.records(who, purpose="GUARANTEE", previous=made["consent_id"]))
    scene.permitted(scene.records(who, purpose="GUARANTEE"))


# ---- confirming, and asking again -----------------------------------------------------------------------------------


def due(scene: Scene, path: str, when: timedelta) -> None:
    """Let a confirmation be due so long from now."""
    with scene.home.database.transaction() as tx:
        tx.execute(
            "UPDATE consent SET reconfirm_by = %s WHERE consent_id = %s",
            (clock.now() + when, path.rpartition("/")[2]),
        )


@refuses("reconfirmation-due")
def test_a_consent_that_nobody_confirmed_again_opens_nothing(scene: Scene) -> None:
    who, phone, path = somebody(scene, purpose="POST_LOAN", valid_to=today(days=700))
    scene.permitted(scene.asks(who, purpose="POST_LOAN"))
    due(scene, path, timedelta(0))
    scene.refused(scene.asks(who, purpose="POST_LOAN"))
    scene.permitted(phone.call("POST", f"{path}/reconfirm"))
    scene.permitted(scene.asks(who, purpose="POST_LOAN"))


@refuses("consent-ended")
def test_what_needs_no_confirmation_is_not_prolonged_by_one(scene: Scene) -> None:
    _, phone, path = somebody(scene)
    _, other, longer = somebody(scene, purpose="POST_LOAN", valid_to=today(days=700))
    scene.refused(phone.call("POST", f"{path}/reconfirm"))
    scene.permitted(other.call("POST", f"{longer}/reconfirm"))


@refuses("request-invalid")
def test_a_lender_confirms_nothing_without_a_signature(scene: Scene) -> None:
    _, _, path = somebody(scene, purpose="POST_LOAN", valid_to=today(days=700))
    due(scene, path, timedelta(days=3))
    taken = {"collector": collector(scene.home), "captured_at": rfc3339(clock.now())}
    scene.refused(said(scene.bank, path, "reconfirm", evidence=evidence(kind="counter_pos"), **taken))
    scene.permitted(said(scene.bank, path, "reconfirm", evidence=evidence(), **taken))


@refuses("REFUSED_LATELY")
def test_after_a_no_the_same_lender_records_no_consent_for_a_while(scene: Scene) -> None:
    who = scene.person()
    no = {"subject": {"type": "resident_id", "identifier": who.text}, "purpose": "LOAN_APPROVAL", "channel": "counter"}
    scene.permitted(scene.bank.call("POST", "/v1/consents/refusals", no))
    scene.refused(scene.records(who))
    scene.permitted(scene.records(who, scene.other))
    scene.permitted(scene.records(who, purpose="GUARANTEE"))


@refuses("REFUSED_LATELY")
def test_a_no_counts_to_the_last_day_of_its_time(scene: Scene) -> None:
    for days, expected in ((29, scene.refused), (31, scene.permitted)):
        who = scene.person()
        with scene.at(clock.now() - timedelta(days=days)):
            consents.refuse(scene.home, who, BANK, "LOAN_APPROVAL", channel=Channel.COUNTER, actor="test")
        expected(scene.records(who))


@refuses("REFUSED_LATELY")
def test_a_no_is_not_wiped_out_by_an_older_yes(scene: Scene) -> None:
    who = scene.person()
    scene.permitted(scene.records(who))
    consents.refuse(scene.home, who, BANK, "LOAN_APPROVAL", channel=Channel.COUNTER, actor="test")
    scene.refused(scene.records(who))
    assert code(scene.asks(who)) == "permitted"  # what was agreed to before stands until it is withdrawn
