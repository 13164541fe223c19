"""A long text, weighed block by block, ends as the same text laid out whole; its rows lie sealed meanwhile."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from connectors import bounds, delimited, normalise, reading, sheaves
from connectors.errors import FileUnreadable
from connectors.normalise import TableOutcome
from connectors.spool import Spool
from tests.unit.connectors.consent_register import AS_OF
from tests.unit.connectors.tables import NAME, csv, person, table

HEADER = ["身份证号", "姓名", "补贴金额(元)", "发放日期"]


def rows(count: int) -> list[list[str]]:
    found = [[person(n), f"某{n}", f"{n}.50", "2026-05-08"] for n in range(1, count)]
    found[7][2] = "—"
    return [*found, [*found[3][:2], "4.50", "2026-05-08"]]


def text(*more: list[str], count: int = 400) -> bytes:
    return csv([HEADER, *rows(count), *more])


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is long, and its blocks are of some twenty rows."""
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)


def both(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[TableOutcome, TableOutcome]:
    whole = table(raw)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "LONG_BYTES", 0)
        patch.setattr(delimited, "BLOCK_BYTES", 1_000)
        long = table(raw)
        pd.testing.assert_frame_equal(long.frame, whole.frame)
    return whole, long


@pytest.mark.parametrize(
    "more",
    [
        (),
        (["合计", "", "79801.50", ""],),
        (["合计", "", "1.00", ""],),
        (["合计400人", "", "", ""],),
        (["共3户", "", "", ""],),
        ([person(999), "某", "5.00", "2026-05-08", "多一格"], [person(998), "某", "5.00"]),
    ],
    ids=["plain", "total", "wrong total", "people counted", "households counted", "odd rows"],
)
def test_a_long_text_ends_as_a_short_one(more: tuple[list[str], ...], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, long = both(text(*more), monkeypatch) if not _blocked(more) else _two(text(*more), monkeypatch)
    assert long.bare() == whole.bare()
    assert long.quarantined == whole.quarantined
    assert long.uncovered == whole.uncovered


def _blocked(more: tuple[list[str], ...]) -> bool:
    return table(text(*more)).blocked is not None


def _two(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[TableOutcome, TableOutcome]:
    whole = table(raw)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "LONG_BYTES", 0)
        patch.setattr(delimited, "BLOCK_BYTES", 1_000)
        return whole, table(raw)


@pytest.mark.usefixtures("short_blocks")
def test_the_same_row_again_is_found_however_far_away() -> None:
    outcome = table(text())
    assert sum(1 for _ in outcome.frames()) > 5
    found = outcome.frame.loc[outcome.frame["code"] == "DUPLICATE_IN_BATCH", "row_no"].tolist()
    assert found == [401]


@pytest.mark.usefixtures("short_blocks")
def test_a_byte_that_fits_no_encoding_far_down_stops_the_whole_file() -> None:
    raw = text() + "青海".encode("gb18030") + b"\xff\xff\n"
    assert table(raw).blocked == "FILE_UNREADABLE"
    with pytest.raises(FileUnreadable):
        list(reading.blocks(raw))


@pytest.mark.usefixtures("short_blocks")
def test_rows_of_another_length_are_not_held_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = csv([HEADER, *rows(600), *([*row, "多一格"] for row in rows(400))])
    assert table(raw).rows == 1_000
    monkeypatch.setattr(bounds, "ODD_BYTES", 2_000)
    assert table(raw).blocked == "FILE_UNREADABLE"


@pytest.mark.usefixtures("short_blocks")
def test_a_spool_is_read_as_its_bytes_are() -> None:
    with Spool(chunk_bytes=512) as spool:
        spool.write(text())
        (outcome,) = normalise.evaluate(spool, NAME, as_of=AS_OF, basis_of=lambda _, who, __: [None] * len(who))
    assert outcome.codes["rejected"]["NO_CONSENT"] == outcome.rows - outcome.codes["rejected"].get("AMOUNT_MISSING", 0)
    assert outcome.kept == outcome.rows - outcome.codes["rejected"]["NO_CONSENT"]


def test_what_is_put_aside_lies_sealed_and_comes_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: (tmp_path / "aside").open("w+b"))
    frame = table(text()).frame
    aside = sheaves.Sealed()
    aside.add(sheaves.Sheaf(frame))
    aside.add(sheaves.Sheaf(frame.iloc[:0]))
    pd.testing.assert_frame_equal(aside.get(0), frame)
    assert len(aside.get(1)) == 0
    aside._file.flush()  # what lies on the disk
    lying = (tmp_path / "aside").read_bytes()
    assert person(5).encode() not in lying
    assert np.frombuffer(lying, dtype=np.uint8).size > 1000
