"""Rows from a view in an agency's database, streamed in the order in which they changed.

Steps (the numbers are used in the code):
  1. connect, encrypted and to the server that its certificate names (wherever the line leaves this machine),
     read-only, at one snapshot, with a time limit on the statement (PostgreSQL; elsewhere the account's rights and
     the feed's limits hold); a server that says nothing more is cut off when the run's time is over
  2. hold the view's columns to those declared
  3. read from the watermark less the overlap, or from the beginning, in the order (changed_at, id)
  4. a line that is cut goes on after the last row it gave
  5. at the end the position is the watermark, never later than the moment at which this run began

Names of view and columns are quoted by SQLAlchemy, values are bound, among them the numbers of consented people where
the feed filters. Nothing of the driver's own error texts is passed on: they hold statement, address and values.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    ExceptionContext,
    Select,
    TableClause,
    and_,
    column,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    or_,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from connectors.errors import SourceRefused, SourceUnavailable
from connectors.feed import document_name
from connectors.protocols import SqlTransport
from connectors.transports.deadline import cut_in_time
from connectors.transports.line import SAMPLE_ROWS, Arrival, Asked, Line, Position, Sight
from connectors.transports.retrying import tried
from connectors.transports.rows import Writer, told
from registry.clock import BEIJING

_POSTGRES: Final = "postgresql"
_BY_STATE: Final = {  # SQLSTATE, or its class
    "57014": "NO_ANSWER_IN_TIME",  # query_canceled: the statement's time was over
    "57P": "CUT_OFF",
    "08": "CUT_OFF",
    "53": "SERVER_FAILED",
    "28": "CREDENTIAL_REFUSED",
    "42501": "CREDENTIAL_REFUSED",
    "42P01": "NOT_FOUND",
    "3D": "NOT_FOUND",
}
_BY_WORD: Final = {  # the first that is found; a server says it in its own language
    "SSL connection has been closed": "CUT_OFF",
    "certificate": "CERTIFICATE_REFUSED",
    "SSL": "TLS_MISSING",
    "password": "CREDENTIAL_REFUSED",
    "authentication": "CREDENTIAL_REFUSED",
    "认证失败": "CREDENTIAL_REFUSED",
    "pg_hba.conf": "CREDENTIAL_REFUSED",
    "permission denied": "CREDENTIAL_REFUSED",
    "权限不够": "CREDENTIAL_REFUSED",
    "does not exist": "NOT_FOUND",
    "不存在": "NOT_FOUND",
}
_UNAVAILABLE: Final = frozenset({"NO_ANSWER_IN_TIME", "CUT_OFF", "SERVER_FAILED", "NOT_REACHED"})
_SECONDS_TO_CONNECT: Final = 10
Changed = datetime | date


def fetch(line: Line) -> Iterator[Arrival]:
    """Give what changed as one document.

    Raises:
        SourceUnavailable, SourceRefused, LimitExceeded: nothing was taken and the watermark stays.
    """
    transport = _transport(line)
    body = line.spool()
    try:
        writer = Writer(body, transport.columns)
        reading = _Reading(line, writer)
        reading.run()
    except BaseException:
        body.close()
        raise
    yield Arrival(document_name(line.feed), body, writer.rows, reading.position())


def look(line: Line) -> Sight:
    """Connect, hold the columns, and read a few rows where nobody is asked about."""
    transport = _transport(line)
    with line.spool() as body, _engine(line) as engine, _connected(engine, line) as connection:
        names = _columns(connection, transport)
        rows = 0
        if not transport.subject:
            writer = Writer(body, transport.columns)
            for row in connection.execute(_statement(transport).limit(SAMPLE_ROWS)).mappings():
                writer.write(dict(row), f"row {writer.rows + 1}")
            rows = writer.rows
        return Sight(f"{transport.view}", rows=rows, columns=names)


def _transport(line: Line) -> SqlTransport:
    if not isinstance(line.feed.transport, SqlTransport):
        raise TypeError("not a feed over SQL")
    return line.feed.transport


@dataclass(slots=True)
class _Reading:
    """One run over one view."""

    line: Line
    writer: Writer
    latest: Changed | None = None
    since: Changed | None = field(init=False)

    def __post_init__(self) -> None:
        self.since = _read_position(self.line.position)

    def run(self) -> None:
        """Read everything, group of people by group of people where the feed filters."""
        if self.line.people is None:
            self._series(None)
            return
        for asked in self.line.people():
            self._series(asked)

    def position(self) -> Position:
        """Step 5."""
        found = [moment for moment in (self.since, self.latest) if moment is not None]
        if not found:
            return {}
        latest = max(found, key=_comparable)
        kind = "datetime" if isinstance(latest, datetime) else "date"
        return {"changed_at": latest.isoformat(), "type": kind}

    def _series(self, asked: Asked | None) -> None:
        """Steps 1 to 4 for one group; tried again from where it broke off."""
        since = None if asked is not None and asked.anew else self.since
        place: list[tuple[Any, Any]] = []
        tried(lambda: self._stream(asked, since, place), self.line.feed.retry, self.line.sleep)

    def _stream(self, asked: Asked | None, since: Changed | None, place: list[tuple[Any, Any]]) -> None:
        transport, line = _transport(self.line), self.line
        with _engine(line) as engine, _connected(engine, line) as connection:
            _columns(connection, transport)  # 2
            statement = _statement(transport)
            if transport.changed_at:
                statement = statement.where(*_after(transport, since, place[-1] if place else None))
                statement = statement.order_by(column(transport.changed_at), column(transport.id))
            elif place:
                raise SourceRefused("CUT_OFF", transport.view)
            if asked is not None:
                statement = statement.where(column(transport.subject).in_(list(asked.identifiers)))
            connection.execution_options(stream_results=True, yield_per=transport.fetch)
            with connection.execute(statement) as rows:
                for row in rows.mappings():  # 3
                    self._row(dict(row), place)

    def _row(self, row: dict[str, Any], place: list[tuple[Any, Any]]) -> None:
        transport, at = _transport(self.line), f"row {self.writer.rows + 1}"
        self.line.meter.add(size=sum(len(value) for value in row.values() if isinstance(value, str)), rows=1)
        if transport.changed_at:
            changed = row[transport.changed_at]
            if not isinstance(changed, date) or row[transport.id] is None:  # a datetime is a date too
                raise SourceRefused("WATERMARK_MISSING", f"{at}: {transport.changed_at}, {transport.id}")
            self._remember(changed)
            self.writer.write(row, at)
            place[:] = [(changed, row[transport.id])]
            return
        self.writer.write(row, at)
        place[:] = [(None, None)]

    def _remember(self, changed: Changed) -> None:
        capped = min(changed, _in_kind(self.line.began, changed), key=_comparable)
        if self.latest is None or _comparable(capped) > _comparable(self.latest):
            self.latest = capped


# ---- statements -----------------------------------------------------------------------------------------------------


def _view(transport: SqlTransport) -> TableClause:
    schema, _, name = transport.view.rpartition(".")
    return table(name, *(column(key) for key in transport.columns), schema=schema or None)


def _statement(transport: SqlTransport) -> Select[Any]:
    view = _view(transport)
    return select(*(view.c[key] for key in transport.columns))


def _after(transport: SqlTransport, since: Changed | None, last: tuple[Any, Any] | None) -> list[ColumnElement[bool]]:
    """Give the conditions of steps 3 and 4. A row without a time of change is asked for too, to be refused."""
    changed: ColumnElement[Any] = column(transport.changed_at)
    number: ColumnElement[Any] = column(transport.id)
    conditions: list[ColumnElement[bool]] = []
    if last is not None:
        conditions.append(
            or_(changed > last[0], and_(changed == last[0], number > last[1]), changed.is_(None)).self_group()
        )
    elif since is not None:
        conditions.append(or_(changed >= since - transport.overlap, changed.is_(None)).self_group())
    return conditions


# ---- the connection -------------------------------------------------------------------------------------------------


@contextmanager
def _engine(line: Line) -> Iterator[Engine]:
    """Give an engine for one use; its password is in no text that it prints."""
    transport = _transport(line)
    url = make_url(transport.url)
    if transport.password:
        url = url.set(password=line.need_secret().text)
    if url.drivername == _POSTGRES:
        url = url.set(drivername="postgresql+psycopg")
    settings = _settings(transport) if transport.is_postgres else {}
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=settings)
    except (NoSuchModuleError, ImportError):
        engine = None
    if engine is None:
        raise SourceRefused("NOT_FOUND", "transport.url: driver")
    event.listen(engine, "handle_error", _close_cursor)
    try:
        yield engine
    finally:
        engine.dispose()


def _close_cursor(failed: ExceptionContext) -> None:
    """Close the cursor of a line that broke: SQLAlchemy leaves it open then, and psycopg minds."""
    context = failed.execution_context
    if failed.is_disconnect and context is not None and context.cursor is not None:
        with suppress(psycopg.Error):  # its connection is gone
            context.cursor.close()


def _settings(transport: SqlTransport) -> dict[str, str | int]:
    """Say everything that libpq would otherwise take from the environment, or decide for itself."""
    mode = "verify-full" if transport.verified else "prefer" if transport.tls == "private" else "disable"
    said: dict[str, str | int] = {"sslmode": mode, "gssencmode": "disable", "application_name": "qingqiao"}
    said |= {"connect_timeout": _SECONDS_TO_CONNECT}
    return said | ({"sslrootcert": str(transport.ca or "system")} if transport.verified else {})


@contextmanager
def _connected(engine: Engine, line: Line) -> Iterator[Connection]:
    """Step 1. What the driver raises becomes an error of ours, without its text."""
    failure: SourceUnavailable | SourceRefused
    try:
        with engine.connect() as connection, _cut_in_time(connection, line):
            if engine.dialect.name == _POSTGRES:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                limit = f"{int(line.meter.seconds_left * 1000)}"
                connection.execute(select(func.set_config("statement_timeout", limit, True)))  # noqa: FBT003  # SQL's own
            yield connection
            connection.rollback()
        return  # noqa: TRY300  # what follows is for failures
    except NoSuchTableError:
        failure = SourceRefused("NOT_FOUND", _transport(line).view)
    except DBAPIError as error:
        failure = _named(error, _transport(line).view)
    except SQLAlchemyError:
        failure = SourceRefused("REQUEST_REFUSED", _transport(line).view)
    raise failure from None


@contextmanager
def _cut_in_time(connection: Connection, line: Line) -> Iterator[None]:
    """Bound what is waited for on this side too, where the driver shows its socket (psycopg)."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        yield
        return
    with socket.socket(fileno=os.dup(driver.pgconn.socket)) as ours, cut_in_time(line.meter, lambda: [ours]):
        yield


