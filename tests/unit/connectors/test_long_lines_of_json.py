"""Long lines of JSON, weighed block by block, end as the same lines laid out whole."""

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pandas as pd
import pytest

from connectors import apparent, bounds, every_fault, ndjson, normalise, reading
from connectors.delivery import BY_COMMAND
from connectors.errors import FileUnreadable
from connectors.normalise import TableOutcome
from connectors.spool import Spool
from tests.unit.connectors.consent_register import AS_OF, everybody
from tests.unit.connectors.tables import person, tables

NAME = "2026年种粮补贴.ndjson"
ROWS_A_BLOCK = 20
Row = dict[str, Any]


def row(number: int, **over: Any) -> Row:
    return {
        "身份证号": person(number),
        "姓名": f"某{number}",
        "补贴金额(元)": number + 0.5,
        "发放日期": "2026-05-08",
    } | over


def faulty(count: int = 400) -> list[Row]:
    """Rows with missing and additional keys, blank and wrong cells, and rows again some blocks further down."""
    rows = [row(number) for number in range(1, count)]
    del rows[3]["姓名"], rows[5]["补贴金额(元)"]
    rows[7]["补贴金额(元)"] = "—"
    rows[9] |= {"发放日期": "没有这一天"}
    rows[11]["身份证号"] = "12345"
    rows[ROWS_A_BLOCK * 9]["补贴金额(元)"] = None
    rows[ROWS_A_BLOCK * 10 - 2] |= {"备注": "后来才有", "开户行": True}
    rows[-1] |= {"补贴项目": "种粮补贴"}
    again = [rows[ROWS_A_BLOCK - 2], rows[ROWS_A_BLOCK - 1], rows[200] | {"姓名": "改了名"}]
    return [*rows[:300], *again, *rows[300:], rows[0]]


def lines(rows: list[Row], *, by: bytes = b"\n") -> bytes:
    return by.join(map(orjson.dumps, rows)) + by


