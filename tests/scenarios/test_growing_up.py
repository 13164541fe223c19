"""Whose age counts, and when another's right to agree is over: by the number that is current, and by the day."""

from datetime import timedelta
from typing import Any

from consent.evidence import Channel
from exchange import consents, outgrowing, subjects
from registry import clock
from registry.identifiers import ResidentId
from tests.people import held
from tests.phones import bound
from tests.scenarios.stage import Scene, born, refuses, subject, today, years_before

DOCUMENT = b"\x07" * 32


def parent(who: ResidentId, **changes: Any) -> dict[str, Any]:
    """A parent who acts for a child."""
    stated = {"kind": "guardian", "relation": "parent", "representative": subject(who), "document_sha256": "01" * 32}
    return stated | changes


def nearly(years: int, *, days: int = 1) -> ResidentId:
    """Somebody who has that birthday in so many days."""
    return born(years_before(clock.beijing_day(clock.now()), years) + timedelta(days=days))


def older_rule(scene: Scene, consent_id: str) -> None:
    """Let a consent have been recorded before it ended on the birthday."""
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent SET valid_until = now() + interval '300 days' WHERE consent_id = %s", (consent_id,))


def job_runs(scene: Scene, *, days: int) -> None:
    """Run the job so many days from now, twice."""
    with scene.at(clock.now() + timedelta(days=days)):
        outgrowing.end_all(scene.home)
        outgrowing.end_all(scene.home)


@refuses("withdrawn")
def test_what_a_parent_agreed_to_ends_with_childhood_also_where_its_date_says_otherwise(scene: Scene) -> None:
    ward, by = nearly(18, days=2), scene.person(45)
    made = scene.recorded(ward, representation=parent(by), sensitive_agreed=True)
    older_rule(scene, made["consent_id"])
    job_runs(scene, days=1)
    scene.permitted(scene.gate(ward))
    job_runs(scene, days=2)
    scene.refused(scene.gate(ward))
    with scene.home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT actor, fields->>'was' FROM log_entry WHERE consent_id = %s AND event = 'consent:grant:expired'",
            (made["consent_id"],),
        ).fetchall()
    assert rows == [("system", "active")]


@refuses("withdrawn")
def test_a_power_of_attorney_that_is_over_carries_nothing_on(scene: Scene) -> None:
    who, by = scene.person(60), scene.person(35)
    acted = {"kind": "proxy", "relation": "child", "representative": subject(by), "document_sha256": "02" * 32}
    made = scene.recorded(who, representation=acted | {"until": today(days=3)})
    older_rule(scene, made["consent_id"])
    job_runs(scene, days=3)
    scene.permitted(scene.gate(who))
    job_runs(scene, days=4)
    scene.refused(scene.gate(who))


@refuses("withdrawn")
def test_an_appointed_guardian_of_an_adult_goes_on_and_one_of_a_child_does_not(scene: Scene) -> None:
    child, adult, by = nearly(18), scene.person(40), scene.person(45)
    appointed = parent(by, relation="appointed")
    for who in (child, adult):
        older_rule(scene, scene.recorded(who, representation=appointed, sensitive_agreed=True)["consent_id"])
    job_runs(scene, days=1)
    scene.refused(scene.gate(child))
    scene.permitted(scene.gate(adult))


@refuses("withdrawn")
def test_the_job_changes_nothing_of_what_has_ended_already(scene: Scene) -> None:
    ward, other, by = nearly(18), nearly(18, days=200), scene.person(45)
    gone, stands = (
        scene.recorded(who, representation=parent(by), sensitive_agreed=True)["consent_id"] for who in (ward, other)
    )
    older_rule(scene, gone)
    consents.withdraw(scene.home, gone, Channel.VILLAGE, actor="test")
    job_runs(scene, days=1)
    scene.refused(scene.gate(ward))
    assert [one.state for one in scene.consents(other)] == ["active"]
    assert stands == scene.consents(other)[0].consent_id
    scene.permitted(scene.gate(other))


