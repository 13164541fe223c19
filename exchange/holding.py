"""Locks that live and die with one connection to the database: PostgreSQL takes them back from a process that dies.

`Held` is taken by at most one process. `Kept` looks after one while something is done under it: when the database was
restarted and the lock with it is gone, it is taken again as soon as the database answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event as Signal
from threading import Lock, Thread
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from registry.database import Database

KEEP_SECONDS: Final = 0.5


class Held:
    """An advisory lock of one database, held by at most one process.

    Args:
        database: where.
        key: one or two integers that nothing else in this database takes.
    """

    def __init__(self, database: Database, *key: int) -> None:
        self._database = database
        self._key = key
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Try to take it; say whether this holds it. Nobody holds a lock of a database that does not answer."""
        try:
            connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # out of the pool: the lock lives and dies with this connection
        except SQLAlchemyError:
            return False
        self._connection = connection
        if self._ask(f"SELECT pg_try_advisory_lock({', '.join(['%s'] * len(self._key))})", *self._key):
            return True
        self.release()
        return False

    def held(self) -> bool:
        """Say whether the connection that holds the lock still answers."""
        return self._ask("SELECT true")

    def release(self) -> None:
        """Give the lock back by closing its connection."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _ask(self, statement: str, *values: int) -> bool:
        if self._connection is None:
            return False
        try:
            return self._connection.exec_driver_sql(statement, values).scalar() is True
        except SQLAlchemyError:
            return False


@contextmanager
def kept(held: Held) -> Iterator[None]:
    """Look after a lock that was taken, for as long as the block lasts; then give it back."""
    done, using = Signal(), Lock()

    def keep() -> None:
        while not done.wait(KEEP_SECONDS):
            with using:
                if not done.is_set() and not held.held():
                    held.release()
                    held.take()

    keeper = Thread(target=keep, name="keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        with using:
            held.release()
