"""Limits, decided without a database: what is let through, what is not, and what a lender is told of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import RulesRefused
from exchange.limits import deciding, declared, pacing, shown, trying
from exchange.limits.deciding import DAILY, MONTHLY, RATE, SUBJECT, USER_DAILY, USER_RATE, Found, Round
from exchange.limits.places import How, Place, Question, hashes, neighbourhoods
from exchange.limits.trying import Asked, Remembered
from registry.identifiers import ResidentId

NOW = datetime(2026, 6, 30, 15, 59, 50, tzinfo=UTC)  # ten seconds before a month ends in Beijing
OWN = declared.of(None)
LIMITS = declared.read(
    """
client: {per_second: 1, burst: 4, daily: 6, monthly: 9}
user: {per_minute: 6, burst: 3, daily: 5}
subject: {daily: 3, thirty_days: 4, all_lenders_thirty_days: 5}
doors: {per_minute: 2, burst: 3}
tokens: {per_minute: 2, burst: 3}
trying: {within_seconds: 600, user: 5, adjacent: 3, client: 8, user_daily: 7, client_daily: 20, lines_daily: 6,
  held_seconds: 60}
connections: {at_most: 9, of_one_peer: 9, header_bytes: 8192, header_seconds: 1, body_seconds: 1, write_seconds: 1,
  idle_seconds: 1}
