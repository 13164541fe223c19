"""For whom and for what: one recipient, one purpose, named items, no further back, no more than was agreed to."""

from collections.abc import Callable
from typing import Any

import httpx
import orjson

from consent import recipients
from consent.evidence import EvidenceKind
from consent.scope import Mode
from exchange import consents
from exchange.release import Permitted
from registry import clock
from tests.asking import WANTED
from tests.people import BANK, RATING, SUBSIDY, consented, held
from tests.reachable import CONTACT
from tests.scenarios.stage import GRADE, OTHER, PROJECT, Scene, evidence, refuses, today

FUND = ["HOUSE_FUND.fund_status"]


# ---- for whom -------------------------------------------------------------------------------------------------------


@refuses("no-consent")
def test_a_consent_for_one_lender_opens_nothing_to_another(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    scene.refused(scene.asks(who, scene.other))
    scene.permitted(scene.asks(who))


@refuses("no-consent")
def test_a_person_without_any_consent_is_asked_about_in_vain_though_data_is_held(scene: Scene) -> None:
    who = scene.person()
    held(scene.home, who)
    scene.refused(scene.asks(who))
    scene.recorded(who)
    scene.permitted(scene.asks(who))


@refuses("RECIPIENT_NOT_ONE")
def test_a_consent_for_two_lenders_at_once_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.tries(lambda: consented(scene.home, who, recipient=f"{BANK}、{OTHER}", by_register=True)))
    scene.permitted(scene.tries(lambda: consented(scene.home, who, recipient=BANK, by_register=True)))


@refuses("RECIPIENT_NOT_ONE")
def test_a_lenders_name_with_a_character_that_nobody_sees_is_no_recipient(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.tries(lambda: consented(scene.home, who, recipient=f"{BANK}\u200b")))
    scene.permitted(scene.tries(lambda: consented(scene.home, who, recipient=f" {BANK} ")))


@refuses("invalid_authorization_details", "invalid_request")
def test_a_lender_asks_a_person_for_nobody_but_itself(scene: Scene) -> None:
    scene.refused(scene.bank.pages.push(WANTED | {"recipient": OTHER}))
    scene.permitted(scene.bank.pages.push(WANTED | {"recipient": BANK}))


@refuses("RECIPIENT_WITHOUT_CONTACT", "invalid_authorization_details")
def test_nobody_is_asked_for_a_lender_of_which_it_cannot_be_told_how_it_is_reached(scene: Scene) -> None:
    who, lender = scene.person(), scene.other
    message = {"subject": {"identifier": who.text}, "terms": WANTED, "message": "柜台 3 号"}
    acts: tuple[Callable[[], httpx.Response], ...] = (
        lambda: lender.pages.push(WANTED),
        lambda: lender.call("POST", "/v1/consent-requests", message),
        lambda: scene.records(who, lender),
    )
    with scene.home.database.transaction() as tx:
        tx.execute("DELETE FROM recipient_contact WHERE recipient = %s", (OTHER,))  # registered by a release of before
    for act in acts:
        scene.refused(act())
    with scene.home.database.transaction() as tx:
        recipients.keep(tx, OTHER, CONTACT, now=clock.now())
    for act in acts:
        scene.permitted(act())


# ---- for what -------------------------------------------------------------------------------------------------------


@refuses("no-consent")
def test_a_consent_for_a_loans_approval_is_none_for_managing_the_loan(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    scene.refused(scene.asks(who, purpose="POST_LOAN"))
    scene.permitted(scene.asks(who))


@refuses("purpose-not-for-lenders")
def test_no_lender_asks_for_what_is_a_persons_own(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    scene.refused(scene.asks(who, purpose="SELF_QUERY", business_no=None))
    scene.permitted(scene.asks(who))


@refuses("PURPOSE_NOT_FOR_LENDERS")
def test_no_lender_records_a_consent_for_the_training_of_models(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, purpose="MODEL_TRAINING"))
    scene.permitted(scene.records(who, purpose="RATING"))


@refuses("PURPOSE_UNKNOWN")
def test_a_purpose_that_is_not_published_is_agreed_to_by_nobody(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, purpose="MARKETING"))
    scene.permitted(scene.records(who))


