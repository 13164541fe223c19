"""The sandbox's agencies speak their protocols to plain clients, and each fault shows in what such a client sees."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from functools import partial
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import openpyxl
import paramiko
import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from psycopg import sql
from sqlalchemy import make_url

from sandbox.agencies.control import Control, NotDone, controlled
from sandbox.agencies.faults import Fault
from sandbox.agencies.rating_office import OUTBOX, USER
from sandbox.agencies.running import Running, running
from sandbox.agencies.subsidy_system import VIEW
from sandbox.agencies.tokens import CLIENT_ID
from sandbox.people import settle
from tests.databases import Server

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def agencies(server: Server) -> Iterator[Running]:
    name = f"qq_agency_{uuid4().hex[:12]}"
    server.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        with running(settle(seed=7, households=100, as_of=date(2026, 6, 15)), server.address(name)) as started:
            yield started
    finally:
        server.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def _mended(agencies: Running) -> Iterator[None]:
    yield
    for one in agencies.agencies.values():
        one.faults.off()


# ---- the 三资 platform: REST ----------------------------------------------------------------------------------------


@contextmanager
def _web(agencies: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=agencies.addresses["sanzi"], timeout=20) as client:
        granted = client.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(CLIENT_ID, agencies.sanzi.tokens.secret)
        )
        client.headers["Authorization"] = f"Bearer {granted.raise_for_status().json()['access_token']}"
        yield client


def _all_pages(client: httpx.Client, ledger: str, **asked: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = client.get(f"/api/v1/{ledger}", params={**asked, "cursor": cursor}).raise_for_status().json()
        rows += page["items"]
        cursor = page["next"]
    return rows


def _without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: cell for name, cell in row.items() if name != "changed_at"} for row in rows]


@pytest.mark.parametrize("ledger", ["funds", "assets", "resources", "contracts"])
def test_pages_of_a_ledger_bring_every_row_once(agencies: Running, ledger: str) -> None:
    with _web(agencies) as client:
        rows = _all_pages(client, ledger)
    assert len(rows) == agencies.sanzi.expected[ledger]["rows"]
    assert len({json.dumps(row, sort_keys=True) for row in rows}) == len(rows)


def test_a_client_proves_itself_with_a_signed_assertion_once(agencies: Running) -> None:
    now = int(time.time())
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": agencies.addresses["sanzi"], "jti": uuid4().hex}
    signed = jwt.encode({"alg": "ES256"}, {**claims, "iat": now, "exp": now + 60}, agencies.sanzi.tokens.key)
    foreign = jwt.encode({"alg": "ES256"}, {**claims, "exp": now + 60}, ECKey.generate_key("P-256"))
    form = {"grant_type": "client_credentials", "client_assertion_type": _ASSERTION}
    asked = [
        httpx.post(f"{agencies.addresses['sanzi']}/oauth/token", data={**form, "client_assertion": one}).status_code
        for one in (signed, signed, foreign)
    ]
    assert asked == [200, 401, 401]


def test_without_a_token_there_is_nothing(agencies: Running) -> None:
    assert httpx.get(f"{agencies.addresses['sanzi']}/api/v1/funds").status_code == 401
    wrong = httpx.post(
        f"{agencies.addresses['sanzi']}/oauth/token", data={"grant_type": "client_credentials"}, auth=(CLIENT_ID, "no")
    )
    assert wrong.status_code == 401


def test_what_has_not_changed_is_not_sent_again(agencies: Running) -> None:
    with _web(agencies) as client:
        first = client.get("/api/v1/assets")
        again = client.get("/api/v1/assets", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_since_brings_whole_sets_of_those_that_changed_and_no_others(agencies: Running) -> None:
    with _web(agencies) as client:
        before = _all_pages(client, "funds")
        seen = max(row["changed_at"] for row in before)
        changed = agencies.sanzi.advance(3)
        after = _all_pages(client, "funds", since=seen)
        asked = client.post("/api/v1/funds/query", json={"organisations": changed[:1]}).json()
    assert len(changed) == 3
    assert len(after) == len([row for row in before if row["村集体经济组织"] in {r["村集体经济组织"] for r in after}])
    assert len({row["changed_at"] for row in after}) == 3
    assert len(asked["items"]) == 1


def test_contracts_can_be_asked_for_by_people_in_the_body(agencies: Running) -> None:
    with _web(agencies) as client:
        rows = _all_pages(client, "contracts")
        people = [rows[0]["承包方身份证号"], rows[4]["承包方身份证号"]]
        found = client.post("/api/v1/contracts/query", json={"people": people}).json()["items"]
        refused = client.post("/api/v1/funds/query", json={"people": people})
    assert sorted(row["承包方身份证号"] for row in found) == sorted(people)
    assert refused.status_code == 400


@pytest.mark.parametrize("asked", [{"cursor": "x"}, {"cursor": "-1"}, {"since": "yesterday"}, {"limit": "many"}])
def test_what_is_not_understood_is_refused(agencies: Running, asked: dict[str, str]) -> None:
    with _web(agencies) as client:
        assert client.get("/api/v1/funds", params=asked).status_code == 400
        assert client.get("/api/v1/unknown").status_code == 404


def test_a_platform_in_trouble_answers_500_and_429_as_often_as_told(agencies: Running) -> None:
    with _web(agencies) as client:
        agencies.sanzi.faults.on(Fault.UNAVAILABLE, times=2)
        agencies.sanzi.faults.on(Fault.BUSY, times=1, amount=7)
        answers = [client.get("/api/v1/funds") for _ in range(4)]
    assert [one.status_code for one in answers] == [500, 500, 429, 200]
    assert answers[2].headers["Retry-After"] == "7"


def test_a_repeated_page_is_the_page_before_and_a_shuffled_one_comes_from_the_end(agencies: Running) -> None:
    with _web(agencies) as client:
        right = _all_pages(client, "assets")
        agencies.sanzi.faults.on(Fault.REPEATED_PAGE, times=1)
        repeated = _all_pages(client, "assets")
        agencies.sanzi.faults.on(Fault.SHUFFLED_PAGES)
        shuffled = _all_pages(client, "assets")
    assert repeated != right
    assert len({json.dumps(row, sort_keys=True) for row in repeated}) < len(repeated)
    assert shuffled[0] != right[0]
    assert sorted(map(str, shuffled)) == sorted(map(str, right))


def test_a_changed_schema_shows_in_the_rows(agencies: Running) -> None:
    with _web(agencies) as client:
        right = set(client.get("/api/v1/funds").json()["items"][0])
        seen = {}
        for fault in (Fault.COLUMN_RENAMED, Fault.COLUMN_GONE, Fault.COLUMN_NEW):
            agencies.sanzi.faults.on(fault)
            seen[fault] = set(client.get("/api/v1/funds").json()["items"][0])
            agencies.sanzi.faults.off()
    assert right ^ seen[Fault.COLUMN_RENAMED] == {"银行余额(元)", "资金沉淀(元)"}
    assert right - seen[Fault.COLUMN_GONE] == {"银行余额(元)"}
    assert seen[Fault.COLUMN_NEW] - right == {"系统流水号"}


def test_a_truncated_body_is_no_json(agencies: Running) -> None:
    with _web(agencies) as client:
        agencies.sanzi.faults.on(Fault.TRUNCATED, times=1)
        cut = client.get("/api/v1/funds")
        whole = client.get("/api/v1/funds")
    assert cut.status_code == 200
    with pytest.raises(ValueError, match=r"JSON|Unterminated|Expecting"):
        cut.json()
    assert len(whole.content) > len(cut.content)


def test_a_reset_connection_breaks_off_in_the_middle(agencies: Running) -> None:
    with _web(agencies) as client:
        agencies.sanzi.faults.on(Fault.RESET, times=1, amount=900)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{agencies.addresses['sanzi']}/api/v1/funds", headers=dict(client.headers))
        assert httpx.get(f"{agencies.addresses['sanzi']}/api/v1/funds", headers=dict(client.headers)).is_success


def test_a_slow_line_drips(agencies: Running) -> None:
    with _web(agencies) as client:
        size = len(client.get("/api/v1/funds").content)
        agencies.sanzi.faults.on(Fault.SLOW, amount=size * 2)
        started = time.monotonic()
        assert client.get("/api/v1/funds").is_success
        assert time.monotonic() - started > 0.4


@pytest.mark.parametrize(("fault", "sign"), [(Fault.CLOCK_AHEAD, 1), (Fault.CLOCK_BEHIND, -1)])
def test_a_clock_that_is_off_shows_in_the_times_of_change(agencies: Running, fault: Fault, sign: int) -> None:
    with _web(agencies) as client:
        right = datetime.fromisoformat(client.get("/api/v1/resources").json()["items"][0]["changed_at"])
        agencies.sanzi.faults.on(fault, amount=3600)
        off = datetime.fromisoformat(client.get("/api/v1/resources").json()["items"][0]["changed_at"])
    assert (off - right).total_seconds() == sign * 3600


def test_an_expired_token_is_refused_once_and_an_expired_client_until_mended(agencies: Running) -> None:
    with _web(agencies) as client:
        agencies.sanzi.faults.on(Fault.AUTH_EXPIRED, times=1)
        assert client.get("/api/v1/funds").status_code == 401
        assert client.get("/api/v1/funds").status_code == 401  # that token is gone
    with _web(agencies) as client:
        assert client.get("/api/v1/funds").is_success
    agencies.sanzi.faults.on(Fault.AUTH_EXPIRED)
    with pytest.raises(httpx.HTTPStatusError), _web(agencies):
        pass


# ---- the subsidy system: SQL ----------------------------------------------------------------------------------------


def _database(agencies: Running) -> str:
    url = make_url(agencies.feeds["sandbox_subsidy"]["transport"]["url"])
    chosen = url.set(drivername="postgresql", password=agencies.credentials["sandbox_subsidy"])
    return chosen.render_as_string(hide_password=False)


def _rows(agencies: Running) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(_database(agencies))) as connection:
        return connection.execute(f"SELECT changed_at, id FROM {VIEW} ORDER BY changed_at, id").fetchall()


def test_the_address_of_the_view_has_no_password_in_it(agencies: Running) -> None:
    assert make_url(agencies.feeds["sandbox_subsidy"]["transport"]["url"]).password is None
    assert agencies.credentials["sandbox_subsidy"] not in repr(agencies)


def test_the_reader_may_read_the_view_and_nothing_else(agencies: Running) -> None:
    assert len(_rows(agencies)) >= int(str(agencies.subsidy.expected["rows"]))
    with closing(psycopg.connect(_database(agencies), autocommit=True)) as connection:
        for wrong in ("SELECT * FROM subsidy_payment", f"DELETE FROM {VIEW}", "CREATE TABLE mine (a int)"):
            with pytest.raises(psycopg.errors.Error):
                connection.execute(wrong)


def test_a_reader_that_goes_on_from_where_it_stopped_sees_every_change_once(agencies: Running) -> None:
    before = _rows(agencies)
    count = agencies.subsidy.advance(4)
    with closing(psycopg.connect(_database(agencies))) as connection:
        later = connection.execute(f"SELECT id FROM {VIEW} WHERE (changed_at, id) > (%s, %s)", before[-1]).fetchall()
    assert count == 8
    assert len(later) == 8
    assert len(_rows(agencies)) == len(before) + 4


def test_a_changed_view_has_other_columns(agencies: Running) -> None:
    def columns() -> set[str]:
        with closing(psycopg.connect(_database(agencies))) as connection:
            cursor = connection.execute(f"SELECT * FROM {VIEW} LIMIT 0")
            return {one.name for one in cursor.description or ()}

    right = columns()
    agencies.subsidy.faults.on(Fault.COLUMN_RENAMED)
    assert right ^ columns() == {"补贴金额(元)", "兑付数"}
    agencies.subsidy.faults.off()
    agencies.subsidy.faults.on(Fault.COLUMN_GONE)
    assert right - columns() == {"补贴金额(元)"}
    agencies.subsidy.faults.off()
    agencies.subsidy.faults.on(Fault.COLUMN_NEW)
    assert columns() - right == {"系统流水号"}


def test_the_databases_clock_can_be_off(agencies: Running) -> None:
    right = _rows(agencies)[0][0]
    agencies.subsidy.faults.on(Fault.CLOCK_AHEAD, amount=3600 * 24 * 60)
    assert (_rows(agencies)[0][0] - right).days == 60
    assert _rows(agencies)[0][0] > datetime.now(UTC)  # noqa: TID251  # the future, whatever day it is


def test_a_database_can_refuse_hang_up_and_break_off(agencies: Running) -> None:
    agencies.subsidy.faults.on(Fault.AUTH_EXPIRED)
    with pytest.raises(psycopg.OperationalError):
        _rows(agencies)
    agencies.subsidy.faults.off()
    agencies.subsidy.faults.on(Fault.UNAVAILABLE, times=1)
    with pytest.raises(psycopg.OperationalError):
        _rows(agencies)
    agencies.subsidy.faults.on(Fault.RESET, times=1, amount=1200)
    with pytest.raises(psycopg.OperationalError):
        _rows(agencies)
    assert _rows(agencies)


# ---- the rating office: SFTP ----------------------------------------------------------------------------------------


@contextmanager
def _sftp(agencies: Running, password: str | None = None, key: paramiko.PKey | None = None) -> Iterator[Any]:
    chosen = agencies.feeds["sandbox_rating"]["transport"]
    with closing(paramiko.Transport((chosen["host"], chosen["port"]))) as transport:
        transport.connect(
            hostkey=agencies.rating.host_key,
            username=USER,
            password=None if key else password or agencies.rating.password,
            pkey=key,
        )
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        yield client


def _books(agencies: Running) -> dict[str, bytes]:
    with _sftp(agencies) as client:
        names = [name for name in client.listdir(OUTBOX) if name.endswith(".xlsx")]
        found = {}
        for name in names:
            with client.open(f"{OUTBOX}/{name}") as file:
                found[name] = file.read()
        return found


def test_workbooks_lie_in_the_outbox_and_open(agencies: Running) -> None:
    found = _books(agencies)
    assert set(found) == set(agencies.rating.expected)
    for name, content in found.items():
        sheet = openpyxl.load_workbook(BytesIO(content), read_only=True).worksheets[0]
        rows = [row for row in sheet.iter_rows(values_only=True) if isinstance(row[0], int)]
        assert len(rows) == agencies.rating.expected[name]["rows"]


def test_a_registered_key_opens_the_door_and_another_does_not(agencies: Running) -> None:
    mine, foreign = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    agencies.rating.admit(f"{mine.get_name()} {mine.get_base64()}")
    with _sftp(agencies, key=mine) as client:
        assert client.listdir(OUTBOX)
    for wrong in ({"key": foreign}, {"password": "wrong"}):
        with pytest.raises(paramiko.AuthenticationException), _sftp(agencies, **wrong):
            pass


def test_nobody_can_change_what_was_sent(agencies: Running) -> None:
    with _sftp(agencies) as client:
        name = f"{OUTBOX}/{next(iter(agencies.rating.expected))}"
        acts: list[Callable[[], object]] = [
            partial(client.open, name, "w"),
            partial(client.open, f"{OUTBOX}/new.xlsx", "w"),
            partial(client.remove, name),
            partial(client.rename, name, f"{name}.old"),
            partial(client.open, f"{OUTBOX}/../../etc/passwd"),
        ]
        for act in acts:
            with pytest.raises(OSError, match=r"denied|Unsupported|unsupported|No such"):
                act()


def test_a_file_that_is_still_being_written_stands_under_another_name(agencies: Running) -> None:
    with _sftp(agencies) as client:
        assert [name for name in client.listdir(OUTBOX) if name.endswith(".part")]


def test_new_results_come_under_the_old_name_with_a_new_time(agencies: Running) -> None:
    before = _books(agencies)
    (changed,) = agencies.rating.advance(1)
    after = _books(agencies)
    assert {name for name in before if before[name] != after[name]} == {changed}
    with _sftp(agencies) as client:
        times = {one.filename: one.st_mtime for one in client.listdir_attr(OUTBOX)}
    assert times[changed] == max(times[name] for name in after)


def test_a_cut_or_changed_workbook_shows(agencies: Running) -> None:
    name = next(iter(agencies.rating.expected))
    right = _books(agencies)[name]
    agencies.rating.faults.on(Fault.TRUNCATED)
    cut = _books(agencies)[name]
    assert cut == right[: len(right) // 2]
    agencies.rating.faults.off()
    agencies.rating.faults.on(Fault.COLUMN_RENAMED)
    sheet = openpyxl.load_workbook(BytesIO(_books(agencies)[name])).worksheets[0]
    headings = [cell.value for cell in sheet[3]]
    assert "综合结论" in headings
    assert "信用等级" not in headings


def test_an_office_can_refuse_hang_up_and_break_off(agencies: Running) -> None:
    agencies.rating.faults.on(Fault.AUTH_EXPIRED)
    with pytest.raises(paramiko.AuthenticationException):
        _books(agencies)
    agencies.rating.faults.off()
    agencies.rating.faults.on(Fault.UNAVAILABLE, times=1)
    with pytest.raises((paramiko.SSHException, OSError, EOFError)):
        _books(agencies)
    agencies.rating.faults.on(Fault.RESET, times=1, amount=6000)
    with pytest.raises((paramiko.SSHException, OSError, EOFError)):
        _books(agencies)
    assert _books(agencies)


# ---- control --------------------------------------------------------------------------------------------------------


def test_faults_are_switched_from_another_process_by_whoever_has_the_token(agencies: Running) -> None:
    with controlled(agencies.agencies) as control:
        assert control.switch_on("sanzi", "busy", times=3, amount=2)["busy"]["times"] == 3
        assert control.standing()["sanzi"] == {"busy": {"amount": 2, "times": 3, "share": 1.0}}
        assert control.switch_off("sanzi") == {}
        assert control.advance("rating", 1) == {"advanced": 1}
        stranger = Control(control.url, "guess")
        for wrong in (
            stranger.standing,
            lambda: stranger.switch_on("sanzi", "busy"),
            lambda: stranger.advance("sanzi", 1),
            lambda: control.switch_on("rating", "busy"),
            lambda: control.switch_on("sanzi", "nonsense"),
            lambda: control.switch_on("nobody", "busy"),
            lambda: control.switch_on("sanzi", "busy", times=0),
            lambda: control.advance("sanzi", 0),
        ):
            with pytest.raises(NotDone):
                wrong()
        assert control.token not in repr(control)
    with pytest.raises(NotDone, match="still running"):
        control.standing()
