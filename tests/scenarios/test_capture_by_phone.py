"""On a person's own phone: requests that are over, answered, somebody else's, or that come again after a "no"."""

from typing import Any
from uuid import uuid4

import httpx

from registry.identifiers import ResidentId
from tests.asking import WANTED
from tests.phones import Phone, bound, trial_over
from tests.scenarios.stage import Lender, Scene, refuses


def somebody(scene: Scene) -> tuple[ResidentId, Phone]:
    """A person with a phone."""
    who = scene.person()
    return who, bound(scene.home, scene.door, who)


def asked(scene: Scene, who: ResidentId, lender: Lender | None = None, **changes: Any) -> str:
    """Ask on a person's phone; give the request's id."""
    body = {"subject": {"identifier": who.text}, "terms": WANTED | changes, "message": "柜台 3 号"}
    answer = (lender or scene.bank).call("POST", "/v1/consent-requests", body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["request_id"])


def answers(phone: Phone, request_id: str, verb: str = "agree", **changes: Any) -> httpx.Response:
    """Answer a request on a phone."""
    body = {"language": "zh", "text_version": "2026-03"} if verb == "agree" else {}
    return phone.call("POST", f"/subject/v1/requests/{request_id}/{verb}", json=body | changes)


@refuses("request-unknown")
def test_a_request_that_was_refused_is_not_agreed_to(scene: Scene) -> None:
    who, phone = somebody(scene)
    no, yes = asked(scene, who), asked(scene, who, purpose="GUARANTEE")
    scene.permitted(answers(phone, no, "refuse"))
    scene.refused(answers(phone, no))
    scene.permitted(answers(phone, yes))


@refuses("request-unknown")
def test_a_request_whose_time_is_over_is_not_agreed_to(scene: Scene) -> None:
    who, phone = somebody(scene)
    late, timely = asked(scene, who), asked(scene, who, purpose="GUARANTEE")
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent_request SET expires_at = now() WHERE request_id = %s", (late,))
    scene.refused(answers(phone, late))
    scene.permitted(answers(phone, timely))


@refuses("request-unknown")
def test_a_request_is_not_agreed_to_twice(scene: Scene) -> None:
    who, phone = somebody(scene)
    request_id = asked(scene, who)
    scene.permitted(answers(phone, request_id))
    scene.refused(answers(phone, request_id))


@refuses("request-unknown")
def test_one_persons_request_is_not_answered_on_anothers_phone(scene: Scene) -> None:
    (who, phone), (_, stranger) = somebody(scene), somebody(scene)
    request_id = asked(scene, who)
    scene.refused(answers(stranger, request_id))
    scene.refused(answers(stranger, request_id, "refuse"))
    scene.permitted(answers(phone, request_id))


@refuses("text-changed")
def test_nobody_agrees_on_a_phone_to_a_text_that_was_not_shown(scene: Scene) -> None:
    who, phone = somebody(scene)
    request_id = asked(scene, who)
    scene.refused(answers(phone, request_id, text_version="2026-01"))
    scene.permitted(answers(phone, request_id))


@refuses("nothing-agreed")
def test_a_yes_on_a_phone_without_the_acts_that_it_needs_agrees_to_nothing(scene: Scene) -> None:
    who, phone = somebody(scene)
    request_id = asked(scene, who, items=["HOUSE_FUND.fund_status"])
    scene.refused(answers(phone, request_id))
    scene.permitted(answers(phone, request_id, sensitive_agreed=True))


@refuses("not-shown")
def test_after_a_no_the_same_lender_does_not_ring_again(scene: Scene) -> None:
    who, phone = somebody(scene)
    first = asked(scene, who)
    scene.permitted("permitted" if shown(phone, first) else "not-shown")
    answers(phone, first, "refuse")
    scene.refused("permitted" if shown(phone, asked(scene, who)) else "not-shown")
    scene.permitted("permitted" if shown(phone, asked(scene, who, scene.other)) else "not-shown")


@refuses("not-shown")
def test_while_a_request_waits_the_same_is_not_asked_a_second_time(scene: Scene) -> None:
    who, phone = somebody(scene)
    first, second = asked(scene, who), asked(scene, who)
    scene.permitted("permitted" if shown(phone, first) else "not-shown")
    scene.refused("permitted" if shown(phone, second) else "not-shown")


def shown(phone: Phone, request_id: str) -> bool:
    """Whether a phone shows a request."""
    return any(one["request_id"] == request_id for one in phone.get("/subject/v1/requests")["requests"])


@refuses("not-found", "request-unknown", "consent-request-unknown")
def test_another_lender_does_not_see_how_a_request_stands(scene: Scene) -> None:
    who, _ = somebody(scene)
    request_id = asked(scene, who)
    scene.refused(scene.other.call("GET", f"/v1/consent-requests/{request_id}"))
    scene.refused(scene.bank.call("GET", f"/v1/consent-requests/{uuid4()}"))
    scene.permitted(scene.bank.call("GET", f"/v1/consent-requests/{request_id}"))


@refuses("pending")
def test_a_lender_is_not_told_whether_somebody_has_a_phone(scene: Scene) -> None:
    """Nobody who has not agreed is told apart: pending, whoever it is; only agreeing says something."""
    (who, phone), stranger = somebody(scene), scene.person()
    here, there = asked(scene, who), asked(scene, stranger)
    for request_id in (here, there):
        scene.refused(scene.bank.call("GET", f"/v1/consent-requests/{request_id}").json()["state"])
    answers(phone, here)
    state = scene.bank.call("GET", f"/v1/consent-requests/{here}").json()["state"]
    scene.permitted("permitted" if state == "agreed" else state)


@refuses("REFUSED_LATELY")
def test_a_no_that_a_person_let_the_lender_know_of_counts_at_its_counter_and_one_in_silence_shows_nowhere(
    scene: Scene,
) -> None:
    """The lender cannot tell whoever refused in silence from whoever never answered: what is signed is taken."""
    for tells, expected in ((True, scene.refused), (False, scene.permitted)):
        who, phone = somebody(scene)
        scene.permitted(answers(phone, asked(scene, who), "refuse", tell_lender=tells))
        expected(scene.records(who))


@refuses("phone-on-trial")
def test_a_phone_that_staff_have_just_bound_agrees_to_nothing_of_their_own_bank(scene: Scene) -> None:
    who = scene.person()
    phone = bound(scene.home, scene.door, who, on_trial=True)
    scene.refused(answers(phone, asked(scene, who)))
    scene.permitted(answers(phone, asked(scene, who, scene.other)))
    trial_over(scene.home, phone)
    scene.permitted(answers(phone, asked(scene, who, purpose="GUARANTEE")))


@refuses("DATA_LIFE_TOO_LONG")
def test_no_request_asks_to_keep_an_answer_longer_than_its_purpose_does(scene: Scene) -> None:
    who, phone = somebody(scene)
    body = {"subject": {"identifier": who.text}, "message": "柜台 3 号"}
    scene.refused(scene.bank.call("POST", "/v1/consent-requests", body | {"terms": WANTED | {"data_life_days": 181}}))
    request_id = asked(scene, who, data_life_days=30)
    (shown_there,) = phone.get("/subject/v1/requests")["requests"]
    assert shown_there["data_life_days"] == 30
    scene.permitted(answers(phone, request_id))
    (made,) = scene.consents(who)
    assert made.terms.data_life_days == 30
