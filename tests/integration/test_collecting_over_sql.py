"""Rows from a view in a second database that really speaks SQL: what changed, of those who consented, nothing told."""

import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, make_url

from connectors import collecting
from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import LimitExceeded, SourceError, SourceRefused, SourceUnavailable
from connectors.feed import Feed
from connectors.intake import Intake
from exchange.home import Home
from registry.database import Database
from registry.identifiers import ResidentId
from tests.answering import relaying
from tests.databases import Server
from tests.subsidies import COLUMNS, resident_id
from tests.unit.connectors.consent_register import everybody

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
DAY = date(2026, 6, 15)
PASSWORD = "Geheim-9$%@:/#"
_OWN = uuid4().hex[:12]  # of this process: several may test at once on one server
NAME = f"qq_agency_{_OWN}"
READER = f"qq_reader_{_OWN}"


@pytest.fixture
def agency(server: Server) -> Iterator[str]:
    """A database of an agency with a view, and an account that may read it."""
    maintenance = server.address("postgres")
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME} TEMPLATE template0")
        connection.execute(f"DROP ROLE IF EXISTS {READER}")
        connection.execute(
            psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(READER), psycopg.sql.Literal(PASSWORD)
            )
        )
    address = server.address(NAME)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id bigint, zjh text, xm text, je numeric(12,2), nd int, xmmc text, changed_at timestamptz)"
        )
        connection.execute('CREATE VIEW "补贴View" AS SELECT * FROM t')
        connection.execute(f'GRANT SELECT ON "补贴View" TO {READER}')
    yield address
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
        connection.execute(f"DROP ROLE {READER}")


def insert(address: str, number: int, person: int, changed: datetime, amount: str = "100.00") -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO t VALUES (%s, %s, '卓玛', %s, 2025, '耕地地力保护补贴', %s)",
            (number, resident_id(person), amount, changed),
        )


def account(address: str, name: str) -> str:
    parts = make_url(address)
    return URL.create("postgresql", name, None, parts.host, parts.port, parts.database, parts.query).render_as_string()


def feed(address: str, **over: Any) -> Feed:
    transport = {
        "kind": "sql",
        "url": account(address, READER),
        "view": "补贴View",
        "columns": COLUMNS,
        "changed_at": "changed_at",
        "id": "id",
        **over.pop("transport", {}),
    }
    said = {"feed": "subsidies", "source": "subsidy_roster", "agency": "玉树市财政局", "transport": transport, **over}
    said.setdefault("retry", {"attempts": 3, "timeout": 5})
    return Feed.model_validate(said)


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, everybody)


@pytest.fixture
def run(intake: Intake, agency: str) -> Callable[..., Collected]:
    kept = Credentials(intake.database, intake.sealing)
    kept.set("subsidies", PASSWORD, now=NOW)

    def run(now: datetime = NOW, people: Any = None, **over: Any) -> Collected:
        return collect(
            intake,
            feed(agency, **over),
            credentials=kept,
            people=people,
            now=now,
            as_of=DAY,
            patience=Patience(sleep=lambda _: None),
        )

    return run


def held(database: Database) -> int:
    with database.transaction() as tx:
        row = tx.execute("SELECT count(*) FROM record").fetchone()
    return int(row[0]) if row else -1


def test_only_what_changed_is_read_again_and_nothing_doubles(
    run: Callable[..., Collected], agency: str, database: Database
) -> None:
    for number in range(1, 6):
        insert(agency, number, number, NOW - timedelta(days=10 - number))
    first = run()
    assert (first.rows, first.taken, first.error) == (5, 1, None)
    assert held(database) == 5
    insert(agency, 6, 6, NOW - timedelta(days=5, minutes=3))  # committed late: within the overlap
    insert(agency, 7, 7, NOW - timedelta(days=1))
    second = run()
    assert second.rows == 3  # the last of before, the late one, the new one
    assert held(database) == 7
    assert second.watermark is not None
    assert second.watermark > str(first.watermark)