def _named(error: DBAPIError, view: str) -> SourceUnavailable | SourceRefused:
    state = str(getattr(error.orig, "sqlstate", None) or "")
    fault = _fault(state, str(error.orig), cut=bool(error.connection_invalidated))
    if fault in _UNAVAILABLE:
        return SourceUnavailable(fault, place=view)
    return SourceRefused(fault, f"{view}: SQLSTATE {state}" if state else view)


def _fault(state: str, text: str, *, cut: bool) -> str:
    """Name what a driver reports: by SQLSTATE, or where it has none, by words of a text that goes no further."""
    for start, fault in _BY_STATE.items():
        if state.startswith(start):
            return fault
    if cut:
        return "CUT_OFF"
    if state:
        return "REQUEST_REFUSED"
    return next((fault for word, fault in _BY_WORD.items() if word in text), "NOT_REACHED")


def _columns(connection: Connection, transport: SqlTransport) -> tuple[str, ...]:
    """Step 2."""
    schema, _, name = transport.view.rpartition(".")
    found = tuple(str(one["name"]) for one in inspect(connection).get_columns(name, schema=schema or None))
    if set(found) != set(transport.columns):
        raise SourceRefused("SCHEMA_CHANGED", f"{transport.view}: {told(set(found) ^ set(transport.columns))}")
    return found


# ---- times of change ------------------------------------------------------------------------------------------------


def _read_position(position: Position) -> Changed | None:
    text = position.get("changed_at")
    if not isinstance(text, str):
        return None
    return date.fromisoformat(text) if position.get("type") == "date" else datetime.fromisoformat(text)


def _in_kind(began: datetime, like: Changed) -> Changed:
    """Give the moment of this run as the view writes moments: with a zone, local to Beijing, or as a day."""
    if not isinstance(like, datetime):
        return began.astimezone(BEIJING).date()
    return began if like.tzinfo else began.astimezone(BEIJING).replace(tzinfo=None)


def _comparable(moment: Changed) -> datetime:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
