"""What a file may cost before it is read: a few kilobytes can ask for all the memory of a machine.

  * a file's bytes, and what a workbook's parts unpack to
  * the rectangle that a sheet's cells span, since readers lay it out whole: one cell at XFD1048576 spans 17 billion
  * the cells of one row of a text

Beyond these a file is refused as unreadable, with the bound it broke. The bounds are far above any real roster: a
million rows of forty columns are within them.
"""

import io
import re
import zipfile
from typing import IO, Final

from connectors.errors import FileUnreadable

FILE_BYTES: Final = 512 << 20
TEXT_BYTES: Final = 4 << 30  # of a text, which is read block by block
UNPACKED_BYTES: Final = 2 << 30
SPANNED_CELLS: Final = 64_000_000
ROW_CELLS: Final = 2_000
PARTS: Final = 10_000
_MARKUP: Final = (".xml", ".rels", ".vml")
_HEAD_BYTES: Final = 64 << 10
_DOCTYPE: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PIECE_BYTES: Final = 4 << 20
_OVERLAP_BYTES: Final = 64  # longer than any cell reference, so that none is lost between two pieces
_REFERENCE: Final = re.compile(rb'\sr="([A-Z]{1,3})([0-9]{1,7})"')


def check_file(raw: bytes) -> None:
    """Refuse a file of too many bytes.

    Raises:
        FileUnreadable: it has more than `FILE_BYTES`.
    """
    if len(raw) > FILE_BYTES:
        raise FileUnreadable(f"the file has more than {FILE_BYTES >> 20} MB; split it")


def check_text(size: int) -> None:
    """Refuse a text of too many bytes.

    Raises:
        FileUnreadable: it has more than `TEXT_BYTES`.
    """
    if size > TEXT_BYTES:
        raise FileUnreadable(f"the text has more than {TEXT_BYTES >> 20} MB; split it")


def check_package(raw: bytes) -> None:
    """Refuse an .xlsx whose parts unpack to too much, or whose cells span too large a rectangle.

    Raises:
        FileUnreadable: a bound is broken, or the package is broken.
        zipfile.BadZipFile: it is no zip package.
    """
    with zipfile.ZipFile(io.BytesIO(raw)) as package:
        parts = package.infolist()
        if sum(part.file_size for part in parts) > UNPACKED_BYTES:
            raise FileUnreadable("the workbook unpacks to too much; send it as text or in parts")
        if len(parts) > PARTS:
            raise FileUnreadable("the workbook has more parts than any workbook needs")
        for part in parts:
            if part.filename.endswith(_MARKUP):
                with package.open(part) as markup:
                    _check_markup(markup.read(_HEAD_BYTES))
            if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                with package.open(part) as sheet:
                    _check_span(sheet)


def _check_markup(head: bytes) -> None:
    """Refuse markup that defines entities: a few lines of them unfold into gigabytes, and no workbook has any."""
    if _DOCTYPE.search(head.replace(b"\x00", b"")):
        raise FileUnreadable("the workbook defines entities of its own; save it anew")


def _check_span(sheet: IO[bytes]) -> None:
    """Read a sheet piece by piece; its declared size may lie, so what is unpacked is counted too."""
    unpacked, rows, columns, rest = 0, 0, 0, b""
    while piece := sheet.read(_PIECE_BYTES):
        unpacked += len(piece)
        if unpacked > UNPACKED_BYTES:
            raise FileUnreadable("the workbook unpacks to too much; send it as text or in parts")
        for letters, row in set(_REFERENCE.findall(rest + piece)):
            rows, columns = max(rows, int(row)), max(columns, _column(letters))
        if rows * columns > SPANNED_CELLS:
            raise FileUnreadable("a cell stands far outside the table; delete what lies beyond it")
        rest = piece[-_OVERLAP_BYTES:]


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
