"""Where the private cluster lies, and which account runs its server.

PostgreSQL refuses to run as root, rightly. When we are root, the server runs as an unprivileged account
that is there already: `postgres` where a package made it, else `nobody`. No account is added, and no
folder above ours is opened up. A home that this account cannot reach (below a 0700 /root, say) keeps its
password, locks and log, while the data itself goes to a directory of its own:

  a home in the system's temporary directory   beside it; swept once the home is gone
  any other home                               /var/lib/qingqiao/<random>

and `<home>/postgres/data-directory` says where. Data that was deleted with its home is thus never
found again by accident: the name is random and stands in the home only.
"""

import contextlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from registry.embedded.guardian import postmaster
from registry.errors import EmbeddedError

_ACCOUNTS = ("postgres", "nobody")
_STATE = Path("/var/lib/qingqiao")  # Filesystem Hierarchy Standard 3.0, section 5.8: state of one application
_TEMPORARY_PREFIX = "qingqiao-data-"
_RECORD = "data-directory"
_BACK = "home"


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs the server."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """Where everything of one cluster lies.

    `control` belongs to whoever runs us: password, locks, log. `work` holds what the server's account must
    reach: `work/data`. Both are one directory unless the account cannot get there. `account` is None when
    the server runs as ourselves.
    """

    control: Path
    work: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.work / "data"

    def give(self, path: Path) -> None:
        """Make `path` the property of the account that runs the server."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def control_of(home: Path) -> Path:
    """The directory of a home's cluster, made if need be.

    Raises:
        OSError: it cannot be made.
    """
    control = home / "postgres"
    control.mkdir(parents=True, exist_ok=True)
    control.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return control


def settle(home: Path) -> Place:
    """Find, or make, the place of a home's cluster. One process at a time: two would make two places.

    Raises:
        EmbeddedError: no account to run it, or the data belong to somebody else.
        OSError: a directory cannot be made.
    """
    control = control_of(home)
    account = _account() if os.geteuid() == 0 else None
    work = _recorded(control)
    if work is None:
        inside = (control / "data").exists() or account is None or reaches(account, control.resolve())
        work = control if inside else _elsewhere(home, control)
    return Place(control, work, _of_owner(work / "data", account))


def reaches(account: Account, directory: Path) -> bool:
    """Tell whether `account` may pass through `directory` and every folder above it."""
    return all(_may_pass(account, folder.stat()) for folder in (directory, *directory.parents))


def _may_pass(account: Account, folder: os.stat_result) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _account() -> Account:
    for name in _ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(found.pw_name, found.pw_uid, found.pw_gid)
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and there is no account {' or '.join(_ACCOUNTS)} here; "
        "run this as another user, or set QINGQIAO_DATABASE_URL"
    )


def _of_owner(data: Path, account: Account | None) -> Account | None:
    """The account that a cluster made earlier belongs to; for a new one, the account given."""
    if not data.exists():
        return account
    owner = data.stat().st_uid
    if owner == (os.geteuid() if account is None else account.uid):
        return account
    if account is not None and owner != 0:
        found = pwd.getpwuid(owner)
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    raise EmbeddedError(f"the data in {data} belong to user id {owner}, who cannot run the server from here")


def _recorded(control: Path) -> Path | None:
    record = control / _RECORD
    if not record.exists():
        return None
    work = Path(record.read_text(encoding="utf-8").strip())
    if not work.is_dir():
        raise EmbeddedError(f"the data of this home lay in {work}, which is not there; restore it, or take a new home")
    return work


def _elsewhere(home: Path, control: Path) -> Path:
    temporary = Path(tempfile.gettempdir()).resolve()
    if home.resolve().is_relative_to(temporary):
        _sweep(temporary)
        work = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=temporary))
    else:
        _STATE.mkdir(mode=0o755, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=_STATE))
    work.chmod(0o711)
    (control / _RECORD).write_text(f"{work}\n", encoding="utf-8")  # first: what no home names is swept
    (work / _BACK).write_text(f"{control}\n", encoding="utf-8")
    return work


def _sweep(temporary: Path) -> None:
    """Remove the data of temporary homes that are gone. Never what lies in /var/lib: a disk may come back."""
    for work in temporary.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
            if work.is_symlink() or work.stat().st_uid != os.geteuid():
                continue
            record = Path((work / _BACK).read_text(encoding="utf-8").strip()) / _RECORD
            if not record.exists() and postmaster(work / "data") is None:
                shutil.rmtree(work, ignore_errors=True)
