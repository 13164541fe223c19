"""A rating office (信用评定办公室) as its outsiders meet it: workbooks in a folder behind SFTP, on loopback.

One county, one workbook (`sandbox.rating`), in `/outbox`; a name that ends in `.part` is still being written and not
for the taking. Login by password or by a public key that was registered. The folder is read-only, so that nobody can
change what was sent. The server is paramiko's, so that nothing needs installing; the files live in memory.
"""

import contextlib
import errno
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from posixpath import normpath
from typing import Final
from uuid import uuid4

import paramiko
from paramiko import common, sftp

from sandbox.agencies.faults import CLOCK_FAULTS, LINE_FAULTS, SCHEMA_FAULTS, Fault, Faults
from sandbox.agencies.line import line
from sandbox.people import Household, Province
from sandbox.rating import rating
from sandbox.workbooks import AgencyFile, Cell, Sheet

USER: Final = "qingqiao"
OUTBOX: Final = "/outbox"
_FAULTS: Final = frozenset(
    {*LINE_FAULTS, *SCHEMA_FAULTS, *CLOCK_FAULTS, Fault.UNAVAILABLE, Fault.AUTH_EXPIRED, Fault.TRUNCATED}
)
_HEADER_AT: Final = 2  # the row of the headings
_GRADE: Final = "信用等级"
_RENAMED: Final = "综合结论"
_WAIT_SECONDS: Final = 0.2
_LOG: Final = logging.getLogger("sandbox.rating_office")
_LOG.setLevel(logging.CRITICAL)  # a line that breaks is what this office is for


@dataclass(frozen=True)
class _File:
    content: bytes
    changed_at: float


class RatingOffice:
    """The office's state; `serve` opens its door.

    Args:
        province: whose households it rates.
        seed: of the results.
        clock: seconds since 1970.
    """

    def __init__(self, province: Province, *, seed: int = 7, clock: Callable[[], float] = time.time) -> None:
        self.faults = Faults(_FAULTS)
        self.password = uuid4().hex
        self.host_key = paramiko.ECDSAKey.generate()
        self._keys: set[str] = set()
        self._clock = clock
        self._seed = seed
        self._province = province
        self._books = {
            book.name: book for book in (self._rate(group, seed) for group in (province.farmers, province.herders))
        }
        self._changed_at = dict.fromkeys(self._books, clock() - 30 * 86_400)

    @property
    def expected(self) -> dict[str, Mapping[str, object]]:
        """What must become of each workbook, by its name."""
        return {name: book.expected[name] for name, book in self._books.items()}

    @property
    def host_key_line(self) -> str:
        """The server's public key as in a known_hosts file, without the host."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def admit(self, public_key: str) -> None:
        """Register a public key ("ssh-ed25519 AAAA…") that may log in."""
        self._keys.add(public_key.split()[1])

    def advance(self, count: int) -> list[str]:
        """Let `count` workbooks be rated anew, under their old names; gives the names."""
        self._seed += 1
        chosen = list(self._books)[:count]
        groups = dict(zip(self._books, (self._province.farmers, self._province.herders), strict=True))
        for name in chosen:
            self._books[name] = self._rate(groups[name], self._seed)
            self._changed_at[name] = self._clock()
        return chosen

    def files(self) -> dict[str, _File]:
        """Give the files as today's faults will have them, by path."""
        found = {}
        cut = self.faults.is_on(Fault.TRUNCATED)
        for name, book in self._books.items():
            content = self._shaped(book).content()
            if cut is not None:
                content = content[: int(len(content) * cut.amount)]
            found[f"{OUTBOX}/{name}"] = _File(content, self._changed_at[name] + self.faults.skew_seconds())
        first = next(iter(self._books.values()))
        found[f"{OUTBOX}/{first.name}.part"] = _File(first.content()[:2048], self._clock())
        return found

    @contextlib.contextmanager
    def serve(self) -> Iterator[tuple[str, int]]:
        """Open the door on loopback; give host and port."""
        ended = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(_WAIT_SECONDS)
            thread = threading.Thread(target=self._listen, args=(listening, ended), name="rating-office", daemon=True)
            thread.start()
            inner = listening.getsockname()
            try:
                with line(lambda: socket.create_connection(inner), self.faults, hangs_up=True) as port:
                    yield "127.0.0.1", port
            finally:
                ended.set()
                thread.join()

    def _rate(self, group: Sequence[Household], seed: int) -> AgencyFile:
        return rating(group, as_of=self._province.as_of, seed=seed)

    def _listen(self, listening: socket.socket, ended: threading.Event) -> None:
        calls: list[paramiko.Transport] = []
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                caller, _ = listening.accept()
                transport = paramiko.Transport(caller)
                transport.daemon = True
                transport.set_log_channel(_LOG.name)
                transport.add_server_key(self.host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Folder, self)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(event=threading.Event(), server=_Desk(self))
                calls.append(transport)
        for transport in calls:
            transport.close()
            transport.join(timeout=5)

    def knows(self, key: paramiko.PKey) -> bool:
        """Say whether a public key was registered."""
        return key.get_base64() in self._keys

    def _shaped(self, book: AgencyFile) -> AgencyFile:
        """Lay the workbook out as this year's template has it."""
        if not any(self.faults.is_on(fault) for fault in SCHEMA_FAULTS):
            return book
        sheet = book.sheets[0]
        rows = [list(row) for row in sheet.rows]
        at = rows[_HEADER_AT].index(_GRADE)
        if self.faults.is_on(Fault.COLUMN_RENAMED):
            rows[_HEADER_AT][at] = _RENAMED
        if self.faults.is_on(Fault.COLUMN_GONE):
            rows = [_without(row, at) for row in rows]
        if self.faults.is_on(Fault.COLUMN_NEW):
            rows[_HEADER_AT].append("系统流水号")
        return replace(book, sheets=[Sheet(sheet.name, rows, sheet.merges)])


