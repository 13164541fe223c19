"""The catalogue of cases: every module that concerns us is kept to, nothing is named that there is not."""

from collections import Counter

from tests.attacks.fapi_listing import DOCUMENT, cases, written
from tests.attacks.fapi_modules import NOT_OURS, OURS

LEAST = 120  # what was asked for


def test_every_module_that_concerns_us_has_a_case() -> None:
    covered = {module for case in cases() for module in case.modules}
    assert [module for module in OURS if module not in covered] == []


def test_no_case_names_a_module_that_there_is_not_or_that_is_not_ours() -> None:
    named = {module for case in cases() for module in case.modules}
    assert sorted(named - set(OURS)) == []


def test_a_module_is_ours_or_not_with_a_reason() -> None:
    assert [module for module, times in Counter(OURS).items() if times > 1] == []
    assert set(OURS).isdisjoint(NOT_OURS)
    assert all(NOT_OURS.values())


def test_there_are_as_many_cases_as_were_asked_for() -> None:
    assert len(cases()) >= LEAST


def test_the_document_lists_the_cases_that_there_are() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written()
