"""Launch the guardian, and turn its failure into an error that says what to do.

The socket lies in a short directory of its own under the system's temporary one, since the path of a
socket may have no more than 107 characters (unix(7), `sun_path`) and a home's path may be longer.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from registry.embedded import guardian
from registry.embedded.binaries import Binaries
from registry.embedded.place import Place
from registry.errors import EmbeddedError

_TRIES = 5
_BETWEEN_TRIES_SECONDS = 0.5
_SCRIPT = Path(guardian.__file__)
_OLD_SERVER_LEAVING = "shared memory block"  # after kill -9 of the server its processes take a moment to go


def start(tools: Binaries, place: Place) -> None:
    """Start the server under a guardian and return when it takes connections.

    Raises:
        EmbeddedError: it did not start; the reason is the server's own.
    """
    for left in reversed(range(_TRIES)):
        socket = Path(tempfile.mkdtemp(prefix=guardian.SOCKET_PREFIX))
        place.give(socket)
        account = place.account
        server = [
            str(account.uid if account else -1),
            str(account.gid if account else -1),
            str(tools.directory / "postgres"),
            "-D",
            str(place.data.resolve()),
            "-k",
            str(socket),
        ]
        if _guardian(place, server, tools.environment()):
            return
        socket.rmdir()
        reason = _reason(place.control / guardian.LOG)
        if not left or _OLD_SERVER_LEAVING not in reason:
            raise EmbeddedError(f"the private PostgreSQL did not start: {reason}")
        time.sleep(_BETWEEN_TRIES_SECONDS)


def watch(place: Place) -> None:
    """Give a guardian to a server that runs without one.

    Raises:
        EmbeddedError: the guardian did not start.
    """
    if not _guardian(place, [], {}):
        raise EmbeddedError("the guardian of the private PostgreSQL did not start")


def _guardian(place: Place, server: Sequence[str], environment: dict[str, str]) -> bool:
    done = subprocess.run(  # noqa: S603  # our own interpreter and script
        [sys.executable, "-I", "-S", str(_SCRIPT), str(place.control), str(place.data), *server],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _reason(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in reversed(lines):
        for word in ("FATAL:", "PANIC:", "ERROR:", "error:"):
            if word in line:
                return line.partition(word)[2].strip()
    return lines[-1].strip() if lines else "it gave no reason"
