"""An official who sends files of one person each, and watches all that is open to him, learns nothing of consents.

What is watched: the public log's entries, the doors of the agency's own batches and uploads, before and after the
person consents. What anybody is told at the doors of mending is held by `test_mending_doors` and `test_mending`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.delivery import Progress, Stage
from exchange import findings
from exchange.home import Home
from exchange.mending import intake_of
from exchange.oauth.scopes import Role
from registry import clock
from tests.agencies import AGENCY, NAME, delivered, events, line, people, roster, shown
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
