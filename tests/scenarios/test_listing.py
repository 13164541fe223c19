"""The list of scenarios: long enough, each a promise of its own, and the document says what the code says."""

from collections import Counter

from tests.scenarios.listing import DOCUMENT, groups, written

LEAST = 120  # what was asked for


def test_there_are_as_many_scenarios_as_were_asked_for_and_each_is_a_function_of_its_own() -> None:
    scenarios = [one for group in groups() for one in group.scenarios]
    assert len(scenarios) >= LEAST
    assert [one.promise for one in scenarios if one.parametrised] == []
    assert [promise for promise, times in Counter(one.promise for one in scenarios).items() if times > 1] == []


def test_every_scenario_names_the_code_it_is_refused_as() -> None:
    assert [one.promise for group in groups() for one in group.scenarios if not all(one.codes)] == []
    assert all(group.title for group in groups())


def test_the_document_lists_the_scenarios_that_there_are() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written()
