"""When: first and last instant, clocks that differ, batches that a consent ends in, months as they run in Beijing."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from consent.evidence import Channel
from consent.record import NewConsent, SubjectType, midnight
from exchange import consents
from registry import clock
from registry.instants import BEIJING
from registry.records import NOBODY
from tests.attacks.bent_client import ISSUER, FromNow
from tests.capturing import collector, device, taken
from tests.people import BANK, capture, consented, question
from tests.scenarios.stage import Scene, on_device, refuses, today

QUARTER = timedelta(minutes=15)
INSTANT = timedelta(microseconds=1)
JUNE_ENDS = datetime(2026, 7, 1, tzinfo=BEIJING)  # 16:00 UTC on 30 June


# ---- first and last instant -----------------------------------------------------------------------------------------


@refuses("not-yet-valid")
def test_a_consent_opens_nothing_before_its_first_instant(scene: Scene) -> None:
    who = scene.person()
    first = consented(scene.home, who, began=-timedelta(days=2)).terms.scope.valid_from
    with scene.at(first - INSTANT):
        scene.refused(scene.gate(who))
    with scene.at(first):
        scene.permitted(scene.gate(who))


@refuses("expired")
def test_a_consent_opens_nothing_from_the_first_instant_after_its_end(scene: Scene) -> None:
    who = scene.person()
    end = consented(scene.home, who).terms.scope.valid_until
    with scene.at(end - INSTANT):
        scene.permitted(scene.gate(who))
    with scene.at(end):
        scene.refused(scene.gate(who))


@refuses("expired")
def test_a_last_day_ends_with_that_day_in_beijing_and_not_in_greenwich(scene: Scene) -> None:
    who = scene.person()
    scene.recorded(who, valid_to=today(days=20))
    day_over = midnight(clock.beijing_day(clock.now()) + timedelta(days=21))
    with scene.at(day_over - timedelta(minutes=1)):
        scene.permitted(scene.gate(who))
    with scene.at(day_over + timedelta(minutes=1)):  # in UTC it is still the last day
        scene.refused(scene.gate(who))


@refuses("expired")
def test_whether_the_job_that_writes_expired_has_run_makes_no_difference(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who, began=timedelta(days=40), days=30)
    scene.refused(scene.gate(who))
    with scene.home.database.transaction() as tx:
        consents.expire_due(tx, now=clock.now())
    scene.refused(scene.gate(who))
    with scene.at(consent.terms.scope.valid_from + timedelta(days=1)):
        other = scene.person()
        consented(scene.home, other)
        scene.permitted(scene.gate(other))


@refuses("PERIOD_INVERTED")
def test_no_consent_ends_before_it_begins(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, valid_from=today(days=5), valid_to=today(days=4)))
    scene.permitted(scene.records(who, valid_from=today(days=5), valid_to=today(days=5)))


@refuses("DATE_UNREADABLE")
def test_a_moment_without_a_time_zone_begins_no_consent(scene: Scene) -> None:
    def granted(begins: datetime) -> None:
        new = NewConsent(
            subject_id=NOBODY,
            subject_type=SubjectType.PERSON,
            recipient=BANK,
            purpose="LOAN_APPROVAL",
            items=("RATING",),
            valid_from=begins,
            capture=capture(),
        )
        consents.grant(scene.home, scene.person(), new, actor="test")

    scene.refused(scene.tries(lambda: granted(clock.now().replace(tzinfo=None))))
    scene.permitted(scene.tries(lambda: granted(clock.now())))


# ---- clocks ---------------------------------------------------------------------------------------------------------


@refuses("TAKEN_OUT_OF_TIME")
def test_a_consent_taken_more_than_a_quarter_of_an_hour_from_now_was_not_taken(scene: Scene) -> None:
    who, now = scene.person(), clock.now()
    scene.refused(scene.records(who, captured_at=(now + QUARTER + timedelta(minutes=1)).isoformat()))
    scene.permitted(scene.records(who, captured_at=(now + QUARTER - timedelta(minutes=1)).isoformat()))


@refuses("TAKEN_OUT_OF_TIME")
def test_a_consent_that_was_taken_more_than_seven_days_ago_is_asked_for_anew(scene: Scene) -> None:
    who, week = scene.person(), clock.now() - timedelta(days=7)
    scene.refused(scene.records(who, captured_at=(week - timedelta(minutes=1)).isoformat()))
    scene.permitted(scene.records(who, captured_at=(week + timedelta(minutes=1)).isoformat()))


@refuses("clock-ahead")
def test_a_devices_clock_is_not_a_quarter_of_an_hour_ahead(scene: Scene) -> None:
    code, here = collector(scene.home, f"c-{uuid4()}"), device(scene.home)
    for ahead in (QUARTER + timedelta(minutes=1), QUARTER - timedelta(minutes=1)):
        here.take(on_device(code, scene.person()), at=clock.now() + ahead)
    sent = {"device": here.name, "records": here.records}
    ahead_too_far, within = scene.bank.call("POST", "/v1/consents/offline", sent).json()["records"]
    scene.refused(ahead_too_far["reason"]["code"])
    scene.permitted("permitted" if within["consent_id"] else within["reason"]["code"])


@refuses("clock-back")
def test_a_devices_clock_does_not_go_back_by_more_than_a_quarter_of_an_hour(scene: Scene) -> None:
    code, here, now = collector(scene.home, f"c-{uuid4()}"), device(scene.home), clock.now()
    for ago in (5, 25, 15):
        here.take(on_device(code, scene.person()), at=now - timedelta(minutes=ago))
    sent = {"device": here.name, "records": here.records}
    _, back, little = scene.bank.call("POST", "/v1/consents/offline", sent).json()["records"]
    scene.refused(back["reason"]["code"])
    scene.permitted("permitted" if little["consent_id"] else little["reason"]["code"])


@refuses("proof-invalid")
def test_a_system_whose_clock_is_a_quarter_of_an_hour_slow_is_told_nothing(scene: Scene) -> None:
    url = f"{ISSUER}/v1/catalogue"
    for late, expected in ((-QUARTER, scene.refused), (timedelta(), scene.permitted)):
        bent = {"iat": FromNow(int(late.total_seconds()))}
        expected(scene.bank.caller.get(scene.door, scene.bank.token, url, **bent))


@refuses("proof-invalid")
def test_a_system_whose_clock_is_a_quarter_of_an_hour_fast_is_told_nothing(scene: Scene) -> None:
    url = f"{ISSUER}/v1/catalogue"
    for early, expected in ((QUARTER, scene.refused), (timedelta(), scene.permitted)):
        bent = {"iat": FromNow(int(early.total_seconds()))}
        expected(scene.bank.caller.get(scene.door, scene.bank.token, url, **bent))


@refuses("uploaded-too-late")
def test_a_consent_that_lay_on_a_device_for_more_than_a_week_is_asked_for_anew(scene: Scene) -> None:
    code, here, week = collector(scene.home, f"c-{uuid4()}"), device(scene.home), timedelta(days=7)
    for age in (week + timedelta(minutes=1), week - timedelta(minutes=10)):
        here.take(on_device(code, scene.person()), at=clock.now() - age)
    sent = {"device": here.name, "records": here.records}
    late, timely = scene.bank.call("POST", "/v1/consents/offline", sent).json()["records"]
    scene.refused(late["reason"]["code"])
    scene.permitted("permitted" if timely["consent_id"] else timely["reason"]["code"])


@refuses("paper-too-old")
def test_a_paper_that_was_signed_more_than_sixty_days_ago_is_asked_for_anew(scene: Scene) -> None:
    code = collector(scene.home, f"c-{uuid4()}")
    scene.refused(scene.bank.call("POST", "/v1/paper-consents", paper(scene, code, signed_on=today(days=-61))))
    scene.permitted(scene.bank.call("POST", "/v1/paper-consents", paper(scene, code, signed_on=today(days=-5))))


@refuses("paper-too-old")
def test_a_paper_that_is_signed_tomorrow_is_not_signed(scene: Scene) -> None:
    code = collector(scene.home, f"c-{uuid4()}")
    scene.refused(scene.bank.call("POST", "/v1/paper-consents", paper(scene, code, signed_on=today(days=1))))
    scene.permitted(scene.bank.call("POST", "/v1/paper-consents", paper(scene, code, signed_on=today())))


def paper(scene: Scene, collected_by: str, **changes: object) -> dict[str, object]:
    stated = {"original_sha256": uuid4().hex * 2, "channel": "village", "fingerprints_redacted": True}
    return taken(scene.person(), collector=collected_by) | stated | changes


@refuses("began-before")
def test_no_consent_begins_before_the_day_on_which_a_counter_took_it(scene: Scene) -> None:
    who, taken_at = scene.person(), clock.now() - timedelta(days=2)
    scene.refused(scene.records(who, valid_from=today(days=-3), captured_at=taken_at.isoformat()))
    scene.permitted(scene.records(who, valid_from=today(days=-2), captured_at=taken_at.isoformat()))


@refuses("began-before")
def test_no_consent_begins_before_the_day_on_which_a_device_took_it(scene: Scene) -> None:
    code, here = collector(scene.home, f"c-{uuid4()}"), device(scene.home)
    for begins in (today(days=-2), today()):
        here.take(on_device(code, scene.person(), valid_from=begins), at=clock.now() - timedelta(seconds=1))
    sent = {"device": here.name, "records": here.records}
    early, timely = scene.bank.call("POST", "/v1/consents/offline", sent).json()["records"]
    scene.refused(early["reason"]["code"])
    scene.permitted("permitted" if timely["consent_id"] else timely["reason"]["code"])


@refuses("BEFORE_WITHDRAWAL")
def test_no_consent_is_dated_back_to_before_the_last_withdrawal(scene: Scene) -> None:
    who = scene.person()
    consent = consented(scene.home, who)
    consents.withdraw(scene.home, consent.consent_id, Channel.COUNTER, actor="test")
    dated_back: dict[str, Any] = {
        "captured_at": (clock.now() - timedelta(days=1)).isoformat(),
        "valid_from": today(days=-1),
    }
    scene.refused(scene.records(who, **dated_back))
    scene.permitted(scene.records(who, valid_from=today()))


# ---- a consent that ends while questions are under way --------------------------------------------------------------


@refuses("expired")
def test_a_consent_that_ends_during_a_series_of_batches_ends_the_series(scene: Scene) -> None:
    who = scene.person()
    end = consented(scene.home, who).terms.scope.valid_until
    batch = [question(who=who, identifier=who, items=frozenset({"RATING.grade"})) for _ in range(2)]
    with scene.at(end - timedelta(seconds=1)):
        for outcome in scene.together(*batch):
            scene.permitted(outcome)
    with scene.at(end + timedelta(seconds=1)):
        for outcome in scene.together(*batch):
            scene.refused(outcome)


@refuses("expired")
def test_a_question_that_came_in_time_and_is_decided_too_late_is_refused(scene: Scene) -> None:
    who = scene.person()
    end = consented(scene.home, who).terms.scope.valid_until
    asked = question(who=who, identifier=who, items=frozenset({"RATING.grade"}))

    moments = [end - timedelta(seconds=1)]

    def goes_by(step: int) -> None:
        if step == 2:  # the question is read, its consents are not yet
            moments.append(end)

    with scene.patches.context() as patches:
        patches.setattr(clock, "now", lambda: moments[-1])
        scene.permitted(scene.together(asked)[0])
        (outcome,) = scene.together(asked, at_step=goes_by)
    scene.refused(outcome)


# ---- months ---------------------------------------------------------------------------------------------------------


@refuses("monthly-uses-exhausted")
def test_a_months_uses_come_again_with_the_month_in_beijing_and_not_before(scene: Scene) -> None:
    who = scene.person()
    with scene.at(JUNE_ENDS - timedelta(days=1)):
        consented(scene.home, who, max_uses=9, uses_per_month=1)
    with scene.at(JUNE_ENDS - timedelta(minutes=1)):
        scene.permitted(scene.gate(who))
        scene.refused(scene.gate(who))
    with scene.at(JUNE_ENDS):
        scene.permitted(scene.gate(who))


@refuses("monthly-uses-exhausted")
def test_a_month_that_begins_in_greenwich_gives_no_uses_a_second_time(scene: Scene) -> None:
    who = scene.person()
    with scene.at(JUNE_ENDS - timedelta(days=1)):
        consented(scene.home, who, max_uses=9, uses_per_month=1)
    with scene.at(JUNE_ENDS + timedelta(minutes=1)):
        scene.permitted(scene.gate(who))
    with scene.at(JUNE_ENDS + timedelta(hours=8, minutes=1)):  # 1 July in UTC, too
        scene.refused(scene.gate(who))


@refuses("monthly-uses-exhausted")
def test_a_process_whose_clock_is_slow_opens_no_second_allowance(scene: Scene) -> None:
    who = scene.person()
    with scene.at(JUNE_ENDS - timedelta(days=1)):
        consented(scene.home, who, max_uses=9, uses_per_month=2)
    with scene.at(JUNE_ENDS):
        scene.permitted(scene.gate(who))
        scene.permitted(scene.gate(who))
    with scene.at(JUNE_ENDS - timedelta(minutes=2)):
        scene.refused(scene.gate(who))
