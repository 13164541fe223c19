"""The life of a proposal, and decisions put together. Pure."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import pytest

from connectors.errors import MendingRefused
from connectors.mending import Proposal, State, Verb, What, first_state, nothing_left, step, together
from connectors.mends import Act

NOW = datetime(2026, 6, 15, tzinfo=UTC)
ID = UUID(int=1)


def proposal(what: What = What.ACCEPT, state: State = State.PROPOSED, *places: tuple[str, int]) -> Proposal:
    return Proposal(ID, ID, ID, "县局", what, places or (("1", 2),), None, state, "wang", NOW)


@pytest.mark.parametrize("what", [What.RECALL, What.REPLACE])
def test_of_a_whole_batch_two_persons_decide_whatever_the_agency_wants(what: What) -> None:
    assert first_state(what, four_eyes=False) is State.PROPOSED
    assert {first_state(what, four_eyes=True) for what in What} == {State.PROPOSED}
    assert first_state(What.CORRECT, four_eyes=False) is State.DECIDED


def test_nothing_is_left_only_once_every_row_has_gone_and_a_row_named_twice_counts_once() -> None:
    assert nothing_left(1, [], [("", 2)])
    assert nothing_left(3, [("1", 2)], [("1", 3), ("1", 4)])
    assert not nothing_left(3, [("1", 2)], [("1", 3), ("1", 3), ("1", 2)])
    assert not nothing_left(2, [], [("", 2)])


@pytest.mark.parametrize(("verb", "person"), list(product(Verb, ("wang", "li"))))
def test_only_another_person_approves_or_refuses_and_only_the_proposer_takes_back(verb: Verb, person: str) -> None:
    own = person == "wang"
    if own == (verb is Verb.WITHDRAW):
        leads = {Verb.APPROVE: State.DECIDED, Verb.REFUSE: State.REFUSED, Verb.WITHDRAW: State.WITHDRAWN}
        assert step(proposal(), verb, person) is leads[verb]
    else:
        with pytest.raises(MendingRefused, match="four-eyes-needed"):
            step(proposal(), verb, person)


@pytest.mark.parametrize("state", [State.DECIDED, State.REFUSED, State.WITHDRAWN])
@pytest.mark.parametrize("verb", list(Verb))
def test_what_is_settled_stays_settled(state: State, verb: Verb) -> None:
    for person in ("wang", "li"):
        with pytest.raises(MendingRefused, match="proposal-settled"):
            step(proposal(state=state), verb, person)


def test_corrections_of_one_row_add_up_and_a_withdrawal_is_the_last_word() -> None:
    mends = together(
        [
            (proposal(What.CORRECT), {"甲": "1", "乙": "2"}),
            (proposal(What.CORRECT), {"乙": "3"}),
            (proposal(What.WITHDRAW), {}),
            (proposal(What.ACCEPT), {}),
        ]
    )
    assert [(one.act, dict(one.cells)) for one in mends] == [
        (Act.CORRECT, {"甲": "1", "乙": "3"}),
        (Act.WITHDRAW, {}),
    ]