@refuses("purpose-unknown")
def test_a_purpose_that_is_not_published_is_asked_for_in_vain(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    scene.refused(scene.asks(who, purpose="MARKETING"))
    scene.permitted(scene.asks(who))


@refuses("business-number-missing")
def test_no_loan_is_asked_about_without_its_number(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    scene.refused(scene.asks(who, business_no=None))
    scene.permitted(scene.asks(who))


@refuses("invalid_authorization_details", "invalid_request")
def test_two_purposes_are_not_bundled_into_one_request(scene: Scene) -> None:
    two = orjson.dumps([WANTED, WANTED | {"purpose": "POST_LOAN"}]).decode()
    scene.refused(scene.bank.pages.push(authorization_details=two))
    scene.permitted(scene.bank.pages.push(authorization_details=orjson.dumps([WANTED]).decode()))


# ---- items ----------------------------------------------------------------------------------------------------------


@refuses("items-not-covered")
def test_one_item_outside_the_consent_refuses_the_whole_question(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, items=["RATING"])
    scene.refused(scene.asks(who, items=GRADE + PROJECT))
    scene.permitted(scene.asks(who, items=GRADE))


@refuses("items-not-covered")
def test_two_halves_do_not_make_a_whole(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, items=GRADE)
    scene.recorded(who, items=PROJECT)
    scene.refused(scene.asks(who, items=GRADE + PROJECT))
    scene.permitted(scene.asks(who, items=GRADE))
    scene.permitted(scene.asks(who, items=PROJECT))


@refuses("mode-too-high")
def test_the_items_of_one_consent_and_the_mode_of_another_do_not_make_a_whole(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, items=GRADE + PROJECT, mode="verify")
    scene.recorded(who, items=GRADE)
    scene.refused(scene.asks(who, items=GRADE + PROJECT))
    scene.permitted(scene.asks(who, items=GRADE))


@refuses("items-outside-purpose")
def test_what_a_purpose_may_not_touch_is_refused_whatever_was_agreed_to(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, purpose="RATING")
    scene.refused(scene.asks(who, purpose="RATING", mode="summary", items=FUND))
    scene.recorded(who, purpose="RATING", mode="summary")
    scene.permitted(scene.asks(who, purpose="RATING", mode="summary"))


@refuses("ITEM_OUTSIDE_PURPOSE")
def test_nobody_agrees_to_an_item_that_the_purpose_may_not_touch(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, purpose="RATING", items=FUND, sensitive_agreed=True))
    scene.permitted(scene.records(who, purpose="LOAN_APPROVAL", items=FUND, sensitive_agreed=True))


@refuses("ITEM_UNKNOWN")
def test_nobody_agrees_to_an_item_that_does_not_exist(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, items=["RATING.everything"]))
    scene.permitted(scene.records(who, items=["RATING.grade"]))


@refuses("request-invalid")
def test_a_consent_to_nothing_in_particular_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, items=[]))
    scene.permitted(scene.records(who, items=GRADE))


@refuses("ITEM_UNKNOWN", "items-not-covered", "item-unknown")
def test_an_account_number_is_in_no_consent_and_no_answer(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, items=["SUBSIDY.bank_account"], sensitive_agreed=True))
    scene.recorded(who, items=["SUBSIDY"], adverse_consequences_acknowledged=True, sensitive_agreed=True)
    scene.refused(scene.asks(who, items=["SUBSIDY.bank_account"]))
    scene.permitted(scene.asks(who, items=["SUBSIDY.amount_paid"]))


# ---- W-items and sensitive items ------------------------------------------------------------------------------------


@refuses("adverse-consequences-not-acknowledged")
def test_income_is_not_shown_to_a_lender_where_consequences_were_not_acknowledged(scene: Scene) -> None:
    who, told = scene.person(), scene.person()
    scene.recorded(who, items=["SUBSIDY"])
    scene.recorded(told, items=["SUBSIDY"], adverse_consequences_acknowledged=True)
    scene.refused(scene.asks(who, items=["SUBSIDY.amount_paid"]))
    scene.permitted(scene.asks(told, items=["SUBSIDY.amount_paid"]))


@refuses("ACKNOWLEDGEMENT_NOT_WRITTEN")
def test_consequences_are_not_acknowledged_by_word_of_mouth(scene: Scene) -> None:
    who, spoken = scene.person(), evidence(kind=EvidenceKind.VIDEO_STATEMENT.value)
    w_items: dict[str, Any] = {"items": ["SUBSIDY"], "adverse_consequences_acknowledged": True}
    scene.refused(scene.records(who, evidence=spoken, **w_items))
    scene.permitted(scene.records(who, evidence=evidence(), **w_items))


@refuses("SENSITIVE_NOT_AGREED")
def test_the_housing_fund_is_not_agreed_to_along_with_everything_else(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, items=[*GRADE, *FUND]))
    scene.permitted(scene.records(who, items=[*GRADE, *FUND], sensitive_agreed=True))


