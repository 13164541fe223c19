"""Who asks at a lender: a person on its list, by name, today; nobody else, and nobody unnamed (R-65)."""

from typing import Any

from tests.people import held, sequenced
from tests.scenarios.stage import Scene, refuses, today

STAFF = {"user_id": "u-1", "department": "credit"}


def put(scene: Scene, user_id: str, **changes: Any) -> None:
    """Put a person on the bank's list."""
    stated = {"department": "credit", "last": today(30)} | changes
    answer = scene.bank.call("PUT", f"/v1/staff/{user_id}", stated)
    assert answer.status_code == 200, answer.text


@refuses("staff-not-listed")
def test_a_stranger_and_nobody_ask_in_no_lenders_name_that_keeps_a_list(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    put(scene, "u-1")
    strangers = [None, STAFF | {"user_id": "u-2"}, STAFF | {"user_id": "U-1"}, STAFF | {"department": "risk"}]
    for staff in strangers:
        scene.refused(scene.asks(who, staff=staff))
    scene.permitted(scene.asks(who, staff=STAFF))


@refuses("staff-not-listed")
def test_whoever_has_left_asks_nothing_more_and_opens_nothing_that_was_answered(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    held(scene.home, who)
    put(scene, "u-3")
    leaver = {"user_id": "u-3", "department": "credit"}
    answer = scene.asks(who, staff=leaver, key="staff-key-1")
    scene.permitted(answer)
    sequenced(scene.home)
    proof = f"/v1/queries/{answer.json()['answer']['query_id']}/evidence"
    named = f"{proof}?user_id=u-3&department=credit"
    scene.permitted(scene.bank.call("GET", named))
    assert scene.bank.call("DELETE", "/v1/staff/u-3").status_code == 204
    scene.refused(scene.asks(who, staff=leaver))
    scene.refused(scene.asks(who, staff=leaver, key="staff-key-1"))
    scene.refused(scene.bank.call("GET", named))
    scene.refused(scene.bank.call("GET", proof))


@refuses("staff-not-listed")
def test_nobody_asks_before_the_first_day_on_the_list(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    staff = {"user_id": "u-4", "department": "credit"}
    put(scene, "u-4", first=today(1))
    scene.refused(scene.asks(who, staff=staff))
    put(scene, "u-4", first=today())
    scene.permitted(scene.asks(who, staff=staff))
