"""Cells to bytes: xlsx as openpyxl writes it, csv as a Windows desk saves it (GB18030, or UTF-8 with a mark).

The same cells give the same bytes, always: the time of saving is taken out of an xlsx, so that a province made
twice from one seed is the same to a reader that knows files by their hash. It writes what it is given and
judges nothing: wrong cells are the point.
"""

import csv
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from openpyxl import Workbook

Cell: TypeAlias = str | int | float | None

_SAVED: Final = (2026, 1, 1, 0, 0, 0)
_SAVED_TEXT: Final = b"2026-01-01T00:00:00Z"
_SAVING_TIMES: Final = re.compile(rb"(?<=W3CDTF\">)[^<]+")


@dataclass(frozen=True)
class Sheet:
    """One sheet: its rows from the first, and the ranges that are merged ("A1:M1")."""

    name: str
    rows: Sequence[Sequence[Cell]]
    merges: Sequence[str] = ()


@dataclass(frozen=True)
class AgencyFile:
    """One file of an agency, with what is expected of each of its tables (by report name)."""

    name: str
    sheets: Sequence[Sheet]
    expected: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    encoding: str = "gb18030"  # of a csv
    accepted_people: AbstractSet[str] = field(default=frozenset(), repr=False)  # resident IDs

    def write(self, folder: Path) -> Path:
        """Write the file into the folder and say where it lies."""
        path = folder / self.name
        path.write_bytes(self.content())
        return path

    def content(self) -> bytes:
        """Return the bytes of the file, by the ending of its name.

        Raises:
            ValueError: an ending other than .xlsx and .csv, or a csv of several sheets.
        """
        match self.name.rpartition(".")[2], len(self.sheets):
            case "xlsx", _:
                return _xlsx(self.sheets)
            case "csv", 1:
                text = io.StringIO(newline="")
                csv.writer(text, lineterminator="\r\n").writerows(self.sheets[0].rows)
                return text.getvalue().encode(self.encoding)
            case ending, count:
                raise ValueError(f"cannot write {count} sheets as .{ending}")


def yuan(fen: int) -> int | float:
    """Return fen as the number that a cell holds: whole where it is whole."""
    return fen // 100 if fen % 100 == 0 else fen / 100


def yuan_text(fen: int) -> str:
    """Return fen as text with two decimals and thousands separators, as a formatted cell is exported."""
    return f"{fen // 100:,}.{fen % 100:02d}"


def _xlsx(sheets: Sequence[Sheet]) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for sheet in sheets:
        page = book.create_sheet(sheet.name)
        for row in sheet.rows:
            page.append(list(row))
        for cells in sheet.merges:
            page.merge_cells(cells)
    saved = io.BytesIO()
    book.save(saved)
    return _without_the_clock(saved.getvalue())


def _without_the_clock(content: bytes) -> bytes:
    """Set every time in the package to one moment."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = old.read(name)
            if name == "docProps/core.xml":
                part = _SAVING_TIMES.sub(_SAVED_TEXT, part)
            new.writestr(zipfile.ZipInfo(name, _SAVED), part, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
