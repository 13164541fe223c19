"""The decision, at and around each edge of a consent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

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
from consent.grant import Grant, State
from consent.purposes import Entrance
from consent.scope import Mode, Scope

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
PAID = frozenset({"SUBSIDY.amount_paid"})
GRADE = frozenset({"RATING.grade"})
SCOPE = Scope(
    recipient="bank-a",
    purpose="LOAN_APPROVAL",
    items=PAID,
    history_months=24,
    valid_from=NOON - timedelta(days=1),
    valid_until=NOON + timedelta(days=1),
    max_uses=3,
    mode=Mode.SUMMARY,
    w_acknowledged=True,
)
GRANT = Grant("c-1", SCOPE, State.ACTIVE, data_life_days=180)
ASK = Request("bank-a", "LOAN_APPROVAL", PAID, Mode.SUMMARY, PAID, frozenset(), business_no="A-1")
LEAVE = Permit("c-1", PAID, Mode.SUMMARY, 24)
BEFORE = Answered("c-1", NOON - timedelta(hours=1))
LOANS = purposes.current().get("LOAN_APPROVAL")


def grant(**edges: object) -> Grant:
    return replace(GRANT, scope=replace(SCOPE, **edges))  # type: ignore[arg-type]  # edges of the example


def test_a_covering_consent_permits_exactly_what_was_asked() -> None:
    assert decide(ASK, [grant(items=PAID | GRADE)], now=NOON) == LEAVE


@pytest.mark.parametrize(
    ("grants", "reason"),
    [
        ([], Reason.NO_CONSENT),
        ([grant(recipient="bank-b")], Reason.NO_CONSENT),
        ([grant(purpose="POST_LOAN")], Reason.NO_CONSENT),
        ([replace(GRANT, state=State.REQUESTED)], Reason.NOT_YET_GIVEN),
        ([replace(GRANT, state=State.SUPERSEDED)], Reason.SUPERSEDED),
        ([replace(GRANT, state=State.WITHDRAWN)], Reason.WITHDRAWN),
        ([replace(GRANT, state=State.EXPIRED)], Reason.EXPIRED),
        ([grant(valid_until=NOON)], Reason.EXPIRED),
        ([grant(valid_from=NOON + TICK)], Reason.NOT_YET_VALID),
        ([replace(GRANT, state=State.PAUSED)], Reason.PAUSED),
        ([grant(items=GRADE)], Reason.ITEMS_NOT_COVERED),
        ([grant(items=frozenset())], Reason.ITEMS_NOT_COVERED),
        ([grant(mode=Mode.SCORE)], Reason.MODE_TOO_HIGH),
        ([grant(w_acknowledged=False)], Reason.W_NOT_ACKNOWLEDGED),
        ([replace(GRANT, uses=3)], Reason.USES_EXHAUSTED),
        ([replace(GRANT, uses=4)], Reason.USES_EXHAUSTED),
    ],
)
def test_a_refusal_names_its_reason(grants: list[Grant], reason: Reason) -> None:
    assert decide(ASK, grants, now=NOON) == Refusal(reason)


@pytest.mark.parametrize(
    "edge",
    [
        grant(valid_from=NOON),
        grant(valid_until=NOON + TICK),
        grant(max_uses=1),
        replace(GRANT, uses=2),
        grant(mode=Mode.MONITOR),
    ],
)
def test_the_last_moment_use_and_mode_within_a_consent_still_permit(edge: Grant) -> None:
    assert decide(ASK, [edge], now=NOON) == LEAVE


def test_a_withdrawn_consent_stays_withdrawn_after_its_last_day() -> None:
    withdrawn = replace(grant(valid_until=NOON), state=State.WITHDRAWN)
    assert decide(ASK, [withdrawn], now=NOON) == Refusal(Reason.WITHDRAWN)


def test_the_reason_is_that_of_the_consent_that_came_furthest() -> None:
    grants = [replace(GRANT, state=State.WITHDRAWN), grant(mode=Mode.VERIFY), grant(items=GRADE)]
    assert decide(ASK, grants, now=NOON) == Refusal(Reason.MODE_TOO_HIGH)


def test_two_half_consents_do_not_make_a_whole_one() -> None:
    both = replace(ASK, items=PAID | GRADE)
    assert decide(both, [GRANT, grant(items=GRADE)], now=NOON) == Refusal(Reason.ITEMS_NOT_COVERED)


def test_items_of_one_consent_and_mode_of_another_do_not_make_a_whole_one() -> None:
    grants = [grant(mode=Mode.VERIFY), grant(items=GRADE)]
    assert isinstance(decide(ASK, grants, now=NOON), Refusal)


def test_asking_for_nothing_is_refused_even_by_a_consent_over_nothing() -> None:
    nothing = replace(ASK, items=frozenset())
    assert decide(nothing, [grant(items=frozenset())], now=NOON) == Refusal(Reason.NOTHING_ASKED)


def test_history_is_what_was_asked_and_never_more_than_was_agreed() -> None:
    assert decide(replace(ASK, history_months=12), [GRANT], now=NOON) == replace(LEAVE, history_months=12)
    assert decide(replace(ASK, history_months=24), [GRANT], now=NOON) == LEAVE
    assert decide(replace(ASK, history_months=25), [GRANT], now=NOON) == Refusal(Reason.HISTORY_TOO_LONG)


def test_items_that_are_not_reserved_need_no_acknowledgement() -> None:
    open_items = Request("bank-a", "LOAN_APPROVAL", GRADE, Mode.VERIFY, frozenset(), frozenset())
    assert decide(open_items, [grant(items=PAID | GRADE, w_acknowledged=False)], now=NOON) == Permit(
        "c-1", GRADE, Mode.VERIFY, 24
    )


def test_of_several_the_narrowest_then_the_first_to_end_then_the_smaller_id_is_used() -> None:
    wide = replace(grant(items=PAID | GRADE), consent_id="a")
    late = replace(GRANT, consent_id="b")
    soon = replace(grant(valid_until=NOON + TICK), consent_id="d")
    same = replace(soon, consent_id="c")
    for order in ([wide, late, soon, same], [same, soon, late, wide]):
        assert decide(ASK, order, now=NOON) == replace(LEAVE, consent_id="c")
    assert decide(ASK, [wide, late], now=NOON) == replace(LEAVE, consent_id="b")


def test_a_consent_without_uses_gives_way_to_one_that_has_some() -> None:
    spent = replace(GRANT, consent_id="a", uses=3)
    assert decide(ASK, [spent, GRANT], now=NOON) == LEAVE


def test_requests_that_share_a_transaction_are_admitted_up_to_what_is_left() -> None:
    outcomes = decide_together([Question([ASK], LOANS, [replace(GRANT, uses=1)])] * 4, now=NOON)
    assert outcomes == [LEAVE, LEAVE, Refusal(Reason.USES_EXHAUSTED), Refusal(Reason.USES_EXHAUSTED)]


def test_a_request_that_fails_fails_alone_and_takes_no_use() -> None:
    too_much = replace(ASK, items=GRADE)
    outcomes = decide_together(
        [Question([too_much], LOANS, [GRANT]), Question([ASK], LOANS, [replace(GRANT, uses=2)])], now=NOON
    )
    assert outcomes == [Refusal(Reason.ITEMS_NOT_COVERED), LEAVE]


def test_the_first_try_that_is_permitted_counts_and_one_use_with_it() -> None:
    too_much = replace(ASK, items=PAID | GRADE)
    question = Question([too_much, ASK], LOANS, [replace(GRANT, uses=2)])
    outcomes = decide_together([question, question], now=NOON)
    assert outcomes == [LEAVE, Refusal(Reason.ITEMS_NOT_COVERED)]


def test_what_is_opened_once_more_takes_no_use_from_those_beside_it() -> None:
    left = [replace(GRANT, uses=2)]
    outcomes = decide_together([Question([ASK], LOANS, left, BEFORE), Question([ASK], LOANS, left)] * 2, now=NOON)
    assert outcomes == [LEAVE, LEAVE, LEAVE, Refusal(Reason.USES_EXHAUSTED)]


@pytest.mark.parametrize("answered", [None, BEFORE])
def test_no_purpose_that_is_gone_or_closed_to_lenders_opens_anything_anew_or_again(answered: Answered | None) -> None:
    assert LOANS is not None
    closed = replace(LOANS, entrances=frozenset({Entrance.SUBJECT}))
    questions = [Question([ASK], purpose, [GRANT], answered) for purpose in (None, closed)]
    gone = [Refusal(Reason.PURPOSE_UNKNOWN), Refusal(Reason.PURPOSE_NOT_FOR_LENDERS)]
    assert decide_together(questions, now=NOON) == gone


def test_an_answer_already_counted_opens_again_without_a_use_left() -> None:
    assert reopen(ASK, BEFORE, [replace(GRANT, uses=3)], now=NOON) == LEAVE


def test_but_not_once_the_days_are_over_for_which_it_may_be_kept() -> None:
    over = NOON - timedelta(days=180)
    assert reopen(ASK, Answered("c-1", over + TICK), [GRANT], now=NOON) == LEAVE
    assert reopen(ASK, Answered("c-1", over), [GRANT], now=NOON) == Refusal(Reason.DATA_LIFE_OVER)
    assert decide(ASK, [GRANT], now=NOON) == LEAVE  # whoever needs it anew asks anew, at the price of a use


def test_where_nobody_says_for_how_long_nothing_opens_again() -> None:
    silent = Grant("c-1", SCOPE, State.ACTIVE)
    assert reopen(ASK, Answered("c-1", NOON), [silent], now=NOON) == Refusal(Reason.DATA_LIFE_OVER)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(GRANT, state=State.WITHDRAWN), Reason.WITHDRAWN),
        (replace(GRANT, state=State.PAUSED), Reason.PAUSED),
        (grant(valid_until=NOON), Reason.EXPIRED),
        (grant(items=GRADE), Reason.ITEMS_NOT_COVERED),
        (grant(recipient="bank-b"), Reason.NO_CONSENT),
    ],
)
def test_but_everything_else_holds_as_of_now(changed: Grant, reason: Reason) -> None:
    assert reopen(ASK, BEFORE, [changed], now=NOON) == Refusal(reason)


def test_another_consent_does_not_bring_a_withdrawn_answer_back() -> None:
    fresh = replace(GRANT, consent_id="c-2")
    assert reopen(ASK, BEFORE, [replace(GRANT, state=State.WITHDRAWN), fresh], now=NOON) == Refusal(Reason.WITHDRAWN)
    assert reopen(ASK, Answered("c-0", NOON), [fresh], now=NOON) == Refusal(Reason.NO_CONSENT)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (replace(ASK, items=frozenset()), Reason.NOTHING_ASKED),
        (replace(ASK, business_no=None), Reason.BUSINESS_NUMBER_MISSING),
        (replace(ASK, business_no="  "), Reason.BUSINESS_NUMBER_MISSING),
        (replace(ASK, items=frozenset({"HEALTH.illness"})), Reason.ITEMS_OUTSIDE_PURPOSE),
        (replace(ASK, mode=Mode.MONITOR), Reason.MODE_TOO_HIGH),
        (replace(ASK, history_months=61), Reason.HISTORY_TOO_LONG),
    ],
)
def test_what_no_consent_could_make_right_is_refused_before_any_is_read(request_: Request, reason: Reason) -> None:
    assert screen(request_, purposes.current().get("LOAN_APPROVAL")) == Refusal(reason)


def test_an_unknown_purpose_is_refused_and_a_sound_request_is_not() -> None:
    assert screen(ASK, purposes.current().get("MARKETING")) == Refusal(Reason.PURPOSE_UNKNOWN)
    assert screen(ASK, purposes.current().get("LOAN_APPROVAL")) is None


def test_published_reasons_keep_their_names() -> None:
    assert [reason.value for reason in Reason] == [
        "nothing-asked",
        "purpose-unknown",
        "purpose-not-for-lenders",
        "business-number-missing",
        "items-outside-purpose",
        "no-consent",
        "not-yet-given",
        "superseded",
        "withdrawn",
        "expired",
        "not-yet-valid",
        "paused",
        "items-not-covered",
        "mode-too-high",
        "history-too-long",
        "adverse-consequences-not-acknowledged",
        "sensitive-not-agreed",
        "reconfirmation-due",
        "uses-exhausted",
        "monthly-uses-exhausted",
        "data-life-over",
        "recalled",
        "staff-not-listed",
    ]


JUNE = datetime(2026, 6, 30, 15, 59, 59, tzinfo=UTC)  # a second before July in Beijing
MONTHLY = replace(
    GRANT,
    scope=replace(
        SCOPE, valid_from=JUNE - timedelta(days=1), valid_until=JUNE + timedelta(days=9), uses_per_month=2, max_uses=9
    ),
    month="2026-06",
    month_uses=2,
    uses=2,
)


def test_a_months_uses_end_with_the_month_in_beijing() -> None:
    assert decide(ASK, [MONTHLY], now=JUNE) == Refusal(Reason.MONTHLY_USES_EXHAUSTED)
    assert isinstance(decide(ASK, [MONTHLY], now=JUNE + timedelta(seconds=1)), Permit)
    assert isinstance(decide(ASK, [replace(MONTHLY, month_uses=1)], now=JUNE), Permit)
    assert isinstance(decide(ASK, [replace(MONTHLY, month=None, month_uses=0)], now=JUNE), Permit)


def test_a_clock_that_is_behind_opens_no_second_allowance() -> None:
    july = replace(MONTHLY, month="2026-07")
    assert decide(ASK, [july], now=JUNE) == Refusal(Reason.MONTHLY_USES_EXHAUSTED)


def test_requests_together_share_a_months_uses() -> None:
    asked = [Question([ASK], LOANS, [replace(MONTHLY, month_uses=0, uses=0)])] * 3
    outcomes = decide_together(asked, now=JUNE)
    assert [isinstance(one, Permit) for one in outcomes] == [True, True, False]
    assert outcomes[2] == Refusal(Reason.MONTHLY_USES_EXHAUSTED)


def test_the_last_of_all_uses_is_named_before_the_last_of_the_month() -> None:
    spent = replace(MONTHLY, uses=9)
    assert decide(ASK, [spent], now=JUNE) == Refusal(Reason.USES_EXHAUSTED)


def test_sensitive_items_need_the_act_of_their_own_at_each_use() -> None:
    sensitive = replace(ASK, sensitive_items=PAID)
    assert decide(sensitive, [GRANT], now=NOON) == Refusal(Reason.SENSITIVE_NOT_AGREED)
    assert reopen(sensitive, BEFORE, [GRANT], now=NOON) == Refusal(Reason.SENSITIVE_NOT_AGREED)
    assert isinstance(decide(sensitive, [grant(sensitive_agreed=True)], now=NOON), Permit)


def test_a_consent_that_was_not_confirmed_again_in_time_permits_nothing() -> None:
    due = replace(GRANT, reconfirm_by=NOON)
    assert decide(ASK, [due], now=NOON) == Refusal(Reason.RECONFIRMATION_DUE)
    assert reopen(ASK, BEFORE, [due], now=NOON) == Refusal(Reason.RECONFIRMATION_DUE)
    assert isinstance(decide(ASK, [due], now=NOON - TICK), Permit)


def test_an_answer_is_opened_again_though_the_months_uses_are_spent() -> None:
    assert isinstance(reopen(ASK, Answered("c-1", JUNE), [MONTHLY], now=JUNE), Permit)
