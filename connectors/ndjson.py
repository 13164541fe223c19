"""Rows that came over an interface, as lines of JSON (NDJSON): bytes → a grid with the keys as its heading row.

Each line is one object of plain values. Numbers keep their digits as the sender wrote them where they are whole;
true and false become 是 and 否; null and a key that is missing are blank. A value that is itself a list or an object,
or a line that is no object, stops the file: what is not understood is not taken.
"""

from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import pandas as pd

from connectors.errors import FileUnreadable

SUFFIX: Final = ".ndjson"
_ROWS_AT_ONCE: Final = 20_000
_LONGEST_LINE_BYTES: Final = 4 << 20


def is_ndjson(name: str) -> bool:
    """Say whether a document is lines of JSON: by its name, since we name it ourselves."""
    return name.lower().endswith(SUFFIX)


def columns(lines: BinaryIO | Iterable[bytes]) -> tuple[pd.Series, ...]:
    """Read lines into columns of text; the first cell of each is its key.

    Raises:
        FileUnreadable: a line is no JSON object of plain values.
    """
    parts: dict[str, list[pd.Series]] = {}
    rows, height = [], 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(_row(line, number))
        if len(rows) == _ROWS_AT_ONCE:
            _add(parts, rows, height)
            height += len(rows)
            rows = []
    _add(parts, rows, height)
    return tuple(
        pd.concat([pd.Series([key], dtype="str"), *pieces], ignore_index=True) for key, pieces in parts.items()
    )


def _row(line: bytes, number: int) -> dict[str, str]:
    if len(line) > _LONGEST_LINE_BYTES:
        raise FileUnreadable(f"line {number} is longer than any row")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise FileUnreadable(f"line {number} is no JSON") from None
    if not isinstance(row, dict):
        raise FileUnreadable(f"line {number} is no JSON object")
    return {key: _text(value, number) for key, value in row.items()}


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


def _add(parts: dict[str, list[pd.Series]], rows: list[dict[str, str]], height: int) -> None:
    """Add rows to the columns; a key that comes up late was blank before."""
    for key in dict.fromkeys(key for row in rows for key in row):
        if key not in parts:
            parts[key] = [pd.Series(np.full(height, "", dtype=object), dtype="str")] if height else []
    for key, pieces in parts.items():
        if rows:
            pieces.append(pd.Series([row.get(key, "") for row in rows], dtype="str"))
