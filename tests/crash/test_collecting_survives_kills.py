"""Kill -9 a collecting process just after each of its steps, over each transport; the next loses and doubles nothing.

The steps are those of `connectors.collecting`, and those of the intake below it.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from connectors import collecting
from connectors.collecting import Step, collect
from connectors.credentials import Credentials
from connectors.feed import Feed
from connectors.intake import Intake
from connectors.intake import Step as IntakeStep
from exchange.home import Home
from registry.database import Database
from tests.databases import Addresses, Server
from tests.openssh import openssh
from tests.subsidies import COLUMNS, row
from tests.unit.connectors.consent_register import everybody

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
DAY = date(2026, 6, 15)
ROWS = 30
VICTIM = """
import json, os, signal, sys
from datetime import date, datetime
from pathlib import Path
from connectors.collecting import Patience, collect
from connectors.credentials import Credentials
from connectors.feed import Feed
from connectors.intake import Intake
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from registry.store import Sealing
from registry.suites import intl
from tests.unit.connectors.consent_register import everybody

main, keys, home, step, feed = sys.argv[1:]

def kill(at):
    if at.value == step:
        os.kill(os.getpid(), signal.SIGKILL)

keyring = Keyring.open(Path(home))
sealing = Sealing(DataKeys(Database(keys), keyring), keyring, intl)
intake = Intake(Database(main), sealing, Path(home) / "raw", everybody, chunk_records=10, at_step=kill)
collect(
    intake,
    Feed.model_validate(json.loads(feed)),
    credentials=Credentials(intake.database, sealing),
    people=None,
    now=datetime.fromisoformat("2026-06-15T02:00:00+00:00"),
    as_of=date(2026, 6, 15),
    patience=Patience(sleep=lambda _: None, at_step=kill),
)
"""
STEPS = [Step.FETCHED, IntakeStep.STAGED, IntakeStep.PUBLISHING, Step.TAKEN, Step.MOVED, Step.SETTLED]
FEW = [Step.TAKEN, Step.MOVED]  # between intake and what a transport keeps of it
TABLES = ("record", "log_entry", "batch", "publication", "raw_file", "feed_file", "feed_position")


@pytest.fixture
def transport(
    request: pytest.FixtureRequest, server: Server, short_path: Path, exchange_home: Home
) -> Iterator[dict[str, Any]]:
    """A source of each kind that holds the same thirty rows, and the settings to reach it."""
    makers: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "rest": _rest,
        "sql": partial(_sql, server),
        "sftp": partial(_sftp, short_path, exchange_home),
        "folder": partial(_folder, short_path),
    }
    yield from makers[str(request.getfixturevalue("kind"))]()


def _csv() -> bytes:
    lines = ["身份证号,姓名,补贴金额（元）,年度,项目名称"]
    lines += [",".join(str(one[key]) for key in ("zjh", "xm", "je", "nd", "xmmc")) for one in map(row, range(ROWS))]
    return "\n".join(lines).encode()


def _rest() -> Iterator[dict[str, Any]]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # as the library calls it
            body = json.dumps([row(number) for number in range(ROWS)]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    agency = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=agency.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{agency.server_address[1]}/rows"
    since = {"parameter": "since", "column": "changed_at"}
    yield {"kind": "rest", "url": url, "columns": COLUMNS, "since": since}
    agency.shutdown()
    agency.server_close()
    thread.join()


def _sql(server: Server) -> Iterator[dict[str, Any]]:
    name = f"qq_killed_{uuid4().hex[:12]}"
    with psycopg.connect(server.address("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    address = make_url(server.address(name))
    with psycopg.connect(server.address(name)) as connection:
        connection.execute(
            "CREATE TABLE t (id int, zjh text, xm text, je numeric(12,2), nd int, xmmc text, changed_at timestamptz)"
        )
        for number in range(ROWS):
            connection.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", list(row(number).values()))
    yield {
        "kind": "sql",
        "url": address.set(drivername="postgresql").render_as_string(hide_password=True).replace(":***", ""),
        "view": "public.t",
        "columns": COLUMNS,
        "changed_at": "changed_at",
        "id": "id",
        "secret": address.password or "",
    }
    with psycopg.connect(server.address("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _sftp(place: Path, home: Home) -> Iterator[dict[str, Any]]:
    with openssh(place) as agency:
        agency.put("名册.csv", _csv())
        yield {
            "kind": "sftp",
            "host": "127.0.0.1",
            "port": agency.port,
            "user": agency.user,
            "host_key": agency.host_key,
            "login": "key",
            "folder": str(agency.folder),
            "settle": 0,
            "secret": agency.private_key,
        }


def _folder(place: Path) -> Iterator[dict[str, Any]]:
    (place / "名册.csv").write_bytes(_csv())
    yield {"kind": "folder", "path": str(place), "settle": 0}


def counts(database: Database) -> dict[str, int]:
    with database.transaction() as tx:
        found = {table: tx.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES}
    return {table: int(one[0]) for table, one in found.items() if one}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("rest", STEPS),
        *((kind, FEW) for kind in ("sql", "sftp", "folder")),
        *(pytest.param(kind, STEPS, marks=pytest.mark.slow) for kind in ("sql", "sftp", "folder")),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-steps",
)
def test_killed_after_any_step_a_rerun_loses_and_doubles_nothing(
    kind: str, transport: dict[str, Any], steps: list[Step | IntakeStep], exchange_home: Home, addresses: Addresses
) -> None:
    kept = Credentials(exchange_home.database, exchange_home.sealing)
    intake = Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, everybody)
    assert transport["kind"] == kind
    secret = transport.pop("secret", "")
    if transport["kind"] == "sql":
        transport["password"] = bool(secret)
    said = {"feed": "killed", "source": "subsidy_roster", "agency": "玉树市财政局", "transport": transport}
    if secret:
        kept.set("killed", secret, now=NOW)
    for step in steps:  # one home, so that each kill meets what the last one left
        killed = subprocess.run(
            [
                *(sys.executable, "-c", VICTIM, addresses.database_url, addresses.keystore_url),
                *(str(exchange_home.settings.home), step.value, json.dumps(said)),
            ],
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        over = kind == "sftp" and step is Step.SETTLED  # the file was settled by the run before: none comes any more
        assert killed.returncode == (0 if over else -signal.SIGKILL)
        with exchange_home.database.transaction() as tx:
            position = collecting.position_of(tx, "killed")
            seen = tx.execute(
                "SELECT count(*) FROM record JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL"
            ).fetchone()
        assert seen in {(0,), (ROWS,)}
        assert position is None or seen == (ROWS,)  # never further than what was published
    feed = Feed.model_validate(said)
    collect(intake, feed, credentials=kept, people=None, now=NOW, as_of=DAY)
    once = counts(exchange_home.database)
    assert once["record"] == ROWS
    assert once["raw_file"] == once["batch"] == once["publication"] == 1
    assert (once["feed_file"], once["feed_position"]) == ((0, 1) if transport["kind"] in {"rest", "sql"} else (1, 0))
    collect(intake, feed, credentials=kept, people=None, now=NOW, as_of=DAY)
    assert counts(exchange_home.database) == once
