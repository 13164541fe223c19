"""Files from a folder on an agency's SFTP server.

Steps (the numbers are used in the code):
  1. connect; the host key must be the one declared, before any credential is sent
  2. list the folder; leave out what is hidden, unfinished, no plain file, or settled before
  3. a file is whole when its size and time stand still, when its `.done` is there, or by its name
  4. read it in pieces; a line that is cut goes on where it was, if size and time are still the same
  5. look once more: a file that changed while it was read is read again another time

A file is known again by name, size and time of change; its bytes, by their hashes, to the intake. Nothing is written,
moved or deleted on the server. Links are not followed.
"""

import io
import socket
import stat
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import paramiko
from paramiko import AuthenticationException, PKey, SFTPAttributes, SFTPClient, SSHException
from paramiko.ssh_exception import IncompatiblePeer

from connectors.errors import SourceRefused, SourceUnavailable
from connectors.protocols import SftpTransport
from connectors.spool import Spool
from connectors.transports import files
from connectors.transports.deadline import cut_in_time
from connectors.transports.line import Arrival, FileMark, Line, Sight
from connectors.transports.retrying import tried
from registry.suites import constant_time_equal

_PIECE_BYTES: Final = 256 << 10
_MOST_FILES: Final = 20_000
_REFUSED: Final[dict[type[Exception], str]] = {
    AuthenticationException: "CREDENTIAL_REFUSED",
    IncompatiblePeer: "HOST_KEY_MISMATCH",
    FileNotFoundError: "NOT_FOUND",
    PermissionError: "CREDENTIAL_REFUSED",
}
_UNAVAILABLE: Final[dict[type[Exception], str]] = {
    TimeoutError: "NO_ANSWER_IN_TIME",
    ConnectionRefusedError: "NOT_REACHED",
    socket.gaierror: "NOT_REACHED",
}
_KEYS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def fetch(line: Line) -> Iterator[Arrival]:
    """Give every file that is new and whole, one by one.

    Raises:
        SourceUnavailable, SourceRefused, LimitExceeded: what was settled before stays settled.
    """
    for mark in tried(lambda: _new(line), line.feed.retry, line.sleep):
        body = line.spool()
        try:
            whole = _read(line, mark, body)
        except BaseException:
            body.close()
            raise
        if whole:
            yield Arrival(mark.name, body, file=mark)
        else:
            body.close()


def look(line: Line) -> Sight:
    """Connect and count the files that would be fetched."""
    transport = _transport(line)
    return Sight(f"{transport.host}:{transport.port} {transport.folder}", files=len(_new(line)))


def _transport(line: Line) -> SftpTransport:
    if not isinstance(line.feed.transport, SftpTransport):
        raise TypeError("not a feed over SFTP")
    return line.feed.transport


def _new(line: Line) -> list[FileMark]:
    """Steps 1 to 3."""
    transport = _transport(line)
    with _opened(line) as sftp:
        before = _listed(sftp, line)
        if transport.complete == "done":
            names = _names(sftp, transport) if before else frozenset()
            marks = [mark for mark in before.values() if files.is_announced(mark.name, names)]
        elif transport.complete == "stable" and before:
            line.sleep(transport.settle)
            after = _listed(sftp, line, quietly=True)
            marks = [mark for name, mark in before.items() if after.get(name) == mark]
        else:
            marks = list(before.values())
    return sorted(marks, key=lambda mark: (mark.changed, mark.name))


def _listed(sftp: SFTPClient, line: Line, *, quietly: bool = False) -> dict[str, FileMark]:
    """Step 2."""
    transport, found = _transport(line), {}
    for number, entry in _entries(sftp, transport):
        name = entry.filename
        if not files.is_wanted(name, transport.pattern) or stat.S_ISDIR(entry.st_mode or 0):
            continue
        fault = "" if files.is_safe(name) else "NAME_REFUSED"
        fault = fault or ("" if stat.S_ISREG(entry.st_mode or 0) else "NO_PLAIN_FILE")
        if fault:
            if not quietly:
                line.noted(SourceRefused(fault, f"{transport.folder}: {number}"))
            continue
        mark = _mark(name, entry)
        if not line.seen(mark):
            found[name] = mark
    return found


