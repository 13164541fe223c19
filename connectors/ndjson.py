"""Rows that came over an interface, as lines of JSON (NDJSON): bytes → a grid with the keys as its heading row.

Each line is one object of plain values. Numbers keep their digits as the sender wrote them where they are whole;
true and false become 是 and 否; null and a key that is missing are blank. A value that is itself a list or an object,
or a line that is no object, stops the file: what is not understood is not taken.

A key may come up in any line, and the heading row has all of them: so the lines are gone through twice, once for the
keys (`shape`), once for the cells (`blocks`). Laid out whole (`read`) is all blocks put together: nothing is read in
another way because a document is long.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
import pandas as pd

from connectors import bounds
from connectors.errors import FileUnreadable
from connectors.grids import Grid

SUFFIX: Final = ".ndjson"
BLOCK_BYTES: Final = 8 << 20
_ROWS_AT_ONCE: Final = 20_000
_CELLS_AT_ONCE: Final = 4_000_000  # lines of few keys among many make many blank cells
_LONGEST_LINE_BYTES: Final = 4 << 20


class Shape(NamedTuple):
    """The keys of all lines, in the order in which they come up, and how many rows there are with the heading row."""

    keys: tuple[str, ...]
    rows: int


class _Line(NamedTuple):
    number: int
    size: int
    row: dict[str, Any]


def is_ndjson(name: str) -> bool:
    """Say whether a document is lines of JSON: by its name, since we name it ourselves."""
    return name.lower().endswith(SUFFIX)


def read(raw: bytes) -> Grid:
    """Lay a document out whole.

    Raises:
        FileUnreadable: a line is no JSON object of plain values, or the lines have too many keys.
    """
    opened = partial(io.BytesIO, raw)
    parts = [block.columns for block in blocks(opened, shape(opened).keys)]
    columns = tuple(pd.concat(pieces, ignore_index=True) for pieces in zip(*parts, strict=True))
    return Grid("", columns, (None,) * len(columns))


def shape(opened: Callable[[], BinaryIO]) -> Shape:
    """Go through all lines for their keys.

    Args:
        opened: opens the document's bytes, as often as needed.

    Raises:
        FileUnreadable: a line is no JSON object, or the lines have too many keys.
    """
    keys: dict[str, None] = {}
    rows = 1
    with opened() as text:
        for rows, line in enumerate(_lines(text), start=2):  # noqa: B007  # how many there were
            if not line.row.keys() <= keys.keys():
                keys |= dict.fromkeys(line.row)
                if len(keys) > bounds.ROW_CELLS:
                    raise FileUnreadable(f"the lines have more than {bounds.ROW_CELLS} keys")
    return Shape(tuple(keys), rows)


def blocks(opened: Callable[[], BinaryIO], keys: Sequence[str]) -> Iterator[Grid]:
    """Read a document block by block, the heading row in the first; none if no line has a key.

    Args:
        opened: as for `shape`.
        keys: what `shape` has found.

    Raises:
        FileUnreadable: as `read`, also after blocks have been given: then none of them count.
    """
    if not keys:
        return
    most = min(_ROWS_AT_ONCE, _CELLS_AT_ONCE // len(keys))
    rows, size, above = [{key: key for key in keys}], 0, 0
    with opened() as text:
        for line in _lines(text):
            rows.append({key: _text(value, line.number) for key, value in line.row.items()})
            size += line.size
            if len(rows) >= most or size >= BLOCK_BYTES:
                yield _grid(rows, keys, above)
                above += len(rows)
                rows, size = [], 0
    if rows:
        yield _grid(rows, keys, above)


def _grid(rows: Sequence[dict[str, str]], keys: Sequence[str], above: int) -> Grid:
    columns = tuple(pd.Series([row.get(key, "") for row in rows], dtype="str") for key in keys)
    return Grid("", columns, (None,) * len(columns), first_row=above + 1)


def _lines(text: BinaryIO) -> Iterator[_Line]:
    """Give the objects of all lines that are not blank; of a line without end no more is read than a line may have."""
    for number, line in enumerate(iter(partial(text.readline, _LONGEST_LINE_BYTES + 1), b""), start=1):
        if len(line) > _LONGEST_LINE_BYTES:
            raise FileUnreadable(f"line {number} is longer than any row")
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise FileUnreadable(f"line {number} is no JSON") from None
        if not isinstance(row, dict):
            raise FileUnreadable(f"line {number} is no JSON object")
        yield _Line(number, len(line), row)


def _text(value: Any, number: int) -> str:  # noqa: ANN401  # any value of JSON
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    raise FileUnreadable(f"line {number} holds a list or an object where a value is expected")
