"""What holds of every decision, whatever the consents and the request."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consent import purposes
from consent.decision import (
    Answered,
    Permit,
    Question,
    Reason,
    Refusal,
    Request,
    decide,
    decide_together,
    reopen,
    screen,
)
from consent.errors import TransitionRefused
from consent.grant import ENDED, Grant, State, step
from consent.scope import Mode, Scope

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = [f"SUBSIDY.f{number}" for number in range(4)]

items = st.frozensets(st.sampled_from(ITEMS))
lenders = st.sampled_from(["bank-a", "bank-b"])
aims = st.sampled_from(["LOAN_APPROVAL", "POST_LOAN"])
modes = st.sampled_from(Mode)
hours = st.integers(-3, 3)
scopes = st.builds(
    lambda recipient, purpose, covered, months, since, until, uses, mode, acknowledged: Scope(
        recipient,
        purpose,
        covered,
        months,
        NOON + timedelta(hours=since),
        NOON + timedelta(hours=until),
        uses,
        mode,
        acknowledged,
    ),
    lenders,
    aims,
    items,
    st.integers(0, 3),
    hours,
    hours,
    st.integers(1, 3),
    modes,
    st.booleans(),
)
grants = st.builds(
    Grant, st.uuids().map(str), scopes, st.sampled_from(State), st.integers(0, 4), data_life_days=st.integers(0, 3)
)
many = st.lists(grants, max_size=6, unique_by=lambda grant: grant.consent_id)
requests = st.builds(
    lambda lender, purpose, asked, mode, reserved, months: Request(
        lender, purpose, asked, mode, asked & reserved, frozenset(), months, "LA-1"
    ),
    lenders,
    aims,
    items,
    modes,
    items,
    st.none() | st.integers(0, 4),
)


def covers(grant: Grant, request: Request) -> bool:
    """The rule once more, written as one sentence."""
    scope = grant.scope
    return (
        bool(request.items)
        and grant.state is State.ACTIVE
        and (scope.recipient, scope.purpose) == (request.lender, request.purpose)
        and scope.valid_from <= NOON < scope.valid_until
        and request.items <= scope.items
        and list(Mode).index(request.mode) <= list(Mode).index(scope.mode)
        and (request.history_months is None or request.history_months <= scope.history_months)
        and (scope.w_acknowledged or not request.w_items)
        and grant.uses < scope.max_uses
    )


@given(requests, many)
def test_a_permit_rests_on_one_consent_that_covers_everything(request_: Request, given_: list[Grant]) -> None:
    outcome = decide(request_, given_, now=NOON)
    covering = {grant.consent_id for grant in given_ if covers(grant, request_)}
    if isinstance(outcome, Permit):
        assert outcome.consent_id in covering
        assert outcome.items == request_.items
        assert outcome.mode is request_.mode
    else:
        assert not covering


@given(requests, many, many)
def test_consents_that_permit_nothing_alone_permit_nothing_beside_others(
    request_: Request, given_: list[Grant], more: list[Grant]
) -> None:
    useless = [grant for grant in more if isinstance(decide(request_, [grant], now=NOON), Refusal)]
    before, after = decide(request_, given_, now=NOON), decide(request_, given_ + useless, now=NOON)
    if isinstance(before, Permit):
        assert after == before
    else:
        assert isinstance(after, Refusal)


@given(requests, many, st.randoms())
def test_the_order_of_consents_does_not_matter(request_: Request, given_: list[Grant], order: object) -> None:
    shuffled = list(given_)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' random
    assert decide(request_, shuffled, now=NOON) == decide(request_, given_, now=NOON)


@given(requests, many)
def test_asking_for_less_never_needs_more(request_: Request, given_: list[Grant]) -> None:
    if not isinstance(decide(request_, given_, now=NOON), Permit):
        return
    for item in request_.items if len(request_.items) > 1 else ():
        less = replace(request_, items=request_.items - {item}, w_items=request_.w_items - {item})
        assert isinstance(decide(less, given_, now=NOON), Permit)
    assert isinstance(decide(replace(request_, mode=Mode.VERIFY), given_, now=NOON), Permit)


@given(requests, many)
def test_other_lenders_consents_change_nothing_not_even_the_reason(request_: Request, given_: list[Grant]) -> None:
    own = [grant for grant in given_ if grant.scope.recipient == request_.lender]
    assert decide(request_, own, now=NOON) == decide(request_, given_, now=NOON)


@given(requests, st.lists(grants.filter(lambda grant: grant.scope.recipient == "bank-b"), max_size=4))
def test_an_unknown_subject_is_refused_like_one_without_consent(request_: Request, others: list[Grant]) -> None:
    asked = replace(request_, lender="bank-a", items=request_.items or frozenset(ITEMS))
    assert decide(asked, others, now=NOON) == decide(asked, [], now=NOON) == Refusal(Reason.NO_CONSENT)


def put(tries: list[Request], given_: list[Grant], answered: Answered | None = None) -> Question:
    return Question(tries, purposes.current().get(tries[0].purpose), given_, answered)


# every second question or so is for an answer of before, which takes no use and needs none left
@given(st.lists(st.tuples(st.lists(requests, min_size=1, max_size=3), st.booleans()), max_size=8), many)
def test_requests_together_never_take_more_uses_than_are_left(
    asked: list[tuple[list[Request], bool]], given_: list[Grant]
) -> None:
    before = Answered(given_[0].consent_id, NOON) if given_ else None
    questions = [put(tries, given_, before if again else None) for tries, again in asked]
    taken: dict[str, int] = {}
    for question, outcome in zip(questions, decide_together(questions, now=NOON), strict=True):
        if isinstance(outcome, Permit) and question.answered is None:
            taken[outcome.consent_id] = taken.get(outcome.consent_id, 0) + 1
    left = {grant.consent_id: max(0, grant.scope.max_uses - grant.uses) for grant in given_}
    assert all(count <= left[consent_id] for consent_id, count in taken.items())


@given(requests, many)
def test_one_alone_is_decided_together_as_by_itself_once_it_is_screened(request_: Request, given_: list[Grant]) -> None:
    purpose = purposes.current().get(request_.purpose)
    alone = screen(request_, purpose) or decide(request_, given_, now=NOON)
    assert decide_together([put([request_], given_)], now=NOON) == [alone]


@given(requests, many)
def test_what_is_permitted_can_be_reopened_while_nothing_changed(request_: Request, given_: list[Grant]) -> None:
    outcome = decide(request_, given_, now=NOON)
    if isinstance(outcome, Permit):
        spent = [replace(grant, uses=grant.scope.max_uses) for grant in given_]
        (life,) = [grant.data_life_days for grant in given_ if grant.consent_id == outcome.consent_id]
        over = NOON - timedelta(days=life)
        young, old = (Answered(outcome.consent_id, over + since) for since in (timedelta(microseconds=1), timedelta(0)))
        assert reopen(request_, young, spent, now=NOON) == outcome
        assert reopen(request_, old, spent, now=NOON) == Refusal(Reason.DATA_LIFE_OVER)


class Life(RuleBasedStateMachine):
    """A consent to which anybody may try to do anything, in any order."""

    ask = Request("bank-a", "LOAN_APPROVAL", frozenset(ITEMS[:1]), Mode.VERIFY, frozenset(), frozenset())

    @initialize(start=st.sampled_from([State.REQUESTED, State.ACTIVE]))
    def begin(self, start: State) -> None:
        scope = Scope(
            recipient="bank-a",
            purpose="LOAN_APPROVAL",
            items=frozenset(ITEMS),
            history_months=1,
            valid_from=NOON,
            valid_until=NOON + timedelta(days=1),
            max_uses=9,
            mode=Mode.REPORT,
            w_acknowledged=True,
        )
        self.grant = Grant("c-1", scope, start, data_life_days=180)
        self.ended: State | None = None
        self.agreed = start is State.ACTIVE

    @rule(to=st.sampled_from(State))
    def try_a_step(self, to: State) -> None:
        try:
            step(self.grant.state, to)
        except TransitionRefused:
            return
        self.grant = replace(self.grant, state=to)
        self.agreed |= to is State.ACTIVE
        if to in ENDED:
            self.ended = to

    @precondition(lambda self: self.grant.state is State.ACTIVE)
    @rule()
    def use(self) -> None:
        self.grant = replace(self.grant, uses=self.grant.uses + 1)

    @invariant()
    def what_ended_stays_as_it_ended_and_permits_nothing(self) -> None:
        if self.ended is not None:
            assert self.grant.state is self.ended
            assert isinstance(decide(self.ask, [self.grant], now=NOON), Refusal)
            assert isinstance(reopen(self.ask, Answered("c-1", NOON), [self.grant], now=NOON), Refusal)

    @invariant()
    def nothing_is_permitted_that_nobody_agreed_to(self) -> None:
        if isinstance(decide(self.ask, [self.grant], now=NOON), Permit):
            assert self.agreed


TestLife = Life.TestCase
