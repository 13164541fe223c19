"""A small file cannot ask for all the memory of the machine."""

import io
import zipfile

import pytest
from openpyxl import Workbook

from connectors import bounds, reading
from connectors.errors import FileUnreadable


def workbook(*cells: str) -> bytes:
    book, out = Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for cell in cells:
        sheet[cell] = 1
    book.save(out)
    return out.getvalue()


def test_a_cell_at_the_end_of_the_sheet_is_refused_before_it_is_laid_out() -> None:
    raw = workbook("A1", "XFD1048576")
    assert len(raw) < 10_000
    with pytest.raises(FileUnreadable, match="outside the table"):
        reading.read(raw)
    assert reading.read(workbook("A1", "Z2000"))[0].height == 2000


def test_a_package_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNPACKED_BYTES", 1 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/worksheets/sheet1.xml", b" " * (2 << 20))
    with pytest.raises(FileUnreadable, match="unpacks to too much"):
        reading.read(out.getvalue())


def test_a_text_with_an_endless_row_is_refused() -> None:
    raw = b"a,b\n1,2\n" + b"," * 60_000 + b"\n" + b"1,2\n" * 1000
    with pytest.raises(FileUnreadable, match="cells"):
        reading.read(raw)


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FILE_BYTES", 10)
    with pytest.raises(FileUnreadable, match="split it"):
        reading.read(b"a,b\n1,2\n3,4\n")
