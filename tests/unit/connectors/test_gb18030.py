"""Cells that are decoded after they were split are those of the text decoded first; a wrong byte stops the file."""

import io

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import delimited, gb18030
from connectors.errors import FileUnreadable
from connectors.grids import Grid

TEXTS = st.text(st.characters(codec="gb18030"), max_size=12)


def cells(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([one.encode("gb18030") for one in texts], pa.large_binary())])


@given(st.lists(TEXTS, max_size=40))
def test_a_column_is_decoded_as_its_cells_are(texts: list[str]) -> None:
    assert gb18030.decoded(cells(texts)).to_pylist() == texts


@given(st.lists(TEXTS, min_size=1, max_size=10), st.integers(0, 2_000))
def test_part_of_a_column_is_decoded_as_its_cells_are(texts: list[str], first: int) -> None:
    many = (texts * 600)[:2_500]
    assert gb18030.decoded(cells(many).slice(first)).to_pylist() == many[first:]


@given(st.lists(TEXTS, min_size=1, max_size=10))
def test_a_column_of_many_different_cells_is_decoded_as_its_cells_are(texts: list[str]) -> None:
    many = [f"第{number}户{texts[number % len(texts)]}" for number in range(1_300)]
    assert gb18030.decoded(cells(many)).to_pylist() == many


@pytest.mark.parametrize("wrong", [b"\xff", b"\x80", b"\xb0", b"\x81\x30", b"\x81\x30\x81", b"\xb0\x20"])
@pytest.mark.parametrize("many", [1, 3_000])
def test_a_wrong_byte_is_never_replaced(wrong: bytes, many: int) -> None:
    column = pa.chunked_array([pa.array([*("中".encode("gb18030") for _ in range(many)), wrong], pa.large_binary())])
    with pytest.raises(UnicodeDecodeError):
        gb18030.decoded(column)


def by_blocks(raw: bytes) -> Grid:
    grids = list(delimited.blocks(lambda: io.BytesIO(raw)))
    assert [one.first_row for one in grids[1:]] == [one.first_row + one.height for one in grids[:-1]]
    columns = max(len(one.columns) for one in grids)
    whole = [pd.concat([column(one, at) for one in grids], ignore_index=True) for at in range(columns)]
    return Grid("", tuple(whole), (None,) * columns)


def column(grid: Grid, at: int) -> "pd.Series[str]":
    return grid.columns[at] if at < len(grid.columns) else pd.Series([""] * grid.height, dtype="str")


def rows_of(grid: Grid) -> list[list[str]]:
    return [grid.row(at) for at in range(grid.height)]


ROWS = [f"{number},乡镇{number % 7},某{number},13.{number:02}" for number in range(300)]
LONGER = [*ROWS[:200], "7,长,一,二,多一格", *ROWS[200:]]
SHORTER = [*ROWS, "合计,300", ""]


@pytest.mark.parametrize("lines", [ROWS, LONGER, SHORTER, ["补贴发放花名册", *ROWS]], ids=len)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_text_in_gb18030_is_read_as_the_same_text_in_utf_8(
    lines: list[str], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)
    whole = ending.join(lines)
    expected = rows_of(delimited.read(whole.encode()))
    assert rows_of(delimited.read(whole.encode("gb18030"))) == expected
    assert rows_of(by_blocks(whole.encode("gb18030"))) == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_delimiter_divides_the_same_cells(delimiter: str) -> None:
    lines = [
        delimiter.join([f"{at}", "亅儀", '"引,号;分\t隔|两\n行"', "末"]) for at in range(50)
    ]  # these have | as a byte
    whole = "\n".join(lines)
    assert rows_of(delimited.read(whole.encode("gb18030"))) == rows_of(delimited.read(whole.encode()))


def test_a_character_may_have_the_bar_as_a_byte_and_is_not_divided_by_it() -> None:
    barred = bytes([0x81, 0x7C]).decode("gb18030")
    raw = "\n".join(f"甲{at}|{barred}|乙" for at in range(20)).encode("gb18030")
    assert delimited.read(raw).columns[1].tolist() == [barred] * 20


def test_a_wrong_byte_far_down_stops_a_text_of_level_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)
    raw = "\n".join(ROWS).encode("gb18030") + b"\n1,\xff\xff,2,3\n"
    with pytest.raises(FileUnreadable):
        delimited.read(raw)
    with pytest.raises(FileUnreadable):
        list(delimited.blocks(lambda: io.BytesIO(raw)))


def test_a_mark_of_utf_8_before_a_text_that_is_none_is_not_left_out() -> None:
    raw = b"\xef\xbb\xbf" + "甲,乙\n丙,丁\n".encode("gb18030") + b"\n"
    try:
        expected = raw.decode("gb18030").split(",")[0]
    except UnicodeDecodeError:
        with pytest.raises(FileUnreadable):
            delimited.read(raw)
    else:
        assert delimited.read(raw).columns[0].iloc[0] == expected
