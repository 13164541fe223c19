"""Files from a drop folder on this machine, where an agency's own system puts them.

Steps (the numbers are used in the code):
  1. look at the folder; leave out what is hidden, unfinished or no plain file; links are neither followed nor moved
  2. a file is whole when its size and time stand still, when its `.done` is there, or by its name
  3. read the file that was opened, not the one that its name means a moment later
  4. once what became of it is durable: move it to `done/`, or to `refused/`, with a receipt beside it

A receipt says what follows from the file alone: hash, number of rows, whether it was taken and if not, why. Counts by
outcome would tell whoever drops a file of one person whether that person has consented; they are at the agency's door,
as if everybody had. The folder belongs to the agency's side: what lies in it is theirs and not sealed, so it should be
emptied by them; what we keep is sealed elsewhere. And whatever lies in it may be a trap: folders are entered by handle,
never through a link, and a receipt is only ever written into a file that was not there before.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from connectors.errors import SourceRefused, SourceUnavailable
from connectors.protocols import FolderTransport
from connectors.spool import Spool
from connectors.transports import files
from connectors.transports.line import Arrival, FileMark, Line, Settled, Sight

DONE: Final = "done"
REFUSED: Final = "refused"
_PIECE_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def fetch(line: Line) -> Iterator[Arrival]:
    """Give every file that is whole, one by one; each is moved when it is settled.

    Raises:
        SourceUnavailable, SourceRefused, LimitExceeded: what was settled before stays settled.
    """
    folder = _folder(line)
    for mark in _whole(line, folder):
        body = line.spool()
        try:
            same = _read(line, folder / mark.name, mark, body)
        except BaseException:
            body.close()
            raise
        if same:
            yield Arrival(mark.name, body, file=mark, settled=partial(_put_away, folder, mark, body.sha256.hex()))
        else:
            body.close()


def look(line: Line) -> Sight:
    """Count the files that would be taken."""
    folder = _folder(line)
    return Sight(str(folder), files=len(_whole(line, folder)))


def _folder(line: Line) -> Path:
    transport = line.feed.transport
    if not isinstance(transport, FolderTransport):
        raise TypeError("not a feed of a folder")
    for path in (transport.path, transport.path / DONE, transport.path / REFUSED):
        if path.is_symlink():
            raise SourceRefused("NO_PLAIN_FILE", str(path))
    if not transport.path.is_dir():
        raise SourceRefused("NOT_FOUND", "transport.path")
    return transport.path


def _whole(line: Line, folder: Path) -> list[FileMark]:
    """Steps 1 and 2."""
    transport = line.feed.transport
    if not isinstance(transport, FolderTransport):
        raise TypeError("not a feed of a folder")
    before = _listed(line, folder, transport)
    names = frozenset(path.name for path in folder.iterdir())
    if transport.complete == "done":
        before = {name: mark for name, mark in before.items() if files.is_announced(name, names)}
    elif transport.complete == "stable" and before:
        line.sleep(transport.settle)
        after = _listed(line, folder, transport, quietly=True)
        before = {name: mark for name, mark in before.items() if after.get(name) == mark}
    return sorted(before.values(), key=lambda mark: (mark.changed, mark.name))


def _listed(line: Line, folder: Path, transport: FolderTransport, *, quietly: bool = False) -> dict[str, FileMark]:
    found = {}
    with os.scandir(folder) as entries:
        for number, entry in enumerate(sorted(entries, key=lambda one: one.name), start=1):
            if not files.is_wanted(entry.name, transport.pattern) or entry.is_dir(follow_symlinks=False):
                continue
            fault = "" if files.is_safe(entry.name) else "NAME_REFUSED"
            fault = fault or ("" if entry.is_file(follow_symlinks=False) else "NO_PLAIN_FILE")
            if not fault:
                with suppress(FileNotFoundError):
                    found[entry.name] = _mark(entry.name, entry.stat(follow_symlinks=False))
            elif not quietly:
                line.noted(SourceRefused(fault, f"{folder}: {number}"))
    return found


def _mark(name: str, status: os.stat_result) -> FileMark:
    return FileMark(name, status.st_size, status.st_mtime_ns / 1e9)


def _read(line: Line, path: Path, mark: FileMark, body: Spool) -> bool:
    """Step 3; False if it is another file by now, or changed meanwhile."""
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            return False
        descriptor = -1
    if descriptor < 0:
        raise SourceUnavailable("NOT_REACHED", place=str(path.parent))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _mark(mark.name, status) != mark:
            return False
        _copy(line, file, body)
        return _mark(mark.name, os.fstat(descriptor)) == mark and body.size == mark.size


def _copy(line: Line, file: BinaryIO, body: Spool) -> None:
    while piece := file.read(_PIECE_BYTES):
        line.meter.add(size=len(piece))
        body.write(piece)


def _put_away(folder: Path, mark: FileMark, sha256: str, settled: Settled) -> None:
    """Step 4. The receipt is written first, so that no moved file lacks one; a crash before the move repeats both."""
    stem = f"{sha256[:12]}-{mark.name}"
    receipt = {
        "file": mark.name,
        "sha256": sha256,
        "size_bytes": mark.size,
        "fault": settled.fault,
        "tables": settled.taken,
        "rows": settled.rows,
    }
    with _entered(folder) as here, _entered(Path(REFUSED if settled.fault else DONE), here) as there:
        _write_new(there, f"{stem}.json", orjson.dumps(receipt, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        with suppress(FileNotFoundError):
            os.replace(mark.name, stem, src_dir_fd=here, dst_dir_fd=there)
        with suppress(FileNotFoundError):
            os.unlink(f"{mark.name}.done", dir_fd=here)


@contextmanager
def _entered(folder: Path, above: int | None = None) -> Iterator[int]:
    """Give a handle on a folder, or on one inside another, made if it is not there; a link is not entered.

    Raises:
        SourceRefused: what lies there is no folder of its own.
    """
    if above is not None:
        with suppress(FileExistsError):
            os.mkdir(folder, dir_fd=above)
    handle = None
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    if handle is None:
        raise SourceRefused("NO_PLAIN_FILE", str(folder))
    try:
        yield handle
    finally:
        os.close(handle)


def _write_new(folder: int, name: str, text: bytes) -> None:
    """Put a file into a folder in place of one of its name. What lies there, a link to anywhere too, is not written."""
    draft = f".{name}.part"
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(text)
    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
