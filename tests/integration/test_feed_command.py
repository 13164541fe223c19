"""`qingqiao feed` as its users call it: what is printed, and that neither secret nor person is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.answering import Agency, page
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.feeding import write_feed
from tests.integration.test_collecting_over_rest import SECRET
from tests.subsidies import COLUMNS, resident_id, row

NAME = "yushu_subsidy"
SIGNED = {"by": "signed", "scheme": "hmac-sm3", "key_id": "k"}


@pytest.fixture
def qingqiao(short_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(short_path, addresses, monkeypatch)


@pytest.fixture
def agency() -> Iterator[Agency]:
    agency = Agency()
    agency.answer = lambda *_: page([row(1), row(2)])
    yield agency
    agency.stop()


@pytest.fixture
def connected(qingqiao: InProcess, agency: Agency) -> InProcess:
    """One home with one feed, and its credential."""
    transport = {"kind": "rest", "url": agency.url + "/rows", "rows": "items", "columns": COLUMNS, "auth": SIGNED}
    write_feed(qingqiao.home, NAME, source="subsidy_roster", transport=transport)
    assert qingqiao("feed", "credential", NAME, told=f"{SECRET}\n").returncode == 0
    return qingqiao


def test_feeds_are_listed_with_their_credential_their_breaker_and_how_far_they_were_read(
    connected: InProcess,
) -> None:
    listed = connected("feed", "list").stdout
    assert f"{NAME}  rest  subsidy_roster  玉树市信用联社  credential set  closed  never read" in listed
    assert connected("feed", "run", NAME).returncode == 0
    assert "read since 20" in connected("feed", "list").stdout
    assert "destroyed" in connected("feed", "credential", NAME, "--erase").stdout
    assert "credential missing" in connected("feed", "list").stdout
    (connected.home / "feeds" / f"{NAME}.yml").unlink()
    assert "no feeds" in connected("feed", "list").stdout


def test_a_check_says_what_is_seen_and_takes_nothing(connected: InProcess, agency: Agency) -> None:
    checked = connected("feed", "check", NAME)
    assert checked.returncode == 0, checked.stdout
    assert "2 rows looked at; columns as declared: changed_at, id, je" in checked.stdout
    assert len(agency.asked) == 1
    assert "never read" in connected("feed", "list").stdout


def test_a_run_says_what_it_brought_and_again_brings_nothing_new(connected: InProcess) -> None:
    for _ in range(2):
        ran = connected("feed", "run", NAME)
        assert ran.returncode == 0, ran.stdout
        assert f"{NAME}: 1 files, 2 rows" in ran.stdout
    assert "healthy" in connected("jobs", "list").stdout


def test_a_run_that_fails_says_why_in_words(connected: InProcess, agency: Agency) -> None:
    agency.answer = lambda *_: (403, {}, b"")
    ran = connected("feed", "run", NAME)
    assert ran.returncode == 1
    assert "CREDENTIAL_REFUSED 数据源不接受凭据" in ran.stdout
    assert "The source does not accept the credential" in ran.stdout
    assert "blocked" in connected("jobs", "list").stdout


def test_a_source_that_is_left_alone_is_asked_by_hand_as_its_trial(connected: InProcess, agency: Agency) -> None:
    agency.answer = lambda *_: (429, {"Retry-After": "7200"}, b"")
    assert "试探" not in connected("feed", "run", NAME).stdout
    assert "  open  " in connected("feed", "list").stdout
    failed = connected("feed", "run", NAME)
    assert failed.returncode == 1
    assert "已失败 1 次" in failed.stdout
    assert "本次手动运行为试探" in failed.stdout
    assert len(agency.asked) == 2
    agency.answer = lambda *_: page([row(1)])
    mended = connected("feed", "run", NAME)
    assert mended.returncode == 0
    assert "已失败 2 次" in mended.stdout
    assert "  closed  " in connected("feed", "list").stdout
    assert "试探" not in connected("feed", "run", NAME).stdout


@pytest.mark.parametrize("act", ["check", "run", "credential", "forget"])
def test_a_name_that_is_no_feeds_is_refused(connected: InProcess, agency: Agency, act: str) -> None:
    refused = connected("feed", act, "nowhere", told=SECRET)
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr
    assert SECRET not in refused.stdout + refused.stderr
    assert agency.asked == []


def test_neither_secret_nor_person_is_printed(connected: InProcess, agency: Agency) -> None:
    person = resident_id(1)
    kept = connected("feed", "credential", NAME, told=SECRET)
    said = kept.stdout + kept.stderr
    for answer in (
        lambda *_: page([row(1)]),
        lambda *_: (400, {}, json.dumps({"said": person}).encode()),
        lambda *_: page([{person: SECRET}]),
        lambda *_: (200, {}, f"<p>{person} {SECRET}</p>".encode()),
    ):
        agency.answer = answer
        for act in (("check", NAME), ("run", NAME), ("list",)):
            done = connected("feed", *act)
            said += done.stdout + done.stderr
    assert "ANSWER_MALFORMED" in said
    assert SECRET not in said
    assert person not in said


def test_nothing_as_a_credential_is_refused(connected: InProcess) -> None:
    refused = connected("feed", "credential", NAME, told="\n")
    assert refused.returncode == 2
    assert "nothing, or too much" in refused.stderr
    assert "credential set" in connected("feed", "list").stdout
