"""What `settle` asks of whoever agreed: sensitive items, people acting for others, meetings, the day it ends."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.faults import MEANINGS
from consent.record import NewConsent, SubjectType, midnight
from consent.representation import Kind, Relation, Representation
from registry import catalogue
from tests.unit.consent.test_record import FIRST, NEW, settled
from tests.unit.consent.test_representation import GUARDIAN, PROXY, resolved

SENSITIVE = sorted(catalogue.current().separate_items & catalogue.current().kinds["HOUSE_FUND"].items)
SEPARATE = replace(NEW, items=SENSITIVE, register_no="SQ-1")  # an office's paper names what it names
MINUTES = Evidence(EvidenceKind.RESOLUTION, b"\x02" * 32)
COLLECTIVE = replace(
    NEW,
    subject_type=SubjectType.ORGANISATION,
    items=("SANZI_FUND",),
    capture=Capture(Channel.VILLAGE, "2025-09", Language.CHINESE, MINUTES),
    representation=resolved(),
)


def fault(new: NewConsent) -> Fault | None:
    try:
        settled(new)
    except TermsRefused as refused:
        return refused.code
    return None


def test_which_items_are_sensitive_is_the_catalogues_word() -> None:
    assert {"HOUSE_FUND.fund_balance", "LOAN_EVENT.loan_balance", "SUBSIDY.bank_account"} <= (
        catalogue.current().separate_items
    )
    assert "RATING.grade" not in catalogue.current().separate_items


def test_sensitive_items_need_an_act_of_their_own() -> None:
    assert fault(SEPARATE) is Fault.SENSITIVE_NOT_AGREED
    assert settled(replace(SEPARATE, sensitive_agreed=True)).scope.sensitive_agreed
    assert fault(replace(NEW, items=("RATING",))) is None


def test_anything_of_a_ward_needs_an_act_of_its_own() -> None:
    assert fault(replace(NEW, representation=GUARDIAN)) is Fault.SENSITIVE_NOT_AGREED
    assert fault(replace(NEW, representation=GUARDIAN, sensitive_agreed=True)) is None


def test_a_proxy_agrees_to_nothing_sensitive_even_in_an_act_of_its_own() -> None:
    assert fault(replace(NEW, representation=PROXY)) is None
    assert fault(replace(SEPARATE, representation=PROXY, sensitive_agreed=True)) is Fault.SENSITIVE_BY_PROXY


def test_a_consent_ends_with_the_right_of_whoever_acted() -> None:
    short = replace(PROXY, until=date(2026, 2, 1))
    assert settled(replace(NEW, representation=short)).scope.valid_until == midnight(date(2026, 2, 2))
    of_age = midnight(date(2026, 1, 20))
    assert settled(replace(NEW, ends_by=of_age)).scope.valid_until == of_age
    assert fault(replace(NEW, ends_by=FIRST)) is Fault.REPRESENTATION_OVER
    later = replace(NEW, ends_by=midnight(date(2030, 1, 1)))
    assert settled(later).scope.valid_until == midnight(date(2026, 4, 11))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (COLLECTIVE, None),
        (replace(COLLECTIVE, representation=None), Fault.RESOLUTION_MISSING),
        (replace(COLLECTIVE, representation=PROXY), Fault.RESOLUTION_MISSING),
        (replace(COLLECTIVE, capture=NEW.capture), Fault.RESOLUTION_MISSING),
        (replace(COLLECTIVE, representation=resolved(minutes_sha256=b"\x03" * 32)), Fault.RESOLUTION_INVALID),
        (replace(COLLECTIVE, items=("SUBSIDY",)), Fault.COLLECTIVE_FOR_MEMBER),
        (replace(COLLECTIVE, items=("SANZI_FUND", "RATING.grade")), Fault.COLLECTIVE_FOR_MEMBER),
        (replace(NEW, representation=resolved()), Fault.COLLECTIVE_FOR_MEMBER),
        (replace(COLLECTIVE, representation=None, register_no="SQ-2"), None),  # an office's paper
        (replace(COLLECTIVE, representation=resolved(votes_for=59, votes_against=1)), Fault.VOTES_MISSED),
    ],
)
def test_a_collective_resolves_for_itself_and_never_for_a_member(new: NewConsent, expected: Fault | None) -> None:
    assert fault(new) is expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (replace(NEW, uses_per_month=13), Fault.TOO_MANY_USES_PER_MONTH),
        (replace(NEW, uses_per_month=0), Fault.TOO_MANY_USES_PER_MONTH),
        (replace(NEW, data_life_days=181), Fault.DATA_LIFE_TOO_LONG),
        (replace(NEW, data_life_days=-1), Fault.DATA_LIFE_TOO_LONG),
    ],
)
def test_uses_a_month_and_data_life_stay_within_the_purpose(new: NewConsent, expected: Fault) -> None:
    assert fault(new) is expected


def test_what_is_not_stated_of_months_and_keeping_is_the_purposes() -> None:
    terms = settled(NEW)
    assert (terms.scope.uses_per_month, terms.data_life_days) == (3, 180)
    stated = settled(replace(NEW, uses_per_month=1, data_life_days=10))
    assert (stated.scope.uses_per_month, stated.data_life_days) == (1, 10)


def test_a_representation_without_a_moment_of_its_own_lasts_as_the_consent_does() -> None:
    ward = Representation(Kind.GUARDIAN, Relation.APPOINTED, "lookup-1:00", b"\x01" * 32)
    until = midnight(date(2026, 3, 1))
    new = replace(NEW, representation=ward, sensitive_agreed=True, valid_until=until)
    assert settled(new).scope.valid_until == until
    assert FIRST + timedelta(days=1) < until


@pytest.mark.parametrize("code", Fault)
def test_every_fault_has_a_place_a_cause_and_a_mend_in_both_languages(code: Fault) -> None:
    meaning = MEANINGS[code]
    assert all(part.strip() for part in meaning)
    assert any("一" <= character <= "鿿" for character in meaning.zh)
    assert any("一" <= character <= "鿿" for character in meaning.mend_zh)
    assert meaning.en.isascii()
    assert meaning.mend_en.isascii()
