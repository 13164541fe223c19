"""Who may consent: by age, by ground, and by whom."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from consent.errors import Fault, TermsRefused
from consent.record import NewConsent, SubjectType, midnight
from consent.representation import Kind, Relation, Representation
from exchange.consenting import NOBODY_BESIDE, Beside, admitted
from registry.identifiers import Identifier, ResidentId, resident_check
from registry.keyring import Keyring
from registry.records import NOBODY
from tests.people import LI, ZHANG, capture

DAY = date(2026, 6, 15)
NOW = midnight(DAY) + timedelta(hours=10)
GUARDIAN = Representation(Kind.GUARDIAN, Relation.PARENT, None, b"\x01" * 32)
PROXY = Representation(Kind.PROXY, Relation.CHILD, None, b"\x01" * 32, date(2026, 12, 31))


def born(day: date) -> ResidentId:
    digits = f"632721{day:%Y%m%d}000"
    return ResidentId.parse(digits + resident_check(digits), on=DAY + timedelta(days=400))


def aged(years: int, *, days: int = 0) -> ResidentId:
    """Somebody who has had that birthday for so many days on DAY; one day before it is -1."""
    return born((DAY - timedelta(days=days)).replace(year=DAY.year - years))


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path, origin="test.example/log", now=NOW)


def new(purpose: str = "LOAN_APPROVAL", **changes: object) -> NewConsent:
    stated = NewConsent(
        subject_id=NOBODY,
        subject_type=SubjectType.PERSON,
        recipient="bank-a",
        purpose=purpose,
        items=("RATING",),
        valid_from=midnight(DAY),
        capture=capture(),
    )
    return replace(stated, **changes)  # type: ignore[arg-type]  # edges of the example


def fault(keyring: Keyring, who: Identifier, wanted: NewConsent, beside: Beside = NOBODY_BESIDE) -> Fault | None:
    try:
        admitted(wanted, who, beside, keyring=keyring, now=NOW)
    except TermsRefused as refused:
        return refused.code
    return None


@pytest.mark.parametrize(
    ("who", "purpose", "expected"),
    [
        (aged(18), "LOAN_APPROVAL", None),
        (aged(18, days=-1), "LOAN_APPROVAL", Fault.GUARDIAN_NEEDED),
        (aged(14), "LOAN_APPROVAL", Fault.GUARDIAN_NEEDED),
        (aged(14), "SELF_QUERY", None),
        (aged(14, days=-1), "SELF_QUERY", Fault.GUARDIAN_NEEDED),
        (aged(3), "SUBSIDY_MATCH", Fault.GUARDIAN_NEEDED),
    ],
)
def test_who_is_old_enough_for_a_purpose_consents_alone(
    keyring: Keyring, who: ResidentId, purpose: str, expected: Fault | None
) -> None:
    assert fault(keyring, who, new(purpose)) is expected


def test_a_guardians_consent_ends_on_the_day_on_which_the_ward_can_consent_alone(keyring: Keyring) -> None:
    for years, purpose, alone in ((10, "LOAN_APPROVAL", 18), (10, "SELF_QUERY", 14)):
        ward, wanted = aged(years), new(purpose, representation=GUARDIAN)
        made = admitted(wanted, ward, Beside(ZHANG), keyring=keyring, now=NOW)
        assert made.ends_by == midnight(ward.birth.replace(year=ward.birth.year + alone))
    known = new(representation=GUARDIAN, ends_by=midnight(date(2027, 1, 1)))
    assert admitted(known, aged(10), Beside(ZHANG), keyring=keyring, now=NOW).ends_by == midnight(date(2027, 1, 1))
    leap = born(date(2020, 2, 29))
    made = admitted(new(representation=GUARDIAN), leap, Beside(ZHANG), keyring=keyring, now=NOW)
    assert made.ends_by == midnight(date(2038, 3, 1))


@pytest.mark.parametrize(
    ("who", "acted", "expected"),
    [
        (aged(10), replace(GUARDIAN, relation=Relation.CHILD), Fault.GUARDIANSHIP_UNPROVEN),
        (aged(10), PROXY, Fault.GUARDIAN_NEEDED),
        (aged(18), GUARDIAN, Fault.GUARDIAN_NOT_NEEDED),
        (LI, GUARDIAN, Fault.GUARDIAN_NOT_NEEDED),
        (LI, replace(GUARDIAN, relation=Relation.SPOUSE), Fault.GUARDIAN_NOT_NEEDED),
        (LI, replace(GUARDIAN, relation=Relation.APPOINTED), None),
        (LI, PROXY, None),
    ],
)
def test_parents_act_for_children_and_for_no_adult(
    keyring: Keyring, who: ResidentId, acted: Representation, expected: Fault | None
) -> None:
    assert fault(keyring, who, new(representation=acted), Beside(ZHANG)) is expected


def test_a_minor_gives_no_power_of_attorney_even_where_it_consents_alone(keyring: Keyring) -> None:
    wanted = new("SELF_QUERY", representation=PROXY)
    assert fault(keyring, aged(15), wanted, Beside(ZHANG)) is Fault.REPRESENTATION_INVALID


@pytest.mark.parametrize("by", [LI, aged(17)])
def test_whoever_acts_is_another_person_and_of_age(keyring: Keyring, by: ResidentId) -> None:
    assert fault(keyring, LI, new(representation=PROXY), Beside(by)) is Fault.REPRESENTATIVE_UNFIT


def test_a_ground_without_a_person_and_a_person_without_a_ground_are_refused(keyring: Keyring) -> None:
    assert fault(keyring, LI, new(representation=PROXY)) is Fault.REPRESENTATION_INVALID
    assert fault(keyring, LI, new(), Beside(ZHANG)) is Fault.REPRESENTATION_INVALID


def test_age_is_that_of_the_day_on_which_the_consent_was_taken(keyring: Keyring) -> None:
    young = aged(18)  # today; yesterday a guardian was needed
    yesterday = new(captured_at=NOW - timedelta(days=1))
    assert fault(keyring, young, yesterday) is Fault.GUARDIAN_NEEDED


def test_people_beside_a_consent_become_tokens_and_are_in_no_repr(keyring: Keyring) -> None:
    beside = Beside(ZHANG, "卓玛措")
    made = admitted(new(representation=PROXY), LI, beside, keyring=keyring, now=NOW)
    assert made.representation is not None
    shown = f"{made} {beside}"
    assert ZHANG.text not in shown
    assert "卓玛措" not in shown
    assert made.capture.witness is not None
    assert made.representation.by is not None
    assert made.capture.witness != made.representation.by
    again = admitted(new(representation=PROXY), LI, beside, keyring=keyring, now=NOW)
    assert (again.representation, again.capture.witness) == (made.representation, made.capture.witness)
