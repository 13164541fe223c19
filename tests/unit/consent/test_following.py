"""What may be told under a subscription is decided as a question is, but for the uses, on its own consent alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consent import purposes
from consent.decision import Permit, Reason, Refusal, Request, follow
from consent.grant import Grant, State
from consent.scope import Mode, Scope

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ITEMS = frozenset({"RATING.grade"})
ASKED = Request("银行", "POST_LOAN", ITEMS, Mode.MONITOR, frozenset(), frozenset(), business_no="L-1")
AROUND = timedelta(days=9)
SCOPE = Scope("银行", "POST_LOAN", ITEMS, 12, NOW - AROUND, NOW + AROUND, 1, Mode.MONITOR, w_acknowledged=False)
GRANT = Grant("c1", SCOPE, State.ACTIVE, uses=1, month="2026-06", month_uses=1)
PURPOSE = purposes.current().get("POST_LOAN")


def test_it_takes_no_use_and_needs_none_left() -> None:
    assert follow(ASKED, PURPOSE, "c1", [GRANT], now=NOW) == Permit("c1", ITEMS, Mode.MONITOR, 12)


def test_an_answers_life_has_nothing_to_do_with_it() -> None:
    assert isinstance(follow(ASKED, PURPOSE, "c1", [replace(GRANT, data_life_days=0)], now=NOW), Permit)


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (replace(GRANT, state=State.WITHDRAWN), Reason.WITHDRAWN),
        (replace(GRANT, state=State.PAUSED), Reason.PAUSED),
        (replace(GRANT, state=State.SUPERSEDED), Reason.SUPERSEDED),
        (replace(GRANT, scope=replace(SCOPE, valid_until=NOW)), Reason.EXPIRED),
        (replace(GRANT, scope=replace(SCOPE, mode=Mode.REPORT)), Reason.MODE_TOO_HIGH),
        (replace(GRANT, scope=replace(SCOPE, items=frozenset({"RATING.score"}))), Reason.ITEMS_NOT_COVERED),
        (replace(GRANT, scope=replace(SCOPE, recipient="别的银行")), Reason.NO_CONSENT),
        (replace(GRANT, reconfirm_by=NOW), Reason.RECONFIRMATION_DUE),
        (replace(GRANT, consent_id="c2"), Reason.NO_CONSENT),
    ],
)
def test_everything_else_holds_as_of_now_and_no_other_consent_steps_in(grant: Grant, reason: Reason) -> None:
    assert follow(ASKED, PURPOSE, "c1", [grant, replace(GRANT, consent_id="c9")], now=NOW) == Refusal(reason)


@pytest.mark.parametrize("field", ["w_items", "sensitive_items"])
def test_what_wants_an_act_of_its_own_still_wants_it(field: str) -> None:
    asked = replace(ASKED, **{field: ITEMS})  # type: ignore[arg-type]  # a test's way to change one part
    expected = {"w_items": Reason.W_NOT_ACKNOWLEDGED, "sensitive_items": Reason.SENSITIVE_NOT_AGREED}[field]
    assert follow(asked, PURPOSE, "c1", [GRANT], now=NOW) == Refusal(expected)


def test_a_purpose_that_is_gone_or_lowered_ends_it_too() -> None:
    assert follow(ASKED, None, "c1", [GRANT], now=NOW) == Refusal(Reason.PURPOSE_UNKNOWN)
    lower = purposes.current().get("LOAN_APPROVAL")
    assert follow(ASKED, lower, "c1", [GRANT], now=NOW) == Refusal(Reason.MODE_TOO_HIGH)
