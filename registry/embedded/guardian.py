"""The guardian: a small process that starts the server and stops it when its last owner is gone.

Run as a script, with the standard library alone, so that it starts at once and needs nothing of ours:
`python -I -S guardian.py CONTROL DATA [UID GID POSTGRES ARGUMENT…]`. Without the second half it watches
a server that runs already. It exits 0 once the server is ready, and goes on in the background:

  1. leave the terminal, hold the guardians' lock (it says that the server is watched)
  2. start the server under its account and wait until it is ready, or report why it is not
  3. wait for the owners' lock: the system gives it when the last owner has ended, by kill -9 too
  4. stop the server, rolling back what was under way

If the guardian itself is killed, the server stays; the next start finds it and gives it a new guardian.
The functions are used by `registry.embedded` as well, so that both see a server in the same way.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

OWNERS_LOCK = "owners.lock"
GUARDIANS_LOCK = "guardian.lock"
LOG = "postgresql.log"
SOCKET_PREFIX = "qq-"  # of the socket's directory

_SOCKET_FILES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")
_STEP_SECONDS = 0.01
_START_SECONDS = 55.0
_FAST_STOP_SECONDS = 20.0
_IMMEDIATE_STOP_SECONDS = 10.0
_SOCKET_LINE, _STATUS_LINE = 4, 7  # of postmaster.pid; src/include/utils/pidfile.h counts from one


def postmaster(data: Path) -> int | None:
    """The process id of the server that runs on this data directory, if one does.

    A number left in `postmaster.pid` by a crash may meanwhile be another process, or a dead one that
    nobody has collected; a server's working directory is its data directory.
    """
    lines = _pid_file(data)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return None  # somebody else's process: not our server
    if not Path("/proc/self/stat").exists():
        return pid  # not Linux: PostgreSQL itself checks further when it starts
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        inside = Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return None
    return pid if inside and state != "Z" else None


def is_ready(data: Path) -> bool:
    """Tell whether the server said that it takes connections."""
    lines = _pid_file(data)
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


def is_watched(control: Path) -> bool:
    """Tell whether a guardian is alive."""
    descriptor = _open(control / GUARDIANS_LOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def socket_directory(data: Path) -> str:
    """Where the running server's socket lies; empty when none runs."""
    lines = _pid_file(data)
    return lines[_SOCKET_LINE].strip() if len(lines) > _SOCKET_LINE else ""


def stop(data: Path) -> None:
    """Stop the server on this data directory, if one runs, and return when it has ended."""
    directory = socket_directory(data)
    for number, seconds in ((signal.SIGINT, _FAST_STOP_SECONDS), (signal.SIGQUIT, _IMMEDIATE_STOP_SECONDS)):
        pid = postmaster(data)
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while postmaster(data) is not None and time.monotonic() < deadline:
            time.sleep(_STEP_SECONDS)
    if Path(directory).name.startswith(SOCKET_PREFIX):
        for name in _SOCKET_FILES:  # left when the server was killed
            (Path(directory) / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            Path(directory).rmdir()


def main(control: Path, data: Path, server: list[str]) -> int:
    """Do the four steps; return in the foreground process as soon as the server is ready or has failed."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return 0 if os.read(reading, 1) == b"1" else 1
    os.close(reading)
    os.setsid()  # 1
    held = _open(control / GUARDIANS_LOCK)
    fcntl.flock(held, fcntl.LOCK_SH)
    signal.signal(signal.SIGCHLD, _collect)
    signal.signal(signal.SIGTERM, lambda *_: _end(data))
    if server and not _start(control, data, server):  # 2
        os._exit(1)  # the pipe closes without a word
    os.write(writing, b"1")
    os.close(writing)
    _let_go_of_the_terminal()
    fcntl.flock(_open(control / OWNERS_LOCK), fcntl.LOCK_EX)  # 3
    stop(data)  # 4
    os._exit(0)


def _start(control: Path, data: Path, server: list[str]) -> bool:
    uid, gid, *command = server
    _disown(data)
    log = os.open(control / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    dropped = os.geteuid() == 0
    child = subprocess.Popen(  # noqa: S603  # the command is put together by registry.embedded
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        umask=0o077,
        user=int(uid) if dropped else None,
        group=int(gid) if dropped else None,
        extra_groups=[] if dropped else None,
    )
    os.close(log)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _pid_file(data)[:1] == [str(child.pid)] and is_ready(data):
            return True
        if not _is_alive(child.pid):
            return False
        time.sleep(_STEP_SECONDS)
    child.send_signal(signal.SIGQUIT)
    return False


def _disown(data: Path) -> None:
    """Put our own process id into a `postmaster.pid` that a crash left behind.

    PostgreSQL takes a file with its parent's id for stale (CreateLockFile in miscinit.c), where it would
    respect any other process that has the old id by now. The rest of the file stays: by it PostgreSQL
    finds out whether processes of the old server still hold its shared memory.
    """
    lines = _pid_file(data)
    if lines and postmaster(data) is None:
        (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _collect(_number: int, _frame: FrameType | None) -> None:
    """Collect children that ended, so that no dead process looks like a server."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end(data: Path) -> None:
    stop(data)
    os._exit(0)


def _let_go_of_the_terminal() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
