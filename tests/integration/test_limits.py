"""Limits over a real database: exact over processes, silent about who is known, and found for regulators."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from sqlalchemy.pool import QueuePool

from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.limits import alerts, counting, declared, pacing
from exchange.oauth.doors import Turn
from exchange.release import Ask, Outcome, Permitted, Refused, release
from registry import clock
from registry.database import ASIDE_SIZE, Database
from registry.identifiers import ResidentId, resident_check
from tests.people import ZHANG, caller, consented, held, question

SMALL: dict[str, dict[str, int]] = {
    "client": {"per_second": 1, "burst": 1000, "daily": 30, "monthly": 1000},
    "user": {"per_minute": 1, "burst": 1000, "daily": 12},
    "subject": {"daily": 8, "thirty_days": 1000, "all_lenders_thirty_days": 9},
    "doors": {"per_minute": 2, "burst": 5},
    "tokens": {"per_minute": 2, "burst": 5},
    "trying": {
        "within_seconds": 600, "user": 5, "adjacent": 3, "client": 8, "user_daily": 6, "client_daily": 40,
        "lines_daily": 100, "held_seconds": 60,
    },
    "connections": declared.of(None).connections.model_dump(),
}  # fmt: skip


@pytest.fixture
def small(exchange_home: Home, tmp_path: Path) -> Home:
    """An installation with small limits."""
    file = tmp_path / "limits.yml"
    file.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return replace(exchange_home, settings=exchange_home.settings.model_copy(update={"limits": file}))


@pytest.fixture
def other_process(small: Home) -> Iterator[Home]:
    """The same installation, as another process has it: with connections of its own."""
    database = Database(small.database.engine.url.render_as_string(hide_password=False))
    yield replace(small, database=database)
    database.close()


def stranger(number: int) -> ResidentId:
    """Somebody of whom nothing is known here; no two are neighbours."""
    digits = f"630203{1950 + number // 300}0{number % 9 + 1}{number // 9 % 28 + 1:02}000"
    return ResidentId.parse(digits + resident_check(digits))


def by(user: str, ask: Ask | None = None) -> Ask:
    return replace(ask or question(), staff=(user, "credit"))


def code(outcome: Outcome) -> str | None:
    if isinstance(outcome, RequestRefused):
        return outcome.code
    return outcome.reason.value if isinstance(outcome, Refused) else None


def asked(home: Home, *asks: Ask) -> list[str | None]:
    return [code(one) for one in release(home, asks)]


def one(home: Home, sql: str) -> object:
    with home.database.transaction() as tx:
        row = tx.execute(sql).fetchone()
    return row and row[0]


def uses(home: Home) -> object:
    return one(home, "SELECT sum(uses) FROM consent")


def ready(home: Home) -> None:
    consented(home, max_uses=12)
    held(home)


def found(home: Home) -> list[tuple[str, str, str, int]]:
    with home.database.transaction() as tx:
        shown, _ = alerts.read(tx, limit=50)
    return [(one.rule, one.client_id, one.user_code, one.refused) for one in shown]


def test_a_question_over_a_limit_takes_no_use_and_reads_no_consent(small: Home) -> None:
    ready(small)
    assert asked(small, *[by("u-1", question()) for _ in range(10)]) == [None] * 8 + ["subject-cap"] * 2
    assert uses(small) == 8
    assert one(small, "SELECT count(*) FROM log_entry WHERE event LIKE 'release:query:%'") == 8


def test_a_subject_unknown_and_one_that_is_known_run_into_the_same_limit(small: Home) -> None:
    ready(small)
    generous = small.settings.model_copy(update={"limits": _without_trying(small)})
    home = replace(small, settings=generous)
    known = asked(home, *[question() for _ in range(10)])
    unknown = asked(home, *[question(stranger(1)) for _ in range(10)])
    assert known == [None] * 8 + ["subject-cap"] * 2
    assert unknown == ["no-consent"] * 8 + ["subject-cap"] * 2


def _without_trying(home: Home) -> Path:
    file = home.settings.home / "generous.yml"
    file.parent.mkdir(exist_ok=True)
    more = dict.fromkeys(("user", "adjacent", "client", "user_daily", "client_daily"), 1000)
    file.write_text(yaml.safe_dump(SMALL | {"trying": SMALL["trying"] | more}), encoding="utf-8")
    return file


def test_two_processes_let_through_exactly_as_many_as_are_allowed(small: Home, other_process: Home) -> None:
    ready(small)
    file = _without_trying(small)
    settings = small.settings.model_copy(update={"limits": file})
    homes = [replace(home, settings=settings) for home in (small, other_process)]
    begin = threading.Barrier(2)

    def ask(home: Home, offset: int) -> list[str | None]:
        begin.wait()
        rounds = [[question(stranger(offset + n + m)) for m in range(5)] for n in range(0, 40, 5)]
        return [code(one) for asks in rounds for one in release(home, asks)]

    with ThreadPoolExecutor(2) as both:
        came = Counter(code for answers in both.map(ask, homes, (0, 100)) for code in answers)
    total = one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'")
    refused = one(small, "SELECT sum(refused) FROM alert WHERE code = 'daily-cap'")
    assert came == {"no-consent": 30, "daily-cap": 50}
    assert (total, refused) == (30, 50)


def test_a_repeat_by_its_key_counts_against_no_cap_and_is_one_answer(small: Home) -> None:
    ready(small)
    key = str(uuid4())
    again = [replace(question(), idempotency_key=key) for _ in range(6)]
    first = release(small, again)
    second = release(small, again)
    assert all(isinstance(one, Permitted) for one in (*first, *second))
    assert one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'") == 1
    assert uses(small) == 1


def test_the_same_key_twice_in_a_round_gets_nobody_past_a_limit_or_a_hold(small: Home) -> None:
    ready(small)
    asked(small, *[by("u-1", question(stranger(n))) for n in range(5)])
    twice = [replace(by("u-1"), idempotency_key=str(uuid4()))] * 2
    assert asked(small, *twice) == ["enumeration-suspected"] * 2
    for _ in range(4):
        asked(small, *[replace(by("u-2"), idempotency_key=key) for key in (str(uuid4()), str(uuid4())) for _ in "ab"])
    came = asked(small, *[replace(by("u-2"), idempotency_key=str(uuid4()))] * 3)
    assert came == ["subject-cap"] * 3
    assert (uses(small), one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'")) == (8, 13)


def test_many_copies_of_a_key_are_settled_in_one_round_after_the_first(small: Home) -> None:
    ready(small)
    steps: list[int] = []
    copies = [replace(question(), idempotency_key="copied-64-times")] * 63
    outcomes = release(small, [*copies, question(business_no="LA-2")], at_step=steps.append)
    assert all(isinstance(one, Permitted) for one in outcomes)
    assert len({one.query_id for one in outcomes[:-1] if isinstance(one, Permitted)}) == 1
    assert (steps.count(1), uses(small), one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'")) == (2, 2, 2)
    assert _pace_taken(small) == pytest.approx(64, abs=4)


def test_many_copies_of_a_key_that_becomes_no_query_cost_others_two_rounds_and_each_has_its_pace(small: Home) -> None:
    ready(small)
    steps: list[int] = []
    copies = [replace(question(stranger(1)), idempotency_key="copied-64-times")] * 63
    outcomes = release(small, [*copies, question()], at_step=steps.append)
    assert [code(one) for one in outcomes] == ["no-consent"] * 3 + ["too-often"] * 60 + [None]
    told = outcomes[3]
    assert isinstance(told, RequestRefused)
    assert (told.retry_after_seconds, "RateLimit" in told.headers) == (1, True)
    assert (steps.count(1), one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'")) == (3, 4)
    assert _pace_taken(small) == pytest.approx(64, abs=4)


def test_copies_of_a_key_that_are_told_to_come_again_run_into_the_pace(small: Home) -> None:
    ready(small)
    client = SMALL["client"] | {"burst": 10}
    file = small.settings.home / "slow.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(SMALL | {"client": client}), encoding="utf-8")
    home = replace(small, settings=small.settings.model_copy(update={"limits": file}))
    came = asked(home, *[replace(question(stranger(1)), idempotency_key="copied-20-times")] * 20)
    assert came == ["no-consent"] * 3 + ["too-often"] * 7 + ["rate-exceeded"] * 10


def _pace_taken(home: Home) -> object:
    """Say how many seconds of pace the system has used up; a question takes one."""
    return one(home, "SELECT paced_until - extract(epoch FROM now())::float8 FROM limit_count WHERE key = 'c:bank'")


def test_many_that_count_at_once_are_answered_over_few_connections_beside_their_own(small: Home) -> None:
    ready(small)
    home = replace(small, settings=small.settings.model_copy(update={"limits": _without_trying(small)}))
    with ThreadPoolExecutor(28) as rush:  # as many as the pool has connections, about: each waits while it holds one
        came = Counter(
            one for codes in rush.map(lambda n: asked(home, question(stranger(n))), range(56)) for one in codes
        )
    assert came == {"no-consent": 30, "daily-cap": 26}
    pool = home.database.aside.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.size() + pool.overflow() <= 2 * ASIDE_SIZE


def test_what_a_failed_round_counted_is_given_back(small: Home) -> None:
    ready(small)

    def fail(step: int) -> None:
        if step == 4:
            raise RuntimeError

    assert asked(small, *[question() for _ in range(6)]) == [None] * 6  # six seconds of pace, from which it goes on
    counted, row = "SELECT sum(n) FROM limit_count", "SELECT paced_until FROM limit_count WHERE key = 'c:bank'"
    before = one(small, counted), one(small, row)
    with pytest.raises(RuntimeError):
        release(small, [question()], at_step=fail)
    assert one(small, counted) == before[0]
    assert one(small, row) == pytest.approx(before[1], abs=0.01)


def test_one_users_flood_takes_nothing_from_the_systems_day(small: Home) -> None:
    ready(small)
    flood = [by("u-1", question(stranger(n))) for n in range(4)] + [by("u-1") for _ in range(60)]
    came = Counter(asked(small, *flood))
    assert came == {"no-consent": 4, None: 8, "user-daily-cap": 52}
    assert one(small, "SELECT n FROM limit_count WHERE key = 'c:bank'") == 12
    assert asked(small, by("u-2", question(stranger(9)))) == ["no-consent"]


def test_a_flood_grows_the_log_by_an_entry_for_each_digit(small: Home) -> None:
    ready(small)
    asked(small, *[question() for _ in range(8)])
    for _ in range(3):
        assert set(asked(small, *[question() for _ in range(50)])) == {"subject-cap"}
    told = "SELECT count(*) FROM log_entry WHERE event LIKE 'audit:alert:%'"
    assert one(small, told) == 2  # after 50, 100 and 150: when it was raised, and with one digit more
    assert found(small) == [("AQ10", "bank", "", 150)]


def test_what_all_lenders_asked_is_told_to_regulators_and_to_no_lender(small: Home) -> None:
    ready(small)
    elsewhere = replace(question(), presented=caller("另一家银行", "other"))
    generous = small.settings.model_copy(update={"limits": _without_trying(small)})
    home = replace(small, settings=generous)
    assert asked(home, *[elsewhere] * 8) == ["no-consent"] * 8
    assert asked(home, *[question()] * 3) == [None] * 3  # the tenth and eleventh, of all together
    assert found(home) == [("AQ10", "bank", "", 0)]
    with home.database.transaction() as tx:
        assert alerts.read_own(tx, "bank", limit=50) == ([], None)


def test_a_system_registered_with_caps_has_its_own(small: Home) -> None:
    ready(small)
    with small.database.transaction() as tx:
        tx.execute(
            "INSERT INTO client_profile (client_id, client_name, uscc, contacts, technical, security, service_regions,"
            " daily_cap, monthly_cap) VALUES ('bank', 'b', 'u', '{}', '{}', '{}', '{}', 2, 100)"
        )
    assert asked(small, *[question() for _ in range(3)]) == [None, None, "daily-cap"]


# ---- doors beside questions -----------------------------------------------------------------------------------------


def _left(turn: Turn) -> int:
    name, left, _ = turn.headers["RateLimit"].split(";")
    assert name == '"doors"'
    return int(left.removeprefix("r="))


def test_a_systems_calls_at_all_doors_are_counted_together_over_processes(small: Home, other_process: Home) -> None:
    doors = [pacing.of_doors(declared.of(small.settings.limits).doors) for _ in range(2)]
    with small.database.transaction() as tx:
        first = doors[0](tx, ["bank", "other", "bank"])
        assert [one.wait for one in first] == [None] * 3
        assert [_left(one) for one in first] == [4, 4, 3]
    with other_process.database.transaction() as tx:
        came = doors[1](tx, ["bank"] * 5 + ["other"])
        told = [one.wait for one in came]
        assert told[:3] + told[5:] == [None] * 4
        assert {*told[3:5]} <= {29, 30}  # a second may have gone by
        assert [_left(one) for one in came] == [2, 1, 0, 0, 0, 3]
        assert doors[1](tx, []) == []
    waits = one(small, "SELECT paced_until - extract(epoch FROM now()) < 151 FROM limit_count WHERE key = 'd:bank'")
    assert waits is True  # what was refused moved nothing


# ---- AQ17 -----------------------------------------------------------------------------------------------------------


def test_the_fifth_denial_is_the_last_answer_whatever_else_is_changed(small: Home) -> None:
    ready(small)
    guesses = [by("u-1", question(stranger(n), business_no=f"LA-{n}")) for n in range(5)]
    assert asked(small, *guesses) == ["no-consent"] * 5
    others = (by("u-1", question(business_no="LA-new")), by("u-1", question(purpose="GUARANTEE")))
    assert asked(small, *others) == ["enumeration-suspected"] * 2
    assert uses(small) in {0, None}
    assert asked(small, by("u-2")) == [None]
    assert found(small) == [("AQ17", "bank", "u-1", 2)]


def test_guesses_that_come_together_are_no_more_than_those_that_come_one_by_one(
    small: Home, other_process: Home
) -> None:
    ready(small)
    begin = threading.Barrier(2)

    def guess(home: Home, offset: int) -> list[str | None]:
        begin.wait()
        return asked(home, *[by("u-1", question(stranger(offset + n))) for n in range(10)])

    with ThreadPoolExecutor(2) as both:
        came = Counter(one for answers in both.map(guess, (small, other_process), (0, 100)) for one in answers)
    assert came["no-consent"] == 5
    assert sum(came.values()) - came["no-consent"] == 15  # held, or over the user's day


def test_another_user_for_each_guess_holds_the_system_and_no_other(small: Home) -> None:
    ready(small)
    came = asked(small, *[by(f"u-{n}", question(stranger(n))) for n in range(12)])
    assert came == ["no-consent"] * 8 + ["enumeration-suspected"] * 4
    assert asked(small, by("u-99")) == ["enumeration-suspected"]
    elsewhere = replace(question(stranger(50)), presented=caller("另一家银行", "other"))
    assert asked(small, elsewhere) == ["no-consent"]
    assert ("AQ17", "bank", "", 1) in found(small)


def test_a_hold_is_over_when_it_says_and_the_alert_stays(small: Home) -> None:
    ready(small)
    asked(small, *[by("u-1", question(stranger(n))) for n in range(5)])
    outcome = release(small, [by("u-1")])[0]
    assert isinstance(outcome, RequestRefused)
    assert 50 < (outcome.retry_after_seconds or 0) <= 60
    with small.database.transaction() as tx:
        tx.execute("UPDATE limit_hold SET until = now() - interval '1 second'")
        tx.execute("UPDATE limit_denied SET recent = '[]'")
        counting.forget(tx, now=clock.now())
    assert asked(small, by("u-1")) == [None]
    assert found(small)[0][0] == "AQ17"


def test_who_guesses_slowly_is_held_by_the_days_number_and_again_with_each_guess_after_it(small: Home) -> None:
    ready(small)
    asked(small, *[by("u-1", question(stranger(n))) for n in range(4)])
    _an_hour_ago(small)
    assert asked(small, *[by("u-1", question(stranger(n))) for n in (11, 12)]) == ["no-consent"] * 2
    assert asked(small, by("u-1")) == ["enumeration-suspected"]
    _an_hour_ago(small)
    assert asked(small, by("u-1", question(stranger(13)))) == ["enumeration-suspected"]
    assert asked(small, by("u-1")) == ["enumeration-suspected"]  # held anew: else one guess an answer would go on
    assert asked(small, by("u-2")) == [None]


def _an_hour_ago(home: Home) -> None:
    """Let what is remembered have happened an hour earlier, and holds be over."""
    with home.database.transaction() as tx:
        tx.execute("UPDATE limit_hold SET until = now() - interval '1 second'")
        tx.execute(
            "UPDATE limit_denied SET recent = (SELECT jsonb_agg("
            "jsonb_set(one, '{0}', to_jsonb((one->>0)::float8 - 3600))) FROM jsonb_array_elements(recent) one)"
        )


def test_what_is_remembered_holds_no_identifier_and_goes_after_its_days(small: Home) -> None:
    ready(small)
    asked(small, *[by("u-1", question(stranger(n))) for n in range(3)], question())
    with small.database.transaction() as tx:
        text = str(tx.execute("SELECT to_json(c) FROM limit_count c").fetchall())
        text += str(tx.execute("SELECT to_json(d) FROM limit_denied d").fetchall())
        text += str(tx.execute("SELECT to_json(a) FROM alert a").fetchall())
        assert not any(stranger(n).text[:14] in text for n in range(3))
        assert ZHANG.text[:14] not in text
        counting.forget(tx, now=clock.now() + timedelta(days=33))
        assert tx.execute("SELECT FROM limit_count UNION ALL SELECT FROM limit_denied").fetchone() is None


def test_the_limits_of_an_installation_are_the_products_own_unless_a_file_says_otherwise(exchange_home: Home) -> None:
    chosen = exchange_home.settings.model_copy(update={"limits": None})
    assert declared.of(chosen.limits).user.daily == 50


def test_who_loses_its_keys_race_to_another_process_is_counted_once(small: Home, other_process: Home) -> None:
    ready(small)
    ask, first = replace(question(), idempotency_key="raced-by-two"), list[Outcome]()

    def meanwhile(step: int) -> None:
        if step == 2 and not first:  # found to be nobody's key yet, and counted
            first.extend(release(other_process, [ask]))

    (second,) = release(small, [ask], at_step=meanwhile)
    assert isinstance(second, Permitted)
    assert isinstance(first[0], Permitted)
    assert second.query_id == first[0].query_id
    assert uses(small) == 1
    assert one(small, "SELECT max(n) FROM limit_count WHERE key LIKE 'c:%'") == 1