"""
)


def asked(subject: str = "s", user: str | None = None, how: How = How.BY_HAND, client: str = "bank") -> Question:
    return Question.put(client, "Bank", user, how, None if how is How.AGAIN else subject)


def codes(questions: list[Question], found: dict[Place, Found] | None = None, now: datetime = NOW) -> list[str | None]:
    """Decide a round over rows that say nothing but what is given."""
    places = {place for one in questions for place in deciding.steps(LIMITS, one)}
    rows = dict.fromkeys(places, Found()) | (found or {})
    return [one.code for one in Round(LIMITS, rows, now).verdicts(questions)]


# ---- what is let through --------------------------------------------------------------------------------------------


def test_a_burst_is_let_through_and_one_more_is_not() -> None:
    assert codes([asked(f"s{n}") for n in range(5)]) == [None] * 4 + [RATE]


def test_a_bucket_that_has_filled_up_again_is_good_for_as_many_as_before() -> None:
    full = {Place("c:bank"): Found(paced_until=NOW.timestamp() + 4)}
    assert codes([asked()], full) == [RATE]
    assert codes([asked()], full, NOW + timedelta(seconds=1)) == [None]


def test_what_one_user_asks_too_fast_takes_nothing_from_the_others() -> None:
    round_ = [asked(f"s{n}", "u-1") for n in range(20)] + [asked("t", "u-2")]
    assert codes(round_) == [None] * 3 + [USER_RATE] * 17 + [None]


def test_a_users_day_ends_at_its_number_whichever_system_asks() -> None:
    found = {Place("u:Bank", "u-1"): Found(today=5)}
    assert codes([asked("a", "u-1"), asked("b", "u-1", client="other")], found) == [USER_DAILY] * 2


def test_a_day_and_a_month_of_a_system_end_at_their_numbers() -> None:
    assert codes([asked("a"), asked("b")], {Place("c:bank"): Found(today=5)}) == [None, DAILY]
    assert codes([asked("a"), asked("b")], {Place("c:bank"): Found(before=8)}) == [None, MONTHLY]


def test_a_system_with_caps_of_its_own_has_those() -> None:
    wider = {Place("c:bank"): Found(today=6, daily=7, monthly=100)}
    assert codes([asked("a"), asked("b")], wider) == [None, DAILY]


def test_a_subject_is_asked_about_so_often_a_day_and_in_thirty_days() -> None:
    about = Place("s:s", "Bank")
    assert codes([asked(), asked()], {about: Found(today=2)}) == [None, SUBJECT]
    assert codes([asked(), asked()], {about: Found(before=3)}) == [None, SUBJECT]
    assert codes([asked()], {about: Found(others=1000)}) == [None]  # no lender feels what others asked


def test_lines_of_a_batch_have_no_pace_but_count() -> None:
    lines = [asked(f"s{n}", "u-1", How.AS_LINE) for n in range(8)]
    assert codes(lines) == [None] * 6 + [DAILY] * 2


def test_what_is_asked_again_has_the_pace_alone() -> None:
    full = {Place("c:bank"): Found(today=1000, before=1000)}
    assert codes([asked(how=How.AGAIN)] * 5, full) == [None] * 4 + [RATE]


def test_who_is_held_is_answered_nothing_new_until_then() -> None:
    held = {Place("u:Bank", "u-1"): Found(held_until=NOW + timedelta(seconds=5))}
    assert codes([asked("a", "u-1"), asked("b", "u-2"), asked("c")], held) == [deciding.TRYING, None, None]
    assert codes([asked("a", "u-1")], held, NOW + timedelta(seconds=5)) == [None]
    assert codes([asked(user="u-1", how=How.AGAIN)], held) == [None]


def test_retry_after_is_when_it_would_be_let_through() -> None:
    rows = {Place("c:bank"): Found(today=6), Place("n:bank"): Found(), Place("s:s", "Bank"): Found()}
    assert Round(LIMITS, rows, NOW).verdicts([asked()])[0].after_seconds == 10  # midnight in Beijing
    paced = rows | {Place("c:bank"): Found(paced_until=NOW.timestamp() + 5.5)}
    assert Round(LIMITS, paced, NOW).verdicts([asked()])[0].after_seconds == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "u", "v"]), st.sampled_from(How)), max_size=40))
def test_nothing_is_let_through_over_any_number(round_: list[tuple[int, str | None, How]]) -> None:
    questions = [asked(f"s{subject}", user, how) for subject, user, how in round_]
    through = [one for one, code in zip(questions, codes(questions), strict=True) if code is None]
    new = [one for one in through if one.how is not How.AGAIN]
    assert len(new) <= LIMITS.client.daily
    assert sum(one.how is not How.AS_LINE for one in through) <= LIMITS.client.burst
    for user in ("u", "v"):
        assert sum(one.who.part == user and one.is_a_persons for one in new) <= LIMITS.user.burst
    for subject in range(4):
        assert sum(one.about == Place(f"s:s{subject}", "Bank") for one in new) <= LIMITS.subject.daily


def test_a_subject_crowded_by_all_lenders_is_noticed_and_refused_to_nobody() -> None:
    about = Place("s:s", "Bank")
    rows = {Place("c:bank"): Found(), Place("n:bank"): Found(), about: Found(others=4)}
    whole = Round(LIMITS, rows, NOW)
    questions = [asked(), asked(), asked()]
    verdicts = whole.verdicts(questions)
    assert [one.code for one in verdicts] == [None] * 3
    assert whole.crowded(questions, verdicts) == questions[1:]  # that they are many makes one alert of a day
    leapt = Round(LIMITS, rows | {about: Found(others=6)}, NOW)  # two lenders asked at once, and saw neither's
    assert leapt.crowded(questions[:1], leapt.verdicts(questions[:1])) == questions[:1]
    long_past = Round(LIMITS, rows | {about: Found(others=60)}, NOW)
    assert long_past.crowded(questions[:1], long_past.verdicts(questions[:1])) == []


def test_what_is_left_is_shown_as_structured_fields() -> None:
    rows = {Place("c:bank"): Found(today=2, before=1), Place("u:Bank", "u-1"): Found(), Place("s:s", "Bank"): Found()}
    whole, questions = Round(LIMITS, rows, NOW), [asked(user="u-1")]
    whole.verdicts(questions)
    (left,) = whole.left(questions)
    assert shown.headers(left) == {
        "RateLimit-Policy": '"burst";q=4;w=4, "user-burst";q=3;w=30, "user-day";q=5;w=86400, "day";q=6;w=86400,'
        ' "month";q=9;w=2592000',
        "RateLimit": '"burst";r=3;t=1, "user-burst";r=2;t=10, "user-day";r=4;t=10, "day";r=3;t=10, "month";r=5;t=10',
    }
    assert shown.headers(()) == {}


# ---- trying identifiers out -----------------------------------------------------------------------------------------


def denied(count: int, user: str | None = "u-1", near: str = "") -> list[Asked]:
    return [Asked(asked(f"s{n}", user), f"{near or n}.{n}") for n in range(count)]


def weighed(round_: list[Asked], before: dict[Place, Remembered] | None = None) -> trying.Weighed:
    return trying.weigh(LIMITS.trying, before or {}, round_, NOW)


def test_the_fifth_denial_holds_a_user_and_nothing_more_is_answered_in_the_same_round() -> None:
    came = weighed([*denied(7), Asked(asked("known", "u-1"), None), Asked(asked("known", "u-2"), None)])
    assert came.cut == [5, 6, 7]
    assert [(one.place, one.counted) for one in came.held] == [(Place("u:Bank", "u-1"), 5)]


def test_neighbours_are_taken_for_trying_out_sooner_and_the_same_one_again_is_not() -> None:
    assert [one.counted for one in weighed(denied(3, near="same")).held] == [3]
    assert weighed([Asked(asked("s", "u-1"), "same.s")] * 4).held == []


def test_another_user_for_each_guess_comes_to_the_system_being_held() -> None:
    guesses = [Asked(asked(f"s{n}", f"u-{n}"), f"{n}.{n}") for n in range(10)]
    came = weighed(guesses)
    assert [one.place for one in came.held] == [Place("c:bank")]
    assert came.cut == [8, 9]


def test_one_user_held_leaves_the_system_and_its_other_users_alone() -> None:
    came = weighed(denied(7))
    assert Place("c:bank") not in {one.place for one in came.held}
    assert len(came.remembered[Place("c:bank")]) == 5  # what was cut off was not denied


def test_denials_of_before_the_window_are_forgotten() -> None:
    old = (NOW - timedelta(seconds=LIMITS.trying.within_seconds)).timestamp()
    before: dict[Place, Remembered] = {Place("u:Bank", "u-1"): [(old, "x.x", 1)] * 4}
    assert weighed(denied(1), before).held == []
    before[Place("u:Bank", "u-1")] = [(old + 1, f"{n}.{n}", 1) for n in range(4)]
    assert len(weighed(denied(1), before).held) == 1


def test_who_was_over_already_when_the_rows_were_had_is_cut_off_at_once() -> None:
    before: dict[Place, Remembered] = {Place("u:Bank", "u-1"): [(NOW.timestamp(), f"{n}.{n}", 1) for n in range(5)]}
    came = weighed(denied(2), before)
    assert came.cut == [0, 1]
    assert [one.place for one in came.held] == [Place("u:Bank", "u-1")]  # again, and once a round
    assert weighed([Asked(asked("known", "u-1"), None)], before).held == []  # nothing was guessed


def test_who_guesses_slowly_comes_to_the_days_number() -> None:
    long_ago = NOW.timestamp() - 3600
    before: dict[Place, Remembered] = {Place("u:Bank", "u-1"): [(long_ago - n, f"x{n}.{n}", 1) for n in range(6)]}
    assert [(one.counted, one.window_seconds) for one in weighed(denied(2), before).held] == [(7, 86_400)]
    system: dict[Place, Remembered] = {Place("c:bank"): [(long_ago, f"x{n}.{n}", 1) for n in range(19)]}
    guesses = [Asked(asked(f"s{n}", f"u-{n}"), f"{n}.{n}") for n in range(3)]
    assert weighed(guesses, system).cut == [1, 2]
    yesterday: dict[Place, Remembered] = {Place("u:Bank", "u-1"): [(NOW.timestamp() - 86_400, "x.x", 1)] * 6}
    assert weighed(denied(2), yesterday).held == []


def test_lines_of_batches_have_a_number_of_their_own_and_stay_short_in_memory() -> None:
    lines = [Asked(asked(f"s{n}", "u-1", How.AS_LINE), f"{n}.{n}") for n in range(8)]
    came = weighed(lines)
    assert [(one.place, one.counted) for one in came.held] == [(Place("b:bank"), 6)]
    assert came.cut == [6, 7]
    assert [n for _, _, n in came.remembered[Place("b:bank")]] == [6]
    assert came.remembered.keys() == {Place("b:bank")}


def test_neighbours_differ_in_their_last_characters_and_nothing_of_an_identifier_is_kept() -> None:
    one, next_, other = ("630222199901010001", "63022219990101001X", "63272119850302000X")
    found = neighbourhoods(b"k", [ResidentId.parse(one), ResidentId.parse(next_), ResidentId.parse(other)])
    near = [text.partition(".")[0] for text in found]
    assert near[0] == near[1] != near[2]
    assert len(set(found)) == 3
    assert not any(part in text for text in found for part in ("630222", "1999"))
    assert hashes(b"k", [ResidentId.parse(one)]) != hashes(b"other", [ResidentId.parse(one)])


# ---- where tokens are had -------------------------------------------------------------------------------------------


def test_who_comes_for_tokens_too_fast_waits_and_nobody_else_does() -> None:
    pace = pacing.of_process(declared.OfDoors(per_minute=2, burst=3))
    came = [pace("bank") for _ in range(6)]
    assert [one.wait for one in came] == [None] * 3 + [30] * 3
    assert [one.headers["RateLimit"] for one in came] == [
        *(f'"tokens";r={left};t={seconds}' for left, seconds in ((2, 30), (1, 60), (0, 90))),
        *['"tokens";r=0;t=90'] * 3,
    ]
    assert {one.headers["RateLimit-Policy"] for one in came} == {'"tokens";q=3;w=90'}
    assert pace("other").wait is None


# ---- as declared ----------------------------------------------------------------------------------------------------


def test_the_products_own_limits_are_those_of_the_auditors_rules() -> None:
    assert OWN.user.daily == 50  # AQ05
    assert (OWN.trying.user, OWN.trying.within_seconds) == (5, 600)  # AQ17
    assert OWN.trying.client > OWN.trying.user  # one user does not take the whole system along
    assert OWN.trying.client_daily > OWN.trying.user_daily >= 3 * OWN.trying.user
    assert OWN.client.daily >= 100_000  # a whole batch
    assert OWN.subject.daily > 3  # AQ10 is looked at from three on, not refused


@pytest.mark.parametrize("wrong", [{"daily": 0}, {"daily": "5"}, {"dayly": 5}, {"daily": 10**10}, {"daily": True}])
def test_a_limit_that_is_not_understood_is_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    raw = OWN.model_dump()
    raw["user"] |= wrong
    file = tmp_path / "limits.yml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(RulesRefused, match="user"):
        declared.of(file)
    file.unlink()
    with pytest.raises(RulesRefused, match="QINGQIAO_LIMITS"):
        declared.of(file.with_name("none.yml"))


def test_a_missing_part_is_no_missing_limit() -> None:
    raw = OWN.model_dump()
    del raw["trying"]
    with pytest.raises(RulesRefused, match="trying"):
        declared.read(yaml.safe_dump(raw))
