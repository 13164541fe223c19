"""A large workbook, read in blocks of rows, ends as the same workbook laid out whole."""

import io
import re
import zipfile
from collections.abc import Callable

import pandas as pd
import pytest

from connectors import bounds, reading, workbooks
from connectors.errors import FileUnreadable
from tests.corpus.workbooks import FILE, HEADER, Case, cases, one, repacked, row, rows
from tests.unit.connectors.tables import tables

WORKBOOKS = [make for make in cases() if not make.__name__.startswith(("csv", "legacy", "unpacks"))]
INLINE = re.compile(rb'(<c r="[A-Z]+[0-9]+"(?: s="[0-9]+")?) t="inlineStr"><is>(.*?)</is></c>', re.DOTALL)
MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
MANY = [HEADER, *rows(200)]


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on every .xlsx is large, and its blocks are of some rows."""

    def begin() -> None:
        monkeypatch.setattr(reading, "LARGE_BYTES", -1)
        monkeypatch.setattr(workbooks, "BLOCK_BYTES", 3_000)

    return begin


def sheet(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the markup of the first sheet."""
    return repacked(raw, lambda part, body: change(body) if part.endswith("sheet1.xml") else body)


def shared(raw: bytes) -> bytes:
    """Put the texts of a workbook into a table of shared strings, as most programs do; each once."""
    known: dict[bytes, int] = {}

    def refer(found: re.Match[bytes]) -> bytes:
        return b'%s t="s"><v>%d</v></c>' % (found[1], known.setdefault(found[2], len(known)))

    own = repacked(raw, lambda part, body: INLINE.sub(refer, body) if "worksheets/sheet" in part else body)
    table = b"<sst %s>%s</sst>" % (MAIN, b"".join(b"<si>%s</si>" % text for text in known))
    return repacked(
        own, lambda part, body: None if part.endswith("sharedStrings.xml") else body, {"xl/sharedStrings.xml": table}
    )


def same(raw: bytes, name: str, in_blocks: Callable[[], None]) -> None:
    whole = tables(raw, name)
    in_blocks()
    long = tables(raw, name)
    assert [one.bare() for one in long] == [one.bare() for one in whole]
    for ours, theirs in zip(long, whole, strict=True):
        pd.testing.assert_frame_equal(ours.frame, theirs.frame)
        assert ours.quarantined == theirs.quarantined


@pytest.mark.parametrize("make", WORKBOOKS, ids=lambda make: make.__name__)
def test_every_workbook_of_the_corpus_ends_the_same_in_blocks_with_its_texts_shared(
    make: Callable[[], Case], in_blocks: Callable[[], None]
) -> None:
    case = make()
    same(shared(case.raw) if zipfile.is_zipfile(io.BytesIO(case.raw)) else case.raw, case.name, in_blocks)


def test_blocks_lie_behind_each_other_and_leave_no_row_out(in_blocks: Callable[[], None]) -> None:
    in_blocks()
    (stream,) = reading.streams(shared(one(MANY)))
    blocks = list(stream.blocks())
    assert len(blocks) > 5
    assert [block.first_row for block in blocks[1:]] == [b.first_row + b.height for b in blocks[:-1]]
    assert sum(block.height for block in blocks) == len(MANY)
    assert next(stream.blocks()).row(0) == HEADER  # as often as needed


def test_a_cell_merged_over_many_blocks_is_repeated_in_all_of_them(in_blocks: Callable[[], None]) -> None:
    raw = one(MANY, lambda sheet: sheet.merge_cells("D2:D201"))
    in_blocks()
    (outcome,) = tables(raw, FILE)
    assert outcome.rows == 200
    assert outcome.frame["region_code"].eq("630222201201").all()


def test_rows_without_numbers_and_rows_left_out_stand_where_they_stood(in_blocks: Callable[[], None]) -> None:
    bare = sheet(one(MANY), lambda body: re.sub(rb' r="[A-Z]*[0-9]+"', b"", body))
    same(bare, FILE, in_blocks)


