"""SFTP by password: the right one opens the folder, a wrong one is refused once, and no stranger is ever told one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from connectors import transports
from connectors.errors import LimitExceeded, SourceRefused
from sandbox.agencies import rating_office
from sandbox.agencies.faults import Fault
from sandbox.agencies.rating_office import OUTBOX, USER, RatingOffice
from sandbox.people import settle
from tests.fetching import NOW, line


@pytest.fixture(scope="module")
def office() -> RatingOffice:
    return RatingOffice(settle(seed=7, households=60, as_of=NOW.date()))


@pytest.fixture
def door(office: RatingOffice) -> Iterator[tuple[str, int]]:
    with office.serve() as where:
        yield where
    office.faults.off()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that the server was told."""
    told: list[str] = []
    check = rating_office._Desk.check_auth_password

    def heard(desk: Any, username: str, password: str) -> int:
        told.append(password)
        return check(desk, username, password)

    monkeypatch.setattr(rating_office._Desk, "check_auth_password", heard)
    return told


def sftp(office: RatingOffice, port: int, **over: Any) -> dict[str, Any]:
    return {
        "kind": "sftp",
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "host_key": office.host_key_line,
        "folder": OUTBOX,
        "pattern": "*.xlsx",
        "complete": "rename",
        **over,
    }


def names(one: Any) -> set[str]:
    found = set()
    for arrival in transports.fetch(one):
        with arrival.body:
            found.add(arrival.name)
    return found


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])  # as a file that holds it may end
def test_the_right_password_opens_the_folder(
    office: RatingOffice, door: tuple[str, int], tried: list[str], tmp_path: Path, end: str
) -> None:
    assert names(line(tmp_path, sftp(office, door[1]), secret=office.password + end)) == set(office.expected)
    assert set(tried) == {office.password}


@pytest.mark.parametrize("wrong", ["", "wrong", "Passwort-ཀ"])
def test_a_wrong_password_is_refused_and_not_tried_again(
    office: RatingOffice, door: tuple[str, int], tried: list[str], tmp_path: Path, wrong: str
) -> None:
    with pytest.raises(SourceRefused) as refused:
        names(line(tmp_path, sftp(office, door[1]), secret=wrong))
    assert refused.value.fault == "CREDENTIAL_REFUSED"
    assert tried == [wrong]  # an account that is locked after so many tries stays open


def test_a_server_whose_key_has_changed_is_told_no_password(
    office: RatingOffice, door: tuple[str, int], tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = sftp(office, door[1])
    monkeypatch.setattr(office, "host_key", paramiko.ECDSAKey.generate())
    with pytest.raises(SourceRefused) as refused:
        names(line(tmp_path, agreed, secret=office.password))
    assert refused.value.fault == "HOST_KEY_MISMATCH"
    assert tried == []


def test_a_password_is_in_nothing_that_is_raised(
    office: RatingOffice, door: tuple[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with pytest.raises(SourceRefused) as refused:
        names(line(tmp_path, sftp(office, door[1], user="nobody"), secret="Geheim-123"))
    assert "Geheim-123" not in f"{refused.value}{refused.value!r}{caplog.text}"


def test_a_server_that_drips_is_cut_off_when_the_runs_time_is_over(
    office: RatingOffice, door: tuple[str, int], tmp_path: Path
) -> None:
    office.faults.on(Fault.SLOW, amount=40)  # bytes a second: its greetings alone would take a minute
    with pytest.raises(LimitExceeded) as exceeded:
        names(line(tmp_path, sftp(office, door[1]), secret=office.password, limits={"seconds": 1}))
    assert exceeded.value.fault == "TOO_LONG"
