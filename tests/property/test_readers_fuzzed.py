"""Whatever bytes come under a table's name: every row is accounted for, or the table is blocked, nothing else."""

import io
import zipfile
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import delimited, reading, workbooks
from connectors.normalise import TableOutcome
from tests.corpus.workbooks import CSV, FILE, HEADER, Case, cases, legacy, one, repacked, rows, text
from tests.unit.connectors.tables import tables

SMALL = [make for make in cases() if make.__name__ not in {"unpacks_to_gigabytes", "locked_with_a_password"}]
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
_MARKS = [b"", b"\x00", b"\xff\xfe", b"\x81", b'"', b",", b"\r\n", b"<", b"&a;"]
PIECES = st.sampled_from([*_MARKS, b"PK\x03\x04", b't="e"', b"1e999", b"-", "合计".encode()])


@cache
def made(index: int) -> Case:
    return SMALL[index]()


def hold(outcomes: list[TableOutcome]) -> None:
    for outcome in outcomes:
        if outcome.blocked is None:
            assert sum(outcome.counts.values()) == outcome.rows
            told = {end: sum(by_code.values()) for end, by_code in outcome.codes.items()}
            assert all(told[end] == outcome.counts[end] for end in told)
            held = outcome.counts.get("accepted", 0) + outcome.counts.get("warned", 0)
            assert int(outcome.frame["outcome"].isin(["accepted", "warned"]).sum()) == held if held else True
        else:
            assert outcome.frame.empty


def spoilt(raw: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Cut out some bytes and put others in, at places given as shares of the whole."""
    for place, gone, put in changes:
        at = int(place * len(raw))
        raw = raw[:at] + put + raw[at + gone :]
    return raw


CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=4)


def bytes_are_read(index: int, changes: list[tuple[float, int, bytes]]) -> None:
    case = made(index)
    hold(tables(spoilt(case.raw, changes), case.name))


def sheets_are_read(index: int, changes: list[tuple[float, int, bytes]]) -> None:
    case = made(index)
    if not zipfile.is_zipfile(io.BytesIO(case.raw)):
        return
    parts = ("sheet1.xml", "sharedStrings.xml", "workbook.xml")
    raw = repacked(case.raw, lambda part, body: spoilt(body, changes) if part.endswith(parts) else body)
    hold(tables(raw, case.name))


@FUZZ
@given(st.integers(0, len(SMALL) - 1), CHANGES)
def test_spoilt_bytes_end_in_an_account_or_a_block(index: int, changes: list[tuple[float, int, bytes]]) -> None:
    bytes_are_read(index, changes)


@FUZZ
@given(st.integers(0, len(SMALL) - 1), CHANGES)
def test_spoilt_parts_of_a_package_end_in_an_account_or_a_block(
    index: int, changes: list[tuple[float, int, bytes]]
) -> None:
    sheets_are_read(index, changes)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@LONG
@given(st.integers(0, len(SMALL) - 1), CHANGES)
def test_many_spoilt_files_end_in_an_account_or_a_block(index: int, changes: list[tuple[float, int, bytes]]) -> None:
    bytes_are_read(index, changes)
    sheets_are_read(index, changes)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is long, and its blocks are small."""
    monkeypatch.setattr(reading, "LARGE_BYTES", -1)
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(workbooks, "BLOCK_BYTES", 1_500)


@pytest.mark.usefixtures("small_blocks")
@FUZZ
@given(st.integers(0, len(SMALL) - 1), CHANGES)
def test_spoilt_files_read_in_blocks_end_in_an_account_or_a_block(
    index: int, changes: list[tuple[float, int, bytes]]
) -> None:
    bytes_are_read(index, changes)
    sheets_are_read(index, changes)


CELLS = st.one_of(
    st.none(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(
        ["合计", "小计", "—", "#REF!", "2026-02-30", "柒佰捌拾陆元整", "６３", "1e400", "٣", "=1+1", *HEADER]
    ),
)


@FUZZ
@given(st.lists(st.lists(CELLS, max_size=10), max_size=12), st.sampled_from(["csv", "gb18030"]))
def test_any_cells_under_a_good_header_end_in_an_account_or_a_block(lines: list[list[object]], how: str) -> None:
    encoding = "utf-8" if how == "csv" else "gb18030"
    hold(tables(text([HEADER, *rows(2), *lines], encoding), CSV))


@FUZZ
@given(st.lists(st.lists(CELLS, max_size=10), max_size=12))
def test_any_cells_of_a_workbook_end_in_an_account_or_a_block(lines: list[list[object]]) -> None:
    writable = [[_writable(cell) for cell in line] for line in lines]
    hold(tables(one([HEADER, *rows(2), *writable]), FILE))


@FUZZ
@given(st.lists(st.lists(CELLS, max_size=10), max_size=12))
def test_any_cells_of_a_legacy_workbook_end_in_an_account_or_a_block(lines: list[list[object]]) -> None:
    writable = [[_writable(cell) for cell in line] for line in lines]
    hold(tables(legacy([HEADER, *rows(2), *writable]), "民和县_补贴_2026.xls"))


def _writable(cell: object) -> object:
    """A cell as a spreadsheet can hold it: no control characters, no integer beyond a double."""
    if isinstance(cell, str):
        return "".join(mark for mark in cell if mark.isprintable())
    return float(cell) if isinstance(cell, int) else cell
