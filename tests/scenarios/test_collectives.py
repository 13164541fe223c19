"""Villages that decide by meeting: quorum, votes, publicity and minutes; and nothing about a member."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from consent.record import midnight
from registry import clock
from registry.identifiers import CreditCode
from tests.scenarios.stage import Scene, collective, given, refuses, subject, today, years_before

ASSETS = ["SANZI_ASSET"]
ASSET = ["SANZI_ASSET.name"]


def resolved(minutes: str, **changes: Any) -> dict[str, Any]:
    """What a meeting of ninety members decided six weeks ago."""
    decided = {
        "meeting": "members",
        "number": "2026-07",
        "members": 90,
        "present": 60,
        "votes_for": 60,
        "votes_against": 0,
        "votes_abstained": 0,
        "held_on": today(days=-42),
        "publicity_from": today(days=-41),
        "publicity_to": today(days=-35),
        "term_until": today(days=60),
        "minutes_sha256": minutes,
    }
    return {"kind": "resolution", "relation": "board", "resolution": decided | changes}


def consent(who: CreditCode, minutes: str | None = None, **changes: Any) -> dict[str, Any]:
    """A collective's consent on its minutes; edges of the resolution may be changed."""
    paper = minutes or uuid4().hex * 2
    more = {name: changes.pop(name) for name in ("evidence", "representation", "items") if name in changes}
    stated: dict[str, Any] = {
        "items": ASSETS,
        "evidence": {"kind": "resolution", "sha256": paper},
        "representation": resolved(paper, **changes),
    }
    return given(who, **(stated | more))


def sent(scene: Scene, body: dict[str, Any]) -> Any:
    """Hand a consent in."""
    return scene.bank.call("POST", "/v1/consents", body)


@refuses("RESOLUTION_MISSING")
def test_a_board_agrees_to_nothing_on_its_own_word(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, representation=None)))
    scene.permitted(sent(scene, consent(who)))


@refuses("RESOLUTION_MISSING")
def test_a_chairman_with_a_power_of_attorney_does_not_stand_for_the_meeting(scene: Scene) -> None:
    who, chairman = collective(), scene.person(50)
    power = {
        "kind": "proxy",
        "relation": "board",
        "representative": subject(chairman),
        "document_sha256": "02" * 32,
        "until": today(days=20),
    }
    scene.refused(sent(scene, consent(who, representation=power)))
    scene.permitted(sent(scene, consent(who)))


@refuses("RESOLUTION_MISSING")
def test_a_signed_form_with_a_seal_is_no_resolution(scene: Scene) -> None:
    who, paper = collective(), uuid4().hex * 2
    scene.refused(sent(scene, consent(who, paper, evidence={"kind": "reliable_esign", "sha256": paper})))
    scene.permitted(sent(scene, consent(who, paper)))


@refuses("QUORUM_MISSED")
def test_a_meeting_that_too_few_came_to_decides_nothing(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, present=59, votes_for=59)))
    scene.permitted(sent(scene, consent(who, present=60, votes_for=60)))


@refuses("QUORUM_MISSED")
def test_fewer_than_twenty_one_representatives_are_no_meeting_of_representatives(scene: Scene) -> None:
    who = collective()
    few: dict[str, Any] = {"meeting": "representatives", "members": 20, "present": 20, "votes_for": 20}
    scene.refused(sent(scene, consent(who, **few)))
    scene.permitted(sent(scene, consent(who, **(few | {"members": 21, "present": 21, "votes_for": 21}))))


@refuses("VOTES_MISSED")
def test_two_thirds_of_those_present_are_not_two_thirds_of_all(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, present=75, votes_for=59, votes_against=16)))
    scene.permitted(sent(scene, consent(who, present=75, votes_for=60, votes_against=15)))


@refuses("RESOLUTION_INVALID")
def test_votes_that_do_not_add_up_decide_nothing(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, present=70, votes_for=60, votes_against=5, votes_abstained=4)))
    scene.permitted(sent(scene, consent(who, present=70, votes_for=60, votes_against=5, votes_abstained=5)))


@refuses("RESOLUTION_INVALID")
def test_more_voters_than_members_decide_nothing(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, present=91, votes_for=91)))
    scene.permitted(sent(scene, consent(who, present=90, votes_for=90)))


@refuses("PUBLICITY_TOO_SHORT")
def test_a_resolution_that_hung_out_for_six_days_was_not_made_public(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, publicity_to=today(days=-36))))
    scene.permitted(sent(scene, consent(who, publicity_to=today(days=-35))))


@refuses("PUBLICITY_NOT_OVER")
def test_no_consent_begins_while_its_resolution_still_hangs_out(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, publicity_to=today())))
    scene.permitted(sent(scene, consent(who, publicity_to=today(days=-1))))


