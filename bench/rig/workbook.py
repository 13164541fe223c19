"""A CSV written again as one large sheet of a workbook, quickly: identifiers and words as shared strings, figures bare.

Markup is written as it comes, so that a million rows take little memory; no library that knows workbooks is asked.
"""

import csv
import zipfile
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_MAIN: Final = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_TYPES}.sharedStrings+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
}
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST_FIGURE: Final = 11


def write(text: Path, path: Path, *, encoding: str = "gb18030") -> None:
    """Write a text of at most 26 columns as a workbook."""
    known: dict[str, int] = {}
    strings = path.with_suffix(".strings")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        for name, body in _PARTS.items():
            package.writestr(name, _HEAD + body)
        with (
            text.open(encoding=encoding, newline="") as lines,
            package.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet,
            strings.open("w", encoding="utf-8") as table,
        ):
            sheet.write(f"{_HEAD}<worksheet {_MAIN}><sheetData>".encode())
            for number, cells in enumerate(csv.reader(lines), start=1):
                written = []
                for letter, cell in zip(_LETTERS, cells, strict=False):
                    if len(cell) <= _LONGEST_FIGURE and _is_figure(cell):
                        written.append(f'<c r="{letter}{number}"><v>{cell}</v></c>')
                        continue
                    if cell not in known:
                        known[cell] = len(known)
                        table.write(f"<si><t>{escape(cell)}</t></si>")
                    written.append(f'<c r="{letter}{number}" t="s"><v>{known[cell]}</v></c>')
                sheet.write(f'<row r="{number}">{"".join(written)}</row>'.encode())
            sheet.write(b"</sheetData></worksheet>")
        with strings.open("rb") as table_, package.open("xl/sharedStrings.xml", "w", force_zip64=True) as part:
            part.write(f'{_HEAD}<sst {_MAIN} count="{len(known)}" uniqueCount="{len(known)}">'.encode())
            while piece := table_.read(1 << 20):
                part.write(piece)
            part.write(b"</sst>")
    strings.unlink()


def _is_figure(cell: str) -> bool:
    bare = cell.replace(".", "", 1)
    return bare.isascii() and bare.isdigit()
