"""The transaction: what it promises when something fails."""

import psycopg
import pytest
from sqlalchemy import event, text

from registry.database import Database, driver
from registry.errors import DatabaseUnavailable
from tests.databases import Addresses


@pytest.fixture
def notes(database: Database) -> Database:
    with database.transaction() as tx:
        tx.execute("CREATE TABLE note (line text)")
    return database


def lines(database: Database) -> list[str]:
    with database.transaction() as tx:
        return [line for (line,) in tx.execute("SELECT line FROM note ORDER BY line")]


def test_what_a_block_wrote_is_there_after_it(notes: Database) -> None:
    with notes.transaction() as tx:
        tx.execute("INSERT INTO note VALUES ('a')")
    assert lines(notes) == ["a"]


def test_a_block_that_raises_wrote_nothing(notes: Database) -> None:
    with pytest.raises(RuntimeError, match="after the write"), notes.transaction() as tx:
        tx.execute("INSERT INTO note VALUES ('a')")
        raise RuntimeError("after the write")
    assert lines(notes) == []


def test_a_failed_statement_that_was_swallowed_does_not_look_like_success(notes: Database) -> None:
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), notes.transaction() as tx:
        tx.execute("INSERT INTO note VALUES ('a')")
        with pytest.raises(psycopg.errors.DivisionByZero):
            tx.execute("SELECT 1/0")
    assert lines(notes) == []


def test_a_swallowed_failure_in_a_session_does_not_look_like_success_either(notes: Database) -> None:
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), notes.session() as session:
        driver(session).execute("INSERT INTO note VALUES ('a')")
        with pytest.raises(psycopg.errors.DivisionByZero):
            driver(session).execute("SELECT 1/0")
    assert lines(notes) == []


def test_session_and_driver_are_one_transaction(notes: Database) -> None:
    with pytest.raises(RuntimeError), notes.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES ('orm')"))
        driver(session).execute("INSERT INTO note VALUES ('driver')")
        raise RuntimeError
    assert lines(notes) == []
    with notes.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES ('orm')"))
        driver(session).execute("INSERT INTO note VALUES ('driver')")
    assert lines(notes) == ["driver", "orm"]


def test_a_connection_comes_back_to_the_pool_with_no_transaction_open(notes: Database) -> None:
    with pytest.raises(RuntimeError), notes.transaction() as tx:
        tx.execute("SET LOCAL statement_timeout = '7s'")
        raise RuntimeError
    with notes.transaction() as tx:
        assert tx.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_after_a_single_statement_a_transaction_on_the_same_connection_is_one_again(notes: Database) -> None:
    with notes.statement() as tx:
        assert tx.execute("SELECT count(*) FROM note").fetchall() == [(0,)]
        assert tx.info.transaction_status == psycopg.pq.TransactionStatus.IDLE, "no transaction is left to be ended"
        read_by = tx.info.backend_pid
    with pytest.raises(RuntimeError, match="after the write"), notes.transaction() as tx:
        assert tx.info.backend_pid == read_by
        tx.execute("INSERT INTO note VALUES ('a')")
        raise RuntimeError("after the write")
    assert lines(notes) == []


def test_a_single_statement_that_fails_leaves_a_connection_that_works(notes: Database) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), notes.statement() as tx:
        tx.execute("SELECT 1/0")
    assert lines(notes) == []


def test_connections_that_were_dropped_while_they_lay_in_the_pool_make_nothing_fail(
    notes: Database, addresses: Addresses
) -> None:
    with notes.transaction() as one, notes.transaction() as other, notes.transaction() as third:
        pids = {pid for tx in (one, other, third) for (pid,) in tx.execute("SELECT pg_backend_pid()")}
    with psycopg.connect(addresses.database_url, autocommit=True) as operator:
        operator.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", (list(pids),))
    assert lines(notes) == []
    with notes.session() as session, notes.transaction() as tx:
        driver(session).execute("INSERT INTO note VALUES ('a')")
        found = {pid for one in (driver(session), tx) for (pid,) in one.execute("SELECT pg_backend_pid()")}
    assert found.isdisjoint(pids)
    assert lines(notes) == ["a"]


def test_what_the_server_says_unasked_drops_no_connection(notes: Database, addresses: Addresses) -> None:
    with notes.transaction() as tx:
        before = tx.execute("SELECT pg_backend_pid()").fetchone()
        tx.execute("LISTEN news")
    with psycopg.connect(addresses.database_url, autocommit=True) as operator:
        operator.execute("NOTIFY news")
    with notes.transaction() as tx:
        assert tx.execute("SELECT pg_backend_pid()").fetchone() == before


def test_after_the_server_dropped_us_the_next_transaction_works(notes: Database) -> None:
    with notes.transaction() as one, notes.transaction() as other:
        one.execute("SELECT 1")
        other.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError), notes.transaction() as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    for _ in range(3):
        assert lines(notes) == []


def test_connections_in_use_when_the_pool_is_closed_are_closed_when_they_come_back(notes: Database) -> None:
    with notes.transaction() as tx:
        notes.close()
        tx.execute("INSERT INTO note VALUES ('kept')")
    with notes.session() as session:
        held = driver(session)
        notes.close()
    assert (tx.closed, held.closed) == (True, True)
    with notes.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM note").fetchone() == (1,)


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    database = Database("postgresql://someone:verysecret@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable, match="nothing") as caught, database.transaction():
        pass
    assert "verysecret" not in str(caught.value) + repr(database)


def test_a_connection_that_goes_back_while_the_pool_is_disposed_of_is_closed(database: Database) -> None:
    disposed: list[None] = []

    def dispose(*_: object) -> None:
        if not disposed:
            disposed.append(None)
            database.engine.dispose()

    event.listen(database.engine, "checkin", dispose)
    with database.transaction() as tx:
        pass
    assert tx.closed
    with database.statement() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    assert not again.closed


def test_what_comes_back_after_the_end_is_closed(database: Database) -> None:
    with database.transaction() as tx:
        database.close()
    with database.transaction() as late:
        assert late.execute("SELECT 1").fetchone() == (1,)
    with database.session() as session:
        latest = driver(session)
    assert tx.closed
    assert late.closed
    assert latest.closed
