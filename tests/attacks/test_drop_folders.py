"""A drop folder belongs to the agency's side: nobody learns from it who seeks credit, and no trap in it hurts us."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import SourceRefused
from connectors.feed import Feed
from exchange.home import Home
from exchange.mending import intake_of
from registry import clock
from tests.agencies import AGENCY, NAME, line, people, roster
from tests.people import ZHANG, consented


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


@pytest.fixture
def run(exchange_home: Home, folder: Path) -> Callable[[], Collected]:
    said = {
        "feed": "drop",
        "source": "subsidy_roster",
        "agency": AGENCY,
        "transport": {"kind": "folder", "path": str(folder)},
    }
    feed = Feed.model_validate(said)

    def run() -> Collected:
        now = clock.now()
        return collect(
            intake_of(exchange_home),
            feed,
            credentials=Credentials(exchange_home.database, exchange_home.sealing),
            people=None,
            now=now,
            as_of=clock.beijing_day(now),
            patience=Patience(sleep=lambda _: None),
        )

    return run


def test_a_receipt_is_the_same_whether_the_person_in_the_file_has_consented_or_not(
    exchange_home: Home, run: Callable[[], Collected], folder: Path
) -> None:
    consented(exchange_home, ZHANG)
    (stranger,) = people(1)
    said = []
    for who in (ZHANG, stranger):
        (folder / NAME).write_bytes(roster(line(who)))
        run()
        (path,) = (folder / "done").glob("*.json")
        receipt = json.loads(path.read_text("utf-8"))
        said.append({name: value for name, value in receipt.items() if name != "sha256"})
        path.unlink()
    assert said[0] == said[1]


def test_a_link_planted_where_a_receipt_is_made_is_not_written_through(
    run: Callable[[], Collected], folder: Path, tmp_path: Path
) -> None:
    from hashlib import sha256  # noqa: PLC0415, TID251  # an agency's own tool, not our cipher room

    raw = roster(line(ZHANG))
    ours = tmp_path / "keyring.json"
    ours.write_text("the key", encoding="utf-8")
    (folder / "done").mkdir()
    stem = f"{sha256(raw).hexdigest()[:12]}-{NAME}.json"
    (folder / "done" / f".{stem}.part").symlink_to(ours)
    (folder / "done" / stem).symlink_to(ours)
    (folder / NAME).write_bytes(raw)
    assert run().files == 1
    assert ours.read_text("utf-8") == "the key"
    assert not (folder / "done" / stem).is_symlink()
    assert json.loads((folder / "done" / stem).read_text("utf-8"))["rows"] == 1


def test_a_folder_that_becomes_a_link_while_a_file_is_taken_in_gets_nothing_of_ours(
    exchange_home: Home, run: Callable[[], Collected], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / NAME).write_bytes(roster(line(ZHANG)))
    taken = type(intake_of(exchange_home)).take

    def take(*given: object, **named: object) -> object:
        (folder / "done").symlink_to(elsewhere)
        return taken(*given, **named)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(type(intake_of(exchange_home)), "take", take)
    with pytest.raises(SourceRefused):
        run()
    assert list(elsewhere.iterdir()) == []
    assert (folder / NAME).exists()
