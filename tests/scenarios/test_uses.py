"""How often: counted once and for good, over months, batches, callers at once and answers that are asked for again."""

from datetime import timedelta
from uuid import uuid4

import pytest

from exchange import answer
from exchange.errors import RequestRefused
from exchange.naming import refuse_personal
from registry import clock
from tests.attacks.bent_client import ISSUER
from tests.people import consented, question
from tests.phones import bound
from tests.scenarios.stage import PERMITTED, Scene, code, evidence, refuses, subject, today


@refuses("uses-exhausted")
def test_a_use_beyond_the_last_is_refused(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, max_uses=2)
    scene.permitted(scene.asks(who))
    scene.permitted(scene.asks(who))
    scene.refused(scene.asks(who))


@refuses("monthly-uses-exhausted")
def test_a_use_beyond_the_months_last_is_refused_though_others_are_left(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, max_uses=12, uses_per_month=1)
    scene.permitted(scene.asks(who))
    scene.refused(scene.asks(who))


@refuses("uses-exhausted")
def test_the_same_question_without_a_key_is_another_use(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, max_uses=1)
    scene.permitted(scene.asks(who))
    scene.refused(scene.asks(who))


@refuses("uses-exhausted")
def test_a_key_opens_its_own_answer_again_and_no_other_when_uses_are_spent(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    scene.recorded(who, max_uses=1)
    first = scene.asks(who, key=key)
    scene.permitted(first)
    again = scene.asks(who, key=key)
    scene.permitted(again)
    assert again.content == first.content
    scene.refused(scene.asks(who, key=str(uuid4())))


@refuses("idempotency-key-reused")
def test_a_key_is_no_way_to_ask_something_else(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    scene.refused(scene.asks(who, key=key, items=["RATING.score"]))


@refuses("idempotency-key-reused")
def test_a_key_is_no_way_to_ask_about_somebody_else(scene: Scene) -> None:
    one, other, key = scene.person(), scene.person(), str(uuid4())
    scene.recorded(one), scene.recorded(other)
    scene.permitted(scene.asks(one, key=key))
    scene.refused(scene.asks(other, key=key))


@refuses("no-consent")
def test_another_lenders_key_opens_nothing_again(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    scene.refused(scene.asks(who, scene.other, key=key))


@refuses("uses-exhausted")
def test_callers_at_the_same_time_get_the_uses_there_are_and_not_one_more(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, max_uses=3)
    url, asked = f"{ISSUER}/v1/queries", {"purpose": "LOAN_APPROVAL", "business_no": "LA-1", "items": ["RATING.grade"]}
    sent = asked | {"subject": subject(who)}
    caller, token = scene.bank.caller, scene.bank.token
    calls = [("POST", url, {"json": sent, "headers": caller.headers("POST", url, token)}) for _ in range(8)]
    outcomes = scene.door.together(*calls)
    passed = [one for one in outcomes if code(one) == PERMITTED]
    assert len(passed) == 3
    for one in outcomes:
        (scene.permitted if one in passed else scene.refused)(one)


@refuses("uses-exhausted")
def test_a_batch_is_admitted_up_to_the_uses_that_are_left(scene: Scene) -> None:
    who = scene.person()
    consented(scene.home, who, max_uses=2)
    first, second, third = scene.together(*(question(who=who, identifier=who) for _ in range(3)))
    scene.permitted(first)
    scene.permitted(second)
    scene.refused(third)


@refuses("uses-exhausted")
def test_a_use_is_not_given_back_when_its_answer_was_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line drops, here: the answer cannot be written, after the use was committed. The key brings it back."""
    who, key = scene.person(), str(uuid4())
    scene.recorded(who, max_uses=1)

    def lost(*_: object) -> bytes:
        raise ValueError("lost on its way")

    with monkeypatch.context() as patches:
        patches.setattr(answer, "build", lost)
        assert scene.asks(who, key=key).status_code >= 500
    scene.refused(scene.asks(who))
    scene.permitted(scene.asks(who, key=key))


@refuses("uses-exhausted")
def test_a_smaller_consent_gives_no_use_back(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who, max_uses=3)
    scene.permitted(scene.asks(who))
    said = {"channel": "counter", "max_uses": 2}
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{made['consent_id']}/narrow", said))
    scene.permitted(scene.asks(who))
    scene.refused(scene.asks(who))


@refuses("uses-exhausted")
def test_stopping_and_going_on_gives_no_use_back(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who, max_uses=1)
    scene.permitted(scene.asks(who))
    phone = bound(scene.home, scene.door, who)
    for act in ("pause", "resume"):
        scene.permitted(phone.call("POST", f"/subject/v1/consents/{made['consent_id']}/{act}"))
    scene.refused(scene.asks(who))


@refuses("uses-exhausted")
def test_confirming_again_gives_no_use_back(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who, purpose="POST_LOAN", max_uses=1, valid_to=today(days=700))
    with scene.home.database.transaction() as tx:  # a confirmation is due before its end
        tx.execute(
            "UPDATE consent SET reconfirm_by = now() + interval '1 day' WHERE consent_id = %s", (made["consent_id"],)
        )
    scene.permitted(scene.asks(who, purpose="POST_LOAN"))
    phone = bound(scene.home, scene.door, who)
    scene.permitted(phone.call("POST", f"/subject/v1/consents/{made['consent_id']}/reconfirm"))
    scene.refused(scene.asks(who, purpose="POST_LOAN"))


@refuses("EVIDENCE_REUSED")
def test_a_paper_that_is_handed_in_once_more_gives_no_uses_once_more(scene: Scene) -> None:
    who, paper = scene.person(), evidence()
    scene.recorded(who, max_uses=1, evidence=paper)
    scene.permitted(scene.asks(who))
    assert code(scene.asks(who)) == "uses-exhausted"
    scene.refused(scene.records(who, max_uses=1, evidence=paper))
    scene.permitted(scene.records(who, max_uses=1, evidence=evidence()))


@refuses("paused")
def test_a_key_opens_nothing_again_while_the_consent_is_paused(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    made = scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    scene.bank.call("POST", f"/v1/consents/{made['consent_id']}/pause", {"channel": "counter"})
    scene.refused(scene.asks(who, key=key))


@refuses("superseded")
def test_a_key_opens_nothing_again_of_a_consent_that_was_made_smaller(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    made = scene.recorded(who)
    scene.permitted(scene.asks(who, key=key))
    said = {"channel": "counter", "max_uses": 2}
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{made['consent_id']}/narrow", said))
    scene.refused(scene.asks(who, key=key))
    scene.permitted(scene.asks(who))


@refuses("request-invalid")
def test_a_consent_for_no_use_at_all_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, max_uses=0))
    scene.permitted(scene.records(who, max_uses=1))


@refuses("uses-exhausted")
def test_a_question_that_is_refused_takes_no_use_and_brings_none(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, max_uses=1)
    assert code(scene.asks(who, items=["RATING.grade", "SUBSIDY.project"])) == "items-not-covered"
    scene.permitted(scene.asks(who))
    scene.refused(scene.asks(who))


@refuses("data-life-over")
def test_no_answer_is_opened_again_when_it_has_been_kept_as_long_as_was_agreed_to(scene: Scene) -> None:
    who, key = scene.person(), str(uuid4())
    scene.recorded(who, data_life_days=30, valid_to=today(days=80))
    first = clock.now()
    scene.permitted(scene.gate(who, idempotency_key=key))
    with scene.at(first + timedelta(days=29)):
        scene.permitted(scene.gate(who, idempotency_key=key))
    with scene.at(first + timedelta(days=31)):
        scene.refused(scene.gate(who, idempotency_key=key))
        scene.permitted(scene.gate(who, idempotency_key=str(uuid4())))  # whoever needs it still asks anew


@refuses("request-malformed")
def test_no_identifier_is_hidden_in_a_business_number_and_a_uuid_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who)
    alike = next(one for one in iter(lambda: str(uuid4()), "") if looks_like_an_identifier(one))
    scene.refused(scene.asks(who, business_no=f"LA-{who.text}"))
    scene.permitted(scene.asks(who, business_no=alike))


def looks_like_an_identifier(text: str) -> bool:
    """Whether the same characters in another place are refused."""
    try:
        refuse_personal(f"LA-{text}")
    except RequestRefused:
        return True
    return False
