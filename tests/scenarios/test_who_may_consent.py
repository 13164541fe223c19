"""Who agrees: each adult alone, a guardian for a child, a proxy with a power of attorney; nobody for the dead."""

from datetime import timedelta
from typing import Any

from joserfc.jwk import ECKey

from consent.evidence import Channel
from consent.record import NewConsent, SubjectType, midnight
from exchange import consents, subjects
from exchange.consenting import Beside
from registry import clock, store
from registry.identifiers import ResidentId
from registry.records import NOBODY
from tests.capturing import collector
from tests.people import BANK, capture, consented, held
from tests.phones import bound, shown, try_binding
from tests.scenarios.stage import Scene, born, refuses, subject, today, years_before

FUND = ["HOUSE_FUND.fund_status"]
DOCUMENT = b"\x07" * 32


def guardian(who: ResidentId, **changes: Any) -> dict[str, Any]:
    """A parent with the register of the household."""
    stated = {"kind": "guardian", "relation": "parent", "representative": subject(who), "document_sha256": "01" * 32}
    return stated | changes


def proxy(who: ResidentId, **changes: Any) -> dict[str, Any]:
    """A husband or wife with a power of attorney for twenty days."""
    stated = {"kind": "proxy", "relation": "spouse", "representative": subject(who), "document_sha256": "02" * 32}
    return stated | {"until": today(days=20)} | changes


# ---- other adults of a household ------------------------------------------------------------------------------------


@refuses("POWER_OF_ATTORNEY_MISSING")
def test_the_head_of_a_household_does_not_agree_for_another_adult(scene: Scene) -> None:
    head, wife = scene.person(52), scene.person(49)
    scene.refused(scene.records(wife, representation=proxy(head, document_sha256=None)))
    scene.permitted(scene.records(wife, representation=proxy(head)))


@refuses("no-consent")
def test_what_the_head_of_a_household_agreed_to_opens_nothing_of_the_others(scene: Scene) -> None:
    head, wife = scene.person(52), scene.person(49)
    scene.recorded(head)
    scene.refused(scene.asks(wife))
    scene.permitted(scene.asks(head))


@refuses("GUARDIAN_NOT_NEEDED")
def test_the_head_of_a_household_is_no_guardian_of_another_adult(scene: Scene) -> None:
    head, wife = scene.person(52), scene.person(49)
    scene.refused(scene.records(wife, representation=guardian(head, relation="spouse"), sensitive_agreed=True))
    appointed = guardian(head, relation="appointed")
    scene.permitted(scene.records(wife, representation=appointed, sensitive_agreed=True))


@refuses("GUARDIANSHIP_UNPROVEN")
def test_nobody_is_an_adults_guardian_without_the_courts_paper(scene: Scene) -> None:
    who, by = scene.person(70), scene.person(45)
    appointed = guardian(by, relation="appointed")
    scene.refused(scene.records(who, representation=appointed | {"document_sha256": None}, sensitive_agreed=True))
    scene.permitted(scene.records(who, representation=appointed, sensitive_agreed=True))


# ---- proxies --------------------------------------------------------------------------------------------------------


