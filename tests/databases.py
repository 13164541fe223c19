"""Fresh databases for tests, without copying one for each: what a test has left in its pair is emptied for the next.

A pair is the main database and the key store, copies of two templates that `alembic upgrade head` made once. Emptying
them takes a twentieth of a copy. A pair whose shape a test has changed (a table, a trigger, a grant) is not used again.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Literal, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_SHAPE = """
    SELECT md5(concat_ws('|',
        (SELECT string_agg(concat_ws(':', relname, relkind, relacl, relowner, relrowsecurity, reloptions), ','
                           ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_attribute),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_constraint),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_trigger),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_proc),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_index),
        (SELECT concat(count(*), max(xmin::text::bigint)) FROM pg_policy),
        (SELECT string_agg(concat(nspname, nspacl), ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_'),
        (SELECT concat(datacl) FROM pg_database WHERE datname = current_database()),
        (SELECT count(*) FROM pg_db_role_setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
    ))
"""
_FILLED = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0 ORDER BY 1
"""
_COUNTED = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"


@dataclass(frozen=True)
class Addresses:
    """Where the databases of one test are, for processes that the test starts."""

    database_url: str
    keystore_url: str


@dataclass(frozen=True)
class Copy:
    """One database of a pair as it was copied: its shape, and what the migrations put in."""

    name: str
    shape: str
    seeds: dict[str, bytes]  # rows by table, as COPY writes them


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server where tests make databases of their own, and the templates they copy."""

    url: str
    main_template: str
    keystore_template: str
    strategy: Literal["FILE_COPY", "WAL_LOG"]  # of CREATE DATABASE: copying files pays where nobody waits for the disk
    spare: list[tuple[Copy, Copy]] = field(default_factory=list)  # used and not yet emptied

    def address(self, name: str) -> str:
        """The address of a database on this server."""
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def run(self, *statements: sql.Composed) -> None:
        """Run statements that no transaction may hold, such as CREATE DATABASE."""
        with closing(psycopg.connect(self.address("postgres"), autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement)

    def drop(self, *names: str) -> None:
        """Drop databases, whoever is connected."""
        self.run(*(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)) for name in names))

    def drop_spare(self) -> None:
        """Drop what lies ready for further tests."""
        while self.spare:
            self.drop(*(copy.name for copy in self.spare.pop()))

    def pair(self) -> tuple[Copy, Copy]:
        """Two databases at the newest revision with nothing in them."""
        while self.spare:
            used = self.spare.pop()
            if all(self._emptied(copy) for copy in used):
                return used
            self.drop(*(copy.name for copy in used))
        name = f"qq_test_{uuid4().hex[:16]}"
        return self._copy(name, self.main_template), self._copy(f"{name}_keys", self.keystore_template)

    def _copy(self, name: str, template: str) -> Copy:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        strategy: LiteralString = self.strategy
        self.run(statement.format(sql.Identifier(name), sql.Identifier(template), sql.SQL(strategy)))
        with closing(psycopg.connect(self.address(name))) as connection:
            return Copy(name, _shape(connection), _rows(connection))

    def _emptied(self, copy: Copy) -> bool:
        """Empty a database as far as its shape is still what it was; tell whether it is."""
        self.run(
            sql.SQL("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {}").format(
                copy.name
            )
        )
        return self.emptied(copy)

    def emptied(self, copy: Copy) -> bool:
        """Empty a database that others may be connected to, for whom nothing is under way; False: its shape changed."""
        with closing(psycopg.connect(self.address(copy.name))) as connection, connection:
            if _shape(connection) != copy.shape:
                return False
            filled = [name for (name,) in connection.execute(_FILLED)]
            if filled:
                tables = sql.SQL(", ").join(map(sql.Identifier, filled))
                connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
            for (name,) in connection.execute(_COUNTED).fetchall():
                connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(name)))
            for table, rows in copy.seeds.items():
                statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                with connection.cursor() as cursor, cursor.copy(statement) as into:
                    into.write(rows)
            return True


@contextmanager
def fresh(server: Server) -> Iterator[Addresses]:
    """Lend two fresh databases; they go back at the end, whatever is in them."""
    main, keystore = pair = server.pair()
    yield Addresses(server.address(main.name), server.address(keystore.name))
    server.spare.append(pair)


def _shape(connection: psycopg.Connection) -> str:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])


def _rows(connection: psycopg.Connection) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    for (name,) in connection.execute(_FILLED).fetchall():
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as out,
        ):
            kept[name] = b"".join(bytes(block) for block in out)
    return kept
