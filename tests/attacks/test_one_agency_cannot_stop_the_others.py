"""A stolen key of one agency's system takes neither memory nor database from everybody else."""

import gc

import pytest

from exchange.agency_api import progress
from exchange.errors import OutOfService
from exchange.home import Home
from exchange.oauth.scopes import Role
from exchange.release import providing
from exchange.release.providing import For, provide
from tests.agencies import AGENCY, delivered, line, roster, staff
from tests.attacks.bent_client import Caller, Door, registered
from tests.attacks.uploading import Agency
from tests.people import ZHANG


def test_only_so_many_large_files_are_open_at_once_and_small_ones_always(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    monkeypatch.setattr(providing, "_PATIENCE_SECONDS", 0.01)
    small = [provide(exchange_home, staff(), batch_id, purpose=For.LOOKING) for _ in range(10)]
    monkeypatch.setattr(providing, "LARGE_BYTES", 1)
    for _ in range(2):
        held = [provide(exchange_home, staff(), batch_id, purpose=For.LOOKING) for _ in range(providing.LARGE_AT_ONCE)]
        with pytest.raises(OutOfService):
            provide(exchange_home, staff(), batch_id, purpose=For.LOOKING)
        assert len(small) + len(held) == 10 + providing.LARGE_AT_ONCE
        held.clear()
        gc.collect()


def test_an_organisation_watches_so_many_uploads_and_no_more(
    exchange_home: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = Agency(door, registered(exchange_home, Caller("yushu-finance"), Role.AGENCY, AGENCY))
    url = agency.begin(10)
    assert agency.call("DELETE", url).status_code == 204
    assert agency.call("GET", f"{url}/events").text.startswith("event: upload")
    assert agency.call("GET", f"{url}/events").status_code == 200  # the one before has ended and counts no more
    monkeypatch.setattr(progress, "MOST_WATCHING", 0)
    refused = agency.call("GET", f"{url}/events")
    assert (refused.status_code, refused.json()["code"]) == (429, "uploads-too-many")
