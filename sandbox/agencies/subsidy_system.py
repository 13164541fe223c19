"""A subsidy system (惠农补贴发放系统) as its outsiders meet it: a read-only view in its PostgreSQL, on loopback.

`v_subsidy_payment` has one row a payment with `id` and `changed_at`; (changed_at, id) is the order in which a reader
goes on from where it stopped. The reader's role may read this view and nothing else. The database is reached over
TCP through a line of its own (`sandbox.agencies.line`), as another office's would be.

A correction changes a payment and its `changed_at`; nothing is ever deleted. It makes its tables in the empty
database that it is given, and leaves them there; its role it takes away.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
from numpy.random import default_rng
from psycopg import sql
from sqlalchemy import make_url

from sandbox.agencies.faults import CLOCK_FAULTS, LINE_FAULTS, SCHEMA_FAULTS, Fault, Faults
from sandbox.agencies.holdings import RATE, Payment, payments
from sandbox.agencies.line import line
from sandbox.people import Province
from sandbox.subsidy import FARMLAND

VIEW: Final = "v_subsidy_payment"
_FAULTS: Final = frozenset({*LINE_FAULTS, *SCHEMA_FAULTS, *CLOCK_FAULTS, Fault.UNAVAILABLE, Fault.AUTH_EXPIRED})
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS subsidy_payment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    resident_id varchar(18), payee varchar(40), card varchar(30), town varchar(40), village varchar(60),
    village_code varchar(12), area numeric(12, 1), amount numeric(14, 2), paid_on date, grant_year integer,
    pay_status varchar(10)
);
CREATE INDEX IF NOT EXISTS subsidy_payment_changed ON subsidy_payment (changed_at, id);
"""
COLUMNS: Final[Mapping[str, str]] = {  # as the view names them → as the table does
    "身份证号": "resident_id",
    "户主": "payee",
    "社保卡银行账号": "card",
    "乡镇": "town",
    "村": "village",
    "村代码": "village_code",
    "补贴面积(亩)": "area",
    "补贴标准(元/亩)": "rate",
    "补贴金额(元)": "amount",
    "发放日期": "paid_on",
    "补贴年度": "grant_year",
    "补贴项目": "project",
    "发放状态": "pay_status",
}
_AMOUNT: Final = "补贴金额(元)"
_RENAMED: Final = "兑付数"  # what a new release calls the amount
_INSERT: Final = (
    "INSERT INTO subsidy_payment (changed_at, resident_id, payee, card, town, village, village_code, area, amount,"
    " paid_on, grant_year, pay_status) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


class SubsidySystem:
    """The system's state; `serve` opens its door.

    Args:
        url: of an empty PostgreSQL database that is the agency's own, with a role that may make roles.
        province: whose farmers it pays.
        seed: of what is in the table.
        clock: seconds since 1970.
    """

    def __init__(self, url: str, province: Province, *, seed: int = 7, clock: Callable[[], float] = time.time) -> None:
        self.faults = Faults(_FAULTS, turned=self._arrange)
        self._url = url
        self._clock = clock
        self._rng = default_rng([seed, 9])
        made = payments(province.farmers, as_of=province.as_of, seed=seed)
        self._payments = made.rows
        self.expected, self.expected_of_people = made.expected, made.expected_of_people
        self._role = f"reader_{uuid4().hex[:12]}"
        self._password = uuid4().hex
        self._open = False

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Make table, view and reader, and open the door; give a SQLAlchemy address with the reader's password."""
        self._make()
        try:
            with line(self._dial, self.faults, hangs_up=True) as port:
                self._open = True
                target = make_url(self._url)
                yield target.set(
                    drivername="postgresql+psycopg",
                    username=self._role,
                    password=self._password,
                    host="127.0.0.1",
                    port=port,
                    query={},
                ).render_as_string(hide_password=False)
        finally:
            self._open = False
            self._unmake()

    def advance(self, count: int) -> int:
        """Let time pass: `count` payments are corrected and as many people are paid again. Gives the rows changed."""
        chosen = self._rng.choice(len(self._payments), min(count, len(self._payments)), replace=False)
        with self._connect() as connection:
            for index in chosen:
                paid = self._payments[int(index)]
                connection.execute(
                    "UPDATE subsidy_payment SET pay_status = '退回', changed_at = %s"
                    " WHERE resident_id = %s AND grant_year = %s",
                    [self._now(), paid.resident_id, paid.grant_year],
                )
                again = replace(paid, grant_year=paid.grant_year - 1, paid_on=paid.paid_on - timedelta(days=365))
                connection.execute(_INSERT, self._values(again))
        return 2 * len(chosen)

    # ---- the database ------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        with self._connect() as connection:
            connection.execute(_TABLE)
            connection.execute("TRUNCATE subsidy_payment RESTART IDENTITY")
            began = self._now() - timedelta(days=30)
            with connection.cursor() as cursor:
                cursor.executemany(
                    _INSERT,
                    [self._values(one, began + timedelta(seconds=n // 7)) for n, one in enumerate(self._payments)],
                )
            role = sql.Identifier(self._role)
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(self._password))
            connection.execute(made)
            connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role))
            self._make_view(connection)

    def _unmake(self) -> None:
        role = sql.Identifier(self._role)
        with self._connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [self._role]
            )
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))

    def _make_view(self, connection: psycopg.Connection) -> None:
        """Make the view as today's faults will have it; whoever reads it meanwhile sees the old or the new one."""
        view, role = sql.Identifier(VIEW), sql.Identifier(self._role)
        connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(self._source(column), sql.Identifier(name)) for name, column in self._columns()
        )
        skew = sql.Literal(f"{self.faults.skew_seconds()} seconds")
        made = sql.SQL("CREATE VIEW {} AS SELECT id, changed_at + {}::interval AS changed_at, {} FROM subsidy_payment")
        connection.execute(made.format(view, skew, columns))
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(view, role))

    def _columns(self) -> list[tuple[str, str]]:
        named = dict(COLUMNS)
        if self.faults.is_on(Fault.COLUMN_RENAMED):
            named = {_RENAMED if name == _AMOUNT else name: column for name, column in named.items()}
        if self.faults.is_on(Fault.COLUMN_GONE):
            named.pop(_AMOUNT, None)
        if self.faults.is_on(Fault.COLUMN_NEW):
            named["系统流水号"] = "id"
        return list(named.items())

    def _source(self, column: str) -> sql.Composable:
        if column == "rate":
            return sql.SQL("{}::numeric(6, 2)").format(sql.Literal(str(RATE)))
        if column == "project":
            return sql.SQL("{}::text").format(sql.Literal(FARMLAND))
        return sql.Identifier(column)

    def _arrange(self) -> None:
        """Bring view and reader into line with the faults."""
        if not self._open:
            return
        until = sql.Literal("2020-01-01" if self.faults.is_on(Fault.AUTH_EXPIRED) else "infinity")
        with self._connect() as connection:
            self._make_view(connection)
            connection.execute(sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(sql.Identifier(self._role), until))

    def _values(self, paid: Payment, changed_at: datetime | None = None) -> list[object]:
        return [
            changed_at or self._now(),
            *(paid.resident_id, paid.name, paid.card, paid.town, paid.village, paid.village_code),
            *(paid.area, paid.amount, paid.paid_on, paid.grant_year, paid.status),
        ]

    def _connect(self) -> psycopg.Connection:
        url = make_url(self._url).set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False))

    def _dial(self) -> socket.socket:
        """Reach the server itself, on its unix socket or its port."""
        with self._connect() as connection:
            host, port = connection.info.host, connection.info.port
        if host.startswith("/"):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(Path(host) / f".s.PGSQL.{port}"))
            return one
        return socket.create_connection((host, port))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
