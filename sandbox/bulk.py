"""One farmland roster of up to a million rows, quickly: for benchmarks and for files too large to look at.

The columns of `subsidy.farmland` in GB18030, without title rows, its units in the headings, faults at fixed
shares, and no total. Columns are computed as arrays and written by Arrow; a million rows take about five seconds.
Every row has a resident ID of its own, from the county codes and birth dates there are (sequence 000), which is
what bounds the number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import default_rng
from numpy.typing import NDArray
from pyarrow import csv

from sandbox import places
from sandbox.places import COUNTY_CODES

Ints: TypeAlias = NDArray[np.int64]
Column: TypeAlias = Any  # a pyarrow array; the library is published without types

HEADINGS: Final = (
    *("序号", "乡镇", "村", "村代码", "户主", "身份证号"),
    *("确权面积(亩)", "补贴标准(元/亩)", "补贴金额(元)", "社保卡银行账号", "发放日期", "发放状态"),
)
FAULTS: Final = {"ID_CHECK_FAILED": 0.005, "AMOUNT_MISMATCH": 0.005, "AMOUNT_MISSING": 0.002}
MOST_ROWS: Final = 1_000_000

_WEIGHTS: Final = np.array((7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), dtype=np.int16)
_CHECKS: Final = np.frombuffer(b"10X98765432", dtype=np.uint8)
_ZERO: Final = np.uint8(ord("0"))
_FIRST_BIRTH: Final = np.datetime64("1938-01-01")
_BIRTH_DAYS: Final = 24_000  # until 2003
_FEN_A_TENTH: Final = 786  # 78.60 元 a 亩
_CARD_PREFIX: Final = 623999
_RETURNED: Final = 0.05  # of all payments
_GIVEN: Final = ("生莲", "文清", "得福", "国庆", "海英")
_NAMES: Final = [family + given for family in "张王李马赵韩祁贺鲁保" for given in _GIVEN]
_ROWS_AT_A_TIME: Final = 100_000


@dataclass(frozen=True)
class Bulk:
    """The file, and what its rows must end as when everybody has agreed."""

    path: Path
    rows: int
    codes: dict[str, int]
    accepted_fen: int
    resident_ids: Sequence[str] = field(repr=False)  # in the order of the rows, without the planted faults


def write(path: Path, *, rows: int, seed: int = 7, paid_on: date = date(2026, 4, 15), faults: bool = True) -> Bulk:
    """Write a roster of `rows` rows.

    Raises:
        ValueError: rows not within 1 and MOST_ROWS.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"rows must be 1 to {MOST_ROWS}, not {rows}")
    rng = default_rng([seed, 6])
    people = rng.permutation(len(COUNTY_CODES) * _BIRTH_DAYS)[:rows]
    fault = np.full(rows, "", dtype="<U16")
    if faults:
        dice = rng.random(rows)
        edge = 0.0
        for code, share in FAULTS.items():
            fault[(dice >= edge) & (dice < edge + share)] = code
            edge += share
    tenths = rng.integers(50, 300, rows)
    fen = tenths * _FEN_A_TENTH
    villages = places.villages(places.FARMING_COUNTY)
    where = rng.integers(0, len(villages), rows)
    columns = [
        pa.array(np.arange(1, rows + 1)).cast(pa.string()),
        _pick([village.town for village in villages], where),
        _pick([village.village for village in villages], where),
        _pick([village.village_code for village in villages], where),
        _pick(_NAMES, rng.integers(0, len(_NAMES), rows)),
        _resident_ids(people, wrong=fault == "ID_CHECK_FAILED"),
        _decimal(tenths, 1),
        _pick(["78.60", "86.70"], (fault == "AMOUNT_MISMATCH").astype(np.int64)),
        pc.if_else(pa.array(fault == "AMOUNT_MISSING"), "—", _decimal(fen, 2)),
        _cards(np.arange(1, rows + 1)),
        _pick([paid_on.isoformat()], np.zeros(rows, dtype=np.int64)),
        _pick(["已发放", "退回"], (rng.random(rows) < _RETURNED).astype(np.int64)),
    ]
    _save(pa.table(columns, names=HEADINGS), path)
    counts = {code: int((fault == code).sum()) for code in FAULTS}
    held = int(fen[fault == ""].sum())
    return Bulk(path, rows, counts, held, _resident_ids(people, wrong=np.zeros(rows, dtype=bool)).to_pylist())


def _resident_ids(people: Ints, *, wrong: NDArray[np.bool_]) -> Column:
    """Write the IDs of people numbered by county and day of birth; with the next check character where wrong."""
    counties = np.array([int(code) for code in COUNTY_CODES])
    born = (_FIRST_BIRTH + people % _BIRTH_DAYS).astype("datetime64[D]")
    months = born.astype("datetime64[M]")
    year = months.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    day = (born - months).astype(np.int64) + 1
    number = (counties[people // _BIRTH_DAYS] * 10_000 + year) * 10_000 + month * 100 + day
    digits = _digits(number * 1_000, 17)
    checks = (digits @ _WEIGHTS + wrong) % len(_CHECKS)
    return _joined(digits, _CHECKS[checks])


def _cards(serials: Ints) -> Column:
    """Write 19-digit card numbers that pass the Luhn check."""
    digits = _digits(_CARD_PREFIX * 10**12 + serials, 18)
    doubled = digits[:, ::-1].copy()
    doubled[:, ::2] *= 2
    doubled -= 9 * (doubled > 9)  # noqa: PLR2004 - the two digits of a doubled digit, added
    return _joined(digits, (-doubled.sum(axis=1) % 10).astype(np.uint8) + _ZERO)


def _digits(numbers: Ints, width: int) -> NDArray[np.int16]:
    """Split numbers into decimal digits: one row each, leading zeros kept."""
    return np.stack([numbers // 10**place % 10 for place in reversed(range(width))], axis=1).astype(np.int16)


def _joined(digits: NDArray[np.int16], last: NDArray[np.uint8]) -> Column:
    """Join digits and a last character to text."""
    text = np.concatenate([digits.astype(np.uint8) + _ZERO, last[:, None]], axis=1)
    return pa.array(np.ascontiguousarray(text).view(f"S{text.shape[1]}").ravel()).cast(pa.string())


def _pick(choices: Sequence[str], which: Ints) -> Column:
    return pa.array(choices).take(pa.array(which))


def _decimal(numbers: Ints, places_after: int) -> Column:
    """Write whole numbers of 10^-n as decimals with n places."""
    whole, rest = np.divmod(numbers, 10**places_after)
    rest_text = pc.utf8_lpad(pa.array(rest).cast(pa.string()), places_after, "0")
    return pc.binary_join_element_wise(pa.array(whole).cast(pa.string()), rest_text, ".")


def _save(table: Column, path: Path) -> None:
    """Write the table in GB18030, piece by piece, as a csv without quotes."""
    with path.open("wb") as file:
        file.write(f"{','.join(HEADINGS)}\n".encode("gb18030"))
        for start in range(0, table.num_rows, _ROWS_AT_A_TIME):
            buffer = pa.BufferOutputStream()
            options = csv.WriteOptions(include_header=False, quoting_style="none")
            csv.write_csv(table.slice(start, _ROWS_AT_A_TIME), buffer, options)
            file.write(buffer.getvalue().to_pybytes().decode().encode("gb18030"))