# ---- by the number that is current ----------------------------------------------------------------------------------


def renumbered(scene: Scene, old: ResidentId, new: ResidentId) -> None:
    """Let an office correct somebody's number."""
    held(scene.home, old)
    subjects.renumber(scene.home, old, new, document_sha256=DOCUMENT, actor="operator")


@refuses("GUARDIAN_NEEDED")
def test_a_child_is_of_age_by_no_number_that_was_corrected(scene: Scene) -> None:
    old, new, by = scene.person(19), scene.person(16), scene.person(45)
    renumbered(scene, old, new)
    for shown in (old, new):
        scene.refused(scene.records(shown))
    scene.permitted(scene.records(old, representation=parent(by), sensitive_agreed=True))


@refuses("GUARDIAN_NOT_NEEDED")
def test_a_parent_is_guardian_of_no_adult_whose_old_number_was_a_childs(scene: Scene) -> None:
    old, new, by = scene.person(16), scene.person(19), scene.person(45)
    renumbered(scene, old, new)
    scene.refused(scene.records(old, representation=parent(by), sensitive_agreed=True))
    scene.permitted(scene.records(old))


@refuses("REPRESENTATIVE_UNFIT")
def test_nobody_who_is_a_child_by_the_number_that_counts_acts_for_another(scene: Scene) -> None:
    ward, old, new, by = scene.person(10), scene.person(30), scene.person(17), scene.person(45)
    renumbered(scene, old, new)
    scene.refused(scene.records(ward, representation=parent(old), sensitive_agreed=True))
    scene.permitted(scene.records(ward, representation=parent(by), sensitive_agreed=True))


@refuses("REPRESENTATIVE_UNFIT")
def test_nobody_acts_for_himself_under_another_number(scene: Scene) -> None:
    old, new, by = scene.person(60), scene.person(60), scene.person(35)
    renumbered(scene, old, new)
    acted = {"kind": "proxy", "relation": "child", "document_sha256": "02" * 32, "until": today(days=3)}
    scene.refused(scene.records(new, representation=acted | {"representative": subject(old)}))
    scene.permitted(scene.records(new, representation=acted | {"representative": subject(by)}))


@refuses("withdrawn")
def test_a_birthday_that_was_corrected_ends_what_a_parent_agreed_to(scene: Scene) -> None:
    old, new, by = scene.person(16), scene.person(19), scene.person(45)
    scene.recorded(old, representation=parent(by), sensitive_agreed=True)
    outgrowing.end_all(scene.home)
    scene.permitted(scene.gate(old))
    renumbered(scene, old, new)
    outgrowing.end_all(scene.home)
    scene.refused(scene.gate(new))


@refuses("binding-child")
def test_no_phone_is_bound_for_a_child_by_the_number_of_before(scene: Scene) -> None:
    old, new = scene.person(20), scene.person(12)
    renumbered(scene, old, new)
    scene.refused(scene.tries(lambda: bound(scene.home, scene.door, old)))
    grown, corrected = scene.person(12), scene.person(20)
    renumbered(scene, grown, corrected)
    scene.permitted(scene.tries(lambda: bound(scene.home, scene.door, grown)))


@refuses("pending")
def test_a_child_is_shown_no_request_by_the_number_of_before(scene: Scene) -> None:
    """The lender sees `pending` of whomever; the phone is not shown it."""
    for ages, reached in (((20, 16), False), ((16, 20), True)):
        old, new = (scene.person(age) for age in ages)
        phone = bound(scene.home, scene.door, old)
        renumbered(scene, old, new)
        asked = {
            "subject": {"identifier": old.text},
            "terms": {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["RATING"]},
            "message": "柜台 3 号",
        }
        assert scene.bank.call("POST", "/v1/consent-requests", asked).status_code == 202
        shown = phone.get("/subject/v1/requests")["requests"]
        (scene.permitted if reached else scene.refused)("permitted" if shown else "pending")