def _without(row: list[Cell], at: int) -> list[Cell]:
    return [*row[:at], *row[at + 1 :]]


class _Desk(paramiko.ServerInterface):
    """Who may come in: one user, by password or registered key, unless the account has expired."""

    def __init__(self, office: RatingOffice) -> None:
        self._office = office

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002  # as paramiko calls it
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        return self._verdict(good=username == USER and password == self._office.password)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._verdict(good=username == USER and self._office.knows(key))

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002  # as paramiko calls it
        return common.OPEN_SUCCEEDED if kind == "session" else common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def _verdict(self, *, good: bool) -> int:
        expired = self._office.faults.is_on(Fault.AUTH_EXPIRED)
        return common.AUTH_SUCCESSFUL if good and not expired else common.AUTH_FAILED


class _Folder(paramiko.SFTPServerInterface):
    """The read-only folder of one session, as it was when the session began."""

    def __init__(self, server: paramiko.ServerInterface, office: RatingOffice) -> None:
        super().__init__(server)
        self._files = office.files()

    def list_folder(self, path: str) -> "list[paramiko.SFTPAttributes] | int":
        wanted = normpath(path)
        if wanted == "/":
            return [_folder(OUTBOX.strip("/"))]
        if wanted != OUTBOX:
            return sftp.SFTP_NO_SUCH_FILE
        return [_attributes(name, file) for name, file in self._files.items()]

    def stat(self, path: str) -> "paramiko.SFTPAttributes | int":
        wanted = normpath(path)
        if wanted in ("/", OUTBOX):
            return _folder(wanted)
        file = self._files.get(wanted)
        return _attributes(wanted, file) if file is not None else sftp.SFTP_NO_SUCH_FILE

    lstat = stat

    def open(  # as paramiko calls it
        self,
        path: str,
        flags: int,
        attr: paramiko.SFTPAttributes,  # noqa: ARG002
    ) -> "paramiko.SFTPHandle | int":
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            return sftp.SFTP_PERMISSION_DENIED
        file = self._files.get(normpath(path))
        if file is None:
            return paramiko.SFTPServer.convert_errno(errno.ENOENT)
        handle = _Reading(flags)
        handle.attributes = _attributes(path, file)
        handle.readfile = BytesIO(file.content)
        return handle


class _Reading(paramiko.SFTPHandle):
    """One open file; `readfile` is what paramiko reads from."""

    attributes: paramiko.SFTPAttributes
    readfile: BytesIO

    def stat(self) -> paramiko.SFTPAttributes:
        return self.attributes


def _attributes(path: str, file: _File) -> paramiko.SFTPAttributes:
    found = paramiko.SFTPAttributes()
    found.filename = path.rpartition("/")[2]
    found.longname = found.filename
    found.st_size = len(file.content)
    found.st_mtime = found.st_atime = int(file.changed_at)
    found.st_mode = stat.S_IFREG | 0o444
    return found


def _folder(name: str) -> paramiko.SFTPAttributes:
    found = paramiko.SFTPAttributes()
    found.filename = found.longname = name
    found.st_mode = stat.S_IFDIR | 0o555
    return found