@refuses("sensitive-not-agreed")
def test_a_consent_of_before_without_the_act_of_its_own_shows_no_sensitive_item(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who, items=[*GRADE, *FUND], sensitive_agreed=True)
    scene.permitted(scene.asks(who, items=FUND))
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent SET sensitive_agreed = false WHERE consent_id = %s", (made["consent_id"],))
    scene.refused(scene.asks(who, items=FUND))
    scene.permitted(scene.asks(who, items=GRADE))


# ---- how much, how far back, how long -------------------------------------------------------------------------------


@refuses("mode-too-high")
def test_whoever_may_ask_yes_or_no_is_not_told_the_value(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, mode="verify")
    scene.refused(scene.asks(who))
    scene.permitted(scene.asks(who, mode="verify", items=None, claims=[{"item": "RATING.grade"}]))


@refuses("items-not-covered")
def test_yes_or_no_is_not_told_either_of_what_was_not_agreed_to(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, items=GRADE)
    for item, expected in (("RATING.score", scene.refused), ("RATING.grade", scene.permitted)):
        expected(scene.asks(who, mode="verify", items=None, claims=[{"item": item}]))


@refuses("MODE_TOO_HIGH")
def test_no_consent_gives_more_of_an_answer_than_its_purpose(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, purpose="SUBSIDY_MATCH", mode="summary"))
    scene.permitted(scene.records(who, purpose="LOAN_APPROVAL", mode="summary"))


@refuses("HISTORY_TOO_LONG")
def test_no_consent_reaches_further_back_than_its_purpose(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, history_months=61))
    scene.permitted(scene.records(who, history_months=60))


@refuses("not-shown")
def test_what_is_older_than_was_agreed_to_is_not_shown(scene: Scene) -> None:
    """A year's history of a record that began a month ago; the same with no history at all."""
    for months, expected in ((12, scene.permitted), (0, scene.refused)):
        who = scene.person()
        held(scene.home, who, [("RATING", RATING), ("SUBSIDY", SUBSIDY)])
        consented(scene.home, who, history_months=months)
        outcome = scene.gate(who)
        assert isinstance(outcome, Permitted)
        expected("permitted" if outcome.opened else "not-shown")


@refuses("VALIDITY_TOO_LONG")
def test_no_consent_lasts_longer_than_its_purpose(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, valid_to=today(days=370)))
    scene.permitted(scene.records(who, valid_to=today(days=360)))


@refuses("TOO_MANY_USES")
def test_no_consent_is_good_for_more_uses_than_its_purpose(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, max_uses=13))
    scene.permitted(scene.records(who, max_uses=12))


@refuses("TOO_MANY_USES_PER_MONTH")
def test_no_consent_is_good_for_more_uses_a_month_than_its_purpose(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, max_uses=12, uses_per_month=13))
    scene.permitted(scene.records(who, max_uses=12, uses_per_month=12))


@refuses("DATA_LIFE_TOO_LONG")
def test_no_lender_keeps_what_it_saw_for_longer_than_the_purpose_allows(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, data_life_days=181))
    scene.permitted(scene.records(who, data_life_days=180))


@refuses("PURPOSE_NOT_FOR_LENDERS", "TOO_MANY_USES", "HISTORY_TOO_LONG", "invalid_authorization_details")
def test_a_person_is_not_even_asked_for_what_no_consent_may_hold(scene: Scene) -> None:
    scene.refused(scene.bank.pages.push(WANTED | {"max_uses": 13}))
    scene.permitted(scene.bank.pages.push(WANTED | {"max_uses": 12}))


@refuses("mode-too-high", "items-not-covered", "uses-exhausted")
def test_a_ceiling_that_was_lowered_since_binds_a_consent_of_before(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who, max_uses=12, mode=Mode.REPORT)
    with scene.home.database.transaction() as tx:  # as recorded under caps of before, and used as often as now allowed
        tx.execute(
            "UPDATE consent SET purpose_version = '2020-01', max_uses = 500, uses_per_month = 500, uses = 12,"
            " month = to_char(%s + interval '8 hours', 'YYYY-MM') WHERE consent_id = %s",
            (clock.now().replace(tzinfo=None), consent.consent_id),
        )
    scene.refused(scene.gate(who))
    consents.withdraw(scene.home, consent.consent_id, consent.terms.capture.channel, actor="test")
    fresh = scene.person()
    consented(scene.home, fresh, max_uses=12)
    scene.permitted(scene.gate(fresh))
