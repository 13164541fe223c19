"""The one way to open a transaction.

A use case opens it, and everything it writes stands or falls together with its entry in the log.
No function further down commits. See docs/adr/0003.

`transaction` gives the driver's own connection (psycopg 3): the query path and bulk work speak plain
SQL. `session` gives an ORM session for administration; `driver` reaches the same transaction from it.
Both draw on one pool. A connection that the server dropped while it lay there is noticed when it is taken out, by what
its socket says and without asking the server; with it go all others of its age, those in use as soon as they come
back. So the first transaction after a
restart works as any other does; those that were on when the server went away fail.

Not here: the schema (`schema`), the private server (`embedded`), retries. A transaction that fails is
reported; whether it may be tried again is known to the use case alone.
"""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from registry import arrays  # noqa: F401  # connections know its types from their beginning
from registry.errors import DatabaseUnavailable

Transaction = psycopg.Connection[tuple[Any, ...]]
Connected = TypeVar("Connected")

POOL_SIZE = 10  # connections kept; a web process answers 40 requests at a time from them and the overflow
ASIDE_SIZE = 2  # of those beside them, and as many for a rush: what is done over them takes a few milliseconds
POOL_OVERFLOW = 20
POOL_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5


class Database:
    """One PostgreSQL database and the pool of connections to it.

    Args:
        url: `postgresql://user:password@host/name`, or with `?host=/directory` for a unix socket.
        pool_size: connections kept open when idle.
        pool_overflow: how many more there may be at once.

    Raises:
        DatabaseUnavailable: `url` is not the address of a PostgreSQL database. Whether it answers is
            found out by the first transaction.
    """

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE, pool_overflow: int = POOL_OVERFLOW) -> None:
        self.engine: Engine = create_engine(
            address(url),
            pool_size=pool_size,
            max_overflow=pool_overflow,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_reset_on_return=None,  # both ways below end their transaction themselves; a reset is a round trip
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "qingqiao"},
            hide_parameters=True,  # error texts carry no values
        )
        event.listen(self.engine, "checkout", _refuse_dropped)
        self._over = False

    def __repr__(self) -> str:
        return f"Database({self.engine.url.database!r})"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Yield the driver's connection; commit when the block ends or returns, roll back when it raises.

        Raises:
            DatabaseUnavailable: no connection could be had. Nothing was done.
            psycopg.Error: a statement or the commit failed. Nothing was written.
        """
        with self._held() as raw:
            try:
                yield raw
                _refuse_failed(raw)
                raw.commit()
            except BaseException:
                with suppress(psycopg.Error):
                    raw.rollback()
                raise

    @contextmanager
    def statement(self) -> Iterator[Transaction]:
        """Yield the driver's connection for one statement, which commits by itself: one round trip, not three.

        Raises:
            DatabaseUnavailable: no connection could be had. Nothing was done.
            psycopg.Error: the statement failed.
        """
        with self._held() as raw:
            raw.autocommit = True
            try:
                yield raw
            finally:
                if not raw.closed:
                    raw.rollback()  # of nothing, unless it was stopped in the middle
                    raw.autocommit = False

    @contextmanager
    def _held(self) -> Iterator[Transaction]:
        pool = self.engine.pool
        pooled = self._checkout(self.engine.raw_connection)
        raw = cast("Transaction", pooled.driver_connection)
        try:
            yield raw
        finally:
            if raw.closed:  # the server went away: the pool's other connections are dead as well
                pooled.invalidate()
                self.engine.dispose()
            elif self._over or self.engine.pool is not pool:  # nobody would take it out again, or close it
                pooled.invalidate()
            pooled.close()
            if self.engine.pool is not pool:  # disposed of in this very moment: what went back into it would stay open
                pool.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield an ORM session in a transaction of its own, for administration; ends as `transaction` does.

        Raises:
            DatabaseUnavailable: no connection could be had. Nothing was done.
            sqlalchemy.exc.SQLAlchemyError: a statement or the commit failed. Nothing was written.
        """
        pool = self.engine.pool
        with self._checkout(self.engine.connect) as connection:
            try:
                with Session(connection, expire_on_commit=False) as session, session.begin():
                    yield session
                    _refuse_failed(driver(session))
            finally:
                if self._over or self.engine.pool is not pool:
                    connection.invalidate()

    @cached_property
    def aside(self) -> "Database":
        """The same database over a few connections of their own: for short work of whoever holds one of the others.

        If everybody who holds a connection waited for a second one of the same pool, nobody would ever go on.
        """
        url = self.engine.url.render_as_string(hide_password=False)
        return Database(url, pool_size=ASIDE_SIZE, pool_overflow=ASIDE_SIZE)

    def close(self) -> None:
        """Close the pool's idle connections; those in use, and later ones, close when they come back."""
        self._over = True
        if "aside" in self.__dict__:
            self.aside.close()
        self.engine.dispose()

    def _checkout(self, connect: Callable[[], Connected]) -> Connected:
        try:
            return connect()
        except (OperationalError, psycopg.OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailable(f"database {self.engine.url.database!r} does not answer") from error


def driver(session: Session) -> Transaction:
    """The driver's connection under `session`: the same transaction, in plain SQL."""
    return cast("Transaction", session.connection().connection.driver_connection)


def _refuse_dropped(connection: object, _record: object, _proxy: object) -> None:
    """Let the pool replace a connection that the server has dropped: its socket is at its end. No round trip."""
    pgconn = cast("Transaction", connection).pgconn
    waiting = select.poll()
    try:
        waiting.register(pgconn.socket, select.POLLIN)
        while waiting.poll(0):  # the server said something unasked: a notice, a farewell, or that it is gone
            pgconn.consume_input()
    except psycopg.OperationalError as error:
        raise InvalidatePoolError from error


def _refuse_failed(raw: Transaction) -> None:
    """A statement failed and the block went on: COMMIT would quietly roll back and look like success."""
    if raw.info.transaction_status == TransactionStatus.INERROR:
        raise psycopg.errors.InFailedSqlTransaction("a statement failed inside the block; nothing was written")


def address(url: str) -> URL:
    """Read a PostgreSQL address and name the driver that we use.

    Raises:
        DatabaseUnavailable: not the address of a PostgreSQL database. The text is not repeated, for it
            may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnavailable("the database's address cannot be read; postgresql://… is expected") from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise DatabaseUnavailable(f"the database is {parsed.get_backend_name()!r}; PostgreSQL is expected")
    return parsed.set(drivername="postgresql+psycopg")
