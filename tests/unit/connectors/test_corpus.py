"""The corpus of broken workbooks: every row of every file ends in exactly one way, the one that the case names."""

from collections.abc import Callable

import pytest

from connectors.codes import BY_NAME
from connectors.normalise import TableOutcome
from tests.corpus.workbooks import Case, End, cases
from tests.unit.connectors.consent_register import nobody
from tests.unit.connectors.tables import codes, tables

CASES = list(cases())


def ended(outcome: TableOutcome) -> End:
    if outcome.blocked:
        return f"blocked:{outcome.blocked}"
    by_code = codes(outcome)
    accepted = outcome.counts.get("accepted", 0)
    return ({"accepted": accepted} if accepted else {}) | by_code


def test_the_corpus_has_sixty_faults_and_each_its_own_name() -> None:
    names = [make.__name__ for make in CASES]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_every_row_is_accounted_for(make: Callable[[], Case]) -> None:
    case = make()
    outcomes = tables(case.raw, case.name)
    assert [ended(outcome) for outcome in outcomes] == case.ends
    for outcome in outcomes:
        if outcome.blocked is None:
            assert sum(outcome.counts.values()) == outcome.rows
            for end, by_code in outcome.codes.items():
                assert all(BY_NAME[code].outcome.value == end for code in by_code)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_without_consent_only_the_count_of_people_remains(make: Callable[[], Case]) -> None:
    case = make()
    for outcome in tables(case.raw, case.name, basis_of=nobody):
        assert outcome.counts.get("accepted", 0) == outcome.counts.get("warned", 0) == 0
        assert outcome.quarantined == ()