def _entries(sftp: SFTPClient, transport: SftpTransport) -> Iterator[tuple[int, SFTPAttributes]]:
    """Give the folder's entries with their numbers, as the server sends them.

    Raises:
        SourceRefused: they are more than any folder of ours has; a server could go on for ever.
    """
    for number, entry in enumerate(sftp.listdir_iter(transport.folder), start=1):
        if number > _MOST_FILES:
            raise SourceRefused("TOO_MANY_ROWS", f"{transport.folder}: > {_MOST_FILES}")
        yield number, entry


def _names(sftp: SFTPClient, transport: SftpTransport) -> frozenset[str]:
    return frozenset(entry.filename for _, entry in _entries(sftp, transport))


def _mark(name: str, entry: SFTPAttributes) -> FileMark:
    return FileMark(name, entry.st_size or 0, float(entry.st_mtime or 0))


def _read(line: Line, mark: FileMark, body: Spool) -> bool:
    """Steps 4 and 5; False if it changed or went away meanwhile."""
    return tried(lambda: _read_on(line, mark, body), line.feed.retry, line.sleep)


def _read_on(line: Line, mark: FileMark, body: Spool) -> bool:
    transport = _transport(line)
    path = f"{transport.folder.rstrip('/') or '/'}/{mark.name}"
    with _opened(line) as sftp:
        try:
            entry = sftp.lstat(path)
            if not stat.S_ISREG(entry.st_mode or 0) or _mark(mark.name, entry) != mark:
                return False
            with sftp.open(path, "rb") as remote:
                remote.settimeout(line.feed.retry.timeout)
                remote.seek(body.size)
                while body.size < mark.size and (piece := remote.read(min(_PIECE_BYTES, mark.size - body.size))):
                    line.meter.add(size=len(piece))
                    body.write(piece)
            return body.size == mark.size and _mark(mark.name, sftp.lstat(path)) == mark
        except FileNotFoundError:
            return False


@contextmanager
def _opened(line: Line) -> Iterator[SFTPClient]:
    """Step 1. What the library raises becomes an error of ours, without its text."""
    transport = _transport(line)
    try:
        connected = socket.create_connection((transport.host, transport.port), timeout=line.feed.retry.timeout)
        with connected, cut_in_time(line.meter, lambda: [connected]), paramiko.Transport(connected) as ssh:
            _greet(ssh, transport, line.feed.retry.timeout)
            _log_in(ssh, transport, line)
            with SFTPClient.from_transport(ssh) or _nothing_opened() as sftp:
                channel = sftp.get_channel()
                if channel is not None:
                    channel.settimeout(line.feed.retry.timeout)
                yield sftp
        return  # noqa: TRY300  # what follows is for failures
    except (SSHException, EOFError, OSError) as error:
        failure = _named(error, f"{transport.host}:{transport.port}")
    raise failure from None


def _nothing_opened() -> SFTPClient:
    raise SSHException("no channel for files")


def _named(error: Exception, place: str) -> SourceUnavailable | SourceRefused:
    for kind, fault in _REFUSED.items():
        if isinstance(error, kind):
            return SourceRefused(fault, place)
    for kind, fault in _UNAVAILABLE.items():
        if isinstance(error, kind):
            return SourceUnavailable(fault, place=place)
    return SourceUnavailable("CUT_OFF", place=place)


def _greet(ssh: paramiko.Transport, transport: SftpTransport, timeout: float) -> None:
    """Agree on keys; the server must show the very host key that is declared.

    Raises:
        SourceRefused: it shows another.
    """
    algorithm, _, body = transport.host_key.partition(" ")
    offered = ("rsa-sha2-512", "rsa-sha2-256") if algorithm == "ssh-rsa" else (algorithm,)
    ssh.get_security_options().key_types = offered
    ssh.start_client(timeout=timeout)
    shown = ssh.get_remote_server_key()
    if not constant_time_equal(shown.asbytes(), b64decode(body)):
        raise SourceRefused("HOST_KEY_MISMATCH", f"{transport.host}:{transport.port}")


def _log_in(ssh: paramiko.Transport, transport: SftpTransport, line: Line) -> None:
    secret = line.need_secret().text
    if transport.login == "password":
        ssh.auth_password(transport.user, secret.rstrip("\r\n"))
        return
    ssh.auth_publickey(transport.user, _private_key(secret))


def _private_key(text: str) -> PKey:
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except (SSHException, ValueError, IndexError, UnicodeError):
            continue
    raise SourceRefused("CREDENTIAL_REFUSED", "private key")
