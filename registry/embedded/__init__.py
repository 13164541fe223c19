"""A private PostgreSQL for one installation, for machines that have no database of their own.

  1. settle      where the cluster lies and which account runs it: never root (`place`)
  2. share       hold the owners' lock for as long as this process uses the server
  3. find        PostgreSQL's binaries, on the system or in the wheel (`binaries`)
  4. initialise  a new cluster, whole or not at all (`cluster`)
  5. start       the server, by a guardian that outlives us (`guardian`)
  6. stop        the last owner to leave stops it; after a kill -9 of the owner the guardian does

The server listens on a unix socket in a directory of its own and on no port. Every connection needs the
generated password (scram-sha-256); there is no trust, for local users neither. fsync is on.

Owners are counted by a shared file lock, which the system takes back from a process however it ends.
So there is no count to go wrong: whoever gets the exclusive lock knows that nobody is left.

Not here: migrations (`schema`), production. There `QINGQIAO_DATABASE_URL` names a server that is run,
watched and backed up by people.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from registry.embedded import binaries, cluster, guardian, launch
from registry.embedded.place import Place, control_of, settle
from registry.errors import EmbeddedError

Prefer = Literal["system", "wheel"]

DATABASE = "qingqiao"
KEYSTORE = "qingqiao_keys"
START_TIMEOUT_SECONDS = 60.0
_STEP_SECONDS = 0.02


class EmbeddedPostgres:
    """The private server of one home, shared by all processes that use this home.

    Args:
        home: the installation's directory; the cluster's own lies under it.
        prefer: whose binaries make a new cluster. An old one keeps the version that made it.
    """

    def __init__(self, home: Path, *, prefer: Prefer = "system") -> None:
        self._home = home.absolute()
        self._prefer = prefer
        self._place: Place | None = None
        self._owners: int | None = None
        self._owner_pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The main database's address, with its password: for `Database`, never for a log."""
        return self._address(DATABASE)

    @property
    def keystore_url(self) -> str:
        """The key store's address, with its password."""
        return self._address(KEYSTORE)

    def start(self) -> None:
        """Make sure that the server runs, and keep it running until `stop` or the end of this process.

        Raises:
            EmbeddedError: it cannot run here. The message says what is missing, and what to do.
        """
        if self._owners is not None:
            return
        try:
            with _alone(control_of(self._home) / "start.lock"):
                place = settle(self._home)  # 1
                owners = _open(place.control / guardian.OWNERS_LOCK)
                try:
                    fcntl.flock(owners, fcntl.LOCK_SH)  # 2: waits while a guardian is stopping the server
                    self._run(place)
                except BaseException:
                    os.close(owners)
                    raise
        except OSError as error:
            raise EmbeddedError(f"the directory {self._home} cannot hold a database: {error.strerror}") from error
        self._place, self._owners, self._owner_pid = place, owners, os.getpid()

    def stop(self) -> None:
        """Leave the server; the last to leave stops it, and returns when it has stopped."""
        if self._owners is None or self._place is None:
            return
        owners, place, self._owners = self._owners, self._place, None
        try:
            if self._owner_pid == os.getpid():  # a forked child shares our lock and must not act on it
                self._leave(owners, place)  # 6
        finally:
            os.close(owners)

    def _leave(self, owners: int, place: Place) -> None:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(owners, fcntl.LOCK_EX | fcntl.LOCK_NB)
            guardian.stop(place.data)
            return
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(owners, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return  # others go on using it
        fcntl.flock(owners, fcntl.LOCK_SH)  # the guardian was quicker and is stopping it: wait until it has

    def _run(self, place: Place) -> None:
        if guardian.postmaster(place.data) is not None and guardian.is_ready(place.data):
            if not guardian.is_watched(place.control):  # its guardian was killed: give it another
                launch.watch(place)
            return
        guardian.stop(place.data)  # half started, or left half stopped
        tools = binaries.reachable(binaries.find(self._prefer, cluster.version(place.data)), place)  # 3
        cluster.initialise(tools, place)  # 4
        cluster.password(place)  # there before the server starts, or not at all
        launch.start(tools, place)  # 5
        cluster.create_databases(guardian.socket_directory(place.data), place, (DATABASE, KEYSTORE))

    def _address(self, database: str) -> str:
        if self._place is None or self._owners is None:
            raise EmbeddedError("the private PostgreSQL has not been started")
        socket = quote(guardian.socket_directory(self._place.data), safe="/")
        return f"postgresql://{cluster.ROLE}:{cluster.password(self._place)}@/{database}?host={socket}"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that one process at a time has: two starts at once would make two clusters."""
    descriptor = _open(path)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"another process has held {path} for {START_TIMEOUT_SECONDS:.0f} s") from None
                time.sleep(_STEP_SECONDS)
        yield
    finally:
        os.close(descriptor)