def test_rows_far_below_are_found_behind_blank_ones(
    in_blocks: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "BLANK_ROWS", 100)
    raw = one([*MANY, *([[]] * 950), row(500)])
    same(raw, FILE, in_blocks)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: re.sub(rb"<(/?)(\w)", rb"<\1x:\2", body).replace(b"xmlns=", b"xmlns:x="),
        lambda body: body.replace(b't="s"', b"t='s'").replace(b"<v>", b"<v >"),
        lambda body: re.sub(rb'<c r="(\w+)" t="s">', rb'<c t="s" r="\1" s="0">', body),
    ],
    ids=["a prefix before every tag", "other quotes", "other order"],
)
def test_markup_of_other_programs_is_read_the_same(
    change: Callable[[bytes], bytes], in_blocks: Callable[[], None]
) -> None:
    same(sheet(shared(one(MANY)), change), FILE, in_blocks)


def test_texts_with_markup_of_their_own_are_read_the_same(in_blocks: Callable[[], None]) -> None:
    raw = shared(one([HEADER, *rows(5), row(6, name="a & <b>"), row(7, name=" 李 "), row(8, name="_x0041_李")]))
    same(raw, FILE, in_blocks)


@pytest.mark.parametrize(
    "hidden",
    [b'<!-- <row r="7"></row> -->', b"<![CDATA[<row>]]>", b"<?x <row?>"],
    ids=["comment", "cdata", "instruction"],
)
def test_what_may_hide_a_row_is_refused(hidden: bytes, in_blocks: Callable[[], None]) -> None:
    raw = sheet(one(MANY), lambda body: body.replace(b'<row r="150"', hidden + b'<row r="150"'))
    in_blocks()
    assert [outcome.blocked for outcome in tables(raw, FILE)] == ["FILE_UNREADABLE"]


def test_rows_that_run_backwards_are_refused(in_blocks: Callable[[], None]) -> None:
    raw = sheet(one(MANY), lambda body: re.sub(rb'(<row r="|<c r="[A-Z]+)150"', rb'\g<1>3"', body))
    in_blocks()
    (outcome,) = tables(raw, FILE)
    assert outcome.blocked == "FILE_UNREADABLE" or sum(outcome.counts.values()) == outcome.rows


def test_a_text_that_the_table_lacks_is_refused(in_blocks: Callable[[], None]) -> None:
    raw = sheet(shared(one(MANY)), lambda body: re.sub(rb't="s"><v>[0-9]+', b't="s"><v>99999', body, count=1))
    in_blocks()
    assert [outcome.blocked for outcome in tables(raw, FILE)] == ["FILE_UNREADABLE"]


@pytest.mark.parametrize(
    "reference", [b'r="ZZZZZZ1"', b'r="A99999999999"', b"r='XFD1048576'", b'r = "XFD1048576"', b'r="xfd1048576"']
)
def test_a_cell_far_off_is_refused_however_it_is_written(reference: bytes) -> None:
    raw = sheet(one(MANY), lambda body: body.replace(b'r="B150"', reference))
    with pytest.raises(FileUnreadable):
        bounds.check_package(io.BytesIO(raw))


def test_spans_are_what_the_cells_say_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = one(MANY, lambda sheet: sheet.merge_cells("A2:B3"))
    whole = bounds.check_package(io.BytesIO(raw))["xl/worksheets/sheet1.xml"]
    monkeypatch.setattr(bounds, "_PIECE_BYTES", 700)
    pieces = bounds.check_package(io.BytesIO(raw))["xl/worksheets/sheet1.xml"]
    assert (whole.rows, whole.columns) == (pieces.rows, pieces.columns) == (len(MANY), len(HEADER))
    assert whole.merged.tolist() == pieces.merged.tolist() == [[1, 0, 2, 1]]


def test_a_workbook_is_large_by_what_it_unpacks_to(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = one(MANY)
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        size = package.getinfo("xl/worksheets/sheet1.xml").file_size
    monkeypatch.setattr(reading, "LARGE_BYTES", size // 2)
    assert reading.is_long(raw, FILE)
    monkeypatch.setattr(reading, "LARGE_BYTES", size * 10)
    assert not reading.is_long(raw, FILE)