@refuses("RESOLUTION_INVALID")
def test_what_was_made_public_before_it_was_decided_was_not_decided(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, publicity_from=today(days=-43))))
    scene.permitted(sent(scene, consent(who, publicity_from=today(days=-42))))


@refuses("RESOLUTION_INVALID")
def test_representatives_do_not_decide_for_longer_than_they_are_elected(scene: Scene) -> None:
    who, held_on = collective(), clock.beijing_day(clock.now()) - timedelta(days=42)
    five_years = years_before(held_on, -5)
    for term, expected in ((five_years + timedelta(days=1), scene.refused), (five_years, scene.permitted)):
        expected(sent(scene, consent(who, meeting="representatives", term_until=term.isoformat())))


@refuses("REPRESENTATION_OVER")
def test_a_resolution_whose_term_is_over_carries_nothing(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, term_until=today(days=-1))))
    scene.permitted(sent(scene, consent(who, term_until=today())))


@refuses("expired")
def test_what_a_meeting_agreed_to_ends_with_its_term(scene: Scene) -> None:
    who = collective()
    scene.permitted(sent(scene, consent(who, term_until=today(days=3))))
    over = midnight(clock.beijing_day(clock.now()) + timedelta(days=4))
    with scene.at(over - timedelta(seconds=1)):
        scene.permitted(scene.gate(who, items=frozenset(ASSET)))
    with scene.at(over):
        scene.refused(scene.gate(who, items=frozenset(ASSET)))


@refuses("RESOLUTION_INVALID")
def test_the_minutes_of_another_resolution_prove_nothing(scene: Scene) -> None:
    who, paper = collective(), uuid4().hex * 2
    scene.refused(sent(scene, consent(who, paper, evidence={"kind": "resolution", "sha256": uuid4().hex * 2})))
    scene.permitted(sent(scene, consent(who, paper)))


@refuses("EVIDENCE_REUSED")
def test_the_minutes_of_one_village_do_not_serve_another(scene: Scene) -> None:
    paper = uuid4().hex * 2
    scene.permitted(sent(scene, consent(collective(), paper)))
    scene.refused(sent(scene, consent(collective(), paper)))


@refuses("EVIDENCE_REUSED")
def test_minutes_are_not_used_again_after_the_village_withdrew(scene: Scene) -> None:
    who, paper = collective(), uuid4().hex * 2
    made = sent(scene, consent(who, paper)).json()["consent_id"]
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{made}/withdraw", {"channel": "village"}))
    scene.refused(sent(scene, consent(who, paper)))
    scene.permitted(sent(scene, consent(who)))


@refuses("COLLECTIVE_FOR_MEMBER")
def test_a_collective_does_not_agree_for_its_members(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, items=["SANZI_ASSET", "RATING"])))
    scene.permitted(sent(scene, consent(who, items=["SANZI_ASSET", "SANZI_FUND"])))


@refuses("COLLECTIVE_FOR_MEMBER")
def test_a_meeting_does_not_agree_for_a_person(scene: Scene) -> None:
    member, paper = scene.person(), uuid4().hex * 2
    by_meeting: dict[str, Any] = {
        "evidence": {"kind": "resolution", "sha256": paper},
        "representation": resolved(paper),
    }
    scene.refused(scene.records(member, **by_meeting))
    scene.permitted(scene.records(member))


@refuses("COLLECTIVE_FOR_MEMBER")
def test_the_minutes_of_a_meeting_prove_no_persons_consent(scene: Scene) -> None:
    member, w_items = scene.person(), {"items": ["SUBSIDY"], "adverse_consequences_acknowledged": True}
    minutes = {"kind": "resolution", "sha256": uuid4().hex * 2}
    scene.refused(scene.records(member, None, evidence=minutes, **w_items))
    scene.permitted(scene.records(member, None, **w_items))


@refuses("no-consent")
def test_a_collectives_consent_opens_nothing_of_a_member(scene: Scene) -> None:
    who, member = collective(), scene.person()
    scene.permitted(sent(scene, consent(who)))
    scene.refused(scene.asks(member))
    scene.permitted(scene.asks(who, items=ASSET))


@refuses("no-consent")
def test_one_villages_consent_opens_nothing_of_the_next(scene: Scene) -> None:
    who, neighbour = collective(), collective()
    scene.permitted(sent(scene, consent(who)))
    scene.refused(scene.asks(neighbour, items=ASSET))
    scene.permitted(scene.asks(who, items=ASSET))


@refuses("request-invalid")
def test_a_resolution_on_a_day_that_does_not_exist_was_not_taken(scene: Scene) -> None:
    who = collective()
    scene.refused(sent(scene, consent(who, held_on="2026-02-30")))
    scene.permitted(sent(scene, consent(who)))
