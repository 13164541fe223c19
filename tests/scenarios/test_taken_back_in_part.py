"""What a person took back in part, by a pause or a narrowing, comes back by the person's own later word alone."""

from datetime import timedelta
from typing import Any

from registry import clock
from registry.clock import rfc3339
from tests.capturing import collector, device
from tests.phones import Phone, bound
from tests.scenarios.stage import GRADE, PROJECT, Scene, given, on_device, refuses

AN_HOUR = timedelta(hours=1)
WIDE = ["RATING", "SUBSIDY.project"]


def an_hour_ago() -> str:
    return rfc3339(clock.now() - AN_HOUR)


def does(phone: Phone, made: dict[str, Any], act: str, **said: Any) -> dict[str, Any]:
    """Let a person change a consent by phone."""
    answer = phone.call("POST", f"/subject/v1/consents/{made['consent_id']}/{act}", **said)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@refuses("BEFORE_REDUCTION")
def test_an_older_signature_does_not_undo_a_pause(scene: Scene) -> None:
    who = scene.person()
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who)
    older = given(who, captured_at=an_hour_ago())
    does(phone, made, "pause")
    scene.refused(scene.bank.call("POST", "/v1/consents", older))
    scene.refused(scene.bank.call("POST", "/v1/consents", older | {"previous": made["consent_id"]}))
    scene.permitted(scene.records(who, previous=made["consent_id"]))  # agreed to after it: a new act
    scene.permitted(scene.asks(who))


@refuses("BEFORE_REDUCTION")
def test_a_pause_that_a_consent_took_the_place_of_stands_against_older_ones_still(scene: Scene) -> None:
    who = scene.person()
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who)
    does(phone, made, "pause")
    scene.permitted(scene.records(who, previous=made["consent_id"]))
    scene.refused(scene.records(who, captured_at=an_hour_ago()))


@refuses("BEFORE_REDUCTION")
def test_a_pause_stands_until_the_person_resumes(scene: Scene) -> None:
    who = scene.person()
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who)
    older = given(who, captured_at=an_hour_ago())
    does(phone, made, "pause")
    scene.refused(scene.bank.call("POST", "/v1/consents", older))
    does(phone, made, "resume")
    scene.permitted(scene.bank.call("POST", "/v1/consents", older))


@refuses("BEFORE_REDUCTION")
def test_an_older_and_wider_signature_does_not_undo_a_narrowing(scene: Scene) -> None:
    who = scene.person()
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who, items=WIDE)
    older = given(who, items=WIDE, captured_at=an_hour_ago())
    smaller = does(phone, made, "narrow", json={"items": GRADE})
    scene.refused(scene.bank.call("POST", "/v1/consents", older))
    scene.refused(scene.bank.call("POST", "/v1/consents", older | {"previous": smaller["consent_id"]}))
    assert scene.asks(who, items=PROJECT).status_code == 403
    scene.permitted(scene.records(who, items=WIDE, previous=smaller["consent_id"]))
    scene.permitted(scene.asks(who, items=PROJECT))


@refuses("BEFORE_REDUCTION")
def test_fewer_uses_are_not_made_more_by_an_older_signature_of_the_same_width(scene: Scene) -> None:
    who = scene.person()
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who, max_uses=3)
    does(phone, made, "narrow", json={"max_uses": 1})
    scene.refused(scene.records(who, max_uses=1, captured_at=an_hour_ago()))
    scene.permitted(scene.records(who, max_uses=1))


@refuses("BEFORE_REDUCTION")
def test_a_chain_of_a_device_undoes_no_pause(scene: Scene) -> None:
    who, other = scene.person(), scene.person()
    collector(scene.home, "c-pause", scene.person())
    phone, made = bound(scene.home, scene.door, who), scene.recorded(who)
    taker = device(scene.home)
    taker.take(on_device("c-pause", who), at=clock.now())
    does(phone, made, "pause")
    taker.take(on_device("c-pause", other), at=clock.now())
    body = {"device": taker.name, "records": taker.records}
    answer = scene.bank.call("POST", "/v1/consents/offline", body)
    assert answer.status_code == 200, answer.text
    older, theirs = answer.json()["records"]
    scene.refused(older["reason"]["code"])
    scene.permitted("permitted" if theirs["consent_id"] else "refused")
