"""Large workbooks (.xlsx), read sheet by sheet in blocks of rows: bounded memory whatever a sheet's length.

The part that holds a sheet is cut between rows while it is unpacked. Each piece becomes a small workbook of its own,
with the same styles, and is read by the reader that lays short workbooks out whole: a cell means the same by either
way. Shared strings lie sealed in a spool meanwhile, and those that a piece names are read in the same manner.

What such a cut cannot be sure of is refused rather than guessed: comments, CDATA or processing instructions between
rows, rows that run backwards. No spreadsheet program writes these.

Not here: bounds and declared entities (`bounds`, which is asked first), what a cell is as a text (`reading`).
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from python_calamine import CalamineWorkbook

from connectors.bounds import Span
from connectors.errors import FileUnreadable
from connectors.spool import Spool
from registry.suites import random_bytes

BLOCK_BYTES: Final = 8 << 20  # of a sheet's markup
HEAD_ROWS: Final = 64  # stand together in the first block: a header is sought among them
BLANK_ROWS: Final = 10_000  # given at once where rows are left out
_MOST_HEAD_BYTES: Final = 16 << 20
_MOST_ROW_BYTES: Final = 64 << 20
_NEAR_BYTES: Final = 64 << 10  # shared strings so near each other are read in one go,
_TOGETHER_BYTES: Final = 4 << 20  # and so many bytes of them at once
_BOOK: Final = "xl/workbook.xml"
_RELATIONS: Final = "xl/_rels/workbook.xml.rels"
_STRINGS: Final = "xl/sharedStrings.xml"
_KEPT: Final = (_BOOK, _RELATIONS, "xl/styles.xml", "[Content_Types].xml", "_rels/.rels")
_TAG: Final = rb"<(?:[\w.-]+:)?%s(?=[\s/>])[^>]*>"
_SHEET: Final = re.compile(_TAG % b"sheet")
_RELATION: Final = re.compile(_TAG % b"Relationship")
_ATTRIBUTE: Final = re.compile(rb"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_WORKSHEET: Final = re.compile(_TAG % b"worksheet")
_DATA: Final = re.compile(rb"<((?:[\w.-]+:)?)sheetData(?=[\s/>])[^>]*>")
_TABLE: Final = re.compile(rb"<((?:[\w.-]+:)?)sst(?=[\s/>])[^>]*>")
_ROW_NUMBER: Final = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
_SHARED: Final = b't="s"><v>'  # as nearly every program writes a cell that refers to a shared string
_SHARED_CELL: Final = re.compile(
    rb"""(<(?:[\w.-]+:)?c(?=\s)[^>]*?)\st\s*=\s*(?:"s"|'s')([^>]*>\s*"""
    rb"""(?:<(?:[\w.-]+:)?f(?=[\s/>])[^>]*(?:/>|>[^<]*</[^>]*>))?\s*<(?:[\w.-]+:)?v(?:\s[^>]*)?>)"""
)
_PLAIN_TEXT: Final = r"""^<si><t(?: xml:space="preserve")?>(?P<text>[^<&_\s](?:[^<&_\r\n\t]*[^<&_\s])?)</t></si>$"""
_ERROR_CELL: Final = re.compile(
    rb'<c\b(?=[^>]*\bt="e")[^>]*\br="([A-Z]+)([0-9]+)"[^>]*>(?:<f\b[^>]*(?:/>|>[^<]*</f>))?<v>([^<]*)</v>'
)
_UNUSUAL: Final = "the workbook is written in a way that no spreadsheet program writes; save it anew"

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a sheet: `first_row` counts from 1, `columns` are their cells as the reader gives them, from column A.

    `errors` are the formula errors among them, by row in the block and column, from 0.
    """

    first_row: int
    columns: Sequence[Sequence[object]] = field(repr=False)
    errors: Mapping[Place, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of a workbook: its name, its number from 1, and how far its cells reach; None if it has no cells."""

    name: str
    number: int
    part: str
    span: Span | None


class LargeWorkbook:
    """A workbook that is too large to be laid out whole.

    Args:
        opened: opens the file's bytes, seekable, as often as needed.
        spans: how far the cells of each part reach, as `bounds.check_package` has found.

    Raises:
        FileUnreadable: its sheets cannot be told.
        zipfile.BadZipFile: it is no package; what `zipfile` raises over broken parts may come out of every method.
    """

    def __init__(self, opened: Callable[[], BinaryIO], spans: Mapping[str, Span]) -> None:
        self._opened = opened
        with opened() as file, zipfile.ZipFile(file) as package:
            self._names = {name.lower(): name for name in package.namelist()}
            self._kept = {name: package.read(own) for name in _KEPT if (own := self._names.get(name.lower()))}
        if not {_BOOK, _RELATIONS} <= self._kept.keys():
            raise FileUnreadable("the workbook has no list of its sheets")
        targets = {}
        for relation in _RELATION.findall(self._kept[_RELATIONS]):
            said = _attributes(relation)
            targets[said.get("Id", "")] = _part_of(said.get("Target", ""))
        entries = [_attributes(entry) for entry in _SHEET.findall(self._kept[_BOOK])]
        ids = [next((said[name] for name in said if name.endswith(":id")), "") for said in entries]
        parts = [self._names.get(targets.get(one, "").lower(), "") for one in ids]
        names = CalamineWorkbook.from_filelike(io.BytesIO(self._small({}))).sheet_names
        if len(names) != len(parts):
            raise FileUnreadable("the workbook lists its sheets in an unusual way; save it anew")
        self.sheets = [
            Sheet(name, number, part, spans.get(part))
            for number, (name, part) in enumerate(zip(names, parts, strict=True), start=1)
        ]

    def blocks(self, sheet: Sheet) -> Iterator[Block]:
        """Give a sheet's rows block by block; rows that are left out in the markup come as blank ones.

        Raises:
            FileUnreadable: the markup cannot be cut or read; then none of the blocks given before count.
        """
        if sheet.span is None:
            return
        given, after = 0, 1  # rows given so far; the number of a row that does not say its own
        with self._opened() as file, zipfile.ZipFile(file) as package, package.open(sheet.part) as part:
            for root, prefix, cut in _cut(part):
                body, after = _numbered(cut, prefix, after)
                first, columns = self._read(sheet, root, prefix, body)
                if not columns:
                    continue
                if first < given:
                    raise FileUnreadable(_UNUSUAL)
                if not given and 0 < first < BLANK_ROWS:  # what stands above a title belongs into the first block
                    columns, first = (
                        [
                            [*[""] * first, *(column.to_pylist() if isinstance(column, pa.Array) else column)]
                            for column in columns
                        ],
                        0,
                    )
                yield from _blank(given, first)
                yield Block(first + 1, columns, error_cells(body, first))
                given = first + len(columns[0])

    def _read(self, sheet: Sheet, root: bytes, prefix: bytes, body: bytes) -> tuple[int, list[Sequence[object]]]:
        """Read some rows: the index of the first, and their cells column by column from A.

        A shared string is first read as its number behind a mark that nobody outside can know.
        """
        mark = f"\ue000{random_bytes(8).hex()}:"
        body = body.replace(_SHARED, b't="str"><v>' + mark.encode())
        if b'"s"' in body or b"'s'" in body:
            body = _SHARED_CELL.sub(rb'\1 t="str"\2' + mark.encode(), body)
        row, columns = self._cells({sheet.part: _sheet_of(root, prefix, body)}, sheet.number)
        numbers = {at: found for at, column in enumerate(columns) if (found := _shared(column, mark)) is not None}
        if not numbers:
            return row, columns
        wanted = np.unique(np.concatenate(list(numbers.values())))
        wanted = wanted[wanted >= 0]
        if not len(wanted):
            return row, columns
        texts = self._texts(sheet, wanted)
        return row, [_put(column, numbers.get(at), wanted, texts) for at, column in enumerate(columns)]

    def _texts(self, sheet: Sheet, wanted: npt.NDArray[np.int64]) -> pa.Array:
        """Read shared strings, given by number in order, each once: plain ones at once, others by the reader."""
        written = self._strings.written(wanted)
        plain = pc.extract_regex(pa.array(written, type=pa.large_binary()).cast(pa.large_string()), pattern=_PLAIN_TEXT)
        texts = plain.field("text")
        odd = np.flatnonzero(pc.is_null(plain).to_numpy(zero_copy_only=False))
        if not len(odd):
            return texts
        table = self._strings.table([written[at] for at in odd.tolist()])
        line = b'<row r="%d"><c r="A%d" t="s"><v>%d</v></c></row>'
        body = b"".join(line % (at + 1, at + 1, at) for at in range(len(odd)))
        root = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        first, columns = self._cells({sheet.part: _sheet_of(root, b"", body), _STRINGS: table}, sheet.number)
        read = np.full(len(odd), "", dtype=object)
        if columns:
            read[first : first + len(columns[0])] = columns[0]
        whole = texts.to_numpy(zero_copy_only=False).copy()
        whole[odd] = read
        return pa.array(whole, type=pa.large_string())

    def _cells(self, parts: Mapping[str, bytes], number: int) -> tuple[int, list[Sequence[object]]]:
        book = CalamineWorkbook.from_filelike(io.BytesIO(self._small(parts)))
        own = book.get_sheet_by_index(number - 1)
        if own.start is None:
            return 0, []
        row, column = own.start
        columns: list[Sequence[object]] = list(zip(*own.to_python(skip_empty_area=True), strict=True))
        return row, [("",) * len(columns[0])] * column + columns

    @cached_property
    def _strings(self) -> "_Strings":
        name = self._names.get(_STRINGS.lower())
        if name is None:
            raise FileUnreadable("the workbook has lost its table of texts")
        with self._opened() as file, zipfile.ZipFile(file) as package, package.open(name) as part:
            return _Strings(part)

    def _small(self, parts: Mapping[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as package:
            for name, body in (self._kept | dict(parts)).items():
                package.writestr(name, body)
        return out.getvalue()


class _Strings:
    """The shared strings of a workbook, as they are written: sealed in a spool, with the place where each begins."""

    def __init__(self, part: IO[bytes]) -> None:
        self._spool = Spool()
        head, places = b"", list[npt.NDArray[np.uint32]]()
        while len(head) < _MOST_HEAD_BYTES and not (table := _TABLE.search(head)):
            if not (piece := part.read(BLOCK_BYTES)):
                raise FileUnreadable("the workbook's table of texts is broken")
            head += piece
        if table is None:
            raise FileUnreadable(_UNUSUAL)
        self._root, self._prefix = table[0], table[1]
        begins = b"<" + self._prefix + b"si"
        overlap = len(begins) + 1
        rest, above = head[table.end() :], 0
        while rest:
            piece = part.read(BLOCK_BYTES)
            whole, last = (rest + piece, not piece)
            if b"<!" in whole or b"<?" in whole:
                raise FileUnreadable(_UNUSUAL)
            done = len(whole) if last else max(len(whole) - overlap, 0)
            found = _tags(whole, begins)
            places.append((found[found < done] + above).astype(np.uint32))
            self._spool.write(whole[:done])
            above, rest = above + done, whole[done:]
        self._begins = np.concatenate([*places, np.array([above], dtype=np.uint32)])

    def written(self, wanted: npt.NDArray[np.int64]) -> list[bytes]:
        """Give some of the strings as they are written, by number in order, each once."""
        if wanted[-1] >= len(self._begins) - 1:
            raise FileUnreadable("the workbook names a text that it does not have")
        starts, ends = self._begins[wanted].tolist(), self._begins[wanted + 1].tolist()
        found = list[bytes]()
        with self._spool.open() as text:
            first = 0
            while first < len(starts):
                last, base = first, starts[first]
                while (
                    last + 1 < len(starts)
                    and starts[last + 1] - ends[last] < _NEAR_BYTES
                    and ends[last + 1] - base < _TOGETHER_BYTES
                ):
                    last += 1
                text.seek(base)
                together = text.read(ends[last] - base)
                found += [together[starts[at] - base : ends[at] - base] for at in range(first, last + 1)]
                first = last + 1
        found[-1] = found[-1].partition(b"</" + self._prefix + b"sst")[0]
        return found

    def table(self, written: Sequence[bytes]) -> bytes:
        """Write a table of some strings."""
        return b"".join([self._root, *written, b"</", self._prefix, b"sst>"])


def _tags(markup: bytes, begins: bytes) -> npt.NDArray[np.int64]:
    """Find where tags begin that begin like this."""
    marks = np.frombuffer(markup, dtype=np.uint8)
    found: npt.NDArray[np.int64] = np.flatnonzero(marks[: max(len(marks) - len(begins), 0)] == begins[0])
    for at in range(1, len(begins)):
        found = found[marks[found + at] == begins[at]]
    after = marks[found + len(begins)]
    whole: npt.NDArray[np.int64] = found[(after <= ord(" ")) | (after == ord(">")) | (after == ord("/"))]
    return whole


def _shared(column: Sequence[object], mark: str) -> "npt.NDArray[np.int64] | None":
    """Give the numbers of a column's shared strings, -1 where a cell is none; None for a column without any text."""
    kinds = set(map(type, column))
    if str not in kinds:
        return None
    texts = column if kinds == {str} else [cell if type(cell) is str else "" for cell in column]
    cells = pa.array(texts, type=pa.large_string())
    numbers = pc.utf8_slice_codeunits(cells, start=len(mark))
    found: npt.NDArray[np.int64] = (
        pc.if_else(pc.starts_with(cells, pattern=mark), numbers, "-1").cast(pa.int64()).to_numpy()
    )
    return found


def _put(
    column: Sequence[object],
    numbers: "npt.NDArray[np.int64] | None",
    wanted: npt.NDArray[np.int64],
    texts: pa.Array,
) -> Sequence[object]:
    """Put shared strings in the place of their numbers; a column of nothing else becomes one of Arrow."""
    if numbers is None:
        return column
    taken = texts.take(pa.array(np.searchsorted(wanted, np.maximum(numbers, wanted[0]))))
    if (numbers >= 0).all():
        whole: Sequence[object] = taken
        return whole
    return [
        text if number >= 0 else cell for cell, number, text in zip(column, numbers, taken.to_pylist(), strict=True)
    ]


def _sheet_of(root: bytes, prefix: bytes, body: bytes) -> bytes:
    data = prefix + b"sheetData"
    return b"".join([root, b"<", data, b">", body, b"</", data, b"></", prefix, b"worksheet>"])


def _attributes(tag: bytes) -> dict[str, str]:
    return {name.decode(): (one or other).decode() for name, one, other in _ATTRIBUTE.findall(tag)}


def _part_of(target: str) -> str:
    """Name the part that a relation of the workbook points at."""
    bare = target.removeprefix("/")
    return bare if bare.startswith("xl/") else f"xl/{bare}"


def _cut(part: IO[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Cut a sheet's markup between rows: the root's opening tag, the prefix of tags, and some whole rows."""
    head, data = b"", None
    while data is None:
        piece = part.read(BLOCK_BYTES)
        if not piece or len(head) > _MOST_HEAD_BYTES:
            raise FileUnreadable("the workbook has a sheet without cells' markup")
        head += piece
        data = _DATA.search(head)
    root = _WORKSHEET.search(head, 0, data.start())
    if root is None:
        raise FileUnreadable(_UNUSUAL)
    prefix = data[1]
    if data[0].endswith(b"/>"):
        return
    ends, begins = re.compile(b"</" + re.escape(prefix) + rb"sheetData\s*>"), b"<" + prefix + b"row"
    rest, first = head[data.end() :], True
    while True:
        end = ends.search(rest)
        if end is not None:
            yield root[0], prefix, _plain(rest[: end.start()])
            return
        cut = rest.rfind(begins, 0, len(rest) - 1)
        together = not first or rest.count(begins, 0, max(cut, 0)) >= HEAD_ROWS
        if cut > 0 and together:
            yield root[0], prefix, _plain(rest[:cut])
            rest, first = rest[cut:], False
        if len(rest) > _MOST_ROW_BYTES:
            raise FileUnreadable(_UNUSUAL)
        piece = part.read(BLOCK_BYTES)
        if not piece:
            raise FileUnreadable("the workbook is cut off in the middle of a sheet")
        rest += piece


def _plain(body: bytes) -> bytes:
    """Refuse what may hide a row from whoever looks for it, or show one that is none."""
    if b"<!" in body or b"<?" in body:
        raise FileUnreadable(_UNUSUAL)
    return body


def _numbered(body: bytes, prefix: bytes, after: int) -> tuple[bytes, int]:
    """Give the first row its number if it does not say it, and say which number comes after the last row."""
    begins = b"<" + prefix + b"row"
    first = body.find(begins)
    if first < 0:
        return body, after
    if not _ROW_NUMBER.search(_tag(body, first)):
        at = first + len(begins)
        body = b'%s r="%d"%s' % (body[:at], after, body[at:])
    behind, place = 1, body.rfind(begins)
    while not (said := _ROW_NUMBER.search(_tag(body, place))):
        behind, place = behind + 1, body.rfind(begins, 0, place)
    return body, int(said[1]) + behind


def _tag(body: bytes, place: int) -> bytes:
    return body[place : body.find(b">", place) + 1]


def _blank(given: int, first: int) -> Iterator[Block]:
    while given < first:
        rows = min(first - given, BLANK_ROWS)
        yield Block(given + 1, [("",) * rows])
        given += rows


def error_cells(body: bytes, first: int) -> dict[Place, str]:
    """Find the formula errors in markup, by row below the `first` and column; the reader gives them as blanks."""
    if b't="e"' not in body:
        return {}
    return {
        (int(row) - 1 - first, _column_index(letters)): text.decode()
        for letters, row, text in _ERROR_CELL.findall(body)
        if int(row) > first
    }


def _column_index(letters: bytes) -> int:
    index = 0
    for letter in letters:
        index = index * 26 + letter - 64
    return index - 1
