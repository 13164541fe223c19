"""A small file cannot ask for all the memory of the machine."""

import io
import tracemalloc
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


def repacked(raw: bytes, **parts: bytes) -> bytes:
    """A workbook with some of its parts replaced or added; `_` stands for `/` in their names."""
    out = io.BytesIO()
    replaced = {name.replace("__", "/").replace("_xml", ".xml").replace("_bin", ".bin"): b for name, b in parts.items()}
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in replaced:
                new.writestr(name, old.read(name))
        for name, content in replaced.items():
            new.writestr(name, content)
    return out.getvalue()


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_that_unfold_into_gigabytes_are_refused(encoding: str) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l0 "lol">' + LAUGHS.decode() + "]><sst>&l9;</sst>"
    raw = repacked(workbook("A1"), xl__sharedStrings_xml=text.encode(encoding))
    with pytest.raises(FileUnreadable, match="entities"):
        reading.read(raw)


def test_a_real_bomb_of_zeros_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNPACKED_BYTES", 8 << 20)
    raw = repacked(workbook("A1"), xl__worksheets__sheet1_xml=b"\x00" * (64 << 20))
    assert len(raw) < 100_000
    tracemalloc.start()
    with pytest.raises(FileUnreadable, match="unpacks to too much"):
        reading.read(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_package_of_countless_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PARTS", 5)
    with pytest.raises(FileUnreadable, match="parts"):
        reading.read(workbook("A1"))


def test_a_macro_is_carried_along_and_never_looked_at() -> None:
    raw = repacked(workbook("A1"), xl__vbaProject_bin=b"Sub Auto_Open()\r\nShell 1/0\r\nEnd Sub")
    assert [grid.height for grid in reading.read(raw)] == [1]
