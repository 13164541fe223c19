"""The private cluster itself: made whole or not at all, with a password and without trust.

It is made beside its final place and renamed, so that a crash leaves no half of one. PostgreSQL's own log
keeps no statements, parameters or details, since those carry what people told us.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from registry.embedded.binaries import Binaries
from registry.embedded.place import Place
from registry.errors import EmbeddedError

ROLE = "qingqiao"
_PASSWORD_BYTES = 24
_BUILTIN_LOCALE_SINCE = 17  # PostgreSQL 17 brought its own C.UTF-8, the same on every machine

_CONFIGURATION = """
# Qingqiao: a private server. What is not said here is PostgreSQL's default.
listen_addresses = ''
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
max_connections = 100
fsync = on
full_page_writes = on
synchronous_commit = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
# its log keeps nothing that people told us
log_statement = 'none'
log_error_verbosity = 'terse'
log_min_error_statement = 'panic'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


def version(data: Path) -> int | None:
    """The major version that made this cluster; None when there is none yet."""
    stated = data / "PG_VERSION"
    return int(stated.read_text(encoding="ascii")) if stated.exists() else None


def password(place: Place) -> str:
    """The password of the cluster's one role.

    Raises:
        EmbeddedError: the file is gone; the data cannot be opened without it.
    """
    try:
        return _password_file(place).read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise EmbeddedError(f"{_password_file(place)} is missing: restore it, or take a new home") from error


def initialise(tools: Binaries, place: Place) -> None:
    """Make the cluster unless it is there.

    Raises:
        EmbeddedError: `initdb` failed; its last line is in the message.
        OSError: the directory is not usable.
    """
    if place.data.exists():
        return
    partial = place.work / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    place.give(partial)
    _new_password(place)
    told = place.work / "initial-password"  # readable to the account for as long as initdb runs
    try:
        told.touch(mode=0o600)
        place.give(told)
        told.write_text(password(place), encoding="ascii")
        _initdb(tools, place, partial, told)
    finally:
        told.unlink(missing_ok=True)
    with (partial / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(_CONFIGURATION)
        configuration.flush()
        os.fsync(configuration.fileno())
    partial.rename(place.data)
    _make_durable(place.work)


def create_databases(socket_directory: str, place: Place, names: Sequence[str]) -> None:
    """Create the databases that are not there yet.

    Raises:
        EmbeddedError: the server does not take our password or does not answer.
    """
    try:
        with closing(
            psycopg.connect(
                host=socket_directory, user=ROLE, password=password(place), dbname="postgres", autocommit=True
            )
        ) as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in there:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise EmbeddedError("the private PostgreSQL runs but does not let us in") from error


def _initdb(tools: Binaries, place: Place, data: Path, told: Path) -> None:
    locale = ["--locale=C.UTF-8"]
    if tools.major >= _BUILTIN_LOCALE_SINCE:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(  # noqa: S603  # paths that we found or made, no words of others
        [
            tools.directory / "initdb",
            f"--pgdata={data}",
            f"--username={ROLE}",
            f"--pwfile={told}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            *locale,
        ],
        cwd="/",
        env=tools.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=0o077,
        user=place.account.uid if place.account else None,
        group=place.account.gid if place.account else None,
        extra_groups=[] if place.account else None,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no reason given"]
        raise EmbeddedError(f"a new PostgreSQL cluster could not be made: {said[0]}")


def _new_password(place: Place) -> None:
    path = _password_file(place)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123  # Path.open cannot set the mode
        file.write(os.urandom(_PASSWORD_BYTES).hex())
        file.flush()
        os.fsync(file.fileno())


def _password_file(place: Place) -> Path:
    return place.control / "password"


def _make_durable(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
