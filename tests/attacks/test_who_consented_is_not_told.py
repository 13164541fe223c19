"""An official who sends files of one person each, and watches all that is open to him, learns nothing of consents.

What is watched: the public log's entries, the doors of the agency's own batches and uploads, before and after the
person consents. What anybody is told at the doors of mending is held by `test_mending_doors` and `test_mending`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.delivery import Progress, Stage
from exchange import findings, jobs, reweighing
from exchange.home import Home
from exchange.mending import intake_of
from exchange.oauth.scopes import Role
from registry import clock
from registry.identifiers import ResidentId
from tests.agencies import AGENCY, NAME, delivered, events, line, people, permitted, roster, shown
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.people import ZHANG, consented

BATCHES = f"{ISSUER}/agency/v1/batches"


@pytest.fixture
def official(exchange_home: Home, door: Door) -> Callable[[str], Any]:
    caller = registered(exchange_home, Caller("agency-wang"), Role.AGENCY, AGENCY)
    token = caller.token(door)

    def look(path: str) -> Any:
        answer = caller.get(door, token, f"{BATCHES}{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return look


def test_the_public_log_shows_the_same_of_a_delivery_whether_its_person_has_consented(exchange_home: Home) -> None:
    consented(exchange_home, ZHANG)
    permitted(exchange_home)
    (stranger,) = people(1)
    told = []
    for who in (ZHANG, stranger):
        before = events(exchange_home)
        delivered(exchange_home, roster(line(who)))
        findings.check_published(exchange_home)
        after = events(exchange_home)
        for one in before:
            after.remove(one)
        told.append(after)
    assert shown(exchange_home, ZHANG)
    assert told[0] == told[1]


def test_an_upload_passes_through_the_same_stages_whether_its_person_has_consented(exchange_home: Home) -> None:
    consented(exchange_home, ZHANG)
    (stranger,) = people(1)
    seen: list[list[Stage]] = []
    for who in (ZHANG, stranger):
        stages: list[Stage] = []

        def told(progress: Progress, stages: list[Stage] = stages) -> None:
            if progress.stage not in stages:
                stages.append(progress.stage)

        intake = replace(intake_of(exchange_home), progress=told)
        intake.take(roster(line(who)), NAME, as_of=clock.beijing_day(clock.now()))
        seen.append(stages)
    assert seen[0] == seen[1]


def test_a_batch_at_its_agencys_door_does_not_move_when_its_person_consents(
    exchange_home: Home, official: Callable[[str], Any]
) -> None:
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    before = official(f"/{batch_id}"), official("")
    consented(exchange_home, ZHANG)
    intake_of(exchange_home).reevaluate()
    assert shown(exchange_home, ZHANG)
    assert (official(f"/{batch_id}"), official("")) == before


MANY = 5


def night(home: Home) -> list[tuple[str, str]]:
    """What one night's run adds to the public log, in its order: the event of each entry, and its time."""
    before = logged(home)
    reweighing.weigh_all(home, actor="system")
    findings.check_published(home)
    return logged(home)[len(before) :]


def logged(home: Home) -> list[tuple[str, str]]:
    """Event and time of all entries, in the order in which the log will number them."""
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT event, at::text FROM log_entry JOIN log_queue USING (entry_id) ORDER BY queued"
        ).fetchall()


@pytest.mark.parametrize("who", [ZHANG, people(3)[2]], ids=["of many files", "of one file"])
def test_a_night_writes_the_same_whoever_consented_and_however_many_files_speak_of_the_person(
    exchange_home: Home, who: ResidentId
) -> None:
    for number in range(MANY):
        delivered(exchange_home, roster(line(ZHANG, amount=f"{100 + number}.00")), name=f"补贴明细_{number}.csv")
    delivered(exchange_home, roster(line(people(3)[2])), name="补贴明细_别人.csv")
    findings.check_published(exchange_home)
    quiet = night(exchange_home)
    consented(exchange_home, who)
    told = night(exchange_home)
    assert shown(exchange_home, who)
    assert [event for event, _ in told] == [event for event, _ in quiet]
    weighed = [at for event, at in told if event in {"connectors:batch:reevaluated", "registry:records:published"}]
    assert len(weighed) == 2 * (MANY + 1)
    assert len(set(weighed)) == 1


def test_a_consent_begins_no_run_of_its_own_and_a_quarter_runs_once(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarter = reweighing.last_quarter(clock.now())
    monkeypatch.setattr(clock, "now", lambda: quarter + timedelta(minutes=5))
    (job,) = [one for one in jobs.table() if one.name == "intake:reevaluate"]
    delivered(exchange_home, roster(line(ZHANG)))
    job.run(exchange_home)
    consented(exchange_home, ZHANG)
    before = len(logged(exchange_home))
    for _ in range(3):
        job.run(exchange_home)
    assert len(logged(exchange_home)) == before
    assert not shown(exchange_home, ZHANG)
    monkeypatch.setattr(clock, "now", lambda: quarter + timedelta(minutes=16))
    job.run(exchange_home)
    assert shown(exchange_home, ZHANG)
    after = len(logged(exchange_home))
    job.run(exchange_home)
    monkeypatch.setattr(clock, "now", lambda: quarter + timedelta(minutes=31))
    job.run(exchange_home)
    assert len(logged(exchange_home)) == after, "no consent has changed since"


@pytest.mark.parametrize(
    ("now", "night"), [("2026-06-15T17:59", "2026-06-14T18:00"), ("2026-06-15T18:00", "2026-06-15T18:00")]
)
def test_the_night_begins_at_two_in_beijing(now: str, night: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert reweighing.last_night(at) == datetime.fromisoformat(night).replace(tzinfo=UTC)