@refuses("POWER_OF_ATTORNEY_MISSING")
def test_a_power_of_attorney_without_a_last_day_is_none(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    scene.refused(scene.records(who, representation=proxy(by, until=None)))
    scene.permitted(scene.records(who, representation=proxy(by)))


@refuses("REPRESENTATION_OVER")
def test_a_power_of_attorney_that_has_ended_carries_nothing(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    scene.refused(scene.records(who, representation=proxy(by, until=today(days=-1))))
    scene.permitted(scene.records(who, representation=proxy(by, until=today())))


@refuses("expired")
def test_what_a_proxy_agreed_to_ends_with_the_power_of_attorney(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    scene.recorded(who, representation=proxy(by, until=today(days=3)))
    over = midnight(clock.beijing_day(clock.now()) + timedelta(days=4))
    with scene.at(over - timedelta(seconds=1)):
        scene.permitted(scene.gate(who))
    with scene.at(over):
        scene.refused(scene.gate(who))


@refuses("SENSITIVE_BY_PROXY")
def test_no_proxy_agrees_to_sensitive_items(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    fund: dict[str, Any] = {"items": FUND, "sensitive_agreed": True}
    scene.refused(scene.records(who, representation=proxy(by), **fund))
    scene.permitted(scene.records(who, **fund))


@refuses("REPRESENTATIVE_UNFIT")
def test_nobody_is_his_own_proxy(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, representation=proxy(who)))
    scene.permitted(scene.records(who, representation=proxy(scene.person())))


@refuses("REPRESENTATIVE_UNFIT")
def test_no_child_is_a_proxy(scene: Scene) -> None:
    who = scene.person(45)
    scene.refused(scene.records(who, representation=proxy(scene.person(17), relation="child")))
    scene.permitted(scene.records(who, representation=proxy(scene.person(18), relation="child")))


@refuses("REPRESENTATION_INVALID")
def test_somebody_unnamed_acts_for_nobody(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    scene.refused(scene.records(who, representation=proxy(by, representative=None)))
    scene.permitted(scene.records(who, representation=proxy(by)))


@refuses("REPRESENTATION_INVALID")
def test_somebody_who_stands_beside_and_says_no_ground_acts_for_nobody(scene: Scene) -> None:
    who, by = scene.person(), scene.person()
    new = NewConsent(
        subject_id=NOBODY,
        subject_type=SubjectType.PERSON,
        recipient=BANK,
        purpose="LOAN_APPROVAL",
        items=("RATING",),
        valid_from=clock.now(),
        capture=capture(),
    )

    def granted(beside: Beside) -> None:
        consents.grant(scene.home, who, new, actor="test", beside=beside)

    scene.refused(scene.tries(lambda: granted(Beside(by))))
    scene.permitted(scene.tries(lambda: granted(Beside())))


# ---- children -------------------------------------------------------------------------------------------------------


@refuses("GUARDIAN_NEEDED")
def test_a_child_of_ten_agrees_to_nothing_alone(scene: Scene) -> None:
    ward, parent = scene.person(10), scene.person(38)
    scene.refused(scene.records(ward))
    scene.permitted(scene.records(ward, representation=guardian(parent), sensitive_agreed=True))


@refuses("GUARDIAN_NEEDED")
def test_at_sixteen_nobody_agrees_alone_where_credit_is_at_stake(scene: Scene) -> None:
    ward, parent = scene.person(16), scene.person(38)
    scene.refused(scene.records(ward))
    scene.permitted(scene.records(ward, representation=guardian(parent), sensitive_agreed=True))


@refuses("GUARDIAN_NEEDED")
def test_the_day_before_the_eighteenth_birthday_is_too_early(scene: Scene) -> None:
    day = clock.beijing_day(clock.now())
    born_then = years_before(day, 18)
    scene.refused(scene.records(born(born_then + timedelta(days=1))))
    scene.permitted(scene.records(born(born_then)))


@refuses("GUARDIAN_NEEDED")
def test_a_power_of_attorney_makes_no_guardian(scene: Scene) -> None:
    ward, by = scene.person(12), scene.person(38)
    scene.refused(scene.records(ward, representation=proxy(by, relation="relative"), sensitive_agreed=True))
    scene.permitted(scene.records(ward, representation=guardian(by, relation="relative"), sensitive_agreed=True))


@refuses("GUARDIANSHIP_UNPROVEN")
def test_a_guardian_without_a_document_is_none(scene: Scene) -> None:
    ward, parent = scene.person(10), scene.person(38)
    unproven = guardian(parent, document_sha256=None)
    scene.refused(scene.records(ward, representation=unproven, sensitive_agreed=True))
    scene.permitted(scene.records(ward, representation=guardian(parent), sensitive_agreed=True))


@refuses("GUARDIANSHIP_UNPROVEN")
def test_an_agent_of_the_familys_choice_is_no_guardian_of_a_child(scene: Scene) -> None:
    ward, by = scene.person(10), scene.person(38)
    scene.refused(scene.records(ward, representation=guardian(by, relation="agent"), sensitive_agreed=True))
    scene.permitted(scene.records(ward, representation=guardian(by, relation="grandparent"), sensitive_agreed=True))


@refuses("SENSITIVE_NOT_AGREED")
def test_a_childs_data_are_not_agreed_to_along_with_everything_else(scene: Scene) -> None:
    ward, parent = scene.person(10), scene.person(38)
    scene.refused(scene.records(ward, representation=guardian(parent)))
    scene.permitted(scene.records(ward, representation=guardian(parent), sensitive_agreed=True))


@refuses("REPRESENTATIVE_UNFIT")
def test_an_elder_brother_who_is_a_child_himself_is_no_guardian(scene: Scene) -> None:
    ward = scene.person(10)
    young, grown = (guardian(scene.person(age), relation="sibling") for age in (16, 19))
    scene.refused(scene.records(ward, representation=young, sensitive_agreed=True))
    scene.permitted(scene.records(ward, representation=grown, sensitive_agreed=True))


@refuses("GUARDIAN_NOT_NEEDED")
def test_a_parent_does_not_agree_for_a_child_who_has_come_of_age(scene: Scene) -> None:
    parent, grown = scene.person(45), scene.person(18)
    scene.refused(scene.records(grown, representation=guardian(parent), sensitive_agreed=True))
    scene.permitted(scene.records(grown))


@refuses("expired")
def test_what_a_parent_agreed_to_ends_with_the_childs_eighteenth_birthday(scene: Scene) -> None:
    day = clock.beijing_day(clock.now())
    ward, parent = born(years_before(day + timedelta(days=9), 18)), scene.person(45)
    scene.recorded(ward, representation=guardian(parent), sensitive_agreed=True, valid_to=today(days=80))
    birthday = midnight(day + timedelta(days=9))
    with scene.at(birthday - timedelta(seconds=1)):
        scene.permitted(scene.gate(ward))
    with scene.at(birthday):
        scene.refused(scene.gate(ward))


# ---- the dead, and those who go by another number -------------------------------------------------------------------


@refuses("SUBJECT_UNAVAILABLE")
def test_nobody_agrees_for_the_dead(scene: Scene) -> None:
    dead, by, alive = scene.person(80), scene.person(50), scene.person(80)
    died(scene, dead)
    scene.refused(scene.records(dead, representation=proxy(by, relation="child")))
    scene.permitted(scene.records(alive, representation=proxy(by, relation="child")))


@refuses("SUBJECT_UNAVAILABLE")
def test_the_dead_agree_for_nobody(scene: Scene) -> None:
    dead, who = scene.person(80), scene.person(50)
    died(scene, dead)
    scene.refused(scene.records(who, representation=proxy(dead, relation="relative")))
    scene.permitted(scene.records(who, representation=proxy(scene.person(80), relation="relative")))


@refuses("withdrawn")
def test_nothing_of_the_dead_is_shown_on_what_they_agreed_to(scene: Scene) -> None:
    who = scene.person(80)
    consented(scene.home, who)
    held(scene.home, who)
    scene.permitted(scene.gate(who))
    died(scene, who)
    scene.refused(scene.gate(who))


@refuses("invalid_client", "token-invalid")
def test_the_phone_of_the_dead_opens_nothing(scene: Scene) -> None:
    who = scene.person(80)
    phone = bound(scene.home, scene.door, who)
    scene.permitted(phone.call("GET", "/subject/v1/consents"))
    died(scene, who)
    scene.refused(phone.call("GET", "/subject/v1/consents"))
    scene.refused(phone.client.ask(scene.door))


@refuses("binding-refused")
def test_no_phone_is_bound_for_the_dead(scene: Scene) -> None:
    """And the lender that hands out the code does not learn of the death: the code binds nothing, like a wrong one."""
    seen = {"verified": "resident_card_seen", "collector": collector(scene.home, "c-dead")}
    dead, alive = scene.person(80), scene.person(80)
    died(scene, dead)
    for who, expected in ((dead, scene.refused), (alive, scene.permitted)):
        offered = scene.bank.call("POST", "/v1/bindings", {"subject": subject(who)} | seen)
        assert (offered.status_code, sorted(offered.json())) == (201, ["code", "expires_at"])
        key = ECKey.generate_key("P-256")
        expected(try_binding(scene.door, shown(offered.json()["code"], key, who), key))
    with scene.home.database.transaction() as tx:
        known = store.lookup(tx, scene.home.keyring, [dead, alive])
        told = {
            who.text: tx.execute(
                "SELECT fields->'binds' FROM log_entry WHERE subject_id = %s AND event = 'exchange:binding:offered'",
                (known[who.text],),
            ).fetchall()
            for who in (dead, alive)
        }
    assert told == {dead.text: [(False,)], alive.text: [(True,)]}


@refuses("withdrawn")
def test_a_new_number_brings_nothing_back_that_was_withdrawn_under_the_old_one(scene: Scene) -> None:
    old, new = scene.person(), scene.person()
    consent = consented(scene.home, old)
    subjects.renumber(scene.home, old, new, document_sha256=DOCUMENT, actor="operator")
    scene.permitted(scene.gate(new))
    consents.withdraw(scene.home, consent.consent_id, Channel.COUNTER, actor="test")
    scene.refused(scene.gate(old))
    scene.refused(scene.gate(new))


@refuses("IdentifierTaken")
def test_nobody_takes_over_the_number_of_somebody_else_and_so_the_consents(scene: Scene) -> None:
    one, other, free = scene.person(), scene.person(), scene.person()
    consented(scene.home, one), consented(scene.home, other)

    def goes_by(number: ResidentId) -> None:
        subjects.renumber(scene.home, one, number, document_sha256=DOCUMENT, actor="operator")

    scene.refused(scene.tries(lambda: goes_by(other)))
    scene.permitted(scene.tries(lambda: goes_by(free)))


def died(scene: Scene, who: ResidentId) -> None:
    """Note a death; of somebody of whom something is known."""
    held(scene.home, who)
    subjects.note_death(scene.home, who, document_sha256=DOCUMENT, actor="operator")
