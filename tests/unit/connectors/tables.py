"""Tables as other counties might send them, made in memory."""

import io
from collections.abc import Sequence
from typing import Any

from openpyxl import Workbook

from connectors import normalise
from connectors.normalise import TableOutcome
from registry.basis import BasisOf
from registry.identifiers import resident_check
from tests.unit.connectors.consent_register import AS_OF, everybody

Cell = str | float | int | None
NAME = "民和县_种粮补贴_2026.csv"


def person(number: int, *, prefix: str = "630222", born: str = "19800101") -> str:
    """The ID of nobody: the sequence is 000, so people differ by birth date."""
    year, month, day = int(born[:4]) + number // 336, number // 28 % 12 + 1, number % 28 + 1
    body = f"{prefix}{year:04}{month:02}{day:02}000"
    return body + resident_check(body)


def csv(rows: Sequence[Sequence[Cell]], encoding: str = "utf-8") -> bytes:
    return "\r\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in rows).encode(encoding)


def xlsx(sheets: dict[str, Sequence[Sequence[Cell]]], merged: Sequence[tuple[str, str]] = ()) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    for name, cells in merged:
        book[name].merge_cells(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def tables(raw: bytes, name: str = NAME, *, basis_of: BasisOf = everybody, **how: Any) -> list[TableOutcome]:
    return normalise.evaluate(raw, name, as_of=AS_OF, basis_of=basis_of, **how)


def table(raw: bytes, name: str = NAME, *, basis_of: BasisOf = everybody, **how: Any) -> TableOutcome:
    (only,) = tables(raw, name, basis_of=basis_of, **how)
    return only


def codes(outcome: TableOutcome) -> dict[str, int]:
    """Every code of a table with its count."""
    return {code: count for by_code in outcome.codes.values() for code, count in by_code.items()}
