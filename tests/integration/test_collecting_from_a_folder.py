"""A drop folder: whole files only, each put away with a receipt that names nobody, no trick followed."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import LimitExceeded, SourceRefused
from connectors.feed import Feed
from connectors.intake import Intake
from exchange.home import Home
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


@pytest.fixture
def run(exchange_home: Home, folder: Path) -> Callable[..., Collected]:
    intake = Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())

    def run(sleep: Callable[[float], None] = lambda _: None, limits: Any = None, **transport: Any) -> Collected:
        said = {
            "feed": "drop",
            "source": "subsidy_roster",
            "agency": "玉树市财政局",
            "limits": limits or {},
            "transport": {"kind": "folder", "path": str(folder), **transport},
        }
        return collect(
            intake,
            Feed.model_validate(said),
            credentials=Credentials(intake.database, intake.sealing),
            people=None,
            now=NOW,
            as_of=AS_OF,
            patience=Patience(sleep=sleep),
        )

    return run


def test_a_file_is_taken_in_and_put_away_with_a_receipt(run: Callable[..., Collected], folder: Path) -> None:
    (folder / "名册.xlsx").write_bytes(ROSTER.read_bytes())
    done = run()
    assert (done.files, done.taken, done.error) == (1, 1, None)
    (receipt,) = (folder / "done").glob("*.json")
    said = json.loads(receipt.read_text("utf-8"))
    assert said["fault"] == ""
    assert said["rows"] == done.rows > 0
    assert set(said) == {"file", "sha256", "size_bytes", "fault", "tables", "rows"}
    assert receipt.with_suffix("").read_bytes() == ROSTER.read_bytes()
    assert [path.name for path in folder.iterdir()] == ["done"]
    assert run().files == 0


def test_what_no_declaration_knows_is_refused_and_the_next_file_still_taken(
    run: Callable[..., Collected], folder: Path
) -> None:
    (folder / "a.csv").write_bytes("甲,乙\n1,2\n".encode())
    (folder / "b.pdf").write_bytes(b"%PDF-1.7")
    (folder / "c.xlsx").write_bytes(ROSTER.read_bytes())
    done = run()
    assert (done.files, done.error) == (3, "HEADER_UNKNOWN")
    faults = {json.loads(one.read_text("utf-8"))["fault"] for one in (folder / "refused").glob("*.json")}
    assert faults == {"HEADER_UNKNOWN", "NO_TABLE"}
    assert len(list((folder / "done").glob("*.xlsx"))) == 1


def test_a_file_that_still_grows_waits_for_the_next_run(run: Callable[..., Collected], folder: Path) -> None:
    path = folder / "名册.xlsx"
    path.write_bytes(ROSTER.read_bytes()[:5000])
    assert run(sleep=lambda _: path.write_bytes(ROSTER.read_bytes()) and None).files == 0
    assert run().files == 1


def test_a_file_waits_for_its_mark_and_both_go(run: Callable[..., Collected], folder: Path) -> None:
    (folder / "名册.xlsx").write_bytes(ROSTER.read_bytes())
    assert run(complete="done").files == 0
    (folder / "名册.xlsx.done").touch()
    assert run(complete="done").files == 1
    assert [path.name for path in folder.iterdir()] == ["done"]


def test_links_pipes_and_hidden_files_are_left_alone(
    run: Callable[..., Collected], folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.xlsx"
    outside.write_bytes(ROSTER.read_bytes())
    (folder / "link.xlsx").symlink_to(outside)
    os.mkfifo(folder / "pipe.xlsx")
    (folder / ".hidden.xlsx").write_bytes(b"x")
    done = run()
    assert (done.files, done.error) == (0, "NO_PLAIN_FILE")
    assert outside.exists()
    assert (folder / "link.xlsx").is_symlink()


@pytest.mark.parametrize("name", ["", "done", "refused"])
def test_a_folder_that_is_a_link_is_refused(
    run: Callable[..., Collected], folder: Path, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if name:
        (folder / name).symlink_to(elsewhere)
    else:
        folder.rmdir()
        folder.symlink_to(elsewhere)
    with pytest.raises(SourceRefused) as refused:
        run()
    assert refused.value.fault == "NO_PLAIN_FILE"


def test_a_file_larger_than_allowed_stays_where_it_is(run: Callable[..., Collected], folder: Path) -> None:
    (folder / "名册.xlsx").write_bytes(ROSTER.read_bytes())
    with pytest.raises(LimitExceeded):
        run(limits={"bytes": 100})
    assert (folder / "名册.xlsx").exists()