def test_a_clock_that_ran_ahead_loses_no_row(run: Callable[..., Collected], agency: str, database: Database) -> None:
    insert(agency, 1, 1, NOW + timedelta(days=300))
    assert run().rows == 1
    insert(agency, 2, 2, NOW + timedelta(minutes=5))  # the clock was put right
    assert run(now=NOW + timedelta(minutes=10)).rows == 2
    assert held(database) == 2


@pytest.mark.parametrize("change", ["ADD COLUMN extra text", "DROP COLUMN nd"])
def test_a_changed_view_is_refused_and_the_watermark_stays(
    run: Callable[..., Collected], agency: str, database: Database, change: str
) -> None:
    insert(agency, 1, 1, NOW - timedelta(days=3))
    first = run()
    with psycopg.connect(agency, autocommit=True) as connection:
        connection.execute('DROP VIEW "补贴View"')
        connection.execute(f"ALTER TABLE t {change}")
        connection.execute('CREATE VIEW "补贴View" AS SELECT * FROM t')
        connection.execute(f'GRANT SELECT ON "补贴View" TO {READER}')
    with pytest.raises(SourceRefused) as refused:
        run()
    assert refused.value.fault == "SCHEMA_CHANGED"
    assert refused.value.place.split()[-1] in {"extra", "nd"}
    with database.transaction() as tx:
        position = collecting.position_of(tx, "subsidies")
    assert position is not None
    assert position[0]["changed_at"] == first.watermark


def test_only_consented_people_are_asked_about_and_new_ones_from_the_beginning(
    run: Callable[..., Collected], agency: str, database: Database
) -> None:
    for number in (1, 2, 3):
        insert(agency, number, number, NOW - timedelta(days=30 - number))
    asked: list[str] = []

    def people(*numbers: int) -> Callable[[str], Iterator[Sequence[str]]]:
        def pages(kind: str) -> Iterator[Sequence[str]]:
            asked.append(kind)
            yield [resident_id(number) for number in numbers]

        return pages

    def filtered(*numbers: int) -> Collected:
        return run(people=people(*numbers), filter="subjects", kind="SUBSIDY", transport={"subject": "zjh"})

    assert filtered(1).rows == 1
    assert filtered(1, 2).rows == 2  # 1 from the watermark (its overlap), 2 from the beginning
    insert(agency, 4, 3, NOW - timedelta(days=1))
    assert filtered(1, 3).rows == 2  # both of 3's, old and new; nothing of 1, since the watermark has moved
    assert asked == ["SUBSIDY"] * 3
    assert held(database) == 3  # both of 3 are alike: one record
    with database.transaction() as tx:
        marks = tx.execute("SELECT mark FROM feed_asked").fetchall()
    assert len(marks) == 2  # 2 was not asked about any more, and is forgotten
    assert not any(resident_id(1).encode() in bytes(mark) for (mark,) in marks)


def test_who_is_kept_under_an_old_number_is_found(
    run: Callable[..., Collected], agency: str, database: Database
) -> None:
    for number in (1, 2, 3):
        insert(agency, number, number, NOW)
    with psycopg.connect(agency) as connection:
        connection.execute("UPDATE t SET zjh = %s WHERE id = 1", (ResidentId.parse(resident_id(1)).old_form,))

    def people(_: str) -> Iterator[Sequence[str]]:
        yield [resident_id(1), resident_id(2)]

    done = run(people=people, filter="subjects", kind="SUBSIDY", transport={"subject": "zjh"})
    assert (done.rows, done.error, held(database)) == (2, None, 2)
    with database.transaction() as tx:
        found = tx.execute("SELECT codes->'warned' FROM batch").fetchall()
    assert found == [({"ID_15_CONVERTED": 1},)]


