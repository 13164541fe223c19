"""Rows that are the same one again: a number that the key of each row hashes to, and the rows that it makes look alike.

Of every row only the number is kept. Which rows are looked at follows from numbers that occur twice; whether two rows
are the same follows from their cells alone, so that no collision makes a duplicate. Numbers of one table rest on a salt
of its own; a cell has the same number in every chunk.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from connectors.source import Once, Table
from connectors.verdict import Mask
from registry.suites import random_bytes

Hashes: TypeAlias = npt.NDArray[np.uint64]
Salt: TypeAlias = tuple[int, int]

SUBJECT: Final = "subject_id"
_INSTALMENT: Final = "instalment"
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)  # these three tell places apart; any odd numbers without a pattern do
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)
_STIR: Final = np.uint64(0x94D049BB133111EB)
_WIDEST_BYTES: Final = 64  # of a cell that is hashed in bulk
_WORD_BYTES: Final = 8


def fresh_salt() -> Salt:
    """Draw what the numbers of one table rest on."""
    drawn = random_bytes(2 * _WORD_BYTES)
    return int.from_bytes(drawn[:_WORD_BYTES]), int.from_bytes(drawn[_WORD_BYTES:])


def rules(table: Table) -> list[Once]:
    """Give the checks of a table that look for rows that stand twice."""
    return [check for check in table.checks if isinstance(check, Once)]


def key(frame: Iterable[str], checks: Sequence[Once]) -> list[str]:
    """Name the columns that make two rows the same one again, as far as the table has them."""
    names = {SUBJECT: None, _INSTALMENT: None} | dict.fromkeys(name for check in checks for name in check.key)
    there = set(frame)
    return [name for name in names if name in there]


# ---- of every row ---------------------------------------------------------------------------------------------------


def hashes(frame: pd.DataFrame, subjects: Hashes, checks: Sequence[Once], salt: Salt) -> Hashes:
    """Hash what rows that may be the same one again have in common: their subject and key but for the instalment.

    Several such rules have no more than the subject in common. `subjects` is what subjects hash to.
    """
    if not checks:
        return np.zeros(0, dtype=np.uint64)
    names = [name for name in checks[0].key if name in frame and name != _INSTALMENT] if len(checks) == 1 else []
    found = subjects
    for name in names:
        column = frame[name]
        column = column.str.slice(0, 4) if name in checks[0].by_year else column
        found = found * _ODD + hashed(column, salt, few=True)
    return found


def hashed(column: "pd.Series[str]", salt: Salt, *, few: bool) -> Hashes:
    """Hash each cell of a column; missing is blank. Where there are `few` different cells each is hashed once."""
    text = column if isinstance(column.dtype, pd.StringDtype) else column.astype("str")
    cells = pa.array(text, type=pa.large_string(), from_pandas=True)
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if not few:
        return _hashed(cells.fill_null("") if cells.null_count else cells, salt)
    coded = cells.dictionary_encode()
    known = np.append(_hashed(coded.dictionary, salt), _hashed(pa.array([""], pa.large_string()), salt))
    numbers = coded.indices.fill_null(len(known) - 1) if coded.indices.null_count else coded.indices
    found: Hashes = known[numbers.to_numpy()]
    return found


def _hashed(cells: pa.LargeStringArray, salt: Salt) -> Hashes:
    _, offsets, content = cells.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[cells.offset : cells.offset + len(cells) + 1]
    data = np.frombuffer(content, dtype=np.uint8) if content is not None else np.zeros(0, dtype=np.uint8)
    lengths = np.diff(bounds)
    found = np.zeros(len(cells), dtype=np.uint64)
    short = lengths[lengths <= _WIDEST_BYTES]
    for width in np.flatnonzero(np.bincount(short)).tolist():
        rows = np.flatnonzero(lengths == width)
        found[rows] = _of_width(_gathered(data, bounds[rows], width), salt)
    long = np.flatnonzero(lengths > _WIDEST_BYTES)
    if len(long):
        texts = cells.take(pa.array(long)).to_numpy(zero_copy_only=False)
        found[long] = pd.util.hash_array(texts, categorize=True, hash_key=f"{salt[0]:016x}")
    return found


def _gathered(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Lay cells of one width under each other, as words: filled up with zeros."""
    words = -(-width // _WORD_BYTES)
    laid = np.zeros((len(starts), words * _WORD_BYTES), dtype=np.uint8)
    if not width:
        return laid
    if starts[-1] - starts[0] == (len(starts) - 1) * width:
        first = int(starts[0])
        laid[:, :width] = data[first : first + len(starts) * width].reshape(-1, width)
    else:
        laid[:, :width] = data[starts[:, None] + np.arange(width)]
    return laid


def _of_width(laid: npt.NDArray[np.uint8], salt: Salt) -> Hashes:
    words = laid.view(np.uint64)
    found = np.full(len(laid), (salt[0] + laid.shape[1]) % 2**64, dtype=np.uint64)
    for at in range(words.shape[1]):
        found ^= words[:, at]
        found *= _MIX
        found ^= found >> np.uint64(32)
        found *= _STIR
        found ^= found >> np.uint64(29)
    return found + np.uint64(salt[1])


# ---- of those that look alike ---------------------------------------------------------------------------------------


def alike(hashes_: Hashes, rejected: Mask) -> npt.NDArray[np.intp]:
    """Give the places of rows whose number occurs twice, among those that are records."""
    ordered = np.sort(hashes_)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(twice):
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(np.isin(hashes_, twice) & ~rejected)


def again(records: pd.DataFrame, check: Once) -> Mask:
    """Say which records are there before; an instalment tells two apart only where both state one."""
    records = records[[SUBJECT, *(name for name in check.key if name in records)]].copy()
    for name in set(check.by_year) & set(records):
        records[name] = records[name].str.slice(0, 4)
    twice: Mask = records.duplicated(keep="first").to_numpy()
    return twice | _instalment_unstated(records) if _INSTALMENT in records else twice


def _instalment_unstated(records: pd.DataFrame) -> Mask:
    """Find rows alike but for the instalment, where the row or one before it states none."""
    unstated = records[_INSTALMENT].isna()
    if not unstated.any():
        return np.zeros(len(records), dtype=bool)
    rest = records.drop(columns=_INSTALMENT)
    alike_ = rest.groupby(list(rest), dropna=False, sort=False).ngroup()
    before = unstated.astype("int64").groupby(alike_).cumsum() - unstated.astype("int64")
    return (unstated & rest.duplicated(keep="first") | (before > 0)).to_numpy(dtype=bool)