FILES = {
    "faulty rows": lines(faulty()),
    "blank lines, other ends of lines": lines(faulty(), by=b"\r\n \r\n"),
    "a total that is wrong": lines([*faulty(), {"身份证号": "合计", "补贴金额(元)": 1}]),
    "no newline at the end": lines(faulty()).rstrip(),
    "blocks that end with the file": lines([row(n) for n in range(1, ROWS_A_BLOCK * 3)]),
    "one row": lines([row(1)]),
    "a header that nobody declared": lines([{"a": n, "b": n} for n in range(100)]),
    "objects without keys": lines([{}] * 100),
}
NO_FILES = {
    "the last line is cut": lines(faulty())[:-30],
    "no JSON in the middle": lines(faulty()).replace(orjson.dumps(row(150)), b'{"a": nothing}'),
    "a list among values": lines([*faulty(), row(1, 备注=["x"]), row(2)]),
    "an object among values": lines([*faulty(), row(1, 备注={"x": 1}), row(2)]),
    "a list for a row": lines([*faulty(), [1], row(2)]),  # type: ignore[list-item]  # what it is about
    "more keys than any table": lines([*faulty(), {f"列{n}": n for n in range(bounds.ROW_CELLS)}]),
    "a line without end": lines([*faulty(), row(1, 备注="长" * (2 << 20))]),
    "blanks without end": lines(faulty()) + b" " * (5 << 20) + lines([row(1)]),
}


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on all lines of JSON are long, and their blocks are of twenty rows."""

    def begin() -> None:
        monkeypatch.setattr(reading, "LONG_BYTES", 0)
        monkeypatch.setattr(ndjson, "_ROWS_AT_ONCE", ROWS_A_BLOCK)

    return begin


def same(whole: list[TableOutcome], long: list[TableOutcome]) -> None:
    assert [one.bare() for one in long] == [one.bare() for one in whole]
    for ours, theirs in zip(long, whole, strict=True):
        assert ours.quarantined == theirs.quarantined
        assert ours.apparent == theirs.apparent
        if theirs.blocked is None:
            pd.testing.assert_frame_equal(ours.frame, theirs.frame)


@pytest.mark.parametrize("raw", FILES.values(), ids=FILES)
def test_long_lines_end_as_short_ones(raw: bytes, in_blocks: Callable[[], None]) -> None:
    whole = tables(raw, NAME)
    in_blocks()
    same(whole, tables(raw, NAME))


def test_rows_again_are_found_across_blocks_where_they_stand(in_blocks: Callable[[], None]) -> None:
    in_blocks()
    (outcome,) = tables(FILES["faulty rows"], NAME)
    assert sum(1 for _ in outcome.frames()) > 15
    found = outcome.frame.loc[outcome.frame["code"] == "DUPLICATE_IN_BATCH", "row_no"].tolist()
    assert found == [302, 303, 304, 404]  # the heading row is the first


@pytest.mark.parametrize("raw", NO_FILES.values(), ids=NO_FILES)
def test_one_line_that_is_no_row_stops_long_files_as_short_ones(raw: bytes, in_blocks: Callable[[], None]) -> None:
    assert [one.blocked for one in tables(raw, NAME)] == ["FILE_UNREADABLE"]
    in_blocks()
    assert [one.blocked for one in tables(raw, NAME)] == ["FILE_UNREADABLE"]


@pytest.mark.parametrize("raw", [FILES["faulty rows"], FILES["objects without keys"]], ids=["faulty", "without keys"])
def test_blocks_put_together_are_the_whole_grid(raw: bytes, in_blocks: Callable[[], None]) -> None:
    whole = [grid.row(at) for grid in reading.read(raw, NAME) for at in range(grid.height)]
    in_blocks()
    (stream,) = reading.streams(raw, NAME)
    for _ in range(2):  # as often as needed
        blocks = list(stream.blocks())
        assert [block.row(at) for block in blocks for at in range(block.height)] == whole
        assert all(b.first_row + b.height == c.first_row for b, c in pairwise(blocks))
        assert sum(block.height for block in blocks) in {0, stream.rows}


def test_every_fault_and_every_heading_is_told_the_same(in_blocks: Callable[[], None]) -> None:
    def told() -> tuple[list[every_fault.Marked], frozenset[str]]:
        found = apparent.evaluate(raw, NAME, as_of=AS_OF, delivery=BY_COMMAND, mended={})
        marked = list(every_fault.marked(raw, NAME, BY_COMMAND, found, as_of=AS_OF, mended={}))
        return marked, apparent.headings(raw, NAME, BY_COMMAND, "SUBSIDY")

    raw = FILES["faulty rows"]
    whole = told()
    in_blocks()
    assert told() == whole
    assert len(whole[0]) > 5
    assert "补贴项目" in whole[1]  # though it comes up in the last block only


def test_lines_just_beyond_the_bound_end_as_if_they_were_below(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number % 20_000, 备注="备" * 100) for number in range(60_000)]
    rows[40_000]["补贴金额(元)"] = "—"
    raw = lines(rows)
    raw += lines([row(1)]) * ((reading.LONG_BYTES - len(raw)) // len(lines([row(1)])) + 1)
    assert reading.is_long(raw, NAME)
    assert not reading.is_long(raw[: reading.LONG_BYTES], NAME)
    long = tables(raw, NAME)
    monkeypatch.setattr(reading, "LONG_BYTES", len(raw))
    same(tables(raw, NAME), long)


def test_a_spool_of_lines_is_read_as_its_bytes_are(in_blocks: Callable[[], None]) -> None:
    raw = FILES["faulty rows"]
    whole = tables(raw, NAME)
    with Spool(chunk_bytes=512) as spool:
        spool.write(raw)
        for long in (False, True):  # short ones whole, so that a batch's chunks are the same when it is weighed again
            if long:
                in_blocks()
            assert reading.is_long(spool, NAME) is reading.is_long(raw, NAME) is long
            same(whole, normalise.evaluate(spool, NAME, as_of=AS_OF, basis_of=everybody))


@pytest.mark.parametrize(
    ("bound", "value"), [("_ROWS_AT_ONCE", 50), ("BLOCK_BYTES", 5_000), ("_CELLS_AT_ONCE", 350)], ids=str
)
def test_no_more_is_held_than_one_block_however_many_lines_follow(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, bound, value)
    raw, read = FILES["faulty rows"], [0]

    class Counted(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            line = super().readline(size)
            read[0] += len(line)
            return line

    keys, before = ndjson.shape(lambda: Counted(raw)).keys, read[0]
    for block in ndjson.blocks(lambda: Counted(raw), keys):
        assert block.height <= 50
        assert read[0] - before < 8_000
        before = read[0]
    assert read[0] == 2 * len(raw)


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    text = io.BytesIO(b'{"a": "' + b"x" * (32 << 20) + b'"}')
    with pytest.raises(FileUnreadable, match="line 1 is longer"):
        next(ndjson._lines(text))
    assert text.tell() < 5 << 20
