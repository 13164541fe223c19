"""Cells in GB18030 → text, a column at a time: only columns that have other characters than ASCII are decoded.

A text may be split into cells before it is decoded, because no byte of a character of several bytes is a comma, a
semicolon, a tab, a quote or the end of a line: the second byte is a digit or lies beyond `@`. So the text is well
formed if and only if each of its cells is. The bar (`|`) may be such a second byte; texts divided by it are decoded
first.

Decoding is strict: bytes that are no GB18030 raise UnicodeDecodeError.
"""

import codecs
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NAME: Final = "gb18030"
_DELIMITERS: Final = frozenset({",", ";", "\t"})
_BETWEEN: Final = b"\x1e"  # the record separator: stands in no character of several bytes either
_ASCII_ENDS: Final = 0x80
_SAMPLE: Final = 1_000


def splits(delimiter: str, begins: bytes) -> bool:
    """Say whether a text divided by this character, beginning with these bytes, can be split before it is decoded.

    What Arrow takes for the mark of UTF-8 at its beginning would be left out: such a text is decoded first.
    """
    return delimiter in _DELIMITERS and not begins.startswith(codecs.BOM_UTF8)


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode the cells of a column of bytes, none of them missing.

    Raises:
        UnicodeDecodeError: one of them is no GB18030.
    """
    return pa.chunked_array([_decoded(chunk) for chunk in column.chunks], type=pa.large_string())


def _decoded(cells: pa.LargeBinaryArray) -> pa.LargeStringArray:
    data, bounds = _bytes(cells)
    if not len(data) or int(data.max()) < _ASCII_ENDS:
        return cells.view(pa.large_string())
    beyond = np.flatnonzero(data >= _ASCII_ENDS)
    if len(beyond) < _SAMPLE:  # a heading above figures
        return _written_over(cells, np.unique(np.searchsorted(bounds, beyond, side="right") - 1))
    if len(cells.slice(0, _SAMPLE).unique()) < _SAMPLE // 4:
        coded = cells.dictionary_encode()
        return _each(coded.dictionary).take(coded.indices)
    return _each(cells) if (data == _BETWEEN[0]).any() else _at_once(cells)


def _bytes(cells: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Give the bytes of all cells in a row, and where each begins in it, and where the last one ends."""
    _, offsets, content = cells.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
    data = np.frombuffer(content, dtype=np.uint8) if content is not None else np.zeros(0, dtype=np.uint8)
    return data[bounds[0] : bounds[-1]], bounds - bounds[0]


def _each(cells: pa.LargeBinaryArray) -> pa.LargeStringArray:
    return pa.array([one.decode(NAME) for one in cells.to_pylist()], type=pa.large_string())


def _written_over(cells: pa.LargeBinaryArray, rows: npt.NDArray[np.intp]) -> pa.LargeStringArray:
    """Decode these cells; the others are ASCII."""
    where = np.zeros(len(cells), dtype=bool)
    where[rows] = True
    return pc.replace_with_mask(cells.view(pa.large_string()), pa.array(where), _each(cells.take(pa.array(rows))))


def _at_once(cells: pa.LargeBinaryArray) -> pa.LargeStringArray:
    """Decode all cells as one text, with a byte between them that stands in none."""
    one = pa.ListArray.from_arrays(pa.array([0, len(cells)], pa.int32()), cells)
    text = pc.binary_join(one, pa.scalar(_BETWEEN, pa.large_binary()))[0].as_buffer()
    written = codecs.decode(text, NAME).encode()
    return _cut(np.frombuffer(written, dtype=np.uint8), len(cells))


def _cut(written: npt.NDArray[np.uint8], size: int) -> pa.LargeStringArray:
    """Cut UTF-8 into cells at the bytes between them."""
    between = written == _BETWEEN[0]
    bounds = np.zeros(size + 1, dtype=np.int64)
    bounds[1:-1] = np.flatnonzero(between) - np.arange(size - 1)
    bounds[-1] = len(written) - (size - 1)
    return pa.LargeStringArray.from_buffers(size, pa.py_buffer(bounds), pa.py_buffer(written[~between]))