def test_more_rows_than_allowed_are_not_taken(run: Callable[..., Collected], agency: str, database: Database) -> None:
    for number in range(1, 6):
        insert(agency, number, number, NOW)
    with pytest.raises(LimitExceeded) as exceeded:
        run(limits={"rows": 4})
    assert exceeded.value.fault == "TOO_MANY_ROWS"
    assert held(database) == 0


def test_a_statement_is_stopped_by_the_server_in_time(run: Callable[..., Collected], agency: str) -> None:
    with psycopg.connect(agency, autocommit=True) as connection:
        connection.execute("INSERT INTO t SELECT 1, 'x', 'x', 1, 2025, 'x', now()")
        connection.execute(
            'CREATE OR REPLACE VIEW "补贴View" AS'
            " SELECT id, zjh, (xm || coalesce(pg_sleep(30)::text, '')) AS xm, je, nd, xmmc, changed_at FROM t"
        )
    with pytest.raises((SourceUnavailable, LimitExceeded)) as stopped:
        run(limits={"seconds": 1}, retry={"attempts": 1})
    assert stopped.value.fault in {"NO_ANSWER_IN_TIME", "TOO_LONG"}


def test_a_server_that_falls_silent_is_cut_off_in_time_and_leaves_nothing_open(
    run: Callable[..., Collected], agency: str, database: Database
) -> None:
    for number in range(1, 6):
        insert(agency, number, number, NOW)
    with psycopg.connect(agency) as connection:
        host, port = connection.info.host, connection.info.port
    parts = make_url(account(agency, READER))
    with relaying(host, port, silent_after=b"FETCH") as opened, pytest.raises(LimitExceeded) as exceeded:
        url = URL.create("postgresql", READER, None, "127.0.0.1", opened, parts.database).render_as_string()
        run(limits={"seconds": 2}, transport={"url": url})
    assert exceeded.value.fault == "TOO_LONG"
    assert held(database) == 0
    gc.collect()  # a connection or a cursor that was left open would be told of now


def test_the_connection_can_only_read(run: Callable[..., Collected], agency: str) -> None:
    with psycopg.connect(agency, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION write() RETURNS text LANGUAGE sql AS $$ INSERT INTO t DEFAULT VALUES;"
            " SELECT 'x' $$ SECURITY DEFINER"
        )
        connection.execute(
            'CREATE OR REPLACE VIEW "补贴View" AS SELECT id, zjh, write() AS xm, je, nd, xmmc, changed_at FROM t'
        )
    insert(agency, 1, 1, NOW)
    with pytest.raises(SourceRefused) as refused:
        run()
    assert refused.value.fault == "REQUEST_REFUSED"


def test_neither_password_nor_person_is_in_what_is_raised_or_logged(
    run: Callable[..., Collected], intake: Intake, agency: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    person = resident_id(1)

    def pages(_: str) -> Iterator[Sequence[str]]:
        yield [person]

    failures: list[SourceError] = []
    broken = [
        {"transport": {"view": "nirgends", "subject": "zjh"}},
        {"transport": {"url": account(agency, "unknown"), "subject": "zjh"}},
        {"transport": {"subject": "zjh", "url": f"postgresql://{READER}@127.0.0.1:1/nowhere"}},
    ]
    for over in broken:
        with pytest.raises(SourceError) as failed:
            run(people=pages, filter="subjects", kind="SUBSIDY", **over)
        failures.append(failed.value)
    said = "".join("".join(traceback.format_exception(one)) for one in failures)
    said += caplog.text + repr(failures) + str(failures) + repr(feed(agency))
    assert len(failures) == 3
    assert PASSWORD not in said
    assert person not in said


def test_check_sees_the_columns_and_takes_nothing(run: Callable[..., Collected], intake: Intake, agency: str) -> None:
    insert(agency, 1, 1, NOW)
    sight = collecting.check(intake, feed(agency), credentials=Credentials(intake.database, intake.sealing), now=NOW)
    assert sight.rows == 1
    assert set(sight.columns) == set(COLUMNS)
    assert held(intake.database) == 0
